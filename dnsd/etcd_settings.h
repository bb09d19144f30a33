/* Where an etcd cluster is and what of it counts, as a struct that can be kept and compared. */
#pragma once

#include "common/base.h"
#include "common/conf.h"

#define ETCD_CLUSTERS 4 /* that are followed at once */

struct etcd_settings {
	struct conf_list endpoints; /* char *: http://host:port */
	char *path;
	char *username, *password_file;
	char *ca, *certificate, *key; /* files */
	struct conf_list zones;       /* char *: which keys count; "." is all */
	bool fallthrough;             /* what is not there is asked of others */
};

/* struct conf_list of these: the key etcd, which may be a lone table. */
extern const struct conf_type etcd_list_type;

/* A copy of its own; after -ENOMEM it is good for deinit alone. */
int etcd_settings_copy(
    struct etcd_settings *to, const struct etcd_settings *from) _mustcheck_;
void etcd_settings_deinit(struct etcd_settings *s);
bool etcd_settings_same(const struct etcd_settings *a, const struct etcd_settings *b);
