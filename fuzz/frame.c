/* frame.c - how the network cuts a stream must not change which frames are found in it.
 *
 * Reaches: tw_frame_parse(), tw_frame_crc_matches(), tw_frame_reframe(), tw_frame_write(), tw_frame_size().
 * Input: a context byte (version, direction, strictness, limit), then the stream. */
#include "common/fuzz.h"
#include <string.h>
#include "tuyawire/frame.h"

const struct fuzz_harness fuzz_harness = {
    .name = "frame",
    .claim = "any cut of the stream gives the same frames, and consumed bytes add up",
    .form = FUZZ_STREAM,
    .keys = FUZZ_KEYS_CONNECTION,
    .context_len = 1,
};

enum { CONTEXT_STRICT = 0x10, CONTEXT_SMALL_LIMIT = 0x20, CONTEXT_NO_LIMIT = 0x40, SMALL_LIMIT = 64 };

/* What a reader of the stream sees, folded into one number: order, kind, place and fields of every outcome. */
struct story {
    uint64_t fold;
    size_t at;      /* bytes consumed so far */
    size_t skipped; /* bytes without a prefix, not yet told: how many calls they took depends on the cut */
};

static void tell(struct story *s, uint64_t fact)
{
    s->fold = fuzz_rng_next(&(struct fuzz_rng){s->fold ^ fact});
}

static void tell_skipped(struct story *s)
{
    if (s->skipped == 0)
        return;
    tell(s, 0x5000000000000000u | s->skipped);
    s->skipped = 0;
}

static void tell_frame(struct story *s, const struct tw_frame *f)
{
    tell(s, ((uint64_t)f->seq << 32) | f->command);
    tell(s, ((uint64_t)f->envelope << 48) | ((uint64_t)f->integrity << 40) | (f->reserved[0] << 8u) | f->reserved[1]);
    tell(s, ((uint64_t)f->body.len << 32) | f->check.len);
    tell(s, tw_frame_crc_matches(f));
}

/* The fields of a frame account for every byte of it, in order. */
static void check_layout(const struct tw_frame *f, const uint8_t *front, size_t consumed)
{
    CHECK(f->raw.data == front && f->raw.len == consumed);
    const uint8_t *end = front + consumed - 4;
    CHECK(f->check.data + f->check.len == end);
    CHECK(f->body.data + f->body.len == f->check.data);
    if (f->envelope == TW_ENVELOPE_6699) {
        CHECK(f->integrity == TW_INTEGRITY_GCM && f->check.len == 16 && f->nonce.len == 12);
        CHECK(f->nonce.data == front + 18 && f->body.data == front + 30);
    } else {
        CHECK(f->check.len == (f->integrity == TW_INTEGRITY_HMAC ? 32u : 4u) && f->nonce.len == 0);
        CHECK(f->body.data == front + 16);
    }
    CHECK(tw_frame_size(f->integrity, f->body.len) == consumed);
}

/* Laid out again from its parts, a frame has the bytes it had. */
static void check_written_again(const struct tw_frame *f)
{
    uint8_t out[512];
    struct tw_frame w;
    if (f->raw.len > sizeof out)
        return;
    CHECK(tw_frame_write(&w, out, f->raw.len, f->integrity, f->seq, f->command, f->body.len) == TW_OK);
    CHECK(w.raw.len == f->raw.len && w.body.len == f->body.len && w.check.len == f->check.len);
    memcpy(out + (w.body.data - out), f->body.data, f->body.len);
    memcpy(out + (w.check.data - out), f->check.data, f->check.len);
    if (f->nonce.len > 0)
        memcpy(out + (w.nonce.data - out), f->nonce.data, f->nonce.len);
    if (f->envelope == TW_ENVELOPE_6699)
        memcpy(out + 4, f->reserved, 2);
    CHECK(memcmp(out, f->raw.data, f->raw.len) == 0);
    CHECK(tw_frame_write(&w, out, f->raw.len - 1, f->integrity, f->seq, f->command, f->body.len) == TW_E_CAPACITY);
}

/* Seen with another check value, the same bytes are divided differently, and back again. */
static void check_reframed(const struct tw_frame *f)
{
    struct tw_frame g = *f;
    enum tw_integrity other = f->integrity == TW_INTEGRITY_HMAC ? TW_INTEGRITY_CRC32 : TW_INTEGRITY_HMAC;
    int rc = tw_frame_reframe(&g, other);
    if (rc != TW_OK) {
        CHECK(rc == TW_E_LENGTH && g.integrity == f->integrity && g.check.data == f->check.data);
        return;
    }
    CHECK(f->envelope == TW_ENVELOPE_55AA && g.integrity == other && g.raw.len == f->raw.len);
    CHECK(g.body.len + g.check.len == f->body.len + f->check.len);
    CHECK(tw_frame_reframe(&g, f->integrity) == TW_OK);
    CHECK(g.body.len == f->body.len && g.check.data == f->check.data);
}

/* Take all outcomes that the first `end` bytes allow. close_looks: so many frames are looked at closely. */
static void read_to(struct story *s, const uint8_t *data, size_t end, const struct tw_frame_rules *rules,
                    unsigned close_looks)
{
    for (;;) {
        struct tw_frame f;
        size_t consumed = SIZE_MAX;
        int rc = tw_frame_parse(&f, &consumed, data + s->at, end - s->at, rules);
        if (rc == TW_NEED_MORE) {
            CHECK(consumed == 0);
            return;
        }
        CHECK(consumed > 0 && consumed <= end - s->at);
        if (rc == TW_E_PREFIX) {
            s->skipped += consumed;
            s->at += consumed;
            continue;
        }
        tell_skipped(s);
        tell(s, s->at);
        tell(s, (uint64_t)(uint32_t)rc << 32 | consumed);
        if (rc == TW_OK) {
            tell_frame(s, &f);
            if (close_looks > 0) {
                close_looks--;
                if (f.integrity == TW_INTEGRITY_CRC32)
                    fuzz_gate(tw_frame_crc_matches(&f));
                check_layout(&f, data + s->at, consumed);
                check_written_again(&f);
                check_reframed(&f);
            }
        } else {
            CHECK((rc == TW_E_LENGTH || rc == TW_E_TOO_LARGE || rc == TW_E_SUFFIX) && consumed == 4);
        }
        s->at += consumed;
    }
}

/* In one piece, or in pieces whose sizes follow from seed; bytes that have not arrived are hidden. */
static uint64_t story_of(const uint8_t *data, size_t size, const struct tw_frame_rules *rules, size_t piece_max,
                         uint64_t seed)
{
    struct story s = {0};
    struct fuzz_rng rng = {seed};
    fuzz_hide(data, size);
    for (size_t end = 0; end < size;) {
        size_t left = size - end, piece = 1 + fuzz_rng_below(&rng, piece_max);
        if (piece > left)
            piece = left;
        fuzz_show(data + end, piece);
        end += piece;
        read_to(&s, data, end, rules, 0);
    }
    tell_skipped(&s);
    tell(&s, s.at);
    return s.fold;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint64_t hash = fuzz_hash(data, size);
    uint8_t context = data[0];
    fuzz_gates.version = fuzz_context_version(context);
    struct tw_frame_rules rules = {
        .integrity = tw_version_traits((enum tw_version)fuzz_context_version(context))->integrity,
        .direction = context & FUZZ_CONTEXT_FROM_DEVICE ? TW_FROM_DEVICE : TW_TO_DEVICE,
        .strict = (context & CONTEXT_STRICT) != 0,
        .max_length = context & CONTEXT_SMALL_LIMIT ? SMALL_LIMIT
                      : context & CONTEXT_NO_LIMIT  ? SIZE_MAX
                                                    : 0,
    };
    data++, size--;

    struct story whole = {0};
    read_to(&whole, data, size, &rules, 2);
    tell_skipped(&whole);
    tell(&whole, whole.at);
    CHECK(whole.at <= size);

    /* Mostly a few large pieces, for speed; byte by byte for one input in sixty-four, and for the shortest. */
    bool byte_by_byte = size <= 32 || hash % 64 == 0;
    size_t piece_max = byte_by_byte ? 1 : size / 4 + 1;
    CHECK(story_of(data, size, &rules, piece_max, hash) == whole.fold);
    return 0;
}
