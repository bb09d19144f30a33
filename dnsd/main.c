/* okd-dnsd: the bastion's DNS server. */
#include "common/daemon.h"
#include "dnsd/dnsd.h"

int main(int argc, char *argv[])
{
	return daemon_main(&dnsd_class, argc, argv);
}
