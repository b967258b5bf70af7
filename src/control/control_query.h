/*
 * control_query - answers on a control connection, and the requests that are answered at once
 */
#ifndef MXGATE_CONTROL_CONTROL_QUERY_H
#define MXGATE_CONTROL_CONTROL_QUERY_H

#include "control/control_connection.h"

void control_answer_ok(struct control_connection *c);
void control_answer_line(struct control_connection *c, const char *words);
/* The last word: what follows on the connection may be the rest of a message and is not read. */
void control_answer_failure(struct control_connection *c, int exit_code, struct span words);

/* Any request but those of a submission: what the daemon does for the commands, through
 * control_ops. */
void control_query(struct control_connection *c, const struct control_request *r);

#endif
