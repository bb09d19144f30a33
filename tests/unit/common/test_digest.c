/* Digests against their standards' vectors; the decoders take one spelling only. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/digest.h"

static char hex[2 * DIGEST_MAX + 1];

static const char *hex_of(enum digest_alg alg, const char *text)
{
	uint8_t out[DIGEST_MAX];

	digest_of(alg, text, strlen(text), out);
	return hex_encode(out, digest_size(alg), hex);
}

#define ABC256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define NONE256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

TEST(fips_180_vectors)
{
	CHECK(str_eq(hex_of(DIGEST_SHA256, "abc"), ABC256));
	CHECK(str_eq(hex_of(DIGEST_SHA256, ""), NONE256));
	CHECK(str_eq(hex_of(DIGEST_SHA512, "abc"),
	    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"));
}

TEST(streaming_peek_and_reset)
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	uint8_t a[DIGEST_MAX], b[DIGEST_MAX];

	CHECK(digest_new(&d, DIGEST_SHA256) == 0);
	digest_update(d, "a", 1);
	digest_peek(d, a);
	digest_peek(d, b);
	CHECK(memcmp(a, b, 32) == 0);
	digest_update(d, "bc", 2);
	digest_final(d, a);
	CHECK(str_eq(hex_encode(a, 32, hex), ABC256));
	digest_final(d, a);
	CHECK(str_eq(hex_encode(a, 32, hex), NONE256));
	digest_update(d, "rubbish", 7);
	digest_reset(d);
	digest_update(d, "abc", 3);
	digest_final(d, a);
	CHECK(str_eq(hex_encode(a, 32, hex), ABC256));
}

TEST(names)
{
	enum digest_alg alg = DIGEST_SHA256;

	CHECK(digest_alg_parse("sha512:x", 6, &alg) == 0 && alg == DIGEST_SHA512);
	CHECK(digest_alg_parse("sha256", 6, &alg) == 0 && alg == DIGEST_SHA256);
	CHECK(digest_alg_parse("SHA256", 6, &alg) == -EINVAL);
	CHECK(digest_alg_parse("sha25", 5, &alg) == -EINVAL);
	CHECK(digest_alg_parse("", 0, &alg) == -EINVAL);
	CHECK(str_eq(digest_name(DIGEST_SHA512), "sha512"));
}

/* RFC 4231, cases 2 and 6; and a key of no bytes. */
TEST(hmac)
{
	char key[131];
	uint8_t out[32];

	hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
	CHECK(str_eq(hex_encode(out, 32, hex),
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
	memset(key, 0xaa, sizeof(key));
	hmac_sha256(key, sizeof(key),
	    "Test Using Larger Than Block-Size Key - Hash Key First", 54, out);
	CHECK(str_eq(hex_encode(out, 32, hex),
	    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
	hmac_sha256(NULL, 0, "", 0, out);
	CHECK(str_eq(hex_encode(out, 32, hex),
	    "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"));
}

TEST(hex_is_strict)
{
	uint8_t out[3];

	CHECK(hex_decode("00ff7a", 6, out, 3) == 0 && out[1] == 0xff && out[2] == 0x7a);
	CHECK(hex_decode("00FF7a", 6, out, 3) == -EINVAL);
	CHECK(hex_decode("00ff7", 5, out, 3) == -EINVAL);
	CHECK(hex_decode("00ff", 4, out, 3) == -EINVAL);
	CHECK(hex_decode("00ff7g", 6, out, 3) == -EINVAL);
	CHECK(hex_decode("00ff7 ", 6, out, 3) == -EINVAL);
}

/* RFC 4648, section 10. */
TEST(base64_vectors)
{
	static const char *const v[][3] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+", "-__-" },
	};
	_cleanup_(str_deinit) struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		for (enum base64 kind = BASE64_STD; kind <= BASE64_URL; kind++) {
			const char *text = v[i][1 + kind];

			str_reset(&s);
			base64_encode(&s, v[i][0], strlen(v[i][0]), kind);
			CHECK(str_eq(str_get(&s), text));
			str_reset(&s);
			CHECK(base64_decode(&s, text, strlen(text), kind) == 0);
			CHECK(s.len == strlen(v[i][0]));
			CHECK(str_eq(str_get(&s), v[i][0]));
		}
	}
}

TEST(base64_is_strict)
{
	static const char *const std[] = { "Zg",
		"Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n",
		"-__-", "=Zm9", "Zg==Zg==", "Zm=v", "Z" };
	static const char *const url[] = { "Zg==", "Zm8=", "Z", "Zh", "Zm9", "+//+",
		"Zm9vY" };
	_cleanup_(str_deinit) struct str s = STR_INIT;

	str_addz(&s, "before");
	for (size_t i = 0; i < ARRAY_SIZE(std); i++)
		CHECK(base64_decode(&s, std[i], strlen(std[i]), BASE64_STD) == -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(url); i++)
		CHECK(base64_decode(&s, url[i], strlen(url[i]), BASE64_URL) == -EINVAL);
	CHECK(str_eq(str_get(&s), "before") && s.len == 6);
	CHECK(base64_decode(&s, "Zm9v", 4, BASE64_STD) == 0);
	CHECK(str_eq(str_get(&s), "beforefoo"));
}

TEST(base64_every_length)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	_cleanup_(str_deinit) struct str back = STR_INIT;
	uint8_t bytes[100];

	random_bytes(bytes, sizeof(bytes));
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		str_reset(&text);
		str_reset(&back);
		base64_encode(&text, bytes, n, n % 2 ? BASE64_URL : BASE64_STD);
		CHECK(base64_decode(&back, str_get(&text), text.len,
			  n % 2 ? BASE64_URL : BASE64_STD) == 0);
		CHECK(back.len == n && memcmp(str_get(&back), bytes, n) == 0);
	}
}

TEST(random_bytes_differ)
{
	uint8_t a[400] = { 0 }, b[400] = { 0 };

	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	CHECK(memcmp(a, b, sizeof(a)) != 0);
	CHECK(memcmp(a + 300, b + 300, 100) != 0);
}
