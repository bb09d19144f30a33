/* Who may ask: a list of networks, looked at for every query. */
#pragma once

#include <sys/socket.h>

#include "common/base.h"
#include "common/net.h"

struct acl {
	struct {
		uint32_t net, mask; /* network order */
	} * v4;
	struct net_cidr *v6;
	size_t n_v4, n_v6;
};

int acl_init(struct acl *a, const struct net_cidr *nets, size_t n) _mustcheck_;
void acl_deinit(struct acl *a);
bool acl_allows(const struct acl *a, const struct sockaddr *sa);
