/* Replies to health checks: whole, and byte by byte with the same outcome. */
#include <stdint.h>
#include <stdlib.h>

#include "lbd/health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	unsigned code = 0, piece = 0;
	enum check_reply whole = check_reply_parse((const char *)data, n, &code);
	enum check_reply last = CHECK_REPLY_MORE;

	for (size_t i = 0; i <= n && last == CHECK_REPLY_MORE; i++)
		last = check_reply_parse((const char *)data, i, &piece);
	if (last != whole || piece != code)
		abort();
	if (whole == CHECK_REPLY_STATUS && (code < 100 || code > 599))
		abort();
	/* A reply has one end. */
	for (size_t i = 0, ends = 0; i <= n; i++)
		if (check_reply_keeps((const char *)data, i) && ++ends > 1)
			abort();
	return 0;
}
