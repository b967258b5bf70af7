/*
 * log_writer - lines to a file descriptor without ever blocking the loop (DESIGN 6)
 *
 * A bounded ring (LOG_RING_BYTES) between the loop and one writer thread. What does not fit is
 * dropped and counted; when there is room again a line says how many. Plain:
 * "2026-08-22T10:00:00.123456+09:00 INFO postfix/smtpd[1]: ..." with one space on both sides of the
 * severity (boky pads; pflogsumm then counts nothing). Start-up lines ("‣ ...") and JSON: see .c.
 * Thread-safe: any thread may write.
 */
#ifndef MXGATE_OBSERVE_LOG_WRITER_H
#define MXGATE_OBSERVE_LOG_WRITER_H

#include "config/config.h"
#include "observe/log.h"

#define LOG_RING_BYTES (1u << 20)

struct log_writer; /* opaque */

/* fd stays the caller's; syslog_name is copied, as much of it as is needed. NULL when memory is not
 * to be had. Nothing is written before log_writer_start() or log_writer_free(). */
struct log_writer *log_writer_new(int fd, enum config_log_format format, const char *syslog_name);
/* Starts the thread: apart from log_writer_new(), since a process that is about to give up rights
 * may have no threads yet. 0 or -errno. */
int log_writer_start(struct log_writer *w);
/* A log's sink; ctx is the writer. The log's `json` must be what `format` said. */
void log_writer_sink(void *ctx, enum log_severity severity, struct span line);
/* Waits until everything is written, at most max_ms, then stops the thread (left alone when the fd
 * blocks). */
void log_writer_free(struct log_writer **w, unsigned max_ms);
uint64_t log_writer_dropped(const struct log_writer *w);

#endif
