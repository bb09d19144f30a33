/*
 * A CertificateSigningRequest object of certificates.k8s.io/v1 or v1beta1 as a struct:
 * what the API server vouches for (who asked, for which signer and usages, what has
 * been decided) and what the requestor wrote (the certificate request inside).
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/x509_request.h"

#define CSR_REQUEST_MAX (16u * 1024) /* a kubelet's has about 1 KiB */
#define CSR_LIST_MAX 64              /* groups, usages */

struct csr {
	char *name, *uid, *version; /* version: metadata.resourceVersion, opaque */
	int64_t created;            /* seconds since 1970 */

	char *signer, *username; /* "" where the object has none */
	struct x509_strings groups, usages;
	int64_t lifetime; /* spec.expirationSeconds; 0: not given */

	struct x509_request *request; /* NULL: it cannot be read, and why says why */
	char *why;

	bool approved, denied, failed;
	bool issued;         /* status.certificate is there */
	int64_t approved_at; /* the Approved condition's time; 0: unknown */
	char *approved_by;   /* its reason; "" when not approved */
	char *failed_text;   /* message of the Failed condition; "" without one */
	json_t *conditions;  /* status.conditions as they are; NULL: none */
};

/*
 * 0, or -EBADMSG for an object that no API server would send (no name, a text where a
 * list belongs), with a sentence.  Unknown fields and nulls are passed over.  A request
 * that cannot be read is no error here.
 */
int csr_new(struct csr **ret, const json_t *object, struct err *e) _mustcheck_;
struct csr *csr_free(struct csr *c);
DEFINE_FREEP(csr)

/* Neither approved nor denied nor failed. */
bool csr_is_pending(const struct csr *c);

/* The names that the request asks for, "DNS:worker IP:192.168.120.104". */
void csr_describe_names(const struct csr *c, struct str *out);
/* Everything, decoded, for a person who is to decide. */
json_t *csr_to_json(const struct csr *c);

/* RFC 3339 as Kubernetes writes it, fractions cut: seconds since 1970, or -1. */
int64_t csr_time_parse(const char *s);
#define CSR_TIME_MAX 32
const char *csr_time_format(int64_t t, char buf[CSR_TIME_MAX]);
