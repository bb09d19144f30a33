#!/bin/bash
# Lines that the tests of the coverage build ran, per file: tests/coverage.sh build/cov.
# The table goes to stdout and to <build>/report/summary.txt, the annotated sources beside
# it as <file>.gcov.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/cov}
report=$build/report
rm -rf "$report"
mkdir -p "$report"
exec "${PYTHON:-/usr/bin/python3}" - "$build" "$report" <<'PYTHON'
import collections, glob, gzip, json, os, subprocess, sys

build, report = sys.argv[1:]
lines = collections.defaultdict(lambda: collections.Counter())
for gcno in sorted(glob.glob(f"{build}/**/*.gcno", recursive=True)):
    if gcno.startswith(f"{build}/tests/"):
        continue
    p = subprocess.run(["gcov", "--json-format", "--stdout", gcno], capture_output=True)
    for text in p.stdout.splitlines():
        for file in json.loads(text)["files"]:
            name = os.path.relpath(file["file"])
            if name.startswith(("/", "..")):
                continue
            for line in file["lines"]:
                lines[name][line["line_number"]] += line["count"]
if not lines:
    sys.exit(f"{build} holds no coverage: make cov")
rows, covered, total = [], 0, 0
for name, counts in sorted(lines.items()):
    hit = sum(1 for n in counts.values() if n)
    rows.append((name, hit, len(counts)))
    covered, total = covered + hit, total + len(counts)
    with open(name, encoding="utf-8") as f, \
            open(f"{report}/{name.replace('/', '#')}.gcov", "w", encoding="utf-8") as out:
        for i, text in enumerate(f, 1):
            mark = "-" if i not in counts else str(counts[i]) if counts[i] else "#####"
            out.write(f"{mark:>9}:{i:5}:{text}")
with open(f"{report}/summary.txt", "w", encoding="utf-8") as out:
    for name, hit, n in rows + [("total", covered, total)]:
        text = f"{100 * hit / max(n, 1):6.1f} % {hit:6} of {n:6} {name}"
        print(text)
        out.write(text + "\n")
PYTHON
