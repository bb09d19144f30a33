/*
 * Listeners, and what each endpoint of /v2 asks of its caller: who may, and which
 * handler answers.  Handlers take a call that was let in, reply at once or later, and
 * return what an http_service's handler returns.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

struct call;
struct conf;
struct http_stats;
struct regd;
struct server;

int server_new(struct server **ret, struct regd *g, struct err *err) _mustcheck_;
/* Ends every connection. */
struct server *server_free(struct server *s);
DEFINE_FREEP(server)
/* Binds and loads what a new configuration asks for: all of it or nothing. */
int server_reload(
    struct server *s, const struct conf *conf, struct err *err) _mustcheck_;
/* No new connections; done() once the last has ended. */
void server_drain(struct server *s, void (*done)(void *arg), void *arg);
const struct http_stats *server_stats(const struct server *s);
/* Renews a certificate of its own making in time; now and then. */
void server_tick(struct server *s);
/* Seconds since 1970 when the certificate ends; 0 without TLS. */
int64_t server_cert_ends(const struct server *s);

/* The handlers, by file. */
int blob_get(struct call *c);
/* Without asking an upstream; here and for images. */
int blob_local(struct call *c);
int blob_delete(struct call *c);
int upload_start(struct call *c);
int upload_status(struct call *c);
int upload_patch(struct call *c);
int upload_put(struct call *c);
int upload_cancel(struct call *c);
int image_get(struct call *c);
int image_local(struct call *c);
int image_put(struct call *c);
int image_delete(struct call *c);
int list_tags(struct call *c);
int list_catalog(struct call *c);
int list_referrers(struct call *c);
int page_get(struct call *c);
