/* okd-ignd: the bastion's image and ignition server. */
#include "common/daemon.h"
#include "ignd/ignd.h"

int main(int argc, char *argv[])
{
	return daemon_main(&ignd_class, argc, argv);
}
