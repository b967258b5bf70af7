/*
 * tls_versions - which versions of TLS are spoken: the syntax of smtpd_tls_protocols and its like;
 * pure
 *
 *     list = item *( ("," / ":" / blank) item )
 *     item = [ "!" / ">=" / "<=" ] version        ; SSLv2 SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3
 *
 * As in Postfix: ">=" and "<=" are bounds, a name admits that version (and then no other that is
 * not named), "!" leaves one out. Unlike there, a list that only leaves versions out asks for no
 * old one: "!SSLv2, !SSLv3", which many copied from each other, is TLSv1.2 as well. Versions that
 * BearSSL does not speak count for nothing.
 *
 * Fails: -EINVAL with the reason and the remedy: unknown words, nothing left, a gap.
 */
#ifndef MXGATE_CONFIG_TLS_VERSIONS_H
#define MXGATE_CONFIG_TLS_VERSIONS_H

#include "base/errbuf.h"
#include "base/span.h"

#define TLS_VERSION_10 0x0301u /* RFC 2246, as on the wire */
#define TLS_VERSION_11 0x0302u
#define TLS_VERSION_12 0x0303u /* RFC 5246 */

struct tls_versions {
    unsigned min;
    unsigned max;
    bool wants_13; /* TLSv1.3 was named: there is none here */
};

int tls_versions_parse(struct tls_versions *versions, struct span text, struct errbuf *err);

#endif
