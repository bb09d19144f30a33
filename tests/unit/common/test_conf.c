/* YAML through tables into a struct and back, and a sentence for everything refused. */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/conf.h"
#include "common/net.h"

struct server {
	char *name;
	struct net_endpoint address;
	uint64_t weight;
};

struct sample {
	char *title;
	bool flag;
	uint64_t count, automatic, interval, size;
	int mode;
	struct net_ip ip;
	struct net_cidr net;
	struct net_endpoint listen;
	struct conf_list words, numbers, servers;
	struct {
		uint64_t positive, negative;
	} cache;
	struct {
		char *certificate;
		uint64_t age;
	} tls;
};

static const char *const modes[] = { "auto", "ask", "off", NULL };
static const struct conf_type mode_type = CONF_ENUM(modes);
static const struct conf_type words_type = CONF_LIST(&conf_string);
static const struct conf_type numbers_type = CONF_LIST(&conf_uint);

#define SERVER(m) .offset = offsetof(struct server, m)
static const struct conf_field server_fields[] = {
	{ .key = "name", .type = &conf_string, SERVER(name), .required = true },
	{ .key = "address", .type = &conf_endpoint, SERVER(address), .required = true },
	{ .key = "weight", .type = &conf_uint, SERVER(weight), .def = "1", .max = 256 },
	CONF_END,
};
static const struct conf_type server_type = CONF_TABLE(struct server, server_fields);
static const struct conf_type servers_type = CONF_LIST(&server_type);

static const struct conf_field cache_fields[] = {
	{ .key = "positive", .type = &conf_duration, .offset = 0, .def = "160s" },
	{ .key = "negative", .type = &conf_duration, .offset = sizeof(uint64_t) },
	CONF_END,
};
static const struct conf_type cache_type =
    CONF_TABLE(((struct sample *)0)->cache, cache_fields);

static const struct conf_field tls_fields[] = {
	{ .key = "certificate", .type = &conf_string, .offset = 0, .required = true },
	{ .key = "age", .type = &conf_duration, .offset = sizeof(char *), .def = "1h" },
	CONF_END,
};
static const struct conf_type tls_type =
    CONF_TABLE(((struct sample *)0)->tls, tls_fields);

#define SAMPLE(m) .offset = offsetof(struct sample, m)
static const struct conf_field fields[] = {
	{ .key = "title", .type = &conf_string, SAMPLE(title) },
	{ .key = "flag", .type = &conf_bool, SAMPLE(flag), .def = "true" },
	{ .key = "count", .type = &conf_uint, SAMPLE(count), .min = 1, .max = 65535 },
	{ .key = "automatic",
	    .type = &conf_uint_auto,
	    SAMPLE(automatic),
	    .def = "auto",
	    .min = 1,
	    .max = 64 },
	{ .key = "interval",
	    .type = &conf_duration,
	    SAMPLE(interval),
	    .def = "5s",
	    .min = 100,
	    .max = 3600000 },
	{ .key = "size",
	    .type = &conf_size,
	    SAMPLE(size),
	    .def = "64MiB",
	    .min = 4096 },
	{ .key = "mode", .type = &mode_type, SAMPLE(mode), .def = "auto" },
	{ .key = "ip", .type = &conf_ip, SAMPLE(ip) },
	{ .key = "net", .type = &conf_cidr, SAMPLE(net) },
	{ .key = "listen", .type = &conf_endpoint, SAMPLE(listen), .def = "\":5000\"" },
	{ .key = "words", .type = &words_type, SAMPLE(words), .def = "[a, b]" },
	{ .key = "numbers", .type = &numbers_type, SAMPLE(numbers), .max = 9 },
	{ .key = "servers", .type = &servers_type, SAMPLE(servers) },
	{ .key = "cache", .type = &cache_type, SAMPLE(cache) },
	{ .key = "tls", .type = &tls_type, SAMPLE(tls) },
	CONF_END,
};

static int decode_n(const char *text, size_t n, struct sample *s, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	int r = conf_doc_parse(&doc, "x.yaml", text, n, e);

	return r < 0 ? r : conf_decode(doc, fields, s, e);
}

static int decode(const char *text, struct sample *s, struct err *e)
{
	*s = (struct sample){ 0 };
	return decode_n(text, strlen(text), s, e);
}

static bool is_zero(const struct sample *s)
{
	static const struct sample zero;

	return memcmp(s, &zero, sizeof(zero)) == 0;
}

static bool eq(const char *got, const char *expected)
{
	if (!str_eq(got, expected))
		printf("# got      %s\n# expected %s\n", got, expected);
	return str_eq(got, expected);
}

TEST(defaults)
{
	struct sample s = { 0 }, empty;
	struct err e;

	CHECK(conf_defaults(fields, &s, &e) == 0);
	CHECK(!s.title && s.flag && !s.count && !s.automatic && s.interval == 5000);
	CHECK(s.size == 64 << 20 && s.mode == 0 && !s.ip.family && !s.net.ip.family);
	CHECK(s.listen.port == 5000 && !s.listen.ip.family);
	CHECK(s.words.n == 2 && s.words.set);
	CHECK(str_eq(conf_list_items(&s.words, char *)[1], "b"));
	CHECK(!s.numbers.set && !s.servers.set);
	CHECK(s.cache.positive == 160000 && !s.cache.negative);
	CHECK(!s.tls.certificate && !s.tls.age);
	conf_deinit(fields, &s);
	CHECK(is_zero(&s));
	CHECK(decode("# nothing\n", &empty, &e) == 0 && empty.interval == 5000);
	conf_deinit(fields, &empty);
	CHECK(decode("---\n~\n", &empty, &e) == 0 && empty.interval == 5000);
	conf_deinit(fields, &empty);
}

TEST(decodes)
{
	struct sample s;
	struct err e;
	const struct server *servers;
	int r = decode("title: 'a: \"b\"'\nflag: off\ncount: \"7\"\nautomatic: 3\n"
		       "interval: 2m\nsize: 0\nmode: off\nip: ::1\nnet: 10.0.0.0/8\n"
		       "listen: '[::1]:53'\nwords: lone\nnumbers: [1, '2']\n"
		       "servers:\n- name: s\n  address: 1.2.3.4:5\n- {name: t, "
		       "address: ':6', weight: 0}\n"
		       "cache: {positive: 0s, negative: 1d}\ntls: {certificate: c}\n",
	    &s, &e);

	CHECK(r == -EINVAL &&
	    str_eq(err_str(&e),
		"x.yaml:6:7: size: 0 is too small; it "
		"must be at least 4KiB"));
	CHECK(is_zero(&s));
	r = decode("title: 'a: \"b\"'\nflag: Off\ncount: \"7\"\nautomatic: 3\n"
		   "interval: 2m\nsize: 4096\nmode: off\nip: ::1\nnet: 10.0.0.0/8\n"
		   "listen: '[::1]:53'\nwords: lone\nnumbers: [1, '2']\n"
		   "servers:\n- name: s\n  address: 1.2.3.4:5\n- {name: t, "
		   "address: ':6', weight: 0}\n"
		   "cache: {positive: 0s, negative: 1d}\ntls: {certificate: c}\n",
	    &s, &e);
	CHECK(r == 0);
	if (r < 0) {
		eq(err_str(&e), "");
		return;
	}
	CHECK(eq(s.title, "a: \"b\""));
	CHECK(!s.flag && s.count == 7 && s.automatic == 3 && s.interval == 120000);
	CHECK(s.size == 4096 && s.mode == 2 && s.ip.family == 6 && s.net.prefix == 8);
	CHECK(s.listen.port == 53 && s.words.n == 1 && s.numbers.n == 2);
	CHECK(conf_list_items(&s.numbers, uint64_t)[1] == 2);
	CHECK(s.servers.n == 2);
	servers = s.servers.items;
	CHECK(eq(servers[0].name, "s") && servers[0].weight == 1);
	CHECK(eq(servers[1].name, "t") && servers[1].weight == 0);
	CHECK(servers[1].address.port == 6);
	CHECK(s.cache.positive == 0 && s.cache.negative == 86400000);
	CHECK(eq(s.tls.certificate, "c") && s.tls.age == 3600000);
	conf_deinit(fields, &s);
}

TEST(null_is_absent)
{
	struct sample s;
	struct err e;

	CHECK(decode("flag: ~\ninterval:\nwords: null\nservers:\ncache:\ntls: ~\n"
		     "title:\nmode: ~\n",
		  &s, &e) == 0);
	CHECK(s.flag && s.interval == 5000 && s.words.n == 2 && !s.servers.set);
	CHECK(s.cache.positive == 160000 && !s.tls.age && !s.title);
	conf_deinit(fields, &s);
	CHECK(decode("words: []\ntitle: \"\"\n", &s, &e) == 0);
	CHECK(s.words.set && !s.words.n && s.title && !*s.title);
	conf_deinit(fields, &s);
	CHECK(decode("title: 'null'\n", &s, &e) == 0 && eq(s.title, "null"));
	conf_deinit(fields, &s);
}

TEST(aliases)
{
	struct sample s;
	struct err e;

	CHECK(decode("words: &w [p, q]\ntitle: &t x\nnumbers: []\n"
		     "servers: [{name: *t, address: &a 1.2.3.4:5}, {name: u, address: "
		     "*a}]\n",
		  &s, &e) == 0);
	CHECK(s.servers.n == 2 &&
	    eq(conf_list_items(&s.servers, struct server)[0].name, "x"));
	CHECK(conf_list_items(&s.servers, struct server)[1].address.port == 5);
	conf_deinit(fields, &s);
}

/* clang-format off */
static const struct {
	const char *text, *expected;
} faults[] = {
	{ "tilte: x\n", "x.yaml:1:1: unknown key \"tilte\"; did you mean \"title\"?" },
	{ "cache: {size: 1}\n", "x.yaml:1:9: unknown key \"size\"; allowed are positive, negative" },
	{ "flag: true\ncount: 1\nflag: true\n",
	  "x.yaml:3:1: key \"flag\" stands on line 1 already; keep one of the two" },
	{ "cache: {positive: 1s, positive: 1s}\n",
	  "x.yaml:1:23: key \"positive\" stands on line 1 already; keep one of the two" },
	{ "flag: true\n---\nflag: true\n", "x.yaml:2:1: a second document begins here; one file holds one" },
	{ "- a\n", "x.yaml:1:1: this is a list, but must be a table of settings (key: value)" },
	{ "a\n", "x.yaml:1:1: this is a lone value, but must be a table of settings (key: value)" },
	{ "cache: &a {positive: 1s}\ntls:\n  <<: *a\n",
	  "x.yaml:3:3: merge keys (<<) are not supported; write the settings out" },
	{ "title: !!str 5\n",
	  "x.yaml:1:8: tags are not supported; leave it out, and quote text that begins with !" },
	{ "title: *x\n", "x.yaml:1:8: *x refers to no anchor above it; quote text that begins with *" },
	{ "words: &w [*w]\n", "x.yaml:1:12: *w refers to no anchor above it; quote text that begins with *" },
	{ "title: {{ .Name }}\n", "x.yaml:1:9: a key must be a word; quote text that begins with { or [" },
	{ "? \n: x\n", "x.yaml:1:2: a key is missing before the colon" },
	{ "title: a\n\tflag: true\n",
	  "x.yaml:2:1: there is a tab; indent with spaces" },
	{ "title: [a\n", "x.yaml:2:1: a comma or ] is missing before this" },
	{ "title: @a\n", "x.yaml:1:8: a word cannot begin like this; indent with spaces, not tabs, and quote text that begins with % @ or `" },
	{ "words: [:a]\n", "x.yaml:1:9: a value is missing here; quote text that begins with : or a comma" },
	{ "title: a: b\n", "x.yaml:1:9: a key cannot stand here; check the indentation, and quote text that has \": \" in it" },
	{ "title\nflag: true\n", "x.yaml:2:5: a key cannot stand here; check the indentation, and quote text that has \": \" in it" },
	{ "flag: true\ntitle\ncount: 1\n", "x.yaml:3:1: the line above is no \"key: value\"; check its colon and the indentation" },
	{ "flag: true\n title: a\n", "x.yaml:2:7: a key cannot stand here; check the indentation, and quote text that has \": \" in it" },
	{ "  flag: true\n title: a\n", "x.yaml:2:2: this fits in nowhere; check the indentation and the quotes above" },
	{ "cache: {positive: 1s\ncount: 1\n", "x.yaml:2:6: a comma or } is missing before this" },
	{ "title: \"a\n", "x.yaml:2:1: a quote is not closed before the end of the file" },
	{ "title: \"\\0\"\n", "x.yaml:1:8: \"\\0\" puts a NUL into the text; leave it out" },
	{ "title: a\nflag: \x01\n",
	  "x.yaml:2:7: control character U+0001; remove it, or write \"\\u0001\" in double quotes" },
	{ "title: a\xc2\x9b\n",
	  "x.yaml:1:9: control character U+009B; remove it, or write \"\\u009b\" in double quotes" },
	{ "title: \xc3\xa4\xff\n", "x.yaml:1:9: byte 0xff is not UTF-8; save the file in UTF-8" },
	{ "title: \xc0\x80\n", "x.yaml:1:8: byte 0xc0 is not UTF-8; save the file in UTF-8" },
	{ "title: \xed\xa0\x80\n", "x.yaml:1:8: byte 0xed is not UTF-8; save the file in UTF-8" },
	{ "title: [a]\n", "x.yaml:1:8: title: this is a list, but must be text" },
	{ "title: {a: b}\n", "x.yaml:1:8: title: this is a table, but must be text" },
	{ "flag: 'true'\n", "x.yaml:1:7: flag: \"true\" in quotes is text; write true without them" },
	{ "flag: 1\n", "x.yaml:1:7: flag: \"1\" is neither true nor false" },
	{ "flag: [true]\n", "x.yaml:1:7: flag: this is a list, but must be true or false" },
	{ "count: 0\n", "x.yaml:1:8: count: 0 is too small; it must be at least 1" },
	{ "count: 65536\n", "x.yaml:1:8: count: 65536 is too large; it must be at most 65535" },
	{ "count: 18446744073709551616\n",
	  "x.yaml:1:8: count: 18446744073709551616 is too large for a 64-bit number" },
	{ "count: 99999999999999999999999999999999\n",
	  "x.yaml:1:8: count: 99999999999999999999999999999999 is too large for a 64-bit number" },
	{ "count: -1\n", "x.yaml:1:8: count: \"-1\" is no number; write decimal digits such as 10" },
	{ "count: 0x10\n", "x.yaml:1:8: count: \"0x10\" is no number; write decimal digits such as 10" },
	{ "count: 010\n", "x.yaml:1:8: count: \"010\" is no number; write decimal digits such as 10" },
	{ "count: 1_000\n", "x.yaml:1:8: count: \"1_000\" is no number; write decimal digits such as 10" },
	{ "count: ''\n", "x.yaml:1:8: count: \"\" is no number; write decimal digits such as 10" },
	{ "count: {a: b}\n", "x.yaml:1:8: count: this is a table, but must be a number such as 10" },
	{ "automatic: atuo\n",
	  "x.yaml:1:12: automatic: \"atuo\" is no number; write decimal digits such as 2, or auto" },
	{ "automatic: 65\n", "x.yaml:1:12: automatic: 65 is too large; it must be at most 64" },
	{ "automatic: 0\n", "x.yaml:1:12: automatic: 0 is too small; it must be at least 1" },
	{ "interval: 30 sec\n",
	  "x.yaml:1:11: interval: \"30 sec\" is no duration; write 500ms, 30s, 5m, 1h or 7d" },
	{ "interval: 30\n", "x.yaml:1:11: interval: \"30\" is no duration; write 500ms, 30s, 5m, 1h or 7d" },
	{ "interval: s\n", "x.yaml:1:11: interval: \"s\" is no duration; write 500ms, 30s, 5m, 1h or 7d" },
	{ "interval: 99ms\n", "x.yaml:1:11: interval: 99ms is too small; it must be at least 100ms" },
	{ "interval: 61m\n", "x.yaml:1:11: interval: 61m is too large; it must be at most 1h" },
	{ "interval: 0\n", "x.yaml:1:11: interval: 0 is too small; it must be at least 100ms" },
	{ "interval: 300000000000d\n",
	  "x.yaml:1:11: interval: 300000000000d is too large for a 64-bit number" },
	{ "size: 64MB\n", "x.yaml:1:7: size: \"64MB\" is no size; write 512, 64KiB, 64MiB or 1GiB" },
	{ "size: 16777216TiB\n", "x.yaml:1:7: size: 16777216TiB is too large for a 64-bit number" },
	{ "mode: akk\n", "x.yaml:1:7: mode: \"akk\" is none of auto, ask, off; did you mean \"ask\"?" },
	{ "mode: always\n", "x.yaml:1:7: mode: \"always\" is none of auto, ask, off" },
	{ "mode: [auto]\n", "x.yaml:1:7: mode: this is a list, but must be one of auto, ask, off" },
	{ "ip: 1.2.3\n",
	  "x.yaml:1:5: ip: \"1.2.3\" is no IP address; write one such as 192.168.120.101 or 2001:db8::1" },
	{ "net: 10.0.0.1/8\n",
	  "x.yaml:1:6: net: 10.0.0.1/8 has bits set beyond its prefix; the network is 10.0.0.0/8" },
	{ "net: 10.0.0.0/33\n",
	  "x.yaml:1:6: net: \"10.0.0.0/33\" is no network; write one such as 192.168.120.0/24" },
	{ "listen: 127.0.0.1\n", "x.yaml:1:9: listen: \"127.0.0.1\" lacks a port; write 127.0.0.1:PORT" },
	{ "listen: ::1\n", "x.yaml:1:9: listen: \"::1\" lacks a port; write [::1]:PORT" },
	{ "listen: host:53\n",
	  "x.yaml:1:9: listen: \"host:53\" is no address with a port; write one such as 127.0.0.1:53, [::1]:53 or :5000" },
	{ "words: {a: b}\n", "x.yaml:1:8: words: this is a table, but must be a list such as [a, b]" },
	{ "words: [a, ~]\n", "x.yaml:1:12: words: an entry of the list is empty; it must be text" },
	{ "words: [a, [b]]\n", "x.yaml:1:12: words: this is a list, but must be text" },
	{ "numbers: [1, 10]\n", "x.yaml:1:14: numbers: 10 is too large; it must be at most 9" },
	{ "servers: {name: s}\n",
	  "x.yaml:1:10: servers: this is one table, but must be a list of them; begin each entry with \"- \"" },
	{ "servers:\n  - address: :1\n", "x.yaml:2:5: required key \"name\" is missing; it must be text" },
	{ "servers:\n  - {name: , address: 1.2.3.4:1}\n", "x.yaml:2:12: required key \"name\" has no value; it must be text" },
	{ "servers: [{name: s, address: 1.2.3.4:1, weight: 1}, {name: t, address: 1.2.3.4:1, weihgt: 1}]\n",
	  "x.yaml:1:83: unknown key \"weihgt\"; did you mean \"weight\"?" },
	{ "tls: {}\n", "x.yaml:1:6: required key \"certificate\" is missing; it must be text" },
	{ "cache: 5\n", "x.yaml:1:8: cache: this is a lone value, but must be a table of settings (key: value)" },
	{ "count: \"a\\e[31m\\nb\xe2\x80\xa8\"\n",
	  "x.yaml:1:8: count: \"a?[31m?b?\" is no number; write decimal digits such as 10" },
	{ "count: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	  "x.yaml:1:8: count: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" is no number; write decimal digits such as 10" },
};
/* clang-format on */

TEST(faults)
{
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		struct err e = ERR_INIT;
		struct sample s;

		CHECK(decode(faults[i].text, &s, &e) == -EINVAL);
		CHECK(eq(err_str(&e), faults[i].expected));
		CHECK(is_zero(&s));
		CHECK(decode(faults[i].text, &s, NULL) == -EINVAL);
	}
}

TEST(nul_byte)
{
	struct sample s = { 0 };
	struct err e;

	CHECK(decode_n("flag: true\nb\0c", 14, &s, &e) == -EINVAL);
	CHECK(eq(err_str(&e),
	    "x.yaml:2:2: there is a NUL byte; the file must be plain text"));
}

static int parse_repeated(const char *head, const char *unit, size_t n, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	_cleanup_(str_deinit) struct str text = STR_INIT;

	str_addz(&text, head);
	for (size_t i = 0; i < n; i++)
		str_addz(&text, unit);
	return conf_doc_parse(&doc, "x.yaml", str_get(&text), text.len, e);
}

TEST(bounds)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	struct str text = STR_INIT;
	struct err e = ERR_INIT;

	CHECK(parse_repeated("a: ", "x", CONF_MAX_BYTES - 3, &e) == 0);
	CHECK(parse_repeated("a: ", "x", CONF_MAX_BYTES, &e) == -EFBIG);
	CHECK(eq(err_str(&e), "x.yaml: larger than 1 MiB; that is the limit"));
	CHECK(parse_repeated("", "[", CONF_MAX_BYTES, &e) == -EINVAL);
	CHECK(eq(err_str(&e),
	    "x.yaml:1:65: nested deeper than 64 levels; that is the limit"));
	CHECK(parse_repeated("", "- ", CONF_MAX_BYTES / 2, &e) == -EINVAL);
	CHECK(strstr(e.text, "nested deeper than 64 levels"));
	CHECK(parse_repeated("", "{a: ", CONF_MAX_BYTES / 4, &e) == -EINVAL);
	CHECK(strstr(e.text, "nested deeper than 64 levels"));
	CHECK(parse_repeated("", "- 1\n", CONF_MAX_NODES - 1, &e) == 0);
	CHECK(parse_repeated("", "- 1\n", CONF_MAX_NODES, &e) == -EINVAL);
	CHECK(strstr(e.text, "100000 values"));
	CHECK(parse_repeated("", "- &a 1\n", 1001, &e) == -EINVAL);
	CHECK(eq(
	    err_str(&e), "x.yaml:1001:3: more than 1000 anchors; that is the limit"));
	/* Ten levels of ten aliases each. */
	str_addz(&text, "- &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 10; i++) {
		str_addf(&text, "- &a%d [", i);
		for (int j = 0; j < 10; j++)
			str_addf(&text, "*a%d%s", i - 1, j < 9 ? " , " : "]\n");
	}
	CHECK(conf_doc_parse(&doc, "x.yaml", str_get(&text), text.len, &e) == -EINVAL);
	CHECK(strstr(e.text, "more than 100000 values once aliases are expanded"));
	str_reset(&text);
	/* Levels count through aliases as well. */
	str_addz(&text, "- &a0 [x]\n");
	for (int i = 1; i < 70; i++)
		str_addf(&text, "- &a%d [*a%d ]\n", i, i - 1);
	CHECK(conf_doc_parse(&doc, "x.yaml", str_get(&text), text.len, &e) == -EINVAL);
	CHECK(strstr(e.text, "nested deeper than 64 levels"));
	str_deinit(&text);
}

TEST(looking_by_hand)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	static const char text[] = "a: [x, y]\nb: {c: z}\nd: lone\ne:\nf: 'null'\n";
	const struct conf_node *root, *n;
	struct err e;

	CHECK(conf_doc_parse(&doc, "x.yaml", text, strlen(text), &e) == 0);
	root = conf_doc_root(doc);
	n = conf_get(root, "a");
	CHECK(conf_is_list(n) && conf_list_len(n) == 2 && !conf_list_at(n, 2));
	CHECK(eq(conf_scalar(conf_list_at(n, 1)), "y"));
	CHECK(!conf_scalar(n) && !conf_get(n, "a") && !conf_key_at(n, 0));
	n = conf_get(root, "b");
	CHECK(conf_is_table(n) && conf_list_len(n) == 0);
	CHECK(eq(conf_scalar(conf_get(n, "c")), "z") && conf_line(n) == 2);
	CHECK(eq(conf_scalar(conf_key_at(n, 0)), "c") && !conf_key_at(n, 1));
	CHECK(eq(conf_scalar(conf_value_at(n, 0)), "z") && !conf_value_at(n, 1));
	n = conf_get(root, "d");
	CHECK(conf_list_len(n) == 1 && conf_list_at(n, 0) == n && !conf_is_list(n));
	CHECK(conf_is_null(conf_get(root, "e")) &&
	    conf_list_len(conf_get(root, "e")) == 0);
	CHECK(
	    !conf_is_null(conf_get(root, "f")) && !conf_is_plain(conf_get(root, "f")));
	CHECK(!conf_get(root, "z") && conf_is_null(NULL) && !conf_get(NULL, "a"));
	CHECK(conf_err(n, &e, "sentence %d", 1) == -EINVAL);
	CHECK(eq(err_str(&e), "x.yaml:3:4: sentence 1"));
}

TEST(missing_file_is_silent)
{
	struct conf_doc *doc = NULL;
	struct err e = ERR_INIT;

	CHECK(conf_doc_load(&doc, "/nonexistent/x.yaml", &e) == -ENOENT);
	CHECK(str_eq(e.text, "") && !doc);
}

/* clang-format off */
static const struct {
	const char *text, *quoted;
} strings[] = {
	{ "plain", "plain" }, { "two words", "two words" }, { "/path/a-b_c.d", "/path/a-b_c.d" },
	{ "https://quay.io:443/x", "https://quay.io:443/x" }, { "a#b", "a#b" }, { "a:b", "a:b" },
	{ "10.0.0.0/8", "10.0.0.0/8" }, { "192.168.120.1", "192.168.120.1" }, { "-x", "-x" },
	{ "--long", "--long" }, { "2001:db8::1", "2001:db8::1" }, { "\xc3\xa4", "\xc3\xa4" },
	{ "1.2.3.4:53", "1.2.3.4:53" }, { "5m", "5m" }, { "a\\b", "a\\b" }, { "tls://a%b", "tls://a%b" },
	{ "", "\"\"" }, { "yes", "\"yes\"" }, { "No", "\"No\"" }, { "null", "\"null\"" },
	{ "~", "\"~\"" }, { "y", "\"y\"" }, { "TRUE", "\"TRUE\"" }, { "=", "\"=\"" },
	{ "12", "\"12\"" }, { "-5", "\"-5\"" }, { "+5", "\"+5\"" }, { "1.5", "\"1.5\"" },
	{ "1e5", "\"1e5\"" }, { "0x1f", "\"0x1f\"" }, { "0o7", "\"0o7\"" }, { ".5", "\".5\"" },
	{ ".inf", "\".inf\"" }, { "-.INF", "\"-.INF\"" }, { ".nan", "\".nan\"" },
	{ "1_000", "\"1_000\"" }, { "52:54:00:00:00:03", "\"52:54:00:00:00:03\"" },
	{ "2024-01-31", "\"2024-01-31\"" }, { "2024-01-31 10:00:00", "\"2024-01-31 10:00:00\"" },
	{ "*:80", "\"*:80\"" }, { ":80", "\":80\"" }, { "[::1]:80", "\"[::1]:80\"" },
	{ "&a", "\"&a\"" }, { "!a", "\"!a\"" }, { "%a", "\"%a\"" }, { "@a", "\"@a\"" },
	{ "`a", "\"`a\"" }, { "|", "\"|\"" }, { ">", "\">\"" }, { "#a", "\"#a\"" }, { "? a", "\"? a\"" },
	{ "- a", "\"- a\"" }, { "-", "\"-\"" }, { "---", "\"---\"" }, { "--- a", "\"--- a\"" },
	{ "...", "..." }, { "a: b", "\"a: b\"" }, { "a:", "\"a:\"" }, { "a #b", "\"a #b\"" },
	{ "a, b", "\"a, b\"" }, { "{a", "\"{a\"" }, { "a}", "\"a}\"" }, { " a", "\" a\"" },
	{ "a ", "\"a \"" }, { "it's", "\"it's\"" }, { "say \"x\"", "'say \"x\"'" },
	{ ".*apps\\.okd\\.$", ".*apps\\.okd\\.$" }, { "[a]\\.'b'", "'[a]\\.''b'''" },
	{ "a\nb", "\"a\\nb\"" }, { "a\tb", "\"a\\tb\"" }, { "a\rb", "\"a\\x0db\"" },
	{ "\x1b\\\"", "\"\\x1b\\\\\\\"\"" }, { "\x7f", "\"\\x7f\"" }, { "\xc2\x85", "\"\\x85\"" },
	{ "\xe2\x80\xa8", "\"\\u2028\"" }, { "\xef\xbb\xbf", "\"\\ufeff\"" }, { "<<", "\"<<\"" },
	{ "\xf0\x9f\x90\xa7", "\xf0\x9f\x90\xa7" }, { "a ? b", "\"a ? b\"" },
};
/* clang-format on */

TEST(strings_come_back)
{
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		const char *const forms[] = { "title: %s\n", "words: [%s]\n",
			"words: [%s, x]\n", "words:\n  - %s\n" };
		_cleanup_(str_deinit) struct str quoted = STR_INIT;

		conf_print_string(strings[i].text, &quoted);
		CHECK(eq(str_get(&quoted), strings[i].quoted));
		for (size_t k = 0; k < ARRAY_SIZE(forms); k++) {
			_cleanup_(str_deinit) struct str text = STR_INIT;
			const char *at = strchr(forms[k], '%');
			struct err e = ERR_INIT;
			struct sample s;
			int r;

			str_add(&text, forms[k], (size_t)(at - forms[k]));
			str_addz(&text, str_get(&quoted));
			str_addz(&text, at + 2);
			r = decode(str_get(&text), &s, &e);
			CHECK(r == 0);
			CHECK(r < 0 ? eq(err_str(&e), strings[i].text)
				    : eq(k == 0 ? s.title
						: conf_list_items(&s.words, char *)[0],
					  strings[i].text));
			conf_deinit(fields, &s);
		}
	}
}

static bool prints_as(const char *text, const char *expected)
{
	_cleanup_(str_deinit) struct str once = STR_INIT, twice = STR_INIT;
	struct err e = ERR_INIT;
	struct sample s;
	bool ok = decode(text, &s, &e) == 0;

	if (!ok)
		return eq(err_str(&e), "");
	conf_print(fields, &s, &once);
	conf_deinit(fields, &s);
	ok = eq(str_get(&once), expected);
	if (decode(str_get(&once), &s, &e) < 0)
		return eq(err_str(&e), "");
	conf_print(fields, &s, &twice);
	conf_deinit(fields, &s);
	return eq(str_get(&twice), str_get(&once)) && ok;
}

TEST(prints_what_decodes_again)
{
	CHECK(prints_as("",
	    "flag: true\n"
	    "automatic: auto\n"
	    "interval: 5s\n"
	    "size: 64MiB\n"
	    "mode: auto\n"
	    "listen: \"*:5000\"\n"
	    "words: [a, b]\n"
	    "cache:\n"
	    "  positive: 160s\n"));
	CHECK(prints_as(
	    "title: 'yes'\nflag: no\ncount: 1\nautomatic: 2\ninterval: 90s\n"
	    "size: 1536MiB\nmode: off\nip: ::1\nnet: 10.0.0.0/8\n"
	    "listen: '[::1]:1'\nwords: []\nnumbers: 0\n"
	    "servers: [{name: s, address: ':0'}, {name: t, address: 1.2.3.4:5}]\n"
	    "cache: {positive: 0, negative: 0}\ntls: {certificate: /c}\n",
	    "title: \"yes\"\n"
	    "flag: false\n"
	    "count: 1\n"
	    "automatic: 2\n"
	    "interval: 90s\n"
	    "size: 1536MiB\n"
	    "mode: \"off\"\n"
	    "ip: \"::1\"\n"
	    "net: 10.0.0.0/8\n"
	    "listen: \"[::1]:1\"\n"
	    "words: []\n"
	    "numbers: [0]\n"
	    "servers:\n"
	    "  - name: s\n"
	    "    address: \"*:0\"\n"
	    "    weight: 1\n"
	    "  - name: t\n"
	    "    address: 1.2.3.4:5\n"
	    "    weight: 1\n"
	    "cache:\n"
	    "  positive: 0s\n"
	    "tls:\n"
	    "  certificate: /c\n"
	    "  age: 1h\n"));
}

/* A table whose only required key lies in a table below it still has its defaults. */
struct outer {
	struct {
		uint64_t age;
		struct {
			char *key;
			uint64_t n;
		} inner;
	} table;
};

static const struct conf_field inner_fields[] = {
	{ .key = "key", .type = &conf_string, .offset = 0, .required = true },
	{ .key = "n", .type = &conf_uint, .offset = sizeof(char *), .def = "3" },
	CONF_END,
};
static const struct conf_type inner_type =
    CONF_TABLE(((struct outer *)0)->table.inner, inner_fields);
static const struct conf_field table_fields[] = {
	{ .key = "age", .type = &conf_duration, .offset = 0, .def = "1h" },
	{ .key = "inner", .type = &inner_type, .offset = sizeof(uint64_t) },
	CONF_END,
};
static const struct conf_type table_type =
    CONF_TABLE(((struct outer *)0)->table, table_fields);
static const struct conf_field outer_fields[] = {
	{ .key = "table", .type = &table_type, .offset = 0 },
	CONF_END,
};

TEST(absent_tables)
{
	struct outer o = { 0 };
	struct str s = STR_INIT;
	struct err e;

	CHECK(conf_defaults(outer_fields, &o, &e) == 0);
	CHECK(o.table.age == 3600000 && !o.table.inner.key && !o.table.inner.n);
	conf_print(outer_fields, &o, &s);
	CHECK(eq(str_get(&s), "table:\n  age: 1h\n"));
	str_reset(&s);
	conf_print(inner_fields + 2, &o, &s);
	CHECK(eq(str_get(&s), "{}\n"));
	str_deinit(&s);
	conf_deinit(outer_fields, &o);
}
