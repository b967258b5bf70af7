/* route - see route.h */
#include "config/route.h"

#include "base/text.h"
#include "config/cidr.h"
#include "smtp/address.h"

#include <errno.h>
#include <string.h>

#define LMTP_PORT 24
#define SMTP_PORT 25
/* The kernel's limit for a unix socket; libuv would cut a longer path and connect to another one.
 */
#define UNIX_PATH_MAX 107

/* The text goes into logs: no line end of it may. */
static int bad(const struct route *r, struct errbuf *err, const char *why)
{
    char buf[ROUTE_TEXT_CAP];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable(&shown, span_of(r->text));
    return errbuf_set(err, -EINVAL,
                      "\"%s\": %s; write lmtp:[192.0.2.10]:24, "
                      "lmtp:unix:/run/dovecot/lmtp, smtp:[192.0.2.10]:25 or maildir:/path",
                      buf, why);
}

static int parse_path(struct span path, size_t max, struct route *r, struct errbuf *err)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return bad(r, err, "the path must begin with /");
    if (path.len > max || !span_copy(path, r->path, sizeof r->path))
        return bad(r, err, "the path is too long");
    return 0;
}

static bool take_prefix(struct span *s, struct span prefix)
{
    if (!span_starts_nocase(*s, prefix))
        return false;
    *s = span_from(*s, prefix.len);
    return true;
}

/* A name, or an address that is one: "300.1.2.3" would be looked up as a name for ever. */
static bool host_valid(struct span host, bool bracketed)
{
    bool v6 = bracketed && span_find(host, ':') < host.len;
    bool digits = true;
    unsigned char address[16];

    for (size_t i = 0; i < host.len; i++)
        digits = digits && (ascii_is_digit(host.ptr[i]) || host.ptr[i] == '.');
    if (v6 || digits)
        return cidr_address_parse(host, address);
    return smtp_domain_valid(host, false);
}

static int parse_host(struct span rest, struct route *r, struct errbuf *err)
{
    bool bracketed = rest.len > 0 && rest.ptr[0] == '[';
    struct span host = rest;
    uint64_t port = r->kind == ROUTE_LMTP ? LMTP_PORT : SMTP_PORT;
    size_t end = span_find(rest, bracketed ? ']' : ':');

    if (bracketed && end == rest.len)
        return bad(r, err, "the closing ] is missing");
    if (bracketed)
        host = span_make(rest.ptr + 1, end - 1);
    else
        host = span_first(rest, end);
    rest = span_from(rest, bracketed ? end + 1 : end);
    if (bracketed)
        take_prefix(&host, SPAN_LIT("IPv6:"));
    if (rest.len > 0 &&
        (rest.ptr[0] != ':' || !span_to_u64(span_from(rest, 1), 65535, &port) || port == 0))
        return bad(r, err, "the port must be a number from 1 to 65535");
    if (!host_valid(host, bracketed) || !span_copy(host, r->host, sizeof r->host))
        return bad(r, err, "that is no host name and no address");
    r->port = (uint16_t)port;
    return 0;
}

int route_parse(struct span text, struct route *out, struct errbuf *err)
{
    *out = (struct route){.kind = ROUTE_LMTP};
    text = span_trim(text);
    if (!span_copy(text, out->text, sizeof out->text))
        return bad(out, err, "too long");
    if (take_prefix(&text, SPAN_LIT("maildir:"))) {
        out->kind = ROUTE_MAILDIR;
        return parse_path(text, sizeof out->path - 1, out, err);
    }
    if (take_prefix(&text, SPAN_LIT("smtp:")))
        out->kind = ROUTE_SMTP;
    else if (!take_prefix(&text, SPAN_LIT("lmtp:")))
        return bad(out, err, "it must begin with lmtp:, smtp: or maildir:");
    if (take_prefix(&text, SPAN_LIT("unix:")))
        return parse_path(text, UNIX_PATH_MAX, out, err);
    take_prefix(&text, SPAN_LIT("inet:"));
    return parse_host(text, out, err);
}

/* ---- ways out ---- */

static int bad_relayhost(const struct route *r, struct errbuf *err, const char *why)
{
    char buf[ROUTE_TEXT_CAP];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable(&shown, span_of(r->text));
    return errbuf_set(err, -EINVAL,
                      "\"%s\": %s; write [smtp.example.net]:587, or smtp.example.net:587 if its MX "
                      "hosts are to be asked",
                      buf, why);
}

bool route_port(struct span text, uint16_t *port_out)
{
    static const struct {
        const char *name;
        uint16_t port;
    } services[] = {
        {"smtp",        25 },
        {"submission",  587},
        {"submissions", 465},
        {"smtps",       465},
    };
    uint64_t number;

    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        if (span_equal_nocase(text, span_of(services[i].name))) {
            *port_out = services[i].port;
            return true;
        }
    }
    if (!span_to_u64(text, 65535, &number) || number == 0)
        return false;
    *port_out = (uint16_t)number;
    return true;
}

int route_parse_relayhost(struct span text, uint16_t default_port, struct route *out,
                          struct errbuf *err)
{
    uint16_t port = default_port;
    bool bracketed;
    size_t end;
    struct span host;

    *out = (struct route){.kind = ROUTE_SMTP, .out = true};
    text = span_trim(text);
    if (!span_copy(text, out->text, sizeof out->text))
        return bad_relayhost(out, err, "too long");
    bracketed = text.len > 0 && text.ptr[0] == '[';
    end = span_find(text, bracketed ? ']' : ':');
    if (bracketed && end == text.len)
        return bad_relayhost(out, err, "the closing ] is missing");
    host = bracketed ? span_make(text.ptr + 1, end - 1) : span_first(text, end);
    text = span_from(text, bracketed ? end + 1 : end);
    if (bracketed)
        take_prefix(&host, SPAN_LIT("IPv6:"));
    if (text.len > 0 && (text.ptr[0] != ':' || !route_port(span_from(text, 1), &port)))
        return bad_relayhost(out, err, "the port must be a number from 1 to 65535");
    if (!host_valid(host, bracketed) || !span_copy(host, out->host, sizeof out->host))
        return bad_relayhost(out, err, "that is no host name and no address");
    out->port = port;
    out->mx = !bracketed && !cidr_address_parse(host, (unsigned char[16]){0});
    return 0;
}

bool route_direct(struct span domain, uint16_t port, struct route *out)
{
    bool literal = domain.len > 2 && domain.ptr[0] == '[' && domain.ptr[domain.len - 1] == ']';
    struct span host = literal ? span_make(domain.ptr + 1, domain.len - 2) : domain;

    *out = (struct route){
        .kind = ROUTE_SMTP, .out = true, .direct = true, .mx = !literal, .port = port};
    if (literal)
        take_prefix(&host, SPAN_LIT("IPv6:"));
    else if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (!host_valid(host, literal) || !span_copy(host, out->host, sizeof out->host) ||
        !span_copy(domain, out->text, sizeof out->text))
        return false;
    for (char *c = out->text; *c; c++)
        *c = ascii_lower(*c);
    if (!literal)
        memcpy(out->host, out->text, host.len); /* lower case; the same bytes */
    return true;
}

/* ---- several ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool begins_target(struct span s)
{
    return span_starts_nocase(s, SPAN_LIT("lmtp:")) || span_starts_nocase(s, SPAN_LIT("smtp:")) ||
           span_starts_nocase(s, SPAN_LIT("maildir:")) || span_starts_nocase(s, SPAN_LIT("["));
}

/* Takes the next target off; false at the end. Empty ones are skipped. */
static bool take_target(struct span *rest, struct span *target_out)
{
    size_t end = 0;

    while (rest->len > 0 && (is_blank(rest->ptr[0]) || rest->ptr[0] == ','))
        *rest = span_from(*rest, 1);
    while (end < rest->len && rest->ptr[end] != ',' &&
           !(is_blank(rest->ptr[end]) && begins_target(span_from(*rest, end + 1))))
        end++;
    *target_out = span_trim(span_first(*rest, end));
    *rest = span_from(*rest, end);
    return target_out->len > 0;
}

/* "[192.0.2.54]:24" after "lmtp:[192.0.2.53]:24" is "lmtp:[192.0.2.54]:24". */
static int parse_next(const struct route_list *list, struct span target, struct route *out,
                      struct errbuf *err)
{
    char buf[ROUTE_TEXT_CAP];
    struct text t;

    if (target.ptr[0] != '[' || list->count == 0 ||
        list->targets[list->count - 1].kind == ROUTE_MAILDIR)
        return route_parse(target, out, err);
    text_init(&t, buf, sizeof buf);
    text_cstr(&t, list->targets[list->count - 1].kind == ROUTE_LMTP ? "lmtp:" : "smtp:");
    text_span(&t, target);
    return route_parse(t.overflow ? target : text_as_span(&t), out, err);
}

static bool has_target(const struct route_list *list, const struct route *route)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->targets[i].text, route->text) == 0)
            return true;
    }
    return false;
}

static int add_target(struct route_list *list, const struct route *route, struct errbuf *err)
{
    if (has_target(list, route))
        return 0;
    if (list->count == ROUTE_TARGETS_MAX)
        return errbuf_set(err, -EINVAL, "more than %d targets; remove some", ROUTE_TARGETS_MAX);
    list->targets[list->count++] = *route;
    return 0;
}

int route_list_parse(struct span text, struct route_list *out, struct errbuf *err)
{
    struct span target;
    struct route route;

    out->count = 0;
    while (take_target(&text, &target)) {
        int rc = parse_next(out, target, &route, err);

        if (rc == 0)
            rc = add_target(out, &route, err);
        if (rc < 0)
            return rc;
    }
    if (out->count > 0)
        return 0;
    route = (struct route){.kind = ROUTE_LMTP};
    return bad(&route, err, "it is empty");
}

int route_parse_relayhosts(struct span text, uint16_t default_port, struct route_list *out,
                           struct errbuf *err)
{
    struct span target;
    struct route route;

    out->count = 0;
    while (span_next_word(&text, ", \t\r\n", &target)) {
        int rc = route_parse_relayhost(target, default_port, &route, err);

        if (rc == 0)
            rc = add_target(out, &route, err);
        if (rc < 0)
            return rc;
    }
    return out->count > 0 ? 0 : route_parse_relayhost(text, default_port, &route, err);
}

void route_list_text(const struct route_list *list, struct text *t)
{
    for (size_t i = 0; i < list->count; i++) {
        text_cstr(t, i > 0 ? ", " : "");
        text_cstr(t, list->targets[i].text);
    }
}
