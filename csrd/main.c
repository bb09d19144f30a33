/* okd-csrd: the bastion's certificate approver. */
#include <stdio.h>
#include <string.h>

#include "common/daemon.h"
#include "csrd/csrd.h"
#include "csrd/rights.h"

int main(int argc, char *argv[])
{
	if (argc == 2 && strcmp(argv[1], "--print-rbac") == 0)
		return fputs(rights_manifest, stdout) < 0 || fflush(stdout) != 0;
	return daemon_main(&csrd_class, argc, argv);
}
