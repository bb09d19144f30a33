"""dnsd over the wire: records of the example cluster, EDNS, TCP and its limits, who may
ask, reload."""

import os
import resource
import signal
import socket
import struct

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
import dnsd
from dnsd import HOST, query, tcp, texts, udp
from harness import free_port, wait_until

offline_daemon = dnsd.offline_daemon

def connect(port):
    return socket.create_connection((HOST, port), 10)


def framed(q):
    wire = q if isinstance(q, bytes) else q.to_wire()
    return struct.pack("!H", len(wire)) + wire


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError(f"{len(data)} of {n} bytes")
        data += more
    return data


def read_message(s):
    return dns.message.from_wire(read_exactly(s, struct.unpack("!H", read_exactly(s, 2))[0]))


def closed(s):
    """The server has closed: end of file or a reset, and nothing before."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def port(daemon):
    p = free_port()
    daemon("dnsd", {"listen": [f"{HOST}:{p}"]})
    return p


# --- what is answered ------------------------------------------------------------------


@pytest.mark.parametrize("send", [udp, tcp])
@pytest.mark.parametrize("name,rdtype,want", [
    ("api.okd.example.com", "A", ["192.168.120.101"]),
    ("api-int.okd.example.com", "A", ["192.168.120.101"]),
    ("registry.okd.example.com", "A", ["192.168.120.101"]),
    ("bootstrap.okd.example.com", "A", ["192.168.120.102"]),
    ("worker.okd.example.com", "A", ["192.168.120.104"]),
    ("apps.okd.example.com", "A", ["192.168.120.101"]),
    ("console-openshift-console.apps.okd.example.com", "A", ["192.168.120.101"]),
    ("etcd-0.okd.example.com", "A", ["192.168.120.103"]),
    ("_etcd-server-ssl._tcp.okd.example.com", "SRV", ["0 10 2380 etcd-0.okd.example.com."]),
    ("103.120.168.192.in-addr.arpa", "PTR", ["master.okd.example.com."]),
    ("101.120.168.192.in-addr.arpa", "PTR", [
        "api-int.okd.example.com.", "api.okd.example.com.", "bastion.okd.example.com."]),
])
def test_records_of_the_cluster(port, send, name, rdtype, want):
    answer = send(port, query(name, rdtype))
    assert texts(answer) == want
    assert answer.flags & dns.flags.AA and not answer.flags & dns.flags.RA


@pytest.mark.parametrize("name,rdtype,rcode", [
    ("api.okd.example.com", "AAAA", "NOERROR"),
    ("nobody.okd.example.com", "A", "NXDOMAIN"),
    ("9.120.168.192.in-addr.arpa", "PTR", "NXDOMAIN"),
])
def test_negative_answers_carry_the_soa(port, name, rdtype, rcode):
    answer = udp(port, query(name, rdtype))
    assert dns.rcode.to_text(answer.rcode()) == rcode and not answer.answer
    (soa,) = answer.authority
    assert soa.ttl == soa[0].minimum == 30


@pytest.mark.parametrize("name,rdtype", [
    ("www.example.org", "A"), (".", "NS"), (".", "A"), ("okd.example.com", "AXFR")])
def test_what_is_not_ours_is_refused(port, name, rdtype):
    for send in (udp, tcp):
        if rdtype == "AXFR" and send is udp:
            continue
        answer = send(port, query(name, rdtype))
        assert answer.rcode() == dns.rcode.REFUSED and not answer.answer


def test_edns(port):
    unknown = dns.edns.GenericOption(65001, b"12345678")
    answer = udp(port, query("api.okd.example.com", use_edns=0, payload=4096,
                             want_dnssec=True, options=[unknown]))
    assert answer.edns == 0 and answer.payload == 1232 and not answer.options
    assert answer.ednsflags & dns.flags.DO
    assert udp(port, query("api.okd.example.com")).edns == -1
    version_1 = query("api.okd.example.com", use_edns=0)
    version_1.ednsflags = 0x10000
    bad = udp(port, version_1)
    assert bad.rcode() == dns.rcode.BADVERS and bad.edns == 0 and not bad.answer


def test_messages_without_a_reply_do_not_stop_the_next(port):
    good = query("api.okd.example.com")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((HOST, port))
        response = bytearray(good.to_wire())
        response[2] |= 0x80
        for junk in (b"", b"x", b"\0" * 11, bytes(response)):
            s.send(junk)
        s.send(good.to_wire())
        assert dns.message.from_wire(s.recv(4096)).id == good.id


def test_a_query_larger_than_the_buffer_is_formerr(port):
    q = query("api.okd.example.com", use_edns=0,
              options=[dns.edns.GenericOption(65001, b"x" * 3000)])
    wire = q.to_wire(max_size=4096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(wire, (HOST, port))
        assert dns.message.from_wire(s.recv(4096)).rcode() == dns.rcode.FORMERR
    with connect(port) as s:
        s.sendall(framed(wire))
        assert texts(read_message(s)) == ["192.168.120.101"]


def test_truncation_leads_to_tcp(daemon):
    p = free_port()
    lines = [f"big A 10.0.0.{i}" for i in range(200)]
    daemon("dnsd", {"listen": [f"{HOST}:{p}"], "records": lines})
    q = query("big.okd.example.com", use_edns=0)
    short = udp(p, q)
    assert short.flags & dns.flags.TC and not short.answer and short.edns == 0
    assert len(texts(tcp(p, q))) == 200


def test_the_reply_leaves_from_the_address_that_was_asked(daemon):
    p = free_port()
    daemon("dnsd", {"listen": [f"0.0.0.0:{p}"]})
    for host in ("127.0.0.1", "127.0.0.2", "127.9.9.9"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            s.sendto(query("api.okd.example.com").to_wire(), (host, p))
            _, peer = s.recvfrom(4096)
            assert peer == (host, p)


def test_both_families_on_a_wildcard(daemon):
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this host has no IPv6")
    p = free_port("::")
    daemon("dnsd", {"listen": [f"*:{p}"]})
    q = query("api.okd.example.com")
    for host in ("127.0.0.1", "::1"):
        assert texts(dns.query.udp(q, host, port=p, timeout=10)) == ["192.168.120.101"]
        assert texts(dns.query.tcp(q, host, port=p, timeout=10)) == ["192.168.120.101"]


# --- who may ask -----------------------------------------------------------------------


def test_who_is_not_allowed_is_refused(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "allow": ["10.0.0.0/8"]})
    q = query("api.okd.example.com")
    assert udp(p, q).rcode() == dns.rcode.REFUSED
    assert tcp(p, q).rcode() == dns.rcode.REFUSED
    assert d.metrics()["okd_dnsd_not_allowed_total"] == 2


def test_a_reload_of_who_may_ask_holds_for_open_connections(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"]})
    q = query("api.okd.example.com")
    with connect(p) as s:
        s.sendall(framed(q))
        assert texts(read_message(s)) == ["192.168.120.101"]
        d.reload({"listen": [f"{HOST}:{p}"], "forward": {"to": []}, "allow": ["10.0.0.0/8"]})
        s.sendall(framed(q))
        assert read_message(s).rcode() == dns.rcode.REFUSED
        assert closed(s)


def test_ports_of_other_services_get_nothing(daemon):
    if os.geteuid() != 0:
        pytest.skip("needs root to bind a low port")
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"]})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((HOST, 19))
        s.sendto(query("api.okd.example.com").to_wire(), (HOST, p))
        wait_until(lambda: d.metrics()["okd_dnsd_reflected_total"] == 1, what="the count")
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(1)


# --- TCP -------------------------------------------------------------------------------


def test_pipelined_queries_are_answered_in_order(port):
    queries = [query(f"q{i}.apps.okd.example.com") for i in range(500)]
    with connect(port) as s:
        s.sendall(b"".join(framed(q) for q in queries))
        for q in queries:
            answer = read_message(s)
            assert q.is_response(answer) and texts(answer) == ["192.168.120.101"]


def test_a_query_byte_by_byte(port):
    q = query("api.okd.example.com")
    with connect(port) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(q):
            s.send(bytes([byte]))
        assert q.is_response(read_message(s))


def test_the_largest_message(port):
    head = query("api.okd.example.com").to_wire()
    whole = head + b"\0" * (65535 - len(head))
    with connect(port) as s:
        s.sendall(framed(whole) + framed(head))
        for _ in range(2):
            assert texts(read_message(s)) == ["192.168.120.101"]


@pytest.mark.parametrize("bytes_sent", [b"\0\0", b"\0\3abc"])
def test_what_is_no_message_ends_the_connection(port, bytes_sent):
    with connect(port) as s:
        s.sendall(bytes_sent)
        assert closed(s)


def test_half_a_message_times_out(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "tcp": {"idle": "300ms"}})
    with connect(p) as s, connect(p) as silent:
        s.sendall(b"\0\x40abc")
        assert closed(s) and closed(silent)
    assert d.metrics()["okd_dnsd_tcp_timed_out_total"] == 2


def test_a_client_that_shuts_its_side_gets_its_answer(port):
    q = query("api.okd.example.com")
    with connect(port) as s:
        s.sendall(framed(q))
        s.shutdown(socket.SHUT_WR)
        assert q.is_response(read_message(s))
        assert closed(s)


def test_queries_of_a_connection_are_limited(daemon):
    p = free_port()
    daemon("dnsd", {"listen": [f"{HOST}:{p}"], "tcp": {"queries": 3}})
    q = framed(query("api.okd.example.com"))
    with connect(p) as s:
        s.sendall(q * 3)
        for _ in range(3):
            read_message(s)
        assert closed(s)


def test_clients_of_an_address_are_limited(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "tcp": {"clients_per_address": 2}})
    q = query("api.okd.example.com")
    with connect(p) as a, connect(p) as b:
        for s in (a, b):
            s.sendall(framed(q))
            read_message(s)
        with connect(p) as c:
            assert closed(c)
        a.sendall(framed(q))
        assert q.is_response(read_message(a))
    assert d.metrics()["okd_dnsd_tcp_rejected_total"] == 1
    wait_until(lambda: d.metrics()["okd_dnsd_tcp_connections"] == 0, what="no connection")
    assert texts(tcp(p, q)) == ["192.168.120.101"]


def test_a_new_client_takes_the_place_of_the_most_idle(daemon):
    p = free_port()
    daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "tcp": {"clients": 2}})
    q = query("api.okd.example.com")
    with connect(p) as a, connect(p) as b:
        for s in (a, b):
            s.sendall(framed(q))
            read_message(s)
        with connect(p) as c:
            c.sendall(framed(q))
            assert q.is_response(read_message(c))
            assert closed(a)
            b.sendall(framed(q))
            assert q.is_response(read_message(b))


def test_a_slow_reader_is_served_and_bounded(daemon):
    """Replies of 30 KiB each that are not read: the daemon stops reading from him, serves
    others, and sends all of it once he reads."""
    p = free_port()
    lines = [f'big TXT "{i:04} {"x" * 200}"' for i in range(150)]
    daemon("dnsd", {"listen": [f"{HOST}:{p}"], "records": lines, "tcp": {"idle": "30s"}})
    q = query("big.okd.example.com", "TXT")
    count = 400
    with connect(p) as s:
        s.sendall(framed(q) * count)
        assert texts(tcp(p, query("api.okd.example.com"))) == ["192.168.120.101"]
        for _ in range(count):
            assert len(read_message(s).answer[0]) == 150


def test_out_of_descriptors_it_keeps_serving(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "tcp": {"clients_per_address": 1000}})
    q = query("api.okd.example.com")
    open_now = len(os.listdir(f"/proc/{d.pid}/fd"))
    _, hard = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (open_now + 5, hard))
    held = [connect(p) for _ in range(20)]
    d.log_contains("no descriptor is left")
    assert texts(udp(p, q)) == ["192.168.120.101"]
    for s in held:
        s.close()
    assert texts(tcp(p, q)) == ["192.168.120.101"]
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (hard, hard))


# --- settings and reload ---------------------------------------------------------------


def test_records_of_a_person_win(daemon, tmp_path):
    p = free_port()
    more = tmp_path / "more.zone"
    more.write_text("; further ones\nfile A 10.1.1.2\n\nout.example.org. A 10.1.1.3\n")
    d = daemon("dnsd", {
        "listen": [f"{HOST}:{p}"], "records": ["api 5 IN A 10.1.1.1", "extra TXT hello"],
        "record_files": [str(more)],
    })
    assert texts(udp(p, query("api.okd.example.com"))) == ["10.1.1.1"]
    assert texts(udp(p, query("extra.okd.example.com", "TXT"))) == ['"hello"']
    assert texts(udp(p, query("file.okd.example.com"))) == ["10.1.1.2"]
    assert texts(udp(p, query("out.example.org"))) == ["10.1.1.3"]
    more.write_text("file A 10.1.1.9\n")
    d.reload()
    assert texts(udp(p, query("file.okd.example.com"))) == ["10.1.1.9"]
    more.write_text("file A 10.1.1.9\nfile A nonsense\n")
    d.reload()
    assert "more.zone:2:1" in d.status()["config"]["error"]
    assert texts(udp(p, query("file.okd.example.com"))) == ["10.1.1.9"]


@pytest.mark.threads
def test_reload_under_load_loses_nothing(daemon):
    p = free_port()
    config = {"listen": [f"{HOST}:{p}"], "workers": 2}
    d = daemon("dnsd", config)
    with connect(p) as held:
        for i in range(20):
            d.signal(signal.SIGHUP)
            for _ in range(20):
                assert texts(udp(p, query("api.okd.example.com"))) == ["192.168.120.101"]
            held.sendall(framed(query("api.okd.example.com")))
            assert texts(read_message(held)) == ["192.168.120.101"]
    wait_until(lambda: d.status()["config"]["generation"] > 2, what="a reload")


def test_metrics(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"]})
    udp(p, query("api.okd.example.com"))
    udp(p, query("nobody.okd.example.com", "AAAA", want_dnssec=True))
    tcp(p, query("api.okd.example.com", "TYPE1000"))
    m = d.metrics()
    base = 'server="dns://:53",zone=".",view=""'
    assert m[f'coredns_dns_requests_total{{{base},proto="udp",family="1",type="A"}}'] == 1
    assert m[f'coredns_dns_requests_total{{{base},proto="tcp",family="1",type="other"}}'] == 1
    assert m[f'coredns_dns_responses_total{{{base},rcode="NXDOMAIN",plugin=""}}'] == 1
    assert m[f"coredns_dns_do_requests_total{{{base}}}"] == 1
    assert m[f'coredns_dns_request_size_bytes_count{{{base},proto="udp"}}'] == 2
    assert m["okd_dnsd_zone_records"] == d.status()["dnsd"]["records"] > 10
    version = d.status()["version"]
    assert m[f'coredns_build_info{{version="{version}",revision="",goversion=""}}'] == 1
    on = {k.split('name="')[1].rstrip('"}') for k in m if k.startswith("coredns_plugin_enabled{")}
    assert on == {"acl", "loadbalance", "log", "prometheus"}


def test_what_is_in_force_is_in_the_metrics(daemon, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 one.example\n")
    d = daemon("dnsd", {"listen": [f"{HOST}:{free_port()}"], "hosts": [str(hosts)],
                        "log": "all", "loadbalance": False,
                        "forward": {"to": [f"{HOST}:{free_port()}"]}})
    m = d.metrics()
    for name in ("acl", "cache", "forward", "hosts", "log", "loop", "prometheus"):
        assert m[f'coredns_plugin_enabled{{server="dns://:53",zone=".",view="",'
                 f'name="{name}"}}'] == 1
    assert not [k for k in m if 'name="template"' in k or 'name="loadbalance"' in k]
