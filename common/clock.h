/*
 * The two clocks.  TTLs and time-outs count on CLOCK_BOOTTIME, which goes on in suspend
 * and never jumps; certificates, dates and logs use CLOCK_REALTIME.
 */
#pragma once

#include <time.h>

#include "common/base.h"

#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

static inline uint64_t clock_boot_ms(void)
{
	return clock_boot_ns() / NSEC_PER_MSEC;
}

/* Seconds since 1970. */
static inline int64_t clock_real_s(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / NSEC_PER_SEC);
}
