/* tuyawire/error.h - everything that can go wrong, each with a name.
 *
 * Functions that can fail return int: TW_OK is 0, trouble is negative. The numbers are ABI: appended, never
 * renumbered. A device's *return code* is data on the wire and never one of these.
 *
 * "Not yet" (TW_NEED_MORE), "never" (bad frame), "cannot be trusted" (TW_E_INTEGRITY) and "our side"
 * (TW_E_NOMEM, TW_E_CAPACITY, TW_E_ARGUMENT) lead a caller to different acts, so they are different codes.
 *
 * The third column is the short name that vectors, journals and `tuya-dump --json` use ("error" member). */
#ifndef TUYAWIRE_ERROR_H
#define TUYAWIRE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define TW_ERROR_LIST(X)                                                                                             \
    X(TW_NEED_MORE, -1, "need_more", "the frame is not complete yet: feed more bytes")                               \
    X(TW_E_PREFIX, -2, "bad_prefix", "the bytes begin neither with 000055aa nor with 00006699")                      \
    X(TW_E_LENGTH, -3, "bad_length", "the length field is too small for this kind of frame")                         \
    X(TW_E_TOO_LARGE, -4, "too_large", "the length field is above the limit")                                        \
    X(TW_E_SUFFIX, -5, "bad_suffix", "there is no suffix where the length field ends the frame")                     \
    X(TW_E_INTEGRITY, -6, "bad_integrity", "CRC, HMAC, GCM tag or signature does not match: wrong key or damage")    \
    X(TW_E_PAYLOAD, -7, "bad_payload", "the payload is not what this version and command call for")                  \
    X(TW_E_PADDING, -8, "bad_padding", "PKCS#7 padding is wrong after decryption: most likely another key")          \
    X(TW_E_NO_KEY, -9, "no_key", "the payload is encrypted and no key was given that opens it")                      \
    X(TW_E_NO_SESSION, -10, "no_session", "the session key is not known: its handshake was not seen")                \
    X(TW_E_HS_BAD_HMAC, -11, "hs_bad_hmac", "handshake HMAC does not match: wrong local key or an impostor")         \
    X(TW_E_HS_SHORT, -12, "hs_short", "handshake message is too short")                                              \
    X(TW_E_HS_RETCODE, -13, "hs_retcode", "the device refused the handshake with a return code")                     \
    X(TW_E_HS_WRONG_CMD, -14, "hs_wrong_cmd", "this command has no place at this point of the handshake")            \
    X(TW_E_HS_RENEGOTIATE, -15, "hs_renegotiate", "handshake command on a session that is already established")      \
    X(TW_E_HS_REPLAY, -16, "hs_replay", "sequence number does not grow: replayed or restarted")                      \
    X(TW_E_HS_KEY_ZERO, -17, "hs_key_zero", "the session key begins with a zero byte: reconnect with a new nonce")   \
    X(TW_E_ENVELOPE, -18, "other_envelope", "frame of the other envelope: the peer speaks another version")          \
    X(TW_E_OLD_DEVICE, -19, "old_device", "the device answered the handshake with a CRC frame: it is 3.3 or older")  \
    X(TW_E_TIMEOUT, -20, "timeout", "no answer in time")                                                             \
    X(TW_E_CLOSED, -21, "closed", "the peer closed the connection")                                                  \
    X(TW_E_REFUSED, -22, "refused", "the device refused the request")                                                \
    X(TW_E_STATE, -23, "bad_state", "the call does not fit the state of this object")                                \
    X(TW_E_ARGUMENT, -24, "bad_argument", "an argument is out of range")                                             \
    X(TW_E_CAPACITY, -25, "no_capacity", "the output buffer is too small")                                           \
    X(TW_E_NOMEM, -26, "no_memory", "out of memory")                                                                 \
    X(TW_E_CRYPTO, -27, "crypto", "the cryptographic library refused to work")                                       \
    X(TW_E_JSON, -28, "bad_json", "the text is not one JSON object of the depth and form that Tuya bodies have")

#define X(name, value, short_name, text) name = value,
enum tw_error { TW_OK = 0, TW_ERROR_LIST(X) };
#undef X

/** One sentence for people. Static text, never NULL, also for codes that are never issued. */
const char *tw_strerror(int code);

/** The short name for scripts ("bad_suffix"); "ok" for TW_OK, "unknown" for codes that are never issued. */
const char *tw_error_name(int code);

#ifdef __cplusplus
}
#endif
#endif
