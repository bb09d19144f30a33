/* Mirroring a release: see mirror.h. */
#include "okdctl/mirror.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/cluster.h"
#include "common/json.h"
#include "okdctl/admin_call.h"
#include "okdctl/cli.h"
#include "okdctl/install.h"
#include "okdctl/install_config.h"
#include "okdctl/out.h"
#include "okdctl/program.h"
#include "okdctl/target.h"
#include "okdctl/term.h"

#define VERIFY_MS (12 * 60 * ADMIN_TIMEOUT_MS)
#define PAUSE_MAX_S 60

/* --- what oc says ------------------------------------------------------- */

static uint64_t number_at(const char *s)
{
	uint64_t n = 0;

	for (; *s >= '0' && *s <= '9' && n < 1000000; s++)
		n = 10 * n + (uint64_t)(*s - '0');
	return n;
}

/* "sha256:<64 digits> REGISTRY/NAME:TAG", and nothing behind it. */
static bool is_arrival(const char *line)
{
	const char *hex = line + strlen("sha256:");

	return str_starts(line, "sha256:") && strspn(hex, "0123456789abcdef") == 64 &&
	    hex[64] == ' ' && hex[65] && !strpbrk(hex + 65, " \t");
}

static enum mirror_line take_phase(struct mirror_progress *p, const char *line)
{
	const char *at = strstr(line, " manifests=");

	if (!at)
		return MIRROR_NOISE;
	p->total = (p->planned ? p->total : 0) + number_at(at + strlen(" manifests="));
	p->planned = true;
	return MIRROR_PROGRESS;
}

enum mirror_line mirror_take(struct mirror_progress *p, const char *line)
{
	static const char *const noise[] = { "uploading: ", "mounted: ", "phase ",
		"sha256:" };

	if (is_arrival(line)) {
		p->done++;
		if (p->total && p->done > p->total)
			p->done = p->total; /* an image with two tags comes twice */
		return MIRROR_PROGRESS;
	}
	if (str_starts(line, "info: Mirroring ") &&
	    number_at(line + strlen("info: Mirroring ")) && !p->planned) {
		p->total = number_at(line + strlen("info: Mirroring "));
		return MIRROR_PROGRESS;
	}
	if (line[0] == ' ')
		return take_phase(p, line);
	for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
		if (str_starts(line, noise[i]))
			return MIRROR_NOISE;
	/* "registry.okd.example.com:5000/" heads the plan. */
	return !*line || (str_ends(line, "/") && !strchr(line, ' ')) ? MIRROR_NOISE
								     : MIRROR_MESSAGE;
}

/* --- shown -------------------------------------------------------------- */

struct mirror {
	struct cli *cli;
	const char *release;
	struct str registry, secret, from, to, image;
	struct mirror_progress progress;
	uint64_t told; /* tenths that were told where there is no terminal */
	bool terminal, drawn;
	json_t *found; /* okd-regd's answer: how much is there */
};

static void mirror_deinit(struct mirror *m)
{
	str_deinit(&m->registry);
	str_deinit(&m->secret);
	str_deinit(&m->from);
	str_deinit(&m->to);
	str_deinit(&m->image);
	json_freep(&m->found);
}

/* In place on a terminal, a line for each tenth elsewhere. */
static void show_progress(struct mirror *m)
{
	const struct mirror_progress *p = &m->progress;
	uint64_t tenth = p->total ? 10 * p->done / p->total : 0;

	if (!p->total || (!m->terminal && tenth <= m->told))
		return;
	m->told = tenth;
	m->drawn = m->terminal;
	fprintf(stderr, "%s%llu of %llu images%s", m->terminal ? "\r\033[K" : "",
	    (unsigned long long)p->done, (unsigned long long)p->total,
	    m->terminal ? "" : "\n");
}

static void end_progress(struct mirror *m)
{
	if (m->drawn)
		fputc('\n', stderr);
	m->drawn = false;
}

static void on_line(void *arg, const char *line)
{
	struct mirror *m = arg;
	_cleanup_(str_deinit) struct str clean = STR_INIT;

	switch (mirror_take(&m->progress, line)) {
	case MIRROR_PROGRESS:
		show_progress(m);
		break;
	case MIRROR_MESSAGE:
		end_progress(m);
		str_addz(&clean, line);
		if (clean.s)
			term_clean(clean.s);
		fprintf(stderr, "oc: %s\n", str_get(&clean));
		break;
	case MIRROR_NOISE:
		break;
	}
}

/* --- the command -------------------------------------------------------- */

/* How much of the release is there; complete tells whether it is all. */
static int verify(struct mirror *m, bool *complete)
{
	_cleanup_(str_deinit) struct str target = STR_INIT;
	_cleanup_(admin_call_deinit) struct admin_call call = { .to = REGD };
	int status;

	str_addz(&target, "/v1/verify-release");
	target_add(&target, "repository", install_config_repository(m->release));
	target_add(&target, "reference", m->release);
	call.target = str_get(&target);
	admin_call_all(m->cli, &call, 1, VERIFY_MS);
	status = admin_call_explain(m->cli, &call);
	json_freep(&m->found);
	m->found = NULL;
	if (status == 0 &&
	    json_load_limited(
		&m->found, NULL, str_get(&call.reply), call.reply.len, 0, NULL) < 0)
		status = cli_fail(EXIT_FAILED, "okd-regd answered something odd");
	*complete = json_is_true(json_object_get(m->found, "complete"));
	if (status == 0)
		fprintf(stderr, "%lld of %lld images are mirrored\n",
		    (long long)number_of(m->found, "present"),
		    (long long)number_of(m->found, "images"));
	return status;
}

/* Once: oc, and what okd-regd says of the result.  0, an exit status, or -EAGAIN with
 * the reason why it is worth another try. */
static int attempt(struct mirror *m, struct err *why)
{
	const char *argv[] = { "oc", "adm", "release", "mirror", "-a",
		str_get(&m->secret), str_get(&m->from), str_get(&m->to),
		str_get(&m->image), NULL };
	bool complete;
	int r;

	m->progress = (struct mirror_progress){ 0 };
	m->told = 0;
	r = program_lines(argv, on_line, m, why);
	end_progress(m);
	if (r < 0)
		return -EAGAIN;
	r = verify(m, &complete);
	return r || complete
	    ? r
	    : err_set(why, -EAGAIN, "oc is content, but images are missing");
}

/* oc retries next to nothing by itself; what is there already is skipped the next time. */
static int repeat(struct mirror *m, unsigned attempts, unsigned *tried)
{
	struct timespec pause = { .tv_sec = 1 };
	bool complete;

	for (*tried = 1;; ++*tried) {
		struct err why = ERR_INIT;
		int r = attempt(m, &why);

		if (r != -EAGAIN)
			return r;
		fprintf(
		    stderr, "attempt %u of %u: %s\n", *tried, attempts, err_str(&why));
		if (*tried == attempts)
			break;
		nanosleep(&pause, NULL);
		pause.tv_sec = MIN(2 * pause.tv_sec, PAUSE_MAX_S);
	}
	if (!m->found)
		(void)!verify(m, &complete);
	return cli_fail(EXIT_FAILED,
	    "the release is not complete; run this again: what is there is not copied "
	    "twice");
}

static int report(struct mirror *m, unsigned tried, int status)
{
	_cleanup_(json_freep) json_t *out = json_object();

	if (!m->cli->json) {
		if (status == 0)
			printf("%s is mirrored to %s\n", m->release,
			    m->image.s + strlen("--to-release-image="));
		return status;
	}
	if (m->found)
		json_object_update(out, m->found);
	json_object_set_new(out, "release", json_string(m->release));
	json_object_set_new(out, "attempts", json_integer(tried));
	json_object_set_new(out, "complete", json_boolean(status == 0));
	return out_json(out) ? EXIT_FAILED : status;
}

int mirror_run(struct cli *c)
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	_cleanup_(mirror_deinit) struct mirror m = {
		.cli = c, .release = c->args[0], .terminal = isatty(STDERR_FILENO)
	};
	const char *from = cli_get(c, "from"), *text = cli_get(c, "attempts");
	uint64_t attempts = 5;
	unsigned tried;
	int r;

	if (text && (str_to_u64(text, 100, &attempts) < 0 || attempts == 0))
		return cli_fail(EXIT_USAGE, "--attempts is a number from 1 to 100");
	if (!program_find("oc"))
		return cli_fail(EXIT_FAILED,
		    "there is no program \"oc\"; unpack openshift-client to "
		    "/usr/local/bin");
	r = cli_cluster(c, &cluster);
	if (r)
		return r;
	install_config_registry(cluster, &m.registry);
	cli_etc_path(c, "pull-secret.json", &m.secret);
	str_addf(&m.from, "--from=%s:%s",
	    from ? from : install_config_source(m.release), m.release);
	str_addf(&m.to, "--to=%s/%s", str_get(&m.registry),
	    install_config_repository(m.release));
	str_addf(&m.image, "--to-release-image=%s:%s", str_get(&m.to) + strlen("--to="),
	    m.release);
	if (str_err(&m.image))
		return cli_fail(EXIT_FAILED, "out of memory");
	r = repeat(&m, (unsigned)attempts, &tried);
	return report(&m, tried, r);
}
