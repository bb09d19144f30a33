/* Any text as input of okdctl import etcd: see import.h. */
#include "tests/fuzz/okdctl/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_import(import_etcd, data, size);
}
