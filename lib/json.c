/* json.c - reading JSON in place: the scanner, values, escapes. Contracts: tuyawire/dps.h and json.h.
 *
 * The grammar is RFC 8259's, the UTF-8 is RFC 3629's. */
#include "json.h"
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The scanner's steps take a place and the end of the text and return the place behind what they step over, or NULL
 * where the text is not JSON. */
typedef const uint8_t *place;

static inline bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What stands behind blanks, -1 at the end; *p moves there. */
static inline int token(place *p, place end)
{
    for (; *p < end; ++*p)
        if (**p > ' ' || !is_blank(**p)) /* mostly there are no blanks */
            return **p;
    return -1;
}

static inline place skip_blanks(place p, place end)
{
    token(&p, end);
    return p;
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

/* n_plain(): how many of the STEP bytes at p stand for themselves in a string, counted up to the first that does not:
 * one beyond ASCII, below a blank, a quote or a backslash. */
#if defined(__SSE2__)
enum { STEP = 16 };

static inline size_t n_plain(place p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    __m128i low = _mm_cmplt_epi8(x, _mm_set1_epi8(' ')); /* signed: bytes beyond ASCII are below, too */
    __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8('"')), backslash = _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'));
    unsigned culprits = (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, backslash)));
    return culprits == 0 ? STEP : (size_t)__builtin_ctz(culprits);
}
#else
enum { STEP = 8 };

/* Eight bytes as a number, the first one lowest, whatever the machine's order. */
static inline uint64_t load_le64(place p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

/* Each term sets the high bit of such a byte; the borrow of a subtraction can only blame bytes behind the first
 * culprit, which are not looked at. */
static inline size_t n_plain(place p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t x = load_le64(p), quote = x ^ ones * '"', backslash = x ^ ones * '\\';
    uint64_t culprits = (x | (x - ones * ' ') | (quote - ones) | (backslash - ones)) & highs;
    size_t n = 0;
    for (; n < STEP && (culprits & 0xFF) == 0; culprits >>= 8)
        n++;
    return n;
}
#endif

static inline bool is_plain(uint8_t c)
{
    return c >= ' ' && c < 0x80 && c != '"' && c != '\\';
}

/* The inside of a string and its closing quote. */
static inline place skip_string(place p, place end)
{
    for (;;) {
        if (end - p >= STEP) {
            size_t n = n_plain(p);
            p += n;
            if (n == STEP)
                continue;
        } else {
            while (p < end && is_plain(*p))
                p++;
            if (p == end)
                return NULL;
        }
        if (*p == '"')
            return p + 1;
        size_t step = *p == '\\' ? escape_len(p, end) : utf8_len(p, end); /* 0 for a control character, too */
        if (step == 0)
            return NULL;
        p += step;
    }
}

/* The name of a member and its colon; *quote is where the name's closing quote stands. */
static inline place skip_name(place p, place end, place *quote)
{
    if (p == end || *p != '"' || (p = skip_string(p + 1, end)) == NULL)
        return NULL;
    *quote = p - 1;
    return token(&p, end) == ':' ? skip_blanks(p + 1, end) : NULL;
}

/* ------ values ------ */

static inline place skip_digits(place p, place end)
{
    while (p < end && (uint8_t)(*p - '0') <= 9)
        p++;
    return p;
}

static inline place skip_number(place p, place end)
{
    if (p < end && *p == '-')
        p++;
    place digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1))
        return NULL;
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    return p;
}

static inline place skip_word(place p, place end, const char *word, size_t len)
{
    return (size_t)(end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

/* A value that is neither object nor array. */
static inline place skip_scalar(place p, place end)
{
    switch (p < end ? *p : 0) {
    case '"': return skip_string(p + 1, end);
    case 't': return skip_word(p, end, "true", 4);
    case 'f': return skip_word(p, end, "false", 5);
    case 'n': return skip_word(p, end, "null", 4);
    default: return skip_number(p, end);
    }
}

/* A value however deep, levels objects and arrays already around it. */
static place skip_value(place p, place end, unsigned levels)
{
    unsigned depth = levels;
    uint32_t objects = 0; /* a bit for each level opened here, the innermost lowest: 1 object, 0 array */
    place quote;
    for (;;) {
        /* A value begins. */
        if (p < end && (*p == '{' || *p == '[')) {
            bool object = *p++ == '{';
            if (depth == TW_JSON_DEPTH_MAX)
                return NULL;
            if (token(&p, end) == (object ? '}' : ']')) {
                p++;
            } else {
                depth++;
                objects = objects << 1 | object;
                if (object && (p = skip_name(p, end, &quote)) == NULL)
                    return NULL;
                continue;
            }
        } else if ((p = skip_scalar(p, end)) == NULL) {
            return NULL;
        }
        /* A value has ended, and with it the levels that close now, until a comma promises another value. */
        for (;; p++, depth--, objects >>= 1) {
            if (depth == levels)
                return p;
            int c = token(&p, end);
            if (c == ',')
                break;
            if (c != (objects & 1 ? '}' : ']'))
                return NULL;
        }
        p = skip_blanks(p + 1, end);
        if (objects & 1 && (p = skip_name(p, end, &quote)) == NULL)
            return NULL;
    }
}

/* ------ the scanner as its users see it ------ */

/* see json.h */
struct tw__scan tw__scan_begin(struct tw_span text)
{
    /* NULL plus 0 would be undefined; an empty span may be NULL. */
    static const uint8_t nothing[1];
    place p = text.len > 0 ? text.data : nothing;
    return (struct tw__scan){p, p + text.len};
}

/* see json.h */
int tw__scan_peek(struct tw__scan *s)
{
    s->p = skip_blanks(s->p, s->end);
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

/* see json.h */
bool tw__scan_name(struct tw__scan *s, struct tw_span *name)
{
    place quote, start = skip_blanks(s->p, s->end), p = skip_name(start, s->end, &quote);
    if (p == NULL)
        return false;
    *name = (struct tw_span){start + 1, (size_t)(quote - start - 1)};
    s->p = p;
    return true;
}

/* see json.h */
bool tw__scan_value(struct tw__scan *s, struct tw_span *text, unsigned levels)
{
    place start = skip_blanks(s->p, s->end), p = skip_value(start, s->end, levels);
    if (p == NULL)
        return false;
    *text = (struct tw_span){start, (size_t)(p - start)};
    s->p = p;
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
    bool negative = text.data[0] == '-';
    if (text.len > 19 + (size_t)negative) /* 19 digits always fit the unsigned number below */
        return false;
    uint64_t n = 0;
    for (size_t i = negative; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9)
            return false;
        n = n * 10 + digit;
    }
    if (negative ? n == 0 || n > (uint64_t)INT64_MAX + 1 : n > INT64_MAX)
        return false;
    *out = !negative ? (int64_t)n : -(int64_t)(n - 1) - 1;
    return true;
}

/* see json.h */
void tw__json_value(struct tw_value *out, struct tw_span text)
{
    out->type = TW_VALUE_NULL;
    out->boolean = false;
    out->integer = 0;
    out->text = text;
    switch (text.data[0]) {
    case 'n': break;
    case 't':
    case 'f':
        out->type = TW_VALUE_BOOL;
        out->boolean = text.data[0] == 't';
        break;
    case '"': out->type = TW_VALUE_STRING; break;
    case '{': out->type = TW_VALUE_OBJECT; break;
    case '[': out->type = TW_VALUE_ARRAY; break;
    default: out->type = read_integer(&out->integer, text) ? TW_VALUE_INTEGER : TW_VALUE_NUMBER; break;
    }
}

/* see tuyawire/dps.h */
int tw_json_value(struct tw_value *out, struct tw_span text)
{
    struct tw__scan s = tw__scan_begin(text);
    struct tw_span value;
    if (!tw__scan_value(&s, &value, 0) || tw__scan_peek(&s) != -1)
        return TW_E_JSON;
    tw__json_value(out, value);
    return TW_OK;
}

/* ------ steps ------ */

/* What stands around the items of an object or array that is stepped through: at least itself. The text was measured
 * as part of its body already; here the limit only keeps the bits of skip_value() within their word. */
enum { LEVELS_OF_A_STEP = 1 };

/* The place of the next item: behind what opens the object or array, or behind the comma; NULL if there is none. */
static inline place next_item(struct tw_span s, size_t pos, char open)
{
    if (pos >= s.len)
        return NULL;
    place end = s.data + s.len, p = skip_blanks(s.data + pos, end);
    return p < end && *p == (pos == 0 ? open : ',') ? skip_blanks(p + 1, end) : NULL;
}

/* see json.h */
bool tw__json_step(struct tw_span *name, struct tw_span *value, size_t *pos, struct tw_span object)
{
    place quote, from, to, start = next_item(object, *pos, '{');
    if (start == NULL)
        return false;
    place end = object.data + object.len;
    if ((from = skip_name(start, end, &quote)) == NULL || (to = skip_value(from, end, LEVELS_OF_A_STEP)) == NULL)
        return false;
    *name = (struct tw_span){start + 1, (size_t)(quote - start - 1)};
    *value = (struct tw_span){from, (size_t)(to - from)};
    *pos = (size_t)(to - object.data);
    return true;
}

/* see tuyawire/dps.h */
int tw_json_next_member(struct tw_span *name, struct tw_value *value, size_t *pos, struct tw_span object)
{
    struct tw_span text;
    if (!tw__json_step(name, &text, pos, object))
        return 0;
    tw__json_value(value, text);
    return 1;
}

/* see tuyawire/dps.h */
int tw_json_next_element(struct tw_value *value, size_t *pos, struct tw_span array)
{
    place to, from = next_item(array, *pos, '[');
    if (from == NULL || (to = skip_value(from, array.data + array.len, LEVELS_OF_A_STEP)) == NULL)
        return 0;
    tw__json_value(value, (struct tw_span){from, (size_t)(to - from)});
    *pos = (size_t)(to - array.data);
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
