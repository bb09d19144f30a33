/* okd-lbd: the bastion's TCP balancer. */
#include "lbd/lbd.h"

int main(int argc, char *argv[])
{
	return daemon_main(&lbd_class, argc, argv);
}
