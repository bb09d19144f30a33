/*
 * What etcd's JSON gateway sends: a page of keys ('r' first) or a line of the watch ('w').
 * What is read is whole: each key and value is text of the length that it tells.
 */
#include "common/base.h"
#include "dnsd/etcd_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct str *s)
{
	if (str_err(s) < 0 || strlen(str_get(s)) > s->len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	struct etcd_reply r;
	char *p;
	int k;

	if (size < 1 || (data[0] != 'w' && data[0] != 'r'))
		return 0;
	/* Of the exact size, so that ASan sees a byte read beyond it. */
	p = malloc(size);
	memcpy(p, data + 1, size - 1);
	k = data[0] == 'w' ? etcd_reply_watch(&r, p, size - 1, &e)
			   : etcd_reply_range(&r, p, size - 1, &e);
	if (k < 0 && !e.text[0])
		abort();
	if (k == 0 && r.n_kvs && !r.kvs)
		abort();
	for (size_t i = 0; k == 0 && i < r.n_kvs; i++) {
		check(&r.kvs[i].key);
		check(&r.kvs[i].value);
	}
	etcd_reply_deinit(&r);
	free(p);
	return 0;
}
