/* Pull secrets: see authfile.h. */
#include "regd/authfile.h"

#include <errno.h>
#include <string.h>

#include "common/digest.h"
#include "common/fd.h"
#include "common/json.h"

enum { FILE_MAX = 1024 * 1024 };

/* How many bytes of "host/repository" a key names, 0 when it is of another: a whole
 * number of components. */
static size_t match(const char *key, const char *host, const char *repository)
{
	size_t n, len = strlen(host);

	if (str_starts(key, "https://"))
		key += 8;
	else if (str_starts(key, "http://"))
		key += 7;
	n = strlen(key);
	if (strncmp(key, host, len) != 0)
		return 0;
	if (str_eq(key + len, "") || str_eq(key + len, "/") ||
	    str_eq(key + len, "/v1/") || str_eq(key + len, "/v2/") ||
	    str_eq(key + len, "/v1") || str_eq(key + len, "/v2"))
		return len;
	if (key[len] != '/')
		return 0;
	n -= len + 1;
	if (strncmp(key + len + 1, repository, n) != 0 ||
	    (repository[n] != '/' && repository[n] != '\0'))
		return 0;
	return len + 1 + n;
}

static bool take_word(char out[AUTHFILE_WORD_MAX], const char *s, size_t n)
{
	if (n >= AUTHFILE_WORD_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

/* "auth", or "username" and "password" beside each other. */
static int take_entry(struct authfile_entry *ret, const char *name, const char *key,
    const json_t *entry, struct err *err)
{
	const char *auth = json_str(entry, "auth");
	const char *user = json_str(entry, "username");
	const char *password = json_str(entry, "password"), *colon;
	_cleanup_(str_deinit) struct str plain = STR_INIT;
	int r = 0;

	if (auth && *auth) {
		r = base64_decode(&plain, auth, strlen(auth), BASE64_STD);
		if (r == -ENOMEM)
			return err_set(err, r, "out of memory");
		colon = plain.s ? memchr(plain.s, ':', plain.len) : NULL;
		if (r == 0 && colon &&
		    take_word(ret->user, plain.s, (size_t)(colon - plain.s)) &&
		    take_word(ret->password, colon + 1,
			plain.len - (size_t)(colon + 1 - plain.s)))
			r = 1;
		if (plain.s)
			explicit_bzero(plain.s, plain.len);
	} else if (user && password && take_word(ret->user, user, strlen(user)) &&
	    take_word(ret->password, password, strlen(password))) {
		r = 1;
	}
	return r > 0 ? 1
		     : err_at(err, -EINVAL, name, 0, 0,
			   "the entry of \"%.80s\" needs \"auth\": the base64 of "
			   "user:password",
			   key);
}

int authfile_lookup(struct authfile_entry *ret, const char *name, const char *text,
    size_t n, const char *host, const char *repository, struct err *err)
{
	_cleanup_(json_freep) json_t *file = NULL;
	const char *key, *best_key = NULL;
	json_t *auths, *entry, *best = NULL;
	size_t most = 0;
	int r = json_load_limited(&file, name, text, n, JSON_REJECT_DUPLICATES, err);

	if (r < 0)
		return r;
	auths = json_object_get(file, "auths");
	if (!json_is_object(auths))
		return err_at(err, -EINVAL, name, 0, 0,
		    "a pull secret is {\"auths\": {\"host\": {\"auth\": ...}}}");
	json_object_foreach(auths, key, entry)
	{
		size_t len = match(key, host, repository);

		if (len > most) {
			most = len;
			best = entry;
			best_key = key;
		}
	}
	return best ? take_entry(ret, name, best_key, best, err) : 0;
}

int authfile_find(struct authfile_entry *ret, const char *path, const char *host,
    const char *repository, struct err *err)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int r = file_read(path, FILE_MAX, &text);

	if (r < 0)
		return err_set(err, r, "cannot read %s: %s", path, strerror(-r));
	r = authfile_lookup(ret, path, str_get(&text), text.len, host, repository, err);
	if (text.s)
		explicit_bzero(text.s, text.len);
	return r;
}
