/* What every importer must hold on any text: a refusal has a sentence, and what comes out
 * parses as YAML. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "common/conf_doc.h"
#include "okdctl/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline int fuzz_import(
    int (*import)(struct import *in), const uint8_t *data, size_t size)
{
	_cleanup_(str_deinit) struct str out = STR_INIT, notes = STR_INIT,
					 text = STR_INIT;
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	struct err e = ERR_INIT;
	struct import in = { .name = "input", .out = &out, .notes = &notes, .err = &e };

	str_add(&text, data, size);
	in.text = str_get(&text);
	in.n = size;
	if (import(&in) < 0) {
		if (!e.text[0])
			abort();
		return 0;
	}
	/* Beyond the bounds of a file nothing is promised. */
	if (out.len < CONF_MAX_BYTES / 4 &&
	    conf_doc_parse(&doc, "output", str_get(&out), out.len, &e) < 0 &&
	    !strstr(e.text, "nodes")) {
		fprintf(stderr, "%s\n%s", err_str(&e), str_get(&out));
		abort();
	}
	return 0;
}
