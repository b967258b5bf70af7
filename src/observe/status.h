/*
 * status - what the daemon says of itself, as values (mxgate status, healthcheck, metrics later)
 */
#ifndef MXGATE_OBSERVE_STATUS_H
#define MXGATE_OBSERVE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATUS_DESTINATIONS_MAX 16

/* One target of one destination. */
struct status_destination {
    char name[300];   /* "lmtp:[192.0.2.53]:2525" */
    char serves[120]; /* whose it is, "example.net, .example.org", cut; "": everybody's */
    unsigned order;   /* its place among the targets of its destination, from 1 */
    unsigned of;      /* how many these are */
    bool covered;     /* it is down, and its mail goes to another of them */
    bool up;
    bool known;         /* tried at least once */
    int64_t since_s;    /* wall seconds of the last change, 0 when never */
    char why[300];      /* last trouble, "" when up */
    char mismatch[160]; /* wrong protocol in the setting, in words; "" when right */
    char tls[160];      /* of the last session, in words; "" when none is asked for, or not yet */
    unsigned queued;    /* messages waiting for the destination; told of its first target */
    unsigned active;    /* deliveries under way */
};

#define STATUS_DIRECT_MAX 4

/* A domain that mail goes to by outbound=direct, and cannot be reached. */
struct status_direct {
    char name[256];
    int64_t since_s;
    char why[300];
    unsigned queued; /* as above */
};

#define STATUS_CERTIFICATES_MAX 16

enum status_certificate_state {
    STATUS_CERTIFICATE_GOOD,
    STATUS_CERTIFICATE_SOON, /* it expires within tls_expiry_warning */
    STATUS_CERTIFICATE_EXPIRED,
    STATUS_CERTIFICATE_EARLY, /* not good yet */
};

/* One that clients are shown. */
struct status_certificate {
    char name[256]; /* its first name */
    bool rsa;       /* else EC */
    bool self_signed;
    int64_t not_after_s;
    enum status_certificate_state state;
};

/* Dovecot, as who knows the users. */
struct status_logins {
    char path[400]; /* smtpd_sasl_path; "": it is not asked */
    bool known;     /* tried at least once */
    bool up;
    int64_t since_s; /* wall seconds of the last change, 0 when never */
    char why[300];   /* last trouble, "" when up */
};

struct status {
    int64_t started_s;
    long pid;
    char myhostname[256];
    char listen[512]; /* addresses in use, "127.0.0.1:2525, [::1]:2525"; port 0 is the real one */
    char listen_proxy[512]; /* of these: where a connection from this machine begins with a PROXY
                               header */
    unsigned sessions;
    unsigned sessions_limit;
    uint64_t messages_in;     /* 250 said */
    uint64_t delivered;       /* recipients */
    uint64_t deferred;        /* attempts of recipients that ended deferred */
    uint64_t failed;          /* recipients failed for good after custody */
    uint64_t rejected;        /* recipients or messages refused in the session */
    unsigned queued;          /* messages in the spool */
    unsigned on_hold;         /* of these: held */
    unsigned operator_needed; /* of these: expired or failed, waiting for an operator */
    /* why the held ones are: somebody refused them, they were too old, an operator ordered it */
    unsigned held_failed, held_expired, held_ordered;
    char held_oldest_id[17]; /* "" when none is */
    int64_t held_oldest_s;   /* its arrival */
    uint64_t on_hold_limit;  /* held messages at which no mail is taken any more */
    int64_t oldest_s;        /* arrival of the oldest queued message, 0 when none */
    uint64_t corrupt;        /* files in corrupt/ found by this process */
    bool spool_writable;     /* last commit or probe worked */
    char spool_trouble[200];
    int64_t free_bytes;  /* on the spool's file system */
    int64_t floor_bytes; /* queue_minfree in force */
    uint64_t log_dropped;
    bool draining;            /* no mail is taken: being drained, or stopping */
    int64_t draining_since_s; /* by `mxgate drain`, wall seconds; 0: stopping, or neither */
    unsigned no_way; /* messages in the queue that have no way out, and are looked at again later */
    unsigned no_room;        /* likewise: there are too many domains at a time */
    unsigned direct_domains; /* outbound=direct: with mail under way, or not long ago */
    unsigned direct_down;    /* of these: not reached; the first of them: */
    struct status_direct direct[STATUS_DIRECT_MAX];
    unsigned more, more_down; /* targets that there is no room for below; of these: down */
    size_t
        certificates; /* those with the default first; more than there is room for are left out */
    struct status_certificate certificate[STATUS_CERTIFICATES_MAX];
    char certificate_trouble[512]; /* why the files cannot be used as they are; "" they can */
    struct status_logins logins;
    size_t destinations;
    struct status_destination destination[STATUS_DESTINATIONS_MAX];
};

#endif
