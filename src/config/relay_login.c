/* relay_login - see relay_login.h */
#include "config/relay_login.h"

#include "base/text.h"
#include "config/config.h"
#include "config/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100
#define ALL       "*"
#define EXAMPLE   "write inline:{ [smtp.example.net]:587=USER:PASSWORD }"

/* ---- mechanisms ---- */

static const struct {
    const char *word;
    enum relay_mechanism mechanism;
} mechanisms[] = {
    {"LOGIN",   RELAY_MECHANISM_LOGIN  },
    {"PLAIN",   RELAY_MECHANISM_PLAIN  },
    {"XOAUTH2", RELAY_MECHANISM_XOAUTH2},
};
#define MECHANISM_COUNT (sizeof mechanisms / sizeof mechanisms[0])

enum relay_mechanism relay_mechanism_find(struct span word)
{
    for (size_t i = 0; i < MECHANISM_COUNT; i++) {
        if (span_equal_nocase(word, span_of(mechanisms[i].word)))
            return mechanisms[i].mechanism;
    }
    return RELAY_MECHANISM_NONE;
}

const char *relay_mechanism_word(enum relay_mechanism mechanism)
{
    for (size_t i = 0; i < MECHANISM_COUNT; i++) {
        if (mechanisms[i].mechanism == mechanism)
            return mechanisms[i].word;
    }
    return "none";
}

static int bad(struct span word, struct errbuf *err, const char *why)
{
    char buf[SHOWN_MAX + 1];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable_max(&shown, word, SHOWN_MAX);
    return errbuf_set(err, -EINVAL, "\"%s\" %s", buf, why);
}

int relay_mechanisms_filter(struct span text, unsigned *mask_out, struct errbuf *err)
{
    unsigned decided = 0;
    struct span word;

    *mask_out = span_trim(text).len == 0 ? RELAY_MECHANISMS_ALL : 0;
    while (span_next_word(&text, ", \t\r\n", &word)) {
        bool no = word.ptr[0] == '!';
        struct span name = span_from(word, no);
        unsigned meant = relay_mechanism_find(name);

        if (span_equal_nocase(name, SPAN_LIT("static:all")))
            meant = RELAY_MECHANISMS_ALL;
        else if (span_find(name, ':') < name.len || span_find(name, '/') < name.len)
            return bad(word, err, "is a table or a file; write mechanisms, as in plain, login");
        if (!no)
            *mask_out |= meant & ~decided;
        decided |= meant;
    }
    return 0;
}

int relay_mechanisms_options(struct span text, unsigned *mask_out, struct errbuf *err)
{
    static const char *const strict[] = {"noplaintext", "noactive", "nodictionary", "mutual_auth",
                                         "forward_secrecy"};
    const size_t count = sizeof strict / sizeof strict[0];
    struct span word;

    *mask_out = RELAY_MECHANISMS_ALL;
    while (span_next_word(&text, ", \t\r\n", &word)) {
        size_t i = 0;

        if (span_equal_nocase(word, SPAN_LIT("noanonymous")))
            continue; /* nobody is anonymous here */
        while (i < count && !span_equal_nocase(word, span_of(strict[i])))
            i++;
        if (i == count)
            return bad(word, err,
                       "is none of noplaintext, noactive, nodictionary, noanonymous, mutual_auth, "
                       "forward_secrecy");
        *mask_out = 0;
    }
    return 0;
}

/* ---- the table ---- */

bool relay_login_fold(struct span name, struct text *folded)
{
    struct route route;

    if (route_parse_relayhost(name, 0, &route, NULL) < 0)
        return false;
    for (char *c = route.host; *c; c++)
        *c = ascii_lower(*c);
    if (route.port > 0)
        text_printf(folded, "[%s]:%u", route.host, (unsigned)route.port);
    else
        text_cstr(folded, route.host);
    return !folded->overflow;
}

static int check_value(struct span value, struct errbuf *err)
{
    size_t colon = span_find(value, ':');

    if (colon == 0 || colon + 1 >= value.len)
        return errbuf_set(err, -EINVAL, "a value is not USER:PASSWORD; " EXAMPLE);
    return 0;
}

static int parse_static(struct relay_logins *logins, struct span value, struct errbuf *err)
{
    int rc = check_value(value, err);
    struct inline_pair *pair;

    if (rc < 0)
        return rc;
    pair = calloc(1, sizeof *pair);
    if (!pair)
        return errbuf_set(err, -ENOMEM, "out of memory");
    pair->name = strdup(ALL);
    pair->value = malloc(value.len + 1);
    logins->table = (struct inline_table){pair, 1};
    logins->for_all = true;
    if (!pair->name || !pair->value) {
        free(pair->name);
        free(pair->value);
        free(pair);
        logins->table = (struct inline_table){NULL, 0};
        return errbuf_set(err, -ENOMEM, "out of memory");
    }
    span_copy(value, pair->value, value.len + 1);
    return 0;
}

int relay_logins_parse(struct relay_logins *logins, struct span text, struct errbuf *err)
{
    static const struct inline_rules rules = {
        .max = RELAY_LOGINS_MAX,
        .example = EXAMPLE,
        .names =
            "is no host ([smtp.example.net]:587, or smtp.example.net; logins by sender are not "
            "supported)",
        .secret = true,
        .fold = relay_login_fold,
        .check = check_value,
    };
    struct span type = SPAN_LIT("static:");

    text = span_trim(text);
    if (span_starts_nocase(text, type))
        return parse_static(logins, span_trim(span_from(text, type.len)), err);
    return inline_table_parse(&logins->table, text, &rules, err);
}

void relay_logins_free(struct relay_logins *logins)
{
    inline_table_free(&logins->table);
}

/* ---- look-up ---- */

/* Whether one of the hosts in `hosts`, which are as in relayhost, is this target's. */
static bool names_target(const char *hosts, const char *with_port, const char *host)
{
    struct span rest = span_of(hosts);
    struct span word;

    while (span_next_word(&rest, ", \t\r\n", &word)) {
        char folded[INLINE_NAME_CAP];
        struct text t;

        text_init(&t, folded, sizeof folded);
        if (relay_login_fold(word, &t) &&
            (strcmp(folded, with_port) == 0 || strcmp(folded, host) == 0))
            return true;
    }
    return false;
}

static bool find_in_table(const struct relay_logins *logins, const char *with_port,
                          const char *host, struct relay_login *out)
{
    const char *value = inline_table_find(&logins->table, with_port);
    struct span whole;
    size_t colon;

    if (!value)
        value = inline_table_find(&logins->table, host);
    if (!value && logins->for_all)
        value = inline_table_find(&logins->table, ALL);
    if (!value)
        return false;
    whole = span_of(value);
    colon = span_find(whole, ':');
    out->user = span_first(whole, colon);
    out->password = span_from(whole, colon + 1);
    return true;
}

bool relay_login_find(const struct config *config, const struct route *route,
                      struct relay_login *out)
{
    const char *hosts = config->sasl_relayhost[0] ? config->sasl_relayhost : config->relayhost;
    char host[sizeof route->host], with_port[sizeof route->host + 16];
    struct text t;

    *out = (struct relay_login){.token_file = "",
                                .in_clear = config->logins.in_clear & ~RELAY_MECHANISM_XOAUTH2,
                                .in_tls = config->logins.in_tls & ~RELAY_MECHANISM_XOAUTH2};
    if (!config->logins.enabled || route->kind != ROUTE_SMTP || !route->host[0])
        return false;
    text_init(&t, host, sizeof host);
    for (const char *c = route->host; *c; c++)
        text_char(&t, ascii_lower(*c));
    text_init(&t, with_port, sizeof with_port);
    text_printf(&t, "[%s]:%u", host, (unsigned)route->port);
    if (!config->relayhost_username[0] || !names_target(hosts, with_port, host))
        return find_in_table(&config->logins, with_port, host, out);
    out->user = span_of(config->relayhost_username);
    out->password = span_of(config->relayhost_password);
    out->token_file = config->relayhost_token_file;
    if (out->token_file[0]) {
        out->in_clear = config->logins.in_clear & RELAY_MECHANISM_XOAUTH2;
        out->in_tls = config->logins.in_tls & RELAY_MECHANISM_XOAUTH2;
    }
    return true;
}

bool relay_login_equal(const struct config *a, const struct config *b, const struct route *route)
{
    struct relay_login one, other;
    bool found = relay_login_find(a, route, &one);

    if (found != relay_login_find(b, route, &other))
        return false;
    return !found ||
           (span_equal(one.user, other.user) && span_equal(one.password, other.password) &&
            strcmp(one.token_file, other.token_file) == 0 && one.in_clear == other.in_clear &&
            one.in_tls == other.in_tls);
}
