# Grouped k-fold cross-validation of one configuration.
#
#   make BUSI=DIR cv MODEL=resnet18                     in the source tree
#   make -f /usr/local/share/busi/cv.mk BUSI=DIR        installed
#
# Incremental: a table is replaced only when its content changes, so a changed
# scan makes the dataset and what was trained on it anew, and nothing changed
# makes nothing.  (A change taken back is one more change, and so is another
# path of the same folder.)  Masks, whose area the report has, count by name,
# size and time.  An interrupted training goes on where it was.  With -j folds
# train side by side: on CPUs give THREADS= each; where there are GPUs, each fold
# takes RANKS of them for itself and others wait (on-gpu.sh; DEVICES="0 1" are
# all that may be taken), so `make -j4` keeps four busy.
#
# PHANTOMS=3200 trains on so many drawn scans first, and every fold starts from
# what that taught (their size is that of the scans, their start the same for all
# folds: no real scan is in it).  PHANTOMS=0, the default, starts from scratch.
#
# MEMBERS=3 trains three networks a fold, from other seeds, whose probabilities
# are averaged; TTA=8 averages over eight views of a scan as well.
#
# WORK holds the tables and the dataset, and may serve several OUTs, once it is
# made; GROUPED=0 lets near-copies cross folds; FOLDS="0 1" trains these alone.

BUSI     ?=
MODEL    ?= resnet18
K        ?= 5
SEED     ?= 1
RESIZE   ?= 256x256
CROP     ?= 256
CHANNELS ?= 1
EPOCHS   ?= 60
BATCH    ?= 32
THREADS  ?= 0
ARGS     ?=
OUT      ?= cv/$(notdir $(MODEL))
WORK     ?= $(OUT)
GROUPED  ?= 1
PHANTOMS ?= 0
MEMBERS  ?= 1
TTA      ?= 1
FOLDS    ?= $(shell seq 0 $$(($(K) - 1)))
RANKS    ?= 1
BUSI_BIN ?=

ifeq ($(BUSI),)
$(error name a folder: BUSI=DIR)
endif
$(foreach v,OUT WORK,$(if $(word 2,$($v)),$(error $v=$($v): make cannot \
    have blanks in names of what it makes)))

HERE := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
GPUS_FOR = sh $(HERE)/on-gpu.sh

PREDS = $(FOLDS:%=$(OUT)/pred-%.tsv)

# The networks of a fold: fold-0, then fold-0.2, fold-0.3, ...
MODELS = $(OUT)/fold-%.safetensors $(foreach k,$(shell seq 2 $(MEMBERS)),\
    $(OUT)/fold-%.$(k).safetensors)
fold   = $(basename $*)
seed   = $(shell echo $$(($(SEED) - 1 + $(or $(subst .,,$(suffix $*)),1))))
SCORE  = $(GPUS_FOR) 1 $(BUSI_BIN)busi-predict \
    $(patsubst %,-m %,$(filter %.safetensors,$^)) --tta $(TTA) \
    -d $(WORK)/data.safetensors -f $(WORK)/folds.tsv --threads $(THREADS)

# $(call if-changed,COMMAND): its stdout becomes the target, if it differs.  Others
# may make the same target at the same time: what a dead one left is removed.
define if-changed
@mkdir -p $(@D); for f in $@.*.new; do old=$${f%.new}; \
    kill -0 "$${old##*.}" 2>/dev/null || rm -f "$$f"; done; new=$@.$$$$.new; trap 'rm -f $$new; exit 1' HUP INT TERM; \
$(1) >$$new || { rm -f $$new; exit 1; }; \
cmp -s $$new $@ && rm $$new || mv $$new $@
endef

cv: $(OUT)/metrics.tsv $(OUT)/report.html
	@awk -F'\t' 'NR == 1 { one = $$NF != "fold" } \
	    one || $$NF == "fold" || $$NF == "pooled" { \
	    printf "%-18s %-22s %10s %10s %10s %6s\n", \
	        $$1, $$2, $$3, $$4, $$5, $$6 }' $<
	@echo "all rows: $<, with diagrams: $(OUT)/report.html"

$(WORK)/scans.tsv: FORCE
	$(call if-changed,$(BUSI_BIN)busi-strip "$(BUSI)")

$(WORK)/prep.settings: FORCE
	$(call if-changed,echo "$(RESIZE) $(CROP) $(CHANNELS)")

# The file after --init in ARGS; MODEL is a file or a network's name.  By their
# bytes: another file may bring its own, older date.
INIT     = $(shell echo " $(ARGS)" | sed -n 's/.* --init[= ] *\([^ ]*\).*/\1/p')
files    = $(foreach f,$(wildcard $(1)),$(if $(wildcard $f/.),,$f))
sum_of   = $(patsubst %, of bytes $$(cat % | cksum),$(call files,$(1)))
# WORK by its place beside OUT, so that both may move.
PLACE    = $(patsubst %, in %,$(filter-out .,$(shell \
    realpath -m --relative-to="$(OUT)" "$(WORK)")))

$(OUT)/train.settings: FORCE
	$(call if-changed,echo "$(MODEL) $(EPOCHS) $(BATCH) $(SEED) $(RANKS)" \
	    "$(filter-out 0,$(PHANTOMS)) $(ARGS)$(PLACE)$(call sum_of,$(MODEL) $(INIT))")

# What the start from phantoms takes over from ARGS.
START_ARGS = $(shell echo "$(ARGS)" | grep -oE -e \
    '--(size|device|dtype)[= ] *[^ ]+|--deterministic')

# A state that is older than what it was made from is of another run.
define no-stale
@for s in $(1).state.safetensors $(1).state.safetensors.old; do \
    for f in $^; do \
        [ ! -e $$s ] || [ ! "$$f" -nt $$s ] || rm -f $$s; \
    done; \
done
endef

ifneq ($(filter-out 0,$(PHANTOMS)),)
ifneq ($(INIT),)
$(error PHANTOMS=$(PHANTOMS) and --init $(INIT): only one can be the start)
endif
START = $(OUT)/start.safetensors
FROM  = --init $(START)
endif

$(WORK)/phantoms.settings: FORCE
	$(call if-changed,echo "$(PHANTOMS)")

$(OUT)/start.settings: FORCE
	$(call if-changed,echo "$(MODEL) $(BATCH) $(SEED) $(RANKS)" \
	    "$(START_ARGS)$(call sum_of,$(MODEL))")

# In BUSI's proportions, seven in sixteen of them benign.
$(WORK)/phantoms.safetensors: $(WORK)/prep.settings $(WORK)/phantoms.settings
	rm -rf $@.scans
	$(BUSI_BIN)busi-phantom -o $@.scans --seed 77 \
	    --benign $$(($(PHANTOMS) * 7 / 16)) \
	    --malignant $$(($(PHANTOMS) * 5 / 16)) \
	    --normal $$(($(PHANTOMS) / 4))
	$(BUSI_BIN)busi-strip $@.scans | $(BUSI_BIN)busi-prep \
	    --resize $(RESIZE) --crop $(CROP) --channels $(CHANNELS) -o $@ -
	rm -rf $@.scans

$(OUT)/start.safetensors: $(WORK)/phantoms.safetensors $(OUT)/start.settings \
    $(call files,$(MODEL))
	$(call no-stale,$(OUT)/start)
	$(GPUS_FOR) $(RANKS) $(BUSI_BIN)busi-train -d $< --fold all -m $(MODEL) \
	    --optimizer adamw --lr 0.001 --weight-decay 0.05 -e 6 --warmup 1 \
	    --ema 0.98 $(START_ARGS) -b $(BATCH) --seed $(SEED) --threads $(THREADS) \
	    --ranks $(RANKS) --resume -o $@

$(WORK)/folds.settings: FORCE
	$(call if-changed,echo "$(K) $(SEED) $(GROUPED)")

$(WORK)/groups.tsv: $(WORK)/scans.tsv
	$(BUSI_BIN)busi-dup -o $@ $<

$(WORK)/folds.tsv: $(WORK)/$(if $(filter 0 no,$(GROUPED)),scans,groups).tsv \
    $(WORK)/folds.settings
	$(BUSI_BIN)busi-split -k $(K) --seed $(SEED) -o $@ $<

$(WORK)/data.safetensors: $(WORK)/scans.tsv $(WORK)/prep.settings
	$(BUSI_BIN)busi-prep --resize $(RESIZE) --crop $(CROP) \
	    --channels $(CHANNELS) -o $@ $<

$(OUT)/fold-%.safetensors: $(WORK)/data.safetensors $(WORK)/folds.tsv \
    $(OUT)/train.settings $(call files,$(MODEL) $(INIT)) $(START)
	$(call no-stale,$(OUT)/fold-$*)
	$(GPUS_FOR) $(RANKS) $(BUSI_BIN)busi-train -d $< -f $(WORK)/folds.tsv --fold $(fold) -m $(MODEL) \
	    -e $(EPOCHS) -b $(BATCH) --seed $(seed) --threads $(THREADS) \
	    --ranks $(RANKS) $(FROM) $(ARGS) --resume --log $(OUT)/fold-$*.tsv -o $@

$(OUT)/score.settings: FORCE
	$(call if-changed,echo "$(MEMBERS) $(TTA)")

$(OUT)/pred-%.tsv: $(MODELS) $(OUT)/score.settings
	$(SCORE) --fold $* -o $@

$(OUT)/metrics.settings: FORCE
	$(call if-changed,echo "$(FOLDS)")

$(OUT)/metrics.tsv: $(PREDS) $(OUT)/metrics.settings
	$(BUSI_BIN)busi-eval -l $(WORK)/folds.tsv -o $@ $(PREDS)

# For the report: thresholds come from validation folds, and where the networks
# looked.
$(OUT)/val-%.tsv: $(MODELS) $(OUT)/score.settings
	$(SCORE) -q --fold $$((($* + 1) % $(K))) --allow-train-rows -o $@

$(WORK)/masks.list: FORCE
	$(call if-changed,find -L "$(BUSI)/" -iname '*_mask*' -printf '%P %s %T@\n' | sort)

$(OUT)/maps-%.tsv: $(MODELS) $(OUT)/score.settings $(WORK)/masks.list \
    $(if $(wildcard $(OUT)/maps/.),,FORCE)
	$(SCORE) --fold $* --cam $(OUT)/maps -o $@

# With two folds or --select none no rows are left to choose thresholds on.
NO_VALS = $(filter 2,$(K))$(shell echo " $(ARGS)" | \
    grep -e ' --sel[ect]*[= ] *none')
VALS = $(if $(NO_VALS),,$(FOLDS:%=$(OUT)/val-%.tsv))

VOTES = $(if $(filter-out 1,$(MEMBERS)), of $(MEMBERS) networks a \
    fold)$(if $(filter-out 1,$(TTA)), over $(TTA) views of a scan)

# Status 1: a page without a log or a picture, which it names.
$(OUT)/report.html: $(OUT)/metrics.tsv $(VALS) \
    $(FOLDS:%=$(OUT)/maps-%.tsv)
	$(BUSI_BIN)busi-report -o $@ -l $(WORK)/folds.tsv --cam $(OUT)/maps \
	    --title "$(notdir $(MODEL)), cross-validation$(VOTES)" \
	    $(FOLDS:%=--log $(OUT)/fold-%.tsv) \
	    $(foreach i,$(FOLDS),$(patsubst %,--model %,$(subst %,$i,$(MODELS)))) \
	    $(VALS:%=--validation %) $(PREDS) || [ $$? = 1 ]

ifneq ($(filter-out 1,$(MEMBERS)),)
ifneq ($(findstring --seed,$(ARGS)),)
$(error members have seeds of their own: give SEED=N, not --seed in ARGS)
endif
endif

FORCE:
.PHONY: cv FORCE
.DELETE_ON_ERROR:
.SECONDARY:
