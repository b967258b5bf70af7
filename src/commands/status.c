/*
 * status - what the daemon says of itself, for people or as JSON
 *
 * Fails: EX_UNAVAILABLE when no daemon answers; trouble that the daemon reports does not change the
 * exit code (that is the health check's business).
 */
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/settings.h"

#include <getopt.h>
#include <sysexits.h>

#define USAGE "usage: mxgate status [-c file] [--json]"

int command_status(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {NULL,   0,           NULL, 0  }
    };
    struct daemon_question question = {
        .name = "mxgate",
        .request = "status",
        .down = "the mail system is down",
        .print = true,
    };
    const char *ini = NULL;
    struct config *config;
    int option;
    int rc;

    while ((option = getopt_long(argc, argv, "c:j", options, NULL)) != -1) {
        if (option == 'c')
            ini = optarg;
        else if (option == 'j')
            question.request = "status json";
        else
            return command_fatal("mxgate", EX_USAGE, USAGE);
    }
    if (optind < argc)
        return command_fatal("mxgate", EX_USAGE, USAGE);
    rc = settings_for_command("mxgate", ini, &config);
    if (rc != EX_OK)
        return rc;
    question.socket = config->control_socket;
    rc = daemon_ask(&question);
    config_unref(&config);
    return rc;
}
