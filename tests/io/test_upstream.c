/* Tests of relay/upstream: sessions, health and who is served when, against a peer that misbehaves.
 */
#include "dns_fixture.h"
#include "relay_fixture.h"

#include "base/clock.h"
#include "relay/upstream_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JOBS 12

struct job {
    struct upstream_job job; /* first */
    struct envelope *envelope;
    size_t indices[8];
    unsigned begun, ended;
    unsigned sent, failed, later, destination; /* results by blame */
    enum upstream_end end;
    char why[600];
    char dsn[12];
    bool hold_body; /* gives no body until the test does */
    bool abort_body;
    unsigned bodies;
    unsigned position; /* in the order of begin, from 1 */
    struct job *then;  /* submitted from within on_end */
};

static struct relay_fixture r;
static struct upstream u;
static struct job jobs[JOBS];
static unsigned begun_count, ups;
static bool closed;

/* ---- jobs ---- */

static void submit(struct job *j);

static void on_begin(struct upstream_job *job)
{
    struct job *j = (struct job *)job;

    assert_int_equal(j->ended, 0);
    if (j->begun++ == 0)
        j->position = ++begun_count;
}

static void on_result(struct upstream_job *job, size_t position, enum client_blame blame,
                      enum client_step step, const struct smtp_reply *reply)
{
    struct job *j = (struct job *)job;
    char words[2000];
    struct text t;

    text_init(&t, words, sizeof words);
    upstream_said(job, step, reply, &t);
    assert_int_equal(j->ended, 0);
    assert_true(position < job->t.count);
    j->sent += blame == CLIENT_BLAME_NONE;
    j->failed += blame == CLIENT_BLAME_RECIPIENT;
    j->later += blame == CLIENT_BLAME_LATER;
    j->destination += blame == CLIENT_BLAME_DESTINATION;
}

static void give_body(struct job *j)
{
    upstream_job_body(&j->job, SPAN_LIT("Subject: x\r\n\r\nhello\r\n"));
    upstream_job_body_end(&j->job);
}

static void on_body(struct upstream_job *job)
{
    struct job *j = (struct job *)job;

    j->bodies++;
    if (j->abort_body)
        upstream_job_abort(job, "the body cannot be read");
    else if (!j->hold_body)
        give_body(j);
}

static void on_drained(struct upstream_job *job)
{
}

static void on_end(struct upstream_job *job, enum upstream_end end, const char *dsn,
                   const char *why)
{
    struct job *j = (struct job *)job;

    assert_int_equal(j->ended, 0);
    j->ended++;
    j->end = end;
    snprintf(j->why, sizeof j->why, "%s", why);
    snprintf(j->dsn, sizeof j->dsn, "%s", dsn);
    if (j->then)
        submit(j->then);
}

static const struct upstream_job_events job_events = {.on_begin = on_begin,
                                                      .on_result = on_result,
                                                      .on_body = on_body,
                                                      .on_drained = on_drained,
                                                      .on_end = on_end};

static struct job *job_new(size_t index, const char *recipients)
{
    struct job *j = &jobs[index];

    j->envelope = relay_envelope("bob@example.org", recipients);
    for (size_t i = 0; i < j->envelope->recipient_count; i++)
        j->indices[i] = i;
    j->job.events = &job_events;
    j->job.t.envelope = j->envelope;
    j->job.t.indices = j->indices;
    j->job.t.count = j->envelope->recipient_count;
    j->job.t.size = 21;
    return j;
}

static void submit(struct job *j)
{
    upstream_submit(&u, &j->job);
}

static struct job *submit_new(size_t index)
{
    struct job *j = job_new(index, "ann@example.com");

    submit(j);
    return j;
}

static void finish(struct job *j)
{
    loop_wait(&r.f, j->ended == 1);
}

/* ---- around them ---- */

static void on_up(void *ctx, struct upstream *up)
{
    assert_ptr_equal(up, &u);
    ups++;
}

static void begin_with(const char *ini, const char *transport)
{
    struct route route;
    struct errbuf err = {""};

    relay_begin(&r, ini);
    r.context.on_up = on_up;
    memset(jobs, 0, sizeof jobs);
    begun_count = ups = 0;
    closed = false;
    assert_int_equal(
        route_parse(span_of(transport ? transport : r.config->relay_transport), &route, &err), 0);
    upstream_init(&u, &r.context, &route);
}

static void begin(const char *ini)
{
    begin_with(ini, NULL);
}

static void on_closed(void *ctx, struct upstream *up)
{
    assert_false(closed);
    closed = true;
}

static void close_upstream(void)
{
    upstream_close(&u, on_closed, NULL);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].job.upstream ? jobs[i].ended : 1, 1);
    loop_wait(&r.f, closed);
    assert_null(u.sessions);
    assert_int_equal(u.session_count, 0);
    assert_int_equal(u.opening, 0);
    assert_int_equal(u.active, 0);
    assert_int_equal(u.waiting, 0);
}

static void end(void)
{
    if (!closed)
        close_upstream();
    for (size_t i = 0; i < JOBS; i++)
        envelope_free(&jobs[i].envelope);
    relay_end(&r);
}

static bool is_idle(void)
{
    return u.sessions && u.sessions->idle;
}

/* ---- sessions ---- */

static void a_session_is_used_again(void **state)
{
    begin("");
    finish(submit_new(0));
    assert_int_equal(jobs[0].end, UPSTREAM_END_FINISHED);
    assert_int_equal(jobs[0].sent, 1);
    assert_int_equal(jobs[0].job.conn_use, 1);
    assert_int_equal(u.health, UPSTREAM_UP);
    assert_int_equal(ups, 1);
    finish(submit_new(1));
    assert_int_equal(jobs[1].sent, 1);
    assert_int_equal(jobs[1].job.conn_use, 2);
    assert_int_equal(r.lmtp.accepted, 1);
    assert_int_equal(lmtp_delivered_to(&r.lmtp, "ann@example.com"), 2);
    end();
}

static void no_more_sessions_than_allowed(void **state)
{
    begin("default_destination_concurrency_limit = 3\n");
    for (size_t i = 0; i < JOBS; i++)
        submit_new(i);
    for (size_t i = 0; i < JOBS; i++)
        finish(&jobs[i]);
    assert_int_equal(r.lmtp.delivered_count, JOBS);
    assert_in_range(r.lmtp.most_open, 1, 3);
    end();
}

static void an_unused_session_says_quit(void **state)
{
    begin("lmtp_connection_idle_time = 50ms\n");
    finish(submit_new(0));
    loop_wait(&r.f, r.lmtp.quits == 1 && u.session_count == 0);
    end();
}

static void no_idle_time_means_one_use(void **state)
{
    begin("lmtp_connection_idle_time = 0\n");
    finish(submit_new(0));
    finish(submit_new(1));
    loop_wait(&r.f, r.lmtp.quits == 2 && u.session_count == 0);
    assert_int_equal(r.lmtp.accepted, 2);
    end();
}

static void a_session_is_used_as_often_as_it_may(void **state)
{
    begin("lmtp_connection_reuse_count_limit = 2\n");
    for (size_t i = 0; i < 5; i++)
        finish(submit_new(i));
    loop_wait(&r.f, r.lmtp.quits == 2);
    assert_int_equal(r.lmtp.accepted, 3);
    assert_int_equal(r.lmtp.delivered_count, 5);
    end();
}

static void a_session_is_used_as_long_as_it_may(void **state)
{
    uint64_t until_ms;

    begin("lmtp_connection_reuse_time_limit = 200ms\n");
    finish(submit_new(0));
    finish(submit_new(1));
    assert_int_equal(r.lmtp.accepted, 1);
    until_ms = clock_mono_ms() + 250;
    loop_wait(&r.f, clock_mono_ms() >= until_ms);
    finish(submit_new(2));
    loop_wait(&r.f, r.lmtp.quits == 1 && u.session_count == 0);
    assert_int_equal(r.lmtp.accepted, 1);
    finish(submit_new(3));
    assert_int_equal(r.lmtp.accepted, 2);
    end();
}

static void a_peer_that_ignores_quit_is_left(void **state)
{
    begin("lmtp_connection_idle_time = 0\n");
    lmtp_rule(&r.lmtp, "QUIT", LMTP_SILENCE, NULL);
    finish(submit_new(0));
    loop_wait(&r.f, u.session_count == 0); /* lmtp_quit_timeout */
    assert_int_equal(u.health, UPSTREAM_UP);
    end();
}

static void an_idle_session_that_the_peer_closes_is_no_trouble(void **state)
{
    begin("");
    finish(submit_new(0));
    loop_wait(&r.f, is_idle());
    lmtp_drop_all(&r.lmtp);
    loop_wait(&r.f, u.session_count == 0);
    assert_int_equal(u.health, UPSTREAM_UP);
    finish(submit_new(1));
    assert_int_equal(jobs[1].sent, 1);
    end();
}

static void a_dead_reused_session_costs_nothing(void **state)
{
    static const char *const steps[] = {"MAIL", "RCPT", "DATA"};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        begin("");
        r.lmtp.offers = "8BITMIME"; /* one command at a time */
        finish(submit_new(0));
        lmtp_rule(&r.lmtp, steps[i], LMTP_DROP, NULL)->times = 1;
        finish(submit_new(1));
        assert_int_equal(jobs[1].end, UPSTREAM_END_FINISHED);
        assert_int_equal(jobs[1].sent, 1);
        assert_int_equal(jobs[1].begun, 2);
        assert_int_equal(jobs[1].job.conn_use, 1);
        assert_int_equal(r.lmtp.accepted, 2);
        assert_int_equal(u.health, UPSTREAM_UP);
        end();
    }
}

static void it_is_tried_again_once_only(void **state)
{
    begin("");
    finish(submit_new(0));
    lmtp_rule(&r.lmtp, "MAIL", LMTP_DROP, NULL);
    finish(submit_new(1));
    assert_int_equal(jobs[1].end, UPSTREAM_END_BROKEN);
    assert_int_equal(jobs[1].begun, 2);
    assert_string_equal(jobs[1].dsn, "4.4.2");
    end();
}

/* The one place is taken by a session that another job used: it goes for the sake of the retry. */
static void a_retry_gets_a_place(void **state)
{
    begin("lmtp_destination_concurrency_limit = 1\n");
    r.lmtp.offers = "8BITMIME"; /* one command at a time */
    finish(submit_new(0));
    lmtp_rule(&r.lmtp, "MAIL", LMTP_DROP, NULL)->times = 1;
    submit_new(1);
    job_new(2, "ann@example.com")->job.urgent = true;
    submit(&jobs[2]);
    finish(&jobs[2]);
    finish(&jobs[1]);
    assert_int_equal(jobs[1].begun, 2);
    assert_int_equal(jobs[1].sent + jobs[2].sent, 2);
    end();
}

static void a_farewell_on_a_reused_session_likewise(void **state)
{
    begin("");
    finish(submit_new(0));
    lmtp_rule(&r.lmtp, "MAIL", LMTP_DROP, "421 4.4.2 you were idle too long")->times = 1;
    finish(submit_new(1));
    assert_int_equal(jobs[1].sent, 1);
    assert_int_equal(jobs[1].begun, 2);
    end();
}

static void a_fresh_session_that_dies_is_trouble(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "MAIL", LMTP_DROP, NULL);
    finish(submit_new(0));
    assert_int_equal(jobs[0].end, UPSTREAM_END_BROKEN);
    assert_int_equal(jobs[0].begun, 1);
    assert_non_null(strstr(jobs[0].why, "lost connection with 127.0.0.1[127.0.0.1]"));
    end();
}

/* ---- health ---- */

static void a_refused_connect_means_down(void **state)
{
    begin("");
    lmtp_down(&r.lmtp);
    for (size_t i = 0; i < 4; i++)
        submit_new(i);
    for (size_t i = 0; i < 4; i++) {
        finish(&jobs[i]);
        assert_int_equal(jobs[i].end, UPSTREAM_END_DOWN);
        assert_string_equal(jobs[i].dsn, "4.4.1");
        assert_non_null(strstr(jobs[i].why, "Connection refused"));
        assert_string_equal(jobs[i].job.relay, "none");
    }
    assert_int_equal(u.health, UPSTREAM_DOWN);
    submit_new(4);
    assert_int_equal(jobs[4].ended, 1); /* at once */
    assert_non_null(strstr(jobs[4].why, "delivery temporarily suspended: connect to"));
    assert_int_equal(relay_logged(&r, "is down"), 1);
    end();
}

static void several_that_fail_together_count_once(void **state)
{
    begin("");
    lmtp_down(&r.lmtp);
    for (size_t i = 0; i < 5; i++)
        submit_new(i);
    loop_wait(&r.f, u.health == UPSTREAM_DOWN && u.session_count == 0);
    assert_in_range(u.probes, 1, 2);
    end();
}

static void a_probe_finds_it_up_again(void **state)
{
    begin("");
    lmtp_down(&r.lmtp);
    finish(submit_new(0));
    assert_int_equal(ups, 0);
    lmtp_up(&r.lmtp);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
    assert_int_equal(ups, 1);
    assert_int_equal(relay_logged(&r, "is up again"), 1);
    assert_string_equal(u.why, "");
    finish(submit_new(1));
    assert_int_equal(jobs[1].sent, 1);
    assert_int_equal(r.lmtp.accepted, 1); /* the probe's session is used */
    end();
}

static void probes_go_on_while_it_is_down(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "CONNECT", LMTP_DROP, "421 4.3.2 not now");
    finish(submit_new(0));
    assert_int_equal(jobs[0].end, UPSTREAM_END_DOWN);
    loop_wait(&r.f, r.lmtp.accepted >= 4);
    assert_int_equal(relay_logged(&r, "is down"), 1);
    assert_in_range(r.lmtp.most_open, 1, 1);
    lmtp_no_rules(&r.lmtp);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
    end();
}

/* Whatever the peer says before it has accepted us is its trouble, not the mail's. */
static void a_refusal_to_talk_means_down(void **state)
{
    static const struct {
        const char *event, *text;
    } refusals[] = {
        {"CONNECT", "554 5.7.1 go away"       },
        {"CONNECT", "HTTP/1.1 400 Bad Request"},
        {"CONNECT", "354 what"                },
        {"LHLO",    "550 5.7.1 not you"       },
        {"LHLO",    "450 4.3.2 not now"       },
        {"LHLO",    "nonsense"                },
    };

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        begin("relay_protocol_fallback = no\n");
        lmtp_rule(&r.lmtp, refusals[i].event, LMTP_SAY, refusals[i].text);
        finish(submit_new(0));
        assert_int_equal(jobs[0].end, UPSTREAM_END_DOWN);
        assert_int_equal(jobs[0].dsn[0], '4');
        assert_int_equal(u.health, UPSTREAM_DOWN);
        end();
    }
}

static void silence_before_the_greeting_means_down(void **state)
{
    begin("lmtp_connect_timeout = 200ms\n");
    lmtp_rule(&r.lmtp, "CONNECT", LMTP_SILENCE, NULL);
    for (size_t i = 0; i < 3; i++)
        submit_new(i);
    for (size_t i = 0; i < 3; i++) {
        finish(&jobs[i]);
        assert_int_equal(jobs[i].end, UPSTREAM_END_DOWN);
        assert_non_null(strstr(jobs[i].why, "timed out"));
    }
    end();
}

static void silence_after_lhlo_is_within_the_same_limit(void **state)
{
    begin("lmtp_connect_timeout = 200ms\nlmtp_lhlo_timeout = 1h\n");
    lmtp_rule(&r.lmtp, "LHLO", LMTP_SILENCE, NULL);
    finish(submit_new(0));
    assert_int_equal(jobs[0].end, UPSTREAM_END_DOWN);
    end();
}

static void a_name_that_does_not_resolve_means_down(void **state)
{
    begin_with("dns_timeout = 100ms\n", "lmtp:upstream.example.net:24");
    finish(submit_new(0));
    assert_int_equal(jobs[0].end, UPSTREAM_END_DOWN);
    assert_non_null(strstr(jobs[0].why, "connect to upstream.example.net"));
    end();
}

static void a_missing_unix_socket_means_down(void **state)
{
    begin_with("", "lmtp:unix:/nonexistent/lmtp");
    finish(submit_new(0));
    assert_int_equal(jobs[0].end, UPSTREAM_END_DOWN);
    assert_non_null(strstr(jobs[0].why, "[/nonexistent/lmtp]: No such file or directory"));
    end();
}

/* It serves others: a limit of connections, not an outage. */
static void an_extra_session_that_is_refused_is_no_outage(void **state)
{
    begin("");
    finish(submit_new(0));
    lmtp_rule(&r.lmtp, "CONNECT", LMTP_DROP, "421 4.3.2 too many connections");
    lmtp_rule(&r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    submit_new(1);
    loop_wait(&r.f, r.lmtp.mails == 2);
    submit_new(2);
    loop_wait(&r.f, r.lmtp.accepted == 2 && u.session_count == 1);
    assert_int_equal(u.health, UPSTREAM_UP);
    assert_int_equal(u.waiting, 1);
    lmtp_release(&r.lmtp);
    finish(&jobs[1]);
    finish(&jobs[2]);
    assert_int_equal(jobs[2].sent, 1);
    end();
}

/* Nobody comes back to it but the timer. */
static void and_is_asked_for_again_soon(void **state)
{
    begin("");
    finish(submit_new(0));
    lmtp_rule(&r.lmtp, "CONNECT", LMTP_DROP, "421 4.3.2 too many connections")->times = 1;
    lmtp_rule(&r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    submit_new(1);
    loop_wait(&r.f, r.lmtp.mails == 2);
    finish(submit_new(2));
    assert_int_equal(jobs[2].sent, 1);
    assert_int_equal(jobs[1].ended, 0);
    lmtp_release(&r.lmtp);
    finish(&jobs[1]);
    end();
}

/* The time without openings ends with the outage that came meanwhile: the timer has another use. */
static void and_an_outage_ends_that(void **state)
{
    begin("");
    finish(submit_new(0));
    lmtp_rule(&r.lmtp, "CONNECT", LMTP_DROP, "421 4.3.2 too many connections")->times = 1;
    lmtp_rule(&r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    submit_new(1);
    loop_wait(&r.f, r.lmtp.mails == 2);
    submit_new(2);
    loop_wait(&r.f, u.hold_opening_until_ms != 0);
    lmtp_down(&r.lmtp);
    upstream_probe(&u);
    loop_wait(&r.f, u.health == UPSTREAM_DOWN && u.opening == 0);
    lmtp_no_rules(&r.lmtp);
    lmtp_up(&r.lmtp);
    upstream_end_pause(&u);
    finish(submit_new(3));
    assert_int_equal(jobs[3].sent, 1);
    end();
}

/* The first of its addresses swallows packets. */
static void a_dead_address_does_not_cost_the_others(void **state)
{
    struct dns_fixture dns;
    struct sockaddr_in hole;
    struct errbuf err = {""};
    char transport[60];
    int fds[3];

    begin_with("lmtp_connect_timeout = 1s\n", "lmtp:[192.0.2.1]:24");
    dns_begin(&dns, &r.f);
    dns_add(&dns, "upstream.example.net", DNS_A, "127.0.0.2");
    dns_add(&dns, "upstream.example.net", DNS_A, "127.0.0.1");
    assert_int_equal(ares_set_servers_ports_csv(r.resolver.channel, dns.servers), ARES_SUCCESS);
    snprintf(transport, sizeof transport, "lmtp:upstream.example.net:%u", (unsigned)r.lmtp.port);
    assert_int_equal(route_parse(span_of(transport), &u.route, &err), 0);
    /* a queue of one that is full: no answer to any SYN */
    assert_int_equal(uv_ip4_addr("127.0.0.2", r.lmtp.port, &hole), 0);
    for (size_t i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (i == 0) {
            assert_int_equal(bind(fds[0], (struct sockaddr *)&hole, sizeof hole), 0);
            assert_int_equal(listen(fds[0], 0), 0);
        } else {
            connect(fds[i], (struct sockaddr *)&hole, sizeof hole);
        }
    }
    finish(submit_new(0));
    assert_int_equal(jobs[0].end, UPSTREAM_END_FINISHED);
    assert_string_equal(u.sessions->host, "upstream.example.net[127.0.0.1]");
    for (size_t i = 0; i < 3; i++)
        peer_close(fds[i]);
    dns_end(&dns);
    end();
}

/* ---- after an outage ---- */

/* The peer's host is there and refuses, but what it said yes to before is not answered any more. */
static void a_conversation_that_stands_still_is_no_sign_of_life(void **state)
{
    begin("lmtp_connect_timeout = 100ms\n");
    lmtp_rule(&r.lmtp, "MAIL", LMTP_SILENCE, NULL);
    submit_new(0);
    loop_wait(&r.f, r.lmtp.mails == 1);
    lmtp_refuse(&r.lmtp);
    loop_wait(&r.f, clock_mono_ms() - u.sessions->progress_ms > 100);
    finish(submit_new(1));
    assert_int_equal(jobs[1].end, UPSTREAM_END_DOWN);
    assert_int_equal(jobs[0].ended, 0);
    end();
}

static void outage(const char *step)
{
    begin("default_destination_concurrency_limit = 2\nlmtp_connect_timeout = 100ms\n");
    lmtp_rule(&r.lmtp, step, LMTP_SILENCE, NULL);
    submit_new(0);
    submit_new(1);
    loop_wait(&r.f, r.lmtp.rules[0].used == 2);
    lmtp_refuse(&r.lmtp);
    loop_wait(&r.f, clock_mono_ms() - u.sessions->progress_ms > 100 &&
                        clock_mono_ms() - u.sessions->next->progress_ms > 100);
    upstream_probe(&u);
    loop_wait(&r.f, u.health == UPSTREAM_DOWN);
    lmtp_no_rules(&r.lmtp);
    lmtp_up(&r.lmtp);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
}

static void what_hangs_before_the_dot_is_broken_off(void **state)
{
    outage("RCPT");
    for (size_t i = 0; i < 2; i++) {
        finish(&jobs[i]);
        assert_int_equal(jobs[i].end, UPSTREAM_END_BROKEN);
        assert_non_null(strstr(jobs[i].why, "timed out while sending"));
    }
    finish(submit_new(2));
    assert_int_equal(jobs[2].sent, 1);
    end();
}

static void what_hangs_after_the_dot_stands_in_nobodys_way(void **state)
{
    outage(".");
    assert_int_equal(u.stale, 2);
    for (size_t i = 2; i < 6; i++)
        submit_new(i);
    for (size_t i = 2; i < 6; i++) {
        finish(&jobs[i]);
        assert_int_equal(jobs[i].sent, 1);
    }
    assert_in_range(r.lmtp.most_open, 3, 4);
    assert_int_equal(jobs[0].ended + jobs[1].ended, 0);
    lmtp_release(&r.lmtp); /* it comes after all */
    finish(&jobs[0]);
    finish(&jobs[1]);
    assert_int_equal(jobs[0].sent + jobs[1].sent, 2);
    loop_wait(&r.f, u.stale == 0);
    end();
}

static void a_slow_answer_during_a_short_outage_is_waited_for(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 1;
    submit_new(0);
    loop_wait(&r.f, r.lmtp.mails == 1);
    u.health = UPSTREAM_DOWN; /* a moment ago */
    u.down_ms = clock_mono_ms() + 1;
    upstream_probe(&u);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
    lmtp_release(&r.lmtp);
    finish(&jobs[0]);
    assert_int_equal(jobs[0].sent, 1);
    end();
}

/* ---- trouble in the middle ---- */

static void broken_in_the_middle(void **state)
{
    static const char *const steps[] = {"MAIL", "RCPT", "DATA", "BODY", "."};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (int reset = 0; reset < 2; reset++) {
            begin("");
            r.lmtp.offers = i % 2 == 0 ? "PIPELINING" : "8BITMIME";
            lmtp_rule(&r.lmtp, steps[i], reset ? LMTP_RESET : LMTP_DROP, NULL)->times = 1;
            finish(submit_new(0));
            assert_int_equal(jobs[0].end, UPSTREAM_END_BROKEN);
            assert_string_equal(jobs[0].dsn, "4.4.2");
            assert_int_equal(jobs[0].sent + jobs[0].failed, 0);
            finish(submit_new(1)); /* it is suspected, not given up */
            assert_int_equal(jobs[1].sent, 1);
            end();
        }
    }
}

static void silence_in_the_middle(void **state)
{
    static const char *const steps[] = {"MAIL", "RCPT", "DATA", "."};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        begin("lmtp_mail_timeout = 100ms\nlmtp_rcpt_timeout = 100ms\n"
              "lmtp_data_init_timeout = 100ms\nlmtp_data_done_timeout = 100ms\n");
        r.lmtp.offers = "8BITMIME";
        lmtp_rule(&r.lmtp, steps[i], LMTP_SILENCE, NULL);
        finish(submit_new(0));
        assert_int_equal(jobs[0].end, UPSTREAM_END_BROKEN);
        assert_non_null(strstr(jobs[0].why, "timed out while"));
        assert_int_equal(strstr(jobs[0].why, "may be sent more than once") != NULL, i == 3);
        end();
    }
}

static void what_was_said_before_it_broke_counts(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, ".", LMTP_DROP, NULL)->contains = "joe@";
    submit(job_new(0, "ann@example.com joe@example.com"));
    finish(&jobs[0]);
    assert_int_equal(jobs[0].end, UPSTREAM_END_BROKEN);
    assert_int_equal(jobs[0].sent, 1);
    end();
}

static void a_body_that_cannot_be_read(void **state)
{
    struct job *j;

    begin("");
    j = job_new(0, "ann@example.com");
    j->abort_body = true;
    submit(j);
    finish(j);
    assert_int_equal(j->end, UPSTREAM_END_BROKEN);
    assert_non_null(strstr(j->why, "the body cannot be read"));
    assert_int_equal(r.lmtp.delivered_count, 0);
    loop_wait(&r.f, r.lmtp.open <= 1);
    end();
}

static void refused_recipients_do_not_hinder_others(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    lmtp_rule(&r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "eve@";
    submit(job_new(0, "ann@example.com joe@example.com eve@example.com"));
    finish(&jobs[0]);
    assert_int_equal(jobs[0].end, UPSTREAM_END_FINISHED);
    assert_int_equal(jobs[0].sent, 1);
    assert_int_equal(jobs[0].failed, 1);
    assert_int_equal(jobs[0].later, 1);
    end();
}

static void a_hanging_reset_does_not_hold_up_the_next_for_ever(void **state)
{
    begin("default_destination_concurrency_limit = 1\nlmtp_rset_timeout = 100ms\n");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->times = 1;
    lmtp_rule(&r.lmtp, "RSET", LMTP_SILENCE, NULL)->times = 1;
    r.lmtp.offers = "";
    finish(submit_new(0));
    assert_int_equal(jobs[0].failed, 1);
    finish(submit_new(1));
    assert_int_equal(jobs[1].sent, 1);
    end();
}

/* Part of a reply that nobody asked for: whatever is sent next would be answered by it. */
static void surplus_bytes_on_an_idle_session(void **state)
{
    begin("");
    finish(submit_new(0));
    loop_wait(&r.f, is_idle());
    client_input(&u.sessions->client, SPAN_LIT("250 2"));
    finish(submit_new(1));
    assert_int_equal(jobs[1].sent, 1); /* on another one */
    assert_int_equal(r.lmtp.accepted, 2);
    end();
}

/* ---- cancel ---- */

static void cancel_while_waiting(void **state)
{
    begin("default_destination_concurrency_limit = 1\n");
    lmtp_rule(&r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    submit_new(0);
    loop_wait(&r.f, r.lmtp.mails == 1);
    submit_new(1);
    submit_new(2);
    assert_true(upstream_cancel(&jobs[1].job));
    jobs[1].job.upstream = NULL;
    lmtp_release(&r.lmtp);
    finish(&jobs[0]);
    finish(&jobs[2]);
    assert_int_equal(jobs[1].begun + jobs[1].ended, 0);
    end();
}

static void cancel_before_the_dot(void **state)
{
    begin("default_destination_concurrency_limit = 1\n");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 1;
    submit_new(0);
    loop_wait(&r.f, r.lmtp.mails == 1);
    submit_new(1);
    assert_true(upstream_cancel(&jobs[0].job));
    jobs[0].job.upstream = NULL;
    finish(&jobs[1]); /* its place is free */
    assert_int_equal(jobs[0].ended, 0);
    assert_int_equal(r.lmtp.delivered_count, 1);
    end();
}

static void cancel_within_the_body(void **state)
{
    struct job *j;

    begin("");
    j = job_new(0, "ann@example.com");
    j->hold_body = true;
    submit(j);
    loop_wait(&r.f, j->bodies == 1);
    upstream_job_body(&j->job, SPAN_LIT("Subject: x\r\n"));
    assert_true(upstream_cancel(&j->job));
    j->job.upstream = NULL;
    loop_wait(&r.f, u.session_count == 0 && r.lmtp.open == 0);
    assert_int_equal(r.lmtp.delivered_count, 0);
    end();
}

static void too_late_to_cancel_after_the_dot(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, ".", LMTP_SILENCE, NULL);
    submit_new(0);
    loop_wait(&r.f, r.lmtp.dots == 1);
    assert_false(upstream_cancel(&jobs[0].job));
    lmtp_release(&r.lmtp);
    finish(&jobs[0]);
    assert_int_equal(jobs[0].sent, 1);
    end();
}

/* ---- order ---- */

static void urgent_ones_go_first_but_not_only(void **state)
{
    static const unsigned wanted[JOBS] = {1, 5, 9, 12, 2, 3, 4, 6, 7, 8, 10, 11};

    begin("default_destination_concurrency_limit = 1\n");
    lmtp_rule(&r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    for (size_t i = 0; i < JOBS; i++) {
        struct job *j = job_new(i, "ann@example.com");

        j->job.urgent = i == 0 || i > 3;
        submit(j);
        if (i == 0)
            loop_wait(&r.f, r.lmtp.mails == 1);
    }
    lmtp_release(&r.lmtp);
    for (size_t i = 0; i < JOBS; i++)
        finish(&jobs[i]);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].position, wanted[i]);
    end();
}

static void a_job_submitted_from_within_an_end(void **state)
{
    begin("");
    for (size_t i = 0; i < 6; i++)
        job_new(i, "ann@example.com")->then = i < 5 ? &jobs[i + 1] : NULL;
    submit(&jobs[0]);
    finish(&jobs[5]);
    assert_int_equal(r.lmtp.accepted, 1);
    lmtp_down(&r.lmtp);
    for (size_t i = 6; i < 12; i++)
        job_new(i, "ann@example.com")->then = i < 11 ? &jobs[i + 1] : NULL;
    submit(&jobs[6]);
    finish(&jobs[11]);
    assert_int_equal(jobs[11].end, UPSTREAM_END_DOWN);
    end();
}

/* ---- settings that change, and the end ---- */

/* The session that is reused was opened under the old ones, which are gone. */
static void a_reload_leaves_sessions_sound(void **state)
{
    struct config *old;

    begin("lmtp_lhlo_name = first.example.net\n");
    r.lmtp.offers = "XCLIENT ADDR NAME HELO PROTO\nPIPELINING";
    finish(submit_new(0));
    loop_wait(&r.f, is_idle());
    old = r.config;
    r.config = relay_config(&r, "lmtp_lhlo_name = second.example.net\n");
    r.context.config = r.config;
    config_unref(&old);
    finish(submit_new(1));
    assert_int_equal(jobs[1].sent, 1);
    assert_int_equal(r.lmtp.accepted, 1);
    assert_int_equal(lmtp_said(&r.lmtp, "LHLO first.example.net\n"), 3);
    end();
}

static void a_destination_that_is_not_wanted_any_more(void **state)
{
    begin("default_destination_concurrency_limit = 1\n");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 1;
    submit_new(0);
    loop_wait(&r.f, r.lmtp.mails == 1);
    submit_new(1);
    upstream_retire(&u);
    upstream_retire(&u);
    assert_int_equal(jobs[1].end, UPSTREAM_END_DOWN); /* what waits goes elsewhere */
    submit_new(2);
    assert_int_equal(jobs[2].end, UPSTREAM_END_DOWN);
    upstream_probe(&u);
    assert_int_equal(u.opening, 0);
    lmtp_release(&r.lmtp);
    finish(&jobs[0]); /* what is under way goes on */
    assert_int_equal(jobs[0].sent, 1);
    loop_wait(&r.f, u.session_count == 0);
    assert_int_equal(uv_is_active((uv_handle_t *)&u.timer), 0);
    upstream_choose(&u);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
    finish(submit_new(3));
    assert_int_equal(jobs[3].sent, 1);
    end();
}

static void retired_while_it_is_down(void **state)
{
    begin("");
    lmtp_down(&r.lmtp);
    finish(submit_new(0));
    upstream_retire(&u);
    loop_wait(&r.f, u.session_count == 0);
    assert_int_equal(uv_is_active((uv_handle_t *)&u.timer), 0);
    lmtp_up(&r.lmtp);
    upstream_choose(&u);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
    end();
}

static void the_wrong_protocol_is_named_and_got_around(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "LHLO", LMTP_SAY, "500 5.5.1 Unknown command");
    finish(submit_new(0));
    assert_int_equal(jobs[0].sent, 1);
    assert_string_equal(jobs[0].job.program, "smtp");
    assert_non_null(strstr(u.mismatch, "answers SMTP, not LMTP"));
    assert_int_equal(relay_logged(&r, "wrong protocol in the setting"), 1);
    lmtp_drop_all(&r.lmtp);
    loop_wait(&r.f, u.session_count == 0);
    finish(submit_new(1));
    assert_int_equal(lmtp_said(&r.lmtp, "LHLO"), 1); /* it is known now */
    lmtp_no_rules(&r.lmtp);
    lmtp_rule(&r.lmtp, "EHLO", LMTP_SAY, "500 5.5.1 Unknown command"); /* the peer was mended */
    lmtp_drop_all(&r.lmtp);
    loop_wait(&r.f, u.session_count == 0);
    finish(submit_new(2));
    assert_int_equal(jobs[2].sent, 1);
    assert_string_equal(u.mismatch, "");
    end();
}

static void close_in_each_state(void **state)
{
    static const char *const steps[] = {"CONNECT", "LHLO", "MAIL", "RCPT", "DATA", "."};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        begin("default_destination_concurrency_limit = 2\n");
        r.lmtp.offers = "8BITMIME";
        lmtp_rule(&r.lmtp, steps[i], LMTP_SILENCE, NULL);
        for (size_t k = 0; k < 4; k++)
            submit_new(k);
        loop_wait(&r.f, r.lmtp.rules[0].used == 2);
        jobs[3].then = job_new(4, "ann@example.com"); /* ends at once as well */
        close_upstream();
        assert_int_equal(jobs[4].end, UPSTREAM_END_DOWN);
        end();
    }
}

static void close_while_a_name_is_looked_up(void **state)
{
    begin_with("", "lmtp:upstream.example.net:24");
    submit_new(0);
    close_upstream();
    assert_int_equal(jobs[0].ended, 1);
    end();
}

static void close_while_down(void **state)
{
    begin("");
    lmtp_down(&r.lmtp);
    finish(submit_new(0));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_used_again),
        cmocka_unit_test(no_more_sessions_than_allowed),
        cmocka_unit_test(an_unused_session_says_quit),
        cmocka_unit_test(no_idle_time_means_one_use),
        cmocka_unit_test(a_session_is_used_as_often_as_it_may),
        cmocka_unit_test(a_session_is_used_as_long_as_it_may),
        cmocka_unit_test(a_peer_that_ignores_quit_is_left),
        cmocka_unit_test(an_idle_session_that_the_peer_closes_is_no_trouble),
        cmocka_unit_test(a_dead_reused_session_costs_nothing),
        cmocka_unit_test(it_is_tried_again_once_only),
        cmocka_unit_test(a_retry_gets_a_place),
        cmocka_unit_test(a_farewell_on_a_reused_session_likewise),
        cmocka_unit_test(a_fresh_session_that_dies_is_trouble),
        cmocka_unit_test(a_refused_connect_means_down),
        cmocka_unit_test(several_that_fail_together_count_once),
        cmocka_unit_test(a_probe_finds_it_up_again),
        cmocka_unit_test(probes_go_on_while_it_is_down),
        cmocka_unit_test(a_refusal_to_talk_means_down),
        cmocka_unit_test(silence_before_the_greeting_means_down),
        cmocka_unit_test(silence_after_lhlo_is_within_the_same_limit),
        cmocka_unit_test(a_name_that_does_not_resolve_means_down),
        cmocka_unit_test(a_missing_unix_socket_means_down),
        cmocka_unit_test(an_extra_session_that_is_refused_is_no_outage),
        cmocka_unit_test(and_is_asked_for_again_soon),
        cmocka_unit_test(and_an_outage_ends_that),
        cmocka_unit_test(a_dead_address_does_not_cost_the_others),
        cmocka_unit_test(a_conversation_that_stands_still_is_no_sign_of_life),
        cmocka_unit_test(what_hangs_before_the_dot_is_broken_off),
        cmocka_unit_test(what_hangs_after_the_dot_stands_in_nobodys_way),
        cmocka_unit_test(a_slow_answer_during_a_short_outage_is_waited_for),
        cmocka_unit_test(broken_in_the_middle),
        cmocka_unit_test(silence_in_the_middle),
        cmocka_unit_test(what_was_said_before_it_broke_counts),
        cmocka_unit_test(a_body_that_cannot_be_read),
        cmocka_unit_test(refused_recipients_do_not_hinder_others),
        cmocka_unit_test(a_hanging_reset_does_not_hold_up_the_next_for_ever),
        cmocka_unit_test(surplus_bytes_on_an_idle_session),
        cmocka_unit_test(cancel_while_waiting),
        cmocka_unit_test(cancel_before_the_dot),
        cmocka_unit_test(cancel_within_the_body),
        cmocka_unit_test(too_late_to_cancel_after_the_dot),
        cmocka_unit_test(urgent_ones_go_first_but_not_only),
        cmocka_unit_test(a_job_submitted_from_within_an_end),
        cmocka_unit_test(a_reload_leaves_sessions_sound),
        cmocka_unit_test(a_destination_that_is_not_wanted_any_more),
        cmocka_unit_test(retired_while_it_is_down),
        cmocka_unit_test(the_wrong_protocol_is_named_and_got_around),
        cmocka_unit_test(close_in_each_state),
        cmocka_unit_test(close_while_a_name_is_looked_up),
        cmocka_unit_test(close_while_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
