/*
 * What port 9000 serves: the page, CSV, JSON, metrics, and two health addresses.  It
 * shows and never changes; changing verbs are the admin socket's.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"
#include "lbd/snapshot.h"

struct daemon;
struct loop;
struct site;

/* What the site asks of its owner. */
struct site_ops {
	const struct snapshot *(*snapshot)(void *arg);
	/* One line about the install, for the page's head. */
	void (*headline)(void *arg, struct str *out);
	void (*metrics)(void *arg, struct str *out);
	json_t *(*status)(void *arg);
};

int site_new(struct site **ret, struct loop *l, const struct site_ops *ops,
    void *arg) _mustcheck_;
struct site *site_free(struct site *s);
DEFINE_FREEP(site)
/* Finds the sockets of a configuration; a reload calls commit once nothing else can
 * fail. */
int site_prepare(struct site *s, struct daemon *d, const struct stats_conf *c,
    struct err *e) _mustcheck_;
void site_commit(struct site *s);
/* Stops accepting, and lets go of those who keep a connection. */
void site_drain(struct site *s);
