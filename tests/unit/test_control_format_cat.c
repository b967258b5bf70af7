/* Tests of control/control_format_cat: the shapes of postcat, and the same text for every split of
 * the message. */
#include "control/control_format_cat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define NAME "deferred/06401F3A9C2E7001"
#define TEXT "Received: from x\r\n\tby y\r\nSubject: hi\r\n\r\nbody one\r\n.dot\r\n\r\nlast\r\n"

static char out[16384];
static struct text written;

static void on_write(void *ctx, struct span bytes)
{
    text_span(&written, bytes);
}

static struct spool_file message(void)
{
    struct spool_file f = {.envelope = envelope_new(), .body_len = sizeof TEXT - 1};
    struct envelope *e = f.envelope;

    assert_non_null(e);
    assert_true(queue_id_parse(SPAN_LIT("06401F3A9C2E7001"), &e->id));
    e->arrival_us = INT64_C(1760000000000000);
    strcpy(e->client_name, "mail.example.org");
    strcpy(e->client_address, "192.0.2.9");
    e->client_port = 51234;
    strcpy(e->helo, "mail.example.org");
    strcpy(e->protocol, "ESMTP");
    assert_true(envelope_set_sender(e, SPAN_LIT("a@example.net")));
    assert_true(envelope_add_recipient(e, SPAN_LIT("u@example.org"), 0, SPAN_LIT("")));
    return f;
}

/* The whole message as a file's bytes would give it; cut: where the text is split. */
static const char *show(struct cat *c, struct spool_file *f, const char *text, size_t cut)
{
    size_t len;
    char *header = spool_format_header_new(f->envelope, f->body_len, &len);

    assert_non_null(header);
    f->body_offset = len;
    text_init(&written, out, sizeof out);
    c->write = on_write;
    c->name = NAME;
    cat_envelope(c, f, span_make(header, len));
    cat_text(c, span_first(span_of(text), cut));
    cat_text(c, span_from(span_of(text), cut));
    cat_end(c);
    assert_false(written.overflow);
    free(header);
    return out;
}

static const char *shown(unsigned parts)
{
    struct spool_file f = message();
    struct cat c = {.parts = parts};
    const char *text = show(&c, &f, TEXT, 0);

    spool_file_deinit(&f);
    return text;
}

#define ENVELOPE                                                                                   \
    "*** ENVELOPE RECORDS " NAME " ***\n"                                                          \
    "message_size:              64             200               1               0"                \
    "              64               0\n"                                                           \
    "message_arrival_time: Thu Oct  9 08:53:20 2025\n"                                             \
    "create_time: Thu Oct  9 08:53:20 2025\n"                                                      \
    "named_attribute: log_ident=06401F3A9C2E7001\n"                                                \
    "sender: a@example.net\n"                                                                      \
    "named_attribute: log_client_name=mail.example.org\n"                                          \
    "named_attribute: log_client_address=192.0.2.9\n"                                              \
    "named_attribute: log_client_port=51234\n"                                                     \
    "named_attribute: log_message_origin=mail.example.org[192.0.2.9]\n"                            \
    "named_attribute: log_helo_name=mail.example.org\n"                                            \
    "named_attribute: log_protocol_name=ESMTP\n"                                                   \
    "named_attribute: client_name=mail.example.org\n"                                              \
    "named_attribute: client_address=192.0.2.9\n"                                                  \
    "named_attribute: client_port=51234\n"                                                         \
    "named_attribute: helo_name=mail.example.org\n"                                                \
    "named_attribute: protocol_name=ESMTP\n"                                                       \
    "named_attribute: client_address_type=2\n"                                                     \
    "original_recipient: u@example.org\n"                                                          \
    "recipient: u@example.org\n"                                                                   \
    "*** MESSAGE CONTENTS " NAME " ***\n"
#define HEADER "Received: from x\n\tby y\nSubject: hi\n"
#define BODY   "\nbody one\n.dot\n\nlast\n"
#define END    "*** HEADER EXTRACTED " NAME " ***\n*** MESSAGE FILE END " NAME " ***\n"

static void test_parts(void **state)
{
    assert_string_equal(shown(CAT_ENVELOPE | CAT_HEADER | CAT_BODY), ENVELOPE HEADER BODY END);
    assert_string_equal(shown(CAT_ENVELOPE), ENVELOPE END);
    assert_string_equal(shown(CAT_HEADER), HEADER);
    assert_string_equal(shown(CAT_BODY), BODY);
    assert_string_equal(shown(CAT_HEADER | CAT_BODY), HEADER BODY);
    assert_string_equal(shown(CAT_ENVELOPE | CAT_BODY), ENVELOPE BODY END);
}

static void test_every_split(void **state)
{
    static const char *const texts[] = {
        TEXT, "", "\r\n", "\r\n\r\n", "no end", "a\r", "bare\nlf\n", "a\rb\r\n\rc\r\n", "\r\r\n"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char whole[4096];

        for (size_t cut = 0; cut <= strlen(texts[i]); cut++) {
            struct spool_file f = message();
            struct cat c = {.parts = CAT_HEADER | CAT_BODY, .offsets = true, .verbose = true};

            show(&c, &f, texts[i], cut);
            if (cut == 0)
                strcpy(whole, out);
            assert_string_equal(out, whole);
            spool_file_deinit(&f);
        }
    }
}

/* Where each line of the file begins, and Postfix's numbers. */
static void test_margins(void **state)
{
    struct spool_file f = message();
    struct cat c = {.parts = CAT_ENVELOPE | CAT_HEADER | CAT_BODY, .offsets = true};

    c.decimal = c.verbose = true;
    show(&c, &f, TEXT, 5);
    assert_non_null(strstr(out, "*** ENVELOPE RECORDS " NAME " ***\n        0  67 message_size: "));
    assert_non_null(strstr(out, "       35  84 message_arrival_time: Thu"));
    assert_non_null(strstr(out, "       61  65 named_attribute: client_name=mail"));
    assert_non_null(strstr(out, "      135  83 sender: a@"));
    assert_non_null(strstr(out, "      158  82 recipient: u@"));
    assert_non_null(strstr(out, "      200  77 *** MESSAGE CONTENTS "));
    assert_non_null(strstr(out, "      200  78 regular_text: Received: from x\n"));
    assert_non_null(strstr(out, "      218  78 regular_text: \tby y\n"));
    assert_non_null(strstr(out, "      238  78 regular_text: \n"));
    assert_non_null(strstr(out, "      264  88 *** HEADER EXTRACTED "));
    assert_non_null(strstr(out, "      264  69 *** MESSAGE FILE END "));
    spool_file_deinit(&f);
}

static void test_parameters_and_states(void **state)
{
    struct spool_file f = message();
    struct envelope *e = f.envelope;
    struct cat c = {.parts = CAT_ENVELOPE};

    strcpy(e->envid, "id+2B1");
    e->ret = SMTP_RET_HDRS;
    e->eight_bit = e->smtputf8 = true;
    strcpy(e->client_address, "2001:db8::9");
    assert_true(envelope_set_sender(e, SPAN_LIT("")));
    assert_true(envelope_add_recipient(e, SPAN_LIT("done@example.org"), SMTP_NOTIFY_NEVER,
                                       SPAN_LIT("rfc822;o@example.org")));
    e->recipients[1].state = RECIPIENT_SENT;
    assert_true(envelope_add_recipient(e, SPAN_LIT("failed@example.org"), 0, SPAN_LIT("")));
    e->recipients[2].state = RECIPIENT_FAILED;
    show(&c, &f, TEXT, 0);
    assert_non_null(strstr(out, "named_attribute: envelope_id=id+2B1\n"
                                "named_attribute: ret_flags=2\nsender: \n"
                                "named_attribute: encoding=8bit\n"));
    assert_non_null(strstr(out, "             64               1\n"));
    assert_non_null(strstr(out, "named_attribute: client_address_type=10\n"));
    assert_non_null(strstr(out, "\nnamed_attribute: dsn_orig_rcpt=rfc822;o@example.org\n"
                                "original_recipient: done@example.org\n"
                                "done_recipient: done@example.org\n"
                                "original_recipient: failed@example.org\n"
                                "recipient: failed@example.org\n"));
    spool_file_deinit(&f);
}

/* From the spool come bytes of peers. */
static void test_hostile_bytes(void **state)
{
    struct spool_file f = message();
    struct cat c = {.parts = CAT_ENVELOPE};

    assert_true(envelope_set_sender(f.envelope, SPAN_LIT("a\n*** MESSAGE\x1b[2J@x")));
    show(&c, &f, "", 0);
    assert_non_null(strstr(out, "\nsender: a?*** MESSAGE?[2J@x\n"));
    spool_file_deinit(&f);
}

static void test_local_mail(void **state)
{
    struct spool_file f = message();
    struct cat c = {.parts = CAT_ENVELOPE};

    f.envelope->client_address[0] = '\0';
    show(&c, &f, "", 0);
    assert_null(strstr(out, "client_"));
    spool_file_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_margins),       cmocka_unit_test(test_parameters_and_states),
        cmocka_unit_test(test_hostile_bytes), cmocka_unit_test(test_local_mail),
    };

    setenv("TZ", "UTC0", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
