/* The policy: every kubelet of an expected node passes, and each probe that differs in
 * one detail does not. */
#include "tests/unit/test.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "csrd/policy.h"
#include "tests/unit/csrd/request.h"

#define NOW 1700000000
#define WORKER "worker-0.okd.example.com"
#define WORKER_IP "192.168.120.120"
#define BOOTSTRAPPER \
	"system:serviceaccount:openshift-machine-config-operator:node-bootstrapper"

static const char cluster_text[] =
    "name: okd\n"
    "base_domain: example.com\n"
    "bastion: {addresses: [192.168.120.101]}\n"
    "machine_network: [192.168.120.0/24, 'fd00::/64']\n"
    "gateway: 192.168.120.1\n"
    "nodes:\n"
    "  - {name: bootstrap, role: bootstrap, address: 192.168.120.102}\n"
    "  - {name: master-0, role: master, address: 192.168.120.110}\n"
    "  - {name: master-1, role: master, address: 192.168.120.111}\n"
    "  - {name: master-2, role: master, address: 192.168.120.112}\n"
    "  - {name: worker-0, role: worker, address: 192.168.120.120}\n"
    "  - {name: dual, role: worker, addresses: [192.168.120.130, 'fd00::130']}\n";

static const char *bootstrapper_groups[] = { "system:serviceaccounts",
	"system:serviceaccounts:openshift-machine-config-operator",
	"system:authenticated", NULL };
static const char *node_groups[] = { "system:nodes", "system:authenticated", NULL };
static const char *client_usages[] = { "digital signature", "key encipherment",
	"client auth", NULL };
static const char *serving_usages[] = { "digital signature", "key encipherment",
	"server auth", NULL };

/* The world of one test. */
static struct cluster *cluster;
static struct nodes nodes;
static struct tickets tickets;
static struct policy policy;
static struct policy_extra extra[1];
static struct net_cidr extra_net[1];

static void world(void)
{
	struct err e = ERR_INIT;

	nodes_deinit(&nodes);
	nodes_init(&nodes);
	nodes.known = true;
	tickets_deinit(&tickets);
	tickets.required = false;
	if (!cluster &&
	    cluster_parse(&cluster, "cluster.yaml", cluster_text, strlen(cluster_text),
		NULL, &e) < 0) {
		printf("# %s\n", err_str(&e));
		abort();
	}
	policy = (struct policy){
		.bootstrapper = (char *)(uintptr_t)BOOTSTRAPPER,
		.bootstrapper_groups = { bootstrapper_groups, 3, true },
		.ticket_window = 6 * 3600 * 1000ull,
		.max_lifetime = 367 * 86400000ull,
		.approvals_per_hour = 10,
	};
}

static void add_node(const char *name, const char *address)
{
	json_t *o = json_pack("{s:{s:s}, s:{s:[{s:s, s:s}]}}", "metadata", "name", name,
	    "status", "addresses", "type", "InternalIP", "address", address);
	struct node *n;

	if (nodes_update(&nodes, o, 1, NOW, &n) < 0)
		abort();
	json_decref(o);
}

/* An object of the API, as much of it as matters. */
struct object {
	const char *signer, *username;
	const char **groups, **usages;
	const char *pem; /* NULL: made from form */
	struct request_form form;
	int64_t created, lifetime;
	bool thorough; /* how it is decided upon */
};

static json_t *list_of(const char **v)
{
	json_t *l = json_array();

	for (; v && *v; v++)
		json_array_append_new(l, json_string(*v));
	return l;
}

static struct csr *make(const struct object *o)
{
	_cleanup_(str_deinit) struct str packed = STR_INIT;
	char *pem = o->pem ? strdup(o->pem) : request_make(&o->form);
	char at[CSR_TIME_MAX];
	struct err e = ERR_INIT;
	struct csr *c = NULL;
	json_t *doc;

	base64_encode(&packed, pem, strlen(pem), BASE64_STD);
	doc = json_pack("{s:{s:s, s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:o, s:o}}",
	    "metadata", "name", "csr-x", "uid", "u1", "resourceVersion", "7",
	    "creationTimestamp", csr_time_format(o->created ? o->created : NOW, at),
	    "spec", "request", str_get(&packed), "signerName", o->signer, "username",
	    o->username, "groups", list_of(o->groups), "usages", list_of(o->usages));
	if (o->lifetime)
		json_object_set_new(json_object_get(doc, "spec"), "expirationSeconds",
		    json_integer(o->lifetime));
	if (csr_new(&c, doc, &e) < 0) {
		printf("# %s\n", e.text);
		abort();
	}
	json_decref(doc);
	free(pem);
	return c;
}

static enum reason decide(const struct object *o, struct verdict *v)
{
	const struct policy_input in = { &policy, cluster, &nodes, &tickets, NOW, 0,
		o->thorough };
	struct csr *c = make(o);
	struct verdict own;

	policy_decide(&in, c, v ? v : &own);
	csr_free(c);
	return (v ? v : &own)->reason;
}

static struct object client(const char *cn)
{
	return (struct object){ .signer = SIGNER_CLIENT,
		.username = BOOTSTRAPPER,
		.groups = bootstrapper_groups,
		.usages = client_usages,
		.form = { .o = "system:nodes", .cn = cn } };
}

static struct object serving(const char *cn, const char *names)
{
	return (struct object){ .signer = SIGNER_SERVING,
		.username = cn,
		.groups = node_groups,
		.usages = serving_usages,
		.form = { .o = "system:nodes", .cn = cn, .names = names } };
}

static bool expect(const struct object *o, enum reason want)
{
	struct verdict v;
	enum reason got = decide(o, &v);

	if (got != want)
		printf("# got %s (%s), expected %s\n", reason_word(got), v.text,
		    reason_word(want));
	return got == want;
}

#define CN "system:node:" WORKER
#define SAN "DNS:" WORKER ",IP:" WORKER_IP

TEST(all_nodes_of_a_cluster_pass)
{
	static const char *const all[][2] = { { "master-0", "192.168.120.110" },
		{ "master-1", "192.168.120.111" }, { "master-2", "192.168.120.112" },
		{ "worker-0", "192.168.120.120" } };
	static const char *const suffixes[] = { "", ".okd.example.com" };
	char cn[128], names[256];

	for (size_t s = 0; s < ARRAY_SIZE(suffixes); s++) {
		world();
		for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
			struct object o;

			snprintf(
			    cn, sizeof(cn), "system:node:%s%s", all[i][0], suffixes[s]);
			snprintf(names, sizeof(names), "DNS:%s%s,IP:%s", all[i][0],
			    suffixes[s], all[i][1]);
			o = client(cn);
			CHECK(expect(&o, REASON_CLIENT));
			o = serving(cn, names);
			CHECK(expect(&o, REASON_NODE_ABSENT));
			add_node(cn + strlen("system:node:"), all[i][1]);
			CHECK(expect(&o, REASON_SERVING));
			o = client(cn);
			CHECK(expect(&o, REASON_NODE_EXISTS));
			o.username = cn;
			o.groups = node_groups;
			CHECK(expect(&o, REASON_CLIENT_RENEWAL));
		}
	}
}

TEST(keys)
{
	static const struct {
		const char *key;
		unsigned bits;
		enum reason want;
	} all[] = { { "p256", 0, REASON_CLIENT }, { "p384", 0, REASON_CLIENT },
		{ "p521", 0, REASON_CLIENT }, { "ed25519", 0, REASON_CLIENT },
		{ "rsa", 2048, REASON_CLIENT }, { "rsa", 3072, REASON_CLIENT },
		{ "rsa", 1024, REASON_KEY }, { "p224", 0, REASON_KEY },
		{ "secp256k1", 0, REASON_KEY }, { "explicit", 0, REASON_KEY },
		{ "ed448", 0, REASON_KEY }, { "huge", 0, REASON_KEY } };

	world();
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct object o = client(CN);

		o.form.key = all[i].key;
		o.form.bits = all[i].bits;
		CHECK(expect(&o, all[i].want));
	}
}

TEST(usages)
{
	static const char *two[] = { "digital signature", "client auth", NULL };
	static const char *order[] = { "client auth", "digital signature",
		"key encipherment", NULL };
	static const char *doubled[] = { "digital signature", "digital signature",
		"client auth", NULL };
	static const char *more[] = { "digital signature", "key encipherment",
		"client auth", "server auth", NULL };
	static const char *sa_sa[] = { "digital signature", "server auth",
		"server auth", NULL };
	static const char *mixed[] = { "digital signature", "server auth",
		"client auth", NULL };
	struct object o;

	world();
	o = client(CN);
	o.usages = two;
	CHECK(expect(&o, REASON_CLIENT));
	o.form.key = "rsa";
	CHECK(expect(&o, REASON_USAGES));
	o = client(CN);
	o.usages = order;
	CHECK(expect(&o, REASON_CLIENT));
	o.usages = doubled;
	CHECK(expect(&o, REASON_USAGES));
	o.usages = more;
	CHECK(expect(&o, REASON_USAGES));
	o.usages = serving_usages;
	CHECK(expect(&o, REASON_USAGES));
	o.usages = NULL;
	CHECK(expect(&o, REASON_USAGES));
	add_node(WORKER, WORKER_IP);
	o = serving(CN, SAN);
	o.usages = sa_sa;
	CHECK(expect(&o, REASON_USAGES));
	o.usages = mixed;
	CHECK(expect(&o, REASON_USAGES));
}

TEST(who_asks)
{
	static const char *more[] = { "system:serviceaccounts",
		"system:serviceaccounts:openshift-machine-config-operator",
		"system:authenticated", "system:masters", NULL };
	static const char *twice[] = { "system:serviceaccounts",
		"system:serviceaccounts", "system:authenticated", NULL };
	struct object o;

	world();
	add_node(WORKER, WORKER_IP);
	o = client("system:node:master-0");
	o.groups = more;
	CHECK(expect(&o, REASON_GROUPS));
	o.groups = twice;
	CHECK(expect(&o, REASON_GROUPS));
	o.groups = NULL;
	CHECK(expect(&o, REASON_GROUPS));
	o = client("system:node:master-0");
	o.username = "system:admin";
	CHECK(expect(&o, REASON_REQUESTOR));
	o.username = BOOTSTRAPPER "2";
	CHECK(expect(&o, REASON_REQUESTOR));
	o.username = "";
	CHECK(expect(&o, REASON_REQUESTOR));
	/* A node that asks for another's identity, client and serving. */
	o = client("system:node:master-0");
	o.username = CN;
	o.groups = node_groups;
	CHECK(expect(&o, REASON_COMMON_NAME));
	o = serving("system:node:master-0", "DNS:master-0,IP:192.168.120.110");
	o.username = CN;
	CHECK(expect(&o, REASON_COMMON_NAME));
	/* The same machine under its other name is another user. */
	o = serving("system:node:worker-0", "DNS:worker-0,IP:" WORKER_IP);
	o.username = CN;
	CHECK(expect(&o, REASON_COMMON_NAME));
	o = serving(CN, SAN);
	o.username = "system:node:";
	CHECK(expect(&o, REASON_REQUESTOR));
	o.username = BOOTSTRAPPER;
	o.groups = bootstrapper_groups;
	CHECK(expect(&o, REASON_REQUESTOR));
}

TEST(signers)
{
	struct object o;

	world();
	o = client(CN);
	o.signer = SIGNER_LEGACY;
	CHECK(expect(&o, REASON_LEGACY_SIGNER));
	o.signer = "";
	CHECK(expect(&o, REASON_SIGNER));
	o.signer = "kubernetes.io/kube-apiserver-client";
	CHECK(expect(&o, REASON_SIGNER));
	o.signer = SIGNER_CLIENT "x";
	CHECK(expect(&o, REASON_SIGNER));
	CHECK(reason_kind(REASON_SIGNER) == REASON_FOREIGN);
}

TEST(subjects)
{
	static const struct {
		struct request_form form;
		enum reason want;
	} all[] = {
		{ { .o = "system:masters", .cn = CN }, REASON_ORGANIZATION },
		{ { .o = "system:nodes", .o2 = "system:masters", .cn = CN },
		    REASON_ORGANIZATION },
		{ { .o = "system:nodes", .o2 = "system:nodes", .cn = CN },
		    REASON_ORGANIZATION },
		{ { .cn = CN }, REASON_ORGANIZATION },
		{ { .o = "system:nodes" }, REASON_COMMON_NAME },
		{ { .o = "system:nodes", .cn = "system:node:" }, REASON_COMMON_NAME },
		{ { .o = "system:nodes", .cn = "system:notnode:worker-0" },
		    REASON_COMMON_NAME },
		{ { .o = "system:nodes", .cn = "system:node:WORKER-0" },
		    REASON_COMMON_NAME },
		{ { .o = "system:nodes", .cn = "system:node:worker-0." },
		    REASON_COMMON_NAME },
		{ { .o = "system:nodes", .cn = "system:node:worker-0\n" },
		    REASON_COMMON_NAME },
		{ { .o = "system:nodes", .cn = CN, .cn2 = CN }, REASON_COMMON_NAME },
		{ { .o = "system:nodes", .ou = "x", .cn = CN }, REASON_SUBJECT },
		{ { .o = "system:nodes", .cn = CN, .ca = true }, REASON_EXTENSIONS },
		{ { .o = "system:nodes", .cn = CN, .usage = "serverAuth" },
		    REASON_EXTENSIONS },
		{ { .o = "system:nodes", .cn = CN, .challenge = true },
		    REASON_EXTENSIONS },
		{ { .o = "system:nodes", .cn = CN, .tamper = true }, REASON_SIGNATURE },
		{ { .o = "system:nodes", .cn = CN, .joined = true }, REASON_SUBJECT },
		{ { .o = "system:nodes", .cn = CN, .coding = "bmp" }, REASON_SUBJECT },
		{ { .o = "system:nodes", .cn = CN, .coding = "universal" },
		    REASON_SUBJECT },
		{ { .o = "system:nodes", .cn = CN, .coding = "t61" }, REASON_SUBJECT },
		{ { .o = "system:nodes", .cn = CN, .coding = "ia5" }, REASON_SUBJECT },
		{ { .o = "system:nodes", .cn = CN, .coding = "octets" },
		    REASON_UNREADABLE },
		{ { .o = "system:nodes", .cn = CN, .coding = "nul" },
		    REASON_UNREADABLE },
		{ { .o = "system:nodes", .cn = CN, .trailing = true },
		    REASON_UNREADABLE },
		/* Another common name before or behind, in an encoding that some pass
		 * over. */
		{ { .o = "system:nodes", .cn = CN, .coding = "bmp", .cn2 = CN },
		    REASON_COMMON_NAME },
		/* w\u043erker, the Cyrillic one */
		{ { .o = "system:nodes", .cn = "system:node:w\xd0\xberker-0" },
		    REASON_COMMON_NAME },
		/* Extensions where not every reader looks. */
		{ { .o = "system:nodes", .cn = CN, .requests = "attribute" },
		    REASON_NAME_KINDS },
		{ { .o = "system:nodes", .cn = CN, .requests = "microsoft" },
		    REASON_EXTENSIONS },
		{ { .o = "system:nodes",
		      .cn = CN,
		      .usage = "clientAuth",
		      .requests = "value" },
		    REASON_EXTENSIONS },
		{ { .o = "system:nodes", .cn = CN, .names = "DNS:" WORKER },
		    REASON_NAME_KINDS },
		{ { .o = "system:nodes", .cn = CN, .names = "email:a@b.c" },
		    REASON_NAME_KINDS },
		{ { .o = "system:nodes", .cn = CN, .names = "URI:https://api" },
		    REASON_NAME_KINDS },
		{ { .o = "system:nodes", .cn = CN, .names = "RID:1.2.3" },
		    REASON_NAME_KINDS },
	};

	world();
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct object o = client(CN);

		o.form = all[i].form;
		if (!expect(&o, all[i].want)) {
			printf("# subject %zu\n", i);
			CHECK(false);
		}
	}
}

TEST(texts_around)
{
	char *one =
	    request_make(&(struct request_form){ .o = "system:nodes", .cn = CN });
	char *two = NULL, *headers = NULL;
	struct object o;

	world();
	o = client(CN);
	o.pem = one;
	CHECK(expect(&o, REASON_CLIENT));
	CHECK(asprintf(&two, "%s%s", one, one) > 0);
	o.pem = two;
	CHECK(expect(&o, REASON_TEXT_AROUND));
	free(two);
	CHECK(asprintf(&two, "x\n%s", one) > 0);
	o.pem = two;
	CHECK(expect(&o, REASON_TEXT_AROUND));
	CHECK(asprintf(&headers, "-----BEGIN CERTIFICATE REQUEST-----\nA: b\n\n%s",
		  strchr(one, '\n') + 1) > 0);
	o.pem = headers;
	CHECK(!verdict_is_good(&(struct verdict){ .reason = decide(&o, NULL) }));
	o.pem = "";
	CHECK(expect(&o, REASON_UNREADABLE));
	o.pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
		"-----END CERTIFICATE REQUEST-----\n";
	CHECK(expect(&o, REASON_UNREADABLE));
	free(one);
	free(two);
	free(headers);
}

TEST(serving_names)
{
	static const struct {
		const char *names;
		enum reason want;
	} all[] = {
		{ SAN, REASON_SERVING },
		{ "IP:" WORKER_IP ",DNS:" WORKER, REASON_SERVING },
		{ NULL, REASON_NO_NAMES },
		{ "DNS:" WORKER, REASON_ADDRESSES },
		{ "IP:" WORKER_IP, REASON_DNS_NAMES },
		{ "DNS:" WORKER ",DNS:worker-0,IP:" WORKER_IP, REASON_DNS_NAMES },
		{ "DNS:" WORKER ",DNS:" WORKER ",IP:" WORKER_IP, REASON_DNS_NAMES },
		{ "DNS:WORKER-0.okd.example.com,IP:" WORKER_IP, REASON_DNS_NAMES },
		{ "DNS:" WORKER ".,IP:" WORKER_IP, REASON_DNS_NAMES },
		{ "DNS:*.okd.example.com,IP:" WORKER_IP, REASON_DNS_NAMES },
		{ "DNS:api.okd.example.com,IP:" WORKER_IP, REASON_DNS_NAMES },
		{ SAN ",DNS:api.okd.example.com", REASON_DNS_NAMES },
		{ SAN ",IP:192.168.120.101", REASON_FOREIGN_ADDRESS },
		{ SAN ",IP:192.168.120.110", REASON_FOREIGN_ADDRESS },
		{ SAN ",IP:" WORKER_IP, REASON_FOREIGN_ADDRESS },
		{ SAN ",IP:127.0.0.1", REASON_FOREIGN_ADDRESS },
		{ SAN ",IP:fd00::1", REASON_FOREIGN_ADDRESS },
		{ "DNS:" WORKER ",IP:192.168.120.199", REASON_FOREIGN_ADDRESS },
		{ "DNS:" WORKER ",IP:::ffff:" WORKER_IP, REASON_NAME_KINDS },
		{ SAN ",email:a@b.c", REASON_NAME_KINDS },
		{ SAN ",URI:https://api", REASON_NAME_KINDS },
		{ SAN ",RID:1.2.3", REASON_NAME_KINDS },
		{ SAN ",DNS:localhost", REASON_DNS_NAMES },
		{ "DNS:w\xd0\xberker-0.okd.example.com,IP:" WORKER_IP,
		    REASON_UNREADABLE },
	};

	world();
	add_node(WORKER, WORKER_IP);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct object o = serving(CN, all[i].names);

		if (!expect(&o, all[i].want)) {
			printf("# names %s\n", all[i].names ? all[i].names : "none");
			CHECK(false);
		}
	}
}

/* A second list of names, wherever it is put. */
TEST(serving_names_twice)
{
	static const char *const where[] = { "attribute", "value", "microsoft" };

	world();
	add_node(WORKER, WORKER_IP);
	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		struct object o = serving(CN, SAN);

		o.form.requests = where[i];
		CHECK(expect(&o, REASON_EXTENSIONS));
	}
}

/* The signature is looked at last, but never passed over. */
TEST(signatures)
{
	struct object o = client("system:node:stranger"), bad = client(CN);

	world();
	o.form.tamper = true;
	CHECK(expect(&o, REASON_UNKNOWN_NODE));
	o.thorough = true;
	CHECK(expect(&o, REASON_SIGNATURE));
	bad.form.tamper = true;
	CHECK(expect(&bad, REASON_SIGNATURE));
	bad.thorough = true;
	CHECK(expect(&bad, REASON_SIGNATURE));
	add_node(WORKER, WORKER_IP);
	bad = serving(CN, SAN);
	bad.form.tamper = true;
	CHECK(expect(&bad, REASON_SIGNATURE));
	bad = client(CN);
	bad.username = CN;
	bad.groups = node_groups;
	bad.form.tamper = true;
	CHECK(expect(&bad, REASON_SIGNATURE));
}

TEST(nodes_with_two_addresses)
{
	struct object all = serving("system:node:dual",
			  "DNS:dual,IP:192.168.120.130,IP:fd00::130"),
		      some = serving("system:node:dual", "DNS:dual,IP:192.168.120.130");

	world();
	add_node("dual", "192.168.120.130");
	CHECK(expect(&all, REASON_SERVING));
	CHECK(expect(&some, REASON_ADDRESSES));
	policy.addresses = ADDRESSES_SUBSET;
	CHECK(expect(&some, REASON_SERVING));
	some.form.names = "DNS:dual";
	CHECK(expect(&some, REASON_ADDRESSES));
}

TEST(strangers_are_named)
{
	struct object o;
	struct verdict v;

	world();
	o = client("system:node:worker1.okd.example.com");
	CHECK(decide(&o, &v) == REASON_UNKNOWN_NODE);
	CHECK(strstr(v.text, "worker-0.okd.example.com (192.168.120.120)"));
	/* The address is worker-0's: it is said so. */
	o = serving("system:node:worker1.okd.example.com",
	    "DNS:worker1.okd.example.com,IP:" WORKER_IP);
	CHECK(decide(&o, &v) == REASON_NAME_MISMATCH);
	CHECK(strstr(v.text, "has the address of " WORKER));
	o = client("system:node:bootstrap.okd.example.com");
	CHECK(decide(&o, &v) == REASON_BOOTSTRAP);
	o = client("system:node:" WORKER ".evil.org");
	CHECK(decide(&o, &v) == REASON_UNKNOWN_NODE);
	o = client("system:node:api");
	CHECK(decide(&o, &v) == REASON_UNKNOWN_NODE);
}

TEST(one_key_per_name)
{
	struct object o, other;
	struct csr *c;
	struct node *n;

	world();
	o = client(CN);
	c = make(&o);
	CHECK(str_eq(policy_first_client(&policy, c), WORKER));
	CHECK(nodes_get(&nodes, WORKER, &n) == 0);
	CHECK(node_approved(n, c->request->key.sha256, "csr-1", NOW - 10) == 0);
	csr_free(c);
	CHECK(expect(&o, REASON_SECOND_KEY));
	/* Its short name is the same node. */
	other = client("system:node:worker-0");
	CHECK(expect(&other, REASON_SECOND_KEY));
	other = client("system:node:master-0");
	CHECK(expect(&other, REASON_CLIENT));
	/* It came, and it went: the next installation may have its own key. */
	add_node(WORKER, WORKER_IP);
	CHECK(expect(&o, REASON_NODE_EXISTS));
	other = client("system:node:worker-0");
	CHECK(expect(&other, REASON_NODE_EXISTS));
	n->seen_at = NOW - 5;
	node_gone(n, NOW - 1);
	CHECK(expect(&o, REASON_CLIENT));
	/* Nor does an approval that failed hold the name. */
	CHECK(node_approved(n, (const uint8_t[X509_SHA256]){ 1 }, "csr-2", NOW) == 0);
	CHECK(expect(&o, REASON_SECOND_KEY));
	node_approval_failed(n, (const uint8_t[X509_SHA256]){ 2 });
	CHECK(expect(&o, REASON_SECOND_KEY));
	node_approval_failed(n, NULL);
	CHECK(expect(&o, REASON_SECOND_KEY));
	node_approval_failed(n, (const uint8_t[X509_SHA256]){ 1 });
	CHECK(expect(&o, REASON_CLIENT));
}

/* The same request again, which fails: the name stays with the key that has it. */
TEST(the_same_key_twice)
{
	const uint8_t key[X509_SHA256] = { 1 };
	struct object o = client(CN);
	struct node *n;

	world();
	CHECK(nodes_get(&nodes, WORKER, &n) == 0);
	CHECK(node_approved(n, key, "csr-1", NOW) == 0);
	CHECK(node_approved(n, key, "csr-2", NOW) == 0);
	CHECK(str_eq(n->key_csr, "csr-1"));
	node_approval_failed(n, key);
	CHECK(expect(&o, REASON_SECOND_KEY));
	node_approval_failed(n, key);
	CHECK(expect(&o, REASON_CLIENT));
	/* What was before the Node is over. */
	CHECK(node_approved(n, key, "csr-3", NOW - 20) == 0);
	n->seen_at = NOW - 10;
	CHECK(expect(&o, REASON_CLIENT));
	CHECK(node_approved(n, key, "csr-4", NOW) == 0);
	node_approval_failed(n, key);
	CHECK(expect(&o, REASON_CLIENT));
}

/* Seen by a clock that was years ahead: what is approved later holds, and nobody waits. */
TEST(a_clock_that_was_ahead)
{
	struct object o = client(CN);
	struct node *n;

	world();
	CHECK(nodes_get(&nodes, WORKER, &n) == 0);
	n->seen_at = NOW + 10 * 365 * 86400;
	CHECK(node_approved(n, (const uint8_t[X509_SHA256]){ 1 }, "csr-1", NOW) == 0);
	CHECK(expect(&o, REASON_SECOND_KEY));
	add_node(WORKER, WORKER_IP);
	o = serving(CN, SAN);
	for (int i = 0; i < 20; i++)
		CHECK(node_approved(n, NULL, "x", NOW + 10 * 365 * 86400) == 0);
	CHECK(expect(&o, REASON_SERVING));
}

static void give_ticket(const char *node, int64_t at)
{
	char text[128];

	snprintf(text, sizeof(text),
	    "{\"tickets\":[{\"node\":\"%s\",\"fetched_at\":%lld}]}", node,
	    (long long)at);
	if (tickets_parse(&tickets, text, strlen(text), NULL) < 0)
		abort();
}

TEST(install_tickets)
{
	struct object o = client(CN);
	struct node *n;

	world();
	tickets.required = true;
	CHECK(expect(&o, REASON_NO_TICKET));
	give_ticket("master-0", NOW - 100);
	CHECK(expect(&o, REASON_NO_TICKET));
	give_ticket("worker-0", NOW - 100);
	CHECK(expect(&o, REASON_CLIENT));
	/* Made before the node fetched anything: somebody lay in wait. */
	o.created = NOW - 1000;
	CHECK(expect(&o, REASON_NO_TICKET));
	o.created = NOW - 130;
	CHECK(expect(&o, REASON_CLIENT));
	o.created = NOW;
	give_ticket("worker-0", NOW - 6 * 3600 - 1);
	CHECK(expect(&o, REASON_NO_TICKET));
	/* One ticket is for one key: when its Node has come and gone, the next needs one of
	 * its own. */
	give_ticket("worker-0", NOW - 100);
	CHECK(nodes_get(&nodes, WORKER, &n) == 0);
	CHECK(node_approved(n, (const uint8_t[X509_SHA256]){ 1 }, "csr-1", NOW - 90) ==
	    0);
	n->seen_at = NOW - 80;
	CHECK(expect(&o, REASON_NO_TICKET));
	o.form.cn = "system:node:worker-0";
	CHECK(expect(&o, REASON_NO_TICKET));
	give_ticket("worker-0", NOW - 70);
	CHECK(expect(&o, REASON_CLIENT));
	/* Renewals and serving certificates need none. */
	add_node(WORKER, WORKER_IP);
	o = serving(CN, SAN);
	CHECK(expect(&o, REASON_SERVING));
	o = client(CN);
	o.username = CN;
	o.groups = node_groups;
	CHECK(expect(&o, REASON_CLIENT_RENEWAL));
}

TEST(time_and_rate)
{
	struct object o = client(CN);
	struct node *n;

	world();
	o.lifetime = 367 * 86400;
	CHECK(expect(&o, REASON_CLIENT));
	o.lifetime = 367 * 86400 + 1;
	CHECK(expect(&o, REASON_LIFETIME));
	o.lifetime = -1;
	CHECK(expect(&o, REASON_LIFETIME));
	add_node(WORKER, WORKER_IP);
	o = serving(CN, SAN);
	CHECK(nodes_get(&nodes, WORKER, &n) == 0);
	for (int i = 0; i < 9; i++)
		CHECK(node_approved(n, NULL, "x", NOW - 60) == 0);
	CHECK(expect(&o, REASON_SERVING));
	CHECK(node_approved(n, NULL, "x", NOW - 60) == 0);
	CHECK(expect(&o, REASON_TOO_MANY));
	/* Neither do a hundred of the bootstrapper's requests use up what the node may ask
	 * for, */
	world();
	for (uint8_t i = 0; i < 100; i++) {
		CHECK(nodes_get(&nodes, WORKER, &n) == 0);
		CHECK(node_approved(
			  n, (const uint8_t[X509_SHA256]){ 7 }, "x", NOW - 60) == 0);
	}
	n->seen_at = NOW - 30;
	o = client(CN);
	CHECK(expect(&o, REASON_TOO_MANY));
	add_node(WORKER, WORKER_IP);
	o = serving(CN, SAN);
	CHECK(expect(&o, REASON_SERVING));
	/* nor are others held up by it. */
	add_node("master-0", "192.168.120.110");
	o = serving("system:node:master-0", "DNS:master-0,IP:192.168.120.110");
	CHECK(expect(&o, REASON_SERVING));
}

TEST(without_nodes_nothing_is_approved)
{
	struct object o = client(CN);

	world();
	nodes.known = false;
	CHECK(expect(&o, REASON_NODES_UNKNOWN));
	o = serving(CN, SAN);
	CHECK(expect(&o, REASON_NODES_UNKNOWN));
}

static void allow_extra(const char *pattern)
{
	CHECK(net_cidr_parse("192.168.120.0/24", &extra_net[0]) == 0);
	extra[0] =
	    (struct policy_extra){ (char *)(uintptr_t)pattern, { extra_net, 1, true } };
	policy.extra = (struct conf_list){ extra, 1, true };
}

TEST(extra_nodes)
{
	struct object o;

	world();
	allow_extra("pool-*.okd.example.com");
	o = client("system:node:pool-7.okd.example.com");
	CHECK(expect(&o, REASON_CLIENT));
	o = client("system:node:pool-7.x.okd.example.com");
	CHECK(expect(&o, REASON_UNKNOWN_NODE));
	add_node("pool-7.okd.example.com", "192.168.120.200");
	o = serving("system:node:pool-7.okd.example.com",
	    "DNS:pool-7.okd.example.com,IP:192.168.120.200");
	CHECK(expect(&o, REASON_SERVING));
	o.form.names = "DNS:pool-7.okd.example.com,IP:192.168.121.1";
	CHECK(expect(&o, REASON_FOREIGN_ADDRESS));
	o.form.names = "DNS:pool-7.okd.example.com,IP:192.168.120.101";
	CHECK(expect(&o, REASON_FOREIGN_ADDRESS));
	o.form.names = "DNS:pool-7.okd.example.com,IP:192.168.120.1";
	CHECK(expect(&o, REASON_FOREIGN_ADDRESS));
	o.form.names = "DNS:pool-7.okd.example.com,IP:" WORKER_IP;
	CHECK(expect(&o, REASON_FOREIGN_ADDRESS));
	add_node("pool-8.okd.example.com", "192.168.120.201");
	o.form.names = "DNS:pool-7.okd.example.com,IP:192.168.120.201";
	CHECK(expect(&o, REASON_FOREIGN_ADDRESS));
	o.form.names = "DNS:pool-7.okd.example.com";
	CHECK(expect(&o, REASON_ADDRESSES));
	/* However wide the pattern: the cluster's own services are no nodes. */
	allow_extra("*.okd.example.com");
	o = client("system:node:api.okd.example.com");
	CHECK(expect(&o, REASON_UNKNOWN_NODE));
	o = client("system:node:api-int.okd.example.com");
	CHECK(expect(&o, REASON_UNKNOWN_NODE));
	o = client("system:node:etcd-0.okd.example.com");
	CHECK(expect(&o, REASON_UNKNOWN_NODE));
	o = client("system:node:registry.okd.example.com");
	CHECK(expect(&o, REASON_UNKNOWN_NODE));
	o = client("system:node:bootstrap.okd.example.com");
	CHECK(expect(&o, REASON_BOOTSTRAP));
}
