/* lbd.yaml: what loads prints as what loads again and prints the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lbd/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void *load(const char *text, size_t n)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	_cleanup_(str_deinit) struct str warnings = STR_INIT;
	struct cluster *none = NULL;
	struct err e = ERR_INIT;
	void *conf = NULL;

	if (conf_doc_parse(&doc, "t", text, n, &e) < 0)
		return NULL;
	return lbd_conf_load(&conf, doc, &none, &warnings, &e) < 0 ? NULL : conf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str once = STR_INIT, again = STR_INIT;
	void *conf = load((const char *)data, n), *back;

	if (!conf)
		return 0;
	lbd_conf_print(conf, &once);
	back = load(once.s, once.len);
	if (!back)
		abort();
	lbd_conf_print(back, &again);
	if (!str_eq(once.s, again.s))
		abort();
	lbd_conf_free(conf);
	lbd_conf_free(back);
	str_deinit(&once);
	str_deinit(&again);
	return 0;
}
