/*
 * The contents that an Ignition config carries in itself: data: URLs (RFC 2397), plain,
 * percent-encoded or base64, optionally compressed by gzip.  Pure functions.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

/* More than this in one resource is refused, compressed or not. */
#define RESOURCE_MAX (32u * 1024 * 1024)

bool resource_is_data(const char *url);
/*
 * Appends what a data: URL of n bytes holds.  As Ignition's own decoder does, line ends
 * within base64 are passed over, and percent-encoding is undone first.  0, -EINVAL with
 * a sentence, -EFBIG, -ENOMEM.
 */
int resource_decode(
    const char *url, size_t n, struct str *out, struct err *e) _mustcheck_;
/* Appends what a gzip stream (one member or several, RFC 1952) unpacks to. */
int resource_gunzip(
    const void *p, size_t n, size_t max, struct str *out, struct err *e) _mustcheck_;
/* Whether "sha512-<hex>" or "sha256-<hex>" is the digest of these bytes: 0, -EBADMSG
 * when it is of others, -EINVAL when it is none. */
int resource_verify(
    const char *hash, const void *p, size_t n, struct err *e) _mustcheck_;
