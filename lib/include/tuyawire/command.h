/* tuyawire/command.h - what a frame asks for or tells.
 *
 * Names are the community's (tinytuya const.py, tuyapi lib/config.js), numbers from TuyaOpen lan_protocol and the
 * header of the vendor's older SDK; spec section 2 lists both names side by side. */
#ifndef TUYAWIRE_COMMAND_H
#define TUYAWIRE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TW_COMMAND_LIST(X)                                                                                      \
    X(UDP, 0x00)               /* 3.1 discovery broadcast, UDP 6666 */                                          \
    X(AP_CONFIG, 0x01)         /* Wi-Fi set-up */                                                               \
    X(ACTIVE, 0x02)            /* obsolete */                                                                   \
    X(SESS_KEY_NEG_START, 0x03) /* client nonce */                                                              \
    X(SESS_KEY_NEG_RESP, 0x04) /* device nonce and HMAC */                                                      \
    X(SESS_KEY_NEG_FINISH, 0x05) /* HMAC; no reply */                                                           \
    X(UNBIND, 0x06)                                                                                             \
    X(CONTROL, 0x07)           /* set data points; reply is an empty ACK, STATUS follows */                     \
    X(STATUS, 0x08)            /* the device pushes changed data points */                                      \
    X(HEART_BEAT, 0x09)                                                                                         \
    X(DP_QUERY, 0x0A)          /* query all data points */                                                      \
    X(QUERY_WIFI, 0x0B)                                                                                         \
    X(TOKEN_BIND, 0x0C)                                                                                         \
    X(CONTROL_NEW, 0x0D)       /* newer control; with null values: query (device22) */                          \
    X(ENABLE_WIFI, 0x0E)                                                                                        \
    X(WIFI_INFO, 0x0F)                                                                                          \
    X(DP_QUERY_NEW, 0x10)      /* newer query */                                                                \
    X(SCENE_EXECUTE, 0x11)                                                                                      \
    X(UPDATEDPS, 0x12)         /* ask for fresh measurements */                                                 \
    X(UDP_NEW, 0x13)           /* encrypted discovery broadcast */                                              \
    X(AP_CONFIG_NEW, 0x14)                                                                                      \
    X(AP_CONFIG_ACK, 0x15)                                                                                      \
    X(BROADCAST_LPV34, 0x23)   /* 3.4 discovery broadcast */                                                    \
    X(REQ_DEVINFO, 0x25)       /* 3.5 discovery request, UDP 7000 */                                            \
    X(LAN_EXT_STREAM, 0x40)    /* gateways: {"reqType":..,"data":..} */

#define X(name, value) TW_CMD_##name = value,
enum tw_command { TW_COMMAND_LIST(X) TW_CMD_MAX = 0x7fffffff };
#undef X

enum tw_direction {
    TW_TO_DEVICE,   /**< sent by the side that opened the TCP connection */
    TW_FROM_DEVICE, /**< sent by the side that listens on port 6668 */
};

/** "CONTROL", ... Static text; NULL for a command that has no name here. */
const char *tw_command_name(uint32_t command);

/** True for the three handshake commands, which travel under the local key even on a live session. */
bool tw_command_is_handshake(uint32_t command);

#ifdef __cplusplus
}
#endif
#endif
