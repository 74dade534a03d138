# make torture: faults injected, at length (make check has a short part of it).

TORTURE_KILLS  ?= 200
TORTURE_POINTS ?= 40

torture: all
	sh tests/torture-build.sh .
	CRASH_POINTS=$(TORTURE_POINTS) sh tests/run.sh $(BUILD) tests/t-crash.sh
	sh tests/torture-resume.sh $(BUILD) $(TORTURE_KILLS)
	@[ ! -e tests/torture-ranks.sh ] || sh tests/torture-ranks.sh $(BUILD)

.PHONY: torture
