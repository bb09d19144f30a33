/* What an upstream's challenge and a pull secret may hold. */
#include <assert.h>
#include <string.h>

#include "regd/authfile.h"
#include "regd/wwwauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void challenge(const char *header)
{
	_cleanup_(str_deinit) struct str url = STR_INIT;
	struct wwwauth w;

	wwwauth_parse(&w, header);
	if (w.kind != WWWAUTH_BEARER)
		return;
	assert(str_starts(w.realm, "http"));
	wwwauth_url(&w, "repository:a:pull", &url);
	/* Nothing that would end the request line. */
	for (size_t i = 0; i < url.len; i++)
		assert(url.s[i] > ' ' && url.s[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct authfile_entry a;
	struct err e = ERR_INIT;
	char header[8192];
	int r;

	r = authfile_lookup(&a, "fuzz", (const char *)data, size, "quay.io", "a/b", &e);
	assert(r >= 0 || e.text[0]);
	if (r == 1)
		assert(strlen(a.user) < sizeof(a.user));
	if (size >= sizeof(header))
		return 0;
	memcpy(header, data, size);
	header[size] = '\0';
	challenge(header);
	return 0;
}
