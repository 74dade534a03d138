# make analyze: what tools say who read the source without running it.
#
# gcc's analyzer, clang-tidy (.clang-tidy), cppcheck, shellcheck
# (.shellcheckrc), mandoc.  Ends with an error at the first finding of each.
# Three minutes on two cores; lint is its fast part (10 s).

PACKAGES_ANALYZE = clang clang-tidy cppcheck shellcheck mandoc
ANALYZE_C  = $(wildcard lib/*/*.c cmd/*.c)
ANALYZE_SH = $(wildcard tests/*.sh pipelines/*.sh examples/*.sh)
# It is wrong there: read_size() refuses a picture without pixels, and
# str_format() returns no NULL.
ANALYZE_TIDY = $(filter-out lib/data/image_bmp.c lib/data/image_dicom.c,\
    $(ANALYZE_C))
ANALYZE_FLAGS = -std=c11 -D_GNU_SOURCE -I. -Ilib \
    $(shell pkg-config --cflags vips ompi-c | sed 's/-I/-isystem /g')
EACH = xargs -n 1 -P $$(nproc)

analyze: lint
	@printf '%s\n' $(ANALYZE_C) | $(EACH) gcc $(ANALYZE_FLAGS) -O2 \
	    -fopenmp -fanalyzer -Werror -S -o /dev/null
	@printf '%s\n' $(ANALYZE_TIDY) | $(EACH) sh -c \
	    'out=$$(clang-tidy -quiet "$$1" -- $(ANALYZE_FLAGS) 2>/dev/null) || \
	        { printf "%s\n" "$$out"; exit 1; }' sh
	@echo "analyze: nothing found"

lint: analyze-deps
	@shellcheck -s sh $(ANALYZE_SH)
	@cppcheck -q -j $$(nproc) --std=c11 --enable=warning --inline-suppr \
	    --error-exitcode=1 -D_GNU_SOURCE -DARRAY_LEN\(a\)=2 -I. -Ilib lib cmd
	@found=$$(mandoc -T lint -W warning man/*.[157] 2>&1) || \
	    { echo "$$found"; exit 1; }

analyze-deps:
	@$(MAKE) --no-print-directory deps PACKAGES= \
	    PACKAGES_CHECK="$(PACKAGES_ANALYZE)"

.PHONY: analyze analyze-deps lint
