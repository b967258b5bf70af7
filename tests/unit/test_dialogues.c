/*
 * test_dialogues - every file of tests/dialogues against the session engine (FORMAT.md there)
 *
 * Each file is played whole, one byte at a time, and cut in two at every byte; with answers that
 * come at once and later; with a body buffer that is always and rarely ready. What the client hears
 * must be the same each time, and as many mails must come out as replies said "queued as".
 */
#include "session_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEPS_MAX    512
#define SETTINGS_MAX 8
#define NO_CUT       SIZE_MAX
#define EVERY_BYTE   (SIZE_MAX - 1)

enum step_kind { STEP_SEND, STEP_EXPECT, STEP_TLS, STEP_CLOSE };

struct step {
    enum step_kind kind;
    unsigned line;
    struct bytes text;
};

struct dialogue {
    const char *name;
    char *settings[SETTINGS_MAX + 1]; /* owned */
    size_t setting_count;
    struct step steps[STEPS_MAX];
    size_t step_count;
    bool submission; /* PORT submission */
};

struct play {
    struct fixture *f;
    const struct dialogue *d;
    size_t cut;   /* after how many of the client's bytes input is cut */
    size_t sent;  /* bytes of the client so far */
    size_t heard; /* bytes of f->said compared so far */
};

/* --- reading a file --- */

static size_t hex(char c)
{
    const char *digits = "0123456789abcdef";

    return (size_t)(strchr(digits, ascii_lower(c)) - digits);
}

static void add_unescaped(struct bytes *out, struct span s)
{
    static const char names[] = "rn0t\\";
    static const char values[] = "\r\n\0\t\\";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '\\' && s.ptr[i + 1] == 'x') {
            c = (char)(hex(s.ptr[i + 2]) << 4 | hex(s.ptr[i + 3]));
            i += 3;
        } else if (c == '\\') {
            c = values[strchr(names, s.ptr[i + 1]) - names];
            i += 1;
        }
        bytes_add(out, span_make(&c, 1));
    }
}

static bool take_prefix(struct span *line, const char *prefix)
{
    if (!span_starts_nocase(*line, span_of(prefix)))
        return false;
    *line = span_from(*line, strlen(prefix));
    if (line->len > 0 && line->ptr[0] == ' ')
        *line = span_from(*line, 1);
    return true;
}

static void read_line(struct dialogue *d, unsigned number, struct span line)
{
    struct step *step = &d->steps[d->step_count];

    if (line.len == 0 || line.ptr[0] == '#')
        return;
    if (take_prefix(&line, "set ")) {
        assert_true(d->setting_count < SETTINGS_MAX);
        d->settings[d->setting_count++] = strndup(line.ptr, line.len);
        return;
    }
    if (span_equal(line, SPAN_LIT("PORT submission"))) {
        d->submission = true;
        return;
    }
    assert_true(d->step_count < STEPS_MAX);
    d->step_count++;
    step->line = number;
    if (take_prefix(&line, "CRAW:")) {
        add_unescaped(&step->text, line);
    } else if (take_prefix(&line, "CLF:")) {
        bytes_add(&step->text, line);
        bytes_add(&step->text, SPAN_LIT("\n"));
    } else if (take_prefix(&line, "C:")) {
        bytes_add(&step->text, line);
        bytes_add(&step->text, SPAN_LIT("\r\n"));
    } else if (take_prefix(&line, "S:")) {
        step->kind = STEP_EXPECT;
        bytes_add(&step->text, line);
    } else if (span_equal(line, SPAN_LIT("CLOSE"))) {
        step->kind = STEP_CLOSE;
    } else if (span_equal(line, SPAN_LIT("TLS"))) {
        step->kind = STEP_TLS;
    } else {
        fail_msg("%s:%u: not a directive", d->name, number);
    }
}

static void dialogue_read(struct dialogue *d, const char *folder, const char *name)
{
    char path[4096];
    char line[65536];
    unsigned number = 0;
    FILE *file;

    memset(d, 0, sizeof *d);
    d->name = name;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        size_t len = strlen(line);

        assert_true(len > 0 && line[len - 1] == '\n');
        read_line(d, ++number, span_make(line, len - 1));
    }
    fclose(file);
    assert_true(d->step_count > 0);
}

static void dialogue_free(struct dialogue *d)
{
    for (size_t i = 0; i < d->setting_count; i++)
        free(d->settings[i]);
    for (size_t i = 0; i < d->step_count; i++)
        bytes_free(&d->steps[i].text);
}

static size_t dialogue_sent(const struct dialogue *d)
{
    size_t len = 0;

    for (size_t i = 0; i < d->step_count; i++)
        len += d->steps[i].kind == STEP_SEND ? d->steps[i].text.len : 0;
    return len;
}

/* --- playing it --- */

/* Bytes of consecutive sends are one write, but for the cut. */
static void play_send(struct play *p, struct span bytes)
{
    size_t cut = p->cut > p->sent && p->cut < p->sent + bytes.len ? p->cut - p->sent : bytes.len;

    p->sent += bytes.len;
    if (p->cut == EVERY_BYTE) {
        for (size_t i = 0; i < bytes.len; i++)
            fixture_send(p->f, span_make(bytes.ptr + i, 1));
        return;
    }
    fixture_send(p->f, span_first(bytes, cut));
    fixture_send(p->f, span_from(bytes, cut));
}

static void play_expect(struct play *p, const struct step *step)
{
    struct span left = span_from(span_make(p->f->said.ptr, p->f->said.len), p->heard);
    size_t len = span_find(left, '\n');
    struct span line = span_first(left, len > 0 ? len - 1 : 0);
    struct span want = span_make(step->text.ptr, step->text.len);

    if (len == left.len)
        fail_msg("%s:%u: nothing was said (cut %zu)", p->d->name, step->line, p->cut);
    p->heard += len + 1;
    if (want.len > 0 && want.ptr[want.len - 1] == '*') {
        want.len--;
        line = span_first(line, want.len);
    }
    if (!span_equal(line, want))
        fail_msg("%s:%u: heard \"%.*s\" (cut %zu)", p->d->name, step->line,
                 (int)span_first(left, len).len, left.ptr, p->cut);
}

static void play_close(struct play *p, const struct step *step)
{
    if (p->f->hang_ups != 1 || p->heard != p->f->said.len)
        fail_msg("%s:%u: not closed, or more was said (cut %zu)", p->d->name, step->line, p->cut);
}

static void play_tls(struct play *p, const struct step *step)
{
    if (!p->f->tls_due || p->heard != p->f->said.len)
        fail_msg("%s:%u: no handshake is due, or more was said (cut %zu)", p->d->name, step->line,
                 p->cut);
    fixture_secure(p->f);
}

static void play_steps(struct play *p)
{
    struct bytes pending = {NULL, 0, 0};

    for (size_t i = 0; i < p->d->step_count; i++) {
        const struct step *step = &p->d->steps[i];

        if (step->kind == STEP_SEND) {
            bytes_add(&pending, span_make(step->text.ptr, step->text.len));
            continue;
        }
        play_send(p, span_make(pending.ptr, pending.len));
        pending.len = 0;
        if (step->kind == STEP_EXPECT)
            play_expect(p, step);
        else if (step->kind == STEP_TLS)
            play_tls(p, step);
        else
            play_close(p, step);
    }
    bytes_free(&pending);
}

static size_t count_text(const struct bytes *b, const char *text)
{
    const char *at = bytes_text(b);
    size_t count = 0;

    while ((at = strstr(at, text)) != NULL) {
        at++;
        count++;
    }
    return count;
}

static void check_messages(const struct play *p)
{
    assert_int_equal(count_text(&p->f->said, "queued as"), p->f->message_count);
    for (size_t i = 0; i < p->f->message_count; i++) {
        assert_true(fixture_is_canonical(&p->f->messages[i].body));
        assert_true(p->f->messages[i].envelope->recipient_count > 0);
    }
}

/* The client comes from loopback, as it does in the end-to-end runner. */
static bool is_trusted(const struct fixture *f)
{
    unsigned char address[16];

    assert_true(cidr_address_parse(SPAN_LIT("127.0.0.1"), address));
    return cidr_list_match(&f->config->networks, address);
}

static void play(struct fixture *f, const struct dialogue *d, size_t cut, struct bytes *said)
{
    struct play p = {f, d, cut, 0, 0};

    if (d->submission)
        fixture_connect_submission(f);
    else
        fixture_connect(f, is_trusted(f));
    session_start(&f->session);
    play_steps(&p);
    check_messages(&p);
    if (said->len == 0)
        bytes_add(said, span_make(f->said.ptr, f->said.len));
    if (strcmp(bytes_text(said), bytes_text(&f->said)) != 0)
        fail_msg("%s: other replies when cut at %zu", d->name, cut);
    if (f->hang_ups == 0)
        session_lost(&f->session);
}

static void run_dialogue(const char *folder, const char *name)
{
    struct dialogue d;
    struct fixture f;
    struct bytes said = {NULL, 0, 0};
    size_t len;

    dialogue_read(&d, folder, name);
    len = dialogue_sent(&d);
    fixture_init(&f, (const char *const *)d.settings);
    for (unsigned variant = 0; variant < 4; variant++) {
        f.when = variant & 1 ? FIXTURE_LATER : FIXTURE_NOW;
        f.endless_room = !(variant & 2);
        play(&f, &d, NO_CUT, &said);
        play(&f, &d, EVERY_BYTE, &said);
        for (size_t cut = 1; cut < len; cut++)
            play(&f, &d, cut, &said);
    }
    fixture_free(&f);
    bytes_free(&said);
    dialogue_free(&d);
}

static int is_dialogue(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 4 && strcmp(entry->d_name + len - 4, ".dlg") == 0;
}

static void test_dialogues(void **state)
{
    const char *folder = getenv("DIALOGUES_DIR");
    struct dirent **entries;
    int count;

    folder = folder ? folder : "tests/dialogues";
    count = scandir(folder, &entries, is_dialogue, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        run_dialogue(folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
