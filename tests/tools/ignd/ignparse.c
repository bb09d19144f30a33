/*
 * How long a config takes to be read and checked, as okd-ignd does before it serves one:
 *
 *   ignparse FILE TIMES     prints milliseconds of CPU for one, and its certificates
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/fd.h"
#include "ignd/ignition.h"

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	_cleanup_(str_deinit) struct str text = STR_INIT;
	int times = argc == 3 ? atoi(argv[2]) : 0;
	size_t certificates = 0;
	double begin;

	if (times < 1 || file_read(argv[1], IGNITION_MAX, &text) < 0) {
		fprintf(stderr, "ignparse FILE TIMES\n");
		return 2;
	}
	begin = cpu_ms();
	for (int i = 0; i < times; i++) {
		_cleanup_(ignition_freep) struct ignition *ign = NULL;
		struct err e = ERR_INIT;

		if (ignition_parse(&ign, argv[1], str_get(&text), text.len, &e) < 0) {
			fprintf(stderr, "%s\n", err_str(&e));
			return 1;
		}
		certificates = ign->certs.n;
	}
	printf("%.3f %zu\n", (cpu_ms() - begin) / times, certificates);
	return 0;
}
