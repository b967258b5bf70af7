/*
 * Fuzz server/session: whole sessions, whatever the client says.
 *
 * After each line that may be STARTTLS both runs make a pause, in which the handshake, if one is
 * due, succeeds: what comes with STARTTLS would be refused in one piece, and junk in the other.
 *
 * Input: four choices (settings and the world's ways, a seed for cuts and late answers, how it
 * ends, room), then the client's bytes. The session is run twice: in one piece with every answer at
 * once, and in pieces with answers that come when the seed says so. It holds that
 *   - both say the same to the client, and submit the same messages;
 *   - what is said is lines of "CODE text" or "CODE-text", printable, of 512 bytes at most;
 *   - on a submission port no message comes from who has not logged in;
 *   - a message has recipients of our domain only, is canonical, and as many were taken as replies
 * said "queued as";
 *   - the log's lines are printable and bounded, and begin and end with connect and disconnect, or
 * there are none;
 *   - however it ends, nothing leaks and nothing is said afterwards.
 */
#include "input.h"

/* The world of the unit tests, which needs no test library. */
#include "../unit/session_fixture.c"
#include "../unit/session_fixture_world.c"

#include "smtp/domain.h"

#include <assert.h>

enum ending { ENDING_LOST, ENDING_TIMEOUT, ENDING_SHUTDOWN, ENDING_DEINIT, ENDING_COUNT };

struct choices {
    bool small; /* settings: everything that has a limit has a low one */
    bool trusted;
    bool submission; /* a port for users who log in; the user is ann, her password x */
    bool refusals;   /* the world refuses now and then */
    uint32_t seed;
    enum ending ending;
    size_t room;
};

static struct fixture fixtures[2][2]; /* by choices.small; one for each run */

static void set_up(void)
{
    static const char *const small[] = {"line_length_limit=512",
                                        "message_size_limit=1024",
                                        "smtpd_recipient_limit=2",
                                        "smtpd_hard_error_limit=5",
                                        "smtpd_junk_command_limit=5",
                                        "smtpd_helo_required=yes",
                                        "hopcount_limit=2",
                                        "smtpd_soft_error_limit=2",
                                        "smtpd_client_restrictions=sleep 1, reject_rbl_client "
                                        "clean.example.org, permit_mynetworks, "
                                        "warn_if_reject reject_rbl_client bl.example.org",
                                        "smtpd_helo_restrictions=reject_invalid_helo_hostname, "
                                        "reject_unknown_helo_hostname",
                                        "smtpd_sender_restrictions=reject_unknown_sender_domain, "
                                        "reject_non_fqdn_sender",
                                        "smtpd_relay_restrictions=permit",
                                        "smtpd_data_restrictions=reject_multi_recipient_bounce, "
                                        "reject_rbl_client refused.example.org",
                                        "smtpd_tls_security_level=encrypt",
                                        "smtpd_sasl_users=ann:x",
                                        NULL};
    static const char *const usual[] = {"smtpd_tls_security_level=may",
                                        "smtpd_tls_loglevel=2",
                                        "smtpd_tls_received_header=yes",
                                        "smtpd_sasl_users=ann:x",
                                        "smtpd_sasl_auth_enable=yes",
                                        "smtpd_tls_auth_only=no",
                                        "smtpd_sasl_authenticated_header=yes",
                                        "debug_peer_list=203.0.113.9",
                                        NULL};

    if (fixtures[0][0].config)
        return;
    for (size_t i = 0; i < 2; i++) {
        fixture_init(&fixtures[0][i], usual);
        fixture_init(&fixtures[1][i], small);
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* --- the two ways to run --- */

static void begin_as(struct fixture *f, const struct choices *c)
{
    if (c->submission)
        fixture_connect_submission(f);
    else
        fixture_connect(f, c->trusted);
    f->room_rc = 0;
    f->submit_reply = c->refusals ? "451 4.3.0 Error: queue file write error" : NULL;
    session_start(&f->session);
}

/* Up to the end of the next line that has "starttls" in it. */
static struct span next_part(struct span in)
{
    struct span word = SPAN_LIT("starttls");
    size_t at = 0;

    while (at < in.len && !span_starts_nocase(span_from(in, at), word))
        at++;
    at += span_find(span_from(in, at), '\n');
    return span_first(in, at < in.len ? at + 1 : in.len);
}

static void end_part(struct fixture *f)
{
    while (fixture_answer(f))
        fixture_pump(f);
    if (f->tls_due && f->session.state != SESSION_CLOSING)
        fixture_secure(f);
}

static void run_whole(struct fixture *f, const struct choices *c, struct span in)
{
    f->when = FIXTURE_NOW;
    f->endless_room = true;
    begin_as(f, c);
    while (in.len > 0) {
        struct span part = next_part(in);

        fixture_send(f, part);
        end_part(f);
        in = span_from(in, part.len);
    }
}

static void run_in_pieces(struct fixture *f, const struct choices *c, struct span in)
{
    uint32_t seed = c->seed | 1;

    f->when = FIXTURE_HELD;
    f->endless_room = false;
    f->room = 4096 + c->room;
    begin_as(f, c);
    while (in.len > 0) {
        struct span part = next_part(in); /* as a whole: pieces of the word are not it */

        in = span_from(in, part.len);
        while (part.len > 0) {
            struct span piece = span_first(part, 1 + next_random(&seed) % 64);

            fixture_send(f, piece);
            part = span_from(part, piece.len);
            while (next_random(&seed) % 4 != 0 && fixture_answer(f))
                fixture_pump(f);
        }
        end_part(f);
    }
    end_part(f);
    assert(f->input.len == 0);
}

static void end_session(struct fixture *f, enum ending ending)
{
    size_t said;

    switch (ending) {
    case ENDING_LOST:
        session_lost(&f->session);
        break;
    case ENDING_TIMEOUT:
        session_timeout(&f->session);
        break;
    case ENDING_SHUTDOWN:
        session_shutdown(&f->session);
        break;
    case ENDING_DEINIT:
    case ENDING_COUNT:
        break;
    }
    if (f->session.state != SESSION_CLOSING)
        session_lost(&f->session);
    said = f->said.len;
    fixture_say(f, "NOOP\r\n");
    session_timeout(&f->session);
    assert(f->said.len == said);
    assert(f->hang_ups <= 1);
    fixture_end(f);
}

/* --- what holds --- */

static bool next_line(struct span *rest, char end, struct span *line)
{
    size_t len = span_find(*rest, end);

    if (rest->len == 0)
        return false;
    assert(len < rest->len);
    *line = span_first(*rest, len);
    *rest = span_from(*rest, len + 1);
    return true;
}

static void check_printable(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        assert(!ascii_is_control(line.ptr[i]));
    assert(smtp_utf8_valid(line));
}

static bool is_queued(struct span line)
{
    return span_starts_nocase(line, SPAN_LIT("250 2.0.0 Ok: queued as ")) ||
           (span_starts_nocase(line, SPAN_LIT("250 2.0.0 Ok: ")) && line.len > 40);
}

static void check_replies(const struct fixture *f)
{
    struct span rest = span_make(f->said.ptr, f->said.len);
    struct span line;
    size_t queued = 0;

    while (next_line(&rest, '\n', &line)) {
        assert(line.len >= 4 && line.len <= 511 && line.ptr[line.len - 1] == '\r');
        assert(line.ptr[0] >= '2' && line.ptr[0] <= '5' && ascii_is_digit(line.ptr[1]) &&
               ascii_is_digit(line.ptr[2]));
        assert(line.ptr[3] == ' ' || line.ptr[3] == '-');
        check_printable(span_first(line, line.len - 1));
        queued += is_queued(line) ? 1 : 0;
    }
    assert(queued == f->message_count);
}

static void check_log(const struct fixture *f)
{
    struct span rest = span_make(f->logged.ptr, f->logged.len);
    struct span line = {NULL, 0};
    bool first = true;

    while (next_line(&rest, '\n', &line)) {
        assert(line.len > 0 && line.len <= LOG_LINE_MAX);
        check_printable(line);
        assert(first == span_starts_nocase(line, SPAN_LIT("postfix/smtpd[7]: connect from ")));
        first = false;
    }
    assert(first || span_starts_nocase(line, SPAN_LIT("postfix/smtpd[7]: disconnect from ")));
}

/* Who sends on a submission port has logged in, in TLS (and may have said HELO after that). */
static void check_login(const struct envelope *e)
{
    struct span protocol = span_of(e->protocol);

    assert(span_ends_nocase(protocol, SPAN_LIT("SA")) || span_equal(protocol, SPAN_LIT("SMTP")));
}

static void check_messages(const struct fixture *f, const struct choices *c)
{
    for (size_t i = 0; i < f->message_count && i < FIXTURE_MESSAGES_MAX; i++) {
        const struct envelope *e = f->messages[i].envelope;

        assert(e->recipient_count > 0);
        if (c->submission)
            check_login(e);
        assert(e->id.text[0] && e->arrival_us != 0);
        assert(fixture_is_canonical(&f->messages[i].body));
        for (size_t k = 0; k < e->recipient_count; k++)
            assert(span_equal_nocase(recipient_domain(&e->recipients[k]), SPAN_LIT("example.com")));
    }
}

static bool same(const struct bytes *a, const struct bytes *b)
{
    return span_equal(span_make(a->ptr, a->len), span_make(b->ptr, b->len));
}

static void check_same(const struct fixture *a, const struct fixture *b)
{
    assert(same(&a->said, &b->said));
    assert(a->message_count == b->message_count);
    assert(a->submits == b->submits);
    for (size_t i = 0; i < a->message_count && i < FIXTURE_MESSAGES_MAX; i++) {
        assert(same(&a->messages[i].body, &b->messages[i].body));
        assert(strcmp(a->messages[i].message_id, b->messages[i].message_id) == 0);
        assert(strcmp(a->messages[i].envelope->sender, b->messages[i].envelope->sender) == 0);
        assert(a->messages[i].envelope->recipient_count ==
               b->messages[i].envelope->recipient_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    size_t flags = input_choice(&in, 15);
    struct choices c = {
        .small = flags & 1,
        .trusted = flags & 2,
        .refusals = flags & 4,
        .submission = flags & 8,
        .seed = (uint32_t)input_choice(&in, 65535),
        .ending = (enum ending)input_choice(&in, ENDING_COUNT - 1),
        .room = input_choice(&in, 8192),
    };

    set_up();
    in = span_first(in, INPUT_MAX);
    run_whole(&fixtures[c.small][0], &c, in);
    run_in_pieces(&fixtures[c.small][1], &c, in);
    for (size_t i = 0; i < 2; i++)
        end_session(&fixtures[c.small][i], c.ending);
    check_same(&fixtures[c.small][0], &fixtures[c.small][1]);
    for (size_t i = 0; i < 2; i++) {
        check_replies(&fixtures[c.small][i]);
        check_log(&fixtures[c.small][i]);
        check_messages(&fixtures[c.small][i], &c);
    }
    return 0;
}
