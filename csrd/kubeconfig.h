/*
 * kubeconfig files, as kubectl reads them: several are merged (the first that says a
 * thing wins), paths are relative to their own file, data goes before files.  What
 * would have to run a program (exec, auth-provider) is refused.
 */
#pragma once

#include <sys/stat.h>

#include "common/base.h"
#include "common/conf.h"
#include "common/err.h"

enum { KUBECONFIG_FILES = 16, KUBECONFIG_GROUPS = 16 };

/* How a file that went into it looked when it was read. */
struct kubeconfig_file {
	char *path;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct kubeconfig {
	char *context; /* the name of the context in use */
	char *server;  /* https://host:port, without a final slash */
	char *ca;      /* PEM text, as certificate and key; NULL: the system's */
	char *tls_server_name, *proxy;
	bool insecure;
	char *certificate, *key;
	char *token;
	char *username, *password;
	char *as;
	char *as_groups[KUBECONFIG_GROUPS];
	unsigned n_as_groups;

	struct kubeconfig_file files[KUBECONFIG_FILES];
	unsigned n_files;
};

/*
 * Reads the files of a list (char *, each may hold several with colons between, as
 * $KUBECONFIG does); those that do not exist are passed over.  -ENOENT when none
 * exists, else -errno with a sentence that names the file and line.
 */
int kubeconfig_load(
    struct kubeconfig **ret, const struct conf_list *paths, struct err *e) _mustcheck_;
struct kubeconfig *kubeconfig_free(struct kubeconfig *k);
DEFINE_FREEP(kubeconfig)
/* Has any file that it was read from changed, gone, or (of the list) come? */
bool kubeconfig_is_stale(const struct kubeconfig *k, const struct conf_list *paths);
