/*
 * What a client's TLS context remembers of its peers, so that the next connection to one
 * resumes the session: no certificate is sent and none is verified, which is half of the
 * work of a handshake.  A part of tls.c; the connections of such a context are one
 * thread's.
 */
#pragma once

#include "common/base.h"

struct ssl_st;
struct ssl_ctx_st;

/* Once, for a new context: resume_ms is how long a certificate that was seen is gone by. */
int tls_session_enable(struct ssl_ctx_st *ctx, uint64_t resume_ms) _mustcheck_;
/* Before the handshake: has the connection resume the session with that peer under that
 * name, where there is one, and keep the session that comes of it.  Nothing happens when
 * its context was not enabled. */
void tls_session_resume(struct ssl_st *ssl, int fd, const char *name);
