/*
 * certificate - an X.509 certificate's names and dates, read from its DER (RFC 5280 4.1); pure
 *
 * Reads what BearSSL's engines do not give: all names of the subjectAltName, the two DNs, the
 * dates. It proves nothing; signatures and chains are BearSSL's business.
 *
 * Fails:  false for what is not DER, or is no certificate: lengths must be definite and shortest,
 *         what is in a sequence must end where it does. Names that are empty or hold other bytes
 *         than printable ASCII are passed over.
 * Owns:   nothing; spans point into the DER given.
 */
#ifndef MXGATE_TLS_CERTIFICATE_H
#define MXGATE_TLS_CERTIFICATE_H

#include "base/text.h"

struct certificate {
    struct span issuer;    /* the Name, its tag and length included */
    struct span subject;   /* likewise */
    struct span alt_names; /* the GeneralNames inside subjectAltName; empty: none */
    int64_t not_before_s;  /* seconds since 1970, UTC */
    int64_t not_after_s;
};

bool certificate_parse(struct span der, struct certificate *out);

enum certificate_name_kind { CERTIFICATE_DNS, CERTIFICATE_ADDRESS };
/* Takes the next DNS name, or address (4 or 16 bytes), off `alt_names`. False at the end. */
bool certificate_next_name(struct span *alt_names, enum certificate_name_kind *kind_out,
                           struct span *name_out);
/* The first common name of a DN; false when there is none. */
bool certificate_common_name(struct span dn, struct span *name_out);

/*
 * Whether it is for `wanted`: a name, ".example.com" (any name below), or a numeric address. See
 * tls/tls_validator.h.
 */
bool certificate_is_for(const struct certificate *c, const char *wanted);
/* "a.example.com, 192.0.2.1": its names, as far as there is room; or its common name. */
void certificate_names_text(const struct certificate *c, struct text *t);
/* A DN for people: its common name, else its organisation, else "an unnamed issuer". */
void certificate_dn_text(struct span dn, struct text *t);

#endif
