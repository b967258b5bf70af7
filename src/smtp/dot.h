/*
 * smtp_dot - the framing of message bodies: DATA in, canonical lines inside, DATA out
 * (RFC 5321 4.5.2, 2.3.8)
 *
 * Inside mxgate a body is canonical: every line ends in CRLF, no other CR, no other LF, no NUL, and
 * it does not end inside a line. That is what the decoder and the normaliser make out of any bytes
 * at all, and what makes P4 hold: a canonical body, dot-stuffed, holds no sequence that even a lax
 * server takes for the end of data.
 *
 *   input                   strict (normal)               lf_session (see below)
 *   CRLF                    line end                      line end
 *   LF alone                line end (becomes CRLF)       line end
 *   CR not before LF        blank                         blank
 *   NUL                     blank                         blank
 *   "." CRLF after CRLF     end of data                   end of data (strict again by then)
 *   "." LF after LF         text: a line "."              end of data
 *   "." at line start,
 *       more after it       dropped (dot-unstuffing), after CRLF and after LF alike
 *
 * Mixed ends (LF.CRLF, CRLF.LF) never end data: the dot line is then content, ".", and what follows
 * is body. CR CR LF: the first CR is a blank, then CRLF. A CR may be the last byte of one feed and
 * LF the first of the next. In an lf_session the start counts as after LF, otherwise as after CRLF,
 * whatever ended the DATA command.
 */
#ifndef MXGATE_SMTP_DOT_H
#define MXGATE_SMTP_DOT_H

#include "base/span.h"

struct smtp_dot_decoder {
    bool lf_session; /* every line of the session ended in bare LF: LF.LF ends data (DESIGN P4) */
    bool saw_crlf;   /* a CRLF came: from now on lf_session is off */
    bool bare_lf;    /* a bare LF came (for the log) */
    bool after_crlf; /* private to dot.c */
    unsigned char state; /* private to dot.c */
};

/* `lf_session`: whether all lines since connect, the DATA command included, ended in bare LF. */
void smtp_dot_decoder_init(struct smtp_dot_decoder *d, bool lf_session);
/*
 * Takes bytes off `in`, writes canonical bytes to `out`. Stops when `in` is empty, when fewer than
 * SMTP_DOT_SLACK bytes of room are left in `out` (call again), or after the end of data (true is
 * returned; what is left in `in` are the next commands). `out_len` receives the number of bytes
 * written. `out` has at least SMTP_DOT_SLACK bytes and does not overlap `in`. After the end, every
 * call returns true and takes nothing.
 */
#define SMTP_DOT_SLACK 8
bool smtp_dot_decode(struct smtp_dot_decoder *d, struct span *in, char *out, size_t out_cap,
                     size_t *out_len);

/* The same canonical form for bytes whose end is known by count (BDAT, sendmail): dots are text. */
struct smtp_normaliser {
    unsigned char state;
    bool bare_lf;
};
void smtp_normaliser_init(struct smtp_normaliser *n);
void smtp_normalise(struct smtp_normaliser *n, struct span *in, char *out, size_t out_cap,
                    size_t *out_len);
/* Ends the body: writes the CRLF (or blank CRLF) that an unfinished line needs; at most 3 bytes. */
size_t smtp_normalise_finish(struct smtp_normaliser *n, char out[4]);

/*
 * Canonical body to the wire: doubles a dot at the start of a line (RFC 5321 4.5.2). The caller
 * sends "." CRLF after the last byte. Same calling convention as the decoder.
 */
struct smtp_dot_encoder {
    unsigned char state; /* 0 is the start of a line */
};
void smtp_dot_encoder_init(struct smtp_dot_encoder *e);
void smtp_dot_encode(struct smtp_dot_encoder *e, struct span *in, char *out, size_t out_cap,
                     size_t *out_len);

#endif
