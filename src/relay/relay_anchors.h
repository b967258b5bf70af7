/*
 * relay_anchors - the CAs that lmtp: and smtp: targets are verified by: lmtp_tls_CAfile and
 * smtp_tls_CAfile
 *
 * A file is read when a level needs it (verify, secure); also when it was set and TLS is used, for
 * then the log tells Trusted from Untrusted, as in Postfix. Read again at each reload.
 *
 * Fails:  -EINVAL with setting, file and reason when a file that is needed cannot be used; one that
 *         is not needed is warned about, and nobody is trusted.
 */
#ifndef MXGATE_RELAY_RELAY_ANCHORS_H
#define MXGATE_RELAY_RELAY_ANCHORS_H

#include "config/config.h"
#include "observe/log.h"
#include "tls/tls_anchors.h"

/* By enum route_kind; NULL: nobody is trusted. */
int relay_anchors_load(const struct config *config, const struct log *log,
                       struct tls_anchors *out[2], struct errbuf *err);
void relay_anchors_free(struct tls_anchors *anchors[2]);

#endif
