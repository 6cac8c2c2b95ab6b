/* common/hex.h - hexadecimal text, both ways. */
#ifndef COMMON_HEX_H
#define COMMON_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Value of a hex digit, -1 for any other character. */
int hex_digit(char c);

/** Read exactly 2 * n hex digits, upper or lower case. False and out undefined if one is none. */
bool hex_read(uint8_t *out, size_t n, const char *text);

/** Write 2 * n lower-case digits; no NUL. @return the end of what was written */
char *hex_write(char *out, const uint8_t *data, size_t n);

#endif
