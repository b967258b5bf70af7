/*
 * address_list - the addresses in a To, Cc or Bcc header (RFC 5322 3.4); pure
 *
 *     address-list = address *( "," address )
 *     address      = mailbox / phrase ":" [ mailbox-list ] ";"
 *     mailbox      = addr-spec / [ phrase ] "<" [ route ":" ] addr-spec ">"
 *
 * Looser than the grammar where people and programs are: empty elements are skipped, ";" separates
 * like "," (Outlook), blanks and comments may stand inside an address, a domain may be missing.
 * Comments nest. What cannot be one address is an event of its own, never silently dropped: whoever
 * asked for that recipient must hear of it.
 *
 * An address comes out without comments, blanks and route, quoted local parts as written. Whether
 * it is one that SMTP takes is for smtp_address_parse to say.
 *
 * Limits: an address has SMTP_ADDRESS_CAP - 1 bytes at most; a longer one is ADDRESS_LIST_BAD.
 */
#ifndef MXGATE_MESSAGE_ADDRESS_LIST_H
#define MXGATE_MESSAGE_ADDRESS_LIST_H

#include "smtp/address.h"

struct address_list {
    struct span rest; /* borrowed from the caller */
    /* Where the address that was just given ends in the value, when it has no domain: there one can
     * be put. Else NULL. */
    const char *local_end;
    bool in_group;
};

enum address_list_event {
    ADDRESS_LIST_END,
    ADDRESS_LIST_ADDRESS,
    ADDRESS_LIST_BAD, /* text: the element as written, printable, cut at the cap */
};

/* `value` may hold folding (CRLF or LF before a blank). It must stay until the last call. */
void address_list_init(struct address_list *l, struct span value);
/* The next one. After END every call gives END. */
enum address_list_event address_list_next(struct address_list *l, char text_out[SMTP_ADDRESS_CAP]);

#endif
