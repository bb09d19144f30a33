/* POST /v1/prune: finds on the working thread, deletes on the writer's. */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_reply.h"
#include "common/log.h"
#include "regd/pool.h"
#include "regd/prune.h"
#include "regd/regd.h"
#include "regd/verbs.h"
#include "regd/writer.h"

struct prune_job {
	struct job job;
	struct change change;
	struct regd *regd;
	struct http_req *req; /* NULL: the caller is gone */
	char repository[NAME_MAX_LEN + 1];
	char keep[PRUNE_KEEP_MAX][TAG_MAX_LEN + 1];
	size_t n_keep;
	bool dry_run;
	struct prune *prune;
	int64_t now;
	int error;
	struct err err;
};

static void end(struct prune_job *j, int error)
{
	json_t *result = error == 0 ? prune_result(j->prune) : NULL;

	if (j->req) /* the reply may outlive the job */
		http_req_on_end(j->req, NULL, NULL);
	if (result)
		json_object_set_new(result, "dry_run", json_boolean(j->dry_run));
	if (j->req && error < 0)
		http_reply_err(j->req,
		    error == -ENOENT                             ? 404
			: error == -EBADMSG || error == -EUCLEAN ? 422
								 : 500,
		    NULL, &j->err);
	else if (j->req && verbs_reply_json(j->req, 200, TAKE(result)) < 0)
		http_abort(j->req, "out of memory");
	json_decref(result);
	prune_free(j->prune);
	free(j);
}

static int delete_apply(struct change *c, struct db *db)
{
	struct prune_job *j = CONTAINER_OF(c, struct prune_job, change);

	return prune_apply(j->prune, db, j->now);
}

static void delete_done(struct change *c)
{
	struct prune_job *j = CONTAINER_OF(c, struct prune_job, change);

	if (c->result < 0)
		err_set(&j->err, c->result, "cannot delete: %s", strerror(-c->result));
	else
		log_info("pruned %s", j->repository);
	end(j, MIN(c->result, 0));
}

static void find_work(struct job *job)
{
	struct prune_job *j = CONTAINER_OF(job, struct prune_job, job);
	struct release_query q = {
		.repository = j->repository,
		.overlays = j->regd->overlays,
	};
	const char *keep[PRUNE_KEEP_MAX];

	for (size_t i = 0; i < j->n_keep; i++)
		keep[i] = j->keep[i];
	j->error = prune_find(
	    &j->prune, j->regd->work_db, j->regd->store, &q, keep, j->n_keep, &j->err);
}

static void find_done(struct job *job)
{
	struct prune_job *j = CONTAINER_OF(job, struct prune_job, job);

	if (j->error < 0 || j->dry_run || !j->regd->writer) {
		end(j, j->error);
		return;
	}
	j->now = clock_real_s();
	j->change.apply = delete_apply;
	j->change.done = delete_done;
	writer_post(j->regd->writer, &j->change);
}

static void caller_gone(struct http_req *r, void *arg, enum http_end how)
{
	((struct prune_job *)arg)->req = NULL;
}

/* Every keep= of the query; false when one is no tag or there are too many. */
static bool take_keep(struct prune_job *j, const char *query)
{
	for (; query; query = strchr(query, '&'), query += query != NULL) {
		if (!str_starts(query, "keep="))
			continue;
		if (j->n_keep == PRUNE_KEEP_MAX ||
		    http_query_get(
			query, "keep", j->keep[j->n_keep], sizeof(j->keep[0])) < 0 ||
		    !name_is_tag(j->keep[j->n_keep]))
			return false;
		j->n_keep++;
	}
	return j->n_keep > 0;
}

int verb_prune(struct http_req *r, void *arg)
{
	struct prune_job *j = calloc(1, sizeof(*j));
	struct regd *g = arg;

	if (!j)
		return -ENOMEM;
	j->regd = g;
	j->dry_run = verbs_is_on(r, "dry_run", false);
	if (http_req_param(r, "repository", j->repository, sizeof(j->repository)) <=
		0 ||
	    !take_keep(j, http_req_query(r))) {
		free(j);
		http_reply_error(r, 400, NULL,
		    "say which: ?repository=openshift/okd&keep=4.5.0, with a keep= for "
		    "each of at most %d releases",
		    PRUNE_KEEP_MAX);
		return 0;
	}
	if (g->read_only && !j->dry_run) {
		free(j);
		http_reply_error(r, 409, NULL, "the registry is read-only");
		return 0;
	}
	j->req = r;
	j->job.work = find_work;
	j->job.done = find_done;
	http_req_on_end(r, caller_gone, j);
	pool_post(g->work, &j->job);
	return 0;
}
