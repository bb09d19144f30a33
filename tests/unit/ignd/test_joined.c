/* What okd-lbd and okd-csrd say of the nodes, and for whom it counts. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "ignd/joined.h"

static const char cluster_yaml[] =
    "name: okd\nbase_domain: example.com\n"
    "bastion: {name: bastion, addresses: [192.168.120.101]}\n"
    "machine_network: [192.168.120.0/24]\n"
    "nodes:\n"
    "- {name: bootstrap, role: bootstrap, address: 192.168.120.102}\n"
    "- {name: master, role: master, address: 192.168.120.103}\n"
    "- {name: worker, role: worker, address: 192.168.120.104}\n";

typedef int read_fn(struct progress *p, const struct cluster *c, const char *text,
    size_t n, struct err *e);

static struct cluster *cluster;
static struct progress *p;
static struct node_state *worker, *bootstrap;

static void begin(void)
{
	CHECK(cluster_parse(&cluster, "cluster.yaml", cluster_yaml,
		  strlen(cluster_yaml), NULL, NULL) == 0);
	CHECK(progress_new(&p) == 0 && progress_set_cluster(p, cluster) == 0);
	worker = progress_find(p, "worker");
	bootstrap = progress_find(p, "bootstrap");
}

static void end(void)
{
	p = progress_free(p);
	cluster_free(cluster);
	cluster = NULL;
}

static int say(read_fn *read, const char *text)
{
	struct err e = ERR_INIT;
	int r = read(p, cluster, text, strlen(text), &e);

	CHECK((r < 0) == (e.text[0] != '\0'));
	return r;
}

/* A node at that stage since so many seconds; what is said then, and the stage after. */
static enum node_stage after(struct node_state *n, enum node_stage stage, int64_t ago,
    read_fn *read, const char *text)
{
	n->stage = stage;
	n->stage_at = clock_real_s() - ago;
	CHECK(say(read, text) == 0);
	return n->stage;
}

static enum node_stage csrd(enum node_stage stage, int64_t ago, const char *name,
    const char *what, int64_t since)
{
	char text[256];

	snprintf(text, sizeof(text),
	    "{\"csrd\":{\"nodes\":[{\"name\":\"%s\",\"stage\":\"%s\",\"since\":%lld}]}"
	    "}",
	    name, what, since ? (long long)(clock_real_s() - since) : 0);
	return after(worker, stage, ago, joined_read_csrd, text);
}

TEST(what_is_expected_next)
{
	begin();
	/* Without a time, as without one that is known. */
	CHECK(csrd(STAGE_REBOOTING, 99, "worker.okd.example.com", "approved", 0) ==
	    STAGE_REBOOTING);
	CHECK(csrd(STAGE_REBOOTING, 99, "worker.okd.example.com", "joined", 0) ==
	    STAGE_JOINED);
	CHECK(csrd(STAGE_JOINED, 99, "worker", "ready", 0) == STAGE_DONE);
	CHECK(csrd(STAGE_CONFIGURING, 99, "worker", "ready", 0) == STAGE_DONE);
	CHECK(!progress_may_follow(worker, STAGE_DONE));
	CHECK(csrd(STAGE_REBOOTING, 99, "worker", "ready", 50) == STAGE_DONE);
	/* The clocks of the cluster and of this host differ. */
	CHECK(csrd(STAGE_REBOOTING, 99, "worker", "ready", 200) == STAGE_DONE);
	CHECK(worker->stage_at <= clock_real_s() - 98); /* not back in time */
	CHECK(csrd(STAGE_REBOOTING, 99, "worker", "ready", -200) == STAGE_DONE);
	CHECK(worker->stage_at <= clock_real_s());
	/* One that never goes back. */
	CHECK(csrd(STAGE_DONE, 99, "worker", "joined", 50) == STAGE_DONE);
	CHECK(progress_find(p, "master")->stage == STAGE_NONE);
	end();
}

TEST(a_node_of_an_earlier_installation)
{
	begin();
	CHECK(csrd(STAGE_REBOOTING, 99, "worker", "ready", 5000) == STAGE_REBOOTING);
	CHECK(
	    csrd(STAGE_CONFIGURING, 99, "worker", "joined", 5000) == STAGE_CONFIGURING);
	CHECK(csrd(STAGE_STARTING, 99, "worker", "ready", 100) == STAGE_STARTING);
	CHECK(csrd(STAGE_STARTING, 99, "worker", "ready", 0) == STAGE_STARTING);
	CHECK(csrd(STAGE_WAITING, 99, "worker", "ready", 0) == STAGE_WAITING);
	/* Nor of one that fetches nothing here, or still does. */
	CHECK(csrd(STAGE_NONE, 99, "worker", "ready", 50) == STAGE_NONE);
	CHECK(csrd(STAGE_WRITING, 99, "worker", "ready", 50) == STAGE_WRITING);
	end();
}

/* Its image from elsewhere, or written by hand after a failure: it is there at last. */
TEST(a_node_that_came_another_way)
{
	begin();
	CHECK(csrd(STAGE_STARTING, 99, "worker", "joined", 50) == STAGE_JOINED);
	CHECK(csrd(STAGE_FAILED, 99, "worker", "ready", 50) == STAGE_DONE);
	CHECK(csrd(STAGE_WAITING, 99, "worker", "ready", 50) == STAGE_DONE);
	end();
}

static enum node_stage lbd(
    enum node_stage stage, int64_t ago, int64_t asked, int64_t fetched)
{
	char text[256];
	long long now = clock_real_s();

	snprintf(text, sizeof(text),
	    "{\"lbd\":{\"install\":{\"state\":\"handover\",\"nodes\":[{\"name\":"
	    "\"worker\",\"mcs_first\":%lld,\"fetched\":%lld}]}}}",
	    asked ? now - asked : 0, fetched ? now - fetched : 0);
	return after(worker, stage, ago, joined_read_lbd, text);
}

TEST(the_machine_config_server)
{
	begin();
	CHECK(lbd(STAGE_REBOOTING, 99, 0, 0) == STAGE_REBOOTING);
	CHECK(lbd(STAGE_REBOOTING, 99, 50, 0) == STAGE_WAITING && worker->why[0]);
	CHECK(lbd(STAGE_WAITING, 50, 50, 30) == STAGE_CONFIGURING && !worker->why[0]);
	CHECK(worker->stage_at <= clock_real_s() - 30);
	CHECK(lbd(STAGE_REBOOTING, 99, 50, 50) == STAGE_CONFIGURING);
	CHECK(lbd(STAGE_FAILED, 99, 50, 50) == STAGE_CONFIGURING);
	/* What it fetched before this installation. */
	CHECK(lbd(STAGE_REBOOTING, 99, 200, 120) == STAGE_REBOOTING);
	CHECK(lbd(STAGE_REBOOTING, 99, 120, 0) == STAGE_REBOOTING);
	CHECK(lbd(STAGE_WRITING, 99, 50, 50) == STAGE_WRITING);
	CHECK(lbd(STAGE_JOINED, 99, 50, 50) == STAGE_JOINED);
	end();
}

TEST(a_node_that_is_installed_again)
{
	long long now = clock_real_s();
	char text[256];

	begin();
	snprintf(text, sizeof(text),
	    "{\"lbd\":{\"install\":{\"state\":\"complete\",\"nodes\":[{\"name\":"
	    "\"worker\",\"mcs_first\":%lld,\"fetched\":%lld,\"fetched_last\":%lld}]}}}",
	    now - 5000, now - 4990, now - 30);
	CHECK(after(worker, STAGE_REBOOTING, 99, joined_read_lbd, text) ==
	    STAGE_CONFIGURING);
	CHECK(worker->stage_at <= clock_real_s() - 30);
	CHECK(after(worker, STAGE_REBOOTING, 20, joined_read_lbd, text) ==
	    STAGE_REBOOTING);
	end();
}

static enum node_stage life(enum node_stage stage, const char *state, int64_t since)
{
	char text[160];

	snprintf(text, sizeof(text),
	    "{\"lbd\":{\"install\":{\"state\":\"%s\",\"since\":%lld,\"nodes\":[{"
	    "\"name\":"
	    "\"bootstrap\",\"fetched\":%lld}]}}}",
	    state, (long long)(clock_real_s() - since),
	    (long long)(clock_real_s() - since));
	return after(bootstrap, stage, 99, joined_read_lbd, text);
}

TEST(the_bootstrap)
{
	begin();
	CHECK(life(STAGE_REBOOTING, "waiting", 50) == STAGE_REBOOTING);
	CHECK(life(STAGE_REBOOTING, "bootstrap", 50) == STAGE_CONFIGURING);
	CHECK(life(STAGE_REBOOTING, "handover", 50) == STAGE_CONFIGURING);
	CHECK(life(STAGE_CONFIGURING, "complete", 50) == STAGE_DONE);
	CHECK(life(STAGE_REBOOTING, "complete", 5000) == STAGE_REBOOTING);
	CHECK(worker->stage == STAGE_NONE);
	end();
}

TEST(what_is_no_status)
{
	static const char *const none[] = { "", "[]", "{}", "{\"csrd\":{\"nodes\":1}}",
		"{\"lbd\":{\"install\":{}}}" };

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		CHECK(say(joined_read_csrd, none[i]) == -EBADMSG);
		CHECK(say(joined_read_lbd, none[i]) == -EBADMSG);
	}
	CHECK(say(joined_read_csrd,
		  "{\"csrd\":{\"nodes\":[1,{},{\"name\":1},null,{\"name\":\"worker\","
		  "\"stage\":1},{\"name\":\"worker\",\"stage\":\"ready\",\"since\":"
		  "\"x\"}]}}") == 0);
	CHECK(say(joined_read_lbd,
		  "{\"lbd\":{\"install\":{\"state\":1,\"nodes\":[1,{},null,{\"name\":"
		  "\"worker\",\"fetched\":{}}]}}}") == 0);
	CHECK(worker->stage == STAGE_NONE);
	end();
}
