/*
 * x509_names - for whom a certificate is (RFC 6125), and whose it is in words; pure
 *
 * Names are matched as Postfix does; see tls/tls_validator.h. It proves nothing: signatures and
 * chains are BearSSL's business.
 */
#ifndef MXGATE_TLS_X509_NAMES_H
#define MXGATE_TLS_X509_NAMES_H

#include "base/text.h"
#include "tls/x509.h"

/* Whether it is for `wanted`: a name, ".example.com" (any name below), or a numeric address. */
bool x509_is_for(const struct x509 *c, const char *wanted);
/* "a.example.com, 192.0.2.1": its names, as far as there is room; or its common name. */
void x509_names_text(const struct x509 *c, struct text *t);
/* A DN for people: its common name, else its organisation, else "without a name". */
void x509_dn_text(struct span dn, struct text *t);

#endif
