/* The watch's stream; the first byte is how many bytes come at a time. */
#include <errno.h>
#include <stdlib.h>

#include "csrd/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_event(const struct watch_event *ev, void *arg)
{
	if (!ev->message || (ev->type != WATCH_OVERSIZE && !ev->object))
		abort();
	return ev->type == WATCH_ERROR ? -ESTALE : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err e = ERR_INIT;
	struct watch w;
	size_t step;
	int r = 0;

	if (n < 1)
		return 0;
	step = data[0] ? data[0] : 256;
	watch_init(&w);
	for (size_t at = 1; r == 0 && at < n; at += step)
		r = watch_feed(&w, data + at, MIN(step, n - at), on_event, NULL, &e);
	watch_deinit(&w);
	return 0;
}
