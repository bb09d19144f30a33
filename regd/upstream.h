/*
 * Another registry that images are pulled from, and requests to it: with the token or
 * the password that it wants to see, which come from a pull secret.  Each request is
 * answered once; a challenge on the way is met without the caller's knowing.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "regd/conf.h"
#include "regd/name.h"

struct http_client;
struct upstream;
struct upstream_request;

/* Copies the settings.  -EINVAL with a sentence for a URL or a pull secret that is
 * none. */
int upstream_new(struct upstream **ret, struct http_client *client,
    const struct conf_pull_through *conf, struct err *err) _mustcheck_;
/* Its requests have ended before. */
struct upstream *upstream_free(struct upstream *u);
DEFINE_FREEP(upstream)
const char *upstream_prefix(const struct upstream *u);
/* The host by which clients know it (the ns= of containerd). */
const char *upstream_host(const struct upstream *u);
/* How long a tag counts as fresh, in ms. */
uint64_t upstream_tag_ttl(const struct upstream *u);
/* How the upstream calls a repository of ours, in buf; NULL when it is none of its. */
const char *upstream_name(
    const struct upstream *u, const char *repository, char buf[2 * NAME_MAX_LEN]);
/* False for a while after it could not be reached. */
bool upstream_is_up(const struct upstream *u);

struct upstream_options {
	const char *repository; /* ours */
	const char *what;       /* "manifests/v1", "blobs/sha256:..." */
	const char *accept;     /* or NULL */
	bool stream;            /* data() gets the body; else done() finds it whole */
	size_t max_response;    /* 0: none */
	/* The head of a 200 came; with stream alone. */
	void (*head)(struct upstream_request *r, void *arg);
	void (*data)(struct upstream_request *r, const void *p, size_t n, void *arg);
	/* The end, once: the status or -errno, as http_client has it. The request is
	 * freed after it. */
	void (*done)(struct upstream_request *r, int result, void *arg);
	void *arg;
};

int upstream_start(struct upstream_request **ret, struct upstream *u,
    const struct upstream_options *o, struct err *err) _mustcheck_;
/* Takes NULL, returns NULL; done() is not called. */
struct upstream_request *upstream_cancel(struct upstream_request *r);
const char *upstream_header(const struct upstream_request *r, const char *name);
/* In done(). */
struct str *upstream_body(struct upstream_request *r);
/* In done() of what did not end with 200: a sentence. */
const char *upstream_why(const struct upstream_request *r);
