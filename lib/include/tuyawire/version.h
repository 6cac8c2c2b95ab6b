/* tuyawire/version.h - what differs between protocol 3.1, 3.2, 3.3, 3.4 and 3.5, as one table.
 *
 * Hold it against docs/protocol.md: spec sections 0.1 (overview), 3 (encoding), 6.1 (sequence numbers), 7.1
 * (discovery). Code branches on these columns, never on version numbers. */
#ifndef TUYAWIRE_VERSION_H
#define TUYAWIRE_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/command.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tw_version { TW_V31, TW_V32, TW_V33, TW_V34, TW_V35 };
enum { TW_N_VERSIONS = 5 };

enum tw_envelope { TW_ENVELOPE_55AA, TW_ENVELOPE_6699 };
enum tw_integrity {
    TW_INTEGRITY_CRC32, /**< 55AA, 4 bytes, needs no key */
    TW_INTEGRITY_HMAC,  /**< 55AA, HMAC-SHA256, 32 bytes */
    TW_INTEGRITY_GCM,   /**< 6699, 16-byte tag */
};

/** How the payload of a message is wrapped. */
enum tw_encoding {
    TW_ENCODING_PLAIN,        /**< JSON or text in clear */
    TW_ENCODING_ECB,          /**< ECB(PKCS7(payload)) */
    TW_ENCODING_B64,          /**< "3.1", 16 signature digits, base64(ECB(PKCS7(payload))) */
    TW_ENCODING_CLEAR_HEADER, /**< 15-byte header in clear, then ECB(PKCS7(payload)) */
    TW_ENCODING_INNER_HEADER, /**< ECB(PKCS7(15-byte header, payload)) */
    TW_ENCODING_GCM,          /**< GCM(return code, payload) */
    TW_ENCODING_GCM_HEADER,   /**< GCM(return code, 15-byte header, payload) */
};

struct tw_version_traits {
    const char *name; /**< "3.3"; also the three characters of the header */
    enum tw_envelope envelope;
    enum tw_integrity integrity;
    enum tw_encoding with_header;    /**< controls to the device, STATUS from it */
    enum tw_encoding without_header; /**< everything else */
    bool header_on_others;           /**< commands to the device that no rule names carry the header as well */
    bool negotiates;                 /**< a session key is agreed on before anything else */
    bool seq_echo;                   /**< replies echo the request's seq, pushes carry 0; else: device counter */
    bool seq_checked;                /**< the device closes when seq does not grow */
    bool wraps_data;                 /**< bodies are {"protocol":..,"t":..,"data":{..}} */
    bool empty_heartbeat_padded;     /**< an empty heart beat to the device is one block of padding */
    uint32_t query;                  /**< command that asks for all data points */
    uint32_t control;                /**< command that sets data points */
    uint32_t discovery;              /**< command of its broadcast */
    uint16_t discovery_port;         /**< UDP port of its broadcast */
};

/** The row of the table for v. Static, never NULL for the five versions; NULL for anything else. */
const struct tw_version_traits *tw_version_traits(enum tw_version v);

/** Read "3.1" .. "3.5" from len characters. TW_OK, or TW_E_ARGUMENT and *out untouched. */
int tw_version_parse(enum tw_version *out, const char *text, size_t len);

/** "3.3"; "?" for a value outside the enum. */
const char *tw_version_name(enum tw_version v);

/** Does the canonical form of this command carry the 15-byte version header (3.1: the signature)? Spec section
 * 3.0. Heart beats, queries, refreshes, LAN_EXT_STREAM and handshakes to the device do not; from the device only
 * STATUS does. */
bool tw_version_has_header(enum tw_version v, enum tw_direction dir, uint32_t command);

#ifdef __cplusplus
}
#endif
#endif
