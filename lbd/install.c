/* The install in progress: see install.h. */
#include "lbd/install.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/metrics.h"

enum { STATE_MAX = 1 << 20, OPEN_MOST_S = 7 * 86400, FETCH_NEWS_S = 60 };

struct install {
	char *path, *runtime_dir;
	struct lifecycle life;
	struct list_link nodes;
	int64_t open_until; /* seconds since 1970 */
	bool acts;          /* the last step was in the okd profile */
};

#define load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

/* --- nodes ------------------------------------------------------------------- */

struct node_live *install_node(struct install *in, const struct net_ip *ip)
{
	struct node_live *n;

	list_for_each (it, &in->nodes) {
		n = CONTAINER_OF(it, struct node_live, link);
		if (net_ip_eq(&n->ip, ip))
			return n;
	}
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->ip = *ip;
	list_append(&in->nodes, &n->link);
	return n;
}

/* Several workers may add at once: an attempt may go uncounted then, a fetch never
 * unnoticed. */
void node_live_add(struct node_live *n, enum snap_kind kind, uint64_t bytes)
{
	int64_t now = clock_real_s();

	if (kind == SNAP_API) {
		if (!load(&n->api_first))
			store(&n->api_first, now);
		store(&n->api_last, now);
		return;
	}
	__atomic_add_fetch(&n->mcs_attempts, 1, __ATOMIC_RELAXED);
	if (!load(&n->mcs_first))
		store(&n->mcs_first, now);
	if (bytes > load(&n->mcs_bytes))
		store(&n->mcs_bytes, bytes);
	if (bytes < INSTALL_FETCH_MIN)
		return;
	if (!load(&n->fetched))
		store(&n->fetched, now);
	store(&n->fetched_last, now);
}

void node_live_refuse(struct node_live *n)
{
	store(&n->refused, clock_real_s());
}

static json_t *node_to_json(const struct node_live *n)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "mcs_attempts",
	    (json_int_t)load(&n->mcs_attempts), "mcs_bytes",
	    (json_int_t)load(&n->mcs_bytes), "mcs_first",
	    (json_int_t)load(&n->mcs_first), "fetched", (json_int_t)load(&n->fetched),
	    "fetched_last", (json_int_t)load(&n->fetched_last), "api_first",
	    (json_int_t)load(&n->api_first), "api_last", (json_int_t)load(&n->api_last),
	    "refused", (json_int_t)load(&n->refused));
}

/* --- what is kept ---------------------------------------------------------------- */

static int64_t get_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void load_nodes(struct install *in, json_t *nodes)
{
	const char *address;
	json_t *o;

	json_object_foreach(nodes, address, o)
	{
		struct node_live *n;
		struct net_ip ip;

		if (net_ip_parse(address, &ip) < 0)
			continue;
		n = install_node(in, &ip);
		if (!n)
			continue;
		n->mcs_attempts = (uint64_t)get_int(o, "mcs_attempts");
		n->mcs_bytes = (uint64_t)get_int(o, "mcs_bytes");
		n->mcs_first = get_int(o, "mcs_first");
		n->fetched = get_int(o, "fetched");
		n->fetched_last = MAX(get_int(o, "fetched_last"), n->fetched);
		n->api_first = get_int(o, "api_first");
		n->api_last = get_int(o, "api_last");
		n->told_fetched = n->fetched_last;
		n->told_api = n->api_first != 0;
	}
}

static int load_state(struct install *in, struct err *e)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	json_t *o;
	int r = file_read(in->path, STATE_MAX, &text), state;

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(e, r, "cannot read %s: %s", in->path, strerror(-r));
	o = json_loadb(text.s, text.len, 0, NULL);
	state = lifecycle_from_name(json_is_string(json_object_get(o, "state"))
		? json_string_value(json_object_get(o, "state"))
		: "");
	if (state < 0) {
		json_decref(o);
		return err_at(e, -EBADMSG, in->path, 0, 0,
		    "this is no state of okd-lbd; remove the file to begin anew");
	}
	in->life.state = (enum lifecycle_state)state;
	in->life.since = get_int(o, "since");
	in->life.gone = get_int(o, "gone");
	/* A clock that was set back does not open the port for longer than a verb can. */
	in->open_until = MIN(get_int(o, "open_until"), clock_real_s() + OPEN_MOST_S);
	load_nodes(in, json_object_get(o, "nodes"));
	json_decref(o);
	return 0;
}

/* A few times in the life of a cluster. */
static void save_state(const struct install *in)
{
	json_t *nodes = json_object(), *o;
	char *text;
	int r = -ENOMEM;

	list_for_each (it, &in->nodes) {
		const struct node_live *n = CONTAINER_OF(it, struct node_live, link);

		json_object_set_new(nodes, net_ip_str(&n->ip), node_to_json(n));
	}
	o = json_pack("{s:s, s:I, s:I, s:I, s:o}", "state",
	    lifecycle_name(in->life.state), "since", (json_int_t)in->life.since, "gone",
	    (json_int_t)in->life.gone, "open_until", (json_int_t)in->open_until,
	    "nodes", nodes);
	text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
	if (text)
		r = file_replace(in->path, 0640, text, strlen(text));
	if (r < 0)
		log_err("cannot write %s: %s", in->path, strerror(-r));
	free(text);
	json_decref(o);
}

/* /run/okd-lbd/install-STATE: a systemd path unit may wait for it. */
static void set_marks(const struct install *in)
{
	for (int s = LIFECYCLE_WAITING; s <= LIFECYCLE_COMPLETE; s++) {
		_cleanup_(str_deinit) struct str path = STR_INIT;

		str_addf(&path, "%s/install-%s", in->runtime_dir,
		    lifecycle_name((enum lifecycle_state)s));
		if (str_err(&path))
			continue;
		if (s != (int)in->life.state)
			unlink(path.s);
		else if (access(path.s, F_OK) < 0)
			(void)!file_replace(path.s, 0644, "", 0);
	}
}

int install_new(
    struct install **ret, const char *state_dir, const char *runtime_dir, struct err *e)
{
	_cleanup_(install_freep) struct install *in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return err_set(e, -ENOMEM, "out of memory");
	list_init(&in->nodes);
	lifecycle_restart(&in->life, clock_real_s());
	in->runtime_dir = strdup(runtime_dir);
	if (!in->runtime_dir || asprintf(&in->path, "%s/install.json", state_dir) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	r = load_state(in, e);
	if (r < 0)
		return r;
	set_marks(in);

	*ret = TAKE(in);
	return 0;
}

struct install *install_free(struct install *in)
{
	if (!in)
		return NULL;
	list_for_each_safe (it, &in->nodes)
		free(CONTAINER_OF(it, struct node_live, link));
	free(in->path);
	free(in->runtime_dir);
	free(in);
	return NULL;
}

/* --- facts and consequences --------------------------------------------------------- */

static bool answers(const struct snap_server *s)
{
	const struct server_live *l = s->live;

	return l->checked && !l->health.unchecked && health_up(&l->health);
}

static void look_at(
    const struct snapshot *snap, const char *backend, bool *bootstrap, bool *master)
{
	int at = lbd_conf_find_backend(snap->conf, backend);

	for (size_t i = 0; at >= 0 && i < snap->backends[at].n; i++) {
		const struct snap_server *s = &snap->backends[at].servers[i];

		if (!answers(s))
			continue;
		if (str_eq(s->conf->name, snap->conf->lifecycle.bootstrap))
			*bootstrap = true;
		else
			*master = true;
	}
}

/* True when the bootstrap's state in this backend has changed. */
static bool retire(const struct snapshot *snap, const char *backend, bool on)
{
	int at = lbd_conf_find_backend(snap->conf, backend);
	bool changed = false;

	for (size_t i = 0; at >= 0 && i < snap->backends[at].n; i++) {
		const struct snap_server *s = &snap->backends[at].servers[i];

		if (!str_eq(s->conf->name, snap->conf->lifecycle.bootstrap) ||
		    !!(s->live->admin & SERVER_RETIRED) == on)
			continue;
		s->live->admin ^= SERVER_RETIRED;
		server_live_publish(s->live, 0);
		changed = true;
	}
	return changed;
}

/* Once a node, until the port is opened or the life begins anew. */
static void tell_refused(const struct cluster_node *node, struct node_live *n)
{
	if (n->told_refused)
		return;
	n->told_refused = true;
	log_with(LOG_WARNING,
	    LOG_FIELDS("MESSAGE_ID", "4c1d7f3e9a0b4f6f8d5b1e2a7c903d16", "OKD_NODE",
		node->name),
	    "install: %s came for its configuration, but port 22623 is closed since "
	    "the "
	    "install is complete; for a new node open it with POST /v1/mcs/open",
	    node->name);
}

static void tell(const struct cluster_node *node, const char *what, const char *id)
{
	log_with(LOG_NOTICE, LOG_FIELDS("MESSAGE_ID", id, "OKD_NODE", node->name),
	    "install: %s has %s", node->name, what);
}

/* A node that is installed again does; one that fetches all the time is no news. */
static bool has_fetched_anew(const struct node_live *n)
{
	int64_t last = load(&n->fetched_last);

	return last &&
	    (!n->told_fetched || llabs(last - n->told_fetched) >= FETCH_NEWS_S);
}

/* True when a node has got further. */
static bool tell_progress(const struct snapshot *snap)
{
	const struct cluster *c = snap->conf->cluster;
	bool any = false;

	for (size_t i = 0; c && i < cluster_n_nodes(c); i++) {
		const struct cluster_node *node = cluster_node_at(c, i);
		struct node_live *n = snap->nodes[i];
		bool api = n && load(&n->api_first);

		if (n && load(&n->refused))
			tell_refused(node, n);
		if (n && has_fetched_anew(n)) {
			tell(node, "fetched its configuration",
			    "4c1d7f3e9a0b4f6f8d5b1e2a7c903d14");
			n->told_fetched = load(&n->fetched_last);
			any = true;
		}
		if (api && !n->told_api) {
			tell(node, "reached the API",
			    "4c1d7f3e9a0b4f6f8d5b1e2a7c903d15");
			n->told_api = any = true;
		}
	}
	return any;
}

static const char *const meanings[] = {
	[LIFECYCLE_WAITING] = "nothing answers yet",
	[LIFECYCLE_BOOTSTRAP] = "the bootstrap answers",
	[LIFECYCLE_HANDOVER] = "the masters have taken over; the bootstrap is backup",
	[LIFECYCLE_COMPLETE] = "the bootstrap has gone and has retired",
};

static const char *const message_ids[] = {
	[LIFECYCLE_WAITING] = "4c1d7f3e9a0b4f6f8d5b1e2a7c903d10",
	[LIFECYCLE_BOOTSTRAP] = "4c1d7f3e9a0b4f6f8d5b1e2a7c903d11",
	[LIFECYCLE_HANDOVER] = "4c1d7f3e9a0b4f6f8d5b1e2a7c903d12",
	[LIFECYCLE_COMPLETE] = "4c1d7f3e9a0b4f6f8d5b1e2a7c903d13",
};

static void on_moved(struct install *in)
{
	log_with(LOG_NOTICE,
	    LOG_FIELDS("MESSAGE_ID", message_ids[in->life.state], "OKD_INSTALL",
		lifecycle_name(in->life.state)),
	    "install: %s: %s", lifecycle_name(in->life.state),
	    meanings[in->life.state]);
	save_state(in);
	set_marks(in);
}

bool install_step(struct install *in, const struct snapshot *snap)
{
	const struct lifecycle_conf *c = &snap->conf->lifecycle;
	struct lifecycle_facts f = { 0 };
	bool complete, changed;

	look_at(snap, c->api, &f.bootstrap_api, &f.master_api);
	look_at(snap, c->mcs, &f.bootstrap_mcs, &f.master_mcs);
	switch (lifecycle_step(
	    &in->life, &f, clock_real_s(), (int64_t)(c->retire_after / 1000))) {
	case LIFECYCLE_MOVED:
		on_moved(in);
		break;
	case LIFECYCLE_RETURNED:
		log_warning("install: the bootstrap's API answers again although the "
			    "install is complete; it gets no connections: switch it "
			    "off, or begin a reinstall with POST /v1/install/restart");
		break;
	case LIFECYCLE_GONE_AGAIN:
		log_info("install: the bootstrap's API does not answer any more");
		break;
	case LIFECYCLE_SAME:
		break;
	}
	if (tell_progress(snap))
		save_state(in);
	/* The guide's profile watches and leaves the servers to the administrator. */
	in->acts = snap->conf->profile == PROFILE_OKD;
	complete = in->acts && in->life.state == LIFECYCLE_COMPLETE;
	changed = retire(snap, c->api, complete);
	changed |= retire(snap, c->mcs, complete);
	return changed;
}

void install_restart(struct install *in)
{
	lifecycle_restart(&in->life, clock_real_s());
	list_for_each (it, &in->nodes) {
		struct node_live *n = CONTAINER_OF(it, struct node_live, link);

		store(&n->mcs_attempts, 0);
		store(&n->mcs_bytes, 0);
		store(&n->mcs_first, 0);
		store(&n->fetched, 0);
		store(&n->fetched_last, 0);
		store(&n->api_first, 0);
		store(&n->api_last, 0);
		store(&n->refused, 0);
		n->told_fetched = 0;
		n->told_api = n->told_refused = false;
	}
	in->open_until = 0;
	on_moved(in);
}

void install_open(struct install *in, uint64_t seconds)
{
	in->open_until = seconds ? clock_real_s() + (int64_t)seconds : 0;
	list_for_each (it, &in->nodes) {
		struct node_live *n = CONTAINER_OF(it, struct node_live, link);

		store(&n->refused, 0);
		n->told_refused = false;
	}
	if (seconds)
		log_info("install: the machine config server is open to every node "
			 "for %" PRIu64 " s",
		    seconds);
	else
		log_info("install: the machine config server is closed again");
	save_state(in);
}

bool install_is_open(const struct install *in)
{
	return in->life.state != LIFECYCLE_COMPLETE || in->open_until > clock_real_s();
}

const struct lifecycle *install_lifecycle(const struct install *in)
{
	return &in->life;
}

/* --- what is shown ------------------------------------------------------------------- */

void install_status(const struct install *in, const struct snapshot *snap, json_t *obj)
{
	const struct cluster *c = snap->conf->cluster;
	json_t *nodes = json_array();

	json_object_set_new(obj, "state", json_string(lifecycle_name(in->life.state)));
	json_object_set_new(obj, "since", json_integer(in->life.since));
	json_object_set_new(obj, "bootstrap_returned", json_boolean(in->life.returned));
	json_object_set_new(obj, "mcs_open", json_boolean(install_is_open(in)));
	for (size_t i = 0; c && i < cluster_n_nodes(c); i++) {
		const struct cluster_node *node = cluster_node_at(c, i);
		json_t *o = snap->nodes[i] ? node_to_json(snap->nodes[i]) : NULL;

		if (!o)
			continue;
		json_object_set_new(o, "name", json_string(node->name));
		json_object_set_new(
		    o, "role", json_string(node_role_name((enum node_role)node->role)));
		json_array_append_new(nodes, o);
	}
	json_object_set_new(obj, "nodes", nodes);
}

void install_metrics(const struct install *in, struct str *out)
{
	metric_family(out, "okd_lbd_install_state", METRIC_GAUGE,
	    "The install's life: 1 for the state it is in.");
	for (int s = LIFECYCLE_WAITING; s <= LIFECYCLE_COMPLETE; s++)
		metric_value(out, "okd_lbd_install_state",
		    METRIC_LABELS("state", lifecycle_name((enum lifecycle_state)s)),
		    s == (int)in->life.state);
	metric_single(out, "okd_lbd_install_bootstrap_returned", METRIC_GAUGE,
	    "The bootstrap's API answers although the install is complete.",
	    in->life.returned);
}

void install_headline(const struct install *in, struct str *out)
{
	str_addf(out, "install %s: %s", lifecycle_name(in->life.state),
	    in->life.returned ? "but the bootstrap answers again"
			      : meanings[in->life.state]);
}
