/* Upgrade in place: see upgrade.h. */
#include "common/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/notify.h"

enum { FIRST_FD = 3, MAX_INHERITED = 65536, NAMED_WITHIN_MS = 10000 };

/* Set and cleared by the main thread, read by any. */
static bool shares_fds;

bool upgrade_shares_fds(void)
{
	return __atomic_load_n(&shares_fds, __ATOMIC_ACQUIRE);
}

/* The predecessor's pipe, in a successor that has not confirmed yet.  Main thread only.
 */
static int confirm_fd = -1;

extern char **environ;

int upgrade_inherited(int *first)
{
	const char *env = getenv("OKD_UPGRADE");
	struct stat st;
	int n, fd;

	*first = FIRST_FD;
	if (!env) {
		n = sd_listen_fds(1);
		return MAX(n, 0);
	}
	if (sscanf(env, "%d %d", &n, &fd) != 2 || n < 0 || n > MAX_INHERITED ||
	    fd != FIRST_FD + n || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		unsetenv("OKD_UPGRADE");
		return 0;
	}
	unsetenv("OKD_UPGRADE");
	confirm_fd = fd;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return n;
}

bool upgrade_is_successor(void)
{
	return confirm_fd >= 0;
}

int upgrade_confirm(void)
{
	if (confirm_fd < 0)
		return 0;
	struct pollfd named = { .fd = confirm_fd };

	if (write(confirm_fd, "1", 1) != 1)
		return -errno;
	/* Its end is closed once the service manager knows who the main process is. */
	while (poll(&named, 1, NAMED_WITHIN_MS) < 0 && errno == EINTR)
		;
	confirm_fd = fd_close(confirm_fd);
	return 0;
}

struct upgrade {
	struct event *ev;
	int fd, pidfd;
	pid_t pid;
	void (*done)(void *arg, bool ok, pid_t pid);
	void *arg;
};

static void end_successor(struct upgrade *u)
{
	struct pollfd end = { .fd = u->pidfd, .events = POLLIN };

	if (syscall(SYS_pidfd_send_signal, u->pidfd, SIGKILL, NULL, 0) < 0)
		return;
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;
	char byte;
	bool ok = read(fd, &byte, 1) == 1;

	event_del(u->ev);
	if (ok)
		notify_mainpid(u->pid);
	u->fd = fd_close(u->fd);
	/* One that closed its end without a word and lives on is none either. */
	if (!ok)
		end_successor(u);
	u->pidfd = fd_close(u->pidfd);
	u->done(u->arg, ok, u->pid);
}

/*
 * Descriptors from 3 on, in order.  Each source is first copied above the whole target
 * range, so that no dup2() overwrites a source that is still to come.
 */
static int plan_fds(
    posix_spawn_file_actions_t *fa, const struct sockets *s, int pipe_fd, int *copies)
{
	int n = (int)sockets_count(s), above = FIRST_FD + n + 1;

	for (int i = 0; i <= n; i++) {
		int from = i < n ? sockets_at(s, (unsigned)i) : pipe_fd;

		copies[i] = fcntl(from, F_DUPFD_CLOEXEC, above);
		if (copies[i] < 0)
			return -errno;
		if (posix_spawn_file_actions_adddup2(fa, copies[i], FIRST_FD + i) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* This process's environment with OKD_UPGRADE, without what is for this process alone.
 */
static char **make_env(char *own)
{
	size_t n = 0, kept = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "WATCHDOG_PID=", 13) != 0 &&
		    strncmp(environ[i], "LISTEN_", 7) != 0)
			env[kept++] = environ[i];
	env[kept] = own;
	return env;
}

/* How a process is started: the arguments of posix_spawn(). */
struct start {
	const char *program;
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	char *const *argv;
	char **env;
};

/* In the process between: tells the successor's number or -errno, and stays until that was
 * heard, so that the number is nobody else's meanwhile. */
static _Noreturn void start_and_exit(const struct start *st, int fd)
{
	pid_t pid = 0;
	int r = -posix_spawn(&pid, st->program, &st->fa, &st->attr, st->argv, st->env);
	char byte;

	if (r == 0)
		r = (int)pid;
	if (write(fd, &r, sizeof(r)) == sizeof(r))
		(void)!read(fd, &byte, 1);
	_exit(0);
}

/*
 * The successor is nobody's child before it is named to the service manager, and so the
 * manager's own: one that takes the main process for somebody else's child does not wait
 * for it at a stop, but kills what is still draining.
 */
static int start_orphan(struct upgrade *u, const struct start *st)
{
	int pair[2], told = -EIO, r = 0;
	pid_t between;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	__atomic_store_n(&shares_fds, true, __ATOMIC_SEQ_CST);
	between = fork();
	if (between < 0)
		r = -errno;
	if (between == 0) {
		close(pair[0]);
		start_and_exit(st, pair[1]);
	}
	close(pair[1]);
	if (r == 0 && read(pair[0], &told, sizeof(told)) != sizeof(told))
		told = -EIO;
	if (told > 0) {
		u->pid = told;
		u->pidfd = (int)syscall(SYS_pidfd_open, told, 0);
		if (u->pidfd < 0)
			r = -errno;
	}
	close(pair[0]);
	while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR)
		;
	__atomic_store_n(&shares_fds, false, __ATOMIC_RELEASE);
	return told < 0 && r == 0 ? told : r;
}

static int spawn(struct upgrade *u, const char *program, char *const argv[],
    const struct sockets *s, int pipe_fd)
{
	struct start st = { .program = program, .argv = argv };
	int n = (int)sockets_count(s), r;
	_cleanup_(freep) int *copies = malloc((size_t)(n + 1) * sizeof(int));
	_cleanup_(freep) char **env = NULL;
	char own[64];
	sigset_t none;

	snprintf(own, sizeof(own), "OKD_UPGRADE=%d %d", n, FIRST_FD + n);
	env = st.env = make_env(own);
	if (!copies || !env)
		return -ENOMEM;
	for (int i = 0; i <= n; i++)
		copies[i] = -1;
	posix_spawn_file_actions_init(&st.fa);
	posix_spawnattr_init(&st.attr);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&st.attr, &none);
	posix_spawnattr_setflags(&st.attr, POSIX_SPAWN_SETSIGMASK);
	r = plan_fds(&st.fa, s, pipe_fd, copies);
	if (r == 0)
		r = start_orphan(u, &st);
	for (int i = 0; i <= n; i++)
		fd_close(copies[i]);
	posix_spawnattr_destroy(&st.attr);
	posix_spawn_file_actions_destroy(&st.fa);
	return r;
}

int upgrade_start(struct upgrade **ret, struct loop *l, const char *program,
    char *const argv[], const struct sockets *s,
    void (*done)(void *arg, bool ok, pid_t pid), void *arg, struct err *e)
{
	_cleanup_(upgrade_freep) struct upgrade *u = calloc(1, sizeof(*u));
	_cleanup_(fd_closep) int write_end = -1;
	int p[2], r;

	if (!u)
		return err_set(e, -ENOMEM, "out of memory");
	u->fd = u->pidfd = -1;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
	u->fd = p[0];
	write_end = p[1];
	u->done = done;
	u->arg = arg;
	u->ev = event_new(loop_base(l), u->fd, EV_READ, on_answer, u);
	if (!u->ev || event_add(u->ev, NULL) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	r = spawn(u, program, argv, s, write_end);
	if (r < 0)
		return err_set(e, r, "cannot start %s: %s", program, strerror(-r));

	*ret = TAKE(u);
	return 0;
}

bool upgrade_is_pending(const struct upgrade *u)
{
	return u && u->fd >= 0;
}

pid_t upgrade_pid(const struct upgrade *u)
{
	return u->pid;
}

struct upgrade *upgrade_free(struct upgrade *u)
{
	if (!u)
		return NULL;
	if (u->ev)
		event_free(u->ev);
	fd_close(u->fd);
	fd_close(u->pidfd);
	free(u);
	return NULL;
}
