# make install: programs linked against the library's final place, units, manuals.
# make rpm, make deb: the packages, into PACKAGEDIR/VERSION/.
MAN8 := $(wildcard $(foreach p,$(PARTS),$(p)/*.8))
MAN5 := $(wildcard $(foreach p,common $(PARTS),$(p)/*.5))
MAN1 := $(wildcard okdctl/*.1)
UNITFILES := $(wildcard systemd/*.service systemd/*.socket systemd/*.target systemd/*.path)
FIREWALL  := $(wildcard $(DAEMONS:%=packaging/firewalld/okd-%.xml))
MONITORING := $(filter-out %.test.yaml,$(wildcard packaging/monitoring/*))
EXAMPLES  := $(sort $(shell find examples -type f))

install: $(PROGRAMS:%=$(BUILD)/install/%)
	$(Q)install -D -m 0755 $(BUILD)/$(SO) $(DESTDIR)$(PRIVLIBDIR)/$(SO)
	$(Q)set -e; for p in $(DAEMONS:%=okd-%); do install -D -m 0755 $(BUILD)/install/$$p $(DESTDIR)$(SBINDIR)/$$p; done
	$(Q)set -e; for p in $(CLI); do install -D -m 0755 $(BUILD)/install/$$p $(DESTDIR)$(BINDIR)/$$p; done
	$(Q)install -D -m 0755 packaging/upgrade.sh $(DESTDIR)$(LIBEXECDIR)/okd-bastion/upgrade
	$(Q)set -e; for f in $(UNITFILES); do install -D -m 0644 $$f $(DESTDIR)$(UNITDIR)/$${f##*/}; done
	$(Q)set -e; for f in $(wildcard systemd/*.sysusers); do b=$${f##*/}; install -D -m 0644 $$f $(DESTDIR)$(SYSUSERSDIR)/$${b%.sysusers}.conf; done
	$(Q)set -e; for f in $(wildcard systemd/*.tmpfiles); do b=$${f##*/}; install -D -m 0644 $$f $(DESTDIR)$(TMPFILESDIR)/$${b%.tmpfiles}.conf; done
	$(Q)set -e; for f in $(wildcard systemd/*.sysctl); do b=$${f##*/}; install -D -m 0644 $$f $(DESTDIR)$(SYSCTLDIR)/50-$${b%.sysctl}.conf; done
	$(Q)set -e; for f in $(wildcard systemd/*.catalog); do install -D -m 0644 $$f $(DESTDIR)$(CATALOGDIR)/$${f##*/}; done
	$(Q)set -e; for f in $(FIREWALL); do install -D -m 0644 $$f $(DESTDIR)$(FIREWALLDIR)/$${f##*/}; done
	$(Q)set -e; for f in $(EXAMPLES); do install -D -m 0644 $$f $(DESTDIR)$(DOCDIR)/$$f; done
	$(Q)set -e; for f in $(MONITORING); do install -D -m 0644 $$f $(DESTDIR)$(PREFIX)/share/okd-bastion/monitoring/$${f##*/}; done
	$(Q)set -e; for f in $(MAN1); do install -D -m 0644 $$f $(DESTDIR)$(MANDIR)/man1/$${f##*/}; done
	$(Q)set -e; for f in $(MAN5); do install -D -m 0644 $$f $(DESTDIR)$(MANDIR)/man5/$${f##*/}; done
	$(Q)set -e; for f in $(MAN8); do install -D -m 0644 $$f $(DESTDIR)$(MANDIR)/man8/$${f##*/}; done
	$(Q)set -e; for f in $(wildcard okdctl/completion/*.bash); do b=$${f##*/}; install -D -m 0644 $$f $(DESTDIR)$(BASHCOMPDIR)/$${b%.bash}; done
	$(Q)set -e; for f in $(wildcard okdctl/completion/_*); do install -D -m 0644 $$f $(DESTDIR)$(ZSHCOMPDIR)/$${f##*/}; done

PACKAGEDIR ?= build/packages
# PACKAGE_ARGS go to rpmbuild or dpkg-buildpackage.
rpm deb:
	$(Q)PACKAGEDIR=$(PACKAGEDIR) packaging/build.sh $@ $(VERSION) '$(DAEMONS)' '$(CLI)' $(PACKAGE_ARGS)
.PHONY: rpm deb
