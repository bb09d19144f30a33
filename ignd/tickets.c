/* Install tickets: see tickets.h. */
#include "ignd/tickets.h"

#include <errno.h>
#include <jansson.h>

#include "common/http_reply.h"
#include "common/json.h"
#include "ignd/progress.h"

int tickets_reply(struct http_req *r, const struct progress *p)
{
	_cleanup_(json_freep) json_t *root = NULL;
	struct str out = STR_INIT;
	json_t *list = json_array();

	for (size_t i = 0; i < p->n; i++) {
		const struct node_state *n = &p->nodes[i];

		if (n->ticket_at)
			json_array_append_new(list,
			    json_pack("{s:s,s:I,s:s}", "node", n->name, "fetched_at",
				(json_int_t)n->ticket_at, "address",
				n->ticket_address));
	}
	root = json_pack("{s:o}", "tickets", list);
	if (!root || json_dump_str(root, &out) < 0) {
		str_deinit(&out);
		return -ENOMEM;
	}
	str_addc(&out, '\n');
	http_reply_str(r, 200, "application/json", &out);
	return 0;
}
