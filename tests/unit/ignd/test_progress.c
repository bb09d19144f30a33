/* The nodes' progress: which transfers count. */
#include "ignd/progress.h"

#include "tests/unit/test.h"

#include <string.h>

#include "common/cluster.h"

static const char cluster_yaml[] =
    "name: okd\nbase_domain: example.com\n"
    "bastion: {name: bastion, addresses: [192.168.120.101]}\n"
    "machine_network: [192.168.120.0/24]\n"
    "nodes:\n"
    "- {name: bootstrap, role: bootstrap, address: 192.168.120.102}\n"
    "- {name: master, role: master, address: 192.168.120.103}\n"
    "- {name: worker, role: worker, address: 192.168.120.104}\n";

static struct progress *p;
static struct node_state *worker;

static void begin(void)
{
	struct cluster *cluster = NULL;

	CHECK(cluster_parse(&cluster, "cluster.yaml", cluster_yaml,
		  strlen(cluster_yaml), NULL, NULL) == 0);
	CHECK(progress_new(&p) == 0 && progress_set_cluster(p, cluster) == 0);
	cluster_free(cluster);
	worker = progress_find(p, "worker");
}

static uint64_t fetch(void)
{
	return progress_begin(p, worker, FILE_IGNITION, "worker.ign", 100);
}

static void over(uint64_t id, bool complete)
{
	const struct progress_end end = {
		.kind = FILE_IGNITION,
		.id = id,
		.complete = complete,
		.acked = complete ? 100 : 50,
		.address = "192.168.120.104",
		.why = "",
	};

	progress_end(p, worker, &end);
}

/* Whoever begins a second one beside it does not get the first for nothing. */
TEST(each_that_is_complete_counts)
{
	uint64_t first, second;

	begin();
	first = fetch();
	second = fetch();
	over(first, true);
	CHECK(worker->ticket_at != 0 && worker->window.used_at != 0);
	CHECK(worker->ignition.id == second && worker->ignition.done_at == 0);
	over(second, false);
	CHECK(worker->ignition.id == 0 && worker->ignition.acked == 50);
	p = progress_free(p);
}

TEST(half_of_one_counts_for_nothing)
{
	uint64_t first;

	begin();
	first = fetch();
	over(first, false);
	CHECK(worker->ticket_at == 0 && worker->window.used_at == 0);
	first = fetch();
	over(fetch(), false);
	over(first, false);
	CHECK(worker->ticket_at == 0 && worker->window.used_at == 0);
	p = progress_free(p);
}

TEST(nor_does_one_from_before_a_reset)
{
	uint64_t first, second;

	begin();
	first = fetch();
	second = fetch();
	progress_reset(p, worker);
	over(first, true);
	over(second, true);
	CHECK(worker->ticket_at == 0 && worker->window.used_at == 0);
	over(fetch(), true);
	CHECK(worker->ticket_at != 0);
	p = progress_free(p);
}

/* Coming again within the grace does not prolong it. */
TEST(the_first_use_counts)
{
	int64_t used_at;

	begin();
	over(fetch(), true);
	used_at = worker->window.used_at -= 100;
	worker->ticket_at -= 100;
	over(fetch(), true);
	CHECK(worker->window.used_at == used_at && worker->ticket_at >= used_at + 100);
	p = progress_free(p);
}
