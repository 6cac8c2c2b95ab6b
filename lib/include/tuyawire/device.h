/* tuyawire/device.h - the device's end of one connection: bytes in, bytes out, events.
 *
 *     network --> tw_device_feed()       tw_device_next_event() --> application: what does the client want?
 *     network <-- tw_device_output()     tw_device_reply(), _ack(), _refuse(), _status() <-- application
 *     timer   --> tw_device_tick()       tw_device_deadline()   --> timer
 *
 * The engine knows the wire: framing, the handshake, which sequence numbers are right, which error text answers a
 * body that cannot be read, when a device of this version closes. What a plug is, the application knows: it answers
 * queries with data points, controls with an ACK and a STATUS.
 *
 *     tw_device_feed(d, bytes, n, now);
 *     while (tw_device_next_event(d, &ev))
 *         if (ev.type == TW_DEVICE_QUERY)
 *             tw_device_reply(d, ev.message.command, ev.message.seq, json);
 *     send(tw_device_output(d)), tw_device_sent(d, n);
 *
 * By version (spec protocol 4.6, 6 and 10; device behaviour 3 to 5):
 *
 *                          3.1      3.2      3.3              3.4      3.5
 *   seq of replies         echo     echo     echo             own      own counter, random start below 65535
 *   seq of pushes, beats   0        0        0                own      own
 *   seq of requests        any      any      any              checked in the handshake | always: has to grow
 *   body under a wrong key silence  text     text, own key    -        -
 *   damaged frame          silence  silence  silence          close    close
 *   no session key yet     -        -        -                close    close
 *
 * Failure sticks: after TW_DEVICE_CLOSING each call returns the same code; send what tw_device_output() still holds,
 * close the connection, tw_device_free(). */
#ifndef TUYAWIRE_DEVICE_H
#define TUYAWIRE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/crypto.h"
#include "tuyawire/dps.h"
#include "tuyawire/message.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A device closes a connection without a valid frame for so long, ms (TuyaOpen tuya_lan.c, vendor documentation),
 * and one that has not finished its handshake after as long again (our choice, spec section 4.6). */
#define TW_DEVICE_IDLE_MS      30000u
#define TW_DEVICE_HANDSHAKE_MS 30000u
/** Unsent output of one connection, bytes; our choice. A client that does not read is told no more than this. */
#define TW_DEVICE_OUTPUT_MAX (256u * 1024u)

/* ---- what all connections of a thread share ------------------------------------------------------------------ */

typedef struct tw_device_host tw_device_host;

struct tw_device_host_config {
    tw_crypto *crypto;    /**< borrowed; outlives the host */
    tw_random_fn *random; /**< asked for 16 bytes it makes a device nonce, which is used as it is (TuyaOpen sends
                               lower-case hex characters), for 12 a GCM nonce, for 2 the first sequence number */
    void *random_ctx;     /**< borrowed, handed to random */
    size_t max_length;    /**< limit of the length field; 0: TW_FRAME_LENGTH_DEFAULT, at most TW_FRAME_LENGTH_MAX */
    size_t max_output;    /**< limit of unsent output per connection; 0: TW_DEVICE_OUTPUT_MAX */
    bool manual;          /**< default answers (tw_device_event.answer) are left to the application */
};

/** The workspace: a buffer for plaintext and a few spare buffers that connections borrow while they have half a
 * frame or unsent output. An idle connection therefore owns its state and nothing else. One thread at a time.
 * @return TW_OK, TW_E_NOMEM, TW_E_ARGUMENT (no crypto, no random, limit out of range) */
int tw_device_host_new(tw_device_host **out, const struct tw_device_host_config *cfg);

/** After the last connection of this host. NULL is fine. */
void tw_device_host_free(tw_device_host *h);

/* ---- one connection ------------------------------------------------------------------------------------------ */

typedef struct tw_device tw_device;

/** Ways of real devices that a correct one would not have. The VENDOR ones are TuyaOpen's (spec section 10), for 3.4
 * and 3.5. */
enum tw_device_quirks {
    TW_DEVICE_VENDOR_RETCODE = 1,    /**< 3.5: return code 1 in the byte order of the chip: 01 00 00 00 */
    TW_DEVICE_VENDOR_KEY_ZERO = 2,   /**< a session key that begins with 00 counts as none (spec section 4.8) */
    TW_DEVICE_VENDOR_FINISH = 4,     /**< FINISH without START is accepted, both nonces being zero */
    TW_DEVICE_VENDOR_READ = 8,       /**< 3.5: a first segment below 50 bytes is thrown away */
    TW_DEVICE_KEY_ZERO = 16,         /**< draw device nonces until the session key begins with 00, to see who copes */
    TW_DEVICE_VENDOR_HEARTBEAT = 32, /**< 3.5: a heart beat is answered without a look at its tag (spec section 10) */
    TW_DEVICE_VENDOR = 47,
    /** 3.1: four zero bytes in place of the CRC are accepted. pytuya and homebridge-tuya (lib/TuyaAccessory.js) send
     * 3.1 frames that way, and devices obey them. */
    TW_DEVICE_ZERO_CRC = 64,
};

struct tw_device_config {
    enum tw_version version;
    const uint8_t *local_key;      /**< 16 bytes, copied */
    unsigned quirks;               /**< of enum tw_device_quirks; 0: correct */
    uint32_t idle_timeout_ms;      /**< 0: none */
    uint32_t handshake_timeout_ms; /**< 0: none */
};

/** Correct, with TW_DEVICE_IDLE_MS and TW_DEVICE_HANDSHAKE_MS. local_key has to live until tw_device_new(). */
void tw_device_config_init(struct tw_device_config *cfg, enum tw_version v, const uint8_t *local_key);

/** A connection was accepted.
 * @param out     on TW_OK the engine; release it with tw_device_free()
 * @param host    borrowed; outlives the connection
 * @param cfg     copied
 * @param now_ms  monotonic milliseconds from any start; never decreasing from call to call
 * @return TW_OK; TW_E_NOMEM; TW_E_ARGUMENT; TW_E_CRYPTO (no randomness) */
int tw_device_new(tw_device **out, tw_device_host *host, const struct tw_device_config *cfg, uint64_t now_ms);

/** NULL is fine; wipes local key and session key. */
void tw_device_free(tw_device *d);

enum tw_device_event_type {
    TW_DEVICE_HANDSHAKE,  /**< START or FINISH was accepted (message.command); answer: RESP to START */
    TW_DEVICE_QUERY,      /**< all data points are asked for; body is read, may name a cid */
    TW_DEVICE_CONTROL,    /**< body.dps holds what to set; may hold nulls among values, or nothing: {} */
    TW_DEVICE_NULL_QUERY, /**< a control whose values are all null: a device22 client asks for these */
    TW_DEVICE_REFRESH,    /**< measure now: body.dp_ids; empty when the body cannot be read */
    TW_DEVICE_HEARTBEAT,  /**< answer: the empty reply; the payload, if any, may be unreadable */
    TW_DEVICE_EXT_STREAM, /**< body.req_type; gateways list their sub-devices */
    TW_DEVICE_UNKNOWN,    /**< authentic, but nothing a device answers */
    TW_DEVICE_REFUSED,    /**< a frame in order whose content cannot be served: error says why. answer: the error
                               text of this version, or none (silence) */
    TW_DEVICE_DAMAGED,    /**< bytes that are no frame, or a frame with a wrong check value: error; no answer */
    TW_DEVICE_CLOSING,    /**< error says why; the last event. raw is the frame that is to blame, or empty */
};

/** All spans are borrowed until the next tw_device_feed() or tw_device_next_event() on any connection of the host. */
struct tw_device_event {
    enum tw_device_event_type type;
    int error;                 /**< REFUSED, DAMAGED, CLOSING, HEARTBEAT with unreadable payload; else TW_OK */
    struct tw_frame frame;     /**< raw is empty when there is no frame; seq and command as the sender wrote them */
    struct tw_span raw;        /**< the bytes this event is about */
    bool opened;               /**< message is what the frame says; otherwise only its seq and command are set */
    struct tw_message message; /**< the request */
    struct tw_body body;       /**< QUERY, CONTROL, NULL_QUERY, REFRESH, EXT_STREAM; else empty */
    bool has_answer;           /**< what a device answers without asking its application; sent already, unless
                                    the host is manual or answer_error says that it could not be */
    int answer_error; /**< TW_OK; TW_E_CAPACITY: at the output limit, since the client does not read; TW_E_NOMEM,
                                    TW_E_CRYPTO: and TW_DEVICE_CLOSING follows */
    struct tw_message answer;
};

/** Take len bytes. They are read in place: buf stays readable until tw_device_next_event() has returned 0, which
 * copies what is left over, the beginning of a frame.
 * @return TW_OK; TW_E_NOMEM; the code of TW_DEVICE_CLOSING */
int tw_device_feed(tw_device *d, const uint8_t *buf, size_t len, uint64_t now_ms);

/** @return 1: *ev is filled; 0: none waits, buf may go */
int tw_device_next_event(tw_device *d, struct tw_device_event *ev);

/** What is to be sent now; borrowed until the next call on this connection. */
struct tw_span tw_device_output(const tw_device *d);

/** The network took the first n bytes; more than there are count as all. */
void tw_device_sent(tw_device *d, size_t n);

/** Time passed. At the idle or handshake limit TW_DEVICE_CLOSING with TW_E_TIMEOUT becomes due.
 * @return TW_OK, or the code of TW_DEVICE_CLOSING */
int tw_device_tick(tw_device *d, uint64_t now_ms);

/** Tick by then (scale of now_ms); UINT64_MAX: never. */
uint64_t tw_device_deadline(const tw_device *d);

/** May STATUS be pushed: not closing, and a session key is agreed on where the version has one. */
bool tw_device_ready(const tw_device *d);

/** TW_OK, or the code with which this connection ends. */
int tw_device_error(const tw_device *d);

/** The application closes: TW_DEVICE_CLOSING with this code becomes due. */
void tw_device_close(tw_device *d, int error);

/* ---- answers ------------------------------------------------------------------------------------------------- *
 * Each adds one frame to the output. command and seq are those of the request; 3.4 and 3.5 put their own number in
 * the place of seq. They return TW_OK; TW_E_CAPACITY (the output limit; nothing was added); TW_E_STATE (no session
 * key yet); TW_E_NOMEM; TW_E_CRYPTO; TW_E_TOO_LARGE; the code of TW_DEVICE_CLOSING. */

/** The empty reply to a control or refresh. @param retcode  0; TuyaOpen sends 1 for every control, done or not */
int tw_device_ack(tw_device *d, uint32_t command, uint32_t seq, uint32_t retcode);

/** Return code 1 and a text (TW_TEXT_...), encrypted where this version does so. */
int tw_device_refuse(tw_device *d, uint32_t command, uint32_t seq, const char *text);

/** Return code 0 and a body, as tw_body_reply() or tw_body_subdev_report() write it. */
int tw_device_reply(tw_device *d, uint32_t command, uint32_t seq, struct tw_span json);

/** Push data points: 0x08 with the version header.
 * @param counter  of the device, not of the connection: +1 per push (spec section 3.0); 3.1 has it in the JSON only
 * @param json     as tw_body_status() writes it */
int tw_device_status(tw_device *d, uint32_t counter, struct tw_span json);

/** Send the default answer of this event. Only for manual hosts; does nothing if it has none. */
int tw_device_answer(tw_device *d, const struct tw_device_event *ev);

enum tw_device_send_flags {
    TW_DEVICE_KEEP_SEQ = 1,  /**< m->seq goes out as it is, also where the device has its own counter */
    TW_DEVICE_LOCAL_KEY = 2, /**< under the local key (old TuyaOpen pushes so before the handshake) */
    TW_DEVICE_PAD_EMPTY = 4, /**< an empty payload becomes one block of padding (3.3, 3.4) */
};

/** The message tw_device_send() starts from: canonical, with return code 0, or 1 in this device's byte order. */
void tw_device_message_init(const tw_device *d, struct tw_message *m, uint32_t command, uint32_t seq, bool refused);

/** Any message, also one that no device sends. Seq: m->seq in 3.1 to 3.3, the device's counter otherwise. */
int tw_device_send(tw_device *d, const struct tw_message *m, unsigned flags);

#ifdef __cplusplus
}
#endif
#endif
