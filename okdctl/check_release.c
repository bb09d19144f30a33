/* Check of the mirrored releases: okd-regd looks at every image of each. */
#include <errno.h>
#include <stdio.h>

#include "common/json.h"
#include "okdctl/check.h"
#include "okdctl/out.h"
#include "okdctl/target.h"

#define VERIFY_MS (10 * 60 * 1000)
#define MAX_RELEASES 8

/* Each image of a release has the release's tag with its own name behind it, so that a
 * tag which goes on no other one stands for the whole. */
static bool is_part(const json_t *tags, const char *tag)
{
	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *other = json_string_value(json_array_get(tags, i));
		size_t n = other ? strlen(other) : 0;

		if (n && strncmp(tag, other, n) == 0 && tag[n] == '-')
			return true;
	}
	return false;
}

static void told(struct check *k, const char *tag, const json_t *v)
{
	const json_t *first = json_array_get(json_object_get(v, "missing"), 0);
	char remedy[200];

	if (json_is_true(json_object_get(v, "complete"))) {
		check_add(k, CHECK_OK, NULL, "the release %s is whole (%lld images)",
		    text_of(v, "version"), (long long)number_of(v, "images"));
		return;
	}
	snprintf(remedy, sizeof(remedy),
	    "okdctl mirror %.64s, or one by one: okdctl registry verify-release %.64s",
	    tag, tag);
	check_add(k, CHECK_FAIL, remedy,
	    "the release %s is not complete, %lld of %lld images are there: %s: %s",
	    tag, (long long)number_of(v, "present"), (long long)number_of(v, "images"),
	    text_of(first, "image"), text_of(first, "reason"));
}

/* What is no release is refused, and so is one whose own image is damaged. */
static bool is_damaged(const struct admin_call *call)
{
	_cleanup_(json_freep) json_t *v = NULL;
	const char *code;

	if (json_load_limited(
		&v, NULL, str_get(&call->reply), call->reply.len, 0, NULL) < 0)
		return false;
	code = json_str(json_path(v, "error", NULL), "code");
	return code && str_eq(code, "DAMAGED");
}

static void not_told(struct check *k, const char *tag, const struct admin_call *call)
{
	_cleanup_(str_deinit) struct str why = STR_INIT, remedy = STR_INIT;

	if (call->result < 0)
		str_addz(&why, strerror(-call->result));
	else
		admin_call_message(call, &why);
	str_addf(&remedy,
	    is_damaged(call) ? "push it again: okdctl mirror %s"
			     : "okdctl registry verify-release %s",
	    tag);
	check_add(k, CHECK_WARN, str_get(&remedy),
	    "whether the release %s is whole cannot be said: %s", tag,
	    why.len ? why.s : "okd-regd refuses");
}

/* 1: it is a release; 0: an image of another kind. */
static int verify(struct check *k, const char *repository, const char *tag)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(admin_call_deinit) struct admin_call call = { .to = REGD };
	_cleanup_(json_freep) json_t *v = NULL;

	str_addz(&target, "/v1/verify-release");
	target_add(&target, "repository", repository);
	target_add(&target, "reference", tag);
	call.target = str_get(&target);
	admin_call_all(k->cli, &call, 1, VERIFY_MS);
	if (call.result == 422 && !is_damaged(&call))
		return 0;
	if (call.result == 200 &&
	    json_load_limited(
		&v, NULL, str_get(&call.reply), call.reply.len, 0, NULL) == 0)
		told(k, tag, v);
	else
		not_told(k, tag, &call);
	return 1;
}

void check_release(struct check *k, const char *repository, const json_t *tags)
{
	unsigned found = 0, asked = 0;

	for (size_t i = 0; asked < MAX_RELEASES && i < json_array_size(tags); i++) {
		const char *tag = json_string_value(json_array_get(tags, i));

		if (!tag || is_part(tags, tag))
			continue;
		found += (unsigned)verify(k, repository, tag);
		asked++;
	}
	if (!found)
		check_add(k, CHECK_NOT_YET, "okdctl mirror RELEASE",
		    "%s holds tags (%zu), and none is a release", repository,
		    json_array_size(tags));
}
