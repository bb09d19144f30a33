/* The nodes' progress: which transfers count. */
#include "ignd/progress.h"

#include "tests/unit/test.h"

#include <string.h>

#include "common/clock.h"
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

/* What another process knows of the worker, where verbs made its window so. */
static json_t *saved_with(enum window_mode mode, uint64_t serial, bool used)
{
	struct node_state other = *worker;

	other.window = (struct window){ .mode = mode, .serial = serial, .duration = 0 };
	if (used)
		window_use(&other.window, clock_real_s(), clock_boot_ms());
	return progress_save(&other);
}

static void restore(enum window_mode mode, uint64_t serial, bool used)
{
	json_t *saved = saved_with(mode, serial, used);

	progress_restore(p, worker, saved);
	json_decref(saved);
}

TEST(the_later_verb_holds)
{
	begin();
	restore(WINDOW_OPENED, 0, false); /* nobody counted its verbs */
	CHECK(worker->window.mode == WINDOW_OPENED);
	restore(WINDOW_OPENED, 3, false);
	restore(WINDOW_CLOSED, 2, true);
	CHECK(worker->window.mode == WINDOW_OPENED && !worker->window.used_at);
	restore(WINDOW_OPENED, 3, true);
	CHECK(worker->window.mode == WINDOW_OPENED && worker->window.used_at);
	CHECK(worker->window.used_ms != WINDOW_SPENT);
	restore(WINDOW_CLOSED, 4, false);
	CHECK(worker->window.mode == WINDOW_CLOSED && !worker->window.used_at);
	restore(WINDOW_OPENED, 4, false);
	CHECK(worker->window.mode == WINDOW_CLOSED);
	progress_reset(p, worker);
	CHECK(worker->window.mode == WINDOW_INITIAL && worker->window.serial == 5);
	p = progress_free(p);
}

TEST(a_reset_is_later_than_the_last_one)
{
	int64_t future = clock_real_s() + 86400;

	begin();
	progress_restore_reset(p, worker, future);
	CHECK(worker->reset_at == future);
	over(fetch(), true);
	progress_reset(p, worker);
	CHECK(worker->reset_at > future && !worker->ticket_at);
	p = progress_free(p);
}
