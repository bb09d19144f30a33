/*
 * An Ignition config: read, checked, and what it says about itself.  Pure functions over
 * text.  Errors are what makes a node refuse the config; oddities that a node accepts, as
 * unknown keys, are warnings.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"
#include "ignd/certclock.h"

/* Beyond this a text is refused unread. */
#define IGNITION_MAX (32u * 1024 * 1024)

struct ignition {
	unsigned major, minor; /* of the spec version */
	size_t n_files;        /* entries of storage.files */
	struct certclock certs;
	struct str warnings; /* one a line, each begins with "line:column: " */
};

/* name stands for the file in errors.  -EINVAL, -EFBIG, -ENOMEM with e. */
int ignition_parse(struct ignition **ret, const char *name, const char *text, size_t n,
    struct err *e) _mustcheck_;
struct ignition *ignition_free(struct ignition *i);
DEFINE_FREEP(ignition)

/* "3.1.0" and the like of a version that some Ignition reads: 0 or -EINVAL. */
int ignition_version_parse(const char *s, unsigned *major, unsigned *minor) _mustcheck_;

/*
 * What an Accept header says that its sender reads.  Ignition names the newest version of
 * the spec that it knows, and reads older ones of the same major version.
 */
struct ignition_accept {
	bool any;              /* it names no version, so nothing is known */
	unsigned major, minor; /* else the newest that it names */
	bool has[4];           /* by major version: it reads these */
	unsigned upto[4];      /* ... up to that minor version */
};

/* accept may be NULL. */
void ignition_accept_parse(const char *accept, struct ignition_accept *ret);
/* Where Accept says nothing: what the release in "Ignition/2.6.0" is known to read. */
void ignition_accept_agent(const char *agent, struct ignition_accept *a);
bool ignition_accept_reads(
    const struct ignition_accept *a, unsigned major, unsigned minor);
