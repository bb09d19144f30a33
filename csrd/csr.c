/* CertificateSigningRequest objects: see csr.h. */
#include "csrd/csr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/conf_doc.h"
#include "common/digest.h"
#include "common/str.h"

/* --- times -------------------------------------------------------------- */

int64_t csr_time_parse(const char *s)
{
	struct tm tm = { 0 };
	int offset_h = 0, offset_m = 0;
	const char *p = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t t;

	if (!p)
		return -1;
	if (*p == '.')
		p += 1 + strspn(p + 1, "0123456789");
	t = timegm(&tm);
	if (str_eq(p, "Z"))
		return t;
	if ((*p != '+' && *p != '-') ||
	    sscanf(p + 1, "%2d:%2d", &offset_h, &offset_m) != 2)
		return -1;
	return t - (*p == '-' ? -60 : 60) * (offset_h * 60 + offset_m);
}

const char *csr_time_format(int64_t t, char buf[CSR_TIME_MAX])
{
	time_t at = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&at, &tm) ||
	    !strftime(buf, CSR_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		buf[0] = '\0';
	return buf;
}

/* --- reading ------------------------------------------------------------ */

/* A copy of a member's text, "" where there is none or null. */
static int get_text(const json_t *object, const char *key, char **ret)
{
	const json_t *v = json_object_get(object, key);

	if (v && !json_is_null(v) && !json_is_string(v))
		return -EBADMSG;
	*ret = strdup(json_is_string(v) ? json_string_value(v) : "");
	return *ret ? 0 : -ENOMEM;
}

static int get_list(const json_t *object, const char *key, struct x509_strings *ret)
{
	const json_t *v = json_object_get(object, key), *item;
	size_t i;

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_array(v) || json_array_size(v) > CSR_LIST_MAX)
		return -EBADMSG;
	if (json_array_size(v) == 0)
		return 0;
	ret->v = calloc(json_array_size(v), sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	json_array_foreach(v, i, item)
	{
		if (!json_is_string(item))
			return -EBADMSG;
		ret->v[ret->n] = strdup(json_string_value(item));
		if (!ret->v[ret->n])
			return -ENOMEM;
		ret->n++;
	}
	return 0;
}

static void set_why(struct csr *c, const char *why)
{
	free(c->why);
	c->why = strdup(why);
}

/* The certificate request; a failure becomes c->why. */
static int read_request(struct csr *c, const json_t *spec)
{
	_cleanup_(str_deinit) struct str pem = STR_INIT;
	const json_t *v = json_object_get(spec, "request");
	struct err e = ERR_INIT;
	int r;

	if (!json_is_string(v) || json_string_length(v) == 0) {
		set_why(c, "spec.request is empty");
	} else if (json_string_length(v) > CSR_REQUEST_MAX / 3 * 4) {
		set_why(c, "spec.request is larger than 16 KiB");
	} else if ((r = base64_decode(&pem, json_string_value(v), json_string_length(v),
			BASE64_STD)) < 0) {
		if (r == -ENOMEM)
			return r;
		set_why(c, "spec.request is no base64");
	} else {
		r = x509_request_parse(&c->request, str_get(&pem), pem.len, &e);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			set_why(c, e.text[0] ? e.text : strerror(-r));
	}
	return c->request || c->why ? 0 : -ENOMEM;
}

static int read_condition(struct csr *c, const json_t *condition)
{
	const char *type = json_string_value(json_object_get(condition, "type"));
	const char *status = json_string_value(json_object_get(condition, "status"));
	const char *at =
	    json_string_value(json_object_get(condition, "lastUpdateTime"));

	/* v1beta1 objects of old carry conditions without a status: they hold. */
	if (!type || (status && *status && !str_eq(status, "True")))
		return 0;
	if (str_eq(type, "Approved")) {
		c->approved = true;
		c->approved_at = at ? MAX(csr_time_parse(at), 0) : 0;
		free(c->approved_by);
		return get_text(condition, "reason", &c->approved_by);
	}
	if (str_eq(type, "Denied"))
		c->denied = true;
	if (str_eq(type, "Failed")) {
		c->failed = true;
		free(c->failed_text);
		return get_text(condition, "message", &c->failed_text);
	}
	return 0;
}

static int read_status(struct csr *c, json_t *status)
{
	json_t *conditions = json_object_get(status, "conditions"), *condition;
	const json_t *certificate = json_object_get(status, "certificate");
	size_t i;
	int r = 0;

	c->issued = json_is_string(certificate) && json_string_length(certificate) > 0;
	if (!conditions || json_is_null(conditions))
		return 0;
	if (!json_is_array(conditions) || json_array_size(conditions) > CSR_LIST_MAX)
		return -EBADMSG;
	json_array_foreach(conditions, i, condition)
	{
		r = read_condition(c, condition);
		if (r < 0)
			return r;
	}
	if (json_array_size(conditions))
		c->conditions = json_incref(conditions);
	return 0;
}

static int read_metadata(struct csr *c, const json_t *metadata)
{
	const char *created =
	    json_string_value(json_object_get(metadata, "creationTimestamp"));
	int r;

	r = get_text(metadata, "name", &c->name);
	if (r == 0)
		r = get_text(metadata, "uid", &c->uid);
	if (r == 0)
		r = get_text(metadata, "resourceVersion", &c->version);
	if (r < 0)
		return r;
	c->created = created ? csr_time_parse(created) : -1;
	return *c->name && *c->uid && c->created >= 0 ? 0 : -EBADMSG;
}

static int read_spec(struct csr *c, const json_t *spec)
{
	const json_t *lifetime = json_object_get(spec, "expirationSeconds");
	int r;

	if (!json_is_object(spec))
		return -EBADMSG;
	r = get_text(spec, "signerName", &c->signer);
	if (r == 0)
		r = get_text(spec, "username", &c->username);
	if (r == 0)
		r = get_list(spec, "groups", &c->groups);
	if (r == 0)
		r = get_list(spec, "usages", &c->usages);
	if (r == 0 && json_is_integer(lifetime))
		c->lifetime = json_integer_value(lifetime);
	return r == 0 ? read_request(c, spec) : r;
}

int csr_new(struct csr **ret, const json_t *object, struct err *e)
{
	_cleanup_(csr_freep) struct csr *c = calloc(1, sizeof(*c));
	const char *name;
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	r = read_metadata(c, json_object_get(object, "metadata"));
	if (r == 0)
		r = read_spec(c, json_object_get(object, "spec"));
	if (r == 0)
		r = read_status(c, json_object_get(object, "status"));
	if (r == 0 && !c->approved_by)
		r = (c->approved_by = strdup("")) ? 0 : -ENOMEM;
	if (r == 0 && !c->failed_text)
		r = (c->failed_text = strdup("")) ? 0 : -ENOMEM;
	if (r == -ENOMEM)
		return err_set(e, r, "out of memory");
	if (r < 0) {
		name = c->name ? c->name : "";
		return err_set(e, r,
		    "the certificate request \"%s\" is not as the API has it",
		    conf_show(name));
	}

	*ret = TAKE(c);
	return 0;
}

static void free_list(struct x509_strings *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
}

struct csr *csr_free(struct csr *c)
{
	if (!c)
		return NULL;
	free(c->name);
	free(c->uid);
	free(c->version);
	free(c->signer);
	free(c->username);
	free_list(&c->groups);
	free_list(&c->usages);
	x509_request_free(c->request);
	free(c->why);
	free(c->approved_by);
	free(c->failed_text);
	json_decref(c->conditions);
	free(c);
	return NULL;
}

bool csr_is_pending(const struct csr *c)
{
	return !c->approved && !c->denied && !c->failed;
}

/* --- showing ------------------------------------------------------------ */

static void describe_all(
    const char *kind, const struct x509_strings *l, struct str *out)
{
	for (size_t i = 0; i < l->n; i++)
		str_addf(out, "%s%s:%s", out->len ? " " : "", kind, conf_show(l->v[i]));
}

void csr_describe_names(const struct csr *c, struct str *out)
{
	const struct x509_alt *alt;

	if (!c->request)
		return;
	alt = &c->request->alt;
	describe_all("DNS", &alt->dns, out);
	for (size_t i = 0; i < alt->n_ip; i++)
		str_addf(out, "%sIP:%s", out->len ? " " : "", net_ip_str(&alt->ip[i]));
	describe_all("email", &alt->email, out);
	describe_all("URI", &alt->uri, out);
	if (alt->n_other)
		str_addf(
		    out, "%sand %zu of other kinds", out->len ? " " : "", alt->n_other);
}

static json_t *list_to_json(const struct x509_strings *l)
{
	json_t *out = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(out, json_string(l->v[i]));
	return out;
}

static json_t *addresses_to_json(const struct x509_alt *alt)
{
	json_t *out = json_array();

	for (size_t i = 0; i < alt->n_ip; i++)
		json_array_append_new(out, json_string(net_ip_str(&alt->ip[i])));
	return out;
}

static json_t *request_to_json(const struct x509_request *q)
{
	_cleanup_(str_deinit) struct str key = STR_INIT;
	json_t *out = json_object();
	char hex[2 * X509_SHA256 + 1];

	x509_key_describe(&q->key, &key);
	json_object_set_new(out, "subject", json_string(q->subject.text));
	json_object_set_new(out, "dns", list_to_json(&q->alt.dns));
	json_object_set_new(out, "addresses", addresses_to_json(&q->alt));
	json_object_set_new(out, "email", list_to_json(&q->alt.email));
	json_object_set_new(out, "uri", list_to_json(&q->alt.uri));
	json_object_set_new(
	    out, "other_names", json_integer((json_int_t)q->alt.n_other));
	json_object_set_new(out, "key", json_string(str_get(&key)));
	json_object_set_new(out, "key_sha256",
	    json_string(hex_encode(q->key.sha256, X509_SHA256, hex)));
	json_object_set_new(
	    out, "signature_ok", json_boolean(x509_request_is_signed(q)));
	json_object_set_new(out, "text_around",
	    json_boolean(q->leading_text || q->trailing_text || q->pem_headers));
	json_object_set_new(
	    out, "other_extensions", json_integer(q->n_other_extensions));
	return out;
}

json_t *csr_to_json(const struct csr *c)
{
	json_t *out = json_object();
	char at[CSR_TIME_MAX];

	json_object_set_new(out, "name", json_string(c->name));
	json_object_set_new(out, "uid", json_string(c->uid));
	json_object_set_new(
	    out, "created", json_string(csr_time_format(c->created, at)));
	json_object_set_new(out, "signer", json_string(c->signer));
	json_object_set_new(out, "username", json_string(c->username));
	json_object_set_new(out, "groups", list_to_json(&c->groups));
	json_object_set_new(out, "usages", list_to_json(&c->usages));
	if (c->lifetime)
		json_object_set_new(
		    out, "expiration_seconds", json_integer(c->lifetime));
	json_object_set_new(out, "approved", json_boolean(c->approved));
	json_object_set_new(out, "denied", json_boolean(c->denied));
	json_object_set_new(out, "failed", json_boolean(c->failed));
	json_object_set_new(out, "issued", json_boolean(c->issued));
	if (c->request)
		json_object_set_new(out, "request", request_to_json(c->request));
	else
		json_object_set_new(out, "unreadable", json_string(c->why));
	return out;
}
