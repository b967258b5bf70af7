/*
 * der - DER (X.690): values read one after the other, and written; pure
 *
 * Reading takes definite lengths in their shortest form and tags of one byte, which is all that
 * certificates and keys have. Spans point into the input.
 *
 * Writing goes from the end of the buffer to its beginning, so that a length is known when it is
 * written: put what a value holds, last part first, then der_wrap() it.
 *
 * Limits: a value of DER_LENGTH_MAX bytes.
 */
#ifndef MXGATE_TLS_DER_H
#define MXGATE_TLS_DER_H

#include "base/span.h"

#define DER_LENGTH_MAX 0xffffff

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTF8_STRING = 0x0c,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT = 0x80,             /* [n], primitive: or with n */
    DER_CONTEXT_CONSTRUCTED = 0xa0, /* [n], constructed: or with n */
};

struct der_value {
    unsigned tag;
    struct span content;
    struct span whole; /* tag and length included */
};

/* Takes the next value off; false at the end, and when what is there is no value. */
bool der_next(struct span *rest, struct der_value *out);
/* The same, and the tag is this one. */
bool der_expect(struct span *rest, unsigned tag, struct span *content_out);
/* An INTEGER that is not negative, without leading zero bytes: zero is empty. */
bool der_unsigned(struct span *rest, struct span *magnitude_out);
/* A BIT STRING of whole bytes. */
bool der_bits(struct span *rest, struct span *bytes_out);

struct der_writer {
    unsigned char *buf; /* borrowed */
    size_t at;          /* what is written begins here */
    size_t cap;
    bool overflow;
};

void der_writer_init(struct der_writer *w, unsigned char *buf, size_t cap);
void der_put(struct der_writer *w, struct span bytes);
void der_put_byte(struct der_writer *w, unsigned char byte);
/* How far it is written; what is put from here on is in front of it. */
size_t der_mark(const struct der_writer *w);
/* Puts tag and length in front of all that was put since the mark. */
void der_wrap(struct der_writer *w, unsigned tag, size_t mark);
void der_put_value(struct der_writer *w, unsigned tag, struct span content);
/* An INTEGER from its big-endian bytes. */
void der_put_unsigned(struct der_writer *w, struct span magnitude);
struct span der_written(const struct der_writer *w);

#endif
