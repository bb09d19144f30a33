/*
 * What an OKD install needs to know about this registry, as text to paste: the mirror
 * sources of install-config.yaml and of a running cluster, the CA, the pull secret's
 * entry, and registries.conf of a host.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

struct pieces_query {
	const char *registry;        /* host:port */
	const char *repository;      /* that the release was mirrored to */
	const char *ca;              /* PEM text, or NULL: a public authority's */
	const char *user, *password; /* or NULL */
};

/* {"imageContentSources","imageContentSourcePolicy","imageDigestMirrorSet",
 * "additionalTrustBundle","pullSecret","registriesConf"}, each a text. */
int pieces_make(json_t **ret, const struct pieces_query *q) _mustcheck_;
