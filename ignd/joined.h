/*
 * The stages of a node's installation that happen elsewhere, as the other daemons of this
 * host see them: okd-lbd, whether the machine config server has answered the node, and
 * whether the bootstrap is at work; okd-csrd, whether the cluster has a Node of it.  They
 * are asked for their status now and then, while there is a node that they may know more
 * of.  Where one does not run, its stages are not shown.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "ignd/conf.h"
#include "ignd/progress.h"

struct joined;
struct loop;

int joined_new(struct joined **ret, struct loop *l, struct progress *p) _mustcheck_;
struct joined *joined_free(struct joined *j);
/* Asks whom there is to ask, where there is something to learn and no question under
 * way. */
void joined_ask(struct joined *j, const struct ignd_conf *c);

/* Drops the questions that are under way: the configuration goes. */
void joined_forget(struct joined *j);

/* Takes what okd-csrd's and okd-lbd's /status say of the cluster's nodes.  -EBADMSG with
 * e. */
int joined_read_csrd(struct progress *p, const struct cluster *c, const char *text,
    size_t n, struct err *e) _mustcheck_;
int joined_read_lbd(struct progress *p, const struct cluster *c, const char *text,
    size_t n, struct err *e) _mustcheck_;
