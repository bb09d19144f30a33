/* The vocabulary of HTTP: methods, status codes, content types, lists, queries. */
#include "common/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/http_path.h"
#include "common/str.h"

static const struct {
	const char *name;
	enum http_method method;
} methods[] = {
	{ "GET", HTTP_GET },
	{ "HEAD", HTTP_HEAD },
	{ "POST", HTTP_POST },
	{ "PUT", HTTP_PUT },
	{ "PATCH", HTTP_PATCH },
	{ "DELETE", HTTP_DELETE },
	{ "OPTIONS", HTTP_OPTIONS },
};

enum http_method http_method_from(const char *name, size_t n)
{
	/* Methods are case-sensitive (RFC 9110 section 9.1). */
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strlen(methods[i].name) == n &&
		    memcmp(methods[i].name, name, n) == 0)
			return methods[i].method;
	return HTTP_OTHER;
}

const char *http_methods_format(unsigned set, char buf[64])
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (set & methods[i].method)
			len += (size_t)snprintf(buf + len, 64 - len, "%s%s",
			    len ? ", " : "", methods[i].name);
	return buf;
}

static const struct {
	int status;
	const char *text;
} statuses[] = {
	{ 100, "Continue" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 426, "Upgrade Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *http_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "Unknown";
}

bool http_list_has(const char *list, const char *token)
{
	size_t want = strlen(token);

	for (const char *p = list; *p;) {
		size_t n;

		p += strspn(p, " \t,");
		n = strcspn(p, ",");
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n == want && strncasecmp(p, token, n) == 0)
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

const char *http_mime(const char *path)
{
	static const struct {
		const char *suffix, *type;
	} table[] = {
		{ ".ign", "application/vnd.coreos.ignition+json" },
		{ ".json", "application/json" },
		{ ".html", "text/html; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".txt", "text/plain; charset=utf-8" },
		{ ".ipxe", "text/plain; charset=utf-8" },
		{ ".sha256", "text/plain; charset=utf-8" },
		{ ".sha512", "text/plain; charset=utf-8" },
		{ ".yaml", "application/yaml" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".ico", "image/x-icon" },
	};
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(table); i++)
		if (strcasecmp(dot, table[i].suffix) == 0)
			return table[i].type;
	return "application/octet-stream";
}

/* Decodes up to n bytes of a form-encoded value. */
static ssize_t form_decode(const char *p, size_t n, char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int c = p[i] == '+' ? ' ' : (unsigned char)p[i];

		if (c == '%') {
			c = i + 2 < n ? http_hex_pair(p + i + 1) : -1;
			if (c <= 0)
				return -EINVAL;
			i += 2;
		}
		if (len + 1 >= size)
			return -ENOSPC;
		out[len++] = (char)c;
	}
	if (len >= size)
		return -ENOSPC;
	out[len] = '\0';
	return (ssize_t)len;
}

ssize_t http_query_get(const char *query, const char *name, char *out, size_t size)
{
	size_t want = strlen(name);

	for (const char *p = query; p; p = *p ? p + 1 : NULL) {
		size_t n = strcspn(p, "&");

		if (n >= want && memcmp(p, name, want) == 0) {
			if (n == want)
				return form_decode(p, 0, out, size);
			if (p[want] == '=')
				return form_decode(
				    p + want + 1, n - want - 1, out, size);
		}
		p += n;
	}
	return -ENOENT;
}
