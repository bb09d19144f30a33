/* Warns when more than half of the records go within seconds: an accident looks like this. */
#pragma once

#include "common/base.h"

#define ETCD_DELETIONS_SECONDS 6 /* any five seconds lie within so many */

struct etcd_deletions {
	struct {
		uint64_t time; /* in seconds, and one; 0: none */
		size_t deleted;
	} seconds[ETCD_DELETIONS_SECONDS];
	uint64_t warned; /* the time, likewise */
};

/* deleted of the before keys went at now.  True when that, with what went in the seconds
 * before it, was worth a warning, which is logged. */
bool etcd_deletions_count(
    struct etcd_deletions *d, uint64_t now_ms, size_t before, size_t deleted);
