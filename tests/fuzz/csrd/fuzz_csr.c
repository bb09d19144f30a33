/* Request objects as an API server, or somebody in its place, may send them; the first
 * byte chooses between a whole object and the request inside a good one. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/str.h"
#include "csrd/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static json_t *wrap(const uint8_t *data, size_t n)
{
	_cleanup_(str_deinit) struct str packed = STR_INIT;

	base64_encode(&packed, data, n, BASE64_STD);
	return json_pack(
	    "{s:{s:s, s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:[s, s], s:[s, s]}}",
	    "metadata", "name", "n", "uid", "u", "resourceVersion", "1",
	    "creationTimestamp", "2023-11-14T22:13:20Z", "spec", "request",
	    str_get(&packed), "signerName", SIGNER_SERVING, "username",
	    "system:node:worker", "groups", "system:nodes", "system:authenticated",
	    "usages", "digital signature", "server auth");
}

static void decide(const struct csr *csr)
{
	static const struct policy policy = { .bootstrapper = (char *)(uintptr_t) "b",
		.max_lifetime = 1000000,
		.approvals_per_hour = 1 };
	static struct nodes nodes = { .known = true };
	static const struct tickets tickets = { .required = true };
	const struct policy_input in = { &policy, NULL, &nodes, &tickets, 1700000000, 0,
		true };
	struct verdict v;

	policy_decide(&in, csr, &v);
	/* Without a cluster file nobody is expected. */
	if (verdict_is_good(&v))
		abort();
	policy_first_client(&policy, csr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct csr *csr = NULL;
	json_t *doc;

	if (n < 1)
		return 0;
	doc = data[0] & 1 ? wrap(data + 1, n - 1)
			  : json_loadb((const char *)data + 1, n - 1, 0, NULL);
	if (doc && csr_new(&csr, doc, NULL) == 0) {
		_cleanup_(str_deinit) struct str names = STR_INIT;

		decide(csr);
		csr_describe_names(csr, &names);
		json_decref(csr_to_json(csr));
		csr_free(csr);
	}
	json_decref(doc);
	return 0;
}
