/* HAProxy's CSV: its columns, in the order on which scripts and exporters rely. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lbd/balance.h"
#include "lbd/stats.h"

/* clang-format off */
#define COLUMNS(X) \
	X(pxname) X(svname) X(qcur) X(qmax) X(scur) X(smax) X(slim) X(stot) X(bin) \
	X(bout) X(dreq) X(dresp) X(ereq) X(econ) X(eresp) X(wretr) X(wredis) X(status) \
	X(weight) X(act) X(bck) X(chkfail) X(chkdown) X(lastchg) X(downtime) X(qlimit) \
	X(pid) X(iid) X(sid) X(throttle) X(lbtot) X(tracked) X(type) X(rate) X(rate_lim) \
	X(rate_max) X(check_status) X(check_code) X(check_duration) X(hrsp_1xx) \
	X(hrsp_2xx) X(hrsp_3xx) X(hrsp_4xx) X(hrsp_5xx) X(hrsp_other) X(hanafail) \
	X(req_rate) X(req_rate_max) X(req_tot) X(cli_abrt) X(srv_abrt) X(comp_in) \
	X(comp_out) X(comp_byp) X(comp_rsp) X(lastsess) X(last_chk) X(last_agt) X(qtime) \
	X(ctime) X(rtime) X(ttime) X(agent_status) X(agent_code) X(agent_duration) \
	X(check_desc) X(agent_desc) X(check_rise) X(check_fall) X(check_health) \
	X(agent_rise) X(agent_fall) X(agent_health) X(addr) X(cookie) X(mode) X(algo) \
	X(conn_rate) X(conn_rate_max) X(conn_tot) X(intercepted) X(dcon) X(dses) X(wrew) \
	X(connect) X(reuse) X(cache_lookups) X(cache_hits) X(srv_icur) X(src_ilim) \
	X(qtime_max) X(ctime_max) X(rtime_max) X(ttime_max) X(eint) X(idle_conn_cur) \
	X(safe_conn_cur) X(used_conn_cur) X(need_conn_est) X(uweight) \
	X(agg_server_status) X(agg_server_check_status) X(agg_check_status)
/* clang-format on */

#define AS_ENUM(c) C_##c,
#define AS_NAME(c) #c ","
enum column { COLUMNS(AS_ENUM) N_COLUMNS };

struct line {
	char cell[N_COLUMNS][24];
	const char *text[N_COLUMNS]; /* instead of the cell */
};

static void number(struct line *l, enum column c, uint64_t v)
{
	snprintf(l->cell[c], sizeof(l->cell[c]), "%" PRIu64, v);
}

static void zeros(struct line *l, enum column from, enum column to)
{
	for (enum column c = from; c <= to; c++)
		number(l, c, 0);
}

static void common_cells(struct line *l, const struct stats_row *r)
{
	l->text[C_pxname] = r->proxy;
	l->text[C_svname] = r->name;
	l->text[C_status] = r->status;
	l->text[C_mode] = "tcp";
	number(l, C_scur, r->sessions);
	number(l, C_smax, r->sessions_max);
	number(l, C_stot, r->total);
	number(l, C_bin, r->in);
	number(l, C_bout, r->out);
	number(l, C_dresp, 0);
	number(l, C_pid, 1);
	number(l, C_iid, r->iid);
	number(l, C_sid, r->sid);
	number(l, C_type, r->type);
	number(l, C_rate, r->rate);
	number(l, C_rate_max, r->rate_max);
	number(l, C_wrew, 0);
	number(l, C_eint, 0);
}

static void frontend_cells(struct line *l, const struct stats_row *r)
{
	number(l, C_slim, r->limit);
	number(l, C_dreq, 0);
	number(l, C_ereq, r->bad);
	number(l, C_rate_lim, 0);
	zeros(l, C_req_rate, C_req_tot);
	zeros(l, C_comp_in, C_comp_rsp);
	number(l, C_conn_rate, r->rate);
	number(l, C_conn_rate_max, r->rate_max);
	number(l, C_conn_tot, r->connections);
	number(l, C_dcon, r->denied);
	number(l, C_dses, 0);
}

/* What a backend and a server have in common. */
static void backend_cells(struct line *l, const struct stats_row *r)
{
	number(l, C_qcur, r->queue);
	number(l, C_qmax, r->queue_max);
	number(l, C_econ, r->errors);
	number(l, C_eresp, r->server_aborts);
	number(l, C_wretr, r->retries);
	number(l, C_wredis, r->redispatches);
	number(l, C_weight, r->weight);
	number(l, C_uweight, r->weight);
	number(l, C_act, r->active);
	number(l, C_bck, r->backup);
	number(l, C_lastchg, r->changed_s);
	number(l, C_downtime, r->downtime_s);
	number(l, C_lbtot, r->total);
	number(l, C_cli_abrt, r->client_aborts);
	number(l, C_srv_abrt, r->server_aborts);
	snprintf(l->cell[C_lastsess], sizeof(l->cell[0]), "%" PRId64, r->last_session);
	number(l, C_qtime, r->queue_ms);
	number(l, C_ctime, r->connect_ms);
	number(l, C_rtime, 0);
	number(l, C_ttime, r->total_ms);
	number(l, C_connect, r->total);
	number(l, C_reuse, 0);
	zeros(l, C_qtime_max, C_ttime_max);
}

static void backend_only_cells(struct line *l, const struct stats_row *r)
{
	number(l, C_slim, r->limit);
	number(l, C_dreq, 0);
	number(l, C_chkdown, r->downs);
	zeros(l, C_comp_in, C_comp_rsp);
	zeros(l, C_agg_server_status, C_agg_check_status);
	l->text[C_algo] = conf_balance_name(r->backend->balance);
}

static void server_cells(struct line *l, const struct stats_row *r)
{
	const struct server_live *s = r->live;

	if (r->limit)
		number(l, C_slim, r->limit);
	number(l, C_srv_icur, 0);
	zeros(l, C_idle_conn_cur, C_need_conn_est);
	l->text[C_addr] = stats_address(r);
	if (!s->checked)
		return;
	snprintf(l->cell[C_check_status], sizeof(l->cell[0]), "%s%s",
	    s->running ? "* " : "", check_status_code(s->status));
	number(l, C_check_duration, s->duration_ms);
	if (s->code)
		number(l, C_check_code, s->code);
	number(l, C_chkfail, s->failures);
	number(l, C_chkdown, r->downs);
	l->text[C_last_chk] = s->info;
	l->text[C_check_desc] = check_status_text(s->status);
	number(l, C_check_rise, s->health.rise);
	number(l, C_check_fall, s->health.fall);
	number(l, C_check_health, s->health.value);
}

/* Quoted where a reader would stumble over it. */
static void add_cell(struct str *out, const char *s)
{
	if (!strpbrk(s, ",\"\n\r")) {
		str_addz(out, s);
		return;
	}
	str_addc(out, '"');
	for (; *s; s++) {
		if (*s == '"')
			str_addc(out, '"');
		str_addc(out, *s);
	}
	str_addc(out, '"');
}

static void add_line(struct str *out, const struct stats_row *r)
{
	struct line l;

	memset(&l, 0, sizeof(l));
	common_cells(&l, r);
	if (r->type == STATS_FRONTEND)
		frontend_cells(&l, r);
	else
		backend_cells(&l, r);
	if (r->type == STATS_BACKEND)
		backend_only_cells(&l, r);
	if (r->type == STATS_SERVER)
		server_cells(&l, r);
	for (enum column c = 0; c < N_COLUMNS; c++) {
		add_cell(out, l.text[c] ? l.text[c] : l.cell[c]);
		str_addc(out, ',');
	}
	str_addz(out, "-,\n");
}

void stats_csv(const struct stats *s, struct str *out)
{
	str_addz(out, "# " COLUMNS(AS_NAME) "-,\n");
	for (size_t i = 0; i < s->n; i++)
		add_line(out, &s->rows[i]);
}
