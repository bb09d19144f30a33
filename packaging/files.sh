#!/bin/sh
# files.sh ROOT PACKAGE: the files below ROOT that belong to a package, one path a line.
# A file's name says its package: okd-dnsd, okd-dnsd.service, okd-dnsd.yaml.5 and so on
# belong to okd-dnsd; what belongs to no program is okd-bastion-common's.
set -eu
cd "$1"
of() {
	find . \( -type f -o -type l \) \( -name "$1" -o -name "$1.*" -o -name "$1@.*" \
		-o -name "_$1" \) \
		! -path '*/okd-bastion/*' ! -path '*/debug/*'
}
case $2 in
okd-bastion-common)
	find . \( -type f -o -type l \) \( ! -name 'okd-*' -o -name 'okd-bastion*' \
		-o -name 'okd-cluster*' -o -path '*/okd-bastion/*' \) \
		! -name 'okdctl' ! -name 'okdctl.*' ! -name '_okdctl' ! -path '*/debug/*'
	;;
*) of "$2" ;;
esac | sed 's/^\.//' | LC_ALL=C sort
