/*
 * resend - what the files of the resend command share; resend.c has the command line and `resend
 * ID`, resend_copy.c `resend ID to ADDRESS`
 *
 * The message's file is read by the command itself, as postcat does: what it says, and the content
 * that goes to somebody else, as a message of its own by way of the control socket.
 */
#ifndef MXGATE_COMMANDS_RESEND_H
#define MXGATE_COMMANDS_RESEND_H

#include "commands/sendmail.h"
#include "control/control_client.h"
#include "queue/spool.h"

struct resend {
    const struct config *config;   /* borrowed */
    const char *ini;               /* borrowed from argv; NULL: not given */
    const char *sender;            /* --sender, likewise; NULL: the message's own */
    struct sendmail_recipients to; /* empty: to whom it was for */
    struct spool spool;
    struct spool_load load; /* the message: its file is open */
    struct control_client client;
};

/* Both: 0, or the exit code after telling. */
int resend_copy(struct resend *r);
/* "on hold (failed)", "deferred" */
void resend_put_state(struct text *t, const struct spool_file *f);

#endif
