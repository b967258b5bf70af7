/*
 * verdict - one SMTP reply as a value: what a layer below decided, on its way to the client
 */
#ifndef MXGATE_SMTP_VERDICT_H
#define MXGATE_SMTP_VERDICT_H

#define SMTP_VERDICT_CAP 600

struct smtp_verdict {
    unsigned code;               /* 250, 451, 550, ... */
    char line[SMTP_VERDICT_CAP]; /* the whole reply line without CRLF: "250 2.0.0 Ok: queued as ..."
                                  */
};

#endif
