/* version - which mxgate this is */
#include "commands/commands.h"

#include <stdio.h>
#include <sysexits.h>

int command_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("mxgate " MXGATE_VERSION);
    return EX_OK;
}
