/*
 * control_format_queue - the queue listing, as `postqueue -p` and `postqueue -j` show it; pure
 *
 * The shapes are Postfix's, to the blank (short queue ids form): scripts read them by column, by
 * paragraph and by the last line. For -p, messages are separated by an empty line and the end is
 * "-- N Kbytes in N Requests." or, alone, "Mail queue is empty". For -j, one JSON object per line
 * and nothing at all when there is nothing.
 *
 *     -Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
 *     06401F3A9C2E7001*    1234 Thu Oct  9 08:53:20  a@example.net
 *                     (connect to 192.0.2.53[192.0.2.53]:2525: Connection timed out)
 *                                              u@example.org
 *
 * Listed are the recipients still to be delivered with the reason of the last attempt; of a message
 * where nothing is to be delivered any more, those that failed. A message takes bounded memory
 * however many recipients it has: text goes to `write` as it comes.
 */
#ifndef MXGATE_CONTROL_CONTROL_FORMAT_QUEUE_H
#define MXGATE_CONTROL_CONTROL_FORMAT_QUEUE_H

#include "base/text.h"
#include "queue/spool_format.h"

#define QUEUE_REPORT_CAP 16384

struct queue_report {
    void (*write)(void *ctx, struct span bytes);
    void *ctx;
    bool json;
    uint64_t bytes;
    uint64_t messages;
    struct text text;
    char buf[QUEUE_REPORT_CAP];
};

void queue_report_begin(struct queue_report *r, bool json,
                        void (*write)(void *ctx, struct span bytes), void *ctx);
/* active: it is under delivery at this moment. */
void queue_report_message(struct queue_report *r, const struct spool_file *f, bool active);
void queue_report_end(struct queue_report *r);

#endif
