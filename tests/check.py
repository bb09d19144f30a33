#!/usr/bin/python3
"""Runs the tests of one build and counts them: check.py [options] [STAGES...]

Stages are unit, golden, corpus and integration; all of them when none is named.  There is
system as well, which builds the packages and boots them, and runs when named.  BUILD
names the build (build/release when not set).  The last line of the output is
"N passed, N failed, N skipped"; the exit status is 0 when something ran and nothing
failed.  The counts go to $BUILD/check.json as well.
"""

import argparse
import concurrent.futures
import difflib
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import variant  # noqa: E402

TOP, TESTS, BUILD, SLOW = variant.TOP, variant.TESTS, variant.BUILD, variant.SLOW
STAGES = ["unit", "golden", "corpus", "integration"]
NAMED = STAGES + ["system"]
TIMEOUT = int(os.environ.get("CHECK_TIMEOUT", 60)) * SLOW  # seconds for one program
ENV = {**os.environ, **variant.sanitizer_environment(), "BUILD": BUILD}
ENV.update(LC_ALL="C.UTF-8", TZ="UTC", PYTHONDONTWRITEBYTECODE="1")
ENV.pop("NOTIFY_SOCKET", None)


class Result:
    """What one test program or one case came to."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = []  # (test, output)
        self.skipped = []  # (test, reason)
        self.note = ""

    def fail(self, test, output=""):
        self.failed.append((test, output))
        return self

    def skip(self, test, reason):
        self.skipped.append((test, reason or "no reason given"))
        return self

    def ok(self, n=1):
        self.passed += n
        return self


class Run:
    """A finished program: status, stdout, stderr, whether it had to be ended."""

    def __init__(self, args, timeout=None, env=None, cwd=TOP):
        timeout = timeout or TIMEOUT
        with subprocess.Popen(
            args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=cwd,
            stderr=subprocess.PIPE, env=env or ENV, start_new_session=True,
            text=True, errors="replace",
        ) as p:
            self.timed_out = False
            try:
                self.out, self.err = p.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                self.timed_out = True
                os.killpg(p.pid, signal.SIGABRT)
                try:
                    self.out, self.err = p.communicate(timeout=5)
                except subprocess.TimeoutExpired:
                    os.killpg(p.pid, signal.SIGKILL)
                    self.out, self.err = p.communicate()
            self.status = p.returncode
        self.timeout = timeout

    def ending(self):
        if self.timed_out:
            return f"was ended after {self.timeout} s"
        if self.status < 0:
            return f"was killed by {signal.Signals(-self.status).name}"
        return f"exited with {self.status}"

    def text(self):
        return self.out + self.err


def programs(kind, prefix):
    """(source stem, program) of each test source, built or not."""
    for source in sorted(glob.glob(f"{TESTS}/{kind}/*/{prefix}*.c")):
        stem = os.path.relpath(source, TOP)[:-2]
        yield stem, os.path.join(BUILD, stem)


def not_built(program):
    return not os.access(program, os.X_OK)


# --- unit ------------------------------------------------------------------------------

TAP = re.compile(r"(not )?ok\b\s*(\d+)?\s*-?\s*([^#]*)(?:#\s*(skip|todo)\S*\s*(.*))?", re.I)


def parse_tap(result, run):
    """Counts the points of a TAP stream; comments before a failed point are its output."""
    comments, points, plan = [], 0, None
    for line in run.out.splitlines():
        plan_match = re.match(r"1\.\.(\d+)(?:\s*#\s*skip\s*(.*))?", line, re.I)
        match = TAP.match(line)
        if plan_match:
            plan = int(plan_match.group(1))
            if plan == 0:
                result.skip("all", plan_match.group(2))
        elif match:
            points += 1
            name = match.group(3).strip() or f"point {points}"
            if match.group(4) and match.group(4).lower() == "skip":
                result.skip(name, match.group(5))
            elif match.group(1):
                result.fail(name, "\n".join(comments))
            else:
                result.ok()
            comments = []
        else:
            comments.append(line)
    return points, plan, comments


def unit_program(stem, program):
    result = Result(stem)
    if not_built(program):
        return result.fail("build", f"{program} does not exist: run make tests")
    run = Run([program])
    points, plan, rest = parse_tap(result, run)
    wrong = None
    if run.timed_out or run.status < 0:
        wrong = run.ending()
    elif plan is None:
        wrong = f"{run.ending()} without a plan after {points} points"
    elif plan != points:
        wrong = f"planned {plan} points and ran {points}"
    elif run.status and not result.failed:
        wrong = run.ending()
    elif variant.SANITIZER.search(run.err):
        wrong = "a sanitizer complained"
    if wrong:
        result.fail(wrong, "\n".join(rest))
    if result.failed and run.err.strip():
        test, output = result.failed[-1]
        result.failed[-1] = (test, (output + "\n" + run.err).strip())
    return result


def stage_unit(options):
    return [lambda s=s, p=p: unit_program(s, p) for s, p in programs("unit", "test_")]


# --- golden ----------------------------------------------------------------------------


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def diff(expected, got, name):
    return "".join(
        difflib.unified_diff(
            expected.splitlines(True), got.splitlines(True), name, "what came", n=2
        )
    )


# A setting in a comment: "# key: value", and "#   - item" below it.
COMMENTED = re.compile(r"^# ([a-z_]+:(?: [\[{'\"\w/.]\S*.*)?|  +- .*)$", re.M)


class Golden:
    """Runs okd-<d> -n over configuration files; each case has a folder of its own."""

    def __init__(self, part, update=False):
        self.part = part
        self.program = os.path.join(BUILD, f"okd-{part}")
        self.update = update

    def run(self, config, cluster, verbose=True):
        with tempfile.TemporaryDirectory(prefix="okd-golden-") as tmp:
            empty = os.path.join(tmp, f"{self.part}.yaml")
            open(empty, "w").close()
            args = [self.program, "-n"] + (["-v"] if verbose else [])
            args += ["-c", config or empty] + (["-C", cluster] if cluster else [])
            env = {**ENV, "STATE_DIRECTORY": tmp, "RUNTIME_DIRECTORY": tmp}
            run = Run(args, timeout=20 * SLOW, env=env)
            for path in filter(None, [config, cluster, empty]):
                run.err = run.err.replace(path, os.path.basename(path))
        return run

    def compare(self, result, path, got):
        """One golden file; with --update it is written instead."""
        if self.update:
            with open(path, "w", encoding="utf-8") as f:
                f.write(got)
            return True
        delta = diff(read(path), got, os.path.relpath(path, TOP))
        if delta:
            result.fail(result.name, delta)
        return not delta

    def accepted(self, result, run, stem, config, cluster):
        if run.status != 0:
            return result.fail(result.name, f"{run.ending()}, not 0\n{run.err}")
        if not self.compare(result, stem + ".ok", run.out):
            return result
        if os.path.exists(stem + ".warn"):
            if not self.compare(result, stem + ".warn", run.err):
                return result
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", prefix="okd-again-") as f:
            f.write(run.out)
            f.flush()
            again = self.run(f.name, cluster)
        if again.status != 0:
            return result.fail(result.name, f"what it printed does not load:\n{again.err}")
        if again.out != run.out:
            delta = diff(run.out, again.out, "printed first")
            return result.fail(result.name, f"what it printed prints otherwise:\n{delta}")
        return result.ok()

    def refused(self, result, run, stem):
        if run.status != 1:
            return result.fail(result.name, f"{run.ending()}, not 1\n{run.text()}")
        if run.out:
            return result.fail(result.name, f"it printed a configuration:\n{run.out}")
        if not self.compare(result, stem + ".err", run.err):
            return result
        return result.ok()

    def case(self, path):
        """tests/conf/<d>/x.yaml, with x.ok or x.err, and x.cluster.yaml or cluster.yaml."""
        stem = path[: -len(".yaml")]
        folder = os.path.dirname(path)
        result = Result(os.path.relpath(path, TOP))
        if not_built(self.program):
            return result.skip(result.name, f"okd-{self.part} is not built")
        config, cluster = path, stem + ".cluster.yaml"
        if os.path.basename(folder) == "cluster":
            config, cluster = None, path
        elif not os.path.exists(cluster):
            cluster = os.path.join(folder, "cluster.yaml")
            cluster = cluster if os.path.exists(cluster) else None
        run = self.run(config, cluster)
        if variant.SANITIZER.search(run.err):
            return result.fail(result.name, run.err)
        has_ok, has_err = os.path.exists(stem + ".ok"), os.path.exists(stem + ".err")
        if self.update and not has_ok and not has_err:
            has_ok, has_err = run.status == 0, run.status != 0
        if has_ok == has_err:
            return result.fail(result.name, "there must be a .ok or a .err beside it")
        if has_ok:
            return self.accepted(result, run, stem, config, cluster)
        return self.refused(result, run, stem)

    def example(self, config, cluster):
        """A shipped example passes, with the settings that stand in comments as well."""
        result = Result(f"{os.path.relpath(config or cluster, TOP)} (okd-{self.part} -n)")
        if not_built(self.program):
            return result.skip(result.name, f"okd-{self.part} is not built")
        text = read(config or cluster)
        for wanted in dict.fromkeys((text, COMMENTED.sub(r"\1", text))):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml", prefix="okd-example-") as f:
                f.write(wanted)
                f.flush()
                run = self.run(f.name if config else None, cluster if config else f.name,
                               verbose=False)
            if run.status != 0 or variant.SANITIZER.search(run.err):
                return result.fail(result.name, f"{run.ending()}\n{run.text()}")
        return result.ok()


def built_daemons():
    return sorted(
        os.path.basename(p)[len("okd-") :]
        for p in glob.glob(f"{BUILD}/okd-*")
        if os.path.isfile(p) and os.access(p, os.X_OK)
    )


def stage_golden(options):
    jobs = []
    for folder in sorted(glob.glob(f"{TESTS}/conf/*/")):
        part = os.path.basename(folder.rstrip("/"))
        # The cluster file's own cases are read by dnsd, which needs all of it.
        golden = Golden("dnsd" if part == "cluster" else part, options.update)
        for path in sorted(glob.glob(f"{folder}*.yaml")):
            if path.endswith("/cluster.yaml") and part != "cluster":
                continue
            if path.endswith(".cluster.yaml"):
                continue
            jobs.append(lambda g=golden, p=path: g.case(p))
    for path in sorted(glob.glob(f"{TOP}/examples/**/*.yaml", recursive=True)):
        part = os.path.basename(path)[: -len(".yaml")]
        cluster = os.path.join(os.path.dirname(path), "cluster.yaml")
        if part == "cluster":
            for d in built_daemons():
                jobs.append(lambda g=Golden(d), c=path: g.example(None, c))
        elif os.path.exists(f"{TOP}/{part}/main.c"):
            cluster = cluster if os.path.exists(cluster) else None
            jobs.append(lambda g=Golden(part), p=path, c=cluster: g.example(p, c))
    return jobs


# --- corpus ----------------------------------------------------------------------------


def replay_corpus(stem, program):
    result = Result(stem)
    name = os.path.basename(stem)[len("fuzz_") :]
    corpus = f"{TESTS}/fuzz/corpus/{name}"
    if not_built(program):
        return result.fail(name, f"{program} does not exist: run make tests")
    if not os.path.isdir(corpus) or not os.listdir(corpus):
        return result.fail(name, f"{os.path.relpath(corpus, TOP)} holds no input")
    args = ["-runs=0"] if variant.NAME == "fuzz" else []
    run = Run([program] + args + [corpus], timeout=2 * TIMEOUT)
    if run.status or run.timed_out or variant.SANITIZER.search(run.err):
        trace = Run([program] + args + [corpus], env={**ENV, "REPLAY_TRACE": "1"})
        return result.fail(name, f"{run.ending()}\n{trace.text()}")
    result.note = run.out.strip().splitlines()[-1] if run.out.strip() else ""
    return result.ok()


def stage_corpus(options):
    return [lambda s=s, p=p: replay_corpus(s, p) for s, p in programs("fuzz", "fuzz_")]


# --- integration -----------------------------------------------------------------------


def case_result(result, case):
    name = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')}"
    bad = [e for e in case if e.tag in ("failure", "error")]
    skipped = case.find("skipped")
    if bad:
        # pytest has shown the output already.
        result.fail(name, (bad[0].get("message") or "").splitlines()[0:1])
    elif skipped is not None:
        result.skip(name, skipped.get("message"))
    else:
        result.ok()


def run_pytest(options, folder):
    """pytest writes its own progress; the counts come from its XML report."""
    result = Result(folder)
    xml = os.path.join(BUILD, "junit.xml")
    if os.path.exists(xml):
        os.unlink(xml)
    args = [sys.executable, "-m", "pytest", f"{TESTS}/{folder}", f"--junitxml={xml}"]
    args += ["-q", "--tb=short", "--show-capture=all", "-p", "no:cacheprovider"]
    args += ["-p", "no:timeout", "--color=no", "--durations=5", "--durations-min=5"]
    args.append("--continue-on-collection-errors")
    if options.long:
        args.append("--long")
    if options.mark:
        args += ["-m", options.mark]
    if options.keyword:
        args += ["-k", options.keyword]
    sys.stdout.flush()
    status = subprocess.run(args, cwd=TOP, env=ENV, stdin=subprocess.DEVNULL).returncode
    seen = {}
    if os.path.exists(xml):
        for case in ET.parse(xml).getroot().iter("testcase"):
            key = (case.get("classname"), case.get("name"))
            if key in seen:  # a failed call and a failed teardown are one test
                seen[key].extend(list(case))
            else:
                seen[key] = case
    for case in seen.values():
        case_result(result, case)
    if status not in (0, 1, 2, 5) or (status in (1, 2) and not result.failed):
        result.fail("pytest", [f"pytest exited with {status}"])
    return result


def stage_integration(options):
    if not glob.glob(f"{TESTS}/integration/test_*.py"):
        return []
    return [lambda: run_pytest(options, "integration")]


def stage_system(options):
    return [lambda: run_pytest(options, "system")]


# --- all together ----------------------------------------------------------------------


def show(result):
    status = "FAIL" if result.failed else "ok" if result.passed else "skip"
    counts = f"{result.passed} ok"
    if result.failed:
        counts += f", {len(result.failed)} failed"
    if result.skipped:
        counts += f", {len(result.skipped)} skipped"
    note = f"  ({result.note})" if result.note else ""
    print(f"  {status:4}  {result.name}  {counts}{note}")
    for test, output in result.failed:
        print(f"        not ok: {test}")
        lines = output.splitlines() if isinstance(output, str) else output
        for line in lines:
            print(f"        | {line}")
    sys.stdout.flush()


def run_stage(name, jobs):
    if not jobs:
        print(f"{name}: nothing to run")
        return []
    print(f"{name}:", flush=True)
    results = []
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        for result in pool.map(lambda job: job(), jobs):
            results.append(result)
            show(result)
    return results


def summary(stages, started):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    report = {"build": variant.NAME, "stages": {}, "failures": [], "skips": []}
    print("\nsummary:")
    for name, (results, seconds) in stages.items():
        counts = {
            "passed": sum(r.passed for r in results),
            "failed": sum(len(r.failed) for r in results),
            "skipped": sum(len(r.skipped) for r in results),
        }
        report["stages"][name] = {**counts, "seconds": round(seconds, 1)}
        for key in total:
            total[key] += counts[key]
        print(
            f"  {name:12} {counts['passed']:5} passed {counts['failed']:4} failed"
            f" {counts['skipped']:4} skipped {seconds:8.1f} s"
        )
        report["failures"] += [f"{r.name}: {t}" for r in results for t, _ in r.failed]
        report["skips"] += [f"{r.name}: {t}: {why}" for r in results for t, why in r.skipped]
    for title in ("failures", "skips"):
        if report[title]:
            print(f"{title}:")
            for line in report[title]:
                print(f"  {line}")
    report.update(total, seconds=round(time.monotonic() - started, 1))
    with open(os.path.join(BUILD, "check.json"), "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
    return total


def options_of(argv):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("stages", nargs="*", metavar="STAGES", help=" ".join(NAMED))
    p.add_argument("--long", action="store_true", help="with the tests marked long")
    p.add_argument("--mark", help="integration tests with this pytest mark only")
    p.add_argument("--keyword", "-k", help="integration tests that match (pytest -k)")
    p.add_argument("--update", action="store_true", help="write the golden files anew")
    options = p.parse_args(argv)
    unknown = [s for s in options.stages if s not in NAMED]
    if unknown:
        p.error(f"unknown stage {unknown[0]}; there are {', '.join(NAMED)}")
    options.stages = [s for s in NAMED if s in options.stages] or STAGES
    return options


def main(argv):
    options = options_of(argv)
    started = time.monotonic()
    os.makedirs(BUILD, exist_ok=True)
    if os.path.exists(f"{BUILD}/check.json"):
        os.unlink(f"{BUILD}/check.json")
    if options.long:
        ENV["OKD_LONG"] = "1"
    stages = {}
    for name in options.stages:
        begin = time.monotonic()
        results = run_stage(name, globals()[f"stage_{name}"](options))
        stages[name] = (results, time.monotonic() - begin)
    total = summary(stages, started)
    ran = total["passed"] + total["failed"]
    if not ran:
        print("no test ran")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] or not ran else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
