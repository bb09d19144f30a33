/* What oc prints while it mirrors, line by line, as releases 4.5 to 4.16 do. */
#include "tests/unit/test.h"

#include "okdctl/mirror.h"

#define DIGEST "sha256:3e9704e62bb8ebaba3e9cda8176fa53de7b4e7e63b067eb94522bf6e5e93d4ea"
#define TO "registry.okd.example.com:5000/openshift/okd"

static const struct {
	const char *line;
	enum mirror_line kind;
	uint64_t done, total;
} rows[] = {
	{ "info: Mirroring 172 images to " TO " ...", MIRROR_PROGRESS, 0, 172 },
	{ "registry.okd.example.com:5000/", MIRROR_NOISE, 0, 172 },
	{ "  openshift/okd", MIRROR_NOISE, 0, 172 },
	{ "    blobs:", MIRROR_NOISE, 0, 172 },
	{ "      quay.io/openshift/okd-content " DIGEST " 1.646MiB", MIRROR_NOISE, 0,
	    172 },
	{ "    manifests:", MIRROR_NOISE, 0, 172 },
	{ "      " DIGEST " -> 4.5.13-cli", MIRROR_NOISE, 0, 172 },
	{ "  stats: shared=5 unique=346 size=8.5GiB ratio=0.99", MIRROR_NOISE, 0, 172 },
	{ "", MIRROR_NOISE, 0, 172 },
	{ "phase 0:", MIRROR_NOISE, 0, 172 },
	{ "  registry.okd.example.com:5000 openshift/okd blobs=351 mounts=0 "
	  "manifests=2 "
	  "shared=5",
	    MIRROR_PROGRESS, 0, 2 },
	{ "  registry.okd.example.com:5000 other blobs=1 mounts=0 manifests=1 shared=0",
	    MIRROR_PROGRESS, 0, 3 },
	{ "info: Planning completed in 33.71s", MIRROR_MESSAGE, 0, 3 },
	{ "uploading: " TO " " DIGEST " 45.55MiB", MIRROR_NOISE, 0, 3 },
	{ "mounted: " TO " " DIGEST " 45.55MiB", MIRROR_NOISE, 0, 3 },
	{ DIGEST " " TO ":4.5.13-cli", MIRROR_PROGRESS, 1, 3 },
	{ DIGEST " " TO ":4.5.13-cli-artifacts", MIRROR_PROGRESS, 2, 3 },
	/* Only a part of what arrived. */
	{ DIGEST " " TO " 1.646MiB", MIRROR_NOISE, 2, 3 },
	{ "sha256:3e97 " TO ":x", MIRROR_NOISE, 2, 3 },
	{ DIGEST " " TO ":4.5.13", MIRROR_PROGRESS, 3, 3 },
	{ DIGEST " " TO ":4.5.13-again", MIRROR_PROGRESS, 3, 3 },
	{ "error: unable to push manifest to " TO
	  ":x: manifest invalid: manifest invalid",
	    MIRROR_MESSAGE, 3, 3 },
	{ "info: Mirroring completed in 2m31.1s (96.06MB/s)", MIRROR_MESSAGE, 3, 3 },
	{ "error: one or more errors occurred while uploading images", MIRROR_MESSAGE,
	    3, 3 },
	{ "Success", MIRROR_MESSAGE, 3, 3 },
};

TEST(lines)
{
	struct mirror_progress p = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK(mirror_take(&p, rows[i].line) == rows[i].kind);
		CHECK(p.done == rows[i].done);
		CHECK(p.total == rows[i].total);
	}
}

TEST(nonsense)
{
	struct mirror_progress p = { 0 };

	CHECK(mirror_take(&p, "info: Mirroring -1 images to x") == MIRROR_MESSAGE);
	CHECK(
	    mirror_take(&p, "  x y manifests=99999999999999999999") == MIRROR_PROGRESS);
	CHECK(p.total < 100000000);
	CHECK(mirror_take(&p, "  x y manifests=") == MIRROR_PROGRESS);
}
