/* A reply from a name server: nothing outside the message is read, names are text. */
#include <stdlib.h>
#include <string.h>

#include "okdctl/stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum stub_type types[] = { STUB_A, STUB_AAAA, STUB_PTR, STUB_SRV };
	struct stub_answer a = { 0 };
	uint8_t query[STUB_QUERY_MAX];
	int n;

	if (size < 1)
		return 0;
	n = stub_query(query, 0x1234, "a.example.com", types[data[0] & 3]);
	if (n < 0)
		abort();
	if (stub_parse(data + 1, size - 1, query, (size_t)n, &a) < 0)
		return 0;
	for (size_t i = 0; i < a.records.n; i++)
		for (const char *p = a.records.v[i]; *p; p++)
			if (*p < ' ' || *p > '~')
				abort();
	stub_answer_deinit(&a);
	return 0;
}
