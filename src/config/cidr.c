/* cidr - see cidr.h */
#include "config/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS       ", \t\r\n"
#define MAPPED_PREFIX    96 /* of ::ffff:0:0/96, where IPv4 lives */
#define ADDRESS_TEXT_CAP INET6_ADDRSTRLEN

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const unsigned char address[16])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

bool cidr_address_parse(struct span s, unsigned char address_out[16])
{
    char text[ADDRESS_TEXT_CAP];

    if (!span_copy(s, text, sizeof text))
        return false;
    memcpy(address_out, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, address_out + sizeof mapped) == 1)
        return true;
    return inet_pton(AF_INET6, text, address_out) == 1;
}

static bool has_host_bits(const struct cidr *block)
{
    for (unsigned bit = block->prefix; bit < 128; bit++) {
        if (block->address[bit / 8] & 0x80 >> bit % 8)
            return true;
    }
    return false;
}

static void clear_host_bits(struct cidr *block)
{
    for (unsigned bit = block->prefix; bit < 128; bit++)
        block->address[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
}

static int not_a_block(struct span entry, struct errbuf *err)
{
    return errbuf_set(err, -EINVAL,
                      "\"%.*s\" is not an address or network; write 192.0.2.0/24, 192.0.2.1, "
                      "[2001:db8::]/32 or [::1]",
                      (int)(entry.len < 100 ? entry.len : 100), entry.ptr);
}

/* Says how the block is written without its host bits. */
static int host_bits_set(struct span entry, struct cidr block, bool ipv4, struct errbuf *err)
{
    char text[ADDRESS_TEXT_CAP] = "";
    unsigned prefix = ipv4 ? block.prefix - MAPPED_PREFIX : block.prefix;

    clear_host_bits(&block);
    inet_ntop(ipv4 ? AF_INET : AF_INET6, block.address + (ipv4 ? sizeof mapped : 0), text,
              sizeof text);
    return errbuf_set(err, -EINVAL, "\"%.*s\" has bits set beyond its prefix; write %s%s%s/%u",
                      (int)entry.len, entry.ptr, ipv4 ? "" : "[", text, ipv4 ? "" : "]", prefix);
}

/* The address without its brackets; false when they do not match. */
static bool unbracket(struct span *s)
{
    bool open = s->len > 0 && s->ptr[0] == '[';
    bool close = s->len > 0 && s->ptr[s->len - 1] == ']';

    if (open != close)
        return false;
    if (open)
        *s = span_make(s->ptr + 1, s->len - 2);
    return true;
}

static int block_parse(struct span entry, struct cidr *block, struct errbuf *err)
{
    size_t slash = span_find(entry, '/');
    struct span address = span_first(entry, slash);
    uint64_t prefix;
    bool ipv4;

    if (!unbracket(&address) || !cidr_address_parse(address, block->address))
        return not_a_block(entry, err);
    ipv4 = span_find(address, ':') == address.len;
    prefix = ipv4 ? 32 : 128;
    if (slash < entry.len && !span_to_u64(span_from(entry, slash + 1), prefix, &prefix))
        return not_a_block(entry, err);
    block->prefix = (unsigned)prefix + (ipv4 ? MAPPED_PREFIX : 0);
    if (has_host_bits(block))
        return host_bits_set(entry, *block, ipv4, err);
    return 0;
}

static size_t count_words(struct span text)
{
    struct span word;
    size_t count = 0;

    while (span_next_word(&text, SEPARATORS, &word))
        count++;
    return count;
}

int cidr_list_parse(struct cidr_list *list, struct span text, struct errbuf *err)
{
    size_t count = count_words(text);
    struct span entry;

    *list = (struct cidr_list){NULL, 0};
    if (count > CIDR_MAX)
        return errbuf_set(err, -EINVAL, "has more than %d entries", CIDR_MAX);
    if (count == 0)
        return 0;
    list->blocks = calloc(count, sizeof *list->blocks);
    if (!list->blocks)
        return errbuf_set(err, -ENOMEM, "out of memory");
    while (span_next_word(&text, SEPARATORS, &entry)) {
        int rc = block_parse(entry, &list->blocks[list->count], err);

        if (rc < 0) {
            cidr_list_free(list);
            return rc;
        }
        list->count++;
    }
    return 0;
}

void cidr_list_free(struct cidr_list *list)
{
    free(list->blocks);
    *list = (struct cidr_list){NULL, 0};
}

static bool block_match(const struct cidr *block, const unsigned char address[16])
{
    unsigned bytes = block->prefix / 8;
    unsigned bits = block->prefix % 8;

    if (block->prefix < MAPPED_PREFIX && is_mapped(address))
        return false; /* [::]/0 is every IPv6 client, not every IPv4 one */
    if (memcmp(block->address, address, bytes) != 0)
        return false;
    return bits == 0 || ((block->address[bytes] ^ address[bytes]) & (0xff00 >> bits & 0xff)) == 0;
}

bool cidr_list_match(const struct cidr_list *list, const unsigned char address[16])
{
    for (size_t i = 0; i < list->count; i++) {
        if (block_match(&list->blocks[i], address))
            return true;
    }
    return false;
}
