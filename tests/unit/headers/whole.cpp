/* The library used from C++: headers, names as C has them, structs as values. */
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include "tuyawire/tuyawire.h"

int main()
{
    static const std::uint8_t key[] = "0123456789abcdef";
    static const char json[] = "{\"dps\":{\"1\":true}}";
    std::uint8_t frame_bytes[256], plain[256];
    std::size_t len = 0, consumed = 0;
    tw_crypto *crypto = nullptr;
    tw_message m;
    tw_frame f;
    tw_frame_rules rules = {};
    tw_body body;

    tw_message_init(&m, TW_V33, TW_TO_DEVICE, 1, TW_CMD_CONTROL);
    m.payload.data = reinterpret_cast<const std::uint8_t *>(json);
    m.payload.len = std::strlen(json);
    int rc = tw_crypto_new(&crypto, 1);
    if (rc == TW_OK)
        rc = tw_message_seal(frame_bytes, sizeof frame_bytes, &len, crypto, &m, key, nullptr);
    if (rc == TW_OK)
        rc = tw_frame_parse(&f, &consumed, frame_bytes, len, &rules);
    if (rc == TW_OK)
        rc = tw_message_open(&m, crypto, &f, TW_V33, TW_TO_DEVICE, key, plain, sizeof plain, 0);
    if (rc == TW_OK)
        rc = tw_body_parse(&body, m.payload);
    tw_crypto_free(crypto);
    if (rc == TW_OK && body.dps.len == std::strlen("{\"1\":true}"))
        return 0;
    std::fprintf(stderr, "%s\n", tw_strerror(rc));
    return 1;
}
