/*
 * control_fixture - a control server in a temporary folder, and clients that speak to it byte by
 * byte
 *
 * Server and clients share the thread: a client that waits lets the loop run. The log is kept as
 * text. What intake does is up to the test, which includes fake_intake.h.
 */
#ifndef MXGATE_TESTS_IO_CONTROL_FIXTURE_H
#define MXGATE_TESTS_IO_CONTROL_FIXTURE_H

#include "control/control_server.h"
#include "disk_fixture.h"

struct control_world {
    struct disk_fixture disk;
    struct body_place place;
    struct stream_pool pool;
    struct control_server server;
    struct control_ops ops;
    struct intake intake; /* only its address counts */
    struct config *config;
    struct log log;
    char log_text[65536];
    size_t log_len;
    char socket[128];
    bool started;
    bool stopped;
    /* what ops were asked, in words, and what they answer */
    char asked[1024];
    struct status status;
    struct queue_id active[8];
    size_t active_count;
    struct queue_asker *asker; /* of the order that waits for order_over() */
    unsigned orders_forgotten;
    bool no_memory;
    const char *reload_refused; /* why; NULL: taken */
    bool smtp_refused;
    int smtp_fd; /* the test closes it */
    uint64_t drain_since_s;
    bool stopping; /* no drain is begun or ended */
};

extern struct control_world world;

/* For cmocka: starts, and afterwards stops and checks that nothing is left. */
int world_setup(void **state);
int world_teardown(void **state);
/* NULL as `path`: world.socket. */
int world_start(struct errbuf *err, const char *path);
void world_stop(void);
/* Lets the loop run until *flag, or until nothing has happened for a while. */
void world_run(void);
void world_expect_log(const char *words);
/* Ends the order that was given. */
void order_over(const struct queue_order_result *result);

int client_open(void);
void client_say_bytes(int fd, struct span bytes);
void client_say(int fd, const char *words);
/* Reads exactly this. */
void client_expect(int fd, const char *want);
/* Reads up to the end of the connection and compares. */
void client_expect_end(int fd, const char *want);
/* Nothing comes. */
void client_expect_silence(int fd);

#endif
