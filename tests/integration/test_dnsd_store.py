"""dnsd's embedded store: the admin verbs, what a change is worth, what survives."""

import pytest
import dnsd
from dnsd import HOST, query, rcode, texts, udp
from harness import free_port, wait_until
import stallready
import variant

offline_daemon = dnsd.offline_daemon
stall = stallready.stall

D = "/v1/records/skydns/com/example/okd"


@pytest.fixture(name="served")
def served_daemon(daemon):
    p = free_port()
    return daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 2}), p


def put(d, key, value, status=204):
    answer = d.admin(key, "PUT", value)
    assert answer.status == status, answer.text
    return answer


def ask(p, name, rdtype="A"):
    return texts(udp(p, query(name, rdtype)))


def test_put_get_list_delete(served):
    d, p = served
    assert rcode(udp(p, query("new.okd.example.com"))) == "NXDOMAIN"
    put(d, f"{D}/new", '{"host":"10.0.0.1","ttl":60}')
    for _ in range(20):  # every worker
        answer = udp(p, query("new.okd.example.com"))
        assert texts(answer) == ["10.0.0.1"] and answer.answer[0].ttl == 60
    put(d, f"{D}/new", {"host": "10.0.0.2"})
    assert ask(p, "new.okd.example.com") == ["10.0.0.2"]
    assert d.admin(f"{D}/new").json() == {"host": "10.0.0.2"}
    put(d, f"{D}/other", {"host": "10.0.0.3"})
    every = d.admin("/v1/records/").json()["records"]
    assert [r["key"] for r in every] == [
        "/skydns/com/example/okd/new", "/skydns/com/example/okd/other"]
    assert len(d.admin(f"{D}/").json()["records"]) == 2
    assert not d.admin("/v1/records/skydns/org/").json()["records"]
    assert d.admin(f"{D}/new", "DELETE").status == 204
    assert rcode(udp(p, query("new.okd.example.com"))) == "NXDOMAIN"
    assert d.admin(f"{D}/new", "DELETE").status == 404
    assert d.admin(f"{D}/new").status == 404


def test_records_survive_a_power_cut_and_a_reload(served):
    d, p = served
    put(d, f"{D}/new", {"host": "10.0.0.1"})
    d.reload()
    assert ask(p, "new.okd.example.com") == ["10.0.0.1"]
    d.kill9()
    d.start()
    assert ask(p, "new.okd.example.com") == ["10.0.0.1"]
    assert d.admin(f"{D}/new").json() == {"host": "10.0.0.1"}


def test_a_batch_is_all_or_nothing(served):
    d, p = served
    put(d, f"{D}/old", {"host": "10.0.0.1"})
    k = "/skydns/com/example/okd"
    good = {"changes": [{"key": f"{k}/a", "value": {"host": "10.0.0.2"}},
                        {"key": f"{k}/b", "value": '{"host":"10.0.0.3"}'},
                        {"key": f"{k}/old"}]}
    bad = {"changes": [{"key": f"{k}/c", "value": {"host": "10.0.0.2"}},
                       {"key": f"{k}/d", "value": {"host": "10.0.0.2", "port": "x"}}]}
    answer = d.admin("/v1/records", "POST", bad)
    assert answer.status == 422 and "port" in answer.json()["error"]["message"]
    assert len(d.admin("/v1/records/").json()["records"]) == 1
    assert d.admin("/v1/records", "POST", good).status == 204
    assert ask(p, "a.okd.example.com") == ["10.0.0.2"]
    assert ask(p, "b.okd.example.com") == ["10.0.0.3"]
    assert rcode(udp(p, query("old.okd.example.com"))) == "NXDOMAIN"


def test_lines_of_a_zone_file(served):
    d, p = served

    def change(**what):
        answer = d.admin("/v1/records", "POST", {"changes": [what]})
        assert answer.status == 204, answer.text

    change(record="caa 60 IN CAA 0 issue \"ca.example.org\"")
    change(record="multi 60 IN A 10.0.0.1")
    change(record="multi 60 IN A 10.0.0.2")
    change(record="multi 90 IN A 10.0.0.2")
    change(record="out.example.net. 60 IN MX 5 mail.example.net.")
    assert ask(p, "caa.okd.example.com", "CAA") == ['0 issue "ca.example.org"']
    assert ask(p, "multi.okd.example.com") == ["10.0.0.1", "10.0.0.2"]
    assert ask(p, "out.example.net", "MX") == ["5 mail.example.net."]
    change(record="multi 60 IN A 10.0.0.1", delete=True)
    assert ask(p, "multi.okd.example.com") == ["10.0.0.2"]
    put(d, f"{D}/plain", "60 IN TXT hello")
    assert ask(p, "plain.okd.example.com", "TXT") == ['"hello"']


def test_lines_are_read_as_in_a_zone_file(served):
    d, p = served

    def change(line, status=204, **more):
        answer = d.admin("/v1/records", "POST", {"changes": [{"record": line, **more}]})
        assert answer.status == status, answer.text
        return answer

    # As dig prints it; without TTL, class or both; for the domain itself.
    change("tabs.okd.example.com.\t60\tIN\tA\t10.0.0.1")
    assert ask(p, "tabs.okd.example.com") == ["10.0.0.1"]
    for name, rest in (("a", "A 10.0.0.2"), ("b", "IN\tA 10.0.0.2"), ("c", "60 A 10.0.0.2"),
                       ("d", "in a 10.0.0.2"), ("e", "1h IN A 10.0.0.2")):
        change(f"{name} {rest}")
        assert ask(p, f"{name}.okd.example.com") == ["10.0.0.2"]
    change("@ 60 IN TXT itself")
    assert ask(p, "okd.example.com", "TXT") == ['"itself"']
    # The same record has one key, however it is written.
    change("many 60 IN TXT \"one  two\"")
    change("many\tTXT   \"one  two\"")
    change("many 60 IN TXT \"one two\"")
    assert len(d.admin(f"{D}/many/").json()["records"]) == 2
    change("many IN TXT \"one two\"", delete=True)
    change("many 5 TXT \"one  two\"", delete=True)
    assert not d.admin(f"{D}/many/").json()["records"]
    # Names in the data are below the domain too, unless they end with a dot.
    change("alias 60 IN CNAME api")
    change("mail 60 IN MX 5 out.example.net.")
    change("srv IN SRV 1 2 3 api")
    assert ask(p, "alias.okd.example.com", "CNAME") == ["api.okd.example.com."]
    assert "192.168.120.101" in ask(p, "alias.okd.example.com")
    assert ask(p, "mail.okd.example.com", "MX") == ["5 out.example.net."]
    answer = udp(p, query("srv.okd.example.com", "SRV"))
    assert texts(answer) == ["1 2 3 api.okd.example.com."] and answer.answer[0].ttl == 300
    change("alias 60 IN CNAME api", delete=True)
    assert rcode(udp(p, query("alias.okd.example.com", "CNAME"))) == "NXDOMAIN"
    # What a key cannot say is not taken for something else.
    for line in ("0/25.2.0.192.in-addr.arpa. NS api", "=x 60 IN A 10.0.0.1"):
        message = change(line, 422).json()["error"]["message"]
        assert "is a name that no key can have" in message


def test_what_a_list_cannot_show_is_refused(served):
    d, _ = served
    for value in (b"60 IN TXT \"\xe4\"", b"{\"text\":\"\xff\"}"):
        assert d.admin(f"{D}/x", "PUT", value).status == 422
    assert d.admin(f"{D}/%e4", "PUT", "60 IN A 10.0.0.1").status == 422
    put(d, f"{D}/x", "60 IN TXT \"\\228\"")
    put(d, f"{D}/y", '{"text":"ä"}'.encode())
    assert len(d.admin("/v1/records/").json()["records"]) == 2


@pytest.mark.parametrize("key,value", [
    (f"{D}/x", ""), (f"{D}/x", "nonsense"), (f"{D}/x", "[1]"), (f"{D}/x", '{"host":1}'),
    (f"{D}/x", '{"host":"10.0.0.1","ttl":-1}'), (f"{D}/x", '{"host":"10.0.0.1","ttl":1.5}'),
    (f"{D}/x", '{"host":"a..b"}'), (f"{D}/x", "60 IN A nonsense"),
    (f"{D}/X", '{"host":"10.0.0.1"}'), (f"{D}/{'x' * 64}", '{"host":"10.0.0.1"}'),
    ("/v1/records/other/com", '{"host":"10.0.0.1"}'), (f"{D}/x", '{"host":"10.0.0.1"')])
def test_what_is_no_record_is_refused(served, key, value):
    d, _ = served
    assert put(d, key, value, 422).json()["error"]["message"]
    assert not d.admin("/v1/records/").json()["records"]


def test_store_records_beat_derived_ones_and_yield_to_static_ones(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "records": ["fixed A 10.9.9.9"]})
    put(d, f"{D}/api", {"host": "10.0.0.1"})
    put(d, f"{D}/fixed", {"host": "10.0.0.1"})
    assert ask(p, "api.okd.example.com") == ["10.0.0.1"]
    assert ask(p, "fixed.okd.example.com") == ["10.9.9.9"]
    d.admin(f"{D}/api", "DELETE")
    assert ask(p, "api.okd.example.com") == ["192.168.120.101"]


# --- SkyDNS's semantics ----------------------------------------------------------------


def test_the_guides_srv_and_its_weights(served):
    d, p = served
    srv = "_etcd-server-ssl._tcp.okd.example.com"
    put(d, f"{D}/_tcp/_etcd-server-ssl/x1", {
        "host": "etcd-0.okd.example.com", "ttl": 60, "priority": 0, "weight": 10, "port": 2380})
    answer = udp(p, query(srv, "SRV"))
    assert texts(answer) == ["0 100 2380 etcd-0.okd.example.com."]
    assert [r.to_text() for s in answer.additional for r in s] == ["192.168.120.103"]
    for i in (2, 3):
        put(d, f"{D}/_tcp/_etcd-server-ssl/x{i}", {
            "host": f"etcd-{i}.okd.example.com", "priority": 0, "weight": 10, "port": 2380})
    assert ask(p, srv, "SRV") == [
        f"0 33 2380 etcd-{i}.okd.example.com." for i in (0, 2, 3)]
    put(d, f"{D}/_tcp/_etcd-server-ssl/x2", {
        "host": "etcd-2.okd.example.com", "weight": 10, "port": 2380})
    assert "10 100 2380 etcd-2.okd.example.com." in ask(p, srv, "SRV")


def test_a_name_answers_with_what_is_below_it(served):
    d, p = served
    put(d, f"{D}/svc/x1", {"host": "10.0.0.1"})
    put(d, f"{D}/svc/x2", {"host": "10.0.0.2"})
    put(d, f"{D}/svc/deep/x3", {"host": "fd00::3"})
    put(d, f"{D}/svc", {"host": "10.0.0.4"})
    assert ask(p, "svc.okd.example.com") == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    assert ask(p, "svc.okd.example.com", "AAAA") == ["fd00::3"]
    assert ask(p, "x1.svc.okd.example.com") == ["10.0.0.1"]
    # The apex and what is above it do not dump what they hold.
    assert not ask(p, "okd.example.com")
    assert rcode(udp(p, query("example.com"))) == "REFUSED"
    put(d, f"{D}/dns/apex/x1", {"host": "10.0.0.9"})
    assert ask(p, "okd.example.com") == ["10.0.0.9"]
    for key in ("svc/x1", "svc/x2", "svc/deep/x3", "svc"):
        assert d.admin(f"{D}/{key}", "DELETE").status == 204
    for name in ("svc", "deep.svc", "x1.svc"):
        assert rcode(udp(p, query(f"{name}.okd.example.com"))) == "NXDOMAIN"


def test_groups(served):
    d, p = served
    put(d, f"{D}/g/a", {"host": "10.0.0.1", "group": "g1"})
    put(d, f"{D}/g/b", {"host": "10.0.0.2"})
    put(d, f"{D}/g/sub/c", {"host": "10.0.0.3", "group": "g2"})
    assert ask(p, "g.okd.example.com") == ["10.0.0.1", "10.0.0.2"]
    put(d, f"{D}/g/d", {"host": "10.0.0.4", "group": "g3"})
    assert len(ask(p, "g.okd.example.com")) == 4


def test_aliases_text_and_mail(served):
    d, p = served
    put(d, f"{D}/alias/x1", {"host": "api.okd.example.com"})
    put(d, f"{D}/both", {"host": "api.okd.example.com", "text": "heritage=x"})
    put(d, f"{D}/long", {"text": "x" * 300})
    put(d, f"{D}/mx/a", {"host": "10.0.0.5", "mail": True, "priority": 7})
    assert ask(p, "alias.okd.example.com", "CNAME") == ["api.okd.example.com."]
    assert ask(p, "alias.okd.example.com") == ["192.168.120.101", "api.okd.example.com."]
    assert ask(p, "both.okd.example.com", "TXT") == ['"heritage=x"']
    assert "192.168.120.101" in ask(p, "both.okd.example.com")
    assert ask(p, "long.okd.example.com", "TXT") == [f'"{"x" * 255}" "{"x" * 45}"']
    answer = udp(p, query("mx.okd.example.com", "MX"))
    assert texts(answer) == ["7 a.mx.okd.example.com."]
    assert [r.to_text() for s in answer.additional for r in s] == ["10.0.0.5"]


def test_two_pointers_for_one_address(served):
    d, p = served
    r = "/v1/records/skydns/arpa/in-addr/192/168/120"
    put(d, f"{r}/50/x1", {"host": "one.okd.example.com"})
    put(d, f"{r}/50/x2", {"host": "two.okd.example.com"})
    put(d, f"{r}/51", {"host": "three.okd.example.com"})
    assert ask(p, "50.120.168.192.in-addr.arpa", "PTR") == [
        "one.okd.example.com.", "two.okd.example.com."]
    assert ask(p, "51.120.168.192.in-addr.arpa", "PTR") == ["three.okd.example.com."]
    assert not ask(p, "120.168.192.in-addr.arpa", "PTR")
    # Below another network, outside of our zones, each number is a name of its own too.
    put(d, "/v1/records/skydns/arpa/in-addr/10/0/0/1", {"host": "ten.okd.example.com"})
    assert ask(p, "1.0.0.10.in-addr.arpa", "PTR") == ["ten.okd.example.com."]
    assert rcode(udp(p, query("0.0.10.in-addr.arpa", "PTR"))) == "REFUSED"


def test_targetstrip_and_port(served):
    d, p = served
    put(d, f"{D}/s/x1", {"host": "10.0.0.1", "port": 80, "targetstrip": 1})
    put(d, f"{D}/s/x2", {"host": "10.0.0.2", "port": -1})
    assert ask(p, "s.okd.example.com", "SRV") == ["10 50 80 s.okd.example.com."]


def test_a_changed_store_says_when_it_takes_effect(served):
    d, p = served
    put(d, f"{D}/kept", {"host": "10.0.0.1"})
    since = d.log_position()
    d.reload({"listen": [f"{HOST}:{p}"], "store": {"path": "/other"}, "forward": {"to": []}})
    d.log_contains("store: takes effect at the next start or upgrade", since=since)
    assert ask(p, "kept.okd.example.com") == ["10.0.0.1"]


@pytest.mark.skipif(variant.NAME != "release", reason="preloads a library")
def test_a_successor_knows_what_was_changed_while_it_started(daemon, stall):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"]}, env=stall.env)
    put(d, f"{D}/kept", {"host": "10.0.0.1"})
    put(d, f"{D}/gone", {"host": "10.0.0.1"})
    put(d, f"{D}/other", {"host": "10.0.0.1"})
    with stall.upgrade(d):
        put(d, f"{D}/new", {"host": "10.0.0.2"})
        put(d, f"{D}/other", {"host": "10.0.0.3"})
        assert d.admin(f"{D}/gone", "DELETE").status == 204
    wait_until(lambda: ask(p, "new.okd.example.com") == ["10.0.0.2"], timeout=20, what="it")
    assert ask(p, "kept.okd.example.com") == ["10.0.0.1"]
    assert ask(p, "other.okd.example.com") == ["10.0.0.3"]
    assert rcode(udp(p, query("gone.okd.example.com"))) == "NXDOMAIN"
    keys = [r["key"] for r in d.admin("/v1/records/").json()["records"]]
    assert [k.rsplit("/", 1)[1] for k in keys] == ["kept", "new", "other"]
