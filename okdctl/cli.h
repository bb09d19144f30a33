/*
 * The command line: a table of commands, their options, help from the same table, exit
 * codes.  A command is a function that gets a struct cli and returns the exit status.
 *
 * Exit statuses: 0 well; 1 a check failed, or what was asked for is not there; 2 the
 * command line makes no sense; 69 a daemon does not answer; 77 no permission.
 */
#pragma once

#include <stdio.h>

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

enum {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 69,
	EXIT_PERMISSION = 77,
};

#define CLI_ANY_ARGS 1000

struct cli_option {
	const char *name; /* without the dashes */
	const char *arg;  /* what its value is called; NULL: a switch */
	const char *help;
	char letter; /* a short form, or 0 */
};

struct cli;
struct cluster;

/* What every command takes; ends with a NULL name. */
extern const struct cli_option cli_globals[];

struct cli_command {
	const char *name;    /* "dns put": one word or two */
	const char *args;    /* "NAME [TYPE]" */
	const char *summary; /* one line, for the list of commands */
	const char *help;    /* what the manual would say, in short */
	const char *examples;
	const struct cli_option *options; /* ends with a NULL name; NULL: none */
	unsigned min_args, max_args;
	int (*run)(struct cli *c);
};

/* A command line taken apart; everything in it points into argv or constants. */
struct cli {
	const struct cli_command *command;
	const char **args; /* n_args of them, then NULL */
	unsigned n_args;
	struct cli_value *values;
	unsigned n_values;
	/* What every command has. */
	const char *etc;     /* --etc, else /etc/okd-bastion */
	const char *run_dir; /* --run-dir, else /run */
	bool json;
	bool terminal; /* stdout is a terminal */
	bool color;
	struct str cluster_path; /* --cluster, else cluster.yaml in etc */
};

/* commands ends with a NULL name.  Returns the exit status of the process. */
int cli_main(const struct cli_command *commands, int argc, char *argv[]);

/* The last value of an option; NULL when it was not given. */
const char *cli_get(const struct cli *c, const char *option);
bool cli_has(const struct cli *c, const char *option);
/* The values of an option that may be repeated: NULL past the last one. */
const char *cli_nth(const struct cli *c, const char *option, unsigned n);

/* "okdctl: sentence" to stderr; returns status, so that it can end a command. */
int cli_fail(int status, const char *fmt, ...) _printf_(2, 3);
int cli_fail_err(int status, const struct err *e);
/* The exit status that a failed system call of this -errno stands for. */
int cli_status_of(int r);

/* cluster.yaml, or an exit status after a sentence. */
int cli_cluster(struct cli *c, struct cluster **ret) _mustcheck_;
/* The path of a file in --etc. */
void cli_etc_path(const struct cli *c, const char *name, struct str *out);
/* Asks on the terminal, y or n; true without asking when --yes was given, false with
 * --json and where there is nobody to ask. */
bool cli_confirm(struct cli *c, const char *question);
