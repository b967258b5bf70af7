/*
 * proxy_protocol - the PROXY protocol header that a load balancer sends before the client's bytes;
 * pure (haproxy, doc/proxy-protocol.txt, versions 1 and 2)
 *
 *     v1 = "PROXY" SP ( "TCP4" / "TCP6" ) SP src SP dst SP src-port SP dst-port CRLF
 *        / "PROXY UNKNOWN" *any CRLF                                   ; at most 107 bytes
 *     v2 = signature ver-cmd family length address *TLV                ; length: of what follows it
 *
 * Only what says where the client is counts; the rest is checked for its form and passed over: the
 * destination, the TLVs (whatever their type), anything behind UNKNOWN and LOCAL. A CRC32C TLV must
 * be right. Which families there are besides IPv4 and IPv6 over a stream, the header may say; they
 * are as UNKNOWN.
 *
 * Bytes in, one event out, the same for every split. Nothing behind the header is taken: those are
 * the client's bytes, maybe of a TLS handshake, and proxy_need() tells how many may be read without
 * reaching them.
 *
 * Fails:  PROXY_BAD at the first byte that cannot be part of a header, with why in words.
 * Limits: 107 bytes for v1; for v2 what its length field can say (65535). Memory is fixed: TLVs are
 *         not kept.
 */
#ifndef MXGATE_SERVER_PROXY_PROTOCOL_H
#define MXGATE_SERVER_PROXY_PROTOCOL_H

#include "base/span.h"

#define PROXY_V1_MAX 107

enum proxy_event { PROXY_MORE, PROXY_DONE, PROXY_BAD };

enum proxy_kind {
    PROXY_CLIENT,  /* the connection is that of a client at `address` */
    PROXY_LOCAL,   /* the balancer's own (v2 LOCAL: its health check) */
    PROXY_UNKNOWN, /* somebody's, the balancer does not say whose */
};

struct proxy_header {
    enum proxy_kind kind;
    unsigned char address[16]; /* of PROXY_CLIENT; as in config/cidr.h: IPv4 is mapped */
    uint16_t port;
};

enum proxy_stage { PROXY_AT_START, PROXY_IN_V1, PROXY_IN_V2, PROXY_IN_V2_REST };

struct proxy_parser {
    enum proxy_stage stage;
    size_t len; /* bytes in buf: of the part under way */
    unsigned char buf[PROXY_V1_MAX];
    struct proxy_header header;
    size_t left;         /* of v2: bytes of the header after those that were taken */
    size_t address_left; /* likewise, of its address block */
    size_t tlv_left;     /* likewise, of the TLV's value */
    unsigned char tlv_type;
    bool has_tlvs; /* else what follows the address is passed over */
    bool has_crc;
    uint32_t crc, crc_said;
    const char *why;
};

void proxy_parser_init(struct proxy_parser *p);
/*
 * Takes bytes off `in`. DONE: *header_out is filled, `in` begins with the client's first byte. BAD:
 * *why_out says why; what was taken is of no use. Not to be called again after either.
 */
enum proxy_event proxy_parse(struct proxy_parser *p, struct span *in,
                             struct proxy_header *header_out, const char **why_out);
/* How many bytes of the header are at least still to come: at least 1 before DONE. */
size_t proxy_need(const struct proxy_parser *p);
/* Whether bytes that a client sent begin as a header does, as far as they go; at least 6 bytes. */
bool proxy_looks_like(struct span bytes);

#endif
