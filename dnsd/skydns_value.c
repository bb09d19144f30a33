/* Values of SkyDNS's keys, read as Go's JSON does: keys in any case, the last one of
 * several, unknown ones ignored.  See skydns.h. */
#include <ctype.h>
#include <errno.h>
#include <ldns/ldns.h>
#include <string.h>
#include <strings.h>

#include "common/json.h"
#include "common/str.h"
#include "dnsd/json_plain.h"
#include "dnsd/skydns.h"

#define DEFAULT_PRIORITY 10

struct fields {
	const char *host, *text, *group;
	json_int_t port, priority, weight, ttl, targetstrip;
	bool mail;
};

static int get_string(const json_t *v, const char *key, const char **ret, struct err *e)
{
	if (!json_is_string(v))
		return err_set(e, -EINVAL, "\"%s\" must be a string", key);
	*ret = json_string_value(v);
	if (strlen(*ret) != json_string_length(v))
		return err_set(e, -EINVAL, "\"%s\" holds a NUL character", key);
	return 0;
}

static int get_number(const json_t *v, const char *key, json_int_t min, json_int_t max,
    json_int_t *ret, struct err *e)
{
	if (!json_is_integer(v) || json_integer_value(v) < min ||
	    json_integer_value(v) > max)
		return err_set(e, -EINVAL, "\"%s\" must be a number from %lld to %lld",
		    key, (long long)min, (long long)max);
	*ret = json_integer_value(v);
	return 0;
}

/* What there is beside "mail". */
static const struct {
	const char *key;
	size_t offset;
} strings[] = {
	{ "host", offsetof(struct fields, host) },
	{ "text", offsetof(struct fields, text) },
	{ "group", offsetof(struct fields, group) },
};

static const struct {
	const char *key;
	size_t offset;
	json_int_t min, max;
} numbers[] = {
	{ "port", offsetof(struct fields, port), -1, UINT16_MAX },
	{ "priority", offsetof(struct fields, priority), 0, UINT16_MAX },
	{ "weight", offsetof(struct fields, weight), 0, INT32_MAX },
	{ "ttl", offsetof(struct fields, ttl), 0, UINT32_MAX },
	{ "targetstrip", offsetof(struct fields, targetstrip), 0, 127 },
};

#define AT(f, offset) ((void *)((char *)(f) + (offset)))

static int get_field(struct fields *f, const char *key, const json_t *v, struct err *e)
{
	if (json_is_null(v))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (strcasecmp(key, strings[i].key) == 0)
			return get_string(v, key, AT(f, strings[i].offset), e);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (strcasecmp(key, numbers[i].key) == 0)
			return get_number(v, key, numbers[i].min, numbers[i].max,
			    AT(f, numbers[i].offset), e);
	if (strcasecmp(key, "mail") == 0 && !json_is_boolean(v))
		return err_set(e, -EINVAL, "\"mail\" must be true or false");
	if (strcasecmp(key, "mail") == 0)
		f->mail = json_is_true(v);
	return 0;
}

/* An empty string takes no room: most values are an address and nothing else. */
static size_t room(const char *text)
{
	return *text ? strlen(text) + 1 : 0;
}

static const char *keep(uint8_t **to, const char *text)
{
	size_t n = room(text);
	char *kept = memcpy(*to, text, n);

	*to += n;
	return n ? kept : "";
}

static int value_make(struct skydns_value **ret, const struct fields *f,
    const struct net_ip *ip, struct err *e)
{
	const char *host = ip->family ? "" : f->host;
	struct skydns_value *v =
	    calloc(1, sizeof(*v) + room(host) + room(f->text) + room(f->group));
	uint8_t *to;

	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	v->ttl = f->ttl ? (uint32_t)MIN(f->ttl, INT32_MAX) : SKYDNS_TTL;
	v->port = (int32_t)f->port;
	v->priority = (uint16_t)f->priority;
	v->weight = (uint16_t)MIN(f->weight, UINT16_MAX);
	v->targetstrip = (uint16_t)f->targetstrip;
	v->mail = f->mail;
	v->ip = *ip;
	to = v->data;
	v->host = keep(&to, host);
	v->text = keep(&to, f->text);
	v->group = keep(&to, f->group);
	*ret = v;
	return 0;
}

/* --- values as etcdctl and external-dns write them, without jansson --------- */

#define PLAIN_MAX 512

static const char *plain_text(const struct json_plain_span *v)
{
	/* In place of the quote behind it, which is read already. */
	((char *)v->p)[v->n] = '\0';
	return v->p;
}

static bool plain_string(const struct json_plain_span *v, const char **ret)
{
	if (v->kind == JSON_PLAIN_STRING)
		*ret = plain_text(v);
	return v->kind == JSON_PLAIN_STRING;
}

static bool plain_number(
    const struct json_plain_span *v, json_int_t min, json_int_t max, json_int_t *ret)
{
	long long n;

	if (v->kind != JSON_PLAIN_INTEGER)
		return false;
	n = strtoll(v->p, NULL, 10);
	*ret = n;
	return n >= min && n <= max;
}

static bool plain_field(
    struct json_plain *j, const struct json_plain_span *key, void *arg)
{
	struct json_plain_span v;
	struct fields *f = arg;
	const char *k;

	if (!json_plain_scalar(j, &v))
		return false;
	if (v.kind == JSON_PLAIN_NULL)
		return true;
	k = plain_text(key);
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (strcasecmp(k, strings[i].key) == 0)
			return plain_string(&v, AT(f, strings[i].offset));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (strcasecmp(k, numbers[i].key) == 0)
			return plain_number(&v, numbers[i].min, numbers[i].max,
			    AT(f, numbers[i].offset));
	if (strcasecmp(k, "mail") != 0)
		return true;
	f->mail = v.kind == JSON_PLAIN_TRUE;
	return f->mail || v.kind == JSON_PLAIN_FALSE;
}

/* With a copy of the text, which the fields then point into. */
static bool read_plain(struct fields *f, char *copy, const char *text, size_t n)
{
	struct json_plain j = { copy, copy + n };

	memcpy(copy, text, n);
	copy[n] = '\0';
	return json_plain_object(&j, plain_field, f) && json_plain_end(&j);
}

static const struct fields defaults = {
	.host = "", .text = "", .group = "", .priority = DEFAULT_PRIORITY
};

/* root keeps what the fields point into. */
static int read_json(
    struct fields *f, json_t **root, const char *text, size_t n, struct err *e)
{
	const char *key;
	json_t *v;
	int r = json_load_limited(root, NULL, text, n, JSON_DECODE_ANY, e);

	if (r < 0)
		return r;
	if (!json_is_object(*root) && !json_is_null(*root))
		return err_set(e, -EINVAL, "the value is no JSON object");
	json_object_foreach(*root, key, v)
	{
		r = get_field(f, key, v, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_json(
    struct skydns_value **ret, const char *text, size_t n, struct err *e)
{
	_cleanup_(json_freep) json_t *root = NULL;
	struct fields f = defaults;
	struct name_buf name;
	struct net_ip ip;
	char copy[PLAIN_MAX];
	int r = 0;

	if (n >= sizeof(copy) || !read_plain(&f, copy, text, n)) {
		f = defaults;
		r = read_json(&f, &root, text, n, e);
	}
	if (r < 0)
		return r;
	if (net_ip_parse(f.host, &ip) < 0) {
		ip = (struct net_ip){ 0 };
		if (*f.host && name_parse(&name, f.host) < 0)
			return err_set(e, -EINVAL,
			    "\"%.64s\" is neither an address nor a name", f.host);
	}
	return value_make(ret, &f, &ip, e);
}

/* The rest of a zone file's line: "60 IN CAA 0 issue ...". */
static int parse_line(
    struct skydns_value **ret, const char *text, size_t n, struct err *e)
{
	_cleanup_(str_deinit) struct str line = STR_INIT;
	struct skydns_value *v;
	struct records *r = NULL;
	struct records_one one;
	int k;

	if (memchr(text, '\0', n) || memchr(text, '\n', n))
		return err_set(e, -EINVAL, "the value is no line of text");
	str_addz(&line, ". ");
	str_add(&line, text, n);
	if (str_err(&line) || records_new(&r) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	k = records_add_line(r, RECORDS_STATIC, str_get(&line), ".", SKYDNS_TTL, e);
	v = NULL;
	if (k == 0 && records_get(r, 0, &one)) {
		v = calloc(1, sizeof(*v) + one.n);
		if (!v)
			k = err_set(e, -ENOMEM, "out of memory");
	}
	if (v) {
		v->ttl = one.ttl;
		v->type = one.type;
		v->rdlen = one.n;
		v->host = v->text = v->group = "";
		memcpy(v->data, one.rdata, one.n);
		*ret = v;
	}
	records_free(r);
	return k;
}

/* Whether a line begins: with a TTL, the class, or a type. */
static bool is_line(const char *text, size_t n)
{
	char word[16];
	size_t i = 0;

	if (!isalnum((unsigned char)text[0]))
		return false;
	while (i < n && i < sizeof(word) - 1 && text[i] != ' ' && text[i] != '\t') {
		word[i] = text[i];
		i++;
	}
	word[i] = '\0';
	if (i == n || (text[i] != ' ' && text[i] != '\t'))
		return false;
	/* "null" is a type as well. */
	return isdigit((unsigned char)word[0]) || strcasecmp(word, "IN") == 0 ||
	    (strcmp(word, "null") != 0 && ldns_get_rr_type_by_name(word));
}

int skydns_value_new(
    struct skydns_value **ret, const char *text, size_t n, struct err *e)
{
	size_t blank = 0;

	while (blank < n && strchr(" \t\r\n", text[blank]))
		blank++;
	if (blank == n)
		return err_set(e, -EINVAL, "the value is empty");
	return is_line(text + blank, n - blank)
	    ? parse_line(ret, text + blank, n - blank, e)
	    : parse_json(ret, text, n, e);
}
