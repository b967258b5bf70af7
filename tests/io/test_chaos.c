/*
 * Custody under random trouble: whatever the destination, the disk and the operator do, a message
 * that was answered with 250 comes to each of its recipients, whole; and twice only where the log
 * owned up to it. Once with one destination, and once with two peers and settings that make them
 * two destinations, two targets of one, or something else after each reload. And once with ways
 * out: the second peer is a relayhost, or the server of domains that have their destinations made
 * for them, or there is no way for a while.
 *
 * CHAOS_SEEDS=n tries n sequences instead of a few, CHAOS_SEED=n the one that failed.
 */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"
#include "queue/scheduler_operator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define SEEDS    6
#define OPS      120
#define MESSAGES OPS

static struct queue_fixture q;
static uint32_t seed_now;
static unsigned seed_first;

struct message {
    struct asker asker; /* first */
    unsigned recipients;
    size_t size;
};

static struct message messages[MESSAGES];
static unsigned message_count;
static const char *common; /* settings of every reload, with two peers */
static bool ways;          /* every other recipient is outside */

static unsigned dice(unsigned sides)
{
    seed_now = seed_now * 1664525 + 1013904223;
    return (seed_now >> 10) % sides;
}

/* Outside: address literals, so that nobody is asked for a name. */
static void put_address(char *buf, size_t cap, unsigned message, unsigned recipient)
{
    static const char *const outside[] = {"[127.0.0.1]", "[IPv6:::ffff:127.0.0.1]",
                                          "[IPv6:::ffff:7f00:1]"};
    const char *domain = recipient % 2 ? "b.example" : "a.example";

    if (ways && recipient % 2)
        domain = outside[message % 3];
    snprintf(buf, cap, "m%u-%u@%s", message, recipient, domain);
}

static struct lmtp_fixture *a_peer(void)
{
    return q.has_other && dice(2) ? &q.other : &q.r.lmtp;
}

static void turn(unsigned turns)
{
    while (turns-- > 0)
        loop_turn(&q.r.f);
}

/* ---- what may happen ---- */

static void submit(void)
{
    static const size_t sizes[] = {0, 32, 320, 131072, 200000};
    struct message *m = &messages[message_count];
    char recipients[200] = "";
    struct smtp_verdict verdict;

    if (message_count == MESSAGES || !intake_may_come(&q.intake, 0, &verdict))
        return;
    m->recipients = 1 + dice(3);
    m->size = sizes[dice(5)];
    for (unsigned i = 0; i < m->recipients; i++) {
        put_address(recipients + strlen(recipients), sizeof recipients - strlen(recipients),
                    message_count, i);
        strcat(recipients, " ");
    }
    message_count++;
    if (m->size > 60000) /* the fixture makes its bodies without faults */
        disk_fault_none();
    queue_submit(&q, &m->asker, recipients, m->size);
}

static void bend_a_rule(void)
{
    static const struct {
        const char *event;
        enum lmtp_action action;
        const char *text;
    } rules[] = {
        {"CONNECT", LMTP_DROP,    "421 4.3.2 full"},
        {"CONNECT", LMTP_SILENCE, NULL            },
        {"LHLO",    LMTP_RESET,   NULL            },
        {"LHLO",    LMTP_SAY,     "450 4.3.2 no"  },
        {"MAIL",    LMTP_DROP,    "421 4.4.2 idle"},
        {"MAIL",    LMTP_SAY,     "451 4.3.0 no"  },
        {"MAIL",    LMTP_SILENCE, NULL            },
        {"RCPT",    LMTP_SAY,     "450 4.2.0 no"  },
        {"RCPT",    LMTP_DROP,    NULL            },
        {"RCPT",    LMTP_SAY,     "nonsense"      },
        {"DATA",    LMTP_SAY,     "451 4.3.0 no"  },
        {"DATA",    LMTP_SILENCE, NULL            },
        {"BODY",    LMTP_RESET,   NULL            },
        {".",       LMTP_SAY,     "452 4.2.2 full"},
        {".",       LMTP_DROP,    NULL            },
        {".",       LMTP_SILENCE, NULL            },
        {"RSET",    LMTP_DROP,    NULL            },
        {"RSET",    LMTP_SILENCE, NULL            },
    };
    unsigned which = dice(sizeof rules / sizeof rules[0]);

    struct lmtp_fixture *l = a_peer();

    if (l->rule_count == LMTP_RULES_MAX)
        lmtp_no_rules(l);
    lmtp_rule(l, rules[which].event, rules[which].action, rules[which].text)->times = 1 + dice(3);
}

static void toggle_listening(void)
{
    struct lmtp_fixture *l = a_peer();

    if (l->listening && dice(2))
        lmtp_refuse(l);
    else if (l->listening)
        lmtp_down(l);
    else
        lmtp_up(l);
}

static void break_the_disk(void)
{
    static const struct {
        enum disk_call call;
        int error;
    } faults[] = {
        {DISK_PWRITEV,   ENOSPC},
        {DISK_FSYNC,     EIO   },
        {DISK_RENAME,    EIO   },
        {DISK_WRITE,     ENOSPC},
        {DISK_UNLINKAT,  EIO   },
        {DISK_FDATASYNC, EIO   },
        {DISK_OPENAT,    EMFILE},
    };
    unsigned which = dice(sizeof faults / sizeof faults[0]);

    disk_fault(faults[which].call, dice(3), 1 + dice(2), faults[which].error);
}

/* ---- the operator: everything but deleting, and expiring ---- */

static void on_ordered(void *ctx, const struct queue_order_result *result)
{
    free(ctx);
}

/* message NULL: all of them. Nobody waits for the answer. */
static void give_order(enum queue_order order, const struct message *m)
{
    struct queue_asker *asker = calloc(1, sizeof *asker);
    struct queue_order_request r;
    char words[200];
    struct text t;

    assert_non_null(asker);
    *asker = (struct queue_asker){.done = on_ordered, .ctx = asker};
    text_init(&t, words, sizeof words);
    queue_order_format(&t, order, queue_order_queues(order));
    text_cstr(&t, m ? m->asker.id.text : "ALL");
    assert_true(queue_order_parse(text_as_span(&t), &r));
    assert_true(scheduler_order(&q.scheduler, &r, asker));
}

static void order_something(void)
{
    static const enum queue_order orders[] = {QUEUE_ORDER_HOLD, QUEUE_ORDER_RELEASE,
                                              QUEUE_ORDER_REQUEUE};

    if (message_count > 0)
        give_order(orders[dice(3)], &messages[dice(message_count)]);
}

static void heal_peer(struct lmtp_fixture *l)
{
    lmtp_no_rules(l);
    lmtp_pause(l, false);
    lmtp_release(l);
}

static void heal(void)
{
    disk_fault_none();
    heal_peer(&q.r.lmtp);
    if (q.has_other)
        heal_peer(&q.other);
}

/* Settings for two peers, by number: formats for the ports of both. */
static const char *two_peers(unsigned which)
{
    static const char *const rows[] = {
        "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n"
        "relay_transport = lmtp:[127.0.0.1]:%u\n",
        "relay_transport = lmtp:[127.0.0.1]:%u\n"
        "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n",
        "relay_transport = lmtp:[127.0.0.1]:%u, lmtp:[127.0.0.1]:%u\n",
        "relay_transport = lmtp:[127.0.0.1]:%1$u\n"
        "transport_maps = inline:{ {b.example=lmtp:[127.0.0.1]:%2$u, lmtp:[127.0.0.1]:%1$u} }\n",
        "relay_transport = lmtp:[127.0.0.1]:%u\n#%u\n",
    };
    static const char *const out[] = {
        "relay_transport = lmtp:[127.0.0.1]:%u\noutbound = direct\nsmtp_tcp_port = %u\n",
        "relay_transport = lmtp:[127.0.0.1]:%u\nrelayhost = [127.0.0.1]:%u\n",
        "relay_transport = lmtp:[127.0.0.1]:%1$u\n"
        "relayhost = [127.0.0.1]:%2$u, [127.0.0.1]:%1$u\n",
        "relay_transport = lmtp:[127.0.0.1]:%1$u\noutbound = direct\nsmtp_tcp_port = %2$u\n"
        "transport_maps = inline:{ a.example=smtp:[127.0.0.1]:%1$u }\n",
        "relay_transport = lmtp:[127.0.0.1]:%u\n#%u\n",
    };
    static char ini[1400];

    snprintf(ini, sizeof ini, "%s%s", common, ways ? out[which] : rows[which]);
    return ini;
}

static void reload(void)
{
    char ini[1700];

    if (q.has_other) {
        queue_reload_two(&q, two_peers(dice(5)));
        return;
    }
    snprintf(ini, sizeof ini, "%sdefault_destination_concurrency_limit = %u\n", q.ini, 1 + dice(4));
    queue_reload(&q, ini);
}

static void restart(void)
{
    heal();
    queue_stop(&q);
    queue_start(&q);
}

static void toggle_pause(struct lmtp_fixture *l)
{
    lmtp_pause(l, !l->paused);
}

static void something(void)
{
    unsigned what = dice(100);

    if (what < 45)
        submit();
    else if (what < 65)
        bend_a_rule();
    else if (what < 71)
        toggle_listening();
    else if (what < 74)
        lmtp_drop_all(a_peer());
    else if (what < 77)
        toggle_pause(a_peer());
    else if (what < 81)
        lmtp_release(a_peer());
    else if (what < 84)
        scheduler_flush(&q.scheduler, NULL);
    else if (what < 86)
        order_something();
    else if (what < 93)
        break_the_disk();
    else if (what < 96)
        heal();
    else if (what < 98)
        reload();
    else
        restart();
}

/* ---- and what must be so afterwards ---- */

static bool all_over(void)
{
    if (dice(8) == 0)
        scheduler_flush(&q.scheduler, NULL);
    if (dice(16) == 0)
        give_order(QUEUE_ORDER_RELEASE, NULL);
    return q.intake.in_flight == 0 && scheduler_idle(&q.scheduler) && !q.scheduler.entries;
}

/* What the test waits for in vain. */
static void print_left(void)
{
    struct queue_entry *first, *next;

    print_message("seed %u: %u of the intake, %u runs, %u batches\n", seed_first,
                  (unsigned)q.intake.in_flight, (unsigned)q.scheduler.run_count,
                  (unsigned)q.scheduler.batches);
    for (struct queue_run *run = q.scheduler.runs; run; run = run->next) {
        const struct upstream *u = run->delivery.upstream;

        print_message("%s runs, delivering %d", run->entry->id.text, run->delivering);
        if (run->delivering && u)
            print_message(", to port %u: health %d, %u sessions, %u opening, %u active, %u waiting",
                          (unsigned)u->route.port, (int)u->health, u->session_count, u->opening,
                          u->active, u->waiting);
        print_message("\n");
    }
    HASH_ITER(hh, q.scheduler.entries, first, next) {
        for (struct queue_entry *e = first; e; e = queue_part_next(first, e))
            print_message("%s for %s: state %d, attempts %u\n", e->id.text,
                          e->destination ? e->destination->text : "none", (int)e->state,
                          e->attempts);
    }
    print_message("%s\n", q.r.lines ? q.r.lines : "");
}

static void wait_until_all_is_over(void)
{
    uint64_t until = uv_hrtime() / 1000000 + LOOP_PATIENCE_MS;

    while (!all_over() && uv_hrtime() / 1000000 < until)
        loop_turn(&q.r.f);
    if (!all_over())
        print_left();
    assert_true(all_over());
}

/* How often it came to this peer; the test fails when it came in pieces. */
static unsigned count_at(const struct lmtp_fixture *l, const char *address, size_t size)
{
    unsigned count = 0;

    for (size_t i = 0; i < l->delivered_count; i++) {
        if (strcmp(l->delivered[i].recipient, address) != 0)
            continue;
        count++;
        if (!queue_is_body_at(l, i, size))
            fail_msg("seed %u: %s came in pieces", seed_first, address);
    }
    return count;
}

/* How often more than once; the test fails when it is not at all. */
static unsigned check_recipient(const struct message *m, unsigned number, unsigned recipient)
{
    char address[80];
    unsigned count;

    put_address(address, sizeof address, number, recipient);
    count = count_at(&q.r.lmtp, address, m->size);
    if (q.has_other)
        count += count_at(&q.other, address, m->size);
    if (m->asker.verdict.code == 250 && count == 0)
        fail_msg("seed %u: %s was promised (%s) and never came", seed_first, address,
                 m->asker.verdict.line);
    return m->asker.verdict.code == 250 && count > 1 ? count - 1 : 0;
}

static void check_all(void)
{
    unsigned owned = relay_logged(&q.r, "may be sent more than once") +
                     relay_logged(&q.r, "(after a crash it may be sent again)") +
                     relay_logged(&q.r, "its file cannot be removed");
    unsigned extra = 0;

    for (unsigned i = 0; i < message_count; i++) {
        assert_int_equal(messages[i].asker.answers, 1);
        for (unsigned k = 0; k < messages[i].recipients; k++)
            extra += check_recipient(&messages[i], i, k);
    }
    /* a line about a message owns up for each of its recipients */
    if (extra > 3 * owned)
        fail_msg("seed %u: %u came too often, the log tells of %u", seed_first, extra, owned);
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(q.scheduler.held_bytes, 0);
}

static void one_sequence(unsigned seed, bool two)
{
    char ini[900];

    seed_first = seed;
    seed_now = seed * 2654435761u;
    memset(messages, 0, sizeof messages);
    message_count = 0;
    snprintf(ini, sizeof ini,
             "relay_domains = a.example b.example\n"
             "delivery_mode = %s\ndirect_timeout = 100ms\ndestination_probe_max = 500ms\n"
             "lmtp_connect_timeout = 200ms\nlmtp_mail_timeout = 150ms\nlmtp_rcpt_timeout = 150ms\n"
             "lmtp_data_init_timeout = 150ms\nlmtp_data_xfer_timeout = 150ms\n"
             "lmtp_data_done_timeout = 200ms\nlmtp_rset_timeout = 200ms\n"
             "smtp_connect_timeout = 200ms\nsmtp_mail_timeout = 150ms\nsmtp_rcpt_timeout = 150ms\n"
             "smtp_data_init_timeout = 150ms\nsmtp_data_xfer_timeout = 150ms\n"
             "smtp_data_done_timeout = 200ms\nsmtp_rset_timeout = 200ms\n"
             "bounce_queue_lifetime = 5s\nlmtp_connection_idle_time = 300ms\n"
             "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n",
             dice(2) ? "queue" : "direct");
    print_message("seed %u\n", seed);
    common = ini;
    if (two)
        queue_begin_two(&q, two_peers(dice(5)));
    else
        queue_begin(&q, ini);
    q.litter = true;
    for (unsigned i = 0; i < OPS; i++) {
        something();
        turn(dice(5) ? dice(3) : dice(40)); /* in bursts; and at times long enough for timeouts */
    }
    heal();
    if (!q.r.lmtp.listening)
        lmtp_up(&q.r.lmtp);
    if (two && !q.other.listening)
        lmtp_up(&q.other);
    if (ways) /* where there is one */
        queue_reload_two(&q, two_peers(dice(4)));
    wait_until_all_is_over();
    check_all();
    queue_end(&q);
}

static void sequences(bool two)
{
    const char *one = getenv("CHAOS_SEED");
    const char *many = getenv("CHAOS_SEEDS");
    unsigned seeds = many ? (unsigned)strtoul(many, NULL, 10) : SEEDS;

    if (one) {
        one_sequence((unsigned)strtoul(one, NULL, 10), two);
        return;
    }
    for (unsigned seed = 1; seed <= seeds; seed++)
        one_sequence(seed, two);
}

static void nothing_promised_is_lost(void **state)
{
    sequences(false);
}

static void nothing_is_lost_between_two_peers(void **state)
{
    sequences(true);
}

static void nothing_is_lost_on_its_way_out(void **state)
{
    ways = true;
    sequences(true);
    ways = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_promised_is_lost),
        cmocka_unit_test(nothing_is_lost_between_two_peers),
        cmocka_unit_test(nothing_is_lost_on_its_way_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
