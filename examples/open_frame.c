/* open_frame.c - what a frame says: from hex digits and a local key to the data points in it.
 *
 *     ./open_frame                                                                  the frame below
 *     TUYA_LOCAL_KEY='0123456789abcdef' ./open_frame 3.3 000055aa...0000aa55        one of your own, from a device
 *
 * 3.4 and 3.5 seal all but the handshake under a session key; give that in place of the local key. To have it found, and
 * to read both directions of a whole connection, there is tuyawire/observer.h.
 *
 *     cc open_frame.c $(pkg-config --cflags --libs tuyawire) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tuyawire/tuyawire.h>

/* A push of a 3.3 plug: somebody has pressed its button. */
static const char sample_key[] = "0123456789abcdef";
static const char sample[] =
    "000055aa00000000000000080000006b00000000332e33000000000000000b00000001"
    "eb789a60466a4376761a4ab49d1a1f824183bcc645e36df81212a31b571838de2125e1846bd4f824d1b2e46"
    "8c2399266fb12a85a3b419a8cb06d33a5199663980e09874dfb6e77397931d975a323ba6400c0d82e0000aa55";

static size_t unhex(uint8_t *out, size_t cap, const char *hex)
{
    size_t n = 0;
    unsigned byte;
    while (n < cap && sscanf(hex + 2 * n, "%2x", &byte) == 1)
        out[n++] = (uint8_t)byte;
    return n;
}

/* Frame, then message, then body: each step is a room of the library, and says by its code what is wrong. */
static int open_and_print(tw_crypto *crypto, enum tw_version version, const uint8_t *key, const uint8_t *bytes,
                          size_t len)
{
    struct tw_frame_rules rules = {0};
    struct tw_frame frame;
    struct tw_message message;
    struct tw_body body;
    struct tw_dp dp;
    uint8_t plain[4096];
    size_t consumed, pos = 0;
    rules.integrity = tw_version_traits(version)->integrity;
    rules.direction = TW_FROM_DEVICE;

    int rc = tw_frame_parse(&frame, &consumed, bytes, len, &rules);
    if (rc == TW_OK)
        rc = tw_message_open(&message, crypto, &frame, version, TW_FROM_DEVICE, key, plain, sizeof plain, 0);
    if (rc != TW_OK)
        return rc;
    const char *name = tw_command_name(message.command);
    printf("%s, sequence number %u, return code %u\n", name != NULL ? name : "?", (unsigned)message.seq,
           (unsigned)tw_retcode(message.retcode));
    if (message.payload.len == 0)
        return TW_OK;
    printf("%.*s\n", (int)message.payload.len, (const char *)message.payload.data);
    if (tw_body_parse(&body, message.payload) != TW_OK)
        return TW_OK; /* devices send error texts, too */
    while (tw_dps_next(&dp, &pos, body.dps))
        printf("  %u = %.*s\n", (unsigned)dp.id, (int)dp.value.text.len, (const char *)dp.value.text.data);
    return TW_OK;
}

int main(int argc, char **argv)
{
    const char *key = argc == 3 ? getenv("TUYA_LOCAL_KEY") : sample_key;
    enum tw_version version = TW_V33;
    uint8_t bytes[4096];
    tw_crypto *crypto;
    if ((argc != 1 && argc != 3) || key == NULL || strlen(key) != TW_KEY_LEN ||
        (argc == 3 && tw_version_parse(&version, argv[1], strlen(argv[1])) != TW_OK)) {
        fputs("usage: TUYA_LOCAL_KEY='16 characters' open_frame [VERSION HEX]\n", stderr);
        return 2;
    }
    size_t len = unhex(bytes, sizeof bytes, argc == 3 ? argv[2] : sample);
    int rc = tw_crypto_new(&crypto, 1);
    if (rc == TW_OK) {
        rc = open_and_print(crypto, version, (const uint8_t *)key, bytes, len);
        tw_crypto_free(crypto);
    }
    if (rc != TW_OK)
        fprintf(stderr, "%s\n", tw_strerror(rc));
    return rc == TW_OK ? 0 : 1;
}
