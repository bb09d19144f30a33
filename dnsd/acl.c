/* Who may ask: see acl.h. */
#include "dnsd/acl.h"

#include <errno.h>
#include <string.h>

int acl_init(struct acl *a, const struct net_cidr *nets, size_t n)
{
	*a = (struct acl){ 0 };
	a->v4 = calloc(n + 1, sizeof(*a->v4));
	a->v6 = calloc(n + 1, sizeof(*a->v6));
	if (!a->v4 || !a->v6) {
		acl_deinit(a);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		if (nets[i].ip.family == 6) {
			a->v6[a->n_v6++] = nets[i];
			continue;
		}
		memcpy(&a->v4[a->n_v4].net, nets[i].ip.bytes, 4);
		a->v4[a->n_v4++].mask =
		    nets[i].prefix ? htonl(UINT32_MAX << (32 - nets[i].prefix)) : 0;
	}
	return 0;
}

void acl_deinit(struct acl *a)
{
	free(a->v4);
	free(a->v6);
	*a = (struct acl){ 0 };
}

static bool allows_v4(const struct acl *a, uint32_t ip)
{
	for (size_t i = 0; i < a->n_v4; i++)
		if ((ip & a->v4[i].mask) == a->v4[i].net)
			return true;
	return false;
}

bool acl_allows(const struct acl *a, const struct sockaddr *sa)
{
	struct net_ip ip;
	uint32_t v4;

	if (_likely_(sa->sa_family == AF_INET))
		return allows_v4(a, ((const struct sockaddr_in *)sa)->sin_addr.s_addr);
	ip = net_ip_from_sa(sa, NULL);
	if (ip.family == 4) {
		memcpy(&v4, ip.bytes, 4);
		return allows_v4(a, v4);
	}
	for (size_t i = 0; i < a->n_v6; i++)
		if (net_cidr_has(&a->v6[i], &ip))
			return true;
	return false;
}
