/* Events as JSON: see notice.h. */
#include "regd/notice.h"

#include <errno.h>
#include <stdio.h>

#include "common/digest.h"
#include "common/json.h"
#include "regd/reply.h"

static const char *action_of(enum notice_kind kind)
{
	switch (kind) {
	case NOTICE_PULL:
		return "pull";
	case NOTICE_PUSH:
		return "push";
	case NOTICE_MOUNT:
		return "mount";
	default:
		return "delete";
	}
}

static void set(json_t *obj, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(obj, key, json_string(text));
}

static json_t *target_of(const struct notice *e)
{
	json_t *t = json_object();

	set(t, "mediaType", e->type);
	set(t, "digest", e->digest);
	if (e->size >= 0) {
		json_object_set_new(t, "size", json_integer(e->size));
		json_object_set_new(t, "length", json_integer(e->size));
	}
	set(t, "repository", e->repository);
	set(t, "fromRepository", e->from);
	set(t, "tag", e->tag);
	return t;
}

static json_t *request_of(const struct notice *e, const char *id)
{
	json_t *r = json_object();

	set(r, "id", id);
	if (e->peer.family)
		set(r, "addr", net_ip_str(&e->peer));
	set(r, "host", e->host);
	set(r, "method", e->method);
	set(r, "useragent", e->agent);
	return r;
}

/* A random name of the form that UUIDs have. */
static void make_id(char out[37])
{
	uint8_t b[16];
	char hex[33];

	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	hex_encode(b, sizeof(b), hex);
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
	    hex + 20);
}

int notice_format(const struct notice *e, struct str *out)
{
	_cleanup_(json_freep) json_t *obj = json_object();
	char id[37], request[37], when[REPLY_TIME_MAX];
	json_t *actor = json_object(), *source = json_object();

	make_id(id);
	make_id(request);
	reply_time(e->time, when);
	set(obj, "id", id);
	set(obj, "timestamp", when);
	set(obj, "action", action_of(e->kind));
	json_object_set_new(obj, "target", target_of(e));
	json_object_set_new(obj, "request", request_of(e, request));
	set(actor, "name", e->user);
	set(source, "addr", e->host);
	set(source, "instanceID", e->instance);
	json_object_set_new(obj, "actor", actor);
	json_object_set_new(obj, "source", source);
	return obj ? json_dump_str(obj, out) : -ENOMEM;
}
