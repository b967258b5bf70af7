/*
 * healthcheck - what its files share
 *
 * The program is on its own: no code of mxgate's, no library but libc, so that it still tells when
 * everything else is broken, starts in a millisecond, and stays small.
 */
#ifndef HEALTHCHECK_H
#define HEALTHCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_CAP 164096 /* the daemon's longest line */
#define WORDS_CAP 1024

/* Words for the one line that the check prints; more than fits is cut. */
struct words {
    char text[WORDS_CAP];
};
void words_add(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- exchange.c: both conversations, each within the deadline ---- */

struct deadline {
    int64_t at_ms; /* monotonic */
};
struct deadline deadline_after(unsigned seconds);

/* A descriptor, or -1 with the reason in `why`. */
int exchange_connect_unix(const char *path, struct deadline d, struct words *why);
/* address: "192.0.2.1:25", "[::1]:25", as the daemon lists what it listens on; "0.0.0.0" and "[::]"
 * mean loopback. */
int exchange_connect_tcp(const char *address, struct deadline d, struct words *why);
/* Sends all of it. */
bool exchange_send(int fd, const char *text, struct deadline d, struct words *why);
bool exchange_send_bytes(int fd, const char *bytes, size_t left, struct deadline d,
                         struct words *why);
/* Reads until `buf` holds a line that starts with `last` (or the peer closes: false).
 * NUL-terminated. */
bool exchange_read(int fd, char *buf, size_t cap, const char *last, struct deadline d,
                   struct words *why);

/* ---- json.c: looking up values in the daemon's status, which is one JSON object ---- */

/* The text of member `name` of the object that starts at `json`; NULL when there is none. */
const char *json_member(const char *json, const char *name);
/* The first, or next, element of an array; NULL at the end. */
const char *json_first(const char *array);
const char *json_next(const char *element);
bool json_true(const char *value);
long long json_number(const char *value);
/* A string's text without escapes, cut at cap - 1; "" when it is no string. Escapes become '?'. */
void json_string(const char *value, char *out, size_t cap);
/* Prints text as a JSON string. */
void json_print(const char *text);

#endif
