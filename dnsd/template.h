/*
 * Templates: answers that are made from the question, as CoreDNS's plugin of that name
 * makes them.  They are tried in the order of the configuration.  One whose class, type or
 * zones do not fit is passed over; one whose patterns do not match ends the search with
 * SERVFAIL, unless it falls through.
 *
 * A line that is {{ .Name }} and then constant text is a record in wire format before
 * the first query; patterns of the form .*literal$ are a comparison of the name's end.
 */
#pragma once

#include "common/base.h"
#include "common/conf.h"
#include "common/err.h"
#include "dnsd/answer.h"
#include "dnsd/name.h"
#include "dnsd/pattern.h"
#include "dnsd/zone.h"

/* What templates do is counted by zones and by lines in a zone, which have numbers below
 * these: alike ones of several templates share a number, and all beyond the bound share
 * the last. */
#define TEMPLATE_ZONES 16
#define TEMPLATE_LINES 32

struct template_line;
struct templates;

/* The keys of one template in dnsd.yaml. */
struct template_conf {
	struct conf_list zones; /* char * */
	char *class, *type;
	struct conf_list match, answer, additional, authority; /* char * */
	char *rcode;
	char *ederror;                /* "15 text", or NULL */
	struct conf_list fallthrough; /* char *: zones */
};
extern const struct conf_type template_list_type; /* struct conf_list of these */

/* A section's lines. */
struct template_section {
	struct template_line *lines;
	size_t n;
};

struct template_zone {
	struct name_buf name;
	struct zone_apex soa; /* for the types that no template answers */
	unsigned number;
};

struct template
{
	uint16_t class, type; /* DNS_ANY: each */
	uint8_t rcode;
	struct template_zone *zones;
	struct pattern **patterns;
	struct name_buf *fallthrough;
	size_t n_zones, n_patterns, n_fallthrough;
	struct template_section sections[3]; /* answer, authority, additional */
	uint32_t max_ttl;
	uint8_t *ederror; /* an EDNS option, whole (RFC 8914), or NULL */
	uint16_t ederror_len;
};

/* What matched. */
struct template_match {
	const struct template *template;
	const struct template_zone *zone;
	const struct pattern *pattern;
	char name[NAME_TEXT_MAX]; /* as text; only filled for patterns that need it */
	size_t groups[2 * PATTERN_GROUPS];
	unsigned n_groups;
};

enum template_result {
	TEMPLATE_NONE,   /* no template has to do with the name */
	TEMPLATE_MATCH,  /* this one answers */
	TEMPLATE_NODATA, /* one answers for the name, but for other types */
	TEMPLATE_FAIL,   /* the search ended without an answer */
};

/* list of struct template_conf; NULL for an empty one.  doc may be NULL.  TTLs are cut to
 * the limits. */
int templates_new(struct templates **ret, const struct conf_list *list,
    const struct answer_limits *limits, const struct conf_doc *doc,
    struct err *e) _mustcheck_;
struct templates *templates_free(struct templates *t);
DEFINE_FREEP(templates)

enum template_result template_find(const struct templates *t,
    const struct name_buf *name, uint16_t class, uint16_t type,
    struct template_match *m);

/* A record, of which the constant ones belong to the template. */
struct template_record {
	bool at_question; /* its owner is the question's name, else owner */
	struct name_buf owner;
	uint16_t type, len;
	uint32_t ttl;
	const uint8_t *rdata;
	uint8_t rendered[4096];
};

/* What the lines of a section are filled with, beside the match. */
struct template_question {
	const struct name_buf *name;
	const uint8_t *wire; /* the name as it was asked */
	uint16_t id, class, type;
	const char *remote; /* the client's address */
};

/* Line i of a section: 0; -EINVAL when it cannot be filled in, -EBADMSG when it then is no
 * record. */
int template_record(const struct template_match *m, const struct template_section *s,
    size_t i, const struct template_question *q, struct template_record *r) _mustcheck_;

/* The number of line i of a section, as one of the zone that matched. */
unsigned template_line_number(const struct templates *t, const struct template_match *m,
    unsigned section, size_t i);

/* What a line is called by; the strings are the templates'. */
struct template_line_name {
	char zone[NAME_TEXT_MAX];
	const char *section, *text;
};

/* What has a number, "other" for what is beyond the bound; false when nothing has it. */
bool templates_zone(
    const struct templates *t, unsigned number, char zone[NAME_TEXT_MAX]);
bool templates_line(
    const struct templates *t, unsigned number, struct template_line_name *line);
/* Whether the numbers of both mean the same; each may be NULL. */
bool templates_same_numbers(const struct templates *a, const struct templates *b);
