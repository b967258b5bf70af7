/*
 * errbuf - why a call failed, in words
 *
 * A layer that fails sets the text and returns a negative errno; each layer above may put its own
 * words in front; exactly one layer logs it. The text is cut at ERRBUF_CAP.
 */
#ifndef MXGATE_BASE_ERRBUF_H
#define MXGATE_BASE_ERRBUF_H

#define ERRBUF_CAP 512

struct errbuf {
    char text[ERRBUF_CAP];
};

/* Sets the text and returns rc, so that `return errbuf_set(err, rc, ...)` reads well. err may be
 * NULL. */
int errbuf_set(struct errbuf *err, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "words: " in front of the text that is there. Returns rc. err may be NULL. */
int errbuf_prefix(struct errbuf *err, int rc, const char *words);

#endif
