/*
 * postsuper - hold, release, delete, requeue, expire queued messages, with Postfix's options and
 * words
 *
 *     postsuper -d|-h|-H|-r|-e|-f ID|ALL|- ... [queue ...]
 *         delete, hold, release, requeue, expire, expire and release; "-": ids from standard input,
 *         one a line; queue: only messages that are there (active, deferred, hold)
 *     postsuper -s [-p]        check every message in the spool; what is damaged is told
 *
 * Messages named by id are done first, in the order of the command line, then ALL (where ids beside
 * it say nothing new). Ids that are not
 * there are passed over, as Postfix does. There are no temporary files to purge (-p): the daemon
 * does that itself at each start.
 */
#include "commands/commands.h"
#include "commands/operator.h"
#include "commands/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME "postsuper"
#define USAGE                                                                                      \
    "usage: postsuper [-c config_file] [-d queue_id (delete)] [-e queue_id (expire)] "             \
    "[-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] "          \
    "[-p (purge temporary files)] [-r queue_id (requeue)] [-s (structure check)] [-v (verbose)] "  \
    "[queue...]"
#define FAILED 1

struct postsuper {
    const char *ini;
    bool structure;   /* -s, or nothing that names messages */
    unsigned ordered; /* QUEUE_ORDER_BITs, for the totals */
    unsigned all;     /* ... of orders to ALL */
    unsigned queues;  /* enum queue_name bits; 0: none were named */
    struct operator_link link;
    struct wish *wishes; /* owned: of messages by id, as they came */
    size_t wish_count;
    size_t wish_cap;
    /* named ones that were not sent yet: as many as go into one request */
    enum queue_order order;
    struct queue_id ids[QUEUE_ORDER_IDS_MAX];
    size_t count;
};

struct wish {
    enum queue_order order;
    struct queue_id id;
    char *invalid; /* owned; what is no id, to be told; else NULL */
};

static bool order_of(int option, enum queue_order *order_out)
{
    static const struct {
        char option;
        enum queue_order order;
    } rows[] = {
        {'d', QUEUE_ORDER_DELETE        },
        {'e', QUEUE_ORDER_EXPIRE        },
        {'f', QUEUE_ORDER_EXPIRE_RELEASE},
        {'h', QUEUE_ORDER_HOLD          },
        {'H', QUEUE_ORDER_RELEASE       },
        {'r', QUEUE_ORDER_REQUEUE       },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].option != option)
            continue;
        *order_out = rows[i].order;
        return true;
    }
    return false;
}

/* ---- messages by id ---- */

static int send_named(struct postsuper *p)
{
    unsigned queues = p->queues ? p->queues : queue_order_queues(p->order);
    size_t count = p->count;

    p->count = 0;
    return count > 0 ? operator_order(&p->link, p->order, queues, p->ids, count) : 0;
}

static void warn_invalid(const char *id)
{
    char shown[QUEUE_ID_PLAUSIBLE_MAX + 1];
    struct text t;

    text_init(&t, shown, sizeof shown);
    text_printable(&t, span_of(id));
    command_warning(NAME, "invalid mail queue id: %s", shown);
}

/* Every one is read before the first is done: the daemon does not wait for a slow pipe, nor does
 * the spool's lock. */
static int wish_for(struct postsuper *p, enum queue_order order, const char *id)
{
    struct wish wish = {.order = order};

    if (!queue_id_plausible(span_of(id)))
        wish.invalid = strdup(id);
    else if (!queue_id_parse(span_of(id), &wish.id))
        return 0; /* of another shape than ours: it is not there */
    if (p->wish_count == p->wish_cap) {
        size_t cap = p->wish_cap > 0 ? p->wish_cap * 2 : 64;
        struct wish *more = realloc(p->wishes, cap * sizeof *more);

        if (!more) {
            free(wish.invalid);
            return command_fatal(NAME, FAILED, "out of memory");
        }
        p->wishes = more;
        p->wish_cap = cap;
    }
    p->wishes[p->wish_count++] = wish;
    return 0;
}

static int read_input(struct postsuper *p, enum queue_order order)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = 0;

    while (rc == 0 && (len = getline(&line, &cap, stdin)) >= 0) {
        if (len > 0 && line[len - 1] == '\n')
            line[len - 1] = '\0';
        rc = wish_for(p, order, line);
    }
    free(line);
    return rc;
}

static int take_argument(struct postsuper *p, int option, const char *argument)
{
    enum queue_order order;

    if (!order_of(option, &order) || (p->all & QUEUE_ORDER_BIT(order)))
        return 0; /* of all: later */
    if (strcmp(argument, "-") == 0)
        return read_input(p, order);
    return wish_for(p, order, argument);
}

static int do_wishes(struct postsuper *p)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->wish_count; i++) {
        const struct wish *wish = &p->wishes[i];

        if (wish->invalid || p->order != wish->order || p->count == QUEUE_ORDER_IDS_MAX)
            rc = send_named(p); /* what is told stays in order */
        p->order = wish->order;
        if (wish->invalid)
            warn_invalid(wish->invalid);
        else
            p->ids[p->count++] = wish->id;
    }
    return rc == 0 ? send_named(p) : rc;
}

static void wishes_free(struct postsuper *p)
{
    for (size_t i = 0; i < p->wish_count; i++)
        free(p->wishes[i].invalid);
    free(p->wishes);
}

/* ---- the command line, read twice: whether it is one, and what it wishes for ---- */

#define OPTIONS "c:d:e:f:h:H:pr:sSv"

static unsigned totals_of(enum queue_order order)
{
    if (order == QUEUE_ORDER_EXPIRE_RELEASE)
        return QUEUE_ORDER_BIT(QUEUE_ORDER_EXPIRE) | QUEUE_ORDER_BIT(QUEUE_ORDER_RELEASE);
    return QUEUE_ORDER_BIT(order);
}

static int parse_queues(struct postsuper *p, char **names)
{
    for (; *names; names++) {
        unsigned bit = queue_name_parse(span_of(*names));

        if (bit == 0)
            return command_fatal(NAME, FAILED, "invalid directory name: %s", *names);
        p->queues |= bit;
    }
    return 0;
}

static int parse_options(struct postsuper *p, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, OPTIONS)) != -1) {
        enum queue_order order;

        if (option == '?')
            return command_fatal(NAME, FAILED, "%s", USAGE);
        if (option == 'c')
            p->ini = optarg;
        if (option == 's' || option == 'S')
            p->structure = true;
        if (!order_of(option, &order))
            continue;
        p->ordered |= totals_of(order);
        if (strcmp(optarg, "ALL") == 0)
            p->all |= QUEUE_ORDER_BIT(order);
    }
    if (p->ordered == 0)
        p->structure = true; /* as Postfix does it, before it starts */
    return parse_queues(p, argv + optind);
}

static int read_wishes(struct postsuper *p, int argc, char **argv)
{
    int option;
    int rc = 0;

    optind = 1;
    while (rc == 0 && (option = getopt(argc, argv, OPTIONS)) != -1)
        rc = optarg ? take_argument(p, option, optarg) : 0;
    return rc;
}

/* What is deleted needs nothing else any more. */
static int do_all(struct postsuper *p)
{
    static const enum queue_order sequence[] = {
        QUEUE_ORDER_DELETE,         QUEUE_ORDER_REQUEUE, QUEUE_ORDER_EXPIRE,
        QUEUE_ORDER_EXPIRE_RELEASE, QUEUE_ORDER_HOLD,    QUEUE_ORDER_RELEASE,
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof sequence / sizeof sequence[0]; i++) {
        unsigned queues = p->queues ? p->queues : queue_order_queues(sequence[i]);

        if (p->all & QUEUE_ORDER_BIT(sequence[i]))
            rc = operator_order(&p->link, sequence[i], queues, NULL, 0);
    }
    return rc;
}

static void tell_totals(const struct postsuper *p)
{
    for (int i = 0; i < QUEUE_ORDER_EXPIRE_RELEASE; i++) {
        uint64_t total = p->link.totals[i];

        if (p->ordered & QUEUE_ORDER_BIT(i))
            fprintf(stderr, NAME ": %s: %ju message%s\n", queue_order_total((enum queue_order)i),
                    (uintmax_t)total, total == 1 ? "" : "s");
    }
}

static int do_orders(struct postsuper *p, const struct config *config, int argc, char **argv)
{
    int rc = read_wishes(p, argc, argv);

    if (rc == 0)
        rc = operator_open(&p->link, NAME, config);
    if (rc != 0)
        return rc;
    rc = do_wishes(p);
    if (rc == 0)
        rc = do_all(p);
    operator_close(&p->link);
    tell_totals(p);
    return rc != 0 || p->link.failed ? FAILED : EX_OK;
}

/* ---- the structure ---- */

struct check {
    struct spool spool;
    bool damaged;
};

static void on_bad(void *ctx, const char *file, const char *why)
{
    struct check *check = ctx;

    check->damaged = true;
    command_warning(NAME, "queue file %s: %s", file, why);
}

/* Read once more, with the sum over its body. */
static void on_message(void *ctx, struct spool_file *f)
{
    struct check *check = ctx;
    struct spool_load load = {.id = f->envelope->id};
    int rc = spool_load_now(&check->spool, &load);

    if (rc == 0) {
        close(load.fd);
        spool_file_deinit(&load.file);
    } else if (rc != -ENOENT) {
        on_bad(check, load.id.text, load.err.text);
    }
}

static int check_structure(const struct config *config)
{
    struct check check = {.damaged = false};
    struct errbuf err;
    int rc = spool_open_readonly(&check.spool, config->queue_directory, &err);

    if (rc < 0)
        return command_fatal(NAME, FAILED, "%s", err.text);
    rc = spool_scan(&check.spool, on_message, on_bad, &check);
    spool_close(&check.spool);
    if (rc < 0)
        return command_fatal(NAME, FAILED, "queue directory: %s", strerror(-rc));
    return check.damaged ? FAILED : EX_OK;
}

int command_postsuper(int argc, char **argv)
{
    struct postsuper *p = calloc(1, sizeof *p);
    struct config *config = NULL;
    int rc;

    if (!p)
        return command_fatal(NAME, FAILED, "out of memory");
    rc = parse_options(p, argc, argv);
    if (rc == 0)
        rc = settings_for_command(NAME, p->ini, &config);
    if (rc == 0 && p->structure)
        rc = check_structure(config);
    if (rc == 0 && p->ordered != 0)
        rc = do_orders(p, config, argc, argv);
    config_unref(&config);
    wishes_free(p);
    free(p);
    return rc;
}
