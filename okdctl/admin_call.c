/* Requests to admin sockets: see admin_call.h. */
#include "okdctl/admin_call.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/cli.h"
#include "okdctl/term.h"

const char *const daemon_names[N_DAEMONS + 1] = { "dnsd", "lbd", "regd", "ignd", "csrd",
	NULL };

int daemon_by_name(const char *name)
{
	if (str_starts(name, "okd-"))
		name += strlen("okd-");
	for (int i = 0; i < N_DAEMONS; i++) {
		if (str_eq(name, daemon_names[i]))
			return i;
	}
	return -1;
}

void admin_socket_path(const struct cli *c, enum bastion_daemon to, struct str *out)
{
	str_addf(out, "%s/okd-%s/admin.sock", c->run_dir, daemon_names[to]);
}

int admin_parse_response(const char *p, size_t n, size_t *body_at)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);
	int status = 0;

	if (!end || n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
		return -EPROTO;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -EPROTO;
		status = status * 10 + p[i] - '0';
	}
	*body_at = (size_t)(end - p) + 4;
	return status < 100 ? -EPROTO : status;
}

/* --- one exchange ------------------------------------------------------- */

struct exchange {
	struct admin_call *call;
	int fd;
	struct str out;
	size_t sent;
	bool done;
};

static void finish(struct exchange *x, int result)
{
	x->call->result = result;
	x->fd = fd_close(x->fd);
	x->done = true;
}

static void begin(const struct cli *c, struct exchange *x)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(str_deinit) struct str path = STR_INIT;
	const struct admin_call *call = x->call;
	size_t len = call->body ? strlen(call->body) : 0;

	admin_socket_path(c, call->to, &path);
	if (str_err(&path) || path.len >= sizeof(sa.sun_path)) {
		finish(x, -ENAMETOOLONG);
		return;
	}
	memcpy(sa.sun_path, path.s, path.len);
	x->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (x->fd < 0 || connect(x->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		/* Nobody has taken those in who came before: as good as no answer. */
		finish(x, errno == EAGAIN ? -ETIMEDOUT : -errno);
		return;
	}
	str_addf(&x->out, "%s %s HTTP/1.0\r\nHost: localhost\r\n",
	    call->method ? call->method : "GET", call->target);
	if (call->body)
		str_addf(&x->out,
		    "Content-Type: application/json\r\nContent-Length: %zu\r\n", len);
	str_addz(&x->out, "\r\n");
	str_add(&x->out, call->body, len);
	if (str_err(&x->out))
		finish(x, -ENOMEM);
}

static void send_more(struct exchange *x)
{
	ssize_t n = send(x->fd, x->out.s + x->sent, x->out.len - x->sent, MSG_NOSIGNAL);

	if (n >= 0)
		x->sent += (size_t)n;
	else if (errno == EPIPE)
		x->sent = x->out.len; /* the answer may have come early */
	else if (errno != EAGAIN && errno != EINTR)
		finish(x, -errno);
}

static void parse(struct exchange *x)
{
	struct str *in = &x->call->reply;
	size_t at = 0;
	int r = admin_parse_response(str_get(in), in->len, &at);

	if (r >= 0) {
		memmove(in->s, in->s + at, in->len - at + 1);
		in->len -= at;
	}
	finish(x, r);
}

static void receive_more(struct exchange *x)
{
	char *to = str_reserve(&x->call->reply, 65536);
	ssize_t n;

	if (!to) {
		finish(x, -ENOMEM);
		return;
	}
	n = recv(x->fd, to, 65536, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		finish(x, -errno);
		return;
	}
	str_commit(&x->call->reply, (size_t)n);
	if (x->call->reply.len > ADMIN_BODY_MAX)
		finish(x, -EFBIG);
	else if (n == 0)
		parse(x);
}

/* --- all of them -------------------------------------------------------- */

static unsigned fill(const struct exchange *x, unsigned n, struct pollfd *p)
{
	unsigned open = 0;

	for (unsigned i = 0; i < n; i++) {
		p[i].fd = x[i].done ? -1 : x[i].fd;
		p[i].events =
		    (short)(x[i].sent < x[i].out.len ? POLLIN | POLLOUT : POLLIN);
		open += !x[i].done;
	}
	return open;
}

static void turn(struct exchange *x, unsigned n, struct pollfd *p, int wait)
{
	if (poll(p, n, wait) <= 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (!x[i].done && (p[i].revents & POLLOUT))
			send_more(&x[i]);
		if (!x[i].done && (p[i].revents & (POLLIN | POLLHUP | POLLERR)))
			receive_more(&x[i]);
	}
}

void admin_call_all(
    const struct cli *c, struct admin_call *calls, unsigned n, int timeout_ms)
{
	uint64_t deadline = clock_boot_ms() + (uint64_t)timeout_ms;
	_cleanup_(freep) struct exchange *x = calloc(n, sizeof(*x));
	_cleanup_(freep) struct pollfd *p = calloc(n, sizeof(*p));

	for (unsigned i = 0; i < n; i++)
		calls[i].result = -ENOMEM;
	if (!x || !p)
		return;
	for (unsigned i = 0; i < n; i++) {
		x[i] = (struct exchange){ .call = &calls[i], .fd = -1 };
		begin(c, &x[i]);
	}
	while (fill(x, n, p)) {
		uint64_t at = clock_boot_ms();

		if (at >= deadline)
			break;
		turn(x, n, p, (int)(deadline - at));
	}
	for (unsigned i = 0; i < n; i++) {
		if (!x[i].done)
			finish(&x[i], -ETIMEDOUT);
		str_deinit(&x[i].out);
	}
}

void admin_call_deinit(struct admin_call *call)
{
	str_deinit(&call->reply);
}

bool admin_is_absent(const struct admin_call *call)
{
	return call->result == -ENOENT || call->result == -ECONNREFUSED;
}

int admin_choose(const struct cli *c, enum bastion_daemon ret[N_DAEMONS], unsigned *n)
{
	*n = 0;
	if (c->n_args > N_DAEMONS)
		return cli_fail(EXIT_USAGE, "name each daemon once");
	for (unsigned i = 0; i < (c->n_args ? c->n_args : N_DAEMONS); i++) {
		int d = c->n_args ? daemon_by_name(c->args[i]) : (int)i;

		if (d < 0)
			return cli_fail(EXIT_USAGE,
			    "there is no daemon \"%s\"; they are dnsd, lbd, regd, ignd "
			    "and csrd",
			    c->args[i]);
		ret[(*n)++] = (enum bastion_daemon)d;
	}
	return 0;
}

/* --- sentences ---------------------------------------------------------- */

void admin_call_message(const struct admin_call *call, struct str *out)
{
	_cleanup_(json_freep) json_t *v = NULL;
	const json_t *error;
	int64_t line;

	if (json_load_limited(
		&v, NULL, str_get(&call->reply), call->reply.len, 0, NULL) < 0)
		return;
	error = json_path(v, "error", NULL);
	if (!json_str(error, "message"))
		return;
	if (json_str(error, "file"))
		str_addf(out, "%s:", json_str(error, "file"));
	if (json_i64(json_path(error, "line", NULL), &line) == 0 && line > 0)
		str_addf(out, "%lld:", (long long)line);
	str_addf(out, "%s%s", out->len ? " " : "", json_str(error, "message"));
	if (out->s)
		term_clean(out->s);
}

static int explain_errno(
    const struct admin_call *call, const char *path, const char *name)
{
	switch (-call->result) {
	case ENOENT:
	case ECONNREFUSED:
		return cli_fail(EXIT_UNREACHABLE,
		    "okd-%s does not run (nobody answers on %s); start it with "
		    "\"systemctl start okd-%s\", and see \"journalctl -u okd-%s\"",
		    name, path, name, name);
	case EACCES:
	case EPERM:
		return cli_fail(EXIT_PERMISSION,
		    "no permission for %s; be root or a member of the group okd-admin "
		    "(usermod -aG okd-admin USER, then log in again)",
		    path);
	case ETIMEDOUT:
		return cli_fail(EXIT_UNREACHABLE,
		    "okd-%s does not answer on %s; see \"journalctl -u okd-%s\"", name,
		    path, name);
	default:
		return cli_fail(EXIT_UNREACHABLE, "cannot ask okd-%s on %s: %s", name,
		    path, strerror(-call->result));
	}
}

int admin_call_explain(const struct cli *c, const struct admin_call *call)
{
	const char *name = daemon_names[call->to];
	_cleanup_(str_deinit) struct str path = STR_INIT, why = STR_INIT;

	if (call->result >= 200 && call->result < 300)
		return 0;
	admin_socket_path(c, call->to, &path);
	if (call->result < 0)
		return explain_errno(call, str_get(&path), name);
	admin_call_message(call, &why);
	if (call->result == 403)
		return cli_fail(EXIT_PERMISSION,
		    "okd-%s refuses: %s; be root or a member of the group okd-admin "
		    "(usermod -aG okd-admin USER, then log in again)",
		    name, why.len ? why.s : "no permission");
	if (call->result == 404 && !why.len)
		return cli_fail(EXIT_FAILED,
		    "this okd-%s does not know %s; is it as new as this okdctl "
		    "(" OKD_VERSION ")?",
		    name, call->target);
	return cli_fail(EXIT_FAILED, "okd-%s: %s", name,
	    why.len ? why.s : "the request failed; its journal says why");
}

int admin_none_runs(void)
{
	return cli_fail(EXIT_UNREACHABLE,
	    "no daemon runs; start them with \"systemctl start okd-bastion.target\"");
}

int admin_request(const struct cli *c, enum bastion_daemon to, const char *method,
    const char *target, const json_t *body, json_t **ret)
{
	_cleanup_(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	_cleanup_(admin_call_deinit) struct admin_call call = {
		.to = to, .method = method, .target = target, .body = text
	};
	struct err e = ERR_INIT;
	int status;

	if (body && !text)
		return cli_fail(EXIT_FAILED, "out of memory");
	admin_call_all(c, &call, 1, ADMIN_TIMEOUT_MS);
	status = admin_call_explain(c, &call);
	*ret = NULL;
	if (status || !call.reply.len)
		return status;
	if (json_load_limited(ret, "(answer)", call.reply.s, call.reply.len, 0, &e) < 0)
		return cli_fail(EXIT_FAILED, "okd-%s answered something odd: %s",
		    daemon_names[to], err_str(&e));
	return 0;
}
