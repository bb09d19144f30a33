/*
 * Ignition configs of spec 2 and 3: see ignition.h.
 *
 * Ignition decodes JSON as Go does: keys in any case, of duplicate keys the last, unknown
 * ones passed over with a warning, and nothing but blanks behind the value.
 */
#include "ignd/ignition.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/http.h"
#include "common/json.h"
#include "ignd/place.h"
#include "ignd/resource.h"

/* The newest minor version of each major one that is known to exist. */
static const unsigned newest[] = { [2] = 4, [3] = 6 };

/* So many unknown keys are named. */
#define UNKNOWN_MAX 10

/* All that parsing hands down. */
struct parse {
	struct ignition *ign;
	const char *name;
	const char *text;
	size_t n;
	const json_t *root;
	struct err *e;
	size_t unpacked; /* bytes of contents so far */
};

/* What is wrong with an object, or with the member key of it; either may be NULL. */
static int fail(struct parse *p, const json_t *obj, const char *key, int r,
    const char *fmt, ...) _printf_(5, 6);

static int fail(
    struct parse *p, const json_t *obj, const char *key, int r, const char *fmt, ...)
{
	char text[sizeof(p->e->text)];
	struct place at = { 0 };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (obj && p->e)
		at = place_find(p->root, p->text, p->n, obj, key);
	return err_at(p->e, r, p->name, at.line, at.column, "%s", text);
}

static int no_memory(struct parse *p)
{
	return fail(p, NULL, NULL, -ENOMEM, "out of memory");
}

/* A text of the config as a sentence shows it. */
static const char *show(const char *s, char buf[96])
{
	size_t i = 0;

	for (; i < 90 && s[i]; i++)
		buf[i] = isprint((unsigned char)s[i]) ? s[i] : '?';
	memcpy(buf + i, s[i] ? "..." : "", s[i] ? 4 : 1);
	return buf;
}
#define show_str(s) show((s), (char[96]){ "" })

/* --- looking up --------------------------------------------------------- */

/* The member of that name; where there is none, one of another case. */
static json_t *member(const json_t *obj, const char *key)
{
	json_t *v = json_object_get(obj, key), *it;
	const char *k;

	if (v || !json_is_object(obj))
		return json_is_null(v) ? NULL : v;
	json_object_foreach((json_t *)obj, k, it)
	{
		if (strcasecmp(k, key) == 0)
			return json_is_null(it) ? NULL : it;
	}
	return NULL;
}

static const char *text_of(const json_t *obj, const char *key)
{
	return json_string_value(member(obj, key));
}

/* A member that must be an object (an array) where it is there. */
static int want(
    struct parse *p, const json_t *obj, const char *key, json_type type, json_t **ret)
{
	*ret = member(obj, key);
	if (*ret && json_typeof(*ret) != type)
		return fail(p, obj, key, -EINVAL, "%s must be %s", key,
		    type == JSON_OBJECT ? "an object" : "a list");
	return 0;
}

/* --- contents ----------------------------------------------------------- */

/* Unpacks one resource and looks at it. */
static int read_bytes(struct parse *p, const char *where, const json_t *res,
    const char *source, struct str *bytes)
{
	_cleanup_(str_deinit) struct str raw = STR_INIT;
	const char *packed = text_of(res, "compression");
	bool gzip = packed && str_eq(packed, "gzip");
	struct err e = ERR_INIT;
	int r;

	if (packed && *packed && !gzip)
		return fail(p, res, "compression", -EINVAL,
		    "%s: compression must be gzip or nothing, not %s", show_str(where),
		    show_str(packed));
	r = resource_decode(source, strlen(source), gzip ? &raw : bytes, &e);
	if (r == 0 && gzip)
		r = resource_gunzip(
		    raw.s, raw.len, RESOURCE_MAX - p->unpacked, bytes, &e);
	p->unpacked += bytes->len;
	if (r == 0 && p->unpacked > RESOURCE_MAX)
		r = err_set(&e, -EFBIG, "all contents together are too much");
	return r < 0 ? fail(p, res, "source", r, "%s: %s", show_str(where), e.text) : 0;
}

static bool is_remote(const char *source)
{
	static const char *const schemes[] = { "http://", "https://", "tftp://",
		"s3://", "gs://", "arn:", "oem://" };

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strncasecmp(source, schemes[i], strlen(schemes[i])) == 0)
			return true;
	return false;
}

/* A bundle that the user brought along may hold what expired long ago. */
static bool counts(const char *where)
{
	return !strstr(where, "user-ca-bundle") &&
	    !str_starts(where, "/etc/pki/ca-trust/");
}

/* An object with source, compression and verification. */
static int check_resource(struct parse *p, const char *where, const json_t *res)
{
	_cleanup_(str_deinit) struct str bytes = STR_INIT;
	const char *source = text_of(res, "source"), *hash;
	const json_t *verification;
	struct err e = ERR_INIT;
	int r;

	if (!source || !*source)
		return 0;
	if (!resource_is_data(source)) {
		if (is_remote(source))
			return 0;
		return fail(p, res, "source", -EINVAL, "%s: no node can fetch from %s",
		    show_str(where), show_str(source));
	}
	r = read_bytes(p, where, res, source, &bytes);
	if (r < 0)
		return r;
	verification = member(res, "verification");
	hash = text_of(verification, "hash");
	r = hash ? resource_verify(hash, str_get(&bytes), bytes.len, &e) : 0;
	if (r < 0)
		return fail(
		    p, verification, "hash", r, "%s: %s", show_str(where), e.text);
	if (counts(where) &&
	    certclock_scan(&p->ign->certs, where, str_get(&bytes), bytes.len) < 0)
		return no_memory(p);
	return 0;
}

/* The resources of a list. */
static int check_resources(
    struct parse *p, const char *where, const json_t *obj, const char *key)
{
	json_t *list, *it;
	size_t i;
	int r = want(p, obj, key, JSON_ARRAY, &list);

	json_array_foreach(list, i, it)
	{
		if (r == 0)
			r = check_resource(p, where, it);
	}
	return r;
}

/* --- storage ------------------------------------------------------------ */

struct path {
	const char *path;
	const json_t *entry;
	size_t i;
};

struct paths {
	struct path *v;
	size_t n;
};

/* By path, and those of one path in the file's order. */
static int compare_paths(const void *a, const void *b)
{
	const struct path *x = a, *y = b;
	int r = strcmp(x->path, y->path);

	return r ? r : (x->i > y->i) - (x->i < y->i);
}

/* What Ignition calls the same file: the path, in spec 2 within a filesystem. */
static int path_of(
    struct parse *p, const json_t *entry, const char *kind, size_t i, const char **ret)
{
	const char *path = text_of(entry, "path");

	if (!path || !*path)
		return fail(
		    p, entry, NULL, -EINVAL, "storage.%s[%zu] has no path", kind, i);
	if (path[0] != '/')
		return fail(p, entry, "path", -EINVAL,
		    "storage.%s[%zu]: the path %s is not absolute", kind, i,
		    show_str(path));
	*ret = path;
	return 0;
}

static int check_paths(
    struct parse *p, const json_t *list, const char *kind, struct paths *paths)
{
	json_t *it;
	size_t i;
	int r;

	json_array_foreach(list, i, it)
	{
		struct path *path = &paths->v[paths->n];

		*path = (struct path){ .entry = it, .i = i };
		r = path_of(p, it, kind, i, &path->path);
		if (r < 0)
			return r;
		/* In spec 2 the same path may be in several file systems. */
		if (p->ign->major == 3 || !text_of(it, "filesystem") ||
		    str_eq(text_of(it, "filesystem"), "root"))
			paths->n++;
	}
	qsort(paths->v, paths->n, sizeof(*paths->v), compare_paths);
	for (i = 1; i < paths->n; i++)
		if (str_eq(paths->v[i - 1].path, paths->v[i].path))
			return fail(p, paths->v[i].entry, "path", -EINVAL,
			    "storage.%s: %s is there twice", kind,
			    show_str(paths->v[i].path));
	return 0;
}

static int check_nodes(struct parse *p, const json_t *storage, const char *kind)
{
	struct paths paths = { 0 };
	json_t *list;
	int r = want(p, storage, kind, JSON_ARRAY, &list);

	if (r < 0 || !list)
		return r;
	paths.v = calloc(json_array_size(list) + 1, sizeof(*paths.v));
	if (!paths.v)
		return no_memory(p);
	r = check_paths(p, list, kind, &paths);
	free(paths.v);
	return r;
}

static int check_files(struct parse *p, const json_t *storage)
{
	json_t *list = member(storage, "files"), *it, *contents;
	size_t i;
	int r;

	json_array_foreach(list, i, it)
	{
		const char *path = text_of(it, "path");

		r = want(p, it, "contents", JSON_OBJECT, &contents);
		if (r == 0 && contents)
			r = check_resource(p, path, contents);
		/* In spec 2 append is a flag. */
		if (r == 0 && p->ign->major == 3)
			r = check_resources(p, path, it, "append");
		if (r < 0)
			return r;
	}
	p->ign->n_files = json_array_size(list);
	return 0;
}

static int check_storage(struct parse *p, const json_t *root)
{
	static const char *const kinds[] = { "files", "directories", "links" };
	json_t *storage;
	int r = want(p, root, "storage", JSON_OBJECT, &storage);

	for (size_t i = 0; r == 0 && storage && i < ARRAY_SIZE(kinds); i++)
		r = check_nodes(p, storage, kinds[i]);
	return r < 0 || !storage ? r : check_files(p, storage);
}

/* --- the rest ----------------------------------------------------------- */

static int check_units(struct parse *p, const json_t *root)
{
	json_t *systemd, *units, *it;
	size_t i;
	int r = want(p, root, "systemd", JSON_OBJECT, &systemd);

	if (r == 0)
		r = want(p, systemd, "units", JSON_ARRAY, &units);
	if (r < 0)
		return r;
	json_array_foreach(units, i, it)
	{
		if (!text_of(it, "name"))
			return fail(
			    p, it, NULL, -EINVAL, "systemd.units[%zu] has no name", i);
	}
	return 0;
}

static int check_ignition(struct parse *p, const json_t *section)
{
	const json_t *config = member(section, "config");
	const json_t *tls = member(member(section, "security"), "tls");
	int r = check_resources(p, "ignition.config.merge", config, "merge");

	if (r == 0)
		r = check_resources(p, "ignition.config.append", config, "append");
	if (r == 0 && member(config, "replace"))
		r = check_resource(
		    p, "ignition.config.replace", member(config, "replace"));
	if (r == 0)
		r = check_resources(
		    p, "ignition.security.tls", tls, "certificateAuthorities");
	return r;
}

static bool is_known(const char *key, const char *const *known)
{
	for (; *known; known++)
		if (strcasecmp(key, *known) == 0)
			return true;
	return false;
}

static void check_keys(struct parse *p, const json_t *root)
{
	static const char *const known[] = { "ignition", "storage", "systemd", "passwd",
		"networkd", "kernelArguments", NULL };
	struct str *out = &p->ign->warnings;
	unsigned unknown = 0;
	const char *k, *near;
	struct place at;
	json_t *v;

	json_object_foreach((json_t *)root, k, v)
	{
		if (is_known(k, known))
			continue;
		at = place_find(root, p->text, p->n, root, k);
		if (unknown++ == UNKNOWN_MAX) {
			str_addf(out, "%u:%u: this and further keys are unknown, too\n",
			    at.line, at.column);
			return;
		}
		near = str_nearest(k, known);
		str_addf(out, "%u:%u: unknown key \"%s\" is passed over%s%s%s\n",
		    at.line, at.column, show_str(k), near ? "; did you mean \"" : "",
		    near ? near : "", near ? "\"?" : "");
	}
}

int ignition_version_parse(const char *s, unsigned *major, unsigned *minor)
{
	unsigned long v[3];
	char *end = (char *)s;

	for (int i = 0; i < 3; i++) {
		if (!isdigit((unsigned char)end[0]) ||
		    (end[0] == '0' && isdigit((unsigned char)end[1])))
			return -EINVAL;
		v[i] = strtoul(end, &end, 10);
		if (v[i] > 9999 || (i < 2 && *end++ != '.'))
			return -EINVAL;
	}
	/* A pre-release ("3.5.0-experimental") is none that a release reads. */
	if (*end)
		return -EINVAL;
	*major = (unsigned)v[0];
	*minor = (unsigned)v[1];
	return 0;
}

static int check_version(struct parse *p, const json_t *section)
{
	const char *version = text_of(section, "version");
	struct ignition *ign = p->ign;

	if (!section)
		return fail(
		    p, p->root, NULL, -EINVAL, "there is no \"ignition\" object in it");
	if (!version)
		return fail(p, section, NULL, -EINVAL, "ignition.version is missing");
	if (ignition_version_parse(version, &ign->major, &ign->minor) < 0)
		return fail(p, section, "version", -EINVAL,
		    "ignition.version must be a version such as 3.1.0, not %s",
		    show_str(version));
	if ((ign->major != 2 && ign->major != 3) || ign->minor > newest[ign->major])
		return fail(p, section, "version", -EINVAL,
		    "ignition.version is %s; versions from 2.0.0 to 2.%u.0 and from "
		    "3.0.0 to 3.%u.0 exist",
		    show_str(version), newest[2], newest[3]);
	return 0;
}

static int check_root(struct parse *p, const json_t *root)
{
	json_t *section;
	int r;

	if (!json_is_object(root))
		return fail(p, root, NULL, -EINVAL, "it must be a JSON object");
	r = want(p, root, "ignition", JSON_OBJECT, &section);
	if (r == 0)
		r = check_version(p, section);
	if (r == 0)
		r = check_storage(p, root);
	if (r == 0)
		r = check_units(p, root);
	if (r == 0)
		r = check_ignition(p, section);
	if (r == 0)
		check_keys(p, root);
	return r;
}

static bool is_blank(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isspace((unsigned char)text[i]))
			return false;
	return true;
}

/* jansson quotes what stands at the fault, which may be a key. */
static void cut_quote(char *text)
{
	char *near = strstr(text, " near '");

	if (near)
		*near = '\0';
}

int ignition_parse(
    struct ignition **ret, const char *name, const char *text, size_t n, struct err *e)
{
	_cleanup_(ignition_freep) struct ignition *ign = calloc(1, sizeof(*ign));
	_cleanup_(json_freep) json_t *root = NULL;
	struct parse p = { .ign = ign, .name = name, .text = text, .n = n, .e = e };
	int r;

	if (!ign)
		return err_set(e, -ENOMEM, "out of memory");
	if (n > IGNITION_MAX)
		return fail(
		    &p, NULL, NULL, -EFBIG, "it is too large for an Ignition config");
	if (is_blank(text, n))
		return fail(&p, NULL, NULL, -EINVAL,
		    "it is empty; a node would boot without any "
		    "configuration");
	r = json_load_limited(&root, name, text, n, JSON_ALLOW_NUL, e);
	if (r < 0 && e)
		cut_quote(e->text);
	p.root = root;
	if (r == 0)
		r = check_root(&p, root);
	if (r == 0 && str_err(&ign->warnings))
		r = no_memory(&p);
	if (r < 0)
		return r;
	*ret = TAKE(ign);
	return 0;
}

struct ignition *ignition_free(struct ignition *i)
{
	if (!i)
		return NULL;
	certclock_deinit(&i->certs);
	str_deinit(&i->warnings);
	free(i);
	return NULL;
}

/* --- Accept ------------------------------------------------------------- */

#define MEDIA_TYPE "application/vnd.coreos.ignition+json"

/* The version parameter of one media range, which ends at end. */
static bool range_version(
    const char *p, const char *end, unsigned *major, unsigned *minor)
{
	const char *at = memmem(p, (size_t)(end - p), "version=", 8);
	char text[16];
	size_t n;

	if (!at)
		return false;
	at += 8;
	at += at < end && *at == '"';
	n = strspn(at, "0123456789.");
	if (n == 0 || n >= sizeof(text) || at + n > end)
		return false;
	memcpy(text, at, n);
	text[n] = '\0';
	if (str_eq(text, "1")) {
		*major = 1;
		*minor = 0;
		return true;
	}
	return ignition_version_parse(text, major, minor) == 0;
}

void ignition_accept_parse(const char *accept, struct ignition_accept *ret)
{
	unsigned major, minor;

	*ret = (struct ignition_accept){ .any = true };
	while (accept && *accept) {
		const char *end;

		accept += strspn(accept, " \t,");
		end = accept + strcspn(accept, ",");
		if (strncasecmp(accept, MEDIA_TYPE, strlen(MEDIA_TYPE)) == 0 &&
		    range_version(accept, end, &major, &minor) &&
		    major < ARRAY_SIZE(ret->has)) {
			if (ret->any || major > ret->major ||
			    (major == ret->major && minor > ret->minor)) {
				ret->major = major;
				ret->minor = minor;
			}
			if (!ret->has[major] || minor > ret->upto[major])
				ret->upto[major] = minor;
			ret->has[major] = true;
			ret->any = false;
		}
		accept = end;
	}
}

void ignition_accept_agent(const char *agent, struct ignition_accept *a)
{
	/* The first release that reads each version of the spec. */
	static const struct {
		unsigned release, spec;
	} releases[] = { { 3, 1 }, { 7, 2 }, { 11, 3 }, { 15, 4 }, { 20, 5 },
		{ 26, 6 } };
	unsigned major, minor;

	if (!a->any || !agent ||
	    sscanf(agent, "Ignition/%4u.%4u", &major, &minor) != 2 || major == 1 ||
	    major > 2)
		return;
	*a = (struct ignition_accept){ .major = 2, .minor = newest[2] };
	if (major == 2) {
		a->major = 3;
		a->minor = 0;
		for (size_t i = 0; i < ARRAY_SIZE(releases); i++)
			if (minor >= releases[i].release)
				a->minor = releases[i].spec;
	}
	a->has[a->major] = true;
	a->upto[a->major] = a->minor;
}

bool ignition_accept_reads(
    const struct ignition_accept *a, unsigned major, unsigned minor)
{
	return a->any ||
	    (major < ARRAY_SIZE(a->has) && a->has[major] && minor <= a->upto[major]);
}
