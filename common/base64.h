/* common/base64.h - raw data points and timers travel as base64 text (RFC 4648, with padding). */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>
#include <stdint.h>

/** @param out  room for (n + 2) / 3 * 4 characters; no NUL is added. @return characters written */
size_t base64_encode(char *out, const uint8_t *in, size_t n);

/** Stops at the first character that is none of base64, so that a padded, quoted or cut text yields its whole bytes.
 * @return bytes written, at most cap */
size_t base64_decode(uint8_t *out, size_t cap, const char *in, size_t n);

#endif
