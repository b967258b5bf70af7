/* spool_fixture - see spool_fixture.h */
#include "spool_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char line[] = "0123456789 abcdefghijklmnopqrstuvwxyz 0123456789 ABCDEFGHIJKLM\r\n";

void spool_setup(struct spool_fixture *f)
{
    struct errbuf err = {""};

    disk_setup(&f->disk);
    if (spool_open(&f->spool, f->disk.path, &f->disk.disk, &err) < 0)
        fail_msg("%s", err.text);
    f->place = (struct body_place){
        .incoming_fd = f->spool.incoming_fd,
        .disk = &f->disk.disk,
        .budget = {.limit = 16 << 20},
    };
    f->disk.fds += 5;
}

void spool_teardown(struct spool_fixture *f)
{
    disk_run(&f->disk);
    disk_fault_none();
    assert_int_equal(f->place.budget.used, 0);
    assert_int_equal(disk_names(&f->disk, "incoming"), 0);
    spool_close(&f->spool);
    f->disk.fds -= 5;
    disk_teardown(&f->disk);
}

void spool_reopen(struct spool_fixture *f)
{
    struct errbuf err = {""};

    spool_close(&f->spool);
    if (spool_open(&f->spool, f->disk.path, &f->disk.disk, &err) < 0)
        fail_msg("%s", err.text);
    f->place.incoming_fd = f->spool.incoming_fd;
}

void spool_id(unsigned n, struct queue_id *id_out)
{
    snprintf(id_out->text, sizeof id_out->text, "%016X", n);
}

const char *spool_name(char name[SPOOL_NAME_CAP], const char *folder, unsigned n)
{
    struct queue_id id;

    spool_id(n, &id);
    snprintf(name, SPOOL_NAME_CAP, "%s/%s", folder, id.text);
    return name;
}

/* ---- a message ------------------------------------------------------------- */

static int make_prefix(void *ctx, char **bytes_out, size_t *len_out)
{
    struct spool_message *m = ctx;

    *bytes_out = spool_format_header_new(m->envelope, 0, len_out);
    return *bytes_out ? 0 : -ENOMEM;
}

static void fill(struct spool_message *m);

static void on_room(void *ctx, int rc)
{
    if (rc == 0)
        fill(ctx);
}

static void fill(struct spool_message *m)
{
    while (m->left > 0) {
        size_t room;
        char *to;

        if (!body_make_room(m->body, 1024, on_room, m))
            return;
        to = body_room(m->body, &room);
        if (room > m->left)
            room = (size_t)m->left;
        for (size_t i = 0; i < room; i++)
            to[i] = line[(m->body->total + i) % (sizeof line - 1)];
        body_wrote(m->body, room);
        m->left -= room;
    }
}

void spool_message_init(struct spool_message *m, struct spool_fixture *f, unsigned n, uint64_t len)
{
    *m = (struct spool_message){.fixture = f, .left = len};
    m->envelope = envelope_new();
    assert_non_null(m->envelope);
    spool_id(n, &m->envelope->id);
    strcpy(m->envelope->client_name, "mail.example.org");
    strcpy(m->envelope->protocol, "ESMTP");
    assert_true(envelope_set_sender(m->envelope, SPAN_LIT("bob@example.org")));
    assert_true(envelope_add_recipient(m->envelope, SPAN_LIT("ann@example.com"), 0, span_of(NULL)));
    assert_true(envelope_add_recipient(m->envelope, SPAN_LIT("joe@example.com"), 0, span_of(NULL)));
    m->body = body_new(&f->place);
    assert_non_null(m->body);
    m->body->id = m->envelope->id;
    m->body->prefix = make_prefix;
    m->body->prefix_ctx = m;
    fill(m);
}

static void on_done(struct spool_commit *c, int rc, const char *step)
{
    struct spool_message *m =
        (struct spool_message *)((char *)c - offsetof(struct spool_message, commit));

    m->done++;
    m->rc = rc;
    m->step = step;
}

void spool_message_commit(struct spool_message *m)
{
    m->commit.envelope = m->envelope;
    m->commit.body = m->body;
    m->commit.done = on_done;
    spool_commit(&m->fixture->spool, &m->commit);
}

void spool_message_deinit(struct spool_message *m)
{
    body_free(&m->body);
    envelope_free(&m->envelope);
}

void spool_store(struct spool_fixture *f, unsigned n, uint64_t len)
{
    struct spool_message m;

    spool_message_init(&m, f, n, len);
    disk_run(&f->disk);
    spool_message_commit(&m);
    disk_run(&f->disk);
    assert_int_equal(m.rc, 0);
    assert_int_equal(m.done, 1);
    spool_message_deinit(&m);
    disk_run(&f->disk);
}

/* ---- checking -------------------------------------------------------------- */

static void check_body(struct spool_fixture *f, struct spool_load *l, uint64_t len)
{
    struct body_place here = {.incoming_fd = f->spool.incoming_fd};
    struct body *b = body_from_file(&here, l->fd, l->file.body_offset, l->file.body_len);
    static char buf[65536];
    uint64_t at = 0;
    int n;

    assert_non_null(b);
    while ((n = body_read(b, at, buf, sizeof buf)) > 0) {
        for (int i = 0; i < n; i++, at++)
            assert_int_equal(buf[i], line[at % (sizeof line - 1)]);
    }
    assert_int_equal(n, 0);
    assert_int_equal(at, len);
    body_free(&b);
}

int spool_check(struct spool_fixture *f, unsigned n, uint64_t len)
{
    struct spool_load l = {.fd = -1};
    int rc;

    spool_id(n, &l.id);
    rc = spool_load_now(&f->spool, &l);
    if (rc < 0) {
        assert_int_equal(l.fd, -1);
        assert_null(l.file.envelope);
        return rc;
    }
    assert_string_equal(l.file.envelope->id.text, l.id.text);
    assert_string_equal(l.file.envelope->sender, "bob@example.org");
    assert_string_equal(l.file.envelope->recipients[0].address, "ann@example.com");
    assert_int_equal(l.file.body_len, len);
    check_body(f, &l, len);
    spool_file_deinit(&l.file);
    return 0;
}

static void on_file(void *ctx, struct spool_file *file)
{
    struct spool_seen *seen = ctx;

    assert_true(strcmp(file->envelope->id.text, seen->last) > 0);
    strcpy(seen->last, file->envelope->id.text);
    seen->files++;
    seen->file = *file;
    seen->file.envelope = NULL;
    seen->pending += envelope_pending(file->envelope);
    if (seen->files % 2)
        envelope_free(&file->envelope); /* taken */
}

static void on_bad(void *ctx, const char *name, const char *why)
{
    struct spool_seen *seen = ctx;

    seen->bad++;
    snprintf(seen->why, sizeof seen->why, "%s", why);
}

int spool_scan_all(struct spool_fixture *f, struct spool_seen *seen)
{
    *seen = (struct spool_seen){0};
    return spool_scan(&f->spool, on_file, on_bad, seen);
}
