/* Several etcd clusters: see etcds.h. */
#include "dnsd/etcds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/http_client.h"
#include "common/metrics.h"
#include "common/str.h"

struct etcds {
	struct loop *loop;
	struct catalog *catalog;
	struct http_client *http; /* NULL until there is a cluster */
	struct mailbox *home;
	char *folder;
	/* Those in force, and those that stay or are new after a change. */
	struct etcd *list[ETCD_CLUSTERS], *fresh[ETCD_CLUSTERS];
	size_t n, n_next;
	bool swapped;
};

int etcds_new(struct etcds **ret, struct loop *l, struct catalog *c,
    struct mailbox *home, const char *folder)
{
	_cleanup_(etcds_freep) struct etcds *es = calloc(1, sizeof(*es));

	if (!es)
		return -ENOMEM;
	es->loop = l;
	es->catalog = c;
	es->home = home;
	es->folder = strdup(folder);
	if (!es->folder)
		return -ENOMEM;
	*ret = TAKE(es);
	return 0;
}

struct etcds *etcds_free(struct etcds *es)
{
	if (!es)
		return NULL;
	for (size_t i = 0; i < ETCD_CLUSTERS; i++) {
		etcd_free(es->list[i]);
		etcd_free(es->fresh[i]);
	}
	http_client_free(es->http);
	free(es->folder);
	free(es);
	return NULL;
}

static int open_one(
    struct etcds *es, size_t i, const struct etcd_settings *s, struct err *err)
{
	_cleanup_(str_deinit) struct str file = STR_INIT;
	int r = 0;

	str_addf(&file, "%s/etcd", es->folder);
	if (i)
		str_addf(&file, "-%zu", i + 1);
	str_addz(&file, ".db");
	if (!es->http)
		r = http_client_new(&es->http, es->loop, NULL);
	if (r == 0)
		r = str_err(&file);
	if (r < 0)
		return err_set(err, r, "out of memory");
	return etcd_new(&es->fresh[i], es->loop, es->catalog, es->http, es->home, s,
	    str_get(&file), err);
}

int etcds_prepare(
    struct etcds *es, const struct etcd_settings *settings, size_t n, struct err *err)
{
	int r = 0;

	es->n_next = n;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = i < es->n ? etcd_prepare(es->list[i], &settings[i], err)
			      : open_one(es, i, &settings[i], err);
	if (r < 0)
		etcds_settle(es);
	return r;
}

/* One that goes is hidden until it is known whether it does. */
void etcds_swap(struct etcds *es)
{
	es->swapped = !es->swapped;
	for (size_t i = 0; i < es->n; i++)
		if (i < es->n_next)
			etcd_swap(es->list[i]);
		else
			etcd_hide(es->list[i], es->swapped);
}

void etcds_settle(struct etcds *es)
{
	for (size_t i = 0; i < ETCD_CLUSTERS; i++) {
		if (es->swapped && i >= es->n_next)
			es->list[i] = etcd_free(es->list[i]);
		if (es->list[i])
			etcd_settle(es->list[i]);
		else if (es->swapped)
			es->list[i] = TAKE(es->fresh[i]);
		es->fresh[i] = etcd_free(es->fresh[i]);
	}
	if (es->swapped)
		es->n = es->n_next;
	es->swapped = false;
}

size_t etcds_count(const struct etcds *es)
{
	return es->n;
}

/* --- what is shown ------------------------------------------------------ */

void etcds_metrics(const struct etcds *es, struct str *out)
{
	for (unsigned m = 0; es->n && m < ETCD_METRICS; m++) {
		etcd_metric_family(m, out);
		for (size_t i = 0; i < es->n; i++) {
			char place[24];

			snprintf(place, sizeof(place), "%zu", i + 1);
			etcd_metric(es->list[i], m, es->n > 1 ? place : NULL, out);
		}
	}
}

void etcds_status(const struct etcds *es, json_t *obj)
{
	json_t *all = json_array();

	for (size_t i = 0; i < es->n; i++)
		json_array_append_new(all, etcd_status(es->list[i]));
	if (es->n == 1)
		json_object_set(obj, "etcd", json_array_get(all, 0));
	else if (es->n)
		json_object_set(obj, "etcd", all);
	json_decref(all);
}
