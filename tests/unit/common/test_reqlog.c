/* The request log: whole lines in order, drops counted, nothing lost at the end. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/reqlog.h"

enum { LINES = 20000 };

struct producer {
	struct reqlog_ring *ring;
	char name;
	unsigned dropped;
};

static void *produce(void *arg)
{
	struct producer *p = arg;

	for (unsigned i = 0; i < LINES; i++) {
		char *to = reqlog_reserve(p->ring, 64);

		if (!to) {
			p->dropped++;
			continue;
		}
		reqlog_commit(p->ring, (size_t)snprintf(to, 64, "%c %u\n", p->name, i));
	}
	return NULL;
}

/* Every line is whole, and numbers of one producer only grow; returns how many. */
static unsigned count_lines(const char *text, char name)
{
	unsigned n = 0, number;
	long last = -1;
	char who, end;

	for (const char *p = text; *p; p = strchr(p, '\n') + 1) {
		CHECK(sscanf(p, "%c %u%c", &who, &number, &end) == 3 && end == '\n');
		if (who != name)
			continue;
		CHECK((long)number > last);
		last = number;
		n++;
	}
	return n;
}

TEST(two_producers_lose_nothing_uncounted)
{
	char path[] = "/tmp/okd-reqlog-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC | O_APPEND);
	struct producer p[2] = { { NULL, 'a', 0 }, { NULL, 'b', 0 } };
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct reqlog *rl;
	pthread_t t[2];

	CHECK(reqlog_new(&rl, fd) == 0);
	for (int i = 0; i < 2; i++) {
		CHECK(reqlog_ring_new(&p[i].ring, rl, 1 << 16) == 0);
		CHECK(pthread_create(&t[i], NULL, produce, &p[i]) == 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK(reqlog_dropped(rl) == p[0].dropped + p[1].dropped);
	rl = reqlog_free(rl);
	CHECK(file_read(path, 1 << 22, &text) == 0);
	CHECK(count_lines(str_get(&text), 'a') == LINES - p[0].dropped);
	CHECK(count_lines(str_get(&text), 'b') == LINES - p[1].dropped);
	close(fd);
	unlink(path);
}

/* A reader that has stopped costs lines, never time. */
TEST(a_stuck_reader_drops_and_counts)
{
	struct reqlog_ring *ring;
	struct reqlog *rl;
	unsigned dropped = 0;
	int p[2];

	CHECK(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(reqlog_new(&rl, p[1]) == 0);
	CHECK(reqlog_ring_new(&ring, rl, 4096) == 0);
	for (unsigned i = 0; i < 10000; i++) {
		char *to = reqlog_reserve(ring, 64);

		if (to)
			reqlog_commit(ring, (size_t)snprintf(to, 64, "%060u\n", i));
		else
			dropped++;
	}
	CHECK(dropped > 0);
	CHECK(reqlog_dropped(rl) == dropped);
	close(p[0]); /* EPIPE ends the writer's wait */
	rl = reqlog_free(rl);
	close(p[1]);
}

TEST(entries_of_the_journal_are_sent_one_by_one)
{
	char dir[] = "/tmp/okd-reqlog-XXXXXX", got[256];
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct reqlog_ring *ring;
	struct reqlog *rl;

	CHECK(mkdtemp(dir));
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/j", dir);
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	CHECK(reqlog_new(&rl, STDERR_FILENO) == 0);
	CHECK(reqlog_to_journal(rl, at.sun_path) == 0);
	CHECK(reqlog_ring_new(&ring, rl, 4096) == 0);
	for (unsigned i = 0; i < 500; i++) {
		char want[64], *to;
		int n = snprintf(want, sizeof(want), "MESSAGE=%u\nA=b\n", i);

		/* The ring wraps many times; each entry is read before the next. */
		to = reqlog_reserve(ring, 64);
		CHECK(to);
		reqlog_commit(ring, (size_t)sprintf(to, "%s\n", want));
		CHECK(recv(fd, got, sizeof(got), 0) == n &&
		    memcmp(got, want, (size_t)n) == 0);
	}
	/* Nobody listens any more: lost, and counted. */
	close(fd);
	unlink(at.sun_path);
	memcpy(reqlog_reserve(ring, 64), "A=1\n\nA=2\n\n", 10);
	reqlog_commit(ring, 10);
	while (reqlog_dropped(rl) < 2)
		;
	CHECK(reqlog_dropped(rl) == 2);
	rl = reqlog_free(rl);
	rmdir(dir);
}
