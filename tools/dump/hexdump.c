/* hexdump.c - see hexdump.h. */
#include "hexdump.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "common/hex.h"

enum {
    OFFSET_MIN = 4, /* digits: Wireshark; od has 6, xxd and hexdump 8 */
    OFFSET_MAX = 8,
    WIDTH_MAX = 64,
    MIDDLE = 8, /* bytes before a wider gap */
};

struct line {
    size_t begin, bytes, end; /* places: of the line, of what follows the offset, of the line break */
    uint32_t offset;
    bool colon; /* behind the offset */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static size_t skip_blanks(const char *text, size_t at, size_t end)
{
    while (at < end && is_blank(text[at]))
        at++;
    return at;
}

static bool read_byte(uint8_t *byte, const char *text, size_t at, size_t end)
{
    return end - at >= 2 && hex_read(byte, 1, text + at);
}

/* The line that begins at text[at]; false: it does not begin with an offset, and behind it a byte or, as the last line of
 * some dumps, nothing. Its end is always told. */
static bool read_line(struct line *l, const char *text, size_t at, size_t len)
{
    const char *line_break = at < len ? memchr(text + at, '\n', len - at) : NULL;
    *l = (struct line){.begin = at, .end = line_break != NULL ? (size_t)(line_break - text) : len};
    size_t i = skip_blanks(text, at, l->end);
    uint8_t byte;
    if (l->end - i >= 2 && text[i] == '0' && text[i + 1] == 'x')
        i += 2;
    size_t first = i;
    for (; i - first < OFFSET_MAX && read_byte(&byte, text, i, l->end); i += 2)
        l->offset = l->offset << 8 | byte;
    if (i - first < OFFSET_MIN)
        return false;
    l->colon = i < l->end && text[i] == ':';
    i += l->colon;
    l->bytes = skip_blanks(text, i, l->end);
    return l->bytes == l->end || (l->bytes > i && read_byte(&byte, text, l->bytes, l->end));
}

/* "0000 55aa ..": what looks like the offset is the beginning of a frame. */
static bool is_prefix(const struct line *l, const char *text)
{
    uint8_t p[2];
    size_t at = l->bytes;
    for (size_t i = 0; i < sizeof p; i++, at = skip_blanks(text, at + 2, l->end))
        if (!read_byte(&p[i], text, at, l->end))
            return false;
    return l->offset == 0 && ((p[0] == 0x55 && p[1] == 0xaa) || (p[0] == 0x66 && p[1] == 0x99));
}

/* Step over at most `most` bytes from text[*at]. @return how many */
static size_t skip_bytes(size_t *at, const char *text, size_t end, size_t most)
{
    size_t n = 0;
    uint8_t byte;
    for (size_t i = *at; n < most && read_byte(&byte, text, i, end); i = skip_blanks(text, i, end)) {
        if (n > 0 && i - *at > (n == MIDDLE ? 2 : 1))
            break; /* what stands behind such a gap are characters */
        *at = i += 2;
        n++;
    }
    return n;
}

/* The next offset tells how many bytes a line has, so that characters which look like digits are none. 0: it does not. */
static size_t told_bytes(const struct line *l, const struct line *next, bool next_is_dump)
{
    bool told = next_is_dump && next->offset > l->offset && next->offset - l->offset <= WIDTH_MAX;
    return told ? next->offset - l->offset : 0;
}

void hexdump_strip(char *text, size_t len)
{
    size_t next_offset = 0, width = WIDTH_MAX; /* next_offset: 0 outside of a dump */
    struct line l, next;
    bool is_dump = read_line(&l, text, 0, len), next_is_dump;
    for (; l.begin < len; l = next, is_dump = next_is_dump) {
        next_is_dump = read_line(&next, text, l.end < len ? l.end + 1 : len, len);
        size_t told = told_bytes(&l, &next, next_is_dump), after = l.bytes;
        bool goes_on = is_dump && next_offset > 0 && l.offset == next_offset;
        bool begins = is_dump && l.offset == 0 && l.bytes < l.end && (told > 0 || l.colon) && !is_prefix(&l, text);
        next_offset = 0;
        if (!goes_on && !begins)
            continue;
        size_t n = skip_bytes(&after, text, l.end, told > 0 ? told : begins ? WIDTH_MAX : width);
        if (begins && told > 0 && n != told)
            continue;
        memset(text + l.begin, ' ', l.bytes - l.begin);
        memset(text + after, ' ', l.end - after);
        next_offset = l.offset + n;
        width = begins ? n : width;
    }
}
