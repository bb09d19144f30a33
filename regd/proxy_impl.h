/* What proxy.c shares with proxy_blob.c and proxy_manifest.c. */
#pragma once

#include "common/htable.h"
#include "common/list.h"
#include "regd/proxy.h"
#include "regd/upstream.h"

struct http_client;

/* The upstreams of one configuration, counted by the fetches that use them. */
struct upstreams {
	unsigned refs;
	struct upstream **v;
	size_t n;
};

struct proxy {
	struct regd *regd;
	struct http_client *client;
	struct upstreams *upstreams;
	struct htable manifests, blobs; /* fetches under way */
};

/* Fetches of blobs, and of manifests, under way at once: they go on when their clients have
 * gone, so that connections do not bound them. */
enum { PROXY_FETCHES_MAX = 512 };

/* The upstream of a repository, or NULL. */
struct upstream *proxy_find(const struct proxy *p, const char *repository);
/* What a client hears of an upstream's failure; have says whether it may exist. */
int proxy_reply_failed(struct call *c, int result, const char *code, const char *why);
/* 429: there are as many as there may be. */
int proxy_reply_busy(struct call *c);
/* Ends every fetch; nobody waits any more. */
void proxy_blobs_end(struct proxy *p);
void proxy_manifests_end(struct proxy *p);
