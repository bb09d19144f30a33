/* Errors for clients: see reply.h. */
#include "regd/reply.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/http_reply.h"
#include "common/log.h"

int reply_oci(struct http_req *r, int status, const char *code, const char *fmt, ...)
{
	char message[512], *text = NULL;
	json_t *body;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	/* What it quotes may have been cut in the middle of a character. */
	for (char *s = message; *s; s++)
		if ((unsigned char)*s >= 0x80)
			*s = '?';
	body = json_pack("{s:[{s:s,s:s%}]}", "errors", "code", code, "message", message,
	    strlen(message));
	if (body)
		text = json_dumps(body, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(body);
	if (!text) {
		http_reply_empty(r, 500);
		return 0;
	}
	http_reply(r, status, "application/json", text, strlen(text));
	free(text);
	return 0;
}

int reply_unwritable(struct http_req *r)
{
	return reply_oci(r, 503, "UNAVAILABLE",
	    "the registry's disk takes no writes at present; pulls go on");
}

int reply_failed(struct http_req *r, int error, const char *what)
{
	log_err("%s: %s", what, strerror(-error));
	if (error == -EROFS)
		return reply_unwritable(r);
	if (error == -ENOSPC || error == -EDQUOT)
		return reply_oci(r, 507, "DENIED", "the registry's disk is full");
	return reply_oci(r, 500, "UNKNOWN", "the registry could not %s", what);
}

void reply_encode(struct str *out, const char *s)
{
	for (; *s; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
		    (*s >= '0' && *s <= '9') || strchr("-._~/", *s);

		if (plain)
			str_addc(out, *s);
		else
			str_addf(out, "%%%02X", (unsigned char)*s);
	}
}

void reply_time(int64_t t, char buf[REPLY_TIME_MAX])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&when, &tm) ||
	    !strftime(buf, REPLY_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		buf[0] = '\0';
}

int reply_unsupported(struct http_req *r)
{
	return reply_oci(
	    r, 405, "UNSUPPORTED", "this is not offered here, or not by this method");
}
