/* mutate_json.c - JSON changed as JSON; see mutate.h.
 *
 * It sees values, not a tree: the text is cut into values by their brackets, without recursion, and a change replaces
 * one run of bytes by another. What comes out is JSON most of the time, and something close to it otherwise. */
#include "mutate.h"
#include <string.h>

enum { VALUES_MAX = 128, PIECE_MAX = 4096 };

/* One value, or a member with its name, as a run of bytes. */
struct run {
    size_t at, len;
};

struct values {
    struct run values[VALUES_MAX], members[VALUES_MAX];
    size_t n_values, n_members;
};

static const char *const strange[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "0.1",
    "1e3",
    "1E-400",
    "1e400",
    "1.0",
    "10000000000000000000000.5",
    "01",
    "1.",
    "-",
    "+1",
    "\"\"",
    "\"a\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\\u00e9\"",
    "\"\xc3\xa9\"",
    "\"\xff\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\x\"",
    "\"1700000000\"",
    "\"fake0000000000000000id\"",
    "{}",
    "[]",
    "[null]",
    "[1,2,3]",
    "{\"1\":true}",
    "{\"1\":null,\"2\":null}",
    "{\"dps\":{\"1\":true}}",
    "[[[[[[[[]]]]]]]]",
    "tru",
    "{",
    "}",
    "NaN",
    "Infinity",
    "1 2",
    "\t\r\n 1 ",
    "\"\n\"",
};
static const char *const members[] = {
    "\"dps\":{\"1\":true}",
    "\"dps\":{\"9\":0,\"18\":512,\"19\":1084,\"20\":2301}",
    "\"data\":{\"dps\":{\"1\":false}}",
    "\"cid\":\"a4c1380000000001\"",
    "\"devId\":\"fake0000000000000000id\"",
    "\"gwId\":\"fake0000000000000000id\"",
    "\"uid\":\"fake0000000000000000id\"",
    "\"t\":1700000000",
    "\"t\":\"1700000000\"",
    "\"protocol\":4",
    "\"protocol\":5",
    "\"dpId\":[18,19,20]",
    "\"s\":8",
    "\"type\":\"query\"",
    "\"reqType\":\"subdev_online_stat_query\"",
    "\"\":0",
    "\"1\":true",
    "\"9\":60",
    "\"256\":1",
    "\"01\":1",
    "\"-1\":1",
    "\"4294967296\":1",
    "\"ip\":\"192.0.2.1\"",
    "\"version\":\"3.4\"",
    "\"productKey\":\"keyfake00000000\"",
    "\"uuid\":\"fake\"",
    "\"from\":\"app\"",
    "\"active\":2",
    "\"encrypt\":true",
    "\"local_key\":\"0123456789abcdef\"",
    "\"id\":\"fake0000000000000000id\"",
    "\"key\":\"0123456789abcdef\"",
    "\"name\":\"x\"",
    "\"mapping\":{}",
    "\"watts\":60.0",
    "\"ms\":1000",
    "\"data\":{\"cids\":[]}",
};
enum { N_STRANGE = sizeof strange / sizeof *strange, N_MEMBERS = sizeof members / sizeof *members };

static bool in_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+' ||
           c == '.';
}

/* Behind the string, number or word that begins at `at`. */
static size_t end_of_scalar(const uint8_t *data, size_t size, size_t at)
{
    size_t end = at;
    if (data[at] != '"') {
        while (end < size && in_word(data[end]))
            end++;
        return end;
    }
    for (end = at + 1; end < size && data[end] != '"'; end++)
        if (data[end] == '\\')
            end++;
    return end < size ? end + 1 : size;
}

/* Behind the bracket that closes the one at `at`; strings are passed over. */
static size_t end_of_group(const uint8_t *data, size_t size, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i < size;) {
        if (data[i] == '"') {
            i = end_of_scalar(data, size, i);
            continue;
        }
        if (data[i] == '{' || data[i] == '[')
            depth++;
        if ((data[i] == '}' || data[i] == ']') && --depth == 0)
            return i + 1;
        i++;
    }
    return size;
}

static void look(struct values *v, const uint8_t *data, size_t size)
{
    size_t name_at = SIZE_MAX, name_end = 0;
    v->n_values = v->n_members = 0;
    for (size_t i = 0; i < size && v->n_values < VALUES_MAX;) {
        bool group = data[i] == '{' || data[i] == '[';
        if (!group && data[i] != '"' && !in_word(data[i])) {
            i++;
            continue;
        }
        size_t end = group ? end_of_group(data, size, i) : end_of_scalar(data, size, i);
        if (!group && data[i] == '"' && end < size && data[end] == ':') {
            name_at = i;
            name_end = end + 1;
        } else if (name_at != SIZE_MAX && name_end == i) {
            v->members[v->n_members++] = (struct run){name_at, end - name_at};
            v->values[v->n_values++] = (struct run){i, end - i};
        } else {
            v->values[v->n_values++] = (struct run){i, end - i};
        }
        i = group ? i + 1 : end;
    }
}

/* Put n bytes in the place of a run. What does not fit leaves everything as it was. */
static size_t replace(uint8_t *data, size_t size, size_t max, struct run old, const void *bytes, size_t n)
{
    if (size - old.len + n > max)
        return size;
    memmove(data + old.at + n, data + old.at + old.len, size - old.at - old.len);
    memcpy(data + old.at, bytes, n);
    return size - old.len + n;
}

/* A run without the comma that would be left beside it. */
static struct run with_comma(const uint8_t *data, size_t size, struct run m)
{
    if (m.at + m.len < size && data[m.at + m.len] == ',')
        m.len++;
    else if (m.at > 0 && data[m.at - 1] == ',')
        m.at--, m.len++;
    return m;
}

static size_t insert_member(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r)
{
    size_t braces[64], n = 0;
    for (size_t i = 0; i < size && n < 64; i++)
        if (data[i] == '{')
            braces[n++] = i + 1;
    if (n == 0)
        return replace(data, size, max, (struct run){0, size}, "{\"dps\":{\"1\":true}}", 18);
    char text[128];
    const char *member = members[fuzz_rng_below(r, N_MEMBERS)];
    size_t len = strlen(member), at = braces[fuzz_rng_below(r, n)];
    memcpy(text, member, len);
    if (at < size && data[at] != '}')
        text[len++] = ',';
    return replace(data, size, max, (struct run){at, 0}, text, len);
}

/* [[[[ value ]]]] : the depth limit is 32. */
static size_t nest(uint8_t *data, size_t size, size_t max, struct run v, struct fuzz_rng *r)
{
    uint8_t piece[PIECE_MAX];
    size_t depth = fuzz_rng_below(r, 3) == 0 ? 28 + fuzz_rng_below(r, 8) : 1 + fuzz_rng_below(r, 3), n = 0;
    bool objects = fuzz_rng_below(r, 2) == 0;
    if (v.len + depth * 6 > PIECE_MAX)
        return size;
    for (size_t i = 0; i < depth; i++) {
        memcpy(piece + n, objects ? "{\"a\":" : "[", objects ? 5 : 1);
        n += objects ? 5 : 1;
    }
    memcpy(piece + n, data + v.at, v.len);
    n += v.len;
    memset(piece + n, objects ? '}' : ']', depth);
    return replace(data, size, max, v, piece, n + depth);
}

static size_t copy_run(uint8_t *data, size_t size, size_t max, struct run to, struct run from, bool comma)
{
    uint8_t piece[PIECE_MAX];
    if (from.len + 1 > PIECE_MAX)
        return size;
    memcpy(piece, data + from.at, from.len);
    if (comma)
        piece[from.len++] = ',';
    return replace(data, size, max, to, piece, from.len);
}

/* A digit more, less or other: stays a number. */
static size_t move_number(uint8_t *data, size_t size, size_t max, struct run v, struct fuzz_rng *r)
{
    uint8_t digit = (uint8_t)('0' + fuzz_rng_below(r, 10));
    size_t at = v.at + fuzz_rng_below(r, v.len);
    switch (fuzz_rng_below(r, 4)) {
    case 0: return replace(data, size, max, (struct run){at, 0}, &digit, 1);
    case 1: return replace(data, size, max, (struct run){at, v.len > 1}, "", 0);
    case 2: return replace(data, size, max, (struct run){v.at, 0}, "-", 1);
    default: return replace(data, size, max, (struct run){at, 1}, &digit, 1);
    }
}

/* see mutate.h */
size_t mutate_json(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r)
{
    struct values v;
    look(&v, data, size);
    if (v.n_values == 0 || fuzz_rng_below(r, 12) == 0)
        return fuzz_rng_below(r, 2) == 0 ? LLVMFuzzerMutate(data, size, max) : insert_member(data, size, max, r);
    struct run one = v.values[fuzz_rng_below(r, v.n_values)], other = v.values[fuzz_rng_below(r, v.n_values)];
    switch (fuzz_rng_below(r, 11)) {
    case 0:
    case 1: {
        const char *text = strange[fuzz_rng_below(r, N_STRANGE)];
        return replace(data, size, max, one, text, strlen(text));
    }
    case 2: return copy_run(data, size, max, one, other, false);
    case 3: return nest(data, size, max, one, r);
    case 4: return insert_member(data, size, max, r);
    case 5:
        if (v.n_members == 0)
            return insert_member(data, size, max, r);
        return replace(data, size, max, with_comma(data, size, v.members[fuzz_rng_below(r, v.n_members)]), "", 0);
    case 6: {
        if (v.n_members == 0)
            return insert_member(data, size, max, r);
        struct run m = v.members[fuzz_rng_below(r, v.n_members)];
        size_t before = v.members[fuzz_rng_below(r, v.n_members)].at;
        return copy_run(data, size, max, (struct run){before, 0}, m, true);
    }
    case 7:
        if (one.len > 0 && (data[one.at] == '-' || (data[one.at] >= '0' && data[one.at] <= '9')))
            return move_number(data, size, max, one, r);
        return copy_run(data, size, max, (struct run){one.at, 0}, other, true);
    case 8: {
        /* inside a value: blanks, escapes, cut texts */
        static const char *const bits[] = {" ", "\\", "\"", "\\u0041", "\\ud83d", ",", ":", "\x80", "0", "{", "]"};
        const char *bit = bits[fuzz_rng_below(r, sizeof bits / sizeof *bits)];
        return replace(data, size, max, (struct run){one.at + fuzz_rng_below(r, one.len + 1), 0}, bit, strlen(bit));
    }
    case 9: { /* longer than what somebody had in mind */
        uint8_t more[1 << 9];
        size_t n = (size_t)1 << fuzz_rng_below(r, 10);
        memset(more, data[one.at] == '"' ? 'a' : '1', n);
        return replace(data, size, max, (struct run){one.at + (one.len > 1), 0}, more, n);
    }
    default: {
        size_t room = one.len + (max - size), n = one.len < PIECE_MAX ? one.len : PIECE_MAX;
        uint8_t piece[PIECE_MAX];
        memcpy(piece, data + one.at, n);
        n = LLVMFuzzerMutate(piece, n, room < PIECE_MAX ? room : PIECE_MAX);
        return replace(data, size, max, one, piece, n);
    }
    }
}

/* see mutate.h */
size_t cross_json(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                  struct fuzz_rng *r)
{
    struct values va, vb;
    if (a_size > max)
        a_size = max;
    memcpy(out, a, a_size);
    look(&va, a, a_size);
    look(&vb, b, b_size);
    if (va.n_members > 0 && vb.n_members > 0 && fuzz_rng_below(r, 2) == 0) {
        struct run m = vb.members[fuzz_rng_below(r, vb.n_members)];
        uint8_t piece[PIECE_MAX];
        if (m.len + 1 > PIECE_MAX)
            return a_size;
        memcpy(piece, b + m.at, m.len);
        piece[m.len] = ',';
        struct run place = {va.members[fuzz_rng_below(r, va.n_members)].at, 0};
        return replace(out, a_size, max, place, piece, m.len + 1);
    }
    if (va.n_values == 0 || vb.n_values == 0)
        return a_size;
    struct run from = vb.values[fuzz_rng_below(r, vb.n_values)];
    return replace(out, a_size, max, va.values[fuzz_rng_below(r, va.n_values)], b + from.at, from.len);
}
