/* What a manifest says about itself. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/str.h"
#include "regd/manifest.h"

#define D(c)                      \
	"sha256:" c c c c c c c c \
	"00000000000000000000000000000000000000000000000000000000"
#define OCI(rest) \
	"{\"schemaVersion\":2,\"mediaType\":\"" TYPE_OCI_MANIFEST "\"" rest "}"
#define DESC(c) "{\"mediaType\":\"x/y\",\"digest\":\"" D(c) "\",\"size\":3}"

static struct manifest *parse(const char *type, const char *text, struct err *e)
{
	struct manifest *m = NULL;
	int r = manifest_parse(&m, type, text, strlen(text), e);

	CHECK((r == 0) == (m != NULL));
	CHECK(r == 0 || r == -EBADMSG);
	return m;
}

static void refused(const char *type, const char *text, const char *says)
{
	struct err e = ERR_INIT;
	struct manifest *m = parse(type, text, &e);

	CHECK(!m);
	if (!strstr(e.text, says))
		printf("# %s: \"%s\"\n", text, e.text);
	CHECK(strstr(e.text, says) != NULL);
	manifest_free(m);
}

TEST(an_image)
{
	static const char text[] = OCI(",\"config\":" DESC("1") ",\"layers\":[" DESC(
	    "2") "," DESC("3") "]"
			       ",\"annotations\":{\"k\":\"v\"},\"subject\":" DESC("4"));
	struct manifest *m = parse(TYPE_OCI_MANIFEST, text, NULL);

	CHECK(m && m->n_refs == 4);
	CHECK(m && m->refs[0].kind == REF_BLOB && m->refs[0].size == 3);
	CHECK(m && str_eq(m->refs[2].digest.text, D("3")));
	CHECK(m && m->refs[3].kind == REF_SUBJECT);
	CHECK(m && str_eq(manifest_subject(m)->text, D("4")));
	CHECK(m && str_eq(m->artifact_type, "x/y"));
	CHECK(m && str_eq(m->annotations, "{\"k\":\"v\"}"));
	manifest_free(m);
}

TEST(an_index)
{
	static const char text[] =
	    "{\"schemaVersion\":2,\"manifests\":[" DESC("1") "]}";
	struct manifest *m = parse(NULL, text, NULL);

	CHECK(m && str_eq(m->type, TYPE_OCI_INDEX));
	CHECK(m && m->n_refs == 1 && m->refs[0].kind == REF_CHILD);
	CHECK(m && m->artifact_type[0] == '\0' && !manifest_subject(m));
	manifest_free(m);
}

TEST(foreign_layers_are_never_required)
{
	static const char text[] = OCI(",\"layers\":[{\"digest\":\"" D(
	    "1") "\",\"urls\":[\"http://x\"]},"
		 "{\"digest\":\"" D(
		     "2") "\",\"mediaType\":"
			  "\"application/"
			  "vnd.oci.image.layer.nondistributable.v1.tar\"},"
			  "{\"digest\":\"" D(
			      "3") "\",\"mediaType\":"
				   "\"application/"
				   "vnd.docker.image.rootfs.foreign.diff.tar.gzip\"},"
				   "{\"digest\":\"" D("4") "\",\"urls\":[]}]");
	struct manifest *m = parse(NULL, text, NULL);

	CHECK(m && m->n_refs == 4);
	for (int i = 0; m && i < 3; i++)
		CHECK(m->refs[i].kind == REF_FOREIGN);
	CHECK(m && m->refs[3].kind == REF_BLOB);
	manifest_free(m);
}

TEST(schema_1)
{
	static const char text[] =
	    "{\"schemaVersion\":1,\"name\":\"a\",\"fsLayers\":["
	    "{\"blobSum\":\"" D("1") "\"},{\"blobSum\":\"" D("2") "\"}]}";
	struct manifest *m = parse(NULL, text, NULL);

	CHECK(m && str_eq(m->type, TYPE_DOCKER_SIGNED));
	CHECK(m && m->n_refs == 2 && m->refs[1].kind == REF_BLOB);
	manifest_free(m);
}

TEST(the_type_is_the_header_without_parameters)
{
	struct manifest *m = parse(TYPE_OCI_MANIFEST "; charset=utf-8", OCI(""), NULL);

	CHECK(m && str_eq(m->type, TYPE_OCI_MANIFEST));
	manifest_free(m);
	m = parse("application/vnd.example+json", "{}", NULL);
	CHECK(m && str_eq(m->type, "application/vnd.example+json"));
	manifest_free(m);
	refused(TYPE_OCI_INDEX, OCI(""), "is not the Content-Type");
	refused("application/a\"b", "{}", "cannot be one");
	refused("application/a\\b", "{}", "cannot be one");
	refused("text/html", "{}", "cannot be one");
}

TEST(what_is_none)
{
	refused(NULL, "", "no JSON");
	refused(NULL, "{", "no JSON");
	refused(NULL, "{} {}", "no JSON");
	refused(NULL, "[]", "no JSON object");
	refused(NULL, "{}", "schemaVersion");
	refused(NULL, "{\"schemaVersion\":\"2\"}", "schemaVersion");
	refused(NULL, OCI(",\"layers\":{}"), "no list");
	refused(NULL, OCI(",\"layers\":[1]"), "no descriptor");
	refused(NULL, OCI(",\"layers\":[{}]"), "no digest");
	refused(NULL, OCI(",\"layers\":[{\"digest\":\"sha256:x\"}]"), "no digest");
	refused(NULL, OCI(",\"layers\":[{\"digest\":\"" D("1") "\",\"size\":-1}]"),
	    "negative");
}

TEST(too_many_descriptors)
{
	struct str s = STR_INIT;
	struct err e = ERR_INIT;
	struct manifest *m;

	str_addz(&s, "{\"schemaVersion\":2,\"layers\":[");
	for (int i = 0; i < MANIFEST_REFS_MAX; i++)
		str_addf(&s, "%s%s", i ? "," : "", DESC("1"));
	str_addz(&s, "]}");
	m = parse(NULL, str_get(&s), &e);
	CHECK(m && m->n_refs == MANIFEST_REFS_MAX);
	manifest_free(m);
	s.len -= 2;
	str_addz(&s, "," DESC("1") "]}");
	refused(NULL, str_get(&s), "more than");
	str_deinit(&s);
}

static char *nested(char *buf, unsigned levels)
{
	char *p = stpcpy(buf, "{\"schemaVersion\":2,\"x\":");

	memset(p, '[', levels - 1);
	memset(p + levels - 1, ']', levels - 1);
	strcpy(p + 2 * (levels - 1), "}");
	return buf;
}

TEST(levels)
{
	char text[512];
	struct manifest *m = parse(NULL, nested(text, 64), NULL);

	CHECK(m != NULL);
	manifest_free(m);
	refused(NULL, nested(text, 65), "deeper than 64 levels");
}

TEST(annotations_that_are_texts)
{
	struct manifest *m =
	    parse(NULL, OCI(",\"annotations\":{\"a\":1,\"b\":\"c\",\"d\":null}"), NULL);

	CHECK(m && str_eq(m->annotations, "{\"b\":\"c\"}"));
	manifest_free(m);
	m = parse(NULL, OCI(",\"annotations\":{\"a\":{}}"), NULL);
	CHECK(m && !m->annotations);
	manifest_free(m);
	m = parse(NULL, OCI(",\"annotations\":[\"a\"]"), NULL);
	CHECK(m && !m->annotations);
	manifest_free(m);
}
