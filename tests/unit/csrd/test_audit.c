/* The audit: what is told comes back after a restart, once, and floods push out no
 * approval. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/loop.h"
#include "csrd/audit.h"

static char folder[] = "/tmp/okd-audit-XXXXXX";
static char path[64];

/* At the end of the program; a reader leaves sqlite's own files behind. */
static __attribute__((destructor)) void clean_up(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	static const char *const names[] = { "one", "same", "flood", "old", "gone" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(ends); j++) {
			snprintf(path, sizeof(path), "%s/%s.db%s", folder, names[i],
			    ends[j]);
			unlink(path);
		}
	}
	rmdir(folder);
}

/* What an opened audit remembered. */
static struct {
	unsigned approvals, open, holding, seen;
	int64_t row, seen_at;
	char node[64], csr[64];
	uint8_t key[X509_SHA256];
} memory;

static void on_approval(void *arg, int64_t row, const char *uid, const char *node,
    const char *csr, const uint8_t *key, bool holds_name, int64_t at, bool open)
{
	memory.approvals++;
	memory.open += open;
	memory.holding += holds_name;
	memory.row = row;
	snprintf(memory.node, sizeof(memory.node), "%s", node);
	snprintf(memory.csr, sizeof(memory.csr), "%s", csr);
	if (key)
		memcpy(memory.key, key, sizeof(memory.key));
}

static void on_seen(void *arg, const char *node, int64_t at)
{
	memory.seen++;
	memory.seen_at = at;
}

static struct audit *open_audit(struct loop *l)
{
	const struct audit_memory m = { on_approval, on_seen, NULL };
	struct audit *a = NULL;
	struct err e = ERR_INIT;

	memset(&memory, 0, sizeof(memory));
	if (audit_new(&a, l, path, &e) < 0 || audit_recall(path, &m, &e) < 0) {
		printf("# %s\n", err_str(&e));
		abort();
	}
	return a;
}

static void fresh(const char *name)
{
	static bool made;

	if (!made && !mkdtemp(folder))
		abort();
	made = true;
	snprintf(path, sizeof(path), "%s/%s.db", folder, name);
}

static int64_t rows[4];

static void on_row(void *arg, int64_t row)
{
	*(int64_t *)arg = row;
}

static struct audit_entry entry(const char *decision, const char *uid)
{
	static const uint8_t key[X509_SHA256] = { 1, 2, 3 };

	return (struct audit_entry){ .at = clock_real_s(),
		.decision = decision,
		.reason = "client",
		.text = "t",
		.csr = "csr-1",
		.uid = uid,
		.node = "n",
		.signer = "s",
		.username = "u",
		.key = key,
		.holds_name = true,
		.by = "policy" };
}

static int64_t count(const char *sql)
{
	struct db *db = NULL;
	int64_t n = -1;
	struct db_migration none[] = { { 1, "" }, { 0, NULL } };

	if (db_open_readonly(&db, path, none, NULL) < 0 ||
	    db_get(db, &n, sql, NULL) < 0)
		n = -1;
	db_free(db);
	return n;
}

TEST(an_approval_comes_back)
{
	struct audit_entry e = entry("approve", "uid-1");
	struct loop *l = NULL;
	struct audit *a;

	CHECK(loop_new(&l) == 0);
	fresh("one");
	a = open_audit(l);
	CHECK(memory.approvals == 0);
	CHECK(audit_decision(a, &e, on_row, &rows[0]) == 0);
	audit_seen(a, "n", 100);
	audit_seen(a, "n", 50);
	audit_free(a);
	CHECK(rows[0] > 0);
	/* Without an outcome it is open. */
	a = open_audit(l);
	CHECK(memory.approvals == 1 && memory.open == 1 && memory.holding == 1);
	CHECK(memory.row == rows[0] && strcmp(memory.node, "n") == 0);
	CHECK(strcmp(memory.csr, "csr-1") == 0 && memory.key[2] == 3);
	/* The last one counts: a clock that was ahead is set right again. */
	CHECK(memory.seen == 1 && memory.seen_at == 50);
	audit_outcome(a, rows[0], "approved", NULL);
	audit_free(a);
	a = open_audit(l);
	CHECK(memory.approvals == 1 && memory.open == 0);
	audit_outcome(a, rows[0], "refused", "no");
	audit_free(a);
	/* What came to nothing holds no name. */
	a = open_audit(l);
	CHECK(memory.approvals == 0);
	e = entry("elsewhere", "uid-2");
	audit_pending(a, &e);
	audit_pending(a, &e);
	audit_free(a);
	a = open_audit(l);
	CHECK(memory.approvals == 1 && memory.open == 0 && memory.holding == 1);
	audit_free(a);
	loop_free(l);
}

TEST(the_same_is_counted)
{
	struct audit_entry e = entry("pending", "uid-1");
	struct loop *l = NULL;
	struct audit *a;

	CHECK(loop_new(&l) == 0);
	fresh("same");
	a = open_audit(l);
	for (int i = 0; i < 5; i++)
		audit_pending(a, &e);
	e.reason = "other";
	audit_pending(a, &e);
	audit_free(a);
	CHECK(count("SELECT count(*) FROM decision") == 2);
	CHECK(count("SELECT seen FROM decision WHERE reason = 'client'") == 5);
	loop_free(l);
}

TEST(a_flood_pushes_out_no_approval)
{
	struct audit_entry e = entry("approve", "uid-1");
	struct loop *l = NULL;
	struct audit *a;
	char uid[32];

	CHECK(loop_new(&l) == 0);
	fresh("flood");
	a = open_audit(l);
	audit_limit(a, &(struct audit_limits){ .keep_s = 86400, .refused = 100 });
	CHECK(audit_decision(a, &e, on_row, &rows[0]) == 0);
	e = entry("pending", uid);
	for (int i = 0; i < 4096; i++) {
		snprintf(uid, sizeof(uid), "flood-%d", i);
		audit_pending(a, &e);
	}
	audit_free(a);
	CHECK(count("SELECT count(*) FROM decision WHERE decision = 'approve'") == 1);
	CHECK(count("SELECT count(*) FROM decision WHERE decision = 'pending'") <= 101);
	CHECK(count("SELECT count(*) FROM decision WHERE uid = 'flood-4095'") == 1);
	loop_free(l);
}

TEST(what_is_old_goes)
{
	struct audit_entry e = entry("approve", "uid-1");
	struct loop *l = NULL;
	struct audit *a;
	char uid[32];

	CHECK(loop_new(&l) == 0);
	fresh("old");
	a = open_audit(l);
	audit_limit(a, &(struct audit_limits){ .keep_s = 86400, .refused = 10000 });
	e.at -= 86401;
	CHECK(audit_decision(a, &e, on_row, &rows[0]) == 0);
	e = entry("pending", uid);
	for (int i = 0; i < 4096; i++) {
		snprintf(uid, sizeof(uid), "u-%d", i);
		audit_pending(a, &e);
	}
	audit_free(a);
	CHECK(count("SELECT count(*) FROM decision WHERE decision = 'approve'") == 0);
	CHECK(count("SELECT count(*) FROM decision") == 4096);
	loop_free(l);
}

TEST(a_table_that_is_gone_is_told)
{
	struct audit_entry e = entry("approve", "uid-1");
	struct db_migration none[] = { { 1, "" }, { 0, NULL } };
	struct loop *l = NULL;
	struct audit *a;
	struct db *db = NULL;

	CHECK(loop_new(&l) == 0);
	fresh("gone");
	a = open_audit(l);
	CHECK(db_open(&db, path, none, 0, NULL) == 0);
	CHECK(db_exec(db, "DROP TABLE decision") == 0);
	db_free(db);
	rows[1] = 0;
	CHECK(audit_decision(a, &e, on_row, &rows[1]) == 0);
	audit_free(a);
	CHECK(rows[1] < 0);
	loop_free(l);
}
