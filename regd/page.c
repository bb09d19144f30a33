/*
 * The page for people at /: repositories, and with ?repository= the tags of one, with
 * sizes and last pulls.  Behind our own come those of each overlay under its path; with
 * ?overlay= there are those of one alone.  Plain HTML without scripts; the caller sees
 * what it may pull.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/http_reply.h"
#include "regd/auth.h"
#include "regd/call.h"
#include "regd/ledger.h"
#include "regd/meta.h"
#include "regd/overlay.h"
#include "regd/regd.h"
#include "regd/reply.h"
#include "regd/server.h"

enum { ROWS_MAX = 1000 };

enum { OWN = -1 }; /* instead of an overlay's number */

struct page {
	struct call *call;
	struct str text;
	unsigned rows;
	char repository[NAME_MAX_LEN + 1]; /* "": all */
	int overlay;                       /* whose rows are being added */
	char last[NAME_MAX_LEN + 1];
};

static const char style[] =
    "<style>body{font:15px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3em 1em "
    ".3em 0;border-bottom:1px solid "
    "#ddd}td.n,th.n{text-align:right}code{font-size:13px}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}a{color:#8cf}"
    "th,td{border-color:#444}}</style>";

static void begin(struct page *p, const char *title)
{
	str_addf(&p->text,
	    "<!doctype html><html lang=en><meta charset=utf-8>"
	    "<meta name=viewport content=\"width=device-width\">"
	    "<title>%s</title>%s<h1>%s</h1>\n",
	    title, style, title);
}

static void add_size(struct str *out, int64_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)n;
	size_t u = 0;

	for (; v >= 1024 && u + 1 < ARRAY_SIZE(units); u++)
		v /= 1024;
	str_addf(out, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void add_time(struct str *out, int64_t t)
{
	time_t when = (time_t)t;
	char buf[32];
	struct tm tm;

	if (!t || !gmtime_r(&when, &tm) ||
	    !strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M UTC", &tm))
		snprintf(buf, sizeof(buf), "-");
	str_addz(out, buf);
}

static void add_overlay(struct page *p)
{
	if (p->overlay != OWN)
		str_addf(&p->text, "overlay=%d&amp;", p->overlay);
}

/* Names, tags and digests need no escaping: see name.h. */
static bool add_repository(void *arg, const struct meta_repo_row *r)
{
	struct page *p = arg;
	struct call *c = p->call;

	if (!auth_may_list(c, r->name))
		return true;
	str_addz(&p->text, "<tr><td><a href=\"/?");
	add_overlay(p);
	str_addf(&p->text, "repository=%s\">%s</a><td class=n>%" PRId64 "<td class=n>",
	    r->name, r->name, r->tags);
	add_size(&p->text, r->bytes);
	str_addz(&p->text, "<td>");
	add_time(&p->text, r->updated);
	str_addz(&p->text, "\n");
	snprintf(p->last, sizeof(p->last), "%s", r->name);
	return ++p->rows < ROWS_MAX;
}

static bool add_tag(void *arg, const struct meta_tag_row *t)
{
	struct page *p = arg;

	str_addf(&p->text, "<tr><td>%s<td><code>%.19s</code><td class=n>", t->name,
	    t->digest);
	add_size(&p->text, t->bytes);
	str_addz(&p->text, "<td>");
	add_time(&p->text, t->updated);
	str_addz(&p->text, "<td>");
	add_time(&p->text, ledger_last(p->call->regd->ledger, t->digest));
	str_addz(&p->text, "\n");
	snprintf(p->last, sizeof(p->last), "%s", t->name);
	return ++p->rows < ROWS_MAX;
}

/* A path is whatever the administrator wrote. */
static void add_escaped(struct str *out, const char *s)
{
	for (; *s; s++)
		if (strchr("<>&\"'", *s))
			str_addf(out, "&#%d;", *s);
		else
			str_addc(out, *s);
}

static int send_page(struct page *p, int r)
{
	struct http_req *req = p->call->req;

	if (r < 0) {
		str_deinit(&p->text);
		return reply_failed(req, r, "list names");
	}
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply_header(req, "Content-Security-Policy",
	    "default-src 'none'; style-src 'unsafe-inline'");
	http_reply_header(req, "X-Content-Type-Options", "nosniff");
	http_reply_str(req, 200, "text/html; charset=utf-8", &p->text);
	return 0;
}

/* One table: what db holds behind last. */
static int add_table(struct page *p, struct db *db, const char *last)
{
	int r;

	p->rows = 0;
	if (p->repository[0]) {
		str_addz(&p->text,
		    "<table><tr><th>Tag<th>Digest<th class=n>Size<th>Pushed"
		    "<th>Last pull\n");
		r = meta_tag_rows(db, p->repository, last, add_tag, p);
	} else {
		str_addz(&p->text,
		    "<table><tr><th>Repository<th class=n>Tags<th class=n>Size"
		    "<th>Last push\n");
		r = meta_repo_rows(db, last, add_repository, p);
	}
	str_addz(&p->text, "</table>\n");
	if (p->rows == ROWS_MAX) {
		str_addz(&p->text, "<p><a href=\"/?");
		add_overlay(p);
		if (p->repository[0])
			str_addf(&p->text, "repository=%s&amp;", p->repository);
		str_addf(&p->text, "last=%s\">More</a>\n", p->last);
	}
	return r;
}

/* A table under the overlay's path, unless it has nothing of the repository. */
static int add_overlay_table(struct page *p, int i, const char *last)
{
	const struct overlays *os = p->call->regd->overlays;
	struct db *db = overlays_index(os, (size_t)i);
	int64_t id;
	int r;

	if (!db)
		return 0;
	r = p->repository[0] ? meta_repo_find(db, p->repository, &id) : 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	p->overlay = i;
	str_addz(&p->text, "<h2>In overlay ");
	add_escaped(&p->text, overlays_path(os, (size_t)i));
	str_addz(&p->text, "</h2>\n");
	return add_table(p, db, last);
}

static int add_tables(struct page *p, const char *last)
{
	struct call *c = p->call;
	char number[8];
	uint64_t only;
	int r;

	if (http_req_param(c->req, "overlay", number, sizeof(number)) > 0 &&
	    str_to_u64(number, OVERLAYS_MAX - 1, &only) == 0)
		return add_overlay_table(p, (int)only, last);
	p->overlay = OWN;
	r = add_table(p, c->regd->db, last);
	/* Who goes on in our own has seen the overlays. */
	for (int i = 0; r == 0 && !*last && i < OVERLAYS_MAX; i++)
		r = add_overlay_table(p, i, "");
	return r;
}

int page_get(struct call *c)
{
	struct page p = { .call = c, .text = STR_INIT };
	char last[NAME_MAX_LEN + 1];

	if (http_req_param(c->req, "repository", p.repository, sizeof(p.repository)) <=
	    0)
		p.repository[0] = '\0';
	if (http_req_param(c->req, "last", last, sizeof(last)) < 0)
		last[0] = '\0';
	if (p.repository[0] &&
	    (!name_is_repository(p.repository, strlen(p.repository)) ||
		!(auth_call_rights(c, p.repository) & ACCESS_PULL)))
		return reply_oci(
		    c->req, 404, "NAME_UNKNOWN", "there is no such repository");
	begin(&p, p.repository[0] ? p.repository : "Repositories");
	if (p.repository[0])
		str_addz(&p.text, "<p><a href=\"/\">All repositories</a>\n");
	return send_page(&p, add_tables(&p, last));
}
