/* listen - see listen.h */
#include "config/listen.h"

#include "config/cidr.h"
#include "smtp/address.h"

#include <errno.h>
#include <string.h>

static bool port_parse(struct span s, uint16_t *port_out)
{
    uint64_t port;

    if (!span_to_u64(s, UINT16_MAX, &port))
        return false;
    *port_out = (uint16_t)port;
    return true;
}

/* "256.1.1.1" is a number gone wrong, not a name. */
static bool is_all_numeric(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]) && s.ptr[i] != '.')
            return false;
    }
    return true;
}

static bool host_valid(struct span host, bool bracketed)
{
    if (bracketed || is_all_numeric(host)) {
        unsigned char address[16];

        return cidr_address_parse(host, address);
    }
    return span_find(host, ':') == host.len && smtp_domain_valid(host, false);
}

bool listen_address_parse(struct span entry, struct listen_address *address_out)
{
    size_t colon = span_find_last(entry, ':');
    struct span host = span_first(entry, colon);
    bool bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';

    *address_out = (struct listen_address){.port = 0};
    if (colon == entry.len || !port_parse(span_from(entry, colon + 1), &address_out->port))
        return false;
    if (span_equal(host, SPAN_LIT("*")))
        return true;
    if (bracketed)
        host = span_make(host.ptr + 1, host.len - 2);
    return host_valid(host, bracketed) &&
           span_copy(host, address_out->host, sizeof address_out->host);
}

static const struct {
    const char *mark;
    bool wrapped;
    bool submission;
} kinds[] = {
    {"",             false, false},
    {":submission",  false, true },
    {":smtps",       true,  false},
    {":submissions", true,  true },
};

const char *listen_kind(bool wrapped, bool submission)
{
    return kinds[2 * wrapped + submission].mark;
}

static bool entry_parse(struct span entry, struct listen_address *address_out)
{
    size_t kind = sizeof kinds / sizeof kinds[0] - 1;
    bool ok;

    while (kind > 0 && !span_ends_nocase(entry, span_of(kinds[kind].mark)))
        kind--;
    entry.len -= strlen(kinds[kind].mark);
    *address_out = (struct listen_address){.port = 0};
    ok = port_parse(entry, &address_out->port) || listen_address_parse(entry, address_out);
    address_out->wrapped = kinds[kind].wrapped;
    address_out->submission = kinds[kind].submission;
    return ok;
}

int listen_list_parse(struct listen_list *list, struct span text, struct errbuf *err)
{
    struct span entry;

    list->count = 0;
    while (span_next_word(&text, ", \t\r\n", &entry)) {
        if (list->count == LISTEN_MAX)
            return errbuf_set(err, -EINVAL, "has more than %d addresses", LISTEN_MAX);
        if (!entry_parse(entry, &list->entries[list->count]))
            return errbuf_set(err, -EINVAL,
                              "\"%.*s\" is not an address to listen on; write 25, 127.0.0.1:25, "
                              "[::1]:25 or *:25",
                              (int)(entry.len < 100 ? entry.len : 100), entry.ptr);
        list->count++;
    }
    if (list->count == 0)
        return errbuf_set(err, -EINVAL, "is empty; write 25, 127.0.0.1:25, [::1]:25 or *:25");
    return 0;
}

static void add_host(struct listen_list *hosts, struct span host, bool optional)
{
    struct listen_address *a = &hosts->entries[hosts->count];

    if (hosts->count == LISTEN_MAX)
        return; /* the list that is made of it is too long then */
    *a = (struct listen_address){.optional = optional};
    if (span_copy(host, a->host, sizeof a->host))
        hosts->count++;
}

static bool add_interface(struct listen_list *hosts, struct span word)
{
    bool bracketed = word.len >= 2 && word.ptr[0] == '[' && word.ptr[word.len - 1] == ']';
    unsigned char address[16];

    if (span_equal(word, SPAN_LIT("loopback-only")) || span_equal(word, SPAN_LIT("localhost"))) {
        add_host(hosts, SPAN_LIT("127.0.0.1"), false);
        add_host(hosts, SPAN_LIT("::1"), true);
        return true;
    }
    if (bracketed)
        word = span_make(word.ptr + 1, word.len - 2);
    if (!cidr_address_parse(word, address))
        return false;
    add_host(hosts, word, false);
    return true;
}

int listen_list_narrow(struct listen_list *list, struct span interfaces, struct errbuf *err)
{
    struct listen_list hosts = {.count = 0};
    struct listen_list wide = *list;
    struct span word;

    while (span_next_word(&interfaces, ", \t\r\n", &word)) {
        if (span_equal(word, SPAN_LIT("all")))
            return 0;
        if (!add_interface(&hosts, word))
            return errbuf_set(err, -EINVAL,
                              "\"%.*s\" is no address of this machine; write all, loopback-only, "
                              "or addresses",
                              (int)(word.len < 100 ? word.len : 100), word.ptr);
    }
    if (hosts.count == 0)
        return errbuf_set(err, -EINVAL, "is empty; write all, loopback-only, or addresses");
    list->count = 0;
    for (size_t i = 0; i < wide.count; i++) {
        size_t times = wide.entries[i].host[0] ? 1 : hosts.count;

        for (size_t j = 0; j < times; j++) {
            if (list->count == LISTEN_MAX)
                return errbuf_set(err, -EINVAL, "makes more than %d addresses to listen on",
                                  LISTEN_MAX);
            list->entries[list->count] =
                wide.entries[i].host[0] ? wide.entries[i] : hosts.entries[j];
            list->entries[list->count].wrapped = wide.entries[i].wrapped;
            list->entries[list->count].submission = wide.entries[i].submission;
            list->entries[list->count++].port = wide.entries[i].port;
        }
    }
    return 0;
}
