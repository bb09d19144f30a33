/* Certificates wherever they stand, and when they end. */
#include "tests/unit/test.h"

#include <string.h>

#include "common/digest.h"
#include "common/x509_make.h"
#include "ignd/certclock.h"

#define DAY 86400

/* A CA that holds between these. */
static void make(struct str *pem, int64_t from, int64_t to)
{
	_cleanup_(str_deinit) struct str key = STR_INIT;
	struct x509_subject subject = { .cn = "root-ca" };

	str_reset(pem);
	CHECK(x509_make_ca(pem, &key, &subject, from, to, NULL) == 0);
}

static size_t found(const struct str *text)
{
	struct certclock c = { 0 };
	size_t n;

	CHECK(certclock_scan(&c, "/x", str_get(text), text->len) == 0);
	n = c.n;
	certclock_deinit(&c);
	return n;
}

TEST(wherever_they_stand)
{
	_cleanup_(str_deinit) struct str pem = STR_INIT, text = STR_INIT;

	make(&pem, 0, DAY);
	CHECK(found(&pem) == 1);
	str_addf(&text, "leading\n%s%s", pem.s, pem.s);
	CHECK(found(&text) == 2);
	str_reset(&text); /* a block scalar of YAML */
	str_addz(&text, "ca: |\n");
	for (const char *p = pem.s; *p; p += strcspn(p, "\n") + 1)
		str_addf(&text, "    %.*s\r\n", (int)strcspn(p, "\n"), p);
	CHECK(found(&text) == 1);
	str_reset(&text); /* a kubeconfig, a Secret */
	str_addz(&text, "certificate-authority-data: ");
	base64_encode(&text, pem.s, pem.len, BASE64_STD);
	str_addz(&text, "\ntls.crt: \"");
	base64_encode(&text, pem.s, pem.len, BASE64_STD);
	str_addz(&text, "\"\n");
	CHECK(found(&text) == 2);
}

TEST(broken_ones)
{
	struct certclock c = { 0 };
	static const char open_end[] = "-----BEGIN CERTIFICATE-----\nMIIB\n";
	static const char rubbish[] =
	    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

	CHECK(certclock_scan(&c, "/x", open_end, strlen(open_end)) == 0);
	CHECK(certclock_scan(&c, "/x", rubbish, strlen(rubbish)) == 0);
	CHECK(certclock_scan(&c, "/x", "", 0) == 0);
	CHECK(c.n == 0 && c.unreadable == 2);
	CHECK(certclock_judge(&c, 5, 5) == CERTCLOCK_NONE);
	certclock_deinit(&c);
}

TEST(latest_and_earliest)
{
	_cleanup_(str_deinit) struct str pem = STR_INIT, text = STR_INIT;
	struct certclock c = { 0 };

	make(&pem, 10 * DAY, 30 * DAY);
	CHECK(certclock_scan(&c, "/a", pem.s, pem.len) == 0);
	make(&pem, 12 * DAY, 40 * DAY);
	CHECK(certclock_scan(&c, "/b", pem.s, pem.len) == 0);
	make(&pem, 1 * DAY, 20 * DAY);
	CHECK(certclock_scan(&c, "/c", pem.s, pem.len) == 0);
	CHECK(c.n == 3);
	CHECK(
	    c.not_before == 12 * DAY && str_eq(c.not_before_where, "/b (CN=root-ca)"));
	CHECK(c.not_after == 20 * DAY && str_eq(c.not_after_where, "/c (CN=root-ca)"));
	CHECK(certclock_judge(&c, 12 * DAY - 1, DAY) == CERTCLOCK_EARLY);
	CHECK(certclock_judge(&c, 12 * DAY, DAY) == CERTCLOCK_GOOD);
	CHECK(certclock_judge(&c, 19 * DAY, DAY) == CERTCLOCK_GOOD);
	CHECK(certclock_judge(&c, 19 * DAY + 1, DAY) == CERTCLOCK_SOON);
	CHECK(certclock_judge(&c, 20 * DAY, DAY) == CERTCLOCK_SOON);
	CHECK(certclock_judge(&c, 20 * DAY + 1, DAY) == CERTCLOCK_EXPIRED);
	certclock_describe(&c, CERTCLOCK_EXPIRED, 20 * DAY + 7260, &text);
	CHECK(strstr(str_get(&text), "at 1970-01-21T00:00:00Z, 2 h 1 min ago (/c"));
	str_reset(&text);
	certclock_describe(&c, CERTCLOCK_EARLY, 12 * DAY - 60, &text);
	CHECK(strstr(str_get(&text), "in 0 h 1 min"));
	certclock_deinit(&c);
}
