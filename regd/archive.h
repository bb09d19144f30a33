/*
 * The archives of oc-mirror: one or several tar files that hold registry:2's storage
 * (docker/registry/v2).  What they hold becomes items of a scan whose bytes lie inside
 * a file.  Blocks; reads the headers alone and passes over the data.
 */
#pragma once

#include "regd/scan.h"

/* Whether path is such a file, or a folder with files called mirror_*.tar. */
bool archive_is(const char *path);
/* Adds what the files hold; -EBADMSG with a sentence for what is no tar. */
int archive_scan(struct scan *s, const char *path, struct err *err) _mustcheck_;
