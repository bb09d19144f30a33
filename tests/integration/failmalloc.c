/* Preloaded by test_faults.py: the FAIL_AT-th allocation of the process fails, and with
 * FAIL_EVERY each one that many later; and every one as long as there is a file FAIL_WHILE. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static long at = -1, every, count;
static const char *while_file;

__attribute__((constructor)) static void begin(void)
{
	const char *a = getenv("FAIL_AT"), *e = getenv("FAIL_EVERY");

	every = e ? atol(e) : 0;
	at = a ? atol(a) : -1;
	while_file = getenv("FAIL_WHILE");
}

static int fails(void)
{
	int saved = errno;
	long n;

	if (while_file && access(while_file, F_OK) == 0) {
		errno = ENOMEM;
		return 1;
	}
	errno = saved;
	if (at < 0)
		return 0;
	n = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
	if (n != at && (n < at || !every || (n - at) % every != 0))
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
