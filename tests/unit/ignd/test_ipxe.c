/* Names of boot scripts, times of verbs. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "ignd/ipxe.h"
#include "ignd/verbs.h"

TEST(names)
{
	static const uint8_t want[6] = { 0x52, 0x54, 0, 0xab, 0xCD, 3 };
	static const char *const bad[] = { "", ".ipxe", "52-54-00-ab-cd-03", "52",
		"52-54-00-ab-cd-0.ipxe", "52-54-00-ab-cd-03.ipxe ", "525400abcd03.ipxe",
		"52-54-00-ab-cd-03-04.ipxe", "52-54-00-ab-cd-zz.ipxe", "5-", "52-" };
	uint8_t mac[6];

	CHECK(ipxe_parse_name("52-54-00-ab-CD-03.ipxe", mac) == 0);
	CHECK(memcmp(mac, want, 6) == 0);
	CHECK(ipxe_parse_name("52:54:00:AB:cd:03.ipxe", mac) == 0);
	CHECK(memcmp(mac, want, 6) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(ipxe_parse_name(bad[i], mac) == -EINVAL);
}

TEST(durations)
{
	int64_t s = 0;

	CHECK(verb_duration("30", &s) == 0 && s == 30);
	CHECK(verb_duration("30s", &s) == 0 && s == 30);
	CHECK(verb_duration("15m", &s) == 0 && s == 900);
	CHECK(verb_duration("2h", &s) == 0 && s == 7200);
	CHECK(verb_duration("366d", &s) == 0 && s == 366 * 86400);
	CHECK(verb_duration("367d", &s) == -EINVAL);
	CHECK(verb_duration("0", &s) == -EINVAL);
	CHECK(verb_duration("", &s) == -EINVAL);
	CHECK(verb_duration("m", &s) == -EINVAL);
	CHECK(verb_duration("5mm", &s) == -EINVAL);
	CHECK(verb_duration("5w", &s) == -EINVAL);
	CHECK(verb_duration("-5m", &s) == -EINVAL);
	CHECK(verb_duration("9999999999999999999m", &s) == -EINVAL);
}
