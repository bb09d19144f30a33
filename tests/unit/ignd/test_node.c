/* Who may have what, by tables; and when a window is open. */
#include "tests/unit/test.h"

#include <string.h>

#include "common/daemon.h"
#include "ignd/node.h"

static const char cluster_yaml[] =
    "name: okd\nbase_domain: example.com\n"
    "bastion: {name: bastion, addresses: [192.168.120.101]}\n"
    "machine_network: [192.168.120.0/24]\n"
    "nodes:\n"
    "- {name: bootstrap, role: bootstrap, address: 192.168.120.102}\n"
    "- {name: master, role: master, address: 192.168.120.103, mac: "
    "'52:54:00:00:00:03'}\n"
    "- {name: worker, role: worker, address: 192.168.120.104}\n"
    "- {name: w2, role: worker, address: 192.168.120.105}\n";

static struct ignd_conf *load(const char *yaml)
{
	struct conf_doc *doc = NULL;
	struct cluster *cluster = NULL;
	struct str warnings = STR_INIT;
	struct err e = ERR_INIT;
	void *conf = NULL;

	CHECK(conf_doc_parse(&doc, "ignd.yaml", yaml, strlen(yaml), &e) == 0);
	CHECK(cluster_parse(&cluster, "cluster.yaml", cluster_yaml,
		  strlen(cluster_yaml), NULL, &e) == 0);
	CHECK(ignd_conf_load(&conf, doc, &cluster, &warnings, &e) == 0);
	conf_doc_free(doc);
	cluster_free(cluster);
	str_deinit(&warnings);
	return conf;
}

static const struct window no_window;

static struct node_answer ask(
    const struct ignd_conf *c, const char *node, bool ignition, const char *name)
{
	struct node_ask a = {
		.ignition = ignition,
		.name = name,
		.node = node ? cluster_node_by_name(c->cluster, node) : NULL,
		.window = &no_window,
	};

	return node_decide(c, &a);
}

TEST(roles)
{
	static const struct {
		const char *node, *name, *file;
		int status;
	} cases[] = {
		{ "worker", "worker.ign", "worker.ign", 200 },
		{ "w2", "worker.ign", "worker.ign", 200 },
		{ "w2", "w2.ign", "worker.ign", 200 },
		{ "worker", "w2.ign", NULL, 403 },
		{ "worker", "master.ign", NULL, 403 },
		{ "worker", "bootstrap.ign", NULL, 403 },
		{ "worker", "sub/worker.ign", NULL, 403 },
		{ "worker", "worker.ign/", NULL, 403 },
		{ "worker", "worker", NULL, 403 },
		{ "worker", ".ign", NULL, 403 },
		{ "worker", "auth/kubeconfig", NULL, 403 },
		{ "master", "master.ign", "master.ign", 200 },
		{ "bootstrap", "bootstrap.ign", "bootstrap.ign", 200 },
		{ NULL, "worker.ign", NULL, 403 },
		{ NULL, "metadata.json", NULL, 403 },
	};
	struct ignd_conf *c = load("{}");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct node_answer a = ask(c, cases[i].node, true, cases[i].name);

		CHECK(a.status == cases[i].status);
		CHECK(!a.role_file == !cases[i].file);
		if (a.role_file && cases[i].file)
			CHECK(str_eq(a.role_file, cases[i].file));
		CHECK((a.reason == REASON_OK) == (a.status == 200));
		CHECK(node_reason_text(a.reason)[0]);
	}
	ignd_conf_free(c);
}

/* A master that is called worker gets nothing by that name. */
TEST(name_of_a_role)
{
	static const char yaml[] =
	    "name: okd\nbase_domain: example.com\n"
	    "bastion: {name: bastion, addresses: [192.168.120.101]}\n"
	    "machine_network: [192.168.120.0/24]\n"
	    "nodes: [{name: worker, role: master, address: 192.168.120.103}]\n";
	struct ignd_conf *c = load("{}");
	struct cluster *cluster = NULL;
	struct err e = ERR_INIT;

	CHECK(cluster_parse(&cluster, "c", yaml, strlen(yaml), NULL, &e) == 0);
	cluster_free(c->cluster);
	c->cluster = cluster;
	CHECK(ask(c, "worker", true, "worker.ign").status == 403);
	CHECK(ask(c, "worker", true, "master.ign").status == 200);
	ignd_conf_free(c);
}

TEST(unknown)
{
	struct ignd_conf *c = load("unknown_nodes: none");

	CHECK(ask(c, NULL, false, "x").status == 403);
	CHECK(ask(c, "worker", false, "x").status == 200);
	ignd_conf_free(c);
	c = load("unknown_nodes: all");
	CHECK(ask(c, NULL, true, "any.ign").status == 200);
	CHECK(!ask(c, NULL, true, "any.ign").role_file);
	CHECK(ask(c, NULL, true, "auth/kubeconfig").status == 403);
	CHECK(ask(c, "worker", true, "master.ign").status == 403);
	ignd_conf_free(c);
	c = load("{}");
	CHECK(ask(c, NULL, false, "x").status == 200);
	ignd_conf_free(c);
}

TEST(token_and_mac)
{
	static const uint8_t own[6] = { 0x52, 0x54, 0, 0, 0, 3 };
	static const uint8_t other[6] = { 0x52, 0x54, 0, 0, 0, 4 };
	struct ignd_conf *c = load("nodes: [{name: master, token: abc}]");
	struct node_ask a = {
		.ignition = true,
		.name = "master.ign",
		.node = cluster_node_by_name(c->cluster, "master"),
		.window = &no_window,
	};

	CHECK(node_decide(c, &a).reason == REASON_TOKEN);
	a.token = "ab";
	CHECK(node_decide(c, &a).reason == REASON_TOKEN);
	a.token = "abcd";
	CHECK(node_decide(c, &a).reason == REASON_TOKEN);
	a.token = "abc";
	CHECK(node_decide(c, &a).reason == REASON_OK);
	a.mac = other;
	CHECK(node_decide(c, &a).reason == REASON_MAC);
	CHECK(node_decide(c, &a).status == 403);
	a.mac = own;
	CHECK(node_decide(c, &a).reason == REASON_OK);
	c->check_mac = false;
	a.mac = other;
	CHECK(node_decide(c, &a).reason == REASON_OK);
	ignd_conf_free(c);
}

TEST(windows)
{
	struct ignd_conf *c = load("window: {once: true, grace: 10s}");
	struct window w = { 0 };

	CHECK(window_judge(&w, c, 1) == REASON_OK);
	window_use(&w, 1000, 5000);
	window_use(&w, 2000, 9000); /* prolongs nothing */
	CHECK(window_judge(&w, c, 5000) == REASON_OK);
	CHECK(window_judge(&w, c, 15000) == REASON_OK);
	CHECK(window_judge(&w, c, 15001) == REASON_USED);
	/* Another boot. */
	CHECK(window_judge(&w, c, 4999) == REASON_USED);
	w.mode = WINDOW_OPENED; /* as often as one likes */
	CHECK(window_judge(&w, c, 15001) == REASON_OK);
	w.once = true;
	CHECK(window_judge(&w, c, 15001) == REASON_USED);
	w = (struct window){ .mode = WINDOW_CLOSED };
	CHECK(window_judge(&w, c, 1) == REASON_CLOSED);
	c->window.initial = WINDOW_IS_CLOSED;
	w = (struct window){ 0 };
	CHECK(window_judge(&w, c, 1) == REASON_CLOSED);
	ignd_conf_free(c);
}

TEST(an_opening_ends_by_the_boot_clock)
{
	struct ignd_conf *c = load("window: {initial: closed}");
	struct window w = { 0 };

	window_open(&w, 60, 100000, 5000);
	CHECK(window_judge(&w, c, 64999) == REASON_OK);
	CHECK(window_judge(&w, c, 65000) == REASON_CLOSED);
	/* Whatever the date is. */
	for (int64_t now = 0; now <= 200000; now += 100000) {
		CHECK(window_until(&w, now, 35000) == now + 30);
		CHECK(window_until(&w, now, 65000) == 0);
	}
	window_open(&w, 0, 100000, 5000);
	CHECK(window_judge(&w, c, UINT64_MAX) == REASON_OK);
	CHECK(window_until(&w, 1, 1) == 0);
	ignd_conf_free(c);
}

/* One that another run opened at 100000 for so long, as it ends in this one, which begins
 * at now and at 7 s of its boot. */
static uint64_t ends_at(int64_t duration, int64_t now)
{
	struct window w = {
		.mode = WINDOW_OPENED, .until = 100000 + duration, .duration = duration
	};

	window_resume(&w, now, 7000);
	return w.end_ms;
}

TEST(an_opening_goes_on_in_another_run)
{
	struct window w = { .mode = WINDOW_OPENED, .until = 100060 };

	CHECK(ends_at(60, 100020) == 7000 + 40000);
	CHECK(ends_at(60, 100060) == 7000 && ends_at(60, 900000) == 7000);
	/* The clock was set back. */
	CHECK(ends_at(60, 50000) == 7000 + 60000);
	/* One whose duration nobody wrote down. */
	window_resume(&w, 100000, 7000);
	CHECK(w.end_ms == 7000 + 60000);
	w = (struct window){ .mode = WINDOW_OPENED, .until = INT64_MAX };
	window_resume(&w, 100000, 7000);
	CHECK(w.until == 100000 + WINDOW_LONGEST);
	w = (struct window){ .mode = WINDOW_OPENED };
	window_resume(&w, 100000, 7000);
	CHECK(w.end_ms == 0);
	w = (struct window){ .mode = WINDOW_CLOSED, .until = 100060, .duration = 60 };
	window_resume(&w, 100000, 7000);
	CHECK(w.end_ms == 0);
}

/* One that was used at 100000 and at 50 s of a boot, in another run of that or another. */
static enum node_reason grace_at(int64_t now, uint64_t boot_ms)
{
	struct ignd_conf *c = load("window: {once: true, grace: 60s}");
	struct window w = { .used_at = 100000, .used_ms = 50000 };
	enum node_reason r;

	window_resume(&w, now, boot_ms);
	r = window_judge(&w, c, boot_ms);
	ignd_conf_free(c);
	return r;
}

TEST(grace_goes_on_where_both_clocks_say_so)
{
	CHECK(grace_at(100000, 50000) == REASON_OK);
	CHECK(grace_at(100030, 80000) == REASON_OK);
	CHECK(grace_at(100032, 80000) == REASON_OK);
	CHECK(grace_at(100061, 111000) == REASON_USED);
	/* A clock was set, or the machine booted. */
	CHECK(grace_at(100000, 80000) == REASON_USED);
	CHECK(grace_at(99000, 80000) == REASON_USED);
	CHECK(grace_at(200000, 80000) == REASON_USED);
	CHECK(grace_at(100030, 20000) == REASON_USED);
	CHECK(grace_at(100030, 50000) == REASON_USED);
}

TEST(closed_window_waits_or_forbids)
{
	struct ignd_conf *c = load("window: {initial: closed}");
	struct node_answer a = ask(c, "worker", true, "worker.ign");

	CHECK(a.status == 503 && a.reason == REASON_CLOSED);
	CHECK(ask(c, "worker", true, "master.ign").status == 403);
	CHECK(ask(c, "worker", false, "image").status == 200);
	c->window.refuse = REFUSE_FORBID;
	CHECK(ask(c, "worker", true, "worker.ign").status == 403);
	ignd_conf_free(c);
}
