# make torture: faults injected, at length (make check has a short part of it).

TORTURE_KILLS  ?= 200
TORTURE_POINTS ?= 40

torture: all
	sh tests/torture-build.sh .
	CRASH_POINTS=$(TORTURE_POINTS) sh tests/run.sh $(BUILD) tests/t-crash.sh
	NOMEM_POINTS=100000 sh tests/run.sh $(BUILD) tests/t-nomem.sh
	sh tests/torture-resume.sh $(BUILD) $(TORTURE_KILLS)
	sh tests/torture-ranks.sh $(BUILD)
	sh tests/mutate.sh .

.PHONY: torture
