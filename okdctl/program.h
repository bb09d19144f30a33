/* Other programs: found by PATH, run without a shell, waited for. */
#pragma once

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

/* Is there a program of this name? */
bool program_find(const char *name);
/* 0 when it ended with 0; else -errno with a sentence that names the command.  What it
 * prints goes to standard error: our standard output is ours. */
int program_run(const char *const *argv, struct err *err) _mustcheck_;
/* The same with its output thrown away. */
int program_quiet(const char *const *argv, struct err *err) _mustcheck_;
/* The same with its standard output, of at most max bytes, appended to out. */
int program_output(
    const char *const *argv, size_t max, struct str *out, struct err *err) _mustcheck_;
/* The same with each line that it prints, on either output, handed to on_line; longer
 * ones than 4095 bytes in pieces. */
int program_lines(const char *const *argv, void (*on_line)(void *arg, const char *line),
    void *arg, struct err *err) _mustcheck_;
/* Becomes the program; returns only when that fails, with a sentence. */
int program_become(const char *const *argv, struct err *err);
