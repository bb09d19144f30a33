/* Ignition configs: what a node takes and what it refuses; Accept headers. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "ignd/ignition.h"

#define V31 "{\"ignition\":{\"version\":\"3.1.0\"}"

/* What is wrong with a text, or NULL; holds until the next call. */
static const char *fault(const char *text)
{
	static struct err e;
	struct ignition *ign = NULL;
	int r;

	e = (struct err)ERR_INIT;
	r = ignition_parse(&ign, "x.ign", text, strlen(text), &e);
	CHECK((r == 0) == (ign != NULL));
	CHECK((r < 0) == (e.text[0] != '\0'));
	ignition_free(ign);
	return r < 0 ? e.text : NULL;
}

static bool refused(const char *text, const char *words)
{
	const char *f = fault(text);

	if (!f || !strstr(f, words))
		printf("# %s: %s\n", text, f ? f : "taken");
	return f && strstr(f, words);
}

static bool taken(const char *text)
{
	const char *f = fault(text);

	if (f)
		printf("# %s: %s\n", text, f);
	return !f;
}

TEST(versions)
{
	CHECK(taken(V31 "}"));
	CHECK(taken("{\"ignition\":{\"version\":\"2.2.0\"}}"));
	CHECK(taken("{\"ignition\":{\"version\":\"3.6.0\"}}\n"));
	CHECK(taken("{\"Ignition\":{\"Version\":\"3.0.0\"}}"));
	CHECK(refused("{\"ignition\":{}}", "ignition.version is missing"));
	CHECK(refused("{\"ignition\":{\"version\":\"3.1\"}}", "such as 3.1.0"));
	CHECK(refused("{\"ignition\":{\"version\":\"03.1.0\"}}", "such as 3.1.0"));
	CHECK(
	    refused("{\"ignition\":{\"version\":\"3.5.0-experimental\"}}", "such as"));
	CHECK(refused("{\"ignition\":{\"version\":\"1.0.0\"}}", "versions from 2.0.0"));
	CHECK(refused("{\"ignition\":{\"version\":\"3.7.0\"}}", "versions from 2.0.0"));
	CHECK(refused("{\"ignition\":[]}", "ignition must be an object"));
	CHECK(refused("{\"a\":{}}", "no \"ignition\" object"));
}

TEST(json)
{
	CHECK(refused("", "empty"));
	CHECK(refused(" \n\t", "empty"));
	CHECK(refused("{", "not valid JSON"));
	CHECK(refused(V31 "} x", "not valid JSON"));
	CHECK(refused("[]", "must be a JSON object"));
	CHECK(refused("null", "not valid JSON"));
	/* Of duplicate keys the last counts, as in Go. */
	CHECK(taken("{\"ignition\":1,\"ignition\":{\"version\":\"3.0.0\"}}"));
}

TEST(place_and_no_quote)
{
	static const char text[] = V31 ",\n\"a\": [1,\n  \"secret\" \"more\"]}";
	struct ignition *ign = NULL;
	struct err e = ERR_INIT;

	CHECK(ignition_parse(&ign, "x.ign", text, strlen(text), &e) == -EINVAL);
	CHECK(str_eq(e.file, "x.ign") && e.line == 3 && e.column > 0);
	CHECK(!strstr(e.text, "more") && !strstr(e.text, "secret"));
}

#define FILES(list) V31 ",\"storage\":{\"files\":[" list "]}}"

TEST(paths)
{
	CHECK(taken(FILES("{\"path\":\"/a\"},{\"path\":\"/b\"}")));
	CHECK(
	    refused(FILES("{\"path\":\"/a\"},{\"path\":\"/a\"}"), "/a is there twice"));
	CHECK(refused(FILES("{\"path\":\"a\"}"), "not absolute"));
	CHECK(refused(FILES("{}"), "storage.files[0] has no path"));
	CHECK(refused(FILES("1"), "has no path"));
	CHECK(refused(V31 ",\"storage\":{\"files\":{}}}", "files must be a list"));
	CHECK(refused(V31 ",\"storage\":{\"directories\":[{\"path\":\"/a\"},"
			  "{\"path\":\"/a\"}]}}",
	    "directories: /a is there twice"));
	/* Spec 2: the same path in two file systems. */
	CHECK(taken("{\"ignition\":{\"version\":\"2.2.0\"},\"storage\":{\"files\":["
		    "{\"filesystem\":\"root\",\"path\":\"/a\"},"
		    "{\"filesystem\":\"b\",\"path\":\"/a\"}]}}"));
	CHECK(refused("{\"ignition\":{\"version\":\"2.2.0\"},\"storage\":{\"files\":["
		      "{\"filesystem\":\"root\",\"path\":\"/a\"},"
		      "{\"filesystem\":\"root\",\"path\":\"/a\"}]}}",
	    "twice"));
}

#define SOURCE(s) FILES("{\"path\":\"/a\",\"contents\":{\"source\":\"" s "\"}}")
#define HASHED(s, h)                                           \
	FILES("{\"path\":\"/a\",\"contents\":{\"source\":\"" s \
	      "\",\"verification\":{\"hash\":\"" h "\"}}}")
#define SHA256_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

TEST(contents)
{
	CHECK(taken(SOURCE("data:,hello%20world")));
	CHECK(taken(SOURCE("data:;base64,aGVsbG8=")));
	CHECK(taken(SOURCE("https://example.com/x")));
	CHECK(taken(SOURCE("")));
	CHECK(refused(SOURCE("data:;base64,aGVsbG8"), "/a: the base64"));
	CHECK(refused(SOURCE("data:hello"), "no comma"));
	CHECK(refused(SOURCE("data:,%zz"), "percent sign"));
	CHECK(refused(SOURCE("ftp://x/y"), "no node can fetch"));
	CHECK(taken(HASHED("data:,abc", "sha256-" SHA256_ABC)));
	CHECK(refused(HASHED("data:,abd", "sha256-" SHA256_ABC), "is not the sha256"));
	CHECK(refused(HASHED("data:,abc", "sha256-ba78"), "64 hexadecimal digits"));
	CHECK(refused(HASHED("data:,abc", "md5-x"), "must begin with sha512-"));
	CHECK(refused(
	    FILES("{\"path\":\"/a\",\"contents\":{\"compression\":\"xz\",\"source\":"
		  "\"data:,a\"}}"),
	    "compression must be gzip"));
	CHECK(refused(
	    FILES("{\"path\":\"/a\",\"contents\":{\"compression\":\"gzip\",\"source\":"
		  "\"data:,a\"}}"),
	    "no gzip stream"));
	CHECK(refused(FILES("{\"path\":\"/a\",\"contents\":[]}"), "must be an object"));
	CHECK(refused(
	    FILES("{\"path\":\"/a\",\"append\":[{\"source\":\"data:;base64,x\"}]}"),
	    "/a: the base64"));
	CHECK(refused(V31 ",\"systemd\":{\"units\":[{}]}}", "units[0] has no name"));
	CHECK(refused("{\"ignition\":{\"version\":\"3.1.0\",\"config\":{\"merge\":["
		      "{\"source\":\"data:;base64,x\"}]}}}",
	    "ignition.config.merge"));
}

TEST(warnings)
{
	static const char text[] = V31 ",\n \"storge\":null,\n\n  \"\\u0062\": true}";
	struct ignition *ign = NULL;

	CHECK(ignition_parse(&ign, "x", text, strlen(text), NULL) == 0);
	CHECK(str_eq(str_get(&ign->warnings),
	    "2:2: unknown key \"storge\" is passed over; did you mean \"storage\"?\n"
	    "4:3: unknown key \"b\" is passed over\n"));
	ignition_free(ign);
}

TEST(unknown_keys_are_not_all_named)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	struct ignition *ign = NULL;

	str_addz(&text, V31);
	for (int i = 0; i < 100; i++)
		str_addf(&text, ",\n\"k%d\":{}", i);
	str_addc(&text, '}');
	CHECK(ignition_parse(&ign, "x", text.s, text.len, NULL) == 0);
	CHECK(strstr(str_get(&ign->warnings), "11:1: unknown key \"k9\""));
	CHECK(strstr(str_get(&ign->warnings), "12:1: this and further keys"));
	CHECK(!strstr(str_get(&ign->warnings), "\"k10\""));
	ignition_free(ign);
}

/* Whether the fault's place is that of the mark, a letter M before the place itself. */
static bool placed(const char *marked)
{
	const char *mark = strchr(marked, 'M');
	char text[1024];
	struct ignition *ign = NULL;
	struct err e = ERR_INIT;
	unsigned line = 1, column = 1;

	for (const char *p = marked; p < mark; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	snprintf(text, sizeof(text), "%.*s%s", (int)(mark - marked), marked, mark + 1);
	CHECK(ignition_parse(&ign, "x.ign", text, strlen(text), &e) < 0);
	if (e.line != line || e.column != column)
		printf(
		    "# %s: %u:%u, not %u:%u\n", text, e.line, e.column, line, column);
	return e.line == line && e.column == column;
}

#define HEAD V31 ",\n"

TEST(places)
{
	CHECK(placed("M[]"));
	CHECK(placed(" \n M{\"a\":1}"));
	CHECK(placed("{\n \"ignition\": M{}}"));
	CHECK(placed("{\"ignition\":\n{M\"version\":\"9.0.0\"}}"));
	CHECK(placed("{\"ignition\":\n{\"a\":[],M\"version\":\"3.1\"}}"));
	CHECK(placed("{M\"ignition\":[]}"));
	CHECK(placed(HEAD "\"storage\":{M\"files\":{}}}"));
	CHECK(placed(HEAD "\"storage\":{\n\"files\":[{\"path\":\"/a\"},\n M{}]}}"));
	CHECK(placed(
	    HEAD "\"storage\":{\"files\":[{\"x\":[1,[],{}],M\"path\":\"a\"}]}}"));
	CHECK(placed(HEAD "\"storage\":{\"files\":[{\"path\":\"/b\"},{\"path\":\"/a\"},"
			  "{\"path\":\"/c\"},\n{M\"path\":\"/a\"}]}}"));
	CHECK(placed(HEAD "\"storage\":{\"files\":[{\"path\":\"/a\",\"contents\":{\n"
			  "M\"source\":\"data:;base64,x\"}}]}}"));
	CHECK(placed(HEAD "\"storage\":{\"files\":[{\"path\":\"/a\",\"contents\":{\n"
			  "\"source\":\"data:,}{\\\"\", M\"compression\":\"xz\"}}]}}"));
	CHECK(placed(
	    HEAD "\"storage\":{\"files\":[{\"path\":\"/a\",\"contents\":{\n"
		 "\"source\":\"data:,a\",\"verification\":{M\"hash\":\"md5-\"}}}]}}"));
	CHECK(placed(
	    HEAD "\"systemd\":{\"units\":[{\"name\":\"a\"}, M{\"nme\":\"b\"}]}}"));
	/* Any case, and escapes; of duplicate keys the last counts. */
	CHECK(placed(HEAD "\"storage\":{M\"FILES\":true}}"));
	CHECK(placed(HEAD "\"storage\":{\"files\":[],\n M\"files\":1}}"));
	CHECK(placed(HEAD "\"storage\":{M\"\\u0066iles\":1}}"));
	CHECK(
	    placed("{\"ignition\":{\"version\":\"3.1.0\",\"config\":{\"merge\":[{},{\n"
		   "M\"source\":\"data:;base64,x\"}]}}}"));
}

static bool reads(const char *accept, unsigned major, unsigned minor)
{
	struct ignition_accept a;

	ignition_accept_parse(accept, &a);
	return ignition_accept_reads(&a, major, minor);
}

#define TYPE "application/vnd.coreos.ignition+json"

TEST(accept)
{
	static const char v26[] = TYPE ";version=3.1.0, */*;q=0.1";
	static const char v0x[] =
	    TYPE "; version=2.4.0, " TYPE "; version=1; q=0.5, */*; q=0.1";

	CHECK(reads(v26, 3, 0) && reads(v26, 3, 1));
	CHECK(!reads(v26, 3, 2) && !reads(v26, 2, 2));
	CHECK(reads(v0x, 2, 4) && reads(v0x, 2, 2));
	CHECK(!reads(v0x, 3, 0));
	CHECK(reads(NULL, 3, 5) && reads("*/*", 2, 0) && reads("", 3, 0));
	CHECK(reads(TYPE ", */*", 3, 0));
	CHECK(reads(TYPE ";version=\"3.2.0\"", 3, 2));
	CHECK(reads(TYPE ";version=banana", 3, 6));
	CHECK(reads(",,, ;=\"", 3, 6));
	CHECK(reads(TYPE ";version=999999999999999999999.0.0", 3, 0));
}

static bool agent_reads(const char *agent, unsigned major, unsigned minor)
{
	struct ignition_accept a;

	ignition_accept_parse("*/*", &a);
	ignition_accept_agent(agent, &a);
	return ignition_accept_reads(&a, major, minor);
}

TEST(agent)
{
	struct ignition_accept a;

	CHECK(agent_reads("Ignition/0.35.0", 2, 4) &&
	    !agent_reads("Ignition/0.35.0", 3, 0));
	CHECK(agent_reads("Ignition/2.2.1", 3, 0) &&
	    !agent_reads("Ignition/2.2.1", 3, 1));
	CHECK(agent_reads("Ignition/2.6.0", 3, 1) &&
	    !agent_reads("Ignition/2.6.0", 3, 2));
	CHECK(!agent_reads("Ignition/2.6.0", 2, 2));
	CHECK(agent_reads("Ignition/2.16.2", 3, 4) &&
	    !agent_reads("Ignition/2.16.2", 3, 5));
	CHECK(agent_reads("Ignition/2.26.0", 3, 6));
	CHECK(agent_reads("Ignition/3.0.0", 2, 0) && agent_reads("curl/7.76", 3, 6));
	CHECK(agent_reads("Ignition/", 3, 6) && agent_reads(NULL, 3, 6));
	/* Accept knows better. */
	ignition_accept_parse(TYPE ";version=3.2.0", &a);
	ignition_accept_agent("Ignition/2.6.0", &a);
	CHECK(ignition_accept_reads(&a, 3, 2));
}
