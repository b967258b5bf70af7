/* restrictions - see restrictions.h */
#include "config/restrictions.h"

#include "smtp/domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS ", \t\r\n"
#define SHOWN_MAX  100 /* bytes of a bad word that a message repeats */

static const struct {
    const char *name;
    enum restriction_word word;
} names[] = {
    {"permit",                                       RESTRICTION_PERMIT                                },
    {"reject",                                       RESTRICTION_REJECT                                },
    {"defer",                                        RESTRICTION_DEFER                                 },
    {"defer_if_permit",                              RESTRICTION_DEFER_IF_PERMIT                       },
    {"permit_mynetworks",                            RESTRICTION_PERMIT_MYNETWORKS                     },
    {"permit_sasl_authenticated",                    RESTRICTION_PERMIT_SASL_AUTHENTICATED             },
    {"permit_auth_destination",                      RESTRICTION_PERMIT_AUTH_DESTINATION               },
    {"reject_unauth_destination",                    RESTRICTION_REJECT_UNAUTH_DESTINATION             },
    {"check_relay_domains",                          RESTRICTION_REJECT_UNAUTH_DESTINATION             },
    {"defer_unauth_destination",                     RESTRICTION_DEFER_UNAUTH_DESTINATION              },
    {"reject_unauth_pipelining",                     RESTRICTION_REJECT_UNAUTH_PIPELINING              },
    {"reject_unknown_client_hostname",               RESTRICTION_REJECT_UNKNOWN_CLIENT_HOSTNAME        },
    {"reject_unknown_client",                        RESTRICTION_REJECT_UNKNOWN_CLIENT_HOSTNAME        },
    {"reject_unknown_reverse_client_hostname",       RESTRICTION_REJECT_UNKNOWN_REVERSE_CLIENT_HOSTNAME},
    {"reject_rbl_client",                            RESTRICTION_REJECT_RBL_CLIENT                     },
    {"reject_plaintext_session",                     RESTRICTION_REJECT_PLAINTEXT_SESSION              },
    {"reject_invalid_helo_hostname",                 RESTRICTION_REJECT_INVALID_HELO_HOSTNAME          },
    {"reject_invalid_hostname",                      RESTRICTION_REJECT_INVALID_HELO_HOSTNAME          },
    {"reject_non_fqdn_helo_hostname",                RESTRICTION_REJECT_NON_FQDN_HELO_HOSTNAME         },
    {"reject_non_fqdn_hostname",                     RESTRICTION_REJECT_NON_FQDN_HELO_HOSTNAME         },
    {"reject_unknown_helo_hostname",                 RESTRICTION_REJECT_UNKNOWN_HELO_HOSTNAME          },
    {"reject_unknown_hostname",                      RESTRICTION_REJECT_UNKNOWN_HELO_HOSTNAME          },
    {"reject_non_fqdn_sender",                       RESTRICTION_REJECT_NON_FQDN_SENDER                },
    {"reject_unknown_sender_domain",                 RESTRICTION_REJECT_UNKNOWN_SENDER_DOMAIN          },
    {"reject_unknown_address",                       RESTRICTION_REJECT_UNKNOWN_SENDER_DOMAIN          },
    {"reject_unlisted_sender",                       RESTRICTION_REJECT_UNLISTED_SENDER                },
    {"reject_non_fqdn_recipient",                    RESTRICTION_REJECT_NON_FQDN_RECIPIENT             },
    {"reject_unknown_recipient_domain",              RESTRICTION_REJECT_UNKNOWN_RECIPIENT_DOMAIN       },
    {"reject_unlisted_recipient",                    RESTRICTION_REJECT_UNLISTED_RECIPIENT             },
    {"reject_unverified_recipient",                  RESTRICTION_REJECT_UNVERIFIED_RECIPIENT           },
    {"reject_multi_recipient_bounce",                RESTRICTION_REJECT_MULTI_RECIPIENT_BOUNCE         },
    {"reject_sender_login_mismatch",                 RESTRICTION_REJECT_SENDER_LOGIN_MISMATCH          },
    {"reject_authenticated_sender_login_mismatch",
     RESTRICTION_REJECT_AUTHENTICATED_SENDER_LOGIN_MISMATCH                                            },
    {"reject_unauthenticated_sender_login_mismatch",
     RESTRICTION_REJECT_UNAUTHENTICATED_SENDER_LOGIN_MISMATCH                                          },
    {"reject_known_sender_login_mismatch",           RESTRICTION_REJECT_KNOWN_SENDER_LOGIN_MISMATCH    },
    {"sleep",                                        RESTRICTION_SLEEP                                 },
};

/* What an operator may have written in Postfix, and what does the same here; the first that
 * matches counts. */
static const struct {
    const char *start;
    const char *advice;
} refused[] = {
    {"check_policy_service",
     "there are no policy servers here; do without, or filter behind mxgate"                        },
    {"check_sender_",        "there are no tables here; to admit certain senders only, use "
                      "ALLOWED_SENDER_DOMAINS"                                 },
    {"check_recipient_",     "there are no tables here; recipients are asked of the upstream, domains "
                         "are those of relay_domains"                       },
    {"check_client_",        "there are no tables here; list trusted clients in mynetworks, refuse "
                      "others with reject_rbl_client"                          },
    {"check_",               "there are no tables here; use the words that need none, such as "
               "reject_unknown_sender_domain"                                         },
    {"permit_mx_backup",     "it opens the relay to whoever points an MX at it; list the domains in "
                         "relay_domains"                                    },
    {"permit_tls_",          "client certificates are not asked for; list the clients in mynetworks"},
    {"permit_inet_",         "list the addresses in mynetworks and write permit_mynetworks"         },
    {"permit_",              "list the clients in mynetworks and write permit_mynetworks"           },
    {"reject_maps_rbl",      "write reject_rbl_client and the zone"                                 },
    {"reject_rhsbl_",        "block lists of domain names are not supported; write reject_rbl_client "
                      "and a zone of addresses"                                },
    {"reject_unverified_s",  "senders are not asked of their servers; write "
                            "reject_unknown_sender_domain"               },
    {"defer_if_reject",      "write reject, or defer"                                               },
};

static int refuse_word(struct span word, struct errbuf *err)
{
    const char *advice = "it is not a word that mxgate knows; correct it or remove it";
    int len = (int)span_first(word, SHOWN_MAX).len;

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (span_starts_nocase(word, span_of(refused[i].start))) {
            advice = refused[i].advice;
            break;
        }
    }
    return errbuf_set(err, -EINVAL, "\"%.*s\" is not supported: %s", len, word.ptr, advice);
}

static bool find_word(struct span name, enum restriction_word *word_out)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_equal_nocase(name, span_of(names[i].name))) {
            *word_out = names[i].word;
            return true;
        }
    }
    return false;
}

/* ---- block lists ---- */

/* "4" or "2..11" into the set. */
static bool allow_range(struct span s, unsigned char set[32])
{
    size_t dots = span_find(s, '.');
    struct span last = dots < s.len ? span_from(s, dots + 2) : s;
    uint64_t from, to;

    if (dots < s.len && !span_starts_nocase(span_from(s, dots), SPAN_LIT("..")))
        return false;
    if (!span_to_u64(span_first(s, dots), 255, &from) || !span_to_u64(last, 255, &to) || from > to)
        return false;
    for (uint64_t i = from; i <= to; i++)
        set[i / 8] |= (unsigned char)(1u << i % 8);
    return true;
}

/* One number of the address, or [several], taken off `rest`. */
static bool allow_number(struct span *rest, unsigned char set[32])
{
    bool bracketed = rest->len > 0 && rest->ptr[0] == '[';
    size_t len = span_find(*rest, bracketed ? ']' : '.');
    struct span part = span_first(*rest, len);
    struct span range;
    bool any = false;

    if (!bracketed) {
        *rest = span_from(*rest, len);
        return allow_range(part, set);
    }
    if (len == rest->len)
        return false;
    *rest = span_from(*rest, len + 1);
    part = span_from(part, 1);
    while (span_next_word(&part, ";", &range)) {
        if (!allow_range(range, set))
            return false;
        any = true;
    }
    return any;
}

static bool parse_filter(struct span s, struct restriction_filter *filter)
{
    for (size_t i = 0; i < 4; i++) {
        if (i > 0) {
            if (s.len == 0 || s.ptr[0] != '.')
                return false;
            s = span_from(s, 1);
        }
        if (!allow_number(&s, filter->allowed[i]))
            return false;
    }
    return s.len == 0;
}

static char *lower_copy(struct span s)
{
    char *copy = malloc(s.len + 1);

    for (size_t i = 0; copy && i < s.len; i++)
        copy[i] = ascii_lower(s.ptr[i]);
    if (copy)
        copy[s.len] = '\0';
    return copy;
}

static int parse_zone(struct restriction *r, struct span word, struct errbuf *err)
{
    size_t equals = span_find(word, '=');
    struct span zone = span_first(word, equals);
    int len = (int)span_first(word, SHOWN_MAX).len;

    if (zone.len > 0 && zone.ptr[zone.len - 1] == '.')
        zone.len--;
    if (zone.len == 0 || zone.ptr[0] == '[' || zone.ptr[zone.len - 1] == '.' ||
        span_find(zone, '.') == zone.len || !smtp_domain_valid(zone, false))
        return errbuf_set(err, -EINVAL,
                          "\"%.*s\" is not the zone of a block list; write reject_rbl_client "
                          "bl.example.org",
                          len, word.ptr);
    r->zone = lower_copy(zone);
    if (equals < word.len)
        r->filter = calloc(1, sizeof *r->filter);
    if (!r->zone || (equals < word.len && !r->filter))
        return errbuf_set(err, -ENOMEM, "out of memory");
    if (r->filter && !parse_filter(span_from(word, equals + 1), r->filter))
        return errbuf_set(err, -EINVAL,
                          "\"%.*s\" has a filter that cannot be read; write "
                          "bl.example.org=127.0.0.[2..11]",
                          len, word.ptr);
    return 0;
}

bool restriction_rbl_match(const struct restriction *r, const unsigned char address[4])
{
    static const unsigned char local[3] = {127, 0, 0};

    if (!r->filter)
        return memcmp(address, local, 3) == 0 && address[3] >= 2;
    for (size_t i = 0; i < 4; i++) {
        if (!(r->filter->allowed[i][address[i] / 8] >> address[i] % 8 & 1))
            return false;
    }
    return true;
}

/* ---- lists ---- */

static int parse_seconds(struct restriction *r, struct span word, struct errbuf *err)
{
    uint64_t seconds;

    if (!span_to_u64(word, RESTRICTION_SLEEP_MAX, &seconds))
        return errbuf_set(err, -EINVAL, "\"sleep\" needs seconds after it, at most %d",
                          RESTRICTION_SLEEP_MAX);
    r->seconds = (unsigned)seconds;
    return 0;
}

/* What follows the word and belongs to it. */
static int parse_argument(struct restriction *r, struct span *rest, struct errbuf *err)
{
    struct span argument = SPAN_LIT("");

    if (r->word == RESTRICTION_REJECT_RBL_CLIENT) {
        span_next_word(rest, SEPARATORS, &argument);
        return parse_zone(r, argument, err);
    }
    if (r->word == RESTRICTION_SLEEP) {
        span_next_word(rest, SEPARATORS, &argument);
        return parse_seconds(r, argument, err);
    }
    return 0;
}

static int add_word(struct restriction_list *list, struct span word, bool warn, struct span *rest,
                    struct errbuf *err)
{
    struct restriction *r = &list->items[list->count];

    if (list->count == RESTRICTIONS_MAX)
        return errbuf_set(err, -EINVAL, "has more than %d words", RESTRICTIONS_MAX);
    if (!find_word(word, &r->word))
        return refuse_word(word, err);
    r->warn = warn;
    list->count++;
    return parse_argument(r, rest, err);
}

static int add_all(struct restriction_list *list, struct span rest, struct errbuf *err)
{
    struct span word;
    bool warn = false;
    int rc = 0;

    while (rc == 0 && span_next_word(&rest, SEPARATORS, &word)) {
        if (span_equal_nocase(word, SPAN_LIT("warn_if_reject"))) {
            warn = true;
            continue;
        }
        rc = add_word(list, word, warn, &rest, err);
        warn = false;
    }
    if (rc == 0 && warn)
        rc = errbuf_set(err, -EINVAL, "\"warn_if_reject\" needs a word after it");
    return rc;
}

int restriction_list_parse(struct restriction_list *list, struct span text, struct errbuf *err)
{
    struct span rest = text;
    struct span word;
    int rc;

    *list = (struct restriction_list){NULL, 0};
    if (!span_next_word(&rest, SEPARATORS, &word))
        return 0;
    list->items = calloc(RESTRICTIONS_MAX, sizeof *list->items);
    if (!list->items)
        return errbuf_set(err, -ENOMEM, "out of memory");
    rc = add_all(list, text, err);
    if (rc < 0)
        restriction_list_free(list);
    return rc;
}

void restriction_list_free(struct restriction_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].zone);
        free(list->items[i].filter);
    }
    free(list->items);
    *list = (struct restriction_list){NULL, 0};
}

bool restriction_list_has(const struct restriction_list *list, enum restriction_word word)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].word == word)
            return true;
    }
    return false;
}
