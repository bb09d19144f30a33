/*
 * Any bytes as a YAML file with every type of setting: what decodes must print as YAML
 * that decodes to the same print, and any text must survive being quoted.
 */
#include <stdio.h>
#include <string.h>

#include "common/conf.h"
#include "common/net.h"
#include "common/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct item {
	char *text;
	uint64_t number;
	struct conf_list words;
};

struct sample {
	char *text, *other;
	bool on, off;
	uint64_t number, automatic, time, size;
	int word;
	struct net_ip ip;
	struct net_cidr net;
	struct net_endpoint endpoint;
	struct conf_list texts, times, bools, endpoints, items, lists;
	struct item one, maybe;
};

#define ITEM(m) .offset = offsetof(struct item, m)
#define SAMPLE(m) .offset = offsetof(struct sample, m)

static const char *const words[] = { "auto", "off", "null", NULL };
static const struct conf_type word_type = CONF_ENUM(words);
static const struct conf_type texts_type = CONF_LIST(&conf_string);
static const struct conf_type times_type = CONF_LIST(&conf_duration);
static const struct conf_type bools_type = CONF_LIST(&conf_bool);
static const struct conf_type endpoints_type = CONF_LIST(&conf_endpoint);
static const struct conf_type lists_type = CONF_LIST(&texts_type);

static const struct conf_field optional_fields[] = {
	{ .key = "text", .type = &conf_string, ITEM(text) },
	{ .key = "number", .type = &conf_uint, ITEM(number), .def = "7" },
	{ .key = "words", .type = &texts_type, ITEM(words), .def = "[a]" },
	CONF_END,
};
static const struct conf_type optional_type = CONF_TABLE(struct item, optional_fields);

static const struct conf_field item_fields[] = {
	{ .key = "text", .type = &conf_string, ITEM(text), .required = true },
	{ .key = "number", .type = &conf_uint, ITEM(number), .def = "7", .max = 9 },
	{ .key = "words", .type = &texts_type, ITEM(words) },
	CONF_END,
};
static const struct conf_type item_type = CONF_TABLE(struct item, item_fields);
static const struct conf_type items_type = CONF_LIST(&item_type);

static const struct conf_field fields[] = {
	{ .key = "text", .type = &conf_string, SAMPLE(text) },
	{ .key = "other", .type = &conf_string, SAMPLE(other), .def = "'yes'" },
	{ .key = "on", .type = &conf_bool, SAMPLE(on), .def = "true" },
	{ .key = "off", .type = &conf_bool, SAMPLE(off) },
	{ .key = "number", .type = &conf_uint, SAMPLE(number), .min = 1, .max = 9999 },
	{ .key = "auto", .type = &conf_uint_auto, SAMPLE(automatic), .def = "2" },
	{ .key = "time", .type = &conf_duration, SAMPLE(time), .def = "5s" },
	{ .key = "size", .type = &conf_size, SAMPLE(size), .def = "1MiB", .min = 10 },
	{ .key = "word", .type = &word_type, SAMPLE(word), .def = "off" },
	{ .key = "ip", .type = &conf_ip, SAMPLE(ip) },
	{ .key = "net", .type = &conf_cidr, SAMPLE(net) },
	{ .key = "endpoint", .type = &conf_endpoint, SAMPLE(endpoint), .def = "':1'" },
	{ .key = "texts", .type = &texts_type, SAMPLE(texts), .def = "[a, b]" },
	{ .key = "times", .type = &times_type, SAMPLE(times), .max = 3600000 },
	{ .key = "bools", .type = &bools_type, SAMPLE(bools) },
	{ .key = "endpoints", .type = &endpoints_type, SAMPLE(endpoints) },
	{ .key = "items", .type = &items_type, SAMPLE(items) },
	{ .key = "lists", .type = &lists_type, SAMPLE(lists) },
	{ .key = "one", .type = &optional_type, SAMPLE(one) },
	{ .key = "maybe", .type = &item_type, SAMPLE(maybe) },
	CONF_END,
};

static _noreturn_ void fail(const char *what, const struct str *a, const struct str *b)
{
	fprintf(stderr, "%s\n--- first\n%s\n--- second\n%s\n", what, str_get(a),
	    str_get(b));
	abort();
}

static int decode(const char *text, size_t n, struct sample *s, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	int r = conf_doc_parse(&doc, "fuzz", text, n, e);

	return r < 0 ? r : conf_decode(doc, fields, s, e);
}

static void check_struct(const char *text, size_t n)
{
	static const struct sample zero;
	_cleanup_(str_deinit) struct str once = STR_INIT, twice = STR_INIT;
	struct sample s = { 0 }, again = { 0 };
	struct err e = ERR_INIT;

	if (decode(text, n, &s, &e) < 0) {
		if (!e.text[0] || memcmp(&s, &zero, sizeof(s)) != 0)
			fail("a failure without a word, or with a rest", &once, &twice);
		return;
	}
	conf_print(fields, &s, &once);
	if (decode(str_get(&once), once.len, &again, &e) < 0) {
		str_addz(&twice, err_str(&e));
		fail("the print is refused", &once, &twice);
	}
	conf_print(fields, &again, &twice);
	if (!str_eq(str_get(&once), str_get(&twice)))
		fail("the prints differ", &once, &twice);
	conf_deinit(fields, &s);
	conf_deinit(fields, &again);
}

static void check_string(const char *text, size_t n)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	_cleanup_(str_deinit) struct str s = STR_INIT, quoted = STR_INIT;
	struct err e = ERR_INIT;
	const char *back;
	uint32_t c;

	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_decode(text + i, n - i, &c);
		if (!len || !c)
			return;
	}
	str_add(&s, text, n);
	str_addz(&quoted, "[");
	conf_print_string(str_get(&s), &quoted);
	str_addz(&quoted, ", x]");
	if (conf_doc_parse(&doc, "fuzz", str_get(&quoted), quoted.len, &e) < 0)
		fail(err_str(&e), &s, &quoted);
	back = conf_scalar(conf_list_at(conf_doc_root(doc), 0));
	if (conf_list_len(conf_doc_root(doc)) != 2 || !back ||
	    !str_eq(back, str_get(&s)))
		fail("the text changed", &s, &quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_struct((const char *)data, size);
	check_string((const char *)data, size);
	return 0;
}
