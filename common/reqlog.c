/*
 * The request log.  A ring is a byte buffer between one producer and the writer: head
 * and tail count bytes since the start and only ever grow, so head - tail is what
 * waits.  A line never wraps: where it would, the rest of the buffer is filled by a
 * skip mark, which is a zero byte that no line begins with.
 */
#include "common/reqlog.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/metrics.h"

enum { GATHER_MS = 10, ENTRIES = 64 };

struct reqlog_ring {
	struct reqlog_ring *next;
	struct reqlog *log;
	size_t size; /* a power of two */
	size_t skip; /* the producer's alone: bytes to skip before the reserved line */
	struct counter dropped;
	/* The producer writes head, the writer tail; each on a cache line of its own.
	 */
	uint64_t head __attribute__((aligned(64)));
	uint64_t tail __attribute__((aligned(64)));
	char data[];
};

struct reqlog {
	int fd, wake;
	int journal; /* a socket to it, or -1 */
	struct sockaddr_un journal_at;
	struct counter unsent;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* the list of rings */
	struct reqlog_ring *rings;
	int asleep; /* shared: the writer waits for a wake-up */
	int stop;   /* shared */
};

static void write_some(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		struct pollfd pfd = { .fd = fd, .events = POLLOUT };

		if (done < 0 && errno == EAGAIN && poll(&pfd, 1, 1000) > 0)
			continue;
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return; /* nobody reads the log: its lines are lost */
		p += done;
		n -= (size_t)done;
	}
}

/* Named with each entry, so that a journal that was restarted is found again. */
static void send_entries(struct reqlog *rl, struct mmsghdr *m, unsigned n)
{
	unsigned done = 0;

	while (done < n) {
		int r = sendmmsg(rl->journal, m + done, n - done, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			counter_add(&rl->unsent, 1);
		done += r > 0 ? (unsigned)r : 1;
	}
}

static void write_entries(struct reqlog *rl, char *p, size_t n)
{
	struct mmsghdr m[ENTRIES] = { 0 };
	struct iovec iov[ENTRIES];
	unsigned k = 0;
	char *end;

	while (n > 0 && (end = memmem(p, n, "\n\n", 2))) {
		size_t len = (size_t)(end - p);

		iov[k] = (struct iovec){ p, len + 1 };
		m[k].msg_hdr = (struct msghdr){ .msg_name = &rl->journal_at,
			.msg_namelen = sizeof(rl->journal_at),
			.msg_iov = &iov[k],
			.msg_iovlen = 1 };
		if (++k == ENTRIES) {
			send_entries(rl, m, k);
			k = 0;
		}
		p = end + 2;
		n -= len + 2;
	}
	send_entries(rl, m, k);
}

static void write_out(struct reqlog *rl, char *p, size_t n)
{
	if (rl->journal >= 0)
		write_entries(rl, p, n);
	else
		write_some(rl->fd, p, n);
}

/* Writes what one ring holds; true when there was anything. */
static bool drain_ring(struct reqlog *rl, struct reqlog_ring *r)
{
	uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE), tail = r->tail;

	if (head == tail)
		return false;
	while (tail < head) {
		size_t at = tail & (r->size - 1);
		size_t n = MIN((size_t)(head - tail), r->size - at);
		const char *mark = memchr(r->data + at, '\0', n);

		write_out(rl, r->data + at, mark ? (size_t)(mark - r->data) - at : n);
		tail += n;
	}
	__atomic_store_n(&r->tail, tail, __ATOMIC_RELEASE);
	return true;
}

static bool drain_all(struct reqlog *rl)
{
	struct reqlog_ring *r;
	bool any = false;

	pthread_mutex_lock(&rl->lock);
	r = rl->rings;
	pthread_mutex_unlock(&rl->lock);
	for (; r; r = r->next)
		any |= drain_ring(rl, r);
	return any;
}

static void *writer_main(void *arg)
{
	struct reqlog *rl = arg;
	struct pollfd pfd = { .fd = rl->wake, .events = POLLIN };
	uint64_t n;

	pthread_setname_np(pthread_self(), "request-log");
	while (!__atomic_load_n(&rl->stop, __ATOMIC_ACQUIRE)) {
		if (drain_all(rl)) {
			poll(NULL, 0, GATHER_MS);
			continue;
		}
		__atomic_store_n(&rl->asleep, 1, __ATOMIC_SEQ_CST);
		/* A line committed before the flag was seen is found here. */
		if (!drain_all(rl))
			poll(&pfd, 1, -1);
		__atomic_store_n(&rl->asleep, 0, __ATOMIC_SEQ_CST);
		(void)!read(rl->wake, &n, sizeof(n));
	}
	drain_all(rl);
	return NULL;
}

static void wake(struct reqlog *rl)
{
	uint64_t one = 1;

	(void)!write(rl->wake, &one, sizeof(one));
}

int reqlog_new(struct reqlog **ret, int fd)
{
	_cleanup_(reqlog_freep) struct reqlog *rl = calloc(1, sizeof(*rl));
	sigset_t all, old;
	int r;

	if (!rl)
		return -ENOMEM;
	pthread_mutex_init(&rl->lock, NULL);
	rl->fd = fd;
	rl->journal = -1;
	rl->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rl->wake < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&rl->thread, NULL, writer_main, rl);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;
	rl->running = true;

	*ret = TAKE(rl);
	return 0;
}

struct reqlog *reqlog_free(struct reqlog *rl)
{
	struct reqlog_ring *r;

	if (!rl)
		return NULL;
	if (rl->running) {
		__atomic_store_n(&rl->stop, 1, __ATOMIC_RELEASE);
		wake(rl);
		pthread_join(rl->thread, NULL);
	}
	while ((r = rl->rings)) {
		rl->rings = r->next;
		free(r);
	}
	fd_close(rl->wake);
	fd_close(rl->journal);
	pthread_mutex_destroy(&rl->lock);
	free(rl);
	return NULL;
}

int reqlog_to_journal(struct reqlog *rl, const char *path)
{
	rl->journal_at.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(rl->journal_at.sun_path))
		return -ENAMETOOLONG;
	strcpy(rl->journal_at.sun_path, path);
	rl->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return rl->journal < 0 ? -errno : 0;
}

int reqlog_ring_new(struct reqlog_ring **ret, struct reqlog *rl, size_t size)
{
	struct reqlog_ring *r;
	size_t n = 4096;

	while (n < size)
		n *= 2;
	if (posix_memalign((void **)&r, 64, sizeof(*r) + n) != 0)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->log = rl;
	r->size = n;
	pthread_mutex_lock(&rl->lock);
	r->next = rl->rings;
	rl->rings = r;
	pthread_mutex_unlock(&rl->lock);
	*ret = r;
	return 0;
}

char *reqlog_reserve(struct reqlog_ring *r, size_t n)
{
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	size_t at = r->head & (r->size - 1), left = r->size - at;

	r->skip = n > left ? left : 0;
	if (n + r->skip > r->size - (size_t)(r->head - tail)) {
		counter_add(&r->dropped, 1);
		return NULL;
	}
	return r->data + (r->skip ? 0 : at);
}

void reqlog_commit(struct reqlog_ring *r, size_t n)
{
	if (r->skip)
		r->data[r->head & (r->size - 1)] = '\0';
	__atomic_store_n(&r->head, r->head + r->skip + n, __ATOMIC_SEQ_CST);
	r->skip = 0;
	if (__atomic_load_n(&r->log->asleep, __ATOMIC_SEQ_CST))
		wake(r->log);
}

uint64_t reqlog_dropped(struct reqlog *rl)
{
	uint64_t n = counter_get(&rl->unsent);

	pthread_mutex_lock(&rl->lock);
	for (struct reqlog_ring *r = rl->rings; r; r = r->next)
		n += counter_get(&r->dropped);
	pthread_mutex_unlock(&rl->lock);
	return n;
}
