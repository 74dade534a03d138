# make demo: the whole spine on phantoms, each command shown as it is run.

DEMO  = $(BUILD)/demo
DEMO_FOLDS = 0 1 2 3 4

demo: deps
	@$(MAKE) --no-print-directory -s -j$$(nproc) all
	@rm -rf $(DEMO)
	@mkdir -p $(DEMO)
	@PATH="$(abspath $(BIN)):$$PATH" BUILD=$(abspath $(BUILD)) \
	    sh pipelines/demo.sh $(DEMO)
