"""What EL9 would bring: empty packages with EL9's names, each in the repository where EL9 has
it, with about the version that EL9 began with.  A library's package offers each soname that
the suite's packages ask for; a soname that no name here is known for is an error, since a
person would hear "nothing provides" from dnf."""

import os
import re
import subprocess

# What any host has: the name and the version that stand in for it, and the repository.
BASE = {
    "bash": ("5.1.8", "baseos"), "glibc": ("2.34", "baseos"), "libgcc": ("11.2.1", "baseos"),
    "systemd": ("252", "baseos"), "systemd-libs": ("252", "baseos"),
    "util-linux": ("2.37.4", "baseos"), "shadow-utils": ("4.9", "baseos"),
    "openssl-libs": ("3.0.1", "baseos"),
    "libcurl": ("7.76.1", "baseos"), "sqlite-libs": ("3.34.1", "baseos"),
    "pcre2": ("10.37", "baseos"), "libxcrypt": ("4.4.18", "baseos"),
    "zlib": ("1.2.11", "baseos"),
}
# What comes along with the suite, where a host has not got it yet.
ADDED = {
    "libevent": ("2.1.12", "baseos"), "libyaml": ("0.2.5", "baseos"),
    "jansson": ("2.14", "baseos"), "ldns": ("1.7.1", "appstream"),
}
# What a host with SELinux has beside it.
SELINUX = {
    "policycoreutils": ("3.3", "baseos"), "libselinux-utils": ("3.3", "baseos"),
    "policycoreutils-python-utils": ("3.3", "appstream"),
    "selinux-policy": ("34.1.29", "baseos"), "selinux-policy-targeted": ("34.1.29", "baseos"),
}
# What builds programs, and packages of them.
PACKAGING = {"systemd-rpm-macros", "selinux-policy-devel"}
DEVEL = {
    "gcc": ("11.2.1", "appstream"), "make": ("4.3", "baseos"),
    "pkgconf-pkg-config": ("1.7.3", "baseos"), "python3": ("3.9.10", "baseos"),
    "systemd-rpm-macros": ("252", "baseos"), "libcurl-devel": ("7.76.1", "appstream"),
    "libevent-devel": ("2.1.12", "appstream"), "libxcrypt-devel": ("4.4.18", "appstream"),
    "openssl-devel": ("3.0.1", "appstream"), "pcre2-devel": ("10.37", "appstream"),
    "sqlite-devel": ("3.34.1", "appstream"), "systemd-devel": ("252", "appstream"),
    "zlib-devel": ("1.2.11", "appstream"),
    "selinux-policy-devel": ("34.1.29", "appstream"), "jansson-devel": ("2.14", "crb"),
    "ldns-devel": ("1.7.1", "crb"), "libyaml-devel": ("0.2.5", "crb"),
}
# What the compiler brings.
BESIDES = {"glibc-devel": ("2.34", "appstream")}
ALL = {**BASE, **ADDED, **SELINUX, **DEVEL, **BESIDES}
REPOSITORIES = sorted({repository for _, repository in ALL.values()})
# How the sonames of a package begin.
SONAMES = {
    "glibc": ("ld-linux", "libc.so.", "libm.so.", "rtld("), "libgcc": ("libgcc_s.",),
    "libevent": ("libevent",), "libyaml": ("libyaml-",), "jansson": ("libjansson.",),
    "ldns": ("libldns.",),
    "openssl-libs": ("libcrypto.", "libssl."), "libcurl": ("libcurl.",),
    "sqlite-libs": ("libsqlite3.",), "systemd-libs": ("libsystemd.",),
    "pcre2": ("libpcre2-",), "libxcrypt": ("libcrypt.",), "zlib": ("libz.",),
}


def sonames_of(packages):
    """What a program's or a library's needs became in the packages: libz.so.1()(64bit)."""
    out = subprocess.run(["rpm", "-qp", "--requires", *packages], capture_output=True, text=True,
                         check=True).stdout.splitlines()
    return sorted({x.strip() for x in out if re.match(r"\S+\.so\.|rtld\(", x)})


def owner(soname):
    """The package of EL9 that a soname comes from."""
    found = [name for name, begins in SONAMES.items() if soname.startswith(begins)]
    assert len(found) == 1, f"which package of EL9 has {soname}? {found}"
    return found[0]


def spec(sonames):
    offers = {}
    for soname in sonames:
        offers.setdefault(owner(soname), []).append(soname)
    offers["bash"] = ["/bin/sh", "/usr/bin/sh", "/bin/bash", "/usr/bin/bash"]
    offers["systemd"] = ["pkgconfig(systemd)"]
    offers["selinux-policy-targeted"] = [
        f"selinux-policy-base = {ALL['selinux-policy-targeted'][0]}"]
    lines = ["Name: el9", "Version: 9", "Release: 1", "Summary: Stand-ins", "License: none",
             "%description", "Stand-ins."]
    for name, (version, _) in ALL.items():
        lines += [f"%package -n {name}", f"Version: {version}", "Summary: Stand-in"]
        lines += [f"Provides: {x}" for x in offers.get(name, ())]
        lines += [f"%description -n {name}", "Stand-in.", f"%files -n {name}"]
    return "\n".join(lines) + "\n"


def build(folder, packages):
    """Builds the stand-ins for what packages need; {repository: files}."""
    path = os.path.join(folder, "el9.spec")
    with open(path, "w", encoding="ascii") as f:
        f.write(spec(sonames_of(packages)))
    subprocess.run(["rpmbuild", "-bb", "--quiet", "--target", os.uname().machine, "--define",
                    f"_topdir {folder}", path], stdin=subprocess.DEVNULL, capture_output=True,
                   check=True, timeout=120)
    made = {repository: [] for repository in REPOSITORIES}
    for where, _, names in os.walk(os.path.join(folder, "RPMS")):
        for name in names:
            made[ALL[name.rsplit("-", 2)[0]][1]].append(os.path.join(where, name))
    assert sum(map(len, made.values())) == len(ALL)
    return made
