/* The page on port 9000: HAProxy's table for people, without a script where there is
 * none, and kept up to date by one where there is. */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "lbd/balance.h"
#include "lbd/stats.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1d2733;--dim:#667;"
    "--line:#dfe3e8;--up:#1a7f4b;--bad:#c62f2f;--warn:#b26a00;--calm:#5b6b7c}"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1a2028;--ink:#e4e9ef;"
    "--dim:#93a0ae;--line:#2c3540;--up:#4cc38a;--bad:#ff7b72;--warn:#e3a341;"
    "--calm:#8fa1b3}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);"
    "font:15px/1.45 system-ui,sans-serif}header,main,footer{max-width:112rem;"
    "margin:auto;padding:.8rem 1rem}header{display:flex;flex-wrap:wrap;gap:.3rem "
    "1.5rem;"
    "align-items:baseline}h1{font-size:1.25rem;margin:0}h2{font-size:1rem;margin:0;"
    "padding:.7rem .6rem}header span,footer,.dim{color:var(--dim);font-weight:400}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "margin:0 0 1rem;overflow-x:auto}table{border-collapse:collapse;width:100%;"
    "font-size:.84rem;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "th,td{padding:.35rem .4rem;"
    "border-top:1px solid var(--line);text-align:right}th{font-weight:500;"
    "font-size:.74rem;color:var(--dim)}th:first-child,td:first-child,th.l,td.l{"
    "text-align:left}td:first-child,th:first-child{padding-left:.6rem;position:sticky;"
    "left:0;"
    "background:var(--card)}tr.sum td{font-weight:600}b.s{font-weight:600}"
    ".up b.s{color:var(--up)}.down b.s{color:var(--bad)}.going-up b.s,.going-down b.s,"
    ".drain b.s{color:var(--warn)}.maint b.s,.nocheck b.s{color:var(--calm)}"
    ".bad{color:var(--bad)}.dot{display:inline-block;width:.6em;height:.6em;border-"
    "radius:50%;"
    "background:currentColor;margin-right:.4em}a{color:inherit}";

/* Fetches the same page and puts its parts in place; stops while nobody looks. */
static const char script[] =
    "let n=0;setInterval(async()=>{if(document.hidden)return;try{const r=await "
    "fetch(location.pathname,{cache:'no-store'});if(!r.ok)throw 0;const d=new "
    "DOMParser().parseFromString(await r.text(),'text/html');for(const i of "
    "['live','top'])document.getElementById(i).replaceWith(document.adoptNode("
    "d.getElementById(i)));document.body.style.opacity=1;"
    "document.body.dataset.fresh=++n}catch(e){"
    "document.body.style.opacity=.5}},2000)";

static void add_text(struct str *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			str_addz(out, "&lt;");
		else if (*s == '&')
			str_addz(out, "&amp;");
		else if (*s == '"')
			str_addz(out, "&quot;");
		else
			str_addc(out, *s);
	}
}

static void add_bytes(struct str *out, uint64_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", NULL };
	double v = (double)n;
	size_t u = 0;

	while (v >= 1024 && units[u + 1]) {
		v /= 1024;
		u++;
	}
	str_addf(out,
	    u ? "<td title=\"%" PRIu64 "\">%.1f %s"
	      : "<td title=\"%" PRIu64 "\">%.0f %s",
	    n, v, units[u]);
}

/* "2d3h", "4h5m", "6m7s", "8s" */
static void add_age(struct str *out, uint64_t s)
{
	if (s >= 86400)
		str_addf(out, "%" PRIu64 "d%" PRIu64 "h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		str_addf(out, "%" PRIu64 "h%" PRIu64 "m", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		str_addf(out, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
	else
		str_addf(out, "%" PRIu64 "s", s);
}

static void add_limit(struct str *out, uint64_t limit)
{
	if (limit)
		str_addf(out, "<td>%" PRIu64, limit);
	else
		str_addz(out, "<td>");
}

static void add_check(struct str *out, const struct stats_row *r)
{
	const struct server_live *l = r->live;

	str_addz(out, "<td class=\"l\">");
	if (!l || !l->checked)
		return;
	str_addf(out, "%s%s", l->running ? "* " : "", check_status_code(l->status));
	if (l->code)
		str_addf(out, "/%u", l->code);
	str_addf(out, " in %u ms", l->duration_ms);
	if (l->info[0]) {
		str_addz(out, " <span class=\"dim\">");
		add_text(out, l->info);
		str_addz(out, "</span>");
	}
}

/* How long the certificate that a check saw is good for; whose it is shows on demand, as
 * the name of an authority can be long. */
static void add_certificate(struct str *out, const struct stats_row *r)
{
	const struct server_live *l = r->live;
	int64_t left = l && l->not_after ? l->not_after - clock_real_s() : 0;

	str_addz(out, "<td class=\"l\">");
	if (!l || !l->not_after)
		return;
	str_addz(out, left < 86400 ? "<b class=\"bad\" title=\"" : "<span title=\"");
	add_text(out, l->issuer);
	str_addz(out, "\">");
	add_age(out, (uint64_t)(left < 0 ? -left : left));
	str_addz(out, left < 0 ? " ago" : " left");
	str_addz(out, left < 86400 ? "</b>" : "</span>");
}

static void add_counts(struct str *out, const struct stats_row *r)
{
	str_addf(out, "<td>%u<td>%u", r->queue, r->queue_max);
	str_addf(out, "<td>%u<td>%u", r->rate, r->rate_max);
	str_addf(out, "<td>%u<td>%u", r->sessions, r->sessions_max);
	add_limit(out, r->limit);
	str_addf(out, "<td>%" PRIu64, r->total);
	add_bytes(out, r->in);
	add_bytes(out, r->out);
	str_addf(out, "<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64,
	    r->denied, r->errors, r->retries, r->redispatches);
}

static void add_row(struct str *out, const struct stats_row *r)
{
	str_addf(out, "<tr class=\"%s%s\"><td>", stats_colour(r),
	    r->type == STATS_SERVER ? "" : " sum");
	add_text(out,
	    r->type == STATS_FRONTEND      ? "Frontend"
		: r->type == STATS_BACKEND ? "Backend"
					   : r->name);
	str_addz(out, "<td class=\"l\"><b class=\"s\"><span class=\"dot\"></span>");
	add_text(out, r->status);
	str_addz(out, "</b>");
	if (r->type != STATS_FRONTEND) {
		str_addz(out, " <span class=\"dim\">");
		add_age(out, r->changed_s);
		str_addz(out, "</span>");
	}
	add_check(out, r);
	add_counts(out, r);
	if (r->type == STATS_FRONTEND) {
		str_addz(out, "<td><td><td><td><td></tr>\n");
		return;
	}
	str_addf(out, "<td>%u<td>%s<td>%u<td>", r->weight,
	    r->type == STATS_BACKEND ? conf_balance_name(r->backend->balance)
		: r->backup          ? "backup"
				     : "active",
	    r->downs);
	add_age(out, r->downtime_s);
	add_certificate(out, r);
	str_addz(out, "</tr>\n");
}

static const char head_row[] =
    "<tr><th><th class=\"l\">Status<th class=\"l\">Last check<th>Queue<th>max"
    "<th>Rate/s<th>max<th>Sessions<th>max<th>limit<th>Total<th>In<th>Out<th>Denied"
    "<th>Errors<th>Retries<th>Redisp.<th>Weight<th>Role<th>Downs<th>Downtime<th "
    "class=\"l\">Certificate</tr>\n";

static void add_tables(struct str *out, const struct stats *s)
{
	const char *proxy = NULL;

	for (size_t i = 0; i < s->n; i++) {
		const struct stats_row *r = &s->rows[i];

		if (!proxy || !str_eq(proxy, r->proxy)) {
			str_addz(out, proxy ? "</table></section>\n" : "");
			str_addz(out, "<section><h2>");
			add_text(out, r->proxy);
			str_addf(out, "</h2><table>%s", head_row);
			proxy = r->proxy;
		}
		add_row(out, r);
	}
	str_addz(out, proxy ? "</table></section>\n" : "");
}

void stats_page(const struct stats *s, const struct snapshot *snap, const char *state,
    struct str *out)
{
	str_addf(out,
	    "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
	    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	    "<title>okd-lbd</title><style>%s</style>"
	    "<header><h1>okd-lbd</h1><span id=\"top\">",
	    style);
	add_text(out, state);
	str_addz(out, "</span></header><main id=\"live\">");
	add_tables(out, s);
	str_addf(out,
	    "</main><footer>version %s · generation %" PRIu64
	    " · <a href=\"/;csv\">CSV</a> · <a href=\"/;json\">JSON</a> · "
	    "<a href=\"/metrics\">metrics</a></footer><script>%s</script></html>\n",
	    OKD_VERSION, snap->conf->common.generation, script);
}
