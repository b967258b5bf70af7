/*
 * healthcheck - is the gateway doing its own duties? (DESIGN 6)
 *
 *     healthcheck [-t SECONDS] [--json] [--ready]
 *
 * Asks the daemon for its status and the SMTP listener for its greeting; prints one line and exits
 * with 0 or 1, as Docker wants it. Unhealthy: the daemon does not answer, no 220 from the listener,
 * the spool cannot be written or has less free space than the floor. Trouble of the upstream is the
 * upstream's: it is told in the line, and makes the check fail only with
 * HEALTHCHECK_UPSTREAM=strict, since restarting this container would not help it. A gateway that is
 * drained or stops is healthy, since it does what it was told to, whatever HEALTHCHECK_UPSTREAM
 * says; with --ready (a Kubernetes readiness probe) it fails the check, so that no client is sent
 * to it.
 *
 * With --json the verdict is one object: {"healthy":true,"summary":"...","unhealthy":"",
 * "degraded":"...","status":{...}}, the status as `mxgate status --json` has it, or null.
 *
 * Environment: QUEUE_DIRECTORY, CONTROL_SOCKET (or POSTFIX_queue_directory, POSTFIX_control_socket)
 * as the daemon has them; LISTEN where the daemon tells no address. It leaves no line in the
 * daemon's log.
 */
#include "healthcheck.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SECONDS 5
#define DEFAULT_FOLDER  "/var/spool/mxgate"
#define SMTPS           ":smtps"
#define SUBMISSION      ":submission"  /* speaks as any other until STARTTLS */
#define SUBMISSIONS     ":submissions" /* as SMTPS */

struct check {
    struct deadline deadline;
    char reply[REPLY_CAP];
    bool ready; /* to take mail, not only alive: option --ready */
    bool draining;
    const char *json;       /* the daemon's status, in reply */
    struct words unhealthy; /* empty: healthy */
    struct words degraded;
    struct words fine;
};

void words_add(struct words *w, const char *format, ...)
{
    size_t len = strlen(w->text);
    va_list args;

    va_start(args, format);
    vsnprintf(w->text + len, sizeof w->text - len, format, args);
    va_end(args);
}

/* "; " between one reason and the next. */
static void words_next(struct words *w)
{
    if (w->text[0])
        words_add(w, "; ");
}

/* " for 5 min", since wall seconds; nothing where that is not known. */
static void words_since(struct words *w, long long since_s)
{
    long long seconds = (long long)time(NULL) - since_s;

    if (since_s <= 0 || seconds < 0)
        return;
    if (seconds < 120)
        words_add(w, " for %lld s", seconds);
    else if (seconds < 7200)
        words_add(w, " for %lld min", seconds / 60);
    else if (seconds < 172800)
        words_add(w, " for %lld h", seconds / 3600);
    else
        words_add(w, " for %lld days", seconds / 86400);
}

static const char *setting(const char *postfix_name, const char *name, const char *otherwise)
{
    const char *value = getenv(postfix_name);

    if (!value || !value[0])
        value = getenv(name);
    return value && value[0] ? value : otherwise;
}

static void control_path(char *out, size_t cap)
{
    const char *folder = setting("POSTFIX_queue_directory", "QUEUE_DIRECTORY", DEFAULT_FOLDER);
    const char *path = setting("POSTFIX_control_socket", "CONTROL_SOCKET", NULL);

    if (path)
        snprintf(out, cap, "%s", path);
    else
        snprintf(out, cap, "%s/control.sock", folder);
}

/* ---- the daemon ---- */

static bool ask_status(struct check *c, int fd, struct words *why)
{
    if (!exchange_send(fd, "status json\n", c->deadline, why) ||
        !exchange_read(fd, c->reply, sizeof c->reply, "ok", c->deadline, why))
        return false;
    if (strncmp(c->reply, "text {", 6) != 0) {
        words_add(why, "its answer is not understood");
        return false;
    }
    c->json = c->reply + 5;
    c->reply[strcspn(c->reply, "\n")] = '\0';
    return true;
}

static void check_daemon(struct check *c)
{
    char path[512];
    struct words why = {""};
    int fd;

    control_path(path, sizeof path);
    fd = exchange_connect_unix(path, c->deadline, &why);
    if (fd < 0 || !ask_status(c, fd, &why))
        words_add(&c->unhealthy, "the daemon does not answer at %s (%s)", path, why.text);
    if (fd >= 0)
        close(fd);
}

/* ---- its status ---- */

static void check_spool(struct check *c)
{
    long long free_bytes = json_number(json_member(c->json, "free_bytes"));
    long long floor = json_number(json_member(c->json, "floor_bytes"));
    char trouble[256];

    if (!json_true(json_member(c->json, "spool_writable"))) {
        json_string(json_member(c->json, "spool_trouble"), trouble, sizeof trouble);
        words_next(&c->unhealthy);
        words_add(&c->unhealthy, "the spool is not writable (%s)", trouble);
    }
    if (free_bytes < floor) {
        words_next(&c->unhealthy);
        words_add(&c->unhealthy, "%lld MiB free for the spool, %lld must stay free",
                  free_bytes / 1048576, floor / 1048576);
    }
}

static void check_destination(struct check *c, const char *destination, bool strict)
{
    bool covered = json_true(json_member(destination, "covered")); /* another one has its mail */
    struct words *w = strict && !covered ? &c->unhealthy : &c->degraded;
    bool known = json_true(json_member(destination, "known"));
    char name[304];
    char text[304];

    json_string(json_member(destination, "name"), name, sizeof name);
    if (known && !json_true(json_member(destination, "up"))) {
        json_string(json_member(destination, "why"), text, sizeof text);
        words_next(w);
        words_add(w, "destination %s is down", name);
        words_since(w, json_number(json_member(destination, "since")));
        words_add(w, " (%s)", text);
    }
    json_string(json_member(destination, "mismatch"), text, sizeof text);
    if (text[0]) {
        words_next(&c->degraded);
        words_add(&c->degraded, "destination %s: %s", name, text);
    }
}

static void count_degraded(struct check *c, const char *member, const char *words)
{
    long long count = json_number(json_member(c->json, member));

    if (count > 0) {
        words_next(&c->degraded);
        words_add(&c->degraded, "%lld %s", count, words);
    }
}

static void check_destinations(struct check *c)
{
    const char *wish = getenv("HEALTHCHECK_UPSTREAM");
    bool strict = wish && strcmp(wish, "strict") == 0 && !c->draining;
    const char *destination = json_first(json_member(c->json, "destinations"));

    for (; destination; destination = json_next(destination))
        check_destination(c, destination, strict);
    count_degraded(c, "more_down", "more destinations are down");
}

/* Said and no more: mail still comes, and this container cannot help it. */
static void check_certificates(struct check *c)
{
    const char *certificate = json_first(json_member(c->json, "certificates"));
    char trouble[512];

    for (; certificate; certificate = json_next(certificate)) {
        char name[304], state[16];
        bool expired;

        json_string(json_member(certificate, "name"), name, sizeof name);
        json_string(json_member(certificate, "state"), state, sizeof state);
        expired = strcmp(state, "expired") == 0;
        if (!expired && strcmp(state, "soon") != 0)
            continue;
        words_next(&c->degraded);
        words_add(&c->degraded, "the certificate of %s %s", name,
                  expired ? "has expired" : "expires soon");
    }
    json_string(json_member(c->json, "certificate_trouble"), trouble, sizeof trouble);
    if (trouble[0]) {
        words_next(&c->degraded);
        words_add(&c->degraded, "a certificate cannot be used (%s)", trouble);
    }
}

static void check_status(struct check *c)
{
    c->draining = json_true(json_member(c->json, "draining"));
    check_spool(c);
    check_destinations(c);
    check_certificates(c);
    count_degraded(c, "operator_needed",
                   "messages wait for an operator to decide (mxgate status says more)");
    count_degraded(c, "no_way", "messages have no way out (set relayhost or outbound=direct)");
    count_degraded(c, "corrupt", "queue files were found damaged");
    count_degraded(c, "log_dropped", "log lines were dropped");
    if (c->draining) {
        words_next(c->ready ? &c->unhealthy : &c->degraded);
        words_add(c->ready ? &c->unhealthy : &c->degraded, "it is %s, and takes no mail",
                  json_number(json_member(c->json, "draining_since")) > 0 ? "draining"
                                                                          : "stopping");
    }
    words_next(&c->fine);
    words_add(&c->fine, "%lld messages queued", json_number(json_member(c->json, "queued")));
    if (json_number(json_member(c->json, "oldest")) > 0) {
        words_add(&c->fine, ", the oldest");
        words_since(&c->fine, json_number(json_member(c->json, "oldest")));
    }
}

/* ---- the listener ---- */

static bool ends_with(const char *address, const char *mark)
{
    size_t len = strlen(address);

    return len >= strlen(mark) && strcmp(address + len - strlen(mark), mark) == 0;
}

/* It speaks TLS from the first byte. */
static bool is_wrapped(const char *address)
{
    return ends_with(address, SMTPS) || ends_with(address, SUBMISSIONS);
}

/* Without what stands behind the address. */
static void cut_kind(char *address)
{
    static const char *const marks[] = {SMTPS, SUBMISSION, SUBMISSIONS};

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (ends_with(address, marks[i]))
            address[strlen(address) - strlen(marks[i])] = '\0';
    }
}

/* How much an address is to our liking: one that greets, of IPv4. */
static unsigned rank(const char *address)
{
    return (is_wrapped(address) ? 0 : 2) + (address[0] == '[' ? 0 : 1);
}

static void listener_address(const struct check *c, char *out, size_t cap)
{
    const char *entry = json_first(json_member(c->json, "listen"));
    const char *plain = setting("POSTFIX_listen", "LISTEN", "25");

    if (!entry) {
        snprintf(out, cap, strchr(plain, ':') ? "%.*s" : "127.0.0.1:%.*s",
                 (int)strcspn(plain, ", "), plain);
        return;
    }
    json_string(entry, out, cap);
    while ((entry = json_next(entry))) {
        char other[128];

        json_string(entry, other, sizeof other);
        if (rank(other) > rank(out))
            snprintf(out, cap, "%s", other);
    }
}

static bool greets(struct check *c, int fd, struct words *why)
{
    char reply[1024];

    if (!exchange_read(fd, reply, sizeof reply, "", c->deadline, why))
        return false;
    if (c->draining && strncmp(reply, "421", 3) == 0)
        return true; /* that is what it is to say */
    if (strncmp(reply, "220", 3) != 0) {
        words_add(why, "it says: %.*s", (int)strcspn(reply, "\r\n"), reply);
        return false;
    }
    /* Leave as SMTP wants it; whether it still hears us is of no importance. */
    if (exchange_send(fd, "QUIT\r\n", c->deadline, why))
        exchange_read(fd, reply, sizeof reply, "221", c->deadline, why);
    return true;
}

/* We stand where its load balancers stand, so it waits for a PROXY header: ours says LOCAL. */
static bool announce(struct check *c, int fd, const char *listed, struct words *why)
{
    static const char local[16] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0";
    const char *entry = json_first(json_member(c->json, "listen_proxy"));
    char other[128];

    for (; entry; entry = json_next(entry)) {
        json_string(entry, other, sizeof other);
        if (strcmp(other, listed) == 0)
            return exchange_send_bytes(fd, local, sizeof local, c->deadline, why);
    }
    return true;
}

static void check_listener(struct check *c)
{
    char address[128], entry[128];
    struct words why = {""};
    bool wrapped;
    int fd;

    listener_address(c, address, sizeof address);
    wrapped = is_wrapped(address);
    memcpy(entry, address, sizeof entry);
    cut_kind(address);
    fd = exchange_connect_tcp(address, c->deadline, &why);
    /* TLS is not spoken here: that a wrapped port is open must do */
    if (fd >= 0 && (wrapped || (announce(c, fd, entry, &why) && greets(c, fd, &why)))) {
        words_next(&c->fine);
        words_add(&c->fine, wrapped ? "%s is open" : "SMTP answers on %s", address);
    } else {
        words_next(&c->unhealthy);
        words_add(&c->unhealthy, "SMTP does not answer on %s (%s)", address, why.text);
    }
    if (fd >= 0)
        close(fd);
}

/* ---- the verdict ---- */

static void tell_json(const struct check *c, bool healthy)
{
    printf("{\"healthy\":%s,\"summary\":", healthy ? "true" : "false");
    json_print(c->fine.text);
    printf(",\"unhealthy\":");
    json_print(c->unhealthy.text);
    printf(",\"degraded\":");
    json_print(c->degraded.text);
    printf(",\"status\":%s}\n", c->json ? c->json : "null");
}

static int tell(const struct check *c, bool json)
{
    bool healthy = c->unhealthy.text[0] == '\0';

    if (json) {
        tell_json(c, healthy);
    } else {
        printf(healthy ? "healthy: %s" : "unhealthy: %s",
               healthy ? c->fine.text : c->unhealthy.text);
        printf(c->degraded.text[0] ? "; but %s\n" : "%s\n", c->degraded.text);
    }
    return healthy ? 0 : 1;
}

static int usage(void)
{
    fputs("usage: healthcheck [-t SECONDS] [--json] [--ready]\n", stderr);
    return 1; /* Docker reserves 2 */
}

int main(int argc, char **argv)
{
    static struct check c; /* large, and zero */
    unsigned long seconds = DEFAULT_SECONDS;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--ready") == 0)
            c.ready = true;
        else if (strcmp(argv[i], "-t") == 0 && i + 1 < argc)
            seconds = strtoul(argv[++i], NULL, 10);
        else
            return usage();
    }
    if (seconds == 0 || seconds > 3600)
        return usage();
    c.deadline = deadline_after((unsigned)seconds);
    check_daemon(&c);
    if (c.json) {
        check_status(&c);
        check_listener(&c);
    }
    return tell(&c, json);
}
