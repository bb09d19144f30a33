/* Plain JSON is read as jansson reads it, or left to it: each text, and each with one byte
 * of it changed, beside the same text with a key in front that is not plain. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "dnsd/etcd_reply.h"
#include "dnsd/json_plain.h"
#include "dnsd/skydns.h"

static const char bytes[] = "\"\\{}[]:,019-.eE tfn\n\t\x01\x7f\xc3"
			    "AaM=/";

static char *with_escape(const char *text)
{
	static char out[4096];
	const char *brace = strchr(text, '{');

	if (!brace || brace != text || strlen(text) > 4000)
		return NULL;
	/* In an empty object nothing follows the key. */
	snprintf(out, sizeof(out), "{\"\\u0078\":1%s%s",
	    text[1 + strspn(text + 1, " \n\t\r")] == '}' ? "" : ",", text + 1);
	return out;
}

static bool same_str(const struct str *a, const struct str *b)
{
	return a->len == b->len && memcmp(str_get(a), str_get(b), a->len) == 0;
}

static bool same_reply(const struct etcd_reply *a, const struct etcd_reply *b)
{
	if (a->cluster_id != b->cluster_id || a->revision != b->revision ||
	    a->more != b->more || a->count != b->count || a->n_kvs != b->n_kvs)
		return false;
	for (size_t i = 0; i < a->n_kvs; i++)
		if (!same_str(&a->kvs[i].key, &b->kvs[i].key) ||
		    !same_str(&a->kvs[i].value, &b->kvs[i].value) ||
		    a->kvs[i].mod_revision != b->kvs[i].mod_revision ||
		    a->kvs[i].lease != b->kvs[i].lease)
			return false;
	return true;
}

static bool reply_differs(const char *text)
{
	const char *other = with_escape(text);
	struct etcd_reply a, b;
	int ra, rb;
	bool bad;

	if (!other)
		return false;
	ra = etcd_reply_range(&a, text, strlen(text), NULL);
	rb = etcd_reply_range(&b, other, strlen(other), NULL);
	bad = (ra < 0) != (rb < 0) || (ra == 0 && !same_reply(&a, &b));
	etcd_reply_deinit(&a);
	etcd_reply_deinit(&b);
	return bad;
}

static bool same_value(const struct skydns_value *a, const struct skydns_value *b)
{
	return a->ttl == b->ttl && a->port == b->port && a->priority == b->priority &&
	    a->weight == b->weight && a->targetstrip == b->targetstrip &&
	    a->mail == b->mail && strcmp(a->host, b->host) == 0 &&
	    strcmp(a->text, b->text) == 0 && strcmp(a->group, b->group) == 0;
}

static bool value_differs(const char *text)
{
	const char *other = with_escape(text);
	struct skydns_value *a = NULL, *b = NULL;
	int ra, rb;
	bool bad;

	if (!other)
		return false;
	ra = skydns_value_new(&a, text, strlen(text), NULL);
	rb = skydns_value_new(&b, other, strlen(other), NULL);
	bad = (ra < 0) != (rb < 0) || (ra == 0 && !same_value(a, b));
	free(a);
	free(b);
	return bad;
}

/* How many of the text's neighbours are read in two ways. */
static unsigned neighbours(const char *text, bool (*differs)(const char *text))
{
	char copy[2048];
	size_t n = strlen(text);
	unsigned found = 0;

	for (size_t i = 1; i < n; i++)
		for (size_t k = 0; k < sizeof(bytes) - 1; k++) {
			memcpy(copy, text, n + 1);
			copy[i] = bytes[k];
			if (differs(copy)) {
				printf("# read in two ways: %s\n", copy);
				found++;
			}
		}
	for (size_t i = 1; i <= n; i++) {
		memcpy(copy, text, i);
		copy[i] = '\0';
		found += differs(copy);
	}
	return found;
}

TEST(pages_of_etcd)
{
	static const char *const pages[] = {
		"{\"header\":{\"cluster_id\":\"14841639068965178418\",\"revision\":"
		"\"3\"},"
		"\"kvs\":[{\"key\":\"L2E=\",\"mod_revision\":\"2\",\"value\":\"YWI=\"},"
		"{\"key\":\"L2I=\",\"lease\":\"7587869000000000001\",\"value\":\"\"}],"
		"\"more\":true,\"count\":\"2\"}\n",
		"{\"header\":{\"revision\":3},\"count\":\"0\"}",
		"{ \"header\" : { } , \"kvs\" : [ ] , \"more\" : false }",
	};
	struct etcd_reply r;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		CHECK(neighbours(pages[i], reply_differs) == 0);
	CHECK(etcd_reply_range(&r, pages[0], strlen(pages[0]), NULL) == 0);
	CHECK(r.n_kvs == 2 && r.more && r.count == 2 && r.revision == 3);
	CHECK((uint64_t)r.cluster_id == 14841639068965178418ULL);
	CHECK(str_eq(str_get(&r.kvs[0].key), "/a"));
	CHECK(str_eq(str_get(&r.kvs[0].value), "ab"));
	CHECK(r.kvs[1].lease == 7587869000000000001LL);
	etcd_reply_deinit(&r);
}

TEST(values)
{
	static const char *const texts[] = {
		"{\"host\":\"192.168.120.101\", \"ttl\":60}",
		"{\"host\":\"a.example.com\",\"Port\":-1,\"priority\":0,\"weight\":10}",
		"{\"text\":\"a_b\",\"mail\":true,\"group\":\"g\",\"targetstrip\":1}",
		"{\"text\":null,\"unknown\":\"x\",\"host\":\"\"}",
		"{}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		CHECK(neighbours(texts[i], value_differs) == 0);
}

static bool skip(struct json_plain *j, const struct json_plain_span *key, void *arg)
{
	struct json_plain_span v;

	return json_plain_scalar(j, &v);
}

static bool is_plain(const char *text)
{
	struct json_plain j = { text, text + strlen(text) };

	return json_plain_object(&j, skip, NULL) && json_plain_end(&j);
}

TEST(what_is_plain)
{
	CHECK(is_plain("{}") && is_plain(" { \"a\" : -12 , \"b\" : null } \n"));
	CHECK(!is_plain("") && !is_plain("{") && !is_plain("{\"a\"") &&
	    !is_plain("{\"a\":}"));
	CHECK(!is_plain("{\"a\":01}") && !is_plain("{\"a\":1.5}") &&
	    !is_plain("{\"a\":-}") && !is_plain("{\"a\":1234567890123456789}"));
	CHECK(!is_plain("{\"a\":\"\\n\"}") && !is_plain("{\"a\":\"\xc3\xa4\"}"));
	CHECK(!is_plain("{\"a\":1,}") && !is_plain("{\"a\":1}x") &&
	    !is_plain("{\"a\":{}}"));
}
