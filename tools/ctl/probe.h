/* probe.h - find out by talking which version a device speaks, and whether a key fits.
 *
 * Each probe is a connection of its own that says one thing and looks at what comes back:
 *
 *   handshake   START of 3.4 and of 3.5 in one segment: the envelope of the answer tells the version, its check
 *               value tells whether the key fits (spec section 1.7); and START of 3.4 alone
 *   old         an empty heart beat, answered by every 3.1 to 3.3 device without a key, and a query of 3.3: the
 *               encoding of the answer tells 3.3 from its elders
 *   clear       an empty question as control in the form of 3.2 and of 3.1: tells those two apart
 *   nothing     just a connection: who closes it has no place for us
 *
 * Source: spec sections 1.7, 3, 5.6, 5.8 and device behaviour section 5. */
#ifndef CTL_PROBE_H
#define CTL_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "trouble.h"
#include "tuyawire/version.h"

struct session;

enum probe_outcome {
    PROBE_ANSWERED,   /* a frame came */
    PROBE_SILENT,     /* nothing came in time */
    PROBE_CLOSED,     /* closed without a word */
    PROBE_RESET,      /* reset without a word */
    PROBE_JUNK,       /* bytes that are no Tuya frame */
    PROBE_ECHO,       /* our own bytes came back */
    PROBE_NO_CONNECT, /* see trouble */
};

enum probe_key { PROBE_KEY_UNKNOWN, PROBE_KEY_FITS, PROBE_KEY_WRONG };

struct probe {
    enum probe_outcome outcome;
    bool has_version;
    enum tw_version version;
    bool only_34;  /* handshake: 3.5 was not tried */
    bool is_old;   /* answers CRC frames: 3.1 to 3.3 */
    bool in_clear; /* ... and in clear: 3.1 or 3.2 */
    bool damaged;  /* frames whose check value is wrong, where it needs no key */
    enum probe_key key;
    bool refused;        /* the answer is an error text, or return code 1 */
    uint8_t reply[2048]; /* the first bytes that came, to try other keys on */
    size_t reply_len;
    struct trouble trouble;
};

/** Each fills *p. limit_ms: how long to wait for an answer. */
void probe_handshake(struct session *s, bool only_34, uint64_t limit_ms, struct probe *p);
void probe_old(struct session *s, bool heartbeat, uint64_t limit_ms, struct probe *p);
void probe_clear(struct session *s, uint64_t limit_ms, struct probe *p);
void probe_nothing(struct session *s, uint64_t limit_ms, struct probe *p);

/** Read the reply of probe_old() or probe_handshake() again under another key. */
bool probe_reply_fits(struct session *s, const struct probe *p, const uint8_t *key);

/** All of it, in the order that usually ends soonest. */
struct survey {
    struct probe both;   /* START of 3.4 and 3.5 */
    struct probe only34; /* START of 3.4 alone: some close when they see the other envelope */
    struct probe old;
    const struct probe *by;    /* one of these, which found the version; NULL: none did */
    const struct probe *other; /* one of these, which found something that is no device; NULL */
};

/** Damage is looked at twice: it may be bad luck.
 * @param patient  wait for slow devices too: up to 12 seconds in place of 5 */
void probe_survey(struct session *s, bool patient, struct survey *v);

/** What a survey found in place of a device that is in order. @return -1 and t */
int probe_other_trouble(const struct session *s, const struct probe *p, struct trouble *t);

/** Find the version. @return 0 and *v; -1 and t */
int probe_version(struct session *s, enum tw_version *v, struct trouble *t);

/** Does the device close connections on which nothing is said? */
bool probe_is_busy(struct session *s);
int probe_busy_trouble(struct session *s, struct trouble *t);

#endif
