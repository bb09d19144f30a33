/* okd-regd: the container registry of an OKD bastion. */
#include "common/daemon.h"
#include "regd/regd.h"

int main(int argc, char *argv[])
{
	return daemon_main(&regd_class, argc, argv);
}
