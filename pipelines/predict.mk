# Score a folder of scans; run again, only new scans are scored, and those tried
# again that could not be.
#
#   make predict MODEL=model.safetensors IN=DIR OUT=pred.tsv
#   make -f /usr/local/share/busi/predict.mk MODEL=... IN=... OUT=...

MODEL    ?=
IN       ?=
OUT      ?= pred.tsv
ARGS     ?=
BUSI_BIN ?=

# Status 1: some scans could not be read; their rows say why.
predict:
	@test -n "$(MODEL)" -a -n "$(IN)" || \
	    { echo "name a model and a folder: MODEL=FILE IN=DIR" >&2; exit 2; }
	$(BUSI_BIN)busi-predict $(MODEL:%=-m %) --resume "$(OUT)" \
	    $(ARGS) "$(IN)" || [ $$? = 1 ]

.PHONY: predict
