"""okdctl mirror with a stand-in for oc, which prints and fails as oc does."""

import json
import os
import subprocess
import textwrap

import pytest
from harness import TOP
from test_okdctl import on_terminal
import test_okdctl_check
import test_okdctl_install
from test_okdctl_install import fake

ctl, daemon = test_okdctl_install.ctl, test_okdctl_install.daemon
regd = test_okdctl_check.regd
TO = "registry.okd.example.com:5000/openshift/okd"

# What "oc adm release mirror" of 4.5 does: the plan and errors go to standard error, an image
# that arrived to standard output; a failed upload does not stop the others, and is not tried
# again.  The n-th run pushes what PLAN says for it.
OC = textwrap.dedent("""\
    #!/usr/bin/python3
    import json, os, sys
    sys.path.insert(0, {tests!r})
    from regd import SCHEMA2, Client, Image
    state, port, ca, auth, to = {state!r}, {port}, {ca!r}, {auth!r}, {to!r}
    with open(state) as f:
        runs = json.load(f)
    mine = runs["plan"][min(len(runs["argv"]), len(runs["plan"]) - 1)]
    runs["argv"].append(sys.argv[1:])
    with open(state, "w") as f:
        json.dump(runs, f)
    say = lambda text: print(text, file=sys.stderr, flush=True)
    parts = {{f"part{{i}}": Image({{f"part{{i}}": b"x" * 500}}, SCHEMA2) for i in range(2)}}
    stream = {{"metadata": {{"name": "4.5.0"}}, "spec": {{"tags": [
        {{"name": n, "from": {{"kind": "DockerImage",
                              "name": f"quay.io/openshift/okd-content@{{i.digest}}"}}}}
        for n, i in parts.items()]}}}}
    parts["payload"] = Image(
        {{"release-manifests/image-references": json.dumps(stream).encode()}}, SCHEMA2)
    tags = {{n: "4.5.0" if n == "payload" else f"4.5.0-{{n}}" for n in parts}}
    say(f"info: Mirroring {{len(parts)}} images to {{to}} ...")
    say(to.split("/")[0] + "/\\n  openshift/okd\\n    manifests:")
    for n, i in parts.items():
        say(f"      {{i.digest}} -> {{tags[n]}}")
    say("  stats: shared=0 unique=6 size=3KiB ratio=1.00\\n\\nphase 0:")
    say(f"  {{to.split('/')[0]}} openshift/okd blobs=6 mounts=0 manifests=3 shared=0\\n")
    say("info: Planning completed in 320ms")
    with Client(port, None, ca=ca) as c:
        c.headers["Authorization"] = "Basic " + auth
        c.c._context.check_hostname = False
        for n, i in parts.items():
            say(f"uploading: {{to}} {{i.digest}} 45.55MiB")
            if n in mine["push"]:
                c.push("openshift/okd", tags[n], i)
                print(f"{{i.digest}} {{to}}:{{tags[n]}}", flush=True)
            elif mine["exit"]:
                say(f"error: unable to push manifest to {{to}}:{{tags[n]}}: unexpected EOF")
    say("info: Mirroring completed in 11.1s (77.26MB/s)")
    if mine["exit"]:
        say("error: one or more errors occurred while uploading images")
        sys.exit(mine["exit"])
    print(f"\\nSuccess\\nUpdate image:  {{to}}:4.5.0\\nMirror prefix: {{to}}")
    """)
ALL = {"push": ["part0", "part1", "payload"], "exit": 0}


def stand_in(ctl, tmp_path, regd, *plan):
    auth = json.loads(ctl.file("pull-secret.json"))["auths"]["registry.okd.example.com:5000"]
    state = tmp_path / "runs.json"
    state.write_text(json.dumps({"plan": plan, "argv": []}))
    fake(ctl, tmp_path, "oc", "")
    (tmp_path / "fake/oc").write_text(OC.format(
        tests=os.path.join(TOP, "tests", "integration"), state=str(state), port=regd.port,
        ca=str(ctl.etc / "registry-ca.crt"), auth=auth["auth"], to=TO))
    return lambda: json.loads(state.read_text())["argv"]


def test_a_release_is_mirrored_and_verified(ctl, regd, tmp_path):
    runs = stand_in(ctl, tmp_path, regd, ALL)
    p = ctl("mirror", "4.5.0")
    assert p.stdout == f"4.5.0 is mirrored to {TO}:4.5.0\n"
    assert "3 of 3 images\n" in p.stderr and "2 of 2 images are mirrored" in p.stderr
    assert "oc: info: Planning completed" in p.stderr
    assert "uploading:" not in p.stderr and "stats:" not in p.stderr
    assert runs() == [["adm", "release", "mirror", "-a", f"{ctl.etc}/pull-secret.json",
                       "--from=quay.io/openshift/okd:4.5.0", f"--to={TO}",
                       f"--to-release-image={TO}:4.5.0"]]


def test_what_oc_does_not_retry_is_repeated(ctl, regd, tmp_path):
    runs = stand_in(ctl, tmp_path, regd, {"push": ["part0", "payload"], "exit": 1}, ALL)
    p = ctl("mirror", "4.5.0", "--json")
    assert "oc: error: unable to push manifest to" in p.stderr
    assert "attempt 1 of 5: \"oc adm release mirror" in p.stderr
    assert len(runs()) == 2
    said = json.loads(p.stdout)
    assert said["complete"] is True and said["attempts"] == 2 and said["images"] == 2


def test_an_oc_that_is_content_is_not_believed(ctl, regd, tmp_path):
    runs = stand_in(ctl, tmp_path, regd, {"push": ["part0", "payload"], "exit": 0}, ALL)
    p = ctl("mirror", "4.5.0")
    assert "attempt 1 of 5: oc is content, but images are missing" in p.stderr
    assert "1 of 2 images are mirrored" in p.stderr
    assert len(runs()) == 2


def test_it_gives_up_and_says_how_far_it_came(ctl, regd, tmp_path):
    stand_in(ctl, tmp_path, regd, {"push": ["part0", "payload"], "exit": 1})
    p = ctl("mirror", "4.5.0", "--attempts", "2", "--json", expect=1)
    assert "attempt 2 of 2" in p.stderr and "run this again" in p.stderr
    said = json.loads(p.stdout)
    assert said["complete"] is False and said["present"] == 1 and said["attempts"] == 2


def test_the_count_is_drawn_in_place_on_a_terminal(ctl, regd, tmp_path):
    stand_in(ctl, tmp_path, regd, ALL)
    out = on_terminal(["--etc", ctl.etc, "--run-dir", ctl.run_dir, "mirror", "4.5.0"],
                      env={"PATH": ctl.path}, stdout=subprocess.DEVNULL)
    assert b"\r\033[K1 of 3 images\r\033[K2 of 3 images\r\033[K3 of 3 images\r\n" in out, out


def test_later_releases_have_other_repositories(ctl, tmp_path):
    """As install-config.yaml of such a release names them."""
    fake(ctl, tmp_path, "oc", f'echo "$@" > {tmp_path}/argv; exit 1\n')
    ctl("mirror", "4.17.0-okd-scos.1", "--attempts", "1", expect=1)
    to = "registry.okd.example.com:5000/okd/scos"
    assert (tmp_path / "argv").read_text().split()[-3:] == [
        "--from=quay.io/okd/scos-release:4.17.0-okd-scos.1", f"--to={to}",
        f"--to-release-image={to}:4.17.0-okd-scos.1"]
    ctl("init", "--release", "4.17", "--force")
    assert f"- {to}\n" in ctl.file("install-config.yaml")


@pytest.mark.parametrize("args,said,status", [
    (["--attempts", "0"], "a number from 1 to 100", 2), ([], 'no program "oc"', 1)])
def test_it_says_what_is_missing(ctl, args, said, status):
    ctl.path = "/nonexistent"
    assert said in ctl("mirror", "4.5.0", *args, expect=status).stderr
