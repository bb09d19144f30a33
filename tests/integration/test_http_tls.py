"""The HTTP server over TLS."""

import contextlib
import hashlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest
from httpd import TIMEOUT, checksum, read_reply
from httpd import make_root, make_start

FIXTURES = (make_root, make_start)  # pytest finds them in this module

def certificate(folder, name, days=10, signer=None, ca=False):
    key, cert = folder / f"{name}.key", folder / f"{name}.crt"
    args = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", key, "-out", cert, "-days", str(days), "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]  # fmt: skip
    if signer:
        args += ["-CA", folder / f"{signer}.crt", "-CAkey", folder / f"{signer}.key"]
        args += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(args, check=True, capture_output=True)
    return cert, key


@pytest.fixture
def pair(tmp_path):
    return certificate(tmp_path, "first")


def tls_get(httpd, ca, path="/hello.txt", **kw):
    context = ssl.create_default_context(cafile=ca)
    if "client" in kw:
        context.load_cert_chain(*kw["client"])
    c = http.client.HTTPSConnection("localhost", httpd.port, context=context, timeout=TIMEOUT)
    with contextlib.closing(c):
        c.request(kw.get("method", "GET"), path, kw.get("body"))
        r = c.getresponse()
        r.body = r.read()
    return r


def test_tls(start, root, pair):
    httpd = start("--cert", pair[0], "--key", pair[1])
    assert tls_get(httpd, pair[0]).body == b"hello world\n"
    assert tls_get(httpd, pair[0], "/big").body == (root / "big").read_bytes()
    assert tls_get(httpd, pair[0], "/memory?n=5000000").body == b"m" * 5000000
    assert tls_get(httpd, pair[0], "/stream?n=5000&ms=5").body == b"x" * 5000
    data = os.urandom(500000)
    r = tls_get(httpd, pair[0], "/count", method="PUT", body=data)
    assert r.body == b"%d %d\n" % (len(data), checksum(data))
    assert tls_get(httpd, pair[0], "/who").body == b"127.0.0.1\nTLSv1.3 -\n"


def test_tls_with_curl(start, root, pair):
    httpd = start("--cert", pair[0], "--key", pair[1])
    url = f"https://localhost:{httpd.port}"
    for version in ("--tls-max=1.2", "--tlsv1.3"):
        out = subprocess.run(
            ["curl", "-sv", "--cacert", pair[0], *version.split("="), f"{url}/big", f"{url}/big"],
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        assert out.stdout == (root / "big").read_bytes() * 2
        assert b"ALPN: server accepted http/1.1" in out.stderr
    old = subprocess.run(
        ["curl", "-s", "--cacert", pair[0], "--tls-max", "1.1", url], timeout=TIMEOUT
    )
    assert old.returncode == 35


def test_tls_slow_reader_gets_all(start, root, pair):
    httpd = start("--cert", pair[0], "--key", pair[1])
    context = ssl.create_default_context(cafile=pair[0])
    with context.wrap_socket(httpd.connect(rcvbuf=4096), server_hostname="localhost") as s:
        s.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = b""
        while b"\r\n\r\n" not in data:
            data += s.recv(1000)
        digest = hashlib.sha256(data.split(b"\r\n\r\n", 1)[1])
        while data := s.recv(3000):
            digest.update(data)
    assert digest.digest() == hashlib.sha256((root / "big").read_bytes()).digest()


def test_tls_resumption(start, pair):
    httpd = start("--cert", pair[0], "--key", pair[1])
    context = ssl.create_default_context(cafile=pair[0])
    session = None
    for reused in (False, True, True):
        with context.wrap_socket(httpd.connect(), server_hostname="localhost",
                                 session=session) as s:  # fmt: skip
            s.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_reply(s)[0] == 200
            assert s.session_reused == reused
            session = s.session


def test_plain_talk_to_tls_port(start, pair):
    httpd = start("--cert", pair[0], "--key", pair[1])
    try:
        assert not httpd.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP")
    except ConnectionResetError:
        pass
    assert tls_get(httpd, pair[0]).status == 200


def test_stuck_handshake(start, pair):
    httpd = start("--cert", pair[0], "--key", pair[1], "--head-ms", 300)
    with httpd.connect() as s:
        s.sendall(b"\x16\x03\x01")
        assert s.recv(1) == b""


def test_certificate_reload(start, tmp_path, pair):
    cert, key = tmp_path / "live.crt", tmp_path / "live.key"
    cert.write_bytes(pair[0].read_bytes())
    key.write_bytes(pair[1].read_bytes())
    httpd = start("--cert", cert, "--key", key)
    context = ssl.create_default_context(cafile=cert)
    with context.wrap_socket(httpd.connect(), server_hostname="localhost") as old:
        fresh = certificate(tmp_path, "second")
        cert.write_bytes(fresh[0].read_bytes())
        httpd.proc.send_signal(signal.SIGHUP)
        line = httpd.wait_line("reload")
        assert line == (
            f"reload failed: {key}: this key does not belong to the certificate in {cert}"
        )
        assert tls_get(httpd, pair[0]).status == 200
        key.write_bytes(fresh[1].read_bytes())
        httpd.proc.send_signal(signal.SIGHUP)
        httpd.wait_line("^reloaded")
        assert tls_get(httpd, fresh[0]).status == 200
        old.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_reply(old)[0] == 200


def test_client_certificates(start, tmp_path, pair):
    certificate(tmp_path, "authority")
    client = certificate(tmp_path, "client", signer="authority")
    httpd = start("--cert", pair[0], "--key", pair[1], "--client-ca", tmp_path / "authority.crt")
    r = tls_get(httpd, pair[0], "/who", client=client)
    assert r.body == b"127.0.0.1\nTLSv1.3 CN = client\n"
    with pytest.raises((ssl.SSLError, OSError)):
        tls_get(httpd, pair[0])


def test_an_end_behind_records_is_heard(start, pair):
    """Of a body all records are taken at once; a close_notify among them ends the
    connection though its TCP stays open."""
    httpd = start("--cert", pair[0], "--key", pair[1])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=pair[0]).wrap_bio(
        incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", httpd.port), timeout=TIMEOUT) as s:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                s.sendall(outgoing.read())
                incoming.write(s.recv(65536))
        client.write(b"PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(40):
            client.write(bytes(1000))
        with contextlib.suppress(ssl.SSLWantReadError):
            client.unwrap()
        s.sendall(outgoing.read())
        while s.recv(65536):  # its tickets, and then its end: or the time-out
            pass


def refuse(httpd, source="127.0.0.1"):
    """A client that has never heard of the certificate's authority."""
    with socket.socket() as s:
        s.settimeout(TIMEOUT)
        s.bind((source, 0))
        s.connect(("127.0.0.1", httpd.port))
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(s, server_hostname="localhost")


def test_who_does_not_trust_the_certificate_is_told_of(start, pair):
    httpd = start("--cert", pair[0], "--key", pair[1])
    for version in ("1.2", "1.3"):
        source = f"127.0.0.{version[2:]}"
        curl = subprocess.run(["curl", "-s", "--interface", source, "--tls-max", version,
                               f"https://127.0.0.1:{httpd.port}/"], timeout=TIMEOUT)
        assert curl.returncode == 60
        line = httpd.wait_line(source)
        assert line == f"{source} does not accept the certificate (tlsv1 alert unknown ca)"
    with contextlib.suppress(ConnectionResetError):
        httpd.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert httpd.wait_line("127.0.0.1 ") == (
        "127.0.0.1 speaks HTTP where https:// is meant (http request)")
    # Who closes without a word is no such client.
    httpd.connect().close()
    assert tls_get(httpd, pair[0]).status == 200
    assert not any("TLS" in line for line in httpd.lines)


def test_few_refusals_are_told_of(start, pair):
    """One a minute of an address, ten a minute in all, and how many there were besides."""
    httpd = start("--cert", pair[0], "--key", pair[1])
    begin = time.monotonic()
    for _ in range(5):
        refuse(httpd)
    refuse(httpd, "127.0.0.2")
    httpd.wait_line("127.0.0.2 .*, and 4 before that were not told of")
    assert sum("does not accept" in line for line in httpd.lines) == 2
    for last in range(3, 33):
        refuse(httpd, f"127.0.0.{last}")
    assert tls_get(httpd, pair[0]).status == 200
    httpd.wait_line("GET /hello.txt 200")
    told = sum("does not accept" in line for line in httpd.lines)
    assert 10 <= told <= 11 + (time.monotonic() - begin) / 6
