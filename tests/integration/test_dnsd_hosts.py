"""dnsd's hosts files: names, reverse names, changes, what is wrong in them."""

import os

import pytest
import dnsd
from dnsd import HOST, query, rcode, texts, udp
from harness import free_port, run_daemon, wait_until

offline_daemon = dnsd.offline_daemon

TEXT = """# comment
127.0.0.1 localhost
192.0.2.7\tprinter.example.net printer  # two names
2001:db8::7 printer.example.net
fe80::1%lo scoped.example.net
192.0.2.8 Upper.Example.NET.
"""


def serve(daemon, *paths, **config):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "hosts": [str(x) for x in paths], **config})
    return d, p


def ask(p, name, rdtype="A"):
    return texts(udp(p, query(name, rdtype)))


def test_names_and_reverse_names(daemon, tmp_path):
    path = tmp_path / "hosts"
    path.write_text(TEXT)
    _, p = serve(daemon, path, hosts_ttl="2m")
    answer = udp(p, query("printer.example.net"))
    assert texts(answer) == ["192.0.2.7"] and answer.answer[0].ttl == 120
    assert ask(p, "printer.example.net", "AAAA") == ["2001:db8::7"]
    assert ask(p, "upper.example.net") == ["192.0.2.8"]
    assert ask(p, "scoped.example.net", "AAAA") == ["fe80::1"]
    assert ask(p, "7.2.0.192.in-addr.arpa", "PTR") == ["printer.", "printer.example.net."]
    other = udp(p, query("printer.example.net", "TXT"))
    assert rcode(other) == "NOERROR" and not other.answer
    # What is not in it is looked for elsewhere.
    assert ask(p, "api.okd.example.com") == ["192.168.120.101"]
    assert rcode(udp(p, query("nobody.example.net"))) == "REFUSED"


def test_a_name_of_the_cluster_is_replaced_and_static_records_win(daemon, tmp_path):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 api.okd.example.com both.okd.example.com\n")
    _, p = serve(daemon, path, records=["both A 192.0.2.2"])
    assert ask(p, "api.okd.example.com") == ["192.0.2.1"]
    assert ask(p, "both.okd.example.com") == ["192.0.2.2"]


def test_a_changed_file_is_read_again(daemon, tmp_path):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a.example.net\n192.0.2.2 b.example.net\n")
    d, p = serve(daemon, path, tmp_path / "later")
    d.log_contains("hosts: cannot read")
    fresh = tmp_path / "fresh"
    fresh.write_text("192.0.2.3 a.example.net\n")
    os.rename(fresh, path)
    (tmp_path / "later").write_text("192.0.2.4 c.example.net\n")
    wait_until(lambda: ask(p, "a.example.net") == ["192.0.2.3"], timeout=15, what="the change")
    assert ask(p, "c.example.net") == ["192.0.2.4"]
    assert rcode(udp(p, query("b.example.net"))) == "REFUSED"


def test_a_bad_line_harms_no_other(daemon, tmp_path):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a.example.net\n192.0.2 b.example.net\n192.0.2.3 c/d e.example.net\n"
                    "192.0.2.4 f.example.net")
    d, p = serve(daemon, path)
    d.log_contains(f'{path}:2 is left out: "192.0.2" is no address')
    d.log_contains(f'{path}:3 is left out: "c/d" is no host name')
    assert ask(p, "a.example.net") == ["192.0.2.1"]
    assert ask(p, "f.example.net") == ["192.0.2.4"]


def test_other_files_after_a_reload(daemon, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("192.0.2.1 a.example.net\n")
    two.write_text("192.0.2.2 b.example.net\n")
    d, p = serve(daemon, one)
    assert ask(p, "a.example.net") == ["192.0.2.1"]
    base = {"listen": [f"{HOST}:{p}"], "forward": {"to": []}}
    d.reload({**base, "hosts": [str(two)]})
    assert ask(p, "b.example.net") == ["192.0.2.2"]
    assert rcode(udp(p, query("a.example.net"))) == "REFUSED"
    d.reload(base)
    assert rcode(udp(p, query("b.example.net"))) == "REFUSED"


@pytest.mark.parametrize("path", ["hosts", "./hosts"])
def test_a_path_is_whole(path):
    done = run_daemon("dnsd", "-n", config={"hosts": ["/etc/hosts", path]})
    assert done.status == 1 and f"{path} must be a whole path" in done.err
