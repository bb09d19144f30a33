/* What check reads out of other people's files. */
#include "tests/unit/test.h"

#include <errno.h>

#include "okdctl/check.h"

TEST(pointer)
{
	static const struct {
		const char *text;
		int result;
		const char *url, *authorities;
	} rows[] = {
		{ "{\"ignition\":{\"version\":\"3.1.0\",\"config\":{\"merge\":[{"
		  "\"source\":"
		  "\"https://api-int.x:22623/config/worker\"}]},\"security\":{\"tls\":{"
		  "\"certificateAuthorities\":[{\"source\":\"data:,A\"},"
		  "{\"source\":\"data:;base64,Qg==\"}]}}}}",
		    0, "https://api-int.x:22623/config/worker", "A\nB\n" },
		{ "{\"ignition\":{\"version\":\"2.2.0\",\"config\":{\"append\":[{"
		  "\"source\":"
		  "\"https://x\"}]}}}",
		    0, "https://x", "" },
		{ "{\"ignition\":{\"version\":\"3.1.0\"}}", 0, "", "" },
		{ "{\"ignition\":{\"security\":{\"tls\":{\"certificateAuthorities\":"
		  "[{\"source\":\"https://elsewhere/ca\"}]}}}}",
		    -EINVAL, "", "" },
		{ "{\"ignition\":7}", 0, "", "" },
		{ "[]", 0, "", "" },
		{ "{", -EINVAL, "", "" },
		{ "", -EINVAL, "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(str_deinit) struct str url = STR_INIT, authorities = STR_INIT;
		int r = check_mcs_pointer(
		    rows[i].text, strlen(rows[i].text), &authorities, &url);

		CHECK(r == rows[i].result);
		CHECK(r < 0 || str_eq(str_get(&url), rows[i].url));
		CHECK(r < 0 || str_eq(str_get(&authorities), rows[i].authorities));
	}
}
