/* Windows, and beginning again: see verbs.h. */
#include "ignd/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_reply.h"
#include "common/json.h"
#include "common/log.h"

#define EVENT_WINDOW "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b14"
#define EVENT_RESET "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b16"

int verb_duration(const char *s, int64_t *seconds)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char digits[16];
	size_t n = strspn(s, "0123456789");
	uint64_t v, factor = 1;

	if (n == 0 || n >= sizeof(digits) || (s[n] && s[n + 1]))
		return -EINVAL;
	if (s[n]) {
		factor = 0;
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			if (s[n] == units[i].unit)
				factor = units[i].seconds;
	}
	snprintf(digits, sizeof(digits), "%.*s", (int)n, s);
	if (!factor || str_to_u64(digits, WINDOW_LONGEST / factor, &v) < 0 || v == 0)
		return -EINVAL;
	*seconds = (int64_t)(v * factor);
	return 0;
}

/* The window that a request asks for; a status when it is malformed. */
static int open_window(struct http_req *r, struct window *w)
{
	char text[32];
	int64_t seconds = 0;

	if (http_req_param(r, "for", text, sizeof(text)) != -ENOENT &&
	    verb_duration(text, &seconds) < 0) {
		http_reply_error(r, 400, NULL,
		    "for must be a time such as 30m or 2h, of at most 366 days");
		return -EINVAL;
	}
	*w = (struct window){ 0 };
	window_open(w, seconds, clock_real_s(), clock_boot_ms());
	if (http_req_param(r, "once", text, sizeof(text)) >= 0)
		w->once = str_eq(text, "true") || str_eq(text, "1");
	return 0;
}

static void set_window(struct progress *p, struct node_state *n, const struct window *w)
{
	uint64_t serial = n->window.serial + 1;
	bool open = w->mode == WINDOW_OPENED;

	n->window = *w;
	n->window.serial = serial;
	log_with(LOG_INFO, LOG_FIELDS("MESSAGE_ID", EVENT_WINDOW, "OKD_NODE", n->name),
	    "%s: window %s%s", n->name, open ? "opened" : "closed",
	    w->once ? ", for one fetch" : "");
	if (p->changed)
		p->changed(p->arg, n, true);
}

/* w is not used. */
static void reset_node(struct progress *p, struct node_state *n, const struct window *w)
{
	progress_reset(p, n);
	log_with(LOG_INFO, LOG_FIELDS("MESSAGE_ID", EVENT_RESET, "OKD_NODE", n->name),
	    "%s: begins again: its progress, its window and its ticket are forgotten",
	    n->name);
}

static int reply_nodes(struct http_req *r, json_t *list)
{
	_cleanup_(json_freep) json_t *root = json_pack("{s:o}", "nodes", list);
	struct str out = STR_INIT;

	if (!root || json_dump_str(root, &out) < 0) {
		str_deinit(&out);
		return -ENOMEM;
	}
	str_addc(&out, '\n');
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}

/* Does it to the node that the request names, or to all. */
static int each(struct http_req *r, struct progress *p, const struct ignd_conf *c,
    void (*apply)(struct progress *p, struct node_state *n, const struct window *w),
    const struct window *w)
{
	char name[64];
	ssize_t n = http_req_param(r, "node", name, sizeof(name));
	struct node_state *one = n >= 0 ? progress_find(p, name) : NULL;
	json_t *list;

	if (n != -ENOENT && !one) {
		http_reply_error(r, 404, NULL, "there is no such node in cluster.yaml");
		return 0;
	}
	list = json_array();
	for (size_t i = 0; i < p->n; i++) {
		if (one && one != &p->nodes[i])
			continue;
		apply(p, &p->nodes[i], w);
		json_array_append_new(
		    list, progress_node_json(&p->nodes[i], c, clock_real_s()));
	}
	return reply_nodes(r, list);
}

int verb_open(struct http_req *r, struct progress *p, const struct ignd_conf *c)
{
	struct window w;

	return open_window(r, &w) < 0 ? 0 : each(r, p, c, set_window, &w);
}

int verb_nodes(struct http_req *r, struct progress *p, const struct ignd_conf *c)
{
	return reply_nodes(r, progress_json(p, c, clock_real_s()));
}

int verb_close(struct http_req *r, struct progress *p, const struct ignd_conf *c)
{
	const struct window w = { .mode = WINDOW_CLOSED };

	return each(r, p, c, set_window, &w);
}

int verb_reset(struct http_req *r, struct progress *p, const struct ignd_conf *c)
{
	return each(r, p, c, reset_node, NULL);
}
