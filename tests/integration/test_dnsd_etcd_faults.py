"""dnsd beside an etcd that it cannot reach, that cannot reach its own members, or that
answers more than fits; questions go on being answered all the while."""

import contextlib
import json
import os
import signal
import threading

import pytest
import dnsd
from dnsd import HOST, query, rcode, texts, udp
import etcd as server
from etcd import b64
from etcd_scripted import CountingEtcd, LeasingEtcd, PagedEtcd, SilentEtcd, StallingList
from harness import free_port, wait_until
import jumpclock
import netns as namespaces
from stalling_proxy import StallingProxy
from test_dnsd_etcd import D, comes, follow, following
import variant

clock = jumpclock.clock
offline_daemon = dnsd.offline_daemon
etcd = server.etcd
netns = namespaces.netns
netns_supported = namespaces.netns_supported


@pytest.fixture
def proxy():
    """proxy(member) -> StallingProxy"""
    made = []

    def start(member):
        made.append(StallingProxy(member.client))
        return made[-1]

    yield start
    for p in made:
        p.close()


class Urls:
    """Stands for an Etcd with other endpoints."""

    def __init__(self, *proxies):
        self.urls = [p.url for p in proxies]


@contextlib.contextmanager
def questions(port, name, allowed):
    """Asks all the time; each answer must be one of those allowed (a set of addresses)."""
    stop, wrong, counts = threading.Event(), [], [0]

    def ask_on():
        while not stop.is_set() and not wrong:
            got = texts(udp(port, query(name)))
            counts[0] += 1
            if len(got) != 1 or got[0] not in allowed:
                wrong.append(got)

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not wrong and counts[0]


def lists(d):
    return d.metrics()["okd_dnsd_etcd_lists_total"]


@pytest.mark.timeout(120)
def test_the_whole_etcd_is_out_of_reach(daemon, etcd, proxy):
    """Nothing is closed: only the checks that stay without an answer tell."""
    e = etcd()
    way = proxy(e.members[0])
    e.put(f"{D}/which", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, Urls(way))
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    with questions(p, "which.okd.example.com", {"10.0.0.1", "10.0.0.2"}):
        way.stall()
        e.put(f"{D}/which", '{"host":"10.0.0.2"}')
        e.put(f"{D}/gone", '{"host":"10.0.0.3"}')
        e.delete(f"{D}/gone")
        d.log_contains("what was known goes on being served", timeout=30)
        assert texts(udp(p, query("which.okd.example.com"))) == ["10.0.0.1"]
        assert d.metrics()["okd_dnsd_etcd_following"] == 0
        assert d.status()["dnsd"]["etcd"]["error"]
        way.go_on()
        comes(p, "which.okd.example.com", ["10.0.0.2"])
    d.log_contains(f"following {way.url} again")
    assert rcode(udp(p, query("gone.okd.example.com"))) == "NXDOMAIN"
    # What happened meanwhile was told by the watch: nothing had to be listed.
    assert lists(d) == 1


@pytest.mark.timeout(120)
def test_changes_are_not_lost_when_it_is_out_of_reach_for_a_moment(daemon, etcd, proxy):
    e = etcd()
    way = proxy(e.members[0])
    d, p = follow(daemon, Urls(way))
    for i in range(1, 6):
        way.stall()
        e.put(f"{D}/which", f'{{"host":"10.0.0.{i}"}}')
        way.go_on()
        comes(p, "which.okd.example.com", [f"10.0.0.{i}"])
    assert lists(d) == 1


@pytest.mark.timeout(120)
def test_it_is_out_of_reach_while_keys_are_listed(daemon, etcd, proxy):
    e = etcd()
    way = proxy(e.members[0])
    e.put(f"{D}/which", '{"host":"10.0.0.1"}')
    way.stall()
    d, p = follow(daemon, Urls(way), wait=False)
    assert rcode(udp(p, query("which.okd.example.com"))) == "NXDOMAIN"
    assert texts(udp(p, query("api.okd.example.com"))) == ["192.168.120.101"]
    way.go_on()
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    wait_until(lambda: following(d), what="the watch")


@pytest.mark.timeout(120)
def test_a_member_out_of_reach_is_left_for_another(daemon, etcd, proxy):
    e = etcd(3)
    ways = [proxy(m) for m in e.members]
    e.put(f"{D}/which", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, Urls(*ways))
    assert d.status()["dnsd"]["etcd"]["endpoint"] == ways[0].url
    with questions(p, "which.okd.example.com", {f"10.0.0.{i}" for i in range(1, 4)}):
        ways[0].stall()
        e.put(f"{D}/which", '{"host":"10.0.0.2"}')
        wait_until(lambda: texts(udp(p, query("which.okd.example.com"))) == ["10.0.0.2"],
                   timeout=30, what="the change by way of another member")
        assert d.status()["dnsd"]["etcd"]["endpoint"] in (ways[1].url, ways[2].url)
        ways[0].go_on()
        e.put(f"{D}/which", '{"host":"10.0.0.3"}')
        comes(p, "which.okd.example.com", ["10.0.0.3"])
    assert lists(d) == 1


@pytest.mark.parametrize("user", [False, True])
def test_a_member_that_says_nothing_is_not_asked_for_a_list(daemon, etcd, tmp_path, user):
    """A list may take half a minute; whether anybody is there is known in seconds."""
    e, silent = etcd(), SilentEtcd()
    secret = tmp_path / "password"
    secret.write_text("p")
    who = {"username": "dnsd", "password_file": str(secret)} if user else {}
    try:
        e.put(f"{D}/which", '{"host":"10.0.0.1"}')
        p = free_port()
        daemon("dnsd", {"listen": [f"{HOST}:{p}"], "forward": {"to": []}, "etcd": {
            "endpoints": silent.urls + e.urls, **who}}, check_fds=False)
        wait_until(lambda: texts(udp(p, query("which.okd.example.com"))) == ["10.0.0.1"],
                   timeout=25, what="the record by way of the other")
        assert silent.requests and all("range_end" not in r for r in silent.requests)
    finally:
        silent.stop()


def test_the_store_is_written_while_keys_are_listed(daemon):
    e = StallingList(f"{D}/which", '{"host":"10.0.0.1"}')
    try:
        d, p = follow(daemon, e, wait=False)
        assert e.listing.wait(20)
        put = d.admin("/v1/records" + f"{D}/stored", "PUT", '{"host":"10.0.0.2"}')
        assert put.status == 204
        assert texts(udp(p, query("stored.okd.example.com"))) == ["10.0.0.2"]
        e.may_list.set()
        comes(p, "which.okd.example.com", ["10.0.0.1"])
    finally:
        e.stop()


def test_a_backup_that_has_come_further_is_another_state(daemon):
    """Restored, and written to until its revision was higher: what was undone tells no event."""
    e = CountingEtcd(f"{D}/which", '{"host":"10.0.0.1"}')
    e.term = 5
    try:
        d, p = follow(daemon, e)
        comes(p, "which.okd.example.com", ["10.0.0.1"])
        e.value, e.revision, e.term = '{"host":"10.0.0.2"}', 9, 2
        comes(p, "which.okd.example.com", ["10.0.0.2"])
        d.log_contains("its term went back: all keys are listed again")
        wait_until(lambda: following(d), what="the watch")
        assert lists(d) == 2
    finally:
        e.stop()


def test_a_lease_that_nobody_could_tell_of_is_asked_for_again(daemon):
    e = LeasingEtcd(f"{D}/which", '{"host":"10.0.0.1"}')
    try:
        d, p = follow(daemon, e)
        assert e.asked.wait(20)
        assert udp(p, query("which.okd.example.com")).answer[0].ttl == 300
        e.able = True
        e.end_watch()
        wait_until(lambda: udp(p, query("which.okd.example.com")).answer[0].ttl == 100,
                   timeout=20, what="the lease's time")
        assert lists(d) == 1
    finally:
        e.stop()


def test_what_keeps_requests_from_being_made_is_said_once(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "forward": {"to": []}, "etcd": {
        "endpoints": ["ftp://127.0.0.1:1"]}}, check_fds=False)
    wait_until(lambda: d.metrics()["okd_dnsd_etcd_failures_total"] >= 4, timeout=20,
               what="some attempts")
    assert d.log.count("ftp://") == 1
    assert d.log.count("what was known goes on being served") == 1


# --- the last good state ------------------------------------------------------------------


def test_a_state_file_that_is_no_use_is_begun_anew(daemon, etcd):
    e = etcd()
    e.put(f"{D}/which", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e)
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    d.stop()
    with open(os.path.join(d.state_dir, "etcd.db"), "wb") as f:
        f.write(b"no database at all" * 1000)
    d.start()
    d.log_contains("it is begun anew")
    assert texts(udp(p, query("api.okd.example.com"))) == ["192.168.120.101"]
    comes(p, "which.okd.example.com", ["10.0.0.1"])
    wait_until(lambda: following(d), what="the watch")
    d.stop()
    e.stop()
    d.start()
    assert texts(udp(p, query("which.okd.example.com"))) == ["10.0.0.1"]


# --- real networks ----------------------------------------------------------------------


def curl(host, *args):
    return host.run(["curl", "-sS", "--max-time", "3", *args], check=False).stdout


def post(host, url, path, body):
    return curl(host, "-d", json.dumps(body), f"{url}/v3{path}")


def put_by(host, url, value):
    return "revision" in post(host, url, "/kv/put", {
        "key": b64(f"{D}/which"), "value": b64(json.dumps({"host": value}))})


def dig(host, port):
    return host.run(["dig", "+short", "+tries=1", "+time=5", f"@{HOST}", "-p", str(port),
                     "which.okd.example.com"], check=False).stdout.split()


@pytest.fixture(name="hosts")
def hosts_fixture(netns_supported, tmp_path):
    """Three hosts with a member of etcd each, and one for dnsd; members are told of hosts."""
    net = namespaces.Network({f"m{i}": f"10.253.9.{i + 1}" for i in range(3)} |
                             {"dns": "10.253.9.9"})
    members = [server.Member(f"m{i}", tmp_path, host=net[f"m{i}"]) for i in range(3)]
    try:
        for m in members:
            m.start(members)
        for m in members:
            wait_until(lambda m=m: '"true"' in curl(net["dns"], f"{m.url}/health"), timeout=30,
                       what="etcd")
        yield net, members
    finally:
        for m in members:
            m.stop()
        net.close()


@pytest.mark.timeout(240)
def test_cables_and_routes_are_lost(daemon, hosts):
    """A member without its cable is left for another, and one that has lost the others is
    too, though it still answers: it cannot know what they know."""
    net, members = hosts
    here, p = net["dns"], free_port()
    assert put_by(here, members[0].url, "10.0.0.1")
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "etcd": {
        "endpoints": [m.url for m in members]}}, wrapper=here.wrap(), check_fds=False)
    wait_until(lambda: dig(here, p) == ["10.0.0.1"], timeout=20, what="the first value")

    def endpoint():
        return d.status()["dnsd"]["etcd"]["endpoint"]

    assert endpoint() == members[0].url
    net.link("m0", False)
    wait_until(lambda: put_by(here, members[1].url, "10.0.0.2"), timeout=30, what="a leader")
    wait_until(lambda: dig(here, p) == ["10.0.0.2"], timeout=30, what="the second value")
    now = next(m for m in members if m.url == endpoint())
    assert now is not members[0]
    net.link("m0", True)
    wait_until(lambda: '"true"' in curl(here, f"{members[0].url}/health"), timeout=30,
               what="the first member")

    others = [m for m in members if m is not now]
    for m in others:
        now.host.run(["ip", "route", "add", "blackhole", f"{m.host.address}/32"])
    wait_until(lambda: put_by(here, others[0].url, "10.0.0.3"), timeout=30, what="a leader")
    wait_until(lambda: dig(here, p) == ["10.0.0.3"], timeout=30, what="the third value")
    # The value may have come through it: the routes are lost in one direction only.
    wait_until(lambda: endpoint() != now.url and following(d), timeout=30, what="another member")

    # All at once, and back.
    net.link("dns", False)
    d.log_contains("what was known goes on being served", timeout=30, since=d.log_position())
    assert dig(here, p) == ["10.0.0.3"]
    net.link("dns", True)
    wait_until(lambda: put_by(here, others[0].url, "10.0.0.4"), timeout=30, what="a leader")
    wait_until(lambda: dig(here, p) == ["10.0.0.4"], timeout=30, what="the fourth value")


# --- quiet times ------------------------------------------------------------------------


@pytest.mark.skipif(variant.NAME != "release", reason="preloads a library")
def test_a_quiet_cluster_is_asked_less_often(daemon, clock):
    e = CountingEtcd(f"{D}/which", '{"host":"10.0.0.1"}')
    try:
        p = free_port()
        d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "etcd": {"endpoints": e.urls}},
                   env=clock.env, check_fds=False)
        wait_until(lambda: following(d), timeout=10, what="the watch")
        often = 2
        wait_until(lambda: min(e.gaps(0), default=9) < often, timeout=20, what="checks")
        clock.boot(61)
        # The one under way was planned before.
        since = len(e.times) + 1
        wait_until(lambda: len(e.times) > since + 2, timeout=30, what="fewer checks")
        assert min(e.gaps(since)) > often
        since = len(e.times)
        e.put('{"host":"10.0.0.2"}')
        comes(p, "which.okd.example.com", ["10.0.0.2"])
        wait_until(lambda: min(e.gaps(since), default=9) < often, timeout=30, what="checks")
    finally:
        e.stop()


def test_what_others_change_is_passed_over(daemon, etcd):
    """The position follows the cluster's revision, so that a watch that begins anew, with
    what lies before compacted, has no gap."""
    e = etcd()
    e.put(f"{D}/which", '{"host":"10.0.0.1"}')
    d, p = follow(daemon, e)
    for i in range(10):
        last = int(e.put("/registry/other", str(i))["header"]["revision"])
    wait_until(lambda: d.status()["dnsd"]["etcd"]["revision"] == last, timeout=20,
               what="the revision")
    e.compact(last)
    e.stop()
    e.start()
    e.put(f"{D}/which", '{"host":"10.0.0.2"}')
    comes(p, "which.okd.example.com", ["10.0.0.2"])
    assert lists(d) == 1


# --- lists and values -------------------------------------------------------------------


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(daemon):
    keys = {f"{D}/h{i}": f'{{"host":"10.0.0.{i}"}}' for i in range(10)}
    e = PagedEtcd(keys, most=100)
    try:
        d, p = follow(daemon, e)
        assert e.limits[0] > 100 and e.limits == sorted(e.limits, reverse=True)
        assert e.limits[-1] <= 100 and d.status()["dnsd"]["etcd"]["keys"] == 10
        assert texts(udp(p, query("h7.okd.example.com"))) == ["10.0.0.7"]
    finally:
        e.stop()


def test_pages_of_one_key_each(daemon):
    keys = {f"{D}/h{i}": f'{{"host":"10.0.0.{i}"}}' for i in range(10)}
    e = PagedEtcd(keys, most=1)
    try:
        d, p = follow(daemon, e)
        assert e.limits[-10:] == [1] * 10 and lists(d) == 1
        for i in range(10):
            assert texts(udp(p, query(f"h{i}.okd.example.com"))) == [f"10.0.0.{i}"]
    finally:
        e.stop()


def test_a_single_key_that_is_too_large_is_said_and_what_was_known_is_served(daemon):
    keys = {f"{D}/h0": '{"host":"10.0.0.1"}'}
    e = PagedEtcd(keys, most=1)
    try:
        d, p = follow(daemon, e)
        e.most = 0
        since = d.log_position()
        e.forget()  # another cluster: all is listed anew
        d.log_contains("the response is larger than", since=since)
        assert texts(udp(p, query("h0.okd.example.com"))) == ["10.0.0.1"]
        e.most = 1
        wait_until(lambda: lists(d) == 2, timeout=10, what="the list")
    finally:
        e.stop()


def test_a_bad_value_is_logged_once_until_it_was_good(daemon, etcd):
    e = etcd()
    bad = f"the record {D}/bad is left out"
    e.put(f"{D}/bad", "nonsense")
    d, p = follow(daemon, e)
    d.log_contains(bad)
    for i in range(5):
        e.put(f"{D}/bad", f"other nonsense {i}")
    # A list tells of it again.
    d.signal(signal.SIGSTOP)
    e.stop()
    e.start()
    for i in range(20):
        last = e.put(f"{D}/mark", f'{{"host":"10.0.0.{i}"}}')
    e.compact(int(last["header"]["revision"]))
    d.signal(signal.SIGCONT)
    comes(p, "mark.okd.example.com", ["10.0.0.19"])
    assert lists(d) == 2 and d.log.count(bad) == 1
    assert d.metrics()["okd_dnsd_etcd_bad_values"] == 1
    e.put(f"{D}/bad", '{"host":"10.0.0.2"}')
    comes(p, "bad.okd.example.com", ["10.0.0.2"])
    since = d.log_position()
    e.put(f"{D}/bad", "nonsense")
    d.log_contains(bad, since=since)
    assert d.log.count(bad) == 2
    # A key cannot write lines of its own.
    e.put(f"{D}/x\nokd-dnsd: forged", "nonsense")
    d.log_contains(f"the record {D}/x okd-dnsd: forged is left out")


WARNING = "records were deleted"


def test_a_deletion_of_half_is_no_mass_deletion(daemon, etcd):
    e = etcd()
    e.txn({f"{D}/h{i}": '{"host":"10.0.0.1"}' for i in range(20)})
    d, p = follow(daemon, e)
    e.txn({f"{D}/h{i}": None for i in range(10)})
    wait_until(lambda: rcode(udp(p, query("h9.okd.example.com"))) == "NXDOMAIN", what="it")
    assert WARNING not in d.log
    e.delete(f"{D}/h10")
    d.log_contains("11 of 20 " + WARNING)


def test_a_mass_deletion_that_a_list_finds_is_told_too(daemon, etcd):
    e = etcd()
    e.txn({f"{D}/h{i}": '{"host":"10.0.0.1"}' for i in range(20)})
    d, p = follow(daemon, e)
    e.wipe()
    e.put(f"{D}/h0", '{"host":"10.0.0.2"}')
    comes(p, "h0.okd.example.com", ["10.0.0.2"])
    d.log_contains("of 20 " + WARNING)
    wait_until(lambda: rcode(udp(p, query("h1.okd.example.com"))) == "NXDOMAIN", what="it")
