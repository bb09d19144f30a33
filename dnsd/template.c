/* Templates: see template.h. */
#include "dnsd/template.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "dnsd/gotmpl.h"

#define LINE_MAX_BYTES 4096
#define DEFAULT_TTL 3600 /* as in CoreDNS */
#define SOA_TTL 30
#define OPTION_EDE 15        /* RFC 8914 */
#define EDERROR_TEXT_MAX 160 /* bytes: the smallest reply has room for it */

struct template_line {
	struct gotmpl *text;
	char *source; /* of one that is not constant */
	bool constant;
	uint16_t type, len;
	uint32_t ttl;
	uint8_t *rdata;
};

/* A line that may fail, in a zone. */
struct numbered_line {
	unsigned zone, section;
	const char *text;
};

struct templates {
	struct template *list;
	size_t n;
	const struct name_buf *zones[TEMPLATE_ZONES - 1]; /* by their numbers */
	struct numbered_line lines[TEMPLATE_LINES - 1];
	unsigned n_zones, n_lines;
};

/* --- records from text -------------------------------------------------- */

/* A line of a zone file; rdata in wire format goes to buf.  0 or -EINVAL. */
static int parse_record(const char *text, struct name_buf *owner, uint16_t *type,
    uint32_t *ttl, uint8_t *buf, size_t size, uint16_t *len)
{
	ldns_buffer *b = ldns_buffer_new(512);
	ldns_rr *rr = NULL;
	size_t n, name_len;
	int r = -EINVAL;

	if (!b ||
	    ldns_rr_new_frm_str(&rr, text, DEFAULT_TTL, NULL, NULL) != LDNS_STATUS_OK ||
	    ldns_rr_rdata2buffer_wire(b, rr) != LDNS_STATUS_OK)
		goto out;
	n = ldns_buffer_position(b);
	name_len = name_scan(
	    ldns_rdf_data(ldns_rr_owner(rr)), ldns_rdf_size(ldns_rr_owner(rr)));
	if (n > size || !name_len || ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN)
		goto out;
	name_set(owner, ldns_rdf_data(ldns_rr_owner(rr)), name_len);
	*type = (uint16_t)ldns_rr_get_type(rr);
	*ttl = ldns_rr_ttl(rr);
	*len = (uint16_t)n;
	memcpy(buf, ldns_buffer_begin(b), n);
	r = 0;
out:
	ldns_rr_free(rr);
	ldns_buffer_free(b);
	return r;
}

/* The constant lines are parsed once, below the root as their owner. */
static int line_init(
    struct template_line *l, const char *text, uint32_t max_ttl, struct err *e)
{
	uint8_t rdata[LINE_MAX_BYTES];
	char line[LINE_MAX_BYTES];
	const char *constant;
	struct name_buf owner;
	int r = gotmpl_new(&l->text, text, e);

	if (r < 0)
		return r;
	constant = gotmpl_constant(l->text);
	if (!constant) {
		l->source = strdup(text);
		return l->source ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	if ((size_t)snprintf(line, sizeof(line), ".%s", constant) >= sizeof(line) ||
	    parse_record(
		line, &owner, &l->type, &l->ttl, rdata, sizeof(rdata), &l->len) < 0)
		return err_set(e, -EINVAL, "\"%.64s\" makes no record", text);
	l->ttl = MIN(l->ttl, max_ttl);
	l->rdata = malloc(l->len + 1u);
	if (!l->rdata)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(l->rdata, rdata, l->len);
	l->constant = true;
	return 0;
}

/* --- building ----------------------------------------------------------- */

static int parse_type(const char *text, uint16_t *ret)
{
	ldns_rr_type t = ldns_get_rr_type_by_name(text);

	*ret = strcasecmp(text, "ANY") == 0 ? DNS_ANY : (uint16_t)t;
	return *ret ? 0 : -EINVAL;
}

static int parse_class(const char *text, uint16_t *ret)
{
	*ret = strcasecmp(text, "ANY") == 0 ? DNS_ANY
	    : strcasecmp(text, "IN") == 0   ? DNS_IN
					    : 0;
	return *ret ? 0 : -EINVAL;
}

static int parse_rcode(const char *text, uint8_t *ret)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL",
		"NXDOMAIN", "NOTIMP", "REFUSED" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(text, names[i]) == 0) {
			*ret = (uint8_t)i;
			return 0;
		}
	return -EINVAL;
}

/* "15 because of that": the option as it goes out. */
static int ederror_init(struct template *t, const char *text, struct err *e)
{
	size_t digits = strspn(text, "0123456789"), n;
	const char *extra = text + digits + strspn(text + digits, " ");
	char number[8] = "";
	uint64_t code;

	if (digits < sizeof(number))
		memcpy(number, text, digits);
	n = strlen(extra);
	if ((text[digits] && text[digits] != ' ') ||
	    str_to_u64(number, UINT16_MAX, &code) < 0 || n > EDERROR_TEXT_MAX)
		return err_set(e, -EINVAL,
		    "ederror: \"%.32s\" is not a number from 0 to 65535 and a text of "
		    "at "
		    "most %d bytes behind it",
		    text, EDERROR_TEXT_MAX);
	t->ederror_len = (uint16_t)(6 + n);
	t->ederror = malloc(t->ederror_len);
	if (!t->ederror)
		return err_set(e, -ENOMEM, "out of memory");
	put16(t->ederror, OPTION_EDE);
	put16(t->ederror + 2, (unsigned)(2 + n));
	put16(t->ederror + 4, (unsigned)code);
	memcpy(t->ederror + 6, extra, n);
	return 0;
}

static int zone_init(
    struct template_zone *z, const char *text, uint32_t max_ttl, struct err *e)
{
	uint32_t ttl = MIN(max_ttl, (uint32_t)SOA_TTL);
	struct zone_soa soa = {
		.ttl = ttl, .serial = 1, .refresh = 7200, .retry = 1800, .expire = 86400
	};
	int r = name_parse(&z->name, text);

	if (r == 0) {
		soa.mname = soa.rname = z->name;
		r = name_prepend(&soa.mname, "dns");
	}
	if (r == 0)
		r = name_prepend(&soa.mname, "ns");
	if (r == 0)
		r = name_prepend(&soa.rname, "hostmaster");
	if (r < 0)
		return err_set(e, r, "\"%.64s\" is no zone", text);
	zone_apex_init(&z->soa, &z->name, &soa);
	return 0;
}

static int section_init(struct template_section *s, const struct conf_list *lines,
    uint32_t max_ttl, struct err *e)
{
	int r = 0;

	s->lines = calloc(lines->n + 1, sizeof(*s->lines));
	if (!s->lines)
		return err_set(e, -ENOMEM, "out of memory");
	for (; r == 0 && s->n < lines->n; s->n++)
		r = line_init(
		    &s->lines[s->n], conf_list_items(lines, char *)[s->n], max_ttl, e);
	return r;
}

static int init_words(struct template *t, const struct template_conf *c, struct err *e)
{
	if (parse_class(c->class, &t->class) < 0)
		return err_set(
		    e, -EINVAL, "class: \"%.32s\" is neither IN nor ANY", c->class);
	if (parse_type(c->type, &t->type) < 0)
		return err_set(
		    e, -EINVAL, "type: \"%.32s\" is no record type", c->type);
	if (parse_rcode(c->rcode, &t->rcode) < 0)
		return err_set(e, -EINVAL,
		    "rcode: \"%.32s\" is none of NOERROR, FORMERR, SERVFAIL, NXDOMAIN, "
		    "NOTIMP, REFUSED",
		    c->rcode);
	return c->ederror ? ederror_init(t, c->ederror, e) : 0;
}

static int template_init(struct template *t, const struct template_conf *c,
    const struct answer_limits *limits, struct err *e)
{
	const struct conf_list *lines[] = { &c->answer, &c->authority, &c->additional };
	int r = init_words(t, c, e);

	/* A negative answer's SOA counts as one (RFC 2308), wherever it is written. */
	t->max_ttl = t->rcode == DNS_NXDOMAIN ? limits->negative : limits->positive;
	t->zones = calloc(c->zones.n + 1, sizeof(*t->zones));
	t->patterns = calloc(c->match.n + 1, sizeof(*t->patterns));
	t->fallthrough = calloc(c->fallthrough.n + 1, sizeof(*t->fallthrough));
	if (!t->zones || !t->patterns || !t->fallthrough)
		return err_set(e, -ENOMEM, "out of memory");
	for (; r == 0 && t->n_zones < c->zones.n; t->n_zones++)
		r = zone_init(&t->zones[t->n_zones],
		    conf_list_items(&c->zones, char *)[t->n_zones], limits->negative,
		    e);
	for (; r == 0 && t->n_patterns < c->match.n; t->n_patterns++)
		r = pattern_new(&t->patterns[t->n_patterns],
		    conf_list_items(&c->match, char *)[t->n_patterns], e);
	for (; r == 0 && t->n_fallthrough < c->fallthrough.n; t->n_fallthrough++) {
		const char *zone =
		    conf_list_items(&c->fallthrough, char *)[t->n_fallthrough];

		r = name_parse(&t->fallthrough[t->n_fallthrough], zone);
		if (r < 0)
			return err_set(e, r, "fallthrough: \"%.64s\" is no zone", zone);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lines); i++)
		r = section_init(&t->sections[i], lines[i], t->max_ttl, e);
	return r;
}

static void template_deinit(struct template *t)
{
	for (size_t i = 0; t->patterns && i < t->n_patterns; i++)
		pattern_free(t->patterns[i]);
	free(t->ederror);
	free(t->patterns);
	free(t->zones);
	free(t->fallthrough);
	for (size_t i = 0; i < ARRAY_SIZE(t->sections); i++) {
		struct template_section *s = &t->sections[i];

		for (size_t k = 0; k < s->n; k++) {
			gotmpl_free(s->lines[k].text);
			free(s->lines[k].source);
			free(s->lines[k].rdata);
		}
		free(s->lines);
	}
}

/* --- numbers ------------------------------------------------------------ */

static bool same_name(const struct name_buf *a, const struct name_buf *b)
{
	return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

static unsigned number_zone(struct templates *ts, const struct name_buf *name)
{
	for (unsigned i = 0; i < ts->n_zones; i++)
		if (same_name(ts->zones[i], name))
			return i;
	if (ts->n_zones < ARRAY_SIZE(ts->zones))
		ts->zones[ts->n_zones++] = name;
	else
		return TEMPLATE_ZONES - 1;
	return ts->n_zones - 1;
}

static bool same_line(const struct numbered_line *a, const struct numbered_line *b)
{
	return a->zone == b->zone && a->section == b->section &&
	    str_eq(a->text, b->text);
}

/* TEMPLATE_LINES - 1 when it has none of its own. */
static unsigned find_line(const struct templates *ts, const struct numbered_line *l)
{
	unsigned i = 0;

	while (i < ts->n_lines && !same_line(&ts->lines[i], l))
		i++;
	return i < ts->n_lines ? i : TEMPLATE_LINES - 1;
}

static void number_lines(struct templates *ts, unsigned zone, unsigned section,
    const struct template_section *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct numbered_line l = { zone, section, s->lines[i].source };

		if (l.text && ts->n_lines < ARRAY_SIZE(ts->lines) &&
		    find_line(ts, &l) == TEMPLATE_LINES - 1)
			ts->lines[ts->n_lines++] = l;
	}
}

static void number(struct templates *ts, struct template *t)
{
	for (size_t i = 0; i < t->n_zones; i++) {
		struct template_zone *z = &t->zones[i];

		z->number = number_zone(ts, &z->name);
		for (unsigned s = 0; s < ARRAY_SIZE(t->sections); s++)
			number_lines(ts, z->number, s, &t->sections[s]);
	}
}

unsigned template_line_number(const struct templates *ts,
    const struct template_match *m, unsigned section, size_t i)
{
	return find_line(ts,
	    &(struct numbered_line){ m->zone->number, section,
		m->template->sections[section].lines[i].source });
}

bool templates_zone(const struct templates *ts, unsigned i, char zone[NAME_TEXT_MAX])
{
	if (i < ts->n_zones)
		name_format(ts->zones[i]->wire, zone);
	else
		strcpy(zone, "other");
	return i < ts->n_zones || i == TEMPLATE_ZONES - 1;
}

bool templates_line(
    const struct templates *ts, unsigned i, struct template_line_name *line)
{
	static const char *const sections[] = { "answer", "authority", "additional" };

	if (i < ts->n_lines) {
		line->section = sections[ts->lines[i].section];
		line->text = ts->lines[i].text;
		return templates_zone(ts, ts->lines[i].zone, line->zone);
	}
	line->section = line->text = "other";
	return i == TEMPLATE_LINES - 1 &&
	    templates_zone(ts, TEMPLATE_ZONES - 1, line->zone);
}

bool templates_same_numbers(const struct templates *a, const struct templates *b)
{
	bool same = a && b && a->n_zones == b->n_zones && a->n_lines == b->n_lines;

	for (unsigned i = 0; same && i < a->n_zones; i++)
		same = same_name(a->zones[i], b->zones[i]);
	for (unsigned i = 0; same && i < a->n_lines; i++)
		same = same_line(&a->lines[i], &b->lines[i]);
	return same;
}

/* --- all of them -------------------------------------------------------- */

/* Gives an error the place of template i. */
static int place(const struct conf_doc *doc, size_t i, struct err *e)
{
	const struct conf_node *list =
	    doc ? conf_get(conf_doc_root(doc), "template") : NULL;
	const struct conf_node *n = conf_is_list(list) ? conf_list_at(list, i) : list;
	char text[sizeof(e->text)];

	if (!n || !e)
		return -EINVAL;
	snprintf(text, sizeof(text), "%s", e->text);
	return conf_err(n, e, "%s", text);
}

int templates_new(struct templates **ret, const struct conf_list *list,
    const struct answer_limits *limits, const struct conf_doc *doc, struct err *e)
{
	_cleanup_(templates_freep) struct templates *ts = NULL;

	*ret = NULL;
	if (!list->n)
		return 0;
	ts = calloc(1, sizeof(*ts));
	if (ts)
		ts->list = calloc(list->n, sizeof(*ts->list));
	if (!ts || !ts->list)
		return err_set(e, -ENOMEM, "out of memory");
	while (ts->n < list->n) {
		size_t i = ts->n++;
		int r = template_init(&ts->list[i],
		    &conf_list_items(list, struct template_conf)[i], limits, e);

		if (r < 0)
			return place(doc, i, e);
		number(ts, &ts->list[i]);
	}
	*ret = TAKE(ts);
	return 0;
}

struct templates *templates_free(struct templates *ts)
{
	if (!ts)
		return NULL;
	for (size_t i = 0; i < ts->n; i++)
		template_deinit(&ts->list[i]);
	free(ts->list);
	free(ts);
	return NULL;
}

/* --- matching ----------------------------------------------------------- */

static bool is_below(const struct name_buf *name, const struct name_buf *zone)
{
	size_t off = 0;

	while (name->len - off > zone->len)
		off += name->wire[off] + 1u;
	return name->len - off == zone->len &&
	    memcmp(name->wire + off, zone->wire, zone->len) == 0;
}

/* The longest of a template's zones that a name is in. */
static const struct template_zone *zone_of(
    const struct template *t, const struct name_buf *name)
{
	const struct template_zone *best = NULL;

	for (size_t i = 0; i < t->n_zones; i++)
		if ((!best || t->zones[i].name.len > best->name.len) &&
		    is_below(name, &t->zones[i].name))
			best = &t->zones[i];
	return best;
}

static bool falls_through(const struct template *t, const struct name_buf *name)
{
	for (size_t i = 0; i < t->n_fallthrough; i++)
		if (is_below(name, &t->fallthrough[i]))
			return true;
	return false;
}

static bool match(
    struct template_match *m, const struct template *t, const struct name_buf *name)
{
	for (size_t i = 0; i < t->n_patterns; i++) {
		const struct pattern *p = t->patterns[i];

		m->pattern = p;
		m->n_groups = 0;
		if (pattern_is_end(p)) {
			if (pattern_match_end(p, name))
				return true;
			continue;
		}
		name_format(name->wire, m->name);
		m->n_groups = pattern_match(
		    p, m->name, strlen(m->name), m->groups, PATTERN_GROUPS);
		if (m->n_groups)
			return true;
	}
	return false;
}

enum template_result template_find(const struct templates *ts,
    const struct name_buf *name, uint16_t class, uint16_t type,
    struct template_match *m)
{
	enum template_result result = TEMPLATE_NONE;

	for (size_t i = 0; i < ts->n; i++) {
		const struct template *t = &ts->list[i];
		bool fits = t->type == DNS_ANY || type == DNS_ANY || t->type == type;
		const struct template_zone *zone = zone_of(t, name);

		if (!zone ||
		    (t->class != DNS_ANY && class != DNS_ANY && t->class != class))
			continue;
		if (!fits && result == TEMPLATE_NODATA)
			continue;
		if (!match(m, t, name)) {
			if (fits && !falls_through(t, name))
				return TEMPLATE_FAIL;
			continue;
		}
		m->template = t;
		m->zone = zone;
		if (fits)
			return TEMPLATE_MATCH;
		result = TEMPLATE_NODATA;
	}
	return result;
}

/* --- filling in --------------------------------------------------------- */

/* A comparison of the name's end does not say where the match began. */
static bool get_match(void *arg, unsigned i, const char **text, size_t *n)
{
	struct template_match *m = arg;

	if (!m->n_groups)
		m->n_groups = pattern_match(
		    m->pattern, m->name, strlen(m->name), m->groups, PATTERN_GROUPS);
	if (i >= m->n_groups || m->groups[2 * i] > m->groups[2 * i + 1])
		return false;
	*text = m->name + m->groups[2 * i];
	*n = m->groups[2 * i + 1] - m->groups[2 * i];
	return true;
}

static bool get_group(void *arg, const char *name, const char **text, size_t *n)
{
	const struct template_match *m = arg;
	int i = pattern_group(m->pattern, name);

	return i >= 0 && get_match(arg, (unsigned)i, text, n);
}

static void type_text(uint16_t type, char buf[16])
{
	const ldns_rr_descriptor *d = ldns_rr_descript(type);

	if (d && d->_name)
		snprintf(buf, 16, "%s", d->_name);
	else
		snprintf(buf, 16, "TYPE%u", type);
}

static int render(const struct template_match *m, const struct template_line *l,
    const struct template_question *q, struct template_record *r)
{
	char line[LINE_MAX_BYTES], zone[NAME_TEXT_MAX], question[NAME_TEXT_MAX],
	    type[16];
	struct template_match own = *m;
	struct gotmpl_data d = { .name = own.name,
		.type = type,
		.zone = zone,
		.question = question,
		.remote = q->remote,
		.id = q->id,
		.qtype = q->type,
		.qclass = q->class,
		.match = get_match,
		.group = get_group,
		.arg = &own };

	name_format(q->name->wire, own.name);
	name_format(m->zone->name.wire, zone);
	name_format(q->wire, question);
	type_text(q->type == DNS_ANY ? m->template->type : q->type, type);
	d.class = "IN";
	if (gotmpl_render(l->text, &d, line, sizeof(line)) < 0)
		return -EINVAL;
	r->at_question = false;
	r->rdata = r->rendered;
	if (parse_record(line, &r->owner, &r->type, &r->ttl, r->rendered,
		sizeof(r->rendered), &r->len) < 0)
		return -EBADMSG;
	r->ttl = MIN(r->ttl, m->template->max_ttl);
	return 0;
}

int template_record(const struct template_match *m, const struct template_section *s,
    size_t i, const struct template_question *q, struct template_record *r)
{
	const struct template_line *l = &s->lines[i];

	if (!l->constant)
		return render(m, l, q, r);
	r->at_question = true;
	r->type = l->type;
	r->ttl = l->ttl;
	r->rdata = l->rdata;
	r->len = l->len;
	return 0;
}
