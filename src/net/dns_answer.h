/*
 * dns_answer - questions that policy asks the DNS, and their answers, as values; pure
 *
 *   MAIL_HOST  can mail to this domain be delivered? MX, and A and AAAA when there is none
 *   ADDRESS    the IPv4 addresses of a name (of a block list: its reasons)
 *   TEXT       the first TXT record of a name
 *
 * TROUBLE is every failure that says nothing about the name: no server, no answer in time,
 * SERVFAIL, an answer that cannot be read. Nobody may be refused for good because of it.
 */
#ifndef MXGATE_NET_DNS_ANSWER_H
#define MXGATE_NET_DNS_ANSWER_H

#include <stddef.h>

enum dns_question { DNS_MAIL_HOST, DNS_ADDRESS, DNS_TEXT };

enum dns_found {
    DNS_TROUBLE,
    DNS_FOUND,
    DNS_NONE,
    DNS_NULL_MX, /* MAIL_HOST: "takes no mail" (RFC 7505) */
};

#define DNS_ADDRESSES_MAX 16  /* more are left out */
#define DNS_TEXT_CAP      256 /* longer ones are cut */

struct dns_answer {
    enum dns_found found;
    unsigned char addresses[DNS_ADDRESSES_MAX][4];
    size_t address_count;
    char text[DNS_TEXT_CAP]; /* as it came: not printable by itself */
};

#endif
