/* Listening sockets: see sockets.h. */
#include "common/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/notify.h"
#include "common/str.h"

struct bound {
	int fd, type;
	struct net_endpoint at; /* unused for Unix sockets */
	char *path;             /* Unix sockets only */
	bool used;              /* asked for since begin */
	bool fresh;             /* bound since begin */
	bool dead;              /* something has shut it down */
	unsigned index;         /* among the sockets of its type and address */
};

struct sockets {
	struct bound *b;
	unsigned n;
	bool handed_over;
};

static struct bound *append(struct sockets *s)
{
	struct bound *b = realloc(s->b, (s->n + 1) * sizeof(*b));

	if (!b)
		return NULL;
	s->b = b;
	b = &s->b[s->n++];
	*b = (struct bound){ .fd = -1 };
	return b;
}

/* The socket's name in the service manager's store: a colon is not allowed there. */
static void store_name(const struct bound *b, char *buf, size_t n)
{
	snprintf(buf, n, "%s-%s-%u", b->type == SOCK_DGRAM ? "udp" : "tcp",
	    net_endpoint_str(&b->at), b->index);
	for (char *p = buf; *p; p++)
		if (*p == ':')
			*p = '.';
}

static void drop(struct sockets *s, unsigned i)
{
	struct bound *b = &s->b[i];

	fd_close(b->fd);
	if (b->path && !s->handed_over && !b->dead)
		unlink(b->path);
	free(b->path);
	s->b[i] = s->b[--s->n];
}

/* Fills type and address from the socket itself; -EINVAL when it is no bound socket. */
static int identify(struct bound *b)
{
	union {
		union net_sockaddr net;
		struct sockaddr_un un;
	} sa;
	socklen_t len = sizeof(sa), type_len = sizeof(b->type);

	if (getsockopt(b->fd, SOL_SOCKET, SO_TYPE, &b->type, &type_len) < 0 ||
	    getsockname(b->fd, &sa.net.sa, &len) < 0)
		return -EINVAL;
	if (sa.net.sa.sa_family == AF_UNIX) {
		if (len <= offsetof(struct sockaddr_un, sun_path) || !sa.un.sun_path[0])
			return -EINVAL;
		b->path = strdup(sa.un.sun_path);
		return b->path ? 0 : -ENOMEM;
	}
	b->at.ip = net_ip_from_sa(&sa.net.sa, &b->at.port);
	if (!b->at.ip.family || !b->at.port)
		return -EINVAL;
	return 0;
}

int sockets_new(struct sockets **ret, int first, int n)
{
	_cleanup_(sockets_freep) struct sockets *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	for (int fd = first; fd < first + n; fd++) {
		struct bound *b = append(s);

		if (!b)
			return -ENOMEM;
		b->fd = fd;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		if (identify(b) < 0)
			drop(s, s->n - 1);
	}
	*ret = TAKE(s);
	return 0;
}

struct sockets *sockets_free(struct sockets *s)
{
	if (!s)
		return NULL;
	while (s->n)
		drop(s, s->n - 1);
	free(s->b);
	free(s);
	return NULL;
}

/* A listener that does not listen, or a UDP socket that does not receive, any more. */
static bool is_dead(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLNVAL));
}

void sockets_begin(struct sockets *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		s->b[i].used = s->b[i].fresh = false;
		s->b[i].dead = is_dead(s->b[i].fd);
	}
}

/* Unix sockets are not stored: a stop removes their file, and with it their use. */
void sockets_commit(struct sockets *s)
{
	char name[NET_ENDPOINT_MAX + 32];

	for (unsigned i = s->n; i-- > 0;) {
		struct bound *b = &s->b[i];

		if (b->used)
			continue;
		store_name(b, name, sizeof(name));
		if (!b->path)
			notify_unstore_fd(name);
		drop(s, i);
	}
	for (unsigned i = 0; i < s->n; i++) {
		struct bound *b = &s->b[i];

		store_name(b, name, sizeof(name));
		if (!b->path && b->fresh)
			notify_store_fd(name, b->fd);
	}
}

void sockets_rollback(struct sockets *s)
{
	for (unsigned i = s->n; i-- > 0;)
		if (s->b[i].fresh)
			drop(s, i);
}

/* The wildcard of both families is bound as [::], or as 0.0.0.0 without IPv6. */
static bool same_endpoint(
    const struct net_endpoint *want, const struct net_endpoint *have)
{
	static const uint8_t zero[16];

	if (want->port != have->port)
		return false;
	if (!want->ip.family)
		return memcmp(have->ip.bytes, zero, 16) == 0;
	return net_ip_eq(&want->ip, &have->ip);
}

static int bind_one(struct sockets *s, const struct net_endpoint *e, int type,
    unsigned index, struct err *err)
{
	struct bound *b;
	int fd, on = 1;

	fd = net_bind(e, type, type == SOCK_DGRAM && index > 0, err);
	if (fd < 0)
		return fd;
	if (type == SOCK_DGRAM && index == 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	b = append(s);
	if (!b) {
		fd_close(fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*b = (struct bound){ .fd = fd,
		.type = type,
		.at = *e,
		.used = true,
		.fresh = true,
		.index = index };
	return fd;
}

int sockets_get(struct sockets *s, const struct net_endpoint *e, int type,
    unsigned want, int *fds, unsigned max, struct err *err)
{
	unsigned n = 0, dead = 0;

	if (type == SOCK_STREAM)
		want = 1;
	for (unsigned i = 0; i < s->n && n < max; i++) {
		struct bound *b = &s->b[i];

		if (b->path || b->type != type || !same_endpoint(e, &b->at))
			continue;
		if (b->dead) {
			dead++; /* commit closes it */
			continue;
		}
		b->used = true;
		b->index = n;
		fds[n++] = b->fd;
	}
	while (n < MIN(want, max)) {
		int fd = bind_one(s, e, type, n + dead, err);

		if (fd < 0)
			return fd;
		fds[n++] = fd;
	}
	return (int)n;
}

/* A socket file that nobody listens on is left over from a crash; a full queue (EAGAIN)
 * has a listener. */
static bool is_live(const struct sockaddr_un *sa)
{
	_cleanup_(fd_closep) int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 &&
	    (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
		errno == EAGAIN);
}

static int bind_unix(const char *path, mode_t mode, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(fd_closep) int fd = -1;
	mode_t old;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, -ENAMETOOLONG,
		    "set RUNTIME_DIRECTORY to a folder with a shorter name: a socket's "
		    "may have %zu bytes, %s has %zu",
		    sizeof(sa.sun_path) - 1, path, strlen(path));
	strcpy(sa.sun_path, path);
	if (is_live(&sa))
		return err_set(
		    err, -EADDRINUSE, "another instance is running: %s answers", path);
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The mode is right from birth; no other thread runs yet that creates files. */
	old = umask(0777 & ~mode);
	r = fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(fd, 128) < 0
	    ? -errno
	    : 0;
	umask(old);
	if (r < 0)
		return err_set(err, r, "cannot listen on %s: %s", path, strerror(-r));
	return TAKE_FD(fd);
}

int sockets_get_unix(struct sockets *s, const char *path, mode_t mode, struct err *err)
{
	struct bound *b;
	int fd;

	for (unsigned i = 0; i < s->n; i++) {
		if (s->b[i].path && !s->b[i].dead && str_eq(s->b[i].path, path)) {
			s->b[i].used = true;
			return s->b[i].fd;
		}
	}
	fd = bind_unix(path, mode, err);
	if (fd < 0)
		return fd;
	b = append(s);
	if (!b) {
		fd_close(fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*b = (struct bound){
		.fd = fd, .type = SOCK_STREAM, .used = true, .fresh = true
	};
	b->path = strdup(path);
	return b->path ? fd : err_set(err, -ENOMEM, "out of memory");
}

unsigned sockets_count(const struct sockets *s)
{
	return s->n;
}

int sockets_at(const struct sockets *s, unsigned i)
{
	return s->b[i].fd;
}

void sockets_handed_over(struct sockets *s)
{
	s->handed_over = true;
}
