/* trouble.c - see trouble.h. */
#include "trouble.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>
#include "common/utf8.h"
#include "tuyawire/dps.h"
#include "tuyawire/error.h"

static const struct {
    const char *name;
    enum exit_code code;
} kinds[] = {
    [TROUBLE_NONE] = {"ok", EXIT_CODE_OK},
    [TROUBLE_UNREACHABLE] = {"unreachable", EXIT_CODE_CONNECT},
    [TROUBLE_REFUSED] = {"refused", EXIT_CODE_CONNECT},
    [TROUBLE_RESETS] = {"resets", EXIT_CODE_CONNECT},
    [TROUBLE_BUSY] = {"busy", EXIT_CODE_CONNECT},
    [TROUBLE_CLOSED] = {"resets", EXIT_CODE_CONNECT},
    [TROUBLE_SILENT] = {"silent", EXIT_CODE_TIMEOUT},
    [TROUBLE_WRONG_KEY] = {"wrong-key", EXIT_CODE_WRONG_KEY},
    [TROUBLE_WRONG_VERSION] = {"wrong-version", EXIT_CODE_PROTOCOL},
    [TROUBLE_NOT_TUYA] = {"not-tuya", EXIT_CODE_PROTOCOL},
    [TROUBLE_WRONG_ID] = {"wrong-id", EXIT_CODE_REFUSED},
    [TROUBLE_SAID_NO] = {"said-no", EXIT_CODE_REFUSED},
    [TROUBLE_DAMAGED] = {"damaged", EXIT_CODE_PROTOCOL},
    [TROUBLE_OURS] = {"failed", EXIT_CODE_USAGE},
};

const char trouble_next_key[] = "get the local key anew (pairing a device again changes it) and try again; with "
                                "--devices FILE, `tuya-ctl diagnose` tries all your keys";
static const char next_numbers[] = "give the address as numbers, as in 192.168.1.50";
static const char next_version[] = "try -P auto";
static const char next_diagnose[] = "`tuya-ctl diagnose` with the same options says more";

void trouble_clear(struct trouble *t)
{
    memset(t, 0, sizeof *t);
}

int trouble_set(struct trouble *t, enum trouble_kind kind, const char *next, const char *format, ...)
{
    va_list args;
    trouble_clear(t);
    t->kind = kind;
    t->code = kinds[kind].code;
    va_start(args, format);
    vsnprintf(t->what, sizeof t->what, format, args);
    va_end(args);
    snprintf(t->next, sizeof t->next, "%s", next);
    utf8_clean(t->what, strlen(t->what)); /* what a device says goes to terminals */
    utf8_clean(t->next, strlen(t->next));
    return -1;
}

int trouble_from_uv(struct trouble *t, int uv_error, bool was_connected, const char *host, unsigned port)
{
    switch (uv_error) {
    case UV_ECONNREFUSED:
        return trouble_set(t, TROUBLE_REFUSED,
                           "is this the address of the device (`tuya-ctl discover`), and is it on? Some plugs refuse "
                           "while the app or another program is connected: close that and wait a minute",
                           "%s port %u refuses the connection", host, port);
    case UV_ECONNRESET:
    case UV_EPIPE:
    case UV_ECONNABORTED:
        return trouble_set(t, TROUBLE_RESETS,
                           "close the app and other programs that talk to the device, wait a minute, or switch the "
                           "device off and on",
                           "%s port %u %s", host, port,
                           was_connected ? "reset the connection" : "resets connections as soon as they are made");
    case UV_ETIMEDOUT:
        return trouble_set(t, TROUBLE_UNREACHABLE,
                           "is the device on, in this network, and still at this address? `tuya-ctl discover` lists "
                           "what is there",
                           "%s port %u does not answer to a connection", host, port);
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAI_FAIL: return trouble_set(t, TROUBLE_UNREACHABLE, next_numbers, "%s: no host of that name", host);
    case UV_EAI_AGAIN: return trouble_set(t, TROUBLE_UNREACHABLE, next_numbers, "%s: no name server answers", host);
    default:
        return trouble_set(t, TROUBLE_UNREACHABLE,
                           "is the device on, and is this computer in the same network? `tuya-ctl discover` lists "
                           "what is there",
                           "%s cannot be reached: %s", host, uv_strerror(uv_error));
    }
}

static int handshake_trouble(struct trouble *t, int error, const char *v)
{
    switch (error) {
    case TW_E_HS_BAD_HMAC:
    case TW_E_INTEGRITY:
    case TW_E_PADDING:
    case TW_E_HS_RETCODE:
        return trouble_set(t, TROUBLE_WRONG_KEY, trouble_next_key,
                           "the local key is wrong: the device's handshake reply does not verify under it (%s)", v);
    case TW_E_CLOSED:
        return trouble_set(t, TROUBLE_WRONG_KEY, trouble_next_key,
                           "the device closed the connection at our handshake: most likely the local key is wrong "
                           "(protocol %s)",
                           v);
    case TW_E_TIMEOUT:
        return trouble_set(t, TROUBLE_SILENT, next_version, "the device did not answer the handshake of protocol %s",
                           v);
    default:
        return trouble_set(t, TROUBLE_DAMAGED, next_diagnose, "handshake of protocol %s failed: %s", v,
                           tw_strerror(error));
    }
}

int trouble_from_engine(struct trouble *t, int error, enum tw_version version, bool established, bool heard)
{
    const char *v = tw_version_name(version);
    switch (error) {
    case TW_E_OLD_DEVICE:
        return trouble_set(t, TROUBLE_WRONG_VERSION, next_version,
                           "the device is older than protocol 3.4, but %s was asked for", v);
    case TW_E_ENVELOPE:
        return trouble_set(t, TROUBLE_WRONG_VERSION, next_version, "the device does not speak protocol %s but %s", v,
                           version == TW_V35 ? "an older one" : "3.5");
    case TW_E_PREFIX:
        return trouble_set(t, TROUBLE_NOT_TUYA, "is this the address and port of a Tuya device?",
                           "what answers is not the Tuya protocol");
    case TW_E_LENGTH:
    case TW_E_TOO_LARGE:
    case TW_E_SUFFIX:
        return trouble_set(t, TROUBLE_DAMAGED, next_diagnose, "the device sent a frame that cannot be right: %s",
                           tw_strerror(error));
    case TW_E_NOMEM:
    case TW_E_CRYPTO:
    case TW_E_STATE:
    case TW_E_ARGUMENT:
    case TW_E_CAPACITY: return trouble_set(t, TROUBLE_OURS, "", "%s", tw_strerror(error));
    default: break;
    }
    bool negotiates = tw_version_traits(version)->negotiates;
    if (!established)
        return handshake_trouble(t, error, v);
    if (error == TW_E_CLOSED && !heard && !negotiates)
        return trouble_set(t, TROUBLE_WRONG_VERSION, next_version,
                           "the device closed the connection without an answer: most likely it speaks another "
                           "protocol than %s",
                           v);
    if (error == TW_E_CLOSED)
        return trouble_set(t, TROUBLE_CLOSED, "try again; close other programs that talk to the device",
                           "the device closed the connection");
    if (error == TW_E_TIMEOUT)
        return trouble_set(t, TROUBLE_SILENT, next_diagnose, "the device stopped answering heart beats");
    if ((error == TW_E_PADDING || error == TW_E_PAYLOAD) && !negotiates)
        return trouble_set(t, TROUBLE_WRONG_KEY, trouble_next_key,
                           "the local key is wrong: the device's reply does not decrypt with it (%s)", v);
    return trouble_set(t, TROUBLE_DAMAGED, "try again; if it stays, `tuya-ctl diagnose` says more",
                       "the device sent a damaged frame: %s", tw_strerror(error));
}

/* Errors of devices are English words (device behaviour section 11); ciphertext is not. From 3.4 on a session
 * key vouches for version and key, whatever the text. */
static bool is_readable(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if ((*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') || *p >= 0x7f)
            return false;
    }
    return true;
}

int trouble_from_refusal(struct trouble *t, const char *text, enum tw_version v, bool has_cid)
{
    if (strcmp(text, TW_TEXT_DEVID) == 0)
        return trouble_set(t, TROUBLE_WRONG_ID,
                           has_cid ? "check --cid: the gateway knows no such sub-device"
                                   : "check --id; a gateway wants the sub-device by --cid",
                           "the device refused: %s", text);
    if (strcmp(text, TW_TEXT_GW_ID) == 0)
        return trouble_set(t, TROUBLE_WRONG_ID, "check --id", "the device refused: %s", text);
    if (strcmp(text, TW_TEXT_JSON_OBJ) == 0)
        return trouble_set(t, TROUBLE_SAID_NO,
                           "it may have no state yet: switch it once by its button or with `tuya-ctl on`; a gateway "
                           "wants --cid",
                           "the device refused the query in every form: %s", text);
    if (strcmp(text, TW_TEXT_DATA_FORMAT) == 0 || strcmp(text, TW_TEXT_PARSE_DATA) == 0)
        return trouble_set(t, TROUBLE_SAID_NO, "the protocol version or the local key may be another: try -P auto",
                           "the device could not read the request (protocol %s): %s", tw_version_name(v), text);
    if (!is_readable(text) && !tw_version_traits(v)->negotiates)
        return trouble_set(t, TROUBLE_WRONG_VERSION, next_version,
                           "the device's answer cannot be read as protocol %s: most likely it speaks another",
                           tw_version_name(v));
    return trouble_set(t, TROUBLE_SAID_NO, next_diagnose, "the device refused%s%s", text[0] != '\0' ? ": " : "",
                       text);
}

void trouble_say(const struct trouble *t)
{
    if (t->next[0] != '\0')
        say_warn("%s; %s", t->what, t->next);
    else
        say_warn("%s", t->what);
}

const char *trouble_name(enum trouble_kind kind)
{
    return kinds[kind].name;
}
