/*
 * Records below /skydns in etcd as records of dnsd.yaml, from what etcdctl prints: JSON
 * (-w json), or keys and values in turns.  The answers are those that CoreDNS gives:
 * priority 0 becomes 10, a weight its share of 100, a TTL of 0 becomes 300, and a leaf
 * such as x1 belongs to its parent.
 */
#include <errno.h>
#include <stdio.h>

#include "common/digest.h"
#include "common/json.h"
#include "common/net.h"
#include "okdctl/import.h"

#define PREFIX "/skydns/"
#define TTL_DEFAULT 300
#define NAME_MAX_LEN 253

struct record {
	char name[NAME_MAX_LEN + 3], host[NAME_MAX_LEN + 3];
	int64_t ttl, priority, weight, port;
	unsigned line;
	char *text;
	bool mail;
};

struct etcd {
	struct import *in;
	struct record *v;
	size_t n;
	unsigned line; /* of the pair, counted from 1 */
};

static void etcd_deinit(struct etcd *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].text);
	free(e->v);
}

static bool is_name(const char *s)
{
	return *s &&
	    !s[strspn(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*")];
}

/* x and digits: a leaf that stands for its parent, by the custom of SkyDNS. */
static bool is_leaf(const char *label, size_t n)
{
	if (n < 2 || label[0] != 'x')
		return false;
	for (size_t i = 1; i < n; i++)
		if (label[i] < '0' || label[i] > '9')
			return false;
	return true;
}

/* "com/example/okd/api" to "api.okd.example.com."; the leaf is left out. */
static int name_of(const char *key, char out[NAME_MAX_LEN + 3])
{
	const char *end = key + strlen(key), *at;
	size_t len = 0;

	while (end > key && end[-1] == '/')
		end--;
	for (at = end; at > key;) {
		const char *start = at;

		while (start > key && start[-1] != '/')
			start--;
		if (!(at == end && is_leaf(start, (size_t)(at - start)))) {
			size_t n = (size_t)(at - start);

			if (n == 0 || n > 63 || len + n + 1 > NAME_MAX_LEN)
				return -EINVAL;
			memcpy(out + len, start, n);
			len += n;
			out[len++] = '.';
		}
		at = start - (start > key);
	}
	out[len] = '\0';
	return len && is_name(out) ? 0 : -EINVAL;
}

static int64_t number(const json_t *v, const char *key)
{
	return json_integer_value(json_object_get(v, key));
}

static void add(void *arg, const char *key, const char *value, size_t n)
{
	struct etcd *e = arg;
	_cleanup_(json_freep) json_t *v = NULL;
	struct err why = ERR_INIT;
	struct record r = { 0 }, *list;
	const char *host;

	e->line++;
	if (!*key) {
		import_note(e->in, e->line, "the key or value is no base64");
		return;
	}
	if (!str_starts(key, PREFIX) || name_of(key + strlen(PREFIX), r.name) < 0) {
		import_note(
		    e->in, e->line, "the key \"%.200s\" is no name below " PREFIX, key);
		return;
	}
	if (json_load_limited(&v, NULL, value, n, 0, &why) < 0 || !json_is_object(v)) {
		import_note(e->in, e->line, "the value of %s is no record: %s", key,
		    why.text[0] ? why.text : "it is no object");
		return;
	}
	host = json_str(v, "host");
	r.line = e->line;
	r.ttl = number(v, "ttl");
	r.priority = number(v, "priority");
	r.weight = number(v, "weight");
	r.port = number(v, "port");
	r.mail = json_is_true(json_object_get(v, "mail"));
	if (host && strlen(host) > NAME_MAX_LEN) {
		import_note(
		    e->in, e->line, "the host of %s is too long for a name", key);
		return;
	}
	if (host)
		snprintf(r.host, sizeof(r.host), "%s", host);
	if (r.ttl < 0 || r.ttl > INT32_MAX || r.port < 0 || r.port > 65535 ||
	    r.priority < 0 || r.priority > 65535 || r.weight < 0 || r.weight > 65535) {
		import_note(e->in, e->line, "a number of %s is out of range", key);
		return;
	}
	if (json_str(v, "text"))
		r.text = strdup(json_str(v, "text"));
	list = reallocarray(e->v, e->n + 1, sizeof(*list));
	if (!list) {
		free(r.text);
		e->in->out->err = -ENOMEM;
		return;
	}
	e->v = list;
	list[e->n++] = r;
}

/* --- output ------------------------------------------------------------- */

static void line(struct etcd *e, const char *fmt, ...) _printf_(2, 3);
static void line(struct etcd *e, const char *fmt, ...)
{
	_cleanup_(str_deinit) struct str s = STR_INIT, item = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	str_addz(&item, "  - ");
	import_yaml_word(&item, str_get(&s));
	str_addc(&item, '\n');
	/* CoreDNS gives each answer once. */
	if (!strstr(str_get(e->in->out), str_get(&item)))
		str_add(e->in->out, str_get(&item), item.len);
}

static int64_t weight_of(const struct record *r)
{
	return r->weight ? r->weight : 100;
}

/* floor(100 * w / sum of the same name and priority), at least 1. */
static int64_t share(const struct etcd *e, const struct record *r)
{
	int64_t sum = 0, v;

	for (size_t i = 0; i < e->n; i++) {
		const struct record *o = &e->v[i];

		if (o->port && str_eq(o->name, r->name) && o->priority == r->priority)
			sum += weight_of(o);
	}
	v = 100 * weight_of(r) / (sum ? sum : 1);
	return v ? v : 1;
}

static void add_text(struct str *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			str_addf(out, "\\%c", *text);
		else if (*text >= ' ' && *text <= '~')
			str_addc(out, *text);
		else
			str_addf(out, "\\%03u", (unsigned char)*text);
	}
}

static void print_text(struct etcd *e, const struct record *r, int64_t ttl)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	for (size_t at = 0; at < strlen(r->text) || at == 0; at += 255) {
		_cleanup_(freep) char *piece = strndup(r->text + at, 255);

		str_addz(&text, at ? " \"" : "\"");
		add_text(&text, piece ? piece : "");
		str_addc(&text, '"');
	}
	line(e, "%s %lld IN TXT %s", r->name, (long long)ttl, str_get(&text));
}

static void print_one(struct etcd *e, size_t i)
{
	const struct record *r = &e->v[i];
	int64_t ttl = r->ttl ? r->ttl : TTL_DEFAULT;
	int64_t priority = r->priority ? r->priority : 10;
	struct net_ip ip;
	bool is_ip = net_ip_parse(r->host, &ip) == 0;
	const char *dot = str_ends(r->host, ".") ? "" : ".";

	if (r->host[0] && !is_ip && !is_name(r->host)) {
		import_note(
		    e->in, r->line, "\"%s\" of %s is no host", r->host, r->name);
		return;
	}
	if (is_ip)
		line(e, "%s %lld IN %s %s", r->name, (long long)ttl,
		    ip.family == 4 ? "A" : "AAAA", net_ip_str(&ip));
	if (r->port)
		line(e, "%s %lld IN SRV %lld %lld %lld %s%s", r->name, (long long)ttl,
		    (long long)priority, (long long)share(e, r), (long long)r->port,
		    is_ip ? r->name : r->host, is_ip ? "" : dot);
	else if (r->mail && r->host[0])
		line(e, "%s %lld IN MX %lld %s%s", r->name, (long long)ttl,
		    (long long)priority, is_ip ? r->name : r->host, is_ip ? "" : dot);
	else if (r->host[0] && !is_ip && !r->text)
		line(e, "%s %lld IN CNAME %s%s", r->name, (long long)ttl, r->host, dot);
	if (r->text && !is_ip)
		print_text(e, r, ttl);
}

/* --- input -------------------------------------------------------------- */

static void each_encoded(const json_t *pair, import_pair_fn *fn, void *arg)
{
	const char *key = json_str(pair, "key"), *value = json_str(pair, "value");
	_cleanup_(str_deinit) struct str k = STR_INIT, v = STR_INIT;

	if (!key || base64_decode(&k, key, strlen(key), BASE64_STD) < 0 ||
	    (value && base64_decode(&v, value, strlen(value), BASE64_STD) < 0) ||
	    strlen(str_get(&k)) != k.len)
		fn(arg, "", "", 0);
	else
		fn(arg, str_get(&k), str_get(&v), v.len);
}

static int each_of_json(struct import *in, import_pair_fn *fn, void *arg)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	const json_t *kvs;
	int r = json_load_limited(&doc, in->name, in->text, in->n, 0, in->err);

	if (r < 0)
		return r;
	kvs = json_object_get(doc, "kvs");
	for (size_t i = 0; i < json_array_size(kvs); i++)
		each_encoded(json_array_get(kvs, i), fn, arg);
	return 0;
}

/* A key in one line, its value in the next. */
static void each_of_lines(struct import *in, import_pair_fn *fn, void *arg)
{
	const char *at = in->text, *end = at + in->n;

	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at)), *value, *stop;
		_cleanup_(freep) char *key =
		    strndup(at, (size_t)((nl ? nl : end) - at));

		value = nl ? nl + 1 : end;
		nl = memchr(value, '\n', (size_t)(end - value));
		stop = nl ? nl : end;
		if (key && *key)
			fn(arg, key, value, (size_t)(stop - value));
		at = key && !*key ? value : nl ? nl + 1 : end;
	}
}

int import_etcd_pairs(struct import *in, import_pair_fn *fn, void *arg)
{
	size_t blank = strspn(in->text, " \t\r\n");

	if (blank < in->n && in->text[blank] == '{')
		return each_of_json(in, fn, arg);
	each_of_lines(in, fn, arg);
	return 0;
}

int import_etcd(struct import *in)
{
	_cleanup_(etcd_deinit) struct etcd e = { .in = in };
	int r = import_etcd_pairs(in, add, &e);

	if (r == 0 && !e.n)
		r = err_set(in->err, -EINVAL,
		    "%s has no record below " PREFIX
		    "; give what \"etcdctl get --prefix "
		    "/skydns -w json\" prints",
		    in->name);
	if (r < 0)
		return r;
	str_addf(in->out, "# From etcd's records by okdctl import.\nrecords:\n");
	for (size_t i = 0; i < e.n; i++)
		print_one(&e, i);
	return 0;
}
