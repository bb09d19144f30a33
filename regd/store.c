/* Blobs as files: see store.h. */
#include "regd/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"

enum { PATH_LEN = 192, READ_SIZE = 256 * 1024 };

enum { ALGS = 2, PREFIXES = 256 };

struct store {
	char *root;
	int root_fd, uploads_fd, lock_fd;
	pthread_mutex_t lock;
	struct list_link holds; /* under lock */
	/* Folders of blobs whose names are known to be durable, and whether those above
	 * them were looked at.  Atomics; by enum digest_alg. */
	bool durable[ALGS][PREFIXES], learned[ALGS];
};

/*
 * Creates a folder below dir where it is missing, durably, and opens it.  One that is
 * there may have come a moment ago, from another thread or from a process that was
 * killed, and be no more durable than one made here.
 */
static int open_dir(int dir, const char *name)
{
	int fd;

	if (mkdirat(dir, name, 0750) < 0 && errno != EEXIST)
		return -errno;
	if (fsync(dir) < 0)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int open_root(struct store *s, const char *root)
{
	int r = dir_make(root, 0750);

	if (r < 0)
		return r;
	s->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0)
		return -errno;
	s->uploads_fd = open_dir(s->root_fd, "uploads");
	if (s->uploads_fd < 0)
		return s->uploads_fd;
	s->lock_fd = openat(s->root_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (s->lock_fd < 0)
		return -errno;
	return flock(s->lock_fd, LOCK_SH) < 0 ? -errno : 0;
}

int store_new(struct store **ret, const char *root, struct err *err)
{
	_cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->root_fd = s->uploads_fd = s->lock_fd = -1;
	list_init(&s->holds);
	pthread_mutex_init(&s->lock, NULL);
	s->root = strdup(root);
	if (!s->root)
		return err_set(err, -ENOMEM, "out of memory");
	r = open_root(s, root);
	if (r < 0)
		return err_set(err, r,
		    "cannot use %s: %s; storage.root in regd.yaml names the folder",
		    root, strerror(-r));

	*ret = TAKE(s);
	return 0;
}

struct store *store_free(struct store *s)
{
	if (!s)
		return NULL;
	fd_close(s->root_fd);
	fd_close(s->uploads_fd);
	fd_close(s->lock_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->root);
	free(s);
	return NULL;
}

const char *store_root(const struct store *s)
{
	return s->root;
}

int store_alone(struct store *s)
{
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	store_share(s); /* a conversion that fails may have let go */
	return -EBUSY;
}

void store_share(struct store *s)
{
	(void)!flock(s->lock_fd, LOCK_SH);
}

/* --- sessions ------------------------------------------------------------- */

int store_upload_open(struct store *s, const char *session, bool create)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
	int fd = openat(s->uploads_fd, session, flags, 0640);

	return fd < 0 ? -errno : fd;
}

int store_upload_remove(struct store *s, const char *session)
{
	return unlinkat(s->uploads_fd, session, 0) < 0 ? -errno : 0;
}

int store_upload_size(struct store *s, const char *session, int fd, uint64_t *ret)
{
	struct stat named, st;

	if (fstatat(s->uploads_fd, session, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstat(fd, &st) < 0)
		return -errno;
	if (named.st_ino != st.st_ino || named.st_dev != st.st_dev)
		return -ENOENT;
	*ret = (uint64_t)st.st_size;
	return 0;
}

/* A wish is a lock of another kind on the same file: the holder's does not prevent it,
 * and both go with the descriptor. */
static struct flock wish(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };
}

int store_upload_lock(int fd)
{
	struct flock w = wish(F_RDLCK), none = wish(F_UNLCK);

	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return 0; /* a file system without locks */
		(void)!fcntl(fd, F_OFD_SETLK, &w);
		return -EBUSY;
	}
	(void)!fcntl(fd, F_OFD_SETLK, &none);
	return 0;
}

void store_upload_unlock(int fd)
{
	(void)!flock(fd, LOCK_UN);
}

bool store_upload_wanted(int fd)
{
	struct flock w = wish(F_WRLCK);

	return fcntl(fd, F_OFD_GETLK, &w) == 0 && w.l_type != F_UNLCK;
}

int store_upload_walk(struct store *s,
    void (*cb)(void *arg, const char *session, uint64_t size, int64_t used), void *arg)
{
	int fd = openat(s->uploads_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!dir) {
		fd_close(fd);
		return -errno;
	}
	while ((e = readdir(dir))) {
		/* Sessions, and what an import left half-way: see share().  Such a one may
		 * be a second name of a file that was written years ago, and be in use. */
		bool ours = e->d_name[0] == 'x';

		if (strlen(e->d_name) != SESSION_MAX - 1 && !ours)
			continue;
		if (fstatat(s->uploads_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			cb(arg, e->d_name, (uint64_t)st.st_size,
			    ours ? st.st_ctime : st.st_mtime);
	}
	closedir(dir);
	return 0;
}

/* --- blobs ---------------------------------------------------------------- */

void store_hold(struct store *s, struct store_hold *h, const struct oci_digest *d)
{
	h->digest = d->text;
	pthread_mutex_lock(&s->lock);
	list_append(&s->holds, &h->link);
	pthread_mutex_unlock(&s->lock);
}

void store_release(struct store *s, struct store_hold *h)
{
	pthread_mutex_lock(&s->lock);
	list_remove(&h->link);
	pthread_mutex_unlock(&s->lock);
}

static void blob_path(const struct oci_digest *d, char path[PATH_LEN])
{
	const char *hex = oci_digest_hex(d);

	snprintf(path, PATH_LEN, "blobs/%s/%.2s/%s", digest_name(d->alg), hex, hex);
}

/* Makes the names of the prefixes that are there durable, all with one sync. */
static int learn_prefixes(struct store *s, int dir, enum digest_alg alg)
{
	bool there[PREFIXES];
	char name[3];

	for (unsigned i = 0; i < PREFIXES; i++) {
		snprintf(name, sizeof(name), "%02x", i);
		there[i] = faccessat(dir, name, F_OK, 0) == 0;
	}
	if (fsync(dir) < 0)
		return -errno;
	for (unsigned i = 0; i < PREFIXES; i++)
		if (there[i])
			__atomic_store_n(&s->durable[alg][i], true, __ATOMIC_RELAXED);
	__atomic_store_n(&s->learned[alg], true, __ATOMIC_RELAXED);
	return 0;
}

static int open_alg_dir(struct store *s, enum digest_alg alg)
{
	_cleanup_(fd_closep) int blobs = -1;
	_cleanup_(fd_closep) int fd = -1;
	int r;

	blobs = open_dir(s->root_fd, "blobs");
	if (blobs < 0)
		return blobs;
	fd = open_dir(blobs, digest_name(alg));
	if (fd < 0)
		return fd;
	r = learn_prefixes(s, fd, alg);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

/* A folder below the root whose name is durable; -ENOENT also where somebody took it
 * away. */
static int open_known(struct store *s, const char *path)
{
	int fd =
	    openat(s->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* The folder a blob lies in, made where it is missing; its own name is durable. */
static int open_blob_dir(struct store *s, const struct oci_digest *d)
{
	const char *hex = oci_digest_hex(d);
	_cleanup_(fd_closep) int alg = -1;
	char path[PATH_LEN], name[3];
	uint8_t prefix;
	int fd;

	if (hex_decode(hex, 2, &prefix, 1) < 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "blobs/%s/%.2s", digest_name(d->alg), hex);
	if (__atomic_load_n(&s->durable[d->alg][prefix], __ATOMIC_RELAXED)) {
		fd = open_known(s, path);
		if (fd != -ENOENT)
			return fd;
	}
	snprintf(name, sizeof(name), "%.2s", hex);
	path[strlen(path) - strlen("/xx")] = '\0';
	alg = __atomic_load_n(&s->learned[d->alg], __ATOMIC_RELAXED)
	    ? open_known(s, path)
	    : -ENOENT;
	if (alg == -ENOENT)
		alg = open_alg_dir(s, d->alg);
	if (alg < 0)
		return alg;
	fd = open_dir(alg, name);
	if (fd >= 0)
		__atomic_store_n(&s->durable[d->alg][prefix], true, __ATOMIC_RELAXED);
	return fd;
}

int store_blob_commit(
    struct store *s, const char *session, int fd, const struct oci_digest *d)
{
	_cleanup_(fd_closep) int dir = -1;

	if (fdatasync(fd) < 0)
		return -errno;
	dir = open_blob_dir(s, d);
	if (dir < 0)
		return dir;
	if (renameat(s->uploads_fd, session, dir, oci_digest_hex(d)) < 0)
		return -errno;
	return fsync(dir) < 0 ? -errno : 0;
}

/* A part of from into a fresh session's file, sharing its blocks where the file system
 * can. */
static int copy_part(int from, int to, const struct store_part *part)
{
	off_t at = (off_t)part->offset, end = at + (off_t)part->size;

	while (at < end) {
		ssize_t n = copy_file_range(from, &at, to, NULL, (size_t)(end - at), 0);

		if (n == 0)
			return -EIO; /* it got shorter */
		if (n < 0 &&
		    (errno == EXDEV || errno == ENOSYS || errno == EINVAL ||
			errno == EOPNOTSUPP)) {
			n = sendfile(to, from, &at, (size_t)(end - at));
			if (n == 0)
				return -EIO;
		}
		if (n < 0)
			return -errno;
	}
	return 0;
}

/* Never a name of a client's session: those have no "x" in front. */
static void make_session(char session[SESSION_MAX])
{
	uint8_t b[16];

	random_bytes(b, sizeof(b));
	session[0] = 'x';
	hex_encode(b, sizeof(b), session + 1);
}

/* The part as a session of ours. */
static int copy_to_session(struct store *s, int from, const struct store_part *part,
    uint64_t reserve, const char *session)
{
	_cleanup_(fd_closep) int to = -1;
	uint64_t room;

	if (store_free_bytes(s, &room) == 0 &&
	    (room < reserve || room - reserve < part->size))
		return -ENOSPC;
	to = store_upload_open(s, session, true);
	return to < 0 ? to : copy_part(from, to, part);
}

/* The file as a session of ours that shares its bytes: 0 or -errno. */
static int share(struct store *s, const char *path, int from, const char *session)
{
	_cleanup_(fd_closep) int to = -1;
	int r;

	if (linkat(AT_FDCWD, path, s->uploads_fd, session, 0) == 0)
		return 0;
	to = store_upload_open(s, session, true);
	if (to < 0)
		return to;
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	r = -errno;
	(void)store_upload_remove(s, session);
	return r;
}

/* Verifies a session that was brought in and makes it the blob; it is gone then. */
static int seal(struct store *s, const char *session, const struct oci_digest *d)
{
	_cleanup_(fd_closep) int own = store_upload_open(s, session, false);
	struct oci_digest is = { .text = "" };
	int r = own < 0 ? own : store_digest_fd(own, d->alg, &is);

	if (r == 0 && !str_eq(is.text, d->text))
		r = -EILSEQ;
	if (r == 0)
		r = store_blob_commit(s, session, own, d);
	/* Also after a success: to rename one name of a file over another of the same
	 * file does nothing. */
	(void)store_upload_remove(s, session);
	return r;
}

int store_blob_import(struct store *s, const char *path, const struct store_part *part,
    const struct oci_digest *d, uint64_t reserve, uint64_t *size)
{
	/* Not to wait for what is no file. */
	_cleanup_(fd_closep) int from =
	    open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char session[SESSION_MAX];
	struct store_part all;
	struct stat st;
	int r = -1;

	if (from < 0 || fstat(from, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*size = part ? part->size : (uint64_t)st.st_size;
	all = (struct store_part){ .size = (uint64_t)st.st_size };
	make_session(session);
	if (!part)
		r = share(s, path, from, session);
	if (r < 0)
		r = copy_to_session(s, from, part ? part : &all, reserve, session);
	if (r == 0)
		return seal(s, session, d);
	(void)store_upload_remove(s, session);
	return r;
}

int store_blob_copy(struct store *s, int from, const struct store_part *part,
    const struct oci_digest *d)
{
	char session[SESSION_MAX];
	int r;

	make_session(session);
	r = copy_to_session(s, from, part, 0, session);
	if (r == 0)
		return seal(s, session, d);
	(void)store_upload_remove(s, session);
	return r;
}

int store_blob_open(struct store *s, const struct oci_digest *d, uint64_t *size)
{
	char path[PATH_LEN];
	struct stat st;
	int fd;

	blob_path(d, path);
	fd = openat(s->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(fd);
		return -EIO;
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

bool store_blob_has(struct store *s, const struct oci_digest *d, uint64_t size)
{
	char path[PATH_LEN];
	struct stat st;

	blob_path(d, path);
	return fstatat(s->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

int store_blob_remove(struct store *s, const struct oci_digest *d)
{
	char path[PATH_LEN];
	int r = 0;

	blob_path(d, path);
	pthread_mutex_lock(&s->lock);
	list_for_each (it, &s->holds)
		if (str_eq(CONTAINER_OF(it, struct store_hold, link)->digest, d->text))
			r = -EBUSY;
	if (r == 0 && unlinkat(s->root_fd, path, 0) < 0)
		r = -errno;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* One folder of blobs: false when cb has had enough. */
static bool walk_folder(DIR *dir, const char *alg,
    bool (*cb)(void *arg, const struct oci_digest *d, int64_t changed), void *arg)
{
	char text[DIGEST_TEXT_MAX];
	struct oci_digest d;
	struct dirent *e;
	struct stat st;

	while ((e = readdir(dir))) {
		if (snprintf(text, sizeof(text), "%s:%.128s", alg, e->d_name) < 0 ||
		    oci_digest_parse(&d, text) < 0)
			continue;
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    !cb(arg, &d, st.st_ctime))
			return false;
	}
	return true;
}

int store_blob_walk(struct store *s,
    bool (*cb)(void *arg, const struct oci_digest *d, int64_t changed), void *arg)
{
	static const char *const algs[] = { "sha256", "sha512" };
	char path[PATH_LEN];
	bool more = true;

	for (unsigned i = 0; more && i < ALGS * PREFIXES; i++) {
		int fd;
		DIR *dir;

		snprintf(path, sizeof(path), "blobs/%s/%02x", algs[i / PREFIXES],
		    i % PREFIXES);
		fd = openat(s->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		dir = fd < 0 ? NULL : fdopendir(fd);
		if (!dir) {
			fd_close(fd);
			return -errno;
		}
		more = walk_folder(dir, algs[i / PREFIXES], cb, arg);
		closedir(dir);
	}
	return 0;
}

int store_digest_fd(int fd, enum digest_alg alg, struct oci_digest *ret)
{
	const struct store_part whole = { 0, INT64_MAX };

	return store_digest_part(fd, &whole, alg, ret);
}

int store_digest_part(
    int fd, const struct store_part *part, enum digest_alg alg, struct oci_digest *ret)
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	_cleanup_(freep) char *buf = malloc(READ_SIZE);
	uint8_t bytes[DIGEST_MAX];
	uint64_t at = 0;
	ssize_t n;
	int r;

	if (!buf)
		return -ENOMEM;
	r = digest_new(&digest, alg);
	if (r < 0)
		return r;
	while ((n = pread(fd, buf, MIN((uint64_t)READ_SIZE, part->size - at),
		    (off_t)(part->offset + at))) > 0) {
		digest_update(digest, buf, (size_t)n);
		at += (uint64_t)n;
	}
	if (n < 0)
		return -errno;
	digest_final(digest, bytes);
	oci_digest_set(ret, alg, bytes);
	return 0;
}

bool store_is_read_only(struct store *s)
{
	/* Only a write tells: what statvfs() says is what the mount was asked for. */
	return futimens(s->lock_fd, NULL) < 0 && errno == EROFS;
}

int store_free_bytes(struct store *s, uint64_t *ret)
{
	struct statvfs v;

	if (fstatvfs(s->root_fd, &v) < 0)
		return -errno;
	*ret = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}
