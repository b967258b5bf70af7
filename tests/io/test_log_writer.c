/* test_log_writer - shapes, order, and what happens when nobody reads */
#include "observe/log_writer.h"

#include "base/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_CAP (8u << 20)

struct pipe_log {
    int fds[2];
    struct log_writer *writer;
    struct log log;
    char *output; /* owned; what was read, NUL-terminated */
    size_t len;
};

static void begin(struct pipe_log *p, enum config_log_format format)
{
    assert_int_equal(pipe(p->fds), 0);
    p->writer = log_writer_new(p->fds[1], format, "postfix");
    assert_non_null(p->writer);
    assert_int_equal(log_writer_start(p->writer), 0);
    p->log = (struct log){.syslog_name = "postfix",
                          .pid = 42,
                          .sink = log_writer_sink,
                          .sink_ctx = p->writer,
                          .json = format == LOG_FORMAT_JSON};
    p->output = calloc(1, OUTPUT_CAP);
    p->len = 0;
    assert_non_null(p->output);
}

static void *read_all(void *arg)
{
    struct pipe_log *p = arg;
    ssize_t n;

    while ((n = read(p->fds[0], p->output + p->len, OUTPUT_CAP - 1 - p->len)) > 0)
        p->len += (size_t)n;
    return NULL;
}

/* Reads everything to the end, as the writer ends. */
static void finish(struct pipe_log *p)
{
    pthread_t reader;

    assert_int_equal(pthread_create(&reader, NULL, read_all, p), 0);
    log_writer_free(&p->writer, 20000);
    assert_null(p->writer);
    close(p->fds[1]);
    pthread_join(reader, NULL);
    close(p->fds[0]);
    p->output[p->len] = '\0';
}

static void end(struct pipe_log *p)
{
    free(p->output);
}

/* The part after the time, which must be there and look like one. */
static const char *after_time(const char *line)
{
    assert_true(strlen(line) > 33);
    assert_int_equal(line[4], '-');
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[19], '.');
    assert_int_equal(line[32], ' ');
    return line + 33;
}

static void test_plain(void **state)
{
    struct pipe_log p;
    char *second;

    begin(&p, LOG_FORMAT_PLAIN);
    log_connect(&p.log, &(struct log_peer){"client.example.net", "203.0.113.9"});
    log_warning(&p.log, "smtpd", "look out");
    finish(&p);
    second = strchr(p.output, '\n') + 1;
    second[-1] = '\0';
    assert_string_equal(after_time(p.output), "INFO postfix/smtpd[42]: connect from "
                                              "client.example.net[203.0.113.9]");
    assert_string_equal(after_time(second), "WARNING postfix/smtpd[42]: warning: look out\n");
    end(&p);
}

static void test_startup_has_no_time(void **state)
{
    struct pipe_log p;

    begin(&p, LOG_FORMAT_PLAIN);
    log_startup(&p.log, LOG_SEVERITY_INFO, "Applying custom postfix setting: x=y");
    finish(&p);
    assert_string_equal(p.output, "\xE2\x80\xA3 INFO  Applying custom postfix setting: x=y\n");
    end(&p);
}

/* What follows the time in {"time":"...","severity":... */
static const char *json_after_time(const char *output)
{
    static const char start[] = "{\"time\":\"";

    assert_memory_equal(output, start, sizeof start - 1);
    assert_int_equal(output[sizeof start - 1 + 10], 'T');
    output = strstr(output, "\",\"severity\"");
    assert_non_null(output);
    return output + 2;
}

static void test_json(void **state)
{
    struct pipe_log p;
    const char *second;

    begin(&p, LOG_FORMAT_JSON);
    log_removed(&p.log, "06401F3A9C2E7001");
    log_startup(&p.log, LOG_SEVERITY_WARNING, "say \"hi\"");
    finish(&p);
    second = strchr(p.output, '\n') + 1;
    assert_int_equal(strncmp(json_after_time(p.output),
                             "\"severity\":\"info\",\"program\":\"postfix/qmgr\",\"pid\":42,"
                             "\"queue_id\":\"06401F3A9C2E7001\","
                             "\"message\":\"06401F3A9C2E7001: removed\"}\n{",
                             strlen(json_after_time(p.output)) - strlen(second) + 1),
                     0);
    assert_string_equal(json_after_time(second), "\"severity\":\"warning\",\"message\":"
                                                 "\"\xE2\x80\xA3 WARN  say \\\"hi\\\"\"}\n");
    end(&p);
}

/* The longest object is still a line under 16 KB. */
static void test_json_of_nothing_but_quotes(void **state)
{
    struct pipe_log p;
    char *quotes = malloc(LOG_LINE_MAX + 1);

    memset(quotes, '"', LOG_LINE_MAX);
    quotes[LOG_LINE_MAX] = '\0';
    begin(&p, LOG_FORMAT_JSON);
    log_info(&p.log, "smtpd", "%s", quotes);
    finish(&p);
    assert_in_range(p.len, 15000, 16000);
    assert_string_equal(p.output + p.len - 5, "\\\"\"}\n");
    assert_ptr_equal(strchr(p.output, '\n'), p.output + p.len - 1);
    end(&p);
    free(quotes);
}

/* Numbers of the lines "... line N" and of those said to be missing, in order. */
static void check_sequence(struct pipe_log *p, unsigned long total)
{
    unsigned long next = 0;
    unsigned long missing = 0;
    unsigned long told = 0;
    char *save = NULL;

    for (char *line = strtok_r(p->output, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *number = strstr(line, "line ");
        const char *dropped = strstr(line, "master[");

        if (dropped) {
            told += strtoul(strstr(line, "warning: ") + 9, NULL, 10);
            continue;
        }
        assert_non_null(number);
        assert_true(strtoul(number + 5, NULL, 10) >= next);
        missing += strtoul(number + 5, NULL, 10) - next;
        next = strtoul(number + 5, NULL, 10) + 1;
    }
    missing += total - next;
    assert_int_equal(told, missing);
}

static void test_order(void **state)
{
    struct pipe_log p;
    pthread_t reader;

    begin(&p, LOG_FORMAT_PLAIN);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &p), 0);
    for (unsigned long i = 0; i < 5000; i++)
        log_info(&p.log, "smtpd", "line %lu", i);
    log_writer_free(&p.writer, 20000);
    close(p.fds[1]);
    pthread_join(reader, NULL);
    close(p.fds[0]);
    p.output[p.len] = '\0';
    check_sequence(&p, 5000);
    end(&p);
}

static void test_blocked_reader(void **state)
{
    const unsigned long total = 40000; /* some 3 MB: three rings */
    struct pipe_log p;
    uint64_t started = clock_mono_ms();
    uint64_t dropped;

    begin(&p, LOG_FORMAT_PLAIN);
    for (unsigned long i = 0; i < total; i++)
        log_info(&p.log, "smtpd", "line %lu", i);
    assert_in_range(clock_mono_ms() - started, 0, 10000); /* nobody read, and here we are */
    dropped = log_writer_dropped(p.writer);
    assert_in_range(dropped, 1, total - 1000);
    finish(&p);
    check_sequence(&p, total);
    assert_null(strstr(p.output, "line 39999 "));
    end(&p);
}

/* After the jam the log goes on, and the gap is told where it is. */
static void test_goes_on_after_a_jam(void **state)
{
    struct pipe_log p;
    unsigned long i;

    begin(&p, LOG_FORMAT_PLAIN);
    for (i = 0; log_writer_dropped(p.writer) < 10; i++)
        log_info(&p.log, "smtpd", "line %lu", i);
    while (!strstr(p.output, "log lines were dropped")) {
        ssize_t n = read(p.fds[0], p.output + p.len, 4096);

        assert_true(n > 0);
        p.len += (size_t)n;
    }
    log_info(&p.log, "smtpd", "line %lu", i++);
    finish(&p);
    check_sequence(&p, i);
    end(&p);
}

/* Every line, that about the gap too, is an object. */
static void test_json_says_what_was_dropped(void **state)
{
    struct pipe_log p;
    char *save = NULL;

    begin(&p, LOG_FORMAT_JSON);
    for (unsigned long i = 0; log_writer_dropped(p.writer) < 10; i++)
        log_info(&p.log, "smtpd", "line %lu", i);
    finish(&p);
    assert_non_null(strstr(p.output, "\"severity\":\"warning\",\"program\":\"postfix/master\","));
    assert_non_null(
        strstr(p.output, " log lines were dropped: the log is not read fast enough\"}"));
    for (char *line = strtok_r(p.output, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_after_time(line);
        assert_int_equal(line[strlen(line) - 1], '}');
    }
    end(&p);
}

static void test_free_does_not_wait_for_ever(void **state)
{
    struct pipe_log p;
    uint64_t started;

    begin(&p, LOG_FORMAT_PLAIN);
    for (unsigned long i = 0; i < 20000; i++)
        log_info(&p.log, "smtpd", "line %lu", i);
    started = clock_mono_ms();
    log_writer_free(&p.writer, 50);
    assert_in_range(clock_mono_ms() - started, 40, 5000);
    assert_null(p.writer);
    close(p.fds[0]); /* the thread comes back with EPIPE and frees itself; the other end is still
                        its own */
    usleep(100000);
    end(&p);
}

static void test_reader_gone(void **state)
{
    struct pipe_log p;

    begin(&p, LOG_FORMAT_PLAIN);
    close(p.fds[0]);
    for (unsigned long i = 0; i < 1000; i++)
        log_info(&p.log, "smtpd", "line %lu", i);
    while (log_writer_dropped(p.writer) < 1000)
        usleep(1000);
    assert_int_equal(log_writer_dropped(p.writer), 1000);
    log_writer_free(&p.writer, 20000);
    close(p.fds[1]);
    end(&p);
}

/* Standard output may be non-blocking because another program that shares it made it so. */
static void test_non_blocking_fd(void **state)
{
    struct pipe_log p;

    begin(&p, LOG_FORMAT_PLAIN);
    assert_int_equal(fcntl(p.fds[1], F_SETFL, O_NONBLOCK), 0);
    for (unsigned long i = 0; i < 3000; i++)
        log_info(&p.log, "smtpd", "line %lu", i);
    finish(&p);
    check_sequence(&p, 3000);
    end(&p);
}

static void test_free_of_nothing(void **state)
{
    struct log_writer *none = NULL;

    log_writer_free(&none, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_startup_has_no_time),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_of_nothing_but_quotes),
        cmocka_unit_test(test_json_says_what_was_dropped),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_blocked_reader),
        cmocka_unit_test(test_goes_on_after_a_jam),
        cmocka_unit_test(test_free_does_not_wait_for_ever),
        cmocka_unit_test(test_reader_gone),
        cmocka_unit_test(test_non_blocking_fd),
        cmocka_unit_test(test_free_of_nothing),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
