/*
 * maildir - a destination that is a folder: maildir:/path (tmp/, new/, cur/ are made when missing)
 *
 * One file per message and transaction, with Return-Path and one Delivered-To per recipient in
 * front and LF line ends, as local delivery agents write it. Written to tmp/, fsync'ed, renamed
 * into new/, new/ fsync'ed: only then is it delivered. The name is made of the queue id, so the
 * same message delivered again after a crash replaces itself.
 */
#ifndef MXGATE_RELAY_MAILDIR_H
#define MXGATE_RELAY_MAILDIR_H

#include "message/body.h"
#include "message/envelope.h"

/*
 * Blocking: for the disk lane. indices: the recipients. 0, or -errno with the failed step in
 * *step_out. Leaves nothing half made behind.
 */
int maildir_write(const char *path, const char *hostname, const struct envelope *e,
                  const size_t *indices, size_t count, const struct body *body,
                  const char **step_out);

#endif
