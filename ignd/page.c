/*
 * The page and its stream: see page.h.
 *
 * A stream holds one event at most: a client that reads slowly skips states and gets the
 * latest.
 */
#include "ignd/page.h"

#include <errno.h>
#include <string.h>

#include "common/http_server.h"
#include "common/json.h"
#include "common/list.h"
#include "common/loop.h"
#include "ignd/certclock.h"

/* One address must not take the stream from everybody else. */
enum { STREAMS_MAX = 64, STREAMS_OF_ONE = 16, TICKS_ALIVE = 30 };

struct page {
	struct loop *loop;
	json_t *(*model)(void *arg);
	void *arg;
	struct list_link streams;
	unsigned n_streams, quiet; /* ticks since the last event */
	bool changed, draining;
};

struct stream {
	struct list_link link;
	struct page *page;
	struct http_req *req;
	struct net_ip peer;
	struct str out;
	size_t at;
	bool stale; /* an event was skipped */
};

int page_new(struct page **ret, struct loop *l, json_t *(*model)(void *arg), void *arg)
{
	struct page *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->loop = l;
	p->model = model;
	p->arg = arg;
	list_init(&p->streams);
	*ret = p;
	return 0;
}

struct page *page_free(struct page *p)
{
	free(p);
	return NULL;
}

static void secure(struct http_req *r)
{
	http_reply_header(r, "Cache-Control", "no-store");
	http_reply_header(r, "X-Content-Type-Options", "nosniff");
	http_reply_header(r, "Content-Security-Policy",
	    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; "
	    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'");
}

/* --- HTML --------------------------------------------------------------- */

static void escape(struct str *out, const char *s)
{
	for (; s && *s; s++) {
		switch (*s) {
		case '<':
			str_addz(out, "&lt;");
			break;
		case '>':
			str_addz(out, "&gt;");
			break;
		case '&':
			str_addz(out, "&amp;");
			break;
		case '"':
			str_addz(out, "&quot;");
			break;
		default:
			str_addc(out, *s);
		}
	}
}

static void cell(struct str *out, const char *tag, const char *text)
{
	str_addf(out, "<%s>", tag);
	escape(out, text);
	str_addf(out, "</%.*s>", (int)strcspn(tag, " "), tag);
}

static void add_bar(struct str *out, const json_t *image)
{
	json_int_t total = json_integer_value(json_object_get(image, "total"));
	json_int_t acked = json_integer_value(json_object_get(image, "acked"));
	json_int_t speed = json_integer_value(json_object_get(image, "speed"));

	if (!total) {
		str_addz(out, "<td></td><td></td>");
		return;
	}
	str_addf(out,
	    "<td><progress max=\"%lld\" value=\"%lld\"></progress></td><td>%lld %%, "
	    "%lld of %lld MiB",
	    (long long)total, (long long)acked, (long long)(acked * 100 / total),
	    (long long)(acked >> 20), (long long)(total >> 20));
	if (speed)
		str_addf(out, ", %lld MiB/s", (long long)(speed >> 20));
	str_addz(out, "</td>");
}

static void add_node(struct str *out, const json_t *n)
{
	bool open = json_is_true(json_object_get(json_object_get(n, "window"), "open"));

	str_addz(out, "<tr>");
	cell(out, "th", json_str(n, "name"));
	cell(out, "td", json_str(n, "role"));
	cell(out, "td", json_str(n, "address"));
	str_addf(out, "<td%s>",
	    str_eq(json_str(n, "stage"), "Failed") ? " class=\"bad\"" : "");
	escape(out, json_str(n, "stage"));
	if (*json_str(n, "why")) {
		str_addz(out, ": ");
		escape(out, json_str(n, "why"));
	}
	str_addz(out, "</td>");
	add_bar(out, json_object_get(n, "image"));
	cell(out, "td",
	    json_is_integer(json_object_get(n, "ticket_at")) ? "fetched"
		: open                                       ? "window open"
							     : "window closed");
	str_addz(out, "</tr>\n");
}

/* One a line; behind each other here. */
static void add_warnings(struct str *out, const char *lines)
{
	while (lines && *lines) {
		size_t n = strcspn(lines, "\n");
		_cleanup_(freep) char *line = strndup(lines, n);

		str_addz(out, "; ");
		escape(out, line);
		lines += n + (lines[n] == '\n');
	}
}

static void add_config(struct str *out, const json_t *c)
{
	const json_t *certs = json_object_get(c, "certificates");
	const char *error = json_str(c, "error"), *clock = json_str(certs, "state");
	bool bad = error || (clock && strcmp(clock, "good") != 0);

	str_addf(out, "<li%s>", bad ? " class=\"bad\"" : "");
	escape(out, json_str(c, "name"));
	str_addz(out, ": ");
	escape(out, error ? error : json_str(c, "state"));
	if (json_str(certs, "text")) {
		str_addz(out, "; ");
		escape(out, json_str(certs, "text"));
	}
	add_warnings(out, json_str(c, "warnings"));
	str_addz(out, "</li>\n");
}

static void add_image(struct str *out, const json_t *i)
{
	const char *state = json_str(i, "state"), *why = json_str(i, "why");

	str_addf(
	    out, "<li%s>", state && strcmp(state, "bad") == 0 ? " class=\"bad\"" : "");
	escape(out, json_str(i, "name"));
	str_addz(out, ": ");
	escape(out, state);
	if (why && *why) {
		str_addz(out, ", ");
		escape(out, why);
	}
	str_addz(out, "</li>\n");
}

static void add_list(struct str *out, const json_t *model, const char *key,
    void (*add)(struct str *out, const json_t *it))
{
	const json_t *it;
	size_t i;

	json_array_foreach(json_object_get(model, key), i, it)
	{
		add(out, it);
	}
}

/* Follows the reader's choice of light or dark; on a phone a node is a card, on which the
 * columns stand below each other. */
static const char style[] =
    ":root{color-scheme:light dark;--line:#d5d9de;--dim:#5a6470;--bad:#b00020;"
    "--bar:#0b6bcb;--back:#e4e8ec}\n"
    "@media(prefers-color-scheme:dark){:root{--line:#3a4149;--dim:#a3adb8;"
    "--bad:#ff8a80;--bar:#5aa9f0;--back:#333a42}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:68em;"
    "padding:0 1em}\n"
    "h1{font-size:1.6em;margin:0 0 .8em}h2{font-size:1.15em;margin:1.8em 0 .4em}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "td,th{text-align:left;vertical-align:top;padding:.45em .8em .45em 0;"
    "border-bottom:1px solid var(--line)}\n"
    "thead th{color:var(--dim);font-weight:normal;font-size:.9em}\n"
    "td:nth-child(n+5){font-variant-numeric:tabular-nums}td:nth-child(2),"
    "td:nth-child(3),td:nth-child(7){color:var(--dim)}\n"
    "progress{appearance:none;border:0;width:11em;height:.7em;border-radius:.35em;"
    "overflow:hidden;background:var(--back);vertical-align:middle}\n"
    "progress::-webkit-progress-bar{background:var(--back)}"
    "progress::-webkit-progress-value{background:var(--bar)}"
    "progress::-moz-progress-bar{background:var(--bar)}\n"
    "ul{margin:0;padding-left:1.2em}li{overflow-wrap:anywhere}.bad{color:var(--bad)}\n"
    "tbody th,td:nth-child(n+6){white-space:nowrap}\n"
    "@media(max-width:54em){body{margin:1em auto}thead{display:none}"
    "tr{display:grid;grid-template-columns:1fr auto;padding:.7em 0;"
    "border-bottom:1px solid var(--line)}"
    "td,tbody th{border:0;padding:.1em 0}tbody th{white-space:normal}"
    "td:empty{display:none}"
    "td:nth-child(2){text-align:right}td:nth-child(7){text-align:right}"
    "td:nth-child(4),td:nth-child(5),td:nth-child(6){grid-column:1/-1}"
    "td:nth-child(4){order:1}td:nth-child(5){order:2}td:nth-child(6){order:3}"
    "progress{width:100%}}\n";

int page_html(struct http_req *r, struct page *p)
{
	_cleanup_(json_freep) json_t *model = p->model(p->arg);
	struct str out = STR_INIT;

	if (!model)
		return -ENOMEM;
	str_addz(&out,
	    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width, "
	    "initial-scale=1\">\n"
	    "<noscript><meta http-equiv=\"refresh\" "
	    "content=\"5\"></noscript>\n<title>");
	escape(&out, json_str(model, "cluster"));
	str_addz(&out, " - installation</title>\n<style>");
	str_addz(&out, style);
	str_addz(&out,
	    "</style>\n<script src=\"/page.js\" defer></script>\n</head>\n<body>\n");
	cell(&out, "h1", json_str(model, "cluster"));
	str_addz(&out,
	    "<table>\n<thead><tr><th>Node</th><th>Role</th><th>Address</th><th>Stage"
	    "</th><th>Image</th><th></th><th>Ignition</th></tr></thead>\n"
	    "<tbody id=\"nodes\">\n");
	add_list(&out, model, "nodes", add_node);
	str_addz(
	    &out, "</tbody></table>\n<h2>Ignition files</h2>\n<ul id=\"configs\">\n");
	add_list(&out, model, "configs", add_config);
	str_addz(&out, "</ul>\n<h2>Images</h2>\n<ul id=\"images\">\n");
	add_list(&out, model, "images", add_image);
	str_addz(&out, "</ul>\n</body>\n</html>\n");
	secure(r);
	http_reply_str(r, 200, "text/html; charset=utf-8", &out);
	return 0;
}

/* Builds the same elements as above; text only ever goes in as text. */
static const char script[] =
    "'use strict';\n"
    "const make = (tag, text) => {\n"
    "  const e = document.createElement(tag);\n"
    "  if (text !== undefined) e.textContent = text;\n"
    "  return e;\n"
    "};\n"
    "const mib = n => Math.floor(n / 1048576);\n"
    "const row = n => {\n"
    "  const tr = make('tr'), bar = make('td'), i = n.image;\n"
    "  const stage = make('td', n.stage + (n.why ? ': ' + n.why : ''));\n"
    "  if (n.stage === 'Failed') stage.className = 'bad';\n"
    "  let numbers = '';\n"
    "  if (i && i.total) {\n"
    "    const p = make('progress');\n"
    "    p.max = i.total; p.value = i.acked;\n"
    "    bar.append(p);\n"
    "    numbers = Math.floor(i.acked * 100 / i.total) + ' %, ' + mib(i.acked) +\n"
    "      ' of ' + mib(i.total) + ' MiB' + (i.speed ? ', ' + mib(i.speed) +\n"
    "      ' MiB/s' : '');\n"
    "  }\n"
    "  tr.append(make('th', n.name), make('td', n.role), make('td', n.address),\n"
    "    stage, bar, make('td', numbers),\n"
    "    make('td', n.ticket_at ? 'fetched' : n.window.open ? 'window open' :\n"
    "      'window closed'));\n"
    "  return tr;\n"
    "};\n"
    "const item = (text, bad) => {\n"
    "  const li = make('li', text);\n"
    "  if (bad) li.className = 'bad';\n"
    "  return li;\n"
    "};\n"
    "const config = c => item(c.name + ': ' + (c.error || c.state) +\n"
    "  (c.certificates ? '; ' + c.certificates.text : '') +\n"
    "  (c.warnings || '').split('\\n').filter(w => w).map(w => '; ' + w).join(''),\n"
    "  c.error || (c.certificates && c.certificates.state !== 'good'));\n"
    "const image = i => item(i.name + ': ' + i.state + (i.why ? ', ' + i.why : ''),\n"
    "  i.state === 'bad');\n"
    "const fill = (id, list, f) =>\n"
    "  document.getElementById(id).replaceChildren(...list.map(f));\n"
    "new EventSource('/events').onmessage = m => {\n"
    "  const d = JSON.parse(m.data);\n"
    "  fill('nodes', d.nodes, row);\n"
    "  fill('configs', d.configs, config);\n"
    "  fill('images', d.images, image);\n"
    "};\n";

int page_script(struct http_req *r, struct page *p)
{
	secure(r);
	http_reply(
	    r, 200, "text/javascript; charset=utf-8", script, sizeof(script) - 1);
	return 0;
}

/* --- JSON --------------------------------------------------------------- */

static int model_text(struct page *p, struct str *out)
{
	_cleanup_(json_freep) json_t *model = p->model(p->arg);

	return model ? json_dump_str(model, out) : -ENOMEM;
}

int page_json(struct http_req *r, struct page *p)
{
	struct str out = STR_INIT;

	if (model_text(p, &out) < 0) {
		str_deinit(&out);
		return -ENOMEM;
	}
	str_addc(&out, '\n');
	secure(r);
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}

/* --- the stream --------------------------------------------------------- */

static void stream_end(struct http_req *r, void *arg, enum http_end end)
{
	struct stream *s = arg;

	list_remove(&s->link);
	s->page->n_streams--;
	str_deinit(&s->out);
	free(s);
}

static int event_text(struct page *p, struct str *out);

/* The state of this moment in place of those that were skipped. */
static void stream_refresh(struct stream *s)
{
	s->stale = false;
	str_reset(&s->out);
	s->at = 0;
	if (event_text(s->page, &s->out) < 0)
		str_reset(&s->out);
}

static ssize_t stream_pull(struct http_req *r, void *arg, char *buf, size_t n)
{
	struct stream *s = arg;

	if (s->stale && s->at == s->out.len)
		stream_refresh(s);
	n = MIN(n, s->out.len - s->at);
	if (!n)
		return s->page->draining ? 0 : -EAGAIN;
	memcpy(buf, s->out.s + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

/* Puts an event there unless the last one is still on its way in part. */
static bool stream_put(struct stream *s, const char *text, size_t n)
{
	if (s->at && s->at < s->out.len) {
		s->stale = true;
		return false;
	}
	str_reset(&s->out);
	s->at = 0;
	str_add(&s->out, text, n);
	return !str_err(&s->out);
}

static int event_text(struct page *p, struct str *out)
{
	str_addz(out, "data: ");
	if (model_text(p, out) < 0)
		return -ENOMEM;
	str_addz(out, "\n\n");
	return str_err(out);
}

static bool is_full(const struct page *p, const struct net_ip *peer)
{
	unsigned own = 0;

	list_for_each (it, &p->streams)
		own += net_ip_eq(&CONTAINER_OF(it, struct stream, link)->peer, peer);
	return p->n_streams >= STREAMS_MAX || own >= STREAMS_OF_ONE;
}

int page_events(struct http_req *r, struct page *p)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct net_ip peer = http_req_peer(r, NULL);
	struct stream *s;

	if (http_req_method(r) == HTTP_HEAD) {
		http_reply(r, 200, "text/event-stream", "", 0);
		return 0;
	}
	if (is_full(p, &peer) || p->draining) {
		http_reply_header(r, "Retry-After", "10");
		return 503;
	}
	if (event_text(p, &text) < 0)
		return -ENOMEM;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->page = p;
	s->req = r;
	s->peer = peer;
	list_append(&p->streams, &s->link);
	p->n_streams++;
	http_req_on_end(r, stream_end, s);
	stream_put(s, text.s, text.len);
	secure(r);
	http_reply_stream(r, 200, "text/event-stream", -1, stream_pull, s);
	return 0;
}

static void tell(struct page *p, const char *text, size_t n)
{
	list_for_each_safe (it, &p->streams) {
		struct stream *s = CONTAINER_OF(it, struct stream, link);

		if (stream_put(s, text, n))
			http_reply_resume(s->req);
	}
}

void page_changed(struct page *p)
{
	p->changed = true;
}

void page_tick(struct page *p)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	if (!p->n_streams)
		return;
	if (!p->changed && ++p->quiet < TICKS_ALIVE)
		return;
	if (!p->changed)
		str_addz(&text, ": still here\n\n");
	else if (event_text(p, &text) < 0)
		return;
	p->changed = false;
	p->quiet = 0;
	tell(p, str_get(&text), text.len);
}

bool page_is_watched(const struct page *p)
{
	return p->n_streams;
}

void page_drain(struct page *p)
{
	p->draining = true;
	list_for_each_safe (it, &p->streams) {
		http_reply_resume(CONTAINER_OF(it, struct stream, link)->req);
	}
}
