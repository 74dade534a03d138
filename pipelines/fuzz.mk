# make fuzz: every parser of ours under libFuzzer, ASan and UBSan (clang).
#
#   make fuzz FUZZ_SECONDS=60 FUZZ="table safet"
#
# New inputs go to $(BUILD)/fuzz/NAME; what crashes is left there too.

FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 60
FUZZ_CC      ?= clang
FUZZ_WRAP    = -Wl,--wrap=file_map,--wrap=file_unmap,--wrap=file_read \
               -Wl,--wrap=libdeflate_crc32

fuzz:
	@$(MAKE) --no-print-directory -s CC=$(FUZZ_CC) BUILD=$(BUILD)/fuzz-lib \
	    CUDA=0 OPT=-O1 \
	    SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
	    $(BUILD)/fuzz-lib/libbusi.a
	@for f in $(FUZZ); do \
	    mkdir -p $(BUILD)/fuzz/$$f; \
	    $(FUZZ_CC) -std=c11 -g -O1 -D_GNU_SOURCE -I. -Ilib \
	        -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	        -o $(BUILD)/fuzz/fuzz_$$f tests/fuzz/fuzz_$$f.c \
	        tests/fuzz/memory.c $(FUZZ_WRAP) \
	        $(BUILD)/fuzz-lib/libbusi.a $(LDLIBS) || exit 1; \
	    $(BUILD)/fuzz/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -max_len=65536 \
	        -rss_limit_mb=2048 -timeout=10 -artifact_prefix=$(BUILD)/fuzz/$$f- \
	        -print_final_stats=1 $(BUILD)/fuzz/$$f tests/fuzz/corpus/$$f \
	        >$(BUILD)/fuzz/$$f.log 2>&1 || { tail -30 $(BUILD)/fuzz/$$f.log; exit 1; }; \
	    echo "$$f: $$(awk '/number_of_executed_units/ { n = $$2 } \
	        /cov:/ { for (i = 1; i < NF; i++) if ($$i == "cov:") c = $$(i + 1) } \
	        END { print n " inputs, " c " edges" }' $(BUILD)/fuzz/$$f.log)"; \
	done

# What make check does with the corpus, under ASan and UBSan as well: every file,
# and every cut of short ones.
$(BUILD)/san/libbusi.a: FORCE
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/san CUDA=0 OPT=-O1 \
	    SAN="$(SAN_ALL)" $@

$(BUILD)/tests/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c \
	    tests/fuzz/memory.c $(BUILD)/san/libbusi.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(SAN_ALL) $(LDFLAGS) $(FUZZ_WRAP) -o $@ $^ \
	    $(LDLIBS)

FORCE:

.PHONY: fuzz FORCE
