/* fuzzed.h - replies changed on purpose: tuya-sim --fuzz, --fuzz-log, --fuzz-replay.
 *
 *   message --> draw: changed or not --> fields, JSON, size, order --> sealed by the engine --> one in eight broken
 *
 * Which replies are changed, and how, follows from the seed, the device and the number of its replies so far. A reply
 * is changed before it is sealed, so that it gets past the client's integrity check. What was done is a line of JSON
 * in the log; that line is enough to do it again, also under another session key. */
#ifndef SIM_FUZZED_H
#define SIM_FUZZED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/say.h"
#include "tuyawire/message.h"

struct conn;
struct fuzzed;

struct fuzzed_config {
    bool on; /**< --fuzz was given */
    uint64_t seed;
    uint32_t rate;           /**< of a million replies so many are changed; of a handshake's an eighth of that */
    const char *log_path;    /**< NULL: none; truncated */
    const char *replay_path; /**< NULL: none; the last line that is not empty is sent */
};

/** "seed=7,rate=0.5", in any order; rate is 1 when it is left out. Leaves the paths alone. */
int fuzzed_parse(struct fuzzed_config *out, const char *text, struct why *why);

/** *out is NULL when cfg asks for nothing. @return 0; -1 and why: a file */
int fuzzed_open(struct fuzzed **out, const struct fuzzed_config *cfg, struct why *why);
void fuzzed_close(struct fuzzed *f); /* NULL is fine */

/** Stand in for conn_emit(). May close the connection. @return as tw_device_send(); TW_E_STATE: closed */
int fuzzed_emit(struct conn *c, const struct tw_message *m, unsigned flags);

/* ---- one changed reply, and its line ---------------------------------------------------------------------------- */

enum fuzzed_damage {
    FUZZED_SOUND,  /**< gets past the integrity check */
    FUZZED_CHECK,  /**< a bit of CRC, HMAC or tag */
    FUZZED_LENGTH, /**< the length field says `value` */
    FUZZED_SUFFIX,
    FUZZED_CUT,  /**< ends early; the rest never comes */
    FUZZED_FLIP, /**< any bit */
    FUZZED_N_DAMAGES,
};

enum { FUZZED_PAYLOAD_MAX = 8192, FUZZED_JUNK_MAX = 16, FUZZED_HOW_MAX = 64 }; /* bytes */

struct fuzzed_reply {
    uint32_t of;               /**< command of the message it stands for */
    struct tw_message message; /**< payload points at the array below */
    unsigned flags;            /**< of tw_device_send() */
    bool twice, late;          /**< late: behind the next reply */
    enum fuzzed_damage damage;
    uint32_t value; /**< where, or what length */
    uint8_t junk[FUZZED_JUNK_MAX];
    size_t junk_len; /**< bytes before the frame */
    size_t payload_len;
    uint8_t payload[FUZZED_PAYLOAD_MAX];
    char how[FUZZED_HOW_MAX]; /**< "json,seq", for people */
};

/** One line of JSON, newline in. @param bytes  what left for the client
 * @return malloc()ed; NULL: out of memory */
char *fuzzed_line(const struct fuzzed_reply *r, uint64_t number, const char *device, struct tw_span bytes);

/** The last line of a log. Its payload points nowhere yet.
 * @param name  of the log, for why. @return 0; -1 and why */
int fuzzed_take(struct fuzzed_reply *out, struct tw_span log, const char *name, struct why *why);
int fuzzed_read(struct fuzzed_reply *out, const char *path, struct why *why);

#endif
