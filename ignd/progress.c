/*
 * The nodes' progress: see progress.h.
 *
 * The stages as requests show them.  coreos-installer of 2020 fetches the .ign, then the
 * signature, then the image, and reboots; the Ignition of a live system fetches the .ign
 * itself.  Of several transfers of the same kind the last one counts.  What comes after
 * that is seen by others, who report it.
 */
#include "ignd/progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"

/* Nodes, API server and bastion may disagree that far about the time of day. */
#define CLOCK_SLACK_S 300

static const char *const stage_texts[STAGES] = {
	[STAGE_NONE] = "",
	[STAGE_STARTING] = "Starting installation",
	[STAGE_WRITING] = "Writing image to disk",
	[STAGE_REBOOTING] = "Rebooting",
	[STAGE_WAITING] = "Waiting for ignition",
	[STAGE_CONFIGURING] = "Configuring",
	[STAGE_JOINED] = "Joined",
	[STAGE_DONE] = "Done",
	[STAGE_FAILED] = "Failed",
};

/* What systemd/okd-ignd.catalog explains. */
static const char *const stage_ids[STAGES] = {
	[STAGE_STARTING] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b01",
	[STAGE_WRITING] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b02",
	[STAGE_REBOOTING] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b03",
	[STAGE_WAITING] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b04",
	[STAGE_CONFIGURING] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b05",
	[STAGE_JOINED] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b08",
	[STAGE_DONE] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b09",
	[STAGE_FAILED] = "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b06",
};

const char *node_stage_text(enum node_stage s)
{
	return stage_texts[s];
}

/* --- life --------------------------------------------------------------- */

int progress_new(struct progress **ret)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*ret = p;
	return 0;
}

struct progress *progress_free(struct progress *p)
{
	if (!p)
		return NULL;
	free(p->nodes);
	free(p);
	return NULL;
}

struct node_state *progress_find(struct progress *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eq(p->nodes[i].name, name))
			return &p->nodes[i];
	return NULL;
}

static struct node_state *find_any(struct progress *p, const char *name)
{
	for (size_t i = 0; i < p->n + p->absent; i++)
		if (str_eq(p->nodes[i].name, name))
			return &p->nodes[i];
	return NULL;
}

struct node_state *progress_get(struct progress *p, const char *name)
{
	struct node_state *n = find_any(p, name), *list;
	size_t count = p->n + p->absent;

	if (n || strlen(name) >= sizeof(n->name))
		return n;
	list = realloc(p->nodes, (count + 1) * sizeof(*list));
	if (!list)
		return NULL;
	p->nodes = list;
	p->absent++;
	list[count] = (struct node_state){ 0 };
	strcpy(list[count].name, name);
	return &list[count];
}

int progress_set_cluster(struct progress *p, const struct cluster *c)
{
	size_t n = c ? cluster_n_nodes(c) : 0, absent = 0;
	struct node_state *list = calloc(n + p->n + p->absent + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct cluster_node *node = cluster_node_at(c, i);
		struct node_state *old = find_any(p, node->name);

		if (old) {
			list[i] = *old;
			old->name[0] = '\0'; /* it is there */
		}
		snprintf(list[i].name, sizeof(list[i].name), "%s", node->name);
		list[i].role = node->role;
		net_ip_format(
		    conf_list_items(&node->addresses, struct net_ip), list[i].address);
	}
	for (size_t i = 0; i < p->n + p->absent; i++)
		if (p->nodes[i].name[0])
			list[n + absent++] = p->nodes[i];
	free(p->nodes);
	p->nodes = list;
	p->n = n;
	p->absent = absent;
	return 0;
}

/* --- what happens ------------------------------------------------------- */

static void changed(struct progress *p, const struct node_state *n, bool keep)
{
	if (p->changed)
		p->changed(p->arg, n, keep);
}

static void enter_at(struct progress *p, struct node_state *n, enum node_stage s,
    int64_t at, const char *why)
{
	const char *text = node_stage_text(s);

	if (n->stage == s && str_eq(n->why, why))
		return;
	if (n->stage != s)
		log_with(s == STAGE_FAILED ? LOG_WARNING : LOG_INFO,
		    LOG_FIELDS("MESSAGE_ID", stage_ids[s], "OKD_NODE", n->name,
			"OKD_STAGE", text),
		    "%s: %s%s%s", n->name, text, *why ? ": " : "", why);
	n->stage = s;
	n->stage_at = at;
	snprintf(n->why, sizeof(n->why), "%s", why);
	changed(p, n, true);
}

static void enter(
    struct progress *p, struct node_state *n, enum node_stage s, const char *why)
{
	enter_at(p, n, s, clock_real_s(), why);
}

static struct node_file *file_of(struct node_state *n, enum file_kind kind)
{
	return kind == FILE_IMAGE   ? &n->image
	    : kind == FILE_IGNITION ? &n->ignition
				    : NULL;
}

/* As JSON takes it: what is no UTF-8, as a character that was cut, is shown as '?'. */
static void put_path(char to[PROGRESS_PATH_MAX], const char *path)
{
	char *end = to + MIN(strlen(path), (size_t)PROGRESS_PATH_MAX - 1);
	uint32_t c;

	snprintf(to, PROGRESS_PATH_MAX, "%s", path);
	while (to < end) {
		size_t n = utf8_decode(to, (size_t)(end - to), &c);

		if (!n)
			*to = '?';
		to += MAX(n, (size_t)1);
	}
}

uint64_t progress_begin(struct progress *p, struct node_state *n, enum file_kind kind,
    const char *path, uint64_t total)
{
	struct node_file *f = file_of(n, kind);

	if (f) {
		*f = (struct node_file){
			.total = total,
			.started_at = clock_real_s(),
			.id = ++p->last_id,
			.mark_ms = clock_boot_ms(),
		};
		put_path(f->path, path);
	}
	if (kind == FILE_IMAGE)
		enter(p, n, STAGE_WRITING, "");
	else if (n->stage != STAGE_WRITING)
		enter(p, n, STAGE_STARTING, "");
	return f ? f->id : 0;
}

/* The mean of the last seconds, the newest counting most. */
static void measure(struct node_file *f, uint64_t acked)
{
	uint64_t now = clock_boot_ms(), ms = now - f->mark_ms, speed;

	if (ms < 400 || acked < f->mark_acked)
		return;
	speed = (acked - f->mark_acked) * 1000 / ms;
	f->speed = f->speed ? (f->speed * 3 + speed) / 4 : speed;
	f->mark_ms = now;
	f->mark_acked = acked;
}

void progress_move(
    struct node_state *n, enum file_kind kind, uint64_t id, uint64_t acked)
{
	struct node_file *f = file_of(n, kind);

	if (!f || f->id != id)
		return;
	f->acked = acked;
	measure(f, acked);
}

static void image_end(
    struct progress *p, struct node_state *n, const struct progress_end *end)
{
	char why[sizeof(n->why)];

	if (end->complete) {
		enter(p, n, STAGE_REBOOTING, "");
		return;
	}
	snprintf(why, sizeof(why), "the image stopped after %llu of %llu bytes: %s",
	    (unsigned long long)n->image.acked, (unsigned long long)n->image.total,
	    end->why);
	enter(p, n, STAGE_FAILED, why);
}

static void ignition_end(
    struct progress *p, struct node_state *n, const struct progress_end *end)
{
	if (!end->complete) {
		changed(p, n, true);
		return;
	}
	n->ticket_at = clock_real_s();
	window_use(&n->window, n->ticket_at, clock_boot_ms());
	snprintf(n->ticket_address, sizeof(n->ticket_address), "%s", end->address);
	log_with(LOG_INFO,
	    LOG_FIELDS("MESSAGE_ID", "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b07", "OKD_NODE",
		n->name, "OKD_CLIENT", end->address),
	    "%s has its configuration", n->name);
	if (end->by_ignition)
		enter(p, n, STAGE_CONFIGURING, "");
	changed(p, n, true);
}

void progress_end(
    struct progress *p, struct node_state *n, const struct progress_end *end)
{
	struct node_file *f = file_of(n, end->kind);

	if (!f || end->id <= n->forgotten)
		return;
	if (f->id == end->id) {
		f->id = 0;
		f->acked = end->complete ? f->total : end->acked;
		if (end->complete)
			f->done_at = clock_real_s();
	} else if (end->kind == FILE_IMAGE || !end->complete) {
		return;
	}
	if (end->kind == FILE_IMAGE)
		image_end(p, n, end);
	else
		ignition_end(p, n, end);
}

void progress_signature(struct progress *p, struct node_state *n, int status)
{
	if (status == 404 && n->signature_status != 404)
		log_with(LOG_WARNING, LOG_FIELDS("OKD_NODE", n->name),
		    "%s asked for a signature that is not there: its installer gives "
		    "up "
		    "unless it runs with coreos.inst.insecure",
		    n->name);
	n->signature_status = status;
	if (n->stage != STAGE_WRITING)
		enter(p, n, STAGE_STARTING, "");
	changed(p, n, true);
}

bool progress_may_follow(const struct node_state *n, enum node_stage s)
{
	switch (n->stage) {
	case STAGE_STARTING:
	case STAGE_FAILED:
		return true; /* it may have its image from elsewhere, or by hand */
	case STAGE_REBOOTING:
	case STAGE_WAITING:
	case STAGE_CONFIGURING:
	case STAGE_JOINED:
		return s > n->stage;
	default:
		return false;
	}
}

/* Whether it is what comes next of a node that has all from us. */
static bool is_expected(const struct node_state *n)
{
	return n->stage == STAGE_REBOOTING || n->stage == STAGE_CONFIGURING ||
	    n->stage == STAGE_JOINED;
}

static bool is_of_this_installation(
    const struct node_state *n, enum node_stage s, int64_t since)
{
	if (!since || n->stage == STAGE_JOINED)
		return is_expected(n);
	if (s < STAGE_JOINED) /* by this host's clock */
		return since >= n->stage_at;
	/* By the cluster's own, which may be behind ours. */
	return is_expected(n) ? since + CLOCK_SLACK_S >= n->stage_at
			      : since > n->stage_at;
}

void progress_report(struct progress *p, struct node_state *n, enum node_stage s,
    int64_t since, const char *why)
{
	int64_t now = clock_real_s(), at = since ? MIN(since, now) : now;

	/* Never back in time, so that the newest of two saved states is the right one. */
	if (progress_may_follow(n, s) && is_of_this_installation(n, s, since))
		enter_at(p, n, s, MAX(at, n->stage_at), why);
}

static void forget(struct progress *p, struct node_state *n, int64_t at)
{
	struct node_state blank = {
		.role = n->role,
		.reset_at = at,
		.forgotten = p->last_id,
		.window.serial = n->window.serial,
	};

	memcpy(blank.name, n->name, sizeof(blank.name));
	memcpy(blank.address, n->address, sizeof(blank.address));
	*n = blank;
}

void progress_reset(struct progress *p, struct node_state *n)
{
	/* Later than the last one, whatever was done to the clock. */
	forget(p, n, MAX(clock_real_s(), n->reset_at + 1));
	n->window.serial++;
	changed(p, n, true);
}

void progress_restore_reset(struct progress *p, struct node_state *n, int64_t at)
{
	if (at > n->reset_at)
		forget(p, n, at);
}

void progress_wait(struct progress *p, struct node_state *n, const char *why)
{
	enter(p, n, STAGE_WAITING, why);
}

/* --- shown and kept ----------------------------------------------------- */

static void set_time(json_t *obj, const char *key, int64_t t)
{
	json_object_set_new(obj, key, t ? json_integer(t) : json_null());
}

static json_t *file_json(const struct node_file *f)
{
	json_t *obj;

	if (!f->path[0])
		return json_null();
	obj = json_object();
	json_object_set_new(obj, "path", json_string(f->path));
	json_object_set_new(obj, "total", json_integer((json_int_t)f->total));
	json_object_set_new(obj, "acked", json_integer((json_int_t)f->acked));
	json_object_set_new(
	    obj, "speed", json_integer((json_int_t)(f->id ? f->speed : 0)));
	json_object_set_new(obj, "active", json_boolean(f->id != 0));
	set_time(obj, "started_at", f->started_at);
	set_time(obj, "done_at", f->done_at);
	return obj;
}

static json_t *window_json(
    const struct node_state *n, const struct ignd_conf *c, int64_t now)
{
	uint64_t boot_ms = clock_boot_ms();
	enum node_reason reason = window_judge(&n->window, c, boot_ms);
	json_t *obj = json_object();

	json_object_set_new(obj, "open", json_boolean(reason == REASON_OK));
	set_time(obj, "until",
	    reason == REASON_OK ? window_until(&n->window, now, boot_ms) : 0);
	return obj;
}

json_t *progress_node_json(
    const struct node_state *n, const struct ignd_conf *c, int64_t now)
{
	json_t *obj = json_object();

	json_object_set_new(obj, "name", json_string(n->name));
	json_object_set_new(
	    obj, "role", json_string(node_role_name((enum node_role)n->role)));
	json_object_set_new(obj, "address", json_string(n->address));
	json_object_set_new(obj, "stage", json_string(node_stage_text(n->stage)));
	set_time(obj, "stage_at", n->stage_at);
	json_object_set_new(obj, "why", json_string(n->why));
	json_object_set_new(obj, "image", file_json(&n->image));
	json_object_set_new(obj, "ignition", file_json(&n->ignition));
	json_object_set_new(obj, "signature",
	    n->signature_status ? json_integer(n->signature_status) : json_null());
	set_time(obj, "ticket_at", n->ticket_at);
	json_object_set_new(obj, "refused", json_integer((json_int_t)n->refused));
	json_object_set_new(obj, "window", window_json(n, c, now));
	return obj;
}

json_t *progress_json(const struct progress *p, const struct ignd_conf *c, int64_t now)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(list, progress_node_json(&p->nodes[i], c, now));
	return list;
}

static json_t *save_file(const struct node_file *f)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:I}", "path", f->path, "total",
	    (json_int_t)f->total, "acked", (json_int_t)f->acked, "started_at",
	    (json_int_t)f->started_at, "done_at", (json_int_t)f->done_at);
}

json_t *progress_save(const struct node_state *n)
{
	return json_pack(
	    "{s:s,s:I,s:s,s:o,s:o,s:i,s:I,s:s,s:I,s:I,s:{s:i,s:I,s:I,s:b,s:I,s:I,s:I}}",
	    "stage", node_stage_text(n->stage), "stage_at", (json_int_t)n->stage_at,
	    "why", n->why, "image", save_file(&n->image), "ignition",
	    save_file(&n->ignition), "signature", n->signature_status, "ticket_at",
	    (json_int_t)n->ticket_at, "ticket_address", n->ticket_address, "refused",
	    (json_int_t)n->refused, "reset_at", (json_int_t)n->reset_at, "window",
	    "mode", (int)n->window.mode, "until", (json_int_t)n->window.until,
	    "duration", (json_int_t)n->window.duration, "once", n->window.once,
	    "used_at", (json_int_t)n->window.used_at, "used_ms",
	    (json_int_t)n->window.used_ms, "serial", (json_int_t)n->window.serial);
}

static json_int_t saved_int(const json_t *obj, const char *key)
{
	return json_integer_value(json_object_get(obj, key));
}

static void saved_text(const json_t *obj, const char *key, char *to, size_t size)
{
	const char *s = json_str(obj, key);

	snprintf(to, size, "%s", s ? s : "");
}

static void restore_file(struct node_file *f, const json_t *obj)
{
	*f = (struct node_file){
		.total = (uint64_t)saved_int(obj, "total"),
		.acked = (uint64_t)saved_int(obj, "acked"),
		.started_at = saved_int(obj, "started_at"),
		.done_at = saved_int(obj, "done_at"),
	};
	saved_text(obj, "path", f->path, sizeof(f->path));
}

static void restore_stage(struct node_state *n, const json_t *saved)
{
	const char *stage = json_str(saved, "stage");

	for (int s = 0; stage && s < STAGES; s++)
		if (str_eq(stage, stage_texts[s]))
			n->stage = (enum node_stage)s;
	n->stage_at = saved_int(saved, "stage_at");
	saved_text(saved, "why", n->why, sizeof(n->why));
}

/* Of a predecessor's window what came later than ours: another verb, or a fetch. */
static void restore_window(struct window *own, const json_t *w)
{
	json_int_t mode = saved_int(w, "mode");
	struct window saved = {
		.mode = mode == WINDOW_OPENED || mode == WINDOW_CLOSED
		    ? (enum window_mode)mode
		    : WINDOW_INITIAL,
		.until = saved_int(w, "until"),
		.duration = saved_int(w, "duration"),
		.once = json_is_true(json_object_get(w, "once")),
		.used_at = saved_int(w, "used_at"),
		.used_ms = (uint64_t)saved_int(w, "used_ms"),
		.serial = (uint64_t)saved_int(w, "serial"),
	};

	window_resume(&saved, clock_real_s(), clock_boot_ms());
	if (saved.serial > own->serial ||
	    (!own->serial && own->mode == WINDOW_INITIAL && saved.mode != own->mode)) {
		*own = saved;
	} else if (saved.serial == own->serial && !own->used_at) {
		own->used_at = saved.used_at;
		own->used_ms = saved.used_ms;
	}
}

void progress_restore(struct progress *p, struct node_state *n, const json_t *saved)
{
	/* What the process before this one saw of an earlier installation. */
	if (saved_int(saved, "reset_at") < n->reset_at)
		return;
	/* And what this one still sees of it, when its successor was told to begin again. */
	progress_restore_reset(p, n, saved_int(saved, "reset_at"));
	if (!n->stage_at && !n->ticket_at && !n->window.mode) {
		n->refused = (uint64_t)saved_int(saved, "refused");
		n->signature_status = (int)saved_int(saved, "signature");
	}
	restore_window(&n->window, json_object_get(saved, "window"));
	if (saved_int(saved, "ticket_at") > n->ticket_at) {
		n->ticket_at = saved_int(saved, "ticket_at");
		saved_text(saved, "ticket_address", n->ticket_address,
		    sizeof(n->ticket_address));
		if (!n->ignition.id)
			restore_file(&n->ignition, json_object_get(saved, "ignition"));
	}
	if (n->image.id || saved_int(saved, "stage_at") < n->stage_at)
		return;
	restore_stage(n, saved);
	restore_file(&n->image, json_object_get(saved, "image"));
}
