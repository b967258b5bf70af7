/*
 * sasl_options - which mechanisms may be offered: smtpd_sasl_security_options, its like for TLS,
 * and smtpd_sasl_mechanism_filter; pure
 *
 *     options = *( noplaintext / noactive / nodictionary / noanonymous / forward_secrecy /
 *                  mutual_auth )
 *     filter  = *( [ "!" ] NAME / [ "!" ] "static:" anything )   ; the first that matches decides
 *
 * As in Postfix, a filter that nothing matches admits nothing. Tables of other types are refused.
 */
#ifndef MXGATE_CONFIG_SASL_OPTIONS_H
#define MXGATE_CONFIG_SASL_OPTIONS_H

#include "base/errbuf.h"
#include "smtp/sasl.h"

struct sasl_options {
    unsigned forbidden; /* enum sasl_property bits: none of them */
    unsigned needed;    /* all of them */
};

/* 0, or -EINVAL with the word and what may stand there. */
int sasl_options_parse(struct sasl_options *options, struct span text, struct errbuf *err);
int sasl_filter_check(struct span filter, struct errbuf *err);
/* filter: one that was checked. */
bool sasl_may_offer(const struct sasl_mechanism *m, const struct sasl_options *options,
                    struct span filter);

#endif
