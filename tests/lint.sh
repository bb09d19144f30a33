#!/bin/bash
# What a compiler and a formatter can say about the tree: tests/lint.sh lint|format.
# Every check runs; the exit status tells whether all were content.
set -u
cd "$(dirname "$0")/.." || exit 2

CLANG_FORMAT=$(command -v clang-format-14 || command -v clang-format)
CLANG=$(command -v clang-14 || command -v clang)
PYTHON=${PYTHON:-/usr/bin/python3}
JOBS=$(nproc)
failed=()

files() { # our files by pathspec, those not yet added included
	git ls-files -co --exclude-standard -- "$@" | while read -r f; do
		[ -e "$f" ] && echo "$f"
	done
}

need() { # need PROGRAM WHAT-FOR
	[ -n "$(command -v "$1")" ] && return 0
	echo "$1 is not installed ($2): ./quickstart check installs it"
	return 1
}

step() { # step NAME FUNCTION
	local begin=$SECONDS out
	if out=$("$2" 2>&1); then
		printf '  ok    %-14s %3d s\n' "$1" $((SECONDS - begin))
		[ -z "$out" ] || printf '%s\n' "$out" | sed 's/^/        | /'
	else
		printf '  FAIL  %-14s %3d s\n' "$1" $((SECONDS - begin))
		printf '%s\n' "$out" | sed 's/^/        | /'
		failed+=("$1")
	fi
}

format_check() {
	need "${CLANG_FORMAT:-clang-format-14}" "formatting" || return 1
	local f bad=0
	for f in $(files '*.c' '*.h'); do
		"$CLANG_FORMAT" "$f" | cmp -s "$f" - && continue
		echo "$f"
		bad=1
	done
	[ $bad = 0 ] || echo "make format puts it right"
	return $bad
}

cflags() {
	make -s print-cflags
}

# One header at a time, from a file that holds nothing else.
header_check() {
	local flags
	flags=$(cflags) || return 1
	# shellcheck disable=SC2016
	files '*.h' | FLAGS="$flags" xargs -r -P "$JOBS" -I{} bash -c \
		'echo "#include \"{}\"" | eval "gcc -x c -fsyntax-only -Werror $FLAGS -"'
}

# The other compiler's warnings, without code.
clang_check() {
	local flags
	need "${CLANG:-clang-14}" "its warnings" || return 1
	flags=$(cflags) || return 1
	# shellcheck disable=SC2016
	files '*.c' | FLAGS="$flags" CLANG="$CLANG" xargs -r -P "$JOBS" -I{} bash -c \
		'eval "$CLANG -fsyntax-only -Werror $FLAGS {}"'
}

# tests/cppcheck.list names the checks that are off, each with its reason.
cppcheck_check() {
	need cppcheck "static analysis" || return 1
	mkdir -p build/cppcheck
	files '*.c' | grep -v '^tests/' | xargs -r cppcheck -q -j "$JOBS" --std=c11 \
		--language=c --platform=unix64 -I. -D_GNU_SOURCE -DOKD_VERSION='""' \
		--enable=warning,performance,portability --inline-suppr \
		--suppressions-list=tests/cppcheck.list --cppcheck-build-dir=build/cppcheck \
		--template='{file}:{line}: {severity}: {message} [{id}]' --error-exitcode=1
}

python_check() {
	local list
	list=$(files '*.py')
	[ -n "$list" ] || return 0
	# shellcheck disable=SC2086
	PYTHONPYCACHEPREFIX=build/pycache "$PYTHON" -m compileall -q $list || return 1
	printf '%s\n' "$list" | xargs "$PYTHON" -m pyflakes
}

shell_check() {
	need shellcheck "shell scripts" || return 1
	files | xargs -r grep -lIm1 -E '^#!(/usr)?/bin/(env )?(ba)?sh' | xargs -r shellcheck -S info -e SC2317
}

style_check() {
	files | "$PYTHON" tests/lint_style.py
}

manual_check() {
	local list out
	list=$(files '*.1' '*.5' '*.8')
	[ -n "$list" ] || return 0
	need mandoc "manual pages" || return 1
	# shellcheck disable=SC2086
	out=$(mandoc -Tlint -Wwarning $list 2>&1)
	[ -z "$out" ] || { printf '%s\n' "$out"; return 1; }
}

# Each setting has its manual entry, and docs/ says the same.
settings_check() {
	need mandoc "manual pages" || return 1
	"$PYTHON" tests/lint_docs.py
}

case "${1:-}" in
format)
	need "${CLANG_FORMAT:-clang-format-14}" "formatting" || exit 1
	files '*.c' '*.h' | xargs -r "$CLANG_FORMAT" -i
	;;
lint)
	echo "lint:"
	step format format_check
	step headers header_check
	step clang clang_check
	step cppcheck cppcheck_check
	step style style_check
	step python python_check
	step shell shell_check
	step manuals manual_check
	step settings settings_check
	if [ ${#failed[@]} -gt 0 ]; then
		echo "lint: ${failed[*]} failed"
		exit 1
	fi
	echo "lint: all is well"
	;;
*)
	echo "usage: tests/lint.sh lint|format" >&2
	exit 2
	;;
esac
