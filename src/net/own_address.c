/* own_address - see own_address.h */
#include "net/own_address.h"

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* The address by which this machine would leave for that one; nothing is sent. False: no way. */
static bool source_of(const struct sockaddr_storage *address, struct sockaddr_storage *from)
{
    socklen_t len =
        address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool known;

    memset(from, 0, sizeof *from);
    if (fd < 0)
        return false;
    known = connect(fd, (const struct sockaddr *)address, len) == 0;
    len = sizeof *from;
    known = known && getsockname(fd, (struct sockaddr *)from, &len) == 0;
    close(fd);
    return known;
}

bool own_address(const struct sockaddr_storage *address)
{
    struct sockaddr_storage from;

    return is_loopback(address) || (source_of(address, &from) && same_host(address, &from));
}

bool own_way_to(const struct sockaddr_storage *address)
{
    struct sockaddr_storage from;

    return source_of(address, &from);
}
