/* advice - see advice.h */
#include "config/advice.h"

#include "base/text.h"

#define WORDS_CAP      1024
#define SHOWN_MAX      100 /* bytes of a value that a piece of advice repeats */
#define CONTAINER_ID   12  /* hexadecimal digits: what Docker makes the host name */
#define SITE_PREFIX    24
#define SITE_PREFIX_V6 48
#define V4             96 /* bits before an IPv4 address, see cidr.h */

#define PRIVATE                                                                                    \
    "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 100.64.0.0/10 "            \
    "[::1]/128 [fc00::]/7 [fe80::]/10"

struct giver {
    const struct config *config;
    config_note_fn note;
    void *note_ctx;
};

static void say(const struct giver *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct giver *g, const char *format, ...)
{
    char buf[WORDS_CAP];
    struct text t;
    va_list args;

    text_init(&t, buf, sizeof buf);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
    g->note(g->note_ctx, CONFIG_NOTE_WARNING, buf);
}

/* ---- names ---- */

static bool is_container_id(struct span s)
{
    if (s.len != CONTAINER_ID)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
            return false;
    }
    return true;
}

static void look_at_host_name(const struct giver *g)
{
    const char *name = g->config->myhostname;
    struct span host = span_of(name);

    if (is_container_id(span_first(host, span_find(host, '.'))))
        say(g,
            "myhostname=%s is the container's id and changes with it, and senders see it; it is "
            "used as it is; set HOSTNAME=mx.example.com to the name your MX record has",
            name);
    else if (span_find(host, '.') == host.len)
        say(g,
            "myhostname=%s has no dot, and senders expect a full name; it is used as it is; set "
            "HOSTNAME=mx.example.com to the name your MX record has",
            name);
}

static void look_at_domains(const struct giver *g)
{
    for (size_t i = 0; i < g->config->domains.count; i++) {
        struct span name = span_of(g->config->domains.names[i]);

        if (span_find_last(name, '.') == name.len || span_find_last(name, '.') == 0)
            say(g,
                "relay_domains has \"%s\", which is no domain of one owner; mail for it is "
                "accepted; write the whole domain, such as ALLOWED_DOMAINS=example.com",
                name.ptr);
    }
}

/* ---- networks ---- */

static bool is_private(const struct cidr *block)
{
    struct cidr_list list;
    bool inside = false;

    if (cidr_list_parse(&list, SPAN_LIT(PRIVATE), NULL) < 0)
        return true; /* no memory: no advice */
    for (size_t i = 0; i < list.count && !inside; i++) {
        struct cidr_list one = {&list.blocks[i], 1};

        inside = block->prefix >= list.blocks[i].prefix && cidr_list_match(&one, block->address);
    }
    cidr_list_free(&list);
    return inside;
}

static bool is_too_wide(struct span entry)
{
    struct cidr_list list;
    bool v6 = span_find(entry, ':') < entry.len;
    bool wide;

    if (cidr_list_parse(&list, entry, NULL) < 0)
        return false;
    wide = list.count == 1 && list.blocks[0].prefix < (v6 ? SITE_PREFIX_V6 : V4 + SITE_PREFIX) &&
           !is_private(&list.blocks[0]);
    cidr_list_free(&list);
    return wide;
}

static void look_at_networks(const struct giver *g)
{
    struct span rest = span_of(g->config->mynetworks);
    struct span entry;

    while (span_next_word(&rest, ", \t\r\n", &entry)) {
        if (is_too_wide(entry))
            say(g,
                "mynetworks has %.*s, which is wider than private networks: every client in it is "
                "spared the limits and let pass by permit_mynetworks (relaying stays impossible); "
                "name your own networks only, such as MYNETWORKS=127.0.0.0/8,10.0.0.0/8",
                (int)(entry.len < SHOWN_MAX ? entry.len : SHOWN_MAX), entry.ptr);
    }
}

static void look_at_proxies(const struct giver *g)
{
    struct span rest = span_of(g->config->smtpd_upstream_proxy_hosts);
    struct span entry;

    while (span_next_word(&rest, ", \t\r\n", &entry)) {
        if (is_too_wide(entry))
            say(g,
                "smtpd_upstream_proxy_hosts has %.*s, which is wider than private networks: every "
                "host in it may claim to be any client, a trusted one too; name your load "
                "balancers only, such as SMTPD_UPSTREAM_PROXY_HOSTS=10.0.1.0/24",
                (int)(entry.len < SHOWN_MAX ? entry.len : SHOWN_MAX), entry.ptr);
    }
}

/* ---- logins ---- */

static void look_at_login_tls(const struct giver *g)
{
    const struct config *c = g->config;

    if (c->logins.in_clear != 0)
        say(g,
            "smtp_sasl_security_options=%s lets passwords go to servers without TLS, where whoever "
            "is on the way reads them; it is done as it is written; remove the setting if your "
            "relayhost has TLS",
            c->smtp_sasl_security_options);
    else if (span_equal_nocase(span_trim(span_of(c->smtp_tls_security_level)), SPAN_LIT("none")))
        say(g,
            "smtp_tls_security_level=none, but there is a login, which goes inside TLS only: where "
            "it is used TLS is required (encrypt); set RELAYHOST_TLS_LEVEL=encrypt, or let it go "
            "in "
            "clear text with SMTP_SASL_SECURITY_OPTIONS=noanonymous");
    if (c->logins.in_tls == 0)
        say(g, "smtp_sasl_mechanism_filter and smtp_sasl_tls_security_options leave no way to log "
               "in: mail waits for one; remove them, PLAIN, LOGIN and XOAUTH2 are used inside TLS "
               "then");
}

static void look_at_login(const struct giver *g)
{
    const struct config *c = g->config;

    if (!c->logins.enabled && c->logins.table.count > 0)
        say(g, "smtp_sasl_password_maps is not used, since smtp_sasl_auth_enable is no; set "
               "SMTP_SASL_AUTH_ENABLE=yes, or remove it");
    if (!c->logins.enabled)
        return;
    if (c->relayhost_username[0] && !c->relayhost[0] && !c->sasl_relayhost[0])
        say(g,
            "RELAYHOST_USERNAME and its password are used nowhere, since relayhost is empty; set "
            "RELAYHOST=[smtp.example.net]:587, or remove them");
    look_at_login_tls(g);
}

/* ---- the spool ---- */

static void look_at_place(const struct giver *g, enum advice_place place)
{
    const char *folder = g->config->queue_directory;

    if (place == ADVICE_PLACE_MEMORY)
        say(g,
            "queue_directory %s is in memory (tmpfs): mail that waits there is lost when the "
            "container or the machine stops; it is used all the same; mount a volume, in the "
            "compose file volumes: [\"spool:%s\"], with docker run -v spool:%s",
            folder, folder, folder);
    if (place == ADVICE_PLACE_LAYER)
        say(g,
            "queue_directory %s is in the container's own layer: mail that waits there is lost "
            "when the container is replaced (pull, down, up); it is used all the same; mount a "
            "volume, in the compose file volumes: [\"spool:%s\"], with docker run -v spool:%s",
            folder, folder, folder);
    if (place == ADVICE_PLACE_NO_NAME)
        say(g,
            "queue_directory %s is on a volume without a name: mail that waits there stays behind "
            "when the container is removed (docker compose down, docker rm), and the next one "
            "begins with an empty queue; it is used all the same; name it, in the compose file "
            "volumes: [\"spool:%s\"], with docker run -v spool:%s",
            folder, folder, folder);
}

static void look_at_space(const struct giver *g, int64_t free_bytes)
{
    uint64_t limit = g->config->message_size_limit;
    uint64_t floor = g->config->queue_minfree;

    if (limit == CONFIG_SIZE_UNLIMITED)
        limit = CONFIG_SIZE_USUAL;
    if (floor == 0)
        floor = limit / 2 * 3; /* as the intake does it */
    if (free_bytes < 0 || (uint64_t)free_bytes >= floor + limit)
        return;
    if ((uint64_t)free_bytes < floor)
        say(g,
            "%jd bytes are free in queue_directory %s, and %ju must stay free (queue_minfree, or "
            "1.5 times message_size_limit): all mail is refused with 452 until there is room; "
            "make room, or set MESSAGE_SIZE_LIMIT or QUEUE_MINFREE lower",
            (intmax_t)free_bytes, g->config->queue_directory, (uintmax_t)floor);
    else
        say(g,
            "message_size_limit=%ju does not fit into the %jd bytes that are free in "
            "queue_directory %s, of which %ju must stay free: bigger mail is refused with 452 "
            "until there is room; make room, or set MESSAGE_SIZE_LIMIT lower",
            (uintmax_t)limit, (intmax_t)free_bytes, g->config->queue_directory, (uintmax_t)floor);
}

void advice_give(const struct config *config, const struct advice_facts *facts, config_note_fn note,
                 void *note_ctx)
{
    struct giver g = {config, note, note_ctx};

    look_at_host_name(&g);
    look_at_domains(&g);
    look_at_networks(&g);
    look_at_proxies(&g);
    look_at_login(&g);
    look_at_place(&g, facts->spool);
    look_at_space(&g, facts->free_bytes);
}

void advice_relayhost_lmtp(const char *relayhost, config_note_fn note, void *note_ctx)
{
    struct giver g = {NULL, note, note_ctx};
    char buf[SHOWN_MAX + 1];
    struct text host;

    text_init(&host, buf, sizeof buf);
    text_printable_max(&host, span_of(relayhost), SHOWN_MAX);
    say(&g,
        "RELAYHOST=%s answers as LMTP: a mail store, not a way out for the mail of other "
        "domains; set RELAY_TRANSPORT=lmtp:%s and remove RELAYHOST",
        buf, buf);
}
