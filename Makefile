# busi: breast-ultrasound scans -> honestly tested classifiers.
#
#   make demo    build, then run everything on built-in phantoms
#   make check   build, then run every test
#   make help    all targets and settings
#
# Programs are left in build/bin, plugins in build/lib/busi.

BUILD   ?= build
# One name for one file, however the folder is given: dependencies go by it.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
PREFIX  ?= /usr/local
CC      ?= gcc
OPT     ?= -O2
SAN     ?=
HARDEN  = $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
CFLAGS  = -std=c11 $(OPT) -g -fPIC -fno-math-errno -fvisibility=hidden \
          -fstack-protector-strong -fstack-clash-protection $(HARDEN) \
          '-ffile-prefix-map=$(CURDIR)=.' \
          -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
          -Wconversion -Wno-sign-conversion -Wvla $(SAN)
CPPFLAGS = -D_GNU_SOURCE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -I. -Ilib -MMD -MP
LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(SAN)
LDLIBS  = -ldeflate -lm -lpthread -ldl

BIN     = $(BUILD)/bin
PLUGINS = $(BUILD)/lib/busi

# The library: every layer; a program links the members that it needs.
LAYERS  = base data model backend learn comm report
PLUGIN_SRC = lib/backend/backend_cpu.c lib/backend/backend_cuda.c \
          lib/backend/gpu.c lib/backend/cudnn_conv.c \
          lib/backend/cuda_units.c lib/backend/cuda_epoch.c \
          lib/backend/cuda_copy.c \
          lib/comm/comm_mpi.c lib/comm/comm_nccl.c lib/data/image_vips.c
LIB_SRC = $(filter-out $(PLUGIN_SRC) $(CPU_SRC),\
          $(wildcard $(LAYERS:%=lib/%/*.c)))
LIB_OBJ = $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB     = $(BUILD)/libbusi.a

PROGRAMS = $(patsubst cmd/%.c,$(BIN)/%,$(wildcard cmd/busi-*.c))
CHECKS   = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/check_*.c))
REPLAYS  = $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/replay_%,\
           $(wildcard tests/fuzz/fuzz_*.c)) \
           $(BUILD)/tests/check_cuda_host
SCRIPTS  = $(wildcard tests/t-*.sh)

# The CPU plugin: oneDNN, and the kernels once per instruction set and type.
CPU_SRC = $(wildcard lib/backend/cpu_*.c)
ISAS    = plain avx2 avx512
ISA_plain  =
ISA_avx2   = -mavx2 -mfma
ISA_avx512 = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma
ifneq ($(shell uname -m),x86_64)
ISAS    = plain
CPPFLAGS += -DCPU_PLAIN_ONLY
endif
CPU_OBJ = $(BUILD)/lib/backend/backend_cpu.o $(CPU_SRC:%.c=$(BUILD)/%.o) \
          $(ISAS:%=$(BUILD)/kernels/cpu_%_f32.o) \
          $(patsubst %,$(BUILD)/kernels/cpu_%_bf16.o,$(filter avx512,$(ISAS)))
KERNELS = $(foreach t,f32 bf16,$(ISAS:%=$(BUILD)/kernels/cpu_%_$t.o))

PLUGIN_SO = $(PLUGINS)/image_vips.so $(PLUGINS)/backend_cpu.so \
            $(PLUGINS)/comm_mpi.so
all: $(PROGRAMS) plugins

include pipelines/deps.mk
include pipelines/demo.mk
-include $(wildcard pipelines/targets.mk)
include pipelines/bench.mk
include pipelines/analyze.mk
include pipelines/torture.mk
include pipelines/fuzz.mk
include pipelines/cuda.mk
include pipelines/install.mk

plugins: $(PLUGIN_SO)

# ------------------------------------------------------------------ building

# What was built with other flags, or of other sources, is built again.
KEPT = @mkdir -p $(@D); echo '$(subst ','\'',$(1))' >$@.new; \
       if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
FLAGS := $(CC) $(CPPFLAGS) $(CFLAGS)

$(BUILD)/flags: FORCE
	$(call KEPT,$(FLAGS))

$(BUILD)/members: FORCE
	$(call KEPT,$(LIB_SRC))

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# Filters over whole pictures take half the time when vectorised.
$(BUILD)/lib/data/keypoint.o: CFLAGS += -O3

# Each foreign header has one home, and the flag for it goes there alone.
$(BUILD)/lib/data/image_vips.o: CPPFLAGS += $(shell pkg-config --cflags vips)
# Resizing is one of the few loops here that -O2 leaves unvectorised.
$(BUILD)/lib/data/image.o: CFLAGS += -O3
$(BUILD)/lib/comm/comm_mpi.o: CPPFLAGS += $(shell pkg-config --cflags ompi-c)
$(BUILD)/lib/backend/backend_cpu.o $(CPU_SRC:%.c=$(BUILD)/%.o): \
	CFLAGS += -fopenmp

define kernel_rule
$(BUILD)/kernels/cpu_$(1)_$(2).o: kernels/cpu.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$(CFLAGS) -O3 -ffp-contract=fast -Wno-psabi -fopenmp \
	    $$(ISA_$(1)) -DISA=$(1) -DDTYPE_$(2) -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(foreach t,f32 bf16,$(eval $(call kernel_rule,$i,$t))))

$(LIB): $(LIB_OBJ) $(BUILD)/members
	@rm -f $@
	$(AR) rcs $@ $(LIB_OBJ)

$(BIN)/%: $(BUILD)/cmd/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(PLUGINS)/image_vips.so: $(BUILD)/lib/data/image_vips.o $(LIB)
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -o $@ $^ \
	    $(shell pkg-config --libs vips) $(LDLIBS)

$(PLUGINS)/backend_cpu.so: $(CPU_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -fopenmp -o $@ $^ -ldnnl $(LDLIBS)

$(PLUGINS)/comm_mpi.so: $(BUILD)/lib/comm/comm_mpi.o $(LIB)
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -o $@ $^ \
	    $(shell pkg-config --libs ompi-c) $(LDLIBS)

# zlib is the tests' second opinion.
$(BUILD)/tests/%: LDLIBS += -lz

$(BUILD)/tests/check_%: $(BUILD)/tests/check_%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(LDLIBS)

$(BUILD)/tests/check_kernels: $(BUILD)/tests/check_kernels.o $(KERNELS) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fopenmp -o $@ $^ $(shell pkg-config --libs check) \
	    $(LDLIBS)

$(BUILD)/tests/plant_dups $(BUILD)/tests/plant_hostile \
$(BUILD)/tests/bench_machine $(BUILD)/tests/bench_net: \
    $(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)

# ------------------------------------------------------------------- testing

check: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all checks
	@sh tests/run.sh $(BUILD)

checks: $(CHECKS) $(REPLAYS) $(BUILD)/tests/plant_hostile \
    $(BUILD)/tests/plant_dups

# One test by name: make t-strip, make check_graph
t-%: all
	@sh tests/run.sh $(BUILD) tests/$@.sh
t-dicom t-export t-pairs t-predict: $(BUILD)/tests/check_model
t-dicom: $(BUILD)/tests/check_dicom
t-dup: $(BUILD)/tests/plant_dups
t-hostile: $(BUILD)/tests/plant_hostile
t-fuzz: $(REPLAYS)
t-cuda: $(BUILD)/tests/check_cuda_host
check_%: $(BUILD)/tests/check_% all
	$<

clean:
	rm -rf $(BUILD)

FORCE:
.PHONY: all check checks clean demo deps help FORCE
.SECONDARY:
