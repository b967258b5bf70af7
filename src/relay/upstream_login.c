/*
 * upstream_login - who a session logs in as: a password of the settings, or a token, whose file is
 * read for each login; see upstream_internal.h
 *
 *     NONE --asked--> READING (lane) --> READ --login over, session over--> wiped, freed
 *                        `--session over--> freed when the lane is done
 *
 * Owns:   the token: one for each login under way, wiped when it is over.
 * Fails:  a file that cannot be read, is empty, longer than TOKEN_MAX or no token ends the session
 *         in words with its path.
 */
#include "relay/upstream_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_MAX 8000 /* in base64 a line of AUTH must hold it */
#define PATH_CAP  1100 /* what a setting can hold */

struct login_token {
    struct lane_job job;              /* first: the lane's functions cast */
    struct upstream *u;               /* a hold */
    struct upstream_session *session; /* borrowed; NULL: it is over */
    bool reading;
    int rc;
    size_t len;
    char path[PATH_CAP];
    char bytes[TOKEN_MAX + 2];
};

void upstream_login_choose(struct upstream_session *s)
{
    s->has_login = relay_login_find(s->config, &s->u->route, &s->login);
}

/* ---- the file ---- */

static int read_all(int fd, struct login_token *t)
{
    ssize_t n = 1;

    while (n != 0 && t->len < sizeof t->bytes) {
        n = read(fd, t->bytes + t->len, sizeof t->bytes - t->len);
        if (n > 0)
            t->len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            return -errno;
    }
    return t->len > TOKEN_MAX ? -EFBIG : 0;
}

static void on_work(struct lane_job *job)
{
    struct login_token *t = (struct login_token *)job;
    int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    t->rc = fd < 0 ? -errno : read_all(fd, t);
    if (fd >= 0)
        close(fd);
}

/* RFC 6750 2.1, and whatever else is one printable word. */
static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_control(s.ptr[i]) || ascii_is_8bit(s.ptr[i]) || s.ptr[i] == ' ')
            return false;
    }
    return s.len > 0;
}

static void fail(struct upstream_session *s, const char *why)
{
    char buf[PATH_CAP + 128];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "no login: the token in %s cannot be used: %s", s->login.token_file, why);
    client_fail(&s->client, buf);
}

static void token_free(struct login_token *t)
{
    struct upstream *u = t->u;

    explicit_bzero(t->bytes, sizeof t->bytes);
    free(t);
    upstream_release(u);
}

static void on_done(struct lane_job *job)
{
    struct login_token *t = (struct login_token *)job;
    struct upstream_session *s = t->session;
    struct client_login login;

    t->reading = false;
    if (!s) {
        token_free(t);
        return;
    }
    login = (struct client_login){s->login.user, span_trim(span_make(t->bytes, t->len))};
    if (t->rc < 0)
        fail(s, strerror(-t->rc));
    else if (!is_token(login.secret))
        fail(s, "it is not one word");
    else
        client_login(&s->client, &login);
}

static bool read_token(struct upstream_session *s)
{
    struct login_token *t = calloc(1, sizeof *t);

    if (!t || !span_copy(span_of(s->login.token_file), t->path, sizeof t->path)) {
        free(t);
        return false;
    }
    t->job.work = on_work;
    t->job.done = on_done;
    t->session = s;
    t->u = s->u;
    t->u->holds++;
    t->reading = true;
    s->token = t;
    lane_submit(s->u->context->files, &t->job);
    return true;
}

/* ---- use ---- */

void upstream_login_give(struct upstream_session *s)
{
    struct client_login login = {s->login.user, s->login.password};

    if (!s->login.token_file[0])
        client_login(&s->client, &login);
    else if (!read_token(s))
        fail(s, "out of memory");
}

void upstream_login_forget(struct upstream_session *s)
{
    struct login_token *t = s->token;

    s->token = NULL;
    if (!t)
        return;
    t->session = NULL;
    if (!t->reading)
        token_free(t);
}
