/* Other settings for a cluster that is followed, and what is shown of it: see etcd.h. */
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/str.h"
#include "dnsd/etcd_impl.h"

static const char *const state_names[] = { "waiting", "authenticating", "listing",
	"checking", "watching" };

static int parse_zones(struct etcd_source *src)
{
	size_t n = src->s.zones.n;
	int r = 0;

	src->zones = calloc(n + 1, sizeof(*src->zones));
	if (!src->zones)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = name_parse(
		    &src->zones[i], conf_list_items(&src->s.zones, char *)[i]);
	src->n_zones = n;
	return r;
}

int etcd_source_init(
    struct etcd *e, struct etcd_source *src, const struct etcd_settings *settings)
{
	struct str prefix = STR_INIT;
	int r = etcd_settings_copy(&src->s, settings);

	if (r < 0)
		return r;
	if (e->now.tree && str_eq(e->now.s.path, settings->path))
		src->tree = e->now.tree;
	else
		r = catalog_add_source(
		    e->catalog, &src->tree, settings->path, RECORDS_ETCD);
	if (r == 0)
		r = parse_zones(src);
	if (r < 0)
		return r;
	str_addf(&prefix, "%s/", skydns_path(src->tree));
	src->prefix = str_take(&prefix);
	return src->prefix ? 0 : -ENOMEM;
}

void etcd_source_deinit(struct etcd *e, struct etcd_source *src)
{
	if (src->tree && src->tree != e->now.tree)
		catalog_drop_source(e->catalog, src->tree);
	free(src->zones);
	free(src->prefix);
	etcd_settings_deinit(&src->s);
	*src = (struct etcd_source){ 0 };
}

int etcd_prepare(struct etcd *e, const struct etcd_settings *settings, struct err *err)
{
	int r;

	if (etcd_settings_same(&e->now.s, settings))
		return 0;
	r = etcd_source_init(e, &e->other, settings);
	if (r < 0) {
		etcd_source_deinit(e, &e->other);
		return err_set(err, r, "out of memory");
	}
	skydns_hide(e->other.tree, e->other.tree != e->now.tree);
	e->prepared = true;
	return 0;
}

void etcd_swap(struct etcd *e)
{
	struct etcd_source s = e->now;
	struct name_buf *zones;

	if (!e->prepared)
		return;
	e->now = e->other;
	e->other = s;
	e->swapped = !e->swapped;
	skydns_hide(e->other.tree, true);
	skydns_hide(e->now.tree, false);
	/* A tree has the zones of its source, or of the one in force among two. */
	if (!e->now.zones)
		return;
	zones = skydns_set_zones(e->now.tree, TAKE(e->now.zones), e->now.n_zones);
	if (e->now.tree == e->other.tree)
		e->other.zones = zones;
	else
		free(zones);
}

void etcd_settle(struct etcd *e)
{
	if (!e->prepared)
		return;
	etcd_source_deinit(e, &e->other);
	e->prepared = false;
	if (!e->swapped)
		return;
	e->swapped = false;
	etcd_stop(e);
	free(TAKE(e->token));
	e->endpoint = e->api = 0;
	e->retry_ms = RETRY_MIN_MS;
	e->trouble = false; /* what is wrong with these settings has not been said */
	e->stale = true;
	etcd_after(e, 0);
}

bool etcd_follows(const struct etcd *e, const struct etcd_settings *settings)
{
	return etcd_settings_same(&e->now.s, settings);
}

static void skip_row(
    void *arg, const char *key, size_t n_key, const char *value, size_t n_value)
{
}

/* Without memory the next list does it. */
static void empty(struct kvfile *file, enum kv_part part)
{
	struct kv_batch *b;

	if (kv_batch_new(&b) < 0)
		return;
	b->part = part;
	kvfile_write(file, b);
}

void etcd_move(struct etcd *e, const char *path)
{
	struct err err = ERR_INIT;
	struct kvfile *file;

	if (kvfile_open(&file, e->home, path, false, skip_row, NULL, &err) < 0) {
		log_err("etcd: %s", err.text);
		return;
	}
	etcd_stop(e);
	kvfile_close(e->file);
	e->file = file;
	empty(file, KV_FIRST);
	empty(file, KV_LAST);
	e->stale = true;
	etcd_after(e, 0);
}

void etcd_hide(struct etcd *e, bool hidden)
{
	skydns_hide(e->now.tree, hidden);
}

static double age(const struct etcd *e)
{
	if (!e->good_ms)
		return -1;
	return (double)(loop_now_ms(e->loop) - e->good_ms) / 1000;
}

static double following(const struct etcd *e)
{
	return e->state == WATCHING;
}

static double keys(const struct etcd *e)
{
	return (double)etcd_count_keys(e);
}

static double bad_values(const struct etcd *e)
{
	return (double)e->bad.keys.n;
}

static double events(const struct etcd *e)
{
	return (double)e->n_events;
}

static double lists(const struct etcd *e)
{
	return (double)e->n_lists;
}

static double failures(const struct etcd *e)
{
	return (double)e->n_failures;
}

static const struct {
	const char *name;
	enum metric_type type;
	const char *help;
	double (*get)(const struct etcd *e);
} families[ETCD_METRICS] = {
	{ "okd_dnsd_etcd_following", METRIC_GAUGE,
	    "1 while changes in etcd are followed.", following },
	{ "okd_dnsd_etcd_age_seconds", METRIC_GAUGE,
	    "Time since what is served was known to be all of it; -1: not since the "
	    "start.",
	    age },
	{ "okd_dnsd_etcd_keys", METRIC_GAUGE, "Keys below the path.", keys },
	{ "okd_dnsd_etcd_bad_values", METRIC_GAUGE,
	    "Keys that are left out because they or their values are not valid.",
	    bad_values },
	{ "okd_dnsd_etcd_events_total", METRIC_COUNTER, "Changes that etcd told of.",
	    events },
	{ "okd_dnsd_etcd_lists_total", METRIC_COUNTER,
	    "Times that all keys were listed.", lists },
	{ "okd_dnsd_etcd_failures_total", METRIC_COUNTER, "Failures of an endpoint.",
	    failures },
};

void etcd_metric_family(unsigned m, struct str *out)
{
	metric_family(out, families[m].name, families[m].type, families[m].help);
}

void etcd_metric(const struct etcd *e, unsigned m, const char *cluster, struct str *out)
{
	metric_value(out, families[m].name,
	    cluster ? METRIC_LABELS("cluster", cluster) : NULL, families[m].get(e));
}

json_t *etcd_status(const struct etcd *e)
{
	json_t *o = json_object();

	json_object_set_new(o, "state", json_string(state_names[e->state]));
	json_object_set_new(o, "endpoint", json_string(etcd_endpoint(e)));
	json_object_set_new(o, "revision", json_integer(e->revision));
	json_object_set_new(o, "keys", json_integer((json_int_t)etcd_count_keys(e)));
	json_object_set_new(o, "bad_values", json_integer((json_int_t)e->bad.keys.n));
	json_object_set_new(o, "age_seconds", json_real(age(e)));
	if (e->why[0])
		json_object_set_new(o, "error", json_string(e->why));
	return o;
}
