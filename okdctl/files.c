/* A set of files to be written: see files.h. */
#include "okdctl/files.h"

#include <errno.h>
#include <grp.h>
#include <time.h>
#include <sys/stat.h>
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

static int backup(const struct file *file, struct err *err)
{
	_cleanup_(str_deinit) struct str path = STR_INIT, old = STR_INIT;
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32];
	int r = file_read(file->path, FILE_MAX, &old);

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	str_addf(&path, "%s.bak-%s", file->path, stamp);
	if (r == 0)
		r = file_replace(str_get(&path), file->mode & 0600, old.s, old.len);
	if (old.s)
		explicit_bzero(old.s, old.len);
	return r < 0 ? err_set(err, r, "cannot copy %s to %s: %s; nothing was replaced",
			   file->path, str_get(&path), strerror(-r))
		     : 0;
}

/* Only root can, and where the group is not there yet, sysusers was not run. */
static void give_to_group(const struct file *file)
{
	const struct group *g = file->group ? getgrnam(file->group) : NULL;

	if (g && geteuid() == 0 && chown(file->path, 0, g->gr_gid) < 0)
		return;
}

int files_write(struct files *f, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < f->n; i++) {
		struct file *x = &f->v[i];

		if (x->state == FILE_SAME)
			continue;
		if (x->state != FILE_NEW)
			r = backup(x, err);
		if (r < 0)
			return r;
		r = file_replace(x->path, x->mode, x->text.s, x->text.len);
		if (r < 0)
			return err_set(err, r, "cannot write %s: %s%s", x->path,
			    strerror(-r), r == -EACCES ? "; be root" : "");
		give_to_group(x);
	}
	return 0;
}

void files_give(const struct files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct stat st;

		/* Another group than root's is somebody's decision. */
		if (f->v[i].group && stat(f->v[i].path, &st) == 0 && st.st_gid == 0)
			give_to_group(&f->v[i]);
	}
}
