/*
 * records - what deliveries found out, as lines to append to a spool file, and in the envelope
 */
#ifndef MXGATE_QUEUE_RECORDS_H
#define MXGATE_QUEUE_RECORDS_H

#include "queue/queue_order.h"
#include "queue/spool_format.h"
#include "relay/delivery.h"

struct records {
    char *bytes; /* owned */
    size_t len;
    size_t cap;
    bool durable; /* something final is said: worth an fdatasync */
};

/*
 * Applies the results of d to e (states, reasons) and adds one line for each. False when memory is
 * out (states are applied all the same: only the file does not know).
 */
bool records_add_delivery(struct records *r, struct envelope *e, const struct delivery *d,
                          int64_t wall_s);
/* The same for one recipient. dsn may be "". */
bool records_add(struct records *r, struct envelope *e, size_t index, enum spool_result result,
                 const char *dsn, const char *reason, int64_t wall_s);
bool records_add_hold(struct records *r, int64_t wall_s, const char *why);
/* What an operator ordered: QUEUE_ORDER_BITs but for DELETE, which leaves no file to write into. */
bool records_add_orders(struct records *r, int64_t wall_s, unsigned orders);
/* A report about it is begun, or in custody (spool_format.h). `id` may be "" where that says so. */
bool records_add_report(struct records *r, int64_t wall_s, enum spool_report what, const char *id);
void records_deinit(struct records *r);

#endif
