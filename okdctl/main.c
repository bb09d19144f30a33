/* okdctl: how a person meets the suite. */
#include "okdctl/cli.h"
#include "okdctl/okdctl.h"

int main(int argc, char *argv[])
{
	return cli_main(okdctl_commands, argc, argv);
}
