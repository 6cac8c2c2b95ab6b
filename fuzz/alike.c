/* alike.c - a pcapng passes by with all its interfaces alike, and every packet keeps its link type, whatever the pieces.
 *
 * Reaches: alike_pass() in tools/dump/alike.c. Input: two bytes that say how large the pieces are, then a capture. */
#include "alike.h"
#include "common/fuzz.h"
#include <string.h>

const struct fuzz_harness fuzz_harness = {
    .name = "alike",
    .claim = "the interfaces of a pcapng come out alike and its packets as they were, whatever the pieces",
    .form = FUZZ_TEXT,
    .context_len = 2,
};

enum {
    LEN_MAX = 1 << 16,
    KNOWN_MAX = 64,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET_OLD = 2,
    BLOCK_SIMPLE = 3,
    BLOCK_ENHANCED = 6
};

/* What came out, and for every byte of it the link type of its run. */
struct passed {
    size_t len;
    bool stopped; /* at something that does not pass */
    uint8_t bytes[LEN_MAX];
    uint16_t link_types[LEN_MAX];
};
static struct passed whole, pieces;

static void pass(struct passed *out, const uint8_t *data, size_t size, size_t in_max, size_t out_max)
{
    struct alike a = {0};
    size_t given = 0;
    out->len = 0;
    for (;;) {
        size_t room = LEN_MAX - out->len < out_max ? LEN_MAX - out->len : out_max;
        if (room < ALIKE_ROOM_MIN)
            break;
        size_t n = alike_pass(&a, out->bytes + out->len, room, data + out->len, given - out->len, given == size);
        CHECK(n <= room && n <= given - out->len);
        for (size_t i = 0; i < n; i++)
            out->link_types[out->len + i] = a.link_type;
        out->len += n;
        if (n == 0 && given == size)
            break;
        if (n == 0)
            given = size - given < in_max ? size : given + in_max;
    }
    out->stopped = a.error != NULL;
    CHECK(out->stopped || out->len == size);
}

static uint32_t get(const uint8_t *p, unsigned n, bool big_endian)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value = value << 8 | p[big_endian ? i : n - 1 - i];
    return value;
}

/* Walks the blocks as libpcap would. @return interfaces there are */
static size_t check_blocks(const struct passed *p, const uint8_t *data)
{
    static const uint8_t section[4] = {0x0a, 0x0d, 0x0d, 0x0a}, big[4] = {0x1a, 0x2b, 0x3c, 0x4d};
    size_t n = 0, at = 0, n_known = 0;
    uint32_t link_type = 0, known[KNOWN_MAX]; /* link types of this section, as they were */
    bool big_endian = false;
    while (p->len - at >= 16) {
        const uint8_t *b = p->bytes + at;
        if (memcmp(b, section, 4) == 0)
            big_endian = memcmp(b + 8, big, 4) == 0, n_known = 0;
        size_t size = get(b + 4, 4, big_endian);
        if (size < 12)
            break;
        bool is_interface = get(b, 4, big_endian) == BLOCK_INTERFACE && size >= 16;
        if (is_interface && n++ == 0)
            link_type = get(b + 8, 2, big_endian);
        if (is_interface && n_known < KNOWN_MAX)
            known[n_known++] = get(data + at + 8, 2, big_endian);
        if (is_interface)
            CHECK(get(b + 8, 2, big_endian) == link_type && get(b + 12, 4, big_endian) == 0);
        uint32_t type = get(b, 4, big_endian);
        bool is_simple = type == BLOCK_SIMPLE && size >= 16;
        size_t left = p->len - at, kept = is_interface ? 16 : is_simple ? 12 : 0;
        size = size < left ? size : left;
        if (type == BLOCK_PACKET_OLD || type == BLOCK_SIMPLE ||
            type == BLOCK_ENHANCED) { /* of others it says nothing */
            size_t of = type == BLOCK_SIMPLE ? 0 : get(b + 8, type == BLOCK_ENHANCED ? 4 : 2, big_endian);
            CHECK(n_known == KNOWN_MAX || p->link_types[at] == (of < n_known ? known[of] : link_type));
            CHECK(memcmp(whole.link_types + at, pieces.link_types + at, size * sizeof *whole.link_types) == 0);
        }
        CHECK(size <= kept || memcmp(b + kept, data + at + kept, size - kept) == 0);
        CHECK(kept == 0 || memcmp(b, data + at, 8) == 0);
        CHECK(!is_simple || get(b + 8, 4, big_endian) <= get(data + at + 8, 4, big_endian));
        at += size;
    }
    CHECK(memcmp(p->bytes + at, data + at, p->len - at) == 0);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size - 2 > LEN_MAX - ALIKE_ROOM_MIN)
        return 0;
    size_t in_max = 1 + data[0] % 64, out_max = ALIKE_ROOM_MIN + data[1] % 64;
    data += 2;
    size -= 2;
    pass(&whole, data, size, size, LEN_MAX);
    pass(&pieces, data, size, in_max, out_max);
    CHECK(whole.len == pieces.len && whole.stopped == pieces.stopped);
    CHECK(memcmp(whole.bytes, pieces.bytes, whole.len) == 0);
    fuzz_gate(check_blocks(&whole, data) > 0);
    return 0;
}
