/* frame.c - the two Tuya LAN envelopes; layouts and sources are in tuyawire/frame.h. */
#include "tuyawire/frame.h"
#include <string.h>
#include "bytes.h"
#include "internal.h"

enum { PREFIX_LEN = 4, SUFFIX_LEN = 4, CRC_LEN = 4, RETCODE_LEN = 4, HEADER_55AA = 16, HEADER_6699 = 18 }; /* bytes */

/* What differs between the kinds of frames is data, so the parser below is one path. */
static const struct layout {
    uint32_t prefix, suffix;
    size_t reserved_len, header_len, nonce_len, check_len;
    size_t counted_suffix;  /* bytes of suffix that the length field includes */
    size_t min_from_device; /* bytes that the length of a device's frame has beyond the minimum: a clear return code */
} layouts[] = {
    [TW_INTEGRITY_CRC32] = {0x000055AA, 0x0000AA55, 0, HEADER_55AA, 0, CRC_LEN, SUFFIX_LEN, RETCODE_LEN},
    [TW_INTEGRITY_HMAC] = {0x000055AA, 0x0000AA55, 0, HEADER_55AA, 0, TW_HMAC_LEN, SUFFIX_LEN, RETCODE_LEN},
    [TW_INTEGRITY_GCM] = {0x00006699, 0x00009966, 2, HEADER_6699, TW_NONCE_LEN, TW_TAG_LEN, 0, 0},
};

/* Do the first n (at most 4) bytes fit either prefix? */
static bool begins_prefix(const uint8_t *p, size_t n)
{
    static const uint8_t prefixes[2][PREFIX_LEN] = {{0x00, 0x00, 0x55, 0xAA}, {0x00, 0x00, 0x66, 0x99}};
    return memcmp(p, prefixes[0], n) == 0 || memcmp(p, prefixes[1], n) == 0;
}

/* Bytes from the front of buf, at least one, up to the next place where a prefix stands or is cut off by the end. */
static size_t skip_to_prefix(const uint8_t *buf, size_t len)
{
    size_t i = 1;
    while (i < len) {
        const uint8_t *zero = memchr(buf + i, 0, len - i);
        if (zero == NULL)
            return len;
        i = (size_t)(zero - buf);
        if (begins_prefix(zero, len - i < PREFIX_LEN ? len - i : PREFIX_LEN))
            return i;
        i++;
    }
    return len;
}

static enum tw_integrity kind_of(uint32_t prefix, const struct tw_frame_rules *rules)
{
    if (prefix == layouts[TW_INTEGRITY_GCM].prefix)
        return TW_INTEGRITY_GCM;
    return rules->integrity == TW_INTEGRITY_HMAC ? TW_INTEGRITY_HMAC : TW_INTEGRITY_CRC32;
}

static size_t min_length(const struct layout *lay, const struct tw_frame_rules *rules)
{
    size_t n = lay->nonce_len + lay->check_len + lay->counted_suffix;
    return rules->strict && rules->direction == TW_FROM_DEVICE ? n + lay->min_from_device : n;
}

/* see tuyawire/frame.h */
int tw_frame_parse(struct tw_frame *out, size_t *consumed, const uint8_t *buf, size_t len,
                   const struct tw_frame_rules *rules)
{
    static const struct tw_frame_rules default_rules = {0};
    if (rules == NULL)
        rules = &default_rules;
    size_t limit = rules->max_length != 0 ? rules->max_length : TW_FRAME_LENGTH_DEFAULT;

    *consumed = 0;
    if (len == 0)
        return TW_NEED_MORE;
    if (!begins_prefix(buf, len < PREFIX_LEN ? len : PREFIX_LEN)) {
        *consumed = skip_to_prefix(buf, len);
        return TW_E_PREFIX;
    }

    struct cursor c = {buf, len, false};
    struct tw_frame f = {0};
    f.integrity = kind_of(cursor_be32(&c), rules);
    const struct layout *lay = &layouts[f.integrity];
    f.envelope = f.integrity == TW_INTEGRITY_GCM ? TW_ENVELOPE_6699 : TW_ENVELOPE_55AA;
    struct tw_span reserved = cursor_take(&c, lay->reserved_len);
    f.seq = cursor_be32(&c);
    f.command = cursor_be32(&c);
    size_t length = cursor_be32(&c);
    if (c.ran_out)
        return TW_NEED_MORE;
    if (reserved.len > 0)
        memcpy(f.reserved, reserved.data, sizeof f.reserved);

    /* Refuse before believing: an absurd length would hold the stream at TW_NEED_MORE for ever. */
    if (length < min_length(lay, rules) || length > limit) {
        *consumed = PREFIX_LEN;
        return length > limit ? TW_E_TOO_LARGE : TW_E_LENGTH;
    }
    f.nonce = cursor_take(&c, lay->nonce_len);
    f.body = cursor_take(&c, length - lay->nonce_len - lay->check_len - lay->counted_suffix);
    f.check = cursor_take(&c, lay->check_len);
    uint32_t suffix = cursor_be32(&c);
    if (c.ran_out)
        return TW_NEED_MORE;
    if (suffix != lay->suffix) {
        *consumed = PREFIX_LEN;
        return TW_E_SUFFIX;
    }
    *consumed = len - c.left;
    f.raw = (struct tw_span){buf, *consumed};
    *out = f;
    return TW_OK;
}

/* see tuyawire/frame.h */
bool tw_frame_crc_matches(const struct tw_frame *f)
{
    if (f->integrity != TW_INTEGRITY_CRC32)
        return false;
    return tw__crc32(f->raw.data, f->raw.len - SUFFIX_LEN - CRC_LEN) == load_be32(f->check.data);
}

/* see tuyawire/frame.h */
int tw_frame_reframe(struct tw_frame *f, enum tw_integrity integrity)
{
    if (f->envelope != TW_ENVELOPE_55AA || integrity == TW_INTEGRITY_GCM)
        return TW_E_LENGTH;
    const struct layout *lay = &layouts[integrity];
    size_t fixed = HEADER_55AA + lay->check_len + SUFFIX_LEN;
    if (f->raw.len < fixed)
        return TW_E_LENGTH;
    f->integrity = integrity;
    f->body.len = f->raw.len - fixed;
    f->check = (struct tw_span){f->body.data + f->body.len, lay->check_len};
    return TW_OK;
}

/* see tuyawire/frame.h */
size_t tw_frame_size(enum tw_integrity integrity, size_t body_len)
{
    const struct layout *lay = &layouts[integrity];
    return lay->header_len + lay->nonce_len + body_len + lay->check_len + SUFFIX_LEN;
}

/* see tuyawire/frame.h */
int tw_frame_write(struct tw_frame *out_f, uint8_t *out, size_t cap, enum tw_integrity integrity, uint32_t seq,
                   uint32_t command, size_t body_len)
{
    const struct layout *lay = &layouts[integrity];
    size_t fixed = lay->nonce_len + lay->check_len + lay->counted_suffix;
    if (body_len > TW_FRAME_LENGTH_MAX - fixed)
        return TW_E_TOO_LARGE;
    size_t size = tw_frame_size(integrity, body_len);
    if (cap < size)
        return TW_E_CAPACITY;

    uint8_t *p = out;
    store_be32(p, lay->prefix);
    p += PREFIX_LEN;
    memset(p, 0, lay->reserved_len);
    p += lay->reserved_len;
    store_be32(p, seq);
    store_be32(p + 4, command);
    store_be32(p + 8, (uint32_t)(fixed + body_len));
    p += 12;
    store_be32(out + size - SUFFIX_LEN, lay->suffix);

    *out_f = (struct tw_frame){
        .envelope = integrity == TW_INTEGRITY_GCM ? TW_ENVELOPE_6699 : TW_ENVELOPE_55AA,
        .integrity = integrity,
        .seq = seq,
        .command = command,
        .raw = {out, size},
        .nonce = {p, lay->nonce_len},
        .body = {p + lay->nonce_len, body_len},
        .check = {p + lay->nonce_len + body_len, lay->check_len},
    };
    return TW_OK;
}
