/* data: URLs and gzip streams of any kind, and whatever certificates are in them. */
#include <stdlib.h>
#include <string.h>

#include "ignd/certclock.h"
#include "ignd/resource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_OUT 65536u

static void unpack(const void *p, size_t n)
{
	_cleanup_(str_deinit) struct str plain = STR_INIT;
	struct err e = ERR_INIT;

	if (resource_gunzip(p, n, MAX_OUT, &plain, &e) < 0 && !e.text[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;
	struct certclock clock = { 0 };
	struct err e = ERR_INIT;

	if (resource_decode((const char *)data, n, &out, &e) == 0) {
		if (out.len > n)
			abort();
		unpack(str_get(&out), out.len);
	} else if (!e.text[0]) {
		abort();
	}
	unpack(data, n);
	if (certclock_scan(&clock, "fuzz", (const char *)data, n) < 0)
		abort();
	certclock_deinit(&clock);
	return 0;
}
