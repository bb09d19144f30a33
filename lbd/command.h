/*
 * HAProxy's commands and the words it answers with (its management manual, 9.3), where
 * there is something here that they apply to.
 */
#pragma once

#include "common/base.h"
#include "common/str.h"

struct lbd;

/* Runs one line of commands with ";" between them; the answers, with an empty line behind
 * each, are appended. */
void command_run(struct lbd *l, char *line, struct str *out);
/* Splits "set server B/s state drain" at blanks; returns how many words, at most max.
 */
size_t command_split(char *command, char **words, size_t max);
