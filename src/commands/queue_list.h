/*
 * queue_list - the queue listing behind postqueue -p, postqueue -j, mailq and sendmail -bp
 *
 * Reads the spool itself, file by file, so that it works without a daemon and a long queue costs
 * the daemon nothing; the daemon is only asked which messages are under delivery at this moment.
 * Messages that go meanwhile are left out, messages that come may be.
 */
#ifndef MXGATE_COMMANDS_QUEUE_LIST_H
#define MXGATE_COMMANDS_QUEUE_LIST_H

#include "config/config.h"

/* Returns the exit code. */
int queue_list(const char *name, const struct config *config, bool json);

#endif
