/* The state of the whole install: what the daemons' /status say, and how it looks. */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/str.h"
#include "okdctl/admin_call.h"

struct cluster;

struct status {
	json_t *of[N_DAEMONS];         /* the document; NULL without an answer */
	int result[N_DAEMONS];         /* the HTTP status, or -errno */
	const struct cluster *cluster; /* may be NULL */
	int64_t now;
	unsigned columns; /* that are to be seen; 0: as many as it takes */
};

/* Asks every daemon. */
void status_fetch(const struct cli *c, struct status *s);
/* Asks one of them. */
void status_fetch_one(const struct cli *c, struct status *s, enum bastion_daemon d);
void status_deinit(struct status *s);
/* Pure: the screen as text. */
void status_print(const struct status *s, bool color, struct str *out);
/* The object of that name in a list; borrowed, as all that follow. */
const json_t *status_find(const json_t *list, const char *name);
/* A key of what a daemon says of its own matters. */
json_t *status_own(const struct status *s, enum bastion_daemon d, const char *key);
/* The node's entry in ignd's and in csrd's answer; NULL where there is none. */
const json_t *status_node(
    const struct status *s, enum bastion_daemon d, const char *name);
/* The server's entry in lbd's answer. */
const json_t *status_server(
    const struct status *s, const char *backend, const char *server);

/* Parts of the screen. */
void status_heading(struct str *out, bool color, const char *text);
void status_print_nodes(const struct status *s, bool color, struct str *out);
void status_print_events(const struct status *s, bool color, struct str *out);
