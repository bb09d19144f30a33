/* Conditional requests: see http_cond.h. */
#include "common/http_cond.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"

static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
	"Aug", "Sep", "Oct", "Nov", "Dec" };

const char *http_date_format(int64_t t, char buf[HTTP_DATE_MAX])
{
	time_t secs = (time_t)t;
	struct tm tm = { 0 };

	gmtime_r(&secs, &tm);
	snprintf(buf, HTTP_DATE_MAX, "%s, %02d %s %04d %02d:%02d:%02d GMT",
	    days[tm.tm_wday % 7], tm.tm_mday % 100, months[tm.tm_mon % 12],
	    (tm.tm_year + 1900) % 10000, tm.tm_hour % 100, tm.tm_min % 100,
	    tm.tm_sec % 100);
	return buf;
}

/* Exactly n digits at *p. */
static bool digits(const char **p, int n, int *ret)
{
	for (*ret = 0; n > 0; n--, ++*p) {
		if (**p < '0' || **p > '9')
			return false;
		*ret = *ret * 10 + (**p - '0');
	}
	return true;
}

static bool literal(const char **p, const char *s)
{
	if (!str_starts(*p, s))
		return false;
	*p += strlen(s);
	return true;
}

static bool month(const char **p, int *ret)
{
	for (*ret = 0; *ret < 12; ++*ret)
		if (literal(p, months[*ret]))
			return true;
	return false;
}

static bool clock_time(const char **p, struct tm *tm)
{
	return digits(p, 2, &tm->tm_hour) && literal(p, ":") &&
	    digits(p, 2, &tm->tm_min) && literal(p, ":") && digits(p, 2, &tm->tm_sec);
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool imf_fixdate(const char *p, struct tm *tm)
{
	int year;

	if (!(digits(&p, 2, &tm->tm_mday) && literal(&p, " ") &&
		month(&p, &tm->tm_mon) && literal(&p, " ") && digits(&p, 4, &year) &&
		literal(&p, " ") && clock_time(&p, tm) && literal(&p, " GMT") && !*p))
		return false;
	tm->tm_year = year - 1900;
	return true;
}

/* "06-Nov-94 08:49:37 GMT"; a year more than 50 years ahead is one of the past. */
static bool rfc850(const char *p, struct tm *tm)
{
	time_t real = (time_t)clock_real_s();
	struct tm today;
	int year;

	if (!(digits(&p, 2, &tm->tm_mday) && literal(&p, "-") &&
		month(&p, &tm->tm_mon) && literal(&p, "-") && digits(&p, 2, &year) &&
		literal(&p, " ") && clock_time(&p, tm) && literal(&p, " GMT") && !*p))
		return false;
	gmtime_r(&real, &today);
	tm->tm_year = today.tm_year / 100 * 100 + year;
	if (tm->tm_year > today.tm_year + 50)
		tm->tm_year -= 100;
	return true;
}

/* "Nov  6 08:49:37 1994" */
static bool asctime_date(const char *p, struct tm *tm)
{
	int year;

	if (!(month(&p, &tm->tm_mon) && literal(&p, " ")))
		return false;
	if (!(literal(&p, " ") ? digits(&p, 1, &tm->tm_mday)
			       : digits(&p, 2, &tm->tm_mday)))
		return false;
	if (!(literal(&p, " ") && clock_time(&p, tm) && literal(&p, " ") &&
		digits(&p, 4, &year) && !*p))
		return false;
	tm->tm_year = year - 1900;
	return true;
}

static bool day_name(const char **p)
{
	static const char rest[7][8] = { "day", "day", "sday", "nesday", "rsday", "day",
		"urday" };

	for (int i = 0; i < 7; i++) {
		if (literal(p, days[i])) {
			literal(p, rest[i]);
			return true;
		}
	}
	return false;
}

int http_date_parse(const char *s, int64_t *ret)
{
	struct tm tm = { 0 }, check;
	const char *p = s;
	bool ok;

	if (!day_name(&p))
		return -EINVAL;
	if (literal(&p, ", "))
		ok = p[0] && p[1] && p[2] == '-' ? rfc850(p, &tm) : imf_fixdate(p, &tm);
	else
		ok = literal(&p, " ") && asctime_date(p, &tm);
	if (!ok)
		return -EINVAL;
	if (tm.tm_sec == 60) /* a leap second counts as the one before */
		tm.tm_sec = 59;
	check = tm;
	*ret = (int64_t)timegm(&check);
	/* timegm() carries 31 February over into March; no date does. */
	if (check.tm_mday != tm.tm_mday || check.tm_hour != tm.tm_hour ||
	    check.tm_min != tm.tm_min || check.tm_sec != tm.tm_sec)
		return -EINVAL;
	return 0;
}

bool http_etag_matches(const char *list, const char *etag, bool weak)
{
	bool mine_weak = str_starts(etag, "W/");
	const char *mine = etag + (mine_weak ? 2 : 0), *p = list;
	size_t want = strlen(mine);

	if (str_eq(list, "*"))
		return true;
	for (;;) {
		bool theirs_weak;
		const char *end;

		p += strspn(p, " \t,");
		theirs_weak = literal(&p, "W/");
		if (*p != '"')
			return false;
		end = strchr(p + 1, '"');
		if (!end)
			return false;
		end++;
		if ((size_t)(end - p) == want && memcmp(p, mine, want) == 0 &&
		    (weak || (!mine_weak && !theirs_weak)))
			return true;
		p = end + strspn(end, " \t");
		if (*p != ',')
			return false;
	}
}

/* A header of which all lines together make the list. */
static bool any_line_matches(const struct http_head *h, const char *name,
    const char *value, const struct http_validator *v, bool weak)
{
	for (; value; value = http_head_next(h, name, value))
		if (str_eq(value, "*") ||
		    (v->etag && http_etag_matches(value, v->etag, weak)))
			return true;
	return false;
}

static bool later_than(const struct http_validator *v, const char *date, bool *known)
{
	int64_t t = 0;

	*known = v->modified && http_date_parse(date, &t) == 0;
	return v->modified > t;
}

int http_cond_judge(const struct http_head *h, const struct http_validator *v)
{
	bool safe = h->method & (HTTP_GET | HTTP_HEAD), known, later;
	const char *value;

	value = http_head_get(h, "if-match");
	if (value) {
		if (!any_line_matches(h, "if-match", value, v, false))
			return 412;
	} else if ((value = http_head_get(h, "if-unmodified-since"))) {
		later = later_than(v, value, &known);
		if (known && later)
			return 412;
	}
	value = http_head_get(h, "if-none-match");
	if (value) {
		if (any_line_matches(h, "if-none-match", value, v, true))
			return safe ? 304 : 412;
	} else if (safe && (value = http_head_get(h, "if-modified-since"))) {
		later = later_than(v, value, &known);
		if (known && !later)
			return 304;
	}
	return 0;
}

bool http_cond_range(const struct http_head *h, const struct http_validator *v)
{
	const char *value = http_head_get(h, "if-range");
	int64_t t;

	if (!value)
		return true;
	if (value[0] == '"' || str_starts(value, "W/"))
		return v->etag && !str_eq(value, "*") &&
		    http_etag_matches(value, v->etag, false);
	return v->modified && http_date_parse(value, &t) == 0 && t == v->modified;
}
