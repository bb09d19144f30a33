/*
 * Runs a fuzz target over kept inputs where libFuzzer is not there: each argument is a
 * file or a folder of files.  Each input lies in a heap block of exactly its size, so
 * that a sanitizer sees the first byte read beyond it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned inputs;

static _Noreturn void fail(const char *path, const char *what)
{
	fprintf(stderr, "%s: %s\n", path, what);
	exit(2);
}

static void replay_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t r;

	if (fd < 0 || (!data && size))
		fail(path, strerror(errno));
	while (n < size) {
		r = read(fd, data + n, size - n);
		if (r <= 0)
			fail(path, r ? strerror(errno) : "is shorter than it said");
		n += (size_t)r;
	}
	close(fd);
	if (LLVMFuzzerTestOneInput(data, n) != 0)
		fail(path, "the target did not return 0");
	free(data);
	inputs++;
}

static void replay(const char *path);

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void replay_folder(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, not_hidden, alphasort);
	char *sub;

	if (n < 0)
		fail(path, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (asprintf(&sub, "%s/%s", path, entries[i]->d_name) < 0)
			fail(path, "out of memory");
		replay(sub);
		free(sub);
		free(entries[i]);
	}
	free(entries);
}

/* REPLAY_TRACE names each input before it runs, to find the one that kills the target.
 */
static void replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		fail(path, strerror(errno));
	if (S_ISDIR(st.st_mode)) {
		replay_folder(path);
		return;
	}
	if (getenv("REPLAY_TRACE"))
		fprintf(stderr, "%s\n", path);
	replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%u inputs\n", inputs);
	return inputs ? 0 : 2;
}
