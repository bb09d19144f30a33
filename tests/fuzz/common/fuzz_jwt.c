/* Tokens, and sets of keys. */
#include <assert.h>
#include <string.h>

#include "common/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A line of keys, and then a token that they are to verify. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[JWT_SECRET_SIZE] = { 1 };
	const char *text = (const char *)data;
	const char *lf = memchr(data, '\n', size);
	size_t n = lf ? (size_t)(lf - text) : size;
	const char *token = lf ? lf + 1 : text;
	struct jwt_keys *k = NULL;
	struct err e = ERR_INIT;
	struct jwt t;

	if (jwt_keys_parse(&k, "fuzz", text, n, &e) == 0)
		assert(jwt_keys_count(k) > 0 && jwt_keys_count(k) <= JWT_KEYS_MAX);
	else
		assert(e.text[0] && !k);
	if (jwt_parse(&t, token, size - (size_t)(token - text)) == 0) {
		assert(json_is_object(t.claims) && t.n_signed < size);
		if (k)
			(void)!jwt_verify(k, &t, token);
		assert(!jwt_verify_secret(secret, &t, token));
		jwt_deinit(&t);
	}
	jwt_keys_free(k);
	return 0;
}
