/* frame.c - the two Tuya LAN envelopes; layouts and sources are in tuyawire/frame.h. */
#include "tuyawire/frame.h"
#include <string.h>
#include "bytes.h"
#include "internal.h"

enum { PREFIX_LEN = 4, SUFFIX_LEN = 4, CRC_LEN = 4, RETCODE_LEN = 4, HEADER_55AA = 16, HEADER_6699 = 18 }; /* bytes */
enum { FIELDS_LEN = 12 }; /* the last bytes of either header: seq, command, length */

/* What differs between the kinds of frames is data, so the parser below is one path. */
static const struct layout {
    uint32_t prefix, suffix;
    size_t header_len, nonce_len, check_len;
    size_t counted_suffix; /* bytes of suffix that the length field includes */
    size_t min_length;     /* of an empty body; a clear return code of a device comes on top */
    size_t clear_retcode;
    enum tw_envelope envelope;
} layouts[] = {
    [TW_INTEGRITY_CRC32] = {0x000055AA, 0x0000AA55, HEADER_55AA, 0, CRC_LEN, SUFFIX_LEN, 8, RETCODE_LEN,
                            TW_ENVELOPE_55AA},
    [TW_INTEGRITY_HMAC] = {0x000055AA, 0x0000AA55, HEADER_55AA, 0, TW_HMAC_LEN, SUFFIX_LEN, 36, RETCODE_LEN,
                           TW_ENVELOPE_55AA},
    [TW_INTEGRITY_GCM] = {0x00006699, 0x00009966, HEADER_6699, TW_NONCE_LEN, TW_TAG_LEN, 0, 28, 0, TW_ENVELOPE_6699},
};

/* Do the first bytes, as far as there are any, fit either prefix? */
static bool begins_prefix(const uint8_t *p, size_t len)
{
    static const uint8_t prefixes[2][PREFIX_LEN] = {{0x00, 0x00, 0x55, 0xAA}, {0x00, 0x00, 0x66, 0x99}};
    if (len >= PREFIX_LEN) {
        uint32_t prefix = load_be32(p);
        return prefix == layouts[TW_INTEGRITY_CRC32].prefix || prefix == layouts[TW_INTEGRITY_GCM].prefix;
    }
    return memcmp(p, prefixes[0], len) == 0 || memcmp(p, prefixes[1], len) == 0;
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
        if (begins_prefix(zero, len - i))
            return i;
        i++;
    }
    return len;
}

/* The kind that the prefix tells; from a prefix that is cut off, either will do to ask for more. */
static enum tw_integrity kind_of(const uint8_t *buf, size_t len, const struct tw_frame_rules *rules)
{
    if (len >= PREFIX_LEN && load_be32(buf) == layouts[TW_INTEGRITY_GCM].prefix)
        return TW_INTEGRITY_GCM;
    return rules->integrity == TW_INTEGRITY_HMAC ? TW_INTEGRITY_HMAC : TW_INTEGRITY_CRC32;
}

static size_t min_length(const struct layout *lay, const struct tw_frame_rules *rules)
{
    return rules->strict && rules->direction == TW_FROM_DEVICE ? lay->min_length + lay->clear_retcode
                                                               : lay->min_length;
}

/* see tuyawire/frame.h */
int tw_frame_parse(struct tw_frame *out, size_t *consumed, const uint8_t *buf, size_t len,
                   const struct tw_frame_rules *rules)
{
    static const struct tw_frame_rules default_rules = {0};
    if (rules == NULL)
        rules = &default_rules;
    size_t limit = rules->max_length != 0 ? rules->max_length : TW_FRAME_LENGTH_DEFAULT;
    if (limit > TW_FRAME_LENGTH_MAX) /* or a length near 2^32 and its suffix would wrap where size_t has 32 bits */
        limit = TW_FRAME_LENGTH_MAX;

    *consumed = 0;
    if (len == 0)
        return TW_NEED_MORE;
    if (!begins_prefix(buf, len)) {
        *consumed = skip_to_prefix(buf, len);
        return TW_E_PREFIX;
    }

    enum tw_integrity integrity = kind_of(buf, len, rules);
    const struct layout *lay = &layouts[integrity];
    struct cursor c = {buf, len, false};
    struct tw_span header = cursor_take(&c, lay->header_len);
    if (c.ran_out)
        return TW_NEED_MORE;
    const uint8_t *fields = header.data + lay->header_len - FIELDS_LEN;
    size_t length = load_be32(fields + 8);

    /* Refuse before believing: an absurd length would hold the stream at TW_NEED_MORE for ever. */
    if (length < min_length(lay, rules) || length > limit) {
        *consumed = PREFIX_LEN;
        return length > limit ? TW_E_TOO_LARGE : TW_E_LENGTH;
    }
    struct tw_span rest = cursor_take(&c, length + SUFFIX_LEN - lay->counted_suffix);
    if (c.ran_out)
        return TW_NEED_MORE;
    const uint8_t *suffix = rest.data + rest.len - SUFFIX_LEN, *check = suffix - lay->check_len;
    if (load_be32(suffix) != lay->suffix) {
        *consumed = PREFIX_LEN;
        return TW_E_SUFFIX;
    }
    const uint8_t *body = rest.data + lay->nonce_len;
    *consumed = header.len + rest.len;
    *out = (struct tw_frame){
        .envelope = lay->envelope,
        .integrity = integrity,
        .reserved = {integrity == TW_INTEGRITY_GCM ? buf[4] : 0, integrity == TW_INTEGRITY_GCM ? buf[5] : 0},
        .seq = load_be32(fields),
        .command = load_be32(fields + 4),
        .raw = {buf, *consumed},
        .nonce = {rest.data, lay->nonce_len},
        .body = {body, (size_t)(check - body)},
        .check = {check, lay->check_len},
    };
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
    size_t fixed = lay->min_length;
    if (body_len > TW_FRAME_LENGTH_MAX - fixed)
        return TW_E_TOO_LARGE;
    size_t size = tw_frame_size(integrity, body_len);
    if (cap < size)
        return TW_E_CAPACITY;

    uint8_t *fields = out + lay->header_len - FIELDS_LEN, *body = out + lay->header_len + lay->nonce_len;
    store_be32(out + PREFIX_LEN, 0); /* the reserved bytes of 6699; seq of 55AA is written over it */
    store_be32(out, lay->prefix);
    store_be32(fields, seq);
    store_be32(fields + 4, command);
    store_be32(fields + 8, (uint32_t)(fixed + body_len));
    store_be32(out + size - SUFFIX_LEN, lay->suffix);

    *out_f = (struct tw_frame){
        .envelope = lay->envelope,
        .integrity = integrity,
        .reserved = {0, 0},
        .seq = seq,
        .command = command,
        .raw = {out, size},
        .nonce = {out + lay->header_len, lay->nonce_len},
        .body = {body, body_len},
        .check = {body + body_len, lay->check_len},
    };
    return TW_OK;
}
