/*
 * Pruning: see prune.h.  A release is a tag T whose image holds image-references.  To
 * look into every image's layers would take minutes, so only such tags are looked at that
 * have others named T-something beside them, as `oc adm release mirror` makes them.
 *
 * What cosign laid beside an image (its signature, attestation or bill of materials, under
 * a tag made of the image's digest) goes with it, and stays with it where it is spared.
 */
#include "regd/prune.h"

#include <errno.h>
#include <string.h>

#include "common/str.h"
#include "regd/digest_set.h"
#include "regd/manifest.h"
#include "regd/meta.h"

struct tag {
	char *name;
	struct oci_digest digest;
	bool beside; /* another image, which subject is */
	struct oci_digest subject;
};

/* When a manifest was pushed, at the time of the look. */
struct seen {
	struct oci_digest digest;
	int64_t pushed;
};

struct prune {
	struct db *db;
	struct store *store;
	struct release_query q;
	char repository[NAME_MAX_LEN + 1];
	struct tag *tags; /* all of the repository, in byte order */
	size_t n_tags, tags_cap;
	struct digest_set keep, drop;
	struct seen *seen; /* of what is to go, in order of digest */
	size_t n_seen;
	json_t *kept, *dropped; /* tags of releases */
	json_t *unread;         /* tags that may be releases, and could not be read */
	uint64_t n_tags_gone, blobs, bytes;
	int error; /* of a callback */
};

struct prune *prune_free(struct prune *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n_tags; i++)
		free(p->tags[i].name);
	free(p->tags);
	free(p->seen);
	digest_set_deinit(&p->keep);
	digest_set_deinit(&p->drop);
	json_decref(p->kept);
	json_decref(p->dropped);
	json_decref(p->unread);
	free(p);
	return NULL;
}

/* --- what is there ---------------------------------------------------------------- */

/* "sha256-<hex>.sig" and the like, as cosign names them. */
static bool name_subject(const char *name, struct oci_digest *ret)
{
	static const char *const kinds[] = { ".sig", ".att", ".sbom" };
	const char *dot = strchr(name, '.');
	char text[DIGEST_TEXT_MAX];
	char *dash;

	if (!dot || (size_t)(dot - name) >= sizeof(text))
		return false;
	memcpy(text, name, (size_t)(dot - name));
	text[dot - name] = '\0';
	dash = strchr(text, '-');
	if (!dash)
		return false;
	*dash = ':';
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_eq(dot, kinds[i]))
			return oci_digest_parse(ret, text) == 0;
	return false;
}

static bool add_tag(void *arg, const struct meta_tag_row *row)
{
	struct prune *p = arg;
	struct tag *t;

	if (p->n_tags == p->tags_cap) {
		size_t cap = p->tags_cap ? p->tags_cap * 2 : 128;

		t = realloc(p->tags, cap * sizeof(*t));
		if (!t) {
			p->error = -ENOMEM;
			return false;
		}
		p->tags = t;
		p->tags_cap = cap;
	}
	t = &p->tags[p->n_tags];
	if (oci_digest_parse(&t->digest, row->digest) < 0)
		return true;
	t->name = strdup(row->name);
	if (!t->name) {
		p->error = -ENOMEM;
		return false;
	}
	t->beside = name_subject(t->name, &t->subject);
	p->n_tags++;
	return true;
}

/* Whether name is T or T-something. */
static bool belongs(const char *name, const char *tag)
{
	size_t n = strlen(tag);

	return strncmp(name, tag, n) == 0 && (name[n] == '\0' || name[n] == '-');
}

/* Whether there are tags beside T that are named after it. */
static bool may_be_release(const struct prune *p, const char *tag)
{
	for (size_t i = 0; i < p->n_tags; i++)
		if (belongs(p->tags[i].name, tag) && !str_eq(p->tags[i].name, tag))
			return true;
	return false;
}

/* --- what belongs to a release ---------------------------------------------------- */

static int add_children(struct prune *p, struct digest_set *to, const char *digest)
{
	struct meta_manifest raw = { .body = NULL };
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	int r;

	r = meta_manifest_find(p->db, p->repository, digest, &raw);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = manifest_parse(&m, raw.type, raw.body, raw.size, NULL);
	free(raw.body);
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	for (size_t i = 0; r == 0 && i < m->n_refs; i++)
		if (m->refs[i].kind == REF_CHILD)
			r = digest_set_add(to, &m->refs[i].digest);
	return r;
}

/* An image of a release, and what an index of it names. */
static int add_image(struct prune *p, struct digest_set *to, const struct oci_digest *d)
{
	int r = digest_set_add(to, d);

	return r < 0 ? r : add_children(p, to, d->text);
}

/* The release image and all that it names. */
static int add_release(
    struct prune *p, struct digest_set *to, const char *reference, struct err *err)
{
	struct oci_digest own, d;
	json_t *stream;
	const json_t *tag;
	size_t i;
	int r;

	p->q.reference = reference;
	r = release_stream(&stream, &own, p->db, p->store, &p->q, err);
	if (r < 0)
		return r;
	r = add_image(p, to, &own);
	json_array_foreach(
	    json_object_get(json_object_get(stream, "spec"), "tags"), i, tag)
	{
		const char *from = json_string_value(
		    json_object_get(json_object_get(tag, "from"), "name"));
		const char *at = from ? strchr(from, '@') : NULL;

		if (r == 0 && at && oci_digest_parse(&d, at + 1) == 0)
			r = add_image(p, to, &d);
	}
	json_decref(stream);
	return r < 0 ? err_set(err, r, "cannot look it up: %s", strerror(-r)) : 0;
}

static bool is_kept(const char *tag, const char *const *keep, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(tag, keep[i]))
			return true;
	return false;
}

static int add_dropped(
    struct prune *p, const char *const *keep, size_t n, struct err *err)
{
	for (size_t i = 0; i < p->n_tags; i++) {
		const char *tag = p->tags[i].name;
		struct err e = ERR_INIT;
		int r;

		if (is_kept(tag, keep, n) || !may_be_release(p, tag))
			continue;
		r = add_release(p, &p->drop, tag, &e);
		if (r == -EBADMSG)
			continue; /* no release */
		if (r == -ENOENT || r == -EUCLEAN)
			json_array_append_new(p->unread, json_string(tag));
		else if (r < 0)
			return err_set(err, r, "%s", e.text);
		else
			json_array_append_new(p->dropped, json_string(tag));
	}
	return 0;
}

/* --- what stays after all --------------------------------------------------------- */

static bool belongs_to_one(const char *name, const json_t *tags)
{
	const json_t *tag;
	size_t i;

	json_array_foreach(
	    tags, i, tag) if (belongs(name, json_string_value(tag))) return true;
	return false;
}

/*
 * Every tag that belongs to no dropped release holds its manifest; so does one that
 * belongs to a release that cannot be read, since nobody knows what that names.
 */
static int keep_tagged(struct prune *p)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_tags; i++) {
		const struct tag *t = &p->tags[i];

		if (!belongs_to_one(t->name, p->dropped) ||
		    belongs_to_one(t->name, p->kept) ||
		    belongs_to_one(t->name, p->unread))
			r = add_image(p, &p->keep, &t->digest);
	}
	return r;
}

/* What is to go and is not to stay, as far as it is there. */
static int subtract(struct prune *p)
{
	size_t n = 0;

	digest_set_sort(&p->keep);
	digest_set_sort(&p->drop);
	for (size_t i = 0; i < p->drop.n; i++) {
		const struct oci_digest *d = &p->drop.items[i];
		int64_t pushed;
		int r;

		if (digest_set_has(&p->keep, d->text))
			continue;
		r = meta_manifest_pushed(p->db, p->repository, d->text, &pushed);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0)
			p->drop.items[n++] = *d;
	}
	p->drop.n = n;
	return 0;
}

/* When all that is to go was pushed. */
static int note_pushed(struct prune *p)
{
	p->seen = calloc(p->drop.n + 1, sizeof(*p->seen));
	if (!p->seen)
		return -ENOMEM;
	for (size_t i = 0; i < p->drop.n; i++) {
		struct seen *s = &p->seen[p->n_seen++];
		int r;

		s->digest = p->drop.items[i];
		r = meta_manifest_pushed(
		    p->db, p->repository, s->digest.text, &s->pushed);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- what lies beside it ---------------------------------------------------------- */

/* Whether the tag lies beside an image that is to go. */
static bool is_beside_dropped(const struct prune *p, const struct tag *t)
{
	return t->beside && digest_set_has(&p->drop, t->subject.text);
}

/* Whether the manifest has a tag that says anything else. */
static bool is_tagged_otherwise(const struct prune *p, const char *digest)
{
	for (size_t i = 0; i < p->n_tags; i++)
		if (str_eq(p->tags[i].digest.text, digest) &&
		    !is_beside_dropped(p, &p->tags[i]))
			return true;
	return false;
}

/* What lies beside what is to go, and beside that: signatures can be signed. */
static int add_beside(struct prune *p)
{
	size_t before;

	do {
		struct digest_set more = DIGEST_SET_INIT;
		int r = 0;

		before = p->drop.n;
		for (size_t i = 0; r == 0 && i < p->n_tags; i++) {
			const struct tag *t = &p->tags[i];

			if (is_beside_dropped(p, t) &&
			    !digest_set_has(&p->drop, t->digest.text) &&
			    !is_tagged_otherwise(p, t->digest.text))
				r = digest_set_add(&more, &t->digest);
		}
		for (size_t i = 0; r == 0 && i < more.n; i++)
			r = digest_set_add(&p->drop, &more.items[i]);
		digest_set_deinit(&more);
		digest_set_sort(&p->drop);
		if (r < 0)
			return r;
	} while (p->drop.n > before);
	return 0;
}

/* Whether the manifest lies beside an image that stays. */
static bool is_beside_kept(const struct prune *p, const char *digest)
{
	for (size_t i = 0; i < p->n_tags; i++) {
		const struct tag *t = &p->tags[i];

		if (t->beside && str_eq(t->digest.text, digest) &&
		    !digest_set_has(&p->drop, t->subject.text))
			return true;
	}
	return false;
}

/* --- what that frees -------------------------------------------------------------- */

static bool has_other_use(void *arg, const char *repository, const char *manifest)
{
	struct prune *p = arg;

	return !str_eq(repository, p->repository) ||
	    !digest_set_has(&p->drop, manifest);
}

static bool is_in_index(void *arg, const char *repository, const char *manifest)
{
	struct prune *p = arg;

	return str_eq(repository, p->repository) && !digest_set_has(&p->drop, manifest);
}

/* Takes out of what is to go what late tags point at, what an index that stays names,
 * and what lies beside an image that stays: until there is no more of it. */
static int spare(struct prune *p, const struct digest_set *late)
{
	for (size_t i = 0; i < p->drop.n;) {
		const char *d = p->drop.items[i].text;
		int r = digest_set_has(late, d) || is_beside_kept(p, d)
		    ? 1
		    : meta_manifest_used(p->db, d, is_in_index, p);

		if (r < 0)
			return r;
		if (r == 0) {
			i++;
			continue;
		}
		p->drop.n--;
		memmove(&p->drop.items[i], &p->drop.items[i + 1],
		    (p->drop.n - i) * sizeof(p->drop.items[0]));
		i = 0; /* it may have been an index of one that was passed */
	}
	return 0;
}

static int collect_blobs(struct prune *p, struct digest_set *blobs, const char *digest)
{
	struct meta_manifest raw = { .body = NULL };
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	int r;

	r = meta_manifest_find(p->db, p->repository, digest, &raw);
	if (r == 0)
		r = manifest_parse(&m, raw.type, raw.body, raw.size, NULL);
	free(raw.body);
	for (size_t i = 0; r == 0 && i < m->n_refs; i++)
		if (m->refs[i].kind == REF_BLOB)
			r = digest_set_add(blobs, &m->refs[i].digest);
	return r == -EBADMSG || r == -ENOENT ? 0 : r;
}

static int count_freed(struct prune *p)
{
	struct digest_set blobs = DIGEST_SET_INIT;
	struct meta_blob blob;
	int r = 0;

	p->n_tags_gone = p->blobs = p->bytes = 0;
	for (size_t i = 0; i < p->n_tags; i++)
		p->n_tags_gone += digest_set_has(&p->drop, p->tags[i].digest.text);
	for (size_t i = 0; r == 0 && i < p->drop.n; i++)
		r = collect_blobs(p, &blobs, p->drop.items[i].text);
	digest_set_sort(&blobs);
	for (size_t i = 0; r == 0 && i < blobs.n; i++) {
		const char *d = blobs.items[i].text;

		r = meta_blob_used(p->db, d, has_other_use, p);
		if (r == 0 && meta_blob_find(p->db, p->repository, d, &blob) == 0) {
			p->blobs++;
			p->bytes += (uint64_t)blob.size;
		}
		r = MIN(r, 0);
	}
	digest_set_deinit(&blobs);
	return r;
}

/* --- life ------------------------------------------------------------------------- */

static int find(struct prune *p, const char *const *keep, size_t n, struct err *err)
{
	static const struct digest_set none = DIGEST_SET_INIT;
	int r = meta_tag_rows(p->db, p->repository, "", add_tag, p);

	if (r == 0)
		r = p->error;
	if (r < 0)
		return err_set(err, r, "cannot list the tags: %s", strerror(-r));
	for (size_t i = 0; i < n; i++) {
		r = add_release(p, &p->keep, keep[i], err);
		if (r < 0)
			return r;
		json_array_append_new(p->kept, json_string(keep[i]));
	}
	r = add_dropped(p, keep, n, err);
	if (r < 0)
		return r;
	r = keep_tagged(p);
	if (r == 0)
		r = subtract(p);
	if (r == 0)
		r = spare(p, &none);
	if (r == 0)
		r = add_beside(p);
	if (r == 0)
		r = spare(p, &none);
	if (r == 0)
		r = note_pushed(p);
	if (r == 0)
		r = count_freed(p);
	return r < 0 ? err_set(err, r, "cannot look it up: %s", strerror(-r)) : 0;
}

int prune_find(struct prune **ret, struct db *db, struct store *store,
    const struct release_query *q, const char *const *keep, size_t n, struct err *err)
{
	_cleanup_(prune_freep) struct prune *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->db = db;
	p->store = store;
	p->q = *q;
	strncat(p->repository, q->repository, sizeof(p->repository) - 1);
	p->q.repository = p->repository;
	p->kept = json_array();
	p->dropped = json_array();
	p->unread = json_array();
	r = find(p, keep, n, err);
	if (r < 0)
		return r;
	*ret = TAKE(p);
	return 0;
}

struct late {
	struct prune *prune;
	struct digest_set digests;
	int error;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tag *)a)->name, ((const struct tag *)b)->name);
}

/* A tag that was set after the look. */
static bool add_late(void *arg, const struct meta_tag_row *row)
{
	struct late *l = arg;
	const struct prune *p = l->prune;
	const struct tag key = { .name = (char *)row->name };
	const struct tag *t =
	    p->n_tags ? bsearch(&key, p->tags, p->n_tags, sizeof(key), by_name) : NULL;
	struct oci_digest d;

	if ((t && str_eq(t->digest.text, row->digest)) ||
	    oci_digest_parse(&d, row->digest) < 0)
		return true;
	l->error = digest_set_add(&l->digests, &d);
	return l->error == 0;
}

static int by_digest(const void *key, const void *item)
{
	return strcmp(key, ((const struct seen *)item)->digest.text);
}

/* What was pushed again, if only by its digest: somebody was told that it is here. */
static int add_pushed(struct prune *p, struct digest_set *late)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->drop.n; i++) {
		const struct oci_digest *d = &p->drop.items[i];
		const struct seen *before =
		    bsearch(d->text, p->seen, p->n_seen, sizeof(*before), by_digest);
		int64_t pushed;

		r = meta_manifest_pushed(p->db, p->repository, d->text, &pushed);
		if (r == -ENOENT)
			r = 0;
		else if (r == 0 && (!before || pushed != before->pushed))
			r = digest_set_add(late, d);
	}
	return r;
}

/* What was pushed, tagged, or named by an index, since the look stays. */
static int look_again(struct prune *p)
{
	struct late l = { .prune = p, .digests = DIGEST_SET_INIT };
	size_t n = p->drop.n;
	int r = meta_tag_rows(p->db, p->repository, "", add_late, &l);

	if (r == 0)
		r = l.error;
	if (r == 0)
		r = add_pushed(p, &l.digests);
	digest_set_sort(&l.digests);
	if (r == 0)
		r = spare(p, &l.digests);
	digest_set_deinit(&l.digests);
	return r == 0 && p->drop.n != n ? count_freed(p) : r;
}

int prune_apply(struct prune *p, struct db *db, int64_t now)
{
	int r;

	p->db = db;
	r = look_again(p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->drop.n; i++) {
		r = meta_manifest_delete(db, p->repository, p->drop.items[i].text, now);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The tags that go and lie beside an image. */
static json_t *tags_beside(const struct prune *p)
{
	json_t *tags = json_array();

	for (size_t i = 0; i < p->n_tags; i++)
		if (p->tags[i].beside &&
		    digest_set_has(&p->drop, p->tags[i].digest.text))
			json_array_append_new(tags, json_string(p->tags[i].name));
	return tags;
}

json_t *prune_result(const struct prune *p)
{
	return json_pack("{s:O,s:O,s:O,s:o,s:I,s:I,s:I,s:I}", "keep", p->kept, "drop",
	    p->dropped, "unreadable", p->unread, "beside", tags_beside(p), "manifests",
	    (json_int_t)p->drop.n, "tags", (json_int_t)p->n_tags_gone, "blobs",
	    (json_int_t)p->blobs, "bytes", (json_int_t)p->bytes);
}
