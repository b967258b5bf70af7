/*
 * Tests of server/server_tls and server/tls_files: what is shown at start, what a changed file and
 * a new configuration do, what is said of them and how often, and what expires.
 */
#include "server/server_tls.h"

#include "base/clock.h"
#include "disk_fixture.h"
#include "openssl_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000
#define SAID_CAP    20000

struct world {
    struct disk_fixture d;
    struct lane heavy;
    struct log log;
    struct server_tls tls;
    uv_timer_t tick;
    bool closed;
    char said[SAID_CAP]; /* all lines, without what stands before the text */
};

static struct openssl_fixture material; /* made once, copied to where it is used */

static void make(const char *name, const char *key, const char *subject, int days)
{
    openssl_run(&material,
                "openssl req -x509 -newkey %s -nodes -keyout %s.key -out %s.crt -days %d -subj "
                "/CN=%s; cat %s.crt %s.key >%s.pem",
                key, name, name, days, subject, name, name, name);
}

static int group_setup(void **state)
{
    openssl_setup(&material);
    make("one", "ec -pkeyopt ec_paramgen_curve:P-256", "one.example.com", 90);
    make("two", "ec -pkeyopt ec_paramgen_curve:P-256", "two.example.com", 90);
    make("rsa", "rsa:2048", "rsa.example.com", 90);
    make("soon", "ec -pkeyopt ec_paramgen_curve:P-256", "soon.example.com", 3);
    openssl_run(&material, "head -c 300 two.pem >bad.pem; : >empty.pem");
    return 0;
}

static int group_teardown(void **state)
{
    openssl_teardown(&material);
    return 0;
}

/* ---- the world ---- */

static void on_line(void *ctx, enum log_severity severity, struct span line)
{
    struct world *w = ctx;
    size_t len = strlen(w->said);

    (void)severity;
    assert_true(len + line.len + 2 < sizeof w->said);
    memcpy(w->said + len, line.ptr, line.len);
    memcpy(w->said + len + line.len, "\n", 2);
}

static void on_config_note(void *ctx, enum config_note_kind kind, const char *text)
{
    (void)ctx;
    if (kind == CONFIG_NOTE_ERROR)
        fail_msg("%s", text);
}

static struct config *config_of(struct world *w, const char *lines)
{
    struct config_source source = {.ini_name = "mxgate.ini", .system_hostname = "mx.example.org"};
    struct config *config = NULL;
    char ini[4000];

    snprintf(ini, sizeof ini,
             "myhostname = mx.example.com\nrelay_domains = example.com\n"
             "relay_transport = lmtp:[192.0.2.10]:24\nqueue_directory = %s\n%s",
             w->d.path, lines);
    source.ini_text = ini;
    assert_int_equal(config_build(&source, on_config_note, NULL, &config), 0);
    return config;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* `lines`: settings; @ stands for the folder. */
static const char *with_folder(struct world *w, const char *lines)
{
    static char out[3000];
    struct text t;

    text_init(&t, out, sizeof out);
    for (; *lines; lines++) {
        if (*lines == '@')
            text_cstr(&t, w->d.path);
        else
            text_char(&t, *lines);
    }
    return out;
}

static void begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    disk_setup(&w->d);
    lane_init(&w->heavy, &w->d.loop, 1);
    w->log = (struct log){.syslog_name = "postfix", .pid = 1, .sink = on_line, .sink_ctx = w};
    w->tls = (struct server_tls){
        .loop = &w->d.loop, .disk = &w->d.disk, .heavy = &w->heavy, .log = &w->log};
    uv_timer_init(&w->d.loop, &w->tick);
    uv_timer_start(&w->tick, on_tick, 5, 5);
}

static void start(struct world *w, const char *lines)
{
    struct config *config = config_of(w, with_folder(w, lines));
    struct errbuf err = {""};

    assert_int_equal(server_tls_start(&w->tls, config, &err), 0);
    config_unref(&config);
}

static void set_config(struct world *w, const char *lines)
{
    struct config *config = config_of(w, with_folder(w, lines));

    server_tls_set_config(&w->tls, config);
    config_unref(&config);
}

static void put(struct world *w, const char *from, const char *to)
{
    openssl_run(&material, "cp %s %s/new && mv %s/new %s/%s", from, w->d.path, w->d.path, w->d.path,
                to);
}

#define wait_for(w, condition)                                                                     \
    do {                                                                                           \
        uint64_t wait_until = clock_mono_ms() + PATIENCE_MS;                                       \
                                                                                                   \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > wait_until)                                                      \
                fail_msg("waited in vain for: %s; said:\n%s", #condition, (w)->said);              \
            uv_run(&(w)->d.loop, UV_RUN_ONCE);                                                     \
        }                                                                                          \
    } while (0)

static bool was_said(const struct world *w, const char *part)
{
    return strstr(w->said, part) != NULL;
}

static unsigned times_said(const struct world *w, const char *part)
{
    unsigned n = 0;

    for (const char *p = w->said; (p = strstr(p, part)) != NULL; p++)
        n++;
    return n;
}

static void on_closed(void *ctx)
{
    struct world *w = ctx;

    w->closed = true;
}

static void end(struct world *w)
{
    server_tls_close(&w->tls, on_closed, w);
    wait_for(w, w->closed);
    uv_close((uv_handle_t *)&w->tick, NULL);
    disk_teardown(&w->d);
}

/* Whom those are for that clients get who ask for `name`: "RSA/EC". */
static const char *shown(const struct world *w, const char *name)
{
    static char out[600];
    struct credential_choice c = credentials_choose(w->tls.set->credentials, name);

    snprintf(out, sizeof out, "%s/%s", c.rsa ? c.rsa->subject : "", c.ec ? c.ec->subject : "");
    return out;
}

/* ---- self-signed ---- */

static void nothing_is_configured(void **state)
{
    struct world w;
    char *first;

    begin(&w);
    start(&w, "");
    assert_string_equal(shown(&w, ""), "/mx.example.com"); /* before the loop runs */
    assert_non_null(server_tls_current(&w.tls));
    wait_for(&w, was_said(&w, "self-signed certificate (RSA) was made"));
    assert_string_equal(shown(&w, ""), "mx.example.com/mx.example.com");
    assert_true(was_said(&w, "‣ INFO  TLS certificate for clients: mx.example.com "
                             "(self-signed), good until "));
    assert_int_equal(times_said(&w, "‣ WARN  No certificate of a CA is set"), 1);
    assert_int_equal(disk_names(&w.d, "tls"), 2);
    first = strdup(w.tls.self_signed[1]);
    end(&w);

    begin(&w); /* another folder, with what the first one kept */
    openssl_run(&material, "mkdir %s/tls && chmod 700 %s/tls", w.d.path, w.d.path);
    disk_put(&w.d, "tls/self-signed-ec.pem", first, strlen(first));
    start(&w, "");
    assert_string_equal(w.tls.self_signed[1], first);
    assert_false(was_said(&w, "self-signed certificate (EC) was made"));
    wait_for(&w, was_said(&w, "self-signed certificate (RSA) was made"));
    set_config(&w, "myhostname = mx.example.net\nmydomain = example.net\n");
    wait_for(&w, strcmp(shown(&w, ""), "mx.example.net/mx.example.net") == 0);
    assert_true(was_said(&w, "certificate (EC) was made for mx.example.net, kept in "));
    assert_true(was_said(&w, ": the one before was for other names"));
    free(first);
    end(&w);
}

static void no_tls_is_wanted(void **state)
{
    struct world w;

    begin(&w);
    start(&w, "smtpd_tls_security_level = none\n");
    assert_null(server_tls_current(&w.tls));
    assert_null(server_tls_current(NULL));
    assert_int_equal(disk_names(&w.d, "tls"), 0);
    put(&w, "one.pem", "x.pem");
    set_config(&w, "smtpd_tls_chain_files = @/x.pem\n");
    wait_for(&w, server_tls_current(&w.tls));
    set_config(&w, "smtpd_tls_security_level = none\n");
    assert_null(server_tls_current(&w.tls));
    assert_int_equal(disk_names(&w.d, "tls"), 0); /* nobody needed one */
    end(&w);
}

/* The first start may be cut off at any moment. */
static void stopped_while_a_key_is_made(void **state)
{
    struct world w;

    begin(&w);
    start(&w, "");
    end(&w);
}

/* ---- files ---- */

static void files_in_every_setting(void **state)
{
    static const struct {
        const char *lines, *want;
    } rows[] = {
        {"smtpd_tls_chain_files = @/rsa.pem, @/one.pem\n",                                 "rsa.example.com/one.example.com"},
        {"smtpd_tls_chain_files = @/one.key @/one.crt\n",                                  "/one.example.com"               },
        {"smtpd_tls_cert_file = @/rsa.pem\n",                                              "rsa.example.com/"               },
        {"smtpd_tls_cert_file = @/rsa.crt\nsmtpd_tls_key_file = @/rsa.key\n",              "rsa.example.com/"               },
        {"smtpd_tls_cert_file = @/rsa.crt\nsmtpd_tls_key_file = @/rsa.key\n"
         "smtpd_tls_eccert_file = @/one.crt\nsmtpd_tls_eckey_file = @/one.key\n", "rsa.example.com/one.example.com"},
        {"smtpd_tls_cert_file = none\nsmtpd_tls_eccert_file = @/one.pem\n",                "/one.example.com"               },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;

        begin(&w);
        openssl_run(&material, "cp one.* rsa.* %s; chmod 600 %s/*", w.d.path, w.d.path);
        start(&w, rows[i].lines);
        assert_string_equal(shown(&w, ""), rows[i].want);
        assert_true(was_said(&w, "‣ INFO  TLS certificate for clients: "));
        assert_false(was_said(&w, "WARN"));
        end(&w);
    }
}

static void names_have_their_own(void **state)
{
    struct world w;

    begin(&w);
    openssl_run(&material, "cp one.* two.* rsa.* bad.pem %s; chmod 600 %s/*", w.d.path, w.d.path);
    start(&w, "smtpd_tls_chain_files = @/rsa.pem\n"
              "tls_server_sni_maps = inline:{ a.example=@/one.pem,\n"
              "  .b.example=@/two.pem,\n  c.example=@/one.pem,\n  d.example=@/bad.pem,\n  "
              "e.example=@/gone.pem }\n");
    assert_string_equal(shown(&w, ""), "rsa.example.com/");
    assert_string_equal(shown(&w, "a.example"), "/one.example.com");
    assert_string_equal(shown(&w, "x.b.example"), "/two.example.com");
    assert_string_equal(shown(&w, "c.example"), "/one.example.com");
    assert_string_equal(shown(&w, "d.example"), "rsa.example.com/");
    assert_int_equal(w.tls.set->count, 3);
    assert_true(was_said(&w, "d.example get the default certificate"));
    assert_true(was_said(&w, "e.example get the default certificate"));
    assert_int_equal(times_said(&w, "one.pem"), 1);
    end(&w);
}

static void what_is_wrong_at_the_start(void **state)
{
    static const struct {
        const char *lines, *why;
    } rows[] = {
        {"smtpd_tls_chain_files = @/gone.pem\n",                              "gone.pem: there is no such file; mount it"},
        {"smtpd_tls_chain_files = @/bad.pem\n",                               "bad.pem: line "                           },
        {"smtpd_tls_chain_files = @/empty.pem\n",                             "empty.pem: there is no certificate in it" },
        {"smtpd_tls_chain_files = @\n",                                       ": this is no file; name a file in it"     },
        {"smtpd_tls_chain_files = @/large.pem\n",                             "large.pem: this has more than 1 MiB"      },
        {"smtpd_tls_cert_file = @/one.crt\nsmtpd_tls_key_file = @/two.key\n",
         "two.key: the private key does not fit the certificate"                                                         },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;

        begin(&w);
        openssl_run(&material, "cp *.pem *.key *.crt %s; head -c 1100000 /dev/zero >%s/large.pem",
                    w.d.path, w.d.path);
        start(&w, rows[i].lines);
        if (!was_said(&w, rows[i].why))
            fail_msg("no \"%s\" in\n%s", rows[i].why, w.said);
        assert_true(was_said(&w, "‣ WARN  TLS certificate cannot be used: "));
        assert_true(was_said(&w, "; another one is shown until it can"));
        assert_string_equal(shown(&w, ""), "/mx.example.com");
        end(&w);
    }
}

static void a_key_that_everybody_may_read(void **state)
{
    struct world w;

    begin(&w);
    openssl_run(&material, "cp one.pem two.crt %s; chmod 644 %s/*", w.d.path, w.d.path);
    start(&w, "smtpd_tls_chain_files = @/one.pem\n");
    assert_true(was_said(&w, "one.pem: everybody on this machine may read this private key"));
    end(&w);
}

/* ---- renewals ---- */

#define EVERY "smtpd_tls_chain_files = @/x.pem\ntls_reload_interval = 50ms\n"

static void a_file_is_renewed(void **state)
{
    struct world w;
    struct tls_server *before;

    begin(&w);
    put(&w, "one.pem", "x.pem");
    start(&w, EVERY);
    before = tls_server_ref(server_tls_current(&w.tls)); /* a session under way */
    put(&w, "two.pem", "x.pem");
    wait_for(&w, strcmp(shown(&w, ""), "/two.example.com") == 0);
    assert_ptr_not_equal(server_tls_current(&w.tls), before);
    assert_true(was_said(&w, "postfix/tlsmgr[1]: TLS certificate for clients: two.example.com"));
    tls_server_unref(before);
    end(&w);
}

/* As certbot has it: a link to a link, of which the nearer one is replaced. */
static void a_link_is_replaced(void **state)
{
    struct world w;

    begin(&w);
    openssl_run(&material,
                "mkdir %s/live %s/archive && cp one.pem two.pem %s/archive && "
                "ln -s ../archive/one.pem %s/live/x.pem && ln -s live/x.pem %s/x.pem",
                w.d.path, w.d.path, w.d.path, w.d.path, w.d.path);
    start(&w, EVERY);
    assert_string_equal(shown(&w, ""), "/one.example.com");
    openssl_run(&material, "ln -s ../archive/two.pem %s/live/n && mv -T %s/live/n %s/live/x.pem",
                w.d.path, w.d.path, w.d.path);
    wait_for(&w, strcmp(shown(&w, ""), "/two.example.com") == 0);
    openssl_run(&material, "rm -r %s/live %s/archive", w.d.path, w.d.path);
    end(&w);
}

static void a_bad_renewal_is_said_once(void **state)
{
    struct world w;
    struct tls_server *before;
    uint64_t until;

    begin(&w);
    put(&w, "one.pem", "x.pem");
    start(&w, EVERY);
    before = server_tls_current(&w.tls);
    put(&w, "bad.pem", "x.pem");
    wait_for(&w, was_said(&w, "TLS certificate cannot be used: "));
    assert_true(was_said(&w, "; the certificate of before stays in use"));
    assert_string_equal(shown(&w, ""), "/one.example.com");
    assert_ptr_equal(server_tls_current(&w.tls), before); /* sessions can still be resumed */
    until = clock_mono_ms() + 300; /* six looks at nothing new: the time is what is tested */
    wait_for(&w, clock_mono_ms() > until);
    assert_int_equal(times_said(&w, "cannot be used"), 1);
    put(&w, "empty.pem", "x.pem");
    wait_for(&w, times_said(&w, "cannot be used") == 2);
    put(&w, "two.pem", "x.pem");
    wait_for(&w, strcmp(shown(&w, ""), "/two.example.com") == 0);
    assert_string_equal(w.tls.trouble.text, "");
    end(&w);
}

/* Chain and key are two files; between the first and the second nothing is said. */
static void a_renewal_seen_half_done(void **state)
{
    struct world w;

    begin(&w);
    put(&w, "one.crt", "x.crt");
    put(&w, "one.key", "x.key");
    start(&w, "smtpd_tls_chain_files = @/x.key @/x.crt\ntls_reload_interval = 50ms\n");
    put(&w, "two.crt", "x.crt");
    wait_for(&w, w.tls.retrying);
    assert_string_equal(shown(&w, ""), "/one.example.com");
    put(&w, "two.key", "x.key");
    wait_for(&w, strcmp(shown(&w, ""), "/two.example.com") == 0);
    assert_false(was_said(&w, "cannot be used"));
    end(&w);
}

/* One of several that breaks holds back no other. */
static void one_name_breaks(void **state)
{
    struct world w;

    begin(&w);
    put(&w, "rsa.pem", "x.pem");
    put(&w, "one.pem", "a.pem");
    start(&w, EVERY "tls_server_sni_maps = inline:{ a.example=@/a.pem }\n");
    put(&w, "bad.pem", "a.pem");
    put(&w, "two.pem", "x.pem");
    wait_for(&w, strcmp(shown(&w, ""), "/two.example.com") == 0);
    assert_string_equal(shown(&w, "a.example"), "/one.example.com");
    assert_true(was_said(&w, "a.pem: line "));
    end(&w);
}

static void without_looking_only_when_told(void **state)
{
    struct world w;
    uint64_t until;

    begin(&w);
    put(&w, "one.pem", "x.pem");
    start(&w, "smtpd_tls_chain_files = @/x.pem\ntls_reload_interval = 0\n");
    put(&w, "two.pem", "x.pem");
    until = clock_mono_ms() + 200;
    wait_for(&w, clock_mono_ms() > until);
    assert_string_equal(shown(&w, ""), "/one.example.com");
    set_config(&w, "smtpd_tls_chain_files = @/x.pem\ntls_reload_interval = 0\n"); /* SIGHUP */
    set_config(&w, "smtpd_tls_chain_files = @/x.pem\ntls_reload_interval = 0\n");
    wait_for(&w, strcmp(shown(&w, ""), "/two.example.com") == 0);
    end(&w);
}

static void new_settings_name_a_bad_file(void **state)
{
    struct world w;

    begin(&w);
    put(&w, "one.pem", "x.pem");
    put(&w, "bad.pem", "y.pem");
    start(&w, "smtpd_tls_chain_files = @/x.pem\n");
    set_config(&w, "smtpd_tls_chain_files = @/y.pem\n");
    wait_for(&w, was_said(&w, "y.pem: line "));
    assert_string_equal(shown(&w, ""), "/one.example.com");
    assert_non_null(server_tls_current(&w.tls));
    end(&w);
}

/* ---- what expires ---- */

static void expiry(void **state)
{
    struct world w;
    struct status status = {.pid = 0};

    begin(&w);
    openssl_run(&material, "cp soon.pem rsa.pem %s", w.d.path);
    start(&w, "smtpd_tls_chain_files = @/soon.pem @/rsa.pem\ntls_reload_interval = 50ms\n");
    assert_int_equal(times_said(&w, "TLS certificate for soon.example.com (EC) expires on "), 1);
    assert_true(was_said(&w, ", in 2 days: renew it"));
    server_tls_status(&w.tls, &status);
    assert_int_equal(status.certificates, 2);
    assert_string_equal(status.certificate[0].name, "rsa.example.com");
    assert_int_equal(status.certificate[0].state, STATUS_CERTIFICATE_GOOD);
    assert_int_equal(status.certificate[1].state, STATUS_CERTIFICATE_SOON);
    assert_string_equal(status.certificate_trouble, "");
    w.tls.expiry_said_s -= 86399;
    for (int i = 0; i < 20; i++)
        uv_run(&w.d.loop, UV_RUN_ONCE);
    w.tls.expiry_said_s -= 2; /* a day later */
    wait_for(&w, times_said(&w, "expires on ") == 2);
    set_config(&w, "smtpd_tls_chain_files = @/soon.pem @/rsa.pem\ntls_expiry_warning = 1d\n");
    wait_for(&w, times_said(&w, "for clients: soon.example.com") == 2);
    assert_int_equal(times_said(&w, "expires on "), 2);
    end(&w);
}

/* ---- mxgate check ---- */

struct notes {
    char text[4000];
};

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct notes *n = ctx;
    size_t len = strlen(n->text);

    snprintf(n->text + len, sizeof n->text - len, "%c %s\n", kind == CONFIG_NOTE_INFO ? 'I' : 'W',
             text);
}

static void what_check_says(void **state)
{
    static const struct {
        const char *lines, *want;
    } rows[] = {
        {"",                                     "I A self-signed certificate is made for mx.example.com at the first start"},
        {"smtpd_tls_security_level = none\n",    ""                                                                         },
        {"smtpd_tls_chain_files = @/one.pem\n",  "I TLS certificate for clients: one.example.com"                           },
        {"smtpd_tls_chain_files = @/gone.pem\n", "W TLS certificate cannot be used: "                                       },
        {"smtpd_tls_chain_files = @/soon.pem\n", "W TLS certificate for soon.example.com (EC) "                             },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notes notes = {""};
        struct config *config;
        struct world w;

        begin(&w);
        openssl_run(&material, "cp *.pem %s", w.d.path);
        config = config_of(&w, with_folder(&w, rows[i].lines));
        server_tls_check(config, on_note, &notes);
        if (rows[i].want[0] ? !strstr(notes.text, rows[i].want) : notes.text[0] != '\0')
            fail_msg("row %zu: %s", i, notes.text);
        config_unref(&config);
        assert_int_equal(disk_names(&w.d, "tls"), 0); /* it makes nothing */
        uv_close((uv_handle_t *)&w.tick, NULL);
        disk_teardown(&w.d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_configured),
        cmocka_unit_test(no_tls_is_wanted),
        cmocka_unit_test(stopped_while_a_key_is_made),
        cmocka_unit_test(files_in_every_setting),
        cmocka_unit_test(names_have_their_own),
        cmocka_unit_test(what_is_wrong_at_the_start),
        cmocka_unit_test(a_key_that_everybody_may_read),
        cmocka_unit_test(a_file_is_renewed),
        cmocka_unit_test(a_link_is_replaced),
        cmocka_unit_test(a_bad_renewal_is_said_once),
        cmocka_unit_test(a_renewal_seen_half_done),
        cmocka_unit_test(one_name_breaks),
        cmocka_unit_test(without_looking_only_when_told),
        cmocka_unit_test(new_settings_name_a_bad_file),
        cmocka_unit_test(expiry),
        cmocka_unit_test(what_check_says),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
