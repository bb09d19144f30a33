/*
 * A connection to an upstream over TCP or TLS (RFC 7766, 7858), made when it is needed and
 * kept for a while; queries are pipelined, replies come in any order.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"

struct loop;
struct stream;
struct tls_context;

struct stream_ops {
	/* The bytes may be changed. */
	void (*message)(void *arg, uint8_t *msg, size_t n);
	/* The connection is gone, and with it what was asked; the next send makes another. */
	void (*closed)(void *arg, const char *why);
};

/* tls NULL: plain TCP; name is checked against the certificate.  What is passed by
 * pointer must outlive the stream. */
int stream_new(struct stream **ret, struct loop *l, const struct net_endpoint *to,
    struct tls_context *tls, const char *name, const struct stream_ops *ops,
    void *arg) _mustcheck_;
/* Not inside of its own callbacks. */
struct stream *stream_free(struct stream *s);
DEFINE_FREEP(stream)
/* Queues a message: 0 or -errno; no callback runs inside. */
int stream_send(struct stream *s, const uint8_t *msg, size_t n) _mustcheck_;
