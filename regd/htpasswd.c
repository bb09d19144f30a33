/* Users and their password hashes: see htpasswd.h. */
#include "regd/htpasswd.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/fd.h"
#include "common/htable.h"
#include "common/str.h"

/* What is hashed here is random and beyond all guessing: a higher cost protects nothing,
 * and is paid for by the first start and by each client. */
enum { FILE_MAX = 4 * 1024 * 1024, COST = 5 };

struct entry {
	char *user, *hash;
};

struct htpasswd {
	struct entry *entries; /* sorted by user */
	size_t n;
};

struct htpasswd *htpasswd_free(struct htpasswd *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->n; i++) {
		free(h->entries[i].user);
		free(h->entries[i].hash);
	}
	free(h->entries);
	free(h);
	return NULL;
}

size_t htpasswd_count(const struct htpasswd *h)
{
	return h->n;
}

/* Of those that crypt(3) knows, the ones that cost an attacker something. */
static bool is_slow_hash(const char *hash)
{
	static const char *const prefixes[] = { "$2a$", "$2b$", "$2y$", "$y$", "$gy$",
		"$7$", "$6$", "$5$" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(hash, prefixes[i]))
			return strlen(hash) < HTPASSWD_HASH_MAX;
	return false;
}

static int add_entry(struct htpasswd *h, const char *user, size_t user_len,
    const char *hash, size_t hash_len)
{
	struct entry *more;

	if (h->n % 16 == 0) {
		more = realloc(h->entries, (h->n + 16) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		h->entries = more;
	}
	h->entries[h->n].user = strndup(user, user_len);
	h->entries[h->n].hash = strndup(hash, hash_len);
	h->n++;
	return h->entries[h->n - 1].user && h->entries[h->n - 1].hash ? 0 : -ENOMEM;
}

static int parse_line(struct htpasswd *h, const char *s, size_t n, const char *name,
    unsigned line, struct err *err)
{
	const char *colon = memchr(s, ':', n);
	int r;

	if (!colon || colon == s || colon - s >= HTPASSWD_USER_MAX)
		return err_at(err, -EINVAL, name, line, 1,
		    "a line is \"user:hash\", as `htpasswd -nB user` prints it");
	r = add_entry(
	    h, s, (size_t)(colon - s), colon + 1, n - (size_t)(colon + 1 - s));
	if (r < 0)
		return err_set(err, r, "out of memory");
	if (!is_slow_hash(h->entries[h->n - 1].hash))
		return err_at(err, -EINVAL, name, line, (unsigned)(colon - s) + 2,
		    "the hash of \"%s\" is of no kind that is taken; make one with "
		    "`htpasswd -nB %s`",
		    h->entries[h->n - 1].user, h->entries[h->n - 1].user);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->user, ((const struct entry *)b)->user);
}

int htpasswd_parse(struct htpasswd **ret, const char *name, const char *text, size_t n,
    struct err *err)
{
	_cleanup_(htpasswd_freep) struct htpasswd *h = calloc(1, sizeof(*h));
	const char *end = text + n;
	unsigned line = 1;

	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	if (memchr(text, '\0', n))
		return err_at(err, -EINVAL, name, 0, 0, "it holds NUL bytes");
	for (const char *s = text; s < end; line++) {
		const char *lf = memchr(s, '\n', (size_t)(end - s));
		const char *stop = lf ? lf : end;
		size_t len = (size_t)(stop - s);
		int r = 0;

		while (len && (s[len - 1] == '\r' || s[len - 1] == ' '))
			len--;
		if (len && *s != '#')
			r = parse_line(h, s, len, name, line, err);
		if (r < 0)
			return r;
		s = lf ? lf + 1 : end;
	}
	if (h->n)
		qsort(h->entries, h->n, sizeof(*h->entries), compare);
	for (size_t i = 1; i < h->n; i++)
		if (str_eq(h->entries[i - 1].user, h->entries[i].user))
			return err_at(err, -EINVAL, name, 0, 0,
			    "the user \"%s\" is there twice", h->entries[i].user);

	*ret = TAKE(h);
	return 0;
}

int htpasswd_load(struct htpasswd **ret, const char *path, struct err *err)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = file_read(path, FILE_MAX, &text);

	if (r < 0)
		return err_set(err, r,
		    "cannot read %s: %s; `htpasswd -cB %s USER` makes one", path,
		    strerror(-r), path);
	return htpasswd_parse(ret, path, str_get(&text), text.len, err);
}

const char *htpasswd_find(
    const struct htpasswd *h, const char *user, const char **dummy)
{
	struct entry key = { .user = (char *)user }, *e = NULL;

	if (h->n)
		e = bsearch(&key, h->entries, h->n, sizeof(*h->entries), compare);
	/* Always the same for a name, and any of those that there are: where some cost more
	 * than others, so do names that nobody has. */
	*dummy = h->n ? h->entries[htable_hash(user, strlen(user)) % h->n].hash : "*";
	return e ? e->hash : NULL;
}

bool htpasswd_verify(const char *hash, const char *password)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *out;
	bool ok = false;

	if (!data)
		return false;
	out = crypt_r(password, hash, data);
	if (out && out[0] != '*' && strlen(out) == strlen(hash))
		ok = str_eq_secret(out, hash, strlen(hash));
	explicit_bzero(data, sizeof(*data));
	free(data);
	return ok;
}

int htpasswd_make(const char *password, char hash[HTPASSWD_HASH_MAX])
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE], random[16];
	struct crypt_data *data;
	const char *out;

	random_bytes(random, sizeof(random));
	if (!crypt_gensalt_rn("$2b$", COST, random, sizeof(random), salt, sizeof(salt)))
		return -errno;
	data = calloc(1, sizeof(*data));
	if (!data)
		return -ENOMEM;
	out = crypt_r(password, salt, data);
	if (out && out[0] != '*')
		snprintf(hash, HTPASSWD_HASH_MAX, "%s", out);
	else
		out = NULL;
	explicit_bzero(data, sizeof(*data));
	free(data);
	return out ? 0 : -EINVAL;
}
