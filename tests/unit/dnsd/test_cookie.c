/* Cookies beside the examples of RFC 9018, appendix A. */
#include <string.h>

#include "tests/unit/test.h"

#include "common/digest.h"
#include "dnsd/cookie.h"

static struct cookie_key key(const char *hex)
{
	struct cookie_key k;

	if (hex_decode(hex, strlen(hex), k.bytes, sizeof(k.bytes)) < 0)
		abort();
	return k;
}

static struct net_ip ip(const char *text)
{
	struct net_ip i;

	if (net_ip_parse(text, &i) < 0)
		abort();
	return i;
}

/* What becomes of a cookie; got is the one to send, in hexadecimal. */
static bool refresh(const char *hex, const char *k, const char *from, uint32_t now,
    char got[2 * COOKIE_LEN + 1])
{
	uint8_t c[COOKIE_LEN] = { 0 };
	struct cookie_key kk = key(k);
	struct net_ip i = ip(from);
	size_t n = strlen(hex) / 2;
	bool valid;

	if (hex_decode(hex, 2 * n, c, n) < 0)
		abort();
	valid = cookie_refresh(c, n, &kk, &i, now);
	hex_encode(c, sizeof(c), got);
	return valid;
}

#define KEY "e5e973e5a6b2a43f48e7dc849e37bfcf"
#define FIRST "2464c4abcf10c957010000005cf79f111f8130c3eee29480"

TEST(examples_of_the_rfc)
{
	char got[2 * COOKIE_LEN + 1];

	/* A.1: a client that has none yet. */
	CHECK(!refresh("2464c4abcf10c957", KEY, "198.51.100.100", 1559731985, got));
	CHECK(strcmp(got, FIRST) == 0);
	/* A.2: it comes back a little later, and keeps it. */
	CHECK(refresh(FIRST, KEY, "198.51.100.100", 1559731985 + 60, got));
	CHECK(strcmp(got, FIRST) == 0);
	/* A.4: IPv6 and another secret. */
	CHECK(!refresh("22681ab97d52c298", "dd3bdf9344b678b185a6f5cb60fca715",
	    "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741817, got));
	CHECK(strcmp(got, "22681ab97d52c298010000005cf7c57926556bd0934c72f8") == 0);
}

TEST(age)
{
	char got[2 * COOKIE_LEN + 1];
	uint32_t t = 1559731985;

	CHECK(refresh(FIRST, KEY, "198.51.100.100", t + 1799, got));
	CHECK(strcmp(got, FIRST) == 0);
	/* Half an hour later it still counts, and a fresh one is given. */
	CHECK(refresh(FIRST, KEY, "198.51.100.100", t + 1800, got));
	CHECK(strcmp(got, FIRST) != 0);
	CHECK(refresh(got, KEY, "198.51.100.100", t + 3600, got));
	CHECK(refresh(FIRST, KEY, "198.51.100.100", t + 3600, got));
	CHECK(!refresh(FIRST, KEY, "198.51.100.100", t + 3601, got));
	/* Clocks that differ a little. */
	CHECK(refresh(FIRST, KEY, "198.51.100.100", t - 300, got));
	CHECK(!refresh(FIRST, KEY, "198.51.100.100", t - 301, got));
}

TEST(not_ours)
{
	char got[2 * COOKIE_LEN + 1], bad[sizeof(FIRST)];
	uint32_t t = 1559731985;

	CHECK(!refresh(FIRST, KEY, "198.51.100.101", t, got));
	CHECK(!refresh(
	    FIRST, "445536bcd2513298075a5d379663c962", "198.51.100.100", t, got));
	/* Each half byte of it counts. */
	for (size_t i = 0; i < 2 * COOKIE_LEN; i++) {
		memcpy(bad, FIRST, sizeof(bad));
		bad[i] = bad[i] == '3' ? '4' : '3';
		CHECK(!refresh(bad, KEY, "198.51.100.100", t, got));
	}
	/* Other servers' lengths. */
	CHECK(!refresh(
	    "2464c4abcf10c95701020304050607ff", KEY, "198.51.100.100", t, got));
	CHECK(strcmp(got, FIRST) == 0);
}
