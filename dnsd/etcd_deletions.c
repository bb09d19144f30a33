/* Mass deletions: see etcd_deletions.h. */
#include "dnsd/etcd_deletions.h"

#include "common/log.h"

#define KEYS_MIN 10

bool etcd_deletions_count(
    struct etcd_deletions *d, uint64_t now_ms, size_t before, size_t deleted)
{
	uint64_t now = now_ms / 1000 + 1;
	size_t gone = 0, keys, at = now % ETCD_DELETIONS_SECONDS;

	if (d->seconds[at].time != now) {
		d->seconds[at].time = now;
		d->seconds[at].deleted = 0;
	}
	d->seconds[at].deleted += deleted;
	for (size_t i = 0; i < ETCD_DELETIONS_SECONDS; i++)
		if (d->seconds[i].time &&
		    d->seconds[i].time + ETCD_DELETIONS_SECONDS > now)
			gone += d->seconds[i].deleted;
	keys = before + gone - deleted;
	if (keys < KEYS_MIN || gone <= keys / 2 ||
	    (d->warned && now < d->warned + ETCD_DELETIONS_SECONDS))
		return false;
	d->warned = now;
	log_with(LOG_WARNING,
	    LOG_FIELDS("MESSAGE_ID", "5d0e41a6d1c94f0f9a1c2b6a7c0f3e52"),
	    "etcd: %zu of %zu records were deleted", gone, keys);
	return true;
}
