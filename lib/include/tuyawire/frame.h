/* tuyawire/frame.h - find one Tuya LAN frame in a run of bytes, or lay one out.
 *
 *   55AA  | 0 prefix 000055aa | 4 seq | 8 command | 12 length | 16 body | check 4 or 32 | suffix 0000aa55 |
 *           length counts from offset 16 to the end, suffix in. Frames from the device begin their body with a
 *           4-byte return code. check is CRC-32 (3.1 to 3.3, discovery) or HMAC-SHA256 (3.4).
 *
 *   6699  | 0 prefix 00006699 | 4 version, reserved | 6 seq | 10 command | 14 length | 18 nonce 12 | 30 body |
 *         | tag 16 | suffix 00009966 |
 *           length counts nonce, body and tag, suffix not. Bytes 4 to 17 are the associated data (3.5).
 *
 * All integers are big endian. Frames stand back to back in the stream; several may arrive in one segment, one may
 * be cut anywhere. The suffix is never searched for: its bytes occur inside frames.
 *
 * Source: TuyaOpen src/tuya_cloud_service/protocol/tuya_protocol.h (6699); tinytuya tinytuya/core/header.py and
 * message_helper.py (both); spec section 1. */
#ifndef TUYAWIRE_FRAME_H
#define TUYAWIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/command.h"
#include "tuyawire/error.h"
#include "tuyawire/span.h"
#include "tuyawire/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Default limit of the length field, bytes. Our choice: devices were seen to send 1708, vendor devices refuse
 * frames of 4096 and more; public clients stop at 1000 to 2000 (spec section 1.5). */
#define TW_FRAME_LENGTH_DEFAULT 8192u
/** The limit for decoders of captures, and the largest limit that rules may ask for. */
#define TW_FRAME_LENGTH_MAX 65535u
/** The longest frame that a device takes, bytes: TuyaOpen refuses 4096 and more. */
#define TW_FRAME_SIZE_TO_DEVICE_MAX 4095u
/** Bytes around a body: the most that any kind of frame adds (55AA with HMAC: 16 + 32 + 4; 6699 adds 50). */
#define TW_FRAME_OVERHEAD_MAX 52u

/** What is known of the connection a frame arrives on. Zero it and set what you know. */
struct tw_frame_rules {
    enum tw_integrity integrity; /**< check value of 55AA frames: CRC32 or HMAC (GCM is read as CRC32: a 55AA
                                      frame on a 3.5 connection carries a CRC) */
    enum tw_direction direction;
    bool strict;       /**< refuse frames from the device that are too short for a return code. Off, they are
                            let through: one test double in the wild (tuyapi's stub) omits it */
    size_t max_length; /**< limit of the length field, bytes; 0: TW_FRAME_LENGTH_DEFAULT; above
                            TW_FRAME_LENGTH_MAX: that */
};

struct tw_frame {
    enum tw_envelope envelope;
    enum tw_integrity integrity; /**< which check value `check` is */
    uint8_t reserved[2];         /**< 6699: bytes 4 and 5, always seen as 0; 55AA: 0 */
    uint32_t seq;
    uint32_t command;
    struct tw_span raw;   /**< prefix to suffix */
    struct tw_span nonce; /**< 6699: 12 bytes; 55AA: empty */
    struct tw_span body;  /**< between header (or nonce) and check value, return code in */
    struct tw_span check; /**< CRC 4, HMAC 32 or tag 16 bytes, as on the wire */
};

/** Describe the frame that begins at buf[0]. Structure only: prefix, length and suffix are checked, the check value
 * is not (tw_message_open() does that, it may need a key).
 *
 * @param out       filled on TW_OK, untouched otherwise; its spans point into buf
 * @param consumed  bytes to remove from the front before the next call: the frame on TW_OK, 0 on TW_NEED_MORE;
 *                  on TW_E_PREFIX all bytes before the next possible prefix (a cut-off prefix at the end stays),
 *                  on TW_E_LENGTH, TW_E_TOO_LARGE and TW_E_SUFFIX the 4 bytes of the prefix. Never 0 on an error,
 *                  so a loop over it always ends
 * @param buf       bytes received; may be NULL when len is 0
 * @param rules     NULL: CRC-32, to_device, tolerant, default limit
 * @return TW_OK, TW_NEED_MORE, TW_E_PREFIX, TW_E_LENGTH, TW_E_TOO_LARGE, TW_E_SUFFIX; in the order in which the
 *         bytes are looked at, so a hopeless header is refused before its body has arrived */
int tw_frame_parse(struct tw_frame *out, size_t *consumed, const uint8_t *buf, size_t len,
                   const struct tw_frame_rules *rules);

/** Is the CRC-32 of this 55AA frame right? False for other kinds. An observer uses it to tell 3.4 from the rest. */
bool tw_frame_crc_matches(const struct tw_frame *f);

/** Look at a 55AA frame again with another kind of check value (observers: CRC first, then HMAC).
 * @return TW_OK and f changed; TW_E_LENGTH if the frame is too short for it, or is 6699; f unchanged */
int tw_frame_reframe(struct tw_frame *f, enum tw_integrity integrity);

/** Total size in bytes of a frame whose body (return code in) has body_len bytes. */
size_t tw_frame_size(enum tw_integrity integrity, size_t body_len);

/** Lay out a frame: prefix, header and suffix are written; nonce, body and check value are left for the caller.
 * @param cap   bytes writable at out; must be at least tw_frame_size()
 * @param out_f its spans point into out, at the places to fill
 * @return TW_OK, or TW_E_CAPACITY, TW_E_TOO_LARGE (body above TW_FRAME_LENGTH_MAX) and nothing written */
int tw_frame_write(struct tw_frame *out_f, uint8_t *out, size_t cap, enum tw_integrity integrity, uint32_t seq,
                   uint32_t command, size_t body_len);

#ifdef __cplusplus
}
#endif
#endif
