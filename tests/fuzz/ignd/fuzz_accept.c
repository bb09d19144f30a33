/* What a node's Ignition says that it reads: Accept, and User-Agent behind a line end. */
#include <stdlib.h>
#include <string.h>

#include "ignd/ignition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* What it reads is what it names: no more than its newest, and older ones with it. */
static void check(const struct ignition_accept *a)
{
	bool has = false;

	for (unsigned major = 0; major < 4; major++) {
		has |= a->has[major];
		if (a->any || !a->has[major])
			continue;
		must(ignition_accept_reads(a, major, 0));
		must(ignition_accept_reads(a, major, a->upto[major]));
		must(!ignition_accept_reads(a, major, a->upto[major] + 1));
	}
	must(a->any == !has);
	must(a->any || (a->has[a->major] && a->minor <= a->upto[a->major]));
	must(a->any == ignition_accept_reads(a, 9, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(freep) char *accept = calloc(1, n + 1);
	struct ignition_accept a;
	char *agent;

	must(accept);
	memcpy(accept, data, n);
	agent = strchr(accept, '\n');
	if (agent)
		*agent++ = '\0';
	ignition_accept_parse(accept, &a);
	check(&a);
	ignition_accept_agent(agent, &a);
	check(&a);
	return 0;
}
