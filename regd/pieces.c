/* Texts for an install: see pieces.h. */
#include "regd/pieces.h"

#include <errno.h>
#include <string.h>

#include "common/digest.h"
#include "common/str.h"

/* Where releases and their content are published. */
static const char *const sources[] = {
	"quay.io/openshift/okd",
	"quay.io/openshift/okd-content",
};

static void content_sources(const struct pieces_query *q, struct str *out)
{
	str_addz(out, "imageContentSources:\n");
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		str_addf(out, "- mirrors:\n  - %s/%s\n  source: %s\n", q->registry,
		    q->repository, sources[i]);
}

static void cluster_object(const struct pieces_query *q, struct str *out,
    const char *version, const char *kind, const char *list)
{
	str_addf(out,
	    "apiVersion: %s\nkind: %s\nmetadata:\n  name: okd-bastion\nspec:\n  %s:\n",
	    version, kind, list);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		str_addf(out, "  - mirrors:\n    - %s/%s\n    source: %s\n",
		    q->registry, q->repository, sources[i]);
}

/* Indented by two, as install-config.yaml wants it. */
static void trust_bundle(const struct pieces_query *q, struct str *out)
{
	const char *s = q->ca;

	str_addz(out, "additionalTrustBundle: |\n");
	while (*s) {
		size_t n = strcspn(s, "\n");

		str_addz(out, "  ");
		str_add(out, s, n);
		str_addc(out, '\n');
		s += n + (s[n] == '\n');
	}
}

static int pull_secret(const struct pieces_query *q, struct str *out)
{
	_cleanup_(str_deinit) struct str plain = STR_INIT;
	_cleanup_(str_deinit) struct str auth = STR_INIT;
	json_t *obj;
	char *text;

	str_addf(&plain, "%s:%s", q->user, q->password);
	base64_encode(&auth, str_get(&plain), plain.len, BASE64_STD);
	if (plain.s)
		explicit_bzero(plain.s, plain.len);
	obj = json_pack("{s:{s:{s:s}}}", "auths", q->registry, "auth", str_get(&auth));
	text = obj ? json_dumps(obj, JSON_COMPACT) : NULL;
	json_decref(obj);
	if (!text)
		return -ENOMEM;
	str_addz(out, text);
	free(text);
	return 0;
}

static void registries_conf(const struct pieces_query *q, struct str *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		str_addf(out,
		    "%s[[registry]]\nprefix = \"%s\"\nlocation = \"%s\"\n"
		    "mirror-by-digest-only = true\n\n"
		    "[[registry.mirror]]\nlocation = \"%s/%s\"\n",
		    i ? "\n" : "", sources[i], sources[i], q->registry, q->repository);
}

static int put(json_t *obj, const char *key, struct str *s)
{
	int r = str_err(s);

	if (r == 0 && json_object_set_new(obj, key, json_string(str_get(s))) < 0)
		r = -ENOMEM;
	str_reset(s);
	return r;
}

int pieces_make(json_t **ret, const struct pieces_query *q)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	json_t *obj = json_object();
	int r;

	content_sources(q, &s);
	r = put(obj, "imageContentSources", &s);
	cluster_object(q, &s, "operator.openshift.io/v1alpha1",
	    "ImageContentSourcePolicy", "repositoryDigestMirrors");
	if (r == 0)
		r = put(obj, "imageContentSourcePolicy", &s);
	str_reset(&s);
	cluster_object(q, &s, "config.openshift.io/v1", "ImageDigestMirrorSet",
	    "imageDigestMirrors");
	if (r == 0)
		r = put(obj, "imageDigestMirrorSet", &s);
	if (r == 0 && q->ca) {
		trust_bundle(q, &s);
		r = put(obj, "additionalTrustBundle", &s);
	}
	if (r == 0 && q->user) {
		r = pull_secret(q, &s);
		if (r == 0)
			r = put(obj, "pullSecret", &s);
	}
	registries_conf(q, &s);
	if (r == 0)
		r = put(obj, "registriesConf", &s);
	if (r < 0) {
		json_decref(obj);
		return r;
	}
	*ret = obj;
	return 0;
}
