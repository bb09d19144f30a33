/*
 * Whose turn it is.  Two processes work upon one state folder while an upgrade in place goes
 * on: only one of them decides, and the next begins when that has ended, with all in the
 * audit that it did.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

struct turn;
struct loop;

int turn_new(struct turn **ret, struct loop *l, const char *path,
    void (*mine)(void *arg), void *arg, struct err *e) _mustcheck_;
/* The next one's turn begins. */
struct turn *turn_free(struct turn *t);
DEFINE_FREEP(turn)
/* 1: it is ours.  0: mine() is called once it is; until then the log says that we wait.
 * -errno where nothing can be locked. */
int turn_take(struct turn *t, struct err *e) _mustcheck_;
