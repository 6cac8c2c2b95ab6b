/* base64.c - see common/base64.h. */
#include "common/base64.h"

size_t base64_encode(char *out, const uint8_t *in, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v =
            (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0u);
        out[len++] = letters[v >> 18];
        out[len++] = letters[v >> 12 & 63];
        out[len++] = i + 1 < n ? letters[v >> 6 & 63] : '=';
        out[len++] = i + 2 < n ? letters[v & 63] : '=';
    }
    return len;
}

static int letter_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t base64_decode(uint8_t *out, size_t cap, const char *in, size_t n)
{
    uint32_t v = 0;
    unsigned bits = 0;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        int letter = letter_value(in[i]);
        if (letter < 0)
            break;
        v = (v << 6 | (uint32_t)letter) & 0xffffff;
        bits += 6;
        if (bits < 8)
            continue;
        if (len == cap)
            break;
        bits -= 8;
        out[len++] = (uint8_t)(v >> bits);
    }
    return len;
}
