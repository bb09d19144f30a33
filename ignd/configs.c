/* The roles' configs, watched: see configs.h. */
#include "ignd/configs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/metrics.h"

static const char *const names[CONFIGS_ROLES] = {
	[NODE_BOOTSTRAP] = "bootstrap.ign",
	[NODE_MASTER] = "master.ign",
	[NODE_WORKER] = "worker.ign",
};

#define EVENT_CLOCK "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b12"
#define EVENT_BAD "3d1cbe2f5c0b4c0e9d4c8d5f0a6e1b13"

/* A look at a role's file: what came of it, which holds until the next one, or NULL with
 * -errno. */
struct look {
	const struct ignfile *file;
	int error;
};

static struct look look_for(struct ignfiles *files, int role)
{
	struct look l = { NULL, 0 };
	_cleanup_(fd_closep) int fd = ignfiles_open(files, names[role], &l.file);

	return fd < 0 ? (struct look){ NULL, fd } : l;
}

static enum config_state state_of(struct look l)
{
	if (l.file)
		return l.file->ign ? CONFIG_GOOD : CONFIG_BAD;
	return l.error == -ENOENT ? CONFIG_MISSING : CONFIG_UNREADABLE;
}

static const char *why_unreadable(int error)
{
	switch (error) {
	case -EXDEV:
		return "it is a link that leads out of its folder";
	case -EBUSY:
		return "it changes while it is read";
	default:
		return strerror(-error);
	}
}

static void log_state(int role, enum config_state state, struct look l)
{
	const char *name = names[role];

	switch (state) {
	case CONFIG_BAD:
		log_with(LOG_WARNING,
		    LOG_FIELDS("MESSAGE_ID", EVENT_BAD, "OKD_FILE", name),
		    "%s; it is not served as it is", err_str(&l.file->err));
		break;
	case CONFIG_UNREADABLE:
		log_with(LOG_WARNING,
		    LOG_FIELDS("MESSAGE_ID", EVENT_BAD, "OKD_FILE", name),
		    "%s cannot be read: %s; nodes do not get it", name,
		    why_unreadable(l.error));
		break;
	case CONFIG_GOOD:
		log_info("%s is good", name);
		break;
	case CONFIG_MISSING:
		log_info("%s is not there", name);
		break;
	}
}

static void log_clock(
    int role, const struct ignition *ign, enum certclock_state s, int64_t now)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	bool bad = s == CERTCLOCK_EXPIRED || s == CERTCLOCK_EARLY;

	certclock_describe(&ign->certs, s, now, &text);
	log_with(bad                  ? LOG_ERR
		: s == CERTCLOCK_SOON ? LOG_WARNING
				      : LOG_INFO,
	    LOG_FIELDS("MESSAGE_ID", EVENT_CLOCK, "OKD_FILE", names[role]), "%s: %s",
	    names[role], str_get(&text));
}

static void look_at(
    struct configs *w, int role, struct look l, const struct ignd_conf *c, int64_t now)
{
	enum certclock_state clock = CERTCLOCK_NONE;
	enum config_state state = state_of(l);

	if (state == CONFIG_GOOD)
		clock = certclock_judge(&l.file->ign->certs, now,
		    (int64_t)(c->certificates.warn_before / 1000));
	if (w->looked && state != w->role[role].state)
		log_state(role, state, l);
	if (w->looked && clock != w->role[role].clock && clock != CERTCLOCK_NONE)
		log_clock(role, l.file->ign, clock, now);
	w->role[role].state = state;
	w->role[role].clock = clock;
}

void configs_look(
    struct configs *w, struct ignfiles *files, const struct ignd_conf *c, int64_t now)
{
	for (int role = 0; role < CONFIGS_ROLES; role++)
		look_at(w, role, look_for(files, role), c, now);
	w->looked = true;
}

/* --- shown -------------------------------------------------------------- */

static json_t *clock_json(
    const struct certclock *k, const struct ignd_conf *c, int64_t now)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	enum certclock_state s =
	    certclock_judge(k, now, (int64_t)(c->certificates.warn_before / 1000));

	if (!k->n)
		return json_null();
	certclock_describe(k, s, now, &text);
	return json_pack("{s:s,s:I,s:I,s:I,s:s}", "state", certclock_state_text(s),
	    "count", (json_int_t)k->n, "not_before", (json_int_t)k->not_before,
	    "not_after", (json_int_t)k->not_after, "text", str_get(&text));
}

static json_t *config_json(
    const char *name, struct look l, const struct ignd_conf *c, int64_t now, bool open)
{
	static const char *const states[] = { "missing", "unreadable", "bad", "good" };
	const struct ignfile *f = l.file;
	enum config_state state = state_of(l);
	json_t *obj = json_object();

	json_object_set_new(obj, "name", json_string(name));
	json_object_set_new(obj, "state", json_string(states[state]));
	if (state == CONFIG_MISSING)
		return obj;
	if (state == CONFIG_UNREADABLE) {
		json_object_set_new(obj, "error",
		    json_sprintf("it cannot be read: %s", why_unreadable(l.error)));
		return obj;
	}
	if (state == CONFIG_BAD) {
		json_object_set_new(obj, "error",
		    json_string(open ? "a node would refuse it; the log says why"
				     : err_str(&f->err)));
		return obj;
	}
	json_object_set_new(
	    obj, "version", json_sprintf("%u.%u.0", f->ign->major, f->ign->minor));
	json_object_set_new(obj, "bytes", json_integer((json_int_t)f->text.len));
	json_object_set_new(obj, "warnings", json_string(str_get(&f->ign->warnings)));
	json_object_set_new(obj, "certificates", clock_json(&f->ign->certs, c, now));
	return obj;
}

json_t *configs_json(
    struct ignfiles *files, const struct ignd_conf *c, int64_t now, bool open)
{
	json_t *list = json_array();

	for (int role = 0; role < CONFIGS_ROLES; role++)
		json_array_append_new(list,
		    config_json(names[role], look_for(files, role), c, now, open));
	return list;
}

void configs_metrics(struct ignfiles *files, struct str *out)
{
	const struct ignfile *f;

	metric_family(out, "okd_ignd_ignition_good", METRIC_GAUGE,
	    "Whether a role's .ign is there and fit to be served.");
	for (int role = 0; role < CONFIGS_ROLES; role++)
		metric_value(out, "okd_ignd_ignition_good",
		    METRIC_LABELS("file", names[role]),
		    state_of(look_for(files, role)) == CONFIG_GOOD);
	metric_family(out, "okd_ignd_certificates_not_after_seconds", METRIC_GAUGE,
	    "When the first certificate in a role's .ign ends.");
	for (int role = 0; role < CONFIGS_ROLES; role++)
		if ((f = look_for(files, role).file) && f->ign && f->ign->certs.n)
			metric_value(out, "okd_ignd_certificates_not_after_seconds",
			    METRIC_LABELS("file", names[role]),
			    (double)f->ign->certs.not_after);
	metric_family(out, "okd_ignd_certificates_not_before_seconds", METRIC_GAUGE,
	    "From when on all certificates in a role's .ign hold.");
	for (int role = 0; role < CONFIGS_ROLES; role++)
		if ((f = look_for(files, role).file) && f->ign && f->ign->certs.n)
			metric_value(out, "okd_ignd_certificates_not_before_seconds",
			    METRIC_LABELS("file", names[role]),
			    (double)f->ign->certs.not_before);
}
