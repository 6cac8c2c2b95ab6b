/* version.c - the table of tuyawire/version.h: hold it against docs/protocol.md, section 0.1, row by row. */
#include "tuyawire/version.h"
#include <string.h>
#include "tuyawire/error.h"

static const struct tw_version_traits traits[TW_N_VERSIONS] = {
    [TW_V31] = {.name = "3.1",
                .envelope = TW_ENVELOPE_55AA,
                .integrity = TW_INTEGRITY_CRC32,
                .with_header = TW_ENCODING_B64,
                .without_header = TW_ENCODING_PLAIN,
                .seq_echo = true,
                .query = TW_CMD_DP_QUERY,
                .control = TW_CMD_CONTROL,
                .discovery = TW_CMD_UDP,
                .discovery_port = 6666},
    /* A cross of its neighbours: controls and pushes as 3.3, all else in clear as 3.1. */
    [TW_V32] = {.name = "3.2",
                .envelope = TW_ENVELOPE_55AA,
                .integrity = TW_INTEGRITY_CRC32,
                .with_header = TW_ENCODING_CLEAR_HEADER,
                .without_header = TW_ENCODING_PLAIN,
                .seq_echo = true,
                .query = TW_CMD_DP_QUERY,
                .control = TW_CMD_CONTROL,
                .discovery = TW_CMD_UDP_NEW,
                .discovery_port = 6667},
    [TW_V33] = {.name = "3.3",
                .envelope = TW_ENVELOPE_55AA,
                .integrity = TW_INTEGRITY_CRC32,
                .with_header = TW_ENCODING_CLEAR_HEADER,
                .without_header = TW_ENCODING_ECB,
                .header_on_others = true,
                .seq_echo = true,
                .query = TW_CMD_DP_QUERY,
                .control = TW_CMD_CONTROL,
                .discovery = TW_CMD_UDP_NEW,
                .discovery_port = 6667},
    [TW_V34] = {.name = "3.4",
                .envelope = TW_ENVELOPE_55AA,
                .integrity = TW_INTEGRITY_HMAC,
                .with_header = TW_ENCODING_INNER_HEADER,
                .without_header = TW_ENCODING_ECB,
                .header_on_others = true,
                .negotiates = true,
                .wraps_data = true,
                .empty_heartbeat_padded = true,
                .query = TW_CMD_DP_QUERY_NEW,
                .control = TW_CMD_CONTROL_NEW,
                .discovery = TW_CMD_BROADCAST_LPV34,
                .discovery_port = 6667},
    [TW_V35] = {.name = "3.5",
                .envelope = TW_ENVELOPE_6699,
                .integrity = TW_INTEGRITY_GCM,
                .with_header = TW_ENCODING_GCM_HEADER,
                .without_header = TW_ENCODING_GCM,
                .header_on_others = true,
                .negotiates = true,
                .seq_checked = true,
                .wraps_data = true,
                .query = TW_CMD_DP_QUERY_NEW,
                .control = TW_CMD_CONTROL_NEW,
                .discovery = TW_CMD_UDP_NEW,
                .discovery_port = 6667},
};

/* see tuyawire/version.h */
const struct tw_version_traits *tw_version_traits(enum tw_version v)
{
    return (unsigned)v < TW_N_VERSIONS ? &traits[v] : NULL;
}

/* see tuyawire/version.h */
int tw_version_parse(enum tw_version *out, const char *text, size_t len)
{
    for (unsigned v = 0; v < TW_N_VERSIONS; v++) {
        if (len == strlen(traits[v].name) && memcmp(text, traits[v].name, len) == 0) {
            *out = (enum tw_version)v;
            return TW_OK;
        }
    }
    return TW_E_ARGUMENT;
}

/* see tuyawire/version.h */
const char *tw_version_name(enum tw_version v)
{
    return (unsigned)v < TW_N_VERSIONS ? traits[v].name : "?";
}

/* see tuyawire/version.h */
bool tw_version_has_header(enum tw_version v, enum tw_direction dir, uint32_t command)
{
    const struct tw_version_traits *t = tw_version_traits(v);
    if (t == NULL)
        return false;
    if (dir == TW_FROM_DEVICE)
        return command == TW_CMD_STATUS;

    switch (command) {
    case TW_CMD_CONTROL:
    case TW_CMD_CONTROL_NEW: return true;
    case TW_CMD_SESS_KEY_NEG_START:
    case TW_CMD_SESS_KEY_NEG_RESP:
    case TW_CMD_SESS_KEY_NEG_FINISH:
    case TW_CMD_HEART_BEAT:
    case TW_CMD_DP_QUERY:
    case TW_CMD_DP_QUERY_NEW:
    case TW_CMD_UPDATEDPS:
    case TW_CMD_LAN_EXT_STREAM: return false;
    default: return t->header_on_others;
    }
}
