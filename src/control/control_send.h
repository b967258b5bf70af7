/*
 * control_send - the pieces of a message on their way to the daemon, for the commands that hand one
 * in; the order is that of control_format.h
 *
 * Fails:  negative errno of the connection, EX_USAGE when a line would be too long; words in err.
 */
#ifndef MXGATE_CONTROL_CONTROL_SEND_H
#define MXGATE_CONTROL_CONTROL_SEND_H

#include "control/control_client.h"

/* A request line: "from <a@b> RET=HDRS"; `parameters` is "", or begins with a blank. */
int control_send_address(struct control_client *c, const char *verb, const char *address,
                         const char *parameters, struct errbuf *err);
/* " KEYWORD=value", the value as xtext (RFC 3461 4); nothing when it is NULL. */
void control_put_parameter(struct text *t, const char *keyword, const char *value);
/* One chunk, CONTROL_CHUNK_MAX bytes at most; an empty one keeps the daemon waiting. */
int control_send_chunk(struct control_client *c, struct span bytes, struct errbuf *err);
/* As many chunks as it takes. */
int control_send_bytes(struct control_client *c, struct span bytes, struct errbuf *err);

#endif
