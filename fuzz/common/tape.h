/* tape.h - inputs that are a sequence of steps: what a network, a clock and an application do to an engine.
 *
 *   context 1 | operation 1, length 2, bytes | operation 1, length 2, bytes | ...
 *
 * Any bytes are a tape: an operation is taken modulo its count, a length beyond the end takes what is left. The high
 * four bits of an operation name the connection. Messages stand in clear and are sealed by the harness under the key
 * that is right at that moment, so most steps get past the integrity check by themselves; TO and FROM hold bytes as
 * they come off the wire, which the mutator opens and seals again. */
#ifndef FUZZ_TAPE_H
#define FUZZ_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tape_operation {
    TAPE_TO,      /**< bytes to the device, as they are */
    TAPE_FROM,    /**< bytes from the device, as they are */
    TAPE_MESSAGE, /**< command 1, flags 1 (tape_message_flags), payload */
    TAPE_TIME,    /**< milliseconds pass: 2 bytes, big endian; more bytes: nothing */
    TAPE_CONNECT,
    TAPE_CLOSE,
    TAPE_DPS,       /**< JSON: what the application hands in */
    TAPE_HANDSHAKE, /**< the peer takes its next honest step */
    TAPE_PIECES,    /**< from now on bytes arrive in pieces of at most this size: 1 byte, 0 is whole */
    TAPE_ACT,       /**< the application calls: which 1, argument */
    TAPE_N_OPERATIONS,
};

/** How a message differs from the canonical one. */
enum tape_message_flags {
    TAPE_SEQ_STEP = 0x03,  /**< seq moves on by 1, 0, 1000, or back by 1 */
    TAPE_NO_HEADER = 0x04, /**< as has_header of tw_message, turned over */
    TAPE_OTHER_KEY = 0x08, /**< the local key in place of the session key, or the other way round */
    TAPE_WRONG_KEY = 0x10, /**< a key that nobody has */
    TAPE_DAMAGED = 0x20,   /**< one bit is flipped */
    TAPE_RETCODE = 0x40,   /**< from the device: return code 1 */
    TAPE_REPLAYED = 0x80,  /**< sent twice */
};

struct tape_record {
    enum tape_operation operation;
    unsigned connection; /**< 0 to 15 */
    const uint8_t *data; /**< borrowed */
    size_t len;
};

struct tape {
    const uint8_t *data;
    size_t len, at;
};

/** Take the next record. @return false: the tape is over */
bool tape_next(struct tape_record *out, struct tape *t);

/** Append a record. @return its size, 0 if it does not fit */
size_t tape_put(uint8_t *out, size_t cap, enum tape_operation operation, unsigned connection, const uint8_t *data,
                size_t len);

/** "MESSAGE" and so on, for people. */
const char *tape_operation_name(enum tape_operation operation);

#endif
