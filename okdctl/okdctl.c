/* The table of commands: see okdctl.h. */
#include "okdctl/okdctl.h"

#include "okdctl/install.h"
#include "okdctl/verbs.h"

#define END                               \
	{                                 \
		.name = NULL, .arg = NULL \
	}

static const struct cli_option init_options[] = {
	{ "name", "NAME", "the cluster's name, as okd", 0 },
	{ "base-domain", "DOMAIN", "the domain it is below, as example.com", 0 },
	{ "bastion", "ADDRESS", "this host's address for the nodes (repeatable)", 0 },
	{ "bastion-name", "NAME", "this host's name (default: bastion)", 0 },
	{ "gateway", "ADDRESS", "the nodes' gateway", 0 },
	{ "machine-network", "CIDR", "the nodes' network (repeatable)", 0 },
	{ "upstream-dns", "ADDRESS",
	    "who knows the other names (repeatable; default: the "
	    "resolvers of this host)",
	    0 },
	{ "ingress", "ADDRESS", "where *.apps points (default: the bastion)", 0 },
	{ "node", "KEYS",
	    "name=...,role=...,address=...[,mac=,interface=,disk=,karg=] "
	    "(repeatable)",
	    0 },
	{ "topology", "FILE", "a whole cluster.yaml instead of the options above", 0 },
	{ "from", "FILE", "an install-config.yaml to complete", 0 },
	{ "release", "VERSION", "of OKD, as 4.5 or 4.17 (default: 4.5)", 0 },
	{ "cluster-network", "CIDR", "of the pods (default: 10.128.0.0/14)", 0 },
	{ "service-network", "CIDR", "of the services (default: 172.30.0.0/16)", 0 },
	{ "ssh-key", "FILE", "a public key (default: yours in ~/.ssh)", 0 },
	{ "pull-secret", "FILE", "pull secrets to add to the registry's", 0 },
	{ "registry-user", "NAME", "the registry's first user (default: admin)", 0 },
	{ "registry-password-file", "FILE",
	    "its password, - for stdin (default: random)", 0 },
	{ "apply", NULL, "also do what the host needs, after listing it", 0 },
	{ "root", "DIR", "with --apply: the files below DIR, no programs", 0 },
	{ "dry-run", NULL, "say what would be done, do nothing", 'n' },
	{ "force", NULL, "replace files that differ, keeping a copy beside each", 0 },
	END,
};

static const struct cli_option kargs_options[] = {
	{ "ipxe", NULL, "as an iPXE script", 0 },
	{ "raw", NULL, "the line alone, without hints on stderr", 0 },
	{ "image", "FILE", "the image's name or URL (default: coreos.raw.xz)", 0 },
	{ "url", "URL", "of okd-ignd (default: http://BASTION:PORT, as it listens)",
	    0 },
	END,
};

static const struct cli_option status_options[] = {
	{ "watch", NULL, "draw it again every second, until Ctrl-C", 'w' },
	END,
};

static const struct cli_option image_options[] = {
	{ "name", "NAME", "what it is called there (default: coreos.raw.xz)", 0 },
	{ "sha256", "HEX", "what it must be", 0 },
	{ "unsigned", NULL, "publish it without a signature", 0 },
	END,
};

static const struct cli_option mirror_options[] = {
	{ "from", "REPOSITORY",
	    "default: quay.io/openshift/okd, since 4.16 quay.io/okd/scos-release", 0 },
	{ "attempts", "N", "how often oc is run (default: 5)", 0 },
	END,
};

static const struct cli_option dry_options[] = {
	{ "dry-run", NULL, "say what would be done, do nothing", 'n' },
	END,
};

static const struct cli_option tune_options[] = {
	{ "apply", NULL, "run them through oc, with the kubeconfig in --etc", 0 },
	END,
};

static const struct cli_option wait_options[] = {
	{ "timeout", "TIME", "as 30m; then exit status 1 (default: none)", 0 },
	END,
};

static const struct cli_option logs_options[] = {
	{ "node", "NAME", "lines about this node alone", 0 },
	{ "follow", NULL, "go on as lines come", 'f' },
	{ "lines", "N", "how many at first (default: 200)", 'n' },
	{ "since", "TIME", "as journalctl has it: -1h, today", 0 },
	END,
};

static const struct cli_option verify_options[] = {
	{ "repository", "NAME", "default: openshift/okd, since 4.16 okd/scos", 0 },
	{ "rehash", NULL, "read every blob and check its digest", 0 },
	END,
};

static const struct cli_option prune_options[] = {
	{ "repository", "NAME", "default: openshift/okd, since 4.16 okd/scos", 0 },
	{ "dry-run", NULL, "only say what would go", 'n' },
	END,
};

static const struct cli_option repository_options[] = {
	{ "repository", "NAME", "of the registry", 0 },
	END,
};

static const struct cli_option user_options[] = {
	{ "password-file", "FILE", "- for stdin (default: a random one, printed)", 0 },
	END,
};

static const struct cli_option open_options[] = {
	{ "for", "TIME", "as 30m or 2h (default: until closed)", 0 },
	{ "once", NULL, "for one complete fetch", 0 },
	END,
};

static const struct cli_option lb_open_options[] = {
	{ "for", "TIME", "as 30m or 2h (default: 2h)", 0 },
	END,
};

static const struct cli_option all_options[] = {
	{ "all", NULL, "those that are decided as well", 'a' },
	END,
};

const struct cli_command okdctl_commands[] = {
	{ "init", "",
	    "describe the cluster and make what the daemons and the installer need",
	    "Writes cluster.yaml, the registry's CA and certificate, its first user, "
	    "the\n"
	    "pull secret, regd.yaml and install-config.yaml into --etc.  On a terminal "
	    "it\n"
	    "asks for what it does not know.  Run again, it changes nothing; what is\n"
	    "there and differs is replaced only with --force, and a copy stays beside "
	    "it.",
	    "okdctl init --name okd --base-domain example.com \\\n"
	    "    --bastion 192.168.120.101 --machine-network 192.168.120.0/24 \\\n"
	    "    --node name=bootstrap,role=bootstrap,address=192.168.120.102,disk=sda "
	    "\\\n"
	    "    --node name=master,role=master,address=192.168.120.103,disk=sda \\\n"
	    "    --node name=worker,role=worker,address=192.168.120.104,disk=sda\n"
	    "okdctl init --topology cluster.yaml --apply\n"
	    "okdctl init --from install-config.yaml --bastion 192.168.120.101 ...\n",
	    init_options, 0, 0, init_run },
	{ "check", "[GROUP...]",
	    "say what is well, what is not, and what to do about it",
	    "Looks at everything an install depends on, before the daemons run and "
	    "while\n"
	    "the install does: a line each, OK, NOT YET, WARN or FAIL, and the next "
	    "step.\n"
	    "Exit status 1 when a line says FAIL.  GROUP limits it to a group of "
	    "checks:\ncluster, host, secrets, daemons, ports, dns, lb, registry, files "
	    "or csr.",
	    "okdctl check\nokdctl check dns registry\nokdctl check --json\n", NULL, 0,
	    CLI_ANY_ARGS, check_run },
	{ "status", "", "the whole install on one screen",
	    "What every daemon says of itself.  A daemon that does not run is shown as "
	    "such.",
	    "okdctl status\nokdctl status --watch\nokdctl status --json | jq .dnsd\n",
	    status_options, 0, 0, status_run },
	{ "kargs", "NODE", "the kernel arguments that install a node",
	    "Prints what a person would type at the boot prompt: address, name "
	    "server,\n"
	    "disk, image and Ignition file, from cluster.yaml.  The image's name, "
	    "further\n"
	    "arguments for all nodes and the node's token are those of ignd.yaml.",
	    "okdctl kargs master\nokdctl kargs worker --ipxe > worker.ipxe\n",
	    kargs_options, 1, 1, kargs_run },
	{ "import", "corefile|haproxy|nginx|etcd FILE",
	    "turn an existing bastion's configuration into ours",
	    "Prints our configuration, made from the existing one, and on stderr what\n"
	    "cannot be carried over, line by line.  For etcd, FILE is what\n"
	    "\"etcdctl get --prefix /skydns -w json\" printed; - is stdin.",
	    "okdctl import corefile /etc/coredns/Corefile > dnsd.yaml\n"
	    "okdctl import haproxy /etc/haproxy/haproxy.cfg > lbd.yaml\n"
	    "etcdctl get --prefix /skydns -w json | okdctl import etcd -\n",
	    NULL, 2, 2, import_run },
	{ "reload", "[DAEMON...]", "have the daemons read their files again",
	    "Running connections live on.  A daemon that cannot use its files keeps "
	    "what\n"
	    "it has, and its reason is told.",
	    "okdctl reload\nokdctl reload dnsd lbd\n", NULL, 0, CLI_ANY_ARGS,
	    reload_run },
	{ "upgrade", "[DAEMON...]",
	    "have the daemons become the programs that are installed",
	    "Each starts the program file that lies on the disk as its successor and\n"
	    "hands it its sockets.  No connection ends, no query is lost.  A daemon "
	    "whose\n"
	    "successor does not come up goes on as it is, and that is told.",
	    "okdctl upgrade\nokdctl upgrade lbd\n", NULL, 0, CLI_ANY_ARGS,
	    upgrade_run },
	{ "wait", "api|mcs|handover|complete|node [NODE]",
	    "until the install has come so far",
	    "Returns when the API answers, the machine configs are served, the masters "
	    "have\n"
	    "taken over from the bootstrap, the install is complete, or a node is "
	    "Ready.",
	    "okdctl wait handover && ssh core@bootstrap sudo poweroff\n"
	    "okdctl wait node worker --timeout 30m\n",
	    wait_options, 1, 2, wait_run },
	{ "publish", "DIR", "hand what openshift-install made to the daemons",
	    "Copies bootstrap.ign, master.ign and worker.ign to okd-ignd's folder and\n"
	    "auth/kubeconfig to okd-csrd, each readable by that daemon alone.  Nothing "
	    "of\n"
	    "auth/ is ever served.",
	    "openshift-install create ignition-configs --dir install\n"
	    "okdctl publish install\n",
	    NULL, 1, 1, publish_run },
	{ "image add", "FILE|URL", "publish a CoreOS image and its signature",
	    "Copies or downloads the image to okd-ignd's folder, with FILE.sig or "
	    "URL.sig\n"
	    "beside it: coreos-installer refuses an image without.",
	    "okdctl image add fedora-coreos-32.20200907.3.0-metal.x86_64.raw.xz\n",
	    image_options, 1, 1, image_add_run },
	{ "mirror", "RELEASE",
	    "mirror a release into the registry, again until it is whole",
	    "Runs \"oc adm release mirror\", which retries next to nothing by itself, "
	    "until\n"
	    "it succeeds, and verifies the result.",
	    "okdctl mirror 4.5.0-0.okd-2020-07-14-153706-ga\n", mirror_options, 1, 1,
	    mirror_run },
	{ "node add", "KEYS", "add a node to cluster.yaml",
	    "The file stays as it is written, with one more line.",
	    "okdctl node add "
	    "name=worker2,role=worker,address=192.168.120.105,disk=sda\n"
	    "okdctl reload\n",
	    NULL, 1, 1, node_add_run },
	{ "node remove", "NODE", "take a node out of cluster.yaml",
	    "The file stays as it is written, without that node.",
	    "okdctl node remove bootstrap && okdctl reload\n", NULL, 1, 1,
	    node_remove_run },
	{ "reset", "", "make ready for a reinstall",
	    "Says what it will do and asks.  Records and the registry stay.",
	    "okdctl reset\nokdctl reset --dry-run\n", dry_options, 0, 0, reset_run },
	{ "tune", "single-master|single-worker|no-workers",
	    "what a cluster of that size needs",
	    "Prints the oc commands; --apply runs them.",
	    "okdctl tune single-master\nokdctl tune single-worker --apply\n",
	    tune_options, 1, 1, tune_run },
	{ "dns get", "NAME|ADDRESS [TYPE]", "ask okd-dnsd for a name",
	    "An address is asked for its name, and a name of one label below the "
	    "cluster's\ndomain.  TYPE is A, AAAA, PTR or SRV.",
	    "okdctl dns get api.okd.example.com\nokdctl dns get 192.168.120.103\n",
	    NULL, 1, 2, dns_get_run },
	{ "dns put", "NAME [TTL] TYPE VALUE...", "keep a record in okd-dnsd's store",
	    "The words are those of a zone file.  A name without a final dot is below "
	    "the\n"
	    "cluster's domain.  It is there when the command returns.",
	    "okdctl dns put ntp A 192.168.120.5\n"
	    "okdctl dns put helpdesk.example.com. 300 CNAME www.example.com.\n",
	    NULL, 3, CLI_ANY_ARGS, dns_change_run },
	{ "dns del", "NAME TYPE VALUE...|KEY", "take a record out of the store",
	    "The record as it was put, or its key below /skydns.",
	    "okdctl dns del ntp A 192.168.120.5\n"
	    "okdctl dns del /skydns/com/example/okd/ntp\n",
	    NULL, 1, CLI_ANY_ARGS, dns_change_run },
	{ "dns ls", "[PREFIX]", "what the store holds",
	    "Keys and values as etcd has them.",
	    "okdctl dns ls\nokdctl dns ls /skydns/com/example/okd\n", NULL, 0, 1,
	    dns_list_run },
	{ "dns import", "FILE", "take etcd's records into the store, all or none",
	    "FILE is what \"etcdctl get --prefix /skydns -w json\" printed; - is "
	    "stdin.",
	    "etcdctl get --prefix /skydns -w json | okdctl dns import -\n", NULL, 1, 1,
	    dns_import_run },
	{ "lb show", "", "the balancer's servers", "A line each.",
	    "okdctl lb show\nokdctl lb show --json\n", NULL, 0, 0, lb_show_run },
	{ "lb drain", "BACKEND SERVER", "no new connections for a server",
	    "Those that it has live on.",
	    "okdctl lb drain openshift-api-server bootstrap\n", NULL, 2, 2,
	    lb_state_run },
	{ "lb ready", "BACKEND SERVER", "serve from a server again",
	    "Undoes drain and maint.", "okdctl lb ready openshift-api-server master\n",
	    NULL, 2, 2, lb_state_run },
	{ "lb maint", "BACKEND SERVER", "neither connections nor checks for a server",
	    "For work on it.", "okdctl lb maint openshift-api-server master\n", NULL, 2,
	    2, lb_state_run },
	{ "lb weight", "BACKEND SERVER N", "a server's share", "0 to 256.",
	    "okdctl lb weight ingress-https worker 50\n", NULL, 3, 3, lb_weight_run },
	{ "lb open", "", "let nodes fetch machine configs after the install",
	    "Port 22623 is closed once the install is complete.  This opens it for a "
	    "time to\nthe nodes of cluster.yaml: for one that comes later.",
	    "okdctl lb open --for 2h\n", lb_open_options, 0, 0, lb_open_run },
	{ "registry verify-release", "RELEASE", "is a mirrored release whole?",
	    "Names each image that is missing, and the command that brings it.",
	    "okdctl registry verify-release 4.5.0-0.okd-2020-07-14-153706-ga\n",
	    verify_options, 1, 1, registry_verify_run },
	{ "registry user", "ls|set|del [NAME]", "the users of the registry",
	    "A user that is set gets a random password, which is printed, or the given "
	    "one.",
	    "okdctl registry user set ci\nokdctl registry user ls\n", user_options, 1,
	    2, registry_user_run },
	{ "registry gc", "", "remove what no image refers to", "Runs while serving.",
	    "okdctl registry gc --dry-run\n", dry_options, 0, 0, registry_gc_run },
	{ "registry prune", "RELEASE...", "remove every release but these",
	    "Images that other tags or the kept releases hold stay.  Signatures and "
	    "the like\n"
	    "that lie beside an image go and stay with it.  The space is free after "
	    "the next\nregistry gc.",
	    "okdctl registry prune --dry-run 4.5.0-0.okd-2020-07-14-153706-ga\n",
	    prune_options, 1, 32, registry_prune_run },
	{ "registry import", "DIR", "take over another registry's data",
	    "DIR is the root of registry:2, a folder that \"oc image mirror --to-dir\" "
	    "made,\n"
	    "or an OCI layout.  Ends when all is taken over; ended before, it goes on "
	    "in\n"
	    "okd-regd.  Exit status 1 when something could not be taken over.",
	    "okdctl registry import /opt/registry/data\n", repository_options, 1, 1,
	    registry_import_run },
	{ "registry mirror-config", "", "pieces for install-config.yaml and the nodes",
	    "imageContentSources, ImageDigestMirrorSet, registries.conf and more.",
	    "okdctl registry mirror-config\n", repository_options, 0, 0,
	    registry_pieces_run },
	{ "registry ledger", "[DIGEST]", "which node pulled what",
	    "With a digest, the nodes that still lack it too.",
	    "okdctl registry ledger\n", NULL, 0, 1, registry_ledger_run },
	{ "ign nodes", "", "how far each node's installation is", "A line each.",
	    "okdctl ign nodes\n", NULL, 0, 0, ign_nodes_run },
	{ "ign open", "[NODE]", "let a node, or all, fetch its .ign file",
	    "Until closed, or for a time, or once.",
	    "okdctl ign open worker --for 2h --once\n", open_options, 0, 1,
	    ign_window_run },
	{ "ign close", "[NODE]", "no .ign file for a node, or for any",
	    "What a window that is closed answers is set in ignd.yaml.",
	    "okdctl ign close\n", NULL, 0, 1, ign_window_run },
	{ "ign validate", "[FILE...]", "are .ign files what a node takes?",
	    "Those on this disk, before they are published, with the parser of "
	    "okd-ignd;\n"
	    "without FILE, those that okd-ignd serves.  A line for each: what a node "
	    "would\n"
	    "refuse, with line and column, and how long its certificates hold.  Exit "
	    "status\n"
	    "1 when a node could not start from one.",
	    "okdctl ign validate install/*.ign\nokdctl ign validate --json\n", NULL, 0,
	    CLI_ANY_ARGS, ign_validate_run },
	{ "csr ls", "", "certificate requests that wait", "A line each.",
	    "okdctl csr ls\nokdctl csr ls --all --json\n", all_options, 0, 0,
	    csr_list_run },
	{ "csr show", "NAME", "all of a request, decoded",
	    "And why it was not approved.", "okdctl csr show csr-7j2xq\n", NULL, 1, 1,
	    csr_show_run },
	{ "csr approve", "NAME...", "approve requests",
	    "Whatever the policy says of them.", "okdctl csr approve csr-7j2xq\n", NULL,
	    1, CLI_ANY_ARGS, csr_order_run },
	{ "csr deny", "NAME...", "deny requests",
	    "A denied request cannot be approved.", "okdctl csr deny csr-7j2xq\n", NULL,
	    1, CLI_ANY_ARGS, csr_order_run },
	{ "logs", "[DAEMON...]", "what the daemons wrote to the journal",
	    "All of them, or those named; with --node what concerns that node.",
	    "okdctl logs -f\nokdctl logs ignd --node worker --since -1h\n",
	    logs_options, 0, 5, logs_run },
	{ "__complete", "WORD...", "for the shells", "What can come next.",
	    "okdctl __complete -- dn\n", NULL, 0, CLI_ANY_ARGS, complete_run },
	{ NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
