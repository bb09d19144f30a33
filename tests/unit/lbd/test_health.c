/* Counting checks as HAProxy does, and reading the status of a reply. */
#include "tests/unit/test.h"

#include <string.h>

#include "lbd/health.h"

static bool shows(const struct health *h, const char *text)
{
	char buf[HEALTH_TEXT_MAX];

	return strcmp(health_text(h, buf), text) == 0;
}

TEST(down_takes_fall_failures_and_up_rise_successes)
{
	struct health h;

	health_init(&h, 2, 3);
	CHECK(health_up(&h) && shows(&h, "UP"));
	CHECK(health_add(&h, true) == HEALTH_SAME && !health_in_transition(&h));
	CHECK(health_add(&h, false) == HEALTH_SAME && shows(&h, "UP 2/3"));
	CHECK(health_add(&h, false) == HEALTH_SAME && shows(&h, "UP 1/3"));
	CHECK(health_add(&h, false) == HEALTH_WENT_DOWN && shows(&h, "DOWN"));
	CHECK(health_add(&h, false) == HEALTH_SAME && !health_in_transition(&h));
	CHECK(health_add(&h, true) == HEALTH_SAME && shows(&h, "DOWN 1/2"));
	CHECK(health_in_transition(&h));
	CHECK(health_add(&h, true) == HEALTH_WENT_UP && shows(&h, "UP"));
}

TEST(a_success_between_failures_makes_whole)
{
	struct health h;

	health_init(&h, 2, 3);
	(void)health_add(&h, true);
	for (int i = 0; i < 20; i++)
		CHECK(health_add(&h, i % 2) == HEALTH_SAME && health_up(&h));
	(void)health_add(&h, false);
	(void)health_add(&h, false);
	(void)health_add(&h, false);
	CHECK(!health_up(&h));
	for (int i = 0; i < 20; i++)
		CHECK(health_add(&h, i % 2 == 0) == HEALTH_SAME && !health_up(&h));
}

TEST(the_first_result_decides)
{
	struct health h;

	health_init(&h, 2, 3);
	CHECK(health_add(&h, false) == HEALTH_WENT_DOWN && shows(&h, "DOWN"));
	health_init(&h, 5, 1);
	CHECK(health_add(&h, true) == HEALTH_SAME && shows(&h, "UP"));
}

TEST(new_bounds_keep_the_state)
{
	struct health h;

	health_init(&h, 2, 3);
	(void)health_add(&h, true);
	health_configure(&h, 4, 4);
	CHECK(health_up(&h) && shows(&h, "UP"));
	health_force(&h, false);
	health_configure(&h, 1, 1);
	CHECK(!health_up(&h) && shows(&h, "DOWN"));
}

static enum check_reply parse(const char *s, unsigned *code)
{
	return check_reply_parse(s, strlen(s), code);
}

TEST(status_lines)
{
	unsigned code = 0;

	CHECK(parse("HTTP/1.1 200 OK\r\n", &code) == CHECK_REPLY_STATUS && code == 200);
	CHECK(parse("HTTP/1.0 503\r\n", &code) == CHECK_REPLY_STATUS && code == 503);
	CHECK(parse("", &code) == CHECK_REPLY_MORE);
	CHECK(parse("HTTP/1.1 200", &code) == CHECK_REPLY_MORE);
	CHECK(parse("HTTP/1.1 2000", &code) == CHECK_REPLY_BAD);
	CHECK(parse("HTTP/1.1 700 x", &code) == CHECK_REPLY_BAD);
	CHECK(parse("HTTP/1.1 099 x", &code) == CHECK_REPLY_BAD);
	CHECK(parse("SSH-2.0-x\r\n", &code) == CHECK_REPLY_BAD);
	CHECK(parse("\x15\x03\x01", &code) == CHECK_REPLY_BAD);
}

static bool keeps(const char *s)
{
	return check_reply_keeps(s, strlen(s));
}

TEST(replies_after_which_a_connection_is_used_again)
{
	CHECK(keeps("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	CHECK(keeps("HTTP/1.1 200 OK\r\nX: y\r\ncontent-length:0\r\n\r\n"));
	CHECK(keeps("HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n"
		    "\r\nx"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"));
	CHECK(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\n\r\n"));
	CHECK(!keeps("HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n"
		     "\r\n"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
		     "Transfer-Encoding: chunked\r\n\r\n"));
}

TEST(lengths_that_are_not_written_plainly)
{
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nx"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"));
	CHECK(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n"
		     "\r\nx"));
}
