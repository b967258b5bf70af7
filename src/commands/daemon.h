/*
 * daemon - what the commands that talk to the daemon share
 */
#ifndef MXGATE_COMMANDS_DAEMON_H
#define MXGATE_COMMANDS_DAEMON_H

#include "control/control_client.h"

/* Whether this failure of control_client_open means that no daemon runs. */
bool daemon_is_down(int rc);
/*
 * Asks one question and prints the answer's text lines to stdout when `print`. 0, or the exit code
 * after telling: EX_UNAVAILABLE with `down` as the words when no daemon runs, what the daemon said
 * otherwise.
 */
struct daemon_question {
    const char *name; /* of the command */
    const char *socket;
    const char *request;
    const char *down; /* "Cannot flush mail queue - mail system is down" */
    bool print;
};
int daemon_ask(const struct daemon_question *q);

#endif
