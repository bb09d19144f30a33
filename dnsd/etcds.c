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
	/* Those in force, and during a change those after it: some of them, and fresh ones. */
	struct etcd *list[ETCD_CLUSTERS], *next[ETCD_CLUSTERS];
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
	for (size_t i = 0; i < ETCD_CLUSTERS; i++)
		etcd_free(es->list[i]);
	http_client_free(es->http);
	free(es->folder);
	free(es);
	return NULL;
}

/* The file of a place: etcd.db, etcd-2.db and so on. */
static int file_of(const struct etcds *es, size_t i, struct str *ret)
{
	str_addf(ret, "%s/etcd", es->folder);
	if (i)
		str_addf(ret, "-%zu", i + 1);
	str_addz(ret, ".db");
	return str_err(ret);
}

/* Where there are clusters already, what a place's file holds is another's. */
static int open_one(
    struct etcds *es, size_t i, const struct etcd_settings *s, struct err *err)
{
	_cleanup_(str_deinit) struct str file = STR_INIT;
	int r = file_of(es, i, &file);

	if (r == 0 && !es->http)
		r = http_client_new(&es->http, es->loop, NULL);
	if (r < 0)
		return err_set(err, r, "out of memory");
	return etcd_new(&es->next[i], es->loop, es->catalog, es->http, es->home, s,
	    es->n ? NULL : str_get(&file), err);
}

static bool has(struct etcd *const list[ETCD_CLUSTERS], const struct etcd *e)
{
	for (size_t i = 0; i < ETCD_CLUSTERS; i++)
		if (list[i] == e)
			return true;
	return false;
}

/* A cluster is known by its settings, wherever it stood; one that changed by its place. */
static void match(struct etcds *es, const struct etcd_settings *settings)
{
	for (size_t i = 0; i < es->n_next; i++)
		for (size_t k = 0; !es->next[i] && k < es->n; k++) {
			struct etcd *e = es->list[(i + k) % es->n];

			if (etcd_follows(e, &settings[i]) && !has(es->next, e))
				es->next[i] = e;
		}
	for (size_t i = 0; i < MIN(es->n, es->n_next); i++)
		if (!es->next[i] && !has(es->next, es->list[i]))
			es->next[i] = es->list[i];
}

int etcds_prepare(
    struct etcds *es, const struct etcd_settings *settings, size_t n, struct err *err)
{
	int r = 0;

	es->n_next = n;
	memset(es->next, 0, sizeof(es->next));
	match(es, settings);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = es->next[i] ? etcd_prepare(es->next[i], &settings[i], err)
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
		if (has(es->next, es->list[i]))
			etcd_swap(es->list[i]);
		else
			etcd_hide(es->list[i], es->swapped);
}

/* Frees what is in one list and not in the other. */
static void drop(
    struct etcd *list[ETCD_CLUSTERS], struct etcd *const kept[ETCD_CLUSTERS])
{
	for (size_t i = 0; i < ETCD_CLUSTERS; i++)
		if (list[i] && !has(kept, list[i]))
			list[i] = etcd_free(list[i]);
}

/* Whoever has another place, or is fresh, gets the file of that place. */
static void move(struct etcds *es, size_t i)
{
	_cleanup_(str_deinit) struct str file = STR_INIT;

	if (file_of(es, i, &file) == 0)
		etcd_move(es->next[i], str_get(&file));
}

void etcds_settle(struct etcds *es)
{
	if (es->swapped)
		drop(es->list, es->next);
	else
		drop(es->next, es->list);
	for (size_t i = 0; i < ETCD_CLUSTERS; i++) {
		struct etcd *e = es->next[i];

		if (e && has(es->list, e))
			etcd_settle(e);
		if (e && es->swapped && es->n && es->list[i] != e)
			move(es, i);
	}
	if (es->swapped) {
		memcpy(es->list, es->next, sizeof(es->list));
		es->n = es->n_next;
	}
	memset(es->next, 0, sizeof(es->next));
	es->n_next = 0;
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
