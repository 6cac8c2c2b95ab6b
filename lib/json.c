/* json.c - reading JSON in place: the scanner, values, escapes. Contracts: tuyawire/dps.h and json.h.
 *
 * The grammar is RFC 8259's, the UTF-8 is RFC 3629's. */
#include "json.h"
#include <string.h>

/* see json.h */
struct tw__scan tw__scan_begin(struct tw_span text)
{
    /* NULL plus 0 would be undefined; an empty span may be NULL. */
    static const uint8_t nothing[1];
    const uint8_t *p = text.len > 0 ? text.data : nothing;
    return (struct tw__scan){p, p + text.len};
}

static void scan_blanks(struct tw__scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

/* see json.h */
int tw__scan_peek(struct tw__scan *s)
{
    if (s->p<s->end && * s->p> ' ')
        return *s->p;
    scan_blanks(s);
    return s->p < s->end ? *s->p : -1;
}

/* see json.h */
bool tw__scan_take(struct tw__scan *s, char c)
{
    if (tw__scan_peek(s) != (uint8_t)c)
        return false;
    s->p++;
    return true;
}

/* ------ strings ------ */

/* Bytes of the UTF-8 sequence at p, 2 to 4; 0 if there is none: cut off, overlong, a surrogate, above U+10FFFF. */
static size_t utf8_len(const uint8_t *p, const uint8_t *end)
{
    /* By lead byte: length, and the range of the second byte, which is where overlong forms and surrogates show. */
    size_t len;
    uint8_t low = 0x80, high = 0xBF;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        len = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        len = 3;
        low = p[0] == 0xE0 ? 0xA0 : 0x80;
        high = p[0] == 0xED ? 0x9F : 0xBF;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        len = 4;
        low = p[0] == 0xF0 ? 0x90 : 0x80;
        high = p[0] == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if ((size_t)(end - p) < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

/* The number in the four hexadecimal digits at p; -1 if there are none. */
static int32_t hex_u16(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 4)
        return -1;
    int32_t n = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        n = n * 16 + digit;
    }
    return n;
}

/* Bytes of the escape at p, which is a backslash; 0 if it is none. */
static size_t escape_len(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 2)
        return 0;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return 2;
    case 'u': return hex_u16(p + 2, end) >= 0 ? 6 : 0;
    default: return 0;
    }
}

/* Are all eight bytes ASCII that stands for itself in a string? Each term leaves a high bit for a byte that is not:
 * beyond ASCII, below a blank, a quote, a backslash. (A borrow may blame a neighbour too; the caller then looks at
 * single bytes.) */
static bool eight_plain(const uint8_t *p)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t x;
    memcpy(&x, p, sizeof x);
    uint64_t quote = x ^ ones * '"', backslash = x ^ ones * '\\';
    return ((x | (x - ones * ' ') | (quote - ones) | (backslash - ones)) & highs) == 0;
}

/* Step over the inside of a string and its closing quote. */
static bool scan_string_rest(struct tw__scan *s)
{
    const uint8_t *p = s->p, *end = s->end;
    for (;;) {
        while (end - p >= 8 && eight_plain(p))
            p += 8;
        /* Single bytes as long as they are ordinary. */
        while (p < end && *p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\')
            p++;
        if (p == end || *p < ' ')
            return false;
        if (*p == '"') {
            s->p = p + 1;
            return true;
        }
        size_t step = *p == '\\' ? escape_len(p, end) : utf8_len(p, end);
        if (step == 0)
            return false;
        p += step;
    }
}

/* see json.h */
bool tw__scan_name(struct tw__scan *s, struct tw_span *name)
{
    if (!tw__scan_take(s, '"'))
        return false;
    const uint8_t *start = s->p;
    if (!scan_string_rest(s))
        return false;
    *name = (struct tw_span){start, (size_t)(s->p - 1 - start)};
    return tw__scan_take(s, ':');
}

/* ------ values ------ */

static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static bool scan_number(struct tw__scan *s)
{
    const uint8_t *p = s->p, *end = s->end;
    if (p < end && *p == '-')
        p++;
    const uint8_t *digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1))
        return false;
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return false;
    }
    s->p = p;
    return true;
}

static bool scan_word(struct tw__scan *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return false;
    s->p += len;
    return true;
}

/* Step over the value that begins with c and is neither object nor array. */
static bool scan_scalar(struct tw__scan *s, int c)
{
    switch (c) {
    case '"': s->p++; return scan_string_rest(s);
    case 't': return scan_word(s, "true", 4);
    case 'f': return scan_word(s, "false", 5);
    case 'n': return scan_word(s, "null", 4);
    default: return scan_number(s);
    }
}

/* Step over the value at s, however deep it is. */
static bool scan_nested(struct tw__scan *s, unsigned levels)
{
    unsigned depth = levels;
    uint32_t objects = 0; /* a bit for each level opened here, the innermost lowest: 1 object, 0 array */
    struct tw_span name;
    for (;;) {
        /* A value begins. */
        int c = tw__scan_peek(s);
        if (c == '{' || c == '[') {
            if (depth == TW_JSON_DEPTH_MAX)
                return false;
            s->p++;
            if (!tw__scan_take(s, c == '{' ? '}' : ']')) {
                depth++;
                objects = objects << 1 | (c == '{');
                if (c == '{' && !tw__scan_name(s, &name))
                    return false;
                continue;
            }
        } else if (!scan_scalar(s, c)) {
            return false;
        }
        /* A value has ended, and with it the levels that close now, until a comma promises another value. */
        while (depth > levels && !tw__scan_take(s, ',')) {
            if (!tw__scan_take(s, objects & 1 ? '}' : ']'))
                return false;
            depth--;
            objects >>= 1;
        }
        if (depth == levels)
            return true;
        if (objects & 1 && !tw__scan_name(s, &name))
            return false;
    }
}

/* see json.h */
bool tw__scan_value(struct tw__scan *s, struct tw_span *text, unsigned levels)
{
    tw__scan_peek(s);
    struct tw__scan inner = *s;
    if (!scan_nested(&inner, levels))
        return false;
    *text = (struct tw_span){s->p, (size_t)(inner.p - s->p)};
    s->p = inner.p;
    return true;
}

/* see tuyawire/dps.h */
int tw_json_check(struct tw_span text)
{
    struct tw__scan s = tw__scan_begin(text);
    struct tw_span value;
    return tw__scan_value(&s, &value, 0) && tw__scan_peek(&s) == -1 ? TW_OK : TW_E_JSON;
}

/* Is this number an integer of 64 bits? "-0" is not: its sign would be lost. */
static bool read_integer(int64_t *out, struct tw_span text)
{
    size_t i = text.data[0] == '-';
    bool negative = i == 1;
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t n = 0;
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || n > (limit - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (negative && n == 0)
        return false;
    *out = !negative ? (int64_t)n : n > INT64_MAX ? INT64_MIN : -(int64_t)n;
    return true;
}

/* see json.h */
struct tw_value tw__json_value(struct tw_span text)
{
    struct tw_value v = {TW_VALUE_NULL, false, 0, text};
    switch (text.len > 0 ? text.data[0] : 'n') {
    case 'n': break;
    case 't':
    case 'f':
        v.type = TW_VALUE_BOOL;
        v.boolean = text.data[0] == 't';
        break;
    case '"': v.type = TW_VALUE_STRING; break;
    case '{': v.type = TW_VALUE_OBJECT; break;
    case '[': v.type = TW_VALUE_ARRAY; break;
    default: v.type = read_integer(&v.integer, text) ? TW_VALUE_INTEGER : TW_VALUE_NUMBER; break;
    }
    return v;
}

/* ------ steps ------ */

/* What stands around the members of an object that is stepped through: at least itself. The text was measured as
 * part of its body already; here the limit only keeps the bit stack within bounds. */
enum { LEVELS_OF_A_STEP = 1 };

/* Go to the next item of the object or array, over what opens it or the comma. False: there is none. */
static bool scan_item(struct tw__scan *s, size_t pos, char open)
{
    s->p += pos;
    return tw__scan_take(s, pos == 0 ? open : ',');
}

/* see tuyawire/dps.h */
int tw_json_next_member(struct tw_span *name, struct tw_value *value, size_t *pos, struct tw_span object)
{
    struct tw__scan s = tw__scan_begin(object);
    const uint8_t *start = s.p;
    struct tw_span n, text;
    if (*pos > object.len || !scan_item(&s, *pos, '{') || !tw__scan_name(&s, &n) ||
        !tw__scan_value(&s, &text, LEVELS_OF_A_STEP))
        return 0;
    *pos = (size_t)(s.p - start);
    *name = n;
    *value = tw__json_value(text);
    return 1;
}

/* see tuyawire/dps.h */
int tw_json_next_element(struct tw_value *value, size_t *pos, struct tw_span array)
{
    struct tw__scan s = tw__scan_begin(array);
    const uint8_t *start = s.p;
    struct tw_span text;
    if (*pos > array.len || !scan_item(&s, *pos, '[') || !tw__scan_value(&s, &text, LEVELS_OF_A_STEP))
        return 0;
    *pos = (size_t)(s.p - start);
    *value = tw__json_value(text);
    return 1;
}

/* see json.h */
bool tw__decimal_u32(uint32_t *out, struct tw_span text)
{
    if (text.len == 0 || text.len > 10 || (text.data[0] == '0' && text.len > 1))
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9)
            return false;
        n = n * 10 + digit;
    }
    if (n > UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

/* ------ escapes ------ */

/* The code point that the escape at *p stands for, a pair of surrogates taken together; *p moves behind it. -1: not
 * an escape, or half a pair. */
static int32_t read_escape(const uint8_t **p, const uint8_t *end)
{
    size_t len = escape_len(*p, end);
    if (len == 0)
        return -1;
    const uint8_t *at = *p;
    *p += len;
    switch (at[1]) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': break;
    default: return at[1];
    }
    int32_t unit = hex_u16(at + 2, end);
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    if (unit > 0xDBFF || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return -1;
    int32_t low = hex_u16(*p + 2, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    *p += 6;
    return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
}

/* The UTF-8 of a code point; its size. */
static size_t write_utf8(uint8_t out[4], int32_t code)
{
    uint32_t c = (uint32_t)code;
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[len] | c);
    return len;
}

/* see tuyawire/dps.h */
int tw_json_string(char *out, size_t cap, size_t *len, struct tw_span text)
{
    struct tw__scan s = tw__scan_begin(text);
    if (text.len >= 2 && s.p[0] == '"' && s.end[-1] == '"') {
        s.p++;
        s.end--;
    }
    size_t n = 0;
    while (s.p < s.end) {
        uint8_t utf8[4];
        const uint8_t *from = s.p;
        size_t step;
        if (*s.p == '\\') {
            int32_t code = read_escape(&s.p, s.end);
            if (code < 0)
                return TW_E_JSON;
            step = write_utf8(utf8, code);
            from = utf8;
        } else {
            step = *s.p >= 0x80 ? utf8_len(s.p, s.end) : (size_t)(*s.p >= ' ' && *s.p != '"');
            if (step == 0)
                return TW_E_JSON;
            s.p += step;
        }
        if (cap - n < step)
            return TW_E_CAPACITY;
        memcpy(out + n, from, step);
        n += step;
    }
    *len = n;
    return TW_OK;
}
