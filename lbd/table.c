/* Tables of client addresses: see table.h. */
#include "lbd/table.h"

#include <stdlib.h>
#include <string.h>

#include "lbd/server.h"
#include "lbd/sources.h"

enum { ENTRIES_MAX = 100000 };

struct table {
	size_t frontend, n, size;
	struct source_count *entries;
};

bool table_exists(const struct snap_frontend *f)
{
	return f->conf->source_connections || f->conf->source_rate;
}

static bool add_entry(void *arg, const struct source_count *c)
{
	struct table *t = arg;

	if (t->n == t->size) {
		size_t size = MAX(2 * t->size, (size_t)64);
		void *p = t->n < ENTRIES_MAX
		    ? realloc(t->entries, size * sizeof(*t->entries))
		    : NULL;

		if (!p)
			return false;
		t->entries = p;
		t->size = size;
	}
	t->entries[t->n++] = *c;
	return true;
}

/* On a worker, one after the other. */
static void collect(void *engine, void *arg)
{
	struct engine *e = engine;
	struct table *t = arg;

	if (e->current && e->current->sources[t->frontend])
		sources_each(e->current->sources[t->frontend], e->now_ms, add_entry, t);
}

static int by_address(const void *a, const void *b)
{
	const struct source_count *x = a, *y = b;

	return memcmp(&x->ip, &y->ip, sizeof(x->ip));
}

/* Each worker counts for itself. */
static void merge(struct table *t)
{
	size_t n = 0;

	if (t->n)
		qsort(t->entries, t->n, sizeof(*t->entries), by_address);
	for (size_t i = 0; i < t->n; i++) {
		if (n && by_address(&t->entries[n - 1], &t->entries[i]) == 0) {
			t->entries[n - 1].open += t->entries[i].open;
			t->entries[n - 1].recent += t->entries[i].recent;
		} else {
			t->entries[n++] = t->entries[i];
		}
	}
	t->n = n;
}

void table_show(struct workers *ws, const struct snapshot *snap, size_t i, bool entries,
    struct str *out)
{
	const struct snap_frontend *f = &snap->frontends[i];
	struct table t = { .frontend = i };

	workers_call(ws, collect, &t);
	merge(&t);
	str_addf(out, "# table: %s, type: ip, size:%u, used:%zu\n", f->conf->name,
	    snap->hard_max_sessions, t.n);
	for (size_t k = 0; entries && k < t.n; k++) {
		const struct source_count *c = &t.entries[k];

		str_addf(out, "%p: key=%s use=%u exp=0", (const void *)f->live,
		    net_ip_str(&c->ip), c->open);
		if (f->conf->source_rate)
			str_addf(out, " conn_rate(1000)=%u", c->recent);
		str_addf(out, " conn_cur=%u\n", c->open);
	}
	free(t.entries);
}
