/* Verbs: see verbs.h. */
#include "regd/verbs.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster.h"
#include "common/fd.h"
#include "common/http_reply.h"
#include "common/log.h"
#include "common/str.h"
#include "regd/event.h"
#include "regd/gc.h"
#include "regd/import.h"
#include "regd/ledger.h"
#include "regd/meta.h"
#include "regd/pieces.h"
#include "regd/pool.h"
#include "regd/regd.h"
#include "regd/release.h"
#include "regd/route.h"
#include "regd/writer.h"

int verbs_reply_json(struct http_req *r, int status, json_t *obj)
{
	char *text = json_dumps(obj, JSON_INDENT(1));

	json_decref(obj);
	if (!text)
		return -ENOMEM;
	http_reply_owned(r, status, "application/json", text, strlen(text), free, text);
	return 0;
}

bool verbs_is_on(struct http_req *r, const char *name, bool absent)
{
	char value[8];

	if (http_req_param(r, name, value, sizeof(value)) < 0)
		return absent;
	return !str_eq(value, "0") && !str_eq(value, "false");
}

static void gc_done(void *arg, const struct gc_result *res)
{
	struct http_req *r = arg;

	/* The reply may take its time, and the next collection has another caller. */
	http_req_on_end(r, NULL, NULL);
	if (res->error < 0) {
		http_reply_error(r, 500, NULL, "%s", strerror(-res->error));
		return;
	}
	if (verbs_reply_json(r, 200,
		json_pack("{s:I,s:I,s:I,s:b}", "blobs", (json_int_t)res->blobs, "bytes",
		    (json_int_t)res->bytes, "strays", (json_int_t)res->strays,
		    "dry_run", res->dry_run)) < 0)
		http_abort(r, "out of memory");
}

static void gc_caller_gone(struct http_req *r, void *arg, enum http_end end)
{
	gc_forget(arg);
}

static int verb_gc(struct http_req *r, void *arg)
{
	struct regd *g = arg;
	int e = gc_start(g->gc, verbs_is_on(r, "dry_run", false), gc_done, r);

	if (e == -EBUSY) {
		http_reply_error(r, 409, NULL,
		    "a collection is running, or a process that was "
		    "replaced still finishes pushes");
		return 0;
	}
	if (e < 0)
		return e;
	http_req_on_end(r, gc_caller_gone, g->gc);
	return 0;
}

/* --- jobs whose caller waits ---------------------------------------------------- */

/* Work on the thread for long jobs, with JSON as its result. */
struct verb_job {
	struct job job;
	struct regd *regd;
	struct http_req *req; /* NULL: the caller is gone */
	int (*run)(struct verb_job *v);
	char repository[NAME_MAX_LEN + 1], reference[REST_MAX], registry[320];
	bool rehash;
	json_t *result;
	int error;
	struct err err;
	struct release_damages
	    damaged; /* to be marked before the caller hears of them */
	struct change change;
	int64_t now;
};

static void verb_work(struct job *j)
{
	struct verb_job *v = CONTAINER_OF(j, struct verb_job, job);

	v->error = v->run(v);
}

static int verb_status(int error)
{
	switch (error) {
	case -ENOENT:
		return 404;
	case -EBADMSG:
	case -EUCLEAN:
		return 422;
	default:
		return 500;
	}
}

/* The reply may outlive the job. */
static void verb_end(struct verb_job *v)
{
	if (v->req)
		http_req_on_end(v->req, NULL, NULL);
	if (v->req && v->error < 0)
		http_reply_err(v->req, verb_status(v->error),
		    v->error == -EUCLEAN ? "DAMAGED" : NULL, &v->err);
	else if (v->req && verbs_reply_json(v->req, 200, TAKE(v->result)) < 0)
		http_abort(v->req, "out of memory");
	json_decref(v->result);
	free(v->damaged.v);
	free(v);
}

static int damaged_apply(struct change *c, struct db *db)
{
	struct verb_job *v = CONTAINER_OF(c, struct verb_job, change);
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->damaged.n; i++)
		r = meta_blob_checked(db, v->damaged.v[i].digest.text, true,
		    v->damaged.v[i].checked, v->now);
	return r;
}

static void damaged_done(struct change *c)
{
	verb_end(CONTAINER_OF(c, struct verb_job, change));
}

/* What was found damaged is known to be bad before the caller hears of it: else the
 * command that repairs it would be told that the blob is there. */
static void verb_done(struct job *j)
{
	struct verb_job *v = CONTAINER_OF(j, struct verb_job, job);

	for (size_t i = 0; i < v->damaged.n; i++)
		log_with(LOG_ERR,
		    LOG_FIELDS("MESSAGE_ID", EVENT_DAMAGED, "OKD_BLOB",
			v->damaged.v[i].digest.text),
		    "blob %s is damaged: its bytes have another digest; push it again "
		    "to heal it",
		    v->damaged.v[i].digest.text);
	if (!v->damaged.n || !v->regd->writer) {
		verb_end(v);
		return;
	}
	v->now = clock_real_s();
	v->change.apply = damaged_apply;
	v->change.done = damaged_done;
	writer_post(v->regd->writer, &v->change);
}

static void verb_gone(struct http_req *r, void *arg, enum http_end end)
{
	((struct verb_job *)arg)->req = NULL;
}

static int verb_start(struct verb_job *v, struct http_req *r)
{
	v->req = r;
	v->job.work = verb_work;
	v->job.done = verb_done;
	http_req_on_end(r, verb_gone, v);
	pool_post(v->regd->work, &v->job);
	return 0;
}

static int run_verify(struct verb_job *v)
{
	struct release_query q = {
		.repository = v->repository,
		.reference = v->reference,
		.registry = v->registry,
		.rehash = v->rehash,
		.overlays = v->regd->overlays,
		.damaged = &v->damaged,
	};

	return release_verify(
	    &v->result, v->regd->work_db, v->regd->store, &q, &v->err);
}

/* The name under which clients know the registry. */
static void own_name(const struct conf *conf, char *buf, size_t n)
{
	const struct net_endpoint *at =
	    conf_list_items(&conf->listen, struct net_endpoint);
	unsigned port = conf->listen.n ? at[0].port : 5000;

	if (conf->cluster)
		snprintf(buf, n, "registry.%s:%u", conf->cluster->domain, port);
	else
		snprintf(buf, n, "localhost:%u", port);
}

static int verb_verify(struct http_req *r, void *arg)
{
	struct regd *g = arg;
	struct verb_job *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->regd = g;
	v->run = run_verify;
	v->rehash = verbs_is_on(r, "rehash", false);
	own_name(g->conf, v->registry, sizeof(v->registry));
	if (http_req_param(r, "repository", v->repository, sizeof(v->repository)) <=
		0 ||
	    http_req_param(r, "reference", v->reference, sizeof(v->reference)) <= 0) {
		free(v);
		http_reply_error(r, 400, NULL,
		    "say which: ?repository=openshift/okd&reference=4.5.0");
		return 0;
	}
	return verb_start(v, r);
}

static int verb_import(struct http_req *r, void *arg)
{
	char dir[4096], repository[NAME_MAX_LEN + 1] = "";
	struct regd *g = arg;
	ssize_t n;
	int e;

	if (http_req_param(r, "dir", dir, sizeof(dir)) <= 0 || dir[0] != '/') {
		http_reply_error(r, 400, NULL, "say which: ?dir=/opt/registry/data");
		return 0;
	}
	n = http_req_param(r, "repository", repository, sizeof(repository));
	if (n != -ENOENT && (n <= 0 || !name_is_repository(repository, (size_t)n))) {
		http_reply_error(r, 400, NULL, "that cannot be a repository's name");
		return 0;
	}
	if (g->read_only) {
		http_reply_error(r, 409, NULL, "the registry is read-only");
		return 0;
	}
	e = import_start(g->import, dir, n > 0 ? repository : "");
	if (e == -EBUSY) {
		http_reply_error(r, 409, NULL, "an import is running");
		return 0;
	}
	return e < 0 ? e : verbs_reply_json(r, 202, import_status(g->import));
}

static int verb_import_status(struct http_req *r, void *arg)
{
	struct regd *g = arg;

	return verbs_reply_json(r, 200, import_status(g->import));
}

/* --- for an install ------------------------------------------------------------ */

/* The CA that clients must trust, where it is of our own making. */
static int own_ca(const struct regd *g, struct str *out)
{
	char path[4096];

	if (g->conf->tls.off || g->conf->tls.certificate)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/tls/ca.crt", daemon_state_dir(g->daemon));
	return file_read(path, 65536, out);
}

static int verb_pieces(struct http_req *r, void *arg)
{
	_cleanup_(str_deinit) struct str ca = STR_INIT;
	char registry[320], repository[NAME_MAX_LEN + 1] = "openshift/okd";
	char user[256], password[512];
	struct pieces_query q = { .registry = registry, .repository = repository };
	struct regd *g = arg;
	json_t *pieces;
	ssize_t n;

	own_name(g->conf, registry, sizeof(registry));
	n = http_req_param(r, "repository", repository, sizeof(repository));
	if (n != -ENOENT && (n <= 0 || !name_is_repository(repository, (size_t)n))) {
		http_reply_error(r, 400, NULL, "that cannot be a repository's name");
		return 0;
	}
	if (own_ca(g, &ca) == 0)
		q.ca = str_get(&ca);
	if (http_req_param(r, "user", user, sizeof(user)) > 0 &&
	    http_req_param(r, "password", password, sizeof(password)) > 0) {
		q.user = user;
		q.password = password;
	}
	if (pieces_make(&pieces, &q) < 0)
		return -ENOMEM;
	return verbs_reply_json(r, 200, pieces);
}

static int verb_pulls(struct http_req *r, void *arg)
{
	struct regd *g = arg;
	char digest[DIGEST_TEXT_MAX];
	bool one = http_req_param(r, "digest", digest, sizeof(digest)) > 0;
	json_t *obj = json_object();

	json_object_set_new(obj, "pulls",
	    ledger_list(g->ledger, g->conf->cluster, one ? digest : NULL));
	if (one)
		json_object_set_new(obj, "lacking",
		    ledger_lacking(g->ledger, g->conf->cluster, digest));
	return verbs_reply_json(r, 200, obj);
}

static int verb_read_only(struct http_req *r, void *arg)
{
	struct regd *g = arg;

	g->read_only = verbs_is_on(r, "on", true);
	log_info("read-only mode is %s", g->read_only ? "on" : "off");
	return verbs_reply_json(r, 200, json_pack("{s:b}", "read_only", g->read_only));
}

const struct http_route verbs_routes[] = {
	{ HTTP_POST, "/v1/gc", verb_gc },
	{ HTTP_POST, "/v1/read-only", verb_read_only },
	{ HTTP_GET, "/v1/verify-release", verb_verify },
	{ HTTP_POST, "/v1/prune", verb_prune },
	{ HTTP_GET, "/v1/install-pieces", verb_pieces },
	{ HTTP_GET, "/v1/pulls", verb_pulls },
	{ HTTP_POST, "/v1/import", verb_import },
	{ HTTP_GET, "/v1/import", verb_import_status },
	{ 0, NULL, NULL },
};
