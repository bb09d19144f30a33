/* Manifests: whatever comes, its descriptors have digests and its type can be sent. */
#include <assert.h>
#include <string.h>

#include "regd/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	struct manifest *m = NULL;
	struct oci_digest d;

	if (manifest_parse(&m, NULL, (const char *)data, size, &e) < 0)
		return 0;
	assert(m->type[0] && !strpbrk(m->type, "\"\\\r\n"));
	assert(!strpbrk(m->artifact_type, "\"\\\r\n"));
	for (size_t i = 0; i < m->n_refs; i++)
		assert(oci_digest_parse(&d, m->refs[i].digest.text) == 0);
	manifest_free(m);
	return 0;
}
