/*
 * The skeleton of a daemon: see daemon.h.
 *
 * States: starting -> running -> draining -> stopped.  A reload and an upgrade happen
 * while running; a failed one leaves it running.
 */
#include "common/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/admin.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/notify.h"
#include "common/sockets.h"
#include "common/upgrade.h"
#include "common/worker.h"

enum { MAX_ADMIN = 16, MAX_WATCHED = 4 };

struct options {
	const char *conf_path, *cluster_path;
	bool conf_given, check, verbose;
};

struct daemon {
	const struct daemon_class *class;
	struct options opt;
	char **argv;
	char program[PATH_MAX]; /* the file to start at an upgrade */
	char *default_conf_path, *state_dir, *runtime_dir;
	struct loop *loop;
	struct sockets *sockets;
	struct admin *admin;
	struct upgrade *upgrade;
	void *self, *conf;
	const struct conf_list *admin_at; /* in the configuration that is being taken */
	int64_t loaded_at;
	bool last_load_ok;
	struct err last_error; /* of the last failed reload or upgrade */
	unsigned held;         /* reasons why READY=1 waits */
	bool ready_sent, draining, drained, failed;
	bool reload_after; /* asked for while a successor was starting */
	struct event *drain_timer, *watchdog_timer;
	struct workers *watched[MAX_WATCHED];
	unsigned n_watched, pings_out;
	int64_t started_at;
};

static struct daemon *daemon_free(struct daemon *d);
DEFINE_FREEP(daemon)

const struct conf_type daemon_admin_type = CONF_LIST(&conf_endpoint);

static struct daemon_conf *common_conf(void *conf)
{
	return conf;
}

/* --- command line ------------------------------------------------------- */

static void print_help(const struct daemon_class *class, FILE *to)
{
	fprintf(to,
	    "Usage: okd-%s [-c FILE] [-C CLUSTERFILE] [-n] [-v] [-V] [-h]\n"
	    "%s\n\n"
	    "  -c FILE         settings (default /etc/okd-bastion/%s.yaml, may be "
	    "absent)\n"
	    "  -C CLUSTERFILE  the cluster (default %s)\n"
	    "  -n              check the configuration and exit; with -v print what is "
	    "in force\n"
	    "  -v              log debug messages\n"
	    "  -V              print the version and exit\n"
	    "  -h              print this help and exit\n\n"
	    "Signals: TERM drains and stops, HUP reloads, USR2 upgrades in place.\n"
	    "See okd-%s(8) and okd-%s.yaml(5).\n",
	    class->name, class->summary, class->name, CLUSTER_PATH, class->name,
	    class->name);
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(struct daemon *d, int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "c:C:nvVh")) >= 0) {
		switch (c) {
		case 'c':
			d->opt.conf_path = optarg;
			d->opt.conf_given = true;
			break;
		case 'C':
			d->opt.cluster_path = optarg;
			break;
		case 'n':
			d->opt.check = true;
			break;
		case 'v':
			d->opt.verbose = true;
			break;
		case 'V':
			printf("okd-%s %s\n", d->class->name, OKD_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			print_help(d->class, stdout);
			return EXIT_SUCCESS;
		default:
			print_help(d->class, stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "okd-%s: what is \"%s\"?  There are only options.\n",
		    d->class->name, argv[optind]);
		return EX_USAGE;
	}
	return -1;
}

/* --- configuration ------------------------------------------------------ */

static void log_lines(int level, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n)
			log_at(level, "%.*s", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static int load_files(struct daemon *d, struct conf_doc **doc, struct cluster **cluster,
    struct str *warnings, struct err *e)
{
	int r;

	r = conf_doc_load(doc, d->opt.conf_path, e);
	if (r == -ENOENT && d->opt.conf_given)
		return err_set(e, r, "there is no file %s", d->opt.conf_path);
	if (r < 0 && r != -ENOENT)
		return r;
	r = cluster_load(cluster, d->opt.cluster_path, warnings, e);
	if (r < 0 && r != -ENOENT)
		return r;
	if (!*doc && !*cluster)
		return err_set(e, -ENOENT,
		    "there is neither %s nor %s; run `okdctl init` to write them",
		    d->opt.cluster_path, d->opt.conf_path);
	return 0;
}

/* Loads a whole configuration from the files; warnings are logged. */
static int load_conf(struct daemon *d, void **ret, struct err *e)
{
	_cleanup_(conf_doc_freep) struct conf_doc *doc = NULL;
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	_cleanup_(str_deinit) struct str warnings = STR_INIT;
	void *conf = NULL;
	int r;

	r = load_files(d, &doc, &cluster, &warnings, e);
	if (r == 0)
		r = d->class->conf_load(&conf, doc, &cluster, &warnings, e);
	log_lines(LOG_WARNING, str_get(&warnings));
	if (r < 0)
		return r;
	common_conf(conf)->generation =
	    d->conf ? common_conf(d->conf)->generation + 1 : 1;
	*ret = conf;
	return 0;
}

/* What is in force, whole or not at all. */
static int print_conf(const struct daemon *d, const void *conf)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;

	d->class->conf_print(conf, &out);
	if (str_err(&out)) {
		log_err("cannot print the configuration: out of memory");
		return EXIT_FAILURE;
	}
	if (fputs(str_get(&out), stdout) < 0 || fflush(stdout) < 0) {
		log_err("cannot print the configuration: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int check_conf(struct daemon *d)
{
	struct err e = ERR_INIT;
	int status = EXIT_SUCCESS;
	void *conf;

	log_last_words();
	if (load_conf(d, &conf, &e) < 0) {
		log_err("%s", err_str(&e));
		return EXIT_FAILURE;
	}
	if (d->opt.verbose)
		status = print_conf(d, conf);
	d->class->conf_free(conf);
	return status;
}

/* --- the admin socket --------------------------------------------------- */

static void admin_metrics(void *arg, struct str *out)
{
	struct daemon *d = arg;
	char name[64];

	snprintf(name, sizeof(name), "okd_%s_build_info", d->class->name);
	metric_family(out, name, METRIC_GAUGE, "The version that runs.");
	metric_value(out, name, METRIC_LABELS("version", OKD_VERSION), 1);
	snprintf(name, sizeof(name), "okd_%s_config_generation", d->class->name);
	metric_single(out, name, METRIC_GAUGE, "Configurations loaded since the start.",
	    (double)common_conf(d->conf)->generation);
	snprintf(
	    name, sizeof(name), "okd_%s_config_last_reload_successful", d->class->name);
	metric_single(out, name, METRIC_GAUGE, "Whether the last reload was taken.",
	    d->last_load_ok);
	metric_single(out, "process_start_time_seconds", METRIC_GAUGE,
	    "Start of the process since the epoch.", (double)d->started_at);
	metrics_process(out);
	if (d->class->metrics)
		d->class->metrics(d->self, out);
}

static bool admin_ready(void *arg, struct str *reasons)
{
	struct daemon *d = arg;

	if (d->draining) {
		str_addz(reasons, "draining\n");
		return false;
	}
	if (d->held) {
		str_addz(reasons, "starting\n");
		return false;
	}
	return !d->class->ready || d->class->ready(d->self, reasons);
}

static json_t *reasons_to_json(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t n = strcspn(text, "\n");

		json_array_append_new(list, json_stringn(text, n));
		text += n + (text[n] == '\n');
	}
	return list;
}

static void admin_status(void *arg, json_t *obj)
{
	_cleanup_(str_deinit) struct str reasons = STR_INIT;
	struct daemon *d = arg;
	json_t *conf = json_object(), *own = json_object();

	json_object_set_new(obj, "name", json_sprintf("okd-%s", d->class->name));
	json_object_set_new(obj, "version", json_string(OKD_VERSION));
	json_object_set_new(obj, "pid", json_integer(getpid()));
	json_object_set_new(obj, "started_at", json_integer(d->started_at));
	json_object_set_new(obj, "ready", json_boolean(admin_ready(d, &reasons)));
	json_object_set_new(obj, "reasons", reasons_to_json(str_get(&reasons)));
	json_object_set_new(conf, "generation",
	    json_integer((json_int_t)common_conf(d->conf)->generation));
	json_object_set_new(conf, "loaded_at", json_integer(d->loaded_at));
	json_object_set_new(conf, "error",
	    d->last_error.text[0] ? json_string(err_str(&d->last_error)) : json_null());
	json_object_set_new(obj, "config", conf);
	if (d->class->status)
		d->class->status(d->self, own);
	json_object_set_new(obj, d->class->name, own);
}

static void admin_config(void *arg, struct str *out)
{
	struct daemon *d = arg;

	d->class->conf_print(d->conf, out);
}

static int do_reload(struct daemon *d, struct err *e);

static int admin_reload(void *arg, struct err *e)
{
	return do_reload(arg, e);
}

static const struct admin_ops admin_ops = {
	.metrics = admin_metrics,
	.status = admin_status,
	.config = admin_config,
	.ready = admin_ready,
	.reload = admin_reload,
};

/* Binds the admin socket and its TCP siblings, between sockets_begin() and commit.
 * Returns how many there are. */
static int bind_admin(
    struct daemon *d, void *conf, int fds[static MAX_ADMIN + 1], struct err *e)
{
	const struct conf_list *list = &common_conf(conf)->admin;
	char path[PATH_MAX];
	unsigned n = 0;

	if (list->n > MAX_ADMIN)
		return err_set(e, -E2BIG, "admin: at most %d addresses", MAX_ADMIN);
	d->admin_at = list;
	snprintf(path, sizeof(path), "%s/admin.sock", d->runtime_dir);
	fds[n] = sockets_get_unix(d->sockets, path, 0660, e);
	if (fds[n++] < 0)
		return fds[0];
	for (size_t i = 0; i < list->n; i++) {
		int r = sockets_get(d->sockets,
		    conf_list_items(list, struct net_endpoint) + i, SOCK_STREAM, 1,
		    &fds[n++], 1, e);

		if (r < 0)
			return r;
	}
	return (int)n;
}

/* --- reload ------------------------------------------------------------- */

static int take_conf(struct daemon *d, void *conf, struct err *e)
{
	int fds[MAX_ADMIN + 1], n, r;

	sockets_begin(d->sockets);
	r = n = bind_admin(d, conf, fds, e);
	if (r >= 0)
		r = d->class->reload(d->self, conf, e);
	if (r < 0) {
		sockets_rollback(d->sockets);
		return r;
	}
	d->conf = conf;
	/* The daemon has taken the new one: at worst pages are missing. */
	if (admin_listen(d->admin, fds, (unsigned)n) < 0)
		log_err("the admin pages are not served: out of memory");
	sockets_commit(d->sockets);
	return 0;
}

static int do_reload(struct daemon *d, struct err *e)
{
	void *conf = NULL;
	int r;

	if (d->draining)
		return err_set(e, -ESHUTDOWN, "the daemon is stopping");
	/* The successor may have read its files before they changed. */
	d->reload_after = upgrade_is_pending(d->upgrade);
	r = load_conf(d, &conf, e);
	if (r == 0) {
		r = take_conf(d, conf, e);
		if (r < 0)
			d->class->conf_free(conf);
	}
	d->last_load_ok = r == 0;
	if (r < 0) {
		d->last_error = *e;
		log_err("configuration kept as it was: %s", err_str(e));
		return r;
	}
	d->last_error = (struct err)ERR_INIT;
	d->loaded_at = clock_real_s();
	log_info("configuration reloaded (generation %" PRIu64 ")",
	    common_conf(d->conf)->generation);
	return 0;
}

static void on_hup(void *arg)
{
	struct daemon *d = arg;
	struct err e = ERR_INIT;

	if (d->draining) {
		log_info("not reloading: the daemon is stopping");
		return;
	}
	if (d->ready_sent)
		notify_reloading();
	(void)do_reload(d, &e);
	if (d->ready_sent)
		notify_ready();
}

/* --- stop, drain, upgrade ----------------------------------------------- */

static void on_drain_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	log_warning("work in progress is cut off after drain_timeout");
	loop_stop(d->loop);
}

static void begin_drain(struct daemon *d, bool deadline)
{
	struct timeval tv = ms_to_tv(common_conf(d->conf)->drain_timeout);

	d->draining = true;
	if (deadline) {
		d->drain_timer = evtimer_new(loop_base(d->loop), on_drain_deadline, d);
		if (!d->drain_timer || evtimer_add(d->drain_timer, &tv) < 0)
			loop_stop(d->loop);
	}
	d->class->drain(d->self);
}

static void on_term(void *arg)
{
	struct daemon *d = arg;

	if (d->draining) {
		log_info("stopping at once");
		loop_stop(d->loop);
		return;
	}
	log_info("stopping");
	notify_stopping();
	/* Also when it is ready already and its answer is on its way here. */
	if (upgrade_is_pending(d->upgrade))
		kill(upgrade_pid(d->upgrade), SIGTERM);
	begin_drain(d, true);
}

static void on_upgraded(void *arg, bool ok, pid_t pid)
{
	struct daemon *d = arg;

	if (d->draining)
		return; /* the successor was told to stop as well */
	if (!ok) {
		d->reload_after = false;
		err_set(&d->last_error, -EIO,
		    "the upgrade failed: %s did not become ready", d->program);
		log_err("%s; this process goes on", d->last_error.text);
		return;
	}
	log_info(
	    "process %ld has taken over; finishing what is in progress", (long)pid);
	if (d->reload_after)
		kill(pid, SIGHUP);
	sockets_handed_over(d->sockets);
	admin_drain(d->admin);
	begin_drain(d, false);
}

static void on_usr2(void *arg)
{
	struct daemon *d = arg;
	struct err e = ERR_INIT;

	if (d->draining || d->held) {
		log_warning("no upgrade while the daemon is %s",
		    d->draining ? "stopping" : "starting");
		return;
	}
	if (upgrade_is_pending(d->upgrade)) {
		log_warning("an upgrade is under way already: process %ld is starting",
		    (long)upgrade_pid(d->upgrade));
		return;
	}
	d->upgrade = upgrade_free(d->upgrade);
	log_info("starting %s as successor", d->program);
	if (upgrade_start(&d->upgrade, d->loop, d->program, d->argv, d->sockets,
		on_upgraded, d, &e) < 0) {
		d->last_error = e;
		log_err("the upgrade failed: %s", err_str(&e));
	}
}

void daemon_drained(struct daemon *d)
{
	d->drained = true;
	loop_stop(d->loop);
}

void daemon_fail(struct daemon *d)
{
	d->failed = true;
	loop_stop(d->loop);
}

/* --- watchdog ----------------------------------------------------------- */

static void ping_apply(void *self, void *next)
{
}

/* Every worker has answered; once this holds for each group, the watchdog is fed. */
static void ping_done(void *arg)
{
	struct daemon *d = arg;

	if (--d->pings_out == 0)
		notify_watchdog();
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	if (d->pings_out)
		return; /* a worker owes an answer: the service manager decides */
	if (!d->n_watched)
		notify_watchdog();
	d->pings_out = d->n_watched;
	for (unsigned i = 0; i < d->n_watched; i++)
		if (workers_publish(d->watched[i], ping_apply, NULL, ping_done, d) < 0)
			d->pings_out--;
}

void daemon_watch_workers(struct daemon *d, struct workers *ws)
{
	if (d->n_watched < MAX_WATCHED)
		d->watched[d->n_watched++] = ws;
}

static int start_watchdog(struct daemon *d)
{
	uint64_t ms = notify_watchdog_ms();
	struct timeval tv = ms_to_tv(ms);

	if (!ms)
		return 0;
	d->watchdog_timer =
	    event_new(loop_base(d->loop), -1, EV_TIMEOUT | EV_PERSIST, on_watchdog, d);
	return d->watchdog_timer && event_add(d->watchdog_timer, &tv) == 0 ? 0
									   : -ENOMEM;
}

/* --- start -------------------------------------------------------------- */

/* The first of a colon-separated list in the environment, or /var/lib/okd-<d>. */
static char *instance_dir(const char *env, const char *root, const char *name)
{
	const char *v = getenv(env);
	char *dir;

	if (v && *v)
		return strndup(v, strcspn(v, ":"));
	return asprintf(&dir, "%s/okd-%s", root, name) < 0 ? NULL : dir;
}

static int make_dir(const char *path, struct err *e)
{
	int r = dir_make(path, 0750);

	if (r < 0)
		return err_set(e, r,
		    "cannot create %s: %s; STATE_DIRECTORY and RUNTIME_DIRECTORY name "
		    "other folders",
		    path, strerror(-r));
	return 0;
}

static int prepare(struct daemon *d, struct err *e)
{
	int first, n, r;

	signal(SIGPIPE, SIG_IGN);
	n = upgrade_inherited(&first);
	r = sockets_new(&d->sockets, first, n);
	if (r < 0)
		return err_set(e, r, "out of memory");
	d->state_dir = instance_dir("STATE_DIRECTORY", "/var/lib", d->class->name);
	d->runtime_dir = instance_dir("RUNTIME_DIRECTORY", "/run", d->class->name);
	if (!d->state_dir || !d->runtime_dir)
		return err_set(e, -ENOMEM, "out of memory");
	r = make_dir(d->state_dir, e);
	if (r == 0)
		r = make_dir(d->runtime_dir, e);
	if (r < 0)
		return r;
	r = loop_new(&d->loop);
	if (r == 0)
		r = loop_on_signal(d->loop, SIGTERM, on_term, d);
	if (r == 0)
		r = loop_on_signal(d->loop, SIGINT, on_term, d);
	if (r == 0)
		r = loop_on_signal(d->loop, SIGHUP, on_hup, d);
	if (r == 0)
		r = loop_on_signal(d->loop, SIGUSR2, on_usr2, d);
	return r < 0 ? err_set(e, r, "cannot start the event loop: %s", strerror(-r))
		     : 0;
}

static void say_ready(struct daemon *d)
{
	if (upgrade_confirm() < 0) {
		log_err("the process that started this one is gone: giving up");
		daemon_fail(d);
		return;
	}
	/* Only the main process is heard by the service manager's store. */
	sockets_commit(d->sockets);
	d->ready_sent = true;
	log_info("ready (version %s)", OKD_VERSION);
	notify_ready();
}

static int start(struct daemon *d, struct err *e)
{
	void *conf = d->conf;
	int fds[MAX_ADMIN + 1], n, r;

	sockets_begin(d->sockets);
	r = n = bind_admin(d, conf, fds, e);
	if (r < 0)
		return r;
	r = d->class->start(&d->self, d, conf, e);
	if (r < 0)
		return r;
	r = admin_new(&d->admin, d->loop, &admin_ops, d, d->class->routes, d->self);
	if (r < 0)
		return err_set(e, r, "cannot start the admin socket: %s", strerror(-r));
	r = admin_listen(d->admin, fds, (unsigned)n);
	if (r < 0)
		return err_set(e, r, "cannot start the admin socket: %s", strerror(-r));
	r = start_watchdog(d);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (!d->held)
		say_ready(d);
	return 0;
}

static struct daemon *daemon_free(struct daemon *d)
{
	if (!d)
		return NULL;
	d->upgrade = upgrade_free(d->upgrade);
	d->admin = admin_free(d->admin);
	if (d->self)
		d->class->free(d->self);
	else if (d->conf)
		d->class->conf_free(d->conf);
	if (d->drain_timer)
		event_free(d->drain_timer);
	if (d->watchdog_timer)
		event_free(d->watchdog_timer);
	/* A successor that never came up leaves the predecessor's sockets alone. */
	if (d->sockets && upgrade_is_successor())
		sockets_handed_over(d->sockets);
	d->sockets = sockets_free(d->sockets);
	d->loop = loop_free(d->loop);
	free(d->default_conf_path);
	free(d->state_dir);
	free(d->runtime_dir);
	free(d);
	return NULL;
}

static int daemon_new(
    struct daemon **ret, const struct daemon_class *class, char *argv[])
{
	_cleanup_(daemon_freep) struct daemon *d = calloc(1, sizeof(*d));
	ssize_t n;

	if (!d)
		return -ENOMEM;
	d->class = class;
	d->argv = argv;
	d->opt.cluster_path = CLUSTER_PATH;
	if (asprintf(&d->default_conf_path, "/etc/okd-bastion/%s.yaml", class->name) <
	    0)
		return -ENOMEM;
	d->opt.conf_path = d->default_conf_path;
	d->last_load_ok = true;
	d->started_at = d->loaded_at = clock_real_s();
	n = readlink("/proc/self/exe", d->program, sizeof(d->program) - 1);
	if (n < 0)
		return -errno;

	*ret = TAKE(d);
	return 0;
}

int daemon_main(const struct daemon_class *class, int argc, char *argv[])
{
	_cleanup_(daemon_freep) struct daemon *d = NULL;
	struct err e = ERR_INIT;
	char ident[32];
	int r;

	snprintf(ident, sizeof(ident), "okd-%s", class->name);
	log_open(ident);
	if (daemon_new(&d, class, argv) < 0)
		fatal(EX_OSERR, "out of memory");
	r = parse_options(d, argc, argv);
	if (r >= 0)
		return r;
	if (d->opt.check)
		return check_conf(d);
	if (d->opt.verbose)
		log_set_level(LOG_DEBUG);
	if (load_conf(d, &d->conf, &e) < 0)
		fatal(EX_CONFIG, "%s", err_str(&e));
	r = prepare(d, &e);
	if (r == 0)
		r = start(d, &e);
	if (r < 0) {
		log_last_words();
		log_err("cannot start: %s", err_str(&e));
		/* A database of a newer version is as little mended by another start. */
		return r == -ENOTSUP ? EX_CONFIG : EXIT_FAILURE;
	}
	r = d->failed ? 0 : loop_run(d->loop);
	if (r < 0 || d->failed)
		return EXIT_FAILURE;
	log_info("stopped");
	return EXIT_SUCCESS;
}

/* --- for the daemon ----------------------------------------------------- */

struct loop *daemon_loop(struct daemon *d)
{
	return d->loop;
}

const char *daemon_state_dir(const struct daemon *d)
{
	return d->state_dir;
}

const char *daemon_runtime_dir(const struct daemon *d)
{
	return d->runtime_dir;
}

int daemon_listen(struct daemon *d, const struct net_endpoint *e, int type,
    unsigned want, int *fds, unsigned max, struct err *err)
{
	const struct net_endpoint *admin =
	    conf_list_items(d->admin_at, struct net_endpoint);

	/* The set would hand out that one socket for both. */
	for (size_t i = 0; type == SOCK_STREAM && i < d->admin_at->n; i++)
		if (admin[i].port == e->port && net_ip_eq(&admin[i].ip, &e->ip))
			return err_set(err, -EADDRINUSE,
			    "%s is among the addresses of admin: as well; give one of "
			    "the two another port",
			    net_endpoint_str(e));
	return sockets_get(d->sockets, e, type, want, fds, max, err);
}

void daemon_hold_ready(struct daemon *d)
{
	d->held++;
}

void daemon_release_ready(struct daemon *d)
{
	if (d->held && --d->held == 0 && !d->ready_sent)
		say_ready(d);
}

void daemon_status_line(struct daemon *d, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	notify_status("%s", text);
}
