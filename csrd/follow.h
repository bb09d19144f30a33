/*
 * Follows one kind of object in the API server: a list in pages, then a watch from
 * there, for ever.  What breaks is taken up again where it broke; what the server has
 * forgotten (410) starts over with a list.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"

struct follow;
struct kube;
struct loop;

struct follow_ops {
	const char *kind; /* of the list */
	/* A list begins: what it does not bring until synced() is gone. */
	void (*begin)(void *arg);
	/* An object as it is; borrowed. */
	void (*object)(void *arg, json_t *object);
	void (*deleted)(void *arg, json_t *object);
	void (*synced)(void *arg);
	/* The watch stands (what is known is up to date), or it does not. */
	void (*live)(void *arg, bool live);
};

int follow_new(struct follow **ret, struct loop *l, struct kube *kube, const char *what,
    const struct follow_ops *ops, void *arg) _mustcheck_;
struct follow *follow_free(struct follow *f);
DEFINE_FREEP(follow)
/* path: the collection's, "/api/v1/nodes"; copied.  Starts with a list. */
int follow_start(struct follow *f, const char *path) _mustcheck_;
void follow_stop(struct follow *f);
/* A list as soon as possible, the watch goes on after it. */
void follow_again(struct follow *f);

bool follow_is_live(const struct follow *f);
const char *follow_trouble(const struct follow *f); /* "" for none */
/* Milliseconds (as loop_now_ms) when the server was last heard of; 0: never. */
uint64_t follow_heard_at(const struct follow *f);

struct follow_stats {
	uint64_t lists, watches, events, bookmarks, expired, oversize;
};
const struct follow_stats *follow_stats(const struct follow *f);
