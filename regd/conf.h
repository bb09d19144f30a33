/* The settings of okd-regd; conf.c is the only file that knows their keys.  See
 * okd-regd.yaml(5). */
#pragma once

#include "common/daemon.h"

struct cluster;

struct conf_tls {
	bool off;
	char *certificate, *key; /* NULL: of our own making, in the state folder */
	char *client_ca;         /* NULL: clients need no certificate */
};

enum conf_challenge { CHALLENGE_BASIC, CHALLENGE_BEARER };

/* Who else may make tokens. */
struct conf_issuer {
	char *issuer, *jwks;       /* the claim "iss"; a file of public keys */
	struct conf_list audience; /* char *; none: our own service */
};

struct conf_tokens {
	char *service, *realm; /* realm NULL: /token of the registry itself */
	uint64_t lifetime;     /* ms */
};

struct conf_auth {
	bool off;
	char *htpasswd; /* NULL: registry.htpasswd, or of our own making */
	char *realm;
	bool anonymous_pull;
	int challenge; /* enum conf_challenge */
	struct conf_tokens tokens;
	struct conf_list issuers; /* struct conf_issuer */
	struct conf_list
	    rules; /* struct acl_rule; none: every user may do everything */
};

struct conf_storage {
	char *root;       /* NULL: the state folder */
	uint64_t reserve; /* bytes that stay free */
	uint64_t quota;   /* bytes that all blobs may come to; 0: no bound */
};

enum conf_overlay_type {
	OVERLAY_AUTO,
	OVERLAY_DISTRIBUTION,
	OVERLAY_OC,
	OVERLAY_OCI,
	OVERLAY_ARCHIVE,
};

enum { OVERLAYS_MAX = 16 };

/* Images of another registry that are served where they lie. */
struct conf_overlay {
	int type; /* enum conf_overlay_type */
	char *path;
	char *repository; /* of an OCI layout; else NULL */
};

struct conf_gc {
	uint64_t interval; /* ms between two collections; 0: by hand alone */
	uint64_t grace;    /* ms that what nobody refers to is kept */
};

struct conf_scrub {
	uint64_t interval; /* ms until a blob is read again; 0: never */
	uint64_t rate;     /* bytes a second */
};

/* Where a repository comes from that is not here. */
struct conf_pull_through {
	char *prefix, *upstream;
	char *ns, *authfile, *ca; /* NULL: the URL's host; none; the system's */
	uint64_t tag_ttl; /* ms that a tag counts without being asked for anew */
};

enum { CONF_HEADERS_MAX = 16 };

/* Who is told what happens. */
struct conf_hook {
	char *name, *url, *ca;
	struct conf_list headers; /* char *: "Name: value" */
	struct conf_list events;  /* int: 0 pull, 1 push, 2 mount, 3 delete */
	uint64_t timeout, queue;
};

struct conf {
	struct daemon_conf common; /* first: daemon.h asks for it */
	struct conf_list listen;   /* struct net_endpoint */
	struct conf_tls tls;
	struct conf_auth auth;
	struct conf_storage storage;
	struct conf_list quotas;   /* struct quota */
	struct conf_list overlays; /* struct conf_overlay */
	struct conf_gc gc;
	struct conf_scrub scrub;
	struct conf_list pull_through;  /* struct conf_pull_through */
	struct conf_list notifications; /* struct conf_hook */
	uint64_t upload_expire;         /* ms that a session may lie idle */
	uint64_t connections, per_address;
	bool access_log, deletes, read_only;
	struct cluster *cluster; /* or NULL */
};

int conf_load(void **ret, const struct conf_doc *doc, struct cluster **cluster,
    struct str *warnings, struct err *e) _mustcheck_;
void conf_free(void *conf);
void conf_show_all(const void *conf, struct str *out);
