/*
 * The images' checksums: see checksum.h.
 *
 * An entry is one file below the install folder, as it was at the last look.  Its digests
 * are known, or on their way from the hasher; whatever comes back for a file that has
 * changed meanwhile is thrown away.
 */
#include "ignd/checksum.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/list.h"
#include "common/log.h"
#include "common/worker.h"
#include "ignd/store.h"
#include "ignd/tree.h"

#define KIND_IMAGE "image"
#define EVENT_BAD_IMAGE "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b15"

enum { ENTRIES_MAX = 256, SIDECAR_MAX = 4096, HASH_CHUNK = 1 << 18 };
/* After a file that cannot be read: a disk that fails is not to be read all the time. */
#define PAUSE_FIRST_MS (10 * 60 * 1000ull)
#define PAUSE_MOST_MS (24 * 3600 * 1000ull)

struct digests {
	uint8_t sha256[DIGEST_SHA256_SIZE], sha512[DIGEST_SHA512_SIZE];
};

struct entry {
	struct list_link link;
	char *name;
	struct stat st;
	bool known, hashing, seen, signature;
	struct digests digests;
	char format[96]; /* what the hasher found wrong, or "" */
	char why[160];   /* the fault, or what is missing */
	bool bad;
	/* Of a file that could not be hashed as it is. */
	int error;
	uint64_t pause_ms, again_ms; /* the last wait, and when it is over */
};

/* What was known at the end of the last run. */
struct saved {
	struct list_link link;
	char *name;
	json_t *value;
};

struct checksums {
	struct list_link entries, saved;
	unsigned n;
	struct worker *hasher;
	struct mailbox *home;
	struct store *store;
	bool partial; /* there is more than is looked at */
	bool stop;    /* read by the hasher */
};

/* A file on its way to the hasher and back. */
struct job {
	struct message m;
	struct checksums *c;
	char *name;
	struct stat st;
	int fd, result;
	struct digests digests;
	char format[96];
};

static struct job *job_free(struct job *j)
{
	if (!j)
		return NULL;
	fd_close(j->fd);
	free(j->name);
	free(j);
	return NULL;
}

/* --- on the hasher's thread --------------------------------------------- */

/* Magic numbers by file name: an image that is something else altogether, as an error
 * page that was saved under its name, or whose end is missing. */
static void look_at_format(struct job *j)
{
	static const uint8_t xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	static const uint8_t gz[] = { 0x1f, 0x8b };
	static const uint8_t zst[] = { 0x28, 0xb5, 0x2f, 0xfd };
	uint8_t head[6] = { 0 }, tail[2] = { 0 };
	const char *what = NULL;

	if (pread(j->fd, head, sizeof(head), 0) < 0 ||
	    pread(j->fd, tail, sizeof(tail), MAX(j->st.st_size - 2, (off_t)0)) < 0)
		return;
	if (str_ends(j->name, ".xz")) {
		what = memcmp(head, xz, sizeof(xz)) != 0 ? "it is no xz file"
		    : memcmp(tail, "YZ", 2) != 0         ? "its end is missing"
							 : NULL;
	} else if (str_ends(j->name, ".gz")) {
		what = memcmp(head, gz, sizeof(gz)) != 0 ? "it is no gzip file" : NULL;
	} else if (str_ends(j->name, ".zst")) {
		what =
		    memcmp(head, zst, sizeof(zst)) != 0 ? "it is no zstd file" : NULL;
	}
	snprintf(j->format, sizeof(j->format), "%s", what ? what : "");
}

static int hash_file(struct job *j)
{
	_cleanup_(digest_freep) struct digest *d256 = NULL, *d512 = NULL;
	_cleanup_(freep) char *buf = malloc(HASH_CHUNK);
	uint8_t out[DIGEST_MAX];
	off_t at = 0;
	ssize_t n;

	if (!buf || digest_new(&d256, DIGEST_SHA256) < 0 ||
	    digest_new(&d512, DIGEST_SHA512) < 0)
		return -ENOMEM;
	while ((n = pread(j->fd, buf, HASH_CHUNK, at)) > 0) {
		if (__atomic_load_n(&j->c->stop, __ATOMIC_RELAXED))
			return -ECANCELED;
		digest_update(d256, buf, (size_t)n);
		digest_update(d512, buf, (size_t)n);
		at += n;
	}
	if (n < 0)
		return -errno;
	digest_final(d256, out);
	memcpy(j->digests.sha256, out, sizeof(j->digests.sha256));
	digest_final(d512, out);
	memcpy(j->digests.sha512, out, sizeof(j->digests.sha512));
	return 0;
}

static void on_hashed(struct message *m);

static void run_job(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, m);

	look_at_format(j);
	j->result = hash_file(j);
	j->fd = fd_close(j->fd);
	j->m.run = on_hashed;
	mailbox_post(j->c->home, &j->m);
}

/* Nodes that fetch come first. */
static int hasher_start(void **self, struct worker *w, void *arg)
{
	const struct sched_param none = { 0 };

	*self = arg;
	sched_setscheduler(0, SCHED_IDLE, &none);
	return 0;
}

static void hasher_stop(void *self)
{
}

/* --- life --------------------------------------------------------------- */

int checksums_new(struct checksums **ret, struct loop *l)
{
	static const struct worker_class class = {
		.name = "ignd-hash",
		.start = hasher_start,
		.stop = hasher_stop,
	};
	_cleanup_(checksums_freep) struct checksums *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	list_init(&c->entries);
	list_init(&c->saved);
	r = mailbox_new(&c->home, l);
	if (r == 0)
		r = worker_new(&c->hasher, &class, c);
	if (r < 0)
		return r;
	*ret = TAKE(c);
	return 0;
}

static void entry_free(struct checksums *c, struct entry *en)
{
	list_remove(&en->link);
	c->n--;
	free(en->name);
	free(en);
}

static void saved_free(struct saved *s)
{
	list_remove(&s->link);
	json_decref(s->value);
	free(s->name);
	free(s);
}

struct checksums *checksums_free(struct checksums *c)
{
	if (!c)
		return NULL;
	__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
	c->hasher = worker_free(c->hasher);
	c->home = mailbox_free(c->home);
	list_for_each_safe (it, &c->entries) {
		entry_free(c, CONTAINER_OF(it, struct entry, link));
	}
	list_for_each_safe (it, &c->saved) {
		saved_free(CONTAINER_OF(it, struct saved, link));
	}
	free(c);
	return NULL;
}

/* --- kept --------------------------------------------------------------- */

void checksums_set_store(struct checksums *c, struct store *s)
{
	c->store = s;
}

void checksums_restore(struct checksums *c, const char *name, const json_t *value)
{
	struct saved *s = calloc(1, sizeof(*s));

	if (!s)
		return;
	list_for_each_safe (it, &c->saved) {
		struct saved *old = CONTAINER_OF(it, struct saved, link);

		if (str_eq(old->name, name))
			saved_free(old);
	}
	s->name = strdup(name);
	s->value = json_deep_copy(value);
	list_append(&c->saved, &s->link);
	if (!s->name)
		saved_free(s);
}

static json_int_t ns_of(const struct timespec *t)
{
	return (json_int_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static void save(struct checksums *c, const struct entry *en)
{
	char sha256[2 * DIGEST_SHA256_SIZE + 1], sha512[2 * DIGEST_SHA512_SIZE + 1];

	if (!c->store)
		return;
	store_put(c->store, KIND_IMAGE, en->name,
	    json_pack("{s:I,s:I,s:I,s:I,s:s,s:s,s:s}", "inode",
		(json_int_t)en->st.st_ino, "size", (json_int_t)en->st.st_size, "mtime",
		ns_of(&en->st.st_mtim), "ctime", ns_of(&en->st.st_ctim), "sha256",
		hex_encode(en->digests.sha256, DIGEST_SHA256_SIZE, sha256), "sha512",
		hex_encode(en->digests.sha512, DIGEST_SHA512_SIZE, sha512), "format",
		en->format));
}

static bool int_is(const json_t *obj, const char *key, json_int_t want)
{
	return json_integer_value(json_object_get(obj, key)) == want;
}

static bool hex_is(const json_t *obj, const char *key, uint8_t *to, size_t n)
{
	const char *hex = json_str(obj, key);

	return hex && hex_decode(hex, strlen(hex), to, n) == 0;
}

/* What the last run knew of this very file. */
static bool recall(struct checksums *c, struct entry *en)
{
	list_for_each (it, &c->saved) {
		struct saved *s = CONTAINER_OF(it, struct saved, link);
		const char *format = json_str(s->value, "format");

		if (!str_eq(s->name, en->name) ||
		    !int_is(s->value, "inode", (json_int_t)en->st.st_ino) ||
		    !int_is(s->value, "size", (json_int_t)en->st.st_size) ||
		    !int_is(s->value, "mtime", ns_of(&en->st.st_mtim)) ||
		    !int_is(s->value, "ctime", ns_of(&en->st.st_ctim)) ||
		    !hex_is(
			s->value, "sha256", en->digests.sha256, DIGEST_SHA256_SIZE) ||
		    !hex_is(s->value, "sha512", en->digests.sha512, DIGEST_SHA512_SIZE))
			continue;
		snprintf(en->format, sizeof(en->format), "%s", format ? format : "");
		return en->known = true;
	}
	return false;
}

/* --- judging ------------------------------------------------------------ */

/* The digest that a file beside the image gives: the first word of its first line (as
 * sha256sum writes it), or what stands behind "= " (as BSD does).  -ENOENT without one,
 * -EINVAL for one that holds none, or why it cannot be read. */
static int read_sidecar(
    struct root *root, const char *image, const char *suffix, uint8_t *to, size_t n)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	char name[TREE_PATH + 8], hex[2 * DIGEST_MAX + 1];
	struct stat st;
	_cleanup_(fd_closep) int fd = -1;
	const char *p;
	size_t len;
	int r;

	snprintf(name, sizeof(name), "%s%s", image, suffix);
	fd = root_open(root, name, &st);
	r = fd < 0 ? fd : fd_read_all(fd, SIDECAR_MAX, &text);
	if (r < 0)
		return r == -EFBIG ? -EINVAL : r;
	p = strstr(str_get(&text), ") = ");
	p = p ? p + 4 : str_get(&text);
	len = strspn(p, "0123456789abcdefABCDEF");
	if (len != 2 * n)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		hex[i] = (char)(p[i] >= 'A' && p[i] <= 'F' ? p[i] + 'a' - 'A' : p[i]);
	return hex_decode(hex, len, to, n);
}

/* What speaks against the image, or NULL, in *why: 0, or a passing error. */
static int compare(struct root *root, const struct entry *en, const char *suffix,
    const uint8_t *is, const char **why)
{
	uint8_t want[DIGEST_MAX];
	size_t n = str_eq(suffix, ".sha256") ? DIGEST_SHA256_SIZE : DIGEST_SHA512_SIZE;
	int r = read_sidecar(root, en->name, suffix, want, n);

	if (fd_is_shortage(r))
		return r;
	*why = r == -ENOENT            ? NULL
	    : r == -EINVAL             ? "holds no digest"
	    : r < 0                    ? "cannot be read"
	    : memcmp(want, is, n) != 0 ? "is of other bytes"
				       : NULL;
	return 0;
}

static bool wants_signature(const char *name)
{
	return str_ends(name, ".raw.xz") || str_ends(name, ".raw.gz") ||
	    str_ends(name, ".raw");
}

static void judge(struct root *root, struct entry *en)
{
	const char *why256 = NULL, *why512 = NULL;
	bool was_bad = en->bad;

	if (en->known &&
	    (compare(root, en, ".sha256", en->digests.sha256, &why256) < 0 ||
		compare(root, en, ".sha512", en->digests.sha512, &why512) < 0))
		return;
	en->bad = false;
	en->why[0] = '\0';
	if (en->format[0])
		snprintf(en->why, sizeof(en->why), "%s", en->format);
	else if (why256 || why512)
		snprintf(en->why, sizeof(en->why), "its %s %s",
		    why256 ? ".sha256" : ".sha512", why256 ? why256 : why512);
	en->bad = en->why[0] != '\0';
	if (!en->bad && en->error)
		snprintf(en->why, sizeof(en->why), "it cannot be hashed: %s",
		    strerror(-en->error));
	else if (!en->bad && !en->signature && wants_signature(en->name))
		snprintf(en->why, sizeof(en->why),
		    "there is no .sig beside it: installers give up unless they run "
		    "with coreos.inst.insecure");
	if (en->bad && !was_bad)
		log_with(LOG_WARNING,
		    LOG_FIELDS("MESSAGE_ID", EVENT_BAD_IMAGE, "OKD_FILE", en->name),
		    "%s is not served: %s", en->name, en->why);
	else if (was_bad && !en->bad)
		log_info("%s is good", en->name);
}

/* --- looking ------------------------------------------------------------ */

static struct entry *find(const struct checksums *c, const char *name)
{
	list_for_each (it, &c->entries) {
		struct entry *en = CONTAINER_OF(it, struct entry, link);

		if (str_eq(en->name, name))
			return en;
	}
	return NULL;
}

static void forget_error(struct entry *en)
{
	en->error = 0;
	en->pause_ms = en->again_ms = 0;
}

static void put_off(struct entry *en, int error)
{
	if (!en->error)
		log_warning("%s cannot be hashed, and is served unchecked: %s",
		    en->name, strerror(-error));
	en->error = error;
	en->pause_ms =
	    en->pause_ms ? MIN(2 * en->pause_ms, PAUSE_MOST_MS) : PAUSE_FIRST_MS;
	en->again_ms = clock_boot_ms() + en->pause_ms;
}

static void on_hashed(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, m);
	struct entry *en = find(j->c, j->name);

	if (en && stat_same(&en->st, &j->st)) {
		en->hashing = false;
		if (j->result == 0) {
			en->known = true;
			en->digests = j->digests;
			memcpy(en->format, j->format, sizeof(en->format));
			forget_error(en);
			save(j->c, en);
		} else if (j->result != -ECANCELED) {
			put_off(en, j->result);
		}
	}
	job_free(j);
}

/* Takes fd over. */
static void start_hash(struct checksums *c, struct entry *en, int fd)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j) {
		j->fd = fd;
		j->name = strdup(en->name);
	}
	if (!j || !j->name) {
		if (!j)
			fd_close(fd);
		job_free(j);
		return;
	}
	j->c = c;
	j->st = en->st;
	j->m.run = run_job;
	en->hashing = true;
	worker_post(c->hasher, &j->m);
}

static bool is_sidecar(const char *name)
{
	static const char *const suffixes[] = { ".sig", ".asc", ".sha256", ".sha512",
		".ign", ".txt", ".json" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (str_ends(name, suffixes[i]))
			return true;
	return false;
}

static struct entry *add(struct checksums *c, const char *name)
{
	struct entry *en = calloc(1, sizeof(*en));

	if (!en)
		return NULL;
	en->name = strdup(name);
	list_append(&c->entries, &en->link);
	c->n++;
	if (en->name)
		return en;
	entry_free(c, en);
	return NULL;
}

struct look {
	struct checksums *c;
	struct root *root;
	bool whole;
};

static void look_at(void *arg, const char *name)
{
	struct look *l = arg;
	struct checksums *c = l->c;
	struct root *root = l->root;
	struct entry *en = find(c, name);
	char signature[TREE_PATH + 8];
	struct stat st, sig;
	int fd;

	if (is_sidecar(name))
		return;
	if (!en && c->n == ENTRIES_MAX) {
		l->whole = false;
		return;
	}
	fd = root_open(root, name, &st);
	if (fd >= 0 && !en)
		en = add(c, name);
	if (en && fd != -ENOENT)
		en->seen = true;
	if (fd < 0 || !en) {
		fd_close(fd);
		return;
	}
	if (!stat_same(&en->st, &st)) {
		en->st = st;
		en->known = en->hashing = false;
		en->format[0] = '\0';
		forget_error(en);
	}
	if (!en->known && !en->hashing && clock_boot_ms() >= en->again_ms &&
	    !recall(c, en))
		start_hash(c, en, TAKE_FD(fd));
	fd_close(fd);
	snprintf(signature, sizeof(signature), "%s.sig", name);
	fd = root_open(root, signature, &sig);
	en->signature = fd >= 0;
	fd_close(fd);
	judge(root, en);
}

void checksums_look(struct checksums *c, struct root *root)
{
	struct look l = { .c = c, .root = root, .whole = true };

	list_for_each (it, &c->entries) {
		CONTAINER_OF(it, struct entry, link)->seen = false;
	}
	l.whole = tree_walk(root, look_at, &l) && l.whole;
	if (!l.whole && !c->partial)
		log_warning("%s holds more files or deeper folders than are checked: "
			    "the rest is served unchecked",
		    root->path);
	c->partial = !l.whole;
	list_for_each_safe (it, &c->entries) {
		struct entry *en = CONTAINER_OF(it, struct entry, link);

		/* The walk may have missed it. */
		if (!en->seen)
			look_at(&l, en->name);
		if (en->seen)
			continue;
		if (c->store)
			store_put(c->store, KIND_IMAGE, en->name, NULL);
		entry_free(c, en);
	}
}

/* --- asked -------------------------------------------------------------- */

const char *checksums_fault(const struct checksums *c, const struct stat *st)
{
	/* By whatever name: it may have links. */
	list_for_each (it, &c->entries) {
		const struct entry *en = CONTAINER_OF(it, struct entry, link);

		if (en->bad && stat_same(&en->st, st))
			return en->why;
	}
	return NULL;
}

/* As sha256sum, run in the file's folder, has it. */
static const char *base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

bool checksums_text(struct checksums *c, const char *name, struct str *out)
{
	bool is256 = str_ends(name, ".sha256");
	char image[TREE_PATH], hex[2 * DIGEST_MAX + 1];
	const struct entry *en;

	if (!is256 && !str_ends(name, ".sha512"))
		return false;
	if (strlen(name) >= sizeof(image))
		return false;
	snprintf(image, sizeof(image), "%.*s", (int)(strlen(name) - 7), name);
	en = find(c, image);
	if (!en || !en->known)
		return false;
	str_addf(out, "%s  %s\n",
	    is256 ? hex_encode(en->digests.sha256, DIGEST_SHA256_SIZE, hex)
		  : hex_encode(en->digests.sha512, DIGEST_SHA512_SIZE, hex),
	    base_name(en->name));
	return true;
}

json_t *checksums_json(const struct checksums *c)
{
	json_t *list = json_array();
	char hex[2 * DIGEST_MAX + 1];

	list_for_each (it, &c->entries) {
		const struct entry *en = CONTAINER_OF(it, struct entry, link);
		const char *state = en->bad ? "bad"
		    : en->known             ? "good"
		    : en->hashing           ? "hashing"
					    : "unchecked";

		json_array_append_new(list,
		    json_pack("{s:s,s:s,s:s,s:I,s:o,s:o}", "name", en->name, "state",
			state, "why", en->why, "bytes", (json_int_t)en->st.st_size,
			"sha256",
			en->known ? json_string(hex_encode(
					en->digests.sha256, DIGEST_SHA256_SIZE, hex))
				  : json_null(),
			"signature",
			en->signature || wants_signature(en->name)
			    ? json_boolean(en->signature)
			    : json_null()));
	}
	return list;
}

size_t checksums_bad(const struct checksums *c)
{
	size_t n = 0;

	list_for_each (it, &c->entries) {
		n += CONTAINER_OF(it, struct entry, link)->bad;
	}
	return n;
}
