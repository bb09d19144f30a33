/* The watch's stream: any cut gives the same events, nonsense ends it. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#include "csrd/watch.h"

#define BOOKMARK                                                                      \
	"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"," \
	"\"creationTimestamp\":null},\"spec\":{\"request\":null}}}\n"
#define EXPIRED                                                             \
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410," \
	"\"message\":"                                                      \
	"\"too old\"}}\n"

static struct {
	unsigned n, stop_after;
	enum watch_type type[8];
	char version[8][8];
	int code;
} seen;

static int on_event(const struct watch_event *ev, void *arg)
{
	if (seen.n < 8) {
		seen.type[seen.n] = ev->type;
		snprintf(seen.version[seen.n], 8, "%s", ev->version ? ev->version : "");
	}
	seen.code = ev->code;
	seen.n++;
	return seen.n == seen.stop_after ? -ESTALE : 0;
}

static int feed(const char *text, size_t step)
{
	struct watch w;
	int r = 0;

	memset(&seen, 0, sizeof(seen));
	watch_init(&w);
	for (size_t at = 0, n = strlen(text); r == 0 && at < n; at += step)
		r = watch_feed(&w, text + at, MIN(step, n - at), on_event, NULL, NULL);
	watch_deinit(&w);
	return r;
}

TEST(every_cut_gives_the_same)
{
	static const char text[] =
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}"
	    "\n"
	    "\n" BOOKMARK "{\"type\":\"DELETED\",\"object\":{}}\r\n" EXPIRED;

	for (size_t step = 1; step <= sizeof(text); step++) {
		CHECK(feed(text, step) == 0);
		CHECK(seen.n == 4);
		CHECK(seen.type[0] == WATCH_ADDED && seen.type[1] == WATCH_BOOKMARK);
		CHECK(seen.type[2] == WATCH_DELETED && seen.type[3] == WATCH_ERROR);
		CHECK(str_eq(seen.version[0], "7") && str_eq(seen.version[1], "9"));
		CHECK(str_eq(seen.version[2], ""));
		CHECK(seen.code == 410);
	}
}

TEST(half_a_line_is_no_event)
{
	CHECK(feed("{\"type\":\"ADDED\",\"object\":{}}", 1000) == 0);
	CHECK(seen.n == 0);
}

TEST(nonsense_ends_the_stream)
{
	CHECK(feed("hello\n", 3) == -EBADMSG);
	CHECK(feed("[]\n", 3) == -EBADMSG);
	CHECK(feed("{\"type\":\"WHAT\",\"object\":{}}\n", 99) == -EBADMSG);
	CHECK(feed("{\"type\":\"ADDED\",\"object\":null}\n", 99) == -EBADMSG);
	CHECK(feed("{\"type\":\"ADDED\"}\n", 99) == -EBADMSG);
	CHECK(seen.n == 0);
}

static int stop_at_once(const struct watch_event *ev, void *arg)
{
	return -ESTALE;
}

TEST(the_callback_can_stop)
{
	static const char text[] = BOOKMARK BOOKMARK;
	struct watch w;

	watch_init(&w);
	CHECK(watch_feed(&w, text, strlen(text), stop_at_once, NULL, NULL) == -ESTALE);
	watch_deinit(&w);
}

TEST(a_line_without_end_is_passed_over)
{
	size_t n = WATCH_LINE_MAX + 10;
	char *big = malloc(n);
	struct watch w;

	memset(&seen, 0, sizeof(seen));
	memset(big, ' ', n);
	watch_init(&w);
	for (int i = 0; i < 3; i++)
		CHECK(watch_feed(&w, big, n, on_event, NULL, NULL) == 0);
	CHECK(w.line.len == 0 && w.line.cap == 0);
	CHECK(watch_feed(
		  &w, "\n" BOOKMARK, strlen(BOOKMARK) + 1, on_event, NULL, NULL) == 0);
	CHECK(seen.n == 2);
	CHECK(seen.type[0] == WATCH_OVERSIZE && seen.type[1] == WATCH_BOOKMARK);
	watch_deinit(&w);
	free(big);
}
