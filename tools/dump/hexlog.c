/* hexlog.c - see hexlog.h. */
#include "hexlog.h"
#include <stdbool.h>
#include <string.h>
#include "common/hex.h"

enum { PREFIX_LEN = 4, HEADER_55AA = 16, HEADER_6699 = 18, SUFFIX_LEN = 4, SEPARATORS_MAX = 64 };

/* Reads one byte in some notation at text[*at]; false: there is none. */
typedef bool read_fn(uint8_t *byte, size_t *at, struct tw_span text);

static bool is_separator(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ':' || c == ',' || c == '-';
}

/* Two hex digits behind any number of separators and one 0x or \x. */
static bool read_hex(uint8_t *byte, size_t *at, struct tw_span text)
{
    size_t i = *at;
    while (i < text.len && i - *at < SEPARATORS_MAX && is_separator(text.data[i]))
        i++;
    if (i + 1 < text.len && (text.data[i] == '0' || text.data[i] == '\\') && (text.data[i + 1] | 0x20) == 'x')
        i += 2;
    if (text.len - i < 2 || !hex_read(byte, 1, (const char *)text.data + i))
        return false;
    *at = i + 2;
    return true;
}

/* One character or escape of a Python bytes literal. */
static bool read_python(uint8_t *byte, size_t *at, struct tw_span text)
{
    size_t i = *at;
    if (i >= text.len || text.data[i] < 0x20 || text.data[i] > 0x7e)
        return false;
    if (text.data[i] != '\\') {
        *byte = text.data[i];
        *at = i + 1;
        return true;
    }
    if (text.len - i < 2)
        return false;
    uint8_t c = text.data[i + 1];
    *at = i + 2;
    switch (c) {
    case 'n': *byte = '\n'; return true;
    case 'r': *byte = '\r'; return true;
    case 't': *byte = '\t'; return true;
    case '\\':
    case '\'':
    case '"': *byte = c; return true;
    case 'x':
        if (text.len - i < 4 || !hex_read(byte, 1, (const char *)text.data + i + 2))
            return false;
        *at = i + 4;
        return true;
    default: return false;
    }
}

static bool is_prefix(const uint8_t *p)
{
    return p[0] == 0 && p[1] == 0 && ((p[2] == 0x55 && p[3] == 0xaa) || (p[2] == 0x66 && p[3] == 0x99));
}

static size_t frame_size(const uint8_t *p)
{
    bool is_6699 = p[2] == 0x66;
    const uint8_t *l = p + (is_6699 ? HEADER_6699 : HEADER_55AA) - 4;
    size_t length = (size_t)l[0] << 24 | (size_t)l[1] << 16 | (size_t)l[2] << 8 | l[3];
    if (length > 65535)
        length = 0; /* the header alone shows what is wrong */
    return is_6699 ? HEADER_6699 + length + SUFFIX_LEN : HEADER_55AA + length;
}

/* The next line begins with a frame of its own: the end of this one is missing. */
static bool is_cut_here(size_t at, struct tw_span text)
{
    uint8_t p[PREFIX_LEN];
    size_t n = 0;
    bool is_new_line = false;
    for (; at < text.len && is_separator(text.data[at]); at++)
        is_new_line = is_new_line || text.data[at] == '\n';
    while (is_new_line && n < PREFIX_LEN && read_hex(p + n, &at, text))
        n++;
    return n == PREFIX_LEN && is_prefix(p);
}

/* Read on until out has size bytes, or there are no more. @return how many it has */
static size_t read_up_to(uint8_t *out, size_t n, size_t size, size_t *at, struct tw_span text, read_fn *read)
{
    while (n < size && !is_cut_here(*at, text) && read(out + n, at, text))
        n++;
    return n;
}

/* Read a frame that begins at text[*at] in this notation. 0 and *at unchanged if no prefix stands there. */
static size_t read_frame(uint8_t *out, size_t *at, struct tw_span text, read_fn *read)
{
    size_t i = *at, n = 0;
    while (n < PREFIX_LEN && read(out + n, &i, text))
        n++;
    if (n < PREFIX_LEN || !is_prefix(out))
        return 0;
    size_t header = out[2] == 0x66 ? HEADER_6699 : HEADER_55AA;
    n = read_up_to(out, n, header, &i, text, read);
    if (n == header)
        n = read_up_to(out, n, frame_size(out), &i, text, read);
    *at = i;
    return n;
}

size_t hexlog_next(uint8_t *out, size_t *pos, struct tw_span text)
{
    for (size_t at = *pos; at < text.len; at++) {
        uint8_t c = text.data[at];
        if (c != '0' && c != '\\')
            continue;
        size_t end = at;
        size_t n = read_frame(out, &end, text, c == '\\' ? read_python : read_hex);
        if (n == 0)
            continue;
        *pos = end;
        return n;
    }
    *pos = text.len;
    return 0;
}
