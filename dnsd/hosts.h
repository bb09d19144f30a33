/*
 * Hosts files: addresses with names, as in hosts(5).  They are looked at every few seconds,
 * and read again when they have changed.  A name answers with its addresses, an address with
 * its names.
 */
#pragma once

#include "common/base.h"
#include "common/conf.h"
#include "dnsd/catalog.h"

struct hosts;

/* Which files, with which TTL. */
struct hosts_list {
	char **paths;
	size_t n;
	uint32_t ttl; /* seconds */
};

/* paths: char *.  0 or -ENOMEM; good for deinit in any case. */
int hosts_list_init(
    struct hosts_list *l, const struct conf_list *paths, uint64_t ttl_ms) _mustcheck_;
void hosts_list_deinit(struct hosts_list *l);

int hosts_new(struct hosts **ret, struct loop *loop, struct catalog *c) _mustcheck_;
struct hosts *hosts_free(struct hosts *h);
DEFINE_FREEP(hosts)
/* Other files: reads them into the catalog, without a flush; l has those before. */
void hosts_swap(struct hosts *h, struct hosts_list *l);
