# How training scales: the same on 1, 2, 4, ... ranks.
#
#   make BUSI=DIR scaling MODEL=resnet18       ranks on the CPU where no GPUs are
#
# Prints and keeps in OUT: images/s (the median epoch after the first), speed-up,
# efficiency, and for each rank the share of computing, input, waiting and
# exchange, with the place to look at first; draws OUT/scaling.svg where gnuplot
# is.  Every rank has THREADS threads: more ranks than cores / THREADS slow each
# other down, and the table says how many cores there are.

BUSI     ?=
MODEL    ?= resnet18
RANKS    ?= 1 2 4
EPOCHS   ?= 4
BATCH    ?= 32
THREADS  ?= 1
DEVICE   ?= auto
ARGS     ?=
OUT      ?= scaling
BUSI_BIN ?=

HERE := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

ifeq ($(filter-out 0 1,$(EPOCHS)),)
$(error EPOCHS=$(EPOCHS): the first epoch is not timed, take 2 or more)
endif

scaling: $(RANKS:%=$(OUT)/%.log)
	@sh $(HERE)/scaling.sh $(OUT) $(RANKS)

# Other settings, other times.
$(OUT)/settings: FORCE
	@mkdir -p $(@D); echo "$(BUSI) $(MODEL) $(EPOCHS) $(BATCH) $(THREADS)" \
	    "$(DEVICE) $(ARGS)" >$@.new; \
	if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
FORCE:

# cv.mk leaves alone what has not changed.
$(OUT)/folds.tsv: $(OUT)/data.safetensors
	@:
$(OUT)/data.safetensors: FORCE
	@$(MAKE) --no-print-directory -f $(HERE)/cv.mk BUSI="$(BUSI)" \
	    BUSI_BIN=$(BUSI_BIN) OUT=$(OUT) $(OUT)/data.safetensors \
	    $(OUT)/folds.tsv

# One after the other, also with -j: they are to be timed.
.NOTPARALLEL:
$(OUT)/%.log: $(OUT)/data.safetensors $(OUT)/folds.tsv $(OUT)/settings \
    $(foreach f,$(wildcard $(MODEL)),$(if $(wildcard $f/.),,$f))
	$(BUSI_BIN)busi-train -d $(OUT)/data.safetensors -f $(OUT)/folds.tsv \
	    -m $(MODEL) -e $(EPOCHS) -b $(BATCH) --ranks $* \
	    --threads $(THREADS) --device $(DEVICE) --schedule constant \
	    --no-calibrate $(ARGS) --profile --log $(OUT)/$*.tsv \
	    -o $(OUT)/$*.safetensors 2>$@.new || { cat $@.new >&2; exit 1; }
	@rm -f $(OUT)/$*.safetensors $(OUT)/$*.state.safetensors*
	@mv $@.new $@

.PHONY: scaling FORCE
.SECONDARY:
