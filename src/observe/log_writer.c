/*
 * log_writer - see log_writer.h
 *
 * The ring holds finished lines. Whoever logs copies a line in under the lock and goes on; the
 * thread writes the oldest bytes without the lock (they stay counted in `len` meanwhile, so nobody
 * overwrites them). It waits GATHER_NS before each write, so that lines that come together are
 * written together; a process that is killed loses that much of its log. A line that does not fit
 * is dropped; the next one that fits is preceded by a line that says how many are missing, and when
 * none comes, the thread says it once the ring is empty.
 *
 * Plain:  "TIME SEVERITY postfix/smtpd[1]: ..."; start-up lines ("‣ INFO  ...") as they are.
 * JSON:   the object of log_json.h, with {"time":"...", before what it begins with.
 *
 * Fails:  a write error (reader gone) drops what is in the ring, counted. Nothing is logged about
 * the log. Owns:   the ring, the thread. A thread that is stuck in write() when log_writer_free()
 * gives up frees everything itself, if ever it comes back.
 */
#include "observe/log_writer.h"

#include "base/clock.h"
#include "base/text.h"
#include "observe/log_line.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OUT_MAX   16000 /* one line with everything around it: Docker splits at 16 KB */
#define WRITE_MAX 65536
#define GATHER_NS 2000000
#define NAME_CAP  64
#define TOLD_MAX  512 /* the line about dropped lines */

struct log_writer {
    int fd; /* borrowed */
    enum config_log_format format;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled; /* for the thread: bytes came, or stopping */
    pthread_cond_t ended;  /* for log_writer_free */
    char *ring;            /* owned; LOG_RING_BYTES */
    size_t head;
    size_t len;
    bool started;
    bool asleep; /* the thread waits for `filled` */
    bool stopping;
    bool done;           /* the thread will touch nothing any more */
    bool abandoned;      /* nobody waits: the thread frees us */
    uint64_t untold;     /* dropped since the last line about it */
    char name[NAME_CAP]; /* syslog_name, for the line about it */
    atomic_uint_fast64_t dropped;
};

/* --- one line --- */

static bool is_startup(struct span line)
{
    return span_starts_nocase(line, SPAN_LIT(LOG_STARTUP_BULLET));
}

static void put_plain(struct text *t, enum log_severity severity, struct span line)
{
    static const char *const words[] = {" INFO ", " WARNING ", " ERROR ", " FATAL "};

    if (!is_startup(line)) {
        clock_text_rfc3339(t, clock_wall_us());
        text_cstr(t, words[severity]);
    }
    text_span(t, line);
}

static void put_line(const struct log_writer *w, struct text *t, enum log_severity severity,
                     struct span line)
{
    if (w->format == LOG_FORMAT_JSON) {
        text_cstr(t, "{\"time\":\"");
        clock_text_rfc3339(t, clock_wall_us());
        text_cstr(t, "\",");
        text_span(t, span_from(line, 1)); /* without its brace */
    } else {
        put_plain(t, severity, line);
    }
    text_char(t, '\n');
}

/* --- the ring; the lock is held --- */

static size_t ring_room(const struct log_writer *w)
{
    return LOG_RING_BYTES - w->len;
}

/* There is room. */
static void ring_put(struct log_writer *w, struct span s)
{
    size_t tail = (w->head + w->len) % LOG_RING_BYTES;
    struct span first = span_first(s, LOG_RING_BYTES - tail);

    memcpy(w->ring + tail, first.ptr, first.len);
    memcpy(w->ring, s.ptr + first.len, s.len - first.len);
    w->len += s.len;
}

static void ring_take(struct log_writer *w, size_t len)
{
    w->len -= len;
    w->head = w->len > 0 ? (w->head + len) % LOG_RING_BYTES : 0; /* empty: the same pages again */
}

static void put_told(void *ctx, enum log_severity severity, struct span line)
{
    struct log_writer *w = ctx;
    char buf[TOLD_MAX];
    struct text t;

    text_init(&t, buf, sizeof buf);
    put_line(w, &t, severity, line);
    ring_put(w, text_as_span(&t));
}

/* Says how many lines are missing; there is room for it. */
static void tell_dropped(struct log_writer *w)
{
    struct log log = {.syslog_name = w->name,
                      .sink = put_told,
                      .sink_ctx = w,
                      .json = w->format == LOG_FORMAT_JSON};

    if (w->untold == 0)
        return;
    log.pid = (long)getpid(); /* a system call: not for each line */
    log_warning(&log, "master", "%llu log lines were dropped: the log is not read fast enough",
                (unsigned long long)w->untold);
    w->untold = 0;
}

static void count_dropped(struct log_writer *w, uint64_t lines)
{
    w->untold += lines;
    atomic_fetch_add(&w->dropped, lines);
}

void log_writer_sink(void *ctx, enum log_severity severity, struct span line)
{
    struct log_writer *w = ctx;
    char buf[OUT_MAX];
    struct text t;
    bool wake;

    text_init(&t, buf, sizeof buf);
    put_line(w, &t, severity, line);
    pthread_mutex_lock(&w->lock);
    if (ring_room(w) >= t.len + (w->untold > 0 ? TOLD_MAX : 0)) {
        tell_dropped(w);
        ring_put(w, text_as_span(&t));
    } else {
        count_dropped(w, 1);
    }
    wake = w->asleep;
    w->asleep = false;
    pthread_mutex_unlock(&w->lock);
    if (wake) /* now: under the lock it would wake only to wait for us */
        pthread_cond_signal(&w->filled);
}

uint64_t log_writer_dropped(const struct log_writer *w)
{
    return atomic_load(&w->dropped);
}

/* --- the thread --- */

/* Bytes written, or -errno. A descriptor that was made non-blocking by somebody else is waited for.
 */
static ssize_t write_some(int fd, const char *ptr, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    for (;;) {
        ssize_t n = write(fd, ptr, len);

        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            poll(&p, 1, -1);
        else if (errno != EINTR)
            return -errno;
    }
}

/* The lock is held, and given up while writing. */
static void write_oldest(struct log_writer *w)
{
    size_t len = w->len < LOG_RING_BYTES - w->head ? w->len : LOG_RING_BYTES - w->head;
    const char *ptr = w->ring + w->head;
    uint64_t lines = 0;
    ssize_t n;

    len = len < WRITE_MAX ? len : WRITE_MAX;
    pthread_mutex_unlock(&w->lock);
    n = write_some(w->fd, ptr, len);
    if (n < 0) { /* the reader is gone: these bytes have nowhere to go */
        for (size_t i = 0; i < len; i++)
            lines += ptr[i] == '\n' ? 1 : 0;
        n = (ssize_t)len;
    }
    pthread_mutex_lock(&w->lock);
    count_dropped(w, lines);
    ring_take(w, (size_t)n);
    if (lines > 0)
        w->untold = 0; /* telling would fail alike, and drop again, for ever */
}

/*
 * One message makes eight lines within a millisecond or two. Woken for each, this thread would cost
 * as much as the mail itself; so it gives the others a moment to come. The lock is held, and given
 * up meanwhile.
 */
static void gather(struct log_writer *w)
{
    struct timespec moment = {.tv_nsec = GATHER_NS};

    pthread_mutex_unlock(&w->lock);
    nanosleep(&moment, NULL);
    pthread_mutex_lock(&w->lock);
}

static void release(struct log_writer *w)
{
    pthread_cond_destroy(&w->filled);
    pthread_cond_destroy(&w->ended);
    pthread_mutex_destroy(&w->lock);
    free(w->ring);
    free(w);
}

static void *run(void *arg)
{
    struct log_writer *w = arg;
    bool abandoned;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        if (w->len > 0 && w->len < WRITE_MAX && !w->stopping)
            gather(w);
        if (w->len == 0)
            tell_dropped(w);
        if (w->len > 0) {
            write_oldest(w);
        } else if (w->stopping) {
            break;
        } else {
            w->asleep = true;
            pthread_cond_wait(&w->filled, &w->lock);
        }
    }
    w->done = true;
    abandoned = w->abandoned;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
    if (abandoned)
        release(w);
    return NULL;
}

/* --- begin and end --- */

/* Signals are the loop's: none is delivered to this thread. */
static int start_thread(struct log_writer *w)
{
    sigset_t all;
    sigset_t before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

struct log_writer *log_writer_new(int fd, enum config_log_format format, const char *syslog_name)
{
    struct log_writer *w = calloc(1, sizeof *w);
    pthread_condattr_t monotonic;

    if (!w)
        return NULL;
    w->ring = malloc(LOG_RING_BYTES);
    w->fd = fd;
    w->format = format;
    span_copy(span_first(span_of(syslog_name), NAME_CAP - 1), w->name, sizeof w->name);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->filled, NULL);
    pthread_cond_init(&w->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!w->ring) {
        release(w);
        return NULL;
    }
    return w;
}

int log_writer_start(struct log_writer *w)
{
    int rc = w->started ? 0 : start_thread(w);

    w->started = rc == 0;
    return -rc;
}

static struct timespec deadline(unsigned ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

void log_writer_free(struct log_writer **wp, unsigned max_ms)
{
    struct log_writer *w = *wp;
    struct timespec until = deadline(max_ms);
    bool done;

    if (!w)
        return;
    *wp = NULL;
    if (log_writer_start(w) != 0) { /* what it holds cannot be written */
        release(w);
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->filled);
    while (!w->done && pthread_cond_timedwait(&w->ended, &w->lock, &until) == 0)
        ;
    done = w->done;
    w->abandoned = !done;
    if (!done)
        pthread_detach(w->thread);
    pthread_mutex_unlock(&w->lock);
    if (!done)
        return;
    pthread_join(w->thread, NULL);
    release(w);
}
