/* Lines of a text, counted as the YAML parser counts them. */
#pragma once

#include "common/base.h"

/* Does every line end with \n or \r\n?  YAML knows further line ends (\r alone, U+0085,
 * U+2028, U+2029), with which line numbers would mean other places. */
bool lines_are_plain(const char *text, size_t n);
/* Where the line of that number begins, from 1; end when there are fewer. */
const char *lines_at(const char *text, const char *end, unsigned line);
