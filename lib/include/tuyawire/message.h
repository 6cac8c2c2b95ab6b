/* tuyawire/message.h - seal a payload into a frame, and open it again, in every version and direction.
 *
 * A message is what a frame means once integrity, encryption, return code and header are taken off:
 *
 *     frame body  =  [return code]  [header | signature]  payload        encrypted as tw_version_traits says
 *
 *   return code  4 bytes, only from the device. Clear in 55AA frames, inside the encryption in 6699.
 *   header       "3.x", check 4, counter 4, source 4. 3.2 and 3.3: clear before the ciphertext. 3.4 and 3.5: first
 *                bytes of the plaintext. 3.1 has "3.1" and 16 digits of an MD5 in its place.
 *
 * Tolerant in, strict out: opening accepts what real devices and clients were seen to send (spec section 3), sealing
 * emits one canonical form. No allocation, no JSON, one key at a time: who has several tries them in turn. */
#ifndef TUYAWIRE_MESSAGE_H
#define TUYAWIRE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/crypto.h"
#include "tuyawire/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TW_HEADER_LEN = 15, TW_SIGNATURE_LEN = 16, TW_RETCODE_LEN = 4 };

struct tw_header {
    char version[4];                      /**< "3.3" and NUL, as the sender wrote it; need not match the connection */
    uint32_t check;                       /**< 0 on the LAN */
    uint32_t counter;                     /**< sender's message counter; a device counts its pushes */
    uint32_t source;                      /**< sender id: 1 is the device, 0 switches duplicate detection off */
    char signature[TW_SIGNATURE_LEN + 1]; /**< 3.1 only: the MD5 digits and NUL; the rest is 0 then */
};

struct tw_message {
    enum tw_version version;
    enum tw_direction direction;
    uint32_t seq;
    uint32_t command;
    bool has_retcode;
    bool has_header;  /**< 3.1: the signed and encrypted form */
    bool encrypted;   /**< opening: a key was used for this payload; sealing: ignored */
    uint32_t retcode; /**< as read big endian; vendor 3.5 devices send 1 as 0x01000000, see tw_retcode() */
    struct tw_header header;
    struct tw_span payload; /**< plaintext; opening: points into the frame or into the caller's buffer */
};

/** The return code as a number: byte order of the sender undone (spec section 1.4). 0 is success. */
uint32_t tw_retcode(uint32_t wire);

/** Set version, direction, seq and command, and what the canonical form of that command has: return code (0) from
 * the device, header with counter 0 and source 0 (from the device: 1). Payload is left empty. */
void tw_message_init(struct tw_message *m, enum tw_version v, enum tw_direction dir, uint32_t seq, uint32_t command);

/** Check integrity, decrypt, and take return code and header off.
 *
 * @param out   filled on TW_OK, all zero otherwise
 * @param c     the bench
 * @param f     from tw_frame_parse() with the integrity that belongs to v
 * @param key   the key that belongs to this frame: the local key for handshake commands and for 3.1 to 3.3, the
 *              session key for the rest of 3.4 and 3.5. NULL: only what is in clear can be opened
 * @param buf   for plaintext; need not be cleared. At least f->body.len bytes
 * @param flags TW_OPEN_STRICT, TW_OPEN_NO_SIGNATURE, TW_OPEN_ZERO_CRC
 * @return TW_OK; TW_E_INTEGRITY (CRC, HMAC, tag, 3.1 signature); TW_E_PAYLOAD (not a multiple of 16, header cut
 *         off, illegal base64, return code missing); TW_E_PADDING; TW_E_NO_KEY; TW_E_CAPACITY; TW_E_CRYPTO;
 *         TW_E_NOMEM; TW_E_ARGUMENT (no such version). On any error buf holds no plaintext */
int tw_message_open(struct tw_message *out, tw_crypto *c, const struct tw_frame *f, enum tw_version v,
                    enum tw_direction dir, const uint8_t *key, uint8_t *buf, size_t cap, unsigned flags);
enum tw_open_flags {
    TW_OPEN_STRICT = 1,       /**< a device frame without return code is TW_E_PAYLOAD */
    TW_OPEN_NO_SIGNATURE = 2, /**< 3.1: accept a wrong MD5 signature, as public clients do */
    TW_OPEN_ZERO_CRC = 4,     /**< accept four zero bytes in place of the CRC, see TW_DEVICE_ZERO_CRC */
};

/** Was this 3.4 frame, whose HMAC is wrong, still encrypted under key? Then it is damaged, and the key is not to blame. Says
 * so only where it is certain (four bytes of padding or more; RESP has sixteen), and hands out nothing of what it saw.
 * @param f  from tw_frame_parse() with TW_INTEGRITY_HMAC; false for any other */
bool tw_message_key_fits(tw_crypto *c, const struct tw_frame *f, const uint8_t key[TW_KEY_LEN]);

/** Bytes that tw_message_seal() may need for a payload of this size, in any version. */
size_t tw_message_size_max(size_t payload_len);

/** Bytes of the frame that tw_message_seal() makes of m; 0 for a version that does not exist. The payload's bytes are
 * not looked at, its length is. */
size_t tw_message_size(const struct tw_message *m);

/** Build the canonical frame for m: header and return code as m says, then encryption and integrity.
 *
 * @param out   the frame; cap bytes writable, tw_message_size_max() always suffice. Must not overlap the payload
 * @param len   its size on TW_OK
 * @param key   as in tw_message_open(); may be NULL where the version sends this command in clear
 * @param nonce 12 bytes, only used by 3.5 (NULL otherwise). Never use one twice with the same key
 * @return TW_OK; TW_E_CAPACITY; TW_E_TOO_LARGE; TW_E_NO_KEY; TW_E_ARGUMENT (nonce missing); TW_E_CRYPTO;
 *         TW_E_NOMEM. On any error out holds no plaintext */
int tw_message_seal(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, const struct tw_message *m,
                    const uint8_t *key, const uint8_t *nonce);

#ifdef __cplusplus
}
#endif
#endif
