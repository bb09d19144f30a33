/* The target of a request: a path, and a query whose values are percent-encoded. */
#pragma once

#include "common/str.h"

/* Appends "?key=value" or "&key=value"; a NULL value appends nothing. */
void target_add(struct str *target, const char *key, const char *value);
/* Appends a path segment with its slash. */
void target_segment(struct str *target, const char *segment);
