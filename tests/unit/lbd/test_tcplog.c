/* Log lines as HAProxy wrote them. */
#include "tests/unit/test.h"

#include <string.h>
#include <time.h>

#include "lbd/tcplog.h"

TEST(a_line_of_haproxys)
{
	struct net_ip ip;
	struct tcplog l = { .client = &ip,
		.port = 60325,
		.accepted_ms = 1795420204862,
		.frontend = "machine-config-server",
		.backend = "machine-config-server",
		.server = "master",
		.wait_ms = 1,
		.connect_ms = 0,
		.total_ms = 3,
		.bytes = 10,
		.cause = '-',
		.state = '-',
		.process = 2,
		.at_frontend = 2,
		.at_backend = 1 };
	char buf[TCPLOG_MAX];
	size_t n;

	setenv("TZ", "UTC", 1);
	tzset();
	CHECK(net_ip_parse("127.0.0.11", &ip) == 0);
	n = tcplog_format(&l, buf);
	CHECK(n == strlen(buf));
	CHECK(strcmp(buf,
		  "127.0.0.11:60325 [23/Nov/2026:07:50:04.862] machine-config-server "
		  "machine-config-server/master 1/0/3 10 -- 2/2/1/0/0 0/0\n") == 0);
	l.server = NULL;
	l.wait_ms = l.connect_ms = -1;
	l.redispatched = true;
	l.retries = 1;
	l.cause = 'S';
	l.state = 'C';
	tcplog_format(&l, buf);
	CHECK(strstr(buf, "/<NOSRV> -1/-1/3 10 SC 2/2/1/0/+1 0/0\n"));
}

TEST(the_longest_line_fits)
{
	char name[64], buf[TCPLOG_MAX];
	struct net_ip ip;
	struct tcplog l = { .client = &ip,
		.port = 65535,
		.frontend = name,
		.backend = name,
		.server = name,
		.wait_ms = INT64_MAX,
		.connect_ms = INT64_MAX,
		.total_ms = INT64_MAX,
		.bytes = UINT64_MAX,
		.cause = '-',
		.state = '-',
		.process = ~0u,
		.at_frontend = ~0u,
		.at_backend = ~0u,
		.at_server = ~0u,
		.retries = ~0u,
		.redispatched = true,
		.server_queue = ~0u,
		.backend_queue = ~0u };

	memset(name, 'n', 63);
	name[63] = '\0';
	CHECK(net_ip_parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &ip) == 0);
	CHECK(buf[tcplog_format(&l, buf) - 1] == '\n');
}

TEST(an_entry_for_the_journal)
{
	struct net_ip ip;
	struct tcplog l = { .client = &ip,
		.port = 7,
		.frontend = "fe",
		.backend = "be",
		.cause = 'S',
		.state = 'C',
		.total_ms = 12,
		.bytes = 34 };
	char line[TCPLOG_MAX], buf[TCPLOG_FIELDS_MAX];
	size_t n, len;

	CHECK(net_ip_parse("::1", &ip) == 0);
	n = tcplog_format(&l, line);
	len = tcplog_format_fields(&l, buf);
	CHECK(len == strlen(buf));
	CHECK(strncmp(strstr(buf, "MESSAGE=") + 8, line, n) == 0);
	CHECK(strcmp(strstr(buf, "OKD_CLIENT="),
		  "OKD_CLIENT=::1\nOKD_CLIENT_PORT=7\nOKD_FRONTEND=fe\nOKD_BACKEND=be\n"
		  "OKD_SERVER=\nOKD_TERMINATION=SC\nOKD_DURATION_MS=12\nOKD_BYTES="
		  "34\n\n") == 0);
}

TEST(the_longest_names_fit)
{
	char name[64], buf[TCPLOG_FIELDS_MAX];
	struct net_ip ip;
	struct tcplog l = { .client = &ip,
		.port = 65535,
		.frontend = name,
		.backend = name,
		.server = name,
		.wait_ms = INT64_MIN,
		.connect_ms = INT64_MIN,
		.total_ms = INT64_MIN,
		.bytes = UINT64_MAX,
		.cause = '-',
		.state = '-',
		.process = UINT32_MAX,
		.at_frontend = UINT32_MAX };

	memset(name, 'x', 63);
	name[63] = '\0';
	CHECK(net_ip_parse("2001:db8:1111:2222:3333:4444:5555:6666", &ip) == 0);
	CHECK(tcplog_format_fields(&l, buf) < TCPLOG_FIELDS_MAX - 1);
	CHECK(strcmp(buf + strlen(buf) - 2, "\n\n") == 0);
}
