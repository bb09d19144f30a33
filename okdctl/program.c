/* Other programs: see program.h. */
#include "okdctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"

extern char **environ;

bool program_find(const char *name)
{
	const char *path = getenv("PATH");

	for (path = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *path;) {
		_cleanup_(str_deinit) struct str full = STR_INIT;
		size_t n = strcspn(path, ":");

		str_add(&full, path, n);
		str_addf(&full, "/%s", name);
		if (access(str_get(&full), X_OK) == 0)
			return true;
		path += n;
		path += *path == ':';
	}
	return false;
}

static void join(const char *const *argv, struct str *out)
{
	for (size_t i = 0; argv[i]; i++)
		str_addf(out, "%s%s", i ? " " : "", argv[i]);
}

/* Where its outputs go: descriptors of ours, -1 for where our own go. */
struct outputs {
	int out, err;
};

static int start(const char *const *argv, struct outputs to, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	if (to.out >= 0)
		r = posix_spawn_file_actions_adddup2(&fa, to.out, STDOUT_FILENO);
	if (r == 0 && to.err >= 0)
		r = posix_spawn_file_actions_adddup2(&fa, to.err, STDERR_FILENO);
	if (r == 0)
		r = posix_spawnp(pid, argv[0], &fa, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

static int finish(const char *const *argv, pid_t pid, struct err *err)
{
	_cleanup_(str_deinit) struct str command = STR_INIT;
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err_set(err, -errno, "cannot wait for %s", argv[0]);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	join(argv, &command);
	return err_set(err, -EIO, "\"%s\" ended with %d", str_get(&command),
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int cannot_run(const char *const *argv, int r, struct err *err)
{
	return r == -ENOENT
	    ? err_set(err, r, "there is no program \"%s\": install it, or look at PATH",
		  argv[0])
	    : err_set(err, r, "cannot run %s: %s", argv[0], strerror(-r));
}

static int run(const char *const *argv, struct outputs to, struct err *err)
{
	pid_t pid;
	int r = start(argv, to, &pid);

	if (r < 0)
		return cannot_run(argv, r, err);
	return finish(argv, pid, err);
}

int program_run(const char *const *argv, struct err *err)
{
	return run(argv, (struct outputs){ STDERR_FILENO, -1 }, err);
}

int program_quiet(const char *const *argv, struct err *err)
{
	_cleanup_(fd_closep) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	return run(argv, (struct outputs){ null, null }, err);
}

/* Starts the program with its output, or both outputs, on a pipe: where to read it. */
static int start_piped(const char *const *argv, bool both, pid_t *pid, struct err *err)
{
	int pipe[2], r;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	r = start(argv, (struct outputs){ pipe[1], both ? pipe[1] : -1 }, pid);
	fd_close(pipe[1]);
	if (r == 0)
		return pipe[0];
	fd_close(pipe[0]);
	return cannot_run(argv, r, err);
}

int program_output(
    const char *const *argv, size_t max, struct str *out, struct err *err)
{
	pid_t pid;
	int r, read, from = start_piped(argv, false, &pid, err);

	if (from < 0)
		return from;
	read = fd_read_all(from, max, out);
	fd_close(from);
	r = finish(argv, pid, err);
	return r < 0 || read == 0 ? r
				  : err_set(err, read, "%s printed too much", argv[0]);
}

int program_lines(const char *const *argv, void (*on_line)(void *arg, const char *line),
    void *arg, struct err *err)
{
	char line[4096];
	pid_t pid;
	int from = start_piped(argv, true, &pid, err);
	FILE *f = from < 0 ? NULL : fdopen(from, "r");

	if (from < 0)
		return from;
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\r\n")] = '\0';
		on_line(arg, line);
	}
	if (f)
		fclose(f);
	else
		fd_close(from);
	return finish(argv, pid, err);
}

int program_become(const char *const *argv, struct err *err)
{
	execvp(argv[0], (char *const *)argv);
	return cannot_run(argv, -errno, err);
}
