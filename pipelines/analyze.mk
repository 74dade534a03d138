# make analyze: what tools say who read the source without running it.
#
# gcc's analyzer, clang-tidy (.clang-tidy), cppcheck, shellcheck
# (.shellcheckrc), mandoc.  Ends with an error at the first finding of each.
# Three minutes on two cores; lint is its fast part (10 s).

PACKAGES_ANALYZE = clang clang-tidy cppcheck shellcheck mandoc
ANALYZE_C  = $(filter-out $(if $(filter 1,$(CUDA)),,lib/backend/cudnn_conv.c),\
    $(wildcard lib/*/*.c cmd/*.c))
ANALYZE_SH = $(wildcard tests/*.sh pipelines/*.sh examples/*.sh)
# It is wrong there: read_size() refuses a picture without pixels, and
# str_format() returns no NULL.
ANALYZE_TIDY = $(filter-out lib/data/image_bmp.c lib/data/image_dicom.c,\
    $(ANALYZE_C))
ANALYZE_FLAGS = -std=c11 -D_GNU_SOURCE -I. -Ilib -Itests/host \
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
	    --error-exitcode=1 -D_GNU_SOURCE -DARRAY_LEN\(a\)=2 -D__attribute__\(a\)= -I. -Ilib lib cmd
	@found=$$(mandoc -T lint -W warning man/*.[157] 2>&1) || \
	    { echo "$$found"; exit 1; }

analyze-deps:
	@$(MAKE) --no-print-directory deps PACKAGES= \
	    PACKAGES_CHECK="$(PACKAGES_ANALYZE)"

# make sanitize: what tools say who run it.  ASan and UBSan: every check and
# program; what OpenMP's threads keep looks like leaks to gcc 12, or makes its
# leak checker crash, hence check_cpu apart.  TSan: our own threads, in the pool,
# the decoders, the loader and ranks that meet by TCP; OpenMP's are beyond it, so
# `ref` computes, and so are libvips's.  valgrind: every program as it is built,
# but no decoder.
SAN_ALL    = -fsanitize=address,undefined -fno-sanitize-recover=all
TSAN_CHECKS = base sandbox train
# gcc's choosers of clones run before TSan does.
TSAN       = -fsanitize=thread '-Dtarget_clones(...)=noinline'
SANITIZED  = @$(MAKE) --no-print-directory -s CUDA=0 OPT=-O1

sanitize: sanitize-address sanitize-threads sanitize-memory

sanitize-address:
	$(SANITIZED) BUILD=$(BUILD)/san SAN="$(SAN_ALL)" all \
	    $(CHECKS:$(BUILD)/%=$(BUILD)/san/%)
	sh tests/run.sh $(BUILD)/san $(filter-out %/check_cpu,\
	    $(CHECKS:$(BUILD)/%=$(BUILD)/san/%))
	ASAN_OPTIONS=detect_leaks=0 sh tests/run.sh $(BUILD)/san \
	    $(BUILD)/san/tests/check_cpu
	sh tests/each.sh $(BUILD)/san

sanitize-threads:
	$(SANITIZED) BUILD=$(BUILD)/tsan SAN="$(TSAN)" all \
	    $(TSAN_CHECKS:%=$(BUILD)/tsan/tests/check_%)
	sh tests/run.sh $(BUILD)/tsan $(TSAN_CHECKS:%=$(BUILD)/tsan/tests/check_%)
	TSAN_OPTIONS=ignore_noninstrumented_modules=1 \
	    sh tests/each.sh $(BUILD)/tsan

sanitize-memory: all
	@$(MAKE) --no-print-directory deps PACKAGES= PACKAGES_CHECK=valgrind
	sh tests/each.sh $(BUILD) valgrind -q --error-exitcode=99 --leak-check=full \
	    --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	    --suppressions=$(CURDIR)/tests/valgrind.supp

.PHONY: sanitize sanitize-address sanitize-threads sanitize-memory
.PHONY: analyze analyze-deps lint
