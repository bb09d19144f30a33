/* nginx.conf as ignd.yaml: where images and .ign files lie, and the port. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "common/net.h"
#include "okdctl/import.h"

struct nginx {
	struct import *in;
	const char *at, *end;
	unsigned line;
	struct words w;  /* the statement at hand */
	char terminator; /* ; { } or 0 at the end */
	unsigned depth, servers;
	struct str listen;
	char root[256];
};

static void nginx_deinit(struct nginx *n)
{
	words_deinit(&n->w);
	str_deinit(&n->listen);
}

static void skip_blanks(struct nginx *n)
{
	while (n->at < n->end) {
		if (*n->at == '#') {
			while (n->at < n->end && *n->at != '\n')
				n->at++;
		} else if (isspace((unsigned char)*n->at)) {
			n->line += *n->at++ == '\n';
		} else {
			return;
		}
	}
}

static bool ends_word(char c)
{
	return isspace((unsigned char)c) || c == ';' || c == '{' || c == '}';
}

static void add_word(struct nginx *n)
{
	_cleanup_(str_deinit) struct str word = STR_INIT;
	char quote = *n->at == '"' || *n->at == '\'' ? *n->at++ : '\0';

	while (n->at < n->end && (quote ? *n->at != quote : !ends_word(*n->at))) {
		n->line += *n->at == '\n';
		str_addc(&word, *n->at >= ' ' && *n->at <= '~' ? *n->at : '?');
		n->at++;
	}
	n->at += quote && n->at < n->end;
	if (words_add(&n->w, str_get(&word)) < 0)
		n->in->out->err = -ENOMEM;
}

/* The next statement: its words, and what ended it.  False at the end. */
static bool next(struct nginx *n)
{
	words_deinit(&n->w);
	for (;;) {
		skip_blanks(n);
		if (n->at >= n->end) {
			n->terminator = '\0';
			return n->w.n > 0;
		}
		if (*n->at == ';' || *n->at == '{' || *n->at == '}') {
			n->terminator = *n->at++;
			return true;
		}
		add_word(n);
	}
}

static const char *word(const struct nginx *n, size_t i)
{
	return i < n->w.n ? n->w.v[i] : "";
}

static void listen_on(struct nginx *n)
{
	struct net_endpoint e;
	char text[64], quoted[70];
	uint64_t port;

	if (str_to_u64(word(n, 1), 65535, &port) == 0 && port)
		snprintf(text, sizeof(text), ":%llu", (unsigned long long)port);
	else
		snprintf(text, sizeof(text), "%s", word(n, 1));
	if (net_endpoint_parse(text, 80, &e) < 0) {
		import_note(
		    n->in, n->line, "\"listen %s\" is not carried over", word(n, 1));
		return;
	}
	/* nginx on [::]:80 beside 80 is one wildcard here. */
	snprintf(quoted, sizeof(quoted), "\"%s\"", text);
	if (strstr(str_get(&n->listen), quoted) || str_starts(text, "[::]"))
		return;
	str_addf(&n->listen, "%s%s", n->listen.len ? ", " : "", quoted);
	for (size_t i = 2; i < n->w.n; i++)
		if (!str_eq(word(n, i), "default_server"))
			import_note(n->in, n->line,
			    "\"%s\" of listen is not carried over", word(n, i));
}

static void statement(struct nginx *n)
{
	const char *key = word(n, 0);

	if (str_eq(key, "listen"))
		listen_on(n);
	else if (str_eq(key, "root") && !n->root[0])
		snprintf(n->root, sizeof(n->root), "%s", word(n, 1));
	else if (str_eq(key, "autoindex") && str_eq(word(n, 1), "on"))
		import_note(n->in, n->line,
		    "folders are not listed: .ign files hold the cluster's secrets");
	else if (str_eq(key, "server"))
		n->servers++;
	else if (*key && !str_eq(key, "http") && !str_eq(key, "events"))
		import_note(n->in, n->line, "\"%s%s%s\" is not carried over", key,
		    n->w.n > 1 ? " " : "", word(n, 1));
}

static void print(struct nginx *n)
{
	struct str *out = n->in->out, path = STR_INIT;

	str_addf(out,
	    "# From nginx's %s by okdctl import.\nlisten: [%s]\ninstall: ", n->in->name,
	    n->listen.len ? n->listen.s : "\":80\"");
	str_addf(&path, "%s/install", n->root);
	import_yaml_word(out, str_get(&path));
	str_reset(&path);
	str_addf(&path, "%s/ignition", n->root);
	str_addz(out, "\nignition: ");
	import_yaml_word(out, str_get(&path));
	str_addc(out, '\n');
	str_deinit(&path);
}

int import_nginx(struct import *in)
{
	_cleanup_(nginx_deinit) struct nginx n = {
		.in = in, .at = in->text, .end = in->text + in->n, .line = 1
	};

	while (next(&n)) {
		statement(&n);
		n.depth += n.terminator == '{';
		n.depth -= n.terminator == '}' && n.depth > 0;
	}
	if (!n.servers && !n.listen.len)
		return err_set(in->err, -EINVAL,
		    "%s is no nginx configuration: it has no server block", in->name);
	if (!n.root[0])
		snprintf(n.root, sizeof(n.root), "/usr/share/nginx/html");
	if (n.root[0] != '/')
		return err_set(in->err, -EINVAL,
		    "%s: root \"%s\" is no whole path, from / on", in->name, n.root);
	import_note(in, 1,
	    "okd-ignd serves the .ign files and images alone; whoever could reach "
	    "%s/ignition/auth on nginx may have the cluster's kubeconfig",
	    n.root);
	print(&n);
	return 0;
}
