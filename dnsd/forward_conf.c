/* Upstreams as people write them: see forward.h. */
#include <errno.h>
#include <string.h>

#include "common/str.h"
#include "common/tls.h"
#include "dnsd/forward.h"

#define PORT 53
#define TLS_PORT 853

int forward_server_parse(struct forward_server *s, const char *text, struct err *e)
{
	bool tls = str_starts(text, "tls://");
	const char *at = tls ? text + 6 : text, *name = strchr(at, '%');
	uint16_t port = tls ? TLS_PORT : PORT;
	size_t n = name ? (size_t)(name - at) : strlen(at);
	char address[NET_ENDPOINT_MAX];

	*s = (struct forward_server){ .tls = tls };
	if (n >= sizeof(address) || tls != (name != NULL))
		return err_set(e, -EINVAL,
		    "\"%.64s\" is no server; write 192.0.2.1, 192.0.2.1:5353 or "
		    "tls://192.0.2.1%%name.on.its.certificate",
		    text);
	memcpy(address, at, n);
	address[n] = '\0';
	if (net_ip_parse(address, &s->at.ip) == 0)
		s->at.port = port;
	else if (net_endpoint_parse(address, port, &s->at) < 0 || !s->at.ip.family)
		return err_set(e, -EINVAL, "\"%.64s\" has no valid address", text);
	if (!name)
		return 0;
	if (!name[1] || strlen(name + 1) >= sizeof(s->name))
		return err_set(e, -EINVAL, "\"%.64s\" lacks the name to check", text);
	strcpy(s->name, name + 1);
	return 0;
}

int forward_settings_tls(struct forward_settings *s, const char *ca, struct err *e)
{
	struct tls_client_options o = { .ca = ca, .system_ca = !ca };

	for (size_t i = 0; i < s->n_servers; i++)
		if (s->servers[i].tls)
			return tls_client_new(&s->tls, &o, e);
	return 0;
}

void forward_settings_deinit(struct forward_settings *s)
{
	s->tls = tls_context_free(s->tls);
	free(s->except);
	free(s->loop);
}
