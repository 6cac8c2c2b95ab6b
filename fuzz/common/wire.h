/* wire.h - frames taken apart so that they can be changed, and sealed again: length, CRC, HMAC, tag, padding, proofs.
 *
 *   bytes --wire_read()--> frames in clear --(mutate.c)--> frames in clear --wire_write()--> bytes
 *
 * A frame in clear is `front` (what stands before the secret: return code, clear header, or the whole body) and
 * `plain` (what was encrypted, padding off). What is no frame is kept as junk, so that nothing gets lost on the way.
 * Everything here is apart from the library (it uses oracle.h), and generous: it is for making inputs. */
#ifndef FUZZ_WIRE_H
#define FUZZ_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "fuzz.h"

enum wire_kind { WIRE_JUNK, WIRE_55AA, WIRE_6699 };
enum wire_secret {
    WIRE_CLEAR, /**< nothing encrypted: all in front */
    WIRE_ECB,
    WIRE_B64, /**< 3.1: front ends in "3.1" and 16 signature digits */
    WIRE_GCM,
};

/** Ways in which a frame is left broken on purpose. */
enum wire_damage {
    WIRE_BAD_CHECK = 1,  /**< one bit of CRC, HMAC or tag */
    WIRE_BAD_LENGTH = 2, /**< length field off */
    WIRE_BAD_SUFFIX = 4,
    WIRE_BAD_PADDING = 8,
    WIRE_BAD_SIGNATURE = 16, /**< 3.1 */
    WIRE_ODD_CIPHER = 32,    /**< ciphertext one byte short of a block */
    WIRE_CUT = 64,           /**< the frame ends early, the stream with it or not */
    WIRE_BAD_PROOF = 128,    /**< a handshake message keeps the proof it has */
    WIRE_OTHER_KEY = 256,    /**< sealed under the local key in place of the session key, or the other way round */
    WIRE_ZERO_CHECK = 512,   /**< zeros in place of CRC, HMAC or tag: some clients send no CRC */
};

enum { WIRE_FRAMES_MAX = 64, WIRE_BYTES_MAX = 1 << 17 };

struct wire_frame {
    enum wire_kind kind;
    enum wire_secret secret;
    bool hmac;      /**< 55AA: HMAC in place of CRC */
    bool to_device; /**< which way it goes, for the handshake */
    bool intact;    /**< its check value was right when it was read */
    uint8_t reserved[2];
    uint8_t nonce[12];
    uint32_t seq, command;
    unsigned damage;
    uint8_t *front, *plain; /**< in the arena of the wire; junk: all in front */
    size_t front_len, plain_len;
};

/** Which key opens what. */
struct wire_keys {
    uint8_t local[16], session[16], client_nonce[16], device_nonce[16];
    bool one_key; /**< discovery: local (then the UDP key) for everything */
    bool follow;  /**< both directions pass by: take the session key from the handshake */
};

struct wire {
    struct wire_frame frames[WIRE_FRAMES_MAX];
    size_t n;
    uint8_t bytes[WIRE_BYTES_MAX];
    size_t used;
};

/** Keys for a connection of this version (0: 3.1 .. 4: 3.5), as the golden vectors have them. */
void wire_keys_init(struct wire_keys *k, enum fuzz_keys which, unsigned version);

/** Forget what is there. */
void wire_clear(struct wire *w);

/** Append the frames of a run of bytes. */
void wire_read(struct wire *w, struct wire_keys *keys, unsigned version, bool to_device, const uint8_t *data,
               size_t len);

/** Room in the arena; NULL when it is full. */
uint8_t *wire_room(struct wire *w, size_t len);

/** Write one frame. @return its size, 0 if it does not fit in cap */
size_t wire_write(const struct wire_frame *f, struct wire_keys *keys, uint8_t *out, size_t cap);

/** Where the JSON of a frame in clear stands: in plain, else in front, behind return code and header.
 * @return offset, and *plain says in which of the two */
size_t wire_json(const struct wire_frame *f, bool *plain);

#endif
