/*
 * log_json - a log line as a JSON object (log_format=json); pure, private to log_line.c
 *
 *     {"severity":"info","program":"postfix/smtpd","pid":1,"queue_id":"06401F3A9C2E7001",
 *      "message":"06401F3A9C2E7001: client=mail.example.org[192.0.2.9]",
 *      "client_name":"mail.example.org","client_address":"192.0.2.9"}
 *
 * on one line. The time, which the sink knows, is not in it: log_writer puts it first. message is
 * the plain line behind "postfix/smtpd[1]: ". A start-up line has severity and message only.
 *
 * Limits: LOG_OBJECT_MAX. A message that does not fit (one of nothing but quotes) is cut; a field
 *         that does not fit is left out. The line is safe (log_line.h), so quotes and backslashes
 *         are all there is to escape.
 */
#ifndef MXGATE_OBSERVE_LOG_JSON_H
#define MXGATE_OBSERVE_LOG_JSON_H

#include "observe/log_line.h"

/* `out` has room for LOG_OBJECT_MAX bytes. */
void log_json_put(const struct log_line *line, enum log_severity severity, struct text *out);

#endif
