/*
 * libcurl's multi interface on its own thread: see http_client.h.
 *
 * A transfer is held by up to four parties, each with a reference: the caller (until
 * on_done() or cancel), the thread (until its easy handle is gone), the thread's inbox
 * and the message on its way to the caller's loop.
 *
 * Towards the caller there is one message per transfer, embedded, so that telling
 * cannot fail: the thread leaves what is new (head, bytes, end) in the transfer, under
 * its lock, and posts the message unless that is under way already; the caller takes
 * all of it at once.  The mark of a cancelled transfer is under the same lock, and
 * nothing is posted behind it: that is why the mailbox may go while the thread lives
 * on.
 *
 * Towards the thread the caller puts a transfer into the inbox and wakes the thread,
 * which sees from the transfer's flags what is wanted: begin, go on after a pause, or
 * drop.
 */
#include "common/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/http_easy.h"
#include "common/list.h"
#include "common/worker.h"

#define QUEUE_MAX (256u * 1024)
#define KEEP_MAX (32u * 1024) /* a buffer larger than this is not kept for later */
#define HEAD_MAX (64u * 1024)
#define WHOLE_MAX (16u * 1024 * 1024)
#define EXIT_MS 2000
#define IDLE_CONNECTIONS 8
#define POLL_MS 3600000

/* A response's head: header lines without their ends, each with a NUL. */
struct head {
	struct str lines;
	int status;
	bool complete;
};

struct http_transfer {
	unsigned refs;     /* shared: atomic */
	struct core *core; /* the client's */
	struct mailbox *home;
	struct http_client_request req; /* callbacks and numbers: strings do not outlive
					 * http_client_start() */

	/* The caller's. */
	struct list_link live;
	struct str piece; /* what is being delivered, or the whole body */
	bool held, head_told, over;

	/* The thread's, from the first turn in the inbox. */
	struct http_easy easy;
	struct head reading;
	uint64_t received, heard_ms;
	struct list_link idle; /* of the core's, from the head on */
	bool begun, gone, oversize, head_oversize;

	struct http_transfer *inbox_next; /* guarded by the core's lock */
	bool in_inbox;

	pthread_mutex_t lock; /* guards the rest */
	struct message message;
	bool posted; /* the message is under way */
	bool cancelled, ended;
	bool paused;      /* by the thread, since the queue was full */
	bool go_on;       /* the caller took it: a pause is over */
	struct head head; /* written once, when it is complete */
	struct str queue;
	int result;
	struct err why;
};

/* What the thread stands on: it may outlive the client. */
struct core {
	unsigned refs;        /* shared: atomic */
	pthread_mutex_t lock; /* guards the next six */
	CURLM *multi; /* for wake-ups; whoever cleans it up takes it away first */
	pthread_cond_t exited;
	struct http_transfer *inbox, **inbox_tail;
	bool stop, ended;
	struct ca_files files; /* the caller's; closed with the core */
	struct list_link idle; /* the thread's: transfers that may not be silent */
};

struct http_client {
	struct core *core;
	struct mailbox *home;
	pthread_t thread;
	bool running;
	char *user_agent;
	uint64_t exit_ms;
	bool ca_by_path;
	struct list_link live;
};

static void head_deinit(struct head *h)
{
	str_deinit(&h->lines);
}

static void transfer_unref(struct http_transfer *t)
{
	if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	http_easy_deinit(&t->easy);
	head_deinit(&t->reading);
	head_deinit(&t->head);
	str_deinit(&t->queue);
	str_deinit(&t->piece);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void transfer_ref(struct http_transfer *t)
{
	__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
}

static void core_unref(struct core *c)
{
	if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (c->multi)
		curl_multi_cleanup(c->multi);
	ca_files_deinit(&c->files);
	pthread_cond_destroy(&c->exited);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* The thread's side */

/* With the lock held: the caller is told that there is something new. */
static void transfer_tell(struct http_transfer *t)
{
	if (t->posted || t->cancelled)
		return;
	t->posted = true;
	transfer_ref(t);
	mailbox_post(t->home, &t->message);
}

static const char *head_find(const struct head *h, const char *name)
{
	const char *at = str_get(&h->lines), *end = at + h->lines.len;
	size_t n = strlen(name);

	for (; at < end; at += strlen(at) + 1) {
		if (strncasecmp(at, name, n) == 0 && at[n] == ':')
			return at + n + 1 + strspn(at + n + 1, " \t");
	}
	return NULL;
}

/* Will libcurl follow this response rather than hand it over? */
static bool is_followed(const struct http_transfer *t)
{
	const char *to = head_find(&t->reading, "Location");

	return t->req.redirects && t->reading.status >= 300 &&
	    t->reading.status < 400 && to && *to;
}

/* From here on we look at the time: libcurl would wake up each second for it. */
static void watch_silence(struct http_transfer *t)
{
	if (!t->req.idle_timeout_ms)
		return;
	http_easy_forget_idle(&t->easy);
	t->heard_ms = clock_boot_ms();
	list_append(&t->core->idle, &t->idle);
}

static void publish_head(struct http_transfer *t)
{
	watch_silence(t);
	pthread_mutex_lock(&t->lock);
	t->head = t->reading;
	t->head.complete = true;
	t->reading = (struct head){ .complete = true };
	transfer_tell(t);
	pthread_mutex_unlock(&t->lock);
}

/* One line of a head, its end included; of trailers as well, which nobody asked for. */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	struct head *h = &t->reading;
	size_t len = n;

	if (h->complete)
		return n;
	while (len > 0 && (p[len - 1] == '\r' || p[len - 1] == '\n'))
		len--;
	if (len == 0) {
		/* 1xx and redirects are followed by another head. */
		if (h->status >= 200 && !is_followed(t))
			publish_head(t);
		return n;
	}
	if (len > 5 && memcmp(p, "HTTP/", 5) == 0) {
		const char *space = memchr(p, ' ', len);

		str_reset(&h->lines);
		h->status = space ? atoi(space) : 0;
		return n;
	}
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	if (h->lines.len + len > HEAD_MAX) {
		t->head_oversize = true;
		return 0;
	}
	str_add(&h->lines, p, len);
	str_addc(&h->lines, '\0');
	return str_err(&h->lines) ? 0 : n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	bool stream = t->req.on_data != NULL;
	size_t ret = n;

	if (t->req.max_response && n > t->req.max_response - t->received) {
		t->oversize = true;
		return 0;
	}
	if (!t->reading.complete)
		publish_head(t);
	if (t->req.idle_timeout_ms)
		t->heard_ms = clock_boot_ms();
	pthread_mutex_lock(&t->lock);
	if (t->cancelled) {
		ret = 0;
	} else if (stream && t->queue.len > 0 && t->queue.len + n > QUEUE_MAX) {
		t->paused = true;
		ret = CURL_WRITEFUNC_PAUSE;
	} else {
		str_add(&t->queue, p, n);
		t->received += n;
		if (str_err(&t->queue))
			ret = 0;
		else if (stream)
			transfer_tell(t);
	}
	pthread_mutex_unlock(&t->lock);
	return ret;
}

static int end_result(struct http_transfer *t, CURLcode code, struct err *why)
{
	const char *what = t->easy.what;

	if (code == CURLE_OK && t->head.status)
		return t->head.status;
	if (code == CURLE_OK)
		return err_set(why, -EPROTO, "%s: no response that makes sense", what);
	if (t->oversize || code == CURLE_FILESIZE_EXCEEDED)
		return err_set(why, -EFBIG, "%s: the response is larger than %zu bytes",
		    what, t->req.max_response);
	if (t->head_oversize)
		return err_set(why, -EFBIG,
		    "%s: the head of the response is larger than %u bytes", what,
		    HEAD_MAX);
	if (code == CURLE_WRITE_ERROR)
		return err_set(why, -ENOMEM, "%s: out of memory", what);
	return http_easy_failed(&t->easy, (int)code, why);
}

/* Gives the easy handle back, which may take its time, and the thread's reference. */
static void transfer_drop(struct http_transfer *t, CURLM *multi)
{
	t->gone = true;
	list_remove(&t->idle);
	if (t->begun)
		curl_multi_remove_handle(multi, t->easy.curl);
	http_easy_deinit(&t->easy);
	transfer_unref(t);
}

static void transfer_end(struct http_transfer *t, CURLM *multi, CURLcode code)
{
	if (!t->reading.complete && code == CURLE_OK)
		publish_head(t);
	pthread_mutex_lock(&t->lock);
	t->result = end_result(t, code, &t->why);
	t->ended = true;
	transfer_tell(t);
	pthread_mutex_unlock(&t->lock);
	transfer_drop(t, multi);
}

/* What the caller wants of a transfer. */
static void transfer_serve(struct http_transfer *t, CURLM *multi)
{
	bool cancelled, go_on;

	if (t->gone)
		return;
	pthread_mutex_lock(&t->lock);
	cancelled = t->cancelled;
	go_on = t->go_on;
	t->go_on = false;
	pthread_mutex_unlock(&t->lock);
	if (cancelled) {
		transfer_drop(t, multi);
	} else if (!t->begun) {
		if (curl_multi_add_handle(multi, t->easy.curl) != CURLM_OK)
			transfer_end(t, multi, CURLE_OUT_OF_MEMORY);
		else
			t->begun = true;
	} else if (go_on) {
		curl_easy_pause(t->easy.curl, CURLPAUSE_CONT);
	}
}

static struct http_transfer *inbox_take(struct core *c, bool *stop)
{
	struct http_transfer *t;

	pthread_mutex_lock(&c->lock);
	t = c->inbox;
	if (t) {
		c->inbox = t->inbox_next;
		if (!c->inbox)
			c->inbox_tail = &c->inbox;
		t->in_inbox = false;
	}
	*stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	return t;
}

static bool serve_inbox(struct core *c, CURLM *multi)
{
	struct http_transfer *t;
	bool stop;

	while ((t = inbox_take(c, &stop))) {
		transfer_serve(t, multi);
		transfer_unref(t);
	}
	return !stop;
}

static void reap_ended(CURLM *multi)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(multi, &left))) {
		struct http_transfer *t = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		transfer_end(t, multi, code);
	}
}

/* Ends what was silent for too long; how long to wait before the next time. */
static int end_silent(struct core *c, CURLM *multi)
{
	uint64_t now = clock_boot_ms(), wait = POLL_MS;

	list_for_each_safe (l, &c->idle) {
		struct http_transfer *t = CONTAINER_OF(l, struct http_transfer, idle);
		uint64_t limit = t->req.idle_timeout_ms;
		bool held;

		pthread_mutex_lock(&t->lock);
		held = t->paused || t->go_on;
		pthread_mutex_unlock(&t->lock);
		if (held)
			t->heard_ms = now;
		if (now - t->heard_ms < limit)
			wait = MIN(wait, t->heard_ms + limit - now);
		else
			transfer_end(t, multi, CURLE_OPERATION_TIMEDOUT);
	}
	return (int)wait;
}

static void *thread_main(void *arg)
{
	struct core *c = arg;
	CURLM *multi = c->multi;
	int running;

	pthread_setname_np(pthread_self(), "http-client");
	while (serve_inbox(c, multi)) {
		curl_multi_perform(multi, &running);
		reap_ended(multi);
		curl_multi_poll(multi, NULL, 0, end_silent(c, multi), NULL);
	}
	/* Each was cancelled before the stop, so that its inbox entry has dropped it.
	 */
	pthread_mutex_lock(&c->lock);
	c->multi = NULL;
	pthread_mutex_unlock(&c->lock);
	curl_multi_cleanup(multi);

	pthread_mutex_lock(&c->lock);
	c->ended = true;
	pthread_cond_signal(&c->exited);
	pthread_mutex_unlock(&c->lock);
	core_unref(c);
	return NULL;
}

/* The caller's side */

static void core_wake(struct core *c)
{
	if (c->multi)
		curl_multi_wakeup(c->multi);
}

static void core_serve(struct core *c, struct http_transfer *t)
{
	pthread_mutex_lock(&c->lock);
	if (!t->in_inbox) {
		t->in_inbox = true;
		t->inbox_next = NULL;
		*c->inbox_tail = t;
		c->inbox_tail = &t->inbox_next;
		transfer_ref(t);
	}
	core_wake(c);
	pthread_mutex_unlock(&c->lock);
}

static bool may_deliver(const struct http_transfer *t)
{
	return !t->over && !t->held;
}

static void transfer_over(struct http_transfer *t)
{
	t->over = true;
	list_remove(&t->live);
	transfer_unref(t);
}

/* Takes the queue into the piece at hand; true when the end came with it. */
static bool transfer_take(struct http_transfer *t)
{
	struct str queue;
	bool go_on, ended;

	pthread_mutex_lock(&t->lock);
	ended = t->ended;
	if (ended || t->req.on_data) {
		queue = t->queue;
		t->queue = t->piece;
		t->piece = queue;
	}
	go_on = t->paused;
	t->go_on = t->go_on || go_on;
	t->paused = false;
	pthread_mutex_unlock(&t->lock);
	if (go_on)
		core_serve(t->core, t);
	return ended;
}

static void deliver_data(struct http_transfer *t)
{
	if (t->piece.len > 0)
		t->req.on_data(t, t->piece.s, t->piece.len, t->req.arg);
	if (t->piece.cap > KEEP_MAX)
		str_deinit(&t->piece);
	str_reset(&t->piece);
}

/* Everything new, until the caller holds it back or has had enough. */
static void transfer_deliver(struct http_transfer *t)
{
	bool head, ended;

	if (!may_deliver(t))
		return;
	pthread_mutex_lock(&t->lock);
	head = t->head.complete && !t->head_told;
	pthread_mutex_unlock(&t->lock);
	if (head) {
		t->head_told = true;
		if (t->req.on_head)
			t->req.on_head(t, t->req.arg);
		if (!may_deliver(t))
			return;
	}
	ended = transfer_take(t);
	if (t->req.on_data)
		deliver_data(t);
	if (!ended || !may_deliver(t))
		return;
	/* Over before it is told, so that a cancel inside finds nothing to do. */
	t->over = true;
	list_remove(&t->live);
	t->req.on_done(t, t->result, t->req.arg);
	transfer_unref(t);
}

static void on_message(struct message *m)
{
	struct http_transfer *t = CONTAINER_OF(m, struct http_transfer, message);

	pthread_mutex_lock(&t->lock);
	t->posted = false;
	pthread_mutex_unlock(&t->lock);
	transfer_deliver(t);
	transfer_unref(t);
}

struct http_transfer *http_transfer_cancel(struct http_transfer *t)
{
	if (!t || t->over)
		return NULL;
	pthread_mutex_lock(&t->lock);
	t->cancelled = true;
	pthread_mutex_unlock(&t->lock);
	core_serve(t->core, t);
	transfer_over(t);
	return NULL;
}

void http_transfer_pause(struct http_transfer *t)
{
	t->held = true;
}

void http_transfer_resume(struct http_transfer *t)
{
	if (!t->held)
		return;
	t->held = false;
	pthread_mutex_lock(&t->lock);
	transfer_tell(t);
	pthread_mutex_unlock(&t->lock);
}

int http_transfer_status(const struct http_transfer *t)
{
	return t->head_told ? t->head.status : 0;
}

const char *http_transfer_header(const struct http_transfer *t, const char *name)
{
	return t->head_told ? head_find(&t->head, name) : NULL;
}

struct str *http_transfer_body(struct http_transfer *t)
{
	return &t->piece;
}

const char *http_transfer_why(const struct http_transfer *t)
{
	return t->why.text;
}

/* Strings of the request are gone after http_client_start(). */
static void forget_strings(struct http_client_request *req)
{
	struct http_client_request r = *req;

	*req = (struct http_client_request){
		.redirects = r.redirects,
		.idle_timeout_ms = r.idle_timeout_ms,
		.max_response = r.max_response,
		.on_head = r.on_head,
		.on_data = r.on_data,
		.on_done = r.on_done,
		.arg = r.arg,
	};
}

int http_client_start(struct http_client *c, struct http_transfer **ret,
    const struct http_client_request *req, struct err *err)
{
	struct http_transfer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->refs = 1;
	t->core = c->core;
	t->home = c->home;
	t->message.run = on_message;
	list_init(&t->live);
	list_init(&t->idle);
	pthread_mutex_init(&t->lock, NULL);
	t->req = *req;
	if (!t->req.max_response && !t->req.on_data)
		t->req.max_response = WHOLE_MAX;
	r = http_easy_init(
	    &t->easy, &t->req, c->user_agent, &c->core->files, c->ca_by_path, err);
	if (r < 0) {
		transfer_unref(t);
		return r;
	}
	forget_strings(&t->req);
	curl_easy_setopt(t->easy.curl, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy.curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(t->easy.curl, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->easy.curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(t->easy.curl, CURLOPT_WRITEDATA, t);
	list_append(&c->live, &t->live);
	transfer_ref(t); /* the thread's */
	core_serve(c->core, t);
	*ret = t;
	return 0;
}

static int global_result;

static void global_init(void)
{
	global_result = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

static int core_new(struct core **ret)
{
	struct core *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (!c)
		return -ENOMEM;
	c->refs = 1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->exited, &attr);
	pthread_condattr_destroy(&attr);
	c->inbox_tail = &c->inbox;
	list_init(&c->idle);
	*ret = c;
	return 0;
}

static int thread_start(struct http_client *c)
{
	sigset_t all, old;
	int r;

	c->core->refs++;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&c->thread, NULL, thread_main, c->core);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		c->core->refs--;
		return -r;
	}
	c->running = true;
	return 0;
}

int http_client_new(
    struct http_client **ret, struct loop *l, const struct http_client_options *options)
{
	static const struct http_client_options defaults;
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct http_client_options *o = options ? options : &defaults;
	_cleanup_(http_client_freep) struct http_client *c = NULL;
	int r;

	pthread_once(&once, global_init);
	if (global_result < 0)
		return global_result;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	list_init(&c->live);
	c->exit_ms = o->exit_ms ? o->exit_ms : EXIT_MS;
	c->ca_by_path = o->ca_by_path;
	c->user_agent =
	    strdup(o->user_agent ? o->user_agent : "okd-bastion/" OKD_VERSION);
	r = c->user_agent ? core_new(&c->core) : -ENOMEM;
	if (r < 0)
		return r;
	c->core->multi = curl_multi_init();
	if (!c->core->multi)
		return -ENOMEM;
	curl_multi_setopt(c->core->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(
	    c->core->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)o->host_connections);
	curl_multi_setopt(c->core->multi, CURLMOPT_MAXCONNECTS,
	    (long)(o->idle_connections ? o->idle_connections : IDLE_CONNECTIONS));
	r = mailbox_new(&c->home, l);
	if (r < 0)
		return r;
	r = thread_start(c);
	if (r < 0)
		return r;

	*ret = TAKE(c);
	return 0;
}

/*
 * Waits for the thread, but not for longer than exit_ms.  libcurl before 7.87 waits
 * inside for a resolver thread that no one can interrupt; rather than holding up the
 * daemon's stop (and its reload), such a thread is detached.  It owns all it may still
 * touch: the core and the transfers by their references, and the mailbox is out of its
 * reach since every transfer is cancelled.
 */
static void thread_end(struct http_client *c)
{
	uint64_t until = clock_ns(CLOCK_MONOTONIC) + c->exit_ms * NSEC_PER_MSEC;
	struct timespec ts = { .tv_sec = (time_t)(until / NSEC_PER_SEC),
		.tv_nsec = (long)(until % NSEC_PER_SEC) };
	struct core *core = c->core;
	bool ended;
	int r = 0;

	pthread_mutex_lock(&core->lock);
	core->stop = true;
	core_wake(core);
	while (!core->ended && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&core->exited, &core->lock, &ts);
	ended = core->ended;
	pthread_mutex_unlock(&core->lock);
	if (ended)
		pthread_join(c->thread, NULL);
	else
		pthread_detach(c->thread);
}

struct http_client *http_client_free(struct http_client *c)
{
	struct list_link *l;

	if (!c)
		return NULL;
	while ((l = list_first(&c->live)))
		http_transfer_cancel(CONTAINER_OF(l, struct http_transfer, live));
	if (c->running)
		thread_end(c);
	c->home = mailbox_free(c->home);
	if (c->core)
		core_unref(c->core);
	free(c->user_agent);
	free(c);
	return NULL;
}
