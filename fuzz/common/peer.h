/* peer.h - the other end: an honest client or device that can be told to misbehave, apart from the library.
 *
 * Harnesses of engines talk to one: it seals what a tape says (tape.h, MESSAGE) under the key that is right at that
 * moment, takes the honest steps of the handshake, and reads what the engine sends. */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

#include "wire.h"

enum { PEER_FRAME_MAX = 1 << 15 };

struct peer {
    unsigned version;                /**< 0: 3.1 .. 4: 3.5 */
    struct wire_keys keys;           /**< of both ends: session is right once established */
    bool established;                /**< FINISH went by, and was meant well */
    bool negotiates;                 /**< 3.4 and 3.5 */
    uint32_t client_seq, device_seq; /**< the numbers last used */
    uint32_t nonces;                 /**< GCM nonces used so far: they count up */
    uint32_t pushes;                 /**< the counter in the device's headers: a push that repeats one is dropped */
};

void peer_init(struct peer *p, unsigned version);

/** Does the canonical form of this command carry the version header (3.1: the signature)? Spec section 3.0. */
bool peer_has_header(bool to_device, uint32_t command);

/** Seal one message. flags: enum tape_message_flags. @return bytes at out, 0 if it is too long */
size_t peer_seal(struct peer *p, bool to_device, uint32_t command, unsigned flags, const uint8_t *payload, size_t len,
                 uint8_t *out, size_t cap);

/** The steps of the handshake. start and finish come from the client, resp from the device. */
size_t peer_start(struct peer *p, const uint8_t client_nonce[16], uint8_t *out, size_t cap);
size_t peer_resp(struct peer *p, const uint8_t device_nonce[16], uint8_t *out, size_t cap);
size_t peer_finish(struct peer *p, uint8_t *out, size_t cap);

#endif
