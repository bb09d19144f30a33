/*
 * Notifications: what happened in the registry, as the distribution project's events.
 * Making their text is pure.
 */
#pragma once

#include "common/base.h"
#include "common/net.h"
#include "common/str.h"

#define NOTICE_TYPE "application/vnd.docker.distribution.events.v1+json"

enum notice_kind {
	NOTICE_PULL = 1 << 0,
	NOTICE_PUSH = 1 << 1,
	NOTICE_MOUNT = 1 << 2,
	NOTICE_DELETE = 1 << 3,
};

/* What is NULL or 0 is left out. */
struct notice {
	enum notice_kind kind;
	int64_t time;
	const char *repository, *digest, *tag, *type;
	const char *from; /* the repository that a blob was mounted from */
	int64_t size;     /* -1: unknown */
	/* who asked */
	const char *user, *method, *agent, *host;
	struct net_ip peer;
	const char *instance; /* of the registry */
};

/* Appends the event as a JSON object: 0, -EINVAL for a text that is not UTF-8, or
 * -ENOMEM. */
int notice_format(const struct notice *e, struct str *out) _mustcheck_;
