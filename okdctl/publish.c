/* okdctl publish and image add: what openshift-install made, and CoreOS images, to where
 * the daemons serve them from. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fd.h"
#include "common/json.h"
#include "okdctl/cli.h"
#include "okdctl/fetch.h"
#include "okdctl/files.h"
#include "okdctl/ignd_dirs.h"
#include "okdctl/install.h"
#include "okdctl/out.h"
#include "okdctl/term.h"
#include "okdctl/validate.h"

#define SIG_MAX ((size_t)1 << 20)
#define DEFAULT_NAME "coreos.raw.xz"

/* --- publish ------------------------------------------------------------ */

static const char *const configs[] = { "bootstrap.ign", "master.ign", "worker.ign" };

/* What is being published: the files, and what okd-ignd's parser says of the configs. */
struct publication {
	struct cli *cli;
	struct files files;
	json_t *configs;
};

static void publication_deinit(struct publication *p)
{
	files_deinit(&p->files);
	json_freep(&p->configs);
}

/* A file that nodes would choke on is found before it is published.  Certificates that
 * do not hold are told, but that may be the clock of this host. */
static int check_config(struct publication *p, const char *path, const struct str *text)
{
	json_t *v = validate_text(path, str_get(text), text->len, clock_real_s());
	const char *why = validate_reason(v);

	if (!v || json_array_append_new(p->configs, v) < 0)
		return cli_fail(EXIT_FAILED, "out of memory");
	if (!str_eq(text_of(v, "state"), "good"))
		return cli_fail(EXIT_FAILED,
		    "%s; a node would refuse it, nothing was published", why);
	if (why)
		cli_fail(0, "%s: %s", path, why);
	return 0;
}

static const char *hint_of(int r)
{
	switch (-r) {
	case ENOENT:
		return "; DIR is where \"openshift-install create ignition-configs\" "
		       "worked";
	case EINVAL:
		return "; it is no plain file";
	case EFBIG:
		return "; no Ignition file is larger than 32 MiB";
	default:
		return "";
	}
}

static int add(struct publication *p, const char *from, const char *dir,
    const char *name, const char *group, bool is_config)
{
	_cleanup_(str_deinit) struct str to = STR_INIT, text = STR_INIT;
	struct err e = ERR_INIT;
	int r = validate_read(from, &text);

	if (r < 0)
		return cli_fail(cli_status_of(r), "cannot read %s: %s%s", from,
		    strerror(-r), hint_of(r));
	r = is_config ? check_config(p, from, &text) : 0;
	if (r)
		return r;
	str_addf(&to, "%s/%s", dir, name);
	r = files_add(&p->files, str_get(&to), 0640, group, &text, &e);
	return r < 0 ? cli_fail_err(cli_status_of(r), &e) : 0;
}

static int collect(struct publication *p, const char *ignition)
{
	_cleanup_(str_deinit) struct str kubeconfig = STR_INIT;
	const char *dir = p->cli->args[0];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(configs); i++) {
		_cleanup_(str_deinit) struct str from = STR_INIT;

		str_addf(&from, "%s/%s", dir, configs[i]);
		r = add(p, str_get(&from), ignition, configs[i], "okd-ignd", true);
	}
	str_addf(&kubeconfig, "%s/auth/kubeconfig", dir);
	return r ? r
		 : add(p, str_get(&kubeconfig), p->cli->etc, "kubeconfig", "okd-csrd",
		       false);
}

/* A folder that is not there yet must be one that the daemon may enter. */
static int make_folder(const char *dir)
{
	const struct group *g = getgrnam("okd-ignd");
	bool is_new = access(dir, F_OK) < 0;
	int r = dir_make(dir, 0750);

	if (r == 0 && is_new && g && geteuid() == 0 && chown(dir, 0, g->gr_gid) < 0)
		r = -errno;
	return r;
}

static int report(const struct publication *p)
{
	_cleanup_(str_deinit) struct str out = STR_INIT;

	if (p->cli->json)
		return out_json_take(json_pack("{s:b, s:o, s:O}", "written", 1, "files",
		    files_json(&p->files), "ignition", p->configs));
	files_print(&p->files, true, &out);
	fputs(str_get(&out), stdout);
	printf("%s/auth is published to nobody; keep kubeadmin-password.\n",
	    p->cli->args[0]);
	return 0;
}

int publish_run(struct cli *c)
{
	_cleanup_(publication_deinit) struct publication p = { .cli = c,
		.configs = json_array() };
	_cleanup_(str_deinit) struct str dir = STR_INIT;
	struct err e = ERR_INIT;
	int r;

	ignd_dir(c, "ignition", &dir);
	r = collect(&p, str_get(&dir));
	if (r)
		return r;
	/* A new set replaces the old one as a whole: its certificates are of one CA. */
	for (size_t i = 0; i < p.files.n; i++)
		if (p.files.v[i].state == FILE_DIFFERS)
			p.files.v[i].state = FILE_RENEWED;
	r = make_folder(str_get(&dir));
	if (r < 0)
		return cli_fail(cli_status_of(r), "cannot create %s: %s", str_get(&dir),
		    strerror(-r));
	r = files_write(&p.files, &e);
	return r < 0 ? cli_fail_err(cli_status_of(r), &e) : report(&p);
}

/* --- image add ---------------------------------------------------------- */

struct image {
	struct cli *cli;
	const char *source;
	bool is_url;
	char path[4096], temporary[4200];
	int fd;
	bool unnamed; /* it has no name so far */
	uint64_t told, done;
};

static void progress(void *arg, uint64_t done, uint64_t total)
{
	struct image *i = arg;
	_cleanup_(str_deinit) struct str text = STR_INIT;

	i->done = done;
	if (!isatty(STDERR_FILENO) || (done - i->told < 1 << 20 && done != total))
		return;
	i->told = done;
	term_add_bytes(&text, done);
	if (total)
		str_addf(&text, ", %d %%", (int)(100 * done / total));
	fprintf(stderr, "\r%s  %s", str_get(&text), done == total ? "\n" : "");
}

static int copy_file(struct image *i)
{
	_cleanup_(fd_closep) int from =
	    open(i->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_(freep) char *buf = malloc(1 << 20);
	struct stat st;
	uint64_t done = 0;
	ssize_t n;

	if (from < 0 || !buf || fstat(from, &st) < 0)
		return cli_fail(cli_status_of(-errno), "cannot read %s: %s", i->source,
		    strerror(errno));
	if (!S_ISREG(st.st_mode))
		return cli_fail(EXIT_FAILED, "%s is no plain file", i->source);
	while ((n = read(from, buf, 1 << 20)) > 0) {
		int r = fd_write_all(i->fd, buf, (size_t)n);

		if (r < 0)
			return cli_fail(
			    EXIT_FAILED, "cannot write %s: %s", i->path, strerror(-r));
		done += (uint64_t)n;
		progress(i, done, (uint64_t)st.st_size);
	}
	return n < 0
	    ? cli_fail(EXIT_FAILED, "cannot read %s: %s", i->source, strerror(errno))
	    : 0;
}

static int download(struct image *i)
{
	const struct http_client_request req = {
		.url = i->source, .redirects = 5, .idle_timeout_ms = 60000
	};
	struct err e = ERR_INIT;
	int r = fetch_to(&req, i->fd, progress, i, &e);

	if (r == 200)
		return 0;
	return r < 0 ? cli_fail_err(EXIT_FAILED, &e)
		     : cli_fail(EXIT_FAILED, "%s: the server says %d", i->source, r);
}

/* The digest of what was written; it is what a node will get. */
static int hash(struct image *i, char hex[2 * DIGEST_MAX + 1])
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	_cleanup_(freep) char *buf = malloc(1 << 20);
	uint8_t out[DIGEST_MAX];
	ssize_t n = -1;

	if (buf && digest_new(&d, DIGEST_SHA256) == 0 &&
	    lseek(i->fd, 0, SEEK_SET) == 0) {
		while ((n = read(i->fd, buf, 1 << 20)) > 0)
			digest_update(d, buf, (size_t)n);
	}
	if (n < 0)
		return cli_fail(EXIT_FAILED, "cannot read %s back", i->temporary);
	digest_final(d, out);
	hex_encode(out, DIGEST_SHA256_SIZE, hex);
	return 0;
}

/* FILE.sig beside a file, URL.sig beside a URL; "" when there is none. */
static int signature(struct image *i, struct str *out)
{
	_cleanup_(str_deinit) struct str name = STR_INIT;
	struct http_client_request req = { .redirects = 5, .timeout_ms = 60000 };
	struct err e = ERR_INIT;
	int r;

	str_addf(&name, "%s.sig", i->source);
	req.url = str_get(&name);
	if (!i->is_url) {
		r = file_read(str_get(&name), SIG_MAX, out);
		return r < 0 && r != -ENOENT
		    ? cli_fail(cli_status_of(r), "cannot read %s: %s", str_get(&name),
			  strerror(-r))
		    : 0;
	}
	r = fetch(&req, out, &e);
	if (r != 200)
		str_reset(out);
	/* That there is none is what a server says, not one that does not answer. */
	if (r < 0)
		return cli_fail_err(EXIT_FAILED, &e);
	return r >= 500
	    ? cli_fail(EXIT_FAILED, "%s: the server says %d", str_get(&name), r)
	    : 0;
}

/* A file without a name gets the temporary one. */
static int give_name(const struct image *i)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", i->fd);
	return linkat(AT_FDCWD, self, AT_FDCWD, i->temporary, AT_SYMLINK_FOLLOW) < 0
	    ? -errno
	    : 0;
}

/* Where the file system can, the file has no name until it is whole: nothing is left of
 * what somebody or something ends in the middle. */
static int begin(struct image *i, const char *dir, const char *name)
{
	i->fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	i->unnamed = i->fd >= 0;
	snprintf(i->temporary, sizeof(i->temporary),
	    i->unnamed ? "%s/.%s.%ld" : "%s/.%s.XXXXXX", dir, name, (long)getpid());
	if (!i->unnamed)
		i->fd = mkostemp(i->temporary, O_CLOEXEC);
	return i->fd < 0 ? -errno : 0;
}

/* The image goes live before its signature is missed: signature first. */
static int install_it(struct image *i, const struct str *sig)
{
	_cleanup_(str_deinit) struct str path = STR_INIT;
	int r = 0;

	str_addf(&path, "%s.sig", i->path);
	if (fchmod(i->fd, 0644) < 0 || fsync(i->fd) < 0)
		r = -errno;
	if (r == 0 && sig->len)
		r = file_replace(str_get(&path), 0644, sig->s, sig->len);
	/* One that is left of another image would make this one look forged. */
	else if (r == 0 && unlink(str_get(&path)) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && i->unnamed)
		r = give_name(i);
	if (r == 0 && rename(i->temporary, i->path) < 0)
		r = -errno;
	return r < 0
	    ? cli_fail(cli_status_of(r), "cannot write %s: %s", i->path, strerror(-r))
	    : 0;
}

static int fill(struct image *i, const char *want)
{
	_cleanup_(str_deinit) struct str sig = STR_INIT;
	char hex[2 * DIGEST_MAX + 1];
	int r = i->is_url ? download(i) : copy_file(i);

	if (r == 0)
		r = hash(i, hex);
	if (r == 0 && want && strcasecmp(want, hex) != 0)
		r = cli_fail(EXIT_FAILED,
		    "%s has the SHA-256 %s, not %s; nothing was published", i->source,
		    hex, want);
	if (r == 0)
		r = signature(i, &sig);
	if (r == 0 && !sig.len && !cli_has(i->cli, "unsigned"))
		r = cli_fail(EXIT_FAILED,
		    "there is no %s.sig; coreos-installer refuses an image without its "
		    "signature: get it from the same page, or give --unsigned",
		    i->source);
	if (r == 0)
		r = install_it(i, &sig);
	if (r || i->cli->json)
		return r ? r
			 : out_json_take(json_pack("{s:s, s:s, s:I, s:b}", "path",
			       i->path, "sha256", hex, "bytes", (json_int_t)i->done,
			       "signed", sig.len > 0));
	printf("%s\n  sha256 %s\n", i->path, hex);
	return 0;
}

int image_add_run(struct cli *c)
{
	_cleanup_(str_deinit) struct str dir = STR_INIT;
	struct image i = { .cli = c, .source = c->args[0], .fd = -1 };
	const char *name = cli_get(c, "name");
	int r;

	name = name ? name : DEFAULT_NAME;
	if (strchr(name, '/') || name[0] == '.' || !*name)
		return cli_fail(EXIT_USAGE, "\"%s\" is no file's name", name);
	i.is_url = str_starts(i.source, "http://") || str_starts(i.source, "https://");
	ignd_dir(c, "install", &dir);
	r = dir_make(str_get(&dir), 0755);
	if (r < 0)
		return cli_fail(cli_status_of(r), "cannot create %s: %s", str_get(&dir),
		    strerror(-r));
	snprintf(i.path, sizeof(i.path), "%s/%s", str_get(&dir), name);
	r = begin(&i, str_get(&dir), name);
	if (r < 0)
		return cli_fail(cli_status_of(r), "cannot write to %s: %s",
		    str_get(&dir), strerror(-r));
	r = fill(&i, cli_get(c, "sha256"));
	if (r)
		unlink(i.temporary);
	fd_close(i.fd);
	return r;
}
