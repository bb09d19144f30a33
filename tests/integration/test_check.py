"""check.py counts right: golden files, TAP, corpora, and what must not pass."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from variant import SLOW, TESTS

# okd-fake -n -v -c FILE [-C FILE]: prints the lines of FILE in order, refuses "bad".
FAKE = """#!{python}
import sys
args = sys.argv[1:]
path = args[args.index("-c") + 1]
lines = sorted(open(path).read().split("\\n")[:-1])
for i, line in enumerate(lines):
    if line.startswith("bad"):
        sys.exit(f"{{path}}:{{i + 1}}:1: {{line}} is bad")
if "-v" in args:
    print("\\n".join(lines))
    if "unstable: 1" in lines:
        print("unstable: 2")
"""


@pytest.fixture
def tree(tmp_path):
    """A source tree of its own with check.py and a fake daemon."""
    (tmp_path / "tests" / "conf" / "fake").mkdir(parents=True)
    (tmp_path / "build" / "release").mkdir(parents=True)
    for name in ("check.py", "variant.py"):
        shutil.copy(os.path.join(TESTS, name), tmp_path / "tests" / name)
    program(tmp_path, "okd-fake", FAKE.format(python=sys.executable))
    return tmp_path


def program(tree, name, text):
    path = tree / "build" / "release" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def unit(tree, name, script):
    source = tree / "tests" / "unit" / "fake" / f"test_{name}.c"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("")
    program(tree, f"tests/unit/fake/test_{name}", "#!/bin/sh\n" + script)


def case(tree, name, text, **expected):
    folder = tree / "tests" / "conf" / "fake"
    (folder / f"{name}.yaml").write_text(text)
    for ending, body in expected.items():
        (folder / f"{name}.{ending}").write_text(body)


def check(tree, *args, env=None):
    """Runs it: its last line, the whole output, the exit status, check.json."""
    p = subprocess.run(
        [sys.executable, str(tree / "tests" / "check.py"), *args], text=True,
        capture_output=True, timeout=60 * SLOW,
        env={**os.environ, "BUILD": str(tree / "build" / "release"), **(env or {})},
    )
    assert not p.stderr, p.stderr
    report = json.loads((tree / "build" / "release" / "check.json").read_text())
    return p.stdout.splitlines()[-1], p.stdout, p.returncode, report


def test_nothing_ran_is_a_failure(tree):
    last, out, status, _ = check(tree)
    assert (last, status) == ("0 passed, 0 failed, 0 skipped", 1)
    assert "no test ran" in out


def test_golden_accepts(tree):
    case(tree, "good", "b: 1\na: 1\n", ok="a: 1\nb: 1\n")
    case(tree, "refused", "bad: 1\n", err="refused.yaml:1:1: bad: 1 is bad\n")
    last, _, status, report = check(tree, "golden")
    assert (last, status) == ("2 passed, 0 failed, 0 skipped", 0)
    assert report["passed"] == 2 and report["stages"]["golden"]["passed"] == 2


@pytest.mark.parametrize(
    "text, expected, why",
    [
        ("a: 1\n", {"ok": "a: 2\n"}, "-a: 2"),
        ("bad: 1\n", {"ok": ""}, "exited with 1, not 0"),
        ("a: 1\n", {"err": "x\n"}, "exited with 0, not 1"),
        ("bad: 1\n", {"err": "other\n"}, "-other"),
        ("unstable: 1\n", {"ok": "unstable: 1\nunstable: 2\n"}, "prints otherwise"),
        ("a: 1\n", {}, "there must be a .ok or a .err"),
    ],
)
def test_golden_refuses(tree, text, expected, why):
    case(tree, "x", text, **expected)
    last, out, status, report = check(tree, "golden")
    assert (last, status) == ("0 passed, 1 failed, 0 skipped", 1)
    assert why in out
    assert report["failures"]


def test_golden_update_writes_what_came(tree):
    case(tree, "good", "b: 1\na: 1\n")
    case(tree, "refused", "bad: 1\n")
    assert check(tree, "--update", "golden")[2] == 0
    folder = tree / "tests" / "conf" / "fake"
    assert (folder / "good.ok").read_text() == "a: 1\nb: 1\n"
    assert (folder / "refused.err").read_text() == "refused.yaml:1:1: bad: 1 is bad\n"
    assert check(tree, "golden")[0] == "2 passed, 0 failed, 0 skipped"


def test_missing_daemon_is_a_skip_with_its_reason(tree):
    (tree / "tests" / "conf" / "other").mkdir()
    (tree / "tests" / "conf" / "other" / "x.yaml").write_text("")
    last, out, _, _ = check(tree, "golden")
    assert last == "0 passed, 0 failed, 1 skipped"
    assert "okd-other is not built" in out


def test_tap_points_are_counted_each(tree):
    unit(tree, "a", "echo 'ok 1 - x'; echo 'not ok 2 - y'; echo 'ok 3 - z # SKIP no disk'"
                    "; echo 1..3; exit 1")
    unit(tree, "b", "echo 'ok 1 - x'; echo 1..1")
    last, out, status, _ = check(tree, "unit")
    assert (last, status) == ("2 passed, 1 failed, 1 skipped", 1)
    assert "z: no disk" in out


@pytest.mark.parametrize(
    "script, why",
    [
        ("echo 'ok 1 - x'; kill -ABRT $$", "killed by SIGABRT"),
        ("echo 'ok 1 - x'", "without a plan"),
        ("echo 'ok 1 - x'; echo 1..2", "planned 2 points and ran 1"),
        ("echo 'ok 1 - x'; echo 1..1; exit 3", "exited with 3"),
        ("echo 'ok 1 - x'; echo 1..1; echo ERROR: AddressSanitizer >&2", "sanitizer"),
        ("echo 'ok 1 - x'; sleep 100", "was ended after"),
    ],
)
def test_a_program_that_ends_badly_fails(tree, script, why):
    unit(tree, "a", script)
    last, out, status, _ = check(tree, "unit", env={"CHECK_TIMEOUT": "1"})
    assert (last, status) == ("1 passed, 1 failed, 0 skipped", 1)
    assert why in out


def test_unbuilt_program_fails(tree):
    (tree / "tests" / "unit" / "fake").mkdir(parents=True)
    (tree / "tests" / "unit" / "fake" / "test_x.c").write_text("")
    assert check(tree, "unit")[0] == "0 passed, 1 failed, 0 skipped"


def test_corpus_needs_inputs(tree):
    source = tree / "tests" / "fuzz" / "fake" / "fuzz_x.c"
    source.parent.mkdir(parents=True)
    source.write_text("")
    program(tree, "tests/fuzz/fake/fuzz_x", "#!/bin/sh\necho 1 inputs\n")
    assert check(tree, "corpus")[0] == "0 passed, 1 failed, 0 skipped"
    (tree / "tests" / "fuzz" / "corpus" / "x").mkdir(parents=True)
    (tree / "tests" / "fuzz" / "corpus" / "x" / "1").write_text("")
    assert check(tree, "corpus")[0] == "1 passed, 0 failed, 0 skipped"
    program(tree, "tests/fuzz/fake/fuzz_x", "#!/bin/sh\nexit 1\n")
    assert check(tree, "corpus")[0] == "0 passed, 1 failed, 0 skipped"


def test_integration_counts_come_from_pytest(tree):
    folder = tree / "tests" / "integration"
    folder.mkdir()
    (folder / "test_x.py").write_text(
        "import pytest\n"
        "def test_a():\n    pass\n"
        "def test_b():\n    assert False\n"
        "@pytest.mark.skip(reason='no root')\ndef test_c():\n    pass\n"
        "@pytest.fixture\ndef bad():\n    yield\n    assert False, 'teardown'\n"
        "def test_d(bad):\n    assert False, 'call'\n"
        "def test_e(bad):\n    pass\n"
    )
    last, out, status, report = check(tree, "integration")
    assert (last, status) == ("1 passed, 3 failed, 1 skipped", 1)
    assert "no root" in report["skips"][0]
    (folder / "test_y.py").write_text("import nothing_of_the_kind\n")
    assert check(tree, "integration")[0] == "1 passed, 4 failed, 1 skipped"
