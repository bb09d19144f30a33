/* The roles' configs, watched: see configs.h. */
#include "ignd/configs.h"

#include <stdio.h>

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

/* NULL when the file is not there; holds until the next one. */
static const struct ignfile *file_of(struct ignfiles *files, int role)
{
	const struct ignfile *file = NULL;
	_cleanup_(fd_closep) int fd = ignfiles_open(files, names[role], &file);

	return fd < 0 ? NULL : file;
}

static enum config_state state_of(const struct ignfile *f)
{
	return !f ? CONFIG_MISSING : f->ign ? CONFIG_GOOD : CONFIG_BAD;
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

static void look_at(struct configs *w, int role, const struct ignfile *f,
    const struct ignd_conf *c, int64_t now)
{
	enum certclock_state clock = CERTCLOCK_NONE;
	enum config_state state = state_of(f);

	if (state == CONFIG_GOOD)
		clock = certclock_judge(
		    &f->ign->certs, now, (int64_t)(c->certificates.warn_before / 1000));
	if (w->looked && state != w->role[role].state) {
		if (state == CONFIG_BAD)
			log_with(LOG_WARNING,
			    LOG_FIELDS(
				"MESSAGE_ID", EVENT_BAD, "OKD_FILE", names[role]),
			    "%s; it is not served as it is", err_str(&f->err));
		else
			log_info("%s is %s", names[role],
			    state == CONFIG_GOOD ? "good" : "not there");
	}
	if (w->looked && clock != w->role[role].clock && clock != CERTCLOCK_NONE)
		log_clock(role, f->ign, clock, now);
	w->role[role].state = state;
	w->role[role].clock = clock;
}

void configs_look(
    struct configs *w, struct ignfiles *files, const struct ignd_conf *c, int64_t now)
{
	for (int role = 0; role < CONFIGS_ROLES; role++)
		look_at(w, role, file_of(files, role), c, now);
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

static json_t *config_json(const char *name, const struct ignfile *f,
    const struct ignd_conf *c, int64_t now, bool open)
{
	static const char *const states[] = { "missing", "bad", "good" };
	json_t *obj = json_object();

	json_object_set_new(obj, "name", json_string(name));
	json_object_set_new(obj, "state", json_string(states[state_of(f)]));
	if (!f)
		return obj;
	if (!f->ign) {
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
		json_array_append_new(
		    list, config_json(names[role], file_of(files, role), c, now, open));
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
		    state_of(file_of(files, role)) == CONFIG_GOOD);
	metric_family(out, "okd_ignd_certificates_not_after_seconds", METRIC_GAUGE,
	    "When the first certificate in a role's .ign ends.");
	for (int role = 0; role < CONFIGS_ROLES; role++)
		if ((f = file_of(files, role)) && f->ign && f->ign->certs.n)
			metric_value(out, "okd_ignd_certificates_not_after_seconds",
			    METRIC_LABELS("file", names[role]),
			    (double)f->ign->certs.not_after);
	metric_family(out, "okd_ignd_certificates_not_before_seconds", METRIC_GAUGE,
	    "From when on all certificates in a role's .ign hold.");
	for (int role = 0; role < CONFIGS_ROLES; role++)
		if ((f = file_of(files, role)) && f->ign && f->ign->certs.n)
			metric_value(out, "okd_ignd_certificates_not_before_seconds",
			    METRIC_LABELS("file", names[role]),
			    (double)f->ign->certs.not_before);
}
