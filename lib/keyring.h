/* keyring.h - the inside of a keyring, for the observer: order of trying, session keys of logs, one plaintext. */
#ifndef TW_KEYRING_H
#define TW_KEYRING_H

#include "tuyawire/observer.h"

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

struct tw__local_key {
    uint8_t key[TW_KEY_LEN];
    int version; /* enum tw_version, -1: unknown */
    size_t id_len;
    uint8_t id[];
};

struct tw_keyring {
    tw_crypto *crypto;
    struct tw__local_key **keys; /* each stays where it is: entries and events point at it */
    uint32_t *order;             /* indexes of keys, the one that fitted last first */
    size_t n, cap;
    struct tw_session_secret *sessions;
    size_t n_sessions, cap_sessions;
    int common_version; /* of all keys alike, -1: they differ or are unknown */
    uint8_t *plain;     /* TW_FRAME_LENGTH_MAX bytes: the plaintext of the last event */
};

/* This key has fitted: try it first next time. */
void tw__keyring_fitted(tw_keyring *k, size_t index);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
