/* Metrics: the names of HAProxy's exporter, and our own. */
#include <math.h>

#include "common/metrics.h"
#include "lbd/stats.h"

struct family {
	const char *name, *help;
	enum metric_type type;
	double (*value)(const struct stats_row *r);
};

/* clang-format off */
#define VALUE(f, e) static double f(const struct stats_row *r) { return (double)(e); }
VALUE(sessions, r->sessions)
VALUE(sessions_max, r->sessions_max)
VALUE(limit, r->limit ? (double)r->limit : NAN)
VALUE(total, r->total)
VALUE(connections, r->connections)
VALUE(bytes_in, r->in)
VALUE(bytes_out, r->out)
VALUE(denied, r->denied)
VALUE(queue, r->queue)
VALUE(queue_max, r->queue_max)
VALUE(errors, r->errors)
VALUE(retries, r->retries)
VALUE(redispatches, r->redispatches)
VALUE(client_aborts, r->client_aborts)
VALUE(server_aborts, r->server_aborts)
VALUE(weight, r->weight)
VALUE(active, r->active)
VALUE(backup, r->backup)
VALUE(rate, r->rate)
VALUE(rate_max, r->rate_max)
VALUE(downs, r->downs)
VALUE(downtime, r->downtime_s)
VALUE(changed, r->changed_s)
VALUE(failures, r->live->failures)
VALUE(duration, r->live->checked ? r->live->duration_ms / 1000.0 : NAN)
VALUE(code, r->live->code ? (double)r->live->code : NAN)
VALUE(connect_time, (double)r->connect_ms / 1000)
VALUE(queue_time, (double)r->queue_ms / 1000)
VALUE(total_time, (double)r->total_ms / 1000)

#define G METRIC_GAUGE
#define C METRIC_COUNTER
static const struct family frontend_families[] = {
	{ "current_sessions", "Number of current sessions on the frontend.", G, sessions },
	{ "max_sessions", "Highest value of current sessions.", G, sessions_max },
	{ "limit_sessions", "Frontend's limit on sessions.", G, limit },
	{ "sessions_total", "Total number of sessions.", C, total },
	{ "max_session_rate", "Highest value of sessions per second.", G, rate_max },
	{ "connections_total", "Total number of connections accepted.", C, connections },
	{ "bytes_in_total", "Total number of request bytes.", C, bytes_in },
	{ "bytes_out_total", "Total number of response bytes.", C, bytes_out },
	{ "denied_connections_total", "Connections reset by a rule.", C, denied },
	{ NULL, NULL, G, NULL },
};
static const struct family backend_families[] = {
	{ "current_sessions", "Number of current sessions.", G, sessions },
	{ "max_sessions", "Highest value of current sessions.", G, sessions_max },
	{ "current_queue", "Number of queued connections.", G, queue },
	{ "max_queue", "Highest value of queued connections.", G, queue_max },
	{ "sessions_total", "Total number of sessions.", C, total },
	{ "bytes_in_total", "Total number of request bytes.", C, bytes_in },
	{ "bytes_out_total", "Total number of response bytes.", C, bytes_out },
	{ "connection_errors_total", "Failed connections to servers.", C, errors },
	{ "retry_warnings_total", "Connection attempts repeated.", C, retries },
	{ "redispatch_warnings_total", "Attempts that went to another server.", C, redispatches },
	{ "client_aborts_total", "Sessions aborted by the client.", C, client_aborts },
	{ "server_aborts_total", "Sessions aborted by the server.", C, server_aborts },
	{ "loadbalanced_total", "Times a server was chosen.", C, total },
	{ "weight", "Sum of the weights in use.", G, weight },
	{ "active_servers", "Active servers that are up.", G, active },
	{ "backup_servers", "Backup servers that are up.", G, backup },
	{ "check_last_change_seconds", "Seconds since the last change of state.", G, changed },
	{ "connect_time_average_seconds", "Average connect time.", G, connect_time },
	{ "queue_time_average_seconds", "Average queue time.", G, queue_time },
	{ "total_time_average_seconds", "Average time of a session.", G, total_time },
	{ NULL, NULL, G, NULL },
};
static const struct family server_families[] = {
	{ "current_sessions", "Number of current sessions.", G, sessions },
	{ "max_sessions", "Highest value of current sessions.", G, sessions_max },
	{ "limit_sessions", "Server's limit on sessions.", G, limit },
	{ "current_queue", "Number of queued connections.", G, queue },
	{ "current_session_rate", "Sessions within the last second.", G, rate },
	{ "sessions_total", "Total number of sessions.", C, total },
	{ "bytes_in_total", "Total number of request bytes.", C, bytes_in },
	{ "bytes_out_total", "Total number of response bytes.", C, bytes_out },
	{ "connection_errors_total", "Failed connections.", C, errors },
	{ "retry_warnings_total", "Connection attempts repeated.", C, retries },
	{ "redispatch_warnings_total", "Attempts that went to another server.", C, redispatches },
	{ "client_aborts_total", "Sessions aborted by the client.", C, client_aborts },
	{ "server_aborts_total", "Sessions aborted by the server.", C, server_aborts },
	{ "weight", "Weight in use.", G, weight },
	{ "check_failures_total", "Failed checks while the server was up.", C, failures },
	{ "check_up_down_total", "Transitions from up to down.", C, downs },
	{ "check_last_change_seconds", "Seconds since the last change of state.", G, changed },
	{ "check_duration_seconds", "Duration of the last check.", G, duration },
	{ "check_code", "Status code of the last check's reply.", G, code },
	{ "downtime_seconds_total", "Total time the server was down.", C, downtime },
	{ NULL, NULL, G, NULL },
};
/* clang-format on */

static void add_sample(struct str *out, const char *name, const struct stats_row *r,
    const char *state, double v)
{
	const char *server = r->type == STATS_SERVER ? r->name : NULL;

	if (server && state)
		metric_value(out, name,
		    METRIC_LABELS("proxy", r->proxy, "server", server, "state", state),
		    v);
	else if (server)
		metric_value(
		    out, name, METRIC_LABELS("proxy", r->proxy, "server", server), v);
	else if (state)
		metric_value(
		    out, name, METRIC_LABELS("proxy", r->proxy, "state", state), v);
	else
		metric_value(out, name, METRIC_LABELS("proxy", r->proxy), v);
}

static void add_families(struct str *out, const struct stats *s, enum stats_type type,
    const char *prefix, const struct family *f)
{
	for (; f->name; f++) {
		_cleanup_(str_deinit) struct str name = STR_INIT;

		str_addf(&name, "haproxy_%s_%s", prefix, f->name);
		metric_family(out, str_get(&name), f->type, f->help);
		for (size_t i = 0; i < s->n; i++)
			if (s->rows[i].type == type)
				add_sample(out, str_get(&name), &s->rows[i], NULL,
				    f->value(&s->rows[i]));
	}
}

/* One sample a state, of which one is 1, as HAProxy's exporter has it. */
static const char *state_of(const struct stats_row *r)
{
	if (r->type != STATS_SERVER)
		return r->up ? "UP" : "DOWN";
	if (r->live->admin & ~(unsigned)SERVER_DRAIN)
		return "MAINT";
	if (!server_live_is_up(r->live))
		return "DOWN";
	return r->live->admin & SERVER_DRAIN ? "DRAIN" : "UP";
}

static void add_states(
    struct str *out, const struct stats *s, enum stats_type type, const char *name)
{
	static const char *const states[] = { "DOWN", "UP", "MAINT", "DRAIN" };
	size_t n = type == STATS_SERVER ? 4 : 2;

	metric_family(out, name, METRIC_GAUGE, "Current status.");
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; s->rows[i].type == type && k < n; k++)
			add_sample(out, name, &s->rows[i], states[k],
			    str_eq(states[k], state_of(&s->rows[i])));
}

static void add_check_states(struct str *out, const struct stats *s)
{
	const char *name = "haproxy_server_check_status";

	metric_family(out, name, METRIC_GAUGE, "Status of the last check.");
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].live && s->rows[i].live->checked)
			for (int k = 0; k <= CHECK_STATUS_L7STS; k++)
				add_sample(out, name, &s->rows[i],
				    check_status_code((enum check_status)k),
				    s->rows[i].live->status == (enum check_status)k);
}

static void add_certificates(struct str *out, const struct stats *s)
{
	const char *name = "okd_lbd_server_certificate_not_after_seconds";

	metric_family(out, name, METRIC_GAUGE,
	    "When the certificate that a check saw ends, since the epoch.");
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].live && s->rows[i].live->not_after)
			add_sample(out, name, &s->rows[i], NULL,
			    (double)s->rows[i].live->not_after);
}

static void add_issuers(struct str *out, const struct stats *s)
{
	const char *name = "okd_lbd_server_certificate_info";

	metric_family(out, name, METRIC_GAUGE,
	    "1, with the issuer of the certificate that a check saw.");
	for (size_t i = 0; i < s->n; i++) {
		const struct stats_row *r = &s->rows[i];

		if (r->live && r->live->issuer[0])
			metric_value(out, name,
			    METRIC_LABELS("proxy", r->proxy, "server", r->name,
				"issuer", r->live->issuer),
			    1);
	}
}

static void add_checks(struct str *out, const struct stats *s)
{
	const char *name = "okd_lbd_server_checks_total";

	metric_family(out, name, METRIC_COUNTER, "Checks that were done.");
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].live && s->rows[i].live->checked)
			add_sample(out, name, &s->rows[i], NULL,
			    (double)s->rows[i].live->checks);
}

void stats_metrics(const struct stats *s, const struct snapshot *snap, struct str *out)
{
	metric_single(out, "haproxy_process_max_connections", METRIC_GAUGE,
	    "Bound on sessions of the process.", snap->max_sessions);
	add_families(out, s, STATS_FRONTEND, "frontend", frontend_families);
	add_families(out, s, STATS_BACKEND, "backend", backend_families);
	add_families(out, s, STATS_SERVER, "server", server_families);
	add_states(out, s, STATS_FRONTEND, "haproxy_frontend_status");
	add_states(out, s, STATS_BACKEND, "haproxy_backend_status");
	add_states(out, s, STATS_SERVER, "haproxy_server_status");
	add_check_states(out, s);
	add_checks(out, s);
	add_certificates(out, s);
	add_issuers(out, s);
}
