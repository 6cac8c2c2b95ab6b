/* observer.h - the inside of an observer: what its two halves share.
 *
 * observer.c turns fed bytes into frames and reports of damage; observer_open.c turns a frame into a message, and
 * leaves behind what it taught about the connection. */
#ifndef TW_OBSERVER_H
#define TW_OBSERVER_H

#include "keyring.h"
#include "tuyawire/observer.h"

enum {
    TW__N_REMEMBERED = 4, /* nonces and sessions of one connection; a client that retries needs two */
    TW__N_TRIALS = 8,     /* frames of one connection on which all keys of the ring are tried; our choice */
};

struct tw__stream {
    const uint8_t *fed; /* borrowed until drained */
    size_t fed_len;
    uint8_t *kept; /* owned; kept[start..end) stands before the fed bytes */
    size_t start, end, cap;
    size_t skipped;   /* bytes passed over since the last event */
    uint64_t missing; /* of a gap that is not reported yet */
    bool gap, ending, tls, begun;
    size_t preferred; /* session that opened the last frame of this direction */
};

struct tw_observer {
    tw_keyring *ring;
    enum tw_observer_roles roles;
    bool swapped; /* TW_ROLES_UNKNOWN, found: the side fed as TW_TO_DEVICE is the device */
    struct tw__stream streams[2];
    unsigned active; /* which stream was touched last */

    bool version_known;
    enum tw_version version;
    int hint_version; /* -1: none */
    bool crc_seen;    /* a frame with a right CRC: not 3.4 */
    bool id_looked_up;
    size_t local;      /* index of the local key that fitted, or TW_NO_INDEX */
    size_t hint_local; /* the same from outside */
    unsigned local_trials, session_trials;
    size_t sessions_seen;                  /* of the ring: when it has grown, there is something to try again */
    bool closed_handshake, half_handshake; /* since the newest session: one that could not be read, or not wholly */
    int our_error;                         /* TW_E_NOMEM or TW_E_CRYPTO befell the frame at hand */

    uint8_t client_nonces[TW__N_REMEMBERED][TW_SESSION_NONCE_LEN]; /* newest first, as all lists here */
    uint8_t orphan[TW_SESSION_RESP_LEN]; /* of a RESP whose START has not been seen: captures may be out of order */
    bool has_orphan;
    struct tw_session_secret sessions[TW__N_REMEMBERED];
    size_t n_client_nonces, n_sessions;
};

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

/* Fill *ev, which next() has begun, with what ev->frame says. label: the direction in which it was fed. */
void tw__observer_open(tw_observer *o, struct tw_observed *ev, enum tw_direction label);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
