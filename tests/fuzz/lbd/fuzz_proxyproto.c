/* PROXY headers: any bytes; what is accepted has a sane length and prints and parses
 * again to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lbd/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void again(const struct proxyproto *h, unsigned version)
{
	char buf[PROXYPROTO_FORMAT_MAX];
	size_t len = proxyproto_format(h, version, buf);
	struct proxyproto back;

	if (proxyproto_parse(buf, len, &back) != (ssize_t)len)
		abort();
	if (h->from.ip.family && h->to.ip.family &&
	    (!net_ip_eq(&h->from.ip, &back.from.ip) || h->from.port != back.from.port ||
		!net_ip_eq(&h->to.ip, &back.to.ip) || h->to.port != back.to.port))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxyproto h;
	ssize_t len;

	if (!n)
		return 0;
	len = proxyproto_parse(data, n, &h);
	if (len == 0 || len > (ssize_t)n)
		abort();
	if (len > 0) {
		again(&h, 1);
		again(&h, 2);
	}
	return 0;
}
