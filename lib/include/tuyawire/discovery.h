/* tuyawire/discovery.h - UDP datagrams by which devices are found.
 *
 *   port  from    envelope  command  content                                   who
 *   6666  device  55AA CRC  0x00     clear JSON                                3.1, some 3.2
 *   6667  device  55AA CRC  0x13     ECB(UDP key)                              3.2, 3.3
 *   6667  device  55AA CRC  0x23     ECB(UDP key)                              3.4
 *   6667  device  6699      0x13     GCM(UDP key), return code inside          3.5
 *   7000  client  6699      0x25     GCM(UDP key), no return code              request for silent 3.5 devices
 *   7000  device  6699      0x13     GCM(UDP key), return code inside          its answer
 *   6667  device  6699      0x11     GCM(AP key)                               3.5 in set-up mode
 *   any   device  none      -        bare ECB(UDP key)                         read, never sent
 *
 * The keys are the same on all devices of the world; discovery data is public.
 * Source: tinytuya scanner.py, TuyaOpen tuya_lan.c; spec section 7. */
#ifndef TUYAWIRE_DISCOVERY_H
#define TUYAWIRE_DISCOVERY_H

#include "tuyawire/crypto.h"
#include "tuyawire/dps.h"
#include "tuyawire/message.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TW_UDP_PORT_CLEAR = 6666, TW_UDP_PORT_ENCRYPTED = 6667, TW_UDP_PORT_REQUEST = 7000 };

extern const uint8_t tw_udp_key[TW_KEY_LEN]; /**< MD5("yGAdlopoPVldABfn") */
extern const uint8_t tw_app_key[TW_KEY_LEN]; /**< MD5("WzYwFxIUbiFhMmNJ"), prepared by TuyaOpen, never seen in use */
extern const uint8_t tw_ap_key[TW_KEY_LEN];  /**< MD5("OXLvslCvUxcTPLGO"), set-up mode */

/** What a datagram says. Spans point into the datagram or into buf; absent members are empty or -1. */
struct tw_discovery {
    struct tw_message message; /**< version: the wire form; payload: the JSON. Bare ECB: command 0, no return code */
    bool framed;               /**< false: a bare ECB blob */
    bool is_request;           /**< a client asks (0x25 or a "from" member) */
    struct tw_body body;
    struct tw_span ip, gw_id, uuid, product_key, version, from; /**< raw JSON strings without quotes */
    int64_t active;                                             /**< 2: bound to an account; 0: not */
};

/** Open one datagram, from any of the three ports. Bytes behind the frame are ignored.
 * @param out  filled on TW_OK, untouched otherwise
 * @param buf  for plaintext, at least len bytes
 * @return TW_OK; the errors of tw_frame_parse() (TW_NEED_MORE: cut off, or empty), tw_message_open() and
 *         tw_body_parse(). What is no frame but could be bare ECB fails with TW_E_PADDING */
int tw_discovery_open(struct tw_discovery *out, tw_crypto *c, const uint8_t *datagram, size_t len, uint8_t *buf,
                      size_t cap);

/** The announcement of a device of version v (json: see tw_body_announcement()), as it goes to tw_version_traits(v)->discovery_port; for 3.5 also its
 * answer to a request. nonce: 12 bytes for 3.5, else NULL. Returns as tw_message_seal(). */
int tw_discovery_seal_announcement(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, enum tw_version v,
                                   struct tw_span json, const uint8_t *nonce);

/** The request of a client: {"from":"app","ip":"<ip>"} to port 7000; ip is where answers shall go, in text. Returns as
 * tw_message_seal(); TW_E_ARGUMENT also for an ip that is longer than an address can be. */
int tw_discovery_seal_request(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, struct tw_span ip,
                              const uint8_t *nonce);

struct tw_announcement {
    struct tw_span ip, gw_id, uuid, product_key; /**< uuid: 3.5 only; empty: left out */
    int active;                                  /**< 2: bound */
};

/** The JSON of an announcement, with the members and in the order that real devices of that version were seen to
 * send (vectors/discovery.json; 3.5: TuyaOpen tuya_lan.c). Appended to t. TW_OK, TW_E_CAPACITY, TW_E_ARGUMENT. */
int tw_body_announcement(struct tw_text *t, enum tw_version v, const struct tw_announcement *a);

#ifdef __cplusplus
}
#endif
#endif
