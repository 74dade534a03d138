# The GPU plugin: built where there is a CUDA compiler and cuDNN's headers.
#
#   CUDA=0|1       build it or not (default: 1 if all that it needs is found)
#   CUDA_HOME      bin/nvcc, include, lib64 or lib
#   CUDNN_HOME     include/cudnn.h, lib or lib64; also found in Python packages
#   NCCL_HOME      the same for include/nccl.h
#   CUDA_ARCH      compute capabilities to compile for; the last also as PTX,
#                  which later GPUs take
#
# The kernels are also compiled for this processor, for tests without a GPU
# (tests/cuda_host.h); that needs no more than a C++ compiler.
#
# The plugin holds the CUDA runtime and opens cuDNN when it is opened itself,
# first where it was found here.

PYTHON   ?= python3
CUDA_ARCH ?= 80 86 89 90 100

# nvidia/ in site-packages, where pip leaves CUDA's libraries
NVIDIA   := $(shell $(PYTHON) -c \
            'import nvidia; print(*list(nvidia.__path__)[:1])' 2>/dev/null)
first_of = $(firstword $(foreach d,$(2),$(if $(wildcard $(d)/$(1)),$(d))))

CUDA_HOME ?= $(call first_of,bin/nvcc,\
             $(patsubst %/bin/nvcc,%,$(shell command -v nvcc 2>/dev/null)) \
             /usr/local/cuda $(NVIDIA)/cu13 $(NVIDIA)/cuda_nvcc)
CUDNN_HOME ?= $(call first_of,include/cudnn.h,\
              $(CUDA_HOME) $(NVIDIA)/cudnn /usr /usr/local)
NCCL_HOME ?= $(call first_of,include/nccl.h,\
             $(CUDA_HOME) $(NVIDIA)/nccl /usr /usr/local)
CUDA_HOME := $(CUDA_HOME)
CUDNN_HOME := $(CUDNN_HOME)
NCCL_HOME := $(NCCL_HOME)

NVCC     = $(CUDA_HOME)/bin/nvcc
CUDA     ?= $(if $(CUDA_HOME),$(if $(CUDNN_HOME),1,0),0)

CUDA_SRC = $(wildcard kernels/*.cu)
CUDA_C   = lib/backend/backend_cuda.c lib/backend/cuda_units.c \
           lib/backend/cuda_epoch.c lib/backend/cuda_copy.c
CUDNN_C  = lib/backend/gpu.c lib/backend/cudnn_conv.c
HOST_OBJ = $(CUDA_SRC:kernels/%.cu=$(BUILD)/kernels/host/%.o) \
           $(CUDA_C:%.c=$(BUILD)/%.o) \
           $(BUILD)/tests/host/gpu.o $(BUILD)/tests/host_cudnn.o

# What the GPU's tests link: no layer that needs more than libc, so that they
# build on a machine that has only CUDA and a compiler.
CORE     = $(BUILD)/libbusi-core.a
CORE_OBJ = $(filter $(foreach l,base model backend,$(BUILD)/lib/$l/%) \
           $(foreach f,augment image recipe,$(BUILD)/lib/data/$f.o),\
           $(LIB_OBJ))
CORE_LIBS = -lm -lpthread -ldl

$(CORE): $(CORE_OBJ) pipelines/cuda.mk
	@rm -f $@
	$(AR) rcs $@ $(CORE_OBJ)

# Rounded as on a GPU: products and sums in one, where this processor can; but
# not in cuda_turn, as below.
FUSED    := $(if $(shell grep -m1 -ow fma /proc/cpuinfo 2>/dev/null),\
            -mfma -ffp-contract=fast,-ffp-contract=off)
$(BUILD)/kernels/host/cuda_turn.o: FUSED = -ffp-contract=off

$(BUILD)/kernels/host/%.o: kernels/%.cu $(BUILD)/flags
	@mkdir -p $(@D)
	$(CXX) -x c++ -std=c++17 $(OPT) $(SAN) -g -fPIC -I. -Ilib -MMD -MP \
	    -fvisibility=hidden -fno-exceptions \
	    -fno-rtti $(FUSED) -Wall -Wextra \
	    -Wno-unknown-pragmas -c -o $@ $<

$(BUILD)/tests/check_cuda_host: $(BUILD)/tests/check_cuda.o $(HOST_OBJ) \
	    $(BUILD)/tests/host_cuda.o $(CORE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter-out %.so,$^) $(CORE_LIBS)

# The files that call CUDA and NCCL, over what stands in for them (tests/host).
HOST     = $(BUILD)/tests/host
$(HOST)/gpu.o: lib/backend/gpu.c $(BUILD)/flags
$(HOST)/comm_nccl.o: lib/comm/comm_nccl.c $(BUILD)/flags
$(HOST)/gpu.o $(HOST)/comm_nccl.o:
	@mkdir -p $(@D)
	$(CC) -Itests/host $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(HOST)/libhost.so: $(BUILD)/tests/host_cuda.o $(BUILD)/tests/host_nccl.o \
	    $(CORE)
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -o $@ $^ $(CORE_LIBS) -lrt

# The same as plugins, for whole programs (tests/t-cuda.sh).
$(HOST)/backend_cuda.so: $(HOST_OBJ)
$(HOST)/comm_nccl.so: $(HOST)/comm_nccl.o $(BUILD)/lib/comm/gpu_facts.o \
	    $(BUILD)/kernels/host/cuda_pack.o
$(HOST)/backend_cuda.so $(HOST)/comm_nccl.so: $(HOST)/libhost.so $(CORE)
	$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -Wl,-rpath,'$$ORIGIN' -o $@ \
	    $(filter %.o,$^) $(CORE) -L$(HOST) -l:libhost.so $(CORE_LIBS)

$(BUILD)/tests/check_cuda_host: $(HOST)/backend_cuda.so $(HOST)/comm_nccl.so

# Nor libcheck, here as there.
$(BUILD)/tests/check_cuda.o $(BUILD)/tests/check_cudnn_plans.o: \
	CPPFLAGS += -DCHECK_SMALL

$(BUILD)/tests/check_cuda: $(BUILD)/tests/check_cuda.o $(CORE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS)

ifeq ($(CUDA),1)
ifeq ($(wildcard $(NVCC)),)
$(error CUDA=1, but there is no nvcc; name its folder with CUDA_HOME=DIR)
endif
ifeq ($(wildcard $(CUDNN_HOME)/include/cudnn.h),)
$(error CUDA=1, but there is no cudnn.h; name its folder with CUDNN_HOME=DIR)
endif

CUDA_OBJ = $(CUDA_SRC:kernels/%.cu=$(BUILD)/kernels/cuda/%.o) \
           $(CUDA_C:%.c=$(BUILD)/%.o) $(CUDNN_C:%.c=$(BUILD)/%.o)
CUDA_LIBS = -L$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib -lcudart_static -lrt \
            -Wl,-rpath,$(CUDNN_HOME)/lib:$(CUDNN_HOME)/lib64

# No exceptions: then nothing of libstdc++ is needed.
NVCCFLAGS = -O3 -std=c++17 -I. -Ilib -lineinfo -t 0 \
            -Xcompiler -fPIC,-fno-exceptions,-fno-rtti \
            -Xcompiler -fno-threadsafe-statics,-fvisibility=hidden,-Wall \
            $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$a,code=sm_$a) \
            -gencode arch=compute_$(lastword $(CUDA_ARCH)),code=compute_$(lastword $(CUDA_ARCH))

$(BUILD)/nvcc.flags: FORCE
	$(call KEPT,$(NVCC) $(NVCCFLAGS))

$(BUILD)/kernels/cuda/%.o: kernels/%.cu $(BUILD)/nvcc.flags
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

# The bits of augment_apply(), which rounds each product.
$(BUILD)/kernels/cuda/cuda_turn.o: NVCCFLAGS += -fmad=false

$(BUILD)/lib/backend/gpu.o: CPPFLAGS += -isystem $(CUDA_HOME)/include
$(BUILD)/lib/backend/cudnn_conv.o: CPPFLAGS += \
	-isystem $(CUDNN_HOME)/include -isystem $(CUDA_HOME)/include

PLUGIN_SO += $(PLUGINS)/backend_cuda.so
$(PLUGINS)/backend_cuda.so: $(CUDA_OBJ) $(CORE)
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -o $@ $^ $(CUDA_LIBS) \
	    $(CORE_LIBS)

# Ranks on several GPUs: where NCCL is.
ifneq ($(NCCL_HOME),)
NCCL_LIBS = $(patsubst %,-L$(NCCL_HOME)/%,lib64 lib lib/$(shell $(CC) \
            -print-multiarch)) -Wl,-rpath,$(NCCL_HOME)/lib64:$(NCCL_HOME)/lib \
            -l:libnccl.so.2

$(BUILD)/lib/comm/comm_nccl.o: CPPFLAGS += \
	-isystem $(NCCL_HOME)/include -isystem $(CUDA_HOME)/include
PLUGIN_SO += $(PLUGINS)/comm_nccl.so
$(PLUGINS)/comm_nccl.so: $(BUILD)/lib/comm/comm_nccl.o \
	    $(BUILD)/kernels/cuda/cuda_pack.o $(LIB)
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -o $@ $^ $(NCCL_LIBS) \
	    $(CUDA_LIBS) $(LDLIBS)
endif

$(BUILD)/tests/check_cudnn_plans: $(BUILD)/tests/check_cudnn_plans.o \
	    $(CUDNN_C:%.c=$(BUILD)/%.o) $(CORE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(CUDA_LIBS) $(CORE_LIBS)

# busi-train with nothing but libc: libdeflate's one function is a small file, and
# no picture is decoded.
DEFLATE  := $(shell printf '\043include <libdeflate.h>\n' | \
             $(CC) -E -xc - >/dev/null 2>&1 && echo -ldeflate)
TRAIN     = $(BUILD)/libbusi-train.a
TRAIN_OBJ = $(filter-out $(foreach f,image_file image_png prep,\
            $(BUILD)/lib/data/$f.o),$(LIB_OBJ))
ifeq ($(DEFLATE),)
$(TRAIN_OBJ) $(BUILD)/tests/bench_gpu.o: CPPFLAGS += -Itests/small
endif

$(TRAIN): $(TRAIN_OBJ) pipelines/cuda.mk
	@rm -f $@
	$(AR) rcs $@ $(TRAIN_OBJ)

$(BUILD)/tests/bench_gpu: $(BUILD)/tests/bench_gpu.o $(TRAIN)
	$(CC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS) $(DEFLATE)

$(BUILD)/tests/busi-train: $(BUILD)/cmd/busi-train.o $(TRAIN)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS) $(DEFLATE)

# What a machine with a GPU needs, and no more: a compiler, CUDA, cuDNN.
gpu: $(PLUGINS)/backend_cuda.so $(BUILD)/tests/check_cuda \
	    $(BUILD)/tests/check_cudnn_plans $(BUILD)/tests/bench_gpu \
	    $(BUILD)/tests/busi-train

# What only a GPU can show comes first; PLANS=0 leaves the rest out.
check-gpu: gpu
	BUSI_PLUGINS=$(abspath $(PLUGINS)) $(BUILD)/tests/check_cuda
	[ "$(PLANS)" = 0 ] || $(BUILD)/tests/check_cudnn_plans
	@$(MAKE) --no-print-directory CUDA=1 sanitize-gpu

# Part of check-gpu; minutes, as every access is watched.
sanitize-gpu: gpu
	@[ "$(SANITIZE)" != 0 ] || exit 0; \
	PATH=$$PATH:$(CUDA_HOME)/bin; \
	command -v compute-sanitizer >/dev/null || { \
	    echo "SKIP compute-sanitizer: it is not here"; exit 0; }; \
	for tool in "memcheck --report-api-errors no" racecheck; do \
	    echo "compute-sanitizer $$tool"; \
	    CK_FORK=no BUSI_PLUGINS=$(abspath $(PLUGINS)) \
	        compute-sanitizer --tool $$tool \
	        --target-processes all --error-exitcode 1 \
	        $(BUILD)/tests/check_cuda short || exit 1; \
	done

bench-gpu: gpu
	@BUILD=$(abspath $(BUILD)) BUSI_PLUGINS=$(abspath $(PLUGINS)) \
	    sh pipelines/bench-gpu.sh $(PARTS)

else
gpu check-gpu sanitize-gpu bench-gpu:
	@echo "$@ needs nvcc and cuDNN: name their folders with CUDA_HOME=DIR" \
	    "CUDNN_HOME=DIR" >&2; exit 2

$(BUILD)/tests/check_cudnn_plans:
	@mkdir -p $(@D)
	@printf '#!/bin/sh\necho "built with CUDA=0"\nexit 77\n' >$@
	@chmod +x $@
endif

.PHONY: gpu check-gpu sanitize-gpu bench-gpu
