"""Real clients of a registry: skopeo, podman and buildah with a home, a trust and credentials
of their own.  The fixtures need one named reg, with TLS."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.fixture(name="short_path")
def make_short_path():
    """podman takes no long path for its run-time files."""
    path = tempfile.mkdtemp(prefix="okd-c-")
    yield pathlib.Path(path)
    shutil.rmtree(path)


@pytest.fixture(name="tool")
def make_tool(reg, short_path):
    """Runs a client with the registry's CA and credentials of its own; returns stdout."""
    tmp_path = short_path
    certs = tmp_path / "certs"
    certs.mkdir()
    shutil.copy(reg.ca, certs / "ca.crt")
    policy = tmp_path / "policy.json"
    policy.write_text(POLICY)
    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps({"auths": {f"localhost:{reg.port}": {
        "auth": "YWRtaW46YWRtaW4="}}}))
    registries = tmp_path / "registries.conf"
    registries.write_text("")

    def run(*args, fails=False):
        env = {**os.environ, "REGISTRY_AUTH_FILE": str(auth), "HOME": str(tmp_path),
               "CONTAINERS_REGISTRIES_CONF": str(registries), "XDG_RUNTIME_DIR": str(tmp_path)}
        p = subprocess.run([str(a) for a in args], capture_output=True, text=True, env=env,
                           cwd=tmp_path, stdin=subprocess.DEVNULL, check=False)
        assert (p.returncode != 0) == fails, f"{args}\n{p.stdout}\n{p.stderr}"
        return p.stdout + (p.stderr if fails else "")

    run.certs, run.policy, run.dir, run.registries = certs, policy, tmp_path, registries
    return run


def skopeo(tool, *args, **kwargs):
    need("skopeo")
    return tool("skopeo", "--policy", tool.policy, *args, **kwargs)


def podman(tool, *args, **kwargs):
    need("podman")
    return tool("podman", "--storage-driver", "vfs", "--root", tool.dir / "root", "--runroot",
                tool.dir / "runroot", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
                *args, **kwargs)
