/* record.c - one message as one line of JSON; see common/record.h.
 *
 * record_size_max() is an upper bound of every member, so the writer below needs no check per byte. What the bound
 * counts and what the writer writes stand side by side in this file for that reason. */
#include "common/record.h"
#include <stdlib.h>
#include <string.h>
#include "common/hex.h"
#include "common/utf8.h"
#include "tuyawire/command.h"
#include "tuyawire/dps.h"
#include "tuyawire/error.h"

enum {
    FIXED_TEXT = 56, /* bytes that every fixed text takes, of which some are overwritten by what follows */
    FIXED_MAX =
        720, /* names, numbers (at most 20 digits each), enum texts and the version of a header, and the padding of a fixed text */
    ESCAPED_MAX = 6, /* one byte becomes at most \u00xx */
};

/* see common/record.h */
void record_init(struct record *r)
{
    const struct tw_span none = {NULL, 0};
    /* Field by field: a wipe of the whole costs more than a line's worth of numbers. */
    r->time_ns = r->flow = 0;
    r->src = r->dst = r->detail = NULL;
    r->dir = RECORD_DIR_UNKNOWN;
    r->device = none;
    r->name = none;
    r->where = none;
    r->payload = none;
    r->version = r->framing = -1;
    r->seq = r->cmd = r->retcode = -1;
    r->integrity = RECORD_UNCHECKED;
    r->key = RECORD_KEY_NONE;
    r->has_header = r->payload_is_json = false;
    r->error = TW_OK;
}

void record_set_frame(struct record *r, const struct tw_frame *f)
{
    r->framing = (int)f->envelope;
    r->seq = f->seq;
    r->cmd = f->command;
}

void record_set_message(struct record *r, const struct tw_message *m)
{
    r->version = (int)m->version;
    r->dir = m->direction == TW_TO_DEVICE ? RECORD_TO_DEVICE : RECORD_FROM_DEVICE;
    r->seq = m->seq;
    r->cmd = m->command;
    r->retcode = m->has_retcode ? (int64_t)tw_retcode(m->retcode) : -1;
    r->has_header = m->has_header;
    if (m->has_header)
        r->header = m->header;
    r->payload = m->payload;
}

static size_t text_len(const char *s)
{
    return s == NULL ? 0 : strlen(s);
}

size_t record_size_max(const struct record *r)
{
    size_t texts = text_len(r->detail) + r->payload.len;
    if (r->where.len == 0)
        texts += text_len(r->src) + text_len(r->dst) + r->device.len + r->name.len;
    return FIXED_MAX + r->where.len + ESCAPED_MAX * texts;
}

/* --- writing --- */

#define PUT(p, literal) (memcpy((p), (literal), sizeof(literal) - 1), (p) + sizeof(literal) - 1)

static char *put_text(char *p, const char *s)
{
    size_t len = strlen(s);
    memcpy(p, s, len);
    return p + len;
}

/* Two digits at a time: division is what numbers cost. */
static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
    "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
    "9899";

static char *put_pair(char *p, unsigned n)
{
    p[0] = pairs[2 * n];
    p[1] = pairs[2 * n + 1];
    return p + 2;
}

static char *put_small(char *p, unsigned n)
{
    if (n >= 10)
        return put_pair(p, n);
    *p = (char)('0' + n);
    return p + 1;
}

static char *put_number(char *p, uint64_t n)
{
    if (n < 100)
        return put_small(p, (unsigned)n);
    if (n < 10000)
        return put_pair(put_small(p, (unsigned)n / 100), (unsigned)n % 100);
    char digits[20];
    size_t at = sizeof digits;
    for (; n >= 100; n /= 100)
        put_pair(digits + (at -= 2), (unsigned)(n % 100));
    p = put_small(p, (unsigned)n);
    memcpy(p, digits + at, sizeof digits - at);
    return p + sizeof digits - at;
}

static char *put_number_or_null(char *p, int64_t n)
{
    return n < 0 ? PUT(p, "null") : put_number(p, (uint64_t)n);
}

/* Exactly six digits. */
static char *put_six(char *p, uint32_t n)
{
    return put_pair(put_pair(put_pair(p, n / 10000), n / 100 % 100), n % 100);
}

static char *put_time(char *p, uint64_t ns)
{
    uint64_t us = ns / 1000, s = us / 1000000;
    if (s < 1000000000 || s > 9999999999)
        p = put_number(p, s);
    else
        p = put_six(put_number(p, s / 1000000), (uint32_t)(s % 1000000));
    *p++ = '.';
    return put_six(p, (uint32_t)(us % 1000000));
}

static char *put_escape(char *p, uint8_t c)
{
    switch (c) {
    case '"': return PUT(p, "\\\"");
    case '\\': return PUT(p, "\\\\");
    case '\n': return PUT(p, "\\n");
    case '\r': return PUT(p, "\\r");
    case '\t': return PUT(p, "\\t");
    default: p = PUT(p, "\\u00"); return hex_write(p, &c, 1);
    }
}

/* Characters that stand for themselves in a JSON string. */
static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* A JSON string; a byte that is no UTF-8 becomes U+FFFD (3 bytes). */
static char *put_string(char *p, struct tw_span s)
{
    *p++ = '"';
    for (size_t i = 0; i < s.len;) {
        uint8_t c = s.data[i];
        if (is_plain(c)) { /* nearly all of them */
            *p++ = (char)c;
            i++;
            continue;
        }
        size_t n = c < 0x80 ? 1 : utf8_len(s.data + i, s.len - i);
        if (n == 0) {
            p = PUT(p, "\xEF\xBF\xBD");
            i++;
        } else if (n == 1 || utf8_json_control(s.data + i, n) != 0) {
            p = put_escape(p, s.data[i + n - 1]);
            i += n;
        } else {
            memcpy(p, s.data + i, n);
            p += n;
            i += n;
        }
    }
    *p++ = '"';
    return p;
}

static char *put_string_or_null(char *p, const char *s)
{
    return s == NULL ? PUT(p, "null") : put_string(p, (struct tw_span){(const uint8_t *)s, strlen(s)});
}

/* JSON as it is, on one line: a line break between tokens becomes a blank; inside strings there is none. What a terminal
 * would act on stands only in strings, and is escaped. */
static char *put_json(char *p, struct tw_span json)
{
    static const uint8_t rare[] = {'\n', '\r', 0x7F, 0xC2};
    bool is_rare = false;
    for (size_t i = 0; i < sizeof rare && !is_rare; i++)
        is_rare = memchr(json.data, rare[i], json.len) != NULL;
    if (!is_rare) {
        memcpy(p, json.data, json.len);
        return p + json.len;
    }
    for (size_t i = 0, n; i < json.len; i += n) {
        uint8_t c = json.data[i];
        n = utf8_json_control(json.data + i, json.len - i);
        if (n > 0)
            p = put_escape(p, json.data[i + n - 1]);
        else
            *p++ = c == '\n' || c == '\r' ? ' ' : (char)c;
        n = n > 0 ? n : 1;
    }
    return p;
}

static struct tw_span without_trailing_nul(struct tw_span s)
{
    while (s.len > 0 && s.data[s.len - 1] == 0)
        s.len--;
    return s;
}

static bool is_json_object(const struct record *r, struct tw_span text)
{
    if (r->payload_is_json)
        return true;
    size_t i = 0;
    while (i < text.len &&
           (text.data[i] == ' ' || text.data[i] == '\n' || text.data[i] == '\r' || text.data[i] == '\t'))
        i++;
    return i < text.len && text.data[i] == '{' && tw_json_check(text) == TW_OK;
}

/* "payload", "text" and "hex": at most one of them is not null. */
static char *put_payload(char *p, const struct record *r)
{
    struct tw_span text = without_trailing_nul(r->payload);
    if (r->payload.len == 0)
        return PUT(p, ",\"payload\":null,\"text\":null,\"hex\":null");
    if (text.len > 0 && is_json_object(r, text)) {
        p = PUT(p, ",\"payload\":");
        p = put_json(p, text);
        return PUT(p, ",\"text\":null,\"hex\":null");
    }
    if (utf8_check(r->payload)) {
        p = PUT(p, ",\"payload\":null,\"text\":");
        p = put_string(p, r->payload);
        return PUT(p, ",\"hex\":null");
    }
    p = PUT(p, ",\"payload\":null,\"text\":null,\"hex\":\"");
    p = hex_write(p, r->payload.data, r->payload.len);
    return PUT(p, "\"");
}

static char *put_header(char *p, const struct record *r)
{
    if (!r->has_header)
        return PUT(p, "null");
    p = PUT(p, "{\"crc\":");
    p = put_number(p, r->header.check);
    p = PUT(p, ",\"seq\":");
    p = put_number(p, r->header.counter);
    p = PUT(p, ",\"source\":");
    p = put_number(p, r->header.source);
    return PUT(p, "}");
}

/* Texts that are copied whole, padding and all: a copy of constant size costs a few instructions. */
struct fixed {
    char text[FIXED_TEXT];
    uint8_t len;
};
#define FIXED(literal)                                                                                               \
    {                                                                                                                \
        literal, sizeof(literal) - 1                                                                                 \
    }

static const struct fixed dirs[] = {FIXED("null"), FIXED("\"to_device\""), FIXED("\"from_device\""),
                                    FIXED("\"broadcast\"")};
static const struct fixed framings[] = {FIXED(",\"framing\":null,\"seq\":"), FIXED(",\"framing\":\"55aa\",\"seq\":"),
                                        FIXED(",\"framing\":\"6699\",\"seq\":")};
/* clang-format off */
#define WITH_KEYS(i)                                                                                                 \
    {FIXED(",\"integrity\":\"" i "\",\"key\":\"none\",\"header\":"), FIXED(",\"integrity\":\"" i "\",\"key\":\"local\",\"header\":"), \
     FIXED(",\"integrity\":\"" i "\",\"key\":\"session\",\"header\":"), FIXED(",\"integrity\":\"" i "\",\"key\":\"discovery\",\"header\":")}
/* clang-format on */
static const struct fixed integrities[][4] = {WITH_KEYS("unchecked"), WITH_KEYS("ok"), WITH_KEYS("bad")};
#undef WITH_KEYS
#define X(name, value) [value] = FIXED(",\"cmd_name\":\"" #name "\",\"retcode\":"),
static const struct fixed commands[] = {TW_COMMAND_LIST(X)};
#undef X
static const struct fixed no_command = FIXED(",\"cmd_name\":null,\"retcode\":");

static char *put_fixed(char *p, const struct fixed *f)
{
    memcpy(p, f->text, sizeof f->text);
    return p + f->len;
}

/* Names of commands and errors are plain words. */
static char *put_name_or_null(char *p, const char *name)
{
    if (name == NULL)
        return PUT(p, "null");
    *p++ = '"';
    p = put_text(p, name);
    *p++ = '"';
    return p;
}

static char *put_command(char *p, int64_t cmd)
{
    p = PUT(p, ",\"cmd\":");
    p = put_number_or_null(p, cmd);
    bool has_name = cmd >= 0 && cmd < (int64_t)(sizeof commands / sizeof *commands) && commands[cmd].len > 0;
    return put_fixed(p, has_name ? &commands[cmd] : &no_command);
}

static char *put_where(char *p, const struct record *r)
{
    p = PUT(p, ",\"flow\":");
    p = put_number(p, r->flow);
    p = PUT(p, ",\"src\":");
    p = put_string_or_null(p, r->src);
    p = PUT(p, ",\"dst\":");
    p = put_string_or_null(p, r->dst);
    p = PUT(p, ",\"dir\":");
    p = put_fixed(p, &dirs[r->dir]);
    p = PUT(p, ",\"device\":");
    p = r->device.len == 0 ? PUT(p, "null") : put_string(p, r->device);
    if (r->name.len > 0) {
        p = PUT(p, ",\"name\":");
        p = put_string(p, r->name);
    }
    p = PUT(p, ",\"version\":");
    return put_name_or_null(p, r->version < 0 ? NULL : tw_version_name((enum tw_version)r->version));
}

/* see common/record.h */
size_t record_where(char *out, size_t cap, const struct record *r)
{
    if (cap < record_size_max(r))
        return 0;
    return (size_t)(put_where(out, r) - out);
}

static char *put_end(char *p, const struct record *r)
{
    if (r->error == TW_OK && r->detail == NULL)
        return PUT(p, ",\"error\":null,\"detail\":null}\n");
    p = PUT(p, ",\"error\":");
    p = put_name_or_null(p, r->error == TW_OK ? NULL : tw_error_name(r->error));
    p = PUT(p, ",\"detail\":");
    p = put_string_or_null(p, r->detail);
    return PUT(p, "}\n");
}

/* see common/record.h */
size_t record_write(char *out, size_t cap, const struct record *r)
{
    if (cap < record_size_max(r))
        return 0;
    char *p = PUT(out, "{\"time\":");
    p = put_time(p, r->time_ns);
    if (r->where.len > 0) {
        memcpy(p, r->where.data, r->where.len);
        p += r->where.len;
    } else {
        p = put_where(p, r);
    }
    p = put_fixed(p, &framings[r->framing + 1]);
    p = put_number_or_null(p, r->seq);
    p = put_command(p, r->cmd);
    p = put_number_or_null(p, r->retcode);
    p = put_fixed(p, &integrities[r->integrity][r->key]);
    p = put_header(p, r);
    p = put_payload(p, r);
    return (size_t)(put_end(p, r) - out);
}

int record_append(struct record_buffer *b, const struct record *r)
{
    size_t need = record_size_max(r);
    if (b->cap - b->len < need) {
        size_t cap = (b->cap + need) * 2;
        char *data = realloc(b->data, cap);
        if (data == NULL)
            return -1;
        b->data = data;
        b->cap = cap;
    }
    b->len += record_write(b->data + b->len, b->cap - b->len, r);
    return 0;
}
