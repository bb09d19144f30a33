/*
 * The images' checksums: each file below the install folder, also in folders of it
 * (tree.h), is hashed once, on a thread of its own, and again when it changes; compared
 * with the .sha256 and .sha512 files beside it; and its format is looked at.  A file that
 * fails is not served.  Where there is no such file beside it, its digests are served in
 * its place.  One that cannot be read is served unchecked, and tried again after a while.
 *
 * Everything but the hashing is on the main loop.
 */
#pragma once

#include <jansson.h>
#include <sys/stat.h>

#include "common/base.h"
#include "common/str.h"
#include "ignd/file.h"

struct checksums;
struct loop;
struct store;

int checksums_new(struct checksums **ret, struct loop *l) _mustcheck_;
struct checksums *checksums_free(struct checksums *c);
DEFINE_FREEP(checksums)
/* Digests are kept in the store (NULL: nowhere); a row of it comes back here. */
void checksums_set_store(struct checksums *c, struct store *s);
void checksums_restore(struct checksums *c, const char *name, const json_t *value);

/* Looks what is there, and has hashed what is new; every few seconds.  root is used
 * during the call alone. */
void checksums_look(struct checksums *c, struct root *root);
/* Why a file, as it was opened, must not be served; NULL when it may be, also while its
 * digest is not known yet.  Holds until the next call. */
const char *checksums_fault(const struct checksums *c, const struct stat *st);
/* The text of name ("image.sha256") when the digest of its image is known: true. */
bool checksums_text(struct checksums *c, const char *name, struct str *out);
/* [{"name":..., "state":"good"|"bad"|"hashing"|"unchecked", "why":..., "bytes":...,
 *   "sha256":..., "signature":true}]: whether one lies beside it, null where there is none
 * and no installer asks for one. */
json_t *checksums_json(const struct checksums *c);
/* Files that must not be served. */
size_t checksums_bad(const struct checksums *c);
