/* okdctl reload: every daemon reads its files again, or says why it does not. */
#include "okdctl/admin_call.h"
#include "okdctl/okdctl.h"
#include "okdctl/out.h"

static int print_json(const struct admin_call *calls, unsigned n)
{
	json_t *out = json_object();

	for (unsigned i = 0; i < n; i++)
		json_object_set_new(out, daemon_names[calls[i].to],
		    json_string(admin_is_absent(&calls[i]) ? "does not run"
			    : calls[i].result / 100 == 2   ? "reloaded"
							   : "failed"));
	return out_json_take(out);
}

int reload_run(struct cli *c)
{
	struct admin_call calls[N_DAEMONS] = { 0 };
	enum bastion_daemon which[N_DAEMONS];
	unsigned n, done = 0;
	int status = 0, r = admin_choose(c, which, &n);

	if (r)
		return r;
	for (unsigned i = 0; i < n; i++)
		calls[i] = (struct admin_call){
			.to = which[i], .method = "POST", .target = "/v1/reload"
		};
	admin_call_all(c, calls, n, 4 * ADMIN_TIMEOUT_MS);
	if (c->json && print_json(calls, n))
		return EXIT_FAILED;
	for (unsigned i = 0; i < n; i++) {
		const char *name = daemon_names[calls[i].to];

		/* Without names, a daemon that does not run is no fault. */
		if (!c->n_args && admin_is_absent(&calls[i])) {
			if (!c->json)
				printf("okd-%-5s does not run\n", name);
			continue;
		}
		r = admin_call_explain(c, &calls[i]);
		done += r == 0;
		if (r == 0 && !c->json)
			printf("okd-%-5s reloaded\n", name);
		if (!status)
			status = r;
		admin_call_deinit(&calls[i]);
	}
	return status || done ? status : admin_none_runs();
}
