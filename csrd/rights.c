/* What the daemon may do, and what it needs: see rights.h. */
#include "csrd/rights.h"

#include <errno.h>
#include <string.h>

#include "common/http_client.h"
#include "common/log.h"
#include "csrd/kube.h"
#include "csrd/policy.h"

#define REVIEW_PATH "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
#define REVIEW_TIMEOUT_MS 20000

#define CERTIFICATES "certificates.k8s.io"
#define REQUESTS "certificatesigningrequests"

static const struct right {
	const char *verb, *group, *resource, *subresource, *name;
} needed[] = {
	{ "get", CERTIFICATES, REQUESTS, "", "" },
	{ "list", CERTIFICATES, REQUESTS, "", "" },
	{ "watch", CERTIFICATES, REQUESTS, "", "" },
	{ "update", CERTIFICATES, REQUESTS, "approval", "" },
	{ "approve", CERTIFICATES, "signers", "", SIGNER_CLIENT },
	{ "approve", CERTIFICATES, "signers", "", SIGNER_SERVING },
	{ "list", "", "nodes", "", "" },
	{ "watch", "", "nodes", "", "" },
};

enum { N_NEEDED = ARRAY_SIZE(needed) };

struct review {
	struct rights *rights;
	struct http_transfer *transfer;
	bool allowed;
};

struct rights {
	struct kube *kube;
	struct review reviews[N_NEEDED];
	unsigned open;
	bool checked, failed; /* all were answered; some could not be asked */
};

const char rights_manifest[] =
#include "csrd/rights_manifest.inc"
    ;

static void describe(const struct right *n, struct str *out)
{
	str_addf(out, "%s %s%s%s%s%s", n->verb, n->resource, *n->subresource ? "/" : "",
	    n->subresource, *n->name ? " " : "", n->name);
}

static void conclude(struct rights *r)
{
	_cleanup_(str_deinit) struct str missing = STR_INIT;

	r->checked = !r->failed;
	if (r->failed)
		return;
	for (unsigned i = 0; i < N_NEEDED; i++) {
		if (r->reviews[i].allowed)
			continue;
		if (missing.len)
			str_addz(&missing, ", ");
		describe(&needed[i], &missing);
	}
	if (missing.len)
		log_err("the kubeconfig's user may not: %s; `okd-csrd --print-rbac` "
			"prints the role that it needs",
		    str_get(&missing));
	else
		log_info("the kubeconfig's user has all rights that are needed");
}

static void on_review(struct http_transfer *t, int result, void *arg)
{
	struct review *v = arg;
	struct rights *r = v->rights;
	struct str *body = http_transfer_body(t);
	json_t *doc = json_loadb(str_get(body), body->len, 0, NULL);

	v->transfer = NULL;
	kube_count(r->kube, result);
	if (result != 200 && result != 201)
		r->failed = true;
	v->allowed =
	    json_is_true(json_object_get(json_object_get(doc, "status"), "allowed"));
	json_decref(doc);
	if (--r->open == 0)
		conclude(r);
}

static char *review_body(const struct right *n)
{
	json_t *doc = json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s, s:s}}}",
	    "apiVersion", "authorization.k8s.io/v1", "kind", "SelfSubjectAccessReview",
	    "spec", "resourceAttributes", "verb", n->verb, "group", n->group,
	    "resource", n->resource, "subresource", n->subresource, "name", n->name);
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	json_decref(doc);
	return text;
}

static void ask(struct rights *r, unsigned i)
{
	_cleanup_(freep) char *body = review_body(&needed[i]);
	struct err e = ERR_INIT;

	r->reviews[i] = (struct review){ .rights = r };
	if (body &&
	    kube_start(r->kube, &r->reviews[i].transfer,
		&(struct kube_request){
		    .method = "POST",
		    .path = REVIEW_PATH,
		    .body = body,
		    .body_len = strlen(body),
		    .timeout_ms = REVIEW_TIMEOUT_MS,
		    .max_response = (size_t)1 << 20,
		    .on_done = on_review,
		    .arg = &r->reviews[i],
		},
		&e) == 0)
		r->open++;
	else
		r->failed = true;
}

void rights_check(struct rights *r)
{
	rights_forget(r);
	for (unsigned i = 0; i < N_NEEDED; i++)
		ask(r, i);
}

void rights_forget(struct rights *r)
{
	for (unsigned i = 0; i < N_NEEDED; i++)
		r->reviews[i].transfer = http_transfer_cancel(r->reviews[i].transfer);
	r->open = 0;
	r->checked = r->failed = false;
}

json_t *rights_to_json(const struct rights *r)
{
	json_t *out = json_object(), *missing = json_array();

	for (unsigned i = 0; r->checked && i < N_NEEDED; i++) {
		_cleanup_(str_deinit) struct str text = STR_INIT;

		if (r->reviews[i].allowed)
			continue;
		describe(&needed[i], &text);
		json_array_append_new(missing, json_string(str_get(&text)));
	}
	json_object_set_new(out, "checked", json_boolean(r->checked));
	json_object_set_new(out, "missing", missing);
	return out;
}

int rights_new(struct rights **ret, struct kube *kube)
{
	struct rights *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->kube = kube;
	*ret = r;
	return 0;
}

struct rights *rights_free(struct rights *r)
{
	if (!r)
		return NULL;
	rights_forget(r);
	free(r);
	return NULL;
}
