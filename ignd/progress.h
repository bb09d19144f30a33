/*
 * How far each node of the cluster has come, as far as it can be seen from here: what it
 * fetched, what it fetches, and the stage of its installation in the words that
 * assisted-service uses.  It belongs to the main loop.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/cluster.h"
#include "ignd/node.h"

enum node_stage {
	STAGE_NONE,
	STAGE_STARTING,    /* "Starting installation": it asked for its first file */
	STAGE_WRITING,     /* "Writing image to disk": the image is on its way */
	STAGE_REBOOTING,   /* "Rebooting": it has the whole image */
	STAGE_WAITING,     /* "Waiting for ignition": it is to come back later */
	STAGE_CONFIGURING, /* "Configuring": Ignition itself has the .ign */
	STAGE_JOINED,      /* "Joined": the cluster has a Node of it */
	STAGE_DONE,        /* "Done": that Node is Ready */
	STAGE_FAILED,      /* "Failed": the image stopped on its way */
	STAGES,
};

/* What a file means for an installation. */
enum file_kind { FILE_OTHER, FILE_IMAGE, FILE_SIGNATURE, FILE_IGNITION };

#define PROGRESS_PATH_MAX 160

/* A file on its way, or the last one. */
struct node_file {
	char path[PROGRESS_PATH_MAX];
	uint64_t total, acked;       /* bytes; acked: by the node's kernel */
	uint64_t speed;              /* bytes a second */
	int64_t started_at, done_at; /* seconds since 1970; done_at 0: not complete */
	uint64_t id;                 /* of the transfer that counts; 0: none runs */
	uint64_t mark_ms, mark_acked;
};

struct node_state {
	char name[64];
	int role; /* enum node_role */
	char address[NET_IP_MAX];
	enum node_stage stage;
	int64_t stage_at;
	char why[96]; /* of STAGE_FAILED and STAGE_WAITING */
	struct node_file image, ignition;
	int signature_status; /* of the last answer; 0: none */
	int64_t ticket_at;    /* own .ign complete; 0: never */
	char ticket_address[NET_IP_MAX];
	uint64_t refused;   /* requests for what is not its own */
	int64_t reset_at;   /* nothing from before counts; 0: never */
	uint64_t forgotten; /* transfers up to this one do not count */
	struct window window;
};

struct progress {
	struct node_state *nodes;
	size_t n;
	size_t absent; /* behind those: of nodes that the cluster file does not name */
	uint64_t last_id;
	/* Something changed that must not be forgotten (keep), or that is worth
	 * showing. */
	void (*changed)(void *arg, const struct node_state *node, bool keep);
	void *arg;
};

int progress_new(struct progress **ret) _mustcheck_;
struct progress *progress_free(struct progress *p);
DEFINE_FREEP(progress)

/* The nodes of another cluster file, in its order; those that had a state keep it, also
 * while no cluster file names them.  c may be NULL.  0 or -ENOMEM, then nothing happened. */
int progress_set_cluster(struct progress *p, const struct cluster *c) _mustcheck_;
struct node_state *progress_find(struct progress *p, const char *name);
/* One of the cluster or not, made where it is missing: NULL without memory.  It moves the
 * others. */
struct node_state *progress_get(struct progress *p, const char *name);

/* A complete file is on its way (id names the transfer), moves, ends.  Of several of a kind
 * the last one is shown; a config that arrived whole counts in any case. */
uint64_t progress_begin(struct progress *p, struct node_state *n, enum file_kind kind,
    const char *path, uint64_t total);
void progress_move(
    struct node_state *n, enum file_kind kind, uint64_t id, uint64_t acked);
struct progress_end {
	enum file_kind kind;
	uint64_t id;
	bool complete;
	uint64_t acked;
	bool by_ignition; /* the client was Ignition, not an installer */
	const char *address, *why;
};
void progress_end(
    struct progress *p, struct node_state *n, const struct progress_end *end);
/* A signature was answered with this status. */
void progress_signature(struct progress *p, struct node_state *n, int status);
/*
 * Others see the node reach one of the stages WAITING, CONFIGURING, JOINED and DONE, since
 * a time in seconds since 1970 (0: they do not say).  It counts where it may follow, and
 * where it is no news of an earlier installation: since is after what the node did here.
 * Without a time, only what is expected next counts.
 */
void progress_report(struct progress *p, struct node_state *n, enum node_stage s,
    int64_t since, const char *why);
bool progress_may_follow(const struct node_state *n, enum node_stage s);
/* It is to be installed again: all that is known of it is forgotten, its window is what
 * the configuration says, and what is on its way to it does not count. */
void progress_reset(struct progress *p, struct node_state *n);
/* The same, in another run of the program, at that time. */
void progress_restore_reset(struct progress *p, struct node_state *n, int64_t at);
/* It was told to come back later. */
void progress_wait(struct progress *p, struct node_state *n, const char *why);

const char *node_stage_text(enum node_stage s);
/* What is shown of a node; no secrets are in it. */
json_t *progress_node_json(
    const struct node_state *n, const struct ignd_conf *c, int64_t now);
/* All nodes: a list. */
json_t *progress_json(const struct progress *p, const struct ignd_conf *c, int64_t now);
/* What is kept over a restart, and back: of a node that has a state already, what is
 * newer in the saved one. */
json_t *progress_save(const struct node_state *n);
void progress_restore(struct progress *p, struct node_state *n, const json_t *saved);
