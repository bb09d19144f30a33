/* HAProxy's commands: see command.h. */
#include "lbd/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "lbd/balance.h"
#include "lbd/lbd.h"
#include "lbd/override.h"
#include "lbd/shed.h"
#include "lbd/stats.h"
#include "lbd/table.h"

enum {
	WORDS_MAX = 16,
	SESS_MAX = 10000, /* that "show sess" shows */
};

/* One command: its words, and where the answer goes. */
struct command {
	struct lbd *l;
	char *w[WORDS_MAX]; /* NULL behind the last */
	size_t n;
	struct str *out;
};

static void say(const struct command *c, const char *text)
{
	str_addz(c->out, text);
}

/* --- whom it is about ------------------------------------------------------------ */

/* "B/s" as word i; NULL after an answer that says so. */
static const struct snap_server *find_server(
    const struct command *c, size_t i, const struct snap_backend **b)
{
	char *name = c->w[i], *slash = name ? strchr(name, '/') : NULL;
	const struct snap_server *s;

	if (!slash) {
		say(c, "Require 'backend/server'.\n");
		return NULL;
	}
	*slash = '\0';
	if (lbd_conf_find_backend(c->l->snap->conf, name) < 0) {
		say(c, "No such backend.\n");
		return NULL;
	}
	s = lbd_find_server(c->l, name, slash + 1, b);
	if (!s)
		say(c, "No such server.\n");
	return s;
}

static const struct snap_frontend *find_frontend(const struct command *c, size_t i)
{
	const struct snap_frontend *f = NULL;

	if (!c->w[i]) {
		say(c, "A frontend name is expected.\n");
		return NULL;
	}
	f = lbd_find_frontend(c->l, c->w[i]);
	if (!f)
		say(c, "No such frontend.\n");
	return f;
}

/* --- show ------------------------------------------------------------------------ */

static bool wanted(const struct command *c, const struct stats_row *r)
{
	int64_t iid = -1, sid = -1;
	int type = -1;

	if (c->n >= 5) {
		iid = atoll(c->w[2]);
		type = atoi(c->w[3]);
		sid = atoll(c->w[4]);
	}
	return (iid < 0 || r->iid == iid) && (sid < 0 || r->sid == sid) &&
	    (type < 0 || type & 1 << r->type);
}

static void show_stat(struct command *c)
{
	struct stats stats;
	size_t kept = 0;

	if (stats_gather(&stats, c->l->snap) < 0)
		return;
	for (size_t i = 0; i < stats.n; i++)
		if (wanted(c, &stats.rows[i]))
			stats.rows[kept++] = stats.rows[i];
	stats.n = kept;
	stats_csv(&stats, c->out);
	stats_deinit(&stats);
}

static unsigned op_state(const struct server_live *l)
{
	if (l->admin & ~(unsigned)SERVER_DRAIN || !server_live_is_up(l))
		return 0;
	return 2;
}

static unsigned admin_state(const struct server_live *l)
{
	return (l->admin & ~(unsigned)SERVER_DRAIN ? 1 : 0) |
	    (l->admin & SERVER_DRAIN ? 8 : 0);
}

/* HAProxy's numbers of its check statuses. */
static unsigned status_number(enum check_status s)
{
	static const unsigned char numbers[] = { 0, 1, 4, 6, 7, 8, 9, 10, 11, 15, 17,
		18, 19 };

	return numbers[s];
}

static void show_servers_state(struct command *c)
{
	const char *backend = c->w[3];
	struct stats stats;

	if (backend && lbd_conf_find_backend(c->l->snap->conf, backend) < 0) {
		say(c, "Can't find backend.\n");
		return;
	}
	if (stats_gather(&stats, c->l->snap) < 0)
		return;
	say(c,
	    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state "
	    "srv_uweight srv_iweight srv_time_since_last_change srv_check_status "
	    "srv_check_result srv_check_health srv_check_state srv_agent_state "
	    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl "
	    "srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n");
	for (size_t i = 0; i < stats.n; i++) {
		const struct stats_row *r = &stats.rows[i];
		const struct server_live *s = r->live;

		if (!s || (backend && !str_eq(backend, r->proxy)))
			continue;
		str_addf(c->out,
		    "%u %s %u %s %s %u %u %u %u %" PRIu64 " %u %u %u %u 0 0 0 - %u - 0 "
		    "0 - - 0\n",
		    r->iid, r->proxy, r->sid, r->name, net_ip_str(&s->at.ip),
		    op_state(s), admin_state(s), s->weight, s->initial_weight,
		    r->changed_s, status_number(s->status),
		    !s->checked                      ? 0
			: check_status_ok(s->status) ? 3
						     : 2,
		    s->health.value, s->checked ? 6 : 0, s->at.port);
	}
	stats_deinit(&stats);
}

static void show_info(struct command *c)
{
	const struct lbd *l = c->l;
	uint64_t up = (clock_boot_ms() - l->started) / 1000, total = 0;

	for (size_t i = 0; i < l->snap->n_frontends; i++)
		total += live_total(l->snap->frontends[i].live, connections);
	str_addf(c->out,
	    "Name: okd-lbd\nVersion: %s\nNbthread: %u\nNbproc: 1\nProcess_num: 1\n"
	    "Pid: %d\nUptime: %" PRIu64 "d %" PRIu64 "h%02" PRIu64 "m%02" PRIu64
	    "s\nUptime_sec: %" PRIu64 "\nMaxconn: %u\nHard_maxconn: %u\nCurrConns: %u\n"
	    "CumConns: %" PRIu64 "\nStopping: %d\nDroppedLogs: %" PRIu64 "\n",
	    OKD_VERSION, workers_count(l->workers), getpid(), up / 86400,
	    up % 86400 / 3600, up % 3600 / 60, up % 60, up, l->snap->max_sessions,
	    l->snap->hard_max_sessions, live_now(&l->shared.sessions), total,
	    l->draining, reqlog_dropped(l->shared.log));
}

static void show_version(struct command *c)
{
	say(c, OKD_VERSION "\n");
}

static void show_sess(struct command *c)
{
	shed_list(c->l->workers, SESS_MAX, SHED_LINES, c->out);
}

static void show_backend(struct command *c)
{
	say(c, "# name\n");
	for (size_t i = 0; i < c->l->snap->n_backends; i++)
		str_addf(c->out, "%s\n", c->l->snap->backends[i].conf->name);
}

/* One by name with its entries, else all without. */
static void show_table(struct command *c)
{
	const struct snapshot *snap = c->l->snap;
	bool any = false;

	for (size_t i = 0; i < snap->n_frontends; i++) {
		const struct snap_frontend *f = &snap->frontends[i];

		if (!table_exists(f) || (c->w[2] && !str_eq(c->w[2], f->conf->name)))
			continue;
		table_show(c->l->workers, snap, i, c->w[2] != NULL, c->out);
		any = true;
	}
	if (c->w[2] && !any)
		say(c, "No such table\n");
}

/* --- servers --------------------------------------------------------------------- */

static void weigh(struct command *c, const struct snap_server *s, const char *text)
{
	char *end;
	long v;

	if (!text || !*text) {
		say(c, "Require <weight> or <weight%>.\n");
		return;
	}
	v = strtol(text, &end, 10);
	if (end == text) {
		say(c, "Empty weight string empty or preceded by garbage");
	} else if (str_eq(end, "%") && v < 0) {
		say(c, "Relative weight must be positive.\n");
	} else if (str_eq(end, "%")) {
		v = MIN(v, 100L * BALANCE_WEIGHT_MAX) * (long)s->live->initial_weight /
		    100;
		override_weight(c->l, s, (unsigned)MIN(v, (long)BALANCE_WEIGHT_MAX));
	} else if (*end) {
		say(c, "Trailing garbage in weight string");
	} else if (v < 0 || v > BALANCE_WEIGHT_MAX) {
		say(c, "Absolute weight can only be between 0 and 256 inclusive.\n");
	} else {
		override_weight(c->l, s, (unsigned)v);
	}
}

static void set_weight(struct command *c)
{
	const struct snap_server *s = find_server(c, 2, NULL);

	if (s)
		weigh(c, s, c->w[3]);
}

static void get_weight(struct command *c)
{
	const struct snap_server *s = find_server(c, 2, NULL);

	if (s)
		str_addf(c->out, "%u (initial %u)\n", s->live->weight,
		    s->live->initial_weight);
}

static void set_state(
    struct command *c, const struct snap_backend *b, const struct snap_server *s)
{
	static const char *const states[] = { "ready", "drain", "maint" };

	for (size_t i = 0; c->w[4] && i < ARRAY_SIZE(states); i++) {
		if (!str_eq(c->w[4], states[i]))
			continue;
		override_state(c->l, b, s, (enum override_state)i);
		return;
	}
	say(c, "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n");
}

static void set_health(
    struct command *c, const struct snap_backend *b, const struct snap_server *s)
{
	bool up = c->w[4] && str_eq(c->w[4], "up");

	if (up || (c->w[4] && str_eq(c->w[4], "down")))
		override_health(c->l, b, s, up);
	else
		say(c,
		    "'set server <srv> health' expects 'up', 'stopping', or "
		    "'down'.\n");
}

/* What is said about an address and a port before they are taken. */
static void describe_move(struct str *out, const struct net_endpoint *from,
    const struct net_endpoint *to, bool port)
{
	if (net_ip_eq(&from->ip, &to->ip))
		str_addz(out, "no need to change the addr");
	else
		str_addf(out, "IP changed from '%s' to '%s'", net_ip_str(&from->ip),
		    net_ip_str(&to->ip));
	if (port && from->port == to->port)
		str_addz(out, ", no need to change the port");
	else if (port)
		str_addf(out, ", port changed from '%u' to '%u'", from->port, to->port);
}

static void set_address(struct command *c, const struct snap_server *s)
{
	struct net_endpoint from = s->live->at, to = from;
	bool port = c->w[5] != NULL;
	uint64_t v = from.port;

	if (!c->w[4] || (port && !str_eq(c->w[5], "port"))) {
		say(c,
		    "set server <b>/<s> addr requires an address and optionally a "
		    "port.\n");
		return;
	}
	if (net_ip_parse(c->w[4], &to.ip) < 0) {
		str_addf(c->out, "Invalid addr '%s'", c->w[4]);
	} else if (port &&
	    (!c->w[6] || str_to_u64(c->w[6], UINT16_MAX, &v) < 0 || !v)) {
		str_addf(c->out, "%sproblem converting port '%s' to an int",
		    net_ip_eq(&from.ip, &to.ip) ? "no need to change the addr, " : "",
		    c->w[6] ? c->w[6] : "");
	} else {
		to.port = (uint16_t)v;
		describe_move(c->out, &from, &to, port);
		override_address(c->l, s, &to);
	}
	say(c, " by 'stats socket command'\n");
}

static void set_server(struct command *c)
{
	const struct snap_backend *b = NULL;
	const struct snap_server *s = find_server(c, 2, &b);
	const char *what = c->w[3] ? c->w[3] : "";

	if (!s)
		return;
	if (str_eq(what, "state"))
		set_state(c, b, s);
	else if (str_eq(what, "weight"))
		weigh(c, s, c->w[4]);
	else if (str_eq(what, "health"))
		set_health(c, b, s);
	else if (str_eq(what, "addr"))
		set_address(c, s);
	else
		say(c,
		    "usage: set server <backend>/<server> addr | health | state | "
		    "weight\n");
}

static void set_ready(struct command *c, enum override_state state)
{
	const struct snap_backend *b = NULL;
	const struct snap_server *s = find_server(c, 2, &b);

	if (s)
		override_state(c->l, b, s, state);
}

static void enable_server(struct command *c)
{
	set_ready(c, OVERRIDE_READY);
}

static void disable_server(struct command *c)
{
	set_ready(c, OVERRIDE_MAINT);
}

static void shutdown_sessions(struct command *c)
{
	const struct snap_server *s = find_server(c, 3, NULL);

	if (s)
		(void)shed_all(c->l->workers, s->live);
}

static void shutdown_session(struct command *c)
{
	char *end = NULL;
	unsigned long long id = c->w[2] ? strtoull(c->w[2], &end, 16) : 0;

	if (!c->w[2])
		say(c, "Session pointer expected (use 'show sess').\n");
	else if (*end || !shed_one(c->l->workers, (uintptr_t)id))
		say(c, "No such session (use 'show sess').\n");
}

/* --- frontends -------------------------------------------------------------------- */

static void enable_frontend(struct command *c)
{
	const struct snap_frontend *f = find_frontend(c, 2);

	if (!f)
		return;
	if (f->live->open == LIVE_SHUT)
		say(c, "Frontend was previously shut down, cannot enable.\n");
	else if (f->live->open == LIVE_OPEN)
		say(c, "All sockets are already enabled.\n");
	else
		override_open(c->l, f, LIVE_OPEN);
}

static void disable_frontend(struct command *c)
{
	const struct snap_frontend *f = find_frontend(c, 2);

	if (!f)
		return;
	if (f->live->open == LIVE_SHUT)
		say(c, "Frontend was previously shut down, cannot disable.\n");
	else if (f->live->open == LIVE_PAUSED)
		say(c, "All sockets are already disabled.\n");
	else
		override_open(c->l, f, LIVE_PAUSED);
}

static void shutdown_frontend(struct command *c)
{
	const struct snap_frontend *f = find_frontend(c, 2);

	if (!f)
		return;
	if (f->live->open == LIVE_SHUT)
		say(c, "Frontend was already shut down.\n");
	else
		override_open(c->l, f, LIVE_SHUT);
}

/* --- limits ------------------------------------------------------------------------ */

/* HAProxy takes what is no number for 0, which would close a frontend: refused here. */
static bool parse_limit(
    const struct command *c, const char *text, const char *missing, uint64_t *ret)
{
	uint64_t negative;

	if (text && str_to_u64(text, LIVE_NO_LIMIT - 1, ret) == 0)
		return true;
	if (text && *text == '-' && str_to_u64(text + 1, UINT64_MAX, &negative) == 0)
		missing = "Value out of range.\n";
	say(c, missing);
	return false;
}

static void set_maxconn_frontend(struct command *c)
{
	const struct snap_frontend *f = find_frontend(c, 3);
	uint64_t v;

	if (f && parse_limit(c, c->w[4], "Integer value expected.\n", &v))
		override_limit(c->l, f->live, (unsigned)v);
}

static void set_maxconn_server(struct command *c)
{
	const struct snap_server *s = find_server(c, 3, NULL);
	uint64_t v;

	if (s &&
	    parse_limit(c, c->w[4],
		c->w[4] ? "maxconn string empty or preceded by garbage"
			: "Require <maxconn>.\n",
		&v))
		override_limit(c->l, &s->live->base, v ? (unsigned)v : LIVE_NO_LIMIT);
}

/* 0 is what there was at the start. */
static void set_maxconn_global(struct command *c)
{
	unsigned most = c->l->snap->hard_max_sessions;
	uint64_t v;

	if (!parse_limit(c, c->w[3], "Expects an integer value.\n", &v))
		return;
	if (v > most)
		say(c, "Value out of range.\n");
	else
		override_max_sessions(c->l, v ? (unsigned)v : most);
}

/* --- counters ---------------------------------------------------------------------- */

static void each_live(
    const struct snapshot *snap, void (*fn)(struct live *, unsigned), unsigned arg)
{
	for (size_t i = 0; i < snap->n_frontends; i++)
		fn(snap->frontends[i].live, arg);
	for (size_t i = 0; i < snap->n_backends; i++) {
		fn(snap->backends[i].live, arg);
		for (size_t k = 0; k < snap->backends[i].n; k++)
			fn(&snap->backends[i].servers[k].live->base, arg);
	}
}

static void clear_max(struct live *l, unsigned unused)
{
	live_clear_max(l);
}

static void clear_rate(struct live *l, unsigned unused)
{
	live_clear_rate(l);
}

/* A counter has one writer: each worker clears its own. */
static void clear_mine(void *engine, void *snap)
{
	const struct engine *e = engine;

	each_live(snap, live_clear_counters, e->index);
}

static void clear_counters(struct command *c)
{
	bool all = c->w[2] && str_eq(c->w[2], "all");

	each_live(c->l->snap, clear_max, 0);
	if (!all)
		return;
	workers_call(c->l->workers, clear_mine, c->l->snap);
	each_live(c->l->snap, clear_rate, 0);
}

/* --- finding the command ------------------------------------------------------------ */

/* clang-format off */
static const struct {
	const char *words; /* that it begins with */
	void (*run)(struct command *c);
	const char *help;
} commands[] = {
	{ "clear counters", clear_counters, " [all]                    : clear max statistics counters (or all counters)" },
	{ "disable frontend", disable_frontend, " <frontend>              : temporarily disable specific frontend" },
	{ "disable server", disable_server, " (DEPRECATED)             : disable a server for maintenance (use 'set server' instead)" },
	{ "enable frontend", enable_frontend, " <frontend>               : re-enable specific frontend" },
	{ "enable server", enable_server, "  (DEPRECATED)             : enable a disabled server (use 'set server' instead)" },
	{ "get weight", get_weight, " <bk>/<srv>                   : report a server's current weight" },
	{ "set maxconn frontend", set_maxconn_frontend, " <frontend> <value> : change a frontend's maxconn setting" },
	{ "set maxconn global", set_maxconn_global, " <value>              : change the per-process maxconn setting" },
	{ "set maxconn server", set_maxconn_server, " <bk>/<srv>           : change a server's maxconn setting" },
	{ "set server", set_server, " <bk>/<srv> [opts]            : change a server's state, weight, health or address" },
	{ "set weight", set_weight, " <bk>/<srv>  (DEPRECATED)     : change a server's weight (use 'set server' instead)" },
	{ "show backend", show_backend, "                            : list backends in the current running config" },
	{ "show info", show_info, "                               : report information about the running process" },
	{ "show servers state", show_servers_state, " [<backend>]          : dump volatile server information (all or for a single backend)" },
	{ "show sess", show_sess, "                               : report the list of current sessions" },
	{ "show stat", show_stat, " [iid type sid]                : report counters for each proxy and server" },
	{ "show table", show_table, " [<table>]                    : report table usage stats or dump this table's contents" },
	{ "show version", show_version, "                            : show version of the current process" },
	{ "shutdown frontend", shutdown_frontend, " <frontend>             : stop a specific frontend" },
	{ "shutdown sessions server", shutdown_sessions, " <bk>/<srv>     : kill sessions on a server" },
	{ "shutdown session", shutdown_session, " <id>                    : kill a specific session" },
};
/* clang-format on */

static void show_help(struct command *c)
{
	say(c, "The following commands are valid at this level:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		str_addf(c->out, "  %s%s\n", commands[i].words, commands[i].help);
	say(c,
	    "  help                                    : list all commands\n"
	    "  quit                                    : disconnect\n");
}

size_t command_split(char *command, char **words, size_t max)
{
	size_t n = 0;
	char *save = NULL;

	for (char *w = strtok_r(command, " \t\r", &save); w && n < max;
	     w = strtok_r(NULL, " \t\r", &save))
		words[n++] = w;
	return n;
}

/* Whether a command begins with these words. */
static bool begins_with(const struct command *c, const char *words)
{
	for (size_t i = 0; i < c->n; i++) {
		size_t len = strcspn(words, " ");

		if (strlen(c->w[i]) != len || strncmp(c->w[i], words, len) != 0)
			return false;
		words += len;
		if (!*words++)
			return true;
	}
	return false;
}

static void run_one(struct lbd *l, char *text, struct str *out)
{
	struct command c = { .l = l, .out = out };
	size_t i = 0;

	c.n = command_split(text, c.w, WORDS_MAX - 1);
	while (i < ARRAY_SIZE(commands) && !begins_with(&c, commands[i].words))
		i++;
	if (i < ARRAY_SIZE(commands)) {
		commands[i].run(&c);
	} else if (c.n && !str_eq(c.w[0], "quit")) {
		say(&c, str_eq(c.w[0], "help") ? "" : "Unknown command. ");
		show_help(&c);
	}
	str_addc(out, '\n');
}

void command_run(struct lbd *l, char *line, struct str *out)
{
	char *save = NULL;

	for (char *c = strtok_r(line, ";\n", &save); c;
	     c = strtok_r(NULL, ";\n", &save))
		run_one(l, c, out);
}
