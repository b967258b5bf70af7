/*
 * sasl_path - where Dovecot's authentication clients connect to: the syntax of smtpd_sasl_path;
 * pure
 *
 *     path = "inet:" host ":" port / [ "unix:" ] "/" file
 *
 * A path that is not absolute is Postfix's, below its own queue directory: refused with what to
 * write.
 */
#ifndef MXGATE_CONFIG_SASL_PATH_H
#define MXGATE_CONFIG_SASL_PATH_H

#include "base/errbuf.h"
#include "base/span.h"

#define SASL_PATH_CAP 108 /* as a unix socket's address has it, with the NUL */

struct sasl_path {
    char host[256]; /* name or numeric address; "" for a socket */
    uint16_t port;
    char file[SASL_PATH_CAP];
};

/* 0, or -EINVAL with the reason and an example. */
int sasl_path_parse(struct span text, struct sasl_path *out, struct errbuf *err);

#endif
