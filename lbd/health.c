/* Counting checks: see health.h. */
#include "lbd/health.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void health_init(struct health *h, unsigned rise, unsigned fall)
{
	*h = (struct health){ rise, fall, rise, true };
}

void health_configure(struct health *h, unsigned rise, unsigned fall)
{
	bool up = health_up(h), full = !health_in_transition(h);

	if (h->rise == rise && h->fall == fall)
		return;
	h->rise = rise;
	h->fall = fall;
	h->value = up ? (full ? rise + fall - 1 : rise) : 0;
}

bool health_up(const struct health *h)
{
	return h->value >= h->rise;
}

bool health_in_transition(const struct health *h)
{
	return h->unchecked || (h->value > 0 && h->value < h->rise + h->fall - 1);
}

void health_force(struct health *h, bool up)
{
	h->value = up ? h->rise + h->fall - 1 : 0;
	h->unchecked = false;
}

enum health_change health_add(struct health *h, bool ok)
{
	bool before = health_up(h), after;

	if (h->unchecked)
		health_force(h, ok);
	else if (ok && h->value < h->rise + h->fall - 1)
		h->value =
		    h->value + 1 >= h->rise ? h->rise + h->fall - 1 : h->value + 1;
	else if (!ok && h->value > 0)
		h->value = h->value - 1 < h->rise ? 0 : h->value - 1;
	after = health_up(h);
	if (before == after)
		return HEALTH_SAME;
	return after ? HEALTH_WENT_UP : HEALTH_WENT_DOWN;
}

const char *health_text(const struct health *h, char *buf)
{
	if (!health_in_transition(h) || h->unchecked)
		snprintf(buf, HEALTH_TEXT_MAX, "%s", health_up(h) ? "UP" : "DOWN");
	else if (health_up(h))
		snprintf(
		    buf, HEALTH_TEXT_MAX, "UP %u/%u", h->value - h->rise + 1, h->fall);
	else
		snprintf(buf, HEALTH_TEXT_MAX, "DOWN %u/%u", h->value, h->rise);
	return buf;
}

static const struct {
	const char *code, *text;
	bool ok;
} statuses[] = {
	[CHECK_STATUS_UNKNOWN] = { "UNK", "Unknown", false },
	[CHECK_STATUS_INIT] = { "INI", "Initializing", false },
	[CHECK_STATUS_SOCKERR] = { "SOCKERR", "Socket error", false },
	[CHECK_STATUS_L4OK] = { "L4OK", "Layer4 check passed", true },
	[CHECK_STATUS_L4TOUT] = { "L4TOUT", "Layer4 timeout", false },
	[CHECK_STATUS_L4CON] = { "L4CON", "Layer4 connection problem", false },
	[CHECK_STATUS_L6OK] = { "L6OK", "Layer6 check passed", true },
	[CHECK_STATUS_L6TOUT] = { "L6TOUT", "Layer6 timeout", false },
	[CHECK_STATUS_L6RSP] = { "L6RSP", "Layer6 invalid response", false },
	[CHECK_STATUS_L7OK] = { "L7OK", "Layer7 check passed", true },
	[CHECK_STATUS_L7TOUT] = { "L7TOUT", "Layer7 timeout", false },
	[CHECK_STATUS_L7RSP] = { "L7RSP", "Layer7 invalid response", false },
	[CHECK_STATUS_L7STS] = { "L7STS", "Layer7 wrong status", false },
};

const char *check_status_code(enum check_status s)
{
	return statuses[s].code;
}

const char *check_status_text(enum check_status s)
{
	return statuses[s].text;
}

bool check_status_ok(enum check_status s)
{
	return statuses[s].ok;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

enum check_reply check_reply_parse(const char *buf, size_t n, unsigned *code)
{
	static const char shape[] = "HTTP/#.# ###";

	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		if (i >= n)
			return CHECK_REPLY_MORE;
		if (shape[i] == '#' ? !is_digit(buf[i]) : buf[i] != shape[i])
			return CHECK_REPLY_BAD;
	}
	if (n == sizeof(shape) - 1)
		return CHECK_REPLY_MORE;
	if (buf[12] != ' ' && buf[12] != '\r' && buf[12] != '\n')
		return CHECK_REPLY_BAD;
	*code = (unsigned)(buf[9] - '0') * 100 + (unsigned)(buf[10] - '0') * 10 +
	    (unsigned)(buf[11] - '0');
	return *code >= 100 && *code <= 599 ? CHECK_REPLY_STATUS : CHECK_REPLY_BAD;
}

/* The value of a line of the head when that is its name, without the blanks before it. */
static const char *value_of(const char *line, const char *end, const char *name)
{
	size_t n = strlen(name);

	if ((size_t)(end - line) <= n || strncasecmp(line, name, n) != 0 ||
	    line[n] != ':')
		return NULL;
	for (line += n + 1; line < end && (*line == ' ' || *line == '\t'); line++)
		;
	return line;
}

static bool is_word(const char *value, const char *end, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(end - value) == n && strncasecmp(value, word, n) == 0;
}

/* -1: no plain number. */
static long length_of(const char *value, const char *end)
{
	long n = 0;

	if (value == end || end - value > 6)
		return -1;
	for (; value < end; value++) {
		if (!is_digit(*value))
			return -1;
		n = n * 10 + (*value - '0');
	}
	return n;
}

bool check_reply_keeps(const char *buf, size_t n)
{
	const char *end = memmem(buf, n, "\r\n\r\n", 4), *line, *next;
	long length = -1;

	/* HTTP/1.0 ends with the connection, and 1xx is not the reply yet. */
	if (!end || n < 12 || memcmp(buf, "HTTP/1.1 ", 9) != 0 || buf[9] == '1')
		return false;
	for (line = buf; line < end; line = next + 2) {
		const char *value;

		next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		value = value_of(line, next, "connection");
		if (value && !is_word(value, next, "keep-alive"))
			return false;
		if (value_of(line, next, "transfer-encoding"))
			return false;
		value = value_of(line, next, "content-length");
		if (!value)
			continue;
		if (length >= 0)
			return false;
		length = length_of(value, next);
		if (length < 0)
			return false;
	}
	return length >= 0 && (size_t)(end + 4 - buf) + (size_t)length == n;
}
