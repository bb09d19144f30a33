/* The command line and its help: see cli.h. */
#include "okdctl/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "common/cluster.h"
#include "okdctl/term.h"

#define ETC_DEFAULT "/etc/okd-bastion"
#define RUN_DEFAULT "/run"

struct cli_value {
	const char *option, *value;
};

const struct cli_option cli_globals[] = {
	{ "cluster", "FILE", "the cluster file (default: cluster.yaml in --etc)", 'C' },
	{ "etc", "DIR", "where the settings are (default: " ETC_DEFAULT ")", 0 },
	{ "run-dir", "DIR", "where the admin sockets are (default: " RUN_DEFAULT ")",
	    0 },
	{ "json", NULL, "print JSON", 0 },
	{ "color", "WHEN", "auto, always or never", 0 },
	{ "yes", NULL, "ask nothing, go ahead", 'y' },
	{ "help", NULL, "say what the command does, with examples", 'h' },
	{ NULL, NULL, NULL, 0 },
};

/* --- sentences ---------------------------------------------------------- */

int cli_fail(int status, const char *fmt, ...)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	term_vaddf(&text, fmt, ap);
	va_end(ap);
	fflush(stdout);
	fprintf(
	    stderr, "okdctl: %s\n", str_err(&text) ? "out of memory" : str_get(&text));
	return status;
}

int cli_fail_err(int status, const struct err *e)
{
	return cli_fail(status, "%s", err_str(e));
}

int cli_status_of(int r)
{
	switch (-r) {
	case EACCES:
	case EPERM:
		return EXIT_PERMISSION;
	case ECONNREFUSED:
	case ETIMEDOUT:
	case EHOSTUNREACH:
		return EXIT_UNREACHABLE;
	default:
		return EXIT_FAILED;
	}
}

/* --- values ------------------------------------------------------------- */

const char *cli_nth(const struct cli *c, const char *option, unsigned n)
{
	for (unsigned i = 0; i < c->n_values; i++) {
		if (str_eq(c->values[i].option, option) && n-- == 0)
			return c->values[i].value;
	}
	return NULL;
}

const char *cli_get(const struct cli *c, const char *option)
{
	for (unsigned i = c->n_values; i > 0; i--) {
		if (str_eq(c->values[i - 1].option, option))
			return c->values[i - 1].value;
	}
	return NULL;
}

bool cli_has(const struct cli *c, const char *option)
{
	return cli_get(c, option) != NULL;
}

void cli_etc_path(const struct cli *c, const char *name, struct str *out)
{
	str_addf(out, "%s/%s", c->etc, name);
}

int cli_cluster(struct cli *c, struct cluster **ret)
{
	const char *path = str_get(&c->cluster_path);
	struct err e = ERR_INIT;
	int r = cluster_load(ret, path, NULL, &e);

	if (r == -ENOENT)
		return cli_fail(EXIT_FAILED,
		    "%s does not exist; write it with \"okdctl init\"", path);
	return r < 0 ? cli_fail_err(cli_status_of(r), &e) : 0;
}

bool cli_confirm(struct cli *c, const char *question)
{
	char line[16];

	if (cli_has(c, "yes"))
		return true;
	if (c->json || !isatty(STDIN_FILENO)) {
		cli_fail(0,
		    c->json ? "--json asks nothing; --yes says yes"
			    : "nobody can be asked here; --yes says yes");
		return false;
	}
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* --- help --------------------------------------------------------------- */

static bool in_group(const struct cli_command *cmd, const char *group)
{
	size_t n = strlen(group);

	return strncmp(cmd->name, group, n) == 0 && cmd->name[n] == ' ';
}

/* A word and what it means, in two columns; on a terminal the second is broken. */
static void show_row(FILE *to, int left, const char *word, const char *text)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;
	unsigned indent = (unsigned)left + 3;

	str_addf(&out, "  %-*s ", left, word);
	if (strlen(word) > (size_t)left)
		str_addf(&out, "\n%*s", (int)indent, "");
	term_add_wrapped(&out, text, indent, term_size(fileno(to)).columns);
	fprintf(to, "%s\n", str_get(&out));
}

static void show_list(const struct cli_command *commands, const char *group, FILE *to)
{
	for (const struct cli_command *cmd = commands; cmd->name; cmd++) {
		if (cmd->name[0] != '_' && (!group || in_group(cmd, group)))
			show_row(to, 24, cmd->name, cmd->summary);
	}
}

static void show_options(const struct cli_option *options)
{
	for (const struct cli_option *o = options; o && o->name; o++) {
		char left[48], letter[8] = "";

		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name,
		    o->arg ? " " : "", o->arg ? o->arg : "");
		show_row(stdout, 26, left, o->help);
	}
}

static void indent(const char *text)
{
	for (const char *at = text; *at;) {
		int n = (int)strcspn(at, "\n");

		printf("  %.*s\n", n, at);
		at += n;
		at += *at == '\n';
	}
}

static int show_help(const struct cli_command *cmd)
{
	printf("okdctl %s%s%s%s\n\n%s\n", cmd->name, *cmd->args ? " " : "", cmd->args,
	    cmd->options ? " [options]" : "", cmd->help);
	if (cmd->options) {
		printf("\nOptions:\n");
		show_options(cmd->options);
	}
	printf("\nOptions of every command:\n");
	show_options(cli_globals);
	printf("\nExamples:\n");
	indent(cmd->examples);
	return 0;
}

static int show_overview(const struct cli_command *commands, FILE *to, int status)
{
	fprintf(to, "okdctl COMMAND: the bastion of an OKD cluster.\n\nCommands:\n");
	show_list(commands, NULL, to);
	fprintf(to,
	    "\nokdctl COMMAND --help says more, with examples.\n"
	    "Begin with: okdctl init, then okdctl check.\n");
	return status;
}

static int show_group(
    const struct cli_command *commands, const char *group, FILE *to, int status)
{
	fprintf(to, "okdctl %s needs one of these:\n", group);
	show_list(commands, group, to);
	return status;
}

/* --- finding the command ------------------------------------------------ */

/* The word that was probably meant, among the words of that level. */
static const char *nearest(
    const struct cli_command *commands, const char *group, const char *word)
{
	static char copy[64];
	const char *names[128];
	char words[127][24];
	const char *found;
	unsigned n = 0;

	for (const struct cli_command *cmd = commands; cmd->name && n < 127; cmd++) {
		const char *at = cmd->name;

		if (group && !in_group(cmd, group))
			continue;
		at += group ? strlen(group) + 1 : 0;
		snprintf(words[n], sizeof(words[n]), "%.*s",
		    (int)(group ? strlen(at) : strcspn(at, " ")), at);
		names[n] = words[n];
		n++;
	}
	names[n] = NULL;
	found = str_nearest(word, names);
	if (!found)
		return NULL;
	snprintf(copy, sizeof(copy), "%s", found);
	return copy;
}

static bool is_group(const struct cli_command *commands, const char *word)
{
	for (const struct cli_command *cmd = commands; cmd->name; cmd++) {
		if (in_group(cmd, word))
			return true;
	}
	return false;
}

static const struct cli_command *find(
    const struct cli_command *commands, const char *first, const char *second)
{
	char both[128];

	snprintf(both, sizeof(both), "%s %s", first, second ? second : "");
	for (const struct cli_command *cmd = commands; cmd->name; cmd++) {
		if (str_eq(cmd->name, first) || (second && str_eq(cmd->name, both)))
			return cmd;
	}
	return NULL;
}

static int unknown(
    const struct cli_command *commands, const char *group, const char *word)
{
	const char *near = nearest(commands, group, word);
	const char *before = group ? group : "", *blank = group ? " " : "";

	if (near)
		return cli_fail(EXIT_USAGE,
		    "there is no command \"%s%s%s\"; did you mean \"%s%s%s\"?", before,
		    blank, word, before, blank, near);
	return cli_fail(EXIT_USAGE,
	    "there is no command \"%s%s%s\"; \"okdctl %s%s--help\" lists them", before,
	    blank, word, before, blank);
}

/* --- taking it apart ---------------------------------------------------- */

static const struct cli_option *find_option(
    const struct cli_option *options, const char *name, size_t n, char letter)
{
	for (const struct cli_option *o = options; o && o->name; o++) {
		if (letter ? o->letter == letter
			   : strlen(o->name) == n && strncmp(o->name, name, n) == 0)
			return o;
	}
	return NULL;
}

static int unknown_option(const struct cli *c, const char *name)
{
	const struct cli_option *own = c->command ? c->command->options : NULL;
	const char *words[64];
	const char *near;
	unsigned n = 0;

	for (const struct cli_option *o = own; o && o->name && n < 50; o++)
		words[n++] = o->name;
	for (const struct cli_option *o = cli_globals; o->name; o++)
		words[n++] = o->name;
	words[n] = NULL;
	near = str_nearest(name, words);
	if (near)
		return cli_fail(EXIT_USAGE,
		    "there is no option --%s; did you mean --%s?", name, near);
	return cli_fail(EXIT_USAGE,
	    "there is no option --%s; \"okdctl %s%s--help\" "
	    "lists them",
	    name, c->command ? c->command->name : "", c->command ? " " : "");
}

/* One option at argv[*i]; *i moves on past its value.  -1: all that was asked for is said. */
static int take_option(struct cli *c, int argc, char *argv[], int *i)
{
	const char *text = argv[*i];
	bool is_long = text[1] == '-';
	const char *name = text + (is_long ? 2 : 1);
	size_t n = strcspn(name, "=");
	char letter = (char)(is_long ? 0 : *name);
	const struct cli_option *o =
	    find_option(c->command ? c->command->options : NULL, name, n, letter);
	const char *value = is_long && name[n] ? name + n + 1 : NULL;
	char shown[64];

	if (!o)
		o = find_option(cli_globals, name, n, letter);
	if (!o && !c->command && (letter == 'V' || str_eq(name, "version"))) {
		printf("okdctl %s\n", OKD_VERSION);
		return -1;
	}
	snprintf(shown, sizeof(shown), "%.*s", (int)MIN(n, (size_t)60), name);
	if (!o)
		return unknown_option(c, shown);
	if (!is_long && name[1])
		value = name + 1;
	if (!o->arg && value)
		return cli_fail(EXIT_USAGE, "--%s takes no value", o->name);
	if (o->arg && !value && ++*i >= argc)
		return cli_fail(EXIT_USAGE, "--%s needs a value: --%s %s", o->name,
		    o->name, o->arg);
	if (o->arg && !value)
		value = argv[*i];
	c->values[c->n_values++] = (struct cli_value){ o->name, value ? value : "" };
	return 0;
}

/* Options may stand anywhere behind the command; -- ends them. */
static int take_apart(
    struct cli *c, const struct cli_command *commands, int argc, char *argv[])
{
	const char *group = NULL;
	bool options = true;
	int r;

	for (int i = 1; i < argc; i++) {
		if (options && str_eq(argv[i], "--")) {
			options = false;
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			r = take_option(c, argc, argv, &i);
			if (r)
				return r;
		} else if (c->command) {
			c->args[c->n_args++] = argv[i];
		} else if (!group && str_eq(argv[i], "help")) {
			/* "okdctl help init" as well */
			c->values[c->n_values++] = (struct cli_value){ "help", "" };
		} else if (!group && is_group(commands, argv[i])) {
			group = argv[i];
		} else {
			c->command = group ? find(commands, group, argv[i])
					   : find(commands, argv[i], NULL);
			if (!c->command)
				return unknown(commands, group, argv[i]);
		}
	}
	if (c->command)
		return 0;
	if (group)
		return show_group(commands, group, cli_has(c, "help") ? stdout : stderr,
		    cli_has(c, "help") ? -1 : EXIT_USAGE);
	return show_overview(commands, cli_has(c, "help") ? stdout : stderr,
	    cli_has(c, "help") ? -1 : EXIT_USAGE);
}

static int settle(struct cli *c)
{
	const char *color = cli_get(c, "color");
	const char *cluster = cli_get(c, "cluster");

	c->etc = cli_has(c, "etc") ? cli_get(c, "etc") : ETC_DEFAULT;
	c->run_dir = cli_has(c, "run-dir") ? cli_get(c, "run-dir") : RUN_DEFAULT;
	c->json = cli_has(c, "json");
	c->terminal = isatty(STDOUT_FILENO);
	c->color = c->terminal && !getenv("NO_COLOR");
	if (color && str_eq(color, "always"))
		c->color = true;
	else if (color && str_eq(color, "never"))
		c->color = false;
	else if (color && !str_eq(color, "auto"))
		return cli_fail(EXIT_USAGE,
		    "--color must be auto, always or never, not \"%s\"", color);
	if (cluster)
		str_addz(&c->cluster_path, cluster);
	else
		cli_etc_path(c, "cluster.yaml", &c->cluster_path);
	return str_err(&c->cluster_path) ? cli_fail(EXIT_FAILED, "out of memory") : 0;
}

static int check_args(const struct cli *c)
{
	const struct cli_command *cmd = c->command;

	if (c->n_args >= cmd->min_args && c->n_args <= cmd->max_args)
		return 0;
	return cli_fail(EXIT_USAGE, "%s; write: okdctl %s%s%s",
	    c->n_args < cmd->min_args ? "something is missing" : "that is too much",
	    cmd->name, *cmd->args ? " " : "", cmd->args);
}

static int run(
    struct cli *c, const struct cli_command *commands, int argc, char *argv[])
{
	int r = take_apart(c, commands, argc, argv);

	if (r)
		return r < 0 ? 0 : r;
	if (cli_has(c, "help"))
		return show_help(c->command);
	r = settle(c);
	if (r == 0)
		r = check_args(c);
	return r ? r : c->command->run(c);
}

int cli_main(const struct cli_command *commands, int argc, char *argv[])
{
	_cleanup_(freep) const char **args = calloc((size_t)argc + 1, sizeof(*args));
	_cleanup_(freep) struct cli_value *values =
	    calloc((size_t)argc + 1, sizeof(*values));
	struct cli c = { .args = args, .values = values };
	int status;

	term_init();
	status = args && values ? run(&c, commands, argc, argv)
				: cli_fail(EXIT_FAILED, "out of memory");
	str_deinit(&c.cluster_path);
	if (fflush(stdout) != 0 || ferror(stdout))
		return cli_fail(EXIT_FAILED, "cannot write: %s", strerror(errno));
	return status;
}
