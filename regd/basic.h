/* The Authorization header.  Pure. */
#pragma once

#include "common/base.h"

enum { BASIC_MAX = 1024 }; /* of "user:password", with its NUL */

/*
 * Decodes "Basic <base64>" (RFC 7617) into buf as two strings: the user at buf, the
 * password at the result.  NULL for anything else, for credentials with control
 * characters, and for what is longer than BASIC_MAX.  *n is the length of
 * "user:password".
 */
char *basic_decode(const char *header, char buf[BASIC_MAX], size_t *n);

/*
 * An empty user with an empty password.  It stands for nobody, as no header does: skopeo,
 * podman and CRI-O send it once they were asked for a password and have none.
 */
bool basic_is_nobody(const char *header);
