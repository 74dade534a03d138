# Installing: programs, plugins, man pages, completions of shells, the library.
#
#   DESTDIR        put in front of every path, for packages
#   PREFIX         /usr/local
#   BASHDIR, ZSHDIR, FISHDIR    where shells look for completions
#
# Programs find their plugins in ../lib/busi from where they lie, so that the
# whole may be moved.

BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
VERSION := $(shell sed -n 's/^.define BUSI_VERSION "\(.*\)"/\1/p' \
           lib/base/version.h)

D        = $(DESTDIR)$(PREFIX)
NAMES    = $(notdir $(PROGRAMS))
# But for those that need the kernels' as well.
HEADERS  = $(filter-out $(addprefix lib/backend/,units.h cpu_conv.h cpu_dnnl.h \
           cpu_flat.h cuda_units.h cuda_copy.h),$(wildcard $(LAYERS:%=lib/%/*.h)))
MANPAGES = $(wildcard man/*.[157])
PIPES    = pipelines/cv.mk pipelines/predict.mk pipelines/on-gpu.sh \
           $(wildcard pipelines/table1*)

install: all install-completions
	install -d $D/bin $D/lib/busi $D/share/busi/examples
	install $(PROGRAMS) $D/bin
	install -m 644 $(PLUGIN_SO) $D/lib/busi
	install -m 644 $(PIPES) $D/share/busi
	install -m 644 $(wildcard examples/*) $D/share/busi/examples
	for f in $(MANPAGES); do \
	    install -D -m 644 $$f $D/share/man/man$${f##*.}/$${f##*/} || exit; \
	done
	for f in $(HEADERS:lib/%=%); do \
	    install -D -m 644 lib/$$f $D/include/busi/$$f || exit; \
	done
	install -m 644 $(LIB) $D/lib
	install -d $D/lib/pkgconfig
	printf '%s\n' 'prefix=$(PREFIX)' '' 'Name: busi' \
	    'Description: breast-ultrasound scans to tested classifiers' \
	    'Version: $(VERSION)' \
	    'Cflags: -I$${prefix}/include/busi' \
	    'Libs: -L$${prefix}/lib -lbusi $(LDLIBS)' \
	    >$D/lib/pkgconfig/busi.pc
	chmod 644 $D/lib/pkgconfig/busi.pc

install-completions: $(PROGRAMS)
	install -d $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	for p in $(NAMES); do \
	    $(BIN)/$$p --completion bash >$(DESTDIR)$(BASHDIR)/$$p && \
	    $(BIN)/$$p --completion zsh >$(DESTDIR)$(ZSHDIR)/_$$p && \
	    $(BIN)/$$p --completion fish >$(DESTDIR)$(FISHDIR)/$$p.fish && \
	    chmod 644 $(DESTDIR)$(BASHDIR)/$$p $(DESTDIR)$(ZSHDIR)/_$$p \
	        $(DESTDIR)$(FISHDIR)/$$p.fish || exit; \
	done

uninstall:
	rm -f $(NAMES:%=$D/bin/%) $(MANPAGES:man/%=$D/share/man/man?/%) \
	    $(NAMES:%=$(DESTDIR)$(BASHDIR)/%) \
	    $(NAMES:%=$(DESTDIR)$(ZSHDIR)/_%) \
	    $(NAMES:%=$(DESTDIR)$(FISHDIR)/%.fish) \
	    $D/lib/libbusi.a $D/lib/pkgconfig/busi.pc
	rm -rf $D/lib/busi $D/share/busi $D/include/busi

# A binary package of what is built here, for the release built on.
deb: all
	rm -rf $(BUILD)/deb
	@$(MAKE) --no-print-directory install DESTDIR=$(abspath $(BUILD))/deb \
	    PREFIX=/usr ZSHDIR=/usr/share/zsh/vendor-completions
	install -D -m 644 LICENSE $(BUILD)/deb/usr/share/doc/busi/copyright
	sh pipelines/deb.sh $(BUILD)/deb $(VERSION) $(BUILD)

# The package in a bare root (root, debootstrap and a mirror are needed).
check-deb: deb
	sh pipelines/check-deb.sh \
	    $(BUILD)/busi_$(VERSION)_$$(dpkg --print-architecture).deb \
	    $(BUILD)/bare

.PHONY: install install-completions uninstall deb check-deb
