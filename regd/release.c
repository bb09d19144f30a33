/* Verifying a release: see release.h. */
#include "regd/release.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "common/str.h"
#include "regd/layer.h"
#include "regd/manifest.h"
#include "regd/meta.h"
#include "regd/name.h"
#include "regd/overlay.h"
#include "regd/store.h"

#define REFERENCES "release-manifests/image-references"
#define PUBLISHED "quay.io/openshift/okd" /* where releases come from */

static const char ABSENT[] = "the blob is not in the repository";
static const char WRONG_SIZE[] = "the blob's file is of another size";
static const char WRONG_DIGEST[] = "the blob's file has another digest";

enum { REFERENCES_MAX = 8 * 1024 * 1024, MISSING_MAX = 1000 };

struct verify {
	struct db *db;
	struct store *store;
	const struct release_query *q;
	const char *version;
	json_t *missing;
	uint64_t images, present, blobs, bytes, faults;
};

/* One that is looked at: its name in the stream, where it comes from, and how it is
 * called in the repository, ":tag" or "@digest". */
struct image {
	const char *name, *from, *to;
};

static void json_freep(json_t **j)
{
	json_decref(*j);
}

static void body_freep(struct meta_manifest *m)
{
	free(m->body);
}

static int load_manifest(struct db *db, const struct release_query *q, const char *ref,
    struct meta_manifest *raw, struct manifest **ret, struct err *err)
{
	int r = meta_manifest_find(db, q->repository, ref, raw);

	if (r == -ENOENT)
		r = overlays_manifest(
		    q->overlays, OVERLAY_WORK, q->repository, ref, raw);
	if (r < 0)
		return r;
	return manifest_parse(ret, raw->type, raw->body, raw->size, err);
}

/* --- blobs ------------------------------------------------------------------------ */

/* A blob of our own: its descriptor, or -1 and why. */
static int open_own(struct db *db, struct store *store, const struct release_query *q,
    const struct oci_digest *d, struct store_part *ret, int64_t *checked,
    const char **why)
{
	struct meta_blob blob;
	int fd;

	*why = NULL;
	if (meta_blob_find(db, q->repository, d->text, &blob) < 0)
		*why = ABSENT;
	else if (blob.bad)
		*why = "the blob is known to be damaged";
	if (*why)
		return -1;
	*checked = blob.checked;
	ret->offset = 0;
	fd = store_blob_open(store, d, &ret->size);
	if (fd < 0)
		*why = "the blob's file is missing";
	else if (ret->size != (uint64_t)blob.size)
		*why = WRONG_SIZE;
	if (!*why)
		return fd;
	fd_close(fd);
	return -1;
}

/* The same from an overlay, without a reason. */
static int open_overlay(
    const struct release_query *q, const struct oci_digest *d, struct store_part *ret)
{
	struct overlay_blob o;

	if (overlays_blob(q->overlays, OVERLAY_WORK, q->repository, d, &o) < 0)
		return -1;
	*ret = (struct store_part){ o.offset, o.size };
	return o.fd;
}

static bool has_digest(
    int fd, const struct store_part *part, const struct oci_digest *d)
{
	struct oci_digest is = { .text = "" };

	return store_digest_part(fd, part, d->alg, &is) == 0 &&
	    str_eq(is.text, d->text);
}

/* Clients that push are to send it again: that is up to the caller. */
static int tell_damaged(
    const struct release_query *q, const struct oci_digest *d, int64_t checked)
{
	struct release_damages *l = q->damaged;
	struct release_damage *v;

	if (!l)
		return 0;
	v = reallocarray(l->v, l->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	l->v[l->n++] = (struct release_damage){ *d, checked };
	return 0;
}

/* Why the bytes are not what the manifest says, or NULL. */
static const char *bytes_fault(struct verify *v, const struct manifest_ref *ref, int fd,
    const struct store_part *part)
{
	if (ref->size >= 0 && part->size != (uint64_t)ref->size)
		return WRONG_SIZE;
	if (v->q->rehash && !has_digest(fd, part, &ref->digest))
		return WRONG_DIGEST;
	v->blobs++;
	v->bytes += part->size;
	return NULL;
}

/* Why a blob of the repository is not good, or NULL. */
static const char *blob_fault(struct verify *v, const struct manifest_ref *ref)
{
	const struct oci_digest *d = &ref->digest;
	_cleanup_(fd_closep) int own = -1, other = -1;
	const char *fault, *theirs;
	struct store_part part;
	int64_t checked = 0;

	own = open_own(v->db, v->store, v->q, d, &part, &checked, &fault);
	if (own >= 0)
		fault = bytes_fault(v, ref, own, &part);
	if (fault == WRONG_DIGEST && tell_damaged(v->q, d, checked) < 0)
		return fault;
	if (!fault)
		return NULL;
	other = open_overlay(v->q, d, &part);
	theirs = other >= 0 ? bytes_fault(v, ref, other, &part) : fault;
	return theirs ? fault : NULL;
}

/* --- one image -------------------------------------------------------------------- */

static json_t *repair_of(const struct release_query *q, const struct image *im)
{
	return json_sprintf("skopeo copy --all docker://%s docker://%s/%s%s", im->from,
	    q->registry, q->repository, im->to);
}

static int add_missing(struct verify *v, const struct image *im, const char *digest,
    const char *blob, const char *reason)
{
	json_t *entry;

	v->faults++;
	if (json_array_size(v->missing) >= MISSING_MAX)
		return 0;
	entry = json_pack("{s:s,s:s,s:s?,s:s,s:o}", "image", im->name, "digest", digest,
	    "blob", blob, "reason", reason, "repair", repair_of(v->q, im));
	return json_array_append_new(v->missing, entry) < 0 ? -ENOMEM : 0;
}

static int verify_image(
    struct verify *v, const struct image *im, const char *digest, int depth);

static int verify_refs(struct verify *v, const struct manifest *m,
    const struct image *im, const char *digest, int depth)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_refs; i++) {
		const struct manifest_ref *ref = &m->refs[i];
		const char *fault;

		if (ref->kind == REF_CHILD && depth < 4)
			r = verify_image(v, im, ref->digest.text, depth + 1);
		if (ref->kind != REF_BLOB)
			continue;
		fault = blob_fault(v, ref);
		if (fault)
			r = add_missing(v, im, digest, ref->digest.text, fault);
	}
	return r;
}

static int verify_image(
    struct verify *v, const struct image *im, const char *digest, int depth)
{
	_cleanup_(body_freep) struct meta_manifest raw = { .body = NULL };
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	int r;

	r = load_manifest(v->db, v->q, digest, &raw, &m, NULL);
	if (r == -ENOENT || r == -EBADMSG)
		return add_missing(v, im, digest, NULL,
		    r == -ENOENT ? "the image is not in the repository"
				 : "the manifest cannot be read");
	return r < 0 ? r : verify_refs(v, m, im, digest, depth);
}

/* Whether it is made of what references are made of: commands are built with it, for
 * people to paste. */
static bool is_plain(const char *s)
{
	return !s[strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789._-/:@+")];
}

/* One tag of the image stream: {"name":..., "from":{"name":"host/repo@digest"}}. */
static int verify_tag(struct verify *v, const json_t *tag)
{
	const char *name = json_string_value(json_object_get(tag, "name"));
	const char *from =
	    json_string_value(json_object_get(json_object_get(tag, "from"), "name"));
	const char *at = from ? strchr(from, '@') : NULL;
	_cleanup_(str_deinit) struct str to = STR_INIT;
	uint64_t before = v->faults;
	struct image im = { name, from, NULL };
	struct oci_digest d;
	int r;

	if (!name || !at || oci_digest_parse(&d, at + 1) < 0)
		return 0; /* nothing that could be mirrored */
	if (!is_plain(name) || !is_plain(from))
		return -EBADMSG;
	str_addf(&to, ":%s-%s", v->version, name);
	im.to = str_get(&to);
	v->images++;
	r = verify_image(v, &im, d.text, 0);
	if (v->faults == before)
		v->present++;
	return r;
}

/* --- the release ------------------------------------------------------------------- */

/* The release image itself, which the stream does not name. */
struct own_image {
	struct image image;
	char from[sizeof(PUBLISHED) + DIGEST_TEXT_MAX + 1];
	char to[DIGEST_TEXT_MAX + TAG_MAX_LEN + 2];
};

static void own_image(
    struct own_image *own, const struct release_query *q, const char *digest)
{
	snprintf(own->from, sizeof(own->from), PUBLISHED "@%s", digest);
	snprintf(own->to, sizeof(own->to), "%c%s",
	    name_looks_like_digest(q->reference) ? '@' : ':', q->reference);
	own->image = (struct image){ "release", own->from, own->to };
}

/* A layer of the release image is not good: a sentence that names it, and what repairs
 * it where the caller knows under which name. */
static int layer_bad(const struct release_query *q, const char *release,
    const struct oci_digest *d, const char *why, struct err *err)
{
	_cleanup_(json_freep) json_t *repair = NULL;
	struct own_image own = { .from = "" };

	own_image(&own, q, release);
	if (q->registry)
		repair = repair_of(q, &own.image);
	return err_set(err, why == ABSENT ? -ENOENT : -EUCLEAN,
	    "layer %s of the release image itself: %s%s%s", d->text, why,
	    repair ? "; this repairs it: " : "",
	    repair ? json_string_value(repair) : "");
}

/* Looks for image-references in a layer: 1 found, 0 not there, or -errno and why, where
 * why is NULL for a layer that is whole and cannot be unpacked. */
static int search_layer(struct db *db, struct store *store,
    const struct release_query *q, const struct manifest_ref *ref, struct str *out,
    const char **why)
{
	_cleanup_(fd_closep) int fd = -1;
	struct store_part part;
	int64_t checked = 0;
	bool own;
	int r;

	fd = open_own(db, store, q, &ref->digest, &part, &checked, why);
	own = fd >= 0;
	if (!own)
		fd = open_overlay(q, &ref->digest, &part);
	if (fd < 0)
		return -EUCLEAN;
	*why = NULL;
	if (ref->size >= 0 && part.size != (uint64_t)ref->size) {
		*why = WRONG_SIZE;
		return -EUCLEAN;
	}
	str_reset(out);
	r = layer_read_file(fd, &part, REFERENCES, REFERENCES_MAX, out);
	if (r == -ENOMEM)
		return r;
	/* Whatever was found counts only in a layer that is what it says. */
	if (has_digest(fd, &part, &ref->digest))
		return r == -ENOENT ? 0 : r < 0 ? r : 1;
	*why = WRONG_DIGEST;
	r = own ? tell_damaged(q, &ref->digest, checked) : 0;
	return r < 0 ? r : -EUCLEAN;
}

static const char *unreadable(int r)
{
	return r == -ENOTSUP ? "it is packed with zstd, which is not read here"
	    : r == -EFBIG    ? "its " REFERENCES " is too large"
			     : "it cannot be unpacked";
}

/* image-references out of the topmost layer that has it. */
static int find_references(struct db *db, struct store *store,
    const struct release_query *q, const struct manifest *m, const char *release,
    struct str *out, struct err *err)
{
	const struct oci_digest *odd = NULL;
	const char *why;
	int fault = 0;

	for (size_t i = m->n_refs; i-- > 0;) {
		const struct manifest_ref *ref = &m->refs[i];
		int r;

		if (ref->kind != REF_BLOB)
			continue;
		r = search_layer(db, store, q, ref, out, &why);
		if (r > 0)
			return 0;
		if (r == -ENOMEM)
			return err_set(err, r, "out of memory");
		if (r < 0 && why)
			return layer_bad(q, release, &ref->digest, why, err);
		/* The first one may be the config, which is no layer. */
		if (r < 0 && (i > 0 || r != -EBADMSG)) {
			odd = &ref->digest;
			fault = r;
		}
	}
	if (odd)
		return layer_bad(q, release, odd, unreadable(fault), err);
	return err_set(err, -EBADMSG,
	    "no layer of it holds " REFERENCES ": that is no release image");
}

static int verify_stream(struct verify *v, const json_t *stream, struct err *err)
{
	const json_t *tags = json_object_get(json_object_get(stream, "spec"), "tags");
	const char *version = json_string_value(
	    json_object_get(json_object_get(stream, "metadata"), "name"));
	const json_t *tag;
	size_t i;

	if (!json_is_array(tags) || !version || !is_plain(version))
		return err_set(
		    err, -EBADMSG, "its " REFERENCES " is no list of images");
	v->version = version;
	json_array_foreach(tags, i, tag)
	{
		int r = verify_tag(v, tag);

		if (r == -EBADMSG)
			return err_set(
			    err, r, "its " REFERENCES " names what cannot be an image");
		if (r < 0)
			return err_set(err, r, "cannot look it up: %s", strerror(-r));
	}
	return 0;
}

/* Loads the release image and the stream in it. */
static int load_release(json_t **ret, struct meta_manifest *raw, struct manifest **m,
    struct db *db, struct store *store, const struct release_query *q, struct err *err)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = load_manifest(db, q, q->reference, raw, m, err);

	if (r == -ENOENT)
		return err_set(
		    err, r, "there is no %s:%s here", q->repository, q->reference);
	if (r == 0)
		r = find_references(db, store, q, *m, raw->digest, &text, err);
	if (r < 0)
		return r;
	*ret = json_loadb(str_get(&text), text.len, 0, NULL);
	return *ret ? 0
		    : err_set(err, -EBADMSG, "its " REFERENCES " is no list of images");
}

int release_stream(json_t **ret, struct oci_digest *own, struct db *db,
    struct store *store, const struct release_query *q, struct err *err)
{
	_cleanup_(body_freep) struct meta_manifest raw = { .body = NULL };
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_(json_freep) json_t *stream = NULL;
	int r = load_release(&stream, &raw, &m, db, store, q, err);

	if (r == 0)
		r = oci_digest_parse(own, raw.digest);
	if (r < 0)
		return r;
	*ret = TAKE(stream);
	return 0;
}

int release_verify(json_t **ret, struct db *db, struct store *store,
    const struct release_query *q, struct err *err)
{
	struct verify v = { .db = db, .store = store, .q = q };
	_cleanup_(body_freep) struct meta_manifest raw = { .body = NULL };
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_(json_freep) json_t *missing = json_array();
	_cleanup_(json_freep) json_t *stream = NULL;
	struct own_image own = { .from = "" };
	int r;

	v.missing = missing;
	r = load_release(&stream, &raw, &m, db, store, q, err);
	if (r < 0)
		return r;
	own_image(&own, q, raw.digest);
	r = verify_refs(&v, m, &own.image, raw.digest, 0);
	if (r < 0)
		return err_set(err, r, "cannot look it up: %s", strerror(-r));
	r = verify_stream(&v, stream, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:b,s:O}", "release", raw.digest,
	    "version", v.version, "images", (json_int_t)v.images, "present",
	    (json_int_t)v.present, "blobs", (json_int_t)v.blobs, "bytes",
	    (json_int_t)v.bytes, "complete", v.faults == 0, "missing", missing);
	return *ret ? 0 : -ENOMEM;
}
