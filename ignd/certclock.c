/* When certificates end: see certclock.h. */
#include "ignd/certclock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/digest.h"
#include "common/x509.h"

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"
/* Shorter base64 holds no certificate; PEM's own lines have 64 digits. */
#define BASE64_MIN 128

void certclock_deinit(struct certclock *c)
{
	free(c->not_before_where);
	free(c->not_after_where);
	*c = (struct certclock){ 0 };
}

static int say_where(char **to, const char *where, const struct x509_cert *cert)
{
	char *text;

	if (asprintf(&text, "%s (%s)", where, cert->subject.text) < 0)
		return -ENOMEM;
	free(*to);
	*to = text;
	return 0;
}

static int add_cert(
    struct certclock *c, const char *where, const struct x509_cert *cert)
{
	int r = 0;

	if (!c->n || cert->not_after < c->not_after) {
		c->not_after = cert->not_after;
		r = say_where(&c->not_after_where, where, cert);
	}
	if (r == 0 && (!c->n || cert->not_before > c->not_before)) {
		c->not_before = cert->not_before;
		r = say_where(&c->not_before_where, where, cert);
	}
	c->n++;
	return r;
}

/* A block as it stands, each line without the blanks it is indented by. */
static void unindent(const char *p, size_t n, struct str *out)
{
	bool start = true;

	for (size_t i = 0; i < n; i++) {
		if (start && (p[i] == ' ' || p[i] == '\t'))
			continue;
		if (p[i] != '\r')
			str_addc(out, p[i]);
		start = p[i] == '\n';
	}
	str_addc(out, '\n');
}

static int add_block(struct certclock *c, const char *where, const char *p, size_t n)
{
	_cleanup_(str_deinit) struct str pem = STR_INIT;
	_cleanup_(x509_certs_freep) struct x509_certs *certs = NULL;
	int r;

	unindent(p, n, &pem);
	if (str_err(&pem))
		return -ENOMEM;
	r = x509_certs_parse(&certs, pem.s, pem.len, NULL);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		c->unreadable++;
		return 0;
	}
	for (size_t i = 0; r == 0 && i < certs->n; i++)
		r = add_cert(c, where, &certs->v[i]);
	return r;
}

static int scan_pem(struct certclock *c, const char *where, const char *p, size_t n)
{
	const char *end = p + n, *at, *last;
	int r;

	while ((at = memmem(p, (size_t)(end - p), BEGIN, strlen(BEGIN)))) {
		last = memmem(at, (size_t)(end - at), END, strlen(END));
		if (!last) {
			c->unreadable++;
			return 0;
		}
		p = last + strlen(END);
		r = add_block(c, where, at, (size_t)(p - at));
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '=';
}

static int scan_run(struct certclock *c, const char *where, const char *p, size_t n)
{
	_cleanup_(str_deinit) struct str plain = STR_INIT;
	int r;

	/* A key in front ("=") may have run into it. */
	r = base64_decode(&plain, p, n - n % 4, BASE64_STD);
	if (r == -ENOMEM)
		return r;
	return r < 0 || !plain.len ? 0 : scan_pem(c, where, plain.s, plain.len);
}

int certclock_scan(struct certclock *c, const char *where, const char *p, size_t n)
{
	size_t begin = 0;
	int r = scan_pem(c, where, p, n);

	for (size_t i = 0; r == 0 && i <= n; i++) {
		if (i < n && is_base64(p[i]))
			continue;
		if (i - begin >= BASE64_MIN)
			r = scan_run(c, where, p + begin, i - begin);
		begin = i + 1;
	}
	return r;
}

enum certclock_state certclock_judge(
    const struct certclock *c, int64_t now, int64_t warn_before)
{
	if (!c->n)
		return CERTCLOCK_NONE;
	if (now > c->not_after)
		return CERTCLOCK_EXPIRED;
	if (now < c->not_before)
		return CERTCLOCK_EARLY;
	return now > c->not_after - warn_before ? CERTCLOCK_SOON : CERTCLOCK_GOOD;
}

const char *certclock_state_text(enum certclock_state s)
{
	static const char *const text[] = {
		[CERTCLOCK_NONE] = "none",
		[CERTCLOCK_GOOD] = "good",
		[CERTCLOCK_SOON] = "expires soon",
		[CERTCLOCK_EXPIRED] = "expired",
		[CERTCLOCK_EARLY] = "not yet valid",
	};

	return text[s];
}

static void span(struct str *out, int64_t seconds)
{
	str_addf(out, "%lld h %lld min", (long long)(seconds / 3600),
	    (long long)(seconds / 60 % 60));
}

void certclock_describe(
    const struct certclock *c, enum certclock_state s, int64_t now, struct str *out)
{
	switch (s) {
	case CERTCLOCK_NONE:
		str_addz(out, "it holds no certificates");
		return;
	case CERTCLOCK_GOOD:
	case CERTCLOCK_SOON:
		str_addf(out, "its certificates hold until %s, for ",
		    certclock_time_str(c->not_after));
		span(out, c->not_after - now);
		str_addf(out, " more; the first to end is %s", c->not_after_where);
		return;
	case CERTCLOCK_EXPIRED:
		str_addf(out, "its certificates have expired at %s, ",
		    certclock_time_str(c->not_after));
		span(out, now - c->not_after);
		str_addf(out,
		    " ago (%s); make new ones with openshift-install create "
		    "ignition-configs",
		    c->not_after_where);
		return;
	case CERTCLOCK_EARLY:
		str_addf(out, "its certificates hold from %s on, in ",
		    certclock_time_str(c->not_before));
		span(out, c->not_before - now);
		str_addf(out,
		    " (%s): the clock here is slow, or was fast where they were made",
		    c->not_before_where);
		return;
	}
}

const char *certclock_time(int64_t t, char buf[CERTCLOCK_TIME_MAX])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&when, &tm) ||
	    !strftime(buf, CERTCLOCK_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(buf, CERTCLOCK_TIME_MAX, "%lld", (long long)t);
	return buf;
}
