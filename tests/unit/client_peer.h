/*
 * client_peer - a scripted upstream for tests of relay/client
 *
 * A script is lines of text; the first character says what each one is:
 *
 *     S text      the peer says text CRLF; neighbouring lines are fed as one piece, cut as the
 *                 run says
 *     s text      the same without CRLF
 *     D words     something is done: see the table in client_peer_deeds.c
 *     C text      the client has sent text CRLF
 *     E event     starttls | login | idle | body | finished | result POSITION BLAME STEP REPLY
 *                 | broken STEP CODE TEXT | await STEP (after "D steps" only)
 *
 * After each piece of the peer's and each deed, what the client sent and reported must be exactly
 * the C and E lines that follow. Whatever the script: on_broken comes once and nothing after it, a
 * recipient has at most one result, and at on_finished each has its one.
 */
#ifndef MXGATE_TESTS_UNIT_CLIENT_PEER_H
#define MXGATE_TESTS_UNIT_CLIENT_PEER_H

#include "relay/client.h"

#define CLIENT_PEER_RECIPIENTS CLIENT_RCPT_MAX
#define CLIENT_PEER_WHOLE      SIZE_MAX       /* cut: feed each piece at once */
#define CLIENT_PEER_BYTES      (SIZE_MAX - 1) /* cut: byte by byte */

struct client_peer {
    struct client client;
    struct client_settings settings;
    struct envelope *envelope; /* owned; sender bob@example.net, recipients r0@example.com, ... */
    size_t indices[CLIENT_RCPT_MAX];
    struct client_transaction t;
    size_t cut;       /* where each piece is cut in two, or one of the two above */
    size_t piece_len; /* longest piece that was fed */
    size_t piece_count;
    bool show_steps;
    bool eager; /* on_idle begins the next of three transactions at once, on_body gives it a body */
    /*
     * For runs that go wrong: nothing is compared, the script ends with the session, and the
     * envelope goes with it, so that a later look at it is found out.
     */
    bool lenient;
    unsigned calls;   /* of callbacks, so far */
    unsigned fail_at; /* in this one client_fail is called; 0 never */
    char probe[256];
    unsigned steps[CLIENT_STEP_COUNT]; /* how often each was awaited */
    unsigned idle;
    unsigned broken;
    enum client_step broken_step;
    bool in_transaction;
    unsigned results[CLIENT_RCPT_MAX];
    enum client_blame blames[CLIENT_RCPT_MAX];
    char pending[131072]; /* sent, not yet in got */
    size_t pending_len;
    char got_text[262144];
    char taken[262144];
    struct text got; /* C and E lines not yet compared */
};

/* Note everything in the peer, and check the order of the calls. */
extern const struct client_ops client_peer_ops;

void client_peer_init(struct client_peer *p);
void client_peer_deinit(struct client_peer *p);
/* Plays the script, cut at p->cut, up to piece number `pieces` of the peer's (SIZE_MAX: all). */
void client_peer_play(struct client_peer *p, const char *name, const char *script, size_t pieces);
/* One thing done, as in a D line. */
void client_peer_do(struct client_peer *p, const char *words);
/* C and E lines since the last call or comparison; valid until the next call. */
const char *client_peer_take(struct client_peer *p);
/* A fresh peer through the whole script, cut in one way. Returns the longest piece's length. */
size_t client_peer_run_cut(const char *name, const char *script, size_t cut);
/* The same in every way: at once, byte by byte, and cut at each place. */
void client_peer_run(const char *name, const char *script);

#endif
