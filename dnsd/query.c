/*
 * A query's way: query_parse() reads it, query_answer() refuses what we do not serve,
 * then answer_local() finds the name, the wildcard or the gap, and the writer puts
 * header, question, precompiled records and OPT together.  The common case copies one
 * run of bytes.
 */
#include "dnsd/query.h"

#include <errno.h>

#include "common/clock.h"
#include "dnsd/cookie.h"
#include "dnsd/query_parse.h"
#include "dnsd/query_writer.h"
#include "dnsd/stats.h"
#include "dnsd/template.h"

/* At most so many CNAMEs are followed for one question. */
#define CHAIN_MAX 10

/* The addresses of so many targets go along with an answer. */
#define GLUE_MAX 64

#define ADDRESS_LEN 16 /* of an A record whose owner is a pointer */

#define TTL_ANY 3600

static bool takes_turns(uint16_t type)
{
	return type == DNS_A || type == DNS_AAAA || type == DNS_MX;
}

/* One RRset as compiled.  Its owner is the name at offset owner of the message. */
static bool write_set(struct writer *w, const struct zone_name *name,
    const struct zone_set *s, unsigned owner)
{
	uint8_t *p = writer_reserve(w, s->len), *end;

	if (!p)
		return false;
	if (_unlikely_(s->count > 1) && w->turn % s->count && takes_turns(s->type))
		answer_copy_turned(
		    p, zone_set_wire(name, s), s->len, w->turn % s->count);
	else
		memcpy(p, zone_set_wire(name, s), s->len);
	if (_likely_(owner == DNS_HEADER))
		return true;
	for (end = p + s->len; p < end; p += 12 + get16(p + 10))
		put16(p, 0xc000 | owner);
	return true;
}

/* The SOA of an apex that lies at offset owner of the message. */
static bool write_soa(struct writer *w, const struct zone_apex *a, unsigned owner)
{
	uint8_t *p = writer_reserve(w, a->soa_len);

	if (!p)
		return false;
	memcpy(p, a->soa, a->soa_len);
	put16(p, 0xc000 | owner);
	for (unsigned i = 1; i < ARRAY_SIZE(a->pointers) && a->pointers[i]; i++)
		put16(p + a->pointers[i], 0xc000 | owner);
	return true;
}

/* The SOA for a negative answer about b, which stands at offset at of the message.
 * Names outside every apex have none. */
static void write_negative(struct writer *w, const struct zone *z, uint16_t apex,
    const struct name_buf *b, size_t at)
{
	if (apex != ZONE_NO_APEX &&
	    write_soa(
		w, &z->apexes[apex], (unsigned)(at + b->len - z->apexes[apex].len)))
		w->authority++;
}

/* RFC 8482, 4.2: one synthesised record for what would be a list of everything. */
static void write_any(struct writer *w)
{
	static const uint8_t rdata[] = "\x07RFC8482"; /* and an empty string */
	uint8_t *p = writer_reserve(w, 12 + sizeof(rdata));

	if (!p)
		return;
	put16(p, 0xc000 | DNS_HEADER);
	put16(p + 2, DNS_HINFO);
	put16(p + 4, DNS_IN);
	put32(p + 6, TTL_ANY);
	put16(p + 10, sizeof(rdata));
	memcpy(p + 12, rdata, sizeof(rdata));
	w->answers++;
}

/* A name under consideration: the question's at first, then each CNAME's target. */
struct step {
	const struct name_buf *name;
	struct name_buf target;        /* name, once a CNAME was followed */
	size_t at;                     /* its offset in the message */
	const struct zone_name *found; /* NULL: does not exist */
	uint16_t apex;
};

/* Finds what answers for a name.  False when no local source knows it. */
static bool step_find(struct step *s, const struct zone *z)
{
	const struct zone_name *above;
	size_t off = 0;

	s->found = zone_find(z, s->name, 0);
	if (_likely_(s->found)) {
		s->apex = s->found->apex;
		return s->apex != ZONE_NO_APEX || s->found->n_sets;
	}
	above = zone_encloser(z, s->name, &off);
	s->apex = ZONE_NO_APEX;
	if (!above)
		return false;
	s->apex = above->apex;
	s->found = zone_wildcard(z, above);
	return s->found || s->apex != ZONE_NO_APEX;
}

/* The next step is the name at offset at, an alias's target. */
static void step_to(struct step *s, const struct writer *w, size_t at)
{
	name_set(&s->target, w->out + at, name_scan(w->out + at, w->pos - at));
	s->name = &s->target;
	s->at = at;
}

/* Writes the CNAME at s, whose target becomes the next step. */
static bool step_follow(struct step *s, struct writer *w, const struct zone_set *cname)
{
	size_t target = w->pos + 12;

	if (s->at > 0x3fff || !write_set(w, s->found, cname, (unsigned)s->at))
		return false;
	w->answers++;
	step_to(s, w, target);
	return true;
}

/* True when an upstream is to be asked for the name that a chain came to. */
static bool step_leave(const struct step *s, const struct query_env *env,
    struct query *q, const struct writer *w)
{
	if (!env->recursion || !(q->flags & DNS_RD) || w->truncated ||
	    q->type == DNS_CNAME || q->type == DNS_ANY)
		return false;
	q->chase_at = s->at;
	q->chase_end = w->pos;
	q->answers = (uint16_t)w->answers;
	return true;
}

/* A record that a template made for the name at offset at; the length of its owner, or 0
 * without room. */
static size_t write_made(struct writer *w, const struct template_record *r, size_t at)
{
	size_t owner = r->at_question ? 2 : r->owner.len;
	uint8_t *p = writer_reserve(w, owner + 10 + r->len);

	if (!p)
		return 0;
	if (r->at_question)
		put16(p, 0xc000 | (unsigned)at);
	else
		memcpy(p, r->owner.wire, owner);
	p += owner;
	put16(p, r->type);
	put16(p + 2, DNS_IN);
	put32(p + 4, r->ttl);
	put16(p + 8, r->len);
	memcpy(p + 10, r->rdata, r->len);
	return owner;
}

/* The template that is to answer, counted. */
static enum template_result find_template(const struct query_env *env,
    const struct name_buf *name, uint16_t class, uint16_t type,
    struct template_match *m)
{
	enum template_result r = template_find(env->templates, name, class, type, m);

	if (r == TEMPLATE_MATCH && env->stats)
		stats_template_match(env->stats, m->zone->number, type);
	return r;
}

/* A line that makes no record. */
static void count_failure(const struct query_env *env, const struct query *q,
    const struct template_match *m, unsigned section, size_t i, int error)
{
	if (env->stats)
		stats_template_failure(env->stats,
		    template_line_number(env->templates, m, section, i), q->type,
		    error == -EBADMSG);
}

/* What a template that matched a name at offset at says of it.  False when a line makes no
 * record.  An alias ends it, as there is more to come: cname is its target's offset. */
static bool write_sections(const struct query_env *env, const struct query *q,
    const struct template_match *m, const struct name_buf *name, size_t at,
    struct writer *w, size_t *cname)
{
	unsigned *counts[] = { &w->answers, &w->authority, &w->additional };
	char remote[NET_IP_MAX] = "";
	struct template_question tq = { .name = name,
		.wire = w->out + at,
		.id = q->id,
		.class = q->class,
		.type = q->type,
		.remote = remote };
	struct template_record r;

	if (env->peer)
		net_ip_format(
		    (struct net_ip[]){ net_ip_from_sa(env->peer, NULL) }, remote);
	for (unsigned s = 0; s < ARRAY_SIZE(counts) && !*cname; s++) {
		const struct template_section *section = &m->template->sections[s];

		for (size_t i = 0; i < section->n; i++) {
			size_t start = w->pos, owner;
			int e = template_record(m, section, i, &tq, &r);

			if (e < 0) {
				count_failure(env, q, m, s, i, e);
				return false;
			}
			owner = write_made(w, &r, at);
			*counts[s] += owner > 0;
			if (owner && s == 0 && r.type == DNS_CNAME &&
			    q->type != DNS_CNAME && q->type != DNS_ANY)
				*cname = start + owner + 10;
		}
	}
	return true;
}

static bool same_target(const struct writer *w, size_t a, size_t b)
{
	size_t n = name_scan(w->out + a, w->pos - a);

	return n == name_scan(w->out + b, w->pos - b) &&
	    name_same(w->out + a, w->out + b, n);
}

enum glue {
	GLUE_END,
	GLUE_ALIAS,   /* it goes on at another name */
	GLUE_OUTSIDE, /* no local source knows the name */
};

/* The addresses of a name that stands at offset at of the message, as far as they fit; what
 * does not fit is left out without a word (RFC 2181, 9).  Or its alias; then at is that of
 * what it leads to. */
static enum glue write_glue(struct writer *w, const struct zone *z, size_t *at)
{
	static const uint16_t types[] = { DNS_A, DNS_AAAA };
	const struct zone_set *set;
	bool any = false;
	struct step s;

	step_to(&s, w, *at);
	if (s.at > 0x3fff)
		return GLUE_END;
	if (!step_find(&s, z))
		return GLUE_OUTSIDE;
	if (!s.found)
		return GLUE_END;
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		set = zone_set_find(s.found, types[i]);
		any |= set != NULL;
		if (!set || set->len > w->end - w->pos)
			continue;
		write_set(w, s.found, set, (unsigned)s.at);
		w->additional += set->count;
	}
	set = any ? NULL : zone_set_find(s.found, DNS_CNAME);
	if (_likely_(!set) || set->len > w->end - w->pos)
		return GLUE_END;
	*at = w->pos + 12;
	write_set(w, s.found, set, (unsigned)s.at);
	w->additional++;
	return GLUE_ALIAS;
}

/* Leaves the addresses of the target at offset at to an upstream, if they have a chance. */
static __attribute__((noinline)) void leave_target(
    const struct query_env *env, struct query *q, const struct writer *w, size_t at)
{
	bool wanted = q->type == DNS_SRV || q->type == DNS_MX;
	struct template_match m;
	struct name_buf name;

	/* The root stands for no target (RFC 2782, 7505); an extended error's text may be
	 * gone when the upstream answers. */
	if (!wanted || !env->recursion || !(q->flags & DNS_RD) || !w->out[at] ||
	    q->ederror_len || w->end - w->pos < ADDRESS_LEN ||
	    q->n_targets == ARRAY_SIZE(q->targets))
		return;
	for (unsigned i = 0; i < q->n_targets; i++)
		if (same_target(w, q->targets[i], at))
			return;
	/* A name that a template has records of another type for is ours all the same. */
	name_set(&name, w->out + at, name_scan(w->out + at, w->pos - at));
	if (!env->templates ||
	    template_find(env->templates, &name, q->class, DNS_A, &m) == TEMPLATE_NONE)
		q->targets[q->n_targets++] = (uint16_t)at;
}

/* The same of one that a template answers for.  False when none does. */
static __attribute__((noinline)) bool write_made_glue(
    const struct query_env *env, const struct query *q, struct writer *w, size_t at)
{
	static const uint16_t types[] = { DNS_A, DNS_AAAA };
	struct step s;
	bool any = false;

	step_to(&s, w, at);
	for (unsigned i = 0; i < ARRAY_SIZE(types) && at <= 0x3fff; i++) {
		struct writer before = *w;
		struct query asked = *q;
		struct template_match m;
		size_t cname = 0;

		if (find_template(env, s.name, q->class, types[i], &m) !=
		    TEMPLATE_MATCH)
			continue;
		any = true;
		asked.type = types[i];
		if (!write_sections(env, &asked, &m, s.name, at, w, &cname) || cname ||
		    w->truncated || w->authority != before.authority ||
		    w->additional != before.additional) {
			*w = before;
			continue;
		}
		w->additional += w->answers - before.answers;
		w->answers = before.answers;
	}
	return any;
}

/* How far into the rdata of a type the name lies whose addresses go along. */
static int target_offset(uint16_t type)
{
	switch (type) {
	case DNS_NS:
		return 0;
	case DNS_MX:
		return 2;
	case DNS_SRV:
		return 6;
	}
	return -1;
}

/* The additional records of an answer. */
struct extras {
	size_t start;
	bool aliases; /* so that a name may turn up again */
};

/* Whether the records of the name at offset at are there already. */
static bool has_records(const struct writer *w, const struct extras *x, size_t at)
{
	size_t n;

	for (size_t p = x->start; p < w->pos; p += n + 10 + get16(w->out + p + n + 8)) {
		size_t owner = p;

		n = 2;
		if (w->out[p] >= 0xc0)
			owner = get16(w->out + p) & 0x3fffu;
		else
			n = name_scan(w->out + p, w->pos - p);
		if (same_target(w, owner, at))
			return true;
	}
	return false;
}

/* The addresses of the target at offset at, behind the aliases that lead to them. */
static void write_target(const struct query_env *env, struct query *q, struct writer *w,
    size_t at, struct extras *x)
{
	enum glue g = GLUE_ALIAS;

	for (unsigned hops = 0; g == GLUE_ALIAS && hops <= CHAIN_MAX; hops++) {
		if (_unlikely_(x->aliases) && has_records(w, x, at))
			return;
		if (env->templates && write_made_glue(env, q, w, at))
			return;
		g = write_glue(w, env->zone, &at);
		x->aliases |= g == GLUE_ALIAS;
	}
	if (g == GLUE_OUTSIDE)
		leave_target(env, q, w, at);
}

/* The addresses of the first targets, each once. */
static void write_additional(const struct query_env *env, struct query *q,
    struct writer *w, size_t start, size_t end)
{
	int off = target_offset(q->type), left = GLUE_MAX;
	struct extras x = { .start = end };

	for (size_t p = start; off >= 0 && p < end && left-- > 0;
	     p += 12u + get16(w->out + p + 10)) {
		size_t target = p + 12 + (size_t)off;
		bool seen = false;

		for (size_t o = start; o < p && !seen;
		     o += 12u + get16(w->out + o + 10))
			seen = same_target(w, o + 12 + (size_t)off, target);
		if (!seen)
			write_target(env, q, w, target, &x);
	}
}

/* What an existing name has for a type; false when the chain goes on at a CNAME. */
static bool step_answer(
    const struct query_env *env, struct query *q, struct step *s, struct writer *w)
{
	const struct zone *z = env->zone;
	uint16_t type = q->type;
	const struct zone_set *set = zone_set_find(s->found, type);
	size_t start = w->pos;

	if (_likely_(set)) {
		if (s->at > 0x3fff)
			w->truncated = true;
		else if (write_set(w, s->found, set, (unsigned)s->at))
			w->answers += set->count;
		if (!w->truncated)
			write_additional(env, q, w, start, w->pos);
		return true;
	}
	if (type == DNS_SOA && s->found->at_apex) {
		if (write_soa(w, &z->apexes[s->apex], (unsigned)s->at))
			w->answers++;
		return true;
	}
	set = zone_set_find(s->found, DNS_CNAME);
	if (set) {
		/* A CNAME asked for by ANY stands for itself (RFC 8482, 4.2). */
		bool on = step_follow(s, w, set) && type != DNS_ANY;

		return !on;
	}
	if (type == DNS_ANY && (s->found->n_sets || s->found->at_apex))
		write_any(w);
	else
		write_negative(w, z, s->apex, s->name, s->at);
	return true;
}

/* Templates come first for an alias's target too.  True when the chain has ended, with the
 * last name's rcode (RFC 6604, 3), or goes on at the alias of a template (*on). */
static __attribute__((noinline)) bool step_template(const struct query_env *env,
    struct query *q, struct step *s, struct writer *w, unsigned *rcode, bool *on)
{
	struct writer before = *w;
	struct template_match m;
	size_t cname = 0;

	*on = false;
	switch (find_template(env, s->name, q->class, q->type, &m)) {
	case TEMPLATE_NONE:
		return false;
	case TEMPLATE_NODATA:
		if (step_find(s, env->zone) && s->found)
			return false;
		if (write_soa(w, &m.zone->soa,
			(unsigned)(s->at + s->name->len - m.zone->soa.len)))
			w->authority++;
		return true;
	case TEMPLATE_MATCH:
		if (m.template->rcode != DNS_SERVFAIL &&
		    write_sections(env, q, &m, s->name, s->at, w, &cname))
			break;
		*w = before;
		return true;
	case TEMPLATE_FAIL:
		return true;
	}
	*on = cname && !w->truncated;
	if (*on)
		step_to(s, w, cname);
	else
		*rcode = m.template->rcode;
	return true;
}

/* A chain that comes back to a name it had has no end. */
static bool is_loop(
    const struct step *s, const struct writer *w, size_t *seen, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (name_scan(w->out + seen[i], w->pos - seen[i]) == s->name->len &&
		    name_same(w->out + seen[i], s->name->wire, s->name->len))
			return true;
	seen[n] = s->at;
	return false;
}

/* Goes along a chain whose next name is that of s, through all that is known here.  True
 * when an upstream is to be asked. */
static bool follow(const struct query_env *env, struct query *q, struct step *s,
    struct writer *w, unsigned *rcode)
{
	size_t seen[CHAIN_MAX + 1] = { DNS_HEADER };
	bool on;

	for (unsigned chain = 1; chain <= CHAIN_MAX; chain++) {
		/* Pointers do not reach further. */
		if (w->truncated || s->at > 0x3fff || is_loop(s, w, seen, chain))
			return false;
		if (env->templates && step_template(env, q, s, w, rcode, &on)) {
			if (on)
				continue;
			return false;
		}
		if (!step_find(s, env->zone))
			return step_leave(s, env, q, w);
		if (!s->found) {
			*rcode = DNS_NXDOMAIN;
			write_negative(w, env->zone, s->apex, s->name, s->at);
			return false;
		}
		if (step_answer(env, q, s, w))
			return false;
	}
	return false;
}

/* Where the name that a wildcard hangs below begins, when the answer is one's. */
static uint8_t wildcard_at(const struct query *q, const struct zone_name *found)
{
	const uint8_t *wire = zone_name_wire(found);

	return wire[0] == 1 && wire[1] == '*' ? (uint8_t)(q->name.len + 2 - found->len)
					      : 0;
}

static enum query_outcome answer_nodata(const struct query_env *env, struct query *q,
    const struct zone_apex *soa, const uint8_t *in, uint8_t *out, size_t out_max)
{
	struct writer w;

	q->source_at = (uint8_t)(q->name.len - soa->len);
	writer_init(&w, env, q, in, out, out_max);
	if (write_soa(&w, soa, (unsigned)(DNS_HEADER + q->source_at)))
		w.authority++;
	writer_finish(&w, env, q, DNS_NOERROR, DNS_AA);
	return QUERY_ANSWERED;
}

/* Answers by the name that was found, and what its CNAMEs lead to. */
static enum query_outcome answer_step(const struct query_env *env, struct query *q,
    struct step *s, const uint8_t *in, uint8_t *out, size_t out_max)
{
	unsigned rcode = DNS_NOERROR;
	struct writer w;

	writer_init(&w, env, q, in, out, out_max);
	if (_likely_(s->found)) {
		q->source_at = wildcard_at(q, s->found);
		if (!step_answer(env, q, s, &w) && follow(env, q, s, &w, &rcode))
			return QUERY_FORWARD;
	} else if (s->apex != ZONE_NO_APEX) {
		rcode = DNS_NXDOMAIN;
		q->source_at = (uint8_t)(q->name.len - env->zone->apexes[s->apex].len);
		write_negative(&w, env->zone, s->apex, s->name, s->at);
	}
	writer_finish(&w, env, q, rcode, DNS_AA);
	return _unlikely_(q->n_targets) ? QUERY_FORWARD : QUERY_ANSWERED;
}

enum query_outcome query_wildcard(const struct query_env *env, struct query *q,
    const struct zone_name *found, const uint8_t *in, uint8_t *out, size_t out_max)
{
	struct step s = { .name = &q->name, .at = DNS_HEADER };
	bool ours = step_find(&s, env->zone);

	if (!found && !ours)
		return QUERY_FORWARD;
	if (found)
		s.found = found;
	return answer_step(env, q, &s, in, out, out_max);
}

/* soa is that of a template which answers for the name, but for other types: then the
 * name exists, whoever knows it. */
static enum query_outcome answer_local(const struct query_env *env, struct query *q,
    const struct zone_apex *soa, const uint8_t *in, uint8_t *out, size_t out_max)
{
	struct step s;
	bool ours;

	s.name = &q->name;
	s.at = DNS_HEADER;
	ours = step_find(&s, env->zone);
	if (_unlikely_(!ours || !s.found) && !soa && env->wildcards &&
	    name_has_wildcard(&q->name))
		return QUERY_WILDCARD;
	if (!ours || _unlikely_(soa && !s.found))
		return soa ? answer_nodata(env, q, soa, in, out, out_max)
			   : QUERY_FORWARD;
	return answer_step(env, q, &s, in, out, out_max);
}

/* QUERY_SILENT when a line makes no record. */
static enum query_outcome write_template(const struct query_env *env, struct query *q,
    const struct template_match *m, struct writer *w, unsigned *rcode)
{
	struct step s;
	size_t cname = 0;

	if (!write_sections(env, q, m, &q->name, DNS_HEADER, w, &cname))
		return QUERY_SILENT;
	if (!cname || w->truncated)
		return QUERY_ANSWERED;
	step_to(&s, w, cname);
	return follow(env, q, &s, w, rcode) ? QUERY_FORWARD : QUERY_ANSWERED;
}

static void set_ederror(struct query *q, const struct template *t)
{
	if (!q->edns)
		return;
	q->ederror = t->ederror;
	q->ederror_len = t->ederror_len;
	q->options_len += q->ederror_len;
}

/* Aside, so that servers without templates do not pay for its stack. */
static __attribute__((noinline)) enum query_outcome answer_templates(
    const struct query_env *env, struct query *q, const uint8_t *in, uint8_t *out,
    size_t out_max)
{
	const struct zone_apex *soa = NULL;
	struct template_match m;
	enum query_outcome o;
	unsigned rcode;
	struct writer w;

	switch (find_template(env, &q->name, q->class, q->type, &m)) {
	case TEMPLATE_MATCH:
		q->source_at = (uint8_t)(q->name.len - m.zone->name.len);
		if (m.template->ederror)
			set_ederror(q, m.template);
		writer_init(&w, env, q, in, out, out_max);
		rcode = m.template->rcode;
		o = rcode == DNS_SERVFAIL ? QUERY_SILENT
					  : write_template(env, q, &m, &w, &rcode);
		if (o == QUERY_SILENT)
			query_error(env, q, DNS_SERVFAIL, out, out, out_max);
		else if (o == QUERY_ANSWERED)
			writer_finish(&w, env, q, rcode, DNS_AA);
		if (o != QUERY_FORWARD)
			return q->n_targets ? QUERY_FORWARD : QUERY_ANSWERED;
		/* The template may be gone when the upstream answers. */
		q->options_len -= q->ederror_len;
		q->ederror_len = 0;
		return o;
	case TEMPLATE_FAIL:
		query_error(env, q, DNS_SERVFAIL, in, out, out_max);
		return QUERY_ANSWERED;
	case TEMPLATE_NODATA:
		soa = &m.zone->soa;
		break;
	case TEMPLATE_NONE:
		break;
	}
	return answer_local(env, q, soa, in, out, out_max);
}

/* The rcode for what is no ordinary question, or NOERROR. */
static unsigned refuse(const struct query_env *env, const struct query *q)
{
	if (q->edns && q->edns_version != 0)
		return DNS_BADVERS;
	if (env->refuse || q->class != DNS_IN)
		return DNS_REFUSED;
	if (_likely_(q->type < DNS_TKEY && q->type != DNS_OPT))
		return DNS_NOERROR;
	switch (q->type) {
	case DNS_AXFR:
	case DNS_IXFR:
		return DNS_REFUSED;
	case DNS_MAILA:
	case DNS_MAILB:
		return DNS_NOTIMP;
	case DNS_OPT:
	case DNS_TKEY:
	case DNS_TSIG:
		return DNS_FORMERR;
	}
	return DNS_NOERROR;
}

/* Who sends a cookie gets ours along with the reply. */
static __attribute__((noinline)) void set_cookie(
    const struct query_env *env, struct query *q)
{
	struct net_ip ip;

	if (!env->cookies || !env->peer)
		return;
	ip = net_ip_from_sa(env->peer, NULL);
	q->cookie_valid = cookie_refresh(
	    q->cookie, q->cookie_len, env->cookies, &ip, (uint32_t)clock_real_s());
	q->options_len = COOKIE_OPTION_LEN;
}

/* Without a question: only where cookies are given that means something. */
static void answer_cookie(const struct query_env *env, struct query *q,
    const uint8_t *in, uint8_t *out, size_t out_max)
{
	unsigned rcode = DNS_FORMERR;

	if (env->cookies && env->peer) {
		set_cookie(env, q);
		rcode = q->edns_version ? DNS_BADVERS
		    : env->refuse       ? DNS_REFUSED
					: DNS_NOERROR;
	}
	query_error(env, q, rcode, in, out, out_max);
}

enum query_outcome query_answer(const struct query_env *env, struct query *q,
    const uint8_t *in, size_t n, uint8_t *out, size_t out_max)
{
	unsigned rcode;

	switch (query_parse(q, in, n)) {
	case PARSED:
		break;
	case PARSED_SILENT:
		return QUERY_SILENT;
	case PARSED_NOTIMP:
		query_error(env, q, DNS_NOTIMP, in, out, out_max);
		return QUERY_ANSWERED;
	case PARSED_FORMERR:
		query_error(env, q, DNS_FORMERR, in, out, out_max);
		return QUERY_ANSWERED;
	case PARSED_COOKIE:
		answer_cookie(env, q, in, out, out_max);
		return QUERY_ANSWERED;
	}
	if (_unlikely_(q->cookie_len))
		set_cookie(env, q);
	rcode = refuse(env, q);
	if (_unlikely_(rcode != DNS_NOERROR)) {
		query_error(env, q, rcode, in, out, out_max);
		return QUERY_ANSWERED;
	}
	if (_unlikely_(env->templates != NULL))
		return answer_templates(env, q, in, out, out_max);
	return answer_local(env, q, NULL, in, out, out_max);
}
