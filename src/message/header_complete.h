/*
 * header_complete - a message's header on its way in: what RFC 5322 wants and is not there is put
 * at its end; pure
 *
 *     LINE --name ":"--> REST --LF--> LINE        canonical bytes in, the same bytes out
 *       |--blank: the field above goes on--> REST
 *       |--CR, the empty line--------> DONE       what is missing, then the line
 *       `--no name of a field--------> DONE       what is missing, an empty line, then the line
 *
 * Added as Postfix's cleanup adds it for local clients: Message-Id <TIME.QUEUEID@HOST>, Date, From
 * (the envelope's sender), or their Resent- forms when the message has any such field. When nothing
 * is missing no byte is changed.
 *
 * The beginning of a line is held back until it is known what it is, so for every split of the
 * input the output is the same. Limits: HEADER_COMPLETE_HELD bytes are held; a longer name is none.
 * Past `limit` bytes what is missing so far is added before the next field, and nothing is looked
 * at any more. Each call writes at most what it is given and HEADER_COMPLETE_MORE bytes.
 */
#ifndef MXGATE_MESSAGE_HEADER_COMPLETE_H
#define MXGATE_MESSAGE_HEADER_COMPLETE_H

#include "base/text.h"
#include "message/envelope.h"

#define HEADER_COMPLETE_HELD  80
#define HEADER_COMPLETE_ADDED 1200 /* three fields with the longest names there are */
#define HEADER_COMPLETE_MORE  (HEADER_COMPLETE_HELD + HEADER_COMPLETE_ADDED + 2)
#define HEADER_COMPLETE_ID    320

enum header_complete_state { HEADER_COMPLETE_LINE, HEADER_COMPLETE_REST, HEADER_COMPLETE_DONE };

struct header_complete {
    const struct envelope *envelope; /* borrowed */
    const char *myhostname;          /* borrowed */
    uint64_t limit;
    uint64_t seen;
    enum header_complete_state state;
    bool any;       /* a field was there: a blank goes on with it */
    bool resent;    /* a Resent- field was */
    unsigned found; /* bits, see the .c */
    size_t held_len;
    char held[HEADER_COMPLETE_HELD];
    char message_id[HEADER_COMPLETE_ID]; /* the one that was added, with <>; "" none */
};

/* envelope: its id, arrival and sender are used when something is added. */
void header_complete_init(struct header_complete *h, const struct envelope *envelope,
                          const char *myhostname, uint64_t limit);
void header_complete_feed(struct header_complete *h, struct span canonical, struct text *out);
/* There is no header at all: what is added goes out, without an empty line. */
void header_complete_none(struct header_complete *h, struct text *out);
/* The message has ended. */
void header_complete_end(struct header_complete *h, struct text *out);

#endif
