/*
 * The three roles' configs, watched: what is wrong with them, and their certificate
 * clocks, for the log, the status and the metrics.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/cluster.h"
#include "ignd/certclock.h"
#include "ignd/conf.h"
#include "ignd/ignfile.h"

#define CONFIGS_ROLES 3

enum config_state { CONFIG_MISSING, CONFIG_UNREADABLE, CONFIG_BAD, CONFIG_GOOD };

struct configs {
	struct {
		enum config_state state;
		enum certclock_state clock;
	} role[CONFIGS_ROLES]; /* by enum node_role */
	bool looked;
};

/* Looks at the files, which costs little while they stay the same, and logs what has
 * changed since the last look; nothing at the first, when the configuration check has
 * said it. */
void configs_look(
    struct configs *w, struct ignfiles *files, const struct ignd_conf *c, int64_t now);

/* [{"name":"bootstrap.ign","state":"good","version":"3.1.0","certificates":{...}}], or the
 * state "missing", or "unreadable" or "bad" with an "error" that says why; for everybody's
 * eyes (open) without what a bad file says. */
json_t *configs_json(
    struct ignfiles *files, const struct ignd_conf *c, int64_t now, bool open);
void configs_metrics(struct ignfiles *files, struct str *out);
