/* Check of the machine config servers as a node meets them at its first start: the pointer
 * in the role's Ignition file names the server and the authority that it must be of, which is
 * another one than the API's. */
#include <errno.h>
#include <stdio.h>

#include "common/cluster.h"
#include "common/fd.h"
#include "common/json.h"
#include "ignd/resource.h"
#include "okdctl/check.h"
#include "okdctl/cli.h"
#include "okdctl/fetch.h"
#include "okdctl/ignd_dirs.h"
#include "okdctl/out.h"

#define FILE_MAX ((size_t)32 << 20)
#define TIMEOUT_MS 3000

/* --- what the file says ------------------------------------------------- */

static int add_authorities(const json_t *list, struct str *out)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *source = json_str(json_array_get(list, i), "source");
		struct err ignored = ERR_INIT;
		int r = source && resource_is_data(source)
		    ? resource_decode(source, strlen(source), out, &ignored)
		    : -EINVAL;

		if (r < 0)
			return r;
		str_addc(out, '\n');
	}
	return str_err(out);
}

int check_mcs_pointer(
    const char *ign, size_t n, struct str *authorities, struct str *url)
{
	_cleanup_(json_freep) json_t *v = NULL;
	const json_t *config, *merge;
	int r = json_load_limited(&v, NULL, ign, n, 0, NULL);

	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	config = json_path(v, "ignition", "config", NULL);
	merge = json_object_get(config, "merge"); /* "append" before spec 3 */
	if (!merge)
		merge = json_object_get(config, "append");
	str_addz(url, text_of(json_array_get(merge, 0), "source"));
	return add_authorities(
	    json_path(v, "ignition", "security", "tls", "certificateAuthorities", NULL),
	    authorities);
}

struct pointer {
	const char *name; /* "worker.ign" */
	struct str authorities, url;
};

static void pointer_deinit(struct pointer *p)
{
	str_deinit(&p->authorities);
	str_deinit(&p->url);
}

/* False where there is no such file, or none that points anywhere. */
static bool read_pointer(struct check *k, struct pointer *p)
{
	_cleanup_(str_deinit) struct str path = STR_INIT, text = STR_INIT;

	ignd_dir(k->cli, "ignition", &path);
	str_addf(&path, "/%s", p->name);
	if (file_read(str_get(&path), FILE_MAX, &text) < 0)
		return false;
	return check_mcs_pointer(str_get(&text), text.len, &p->authorities, &p->url) ==
	    0 &&
	    p->url.len;
}

/* --- what the servers show ---------------------------------------------- */

/* True when nodes with this file will believe the server. */
static bool ask(struct check *k, const struct pointer *p, const json_t *server)
{
	char url[200], name[300];
	struct err why = ERR_INIT;
	const struct http_client_request req = {
		.url = url,
		.ca_pem = str_get(&p->authorities),
		.tls_server_name = name,
		.connect_timeout_ms = TIMEOUT_MS,
		.timeout_ms = TIMEOUT_MS,
	};
	int r;

	snprintf(
	    url, sizeof(url), "https://%.100s/healthz", text_of(server, "address"));
	snprintf(name, sizeof(name), "api-int.%s", k->cluster->domain);
	r = fetch(&req, NULL, &why);
	if (r == -EACCES)
		check_add(k, CHECK_FAIL,
		    "the servers run another install than the one that was published: "
		    "okdctl publish DIR of the install that runs, or create "
		    "ignition-configs and boot all nodes anew",
		    "a node with %s does not believe the machine config server of %s: "
		    "%s; it would say \"x509: certificate signed by unknown "
		    "authority\" or \"valid for ..., not %s\"",
		    p->name, text_of(server, "name"), why.text, name);
	return r > 0;
}

/* "https://api-int.okd.example.com:22623/config/worker" */
static bool points_here(struct check *k, const struct pointer *p)
{
	char want[320];

	snprintf(want, sizeof(want), "https://api-int.%s:22623/", k->cluster->domain);
	if (str_starts(str_get(&p->url), want))
		return true;
	/* What was merged from elsewhere may be a person's own. */
	if (!strstr(str_get(&p->url), ":22623/"))
		return false;
	check_add(k, CHECK_FAIL,
	    "metadata.name and baseDomain of install-config.yaml must be name and "
	    "base_domain of cluster.yaml: correct it, create ignition-configs again, "
	    "okdctl publish DIR",
	    "%s sends its node to %s instead of %s: it would wait for ever", p->name,
	    str_get(&p->url), want);
	return false;
}

void check_mcs(struct check *k, const json_t *backend)
{
	static const char *const names[] = { "master.ign", "worker.ign" };
	const json_t *servers = json_object_get(backend, "servers");
	unsigned asked = 0, well = 0;

	for (size_t i = 0; k->cluster && i < ARRAY_SIZE(names); i++) {
		_cleanup_(pointer_deinit) struct pointer p = { .name = names[i] };

		if (!read_pointer(k, &p) || !points_here(k, &p) || !p.authorities.len)
			continue;
		for (size_t s = 0; s < json_array_size(servers); s++) {
			const json_t *v = json_array_get(servers, s);

			if (!str_starts(text_of(v, "status"), "UP"))
				continue;
			asked++;
			well += ask(k, &p, v);
		}
	}
	if (asked && well == asked)
		check_add(k, CHECK_OK, NULL,
		    "the machine config servers have certificates that the nodes' "
		    ".ign files trust");
}
