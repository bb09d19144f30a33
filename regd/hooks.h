/*
 * Webhooks: events are put into the database, in the transaction of what they tell about
 * where that is a change, and posted from there to each endpoint of the configuration,
 * in order, in envelopes of the distribution project.  What an endpoint does not take is
 * tried again, also after a restart; beyond its queue's bound the oldest go, and are
 * counted.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "regd/notice.h"

struct call;
struct conf;
struct db;
struct hooks;
struct regd;

int hooks_new(struct hooks **ret, struct regd *g, struct err *err) _mustcheck_;
struct hooks *hooks_free(struct hooks *h);
DEFINE_FREEP(hooks)
/* The endpoints of a new configuration, checked; hooks_take() takes them over. */
struct endpoints;
int endpoints_new(struct endpoints **ret, struct hooks *h, const struct conf *conf,
    struct err *err) _mustcheck_;
struct endpoints *endpoints_free(struct endpoints *e);
DEFINE_FREEP(endpoints)
void hooks_take(struct hooks *h, struct endpoints *e);
/* Every few seconds: what is due. */
void hooks_tick(struct hooks *h);
/* Events that wait, and those that were lost to the bound. */
int64_t hooks_waiting(const struct hooks *h);

/*
 * The text of an event of the call's, for hooks_apply(); NULL when no endpoint wants to
 * know, or without memory.  Kind, repository, digest and so on are e's, who asked is the
 * call's.
 */
char *hooks_event(struct call *c, struct notice *e);
/* In the transaction of the change; text may be NULL. */
int hooks_apply(struct db *db, const char *text) _mustcheck_;
/* The transaction with it was committed. */
void hooks_wake(struct hooks *h);
/* The same for what changes nothing. */
void hooks_tell(struct call *c, struct notice *e);
