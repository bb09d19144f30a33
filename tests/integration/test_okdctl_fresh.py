"""A fresh machine: okdctl init with a topology of four hosts does to the host what it needs,
the daemons start from what it wrote, as their own users, and okdctl check has no FAIL.

The machine is a set of namespaces: its own processes, network, /run and /var/lib, and
copies of /etc and /usr/local that are thrown away."""

import glob
import json
import os
import shutil
import subprocess

import pytest
import yaml
from harness import BUILD, SLOW, TOP
import variant

TOPOLOGY = os.path.join(TOP, "examples", "okd.example.com", "cluster.yaml")
DAEMONS = ("dnsd", "lbd", "regd", "ignd", "csrd")

MACHINE = """
cd "$TOP"
mount -t tmpfs tmpfs "$WORK"
for folder in /etc /usr/local; do
	upper=$WORK/$(basename $folder)
	mkdir -p $upper/upper $upper/work
	mount -t overlay -o lowerdir=$folder,upperdir=$upper/upper,workdir=$upper/work overlay $folder
done
mkdir -p $WORK/bin
cp "$BUILD"/okd-* "$BUILD"/okdctl "$BUILD"/libokdcommon.so* $WORK/bin/
mkdir -p /etc/sysusers.d /etc/tmpfiles.d
cp systemd/okd-bastion.sysusers /etc/sysusers.d/okd-bastion.conf
chmod 755 $WORK $WORK/bin
mkdir $WORK/run $WORK/lib
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755,size=40g tmpfs /var/lib
ip link set lo up
ip address add 192.168.120.101/24 dev lo
PATH=$WORK/bin:$PATH
"""

START = """
start() {
	install -d -o okd-$1 -g okd-$1 -m 750 /var/lib/okd-$1
	install -d -o okd-$1 -g okd-admin -m 755 /run/okd-$1
	STATE_DIRECTORY=/var/lib/okd-$1 RUNTIME_DIRECTORY=/run/okd-$1 \\
		setpriv --reuid=okd-$1 --regid=okd-$1 --init-groups \\
		--inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service \\
		okd-$1 > $WORK/okd-$1.log 2>&1 &
}
for d in dnsd lbd regd ignd csrd; do start $d; done
# As systemctl start would: until every one of them answers.
tries=0
until okdctl check daemons --json > $WORK/daemons.json &&
		! grep -q "does not run" $WORK/daemons.json; do
	tries=$((tries + 1))
	[ $tries -lt 300 ] || { cat $WORK/*.log >&2; exit 3; }
	sleep 0.05
done
"""

pytestmark = [
    pytest.mark.timeout(200),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces"),
    pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="needs systemd-sysusers"),
    pytest.mark.skipif(not all(os.path.exists(f"{BUILD}/okd-{d}") for d in DAEMONS),
                       reason="the suite is not built"),
]


def on_a_machine(script, expect=0):
    """Runs a script there; what it printed."""
    # A place where the daemons' users come to, and that is empty in every namespace.
    env = {**os.environ, **variant.sanitizer_environment(), "WORK": "/mnt", "TOP": TOP,
           "BUILD": BUILD, "HOME": "/nonexistent"}
    env.pop("SUDO_USER", None)
    p = subprocess.run(
        ["unshare", "-m", "-n", "-p", "--fork", "--kill-child", "--mount-proc",
         "--propagation", "private", "sh", "-euc", MACHINE + script],
        capture_output=True, text=True, env=env, timeout=100 * SLOW)
    assert p.returncode == expect, f"{p.returncode}\n{p.stdout}\n{p.stderr}"
    assert not variant.SANITIZER.search(p.stderr), p.stderr
    return p


def test_from_nothing_to_a_check_without_fail():
    before = {p: os.stat(p).st_mtime_ns for p in ("/etc/resolv.conf", "/etc/passwd")}
    p = on_a_machine(f"""
        begin=$(date +%s%N)
        okdctl init --topology {TOPOLOGY} --apply --yes >&2
        echo "init: $((($(date +%s%N) - begin) / 1000000)) ms" >&2
        {START}
        echo "started: $((($(date +%s%N) - begin) / 1000000)) ms" >&2
        status=0
        okdctl check --json || status=$?
        echo "took $((($(date +%s%N) - begin) / 1000000)) ms" >&2
        exit $status
        """)
    lines = json.loads(p.stdout)
    assert not [x for x in lines if x["level"] == "FAIL"]
    for text in ("okd-dnsd answers for every name", "this host's resolver finds api",
                 "the registry answers https://192.168.120.101:5000 over TLS",
                 "the registry accepts the pull secret", "192.168.120.101:53 held by okd-dnsd",
                 "this host has the address 192.168.120.101"):
        assert [x for x in lines if text in x["text"] and x["level"] == "OK"], (text, lines)
    # This host trusts the registry, by update-ca-certificates.
    assert not [x for x in lines if "does not trust" in x["text"]]
    assert {x["level"] for x in lines} >= {"OK", "NOT YET"}
    took = p.stderr.split("took ")[1].split(" ms")[0]
    print(f"init, start and check took {took} ms")
    assert before == {q: os.stat(q).st_mtime_ns for q in before}, "the real host was touched"
    assert not glob.glob("/usr/local/share/ca-certificates/okd-bastion*")


def test_apply_does_what_it_lists_and_then_nothing_is_left_to_do():
    p = on_a_machine(f"""
        okdctl init --topology {TOPOLOGY} --apply --dry-run
        ! grep -q okd-dnsd /etc/passwd
        echo ---
        okdctl init --topology {TOPOLOGY} --apply --yes
        echo ---
        okdctl init --topology {TOPOLOGY} --apply --yes
        echo ---
        cat /etc/resolv.conf
        getent passwd okd-dnsd okd-lbd okd-regd okd-ignd okd-csrd
        getent group okd-admin
        grep -c "$(sed -n 5p /etc/okd-bastion/registry-ca.crt)" /etc/ssl/certs/ca-certificates.crt
        stat -c '%U:%G %a %n' /etc/okd-bastion/registry.key /etc/okd-bastion/private
        """)
    planned, done, again, host = p.stdout.split("---\n")
    for text in ("systemd-sysusers", "write /etc/resolv.conf", "run update-ca-certificates"):
        assert text in planned and text in done
        assert text not in again
    assert "nothing is to be done" in again
    assert host.startswith("search okd.example.com\nnameserver 192.168.120.101\n")
    assert host.count("okd-") >= 6 and "\n1\n" in host
    assert "root:okd-regd 640 /etc/okd-bastion/registry.key" in host
    assert "root:root 700 /etc/okd-bastion/private" in host


def test_those_whom_a_stub_resolver_asks_become_the_upstreams():
    """As on Fedora and Ubuntu, where resolv.conf names systemd-resolved's own address."""
    p = on_a_machine("""
        printf 'nameserver 127.0.0.53\n' > /etc/resolv.conf
        mkdir -p /run/systemd/resolve
        printf '# by systemd-resolved\nnameserver 9.9.9.9\nnameserver 149.112.112.112\n' \
            > /run/systemd/resolve/resolv.conf
        okdctl init --name okd --base-domain example.com --bastion 192.168.120.101 \
            --machine-network 192.168.120.0/24 \
            --node name=master,role=master,address=192.168.120.103 >&2
        cat /etc/okd-bastion/cluster.yaml
        """)
    assert yaml.safe_load(p.stdout)["upstream_dns"] == ["9.9.9.9", "149.112.112.112"]


def test_a_refused_write_leaves_nothing_half_done():
    """The disk is full while init writes: no file is there in part."""
    p = on_a_machine(f"""
        mkdir /etc/okd-bastion
        mount -t tmpfs -o size=16k tmpfs /etc/okd-bastion
        okdctl init --topology {TOPOLOGY} && exit 9
        find /etc/okd-bastion -type f -exec sh -c 'echo "== $1"; cat "$1"' sh {{}} \\;
        """)
    assert "No space left on device" in p.stderr
    for piece in p.stdout.split("== ")[1:]:
        name, _, text = piece.partition("\n")
        if name.endswith("cluster.yaml"):
            with open(TOPOLOGY, encoding="utf-8") as f:
                assert text == f.read()
        elif name.endswith((".crt", ".key")):
            assert text.strip().startswith("-----BEGIN") and text.strip().endswith("-----")
        elif name.endswith(".yaml"):
            yaml.safe_load(text)
        assert text, f"{name} is empty"
