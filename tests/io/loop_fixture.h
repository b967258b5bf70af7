/*
 * loop_fixture - a loop for one test, bounded waiting on it, and the plain sockets of a peer
 *
 * The peer's sockets do not block and live outside the loop: what a test does with them is done
 * when it says so. loop_end() fails the test unless every handle was closed.
 */
#ifndef MXGATE_TESTS_IO_LOOP_FIXTURE_H
#define MXGATE_TESTS_IO_LOOP_FIXTURE_H

#include "net/lane.h"
#include "net/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LOOP_PATIENCE_MS 20000 /* sanitizers on a busy machine */

struct loop_fixture {
    uv_loop_t loop;
    struct stream_pool streams;
    struct lane tls; /* of streams */
    uv_timer_t tick; /* wakes a wait whose condition is not the loop's to see */
};

void loop_begin(struct loop_fixture *f);
void loop_end(struct loop_fixture *f);
/* One turn of the loop, a few milliseconds at most. */
void loop_turn(struct loop_fixture *f);
/* For when nothing may happen: a few turns. */
void loop_idle(struct loop_fixture *f);

#define loop_wait(f, condition)                                                                    \
    do {                                                                                           \
        uint64_t loop_wait_until = uv_hrtime() / 1000000 + LOOP_PATIENCE_MS;                       \
                                                                                                   \
        while (!(condition)) {                                                                     \
            if (uv_hrtime() / 1000000 > loop_wait_until)                                           \
                fail_msg("waited in vain for: %s", #condition);                                    \
            loop_turn(f);                                                                          \
        }                                                                                          \
    } while (0)

/* On 127.0.0.1, any free port. */
int peer_listen(uint16_t *port_out);
int peer_accept(struct loop_fixture *f, int listener);
int peer_connect(uint16_t port);
/* All of it, as the other side takes it; turns the loop meanwhile. */
void peer_send(struct loop_fixture *f, int fd, const char *bytes, size_t len);
/* What is there now: bytes, 0 at the end, -EAGAIN, or another -errno. */
long peer_take(int fd, char *buf, size_t cap);
void peer_close(int fd);
void peer_reset(int fd); /* closes with a RST */
struct sockaddr_in peer_address(uint16_t port);
/* A port on which nobody listens (and nobody will for a while). */
uint16_t peer_dead_port(void);

#endif
