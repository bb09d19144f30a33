/* A node's own config in YAML of any kind: what is wrong has a place in that text, and what
 * is good is a config that a node takes. */
#include <stdlib.h>
#include <string.h>

#include "ignd/fragment.h"

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
		count += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 ||
		    data[i] == 0xa8 || data[i] == 0xa9; /* of NEL, LS and PS */
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct ignition role = { .major = 3, .minor = 1 };
	_cleanup_(fragment_deinit) struct fragment f = { STR_INIT, STR_INIT };
	_cleanup_(ignition_freep) struct ignition *ign = NULL;
	struct err e = ERR_INIT;

	if (fragment_parse(&f, "fuzz.yaml", (const char *)data, n, &role, &e) < 0) {
		must(e.text[0] && e.line <= 2 + lines(data, n));
		return 0;
	}
	must(ignition_parse(&ign, "json", f.json.s, f.json.len, NULL) == 0);
	must(ign->major == 3 && ign->minor <= 1);
	must((ign->warnings.len != 0) == (f.warnings.len != 0));
	return 0;
}
