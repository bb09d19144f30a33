/* etcd's JSON (rpc.proto through grpc-gateway): bytes are base64, 64-bit numbers strings,
 * what is zero is left out.  See etcd_reply.h. */
#include "dnsd/etcd_reply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/json.h"
#include "dnsd/json_plain.h"

static int bad(struct err *e, const char *what)
{
	return err_set(e, -EBADMSG, "etcd's reply has no valid %s", what);
}

/* A number that is left out when it is zero. */
static int get_i64(const json_t *o, const char *key, int64_t *ret, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	uint64_t u;

	*ret = 0;
	if (!v || json_i64(v, ret) == 0)
		return 0;
	/* Identifiers use all 64 bits. */
	if (json_is_string(v) &&
	    str_to_u64(json_string_value(v), UINT64_MAX, &u) == 0) {
		*ret = (int64_t)u;
		return 0;
	}
	return bad(e, key);
}

static int get_bytes(const json_t *o, const char *key, struct str *ret, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	int r;

	if (!v)
		return 0;
	if (!json_is_string(v))
		return bad(e, key);
	r = base64_decode(ret, json_string_value(v), json_string_length(v), BASE64_STD);
	return r == -EINVAL ? bad(e, key) : r;
}

static int get_header(struct etcd_reply *r, const json_t *o, struct err *e)
{
	const json_t *h = json_object_get(o, "header");
	int k;

	if (!json_is_object(h))
		return bad(e, "header");
	k = get_i64(h, "cluster_id", &r->cluster_id, e);
	if (k == 0)
		k = get_i64(h, "raft_term", &r->term, e);
	return k < 0 ? k : get_i64(h, "revision", &r->revision, e);
}

static int get_kv(struct etcd_kv *kv, const json_t *o, struct err *e)
{
	int k;

	if (!json_is_object(o))
		return bad(e, "kv");
	k = get_bytes(o, "key", &kv->key, e);
	if (k == 0)
		k = get_bytes(o, "value", &kv->value, e);
	if (k == 0)
		k = get_i64(o, "mod_revision", &kv->mod_revision, e);
	return k < 0 ? k : get_i64(o, "lease", &kv->lease, e);
}

static int get_list(
    struct etcd_reply *r, const json_t *list, bool events, struct err *e)
{
	size_t n = json_array_size(list);
	int k = 0;

	r->kvs = calloc(n + 1, sizeof(*r->kvs));
	if (!r->kvs)
		return err_set(e, -ENOMEM, "out of memory");
	for (; k == 0 && r->n_kvs < n; r->n_kvs++) {
		const json_t *o = json_array_get(list, r->n_kvs);
		const char *type = events ? json_str(o, "type") : NULL;
		struct etcd_kv *kv = &r->kvs[r->n_kvs];

		kv->deleted = type && str_eq(type, "DELETE");
		k = get_kv(kv, events ? json_object_get(o, "kv") : o, e);
	}
	return k;
}

/* --- a page as etcd writes it, without a tree of JSON values --------------- */

/* A page at hand: room is what kvs has. */
struct page {
	struct etcd_reply *r;
	size_t room;
	bool header;
};

static bool plain_i64(struct json_plain *j, int64_t *ret)
{
	struct json_plain_span v;
	char digits[24];
	uint64_t u;

	if (!json_plain_scalar(j, &v) || v.n >= sizeof(digits) ||
	    (v.kind != JSON_PLAIN_STRING && v.kind != JSON_PLAIN_INTEGER))
		return false;
	memcpy(digits, v.p, v.n);
	digits[v.n] = '\0';
	if (str_to_u64(digits, UINT64_MAX, &u) < 0)
		return false;
	*ret = (int64_t)u;
	return true;
}

static bool plain_bytes(struct json_plain *j, struct str *ret)
{
	struct json_plain_span v;

	return !ret->len && json_plain_scalar(j, &v) && v.kind == JSON_PLAIN_STRING &&
	    base64_decode(ret, v.p, v.n, BASE64_STD) == 0;
}

static bool plain_skip(struct json_plain *j)
{
	struct json_plain_span v;

	return json_plain_scalar(j, &v);
}

static bool plain_header(
    struct json_plain *j, const struct json_plain_span *key, void *arg)
{
	struct etcd_reply *r = arg;

	if (json_plain_is(key, "cluster_id"))
		return plain_i64(j, &r->cluster_id);
	if (json_plain_is(key, "raft_term"))
		return plain_i64(j, &r->term);
	if (json_plain_is(key, "revision"))
		return plain_i64(j, &r->revision);
	return plain_skip(j);
}

static bool plain_kv(struct json_plain *j, const struct json_plain_span *key, void *arg)
{
	struct etcd_kv *kv = arg;

	if (json_plain_is(key, "key"))
		return plain_bytes(j, &kv->key);
	if (json_plain_is(key, "value"))
		return plain_bytes(j, &kv->value);
	if (json_plain_is(key, "mod_revision"))
		return plain_i64(j, &kv->mod_revision);
	if (json_plain_is(key, "lease"))
		return plain_i64(j, &kv->lease);
	return plain_skip(j);
}

static bool plain_item(struct json_plain *j, void *arg)
{
	struct page *p = arg;
	struct etcd_reply *r = p->r;

	/* One more than there are, as etcd_reply_deinit() knows. */
	if (r->n_kvs + 1 >= p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct etcd_kv *kvs = reallocarray(r->kvs, room, sizeof(*kvs));

		if (!kvs)
			return false;
		memset(kvs + p->room, 0, (room - p->room) * sizeof(*kvs));
		r->kvs = kvs;
		p->room = room;
	}
	if (!json_plain_object(j, plain_kv, &r->kvs[r->n_kvs]))
		return false;
	r->n_kvs++;
	return true;
}

static bool plain_page(
    struct json_plain *j, const struct json_plain_span *key, void *arg)
{
	struct page *p = arg;
	struct json_plain_span v;

	if (json_plain_is(key, "header") && !p->header) {
		p->header = json_plain_object(j, plain_header, p->r);
		return p->header;
	}
	if (json_plain_is(key, "kvs") && !p->room)
		return json_plain_array(j, plain_item, p);
	if (json_plain_is(key, "count"))
		return plain_i64(j, &p->r->count);
	if (!json_plain_scalar(j, &v))
		return false;
	if (json_plain_is(key, "more"))
		p->r->more = v.kind == JSON_PLAIN_TRUE;
	return true;
}

static bool read_plain(struct etcd_reply *r, const char *text, size_t n)
{
	struct json_plain j = { text, text + n };
	struct page p = { .r = r };

	*r = (struct etcd_reply){ 0 };
	if (json_plain_object(&j, plain_page, &p) && json_plain_end(&j) && p.header)
		return true;
	etcd_reply_deinit(r);
	return false;
}

int etcd_reply_range(struct etcd_reply *r, const char *text, size_t n, struct err *e)
{
	_cleanup_(json_freep) json_t *root = NULL;
	int k;

	if (read_plain(r, text, n))
		return 0;
	*r = (struct etcd_reply){ 0 };
	k = json_load_limited(&root, NULL, text, n, 0, e);
	if (k < 0)
		return k;
	k = get_header(r, root, e);
	if (k == 0)
		k = get_i64(root, "count", &r->count, e);
	if (k == 0)
		k = get_list(r, json_object_get(root, "kvs"), false, e);
	r->more = json_is_true(json_object_get(root, "more"));
	return k;
}

int etcd_reply_lease(int64_t *ttl, const char *text, size_t n, struct err *e)
{
	_cleanup_(json_freep) json_t *root = NULL;
	int k = json_load_limited(&root, NULL, text, n, 0, e);

	*ttl = 0;
	return k < 0 ? k : get_i64(root, "grantedTTL", ttl, e);
}

int etcd_reply_watch(struct etcd_reply *r, const char *line, size_t n, struct err *e)
{
	_cleanup_(json_freep) json_t *root = NULL;
	int k = json_load_limited(&root, NULL, line, n, 0, e);
	const json_t *result;
	const char *why;

	*r = (struct etcd_reply){ 0 };
	if (k < 0)
		return k;
	result = json_object_get(root, "result");
	if (!result) {
		why = json_str(json_object_get(root, "error"), "message");
		return err_set(e, -EBADMSG, "etcd ends the watch: %.128s",
		    why ? why : "no reason");
	}
	k = get_header(r, result, e);
	if (k == 0)
		k = get_i64(result, "compact_revision", &r->compact_revision, e);
	if (k == 0)
		k = get_list(r, json_object_get(result, "events"), true, e);
	r->created = json_is_true(json_object_get(result, "created"));
	r->canceled = json_is_true(json_object_get(result, "canceled"));
	why = json_str(result, "cancel_reason");
	snprintf(r->why, sizeof(r->why), "%s", why ? why : "");
	return k;
}

void etcd_reply_deinit(struct etcd_reply *r)
{
	for (size_t i = 0; r->kvs && i <= r->n_kvs; i++) {
		str_deinit(&r->kvs[i].key);
		str_deinit(&r->kvs[i].value);
	}
	free(r->kvs);
	r->kvs = NULL;
}

static void put_bytes(struct str *out, const char *key, const void *p, size_t n)
{
	str_addf(out, "\"%s\":\"", key);
	base64_encode(out, p, n, BASE64_STD);
	str_addc(out, '"');
}

/* The first key behind all that begin with the prefix, which ends with a slash. */
static void put_end(struct str *out, const char *prefix)
{
	_cleanup_(str_deinit) struct str end = STR_INIT;

	str_addz(&end, prefix);
	if (str_err(&end) == 0 && end.len)
		end.s[end.len - 1]++;
	str_addc(out, ',');
	put_bytes(out, "range_end", str_get(&end), end.len);
}

int etcd_request_range(struct str *out, const char *from, size_t n_from,
    const char *prefix, int64_t revision, unsigned limit, bool count_only)
{
	str_addc(out, '{');
	put_bytes(out, "key", from, n_from);
	put_end(out, prefix);
	if (revision)
		str_addf(out, ",\"revision\":\"%lld\"", (long long)revision);
	if (limit)
		str_addf(out, ",\"limit\":\"%u\"", limit);
	if (count_only)
		str_addz(out, ",\"count_only\":true");
	str_addc(out, '}');
	return str_err(out);
}

int etcd_request_revision(struct str *out, const char *prefix)
{
	str_addc(out, '{');
	put_bytes(out, "key", prefix, strlen(prefix));
	str_addc(out, '}');
	return str_err(out);
}

int etcd_request_watch(struct str *out, const char *prefix, int64_t from_revision)
{
	str_addz(out, "{\"create_request\":{");
	put_bytes(out, "key", prefix, strlen(prefix));
	put_end(out, prefix);
	str_addf(out, ",\"start_revision\":\"%lld\",\"progress_notify\":true}}",
	    (long long)from_revision);
	return str_err(out);
}
