/* Patterns for names: see pattern.h. */
#include "dnsd/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/str.h"

#define MATCH_LIMIT 20000 /* steps; a runaway pattern costs a millisecond */
#define HEAP_LIMIT 1024   /* KiB that the interpreter keeps for a thread */

/* The end of a name: whole labels, and before them the end of one more. */
struct end {
	struct name_buf labels;
	uint8_t n_partial;
	bool more; /* there must be a label before */
	uint8_t partial[DNS_LABEL_MAX];
};

struct pattern {
	bool is_end;
	struct end end;
	pcre2_code *code;
	pcre2_match_context *limits;
};

static int compile_end(struct end *end, char *literal)
{
	size_t n = strcspn(literal, ".");

	if (n > DNS_LABEL_MAX || !str_ends(literal, ".") || literal[n + 1] == '.')
		return -EINVAL;
	memcpy(end->partial, literal, n);
	end->n_partial = (uint8_t)n;
	end->more = true;
	return name_parse(&end->labels, literal[n + 1] ? literal + n + 1 : ".");
}

/* .*literal$ or literal$, where literal is plain characters and escaped dots. */
static bool parse_end(struct end *end, const char *text)
{
	char literal[DNS_NAME_MAX + 1];
	size_t n = 0;

	if (str_starts(text, "^.*"))
		text++;
	if (str_starts(text, ".*"))
		text += 2;
	for (; *text && !str_eq(text, "$"); text++) {
		if (text[0] == '\\' && text[1] == '.')
			text++;
		else if (!islower((unsigned char)*text) &&
		    !isdigit((unsigned char)*text) && *text != '-' && *text != '_')
			return false;
		if (n == sizeof(literal) - 1)
			return false;
		literal[n++] = *text;
	}
	literal[n] = '\0';
	return *text == '$' && n > 1 && compile_end(end, literal) == 0;
}

/* What a thread's matches are kept in, so that a question allocates nothing. */
static pthread_key_t scratch_key;
static bool has_scratch_key, may_run_made_code;

static void scratch_free(void *md)
{
	pcre2_match_data_free(md);
}

/* Where memory must not be both writable and executable, a library might still come by
 * some through a file: who forbids the one means the other too. */
static bool may_make_code(void)
{
	enum { SIZE = 4096 };
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && munmap(p, SIZE) == 0;
}

static void init_once(void)
{
	has_scratch_key = pthread_key_create(&scratch_key, scratch_free) == 0;
	may_run_made_code = may_make_code();
}

static pcre2_match_data *scratch_get(void)
{
	pcre2_match_data *md =
	    has_scratch_key ? pthread_getspecific(scratch_key) : NULL;

	if (md || !has_scratch_key)
		return md;
	md = pcre2_match_data_create(PATTERN_GROUPS, NULL);
	if (md && pthread_setspecific(scratch_key, md) != 0) {
		pcre2_match_data_free(md);
		return NULL;
	}
	return md;
}

static int compile(struct pattern *p, const char *text, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	PCRE2_SIZE at;
	int code;

	pthread_once(&once, init_once);
	p->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
	    PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C, &code,
	    &at, NULL);
	if (!p->code) {
		PCRE2_UCHAR why[256];

		pcre2_get_error_message(code, why, sizeof(why));
		return err_set(e, -EINVAL,
		    "\"%.64s\" is no pattern: %s at character %zu", text,
		    (const char *)why, (size_t)at + 1);
	}
	p->limits = pcre2_match_context_create(NULL);
	if (!p->limits)
		return err_set(e, -ENOMEM, "out of memory");
	pcre2_set_match_limit(p->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(p->limits, MATCH_LIMIT);
	pcre2_set_heap_limit(p->limits, HEAP_LIMIT);
	/* Without it the interpreter does the same. */
	if (may_run_made_code)
		(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	return 0;
}

int pattern_new(struct pattern **ret, const char *text, struct err *e)
{
	_cleanup_(pattern_freep) struct pattern *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	p->is_end = parse_end(&p->end, text);
	r = compile(p, text, e);
	if (r < 0)
		return r;
	*ret = TAKE(p);
	return 0;
}

struct pattern *pattern_free(struct pattern *p)
{
	if (!p)
		return NULL;
	pcre2_code_free(p->code);
	pcre2_match_context_free(p->limits);
	free(p);
	return NULL;
}

bool pattern_is_end(const struct pattern *p)
{
	return p->is_end;
}

bool pattern_match_end(const struct pattern *p, const struct name_buf *name)
{
	const struct end *e = &p->end;
	size_t off = 0, before = 0;

	for (; name->len - off > e->labels.len; off += name->wire[off] + 1u)
		before = name->wire[off];
	return name->len - off == e->labels.len && off > 0 && before >= e->n_partial &&
	    memcmp(name->wire + off, e->labels.wire, e->labels.len) == 0 &&
	    memcmp(name->wire + off - e->n_partial, e->partial, e->n_partial) == 0;
}

/* A group that took no part in the match is empty, as in Go. */
static void copy_groups(size_t *to, const PCRE2_SIZE *from, unsigned n)
{
	for (unsigned i = 0; i < 2 * n; i++)
		to[i] = from[i] == PCRE2_UNSET ? 0 : from[i];
}

unsigned pattern_match(
    const struct pattern *p, const char *text, size_t n, size_t *groups, unsigned max)
{
	pcre2_match_data *md = scratch_get();
	int r;

	if (!md)
		return 0;
	r = pcre2_match(p->code, (PCRE2_SPTR)text, n, 0, 0, md, p->limits);
	/* Compiled code has 32 KiB of the thread's stack and no more. */
	if (_unlikely_(r == PCRE2_ERROR_JIT_STACKLIMIT))
		r = pcre2_match(
		    p->code, (PCRE2_SPTR)text, n, 0, PCRE2_NO_JIT, md, p->limits);
	if (r == 0)
		r = PATTERN_GROUPS;
	r = MIN(r, (int)max);
	if (r > 0)
		copy_groups(groups, pcre2_get_ovector_pointer(md), (unsigned)r);
	return r > 0 ? (unsigned)r : 0;
}

int pattern_group(const struct pattern *p, const char *name)
{
	int r = pcre2_substring_number_from_name(p->code, (PCRE2_SPTR)name);

	return r > 0 ? r : -1;
}
