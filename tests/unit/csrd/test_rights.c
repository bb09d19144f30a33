/* What --print-rbac prints is what the package ships. */
#include "tests/unit/test.h"

#include "common/fd.h"
#include "common/str.h"
#include "csrd/rights.h"

TEST(the_manifest_is_the_packages)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;

	CHECK(file_read("packaging/okd-csrd-rbac.yaml", 1 << 20, &text) == 0);
	CHECK(str_eq(str_get(&text), rights_manifest));
}
