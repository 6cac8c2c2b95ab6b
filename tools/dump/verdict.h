/* verdict.h - what is remarkable about a message, and what to do about it, in words.
 *
 * Faults come from the observer. What only a conversation shows is found here: unknown commands, sequence numbers that
 * jump, requests that nobody answered. */
#ifndef DUMP_VERDICT_H
#define DUMP_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/observer.h"

enum verdict_kind {
    VERDICT_FINE,
    VERDICT_NO_KEY,       /* none was given */
    VERDICT_WRONG_KEY,    /* none fits */
    VERDICT_NO_HANDSHAKE, /* 3.4, 3.5: it was not captured */
    VERDICT_DAMAGED,      /* integrity */
    VERDICT_BAD_FRAME,    /* length, suffix, payload, padding */
    VERDICT_LOST,         /* bytes missing from the capture */
    VERDICT_SKIPPED,      /* bytes that are no frame, or half of one */
    VERDICT_TLS,
    VERDICT_LOCAL_KEY, /* under the local key on a live session */
    VERDICT_UNKNOWN_COMMAND,
    VERDICT_SEQ_GAP,
    VERDICT_NO_REPLY, /* a request was not answered; not the fault of a message, so it has a record of its own */
    N_VERDICTS,
};

struct verdict {
    enum verdict_kind kind;
    const char *detail; /* what to do about it; NULL: nothing to say. Borrowed until the next verdict */
};

/* How a conversation ended, if it did. */
enum verdict_end {
    VERDICT_GOES_ON,
    VERDICT_CLIENT_CLOSED,
    VERDICT_DEVICE_CLOSED,
    VERDICT_RESET,        /* by either, or its ports are used again, or it was given up for want of memory */
    VERDICT_CAPTURE_OVER, /* nobody knows what would have come */
};

enum { VERDICT_REQUESTS = 32, VERDICT_DETAIL_MAX = 240 };

/* What a conversation remembers. Zero it. */
struct verdict_state {
    bool seq_known[2];
    uint32_t seq[2]; /* last sequence number, per enum tw_direction */
    struct verdict_request {
        uint32_t command, seq;
        uint64_t time_ns;
        bool in_doubt;            /* bytes of the device were lost since: its reply may be among them */
    } requests[VERDICT_REQUESTS]; /* unanswered, oldest first */
    unsigned n_requests;
    bool lost[2]; /* bytes of this direction were lost since its last message: a jump is no news */
    uint64_t n[N_VERDICTS];
    char detail[VERDICT_DETAIL_MAX];
};

/* Judge one event and remember it.
 * @param n_keys    keys that were tried
 * @param reply_ns  for a reply: time since its request, else 0 */
struct verdict verdict_of(struct verdict_state *v, const struct tw_observed *ev, uint64_t time_ns, size_t n_keys,
                          uint64_t *reply_ns);

/* The oldest request that has waited too long; once the conversation is over, the oldest that is open. Call it after each
 * event, and at the end, until it says false.
 * @return true: *request is forgotten, *verdict says what to do about it */
bool verdict_no_reply(struct verdict_state *v, enum verdict_end end, uint64_t time_ns,
                      struct verdict_request *request, struct verdict *verdict);

/* "wrong key", for people. */
const char *verdict_name(enum verdict_kind kind);

#endif
