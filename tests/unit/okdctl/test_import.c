/* The importers: what each kind of line becomes, and what is said of the others. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#include "common/fd.h"
#include "okdctl/import.h"

typedef int convert_fn(struct import *in);

static struct str out, notes;
static struct err err;

static int convert(convert_fn *fn, const char *text)
{
	struct import in = { .name = "f",
		.text = text,
		.n = strlen(text),
		.out = &out,
		.notes = &notes,
		.err = &err };

	str_reset(&out);
	str_reset(&notes);
	err = (struct err)ERR_INIT;
	return fn(&in);
}

/* The text is in what came out; shows it when it is not. */
static bool has(const struct str *s, const char *text)
{
	if (strstr(str_get(s), text))
		return true;
	printf("# no \"%s\" in:\n# %s\n", text, str_get(s));
	return false;
}

static bool from_file(convert_fn *fn, const char *path, const char *want)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	if (file_read(path, 65536, &text) < 0)
		return false;
	return convert(fn, str_get(&text)) == 0 && has(&out, want);
}

TEST(guide_corefile)
{
	CHECK(from_file(import_corefile, "tests/fuzz/corpus/import_corefile/guide",
	    "template:\n"
	    "  - zones: [apps.okd.example.com]\n"
	    "    type: A\n"
	    "    match: ['.*apps\\.okd\\.example\\.com\\.$']\n"
	    "    answer: ['{{ .Name }} 60 IN A 172.18.22.243']\n"
	    "    fallthrough: true\n"));
	CHECK(has(&out, "cache: {positive: 160s, negative: 160s}\n"));
	CHECK(has(&out, "forward: {to: [114.114.114.114]}\n"));
	CHECK(has(&out, "etcd: {path: /skydns, endpoints: [http://localhost:2379]"));
	CHECK(has(&out, "log: all\n"));
	CHECK(has(&out, "loadbalance: true\n"));
	CHECK(has(&out, "admin: 127.0.0.1:9153\n"));
	CHECK(
	    has(&notes, "f:3: the expression \".*apps\\.okd\\.example\\\" is cut off"));
	CHECK(has(&notes, "f:16: what follows \"log\" is taken for a remark"));
}

TEST(guide_corefile_without_com)
{
	CHECK(convert(import_corefile,
		  ".:53 {\n template IN A apps.okd.example {\n"
		  "  match .*apps\\.okd\\.example\\\n }\n}\n") == 0);
	CHECK(has(&out, "match: ['.*apps\\.okd\\.example\\.$']"));
}

TEST(cut_expression_of_another_zone)
{
	CHECK(convert(import_corefile,
		  ".:53 {\n template IN A a.example {\n  match ^b\\.\\\n"
		  "  answer \"{{ .Name }} A 1.2.3.4\"\n }\n}\n") == 0);
	CHECK(!strstr(str_get(&out), "match:"));
	CHECK(has(&notes,
	    "f:3: the expression \"^b\\.\\\" is cut off behind a backslash "
	    "and is left out"));
}

TEST(corefile_lines_that_are_lost)
{
	CHECK(convert(import_corefile,
		  ".:53 {\n rewrite name a b\n forward . /etc/resolv.conf 9.9.9.9\n"
		  " cache {\n  prefetch 5\n }\n bind 10.0.0.1\n}\n"
		  "example.org {\n file db\n}\n") == 0);
	CHECK(has(&notes, "f:2: \"rewrite name\" is not carried over"));
	CHECK(has(&notes, "f:3: the addresses in /etc/resolv.conf are not read"));
	CHECK(has(&notes, "f:5: \"prefetch 5\" is not carried over"));
	CHECK(has(&notes, "f:9: the server block \"example.org\" is not carried over"));
	CHECK(has(&notes, "f:10: \"file db\" is not carried over"));
	CHECK(has(&out, "listen: [10.0.0.1:53]"));
	CHECK(has(&out, "to: [9.9.9.9]"));
	CHECK(has(&out, "loadbalance: false\n"));
	CHECK(has(&out, "log: error\n"));
}

TEST(corefile_hosts_and_acl)
{
	CHECK(convert(import_corefile,
		  ".:53 {\n hosts {\n  10.0.0.1 a.example.org b.example.org\n"
		  "  fallthrough\n }\n acl {\n  allow net 10.0.0.0/8\n  block\n "
		  "}\n}\n") == 0);
	CHECK(has(&out, "a.example.org. 3600 IN A 10.0.0.1"));
	CHECK(has(&out, "b.example.org. 3600 IN A 10.0.0.1"));
	CHECK(has(&out, "allow: [10.0.0.0/8]"));
	/* The file that CoreDNS reads besides. */
	CHECK(has(&out, "hosts: [/etc/hosts]\n"));
	CHECK(convert(import_corefile,
		  ".:53 {\n hosts /etc/lab.hosts lab.example.org {\n  fd00::1 a\n  ttl "
		  "60\n"
		  "  no_reverse\n }\n}\n") == 0);
	CHECK(has(&out,
	    "records:\n  - a. 60 IN AAAA fd00::1\nhosts: [/etc/lab.hosts]\n"
	    "hosts_ttl: 60s\n"));
	CHECK(has(&notes, "f:2: hosts is for all names"));
	CHECK(has(&notes, "f:5: \"no_reverse\" is not carried over"));
	CHECK(convert(import_corefile, ".:53 {\n hosts\n}\n") == 0);
	CHECK(has(&out, "hosts: [/etc/hosts]\n"));
	CHECK(convert(import_corefile, ".:53 {\n hosts lab.hosts\n}\n") == 0);
	CHECK(!strstr(str_get(&out), "hosts:"));
	CHECK(has(&notes, "whole paths"));
}

TEST(no_corefile)
{
	CHECK(convert(import_corefile, "# nothing\n") == -EINVAL);
	CHECK(strstr(err.text, "no Corefile") != NULL);
}

TEST(guide_haproxy)
{
	CHECK(from_file(import_haproxy, "tests/fuzz/corpus/import_haproxy/guide",
	    "  - name: openshift-api-server\n"
	    "    balance: source\n"
	    "    check: {type: tcp, interval: 2s, timeout: 10s, rise: 2, fall: 3}\n"
	    "    servers:\n"
	    "      - {name: bootstrap, address: 192.168.120.102:6443}\n"
	    "      - {name: master, address: 192.168.120.103:6443}\n"));
	CHECK(has(&out, "stats: {listen: [\":9000\"], monitor_uri: /healthz}\n"));
	CHECK(has(&out, "    listen: [\"*:22623\"]\n"));
	CHECK(has(&notes, "f:50: what follows \"check\" is taken for a remark"));
	CHECK(has(&notes, "f:14: \"retries 3\" is not carried over"));
}

TEST(haproxy_servers)
{
	CHECK(
	    convert(import_haproxy,
		"listen api\n bind *:6443 accept-proxy\n balance leastconn\n"
		" option httpchk GET /readyz\n http-check expect status 200\n"
		" default-server inter 3s fall 2 rise 4\n"
		" server a 10.0.0.1:6443 check check-ssl verify none backup weight 3\n"
		" server b 10.0.0.2 check cookie x\n") == 0);
	CHECK(has(&out,
	    "check: {type: https, interval: 3s, rise: 4, fall: 2, path: "
	    "/readyz, expect: [200]}"));
	CHECK(has(&out, "{name: a, address: 10.0.0.1:6443, backup: true, weight: 3}"));
	CHECK(has(&out, "{name: b, address: 10.0.0.2:6443}"));
	CHECK(has(&out, "accept_proxy: true"));
	CHECK(has(&notes, "f:8: server b has no port"));
	CHECK(has(&notes, "f:8: \"cookie\" of server b is not carried over"));
}

TEST(haproxy_without_checks)
{
	CHECK(convert(import_haproxy,
		  "frontend f\n bind :1\n default_backend b\nbackend b\n server s "
		  "10.0.0.1:1\n"
		  " acl x src 10.0.0.0/8\n") == 0);
	CHECK(has(&out, "{name: s, address: 10.0.0.1:1, check: false}"));
	CHECK(has(&out, "log: none"));
	CHECK(has(&notes, "f:6: \"acl x src 10.0.0.0/8\" is not carried over"));
}

TEST(haproxy_weights)
{
	CHECK(convert(import_haproxy,
		  "listen l\n bind :1\n server a 1.2.3.4:5 weight 0\n"
		  " server b 1.2.3.5:5 weight 256\n server c 1.2.3.6:5 weight 257\n") ==
	    0);
	CHECK(has(&out, "{name: a, address: 1.2.3.4:5, check: false, weight: 0}"));
	CHECK(has(&out, "{name: b, address: 1.2.3.5:5, check: false, weight: 256}"));
	CHECK(has(&notes, "f:5: \"weight\" of server c is not carried over"));
}

TEST(no_haproxy)
{
	CHECK(convert(import_haproxy, "a b c\n") == -EINVAL);
	CHECK(convert(import_haproxy, "backend b\n server s 1.2.3.4:5\n") == -EINVAL);
}

TEST(nginx)
{
	CHECK(from_file(import_nginx, "tests/fuzz/corpus/import_nginx/guide",
	    "listen: [\":8080\"]\ninstall: /usr/share/nginx/html/install\n"
	    "ignition: /usr/share/nginx/html/ignition\n"));
	CHECK(has(&notes, "f:8: folders are not listed"));
	CHECK(convert(import_nginx, "a") == -EINVAL);
	CHECK(convert(import_nginx,
		  "server { listen 8080; listen 80; listen 80 default_server; }") == 0);
	CHECK(has(&out, "listen: [\":8080\", \":80\"]\n"));
}

/* A note bears the number of its pair. */
TEST(etcd_notes)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	str_addz(&text,
	    "/elsewhere\n{}\n"
	    "/skydns/a/b\n{\"host\":\"no host\"}\n"
	    "/skydns/a/c\n{\"host\":\"10.0.0.1\"}\n"
	    "/skydns/a/d\n{\"host\":\"");
	for (int i = 0; i < 300; i++)
		str_addc(&text, 'x');
	str_addz(&text, "\"}\n");
	CHECK(convert(import_etcd, str_get(&text)) == 0);
	CHECK(has(&notes, "f:1: the key \"/elsewhere\" is no name"));
	CHECK(has(&notes, "f:2: \"no host\" of b.a. is no host"));
	CHECK(has(&notes, "f:4: the host of /skydns/a/d is too long"));
}

TEST(etcd)
{
	CHECK(from_file(import_etcd, "tests/fuzz/corpus/import_etcd/lines",
	    "  - api.okd.example.com. 60 IN A 192.168.120.101\n"));
	CHECK(has(&out,
	    "  - _etcd-server-ssl._tcp.okd.example.com. 60 IN SRV 10 100 2380 "
	    "etcd-0.okd.example.com.\n"));
	CHECK(has(&out, "  - www.okd.example.com. 300 IN AAAA fd00::1\n"));
	CHECK(has(&out, "CNAME www.example.org."));
	CHECK(has(
	    &notes, "f:7: a number of /skydns/com/example/okd/bad is out of range"));
}

/* Three masters share the weight, as CoreDNS reckons it. */
TEST(etcd_weights)
{
	CHECK(convert(import_etcd,
		  "/skydns/com/e/x1\n{\"host\":\"a.e.com\",\"port\":1,\"weight\":10}\n"
		  "/skydns/com/e/x2\n{\"host\":\"b.e.com\",\"port\":1,\"weight\":10}\n"
		  "/skydns/com/e/"
		  "x3\n{\"host\":\"c.e.com\",\"port\":1,\"weight\":10}\n") == 0);
	CHECK(has(&out, "e.com. 300 IN SRV 10 33 1 a.e.com."));
	CHECK(has(&out, "e.com. 300 IN SRV 10 33 1 c.e.com."));
}

TEST(etcd_json)
{
	/* /skydns/com/e/api {"host":"10.0.0.1"} */
	CHECK(
	    convert(import_etcd,
		"{\"kvs\":[{\"key\":\"L3NreWRucy9jb20vZS9hcGk=\","
		"\"value\":\"eyJob3N0IjoiMTAuMC4wLjEifQ==\"},{\"key\":\"?\"}]}") == 0);
	CHECK(has(&out, "api.e.com. 300 IN A 10.0.0.1"));
	CHECK(has(&notes, "f:2: the key or value is no base64"));
	CHECK(convert(import_etcd, "{\"kvs\":[]}") == -EINVAL);
	CHECK(convert(import_etcd, "{") == -EINVAL);
}

TEST(durations)
{
	static const struct {
		const char *in, *out;
	} rows[] = { { "160", "160s" }, { "1m", "60s" }, { "1500ms", "1500ms" },
		{ "2500us", "3ms" }, { "1d", "86400s" }, { "", NULL }, { "1w", NULL },
		{ "-1", NULL } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(str_deinit) struct str s = STR_INIT;
		int r = import_duration(rows[i].in, 1000, &s);

		CHECK(rows[i].out ? r == 0 && str_eq(str_get(&s), rows[i].out) : r < 0);
	}
}
