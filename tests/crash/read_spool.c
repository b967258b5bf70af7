/*
 * read_spool - what a gateway would find at its start in each of many spools
 *
 * Names of folders come by stdin, one a line; of each the program says, line by line, what
 * spool_open, spool_scan and spool_load make of it, and "done". Each file is then written to and
 * read again, as the gateway will do. Beside tests/crash/powerloss.py, which makes thousands of
 * spools: starting the whole gateway on each would take hours.
 *
 *     message ID HOLD REPORT           HOLD 0 or 1; REPORT an id or "-"
 *     recipient ID ADDRESS STATE TOLD  STATE pending, sent or failed
 *     bad NAME WHY...
 *     error WHAT...                    the gateway would not start, or cannot use the file
 */
#include "message/disk.h"
#include "queue/records.h"
#include "queue/spool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_MAX 4096

struct found {
    struct queue_id ids[MESSAGES_MAX];
    size_t count;
};

static const char *state_name(enum recipient_state state)
{
    if (state == RECIPIENT_SENT)
        return "sent";
    return state == RECIPIENT_FAILED ? "failed" : "pending";
}

static void on_message(void *ctx, struct spool_file *f)
{
    struct found *found = ctx;

    if (found->count < MESSAGES_MAX)
        found->ids[found->count++] = f->envelope->id;
}

static void on_bad(void *ctx, const char *name, const char *why)
{
    printf("bad %s %s\n", name, why);
}

static void say_message(const struct spool_file *f)
{
    const char *id = f->envelope->id.text;

    printf("message %s %d %s\n", id, f->on_hold, f->report_id.text[0] ? f->report_id.text : "-");
    for (size_t i = 0; i < f->envelope->recipient_count; i++) {
        const struct recipient *r = &f->envelope->recipients[i];

        printf("recipient %s %s %s %d\n", id, r->address, state_name(r->state), r->told);
    }
}

/* False when it cannot be read whole. */
static bool load(struct spool *s, const struct queue_id *id, bool say)
{
    struct spool_load l = {.id = *id};
    int rc = spool_load_now(s, &l);

    if (rc < 0) {
        printf("error %s cannot be loaded: %s\n", id->text, l.err.text);
        return false;
    }
    if (say)
        say_message(&l.file);
    disk_close(l.fd);
    spool_file_deinit(&l.file);
    return true;
}

static void use(struct spool *s, const struct queue_id *id)
{
    struct records records = {NULL, 0, 0, false};
    struct spool_append a = {.id = *id, .sync = true};
    int rc = -1;

    if (!load(s, id, true))
        return;
    if (records_add_hold(&records, 1763770300, "a test")) {
        a.records = records.bytes;
        a.records_len = records.len;
        rc = spool_append_now(s, &a);
    }
    if (rc < 0)
        printf("error %s cannot be written to: %d\n", id->text, rc);
    else
        load(s, id, false);
    records_deinit(&records);
}

static void look_at(const char *path, struct found *found)
{
    struct errbuf err = {""};
    struct spool s;
    int rc = spool_open(&s, path, NULL, &err);

    found->count = 0;
    if (rc < 0) {
        printf("error %s\n", err.text);
        return;
    }
    rc = spool_scan(&s, on_message, on_bad, found);
    if (rc < 0)
        printf("error the scan ended with %d\n", rc);
    for (size_t i = 0; i < found->count; i++)
        use(&s, &found->ids[i]);
    spool_close(&s);
}

int main(void)
{
    static struct found found;
    char path[512];

    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = '\0';
        look_at(path, &found);
        printf("done\n");
        fflush(stdout);
    }
    return 0;
}
