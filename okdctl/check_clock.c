/* Check of the nodes' clocks, by the Date that their machine config servers and API
 * servers put on every answer. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/http_cond.h"
#include "okdctl/check.h"
#include "okdctl/fetch.h"
#include "okdctl/out.h"
#include "okdctl/term.h"

#define TIMEOUT_MS 2000
#define SKEW_S 10 /* certificates that were made a moment ago must hold there */

/* What a server's clock says; false when it does not answer with a date. */
static bool date_of(const char *address, const char *path, int64_t *ret)
{
	_cleanup_(str_deinit) struct str date = STR_INIT;
	struct err ignored = ERR_INIT;
	char url[200];
	const struct http_client_request req = { .url = url,
		.insecure = true,
		.connect_timeout_ms = TIMEOUT_MS,
		.timeout_ms = TIMEOUT_MS };

	snprintf(url, sizeof(url), "https://%.100s%s", address, path);
	if (fetch_header(&req, "Date", &date, &ignored) < 0)
		return false;
	return http_date_parse(str_get(&date), ret) == 0;
}

static void look(
    struct check *k, const json_t *server, const char *path, unsigned *asked)
{
	_cleanup_(str_deinit) struct str by = STR_INIT;
	int64_t there, here;

	if (!str_starts(text_of(server, "status"), "UP") ||
	    !date_of(text_of(server, "address"), path, &there))
		return;
	(*asked)++;
	here = clock_real_s();
	if (there - here <= SKEW_S && here - there <= SKEW_S)
		return;
	term_add_seconds(&by, there - here);
	check_add(k, CHECK_FAIL,
	    "let the node and this host ask the same time server: chronyc makestep on "
	    "both",
	    "the clock of %s is %s %s; certificates would be \"not yet valid\" or "
	    "\"expired\" there",
	    text_of(server, "name"), str_get(&by), there > here ? "ahead" : "behind");
}

void check_skew(struct check *k)
{
	static const struct {
		const char *backend, *path;
	} from[] = { { "machine-config-server", "/healthz" },
		{ "openshift-api-server", "/readyz" } };
	size_t before = k->n_lines;
	unsigned asked = 0;

	/* One answer of a node is enough: its API server is asked where nobody serves
	 * machine configs any more. */
	for (size_t i = 0; !asked && i < ARRAY_SIZE(from); i++) {
		const json_t *servers =
		    json_object_get(status_find(status_own(&k->status, LBD, "backends"),
					from[i].backend),
			"servers");

		for (size_t s = 0; s < json_array_size(servers); s++)
			look(k, json_array_get(servers, s), from[i].path, &asked);
	}
	if (asked && k->n_lines == before)
		check_add(k, CHECK_OK, NULL, "the clocks of the nodes agree (%u asked)",
		    asked);
}
