/* What the other daemons know of the nodes: see joined.h. */
#include "ignd/joined.h"

#include <errno.h>
#include <unistd.h>

#include "common/http_client.h"
#include "common/json.h"
#include "common/log.h"

enum { TIMEOUT_MS = 5000, MAX_RESPONSE = 4 << 20 };

/* One that is asked. */
struct witness {
	const char *name, *about;
	int (*read)(struct progress *p, const struct cluster *c, const char *text,
	    size_t n, struct err *e);
	/* Whether it may know more of that node than is known. */
	bool (*may_tell)(const struct node_state *n);
	struct joined *joined;
	struct http_transfer *asking;
	bool trouble;
};

enum { LBD, CSRD, WITNESSES };

struct joined {
	struct loop *loop;
	struct progress *progress;
	const struct cluster *cluster; /* while a question is under way */
	struct http_client *client;    /* a thread; made when it is first needed */
	struct witness witnesses[WITNESSES];
};

/* --- what they say ------------------------------------------------------ */

/* The list below two keys of a status; NULL when there is none.  *doc owns it. */
static const json_t *list_of(
    json_t **doc, const char *text, size_t n, const char *daemon, const char *part)
{
	const json_t *list;

	if (json_load_limited(doc, NULL, text, n, 0, NULL) < 0)
		return NULL;
	list =
	    json_path(*doc, daemon, part ? part : "nodes", part ? "nodes" : NULL, NULL);
	return json_is_array(list) ? list : NULL;
}

/* The cluster's node of that name, which may be the long one. */
static struct node_state *find(
    struct progress *p, const struct cluster *c, const char *name)
{
	const struct cluster_node *n;

	for (size_t i = 0; c && name && (n = cluster_node_at(c, i)); i++)
		if (str_eq(n->fqdn, name) || str_eq(n->name, name))
			return progress_find(p, n->name);
	return NULL;
}

static int64_t time_of(const json_t *obj, const char *key)
{
	return MAX(json_integer_value(json_object_get(obj, key)), 0);
}

int joined_read_csrd(struct progress *p, const struct cluster *c, const char *text,
    size_t n, struct err *e)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	const json_t *nodes = list_of(&doc, text, n, "csrd", NULL), *it;
	size_t i;

	if (!nodes)
		return err_set(e, -EBADMSG, "what okd-csrd says is no status of its");
	json_array_foreach(nodes, i, it)
	{
		struct node_state *state = find(p, c, json_str(it, "name"));
		const char *stage = json_str(it, "stage");
		bool ready = stage && str_eq(stage, "ready");

		if (state && stage && (ready || str_eq(stage, "joined")))
			progress_report(p, state, ready ? STAGE_DONE : STAGE_JOINED,
			    time_of(it, "since"), "");
	}
	return 0;
}

static void read_fetches(struct progress *p, struct node_state *n, const json_t *it)
{
	int64_t asked = time_of(it, "mcs_first");
	/* A node that is installed again has fetched one before. */
	int64_t fetched = MAX(time_of(it, "fetched"), time_of(it, "fetched_last"));

	if (fetched)
		progress_report(p, n, STAGE_CONFIGURING, fetched, "");
	else if (asked)
		progress_report(p, n, STAGE_WAITING, asked,
		    "the machine config server has none for it yet");
}

/* The bootstrap fetches nothing from the machine config server: it is the one. */
static void read_bootstrap(
    struct progress *p, struct node_state *n, const char *life, int64_t since)
{
	if (!life || !since)
		return;
	if (str_eq(life, "bootstrap") || str_eq(life, "handover"))
		progress_report(p, n, STAGE_CONFIGURING, since, "");
	else if (str_eq(life, "complete"))
		progress_report(p, n, STAGE_DONE, since, "");
}

int joined_read_lbd(struct progress *p, const struct cluster *c, const char *text,
    size_t n, struct err *e)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	const json_t *nodes = list_of(&doc, text, n, "lbd", "install"), *it;
	const json_t *install = json_path(doc, "lbd", "install", NULL);
	size_t i;

	if (!nodes)
		return err_set(e, -EBADMSG, "what okd-lbd says is no status of its");
	json_array_foreach(nodes, i, it)
	{
		struct node_state *state = find(p, c, json_str(it, "name"));

		if (state && state->role != NODE_BOOTSTRAP)
			read_fetches(p, state, it);
	}
	for (i = 0; i < p->n; i++)
		if (p->nodes[i].role == NODE_BOOTSTRAP)
			read_bootstrap(p, &p->nodes[i], json_str(install, "state"),
			    time_of(install, "since"));
	return 0;
}

/* --- asking ------------------------------------------------------------- */

static bool csrd_may_tell(const struct node_state *n)
{
	return n->role != NODE_BOOTSTRAP && progress_may_follow(n, STAGE_DONE);
}

static bool lbd_may_tell(const struct node_state *n)
{
	return progress_may_follow(
	    n, n->role == NODE_BOOTSTRAP ? STAGE_DONE : STAGE_CONFIGURING);
}

int joined_new(struct joined **ret, struct loop *l, struct progress *p)
{
	static const struct witness witnesses[WITNESSES] = {
		[LBD] = { .name = "okd-lbd",
		    .about = "which nodes have fetched their configuration",
		    .read = joined_read_lbd,
		    .may_tell = lbd_may_tell },
		[CSRD] = { .name = "okd-csrd",
		    .about = "which nodes have joined",
		    .read = joined_read_csrd,
		    .may_tell = csrd_may_tell },
	};
	struct joined *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->loop = l;
	j->progress = p;
	for (int i = 0; i < WITNESSES; i++) {
		j->witnesses[i] = witnesses[i];
		j->witnesses[i].joined = j;
	}
	*ret = j;
	return 0;
}

void joined_forget(struct joined *j)
{
	for (int i = 0; i < WITNESSES; i++)
		j->witnesses[i].asking = http_transfer_cancel(j->witnesses[i].asking);
}

struct joined *joined_free(struct joined *j)
{
	if (!j)
		return NULL;
	joined_forget(j);
	http_client_free(j->client);
	free(j);
	return NULL;
}

static void on_done(struct http_transfer *t, int result, void *arg)
{
	struct witness *w = arg;
	struct joined *j = w->joined;
	struct str *body = http_transfer_body(t);
	struct err e = ERR_INIT;

	w->asking = NULL;
	if (result < 0)
		err_set(&e, result, "%s", http_transfer_why(t));
	else if (result != 200)
		err_set(&e, -EPROTO, "it answers with %d", result);
	else if (w->read(j->progress, j->cluster, str_get(body), body->len, &e) == 0)
		w->trouble = false;
	if (e.text[0] && !w->trouble) {
		log_warning("%s does not say %s: %s", w->name, w->about, e.text);
		w->trouble = true;
	}
}

static bool has_something_to_tell(const struct joined *j, const struct witness *w)
{
	for (size_t i = 0; i < j->progress->n; i++)
		if (w->may_tell(&j->progress->nodes[i]))
			return true;
	return false;
}

static void ask(struct joined *j, struct witness *w, const char *socket)
{
	const struct http_client_request request = {
		.url = "http://localhost/status",
		.unix_socket = socket,
		.timeout_ms = TIMEOUT_MS,
		.max_response = MAX_RESPONSE,
		.on_done = on_done,
		.arg = w,
	};
	struct err e = ERR_INIT;

	if (w->asking || !has_something_to_tell(j, w) || access(socket, F_OK) < 0)
		return;
	if (!j->client && http_client_new(&j->client, j->loop, NULL) < 0)
		return;
	if (http_client_start(j->client, &w->asking, &request, &e) < 0)
		log_warning("%s cannot be asked: %s", w->name, e.text);
}

void joined_ask(struct joined *j, const struct ignd_conf *c)
{
	if (!c->cluster)
		return;
	j->cluster = c->cluster;
	ask(j, &j->witnesses[LBD], c->lbd_socket);
	ask(j, &j->witnesses[CSRD], c->csrd_socket);
}
