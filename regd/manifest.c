/* Manifests as JSON: see manifest.h. */
#include "regd/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/str.h"

struct manifest *manifest_free(struct manifest *m)
{
	if (!m)
		return NULL;
	free(m->annotations);
	free(m->refs);
	free(m);
	return NULL;
}

const struct oci_digest *manifest_subject(const struct manifest *m)
{
	for (size_t i = 0; i < m->n_refs; i++)
		if (m->refs[i].kind == REF_SUBJECT)
			return &m->refs[i].digest;
	return NULL;
}

/* The type without its parameters; false when it is too long or holds odd bytes. */
static bool set_type(char out[MANIFEST_TYPE_MAX], const char *s)
{
	size_t n = strcspn(s, "; \t");

	if (n >= MANIFEST_TYPE_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\')
			return false;
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

static const char *text_of(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : "";
}

/* Layers that stay where they are: their bytes are somebody else's to give. */
static bool is_foreign(const json_t *desc)
{
	const char *type = text_of(desc, "mediaType");

	return json_array_size(json_object_get(desc, "urls")) > 0 ||
	    strstr(type, "nondistributable") || strstr(type, "foreign");
}

static int add_ref(struct manifest *m, const json_t *desc, enum manifest_ref_kind kind,
    const char *what, struct err *err)
{
	struct manifest_ref *ref, *more;
	const json_t *size = json_object_get(desc, "size");
	int r;

	if (!json_is_object(desc))
		return err_set(err, -EBADMSG, "%s is no descriptor", what);
	if (m->n_refs >= MANIFEST_REFS_MAX)
		return err_set(err, -EBADMSG, "it has more than %d descriptors",
		    MANIFEST_REFS_MAX);
	if (m->n_refs % 16 == 0) {
		more = realloc(m->refs, (m->n_refs + 16) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->refs = more;
	}
	ref = &m->refs[m->n_refs];
	r = oci_digest_parse(&ref->digest, text_of(desc, "digest"));
	if (r < 0)
		return err_set(err, -EBADMSG, "%s has no digest that is known", what);
	ref->kind = kind;
	ref->size = json_is_integer(size) ? json_integer_value(size) : -1;
	if (json_is_integer(size) && ref->size < 0)
		return err_set(err, -EBADMSG, "%s has a negative size", what);
	m->n_refs++;
	return 0;
}

static int add_list(struct manifest *m, const json_t *root, const char *key,
    enum manifest_ref_kind kind, struct err *err)
{
	const json_t *list = json_object_get(root, key), *desc;
	size_t i;
	int r;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return err_set(err, -EBADMSG, "\"%s\" is no list", key);
	json_array_foreach(list, i, desc)
	{
		bool foreign = kind == REF_BLOB && is_foreign(desc);

		r = add_ref(m, desc, foreign ? REF_FOREIGN : kind, key, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Schema 1 names its layers as "fsLayers": [{"blobSum": digest}], the base last. */
static int add_schema1(struct manifest *m, const json_t *root, struct err *err)
{
	const json_t *layer;
	size_t i;
	int r;

	json_array_foreach(json_object_get(root, "fsLayers"), i, layer)
	{
		_cleanup_(json_freep) json_t *desc =
		    json_pack("{s:s}", "digest", text_of(layer, "blobSum"));

		if (!desc)
			return -ENOMEM;
		r = add_ref(m, desc, REF_BLOB, "fsLayers", err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What is announced as one of the known kinds must be of the version we know. */
static int check_version(const struct manifest *m, const json_t *root, struct err *err)
{
	static const char *const types[] = { TYPE_OCI_MANIFEST, TYPE_OCI_INDEX,
		TYPE_DOCKER_MANIFEST, TYPE_DOCKER_LIST };
	const json_t *version = json_object_get(root, "schemaVersion");

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (str_eq(m->type, types[i]) && json_integer_value(version) != 2)
			return err_set(err, -EBADMSG, "its schemaVersion is not 2");
	return 0;
}

static int add_refs(struct manifest *m, const json_t *root, struct err *err)
{
	const json_t *config = json_object_get(root, "config");
	const json_t *subject = json_object_get(root, "subject");
	int r = 0;

	if (json_object_get(root, "fsLayers"))
		return add_schema1(m, root, err);
	if (json_is_object(config))
		r = add_ref(m, config, REF_BLOB, "config", err);
	if (r == 0)
		r = add_list(m, root, "layers", REF_BLOB, err);
	if (r == 0)
		r = add_list(m, root, "blobs", REF_BLOB, err);
	if (r == 0)
		r = add_list(m, root, "manifests", REF_CHILD, err);
	if (r == 0 && json_is_object(subject))
		r = add_ref(m, subject, REF_SUBJECT, "subject", err);
	return r;
}

/* The header's type, else what the body says, else what it looks like. */
static int find_type(
    struct manifest *m, const char *content_type, const json_t *root, struct err *err)
{
	const char *inside = text_of(root, "mediaType");
	const char *type = content_type;

	if (!type || !*type)
		type = inside;
	if (!*type && json_object_get(root, "fsLayers"))
		type = TYPE_DOCKER_SIGNED;
	if (!*type)
		type = json_object_get(root, "manifests") ? TYPE_OCI_INDEX
							  : TYPE_OCI_MANIFEST;
	/* Nothing that a browser would show: it is sent back with this type. */
	if (!set_type(m->type, type) || !str_starts(m->type, "application/"))
		return err_set(err, -EBADMSG, "its media type cannot be one");
	if (*inside && !str_eq(inside, m->type))
		return err_set(err, -EBADMSG,
		    "its mediaType \"%.200s\" is not the Content-Type \"%s\"", inside,
		    m->type);
	return 0;
}

/* What the referrers list shows: artifactType, else an image's config type. */
static bool find_artifact_type(struct manifest *m, const json_t *root)
{
	const char *type = text_of(root, "artifactType");

	if (!*type)
		type = text_of(json_object_get(root, "config"), "mediaType");
	return set_type(m->artifact_type, type);
}

/* Those that are texts: clients read the referrers list as one whole, and would fail on
 * any other. */
static int take_annotations(struct manifest *m, const json_t *all)
{
	_cleanup_(json_freep) json_t *texts = json_object();
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)all, key, v)
	{
		if (json_is_string(v) && json_object_set(texts, key, v) < 0)
			return -ENOMEM;
	}
	if (!json_object_size(texts))
		return texts ? 0 : -ENOMEM;
	m->annotations = json_dumps(texts, JSON_COMPACT);
	return m->annotations ? 0 : -ENOMEM;
}

static int parse_root(
    struct manifest *m, const char *content_type, const json_t *root, struct err *err)
{
	int r;

	if (!json_is_object(root))
		return err_set(err, -EBADMSG, "it is no JSON object");
	r = find_type(m, content_type, root, err);
	if (r == 0)
		r = check_version(m, root, err);
	if (r == 0)
		r = add_refs(m, root, err);
	if (r < 0)
		return r;
	if (!find_artifact_type(m, root))
		return err_set(err, -EBADMSG, "its artifact type cannot be one");
	return take_annotations(m, json_object_get(root, "annotations"));
}

int manifest_parse(struct manifest **ret, const char *content_type, const char *body,
    size_t n, struct err *err)
{
	_cleanup_(manifest_freep) struct manifest *m = calloc(1, sizeof(*m));
	_cleanup_(json_freep) json_t *root = NULL;
	struct err e = ERR_INIT;
	int r;

	if (!m)
		return -ENOMEM;
	r = json_load_limited(&root, NULL, body, n, 0, &e);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return err_set(
		    err, -EBADMSG, "it is no JSON: line %u: %s", e.line, e.text);
	r = parse_root(m, content_type, root, err);
	if (r < 0)
		return r;

	*ret = TAKE(m);
	return 0;
}
