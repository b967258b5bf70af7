/* proxy_protocol - see proxy_protocol.h */
#include "server/proxy_protocol.h"

#include "base/crc32c.h"
#include "config/cidr.h"

#include <string.h>

#define V1_LEAST   15 /* "PROXY UNKNOWN" CRLF */
#define V2_START   16 /* signature, version and command, family, length */
#define V2_CRC32C  0x03
#define TLV_START  3
#define CRC_LEN    4
#define LOOK_LEAST 6 /* "PROXY ", or the signature as far as no SMTP client comes by chance */

static const char v1_start[] = "PROXY ";
static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
#define V1_START_LEN  (sizeof v1_start - 1)
#define SIGNATURE_LEN (sizeof signature - 1)

void proxy_parser_init(struct proxy_parser *p)
{
    memset(p, 0, sizeof *p);
}

static enum proxy_event bad(struct proxy_parser *p, const char *why)
{
    p->why = why;
    return PROXY_BAD;
}

/* ---- version 1 ---- */

static bool next_field(struct span *rest, struct span *field_out)
{
    size_t blank = span_find(*rest, ' ');

    *field_out = span_first(*rest, blank);
    if (blank == rest->len)
        return false;
    *rest = span_from(*rest, blank + 1);
    return true;
}

static bool parse_port(struct span s, uint16_t *port_out)
{
    uint64_t port;

    if (s.len > 5 || !span_to_u64(s, UINT16_MAX, &port))
        return false;
    *port_out = (uint16_t)port;
    return true;
}

static bool parse_address(struct span s, bool v6, unsigned char out[16])
{
    return (span_find(s, ':') < s.len) == v6 && cidr_address_parse(s, out);
}

/* "TCP4 192.0.2.9 198.51.100.1 4711 25" */
static bool parse_v1_line(struct span line, struct proxy_header *h)
{
    struct span family, source, destination, port, rest = line;
    unsigned char ignored[16];
    uint16_t ignored_port;
    bool v6;

    if (span_equal(span_first(line, span_find(line, ' ')), SPAN_LIT("UNKNOWN"))) {
        h->kind = PROXY_UNKNOWN;
        return true;
    }
    if (!next_field(&rest, &family) || !next_field(&rest, &source) ||
        !next_field(&rest, &destination) || !next_field(&rest, &port))
        return false;
    v6 = span_equal(family, SPAN_LIT("TCP6"));
    if (!v6 && !span_equal(family, SPAN_LIT("TCP4")))
        return false;
    h->kind = PROXY_CLIENT;
    return parse_address(source, v6, h->address) && parse_address(destination, v6, ignored) &&
           parse_port(port, &h->port) && parse_port(rest, &ignored_port);
}

static enum proxy_event take_v1(struct proxy_parser *p, unsigned char c)
{
    size_t at = p->len;
    struct span line;

    if (at >= sizeof p->buf)
        return bad(p, "a header of version 1 has no end");
    p->buf[at] = c;
    p->len = at + 1;
    if (at < V1_START_LEN)
        return c == (unsigned char)v1_start[at] ? PROXY_MORE : bad(p, "this is no PROXY header");
    if (p->buf[at - 1] == '\r') {
        if (c != '\n')
            return bad(p, "a header of version 1 has a CR without its LF");
        line = span_make((const char *)p->buf + V1_START_LEN, at - 1 - V1_START_LEN);
        return parse_v1_line(line, &p->header) ? PROXY_DONE
                                               : bad(p, "a header of version 1 is malformed");
    }
    return c == '\n' || c == '\0' ? bad(p, "a header of version 1 is malformed") : PROXY_MORE;
}

/* ---- version 2 ---- */

/* Bytes of the address block; what follows it are TLVs. */
static size_t address_len(unsigned family)
{
    static const unsigned char lens[] = {0, 12, 36, 216};

    return lens[family];
}

/* The 16 bytes are there. */
static enum proxy_event begin_v2(struct proxy_parser *p)
{
    unsigned command = p->buf[12] & 15;
    unsigned family = p->buf[13] >> 4;
    unsigned transport = p->buf[13] & 15;

    if (p->buf[12] >> 4 != 2 || command > 1)
        return bad(p, "a header of version 2 has a command that is not known");
    p->crc = crc32c(0, p->buf, V2_START);
    p->left = (size_t)p->buf[14] << 8 | p->buf[15];
    p->header.kind = command == 0 ? PROXY_LOCAL : PROXY_UNKNOWN;
    p->stage = PROXY_IN_V2_REST;
    p->len = 0;
    if (command == 0)
        return PROXY_MORE; /* whatever it says besides */
    if (family > 3 || transport > 2)
        return bad(p, "a header of version 2 has a family that is not known");
    if (p->left < address_len(family))
        return bad(p, "a header of version 2 is too short for its address");
    p->has_tlvs = family > 0;
    p->address_left = address_len(family);
    if (transport == 1 && (family == 1 || family == 2))
        p->header.kind = PROXY_CLIENT;
    return PROXY_MORE;
}

static void keep_address(struct proxy_parser *p)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    bool v6 = p->len == address_len(2);
    const unsigned char *port = p->buf + (v6 ? 32 : 8);

    if (p->header.kind != PROXY_CLIENT)
        return;
    if (v6) {
        memcpy(p->header.address, p->buf, 16);
    } else {
        memcpy(p->header.address, mapped, sizeof mapped);
        memcpy(p->header.address + sizeof mapped, p->buf, 4);
    }
    p->header.port = (uint16_t)(port[0] << 8 | port[1]);
}

static void take_address(struct proxy_parser *p, unsigned char c)
{
    p->crc = crc32c(p->crc, &c, 1);
    if (p->len < sizeof p->buf) /* a unix socket's is longer, and not wanted */
        p->buf[p->len++] = c;
    if (--p->address_left == 0) {
        keep_address(p);
        p->len = 0;
    }
}

/* Type and length of a TLV, byte by byte. */
static enum proxy_event take_tlv_start(struct proxy_parser *p, unsigned char c)
{
    p->crc = crc32c(p->crc, &c, 1);
    p->buf[p->len++] = c;
    if (p->len < TLV_START)
        return PROXY_MORE;
    p->len = 0;
    p->tlv_type = p->buf[0];
    p->tlv_left = (size_t)p->buf[1] << 8 | p->buf[2];
    if (p->tlv_left > p->left)
        return bad(p, "a header of version 2 has a TLV longer than itself");
    if (p->tlv_type == V2_CRC32C && (p->tlv_left != CRC_LEN || p->has_crc))
        return bad(p, "a header of version 2 has a bad checksum TLV");
    p->has_crc = p->has_crc || p->tlv_type == V2_CRC32C;
    return PROXY_MORE;
}

/* The checksum is that of the header with zeros where it stands itself. */
static void take_tlv_value(struct proxy_parser *p, unsigned char c)
{
    static const unsigned char zero = 0;
    bool checksum = p->tlv_type == V2_CRC32C;

    p->crc = crc32c(p->crc, checksum ? &zero : &c, 1);
    if (checksum)
        p->crc_said = p->crc_said << 8 | c;
    p->tlv_left--;
}

static enum proxy_event end_v2(struct proxy_parser *p)
{
    if (p->left > 0)
        return PROXY_MORE;
    if (p->len > 0)
        return bad(p, "a header of version 2 ends within a TLV");
    if (p->has_crc && p->crc != p->crc_said)
        return bad(p, "a header of version 2 has a wrong checksum");
    return PROXY_DONE;
}

static enum proxy_event take_v2(struct proxy_parser *p, unsigned char c)
{
    enum proxy_event event = PROXY_MORE;

    if (p->stage == PROXY_IN_V2) {
        size_t at = p->len++;

        p->buf[at] = c;
        if (at < SIGNATURE_LEN && c != (unsigned char)signature[at])
            return bad(p, "this is no PROXY header");
        if (p->len < V2_START)
            return PROXY_MORE;
        event = begin_v2(p);
    } else {
        p->left--;
        if (p->address_left > 0)
            take_address(p, c);
        else if (p->has_tlvs && p->tlv_left > 0)
            take_tlv_value(p, c);
        else if (p->has_tlvs)
            event = take_tlv_start(p, c);
    }
    return event == PROXY_MORE ? end_v2(p) : event;
}

/* ---- both ---- */

static enum proxy_event take(struct proxy_parser *p, unsigned char c)
{
    if (p->stage == PROXY_AT_START)
        p->stage = c == (unsigned char)signature[0] ? PROXY_IN_V2 : PROXY_IN_V1;
    return p->stage == PROXY_IN_V1 ? take_v1(p, c) : take_v2(p, c);
}

enum proxy_event proxy_parse(struct proxy_parser *p, struct span *in,
                             struct proxy_header *header_out, const char **why_out)
{
    enum proxy_event event = PROXY_MORE;

    while (event == PROXY_MORE && in->len > 0) {
        event = take(p, (unsigned char)in->ptr[0]);
        *in = span_from(*in, 1);
    }
    *header_out = p->header;
    *why_out = p->why;
    return event;
}

size_t proxy_need(const struct proxy_parser *p)
{
    switch (p->stage) {
    case PROXY_AT_START:
        return V1_LEAST;
    case PROXY_IN_V1:
        if (p->len < V1_LEAST - 2)
            return V1_LEAST - p->len;
        return p->buf[p->len - 1] == '\r' ? 1 : 2;
    case PROXY_IN_V2:
        return V2_START - p->len;
    case PROXY_IN_V2_REST:
        break;
    }
    return p->left;
}

bool proxy_looks_like(struct span bytes)
{
    size_t len = bytes.len < SIGNATURE_LEN ? bytes.len : SIGNATURE_LEN;

    return bytes.len >= LOOK_LEAST && (memcmp(bytes.ptr, v1_start, V1_START_LEN) == 0 ||
                                       memcmp(bytes.ptr, signature, len) == 0);
}
