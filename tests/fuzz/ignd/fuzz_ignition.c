/* Ignition configs from text of any kind. */
#include <stdlib.h>
#include <string.h>

#include "ignd/ignition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static unsigned lines(const uint8_t *data, size_t n)
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		count += data[i] == '\n';
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(ignition_freep) struct ignition *ign = NULL;
	struct err e = ERR_INIT;

	if (ignition_parse(&ign, "fuzz", (const char *)data, n, &e) < 0) {
		must(!ign && e.text[0]);
		must(e.line <= 1 + lines(data, n));
	} else {
		must(n > 0 && (ign->major == 2 || ign->major == 3));
		must(!ign->certs.n || ign->certs.not_after_where);
		certclock_judge(&ign->certs, 0, 0);
	}
	return 0;
}
