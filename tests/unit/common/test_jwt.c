/* Tokens and keys that PyJWT and python3-cryptography made, and what must not pass. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/json.h"
#include "common/jwt.h"

static const char jwks[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\"n\":\"18IH-X"
    "opaw2HUVSh7SSSKhLgAr1pAQ-WMc8KWpRZsSmAW9x4dfS_iMTUZelGRqOSZzyetC6o-DuzBQ"
    "Q2scKMBhDNFcT5ORF964xvKnT_kEBe1VNw1PvUnEGZJKIB3YweH0y265WKPd6Jo_qOrr5DRk"
    "OTWTCPWLOMGfVkw4U-jQI6Zdqkh_9bqOAwAF8D1TW91_IabqQF9l_EpK-H7Bx4qiIGJfHc8Y"
    "N7MuprRouULh-9rW6tMH-wjDLExMeLl3W3OPTPT8N4EsxVxhImvqZIiOtN5B7DFQvaO1PJte"
    "ZGOPc1hIi0NLe-G1WTVEcb6UTrXJmrrirAA1-syJn79KgapQ\",\"e\":\"AQAB\"},{\"kt"
    "y\":\"EC\",\"crv\":\"P-256\",\"kid\":\"P-256\",\"x\":\"iYt4CyQDtZ0lO7D18"
    "oisMHo-hiVPOtICNAJeXMXaDLc\",\"y\":\"bhc8B7OJaaa9tuS9G7R0FNtV8rP_fg8R1zA"
    "S-pjWUIY\"},{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"P-384\",\"x\":\""
    "OfqVjKRR66yzPW_Oi4GmzXMEI-j8bMWCzTeRozPYzN_4bk8JqSO6JTQlduSmzB2o\",\"y\""
    ":\"6JoJ8EHrr4bfxcJKfLtP-UPup8NpBnAu3oU-pKzzm6844DTCHOWJhp-UypNRY718\"},{"
    "\"kty\":\"EC\",\"crv\":\"P-521\",\"kid\":\"P-521\",\"x\":\"AWPeIMrdPGeuo"
    "OiDISreFGNM3wZC2M6QozU4bun7UYUzmKaBc5WFZVbWnTD8JwwV2jv_Ew_Zk2mR8wnxoeJka"
    "lpj\",\"y\":\"ARJ7IES3I63no0rsmA8VV3bI1ToLWZ_HzZmX6OWJ706d04ELEJCAJfQzLw"
    "wJzKHk9zTuXDU65sIKxaZPXvrG1u98\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
    "\"kid\":\"e\",\"x\":\"J-v-6ugbU3gG7NXZGh0Ez-Jdsg5sXWz0OlGA1LI2yHs\"}]}";

static const struct {
	const char *alg, *token;
} tokens[] = {
	{ "RS256",
	    "eyJhbGciOiJSUzI1NiIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJpIiwic3ViI"
	    "joicyJ9.HLQnMBbhk9kGMPZXJ1ytazZjaLkt5wIsueqKLTPuCcTDHgprzUXG8OUUxFk8wNKV"
	    "4WvbgSgomxZvOG2qu_5-61fnzzIyXbu_LkTajE_wWHskU8iVKjiQFlHLqnh8ATmEiA9euSuO"
	    "r4CnclB6YpV2AG7Xt_jPN1ZNdEWRz_cSLrJ0HHxww3BpdRCHmtvnwjsxy1tSdUUHOcFPbXEG"
	    "1rhPGP6V23RohtUNqYiDMSEKD2yK0C4296P_FwVQaDSZt70ZpkvbOAJChlfnYmt4ACw3iZNI"
	    "sqyMVtsWRl1BW2Q-LEJKzhsyccwqnQRcvhWyzyLgGcDNTc1J3gt7rgPclh8O-w" },
	{ "RS384",
	    "eyJhbGciOiJSUzM4NCIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJpIiwic3ViI"
	    "joicyJ9.lRecjbapd3-RjsaqvSzSNN8fqMZVzPfUHU4Zkyao0rl3t7-Fnj27ElxPHRiANsqI"
	    "AkwGZm1dy78zYjz_vXvQSw3uWM1oT9BGAAYsizTQgs7ie4QLNOkRqUBYh9AGsuJjXc3UQTnY"
	    "V8XKh1I3238Rm525EDyjacjbpinIs88JtHMGFVJMK-upDtIkJMbXENjMjow4N57_VVdwDo8m"
	    "n6TtQLnsT8D33AoZiu0bPMGBsHE3kcG9zBFDkLF3AHO8SN039qUOL8DNloe20BEb37lgC8yr"
	    "kIPtGDN71ebANgV9ZUFNzdb03_2zSTAjnCXcB4cYRAJ09cpUazCh4s_IthzplA" },
	{ "RS512",
	    "eyJhbGciOiJSUzUxMiIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJpIiwic3ViI"
	    "joicyJ9.M-JEIwr7yEpftDu0jBGOM1qfRCr_qoeP8mkGMQJd_Y_nHUSVFF6eZI7u7Tj_ZprF"
	    "eOHq8z73AoofMczNPzf-_B9CDO1lPJ7RX_1NKDuf5wExFXNm2mHoSgkki2lkPsekOydk6VWX"
	    "q_l-ZTLJU_tJz-ZGw252oe16YJ_Cnryq8nuDwzyEGsJeA_psetuBifaWGnzzHluYkfx02puj"
	    "xsRRoiH2b1Q8M6Zv3L133j5ivCVENOQbbE7-IEZZcYe1-DQ3nyz-sc5HQanKwjwrzlJ7aifv"
	    "0G2ndOnvD7YpA9tXxGHG1gYuTC72FCfB3jg2QD38nae5R1bsiXxPTyGqXdROSQ" },
	{ "PS256",
	    "eyJhbGciOiJQUzI1NiIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJpIiwic3ViI"
	    "joicyJ9.GfO71EPRlHXbudySw8zY9X2AN2XxhwKFiEw9Y4QFanYcDdA_ZSq7IybnIE7Ipesu"
	    "XkYDamhybs5ZygrScRU7Si0S7dHVFvyPFUQALZ3lomeI8nH8Q2vVqc1vr1WQobcib3QwIRZw"
	    "oBgE-SaMSRruo7O7JKakp71qfAFaBh1k0Sv5e-Jn7wvQZYd1KH4mJWd9NuQl36shGSABfK0l"
	    "iGY5p3UICbIlXTAZMWY5c7lSl6MHF1JiVejhYRY4hbeDveSa4EUCIJDz_oznnqq7Lg3X0QqS"
	    "2Ftv7no85xU33qsxlPrWfD9rHMtGM0DSBFaU8TMnTrZ1emlu04S1HpplZQjofQ" },
	{ "PS512",
	    "eyJhbGciOiJQUzUxMiIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJpIiwic3ViI"
	    "joicyJ9.ov1PguhTs-juibctgrvDSngrq0n5LpNHRUJq82VknhugLHZRwXri4co2UMtZ5fKS"
	    "ALjx0QMqpaEPxQb70RkneKAHStj8wL5JTSEl6xmX2fw9xO0J5dBD6hgLq0HRbAseCt_gmX0_"
	    "VwihCsIaC0jPnw-JsNTNRcRcmJdL6o9lPlOZQbSqHXMaupqCf_joqNRR_NNyJbxkR8n_rvlL"
	    "lTRudpNqcqkJVW27vQSGkrO_4jyl0h8QqAJrlv7AePRXjzVEr2jUJjr61uctg4__ULaPXYM2"
	    "dKsFs_U6L276gfm-1hP4HxbdjYNXnvG6f6XN7GW5daPUqru6Rdhc25sjnCCc_g" },
	{ "ES256",
	    "eyJhbGciOiJFUzI1NiIsImtpZCI6IlAtMjU2IiwidHlwIjoiSldUIn0.eyJpc3MiOiJpIiwi"
	    "c3ViIjoicyJ9.6x4H0bDbSIJWrcu-KQGqDQzcQL0pE4cxGv6Fb2sxkd3jQoiIaWJJyW_YMoh"
	    "_ZTO7oQJXAGlwUcAQYZc2iDKgww" },
	{ "ES384",
	    "eyJhbGciOiJFUzM4NCIsImtpZCI6IlAtMzg0IiwidHlwIjoiSldUIn0.eyJpc3MiOiJpIiwi"
	    "c3ViIjoicyJ9.xYIcgEGD1PB5JVrixl-zCYr1pl7N5syWLTVZjspV7g-cWPbavt9vi3k9-RQ"
	    "yjKv6yE2CKvy8R1_Vt483t8Z8QTmVs312aSmbxR6aAUIE9UV63lw2RVvqRBwVFSIQXbv9" },
	{ "ES512",
	    "eyJhbGciOiJFUzUxMiIsImtpZCI6IlAtNTIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJpIiwi"
	    "c3ViIjoicyJ9.AE-cXHwgXWDPSIk_6OqWY0qsZn0Saa0pgJfbE774664tzpX7M98oQNZQ-xO"
	    "OzUiSO7j7tGJVK4V2k1qHFbDKXf-wAfg1Oi9tM2URccX4Z_Q1pJAPOgIvdVWVgzJDmxqClrt"
	    "HxrxqpF3S7vkEgNlQibsgZGTzy8bdUBrft3LQZJX0Qo8n" },
	{ "EdDSA",
	    "eyJhbGciOiJFZERTQSIsImtpZCI6ImUiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJpIiwic3ViI"
	    "joicyJ9.cSrxykTYUcXqz6QFJ8B-pKw7sdo7tvAIGCjvDTmRXTZGH3MPhAK3WVLySjdAJFoq"
	    "Ob2aI8w6b7FjyRN6QDeRAw" },
};

static struct jwt_keys *parse(const char *text, struct err *e)
{
	struct jwt_keys *k = NULL;

	CHECK((jwt_keys_parse(&k, "keys", text, strlen(text), e) == 0) == (k != NULL));
	return k;
}

static bool verifies(const struct jwt_keys *k, const char *token)
{
	struct jwt t;
	bool ok;

	if (jwt_parse(&t, token, strlen(token)) < 0)
		return false;
	ok = jwt_verify(k, &t, token);
	jwt_deinit(&t);
	return ok;
}

TEST(every_algorithm)
{
	struct jwt_keys *k = parse(jwks, NULL);

	CHECK(k && jwt_keys_count(k) == 5);
	for (size_t i = 0; k && i < ARRAY_SIZE(tokens); i++) {
		struct jwt t;

		CHECK(jwt_parse(&t, tokens[i].token, strlen(tokens[i].token)) == 0);
		CHECK(str_eq(t.alg, tokens[i].alg));
		CHECK(str_eq(json_str(t.claims, "sub"), "s"));
		CHECK(jwt_verify(k, &t, tokens[i].token));
		jwt_deinit(&t);
	}
	jwt_keys_free(k);
}

/* Each byte of each token: what was changed is no token, or verifies no more. */
TEST(what_was_changed)
{
	struct jwt_keys *k = parse(jwks, NULL);

	for (size_t i = 0; k && i < ARRAY_SIZE(tokens); i++) {
		size_t n = strlen(tokens[i].token);
		char *s = strdup(tokens[i].token);

		for (size_t at = 0; s && at < n; at += 5) {
			s[at] = s[at] == 'A' ? 'B' : 'A';
			CHECK(!verifies(k, s));
			s[at] = tokens[i].token[at];
		}
		free(s);
	}
	jwt_keys_free(k);
}

/* The algorithm that the attacker chose: "none", and a public key taken as a secret. */
TEST(confusion)
{
	static const uint8_t secret[JWT_SECRET_SIZE] =
	    "0123456789abcdef0123456789abcde";
	struct jwt_keys *k = parse(jwks, NULL);
	_cleanup_(str_deinit) struct str own = STR_INIT;
	_cleanup_(json_freep) json_t *claims = json_pack("{s:s}", "sub", "x");
	struct jwt t;

	/* {"alg":"none"}.{"sub":"x"}. */
	CHECK(!verifies(k, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."));
	CHECK(jwt_make(&own, secret, claims) == 0);
	CHECK(!verifies(k, str_get(&own)));
	CHECK(jwt_parse(&t, own.s, own.len) == 0);
	CHECK(jwt_verify_secret(secret, &t, own.s));
	own.s[own.len - 1] ^= 4;
	jwt_deinit(&t);
	if (jwt_parse(&t, own.s, own.len) == 0) {
		CHECK(!jwt_verify_secret(secret, &t, own.s));
		jwt_deinit(&t);
	}
	CHECK(jwt_parse(&t, tokens[0].token, strlen(tokens[0].token)) == 0);
	CHECK(!jwt_verify_secret(secret, &t, tokens[0].token));
	jwt_deinit(&t);
	jwt_keys_free(k);
}

TEST(what_is_no_token)
{
	static const char *const bad[] = { "", ".", "..", "a.b", "a.b.c.d", "e30.e30.",
		"e30.e30", "eyJhbGciOjF9.e30.", "W10.e30.AAAA",
		"eyJhbGciOiJIUzI1NiJ9.W10.AA",
		/* crit; alg twice */
		"eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ.e30.AAAA",
		"eyJhbGciOiJIUzI1NiIsImFsZyI6Im5vbmUifQ.e30.AAAA" };
	struct jwt t;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(jwt_parse(&t, bad[i], strlen(bad[i])) == -EINVAL);
}

static void refused(const char *text, const char *says)
{
	struct err e = ERR_INIT;
	struct jwt_keys *k = parse(text, &e);

	CHECK(!k && strstr(e.text, says));
	jwt_keys_free(k);
}

TEST(sets_that_are_none)
{
	refused("", "JSON");
	refused("[]", "\"keys\"");
	refused("{\"keys\":[]}", "no public key");
	refused("{\"keys\":[{}]}", "key 1 is broken");
	refused("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "no public key");
	refused(
	    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "too weak");
	refused(
	    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
	    "key 1 is broken");
	/* A point that is on no curve. */
	refused("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		"\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		"\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
	    "key 1 is broken");
	refused("{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\"}]}", "no public key");
}
