/* Who may have what: see node.h. */
#include "ignd/node.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

/* As far as the date may be mended while a second passes, or a few. */
#define CLOCKS_AGREE_S 10

static const char *const role_files[] = {
	[NODE_BOOTSTRAP] = "bootstrap.ign",
	[NODE_MASTER] = "master.ign",
	[NODE_WORKER] = "worker.ign",
};

static struct node_answer refuse(enum node_reason reason)
{
	return (struct node_answer){ .status = 403, .reason = reason };
}

/* The very file that was asked for. */
static struct node_answer allow(void)
{
	return (struct node_answer){ .status = 200 };
}

static bool is_role_file(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(role_files); i++)
		if (str_eq(name, role_files[i]))
			return true;
	return false;
}

/* Its role's file, or the one under its own name.  A file that carries a role's name is
 * that role's, whatever a node is called. */
static bool is_own(const struct cluster_node *n, const char *name)
{
	size_t len = strlen(n->name);

	if (str_eq(name, role_files[n->role]))
		return true;
	return !is_role_file(name) && strncmp(name, n->name, len) == 0 &&
	    str_eq(name + len, ".ign");
}

void window_open(struct window *w, int64_t seconds, int64_t now, uint64_t boot_ms)
{
	w->mode = WINDOW_OPENED;
	w->duration = seconds;
	w->until = seconds ? now + seconds : 0;
	w->end_ms = seconds ? boot_ms + (uint64_t)seconds * 1000 : 0;
}

void window_use(struct window *w, int64_t now, uint64_t boot_ms)
{
	if (w->used_at)
		return;
	w->used_at = now;
	w->used_ms = boot_ms;
}

/* After a boot the boot clock says nothing, and the date may be anything. */
static void resume_use(struct window *w, int64_t now, uint64_t boot_ms)
{
	int64_t by_boot = (int64_t)((boot_ms - w->used_ms) / 1000);

	if (boot_ms < w->used_ms || llabs(now - w->used_at - by_boot) > CLOCKS_AGREE_S)
		w->used_ms = WINDOW_SPENT;
}

void window_resume(struct window *w, int64_t now, uint64_t boot_ms)
{
	int64_t longest = WINDOW_LONGEST;

	if (w->used_at)
		resume_use(w, now, boot_ms);
	if (w->mode != WINDOW_OPENED || w->until <= 0)
		return;
	if (w->duration > 0)
		longest = MIN(longest, w->duration);
	w->until = MIN(w->until, now + longest);
	w->end_ms = boot_ms + (uint64_t)MAX(w->until - now, (int64_t)0) * 1000;
}

int64_t window_until(const struct window *w, int64_t now, uint64_t boot_ms)
{
	if (w->mode != WINDOW_OPENED || !w->end_ms || w->end_ms <= boot_ms)
		return 0;
	return now + (int64_t)((w->end_ms - boot_ms + 999) / 1000);
}

enum node_reason window_judge(
    const struct window *w, const struct ignd_conf *c, uint64_t boot_ms)
{
	enum window_mode mode = w->mode;
	bool once = c->window.once;

	if (mode == WINDOW_OPENED && w->end_ms && boot_ms >= w->end_ms)
		mode = WINDOW_INITIAL;
	if (mode == WINDOW_OPENED)
		once = w->once;
	if (mode == WINDOW_CLOSED ||
	    (mode == WINDOW_INITIAL && c->window.initial == WINDOW_IS_CLOSED))
		return REASON_CLOSED;
	if (once && w->used_at &&
	    (boot_ms < w->used_ms || boot_ms - w->used_ms > c->window.grace))
		return REASON_USED;
	return REASON_OK;
}

static bool token_fits(const char *want, const char *given)
{
	size_t n = strlen(want);

	return given && strlen(given) == n && str_eq_secret(want, given, n);
}

static struct node_answer decide_node(
    const struct ignd_conf *c, const struct node_ask *ask)
{
	const struct cluster_node *n = ask->node;
	const char *token = ignd_conf_token(c, n->name);
	enum node_reason reason;

	if (!is_own(n, ask->name))
		return refuse(REASON_ROLE);
	if (token && !token_fits(token, ask->token))
		return refuse(REASON_TOKEN);
	if (c->check_mac && n->has_mac && ask->mac &&
	    memcmp(n->mac, ask->mac, sizeof(n->mac)) != 0)
		return refuse(REASON_MAC);
	reason = window_judge(ask->window, c, ask->boot_ms);
	if (reason != REASON_OK)
		return (struct node_answer){
			.status = c->window.refuse == REFUSE_WAIT ? 503 : 403,
			.reason = reason,
		};
	return (struct node_answer){ .status = 200, .role_file = role_files[n->role] };
}

struct node_answer node_decide(const struct ignd_conf *c, const struct node_ask *ask)
{
	if (!ask->ignition)
		return ask->node || c->unknown_nodes != UNKNOWN_NONE
		    ? allow()
		    : refuse(REASON_STRANGER);
	if (!str_ends(ask->name, ".ign"))
		return refuse(REASON_SECRET);
	if (ask->node)
		return decide_node(c, ask);
	if (c->unknown_nodes == UNKNOWN_ALL)
		return allow();
	return refuse(REASON_UNKNOWN);
}

const char *node_reason_text(enum node_reason reason)
{
	static const char *const text[REASONS] = {
		[REASON_OK] = "it is the node's own",
		[REASON_UNKNOWN] = "the address is no node of cluster.yaml",
		[REASON_ROLE] = "it is another node's",
		[REASON_SECRET] = "only .ign files are served there",
		[REASON_TOKEN] = "the node's token is missing or wrong",
		[REASON_MAC] = "another network card than the node's uses its address",
		[REASON_CLOSED] = "the node's window is closed",
		[REASON_USED] = "it was fetched once already",
		[REASON_STRANGER] = "files are for the cluster's nodes alone",
	};

	return text[reason];
}
