/*
 * What answers on okd-ignd's ports: listeners, routes, and the way from a request to a
 * file.  It belongs to the main loop.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "ignd/conf.h"

struct checksums;
struct loop;
struct progress;
struct server;
struct str;

int server_new(struct server **ret, struct loop *l, struct progress *p) _mustcheck_;
struct server *server_free(struct server *s);
DEFINE_FREEP(server)

/*
 * Puts a configuration in force, or changes nothing.  c stays the caller's and must live
 * until the next one is in force.  fds are listening sockets in the order of c->listen,
 * then of c->tls.listen; they stay the caller's.
 */
int server_configure(struct server *s, const struct ignd_conf *c, const int *fds,
    unsigned n, struct err *e) _mustcheck_;
/* Stops accepting and lets transfers finish; done is called once. */
void server_drain(struct server *s, void (*done)(void *arg), void *arg);
/* Every few seconds: what the files are like, and their certificates' clocks. */
void server_look(struct server *s);
/* The nodes' state changed: those who watch are told. */
void server_changed(struct server *s);
/* Somebody closed windows: what is on its way through them stops. */
void server_windows_closed(struct server *s);

/* The images' checksums, which the store is to keep. */
struct checksums *server_checksums(struct server *s);

void server_metrics(struct server *s, struct str *out);
void server_status(struct server *s, json_t *obj);
