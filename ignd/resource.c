/* Contents inside a config: see resource.h. */
#include "ignd/resource.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "common/digest.h"
#include "common/http_path.h"

#define SCHEME "data:"

bool resource_is_data(const char *url)
{
	return strncasecmp(url, SCHEME, strlen(SCHEME)) == 0;
}

/* --- data: URLs --------------------------------------------------------- */

static int percent_decode(const char *p, size_t n, struct str *out, struct err *e)
{
	char *to = str_reserve(out, n);
	size_t len = 0;

	if (!to)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)p[i];

		if (c == '%') {
			c = n - i > 2 ? http_hex_pair(p + i + 1) : -1;
			if (c < 0)
				return err_set(e, -EINVAL,
				    "a percent sign without two hexadecimal digits in "
				    "its data: URL");
			i += 2;
		}
		to[len++] = (char)c;
	}
	str_commit(out, len);
	return 0;
}

/* Takes line ends out, in place; returns the new length. */
static size_t strip_lines(char *p, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i] != '\n' && p[i] != '\r')
			p[len++] = p[i];
	return len;
}

static int base64_data(const char *p, size_t n, struct str *out, struct err *e)
{
	_cleanup_(str_deinit) struct str plain = STR_INIT;
	int r = percent_decode(p, n, &plain, e);

	if (r < 0)
		return r;
	if (!plain.len)
		return 0;
	plain.len = strip_lines(plain.s, plain.len);
	r = base64_decode(out, plain.s, plain.len, BASE64_STD);
	if (r == -EINVAL)
		return err_set(e, r, "the base64 of its data: URL is broken");
	return r < 0 ? err_set(e, r, "out of memory") : 0;
}

static bool has_base64(const char *p, size_t n)
{
	static const char word[] = ";base64";
	size_t len = sizeof(word) - 1;

	return n >= len && strncasecmp(p + n - len, word, len) == 0;
}

int resource_decode(const char *url, size_t n, struct str *out, struct err *e)
{
	const char *p = url + strlen(SCHEME), *comma;

	if (n < strlen(SCHEME) || strncasecmp(url, SCHEME, strlen(SCHEME)) != 0)
		return err_set(e, -EINVAL, "its source is no data: URL");
	if (n > RESOURCE_MAX)
		return err_set(e, -EFBIG, "its data: URL is too long");
	n -= strlen(SCHEME);
	comma = memchr(p, ',', n);
	if (!comma)
		return err_set(e, -EINVAL, "its data: URL has no comma");
	n -= (size_t)(comma + 1 - p);
	return has_base64(p, (size_t)(comma - p))
	    ? base64_data(comma + 1, n, out, e)
	    : percent_decode(comma + 1, n, out, e);
}

/* --- compression -------------------------------------------------------- */

enum { GZIP_WINDOW = 15 + 16, CHUNK = 64 * 1024 };

/* Unpacks into out until the stream ends, input is used up, or max is passed. */
static int inflate_all(z_stream *z, size_t max, struct str *out)
{
	size_t before = out->len;
	int r = Z_OK;

	while (r == Z_OK || r == Z_BUF_ERROR) {
		char *to = str_reserve(out, CHUNK);

		if (!to)
			return -ENOMEM;
		z->next_out = (Bytef *)to;
		z->avail_out = CHUNK;
		r = inflate(z, Z_NO_FLUSH);
		str_commit(out, CHUNK - z->avail_out);
		if (out->len - before > max)
			return -EFBIG;
		if (r == Z_STREAM_END && z->avail_in) {
			r = inflateReset(z); /* the next member */
			continue;
		}
		if (r != Z_STREAM_END && z->avail_out)
			return -EBADMSG; /* it wants more than there is */
	}
	return r == Z_STREAM_END ? 0 : r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

int resource_gunzip(const void *p, size_t n, size_t max, struct str *out, struct err *e)
{
	z_stream z = { .next_in = (Bytef *)p, .avail_in = (uInt)n };
	int r;

	if (n > RESOURCE_MAX)
		return err_set(e, -EFBIG, "its compressed contents are too long");
	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return err_set(e, -ENOMEM, "out of memory");
	r = inflate_all(&z, max, out);
	inflateEnd(&z);
	if (r == -EFBIG)
		return err_set(e, r, "its contents unpack to more than %zu bytes", max);
	if (r == -EBADMSG)
		return err_set(
		    e, r, "its contents are no gzip stream, or a broken one");
	return r < 0 ? err_set(e, r, "out of memory") : 0;
}

/* --- verification ------------------------------------------------------- */

int resource_verify(const char *hash, const void *p, size_t n, struct err *e)
{
	uint8_t want[DIGEST_MAX], got[DIGEST_MAX];
	const char *dash = strchr(hash, '-');
	enum digest_alg alg;

	if (!dash || digest_alg_parse(hash, (size_t)(dash - hash), &alg) < 0)
		return err_set(e, -EINVAL,
		    "its verification.hash must begin with sha512- or sha256-");
	if (hex_decode(dash + 1, strlen(dash + 1), want, digest_size(alg)) < 0)
		return err_set(e, -EINVAL,
		    "its verification.hash must have %zu hexadecimal digits",
		    2 * digest_size(alg));
	digest_of(alg, p, n, got);
	if (memcmp(want, got, digest_size(alg)) != 0)
		return err_set(e, -EBADMSG,
		    "its verification.hash is not the %s of its contents",
		    digest_name(alg));
	return 0;
}
