/*
 * smtp_domain - domain names, address literals and UTF-8 as in SMTP (RFC 5321 4.1.2, 4.1.3; 6531)
 */
#ifndef MXGATE_SMTP_DOMAIN_H
#define MXGATE_SMTP_DOMAIN_H

#include "base/span.h"

#define SMTP_DOMAIN_MAX 255 /* bytes, without a trailing dot */

/*
 * A domain name as in HELO, or an address literal ([1.2.3.4], [IPv6:...]). Names have letters,
 * digits, hyphens, underscores and dots, no empty label (one trailing dot is taken), at most 63
 * bytes per label and 255 in all. UTF-8 labels only when `utf8`; those are not held to 63 bytes,
 * which counts their encoded form.
 */
bool smtp_domain_valid(struct span s, bool utf8);
/*
 * What a PTR name must be to be shown: letters, digits, hyphens, underscores and dots as above,
 * and a letter in its last label. A name of numbers would be read as an address, by people and by
 * resolvers: "127.1" is found without asking anybody.
 */
bool smtp_domain_is_hostname(struct span s);
/* Well-formed UTF-8: no surrogates, no overlongs, nothing over U+10FFFF. */
bool smtp_utf8_valid(struct span s);
/* Well-formed, and without the control characters U+0080..U+009F, which terminals obey. */
bool smtp_utf8_printable(struct span s);

#endif
