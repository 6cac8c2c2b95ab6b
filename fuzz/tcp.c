/* tcp.c - whatever order segments come in, the bytes handed on are those that were sent, and holes are told.
 *
 * Reaches: tcp_push(), tcp_finish() and friends in tools/dump/tcp.c. Input: a tape; TO and FROM hold segments of 6
 * bytes: flags, offset in the stream 2, length 2, acknowledgement (as a lead over what was sent), on the connection of
 * their record; TIME is as many seconds as its first byte says, and one. What was sent is a fixed sequence, so every byte
 * that comes out can be checked. The context chooses where sequence numbers begin, so that they wrap. */
#include "common/fuzz.h"
#include <string.h>
#include "common/tape.h"
#include "tcp.h"

const struct fuzz_harness fuzz_harness = {
    .name = "tcp",
    .claim = "bytes come out as they were sent, in order, once, with every hole told",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { STREAM_LEN = 1 << 17, SEGMENT_LEN = 6, SEGMENTS_MAX = 512 };
enum { TELLING = 7 }; /* bytes: so many hold a whole word of what was sent, which says where it stands */
static uint8_t sent[2][STREAM_LEN];
static const uint32_t first_seq[] = {0, 1, 0xffffff00u, 0x7fffffffu};

/* One flow; a port that is used again makes another. */
struct listener {
    bool open;
    uint64_t at[2]; /* place in the stream, from the first byte that came out */
    bool started[2];
};
static struct listener listeners[SEGMENTS_MAX];
static size_t n_listeners, n_open;

/* What was sent are words of four bytes: their number in seven bits each, the highest bit on the first. Every word of
 * either direction is another one. */
static void write_streams(void)
{
    for (size_t way = 0; way < 2; way++)
        for (size_t i = 0; i < STREAM_LEN; i += 4) {
            uint8_t *word = sent[way] + i;
            size_t n = i / 4;
            word[0] = (uint8_t)(0x80 | way << 6 | (n >> 14));
            word[1] = n >> 7 & 0x7f;
            word[2] = n & 0x7f;
            word[3] = n * 37 >> 3 & 0x7f;
        }
}

/* Where bytes stand in the stream, by their first whole word. */
static size_t place_of(struct tw_span bytes)
{
    size_t first = 0;
    while (first < 4 && !(bytes.data[first] & 0x80))
        first++;
    CHECK(first < 4);
    const uint8_t *word = bytes.data + first;
    size_t at = ((size_t)(word[0] & 0x3f) << 14 | (size_t)word[1] << 7 | word[2]) * 4;
    CHECK(at >= first);
    return at - first;
}

/* A capture may begin anywhere: its first bytes tell where. From then on nothing may be out of place. */
static void data(void *ctx, struct tcp_flow *f, int side, struct tw_span bytes, uint64_t time_ns)
{
    struct listener *l = f->user;
    (void)ctx;
    (void)time_ns;
    CHECK(l->open && (side == 0 || side == 1) && bytes.len > 0);
    int way = f->side[side].port == 6668;
    if (!l->started[way]) {
        if (bytes.len < TELLING) /* a start in the middle: where, the next longer run tells */
            return;
        l->started[way] = true;
        l->at[way] = place_of(bytes);
    }
    CHECK(l->at[way] + bytes.len <= STREAM_LEN);
    fuzz_gate(true);
    CHECK(memcmp(sent[way] + l->at[way], bytes.data, bytes.len) == 0);
    l->at[way] += bytes.len;
}

static void begin(void *ctx, struct tcp_flow *f)
{
    (void)ctx;
    CHECK(n_listeners < SEGMENTS_MAX && f->number >= 1);
    f->user = &listeners[n_listeners++];
    *(struct listener *)f->user = (struct listener){.open = true};
    n_open++;
}

static void gap(void *ctx, struct tcp_flow *f, int side, uint64_t missing, uint64_t time_ns)
{
    struct listener *l = f->user;
    (void)ctx;
    (void)time_ns;
    int way = f->side[side].port == 6668;
    CHECK(l->open);
    l->started[way] = l->started[way] && missing > 0;
    l->at[way] += missing;
}

static void end(void *ctx, struct tcp_flow *f, int side, uint64_t time_ns)
{
    (void)ctx;
    (void)time_ns;
    CHECK(((struct listener *)f->user)->open && (side == 0 || side == 1));
}

static void closed(void *ctx, struct tcp_flow *f, uint64_t time_ns)
{
    (void)ctx;
    (void)time_ns;
    CHECK(((struct listener *)f->user)->open);
    ((struct listener *)f->user)->open = false;
    n_open--;
}

static void capped(void *ctx, struct tcp_flow *f, enum tcp_cap cap)
{
    (void)ctx;
    (void)f;
    (void)cap;
}

static void push(struct tcp_table *table, const uint8_t *p, int way, unsigned connection, uint32_t base, uint64_t now)
{
    uint16_t port = (uint16_t)(51234 + connection);
    struct ip_packet ip = {.protocol = 6};
    size_t offset = (size_t)p[1] << 8 | p[2], len = (size_t)p[3] << 8 | p[4];
    if (len > STREAM_LEN - offset)
        len = STREAM_LEN - offset;
    ip.src.version = ip.dst.version = 4;
    memcpy(ip.src.bytes, way ? "\xc0\x00\x02\x09" : "\xc0\x00\x02\x05", 4);
    memcpy(ip.dst.bytes, way ? "\xc0\x00\x02\x05" : "\xc0\x00\x02\x09", 4);
    uint8_t flags = p[0] & (TCP_SYN | TCP_FIN | TCP_RST) && p[0] & 0x08 ? p[0] & 7 : 0; /* rare on purpose */
    struct segment s = {.src_port = way ? 6668 : port,
                        .dst_port = way ? port : 6668,
                        .seq = base + (uint32_t)offset,
                        .ack = base + (uint32_t)p[5] * 256,
                        .flags = (uint8_t)(flags | TCP_ACK),
                        .data = {sent[way] + offset, len}};
    if (flags & TCP_SYN)
        s.seq--;
    tcp_push(table, &ip, &s, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 1)
        return 0;
    if (sent[0][0] == 0)
        write_streams();
    n_listeners = n_open = 0;
    const struct tcp_sink sink = {NULL, begin, data, gap, end, closed, capped};
    const struct tcp_limits limits = {.per_flow = 16384, .total = 131072};
    struct tcp_table *table = tcp_table_new(&sink, &limits);
    CHECK(table != NULL);
    struct tape tape = {input + 1, size - 1, 0};
    struct tape_record t;
    uint64_t now = 0;
    for (int n = 0; tape_next(&t, &tape);) {
        if (t.operation == TAPE_TIME)
            tcp_tick(table, now += 1000000000ull * (1u + (t.len > 0 ? t.data[0] : 0)));
        if (t.operation != TAPE_TO && t.operation != TAPE_FROM)
            continue;
        for (size_t at = 0; at + SEGMENT_LEN <= t.len && n < SEGMENTS_MAX; at += SEGMENT_LEN, n++)
            push(table, t.data + at, t.operation == TAPE_FROM, t.connection, first_seq[input[0] % 4], now += 1000000);
        CHECK(tcp_memory(table) <= limits.total + (1u << 17));
    }
    tcp_finish(table, now);
    CHECK(n_open == 0);
    tcp_table_free(table);
    return 0;
}
