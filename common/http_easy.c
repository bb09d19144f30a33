/* Options and failures of an easy handle: see http_easy.h. */
#include "common/http_easy.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "common/fd.h"
#include "common/http_client.h"
#include "common/str.h"

#define CONNECT_MS 10000
#define KEEPALIVE_IDLE_S 30L
#define KEEPALIVE_INTERVAL_S 10L

void ca_files_deinit(struct ca_files *c)
{
	while (c->n > 0)
		fd_close(c->v[--c->n].fd);
}

/* A descriptor of the set that holds the text, or -errno. */
static int ca_files_get(struct ca_files *c, const char *pem)
{
	uint8_t digest[DIGEST_SHA256_SIZE];
	_cleanup_(fd_closep) int fd = -1;
	int r;

	digest_of(DIGEST_SHA256, pem, strlen(pem), digest);
	for (unsigned i = 0; i < c->n; i++) {
		if (memcmp(c->v[i].digest, digest, sizeof(digest)) == 0)
			return c->v[i].fd;
	}
	if (c->n == CA_FILES_MAX)
		return -EMFILE;
	fd = memfd_create("ca", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, pem, strlen(pem));
	if (r < 0)
		return r;
	memcpy(c->v[c->n].digest, digest, sizeof(digest));
	c->v[c->n].fd = TAKE_FD(fd);
	return c->v[c->n++].fd;
}

/* What is being built; a failed option sticks, as in struct str. */
struct setup {
	struct http_easy *e;
	const struct http_client_request *req;
	CURLcode rc;
};

#define SET(s, option, value)                                                    \
	do {                                                                     \
		if ((s)->rc == CURLE_OK)                                         \
			(s)->rc = curl_easy_setopt((s)->e->curl, option, value); \
	} while (0)

/* What older libraries do not know is done without. */
#define TRY(s, option, value) (void)curl_easy_setopt((s)->e->curl, option, value)

static long ms_long(uint64_t ms)
{
	return (long)MIN(ms, (uint64_t)INT_MAX);
}

static bool is_token(const char *s)
{
	static const char other[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++) {
		bool alnum = (*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
		    (*s >= 'a' && *s <= 'z');

		if (!alnum && !strchr(other, *s))
			return false;
	}
	return true;
}

/* Nothing that would end a header line early. */
static bool is_line(const char *s)
{
	return !strpbrk(s, "\r\n");
}

static int list_add(struct curl_slist **list, const char *line)
{
	struct curl_slist *l = curl_slist_append(*list, line);

	if (!l)
		return -ENOMEM;
	*list = l;
	return 0;
}

static int list_addf(struct curl_slist **list, const char *fmt, ...) _printf_(2, 3);
static int list_addf(struct curl_slist **list, const char *fmt, ...)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	return str_err(&s) ? -ENOMEM : list_add(list, str_get(&s));
}

/* One header of the caller's, in libcurl's notation: an empty value is "Name;". */
static int add_header(struct http_easy *e, const char *line, struct err *err)
{
	const char *colon = strchr(line, ':'), *value;
	char name[128];
	size_t n = colon ? (size_t)(colon - line) : 0;

	if (n == 0 || n >= sizeof(name) || !is_line(line))
		return err_set(err, -EINVAL, "\"%.64s\" is no header line", line);
	memcpy(name, line, n);
	name[n] = '\0';
	if (!is_token(name))
		return err_set(err, -EINVAL, "\"%.64s\" is no header line", line);
	value = colon + 1 + strspn(colon + 1, " \t");
	return *value ? list_add(&e->headers, line)
		      : list_addf(&e->headers, "%s;", name);
}

static bool has_header(const struct http_client_request *req, const char *name)
{
	size_t n = strlen(name);

	for (const char *const *h = req->headers; h && *h; h++) {
		if (strncasecmp(*h, name, n) == 0 && (*h)[n] == ':')
			return true;
	}
	return false;
}

static int set_headers(struct setup *s, bool with_body, struct err *err)
{
	const struct http_client_request *req = s->req;
	int r;

	for (const char *const *h = req->headers; h && *h; h++) {
		r = add_header(s->e, *h, err);
		if (r < 0)
			return r;
	}
	if (req->bearer && (!*req->bearer || !is_line(req->bearer)))
		return err_set(
		    err, -EINVAL, "the bearer token is empty or holds a line end");
	r = req->bearer
	    ? list_addf(&s->e->headers, "Authorization: Bearer %s", req->bearer)
	    : 0;
	/* Or libcurl would wait a second for a 100 that few servers send. */
	if (r == 0)
		r = list_add(&s->e->headers, "Expect:");
	if (r == 0 && with_body && !has_header(req, "Content-Type"))
		r = list_add(&s->e->headers, "Content-Type:");
	return r;
}

static int set_method(struct setup *s, struct err *err)
{
	const struct http_client_request *req = s->req;
	const char *method = req->method;
	bool with_body;

	if (!method)
		method = req->body ? "POST" : "GET";
	if (!is_token(method))
		return err_set(err, -EINVAL, "\"%.32s\" is no HTTP method", method);
	with_body = req->body || str_eq(method, "POST") || str_eq(method, "PUT") ||
	    str_eq(method, "PATCH");
	if (str_eq(method, "HEAD")) {
		if (req->body)
			return err_set(err, -EINVAL, "a HEAD request has no body");
		SET(s, CURLOPT_NOBODY, 1L);
	} else if (with_body) {
		SET(s, CURLOPT_POST, 1L);
		SET(s, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
		SET(s, CURLOPT_COPYPOSTFIELDS, req->body_len ? req->body : "");
	} else {
		SET(s, CURLOPT_HTTPGET, 1L);
	}
	if (!str_eq(method, "HEAD"))
		SET(s, CURLOPT_CUSTOMREQUEST, method);
	return set_headers(s, with_body, err);
}

/* The parts of a URL, each curl_free()d. */
struct url {
	CURLU *u;
	char *scheme, *host, *port, *path;
	bool https;
};

static void url_deinit(struct url *u)
{
	curl_free(u->scheme);
	curl_free(u->host);
	curl_free(u->port);
	curl_free(u->path);
	curl_url_cleanup(u->u);
}

static int url_parse(struct url *u, const char *text, struct err *err)
{
	CURLUcode rc;

	u->u = curl_url();
	if (!u->u)
		return -ENOMEM;
	rc = curl_url_set(u->u, CURLUPART_URL, text ? text : "", 0);
	if (rc == CURLUE_OUT_OF_MEMORY)
		return -ENOMEM;
	if (rc != CURLUE_OK || !is_line(text) ||
	    curl_url_get(u->u, CURLUPART_SCHEME, &u->scheme, 0) != CURLUE_OK ||
	    curl_url_get(u->u, CURLUPART_HOST, &u->host, 0) != CURLUE_OK ||
	    curl_url_get(u->u, CURLUPART_PORT, &u->port, CURLU_DEFAULT_PORT) !=
		CURLUE_OK ||
	    curl_url_get(u->u, CURLUPART_PATH, &u->path, 0) != CURLUE_OK)
		return err_set(err, -EINVAL, "\"%.256s\" is no http or https URL",
		    text ? text : "");
	u->https = str_eq(u->scheme, "https");
	if (!u->https && !str_eq(u->scheme, "http"))
		return err_set(
		    err, -EINVAL, "\"%.256s\" is no http or https URL", text);
	return 0;
}

/*
 * For a name of its own in TLS, the URL carries that name, and the connection and the
 * Host header go where the URL pointed.
 */
static int set_tls_name(struct setup *s, struct url *u, struct err *err)
{
	const char *name = s->req->tls_server_name;
	bool v6 = strchr(name, ':') && name[0] != '[';
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
	_cleanup_(str_deinit) struct str host = STR_INIT;
	char *url = NULL;
	int r;

	str_addf(&host, "%s%s%s", open, name, close);
	if (str_err(&host))
		return -ENOMEM;
	if (curl_url_set(u->u, CURLUPART_HOST, str_get(&host), 0) != CURLUE_OK ||
	    curl_url_get(u->u, CURLUPART_URL, &url, 0) != CURLUE_OK)
		return err_set(err, -EINVAL, "\"%.128s\" is no server name", name);
	SET(s, CURLOPT_URL, url);
	curl_free(url);
	r = list_addf(&s->e->connect_to, "%s:%s:%s:%s", str_get(&host), u->port,
	    u->host, u->port);
	SET(s, CURLOPT_CONNECT_TO, s->e->connect_to);
	if (r == 0 && !has_header(s->req, "Host"))
		r = list_addf(&s->e->headers,
		    str_eq(u->port, "443") ? "Host: %s" : "Host: %s:%s", u->host,
		    u->port);
	return r;
}

static int set_url(struct setup *s, struct err *err)
{
	_cleanup_(url_deinit) struct url u = { 0 };
	_cleanup_(str_deinit) struct str what = STR_INIT;
	const char *method = s->req->method;
	bool standard;
	int r;

	r = url_parse(&u, s->req->url, err);
	if (r < 0)
		return r;
	standard = str_eq(u.port, u.https ? "443" : "80");
	str_addf(&what, "%s %s://%s",
	    method             ? method
		: s->req->body ? "POST"
			       : "GET",
	    u.scheme, u.host);
	if (!standard)
		str_addf(&what, ":%s", u.port);
	str_addz(&what, u.path);
	s->e->what = str_take(&what);
	if (!s->e->what)
		return -ENOMEM;
		/* Redirects never lead out of TLS. */
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(s, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(s, CURLOPT_REDIR_PROTOCOLS_STR, u.https ? "https" : "http,https");
#else
	SET(s, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	SET(s, CURLOPT_REDIR_PROTOCOLS,
	    (long)(CURLPROTO_HTTPS | (u.https ? 0 : CURLPROTO_HTTP)));
#endif
	SET(s, CURLOPT_FOLLOWLOCATION, s->req->redirects ? 1L : 0L);
	SET(s, CURLOPT_MAXREDIRS, (long)s->req->redirects);
	SET(s, CURLOPT_PATH_AS_IS, 1L);
	if (s->req->tls_server_name && u.https)
		return set_tls_name(s, &u, err);
	SET(s, CURLOPT_URL, s->req->url);
	return 0;
}

static void set_blob(struct setup *s, CURLoption option, const char *pem)
{
	struct curl_blob blob = { (void *)pem, strlen(pem), CURL_BLOB_COPY };

	SET(s, option, &blob);
}

/* The CA, and no other: the library's default folder of CAs is switched off with it. */
static int set_ca(
    struct setup *s, struct ca_files *files, bool by_path, struct err *err)
{
	const struct http_client_request *req = s->req;
	char path[64];
	int fd;

	if (!req->ca_pem && !req->ca_file)
		return 0;
	SET(s, CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A file that is replaced counts from the next connection on. */
	TRY(s, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	if (!req->ca_pem) {
		SET(s, CURLOPT_CAINFO, req->ca_file);
		return 0;
	}
#if LIBCURL_VERSION_NUM >= 0x074d00
	if (!by_path) {
		set_blob(s, CURLOPT_CAINFO_BLOB, req->ca_pem);
		if (s->rc != CURLE_UNKNOWN_OPTION && s->rc != CURLE_NOT_BUILT_IN)
			return 0;
		s->rc = CURLE_OK;
	}
#endif
	fd = ca_files_get(files, req->ca_pem);
	if (fd < 0)
		return err_set(err, fd, "cannot keep the CA certificate in memory: %s",
		    strerror(-fd));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	SET(s, CURLOPT_CAINFO, path);
	return 0;
}

static int set_tls(
    struct setup *s, struct ca_files *files, bool by_path, struct err *err)
{
	const struct http_client_request *req = s->req;

	SET(s, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(s, CURLOPT_SSL_VERIFYPEER, req->insecure ? 0L : 1L);
	SET(s, CURLOPT_SSL_VERIFYHOST, req->insecure ? 0L : 2L);
	/* An encrypted key is an error; without this a question would go to the
	 * terminal. */
	SET(s, CURLOPT_KEYPASSWD, "");
	if (req->certificate_pem)
		set_blob(s, CURLOPT_SSLCERT_BLOB, req->certificate_pem);
	else if (req->certificate_file)
		SET(s, CURLOPT_SSLCERT, req->certificate_file);
	if (req->key_pem)
		set_blob(s, CURLOPT_SSLKEY_BLOB, req->key_pem);
	else if (req->key_file)
		SET(s, CURLOPT_SSLKEY, req->key_file);
	return set_ca(s, files, by_path, err);
}

static int on_socket(void *silent_ms, curl_socket_t fd, curlsocktype purpose)
{
	unsigned ms = (unsigned)(uintptr_t)silent_ms;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

static void set_keepalive(struct setup *s)
{
	uint64_t silent = MIN(s->req->silent_ms, (uint64_t)INT_MAX);

	SET(s, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(s, CURLOPT_TCP_KEEPIDLE, silent ? 1L : KEEPALIVE_IDLE_S);
	SET(s, CURLOPT_TCP_KEEPINTVL, silent ? 1L : KEEPALIVE_INTERVAL_S);
	if (!silent)
		return;
	SET(s, CURLOPT_SOCKOPTFUNCTION, on_socket);
	SET(s, CURLOPT_SOCKOPTDATA, (void *)(uintptr_t)silent);
}

static void set_limits(struct setup *s)
{
	const struct http_client_request *req = s->req;
	uint64_t connect =
	    req->connect_timeout_ms ? req->connect_timeout_ms : CONNECT_MS;

	SET(s, CURLOPT_CONNECTTIMEOUT_MS, ms_long(connect));
	SET(s, CURLOPT_TIMEOUT_MS, ms_long(req->timeout_ms));
	if (req->idle_timeout_ms) {
		SET(s, CURLOPT_LOW_SPEED_LIMIT, 1L);
		SET(s, CURLOPT_LOW_SPEED_TIME,
		    ms_long(
			(MIN(req->idle_timeout_ms, (uint64_t)INT_MAX) + 999) / 1000));
	}
	/* The length in answer to HEAD is of a body that does not come. */
	if (req->max_response && !(req->method && str_eq(req->method, "HEAD")))
		SET(s, CURLOPT_MAXFILESIZE_LARGE,
		    (curl_off_t)MIN(req->max_response, (size_t)INT64_MAX));
	set_keepalive(s);
}

static void set_common(struct setup *s, const char *user_agent)
{
	const struct http_client_request *req = s->req;

	SET(s, CURLOPT_NOSIGNAL, 1L);
	SET(s, CURLOPT_ERRORBUFFER, s->e->why);
	SET(s, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(s, CURLOPT_USERAGENT, user_agent);
	SET(s, CURLOPT_PROXY, req->proxy ? req->proxy : "");
	if (req->unix_socket)
		SET(s, CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
	SET(s, CURLOPT_NOPROXY, "");
	SET(s, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (req->username) {
		SET(s, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(s, CURLOPT_USERNAME, req->username);
		SET(s, CURLOPT_PASSWORD, req->password ? req->password : "");
	}
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A transfer taken back leaves its resolver thread to itself.  Older libraries
	 * wait for it, which holds up the client's thread and no other. */
	TRY(s, CURLOPT_QUICK_EXIT, 1L);
#endif
}

int http_easy_init(struct http_easy *e, const struct http_client_request *req,
    const char *user_agent, struct ca_files *files, bool by_path, struct err *err)
{
	struct setup s = { .e = e, .req = req };
	int r;

	*e = (struct http_easy){ .curl = curl_easy_init() };
	e->why = calloc(1, CURL_ERROR_SIZE);
	r = e->curl && e->why ? 0 : -ENOMEM;
	if (r == 0)
		r = set_url(&s, err);
	if (r == 0)
		r = set_method(&s, err);
	if (r == 0)
		r = set_tls(&s, files, by_path, err);
	if (r == 0) {
		set_limits(&s);
		set_common(&s, user_agent);
		SET(&s, CURLOPT_HTTPHEADER, e->headers);
	}
	if (r == 0 && s.rc == CURLE_OUT_OF_MEMORY)
		r = -ENOMEM;
	if (r == 0 && s.rc != CURLE_OK)
		r = err_set(err, -EINVAL, "%s: %s", e->what, curl_easy_strerror(s.rc));
	if (r == -ENOMEM)
		err_set(err, r, "out of memory");
	if (r < 0)
		http_easy_deinit(e);
	return r;
}

void http_easy_forget_idle(struct http_easy *e)
{
	curl_easy_setopt(e->curl, CURLOPT_LOW_SPEED_LIMIT, 0L);
	curl_easy_setopt(e->curl, CURLOPT_LOW_SPEED_TIME, 0L);
}

void http_easy_deinit(struct http_easy *e)
{
	if (e->curl)
		curl_easy_cleanup(e->curl);
	curl_slist_free_all(e->headers);
	curl_slist_free_all(e->connect_to);
	free(e->what);
	free(e->why);
	*e = (struct http_easy){ 0 };
}

static int connect_errno(const struct http_easy *e, const char **why)
{
	long os = 0;

	curl_easy_getinfo(e->curl, CURLINFO_OS_ERRNO, &os);
	if (os)
		*why = strerror((int)os);
	switch (os) {
	case ENETUNREACH:
	case EHOSTUNREACH:
		return -EHOSTUNREACH;
	case ETIMEDOUT:
		return -ETIMEDOUT;
	default:
		return -ECONNREFUSED;
	}
}

/* In TLS 1.3 a server refuses our certificate when the connection is up already. */
static int cut_errno(const struct http_easy *e)
{
	bool alert = strstr(e->why, "alert") != NULL;

	return alert && (strstr(e->why, "certificate") || strstr(e->why, "unknown ca"))
	    ? -EACCES
	    : -ECONNRESET;
}

static int code_errno(const struct http_easy *e, int code, const char **why)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return connect_errno(e, why);
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return cut_errno(e);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return -EACCES;
	case CURLE_SSL_CONNECT_ERROR:
		return cut_errno(e) == -EACCES ? -EACCES : -EPROTO;
	case CURLE_FILESIZE_EXCEEDED:
		return -EFBIG;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_BAD_CONTENT_ENCODING:
		return -EPROTO;
	default:
		return -EIO;
	}
}

int http_easy_failed(const struct http_easy *e, int code, struct err *err)
{
	const char *why = e->why[0] ? e->why : curl_easy_strerror((CURLcode)code);
	int r = code_errno(e, code, &why);

	return err_set(err, r, "%s: %s", e->what, why);
}
