/* common/utf8.h - well-formed UTF-8 as RFC 3629 defines it; bytes from outside need not be. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/span.h"

/** Bytes of the character at s, of which left bytes (at least 1) are there; 0 if it is none: overlong, a surrogate,
 * above U+10FFFF, cut off. */
static inline size_t utf8_len(const uint8_t *s, size_t left)
{
    uint8_t c = s[0];
    size_t n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (n <= 1 || n > left)
        return n <= left ? n : 0;
    uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    }
    return n;
}

/** Bytes of the control character at s that JSON strings may have as it is, DEL (1) or one of C1 (2, the second is its
 * number); 0: another one. Terminals act on these: who writes JSON to one escapes them. */
static inline size_t utf8_json_control(const uint8_t *s, size_t left)
{
    return s[0] == 0x7f ? 1 : left >= 2 && s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0 ? 2 : 0;
}

/** As utf8_len(), but 0 for a control character, too, C1 (U+0080 to U+009F) included: a terminal would act on it. */
static inline size_t utf8_visible_len(const uint8_t *s, size_t left)
{
    return s[0] < 0x20 || utf8_json_control(s, left) > 0 ? 0 : utf8_len(s, left);
}

/** For a terminal: '.' for each byte that is no part of a visible character. */
static inline void utf8_clean(char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_visible_len((const uint8_t *)text + i, len - i);
        if (n == 0) {
            text[i] = '.';
            n = 1;
        }
    }
}

static inline bool utf8_check(struct tw_span s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_len(s.data + i, s.len - i);
        if (n == 0)
            return false;
    }
    return true;
}

#endif
