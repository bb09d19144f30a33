/* okdctl upgrade: every daemon hands its sockets to the program that is installed, and
 * connections live on. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/admin_call.h"
#include "okdctl/okdctl.h"
#include "okdctl/out.h"

#define READY_MS 30000
#define POLL_MS 50

/* One daemon on its way: who it was, and what it said before. */
struct upgraded {
	enum bastion_daemon daemon;
	pid_t pid;
	char version[32], error[256];
	json_t *result; /* for --json */
};

/* The name of a process, as the kernel has it. */
static void process_name(pid_t pid, char ret[32])
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	ret[0] = '\0';
	if (file_read(path, 31, &text) == 0)
		snprintf(ret, 32, "%.*s", (int)strcspn(str_get(&text), "\n"),
		    str_get(&text));
}

/* The process is what the daemon says of itself: it must not have root signal another. */
static int send_usr2(const struct upgraded *u)
{
	_cleanup_(fd_closep) int fd = (int)syscall(SYS_pidfd_open, u->pid, 0);
	char name[32], want[32];

	if (fd < 0)
		return errno == ESRCH ? 0 : -errno;
	snprintf(want, sizeof(want), "okd-%s", daemon_names[u->daemon]);
	process_name(u->pid, name);
	if (!str_eq(name, want))
		return -ESRCH;
	if (syscall(SYS_pidfd_send_signal, fd, SIGUSR2, NULL, 0) < 0)
		return -errno;
	return 0;
}

static void remember(struct upgraded *u, const json_t *status)
{
	u->pid = (pid_t)number_of(status, "pid");
	snprintf(u->version, sizeof(u->version), "%s", text_of(status, "version"));
	snprintf(u->error, sizeof(u->error), "%s",
	    text_of(json_object_get(status, "config"), "error"));
}

/* 1: the successor answers; 0: not yet; an exit status after a sentence, negated. */
static int look(struct cli *c, const struct upgraded *u, struct upgraded *now)
{
	struct admin_call call = { .to = u->daemon, .target = "/status" };
	_cleanup_(json_freep) json_t *v = NULL;
	int r = 0;

	admin_call_all(c, &call, 1, ADMIN_TIMEOUT_MS);
	if (call.result == 200 &&
	    json_load_limited(
		&v, NULL, str_get(&call.reply), call.reply.len, 0, NULL) == 0)
		remember(now, v);
	admin_call_deinit(&call);
	if (!v)
		return 0; /* between the two, the socket changes hands */
	if (now->pid != u->pid)
		return 1;
	if (*now->error && !str_eq(now->error, u->error))
		r = -cli_fail(EXIT_FAILED, "okd-%s: %s; process %ld goes on",
		    daemon_names[u->daemon], now->error, (long)u->pid);
	return r;
}

static int await(struct cli *c, struct upgraded *u)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	uint64_t end = clock_boot_ms() + READY_MS;
	struct upgraded now = *u;
	int r = 0;

	while (r == 0 && clock_boot_ms() < end) {
		nanosleep(&pause, NULL);
		r = look(c, u, &now);
	}
	if (r < 0)
		return -r;
	if (r == 0)
		return cli_fail(EXIT_FAILED,
		    "okd-%s was not upgraded in %d s; process %ld goes on: see "
		    "\"journalctl -u okd-%s\"",
		    daemon_names[u->daemon], READY_MS / 1000, (long)u->pid,
		    daemon_names[u->daemon]);
	u->result = json_pack("{s:s, s:s, s:s, s:I, s:I}", "daemon",
	    daemon_names[u->daemon], "from", u->version, "to", now.version, "was",
	    (json_int_t)u->pid, "is", (json_int_t)now.pid);
	if (!c->json)
		printf("okd-%-5s %s -> %s (process %ld -> %ld)\n",
		    daemon_names[u->daemon], u->version, now.version, (long)u->pid,
		    (long)now.pid);
	fflush(stdout);
	return 0;
}

static int upgrade(struct cli *c, struct upgraded *u)
{
	const char *name = daemon_names[u->daemon];
	int r = send_usr2(u);

	if (r == -EPERM)
		return cli_fail(EXIT_PERMISSION,
		    "no permission to signal okd-%s, process %ld; be root", name,
		    (long)u->pid);
	if (r < 0)
		return cli_fail(EXIT_FAILED,
		    "okd-%s says that it is process %ld, which it is not; nothing was "
		    "sent: look at it with \"systemctl status okd-%s\"",
		    name, (long)u->pid, name);
	return await(c, u);
}

/* One after the other: whatever is wrong with the installed programs shows at the first. */
int upgrade_run(struct cli *c)
{
	_cleanup_(json_freep) json_t *results = json_array();
	enum bastion_daemon which[N_DAEMONS];
	unsigned n, done = 0;
	int r = admin_choose(c, which, &n);

	for (unsigned i = 0; r == 0 && i < n; i++) {
		struct admin_call call = { .to = which[i], .target = "/status" };
		struct upgraded u = { .daemon = which[i] };
		_cleanup_(json_freep) json_t *v = NULL;

		admin_call_all(c, &call, 1, ADMIN_TIMEOUT_MS);
		if (!c->n_args && admin_is_absent(&call)) {
			if (!c->json)
				printf(
				    "okd-%-5s does not run\n", daemon_names[which[i]]);
			admin_call_deinit(&call);
			continue;
		}
		r = admin_call_explain(c, &call);
		if (r == 0 &&
		    json_load_limited(
			&v, NULL, str_get(&call.reply), call.reply.len, 0, NULL) < 0)
			r = cli_fail(EXIT_FAILED, "okd-%s answered something odd",
			    daemon_names[which[i]]);
		admin_call_deinit(&call);
		if (r == 0) {
			remember(&u, v);
			r = upgrade(c, &u);
		}
		if (u.result)
			json_array_append_new(results, u.result);
		done += r == 0;
	}
	if (c->json && out_json(results))
		return EXIT_FAILED;
	return r || done ? r : admin_none_runs();
}
