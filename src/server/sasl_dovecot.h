/*
 * sasl_dovecot - Dovecot's protocol for authentication clients, version 1: the lines; pure
 *
 *     line    = command *( TAB parameter ) LF      ; %x01 before 0 1 t r l n: NUL %x01 TAB CR LF LF
 *     server  = VERSION TAB major TAB minor / MECH TAB name *( TAB property ) / SPID / CUID /
 *               COOKIE / DONE /                                    ; the greeting
 *               OK TAB id *( TAB key=value ) / CONT TAB id TAB base64 /
 *               FAIL TAB id *( TAB key=value )
 *     client  = VERSION / CPID TAB pid / AUTH TAB id TAB name *( TAB key=value ) [ TAB resp=base64
 * ] / CONT TAB id TAB base64 / CANCEL TAB id
 *
 * Bytes in, events out, the same for every split. Commands and parameters that are not known are
 * passed over, as the protocol wants it. A line that is too long, another major version, and a
 * greeting without a mechanism (the socket is not for clients) break it: nothing is read after
 * that.
 *
 * Limits: SASL_DOVECOT_LINE_MAX bytes, as in Dovecot. Texts of an event are printable, cut, and
 * good until the next call.
 */
#ifndef MXGATE_SERVER_SASL_DOVECOT_H
#define MXGATE_SERVER_SASL_DOVECOT_H

#include "base/text.h"
#include "smtp/sasl.h"

#define SASL_DOVECOT_LINE_MAX   16384
#define SASL_DOVECOT_REASON_CAP 256

enum sasl_dovecot_event {
    SASL_DOVECOT_MORE,   /* all is read */
    SASL_DOVECOT_READY,  /* the greeting is over: `mechanisms` */
    SASL_DOVECOT_OK,     /* id, user */
    SASL_DOVECOT_CONT,   /* id, challenge */
    SASL_DOVECOT_FAIL,   /* id, user and reason if they were said, trouble */
    SASL_DOVECOT_BROKEN, /* reason */
};

struct sasl_dovecot {
    struct sasl_mechanisms mechanisms;
    unsigned minor;
    bool greeted; /* DONE came */
    bool broken;
    /* of the last event */
    uint64_t id;
    char user[SASL_LOGIN_CAP];
    char reason[SASL_DOVECOT_REASON_CAP];
    bool trouble;          /* it failed for now only */
    struct span challenge; /* base64; points into `line` */
    size_t len;
    char line[SASL_DOVECOT_LINE_MAX];
};

void sasl_dovecot_init(struct sasl_dovecot *d);
/* Takes bytes off `in` up to the end of a line that means something. */
enum sasl_dovecot_event sasl_dovecot_feed(struct sasl_dovecot *d, struct span *in);
/* A dialogue may be cancelled: older ones do not know how. */
bool sasl_dovecot_can_cancel(const struct sasl_dovecot *d);

struct sasl_dovecot_request {
    uint64_t id;
    const char *mechanism;
    const char *service;
    const char *local_address; /* numeric; "" not known */
    const char *remote_address;
    uint16_t local_port;
    uint16_t remote_port;
    bool secured;
    bool has_initial;
    struct span initial; /* base64 */
};

/* What is said; `t` has room for SASL_DOVECOT_LINE_MAX bytes, and overflows where that is not
 * enough. */
void sasl_dovecot_put_hello(struct text *t, uint64_t pid);
void sasl_dovecot_put_auth(struct text *t, const struct sasl_dovecot_request *request);
void sasl_dovecot_put_cont(struct text *t, uint64_t id, struct span response);
void sasl_dovecot_put_cancel(struct text *t, uint64_t id);

#endif
