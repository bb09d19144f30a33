"""dnsd as a client of TLS: an Unbound that it asks over DNS over TLS, an etcd that wants
client certificates."""

import os
import shutil
import subprocess
import types

import pytest
import requests
import dnsd
import etcd as server
from dnsd import HOST, query, rcode, tcp, texts, udp
from etcd import b64
from harness import free_port, wait_until

offline_daemon = dnsd.offline_daemon
etcd = server.etcd

D = "/skydns/com/example/okd"


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        self.ca, _ = self.issue("ca", "/CN=authority", ca=True)

    def issue(self, name, subject, names="IP:127.0.0.1", ca=False):
        crt, key = f"{self.folder}/{name}.crt", f"{self.folder}/{name}.key"
        args = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", key, "-out", crt, "-days", "2", "-subj", subject]
        if not ca:
            args += ["-CA", self.ca, "-CAkey", f"{self.folder}/ca.key", "-addext",
                     f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(args, check=True, capture_output=True)
        return crt, key


@pytest.fixture(name="authority")
def authority_fixture(tmp_path):
    return Authority(str(tmp_path / "pki"))


# --- DNS over TLS, and an upstream that is one ------------------------------------------


@pytest.fixture(name="unbound")
def unbound_fixture(tmp_path, authority):
    """unbound() -> ports and the running process: an Unbound with data of its own."""
    program = shutil.which("unbound", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        pytest.skip("unbound is not installed")
    running = []

    def start(name="dns.example.net", ports=None):
        crt, key = authority.issue(f"unbound{len(running)}", "/O=dns", f"DNS:{name}")
        plain, tls = ports or (free_port(), free_port())
        path = tmp_path / f"unbound{len(running)}.conf"
        path.write_text(f"""
server:
  interface: {HOST}@{plain}
  interface: {HOST}@{tls}
  tls-port: {tls}
  tls-service-pem: "{crt}"
  tls-service-key: "{key}"
  username: ""
  chroot: ""
  directory: "{tmp_path}"
  pidfile: ""
  use-syslog: no
  do-ip6: no
  num-threads: 1
  module-config: "iterator"
  local-zone: example.org. static
  local-data: "www.example.org. 300 IN A 10.0.0.1"
  local-data: "alias.example.org. 300 IN CNAME www.example.org."
  local-data: "back.example.org. 300 IN CNAME api.okd.example.com."
  local-data: "many.example.org. 300 IN MX 10 a.example.org."
  local-data-ptr: "192.0.2.1 www.example.org"
""" + "".join(f'  local-data: \'big.example.org. 300 IN TXT "{i} {"x" * 200}"\'\n'
              for i in range(20)) + """
remote-control:
  control-enable: no
""")
        # pylint: disable=consider-using-with
        p = subprocess.Popen([program, "-d", "-p", "-c", str(path)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(p)
        wait_until(lambda: answers(plain), timeout=20, what="unbound")
        return types.SimpleNamespace(plain=plain, tls=tls, process=p)

    yield start
    for p in running:
        p.kill()
        p.wait(10)


def answers(port):
    try:
        return texts(tcp(port, query("www.example.org"), timeout=1)) == ["10.0.0.1"]
    except OSError:
        return False


def forward(daemon, to, **config):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1,
                        "forward": {"to": [to], **config}}, check_fds=False)
    return d, p


def check_answers(p):
    for send in (udp, tcp):
        assert texts(send(p, query("www.example.org"))) == ["10.0.0.1"]
        assert rcode(send(p, query("nobody.example.org"))) == "NXDOMAIN"
        assert texts(send(p, query("many.example.org", "MX"))) == ["10 a.example.org."]
        answer = send(p, query("www.example.org", "AAAA"))
        assert rcode(answer) == "NOERROR" and not answer.answer
        assert texts(send(p, query("1.2.0.192.in-addr.arpa", "PTR"))) == ["www.example.org."]
    assert len(texts(tcp(p, query("big.example.org", "TXT")))) == 20
    assert udp(p, query("big.example.org", "TXT")).flags & 0x200


def test_unbound_as_an_upstream(daemon, unbound):
    u = unbound()
    d, p = forward(daemon, f"{HOST}:{u.plain}")
    check_answers(p)
    assert d.metrics()["okd_dnsd_forward_truncated_total"] == 1


def test_dns_over_tls(daemon, unbound, authority):
    u = unbound()
    d, p = forward(daemon, f"tls://{HOST}:{u.tls}%dns.example.net", tls_ca=authority.ca)
    check_answers(p)
    # One connection serves them all, and another follows when it ends.
    u.process.kill()
    u.process.wait(10)
    v = unbound(ports=(u.plain, u.tls))
    d.admin("/v1/reload", "POST")
    assert texts(udp(p, query("alias.example.org", "CNAME"))) == ["www.example.org."]
    assert v.process.poll() is None


@pytest.mark.parametrize("name,other", [("dns.example.com", False), ("dns.example.net", True)])
def test_a_certificate_that_is_not_the_upstreams(daemon, unbound, authority, tmp_path, name,
                                                 other):
    u = unbound()
    ca = Authority(str(tmp_path / "other")).ca if other else authority.ca
    d, p = forward(daemon, f"tls://{HOST}:{u.tls}%{name}", tls_ca=ca, timeout="2s")
    assert rcode(udp(p, query("www.example.org"))) == "SERVFAIL"
    d.log_contains("does not answer: it is avoided")


# --- etcd ------------------------------------------------------------------------------


@pytest.fixture(name="pki")
def pki_fixture(authority):
    return types.SimpleNamespace(
        ca=authority.ca, server=authority.issue("server", "/O=etcd"),
        client=authority.issue("client", "/O=dnsd"))


def follow(daemon, e, pki, **etcd_settings):
    p = free_port()
    crt, key = pki.client
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "etcd": {
        "endpoints": e.urls, "ca": pki.ca, "certificate": crt, "key": key, **etcd_settings}},
        check_fds=False)
    return d, p


def comes(p, name, want):
    wait_until(lambda: texts(udp(p, query(name))) == want, timeout=15, what=f"{name} {want}")


def test_etcd_over_tls_with_a_client_certificate(daemon, etcd, pki):
    e = etcd(tls=pki)
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e, pki)
    comes(p, "new.okd.example.com", ["10.0.0.1"])
    e.put(f"{D}/new", '{"host":"10.0.0.2"}')
    comes(p, "new.okd.example.com", ["10.0.0.2"])
    e.stop()
    e.start()
    e.put(f"{D}/new", '{"host":"10.0.0.3"}')
    comes(p, "new.okd.example.com", ["10.0.0.3"])
    assert d.metrics()["okd_dnsd_etcd_bad_values"] == 0


def test_a_certificate_that_etcd_or_we_do_not_trust(daemon, etcd, pki, tmp_path):
    e = etcd(tls=pki)
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    other = Authority(str(tmp_path / "other"))
    stranger = types.SimpleNamespace(ca=pki.ca, client=other.issue("client", "/O=x"))
    d, p = follow(daemon, e, stranger)
    d.log_contains("what was known goes on being served")
    assert rcode(udp(p, query("new.okd.example.com"))) == "NXDOMAIN"
    # The right one after a reload.
    crt, key = pki.client
    base = {"listen": [f"{HOST}:{p}"], "forward": {"to": []}}
    d.reload({**base, "etcd": {"endpoints": e.urls, "ca": pki.ca, "certificate": crt,
                               "key": key}})
    comes(p, "new.okd.example.com", ["10.0.0.1"])
    since = d.log_position()
    d.reload({**base, "etcd": {"endpoints": e.urls, "ca": other.ca, "certificate": crt,
                               "key": key}})
    d.log_contains("what was known goes on being served", since=since)
    assert texts(udp(p, query("new.okd.example.com"))) == ["10.0.0.1"]


def test_a_token_that_expires_is_renewed(daemon, etcd, pki, tmp_path):
    e = etcd(tls=pki)
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    for path, body in (
            ("/auth/user/add", {"name": "root", "password": "r"}),
            ("/auth/role/add", {"name": "root"}),
            ("/auth/user/grant", {"user": "root", "role": "root"}),
            ("/auth/user/add", {"name": "dnsd", "password": "p"}),
            ("/auth/role/add", {"name": "reader"}),
            ("/auth/role/grant", {"name": "reader", "perm": {
                "permType": "READ", "key": b64("/skydns/"), "range_end": b64("/skydns0")}}),
            ("/auth/user/grant", {"user": "dnsd", "role": "reader"}),
            ("/auth/enable", {})):
        e.post(path, body)
    secret = tmp_path / "password"
    secret.write_text("p\n")
    d, p = follow(daemon, e, pki, username="dnsd", password_file=str(secret))
    comes(p, "new.okd.example.com", ["10.0.0.1"])
    # etcd keeps tokens in memory: a restart forgets them all.
    e.stop()
    e.start()
    token = e.post("/auth/authenticate", {"name": "root", "password": "r"})["token"]
    put_as(e, pki, token, "10.0.0.2")
    comes(p, "new.okd.example.com", ["10.0.0.2"])
    assert d.status()["dnsd"]["etcd"]["state"] in ("watching", "checking")


def put_as(e, pki, token, host):
    r = requests.post(f"{e.urls[0]}/v3/kv/put", timeout=10, verify=pki.ca, cert=pki.client,
                      headers={"Authorization": token}, json={
                          "key": b64(f"{D}/new"), "value": b64(f'{{"host":"{host}"}}')})
    assert r.status_code == 200, r.text
