/*
 * One libcurl easy handle from one struct http_client_request: everything that is a
 * matter of options, and what libcurl's failures mean.  Only http_client.c uses it.
 */
#pragma once

#include "common/base.h"
#include "common/digest.h"
#include "common/err.h"

struct http_client_request;
struct curl_slist;

#define CA_FILES_MAX 64

/*
 * CA certificates as files in memory, for a libcurl (before 7.77) that takes them by
 * path alone.  A file lives as long as its set: libcurl tells connections of different
 * CAs apart by the path, so the same path must never come to mean another CA.
 */
struct ca_files {
	unsigned n;
	struct {
		uint8_t digest[DIGEST_SHA256_SIZE];
		int fd;
	} v[CA_FILES_MAX];
};

void ca_files_deinit(struct ca_files *c);

struct http_easy {
	void *curl; /* CURL * */
	struct curl_slist *headers, *connect_to;
	char *what; /* "GET https://host/path", for sentences: no query, no password */
	char *why;  /* libcurl's own words */
};

/* by_path: use the files even where libcurl takes certificates from memory. */
int http_easy_init(struct http_easy *e, const struct http_client_request *req,
    const char *user_agent, struct ca_files *files, bool by_path,
    struct err *err) _mustcheck_;
/* libcurl does not look at idle_timeout_ms any longer. */
void http_easy_forget_idle(struct http_easy *e);
void http_easy_deinit(struct http_easy *e);
/* A CURLcode other than CURLE_OK as -errno, with "GET https://host/path: sentence". */
int http_easy_failed(const struct http_easy *e, int code, struct err *err);
