/*
 * Certificates of the registry's own making, for a bastion where nobody gave it any: a
 * CA and a server certificate below it, in <state>/tls.  Both are kept; the server's is
 * made anew when its names are no longer the cluster's, or its end is near.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"

struct cluster;

enum { CERTS_RENEW_S = 30 * 24 * 3600 }; /* how long before its end */

/* 0 with the paths of the files to use, owned by the caller. */
int certs_make(const char *state_dir, const struct cluster *cluster, char **certificate,
    char **key, struct err *err) _mustcheck_;
