/*
 * smtp_address - paths and mailboxes of MAIL and RCPT (RFC 5321 4.1.2, RFC 6531 3.3)
 *
 *     path       = "<" [ source-route ":" ] mailbox ">" / "<>"
 *                / mailbox                               ; without brackets, as Postfix takes it
 *     mailbox    = local-part [ "@" ( domain / address-literal ) ]
 *     local-part = dot-string / quoted-string
 *
 * Looser than the grammar where mail in the wild is (DESIGN 2.8): blanks after the colon, local
 * parts over 64 octets, `a..b@x`, leading and trailing dots in the local part, underscores in
 * domains, one trailing dot of the domain (dropped). Never looser than safe: control bytes (C1 in
 * UTF-8 as well), NUL, blanks outside quotes, unbalanced quotes, 8-bit bytes without SMTPUTF8,
 * invalid UTF-8 with it, and an empty quoted local part ("" crashed Dovecot, CVE-2020-10967) are
 * refused. A source route is parsed and dropped (RFC 5321 4.1.1.3).
 */
#ifndef MXGATE_SMTP_ADDRESS_H
#define MXGATE_SMTP_ADDRESS_H

#include "base/span.h"
#include "smtp/domain.h"

#define SMTP_ADDRESS_CAP    512 /* local part, "@", domain, NUL; longer is refused (RFC: 254) */
#define SMTP_LOCAL_PART_MAX 255

enum smtp_address_error {
    SMTP_ADDRESS_OK,
    SMTP_ADDRESS_SYNTAX,
    SMTP_ADDRESS_TOO_LONG,
    SMTP_ADDRESS_NON_ASCII, /* 8-bit without SMTPUTF8 */
};

/* Self-contained: owns its bytes. Empty text is the null path "<>". */
struct smtp_address {
    char text[SMTP_ADDRESS_CAP]; /* "local@domain" as given; only route and last dot dropped */
    uint16_t len;
    uint16_t local_len; /* of the local part as written, quotes included */
    bool has_domain;
    bool literal; /* the domain is [1.2.3.4] or [IPv6:...] */
    bool non_ascii;
};

/*
 * Parses a path at the start of `in` (leading blanks skipped) and leaves in `*rest_out` what
 * follows it: after ">" that may be anything, after a mailbox without brackets a blank or nothing.
 * `utf8`: SMTPUTF8 was asked for. Other errors than NON_ASCII leave `*rest_out` undefined; every
 * error leaves
 * `*out` zeroed.
 */
enum smtp_address_error smtp_address_parse_path(struct span in, bool utf8, struct smtp_address *out,
                                                struct span *rest_out);
/* A bare mailbox, all of `in`, not empty; for settings and for sendmail's arguments. */
enum smtp_address_error smtp_address_parse(struct span in, bool utf8, struct smtp_address *out);
struct span smtp_address_domain(const struct smtp_address *a); /* without "@"; empty when none */
struct span smtp_address_local(const struct smtp_address *a);
bool smtp_address_is_null(const struct smtp_address *a);
struct span smtp_address_span(const struct smtp_address *a);

#endif
