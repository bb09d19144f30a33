#!/bin/bash
# build.sh rpm|deb VERSION DAEMONS CLI [ARGS...]: builds the packages of the working tree
# into $PACKAGEDIR/VERSION/ (build/packages), for make rpm and make deb.  Two builds in one tree
# give the same bytes: every date is SOURCE_DATE_EPOCH, which is the last commit's when it is
# not set.  Each folder holds what a person installs, and nothing else that ends in .rpm or
# .deb; debug/ and source/ in it hold the rest.  Beside each package lies what is in it and what
# it needs, as SPDX.
set -eu
cd "$(dirname "$0")/.."
top=$PWD
kind=$1 version=$2 daemons=$3 cli=$4
shift 4
name=okd-bastion
out=$(realpath -m "${PACKAGEDIR:-build/packages}")/$version
export LC_ALL=C TZ=UTC
# The package builders call make themselves, with variables of their own.
unset MAKEFLAGS MAKEOVERRIDES MFLAGS BUILD PACKAGEDIR
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y packaging/$name.spec)}"
export SOURCE_DATE_EPOCH

# The sources as a tarball: what git knows or would take in, else what lies here.
files() {
	{ git ls-files -co --exclude-standard 2>/dev/null ||
		find . -type f ! -path './build/*' ! -path './.git/*' | sed 's:^\./::'; } |
		while read -r f; do [ ! -e "$f" ] || printf '%s\n' "$f"; done | sort
}

# Debug symbols and sources are not what somebody wants who installs all that lies here.
sorted_out() { # sorted_out KIND FILE...
	local kind=$1 f to
	shift
	for f; do
		case $f in
		*.src.rpm) to=source ;;
		*-debuginfo-* | *-debugsource-* | *-dbgsym_*) to=debug ;;
		*) to=. ;;
		esac
		mkdir -p "$to"
		mv "$f" "$to"
	done
	find . -name "*.$kind" -exec "$top/packaging/sbom.py" {} +
}

list() {
	find . -name "*.$1" | sed 's:^\./::' | sort
}

tarball() { # tarball FILE
	files | tar -c --no-recursion --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX \
		--mtime="@$SOURCE_DATE_EPOCH" --format=gnu --transform="s:^:$name-$version/:" -T - |
		gzip -n9 > "$1"
}

build_rpm() {
	local tree=$out/rpm macros=() built
	rm -rf "$tree"
	mkdir -p "$tree/SOURCES" "$tree/SPECS"
	tarball "$tree/SOURCES/$name-$version.tar.gz"
	cp systemd/$name.sysusers "$tree/SOURCES"
	cp packaging/$name.spec "$tree/SPECS"
	# The source package must name the same list wherever it is built again.
	sed -i -e "s/^\(%{!?okd_daemons: %global okd_daemons\) .*}/\1 $daemons}/" \
		-e "s/^\(%{!?okd_cli: %global okd_cli\) .*}/\1 ${cli:-%{nil\}}}/" \
		-e "s/^\(%{!?okd_version: %global okd_version\) .*}/\1 $version}/" "$tree/SPECS/$name.spec"
	# Another distribution's rpmbuild lacks EL's macros and does not know its packages.
	if [ -z "$(rpm --eval '%{?_unitdir}')" ]; then
		macros=(--load="$top/tests/system/rpm.macros" --nodeps)
	fi
	rpmbuild -ba --quiet ${macros[@]+"${macros[@]}"} --define "_topdir $tree" \
		--define "use_source_date_epoch_as_buildtime 1" \
		--define "clamp_mtime_to_source_date_epoch 1" \
		--define "_buildhost reproducible" "$@" "$tree/SPECS/$name.spec"
	cd "$tree"
	mapfile -t built < <(find RPMS SRPMS -name '*.rpm')
	sorted_out rpm "${built[@]}"
	rm -rf BUILD BUILDROOT RPMS SRPMS SPECS SOURCES
	list rpm
}

summary() { # summary NAME: what a program is, from its manual's head or its name
	sed -n 's/^\.Nd \(the \)*//p;/^\.Sh DESC/q' "$1"/*okd*.[18] 2>/dev/null | head -1
}

# debian/ for the programs that there are: a stanza and the scripts of each.
debian() { # debian FOLDER
	local package text all='' d
	cp -r packaging/debian "$1"
	cp "$1/control.in" "$1/control"
	for d in $daemons $cli; do
		package=okd-$d
		[ "$d" != okdctl ] || package=okdctl
		all+="${all:+, }$package (= \${binary:Version})"
		text=$(summary "$d")
		sed -e "s/@package@/$package/" -e "s:@summary@:${text:-part of the OKD bastion}:" \
			-e "s:@text@:It derives what it does from /etc/okd-bastion/cluster.yaml; see its manual.:" \
			"$1/package.in" >> "$1/control"
		[ "$d" != okdctl ] || continue
		for script in postinst prerm postrm; do
			sed "s/@package@/$package/" "$1/daemon.$script.in" > "$1/$package.$script"
		done
	done
	sed -i "s/@all@/$all/" "$1/control"
	sed -e "s/@version@/$version/" -e "s/@date@/$(date -uR -d "@$SOURCE_DATE_EPOCH")/" \
		"$1/changelog.in" > "$1/changelog"
	rm -f "$1"/*.in
}

build_deb() {
	local tree=$out/deb
	rm -rf "$tree"
	mkdir -p "$tree/src"
	tarball "$tree/src.tar.gz"
	tar -xzf "$tree/src.tar.gz" -C "$tree/src"
	cd "$tree/src/$name-$version"
	(cd "$top" && debian "$OLDPWD/debian")
	dpkg-buildpackage -b -uc -us "$@" > "$tree/build.log" 2>&1 || {
		tail -n 40 "$tree/build.log" >&2
		return 1
	}
	cd "$tree"
	sorted_out deb src/*.deb src/*.buildinfo
	rm -rf src src.tar.gz
	list deb
}

"build_$kind" "$@"
