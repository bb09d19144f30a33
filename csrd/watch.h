/*
 * The stream of a watch: JSON objects, one a line, cut anywhere by the network.
 * {"type":"ADDED","object":{..}}.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

#define WATCH_LINE_MAX ((size_t)4 << 20) /* etcd takes 1.5 MiB for an object */

enum watch_type {
	WATCH_ADDED,
	WATCH_MODIFIED,
	WATCH_DELETED,
	WATCH_BOOKMARK,
	WATCH_ERROR,
	WATCH_OVERSIZE, /* a line beyond WATCH_LINE_MAX was passed over; no object */
};

struct watch_event {
	enum watch_type type;
	json_t *object;      /* borrowed: gone after the callback */
	const char *version; /* its metadata.resourceVersion; NULL: none */
	int code;            /* of an ERROR: 410 and such; 0: unknown */
	const char *message; /* of an ERROR; never NULL */
};

struct watch {
	struct str line; /* the part of a line that came so far */
	bool skipping;   /* until the end of a line that is too long */
};

void watch_init(struct watch *w);
void watch_deinit(struct watch *w);
/*
 * Calls fn for each complete line, until it returns other than 0 or a line makes no
 * sense (-EBADMSG with a sentence): then the stream is of no use any more.
 */
int watch_feed(struct watch *w, const void *p, size_t n,
    int (*fn)(const struct watch_event *ev, void *arg), void *arg,
    struct err *e) _mustcheck_;
