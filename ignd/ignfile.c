/* Judged .ign files: see ignfile.h. */
#include "ignd/ignfile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "ignd/file.h"

/* A cluster has three; the rest are where unknown_nodes: all lets others be. */
enum { KEPT = 16 };

struct entry {
	struct ignfile file; /* name NULL: free */
	struct stat st;
};

struct ignfiles {
	struct root root;
	struct entry entries[KEPT];
	unsigned next; /* the one to give up next */
};

int ignfiles_new(struct ignfiles **ret, const char *dir)
{
	_cleanup_(ignfiles_freep) struct ignfiles *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	r = root_init(&f->root, dir);
	if (r < 0)
		return r;
	*ret = TAKE(f);
	return 0;
}

static void entry_clear(struct entry *en)
{
	free(en->file.name);
	ignition_free(en->file.ign);
	str_deinit(&en->file.text);
	*en = (struct entry){ 0 };
}

struct ignfiles *ignfiles_free(struct ignfiles *f)
{
	if (!f)
		return NULL;
	for (unsigned i = 0; i < KEPT; i++)
		entry_clear(&f->entries[i]);
	root_deinit(&f->root);
	free(f);
	return NULL;
}

static struct entry *find(struct ignfiles *f, const char *name)
{
	for (unsigned i = 0; i < KEPT; i++)
		if (f->entries[i].file.name && str_eq(f->entries[i].file.name, name))
			return &f->entries[i];
	return NULL;
}

static int load(
    struct ignfiles *f, struct entry *en, const char *name, int fd, struct stat *st)
{
	struct ignfile *file = &en->file;
	int r;

	entry_clear(en);
	file->name = strdup(name);
	if (!file->name)
		return -ENOMEM;
	en->st = *st;
	r = file_read_still(fd, &en->st, IGNITION_MAX, &file->text);
	if (r == 0)
		r = ignition_parse(
		    &file->ign, name, str_get(&file->text), file->text.len, &file->err);
	else if (r == -EFBIG)
		err_at(&file->err, r, name, 0, 0, "it is too large");
	else
		entry_clear(en);
	return r == -ENOMEM || !file->name ? r : 0;
}

int ignfiles_open(struct ignfiles *f, const char *name, const struct ignfile **ret)
{
	struct entry *en = find(f, name);
	struct stat st;
	int r, fd = root_open(&f->root, name, &st);

	if (fd < 0)
		return fd;
	if (!en || !stat_same(&en->st, &st)) {
		if (!en)
			en = &f->entries[f->next++ % KEPT];
		r = load(f, en, name, fd, &st);
		if (r < 0) {
			entry_clear(en);
			fd_close(fd);
			return r;
		}
	}
	*ret = &en->file;
	return fd;
}
