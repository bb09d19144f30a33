#!/bin/bash
# Runs libFuzzer on each target of a fuzz build: tests/fuzz/run.sh build/fuzz [TARGET]
# A target ends after FUZZ_SECONDS (600), FUZZ_RUNS (10000000) executions, or its first
# crash.  FUZZ_JOBS targets run at a time (2).  Inputs that it finds go to
# <build>/corpus/<target>, those that crash to <build>/crashes/<target>; the kept corpus
# in the tree is only read.  Exits with 1 when a target crashed.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build/fuzz}
only=${2:-}
seconds=${FUZZ_SECONDS:-600}
runs=${FUZZ_RUNS:-10000000}
jobs=${FUZZ_JOBS:-2}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}

one() { # one PROGRAM: leaves <build>/log/<target> and .status there
	local name=${1##*/fuzz_} begin=$SECONDS found kept args=()
	found=$build/corpus/$name
	kept=tests/fuzz/corpus/$name
	mkdir -p "$found" "$build/crashes/$name" "$build/log"
	[ -d "$kept" ] && args+=("$kept")
	[ -f "tests/fuzz/corpus/$name.dict" ] && args+=("-dict=tests/fuzz/corpus/$name.dict")
	"$1" -max_total_time="$seconds" -runs="$runs" -timeout=20 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$build/crashes/$name/" \
		"$found" ${args[@]+"${args[@]}"} >"$build/log/$name" 2>&1 </dev/null
	echo "$? $((SECONDS - begin))" >"$build/log/$name.status"
}

programs=()
for p in "$build"/tests/fuzz/*/fuzz_*; do
	if [ -f "$p" ] && [ -x "$p" ]; then
		case ${only#fuzz_} in
		"" | "${p##*/fuzz_}") programs+=("$p") ;;
		esac
	fi
done
if [ ${#programs[@]} -eq 0 ]; then
	echo "no fuzz target${only:+ $only} in $build" >&2
	exit 2
fi
stop() {
	trap - INT TERM
	jobs -p | xargs -r kill 2>/dev/null
	wait
	exit 130
}
trap stop INT TERM
for p in "${programs[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
		wait -n
	done
	one "$p" &
done
wait

crashed=0
printf '%-24s %12s %8s %8s  %s\n' target executions seconds inputs result
for p in "${programs[@]}"; do
	name=${p##*/fuzz_}
	log=$build/log/$name
	read -r status took <"$log.status"
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
	found=$(find "$build/corpus/$name" -type f | wc -l)
	result=ok
	if [ "$status" -ne 0 ]; then
		result="CRASH: $log"
		crashed=1
	fi
	printf '%-24s %12s %8s %8s  %s\n' "$name" "${executions:-?}" "$took" "$found" "$result"
done
exit $crashed
