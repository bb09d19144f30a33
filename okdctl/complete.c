/* What a shell may complete: the words that can come next, one a line. */
#include "common/cluster.h"
#include "okdctl/admin_call.h"
#include "okdctl/check.h"
#include "okdctl/okdctl.h"

static void offer(const char *word, const char *prefix)
{
	if (str_starts(word, prefix))
		puts(word);
}

static void offer_these(const struct cli_option *o, const char *prefix)
{
	for (; o && o->name; o++) {
		char word[64];

		snprintf(word, sizeof(word), "--%s", o->name);
		offer(word, prefix);
	}
}

/* First words without a group's repetition, or the second words of a group. */
static void offer_commands(const char *group, const char *prefix)
{
	size_t n = group ? strlen(group) : 0;
	char last[32] = "";

	for (const struct cli_command *cmd = okdctl_commands; cmd->name; cmd++) {
		char word[32];

		if (cmd->name[0] == '_' ||
		    (group &&
			(strncmp(cmd->name, group, n) != 0 || cmd->name[n] != ' ')))
			continue;
		snprintf(
		    word, sizeof(word), "%s", group ? cmd->name + n + 1 : cmd->name);
		word[strcspn(word, " ")] = '\0';
		if (!str_eq(word, last))
			offer(word, prefix);
		snprintf(last, sizeof(last), "%s", word);
	}
}

static void offer_nodes(struct cli *c, const char *prefix)
{
	struct cluster *cluster = NULL;

	if (cluster_load(&cluster, str_get(&c->cluster_path), NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < cluster_n_nodes(cluster); i++)
		offer(cluster_node_at(cluster, i)->name, prefix);
	cluster_free(cluster);
}

static void offer_all(const char *const *words, const char *prefix)
{
	for (size_t i = 0; words[i]; i++)
		offer(words[i], prefix);
}

/* A token of the command's own "a|b|c [NODE]": its choices, or what it stands for. */
static void offer_token(struct cli *c, const char *token, size_t n, const char *prefix)
{
	char text[128];

	snprintf(text, sizeof(text), "%.*s", (int)n, token);
	text[strcspn(text, ".]")] = '\0';
	if (strchr(text, '|')) {
		for (char *save, *w = strtok_r(text, "[|", &save); w;
		     w = strtok_r(NULL, "[|", &save))
			if (*w >= 'a' && *w <= 'z')
				offer(w, prefix);
	} else if (strstr(text, "NODE")) {
		offer_nodes(c, prefix);
	} else if (strstr(text, "DAEMON")) {
		offer_all(daemon_names, prefix);
	} else if (strstr(text, "GROUP")) {
		offer_all(check_groups, prefix);
	}
}

/* The n-th argument of the command; the last token goes on where it ends in "...". */
static void offer_argument(
    struct cli *c, const struct cli_command *cmd, unsigned n, const char *prefix)
{
	const char *at = cmd->args;

	for (;;) {
		size_t len = strcspn(at, " ");
		bool last = !at[len];

		if (n == 0 || (last && strstr(at, "..."))) {
			offer_token(c, at, len, prefix);
			return;
		}
		if (last)
			return;
		n--;
		at += len + 1;
	}
}

/* --- the line so far ---------------------------------------------------- */

struct line {
	const char *group; /* the first word of two */
	const struct cli_command *command;
	unsigned n_args;  /* words behind the command */
	bool wants_value; /* the last word belongs to the option before it */
};

static const struct cli_command *find(const char *first, const char *second)
{
	char both[128];

	snprintf(both, sizeof(both), "%s %s", first, second);
	for (const struct cli_command *cmd = okdctl_commands; cmd->name; cmd++) {
		if (str_eq(cmd->name, *second ? both : first))
			return cmd;
	}
	return NULL;
}

static const struct cli_option *option_of(const struct line *l, const char *word)
{
	const struct cli_option *lists[] = { l->command ? l->command->options : NULL,
		cli_globals };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (const struct cli_option *o = lists[i]; o && o->name; o++)
			if (word[1] == '-' ? str_eq(word + 2, o->name)
					   : word[1] == o->letter && !word[2])
				return o;
	return NULL;
}

/* Options may name the folder that the nodes are read from. */
static void take_value(struct cli *c, const struct cli_option *o, const char *value)
{
	bool is_file = str_eq(o->name, "cluster");

	if (!is_file && !str_eq(o->name, "etc"))
		return;
	str_reset(&c->cluster_path);
	str_addf(&c->cluster_path, is_file ? "%s" : "%s/cluster.yaml", value);
}

static void read_line(struct cli *c, struct line *l)
{
	for (unsigned i = 0; i + 1 < c->n_args; i++) {
		const char *word = c->args[i];

		if (word[0] == '-' && word[1]) {
			const struct cli_option *o = option_of(l, word);

			l->wants_value = o && o->arg && i + 2 == c->n_args;
			if (o && o->arg && !l->wants_value)
				take_value(c, o, c->args[++i]);
		} else if (l->command) {
			l->n_args++;
		} else if (l->group) {
			l->command = find(l->group, word);
		} else {
			l->command = find(word, "");
			l->group = l->command ? NULL : word;
		}
	}
}

/* The words of the line so far, the last of them the one to complete. */
int complete_run(struct cli *c)
{
	const char *prefix = c->n_args ? c->args[c->n_args - 1] : "";
	struct line l = { 0 };

	read_line(c, &l);
	if (l.wants_value)
		return 0;
	if (str_starts(prefix, "-")) {
		offer_these(l.command ? l.command->options : NULL, prefix);
		offer_these(cli_globals, prefix);
	} else if (!l.command) {
		offer_commands(l.group, prefix);
	} else {
		offer_argument(c, l.command, l.n_args, prefix);
	}
	return 0;
}
