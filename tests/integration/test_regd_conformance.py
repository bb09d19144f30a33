"""The conformance suite of the OCI distribution spec, whole, in the profiles 1.1 and dev.

It is a Go program that is installed by name where Go is at least 1.24; elsewhere these
tests are skipped.  Its exit status is 0 also when it could not even begin, so what counts
is the number of its tests.
"""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from regd import Registry
from variant import TOP

MODULE = "github.com/opencontainers/distribution-spec/conformance"
VERSION = "v0.0.0-20260831232431-97274622c111"
FOLDER = os.path.join(TOP, "build", "conformance")
# As many as the suite has in that version; fewer means that something was not run.
TESTS = {"1.1": 695, "dev": 793}


@pytest.fixture(scope="module")
def suite():
    """The program, installed once."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        pytest.skip("Go is not installed")
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"go(\d+)\.(\d+)", said)
    if (int(version[1]), int(version[2])) < (1, 24):
        pytest.skip(f"{said.strip()} is too old, the suite needs 1.24")
    program = os.path.join(FOLDER, VERSION, "conformance")
    if not os.access(program, os.X_OK):
        p = subprocess.run([go, "install", f"{MODULE}@{VERSION}"], capture_output=True,
                           text=True, check=False,
                           env={**os.environ, "GOBIN": os.path.dirname(program)})
        if p.returncode != 0:
            pytest.skip(f"the suite cannot be installed: {p.stderr.strip().splitlines()[-1]}")
    return program


@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", ["1.1", "dev"])
def test_the_whole_suite(daemon, suite, profile, tmp_path):
    reg = Registry(daemon)
    env = {**os.environ, "OCI_REGISTRY": f"127.0.0.1:{reg.port}", "OCI_TLS": "disabled",
           "OCI_REPO1": "conformance/one", "OCI_REPO2": "conformance/two",
           "OCI_USERNAME": "admin", "OCI_PASSWORD": "admin", "OCI_VERSION": profile,
           "OCI_RESULTS_DIR": str(tmp_path)}
    p = subprocess.run([suite], env=env, cwd=tmp_path, capture_output=True, text=True,
                       check=False)
    cases = list(ET.parse(tmp_path / "junit.xml").getroot().iter("testcase"))
    failed = [c.get("name") for c in cases
              if c.find("failure") is not None or c.find("error") is not None]
    skipped = [c.get("name") for c in cases if c.find("skipped") is not None]
    assert p.returncode == 0 and not failed and not skipped, (failed, skipped, p.stdout)
    assert len(cases) >= TESTS[profile]
