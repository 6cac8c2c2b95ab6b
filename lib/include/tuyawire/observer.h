/* tuyawire/observer.h - read somebody else's connection: both directions, any number of candidate keys.
 *
 *     capture --> tw_observer_feed(), _gap(), _end()        tw_observer_next() --> application
 *
 * What is fed are the ordered bytes of a TCP connection, per direction; the observer finds version, key and session
 * by itself and hands out one event per message, and one per fault:
 *
 *     bytes --> frame --> version?           6699: 3.5. 55AA: the CRC fits: 3.1 to 3.3, told apart by the body;
 *                 |                          else the length fits an HMAC: 3.4
 *                 v
 *               key?                         3.1: signature. 3.2, 3.3: padding and what the text looks like.
 *                 |                          3.4, 3.5: HMAC or tag. Found by trying, once per connection
 *                 v
 *               session?                     3.4, 3.5: nonces out of START and RESP, or a key log
 *                 |
 *                 v
 *               event
 *
 * Frames that lie whole in the fed bytes are read in place; only cut ones are kept, at most TW_FRAME_LENGTH_MAX and
 * its header. Nothing is allocated per message. Damage costs the damaged frame and never a good one behind it.
 *
 * Source: spec section 8 (decision procedure), 1.4 and 1.6 (direction, stream parsing). */
#ifndef TUYAWIRE_OBSERVER_H
#define TUYAWIRE_OBSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/crypto.h"
#include "tuyawire/frame.h"
#include "tuyawire/message.h"
#include "tuyawire/session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TW_NO_INDEX ((size_t)-1)

/* ---- The keyring: what is known beforehand, shared by many observers -------------------------------------------- */

/** Candidate keys, the crypto bench they are tried on, and room for one plaintext. Many observers borrow one keyring;
 * it must outlive them. One thread. */
typedef struct tw_keyring tw_keyring;

/** A device that a key belongs to. All is borrowed from the keyring and stays where it is until the keyring is freed,
 * however many keys are added. */
struct tw_keyring_entry {
    const uint8_t *key; /**< 16 bytes */
    struct tw_span id;  /**< device id; empty: the key came without one */
    bool has_version;
    enum tw_version version; /**< when has_version */
};

/** A session key, with what identifies its session. */
struct tw_session_secret {
    enum tw_version version; /**< TW_V34 or TW_V35 */
    uint8_t client_nonce[TW_SESSION_NONCE_LEN];
    uint8_t key[TW_KEY_LEN];
};

/** @return TW_OK, TW_E_NOMEM or TW_E_CRYPTO. Free with tw_keyring_free(). */
int tw_keyring_new(tw_keyring **out);
void tw_keyring_free(tw_keyring *k); /**< NULL is fine; wipes every key */

/** Add a local key. The id is copied and may be empty.
 * @param version  NULL: not known
 * @return TW_OK, TW_E_NOMEM. Its index is tw_keyring_size() - 1 then */
int tw_keyring_add(tw_keyring *k, const uint8_t key[TW_KEY_LEN], struct tw_span id, const enum tw_version *version);

/** Add a session key from a key log. @return TW_OK, TW_E_NOMEM, TW_E_ARGUMENT (a version without sessions) */
int tw_keyring_add_session(tw_keyring *k, const struct tw_session_secret *s);

size_t tw_keyring_size(const tw_keyring *k);       /**< number of local keys */
size_t tw_keyring_n_sessions(const tw_keyring *k); /**< number of session keys that were added */
/** @param i  below tw_keyring_size() */
struct tw_keyring_entry tw_keyring_get(const tw_keyring *k, size_t i);
/** Index of the local key of this device, or TW_NO_INDEX. */
size_t tw_keyring_find(const tw_keyring *k, struct tw_span id);
/** The bench, for whoever opens datagrams beside connections. Borrowed. */
tw_crypto *tw_keyring_crypto(tw_keyring *k);

/* ---- One connection ---------------------------------------------------------------------------------------------- */

typedef struct tw_observer tw_observer;

enum tw_observer_roles {
    TW_ROLES_KNOWN,   /**< the direction given to feed() is certain: port 6668 or the SYN told it */
    TW_ROLES_UNKNOWN, /**< it is only a label for one of two sides; the frames tell which is the device */
    TW_ROLES_MIXED,   /**< frames of both directions in one run of bytes, as in a debug log; feed TW_TO_DEVICE only */
};

/** How far the check value of a frame could be looked at. */
enum tw_checked {
    TW_CHECK_OK,
    TW_CHECK_BAD,       /**< damaged, or of a key that is not there although another fitted before */
    TW_CHECK_UNCHECKED, /**< no key, so nobody can tell */
};

enum tw_key_kind { TW_KEY_NONE, TW_KEY_LOCAL, TW_KEY_SESSION };

/** Why a message could not be opened, or what else is remarkable about it. */
enum tw_why {
    TW_WHY_NOTHING,
    TW_WHY_LOST,    /**< bytes are missing from the capture: `missing`; `skipped` of a cut frame before them */
    TW_WHY_SKIPPED, /**< bytes that begin no frame: `skipped` */
    TW_WHY_CUT,     /**< the stream ended inside a frame: `skipped` bytes of it were there */
    TW_WHY_TLS,     /**< TLS on a Tuya port: a device in set-up mode. The direction is not looked at until its end */
    TW_WHY_BAD_FRAME,       /**< length or suffix, see `error` */
    TW_WHY_DAMAGED,         /**< the check value is wrong and no missing key explains it */
    TW_WHY_NO_KEYS,         /**< it is encrypted and the keyring is empty */
    TW_WHY_NO_KEY_FITS,     /**< all local keys were tried */
    TW_WHY_NO_HANDSHAKE,    /**< 3.4, 3.5: the handshake was not captured */
    TW_WHY_HALF_HANDSHAKE,  /**< 3.4, 3.5: RESP was seen, but not the START with the client nonce */
    TW_WHY_NO_SESSION_FITS, /**< 3.4, 3.5: handshake frames could not be opened: its local key is missing */
    TW_WHY_MALFORMED,       /**< opened, but padding, header or return code are not as they must be */
    TW_WHY_LOCAL_KEY,       /**< opened, but under the local key where a session key was due (spec section 4.8) */
    TW_WHY_OURS,            /**< nobody looked properly: memory ran out on our side, or the cryptography failed */
};

struct tw_observed {
    int error; /**< TW_OK: `message` holds everything. Else TW_E_PREFIX, _LENGTH, _TOO_LARGE,
                                      _SUFFIX, _INTEGRITY, _PAYLOAD, _PADDING, _NO_KEY, _NO_SESSION, _NOMEM, _CRYPTO,
                                      TW_NEED_MORE */
    enum tw_why why;
    enum tw_direction direction; /**< in which it was fed, or found */
    bool direction_known;
    bool has_frame;         /**< frame is filled (also when its content could not be opened) */
    bool has_header_fields; /**< message.seq and message.command are filled: has_frame, or a frame that was refused */
    bool version_known;     /**< message.version is more than a guess */
    enum tw_checked checked;
    enum tw_key_kind key_kind;
    size_t key_index;          /**< which local key the connection uses, or TW_NO_INDEX */
    const uint8_t *key;        /**< the 16 bytes that checked or decrypted it, for who opens the frame again later;
                                      NULL: it needed none, or is closed. Borrowed until the next call on this observer */
    size_t skipped, missing;   /**< bytes, see `why` */
    uint32_t length;           /**< the length field, when has_header_fields */
    struct tw_frame frame;     /**< its spans live as long as the payload */
    struct tw_message message; /**< version, direction, seq, command; the rest when error is TW_OK.
                                      payload: valid until the next call on any observer of this keyring */
    const struct tw_session_secret
        *session; /**< not NULL: this message completed a handshake; borrowed until the next
                                                  call on this observer */
};

/** @param ring  borrowed until tw_observer_free()
 *  @return TW_OK, TW_E_NOMEM */
int tw_observer_new(tw_observer **out, tw_keyring *ring, enum tw_observer_roles roles);
void tw_observer_free(tw_observer *o); /**< NULL is fine; wipes session keys and nonces */

/** What somebody else knows about the device of this connection: an announcement, an earlier connection to the same
 * address. A hint is tried first and believed only where it fits.
 * @param key_index  TW_NO_INDEX: not known
 * @param version    NULL: not known */
void tw_observer_hint(tw_observer *o, size_t key_index, const enum tw_version *version);

/** Hand in the next bytes of one direction. They are borrowed until tw_observer_next() has returned 0, and so must be
 * drained before the next feed, gap or end.
 * @return TW_OK; TW_E_STATE: earlier bytes are not drained */
int tw_observer_feed(tw_observer *o, enum tw_direction dir, const uint8_t *buf, size_t len);

/** Bytes of this direction are missing here. What was kept of a cut frame is given up; reading goes on at the next
 * frame. @param missing  bytes; 0: nobody knows how many. Returns as feed. */
int tw_observer_gap(tw_observer *o, enum tw_direction dir, uint64_t missing);

/** This direction has ended. What is still incomplete becomes an event, good frames behind a wrong length too.
 * The direction may be fed again afterwards, as that of a new connection's bytes. Returns as feed. */
int tw_observer_end(tw_observer *o, enum tw_direction dir);

/** @return 1: *ev is filled; 0: nothing waits, and the bytes fed last are free; TW_E_NOMEM: a cut frame could not be
 *          kept; its bytes are dropped and reading goes on at the next feed */
int tw_observer_next(tw_observer *o, struct tw_observed *ev);

/** Bytes of memory this observer holds now, for who sums them up. */
size_t tw_observer_memory(const tw_observer *o);

#ifdef __cplusplus
}
#endif
#endif
