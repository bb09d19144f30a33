/*
 * Where in a JSON text a value stands, for the sentence about what is wrong with it.
 * jansson keeps no places, and only a fault needs one: the text is walked again, beside
 * the tree that was read from it.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"

struct place {
	unsigned line, column; /* from 1; 0: not found */
};

/*
 * The place of obj in the text that root was read from, or of its member key (the last
 * of that name; where there is none, one of another case), where key is given.
 */
struct place place_find(
    const json_t *root, const char *text, size_t n, const json_t *obj, const char *key);
