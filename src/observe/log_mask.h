/*
 * log_mask - addresses as the log may show them (setting anonymize_emails); pure
 *
 * What looks like an address is: bytes, "@", a domain or a literal in brackets. In the fields of a
 * line that are addresses all of the field counts; in other text (a reply of the upstream, a bad
 * command) as much is taken as may belong to one, rather too much than too little: a local part
 * reaches back to a blank or to one of "<>()[],;: and a quoted one to its first quote. A "<" that
 * the end of the text left open is an address that was cut. What has no "@" is not an address (user
 * names, HELO), and a message-id is not, whatever it looks like.
 *
 * Fails:  it cannot; text beyond the room of `out` is dropped, and out->overflow says so.
 * Why:    each piece is masked as it is put into a line, so that the line's fields are masked alike
 *         and nothing is masked twice.
 */
#ifndef MXGATE_OBSERVE_LOG_MASK_H
#define MXGATE_OBSERVE_LOG_MASK_H

#include "base/text.h"
#include "config/anonymize.h"

#define LOG_HMAC_LEN 32

struct log_mask {
    struct anonymize how;
    /* HMAC-SHA256; for the filter hash. Given from outside: this module knows no library. */
    void (*hmac)(struct span key, struct span text, unsigned char out[LOG_HMAC_LEN]);
};

/* `m` may be NULL: as it is. */
void log_mask_address(const struct log_mask *m, struct span address, struct text *out);
void log_mask_text(const struct log_mask *m, struct span s, struct text *out);

#endif
