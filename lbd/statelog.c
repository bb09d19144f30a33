/* Lines about states of servers: see statelog.h. */
#include "lbd/statelog.h"

#include <stdio.h>

#include "common/log.h"

struct tally {
	unsigned active, backup, sessions, queued;
};

static struct tally count_backend(const struct snap_backend *b)
{
	struct tally t = { .queued = live_now(&b->live->queue) };

	for (size_t i = 0; i < b->n; i++) {
		const struct server_live *l = b->servers[i].live;

		if (!l->usable)
			continue;
		if (b->servers[i].conf->backup)
			t.backup++;
		else
			t.active++;
	}
	return t;
}

void statelog_change(const struct snap_backend *b, const struct snap_server *s, bool up)
{
	const struct server_live *l = s->live;
	struct tally t = count_backend(b);
	char code[32] = "", info[160] = "";

	if (l->code)
		snprintf(code, sizeof(code), ", code: %u", l->code);
	if (l->info[0])
		snprintf(info, sizeof(info), ", info: \"%s\"", l->info);
	if (up)
		log_with(LOG_NOTICE,
		    LOG_FIELDS(
			"OKD_BACKEND", b->conf->name, "OKD_SERVER", s->conf->name),
		    "Server %s/%s is UP, reason: %s%s%s, check duration: %ums. %u "
		    "active "
		    "and %u backup servers online.%s 0 sessions requeued, %u total in "
		    "queue.",
		    b->conf->name, s->conf->name, check_status_text(l->status), code,
		    info, l->duration_ms, t.active, t.backup,
		    !t.active && t.backup ? " Running on backup." : "", t.queued);
	else
		log_with(LOG_WARNING,
		    LOG_FIELDS(
			"OKD_BACKEND", b->conf->name, "OKD_SERVER", s->conf->name),
		    "Server %s/%s is DOWN, reason: %s%s%s, check duration: %ums. %u "
		    "active and %u backup servers left.%s %u sessions active, 0 "
		    "requeued, "
		    "%u remaining in queue.",
		    b->conf->name, s->conf->name, check_status_text(l->status), code,
		    info, l->duration_ms, t.active, t.backup,
		    !t.active && t.backup ? " Running on backup." : "",
		    live_now(&l->base.sessions), t.queued);
	if (!up && !t.active && !t.backup)
		log_err("backend %s has no server available!", b->conf->name);
}

void statelog_by_hand(const struct snap_backend *b, const struct snap_server *s,
    enum override_state state, unsigned before)
{
	const char *what = state == OVERRIDE_MAINT ? "is going DOWN for maintenance"
	    : state == OVERRIDE_DRAIN              ? "enters drain state"
	    : before & SERVER_MAINT ? "is UP/READY (leaving forced maintenance)"
				    : "is UP (leaving forced drain)";
	struct tally t = count_backend(b);

	log_with(LOG_NOTICE,
	    LOG_FIELDS("OKD_BACKEND", b->conf->name, "OKD_SERVER", s->conf->name),
	    "Server %s/%s %s. %u active and %u backup servers %s. %u sessions active, "
	    "0 requeued, %u remaining in queue.",
	    b->conf->name, s->conf->name, what, t.active, t.backup,
	    state == OVERRIDE_READY ? "online" : "left",
	    live_now(&s->live->base.sessions), t.queued);
}
