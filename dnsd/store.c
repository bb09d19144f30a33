/* The embedded store: see store.h. */
#include "dnsd/store.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/htable.h"
#include "common/http_server.h"
#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "dnsd/kvfile.h"

#define ROUTE "/v1/records"
#define VALUE_MAX (64 << 10)
#define BODY_MAX (16 << 20)

/* A key with its value as it was written. */
struct row {
	struct hnode node;
	char *value;
	size_t n_key, n_value;
	uint32_t generation; /* of the last look that found it */
	char key[];
};

struct store {
	struct catalog *catalog;
	struct skydns *tree;
	struct kvfile *file;
	struct htable rows;
	char *origin;
	uint32_t generation;      /* of looks */
	struct list_link changes; /* on their way to the disk */
};

/* A request that waits for the disk; or a look. */
struct change {
	struct list_link link;
	struct store *store;
	struct http_req *req; /* NULL: gone */
};

/* --- rows --------------------------------------------------------------- */

static struct row *row_find(const struct store *s, const char *key, size_t n)
{
	struct hnode *h = htable_first(&s->rows, htable_hash(key, n));

	for (; h; h = htable_next(h)) {
		struct row *w = CONTAINER_OF(h, struct row, node);

		if (w->n_key == n && memcmp(w->key, key, n) == 0)
			return w;
	}
	return NULL;
}

static void row_remove(struct store *s, struct row *w)
{
	htable_remove(&s->rows, &w->node);
	free(w->value);
	free(w);
}

static int row_put(
    struct store *s, const char *key, size_t n_key, const char *value, size_t n_value)
{
	struct row *w = calloc(1, sizeof(*w) + n_key + 1), *old;

	if (!w)
		return -ENOMEM;
	memcpy(w->key, key, n_key);
	w->n_key = n_key;
	w->n_value = n_value;
	w->value = malloc(n_value + 1);
	if (!w->value ||
	    htable_insert(&s->rows, &w->node, htable_hash(key, n_key)) < 0) {
		free(w->value);
		free(w);
		return -ENOMEM;
	}
	memcpy(w->value, value, n_value);
	w->value[n_value] = '\0';
	/* The newer one stands first. */
	old = NULL;
	for (struct hnode *h = htable_first(&s->rows, w->node.hash); h;
	     h = htable_next(h)) {
		struct row *o = CONTAINER_OF(h, struct row, node);

		if (o != w && o->n_key == n_key && memcmp(o->key, key, n_key) == 0)
			old = o;
	}
	if (old)
		row_remove(s, old);
	return 0;
}

/* value NULL: takes it away. */
static void apply(
    struct store *s, const char *key, size_t n_key, const char *value, size_t n_value)
{
	struct err e = ERR_INIT;
	struct row *w;
	int r;

	if (value) {
		r = row_put(s, key, n_key, value, n_value);
	} else {
		w = row_find(s, key, n_key);
		if (w)
			row_remove(s, w);
		r = 0;
	}
	if (r == 0)
		r = skydns_put(s->tree, key, n_key, value, n_value, 0, &e);
	if (r < 0)
		log_warning("record %.*s is left out: %s", (int)MIN(n_key, 512u), key,
		    e.text[0] ? e.text : strerror(-r));
}

static void on_row(
    void *arg, const char *key, size_t n_key, const char *value, size_t n_value)
{
	apply(arg, key, n_key, value, n_value);
}

/* --- changes ------------------------------------------------------------ */

static void on_req_end(struct http_req *r, void *arg, enum http_end end)
{
	((struct change *)arg)->req = NULL;
}

static void on_written(struct kv_batch *b)
{
	struct change *ch = b->arg;
	struct store *s = ch->store;

	if (s && b->result == 0) {
		for (size_t i = 0; i < b->n; i++)
			apply(s, b->ops[i].key, b->ops[i].n_key, b->ops[i].value,
			    b->ops[i].n_value);
		catalog_flush(s->catalog);
	}
	if (ch->req && s && b->result == 0)
		http_reply_empty(ch->req, 204);
	else if (ch->req)
		http_reply_error(ch->req, b->result == -ENOSPC ? 507 : 500, NULL,
		    "the store cannot be written: %s", strerror(-b->result));
	list_remove(&ch->link);
	free(ch);
	kv_batch_free(b);
}

/* Sends a checked batch on its way; takes it. */
static int send_batch(struct store *s, struct http_req *r, struct kv_batch *b,
    void (*done)(struct kv_batch *b))
{
	struct change *ch = calloc(1, sizeof(*ch));

	if (!ch) {
		kv_batch_free(b);
		return -ENOMEM;
	}
	ch->store = s;
	ch->req = r;
	list_append(&s->changes, &ch->link);
	b->arg = ch;
	b->done = done;
	if (r)
		http_req_on_end(r, on_req_end, ch);
	kvfile_write(s->file, b);
	return 0;
}

static int submit(struct store *s, struct http_req *r, struct kv_batch *b)
{
	return send_batch(s, r, b, on_written);
}

/* What there is of an operation's key, if it is as that says. */
static struct row *row_same(const struct store *s, const struct kv_op *op)
{
	struct row *w = row_find(s, op->key, op->n_key);

	return w && w->n_value == op->n_value &&
		memcmp(w->value, op->value, op->n_value) == 0
	    ? w
	    : NULL;
}

/* The file's rows take the place of ours, which may be older.  Changes of our own come to
 * us in their order, those before the look and those behind it. */
static void adopt(struct store *s, const struct kv_batch *b)
{
	s->generation++;
	for (size_t i = 0; i < b->n; i++) {
		const struct kv_op *op = &b->ops[i];
		struct row *w = row_same(s, op);

		if (!w) {
			apply(s, op->key, op->n_key, op->value, op->n_value);
			w = row_same(s, op);
		}
		if (w)
			w->generation = s->generation;
	}
	htable_for_each (h, &s->rows) {
		struct row *w = CONTAINER_OF(h, struct row, node);
		int r;

		if (w->generation == s->generation)
			continue;
		r = skydns_put(s->tree, w->key, w->n_key, NULL, 0, 0, NULL);
		(void)r;
		row_remove(s, w);
	}
	catalog_flush(s->catalog);
}

static void on_looked(struct kv_batch *b)
{
	struct change *ch = b->arg;

	if (ch->store && b->result > 0)
		adopt(ch->store, b);
	list_remove(&ch->link);
	free(ch);
	kv_batch_free(b);
}

void store_look(struct store *s)
{
	struct kv_batch *b;
	int r = kv_batch_new(&b);

	if (r < 0)
		return;
	b->part = KV_LOOK;
	/* Without memory there is another look. */
	r = send_batch(s, NULL, b, on_looked);
	(void)r;
}

static bool is_utf8(const char *p, size_t n)
{
	uint32_t c;
	size_t len;

	for (; n; p += len, n -= len) {
		len = utf8_decode(p, n, &c);
		if (!len)
			return false;
	}
	return true;
}

/* One change into a batch, checked. */
static int add_change(struct store *s, struct kv_batch *b, const char *key,
    const char *value, size_t n, struct err *e)
{
	int r = skydns_check(s->tree, key, strlen(key), value, n, e);

	/* A list is JSON. */
	if (r == 0 && value && (!is_utf8(key, strlen(key)) || !is_utf8(value, n)))
		r = err_set(e, -EINVAL,
		    "key and value must be UTF-8; write other bytes as \\DDD");
	if (r == 0 && n > VALUE_MAX)
		r = err_set(e, -E2BIG, "the value is longer than %d bytes", VALUE_MAX);
	if (r == 0)
		r = kv_batch_add(b, key, strlen(key), value, n);
	return r;
}

/* What the data of a line come to, without its TTL, so that the same record has the same
 * key: however many blanks there are, and whether the class is written or not. */
static uint64_t hash_of(const char *rest)
{
	static const char class[] = "in ";
	uint64_t hash = 0xcbf29ce484222325ULL;
	bool quoted = false;
	size_t n;

	rest += strspn(rest, "0123456789");
	rest += strspn(rest, " \t");
	if (strncasecmp(rest, class, 2) == 0 && strchr(" \t", rest[2]))
		rest += 2 + strspn(rest + 2, " \t");
	for (const char *p = class; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001b3ULL;
	for (; *rest; rest += n) {
		bool blank = !quoted && (*rest == ' ' || *rest == '\t');

		n = blank ? strspn(rest, " \t") : 1;
		quoted ^= *rest == '"';
		hash = (hash ^ (blank ? ' ' : (uint8_t)tolower((unsigned char)*rest))) *
		    0x100000001b3ULL;
	}
	return hash;
}

/* The owner of a line of n bytes. */
static int line_name(const struct store *s, const char *line, size_t n,
    struct name_buf *ret, struct err *e)
{
	_cleanup_(str_deinit) struct str name = STR_INIT;
	const char *origin = s->origin ? s->origin : "";

	if (n == 1 && line[0] == '@') {
		str_addf(&name, "%s.", origin);
	} else {
		str_add(&name, line, n);
		if (n == 0 || line[n - 1] != '.')
			str_addf(&name, ".%s", origin);
	}
	if (str_err(&name) || n == 0 || name_parse(ret, str_get(&name)) < 0)
		return err_set(
		    e, -EINVAL, "\"%.64s\" does not begin with a name", line);
	/* Keys have their own use for these. */
	for (size_t i = 0; ret->wire[i]; i += ret->wire[i] + 1u)
		if (memchr(ret->wire + i + 1, '/', ret->wire[i]) ||
		    ret->wire[i + 1] == '=')
			return err_set(e, -EINVAL,
			    "\"%.64s\" is a name that no key can have; write it to "
			    "\"records\" in dnsd.yaml",
			    line);
	return 0;
}

/* "api 60 IN A 192.0.2.1": its key is the name's and one that follows from the rest. */
static int line_key(struct store *s, const char *line, struct str *key,
    const char **value, struct err *e)
{
	size_t n = strcspn(line, " \t");
	uint8_t starts[DNS_NAME_MAX / 2 + 1];
	unsigned labels = 0;
	struct name_buf b;
	int r = line_name(s, line, n, &b, e);

	if (r < 0)
		return r;
	*value = line + n + strspn(line + n, " \t");
	for (size_t i = 0; b.wire[i]; i += b.wire[i] + 1u)
		starts[labels++] = (uint8_t)i;
	str_addz(key, skydns_path(s->tree));
	while (labels-- > 0) {
		str_addc(key, '/');
		str_add(key, b.wire + starts[labels] + 1, b.wire[starts[labels]]);
	}
	str_addf(key, "/=%016llx", (unsigned long long)hash_of(*value));
	return str_err(key);
}

/* Names in a line's data are below the origin as well, which a value has to tell. */
static int add_line(
    struct store *s, struct kv_batch *b, const char *line, bool delete, struct err *e)
{
	_cleanup_(str_deinit) struct str key = STR_INIT, whole = STR_INIT;
	const char *value = NULL;
	int r = line_key(s, line, &key, &value, e);

	if (r == 0 && delete)
		return add_change(s, b, str_get(&key), NULL, 0, e);
	if (r == 0)
		r = records_whole_rest(
		    value, s->origin ? s->origin : ".", SKYDNS_TTL, &whole, e);
	if (whole.len)
		value = str_get(&whole);
	return r < 0 ? r : add_change(s, b, str_get(&key), value, strlen(value), e);
}

static int add_json(struct store *s, struct kv_batch *b, const json_t *o, struct err *e)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	const char *key = json_str(o, "key"), *line = json_str(o, "record");
	const json_t *v = json_object_get(o, "value");
	int r;

	if (line)
		return add_line(
		    s, b, line, json_is_true(json_object_get(o, "delete")), e);
	if (!key)
		return err_set(
		    e, -EINVAL, "a change has neither \"key\" nor \"record\"");
	if (!v || json_is_null(v))
		return add_change(s, b, key, NULL, 0, e);
	if (json_is_string(v))
		return add_change(
		    s, b, key, json_string_value(v), json_string_length(v), e);
	r = json_dump_str(v, &text);
	return r < 0 ? r : add_change(s, b, key, str_get(&text), text.len, e);
}

static int refuse(struct http_req *r, int result, const struct err *e)
{
	if (result == -ENOMEM)
		return result;
	http_reply_err(r, 422, "RECORD", e);
	return 0;
}

static int on_post(struct http_req *r, void *arg, const char *body, size_t n)
{
	_cleanup_(json_freep) json_t *root = NULL;
	_cleanup_(kv_batch_freep) struct kv_batch *b = NULL;
	struct store *s = arg;
	struct err e = ERR_INIT;
	const json_t *changes;
	int k = json_load_limited(&root, NULL, body, n, JSON_REJECT_DUPLICATES, &e);

	if (k < 0)
		return refuse(r, k, &e);
	changes = json_object_get(root, "changes");
	if (!json_is_array(changes)) {
		err_set(&e, -EINVAL, "\"changes\" must be a list");
		return refuse(r, -EINVAL, &e);
	}
	k = kv_batch_new(&b);
	for (size_t i = 0; k == 0 && i < json_array_size(changes); i++)
		k = add_json(s, b, json_array_get(changes, i), &e);
	return k < 0 ? refuse(r, k, &e) : submit(s, r, TAKE(b));
}

static int one_change(struct store *s, struct http_req *r, const char *value, size_t n)
{
	_cleanup_(kv_batch_freep) struct kv_batch *b = NULL;
	const char *key = http_req_path(r) + strlen(ROUTE);
	struct err e = ERR_INIT;
	int k = kv_batch_new(&b);

	if (k == 0)
		k = add_change(s, b, key, value, n, &e);
	return k < 0 ? refuse(r, k, &e) : submit(s, r, TAKE(b));
}

static int on_put(struct http_req *r, void *arg, const char *body, size_t n)
{
	return one_change(arg, r, body, n);
}

/* --- reading ------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
	return strcmp((*(struct row *const *)a)->key, (*(struct row *const *)b)->key);
}

static int list(struct store *s, struct http_req *r, const char *prefix)
{
	struct row **rows = calloc(s->rows.n + 1, sizeof(struct row *));
	json_t *root = json_object(), *array = json_array();
	struct str out = STR_INIT;
	size_t n = 0;

	if (!rows)
		return -ENOMEM;
	htable_for_each (h, &s->rows) {
		struct row *w = CONTAINER_OF(h, struct row, node);

		if (str_starts(w->key, prefix))
			rows[n++] = w;
	}
	qsort(rows, n, sizeof(*rows), by_key);
	for (size_t i = 0; i < n; i++) {
		json_t *v = json_loads(rows[i]->value, 0, NULL);

		if (!v)
			v = json_string(rows[i]->value);
		json_array_append_new(
		    array, json_pack("{s:s, s:o}", "key", rows[i]->key, "value", v));
	}
	free(rows);
	json_object_set_new(root, "records", array);
	if (json_dump_str(root, &out) < 0)
		out.err = -ENOMEM;
	json_decref(root);
	str_addc(&out, '\n');
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}

static int get(struct store *s, struct http_req *r, const char *key)
{
	const struct row *w;

	if (!*key || str_ends(key, "/"))
		return list(s, r, *key ? key : "/");
	w = row_find(s, key, strlen(key));
	if (!w) {
		http_reply_error(r, 404, "RECORD", "there is no record %s", key);
		return 0;
	}
	http_reply(r, 200, w->value[0] == '{' ? "application/json" : "text/plain",
	    w->value, w->n_value);
	return 0;
}

int store_request(struct store *s, struct http_req *r)
{
	const char *key = http_req_path(r) + strlen(ROUTE);

	switch (http_req_method(r)) {
	case HTTP_PUT:
		return http_req_gather(r, VALUE_MAX, on_put, s);
	case HTTP_POST:
		return *key ? 405 : http_req_gather(r, BODY_MAX, on_post, s);
	case HTTP_DELETE:
		if (!row_find(s, key, strlen(key))) {
			http_reply_error(
			    r, 404, "RECORD", "there is no record %s", key);
			return 0;
		}
		return one_change(s, r, NULL, 0);
	default:
		return get(s, r, key);
	}
}

/* --- life --------------------------------------------------------------- */

int store_new(struct store **ret, struct catalog *c, struct mailbox *home,
    const char *path, const char *file, struct err *e)
{
	_cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	list_init(&s->changes);
	htable_init(&s->rows);
	s->catalog = c;
	r = catalog_add_source(c, &s->tree, path, RECORDS_STORE);
	if (r < 0)
		return err_set(e, r, "out of memory");
	r = kvfile_open(&s->file, home, file, true, on_row, s, e);
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}

struct store *store_free(struct store *s)
{
	if (!s)
		return NULL;
	list_for_each_safe (l, &s->changes) {
		struct change *ch = CONTAINER_OF(l, struct change, link);

		list_remove(&ch->link);
		ch->store = NULL;
	}
	kvfile_close(s->file);
	htable_for_each (h, &s->rows)
		row_remove(s, CONTAINER_OF(h, struct row, node));
	htable_deinit(&s->rows);
	if (s->tree)
		catalog_drop_source(s->catalog, s->tree);
	free(s->origin);
	free(s);
	return NULL;
}

void store_set_origin(struct store *s, const char *origin)
{
	free(s->origin);
	s->origin = origin ? strdup(origin) : NULL;
}

size_t store_count(const struct store *s)
{
	return s->rows.n;
}
