/* kubeconfig files, from memory by way of a file. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "csrd/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char path[64];
	static int fd = -1;
	char *list[] = { path };
	struct conf_list l = { list, 1, true };
	struct kubeconfig *k = NULL;
	struct err e = ERR_INIT;

	if (fd < 0) {
		fd = memfd_create("kubeconfig", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    fd_write_all(fd, data, n) < 0)
		abort();
	if (kubeconfig_load(&k, &l, &e) == 0) {
		if (!k->server || !k->context)
			abort();
		kubeconfig_free(k);
	} else if (!e.text[0]) {
		abort();
	}
	return 0;
}
