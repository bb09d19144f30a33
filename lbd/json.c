/* The figures as JSON: /status, and "/;json" on port 9000. */
#include "lbd/stats.h"

static json_t *row_to_json(const struct stats_row *r)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "name", r->name, "status", r->status, "sessions", (json_int_t)r->sessions,
	    "sessions_max", (json_int_t)r->sessions_max, "sessions_total",
	    (json_int_t)r->total, "queued", (json_int_t)r->queue, "bytes_in",
	    (json_int_t)r->in, "bytes_out", (json_int_t)r->out, "errors",
	    (json_int_t)r->errors, "retries", (json_int_t)r->retries, "denied",
	    (json_int_t)r->denied);

	if (o && r->live) {
		json_object_set_new(o, "address", json_string(stats_address(r)));
		json_object_set_new(o, "weight", json_integer(r->weight));
		json_object_set_new(o, "backup", json_boolean(r->backup));
		json_object_set_new(
		    o, "changed_s", json_integer((json_int_t)r->changed_s));
		json_object_set_new(o, "check",
		    r->live->checked ? json_pack("{s:I, s:s, s:i, s:s, s:i}", "count",
					   (json_int_t)r->live->checks, "status",
					   check_status_code(r->live->status), "code",
					   r->live->code, "info", r->live->info,
					   "duration_ms", r->live->duration_ms)
				     : json_null());
		json_object_set_new(o, "certificate_not_after",
		    r->live->not_after ? json_integer(r->live->not_after)
				       : json_null());
		json_object_set_new(o, "certificate_misnamed",
		    r->live->not_after ? json_boolean(r->live->misnamed) : json_null());
		json_object_set_new(o, "certificate_issuer",
		    r->live->issuer[0] ? json_string(r->live->issuer) : json_null());
	}
	return o;
}

/* {"frontends": [..], "backends": [{.., "servers": [..]}]} */
void stats_json(const struct stats *s, json_t *obj)
{
	json_t *frontends = json_array(), *backends = json_array();
	json_t *servers = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const struct stats_row *r = &s->rows[i];
		json_t *o = row_to_json(r);

		if (o && r->type != STATS_SERVER)
			json_object_set_new(o, "name", json_string(r->proxy));
		if (r->type == STATS_FRONTEND)
			json_array_append_new(frontends, o);
		if (r->type == STATS_SERVER)
			json_array_append_new(servers, o);
		if (r->type == STATS_BACKEND) {
			json_object_set_new(o, "servers", servers);
			json_array_append_new(backends, o);
			servers = json_array();
		}
	}
	json_decref(servers);
	json_object_set_new(obj, "frontends", frontends);
	json_object_set_new(obj, "backends", backends);
}
