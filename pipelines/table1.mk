# Table 1 of the paper, row by row, and what its protocol hides.
#
#   make BUSI=DIR table1
#
# Every row is trained twice with the paper's settings: `paper` chooses the epoch
# on the test rows and lets near-copies cross folds, as the paper did; `honest`
# chooses it on a validation fold and keeps groups whole.  Rows without
# cross-validation test on fold 0.  Then the default recipe of busi-train, for
# each network, on all folds.  Incremental and resumable, as cv.mk; with -j rows
# train side by side, on GPUs of their own.
#
# GPUS=paper trains every row on as many ranks as the paper had GPUs.

BUSI     ?=
ROWS     ?= $(shell sed 1d $(HERE)/table1.tsv | cut -f1)
RECIPES  ?= resnet18 resnet34 resnet50 mobilenet_v2
EPOCHS   ?= 100
RECIPE_EPOCHS ?= 60
K        ?= 5
SIZE     ?= 224
RESIZE   ?= 256x256
CROP     ?= 256
GPUS     ?= 1
THREADS  ?= 0
ARGS     ?=
OUT      ?= table1
BUSI_BIN ?=

HERE := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

# $(call field,ROW,N): of the paper's table.
field = $(shell awk -v row=$(1) -v n=$(2) '$$1 == row { print $$n }' \
    $(HERE)/table1.tsv)
folds = $(if $(filter yes,$(call field,$(1),5)),,FOLDS=0)
ranks = $(if $(filter paper,$(GPUS)),$(call field,$(1),6),$(GPUS))

CV = $(MAKE) --no-print-directory -f $(HERE)/cv.mk BUSI="$(BUSI)" \
    BUSI_BIN=$(BUSI_BIN) K=$(K) RESIZE=$(RESIZE) CROP=$(CROP) \
    THREADS=$(THREADS)
PAPER = $(CV) MODEL=$(call field,$*,2) BATCH=$(call field,$*,3) \
    EPOCHS=$(EPOCHS) $(call folds,$*) RANKS=$(call ranks,$*)
SETTINGS = --paper --size $(SIZE) --dropout $(call field,$*,4) \
    $(ARGS)

UNKNOWN = $(filter-out $(shell sed 1d $(HERE)/table1.tsv | cut -f1),$(ROWS))
ifneq ($(UNKNOWN),)
$(error ROWS: no such row of the table: $(UNKNOWN))
endif

PARTS = $(ROWS:%=paper/%) $(ROWS:%=honest/%) $(RECIPES:%=recipe/%)

table1: $(PARTS:%=%.made)
	@BUSI_BIN=$(BUSI_BIN) sh $(HERE)/table1.sh $(HERE)/table1.tsv $(OUT) $(PARTS) \
	    >$(OUT)/table1.tsv.new && mv $(OUT)/table1.tsv.new $(OUT)/table1.tsv
	@sh $(HERE)/table1-plot.sh $(OUT) $(ROWS)
	@awk -F'\t' '{ printf "%-24s %-8s %8s %6s %6s | %8s %6s %6s %6s %6s %4s\n", \
	    $$1, $$2, $$3, $$4, $$5, $$6, $$7, $$8, $$9, $$10, $$11 }' $(OUT)/table1.tsv

# The dataset and the folds first, once for all rows.
shared-plain shared-grouped: shared-%:
	+@$(CV) WORK=$(OUT)/$* OUT=$(OUT)/$* GROUPED=$(if $(filter plain,$*),0,1) \
	    $(OUT)/$*/data.safetensors $(OUT)/$*/folds.tsv \
	    $(if $(filter-out 0,$(PHANTOMS)),$(OUT)/$*/phantoms.safetensors)

$(ROWS:%=paper/%.made): paper/%.made: shared-plain
	+@$(PAPER) WORK=$(OUT)/plain GROUPED=0 OUT=$(OUT)/paper/$* \
	    ARGS="$(SETTINGS) --select test" $(OUT)/paper/$*/metrics.tsv

$(ROWS:%=honest/%.made): honest/%.made: shared-grouped
	+@$(PAPER) WORK=$(OUT)/grouped GROUPED=1 OUT=$(OUT)/honest/$* \
	    ARGS="$(SETTINGS)" $(OUT)/honest/$*/metrics.tsv

$(RECIPES:%=recipe/%.made): recipe/%.made: shared-grouped
	+@$(CV) WORK=$(OUT)/grouped GROUPED=1 OUT=$(OUT)/recipe/$* MODEL=$* \
	    EPOCHS=$(RECIPE_EPOCHS) ARGS="--size $(SIZE) $(ARGS)" \
	    $(OUT)/recipe/$*/metrics.tsv

.PHONY: table1 $(PARTS:%=%.made) shared-plain shared-grouped
