/*
 * The certificate approver.  Everything but the audit's writes runs on the main thread;
 * libcurl and sqlite have threads of their own below http_client and audit.  Ready means
 * that it runs: the kubeconfig and the API server may come hours later.
 */
#include "csrd/csrd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "common/http_req.h"
#include "common/http_route.h"
#include "common/log.h"
#include "csrd/approver.h"
#include "csrd/conf.h"
#include "csrd/turn.h"
#include "csrd/verbs.h"

struct csrd {
	struct daemon *daemon;
	struct csrd_conf *conf;
	struct approver *approver;
	struct verbs *verbs;
	struct turn *turn;
	char audit_path[PATH_MAX];
};

static void csrd_free(void *self)
{
	struct csrd *d = self;

	verbs_stop(d->verbs);
	d->approver = approver_free(d->approver);
	d->verbs = verbs_free(d->verbs);
	if (d->conf)
		csrd_conf_free(d->conf);
	d->turn = turn_free(d->turn);
	free(d);
}

static void on_turn(void *arg)
{
	struct csrd *d = arg;
	struct err e = ERR_INIT;

	if (approver_begin(d->approver, d->audit_path, &e) == 0)
		return;
	log_err("%s", err_str(&e));
	daemon_fail(d->daemon);
}

static int start_parts(struct csrd *d, const struct csrd_conf *conf, struct err *e)
{
	const char *dir = daemon_state_dir(d->daemon);
	struct loop *l = daemon_loop(d->daemon);
	char turn[PATH_MAX];
	int r;

	snprintf(d->audit_path, sizeof(d->audit_path), "%s/audit.db", dir);
	snprintf(turn, sizeof(turn), "%s/turn", dir);
	r = turn_new(&d->turn, l, turn, on_turn, d, e);
	if (r == 0)
		r = approver_new(&d->approver, l, conf, d->audit_path, e);
	if (r == 0 && verbs_new(&d->verbs, d->approver) < 0)
		r = err_set(e, -ENOMEM, "out of memory");
	if (r == 0)
		r = turn_take(d->turn, e);
	return r > 0 ? approver_begin(d->approver, d->audit_path, e) : r;
}

static int csrd_start(void **self, struct daemon *daemon, void *conf, struct err *e)
{
	struct csrd *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->daemon = daemon;
	r = start_parts(d, conf, e);
	if (r < 0) {
		csrd_free(d);
		return r;
	}
	d->conf = conf;
	*self = d;
	return 0;
}

static int csrd_reload(void *self, void *conf, struct err *e)
{
	struct csrd *d = self;
	struct csrd_conf *old = d->conf;

	d->conf = conf;
	approver_configure(d->approver, conf);
	csrd_conf_free(old);
	return 0;
}

static void on_drained(void *arg)
{
	struct csrd *d = arg;

	daemon_drained(d->daemon);
}

static void csrd_drain(void *self)
{
	struct csrd *d = self;

	approver_drain(d->approver, on_drained, d);
}

static void csrd_metrics(void *self, struct str *out)
{
	struct csrd *d = self;

	approver_metrics(d->approver, out);
}

static void csrd_status(void *self, json_t *obj)
{
	struct csrd *d = self;

	approver_status(d->approver, obj);
}

/* Without an API server there is nothing to do, and that is no fault; without an audit
 * nothing may be done. */
static bool csrd_ready(void *self, struct str *reasons)
{
	struct csrd *d = self;
	const char *trouble = audit_trouble(d->approver->audit);

	if (*trouble)
		str_addf(reasons, "the audit cannot be written: %s\n", trouble);
	return !*trouble;
}

/* The admin socket hands the daemon itself to handlers, which want the verbs. */
static int csrd_verb(struct http_req *r, void *arg)
{
	struct csrd *d = arg;

	return verbs_handle(d->verbs, r);
}

static const struct http_route routes[] = {
	{ HTTP_GET | HTTP_POST, "/v1/*", csrd_verb },
	{ 0, NULL, NULL },
};

const struct daemon_class csrd_class = {
	.name = "csrd",
	.summary = "The certificate approver of an OKD bastion.",
	.conf_load = csrd_conf_load,
	.conf_free = csrd_conf_free,
	.conf_print = csrd_conf_print,
	.start = csrd_start,
	.reload = csrd_reload,
	.drain = csrd_drain,
	.free = csrd_free,
	.metrics = csrd_metrics,
	.status = csrd_status,
	.ready = csrd_ready,
	.routes = routes,
};
