/* relay_tls - see relay_tls.h */
#include "config/relay_tls.h"

#include "base/text.h"
#include "config/braces.h"
#include "config/cidr.h"
#include "smtp/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100
#define EXAMPLE   "write inline:{ {[192.0.2.54]:24 = encrypt} }"

static const struct relay_tls no_tls = {.level = TLS_LEVEL_NONE};

/* "WORD" WHY, with no control byte in it. */
static int bad(struct span word, struct errbuf *err, const char *why)
{
    char buf[SHOWN_MAX + 1];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable_max(&shown, word, SHOWN_MAX);
    return errbuf_set(err, -EINVAL, "\"%s\" %s", buf, why);
}

/* One destination's settings being put together. */
struct making {
    const struct relay_tls_words *words;
    struct relay_tls *tls;
    enum relay_tls_setting which; /* being read: where a fault is */
    /* attributes of the table; NULL ptr: not said */
    struct span match, protocols, ciphers, servername;
};

static struct span chosen(struct making *m, struct span said, enum relay_tls_setting setting)
{
    m->which = said.ptr ? RELAY_TLS_POLICY : setting;
    if (said.ptr)
        return said;
    return span_of(m->words->text[setting]);
}

/* ---- parts ---- */

static bool is_name(struct span s)
{
    unsigned char binary[16];

    return s.len < RELAY_TLS_NAME_CAP && s.len > 0 && s.ptr[0] != '[' &&
           (smtp_domain_valid(s, false) || cidr_address_parse(s, binary));
}

static int set_servername(struct making *m, struct errbuf *err)
{
    struct span name = chosen(m, m->servername, RELAY_TLS_SERVERNAME);
    unsigned char binary[16];

    if (name.len > 0 && (!is_name(name) || cidr_address_parse(name, binary)))
        return bad(name, err, "is not a host name; write mail.example.com, or remove it");
    span_copy(name, m->tls->servername, sizeof m->tls->servername);
    return 0;
}

static int add_match(struct relay_tls *tls, struct span word, struct errbuf *err)
{
    struct span name = word.ptr[0] == '.' ? span_from(word, 1) : word;

    if (!is_name(name))
        return bad(word, err,
                   "is no name to match; write hostname, nexthop, dot-nexthop, mail.example.com or "
                   ".example.com");
    if (tls->match_count == RELAY_TLS_MATCH_MAX)
        return bad(word, err, "is one name too many; there may be 8");
    span_copy(word, tls->match[tls->match_count++], RELAY_TLS_NAME_CAP);
    return 0;
}

static int set_match(struct making *m, struct errbuf *err)
{
    struct span rest =
        chosen(m, m->match,
               m->tls->level == TLS_LEVEL_VERIFY ? RELAY_TLS_VERIFY_MATCH : RELAY_TLS_SECURE_MATCH);
    struct span word;
    int rc = 0;

    m->tls->match_count = 0;
    while (rc == 0 && span_next_word(&rest, ": ,\t\r\n", &word))
        rc = add_match(m->tls, word, err);
    if (rc == 0 && m->tls->match_count == 0)
        return errbuf_set(err, -EINVAL, "has no name to match; write hostname");
    return rc;
}

static int add_print(struct relay_tls *tls, struct span word, struct errbuf *err)
{
    if (tls->print_count == RELAY_TLS_PRINTS_MAX)
        return bad(word, err, "is one fingerprint too many; there may be 32");
    if (!tls->prints)
        tls->prints = calloc(RELAY_TLS_PRINTS_MAX, sizeof *tls->prints);
    if (!tls->prints)
        return errbuf_set(err, -ENOMEM, "out of memory");
    return tls_fingerprint_parse(word, tls->prints[tls->print_count++], err);
}

static int set_prints(struct making *m, struct errbuf *err)
{
    struct span rest = chosen(m, m->match, RELAY_TLS_FINGERPRINTS);
    struct span word;
    int rc = 0;

    while (rc == 0 && span_next_word(&rest, "| ,\t\r\n", &word))
        rc = add_print(m->tls, word, err);
    if (rc == 0 && m->tls->print_count == 0)
        return errbuf_set(err, -EINVAL,
                          "is empty, but the level is fingerprint; write the SHA-256 fingerprint "
                          "of the upstream's certificate or public key");
    return rc;
}

static int set_versions(struct making *m, struct errbuf *err)
{
    bool mandatory = m->tls->level > TLS_LEVEL_MAY;
    struct span protocols =
        chosen(m, m->protocols, mandatory ? RELAY_TLS_MANDATORY_PROTOCOLS : RELAY_TLS_PROTOCOLS);
    struct tls_protocols versions;
    struct span ciphers;
    int rc = tls_protocols_parse(protocols, &versions, err);

    if (rc < 0)
        return rc;
    m->tls->min_version = versions.min;
    m->tls->max_version = versions.max;
    ciphers = chosen(m, m->ciphers, mandatory ? RELAY_TLS_MANDATORY_CIPHERS : RELAY_TLS_CIPHERS);
    return tls_ciphers_parse(ciphers, &m->tls->medium, err);
}

/* The level is known; the rest of what it needs. */
static int make_rest(struct making *m, struct errbuf *err)
{
    struct relay_tls *tls = m->tls;
    int rc;

    tls->wrapper = m->words->wrapper && tls->level > TLS_LEVEL_NONE;
    if (tls->level == TLS_LEVEL_NONE)
        return 0;
    if (tls->wrapper && tls->level == TLS_LEVEL_MAY)
        tls->level = TLS_LEVEL_ENCRYPT; /* there is nothing to fall back to */
    rc = set_versions(m, err);
    if (rc == 0)
        rc = set_servername(m, err);
    if (rc == 0 && tls->level == TLS_LEVEL_FINGERPRINT)
        rc = set_prints(m, err);
    if (rc == 0 && tls->level >= TLS_LEVEL_VERIFY)
        rc = set_match(m, err);
    return rc;
}

/* ---- the settings ---- */

static int make_general(struct making *m, bool out, struct errbuf *err)
{
    const struct relay_tls_words *w = m->words;
    struct span level = span_trim(span_of(w->text[RELAY_TLS_LEVEL]));
    int rc;

    m->which = RELAY_TLS_LEVEL;
    rc = tls_level_parse(level, &m->tls->level, err);
    if (rc < 0)
        return rc;
    if (level.len == 0 && w->enforce)
        m->tls->level = w->enforce_peername ? TLS_LEVEL_VERIFY : TLS_LEVEL_ENCRYPT;
    else if (level.len == 0 && (w->use || out))
        m->tls->level = TLS_LEVEL_MAY;
    if (w->wrapper && m->tls->level < TLS_LEVEL_ENCRYPT)
        m->tls->level = TLS_LEVEL_ENCRYPT;
    return make_rest(m, err);
}

/* ---- the table ---- */

static int set_attribute(struct making *m, struct span word, struct errbuf *err)
{
    struct span name, value;
    const struct {
        const char *name;
        struct span *value;
    } known[] = {
        {"match",      &m->match     },
        {"protocols",  &m->protocols },
        {"ciphers",    &m->ciphers   },
        {"servername", &m->servername},
    };

    if (!braces_split_pair(word, &name, &value) || value.len == 0)
        return bad(word, err, "is not NAME=VALUE, as in match=mail.example.com");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!span_equal_nocase(name, span_of(known[i].name)))
            continue;
        if (known[i].value->ptr)
            return bad(name, err, "is said twice");
        *known[i].value = value;
        return 0;
    }
    return bad(
        name, err,
        "is not supported here; write match, protocols, ciphers or servername, or remove it");
}

/* "LEVEL attribute=value ..." */
static int make_exception(struct making *m, struct span policy, struct errbuf *err)
{
    struct span word;
    int rc;

    m->which = RELAY_TLS_POLICY;
    if (!braces_next_word(&policy, &word))
        return errbuf_set(err, -EINVAL, "has no level; " EXAMPLE);
    rc = tls_level_parse(word, &m->tls->level, err);
    while (rc == 0 && braces_next_word(&policy, &word))
        rc = set_attribute(m, word, err);
    if (rc == 0 && m->match.ptr && m->tls->level < TLS_LEVEL_FINGERPRINT)
        return bad(m->match, err, "is to be matched, but the level verifies nothing");
    return rc < 0 ? rc : make_rest(m, err);
}

/* "[host]:port", "host:port", "[host]", "host" or ".domain"; an IPv6 address has brackets when it
 * has a port. False when it is none of these. */
static bool split_name(struct span name, struct span *host_out, uint16_t *port_out)
{
    struct span rest = {NULL, 0};
    uint64_t port = 0;
    bool brackets = name.len > 0 && name.ptr[0] == '[';
    size_t colon = span_find(name, ':');

    *host_out = name;
    if (brackets) {
        size_t end = span_find(name, ']');

        if (end == name.len)
            return false;
        *host_out = span_make(name.ptr + 1, end - 1);
        rest = span_from(name, end + 1);
    } else if (colon < name.len && span_find_last(name, ':') == colon) {
        *host_out = span_first(name, colon);
        rest = span_from(name, colon);
    }
    if (rest.len > 0 &&
        (rest.ptr[0] != ':' || !span_to_u64(span_from(rest, 1), 65535, &port) || port == 0))
        return false;
    *port_out = (uint16_t)port;
    if (host_out->len > 1 && host_out->ptr[0] == '.')
        return !brackets && is_name(span_from(*host_out, 1));
    return is_name(*host_out);
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

static struct relay_tls_entry *find_entry(const struct relay_tls_map *map, const char *host,
                                          uint16_t port)
{
    for (size_t i = 0; i < map->count; i++) {
        if (map->entries[i].port == port && strcmp(map->entries[i].host, host) == 0)
            return &map->entries[i];
    }
    return NULL;
}

static void entry_free(struct relay_tls_entry *e)
{
    free(e->host);
    free(e->tls.prints);
}

/* Room for one more, doubling; the count is bounded. */
static bool grow(struct relay_tls_map *map)
{
    struct relay_tls_entry *grown;

    if (map->count & (map->count - 1)) /* there is room until the next power of two */
        return true;
    grown = realloc(map->entries, (map->count ? 2 * map->count : 1) * sizeof *grown);
    if (!grown)
        return false;
    map->entries = grown;
    return true;
}

/* Whether there is room for it, and it is new. */
static int check_entry(struct relay_tls_map *map, const struct relay_tls_entry *entry,
                       struct errbuf *err)
{
    if (map->count == RELAY_TLS_ENTRIES_MAX)
        return errbuf_set(err, -EINVAL, "has too many names; there may be 1000");
    if (!entry->host || !grow(map))
        return errbuf_set(err, -ENOMEM, "out of memory");
    if (find_entry(map, entry->host, entry->port))
        return bad(span_of(entry->host), err, "is there twice");
    return 0;
}

static int add_pair(struct relay_tls_map *map, const struct relay_tls_words *words,
                    struct span pair, enum relay_tls_setting *which_out, struct errbuf *err)
{
    struct relay_tls_entry entry = {.host = NULL};
    struct making m = {.words = words, .tls = &entry.tls};
    struct span name, policy, host;
    int rc;

    *which_out = RELAY_TLS_POLICY;
    if (!braces_split_pair(pair, &name, &policy))
        return bad(pair, err, "is not NAME=LEVEL; " EXAMPLE);
    if (!split_name(name, &host, &entry.port))
        return bad(name, err,
                   "is no host; write [192.0.2.54]:24, mail.example.com or .example.com");
    entry.host = lower_copy(host);
    rc = make_exception(&m, policy, err);
    if (rc < 0)
        *which_out = m.which;
    else
        rc = check_entry(map, &entry, err);
    if (rc < 0)
        entry_free(&entry);
    else
        map->entries[map->count++] = entry;
    return rc;
}

static int add_table(struct relay_tls_map *map, const struct relay_tls_words *words,
                     struct span table, enum relay_tls_setting *which_out, struct errbuf *err)
{
    struct span type = SPAN_LIT("inline:");
    struct span rest, pair;
    int rc = 0;

    *which_out = RELAY_TLS_POLICY;
    if (!span_starts_nocase(table, type))
        return bad(table, err, "is a table in a file, or none at all; " EXAMPLE);
    if (!braces_strip(span_from(table, type.len), &rest))
        return bad(table, err, "has braces that do not match; " EXAMPLE);
    while (rc == 0 && braces_next_word(&rest, &pair))
        rc = add_pair(map, words, pair, which_out, err);
    return rc;
}

/* ---- the surface ---- */

int relay_tls_build(struct relay_tls_map *map, const struct relay_tls_words *words,
                    enum relay_tls_setting *which_out, struct errbuf *err)
{
    struct making m = {.words = words, .tls = &map->general};
    struct making out = {.words = words, .tls = &map->out};
    struct span tables = span_of(words->text[RELAY_TLS_POLICY]);
    struct span table;
    int rc;

    *map = (struct relay_tls_map){.entries = NULL};
    rc = make_general(&m, false, err);
    *which_out = m.which;
    if (rc == 0 && words->ways_out) {
        rc = make_general(&out, true, err);
        *which_out = out.which;
    }
    while (rc == 0 && braces_next_word(&tables, &table))
        rc = add_table(map, words, table, which_out, err);
    if (rc < 0)
        relay_tls_free(map);
    return rc;
}

void relay_tls_free(struct relay_tls_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        entry_free(&map->entries[i]);
    free(map->entries);
    free(map->general.prints);
    free(map->out.prints);
    *map = (struct relay_tls_map){.entries = NULL};
}

const struct relay_tls *relay_tls_find(const struct relay_tls_map *map, const struct route *route)
{
    char host[RELAY_TLS_NAME_CAP];
    const struct relay_tls_entry *e;
    size_t len = strlen(route->host);

    if (route->path[0] || len >= sizeof host)
        return &no_tls;
    for (size_t i = 0; i <= len; i++)
        host[i] = ascii_lower(route->host[i]);
    e = find_entry(map, host, route->port);
    if (!e)
        e = find_entry(map, host, 0);
    for (const char *dot = strchr(host, '.'); !e && dot; dot = strchr(dot + 1, '.')) {
        e = find_entry(map, dot, route->port);
        if (!e)
            e = find_entry(map, dot, 0);
    }
    if (e)
        return &e->tls;
    return route->out ? &map->out : &map->general;
}

struct relay_tls relay_tls_raise(const struct relay_tls *tls, bool wrapper)
{
    struct relay_tls raised = *tls;

    if (raised.level == TLS_LEVEL_NONE) { /* then nothing else was looked at */
        raised.min_version = raised.max_version = TLS_VERSION_1_2;
        raised.medium = true;
    }
    if (raised.level < TLS_LEVEL_ENCRYPT)
        raised.level = TLS_LEVEL_ENCRYPT;
    raised.wrapper = raised.wrapper || wrapper;
    return raised;
}

static bool same_matches(const struct relay_tls *a, const struct relay_tls *b)
{
    if (a->match_count != b->match_count || a->print_count != b->print_count)
        return false;
    for (size_t i = 0; i < a->match_count; i++) {
        if (strcmp(a->match[i], b->match[i]) != 0)
            return false;
    }
    return a->print_count == 0 ||
           memcmp(a->prints, b->prints, a->print_count * sizeof *a->prints) == 0;
}

bool relay_tls_equal(const struct relay_tls *a, const struct relay_tls *b)
{
    return a->level == b->level && a->wrapper == b->wrapper && a->min_version == b->min_version &&
           a->max_version == b->max_version && a->medium == b->medium &&
           strcmp(a->servername, b->servername) == 0 && same_matches(a, b);
}

bool relay_tls_needs_ca(const struct relay_tls_map *map)
{
    bool needs = map->general.level >= TLS_LEVEL_VERIFY || map->out.level >= TLS_LEVEL_VERIFY;

    for (size_t i = 0; i < map->count && !needs; i++)
        needs = map->entries[i].tls.level >= TLS_LEVEL_VERIFY;
    return needs;
}

bool relay_tls_is_used(const struct relay_tls_map *map)
{
    bool used = map->general.level > TLS_LEVEL_NONE || map->out.level > TLS_LEVEL_NONE;

    for (size_t i = 0; i < map->count && !used; i++)
        used = map->entries[i].tls.level > TLS_LEVEL_NONE;
    return used;
}

size_t relay_tls_names(const struct relay_tls *tls, const char *host, const char *nexthop,
                       char names[][RELAY_TLS_NAME_CAP])
{
    size_t count = 0;

    for (size_t i = 0; i < tls->match_count; i++) {
        struct span word = span_of(tls->match[i]);
        bool dot = span_equal_nocase(word, SPAN_LIT("dot-nexthop"));
        bool hop = dot || span_equal_nocase(word, SPAN_LIT("nexthop"));
        bool host_itself = span_equal_nocase(word, SPAN_LIT("hostname"));
        struct text t;

        text_init(&t, names[count], RELAY_TLS_NAME_CAP);
        text_cstr(&t, dot ? "." : "");
        text_cstr(&t, hop ? nexthop : host_itself ? host : tls->match[i]);
        count += !t.overflow;
    }
    return count;
}
