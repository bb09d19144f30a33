/* A set of files to be written: see files.h. */
#include "okdctl/files.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"

#define FILE_MAX ((size_t)16 << 20)

void files_deinit(struct files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].path);
		free(f->v[i].why);
		if (f->v[i].text.s)
			explicit_bzero(f->v[i].text.s, f->v[i].text.cap);
		str_deinit(&f->v[i].text);
	}
	free(f->v);
	*f = (struct files){ 0 };
}

static struct file *push(struct files *f, const char *path, struct err *err)
{
	struct file *v = reallocarray(f->v, f->n + 1, sizeof(*v));
	char *copy = strdup(path);

	if (v)
		f->v = v;
	if (!v || !copy) {
		free(copy);
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	v[f->n] = (struct file){ .path = copy };
	return &v[f->n++];
}

int files_keep(struct files *f, const char *path, const char *group, struct err *err)
{
	struct file *file = push(f, path, err);

	if (!file)
		return -ENOMEM;
	file->group = group;
	file->state = FILE_SAME;
	return 0;
}

int files_add(struct files *f, const char *path, mode_t mode, const char *group,
    struct str *text, struct err *err)
{
	_cleanup_(str_deinit) struct str old = STR_INIT;
	struct file *file = push(f, path, err);
	int r;

	if (!file || str_err(text))
		return err_set(err, -ENOMEM, "out of memory");
	file->mode = mode;
	file->group = group;
	file->text = *text;
	*text = (struct str)STR_INIT;
	r = file_read(path, FILE_MAX, &old);
	if (r == -ENOENT)
		file->state = FILE_NEW;
	else if (r < 0 && r != -EFBIG)
		return err_set(err, r, "cannot read %s: %s", path, strerror(-r));
	else if (old.len == file->text.len &&
	    memcmp(str_get(&old), str_get(&file->text), old.len) == 0)
		file->state = FILE_SAME;
	else
		file->state = FILE_DIFFERS;
	return 0;
}

size_t files_conflicts(const struct files *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->v[i].state == FILE_DIFFERS;
	return n;
}

bool files_changed(const struct files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i].state != FILE_SAME)
			return true;
	}
	return false;
}

void files_print(const struct files *f, bool done, struct str *out)
{
	static const char *const before[] = { "would write", "stays as it is",
		"is there and differs", "would renew" };
	static const char *const after[] = { "wrote", "stays as it is",
		"replaced (a copy is beside it)", "renewed (a copy is beside it)" };

	for (size_t i = 0; i < f->n; i++) {
		const struct file *x = &f->v[i];

		str_addf(out, "  %-40s %s%s%s\n", x->path,
		    (done ? after : before)[x->state], x->why ? ": it " : "",
		    x->why ? x->why : "");
	}
}

json_t *files_json(const struct files *f)
{
	static const char *const states[] = { "new", "same", "differs", "renewed" };
	json_t *list = json_array();

	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(list,
		    json_pack("{ssss}", "path", f->v[i].path, "state",
			states[f->v[i].state]));
	return list;
}

/* Two names beside a file's own: of what it is to become, and of what it was. */
static void beside(const struct file *x, const char *what, struct str *out)
{
	str_addf(out, "%s.%s", x->path, what);
}

static int backup(const struct file *file, const char *name, struct err *err)
{
	_cleanup_(str_deinit) struct str path = STR_INIT, old = STR_INIT;
	int r = file_read(file->path, FILE_MAX, &old);

	beside(file, name, &path);
	if (r == 0)
		r = file_replace(str_get(&path), file->mode & 0600, old.s, old.len);
	if (old.s)
		explicit_bzero(old.s, old.len);
	return r < 0 ? err_set(err, r, "cannot copy %s to %s: %s; nothing was replaced",
			   file->path, str_get(&path), strerror(-r))
		     : 0;
}

/* Only root can, and where the group is not there yet, sysusers was not run. */
static void give_to_group(const char *path, const char *group)
{
	const struct group *g = group ? getgrnam(group) : NULL;

	if (g && geteuid() == 0 && chown(path, 0, g->gr_gid) < 0)
		return;
}

static int stage(const struct file *x, const char *name, struct err *err)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;
	int r;

	beside(x, name, &path);
	r = file_replace(str_get(&path), x->mode, x->text.s, x->text.len);
	if (r < 0)
		return err_set(err, r, "cannot write %s: %s%s; nothing was replaced",
		    x->path, strerror(-r), r == -EACCES ? "; be root" : "");
	give_to_group(str_get(&path), x->group);
	return 0;
}

static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(str_deinit) struct str dir = STR_INIT;
	_cleanup_(fd_closep) int fd = -1;

	str_add(&dir, path, slash ? (size_t)(slash - path) + 1 : 0);
	fd = open(dir.len ? dir.s : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int settle(const struct file *x, const char *name, struct err *err)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;

	beside(x, name, &path);
	if (rename(str_get(&path), x->path) < 0 || sync_folder(x->path) < 0)
		return err_set(
		    err, -errno, "cannot write %s: %s", x->path, strerror(errno));
	return 0;
}

static void drop(const struct file *x, const char *name)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;

	beside(x, name, &path);
	unlink(str_get(&path));
}

/* All are written beside their places before the first takes its own: a disk that is full
 * is noticed while everything is as it was. */
static int write_all(
    struct files *f, const char *fresh, const char *old, struct err *err)
{
	size_t staged = 0;
	int r = 0;

	for (; r == 0 && staged < f->n; staged++) {
		const struct file *x = &f->v[staged];

		if (x->state == FILE_DIFFERS || x->state == FILE_RENEWED)
			r = backup(x, old, err);
		if (r == 0 && x->state != FILE_SAME)
			r = stage(x, fresh, err);
	}
	for (size_t i = 0; r < 0 && i < staged; i++)
		drop(&f->v[i], old);
	for (size_t i = 0; r == 0 && i < f->n; i++)
		if (f->v[i].state != FILE_SAME)
			r = settle(&f->v[i], fresh, err);
	for (size_t i = 0; r < 0 && i < staged; i++)
		drop(&f->v[i], fresh);
	return r;
}

/* Is there a copy of that name? */
static bool is_taken(const struct files *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		_cleanup_(str_deinit) struct str path = STR_INIT;
		struct stat st;

		beside(&f->v[i], name, &path);
		if (lstat(str_get(&path), &st) == 0)
			return true;
	}
	return false;
}

/* "bak-20200714T153706Z", and "-2" and so on behind it within the same second: a copy that
 * is there may be the only one of what a person wrote. */
static void name_copies(const struct files *f, char name[40])
{
	time_t now = time(NULL);
	char stamp[24];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(name, 40, "bak-%s", stamp);
	for (unsigned i = 2; is_taken(f, name); i++)
		snprintf(name, 40, "bak-%s-%u", stamp, i);
}

int files_write(struct files *f, struct err *err)
{
	char fresh[40], old[40];
	sigset_t end, before;
	int r;

	snprintf(fresh, sizeof(fresh), "new-%ld", (long)getpid());
	name_copies(f, old);
	/* Ctrl-C waits until it is all there. */
	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGHUP);
	sigprocmask(SIG_BLOCK, &end, &before);
	r = write_all(f, fresh, old, err);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

void files_give(const struct files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct stat st;

		/* Another group than root's is somebody's decision. */
		if (f->v[i].group && stat(f->v[i].path, &st) == 0 && st.st_gid == 0)
			give_to_group(f->v[i].path, f->v[i].group);
	}
}
