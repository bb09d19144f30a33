/*
 * A set of files to be written: looked at first, told, then written or none of them.
 * What is there is never replaced without force, and then a copy stays beside it.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

enum file_state {
	FILE_NEW,     /* is not there */
	FILE_SAME,    /* is there with the same bytes, or may stay as it is */
	FILE_DIFFERS, /* would be replaced: needs force */
	FILE_RENEWED, /* is replaced without force, with a copy: the old one is of no use */
};

struct file {
	char *path;
	mode_t mode;
	const char *group; /* the group that may read it, where it exists; NULL: none */
	enum file_state state;
	struct str text;
	char *why; /* for FILE_DIFFERS and FILE_RENEWED; may be NULL */
};

struct files {
	struct file *v;
	size_t n;
};

void files_deinit(struct files *f);
/* Adds a file that shall hold text, which is taken over: 0 or -errno with a sentence. */
int files_add(struct files *f, const char *path, mode_t mode, const char *group,
    struct str *text, struct err *err) _mustcheck_;
/* Adds one that is there already and stays. */
int files_keep(
    struct files *f, const char *path, const char *group, struct err *err) _mustcheck_;
/* How many of them would need force. */
size_t files_conflicts(const struct files *f);
bool files_changed(const struct files *f);
/* A line each: what is or would be done. */
void files_print(const struct files *f, bool done, struct str *out);
/* The same for --json: [{"path":..., "state": "new", "same", "differs" or "renewed"}]. */
json_t *files_json(const struct files *f);
/* Writes what is new or differs, each whole, and none of them when one cannot be: 0 or
 * -errno with a sentence. */
int files_write(struct files *f, struct err *err) _mustcheck_;
/* Lets their groups read those that were written before the groups were made. */
void files_give(const struct files *f);
