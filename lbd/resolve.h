/*
 * Names of servers, resolved on a thread of its own, because the resolver blocks.  One
 * that has no answer is asked for again; meanwhile its server is in MAINT (resolution).
 */
#pragma once

#include "common/net.h"

struct loop;
struct resolver;

/* found() runs on the loop's thread. */
int resolver_new(struct resolver **ret, struct loop *l,
    void (*found)(void *arg, const char *name, const struct net_ip *ip),
    void *arg) _mustcheck_;
struct resolver *resolver_free(struct resolver *r);
DEFINE_FREEP(resolver)
/* Asks for a name; the answer, if there is one, comes through found(). */
void resolver_ask(struct resolver *r, const char *name);
