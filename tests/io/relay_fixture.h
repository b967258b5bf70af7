/*
 * relay_fixture - what a destination needs around it: loop, settings, log, disk lane, resolver, and
 * an LMTP peer
 */
#ifndef MXGATE_TESTS_IO_RELAY_FIXTURE_H
#define MXGATE_TESTS_IO_RELAY_FIXTURE_H

#include "lmtp_fixture.h"

#include "relay/relay.h"

struct relay_fixture {
    struct loop_fixture f;
    struct lmtp_fixture lmtp;
    struct lane disk;
    struct resolver resolver;
    bool resolver_open;
    struct config *config; /* a reference */
    struct log log;
    char *lines; /* owned: the log so far, LF after each line */
    size_t lines_len;
    struct upstream_context context;
};

/* ini: settings on top of short timeouts and a transport that is the peer. */
void relay_begin(struct relay_fixture *r, const char *ini);
void relay_end(struct relay_fixture *r);
/* Other settings, as a reload brings them; the caller has the reference. */
struct config *relay_config(struct relay_fixture *r, const char *ini);
/* How many log lines hold this text. */
unsigned relay_logged(const struct relay_fixture *r, const char *text);
/* A message to recipients, separated by blanks. */
struct envelope *relay_envelope(const char *sender, const char *recipients);
/* A body in memory of these bytes (canonical). */
struct body *relay_body(struct body_place *place, const char *bytes, size_t len);

#endif
