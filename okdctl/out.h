/* How commands read the daemons' answers, and how they print them. */
#pragma once

#include <jansson.h>

#include "common/base.h"

struct table;

/* The text or the number under a key; "" and 0 when there is none. */
const char *text_of(const json_t *obj, const char *key);
int64_t number_of(const json_t *obj, const char *key);

/* Print on standard output; each returns an exit status. */
int out_json(const json_t *v);
/* The same for a document of the caller's making, which is taken over; NULL stands for
 * one that there was no memory for. */
int out_json_take(json_t *v);
/* A line, cleaned of what a terminal would obey. */
void out_line(const char *fmt, ...) _printf_(1, 2);
/* The table is freed. */
int out_table(struct table *t);
