# okd-bastion: the daemons of a bare-metal OKD bastion.  `make help` prints this block.
#
#   make                 build every program into build/release/
#   make check           unit, golden, corpus and integration tests (STAGES="unit golden")
#   make asan tsan       the same tests under ASan+UBSan or TSan (build/asan/, ...)
#   make cov             the same with coverage; the report goes to build/cov/report
#   make check-long      also what takes longer than a landing may, the soak, all under TSan
#   make check-kube      okd-csrd against a real kube-apiserver, which this builds
#   make conformance     okd-regd against the OCI suite, counted; skipped without Go 1.24
#   make system          the packages under a booted systemd (root)
#   make fuzz            libFuzzer on every target (FUZZ_SECONDS=600, TARGET=name)
#   make soak            the balancer under a steady load (SOAK_SECONDS=300, hours by hand)
#   make bench           beside the replaced programs (make bench-dnsd for one)
#   make lint            formatting, headers, static analysis
#   make format          let clang-format decide
#   make install         DESTDIR=, PREFIX=, SBINDIR=, LIBDIR= honoured
#   make rpm deb         the packages, into build/packages/
#   make V=1             show the commands
#
VERSION  := 0.1.0
DAEMONS  := $(patsubst %/main.c,%,$(wildcard dnsd/main.c lbd/main.c regd/main.c ignd/main.c csrd/main.c))
CLI      := $(patsubst %/main.c,%,$(wildcard okdctl/main.c))
PROGRAMS := $(DAEMONS:%=okd-%) $(CLI)
PARTS    := $(DAEMONS) $(CLI)
VARIANT  ?= release
BUILD    := build/$(VARIANT)

PREFIX     ?= /usr
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBDIR     ?= $(PREFIX)/lib
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/okd-bastion
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
CATALOGDIR ?= $(PREFIX)/lib/systemd/catalog
SYSCTLDIR  ?= $(PREFIX)/lib/sysctl.d
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions
FIREWALLDIR ?= $(PREFIX)/lib/firewalld/services
LIBEXECDIR ?= $(PREFIX)/libexec
PRIVLIBDIR := $(LIBDIR)/okd-bastion

PYTHON   ?= /usr/bin/python3
CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wformat=2 -Wvla -Wundef -Wno-unused-parameter
ifeq ($(VARIANT),fuzz)
CC       := $(shell command -v clang-14 || command -v clang)
endif
HARDEN   := -fPIC -fstack-protector-strong $(if $(filter x86_64,$(shell uname -m)),-fcf-protection=full) -D_FORTIFY_SOURCE=2
var_release := $(HARDEN)
var_asan := -fPIC -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
var_tsan := -fPIC -O1 -fsanitize=thread
var_cov  := -fPIC -O0 --coverage
var_fuzz := -fPIC -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
cflags    = -std=gnu17 -D_GNU_SOURCE -DOKD_VERSION='"$(VERSION)"' -I. $(WARN) $(PKG_CFLAGS) $(CFLAGS) $(var_$(VARIANT)) $(EXTRA_CFLAGS)
ldflags   = $(LDFLAGS) $(var_$(VARIANT)) -Wl,--as-needed -Wl,-z,relro,-z,now -pthread
exe       = $(if $(filter release,$(VARIANT)),-pie)

# What each part links; everything links the library.
PKGS_common := libevent_core libsystemd yaml-0.1 jansson openssl libcurl sqlite3
PKGS_dnsd   := libevent_core ldns libpcre2-8 sqlite3 jansson
PKGS_lbd    := libevent_core jansson
PKGS_regd   := libevent_core sqlite3 jansson libcrypt zlib
PKGS_ignd   := libevent_core sqlite3 jansson zlib
PKGS_csrd   := libevent_core sqlite3 jansson openssl
PKGS_okdctl := libevent_core jansson libcrypt zlib
# okdctl judges .ign files with okd-ignd's parser: what it uses of that library.
USES_okdctl := ignd
PKG_CFLAGS  := $(shell pkg-config --cflags $(sort $(foreach p,common $(PARTS),$(PKGS_$(p)))))
define pkg_libs
LIBS_$(1) := $$(shell pkg-config --libs $$(PKGS_$(1)))
endef
$(foreach p,common $(PARTS),$(eval $(call pkg_libs,$(p))))

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $@;)

obj   = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out $(1)/main.c,$(wildcard $(1)/*.c)))
unit  = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/$(1)/test_*.c))
fuzz  = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/$(1)/fuzz_*.c))
tool  = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/$(1)/*.c))
UNITS := $(foreach p,common $(PARTS),$(call unit,$(p)))
FUZZ  := $(foreach p,common $(PARTS),$(call fuzz,$(p)))
TOOLS := $(foreach p,common $(PARTS),$(call tool,$(p)))
SO    := libokdcommon.so.$(VERSION)

all: $(PROGRAMS:%=$(BUILD)/%)
tests: all $(UNITS) $(FUZZ) $(TOOLS)

# Objects are rebuilt when the flags change, archives when the list of sources does.
define stamp
$(BUILD)/$(1): FORCE
	@mkdir -p $$(@D); printf '%s\n' '$$(subst ','\'',$(2))' | cmp -s - $$@ || printf '%s\n' '$$(subst ','\'',$(2))' > $$@
endef
$(eval $(call stamp,.flags,$$(CC) $$(cflags) $$(ldflags)))
$(foreach p,common $(PARTS),$(eval $(call stamp,.sources-$(p),$(wildcard $(p)/*.c))))

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(cflags) -MMD -MP -c -o $@ $<

$(BUILD)/$(SO): $(call obj,common) $(BUILD)/.sources-common
	$(call say,LD)$(CC) $(ldflags) -shared -Wl,-soname,$(SO) -o $@ $(filter %.o,$^) $(LIBS_common) -lm
	$(Q)ln -sf $(SO) $(BUILD)/libokdcommon.so

# The archives that a part is linked from.
libs = $(if $(filter common,$(1)),,$(BUILD)/lib$(1).a $(USES_$(1):%=$(BUILD)/lib%.a))
# $(1) a part, $(2) where the library lies at run time
link = $(CC) $(ldflags) $(exe) -Wl,-rpath,'$(2)' -o $@ $(filter %.o %.a,$^) -L$(BUILD) -lokdcommon $(LIBS_$(1)) -lm $(call libs_extra,$@)
define part
$(BUILD)/lib$(1).a: $(call obj,$(1)) $(BUILD)/.sources-$(1)
	$$(call say,AR)rm -f $$@; $$(AR) rcs $$@ $$(filter %.o,$$^)
$(BUILD)/$(2) $(BUILD)/install/$(2): $(BUILD)/obj/$(1)/main.o $(call libs,$(1)) $(BUILD)/$(SO)
	@mkdir -p $$(@D)
	$$(call say,LD)$$(call link,$(1),$$(if $$(findstring /install/,$$@),$(PRIVLIBDIR),$$$$ORIGIN))
endef
$(foreach d,$(DAEMONS),$(eval $(call part,$(d),okd-$(d))))
$(foreach d,$(CLI),$(eval $(call part,$(d),$(d))))

# tests/{unit,fuzz,tools}/<part>/x.c links the part's library: the folder is the dependency.
# A fuzz target is a libFuzzer program in the fuzz variant and replays its corpus elsewhere.
driver := $(if $(filter fuzz,$(VARIANT)),,$(BUILD)/obj/tests/fuzz/replay.o)
libs_extra = $(if $(filter fuzz,$(VARIANT)),$(if $(findstring /tests/fuzz/,$(1)),-fsanitize=fuzzer))
define testprograms
$(call unit,$(1)) $(call tool,$(1)): $(BUILD)/%: $(BUILD)/obj/%.o $(call libs,$(1)) $(BUILD)/$(SO)
	@mkdir -p $$(@D)
	$$(call say,LD)$$(call link,$(1),$(abspath $(BUILD)))
$(call fuzz,$(1)): $(BUILD)/%: $(BUILD)/obj/%.o $(driver) $(call libs,$(1)) $(BUILD)/$(SO)
	@mkdir -p $$(@D)
	$$(call say,LD)$$(call link,$(1),$(abspath $(BUILD)))
endef
$(foreach p,common $(PARTS),$(eval $(call testprograms,$(p))))

check: tests
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/check.py $(CHECK_ARGS) $(STAGES)
asan tsan:
	$(Q)$(MAKE) VARIANT=$@ check
cov:
	$(Q)find build/cov -name '*.gcda' -delete 2>/dev/null; \
	$(MAKE) VARIANT=cov check; status=$$?; tests/coverage.sh build/cov && exit $$status
check-long: tests
	$(Q)status=0; \
	BUILD=$(BUILD) $(PYTHON) tests/check.py --long $(CHECK_ARGS) $(STAGES) || status=1; \
	$(MAKE) soak || status=1; \
	$(MAKE) VARIANT=tsan check || status=1; \
	BUILD=build/system $(PYTHON) tests/check.py --long $(CHECK_ARGS) system || status=1; \
	exit $$status
check-kube: tests
	$(Q)tests/kube/build.sh build/kube; \
	OKD_KUBE=$(CURDIR)/build/kube/bin BUILD=$(BUILD) $(PYTHON) tests/check.py -k "test_csrd and not ten_thousand" integration
conformance: $(BUILD)/okd-regd
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/check.py $(CHECK_ARGS) -k test_regd_conformance integration
system:
	$(Q)BUILD=build/system $(PYTHON) tests/check.py $(CHECK_ARGS) system
fuzz:
	$(Q)$(MAKE) VARIANT=fuzz tests
	$(Q)tests/fuzz/run.sh build/fuzz $(TARGET)
soak: $(BUILD)/okd-lbd $(BUILD)/tests/tools/lbd/lbdload
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/bench/soak_lbd.py --seconds $(or $(SOAK_SECONDS),300)
bench: $(patsubst tests/bench/bench_%.py,bench-%,$(wildcard tests/bench/bench_*.py))
bench-%: tests
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/bench/bench_$*.py $(BENCH_ARGS)
lint format:
	$(Q)tests/lint.sh $@

include packaging/install.mk

clean:
	$(Q)rm -rf build
help:
	@sed -ne '/^[^#]/q;s/^# \{0,1\}//p' Makefile
# for scripts: the value of a variable
print-%:
	@printf '%s\n' '$(subst ','\'',$($*))'
FORCE:
.PHONY: all tests check asan tsan cov check-long check-kube conformance system fuzz soak bench lint format install clean help FORCE
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
