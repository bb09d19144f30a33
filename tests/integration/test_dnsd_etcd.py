"""dnsd's zones in etcd, beside a real etcd-server that stops, pauses, forgets."""

import signal
import socket
import subprocess

import dns.rdatatype
import pytest
import dnsd
from dnsd import HOST, query, rcode, reply, texts, udp
import etcd as server
from etcd import b64
from etcd_scripted import ScriptedEtcd
from harness import example_cluster, free_port, wait_until

offline_daemon = dnsd.offline_daemon
etcd = server.etcd
upstream = dnsd.upstream

D = "/skydns/com/example/okd"
GUIDE = {  # the guide's records, by its etcdctl commands
    **{f"{D}/{n}": '{"host":"192.168.120.101", "ttl":60}'
       for n in ("api", "api-int", "registry", "bastion")},
    **{f"{D}/{n}": '{"host":"192.168.120.103", "ttl":60}' for n in ("etcd-0", "master")},
    f"{D}/bootstrap": '{"host":"192.168.120.102", "ttl":60}',
    f"{D}/worker": '{"host":"192.168.120.104", "ttl":60}',
    f"{D}/_tcp/_etcd-server-ssl/x1":
        '{"host":"etcd-0.okd.example.com", "ttl":60, "priority":0, "weight":10, "port":2380}',
}


def follow(daemon, e, wait=True, cluster=None, **config):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "etcd": {"endpoints": e.urls}, **config},
               cluster, check_fds=False)  # connections to etcd come and go
    if wait:
        wait_until(lambda: following(d), timeout=10, what="the watch")
    return d, p


def following(d):
    return d.status()["dnsd"]["etcd"]["state"] in ("watching", "checking") and \
        d.metrics()["okd_dnsd_etcd_following"] == 1


def ask(p, name, rdtype="A"):
    return texts(udp(p, query(name, rdtype)))


def comes(p, name, want, rdtype="A"):
    wait_until(lambda: ask(p, name, rdtype) == want, timeout=10, what=f"{name} {want}")


def test_the_guides_configuration_and_records(daemon, etcd):
    e = etcd()
    for key, value in GUIDE.items():
        e.put(key, value)
    d, p = follow(daemon, e, log="all", cache={"positive": "160s", "negative": "160s"},
                  template=[{
                      "zones": ["apps.okd.example.com"], "type": "A",
                      "match": [r".*apps\.okd\.example\.com\.$"],
                      "answer": ["{{ .Name }} 60 IN A 172.18.22.243"], "fallthrough": True}])
    for name, address in (("api", 101), ("api-int", 101), ("registry", 101), ("bastion", 101),
                          ("etcd-0", 103), ("master", 103), ("bootstrap", 102),
                          ("worker", 104)):
        answer = udp(p, query(f"{name}.okd.example.com"))
        assert texts(answer) == [f"192.168.120.{address}"] and answer.answer[0].ttl == 60
    assert ask(p, "apps.okd.example.com") == ["172.18.22.243"]
    srv = udp(p, query("_etcd-server-ssl._tcp.okd.example.com", "SRV"))
    assert texts(srv) == ["0 100 2380 etcd-0.okd.example.com."]
    assert [r.to_text() for s in srv.additional for r in s] == ["192.168.120.103"]
    assert d.status()["dnsd"]["etcd"]["keys"] == 9


def test_targets_and_aliases_outside_are_resolved(daemon, etcd, upstream):
    addresses = {dns.rdatatype.A: "A 10.0.0.1", dns.rdatatype.AAAA: "AAAA fd00::1"}
    u = upstream(lambda q, proto: reply(
        q, f"{q.question[0].name} 60 IN {addresses[q.question[0].rdtype]}"))
    e = etcd()
    e.put(f"{D}/_s/x1", '{"host":"one.example.org", "port":80}')
    e.put(f"{D}/_s/x2", '{"host":"api.okd.example.com", "port":81}')
    e.put(f"{D}/mail/x1", '{"host":"two.example.org", "mail":true}')
    e.put(f"{D}/alias/x1", '{"host":"three.example.org"}')
    _, p = follow(daemon, e, forward={"to": [u.address], "find_loops": False})
    for name, rdtype, want in (
            ("_s", "SRV", ["10.0.0.1", "192.168.120.101", "fd00::1"]),
            ("*._s", "SRV", ["10.0.0.1", "192.168.120.101", "fd00::1"]),
            ("mail", "MX", ["10.0.0.1", "fd00::1"])):
        answer = udp(p, query(f"{name}.okd.example.com", rdtype))
        assert sorted(r.to_text() for s in answer.additional for r in s) == want
    assert ask(p, "alias.okd.example.com") == ["10.0.0.1", "three.example.org."]
    assert {n.split(".", 1)[1] for n in u.names()} == {"example.org."}


def test_changes_are_followed(daemon, etcd):
    e = etcd()
    d, p = follow(daemon, e)
    assert rcode(udp(p, query("new.okd.example.com"))) == "NXDOMAIN"
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    comes(p, "new.okd.example.com", ["10.0.0.1"])
    e.put(f"{D}/new", '{"host":"10.0.0.2"}')
    comes(p, "new.okd.example.com", ["10.0.0.2"])
    e.delete(f"{D}/new")
    wait_until(lambda: rcode(udp(p, query("new.okd.example.com"))) == "NXDOMAIN",
               what="its end")
    e.txn({f"{D}/t1": '{"host":"10.0.0.3"}', f"{D}/t2": '{"host":"10.0.0.4"}'})
    comes(p, "t2.okd.example.com", ["10.0.0.4"])
    assert ask(p, "t1.okd.example.com") == ["10.0.0.3"]
    assert d.metrics()["okd_dnsd_etcd_lists_total"] == 1


def test_a_bad_value_harms_nobody_else(daemon, etcd):
    e = etcd()
    e.put(f"{D}/svc/x1", '{"host":"10.0.0.1"}')
    e.put(f"{D}/svc/x2", "nonsense")
    e.put(f"{D}/UPPER", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e)
    comes(p, "svc.okd.example.com", ["10.0.0.1"])
    d.log_contains(f"the record {D}/svc/x2 is left out")
    assert d.metrics()["okd_dnsd_etcd_bad_values"] == 2
    e.put(f"{D}/svc/x2", '{"host":"10.0.0.2"}')
    comes(p, "svc.okd.example.com", ["10.0.0.1", "10.0.0.2"])
    assert d.metrics()["okd_dnsd_etcd_bad_values"] == 1


def test_names_outside_the_cluster(daemon, etcd):
    e = etcd()
    e.put("/skydns/net/lab/host", '{"host":"10.1.0.1"}')
    _, p = follow(daemon, e)
    assert ask(p, "host.lab.net") == ["10.1.0.1"]
    assert rcode(udp(p, query("other.lab.net"))) == "REFUSED"


def test_more_keys_than_a_page(daemon, etcd):
    e = etcd()
    n = 20100
    for base in range(0, n, 100):
        e.txn({f"{D}/h{i}": f'{{"host":"10.{i >> 8}.{i & 255}.1"}}'
               for i in range(base, base + 100)})
    d, p = follow(daemon, e)
    assert d.status()["dnsd"]["etcd"]["keys"] == n
    for i in (0, 1, 5000, 19999, 20000, n - 1):
        assert ask(p, f"h{i}.okd.example.com") == [f"10.{i >> 8}.{i & 255}.1"]


def test_started_without_etcd_it_serves_the_last_state(daemon, etcd):
    e = etcd()
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e)
    e.put(f"{D}/later", '{"host":"10.0.0.2"}')
    comes(p, "later.okd.example.com", ["10.0.0.2"])
    d.stop()
    e.stop()
    d.start()
    assert ask(p, "new.okd.example.com") == ["10.0.0.1"]
    assert ask(p, "later.okd.example.com") == ["10.0.0.2"]
    assert d.metrics()["okd_dnsd_etcd_age_seconds"] == -1
    e.start()
    e.put(f"{D}/new", '{"host":"10.0.0.3"}')
    comes(p, "new.okd.example.com", ["10.0.0.3"])


def test_etcd_restarts(daemon, etcd):
    e = etcd()
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e)
    e.stop()
    wait_until(lambda: not following(d), what="the loss")
    assert ask(p, "new.okd.example.com") == ["10.0.0.1"]
    e.start()
    e.put(f"{D}/new", '{"host":"10.0.0.2"}')
    comes(p, "new.okd.example.com", ["10.0.0.2"])
    assert d.metrics()["okd_dnsd_etcd_lists_total"] == 1


def test_what_happened_meanwhile_was_compacted(daemon, etcd):
    e = etcd(2)
    e.put(f"{D}/old", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, type("One", (), {"urls": [e.urls[1]]}))
    e.members[1].signal(signal.SIGSTOP)
    e.members[1].signal(signal.SIGCONT)
    d.signal(signal.SIGSTOP)
    e.delete(f"{D}/old")
    for i in range(20):
        last = e.put(f"{D}/new", f'{{"host":"10.0.0.{i}"}}')
    e.compact(int(last["header"]["revision"]))
    e.members[1].stop()
    e.members[1].start(e.members)
    wait_until(e.healthy, timeout=20, what="etcd")
    d.signal(signal.SIGCONT)
    comes(p, "new.okd.example.com", ["10.0.0.19"])
    assert rcode(udp(p, query("old.okd.example.com"))) == "NXDOMAIN"


def test_another_cluster_takes_its_place(daemon, etcd):
    e = etcd()
    for i in range(5):
        e.put(f"{D}/old", f'{{"host":"10.0.0.{i}"}}')
    d, p = follow(daemon, e)
    assert ask(p, "old.okd.example.com") == ["10.0.0.4"]
    e.wipe()
    e.put(f"{D}/new", '{"host":"10.0.0.9"}')
    comes(p, "new.okd.example.com", ["10.0.0.9"])
    wait_until(lambda: rcode(udp(p, query("old.okd.example.com"))) == "NXDOMAIN",
               what="the end of what was")
    d.log_contains("all keys are listed again")


@pytest.mark.timeout(120)
def test_members_come_and_go(daemon, etcd):
    e = etcd(3)
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    _, p = follow(daemon, e)
    e.members[0].stop()
    wait_until(lambda: put_through(e, 1, '{"host":"10.0.0.2"}'), timeout=15, what="a leader")
    comes(p, "new.okd.example.com", ["10.0.0.2"])
    e.start()
    e.members[1].stop()
    wait_until(lambda: put_through(e, 2, '{"host":"10.0.0.3"}'), timeout=15, what="a leader")
    comes(p, "new.okd.example.com", ["10.0.0.3"])


def put_through(e, member, value):
    try:
        e.post("/kv/put", {"key": b64(f"{D}/new"), "value": b64(value)}, member)
    except AssertionError:
        return False
    return True


@pytest.mark.timeout(120)
def test_a_paused_member_is_left_for_another(daemon, etcd):
    e = etcd(3)
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e)
    e.members[0].signal(signal.SIGSTOP)
    wait_until(lambda: put_through(e, 1, '{"host":"10.0.0.2"}'), timeout=15, what="a leader")
    wait_until(lambda: ask(p, "new.okd.example.com") == ["10.0.0.2"], timeout=20,
               what="the change")
    assert d.status()["dnsd"]["etcd"]["endpoint"] != e.urls[0]


def test_a_mass_deletion_is_applied_and_told(daemon, etcd):
    e = etcd()
    e.txn({f"{D}/h{i}": '{"host":"10.0.0.1"}' for i in range(20)})
    d, p = follow(daemon, e)
    e.delete_below(D + "/")
    d.log_contains("20 of 20 records were deleted")
    wait_until(lambda: rcode(udp(p, query("h0.okd.example.com"))) == "NXDOMAIN", what="it")


def switch_users_on(e):
    """root, whose password is r, and dnsd, who may read."""
    for path, body in (
            ("/auth/user/add", {"name": "root", "password": "r"}),
            ("/auth/role/add", {"name": "root"}),
            ("/auth/user/grant", {"user": "root", "role": "root"}),
            ("/auth/user/add", {"name": "dnsd", "password": 'p"w'}),
            ("/auth/role/add", {"name": "reader"}),
            ("/auth/role/grant", {"name": "reader", "perm": {
                "permType": "READ", "key": b64("/skydns/"), "range_end": b64("/skydns0")}}),
            ("/auth/user/grant", {"user": "dnsd", "role": "reader"}),
            ("/auth/enable", {})):
        e.post(path, body)


def follow_as_user(daemon, e, tmp_path):
    secret = tmp_path / "password"
    secret.write_text('p"w\n')
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "etcd": {
        "endpoints": e.urls, "username": "dnsd", "password_file": str(secret)}}, check_fds=False)
    return d, p, secret


def test_users_and_tokens(daemon, etcd, tmp_path):
    e = etcd()
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    switch_users_on(e)
    d, p, secret = follow_as_user(daemon, e, tmp_path)
    comes(p, "new.okd.example.com", ["10.0.0.1"])
    secret.write_text("wrong\n")
    d.stop()
    d.start()
    d.log_contains("authentication failed")
    assert ask(p, "new.okd.example.com") == ["10.0.0.1"]


def test_tokens_from_before_users_changed(daemon, etcd, tmp_path):
    """A JWT holds for one revision of users and roles."""
    private, public = tmp_path / "jwt.key", tmp_path / "jwt.pub"
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True,
                   capture_output=True)
    e = etcd(args=["--auth-token", f"jwt,pub-key={public},priv-key={private},"
                   "sign-method=RS256,ttl=1h"])
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    switch_users_on(e)
    d, p, _ = follow_as_user(daemon, e, tmp_path)
    comes(p, "new.okd.example.com", ["10.0.0.1"])
    wait_until(lambda: following(d), what="the watch")
    for i in (2, 3):
        e.log_in("root", "r")
        e.post("/auth/user/add", {"name": f"somebody{i}", "password": "x"})
        e.log_in("root", "r")
        e.put(f"{D}/new", f'{{"host":"10.0.0.{i}"}}')
        # Tokens are looked at when something is asked, not while a watch goes on.
        d.signal(signal.SIGSTOP)
        e.stop()
        e.start()
        e.put(f"{D}/new", f'{{"host":"10.0.1.{i}"}}')
        d.signal(signal.SIGCONT)
        comes(p, "new.okd.example.com", [f"10.0.1.{i}"])
        wait_until(lambda: following(d), timeout=20, what="the watch")


def test_a_user_where_users_are_switched_off(daemon, etcd, tmp_path):
    e = etcd()
    e.put(f"{D}/new", '{"host":"10.0.0.1"}')
    d, p, _ = follow_as_user(daemon, e, tmp_path)
    comes(p, "new.okd.example.com", ["10.0.0.1"])
    wait_until(lambda: following(d), what="the watch")
    switch_users_on(e)
    e.log_in("root", "r")
    e.put(f"{D}/new", '{"host":"10.0.0.2"}')
    comes(p, "new.okd.example.com", ["10.0.0.2"])
    e.stop()
    e.start()
    e.log_in("root", "r")
    e.put(f"{D}/new", '{"host":"10.0.0.3"}')
    comes(p, "new.okd.example.com", ["10.0.0.3"])
    wait_until(lambda: following(d), timeout=20, what="the watch")


def test_reload_to_another_cluster_and_to_none(daemon, etcd):
    a, b = etcd(), etcd()
    a.put(f"{D}/which", '{"host":"10.0.0.1"}')
    b.put(f"{D}/which", '{"host":"10.0.0.2"}')
    d, p = follow(daemon, a)
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    base = {"listen": [f"{HOST}:{p}"], "forward": {"to": []}}
    d.reload({**base, "etcd": {"endpoints": b.urls}})
    comes(p, "which.okd.example.com", ["10.0.0.2"])
    d.reload(base)
    assert rcode(udp(p, query("which.okd.example.com"))) == "NXDOMAIN"


def test_a_reload_that_fails_leaves_etcd_as_it_was(daemon, etcd):
    a, b = etcd(), etcd()
    a.put(f"{D}/which", '{"host":"10.0.0.1"}')
    a.put("/other/com/example/okd/which", '{"host":"10.0.0.3"}')
    b.put(f"{D}/which", '{"host":"10.0.0.2"}')
    d, p = follow(daemon, a)
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        at = f"{HOST}:{taken.getsockname()[1]}"
        for change in ({"endpoints": b.urls}, {"endpoints": a.urls, "path": "/other"},
                       {"endpoints": a.urls, "zones": ["nowhere.net"]}, {"endpoints": []}):
            d.write_config({"listen": [f"{HOST}:{p}", at], "etcd": change,
                            "forward": {"to": []}})
            since = d.log_position()
            d.signal(signal.SIGHUP)
            d.log_contains("is held by another program", since=since)
            assert ask(p, "which.okd.example.com") == ["10.0.0.1"]
            assert d.status()["dnsd"]["etcd"]["endpoint"] == a.urls[0]
    a.put(f"{D}/which", '{"host":"10.0.0.4"}')
    comes(p, "which.okd.example.com", ["10.0.0.4"])
    assert d.metrics()["okd_dnsd_etcd_lists_total"] == 1


def test_reload_to_another_path_and_back(daemon, etcd):
    e = etcd()
    e.put(f"{D}/which", '{"host":"10.0.0.1"}')
    e.put("/other/com/example/okd/which", '{"host":"10.0.0.2"}')
    d, p = follow(daemon, e)
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    base = {"listen": [f"{HOST}:{p}"], "forward": {"to": []}}
    d.reload({**base, "etcd": {"endpoints": e.urls, "path": "/other/"}})
    comes(p, "which.okd.example.com", ["10.0.0.2"])
    e.put(f"{D}/which", '{"host":"10.0.0.3"}')
    e.put("/other/com/example/okd/more", '{"host":"10.0.0.4"}')
    comes(p, "more.okd.example.com", ["10.0.0.4"])
    assert ask(p, "which.okd.example.com") == ["10.0.0.2"]
    d.reload({**base, "etcd": {"endpoints": e.urls}})
    comes(p, "which.okd.example.com", ["10.0.0.3"])


def test_several_clusters(daemon, etcd):
    """What they hold is united, each is followed for itself, and has a last good state."""
    a, b = etcd(), etcd()
    a.put(f"{D}/one", '{"host":"10.0.0.1"}')
    b.put(f"{D}/two", '{"host":"10.0.0.2"}')
    for e, host in ((a, "10.0.0.3"), (b, "10.0.0.4")):
        e.put(f"{D}/both/x1", f'{{"host":"{host}"}}')
    p = free_port()
    config = {"listen": [f"{HOST}:{p}"], "etcd": [{"endpoints": e.urls} for e in (a, b)]}
    d = daemon("dnsd", config, check_fds=False)
    comes(p, "one.okd.example.com", ["10.0.0.1"])
    comes(p, "two.okd.example.com", ["10.0.0.2"])
    assert ask(p, "both.okd.example.com") == ["10.0.0.3", "10.0.0.4"]
    assert [s["keys"] for s in d.status()["dnsd"]["etcd"]] == [2, 2]
    assert d.metrics()['okd_dnsd_etcd_keys{cluster="2"}'] == 2

    b.stop()
    wait_until(lambda: d.metrics()['okd_dnsd_etcd_following{cluster="2"}'] == 0, what="its end")
    a.put(f"{D}/one", '{"host":"10.0.0.5"}')
    comes(p, "one.okd.example.com", ["10.0.0.5"])
    assert ask(p, "two.okd.example.com") == ["10.0.0.2"]
    d.stop()
    d.start()
    assert ask(p, "two.okd.example.com") == ["10.0.0.2"]
    comes(p, "one.okd.example.com", ["10.0.0.5"])
    b.start()
    b.put(f"{D}/two", '{"host":"10.0.0.6"}')
    comes(p, "two.okd.example.com", ["10.0.0.6"])

    # Fewer, in another order, and more.
    d.reload({**config, "etcd": {"endpoints": b.urls}})
    comes(p, "both.okd.example.com", ["10.0.0.4"])
    assert rcode(udp(p, query("one.okd.example.com"))) == "NXDOMAIN"
    assert d.status()["dnsd"]["etcd"]["keys"] == 2
    d.reload({**config, "etcd": [{"endpoints": e.urls} for e in (b, a)]})
    comes(p, "both.okd.example.com", ["10.0.0.3", "10.0.0.4"])
    comes(p, "one.okd.example.com", ["10.0.0.5"])
    d.reload({**config, "etcd": []})
    assert rcode(udp(p, query("two.okd.example.com"))) == "NXDOMAIN"
    assert "etcd" not in d.status()["dnsd"]


def test_clusters_are_known_wherever_they_stand(daemon, etcd):
    """What was known of one that is out of reach stays when others go or change places."""
    a, b = etcd(), etcd()
    a.put(f"{D}/one", '{"host":"10.0.0.1"}')
    b.put(f"{D}/two", '{"host":"10.0.0.2"}')
    p = free_port()
    first, second = {"endpoints": a.urls}, {"endpoints": b.urls}
    config = {"listen": [f"{HOST}:{p}"], "forward": {"to": []}, "etcd": [first, second]}
    d = daemon("dnsd", config, check_fds=False)
    comes(p, "one.okd.example.com", ["10.0.0.1"])
    comes(p, "two.okd.example.com", ["10.0.0.2"])
    b.stop()
    d.reload({**config, "etcd": [second, first]})
    assert ask(p, "two.okd.example.com") == ["10.0.0.2"]
    assert ask(p, "one.okd.example.com") == ["10.0.0.1"]
    # A reload that fails changes nothing.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        at = f"{HOST}:{taken.getsockname()[1]}"
        since = d.log_position()
        d.reload({**config, "listen": [f"{HOST}:{p}", at], "etcd": [first]})
        d.log_contains("is held by another program", since=since)
    assert ask(p, "two.okd.example.com") == ["10.0.0.2"]
    d.reload({**config, "etcd": [second]})
    assert ask(p, "two.okd.example.com") == ["10.0.0.2"]
    assert rcode(udp(p, query("one.okd.example.com"))) == "NXDOMAIN"
    d.reload(config)
    assert ask(p, "two.okd.example.com") == ["10.0.0.2"]
    comes(p, "one.okd.example.com", ["10.0.0.1"])
    # Each has its own file again.
    wait_until(lambda: [s["state"] for s in d.status()["dnsd"]["etcd"]][0] == "watching",
               what="the first")
    b.start()
    b.put(f"{D}/two", '{"host":"10.0.0.3"}')
    comes(p, "two.okd.example.com", ["10.0.0.3"])
    d.stop()
    a.stop()
    b.stop()
    d.start()
    assert ask(p, "one.okd.example.com") == ["10.0.0.1"]
    assert ask(p, "two.okd.example.com") == ["10.0.0.3"]
    assert [s["keys"] for s in d.status()["dnsd"]["etcd"]] == [1, 1]


def test_other_endpoints_of_a_cluster_leave_no_gap(daemon, etcd):
    e = etcd(2)
    e.put(f"{D}/which", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e)
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    for urls in ([e.urls[1]], ["http://127.0.0.1:1"], e.urls):
        d.reload({"listen": [f"{HOST}:{p}"], "forward": {"to": []}, "etcd": {"endpoints": urls}})
        assert ask(p, "which.okd.example.com") == ["10.0.0.1"]
    e.put(f"{D}/which", '{"host":"10.0.0.2"}')
    comes(p, "which.okd.example.com", ["10.0.0.2"])


def test_the_apex_answers_for_itself(daemon, etcd):
    e = etcd()
    for base in (D, "/skydns/net/lab"):
        e.put(f"{base}/host", '{"host":"10.1.0.1"}')
        e.put(f"{base}/dns/apex/x1", '{"host":"10.1.0.2"}')
        e.put(f"{base}/dns/apex/x2", '{"host":"fd00::2"}')
        e.put(f"{base}/dns/ns/a", '{"host":"10.1.0.3", "ttl": 77}')
        e.put(f"{base}/dns/ns/b", '{"host":"10.1.0.4", "targetstrip": 1}')
        e.put(f"{base}/dns/ns/c", '{"host":"elsewhere.example.org"}')
    _, p = follow(daemon, e, etcd={"endpoints": e.urls, "zones": ["okd.example.com", "lab.net"],
                                   "fallthrough": True})
    for zone in ("okd.example.com", "lab.net"):
        comes(p, zone, ["10.1.0.2"])
        assert ask(p, zone, "AAAA") == ["fd00::2"]
        ns = udp(p, query(zone, "NS"))
        assert texts(ns) == [f"a.ns.dns.{zone}.", f"ns.dns.{zone}."]
        glue = sorted((str(s.name), r.to_text()) for s in ns.additional for r in s)
        assert glue == [(f"a.ns.dns.{zone}.", "10.1.0.3"), (f"ns.dns.{zone}.", "10.1.0.3"),
                        (f"ns.dns.{zone}.", "10.1.0.4")]
    # A subtree further down is united, what is above a zone is not.
    assert ask(p, "dns.lab.net") == ["10.1.0.2", "10.1.0.3", "10.1.0.4"]
    assert ask(p, "net") == []


def test_zones_above_a_machine_network(daemon, etcd, upstream):
    """All that is below the outer zone is ours, between the two as well."""
    u, e = upstream(), etcd()
    cluster = {**example_cluster(), "machine_network": ["192.168.120.0/24", "10.1.2.0/24"]}
    _, p = follow(daemon, e, cluster=cluster, forward={"to": [u.address], "find_loops": False},
                  cache={"negative": "10s"},
                  etcd={"endpoints": e.urls, "zones": ["10.in-addr.arpa", "in-addr.arpa"]})
    for name, zone in (("9.9.2.10", "10"), ("9.9.1.10", "10"), ("1.10", "10"),
                       ("9.2.1.10", "2.1.10"), ("9.9.9.9", ""), ("1.168.192", "")):
        answer = udp(p, query(f"{name}.in-addr.arpa", "PTR"))
        (soa,) = answer.authority
        assert str(soa.name) == f"{zone}.in-addr.arpa.".lstrip(".")
        # The bound for negative answers is for ours too.
        assert soa.ttl == 10 and soa[0].minimum == 10
    assert not u.seen


def test_zones(daemon, etcd):
    e = etcd()
    e.put("/skydns/net/lab/host", '{"host":"10.1.0.1"}')
    e.put("/skydns/net/other/host", '{"host":"10.1.0.2"}')
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "etcd": {
        "endpoints": e.urls, "zones": ["lab.net"]}}, check_fds=False)
    comes(p, "host.lab.net", ["10.1.0.1"])
    assert rcode(udp(p, query("nobody.lab.net"))) == "NXDOMAIN"
    assert rcode(udp(p, query("host.other.net"))) == "REFUSED"
    d.reload({"listen": [f"{HOST}:{p}"], "forward": {"to": []}, "etcd": {
        "endpoints": e.urls, "zones": ["lab.net"], "fallthrough": True}})
    wait_until(lambda: rcode(udp(p, query("nobody.lab.net"))) == "REFUSED", what="fallthrough")
    comes(p, "host.lab.net", ["10.1.0.1"])


def lease(e, seconds):
    return e.post("/lease/grant", {"TTL": str(seconds)})["ID"]


def put_leased(e, key, value, id_):
    e.post("/kv/put", {"key": b64(key), "value": b64(value), "lease": id_})


def ttl_of(p, name):
    answer = udp(p, query(name)).answer
    return answer[0].ttl if answer else None


def test_a_lease_bounds_the_ttl_of_its_keys(daemon, etcd):
    e = etcd()
    short, medium, long = lease(e, 5), lease(e, 100), lease(e, 1000)
    put_leased(e, f"{D}/before", '{"host":"10.0.0.1"}', medium)
    _, p = follow(daemon, e)
    wait_until(lambda: ttl_of(p, "before.okd.example.com") == 100, what="the lease's time")
    put_leased(e, f"{D}/long", '{"host":"10.0.0.1", "ttl": 60}', long)
    comes(p, "long.okd.example.com", ["10.0.0.1"])
    assert ttl_of(p, "long.okd.example.com") == 60
    put_leased(e, f"{D}/default", '{"host":"10.0.0.1"}', long)
    put_leased(e, f"{D}/more", '{"host":"10.0.0.1", "ttl": 5000}', long)
    wait_until(lambda: ttl_of(p, "more.okd.example.com") == 1000, what="the lease's time")
    assert ttl_of(p, "default.okd.example.com") == 300
    # Half a minute at least, as others must not ask all the time; and it goes with its lease.
    put_leased(e, f"{D}/short", '{"host":"10.0.0.1"}', short)
    wait_until(lambda: ttl_of(p, "short.okd.example.com") == 30, what="the lease's time")
    wait_until(lambda: rcode(udp(p, query("short.okd.example.com"))) == "NXDOMAIN", timeout=20,
               what="its end")
    # Without its lease it is as it says.
    e.put(f"{D}/before", '{"host":"10.0.0.2"}')
    wait_until(lambda: ttl_of(p, "before.okd.example.com") == 300, what="the other TTL")


def test_a_watch_that_overtakes_a_check_is_no_gap(daemon):
    e = ScriptedEtcd()
    try:
        d, p = follow(daemon, e)
        assert e.watching.wait(10) and e.asked.wait(20)
        e.put(2, f"{D}/first", '{"host":"10.0.0.1"}')
        comes(p, "first.okd.example.com", ["10.0.0.1"])
        e.may_answer.set()  # with the revision from before that change
        wait_until(lambda: d.status()["dnsd"]["etcd"]["state"] == "watching",
                   timeout=10, what="the end of the check")
        e.put(3, f"{D}/second", '{"host":"10.0.0.2"}')
        comes(p, "second.okd.example.com", ["10.0.0.2"])
        assert ask(p, "first.okd.example.com") == ["10.0.0.1"]
        assert d.metrics()["okd_dnsd_etcd_lists_total"] == 1
    finally:
        e.stop()
