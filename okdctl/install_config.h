/*
 * install-config.yaml for openshift-install: made whole, or completed from one that a
 * person wrote.  Pure functions over text.
 */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

struct cluster;

struct install_config {
	const struct cluster *cluster;
	const char *ssh_key;     /* one line; NULL: none */
	const char *pull_secret; /* JSON on one line */
	const char *trust;       /* PEM: the registry's CA */
	const char *release;     /* "4.5.0-0.okd-..."; NULL: 4.5 */
	const char *cluster_network, *service_network; /* NULL: the guide's */
};

/* The repository that a release is mirrored to, "openshift/okd", and the one that it comes
 * from, "quay.io/openshift/okd"; other ones since 4.16. */
const char *install_config_repository(const char *release);
const char *install_config_source(const char *release);
/* The host and port that the nodes pull from: "registry.okd.example.com:5000". */
void install_config_registry(const struct cluster *c, struct str *out);
/* "4.5", "4.17.0-okd-scos.1", ... */
bool install_config_is_release(const char *s);
/* -EINVAL with a sentence when networks overlap. */
int install_config_make(
    const struct install_config *in, struct str *out, struct err *err) _mustcheck_;
/*
 * The same text with what is missing in it added: pullSecret gets the registry's entry,
 * additionalTrustBundle its CA, the mirror list its sources; every other byte stays.
 * name stands for the file in sentences.
 */
int install_config_complete(const struct install_config *in, const char *name,
    const char *text, size_t n, struct str *out, struct err *err) _mustcheck_;
/* Merges two pull secrets, the second one's entries winning, into one line of JSON. */
int install_config_merge_secret(const char *name, const char *first, const char *second,
    struct str *out, struct err *err) _mustcheck_;
