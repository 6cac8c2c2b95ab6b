/* tuyawire/client.h - one connection to one device, from the side that opened it.
 *
 *     network --> tw_client_feed()       tw_client_next_event() --> application
 *     network <-- tw_client_output()     tw_client_query(), ... <-- application
 *     timer   --> tw_client_tick()       tw_client_deadline()   --> timer
 *
 * The life of a connection, in calls:
 *
 *     tw_client_new()      who, which version, which key
 *     connect a socket     the application's business
 *     tw_client_start()    3.4 and 3.5: START waits in tw_client_output(); 3.1 to 3.3 are established at once
 *     tw_client_query()    may be called right away: requests wait for the session key
 *     loop:                write tw_client_output(), read into tw_client_feed(), take events until there are none,
 *                          tick at tw_client_deadline()
 *     tw_client_free()
 *
 * Failure sticks: after the first error each call returns that same code, events queued before it are still handed
 * out, the last of them is TW_CLIENT_FAILED, and the way on is tw_client_free() and a new connection. A device that
 * says no (TW_CLIENT_REFUSED) or is slow (TW_CLIENT_TIMEOUT) is not a failure of the engine.
 *
 * Replies are matched as devices send them: 3.1 to 3.3 echo the sequence number, 3.4 and 3.5 count their own frames,
 * so there the command decides. One request per command is under way at a time; others wait in the order in which
 * they were made. Heart beats run by themselves. Source: spec sections 4.5 and 6. */
#ifndef TUYAWIRE_CLIENT_H
#define TUYAWIRE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/crypto.h"
#include "tuyawire/dps.h"
#include "tuyawire/message.h"
#include "tuyawire/session.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TW_CLIENT_ID_MAX = 64,          /**< bytes of a device id or cid. Our choice: real ones have 12 to 22 */
    TW_CLIENT_REQUESTS_MAX = 32,    /**< requests that wait or are under way. Our choice */
    TW_CLIENT_HEARTBEAT_MS = 10000, /**< spec section 6.2 */
    TW_CLIENT_HANDSHAKE_MS = 5000,
    TW_CLIENT_QUERY_MS = 5000,
    TW_CLIENT_ACK_MS = 3000,
};
#define TW_CLIENT_NEVER UINT64_MAX

typedef struct tw_client tw_client;

/** Look over the engine's shoulder: each frame sent and received, as it goes by. For debug output, captures, tests.
 * @param raw    prefix to suffix; borrowed for the call
 * @param m      the message in it; NULL when it could not be opened (or is not for us), then error says why */
typedef void tw_client_frame_fn(void *ctx, enum tw_direction dir, struct tw_span raw, const struct tw_message *m,
                                int error);

/** tw_client_config_init() sets the defaults; version, device_id, local_key, crypto and random are yours to set.
 * The spans are copied by tw_client_new(). */
struct tw_client_config {
    enum tw_version version;
    struct tw_span device_id;      /**< the gateway's id when cid is set. 3.4 and 3.5 do without it */
    struct tw_span cid;            /**< sub-device that requests are for; empty: the device itself */
    uint8_t local_key[TW_KEY_LEN]; /**< copied: wipe yours when tw_client_new() is done */
    tw_crypto *crypto;             /**< borrowed, must outlive the client */
    tw_random_fn *random; /**< 3.4: the client nonce; 3.5: also a nonce per frame. 3.1 to 3.3: never called */
    void *random_ctx;
    int64_t unix_time; /**< Unix seconds at tw_client_start(): the "t" of bodies counts from here */
    uint32_t source;   /**< sender id in the header of controls; 0: the zero header, as public clients do.
                                        Not 0: the device drops controls whose counter does not grow, so keep source
                                        and tw_client_counter() together over restarts (spec section 3.0) */
    uint32_t counter;  /**< with source: the number of the first control */
    bool null_map;     /**< the device is known to answer only null maps ("device22", spec section 5.6) */
    uint32_t handshake_ms, query_ms, ack_ms; /**< time limits for answers, milliseconds */
    uint32_t heartbeat_ms;                   /**< between heart beats; 0: none are sent */
    uint32_t max_length;                     /**< limit of the length field of frames; 0: TW_FRAME_LENGTH_DEFAULT */
    tw_client_frame_fn *on_frame;            /**< may be NULL */
    void *on_frame_ctx;
};

/** Zero everything, 3.3, default time limits. */
void tw_client_config_init(struct tw_client_config *cfg);

/** @param out  on TW_OK the engine; release it with tw_client_free()
 *  @return TW_OK; TW_E_ARGUMENT (no crypto, unknown version, no random function where one is needed, an id that is
 *          too long); TW_E_NOMEM */
int tw_client_new(tw_client **out, const struct tw_client_config *cfg);

/** NULL is fine. Wipes local key and session key, here and on the bench. */
void tw_client_free(tw_client *c);

/** The connection stands. now_ms: monotonic milliseconds from any start, never decreasing, here and below.
 * @return TW_OK; TW_E_STATE (called twice); TW_E_CRYPTO (no randomness) */
int tw_client_start(tw_client *c, uint64_t now_ms);

enum tw_client_event_type {
    TW_CLIENT_ESTABLISHED, /**< requests flow from here on; tw_client_session() has the keys for a key log */
    TW_CLIENT_REPLY,       /**< request answered with a JSON object; body.dps are its data points */
    TW_CLIENT_ACK,         /**< request answered with an empty message. After a control, the changed data points come
                               as TW_CLIENT_STATUS, before or after this, or not at all. return_code may be 1: vendor
                               3.5 devices say so on success (spec section 1.4) */
    TW_CLIENT_STATUS,      /**< the device pushes data points. request: the refresh that it answers, mostly 0 */
    TW_CLIENT_OTHER,       /**< any other message that nobody asked for, e.g. a gateway's report of sub-devices */
    TW_CLIENT_REFUSED,     /**< request refused; payload is the device's text, which may be empty */
    TW_CLIENT_TIMEOUT,     /**< request not answered in time; the connection goes on */
    TW_CLIENT_FAILED, /**< the connection is over, error says why. Requests that wait get no event of their own */
};

struct tw_client_event {
    enum tw_client_event_type type;
    uint32_t request;       /**< the number that tw_client_query() and friends gave; 0: not an answer */
    uint32_t command;       /**< of the message; of the request for TW_CLIENT_TIMEOUT */
    uint32_t seq;           /**< of the message */
    uint32_t return_code;   /**< of the message, byte order undone; 0: success */
    int error;              /**< TW_CLIENT_FAILED and TW_CLIENT_TIMEOUT: the code; else TW_OK */
    struct tw_span payload; /**< plaintext; borrowed until the next call on this engine */
    struct tw_body body;    /**< payload as JSON; all empty if it is none. Points into payload */
};

/** Take all len bytes; they are copied. Drain the events afterwards: more than a mebibyte of them undrained is TW_E_CAPACITY.
 * @return TW_OK, or the failure that sticks from now on: TW_E_TIMEOUT, TW_E_CLOSED; TW_E_OLD_DEVICE, TW_E_ENVELOPE
 *         (another version is spoken); TW_E_INTEGRITY, TW_E_PADDING, TW_E_PAYLOAD (most likely another key);
 *         TW_E_HS_... (handshake; after TW_E_HS_KEY_ZERO just reconnect); TW_E_PREFIX, TW_E_LENGTH, TW_E_TOO_LARGE,
 *         TW_E_SUFFIX (not the Tuya protocol); TW_E_STATE before tw_client_start(); TW_E_NOMEM */
int tw_client_feed(tw_client *c, const uint8_t *buf, size_t len, uint64_t now_ms);

/** The peer closed the connection (end of file, reset). Fails with TW_E_CLOSED. */
int tw_client_peer_closed(tw_client *c);

/** @return 1: *ev is filled; 0: none waits */
int tw_client_next_event(tw_client *c, struct tw_client_event *ev);

/** To send now, as one write; borrowed until the next call. Empty: nothing to do. */
struct tw_span tw_client_output(const tw_client *c);
/** The network took its first n bytes; more than there are count as all. */
void tw_client_sent(tw_client *c, size_t n);

/** tw_client_tick() by then (scale of now_ms); TW_CLIENT_NEVER: no need. */
uint64_t tw_client_deadline(const tw_client *c);
/** Time has passed: sends heart beats, ends requests. @return as tw_client_feed() */
int tw_client_tick(tw_client *c, uint64_t now_ms);

/* Requests. *request gets the number that the events of the answer carry (never 0); it may be NULL.
 * They return TW_OK; TW_E_CAPACITY (TW_CLIENT_REQUESTS_MAX wait already); TW_E_ARGUMENT; TW_E_TOO_LARGE (the frame
 * would be longer than TW_FRAME_SIZE_TO_DEVICE_MAX); TW_E_STATE before tw_client_start(); the sticky failure. */

/** All data points, by the command that belongs to the version. A device that refuses it with "json obj data unvalid"
 * is asked in the newer form and then by a null map, as spec section 2 has it; what worked is used from then on. The
 * answer to a null map comes as TW_CLIENT_REPLY with command STATUS and has only those of the usual data points that
 * exist. */
int tw_client_query(tw_client *c, uint64_t now_ms, uint32_t *request);

/** These n data points, by a null map (CONTROL_NEW with null values). 1 to 32, better 12: such devices read about
 * 255 bytes. Answered as above; a device that has none of them stays silent, so name one that exists. */
int tw_client_query_dps(tw_client *c, const uint32_t *dp_ids, size_t n, uint64_t now_ms, uint32_t *request);

/** Set data points. dps: a JSON object, {"1":true,"9":60}. TW_E_JSON if it is none. */
int tw_client_control(tw_client *c, struct tw_span dps, uint64_t now_ms, uint32_t *request);

/** Ask a metering plug to measure. Name only data points that the device has reported: some close the connection on
 * others, many do not answer at all (spec section 5.5). Answered by TW_CLIENT_ACK, or by a TW_CLIENT_STATUS with one of
 * them, whichever comes first. At most 32. */
int tw_client_refresh(tw_client *c, const uint32_t *dp_ids, size_t n, uint64_t now_ms, uint32_t *request);

/** One heart beat now, answered by TW_CLIENT_ACK. */
int tw_client_heartbeat(tw_client *c, uint64_t now_ms, uint32_t *request);

/** Which sub-devices are there? Answered by TW_CLIENT_REPLY (LAN_EXT_STREAM), by non-gateways not at all. */
int tw_client_subdevices(tw_client *c, uint64_t now_ms, uint32_t *request);

/** Any command with any body, sealed in the canonical form of the version. Handshake commands: TW_E_ARGUMENT. */
int tw_client_send(tw_client *c, uint32_t command, struct tw_span body, uint64_t now_ms, uint32_t *request);

/** Is the connection ready for requests? */
bool tw_client_is_established(const tw_client *c);
/** The handshake with its nonces and the session key; NULL before it is complete, and for 3.1 to 3.3. Borrowed. */
const struct tw_session *tw_client_session(const tw_client *c);
/** Did this device turn out to answer only null maps? Then set null_map in the next configuration. */
bool tw_client_null_map(const tw_client *c);
/** With source: the number for the next control, to be kept for the next connection. */
uint32_t tw_client_counter(const tw_client *c);
/** TW_OK or the failure that sticks. */
int tw_client_error(const tw_client *c);

#ifdef __cplusplus
}
#endif
#endif
