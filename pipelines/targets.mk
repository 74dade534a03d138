# Targets that hand over to a pipeline with the programs just built.

SETTINGS = BUSI_BIN=$(BIN)/
PIPELINE = $(MAKE) --no-print-directory $(SETTINGS)

cv: deps
	@$(MAKE) --no-print-directory -s all
	@$(PIPELINE) -f pipelines/cv.mk \
	    OUT=$(or $(OUT),$(BUILD)/cv/$(notdir $(or $(MODEL),resnet18)))

table1: deps
	@$(MAKE) --no-print-directory -s all
	@$(PIPELINE) -f pipelines/table1.mk \
	    OUT=$(or $(OUT),$(BUILD)/table1)

scaling: deps
	@$(MAKE) --no-print-directory -s all
	@$(PIPELINE) -f pipelines/scaling.mk \
	    OUT=$(or $(OUT),$(BUILD)/scaling/$(notdir $(or $(MODEL),resnet18)))

predict: deps
	@$(MAKE) --no-print-directory -s all
	@$(PIPELINE) -f pipelines/predict.mk

help:
	@sed -n 's/^#| \{0,1\}//p' pipelines/targets.mk

.PHONY: cv table1 scaling predict

#| make                   build the programs, into build/bin
#| make demo              everything on built-in phantoms, to a table
#| make check             every test (installs what is missing)
#| make BUSI=DIR cv       grouped cross-validation on a folder of scans
#|     MODEL=resnet18 EPOCHS=60 BATCH=32 K=5 SEED=1 RESIZE=256x256 CROP=256
#|     THREADS=0 ARGS="..." (more options of busi-train) OUT=build/cv/MODEL
#|     PHANTOMS=3200 (train on so many drawn scans first)
#|     MEMBERS=3 (networks a fold, from other seeds) TTA=8 (views of a scan)
#|     with -j a fold per GPU: DEVICES="0 1 2 3" RANKS=1 (GPUs for each)
#| make BUSI=DIR table1   the paper's Table 1 beside ours
#|     EPOCHS=100 SIZE=224 ROWS="..." GPUS=1|paper OUT=build/table1
#|     RECIPES="..." RECIPE_EPOCHS=60 (networks by our recipe, beside it)
#| make BUSI=DIR scaling  the same training on RANKS="1 2 4", and where time goes
#| make BUSI=DIR slowdown what a run like the paper's pays besides computing
#| make predict MODEL=FILE IN=DIR OUT=pred.tsv
#|                        score a folder; again: only what is new
#| make bench             ours against the peers, in turn (BUSI=DIR for scans)
#|     BENCH_PARTS="machine networks batches onnx ranks busy programs" BENCH_NETS=...
#| make parity            our numbers against PyTorch's (makes a Python for it)
#| CUDA=0|1               the GPU plugin (default: 1 where nvcc and cuDNN are);
#|     CUDA_HOME=DIR CUDNN_HOME=DIR NCCL_HOME=DIR PYTHON=python3
#|     CUDA_ARCH="80 86 89 90 100"
#| make check-gpu         the GPU's tests; needs a compiler, CUDA, cuDNN alone
#| make bench-gpu         whole steps beside PyTorch's (PEERS_PYTHON=python3),
#|     100 epochs, five folds of four networks: PARTS="steps epochs folds"
#|     NETS="resnet18 ..." BATCHES="64 128" STEPS_MOST=240 EPOCHS_MOST=180
#|     FOLDS_MOST=280 (seconds)
#| sh pipelines/gpu.sh DIR [trainings|sanitize]
#|                        build, check and time on a GPU, logs into DIR
#| make fuzz              every parser under libFuzzer (clang): FUZZ_SECONDS=60
#| make sanitize          ASan, UBSan, TSan, valgrind (long); make analyze reads
#| make torture           crashes, full disks, killed and resumed runs (long)
#| make install           PREFIX=/usr/local DESTDIR=; make uninstall
#| make deb               a Debian package in build/ (needs dpkg-dev)
#| make check-deb         the same tried in a bare root (root, debootstrap)
#| make clean             remove build/
#| make deps              install missing Debian packages (root or sudo)
#| make t-strip           one test; make check_graph: one unit test
