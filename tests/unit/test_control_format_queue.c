/* Tests of control/control_format_queue: the listing to the blank, as Postfix prints it
 * (FACTS 5.4, 5.5). */
#include "control/control_format_queue.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct {
    char text[2 << 20];
    size_t len;
    size_t largest; /* piece given to write */
} out;

static void take(void *ctx, struct span bytes)
{
    assert_ptr_equal(ctx, &out);
    assert_true(out.len + bytes.len < sizeof out.text);
    memcpy(out.text + out.len, bytes.ptr, bytes.len);
    out.len += bytes.len;
    out.text[out.len] = '\0';
    if (bytes.len > out.largest)
        out.largest = bytes.len;
}

static struct queue_report report;

static void begin(bool json)
{
    out.len = out.largest = 0;
    out.text[0] = '\0';
    queue_report_begin(&report, json, take, &out);
}

static struct spool_file message(const char *id, uint64_t size, const char *sender)
{
    struct spool_file f = {.envelope = envelope_new(), .body_len = size};

    assert_non_null(f.envelope);
    assert_true(queue_id_parse(span_of(id), &f.envelope->id));
    f.envelope->arrival_us = 1760000000123456; /* Thu Oct  9 08:53:20 2025 UTC */
    assert_true(envelope_set_sender(f.envelope, span_of(sender)));
    return f;
}

static void add(struct spool_file *f, const char *address, enum recipient_state state,
                const char *reason)
{
    struct envelope *e = f->envelope;

    assert_true(envelope_add_recipient(e, span_of(address), 0, span_of("")));
    e->recipients[e->recipient_count - 1].state = state;
    if (reason)
        assert_true(recipient_set_reason(&e->recipients[e->recipient_count - 1], span_of(reason)));
}

static void list(struct spool_file *f, bool active)
{
    queue_report_message(&report, f, active);
    envelope_free(&f->envelope);
}

#define HEADER  "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
#define COLUMNS "                                         "
#define TIMEOUT "connect to 100.64.0.1[100.64.0.1]:2525: Connection timed out"

static void test_empty(void **state)
{
    begin(false);
    queue_report_end(&report);
    assert_string_equal(out.text, "Mail queue is empty\n");
    begin(true);
    queue_report_end(&report);
    assert_string_equal(out.text, "");
}

static void test_one(void **state)
{
    struct spool_file f = message("06401F3A9C2E7001", 1234, "a@example.net");

    add(&f, "u@example.org", RECIPIENT_PENDING, TIMEOUT);
    begin(false);
    list(&f, true);
    queue_report_end(&report);
    assert_string_equal(out.text,
                        HEADER "06401F3A9C2E7001*    1234 Thu Oct  9 08:53:20  a@example.net\n"
                               "                (" TIMEOUT ")\n" COLUMNS "u@example.org\n"
                               "\n-- 1 Kbytes in 1 Request.\n");
}

static void test_several(void **state)
{
    struct spool_file first = message("06401F3A9C2E7001", 26214400, "");
    struct spool_file second = message("06401F3A9C2E7002", 1023, "b@example.net");
    struct spool_file third = message("06401F3A9C2E7003", 0, "c@example.net");

    add(&first, "1@example.org", RECIPIENT_PENDING, NULL);
    add(&first, "2@example.org", RECIPIENT_PENDING, "why");
    add(&first, "3@example.org", RECIPIENT_SENT, "not shown");
    add(&first, "4@example.org", RECIPIENT_FAILED, "not shown");
    add(&first, "5@example.org", RECIPIENT_PENDING, "why");
    add(&first, "6@example.org", RECIPIENT_PENDING, "another");
    add(&first, "7@example.org", RECIPIENT_PENDING, NULL);
    add(&first, "8@example.org", RECIPIENT_PENDING, "another");
    second.on_hold = true;
    add(&second, "9@example.org", RECIPIENT_PENDING, NULL);
    add(&third, "10@example.org", RECIPIENT_PENDING, NULL);
    begin(false);
    list(&first, false);
    list(&second, false);
    list(&third, false);
    queue_report_end(&report);
    assert_string_equal(
        out.text, HEADER
        "06401F3A9C2E7001 26214400 Thu Oct  9 08:53:20  MAILER-DAEMON\n" COLUMNS "1@example.org\n"
        "                                                                         (why)\n" COLUMNS
        "2@example.org\n" COLUMNS "5@example.org\n"
        "                                                                     (another)\n" COLUMNS
        "6@example.org\n" COLUMNS "7@example.org\n"
        "                                                                     (another)\n" COLUMNS
        "8@example.org\n"
        "\n06401F3A9C2E7002!    1023 Thu Oct  9 08:53:20  b@example.net\n" COLUMNS "9@example.org\n"
        "\n06401F3A9C2E7003       0 Thu Oct  9 08:53:20  c@example.net\n" COLUMNS "10@example.org\n"
        "\n-- 25600 Kbytes in 3 Requests.\n");
}

/* To expire: '#', after what else there is to say, as Postfix has it. */
static void test_forced_expire(void **state)
{
    struct spool_file f = message("06401F3A9C2E7001", 10, "a@example.net");

    f.forced_expire = true;
    add(&f, "u@example.org", RECIPIENT_PENDING, NULL);
    begin(false);
    list(&f, false);
    assert_non_null(strstr(out.text, "\n06401F3A9C2E7001#      10 Thu"));
    f = message("06401F3A9C2E7001", 10, "a@example.net");
    f.forced_expire = f.on_hold = true;
    add(&f, "u@example.org", RECIPIENT_PENDING, NULL);
    begin(false);
    list(&f, false);
    assert_non_null(strstr(out.text, "\n06401F3A9C2E7001!#      10 Thu"));
    f = message("06401F3A9C2E7001", 10, "a@example.net");
    f.forced_expire = f.on_hold = true;
    add(&f, "u@example.org", RECIPIENT_PENDING, NULL);
    begin(true);
    list(&f, false);
    assert_non_null(strstr(out.text, "\"forced_expire\": true, "));
}

/* Fully decided: what an operator has to look at. */
static void test_failed_ones(void **state)
{
    struct spool_file f = message("06401F3A9C2E7001", 10, "a@example.net");

    add(&f, "gone@example.org", RECIPIENT_FAILED, NULL);
    add(&f, "fine@example.org", RECIPIENT_SENT, NULL);
    begin(false);
    list(&f, false);
    assert_non_null(strstr(out.text, "(reason unavailable)\n" COLUMNS "gone@example.org\n"));
    assert_null(strstr(out.text, "fine@"));
    f = message("06401F3A9C2E7001", 10, "a@example.net");
    f.on_hold = true;
    assert_true(span_copy(SPAN_LIT("expired"), f.hold_why, sizeof f.hold_why));
    add(&f, "gone@example.org", RECIPIENT_FAILED, NULL);
    begin(false);
    list(&f, false);
    assert_non_null(strstr(out.text, "(expired)\n" COLUMNS "gone@example.org\n"));
}

static void test_long_reason_and_hostile_bytes(void **state)
{
    struct spool_file f = message("06401F3A9C2E7001", 10, "a\x1b[2J@example.net");
    char reason[301];

    memset(reason, 'r', 300);
    reason[300] = '\0';
    add(&f, "x\ny@example.org", RECIPIENT_PENDING, reason);
    begin(false);
    list(&f, false);
    assert_non_null(strstr(out.text, "  a?[2J@example.net\n(rrrr"));
    assert_non_null(strstr(out.text, "rrr)\n" COLUMNS "x?y@example.org\n"));
}

static void test_json(void **state)
{
    struct spool_file first = message("06401F3A9C2E7001", 1234, "a@example.net");
    struct spool_file second = message("06401F3A9C2E7002", 99, "");
    struct spool_file third = message("06401F3A9C2E7003", 5, "\"q\"@example.net");

    add(&first, "u@example.org", RECIPIENT_PENDING, "connect to ...");
    add(&first, "sent@example.org", RECIPIENT_SENT, NULL);
    add(&first, "v@example.org", RECIPIENT_PENDING, NULL);
    add(&second, "w@example.org", RECIPIENT_PENDING, "said \"no\"\n");
    third.on_hold = true;
    begin(true);
    list(&first, false);
    list(&second, true);
    list(&third, false);
    queue_report_end(&report);
    assert_string_equal(
        out.text,
        "{\"queue_name\": \"deferred\", \"queue_id\": \"06401F3A9C2E7001\", \"arrival_time\": "
        "1760000000, \"message_size\": 1234, \"forced_expire\": false, \"sender\": "
        "\"a@example.net\", \"recipients\": [{\"address\": \"u@example.org\", \"delay_reason\": "
        "\"connect to ...\"}, {\"address\": \"v@example.org\"}]}\n"
        "{\"queue_name\": \"active\", \"queue_id\": \"06401F3A9C2E7002\", \"arrival_time\": "
        "1760000000, \"message_size\": 99, \"forced_expire\": false, \"sender\": "
        "\"MAILER-DAEMON\", \"recipients\": [{\"address\": \"w@example.org\", \"delay_reason\": "
        "\"said \\\"no\\\"\\n\"}]}\n"
        "{\"queue_name\": \"hold\", \"queue_id\": \"06401F3A9C2E7003\", \"arrival_time\": "
        "1760000000, \"message_size\": 5, \"forced_expire\": false, \"sender\": "
        "\"\\\"q\\\"@example.net\", \"recipients\": []}\n");
}

/* Memory does not grow with recipients; nothing is lost at the seams, worst case of escapes
 * included. */
static void test_many_recipients(void **state)
{
    enum { COUNT = 300 };
    struct spool_file f = message("06401F3A9C2E7001", 1234, "a@example.net");
    char reason[1001];
    size_t found = 0;

    for (size_t i = 0; i < COUNT; i++) {
        memset(reason, i % 2 ? '\x01' : 'r', sizeof reason - 1);
        reason[sizeof reason - 1] = '\0';
        add(&f, "somebody@example.org", RECIPIENT_PENDING, reason);
    }
    begin(true);
    queue_report_message(&report, &f, false);
    assert_true(out.largest < QUEUE_REPORT_CAP);
    for (const char *at = out.text; (at = strstr(at, "\"somebody@example.org\", ")); at++)
        found++;
    assert_int_equal(found, COUNT);
    assert_true(out.len > COUNT / 2 * 6000 && out.text[out.len - 2] == '}');
    begin(false);
    list(&f, false);
    assert_true(out.largest < QUEUE_REPORT_CAP);
}

static int set_zone(void **state)
{
    return setenv("TZ", "UTC", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_one),
        cmocka_unit_test(test_several),       cmocka_unit_test(test_failed_ones),
        cmocka_unit_test(test_forced_expire), cmocka_unit_test(test_long_reason_and_hostile_bytes),
        cmocka_unit_test(test_json),          cmocka_unit_test(test_many_recipients),
    };

    return cmocka_run_group_tests(tests, set_zone, NULL);
}
