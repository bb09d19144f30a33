/* Verifying who asks: see auth.h. */
#include "regd/auth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fd.h"
#include "common/htable.h"
#include "common/http_req.h"
#include "common/log.h"
#include "common/ratelimit.h"
#include "regd/basic.h"
#include "regd/bearer.h"
#include "regd/call.h"
#include "regd/event.h"
#include "regd/htpasswd.h"
#include "regd/pool.h"
#include "regd/regd.h"
#include "regd/token.h"

#define USERS_PATH "/etc/okd-bastion/registry.htpasswd"

enum {
	CREDENTIALS_MAX = 4096, /* remembered */
	GOOD_MS = 3600 * 1000,  /* how long one that was verified is kept unused */
	BAD_MS = 10 * 1000,     /* how long a wrong one is not hashed again */
	QUEUE_MAX = 64,         /* passwords that wait for their hash */
	FAILURE_COST = 6,       /* tokens; one comes back each second: ten a minute */
	FAILURE_BURST = 20 * FAILURE_COST,
};

/* A user and a password that were tried, under a keyed hash of both. */
struct credential {
	struct hnode node;
	struct list_link age; /* oldest first */
	struct job job;
	struct auth *auth;
	uint8_t key[DIGEST_SHA256_SIZE];
	char user[HTPASSWD_USER_MAX];
	char password[HTPASSWD_PASSWORD_MAX]; /* wiped once hashed */
	char hash[HTPASSWD_HASH_MAX];
	bool pending, good, known, stale;
	uint64_t until_ms;
	struct net_ip peer;       /* who tried it first */
	struct list_link waiting; /* calls */
};

struct auth {
	struct regd *regd;
	void (*done)(struct call *c, enum auth_verdict v);
	struct htpasswd *users; /* NULL with auth: off */
	struct bearer *bearer;
	char *path;
	struct stat seen; /* of the file that users came from */
	uint8_t secret[32];
	struct htable table;
	struct list_link by_age;
	size_t n;
	struct ratelimit *failures;
};

/* --- the file of users ---------------------------------------------------- */

static char *random_password(char out[25])
{
	static const char set[] = "abcdefghijkmnpqrstuvwxyz"
				  "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
	uint8_t bytes[24];

	random_bytes(bytes, sizeof(bytes));
	for (int i = 0; i < 24; i++)
		out[i] = set[bytes[i] % (sizeof(set) - 1)];
	out[24] = '\0';
	return out;
}

/* What a configuration says of users, on its way into force. */
struct auth_users {
	struct htpasswd *users; /* NULL with auth: off */
	char *path;
	struct stat seen;
	struct issuers *issuers;
};

struct auth_users *auth_users_free(struct auth_users *u)
{
	if (!u)
		return NULL;
	htpasswd_free(u->users);
	issuers_free(u->issuers);
	free(u->path);
	free(u);
	return NULL;
}

/* Nobody named any users: one is made, and the log says where its password is. */
static int make_users(const char *users, const char *dir, struct err *err)
{
	char password[25], hash[HTPASSWD_HASH_MAX], line[HTPASSWD_HASH_MAX + 8];
	char path[4096];
	int r, n;

	r = htpasswd_make(random_password(password), hash);
	snprintf(path, sizeof(path), "%s/password", dir);
	if (r == 0)
		r = file_replace(path, 0600, password, strlen(password));
	n = snprintf(line, sizeof(line), "okd:%s\n", hash);
	if (r == 0)
		r = file_replace(users, 0600, line, (size_t)n);
	explicit_bzero(password, sizeof(password));
	if (r < 0)
		return err_set(err, r, "cannot write %s: %s", users, strerror(-r));
	log_with(LOG_INFO, LOG_FIELDS("MESSAGE_ID", EVENT_FIRST_USER, "OKD_FILE", path),
	    "no users are configured: made the user okd, whose password is in %s",
	    path);
	return 0;
}

static int find_path(const struct conf *conf, const char *state, char **ret)
{
	if (conf->auth.htpasswd)
		*ret = strdup(conf->auth.htpasswd);
	else if (access(USERS_PATH, F_OK) == 0)
		*ret = strdup(USERS_PATH);
	else if (asprintf(ret, "%s/htpasswd", state) < 0)
		*ret = NULL;
	return *ret ? 0 : -ENOMEM;
}

static int load_users(
    const char *path, struct htpasswd **ret, struct stat *seen, struct err *err)
{
	if (stat(path, seen) < 0)
		memset(seen, 0, sizeof(*seen));
	return htpasswd_load(ret, path, err);
}

int auth_users_new(
    struct auth_users **ret, struct auth *a, const struct conf *conf, struct err *err)
{
	_cleanup_(auth_users_freep) struct auth_users *u = calloc(1, sizeof(*u));
	const char *state = daemon_state_dir(a->regd->daemon);
	int r;

	if (!u || (!conf->auth.off && find_path(conf, state, &u->path) < 0))
		return err_set(err, -ENOMEM, "out of memory");
	r = issuers_new(&u->issuers, conf, err);
	if (r == 0 && u->path && !conf->auth.htpasswd && access(u->path, F_OK) < 0)
		r = make_users(u->path, state, err);
	if (r == 0 && u->path)
		r = load_users(u->path, &u->users, &u->seen, err);
	if (r < 0)
		return r;

	*ret = TAKE(u);
	return 0;
}

static void forget_all(struct auth *a);

/* What was verified by the users before no longer counts. */
static void set_users(struct auth *a, struct htpasswd *users, const struct stat *seen)
{
	htpasswd_free(a->users);
	a->users = users;
	a->seen = *seen;
	forget_all(a);
}

void auth_take(struct auth *a, struct auth_users *u)
{
	set_users(a, TAKE(u->users), &u->seen);
	free(a->path);
	a->path = TAKE(u->path);
	bearer_take(a->bearer, TAKE(u->issuers));
	auth_users_free(u);
}

bool auth_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size;
}

void auth_tick(struct auth *a)
{
	struct htpasswd *users;
	struct err e = ERR_INIT;
	struct stat st;

	bearer_tick(a->bearer);
	if (!a->users || stat(a->path, &st) < 0 || auth_same_file(&st, &a->seen))
		return;
	if (load_users(a->path, &users, &st, &e) < 0) {
		a->seen = st;
		log_err("users kept as they were: %s", err_str(&e));
		return;
	}
	set_users(a, users, &st);
	log_info("read %zu users from %s", htpasswd_count(a->users), a->path);
}

/* --- what was tried ------------------------------------------------------- */

static void forget(struct credential *cr)
{
	htable_remove(&cr->auth->table, &cr->node);
	list_remove(&cr->age);
	cr->auth->n--;
	free(cr);
}

static void forget_all(struct auth *a)
{
	list_for_each_safe (it, &a->by_age) {
		struct credential *cr = CONTAINER_OF(it, struct credential, age);

		if (cr->pending)
			cr->stale = true;
		else
			forget(cr);
	}
}

/* Room for one more: the oldest goes, unless it is at work.  Guesses go first, so that no
 * flood of them makes a client hash again that is in the middle of a mirror. */
static bool make_room(struct auth *a)
{
	for (int good = 0; good <= 1; good++)
		list_for_each_safe (it, &a->by_age) {
			struct credential *cr =
			    CONTAINER_OF(it, struct credential, age);

			if (a->n < CREDENTIALS_MAX)
				return true;
			if (!cr->pending && cr->good == good)
				forget(cr);
		}
	return a->n < CREDENTIALS_MAX;
}

static struct credential *find(struct auth *a, const uint8_t *key, uint64_t hash)
{
	for (struct hnode *n = htable_first(&a->table, hash); n; n = htable_next(n)) {
		struct credential *cr = CONTAINER_OF(n, struct credential, node);

		if (memcmp(cr->key, key, sizeof(cr->key)) == 0 && !cr->stale)
			return cr;
	}
	return NULL;
}

static bool set_user(struct call *c, const char *user)
{
	free(c->user);
	c->user = strdup(user);
	return c->user != NULL;
}

/* What is good stays so while it is used: a client in the middle of a mirror is never
 * hashed again, so never told to wait or that its address failed too often. */
static enum auth_verdict verdict(struct credential *cr, struct call *c)
{
	if (!cr->good)
		return AUTH_WRONG;
	cr->until_ms = clock_boot_ms() + GOOD_MS;
	return set_user(c, cr->user) ? AUTH_USER : AUTH_BUSY;
}

/* --- hashing ---------------------------------------------------------------- */

static void hash_work(struct job *j)
{
	struct credential *cr = CONTAINER_OF(j, struct credential, job);

	cr->good = htpasswd_verify(cr->hash, cr->password) && cr->known;
	explicit_bzero(cr->password, sizeof(cr->password));
}

static void hash_done(struct job *j)
{
	struct credential *cr = CONTAINER_OF(j, struct credential, job);
	struct auth *a = cr->auth;
	struct list_link *l;

	cr->pending = false;
	cr->until_ms = clock_boot_ms() + (cr->good ? GOOD_MS : BAD_MS);
	if (cr->good) {
		ratelimit_forget(a->failures, &cr->peer);
	} else {
		counter_add(&a->regd->stats.auth_failures, 1);
		log_with(LOG_WARNING,
		    LOG_FIELDS("MESSAGE_ID", EVENT_WRONG_PASSWORD, "OKD_CLIENT",
			net_ip_str(&cr->peer)),
		    "wrong password or unknown user from %s", net_ip_str(&cr->peer));
	}
	/* done() may end the call or others that wait here; each takes itself off. */
	while ((l = list_first(&cr->waiting))) {
		struct call *c = CONTAINER_OF(l, struct call, waiting);

		list_remove(l);
		c->ended = NULL;
		a->done(c, verdict(cr, c));
	}
	if (cr->stale)
		forget(cr);
}

static void call_ended(struct call *c)
{
	list_remove(&c->waiting);
}

static enum auth_verdict wait_for(struct credential *cr, struct call *c)
{
	list_append(&cr->waiting, &c->waiting);
	c->ended = call_ended;
	return AUTH_WAIT;
}

static enum auth_verdict start_hash(struct auth *a, struct call *c, const uint8_t *key,
    uint64_t hash, const char *user, const char *password)
{
	struct net_ip peer = http_req_peer(c->req, NULL);
	struct credential *cr;
	const char *dummy, *own;

	if (ratelimit_available(a->failures, &peer, clock_boot_ms()) < FAILURE_COST) {
		counter_add(&a->regd->stats.auth_limited, 1);
		return AUTH_LIMITED;
	}
	if (pool_load(a->regd->hash) >= QUEUE_MAX || !make_room(a))
		return AUTH_BUSY;
	if (strlen(user) >= HTPASSWD_USER_MAX ||
	    strlen(password) >= HTPASSWD_PASSWORD_MAX)
		return AUTH_WRONG;
	cr = calloc(1, sizeof(*cr));
	if (!cr)
		return AUTH_BUSY;
	own = htpasswd_find(a->users, user, &dummy);
	cr->auth = a;
	cr->known = own != NULL;
	cr->pending = true;
	cr->peer = peer;
	memcpy(cr->key, key, sizeof(cr->key));
	memcpy(cr->user, user, strlen(user) + 1);
	memcpy(cr->password, password, strlen(password) + 1);
	snprintf(cr->hash, sizeof(cr->hash), "%s", own ? own : dummy);
	list_init(&cr->waiting);
	if (htable_insert(&a->table, &cr->node, hash) < 0) {
		free(cr);
		return AUTH_BUSY;
	}
	list_append(&a->by_age, &cr->age);
	a->n++;
	/* Paid in advance, or as many guesses as there are at once would count as none; what
	 * is good gets it back. */
	(void)ratelimit_take(a->failures, &peer, FAILURE_COST, clock_boot_ms());
	cr->job.work = hash_work;
	cr->job.done = hash_done;
	counter_add(&a->regd->stats.auth_hashes, 1);
	pool_post(a->regd->hash, &cr->job);
	return wait_for(cr, c);
}

static enum auth_verdict check_basic(struct auth *a, struct call *c, const char *header)
{
	uint8_t key[DIGEST_SHA256_SIZE];
	struct credential *cr;
	enum auth_verdict v;
	char buf[BASIC_MAX];
	char *password;
	uint64_t hash;
	size_t n;

	password = basic_decode(header, buf, &n);
	if (!password)
		return AUTH_WRONG;
	hmac_sha256(a->secret, sizeof(a->secret), buf, n, key);
	memcpy(&hash, key, sizeof(hash));
	cr = find(a, key, hash);
	if (cr && !cr->pending && cr->until_ms < clock_boot_ms()) {
		forget(cr);
		cr = NULL;
	}
	if (!cr)
		v = start_hash(a, c, key, hash, buf, password);
	else
		v = cr->pending ? wait_for(cr, c) : verdict(cr, c);
	explicit_bzero(buf, sizeof(buf));
	return v;
}

/* --- tokens ------------------------------------------------------------------- */

struct bearer *auth_bearer(struct auth *a)
{
	return a->users ? a->bearer : NULL;
}

void auth_seal(struct auth *a, const char *user, char *out, size_t size)
{
	const char *dummy, *hash = htpasswd_find(a->users, user, &dummy);

	out[0] = '\0';
	if (hash)
		bearer_seal(a->bearer, hash, out, size);
}

/* An own token ends with the password that it was given for. */
static bool still_holds(struct auth *a, const struct token *t)
{
	char seal[sizeof(t->seal)];

	if (!t->own || !t->user[0])
		return true;
	auth_seal(a, t->user, seal, sizeof(seal));
	return seal[0] && str_eq(seal, t->seal);
}

static enum auth_verdict refuse_token(
    struct auth *a, const struct net_ip *peer, int r, const struct err *e)
{
	counter_add(&a->regd->stats.tokens_refused, 1);
	/* One that has expired is nobody's guess. */
	if (r == -EBADMSG) {
		counter_add(&a->regd->stats.auth_failures, 1);
		(void)ratelimit_take_upto(
		    a->failures, peer, FAILURE_COST, clock_boot_ms());
		log_warning(
		    "a token from %s is refused: %s", net_ip_str(peer), e->text);
	}
	return AUTH_TOKEN;
}

static enum auth_verdict check_token(struct auth *a, struct call *c, const char *text)
{
	struct net_ip peer = http_req_peer(c->req, NULL);
	struct err e = ERR_INIT;
	int r;

	text += strspn(text, " ");
	c->token = bearer_recall(a->bearer, text);
	if (!c->token) {
		if (ratelimit_available(a->failures, &peer, clock_boot_ms()) <
		    FAILURE_COST) {
			counter_add(&a->regd->stats.auth_limited, 1);
			return AUTH_LIMITED;
		}
		r = bearer_verify(a->bearer, text, &c->token, &e);
		if (r == -ENOMEM)
			return AUTH_BUSY;
		if (r < 0)
			return refuse_token(a, &peer, r, &e);
	}
	if (!still_holds(a, c->token)) {
		c->token = token_unref(c->token);
		return AUTH_TOKEN;
	}
	if (!c->token->user[0])
		return AUTH_ANONYMOUS;
	return set_user(c, c->token->user) ? AUTH_USER : AUTH_BUSY;
}

enum auth_verdict auth_check(struct auth *a, struct call *c)
{
	const char *header = http_req_header(c->req, "Authorization");

	if (!a->users || !header)
		return AUTH_ANONYMOUS;
	if (http_head_next(http_req_head(c->req), "Authorization", header))
		return AUTH_TWICE;
	if (basic_is_nobody(header))
		return AUTH_ANONYMOUS;
	if (strncasecmp(header, "Bearer ", 7) == 0)
		return check_token(a, c, header + 7);
	return check_basic(a, c, header);
}

/* --- rights ------------------------------------------------------------------- */

unsigned auth_call_rights(const struct call *c, const char *repository)
{
	unsigned rights = ACCESS_ALL;

	if (c->token)
		rights = scope_rights(&c->token->scope, repository);
	if (!c->token || c->token->own)
		rights &= auth_rights(c->regd->auth, c->user, repository);
	return rights;
}

bool auth_may_list(const struct call *c, const char *repository)
{
	if (!c->token || !c->token->scope.catalog)
		return auth_call_rights(c, repository) & ACCESS_PULL;
	return !c->token->own ||
	    (auth_rights(c->regd->auth, c->user, repository) & ACCESS_PULL);
}

unsigned auth_rights(struct auth *a, const char *user, const char *repository)
{
	const struct conf_auth *conf = &a->regd->conf->auth;
	unsigned rights = conf->anonymous_pull ? ACCESS_PULL : 0;

	if (!a->users)
		return ACCESS_ALL;
	if (conf->rules.n)
		return rights | acl_rights(&conf->rules, user, repository);
	return user ? ACCESS_ALL : rights;
}

/* --- life ------------------------------------------------------------------- */

int auth_new(struct auth **ret, struct regd *g,
    void (*done)(struct call *c, enum auth_verdict v), struct err *err)
{
	static const struct ratelimit_options budget = {
		.rate = 1,
		.burst = FAILURE_BURST,
	};
	_cleanup_(auth_freep) struct auth *a = calloc(1, sizeof(*a));
	struct auth_users *users;
	int r;

	if (!a)
		return err_set(err, -ENOMEM, "out of memory");
	a->regd = g;
	a->done = done;
	htable_init(&a->table);
	list_init(&a->by_age);
	random_bytes(a->secret, sizeof(a->secret));
	r = ratelimit_new(&a->failures, &budget);
	if (r < 0)
		return err_set(err, r, "out of memory");
	r = bearer_new(&a->bearer, g, err);
	if (r == 0)
		r = auth_users_new(&users, a, g->conf, err);
	if (r < 0)
		return r;
	auth_take(a, users);

	*ret = TAKE(a);
	return 0;
}

/* The pool that hashes has ended before. */
struct auth *auth_free(struct auth *a)
{
	if (!a)
		return NULL;
	list_for_each_safe (it, &a->by_age)
		forget(CONTAINER_OF(it, struct credential, age));
	htable_deinit(&a->table);
	a->bearer = bearer_free(a->bearer);
	a->failures = ratelimit_free(a->failures);
	a->users = htpasswd_free(a->users);
	explicit_bzero(a->secret, sizeof(a->secret));
	free(a->path);
	free(a);
	return NULL;
}
