# make bench: ours and the peers in turn, and their ratios.

BENCH_RUNS ?= 3
BENCH_NETS ?= resnet18 resnet34 resnet50 mobilenet_v2 vgg16
BENCH_PARTS ?= machine networks batches onnx ranks busy programs

bench: all $(BUILD)/tests/bench_net $(BUILD)/tests/bench_machine
	@BUILD=$(abspath $(BUILD)) RUNS=$(BENCH_RUNS) NETS="$(BENCH_NETS)" \
	    PARTS="$(BENCH_PARTS)" BUSI="$(BUSI)" sh pipelines/bench.sh

# The same numbers as PyTorch, torchvision, timm and ONNX Runtime: a table.
parity: all
	@python=$$(BUILD=$(abspath $(BUILD)) sh pipelines/peers.sh) && \
	    PEERS_PYTHON=$$python $(MAKE) --no-print-directory t-torch t-export
	@cat $(BUILD)/parity.txt

# busi-dup on many scans: SCANS="1000 5000 20000" (a few minutes, 4 GB).
scale-dup: all $(BUILD)/tests/plant_dups
	@BUILD=$(abspath $(BUILD)) SCANS="$(SCANS)" sh pipelines/scale-dup.sh

# What a run like the paper's pays besides computing.
slowdown: all $(BUILD)/tests/bench_net
	@[ -n "$(BUSI)" ] || { echo "name a folder: BUSI=DIR" >&2; exit 2; }
	@BUILD=$(abspath $(BUILD)) BUSI="$(BUSI)" NET=$(or $(NET),resnet34) \
	    sh pipelines/slowdown.sh

.PHONY: bench parity scale-dup slowdown
