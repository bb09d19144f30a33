/* Lines of the command line, against a process without frontends and one server. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "lbd/command.h"
#include "lbd/lbd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Commands behind each other find no more than a few of them, and each that shows all is a
 * thousand times as long as its name. */
enum { LINE_LONGEST = 256 };

/* There are no threads here, no folder, and nobody reads the log: what commands do to the
 * main thread's own state is what is looked at. */
void workers_call(struct workers *ws, void (*fn)(void *self, void *arg), void *arg)
{
}

unsigned workers_count(const struct workers *ws)
{
	return 1;
}

const char *daemon_runtime_dir(const struct daemon *d)
{
	return "/nonexistent";
}

uint64_t reqlog_dropped(struct reqlog *rl)
{
	return 0;
}

static struct lbd *make(void)
{
	static const char text[] =
	    "frontends: [{name: f, listen: [\":1\"], backend: b, source_rate: 1}]\n"
	    "backends: [{name: b, check: {type: none}, servers: [{name: s, address: "
	    "\"10.0.0.1:1\"}]}]\n";
	struct lbd *l = calloc(1, sizeof(*l));
	struct str warnings = STR_INIT;
	struct cluster *none = NULL;
	struct conf_doc *doc = NULL;
	void *conf = NULL;

	log_set_level(LOG_CRIT);
	l->draining = true; /* no checks */
	live_set_init(&l->live, 1);
	if (conf_doc_parse(&doc, "t", text, sizeof(text) - 1, NULL) < 0 ||
	    lbd_conf_load(&conf, doc, &none, &warnings, NULL) < 0 ||
	    snapshot_new(&l->snap, conf, &l->live) < 0)
		abort();
	conf_doc_free(doc);
	str_deinit(&warnings);
	return l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct lbd *l;
	struct str out = STR_INIT;
	char *line;

	if (n > LINE_LONGEST)
		return 0;
	if (!l)
		l = make();
	line = malloc(n + 1);
	if (!line)
		return 0;
	if (n)
		memcpy(line, data, n);
	line[n] = '\0';
	command_run(l, line, &out);
	str_deinit(&out);
	free(line);
	return 0;
}
