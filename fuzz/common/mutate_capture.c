/* mutate_capture.c - pcap files: packets and the frames in them; see mutate.h.
 *
 * A frame that grows or shrinks moves the TCP sequence numbers behind it, so that reassembly still joins what belongs
 * together. Only the classic format is understood, Ethernet or raw IP; anything else is changed as bytes. */
#include "mutate.h"
#include <string.h>
#include "wire.h"

enum { FILE_HEADER = 24, PACKET_HEADER = 16, PACKETS_MAX = 256, OUT_MAX = 1 << 17 };

struct packet {
    const uint8_t *header; /* 16 bytes */
    const uint8_t *data;
    size_t len;
};

static struct wire wire;
static uint8_t made[OUT_MAX];

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void put_le32(uint8_t *p, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(n >> (8 * i));
}

static size_t packets_of(struct packet *packets, const uint8_t *data, size_t size)
{
    size_t n = 0;
    if (size < FILE_HEADER || le32(data) != 0xa1b2c3d4u)
        return 0;
    for (size_t at = FILE_HEADER; size - at >= PACKET_HEADER && n < PACKETS_MAX;) {
        size_t len = le32(data + at + 8);
        if (len > size - at - PACKET_HEADER)
            len = size - at - PACKET_HEADER;
        packets[n++] = (struct packet){data + at, data + at + PACKET_HEADER, len};
        at += PACKET_HEADER + len;
    }
    return n;
}

static size_t put_packet(const struct packet *p, uint8_t *out, size_t cap)
{
    if (cap < PACKET_HEADER || p->len > cap - PACKET_HEADER)
        return 0;
    memmove(out, p->header, PACKET_HEADER);
    memmove(out + PACKET_HEADER, p->data, p->len);
    put_le32(out + 8, (uint32_t)p->len);
    put_le32(out + 12, (uint32_t)p->len);
    return PACKET_HEADER + p->len;
}

/* Where the IPv4 header and the payload of a TCP or UDP packet stand. */
struct place {
    size_t ip, payload;
    bool tcp, to_device;
};

static bool find_payload(struct place *out, const struct packet *p)
{
    size_t ip = p->len > 14 && p->data[12] == 8 && p->data[13] == 0 ? 14 : 0;
    if (p->len < ip + 28 || p->data[ip] >> 4 != 4)
        return false;
    size_t ip_len = (size_t)(p->data[ip] & 15u) * 4, next = ip + ip_len;
    bool tcp = p->data[ip + 9] == 6;
    if ((!tcp && p->data[ip + 9] != 17) || p->len < next + (tcp ? 20 : 8))
        return false;
    size_t head = tcp ? (size_t)(p->data[next + 12] >> 4) * 4 : 8;
    if (p->len <= next + head)
        return false;
    *out = (struct place){ip, next + head, tcp, (p->data[next + 2] << 8 | p->data[next + 3]) == 6668};
    return true;
}

/* Write the packet with another payload: IP length and UDP length follow. */
static size_t put_changed(const struct packet *p, const struct place *at, const uint8_t *payload, size_t len,
                          uint32_t seq_moves, uint8_t *out, size_t cap)
{
    size_t size = at->payload + len;
    if (cap < PACKET_HEADER || size > cap - PACKET_HEADER || size > 0xffff)
        return 0;
    uint8_t *d = out + PACKET_HEADER;
    memmove(out, p->header, PACKET_HEADER);
    memmove(d + at->payload, payload, len);
    memmove(d, p->data, at->payload);
    put_le32(out + 8, (uint32_t)size);
    put_le32(out + 12, (uint32_t)size);
    size_t ip_total = size - at->ip, transport = at->payload - (at->tcp ? 20 : 8);
    d[at->ip + 2] = (uint8_t)(ip_total >> 8);
    d[at->ip + 3] = (uint8_t)ip_total;
    if (!at->tcp) {
        d[transport + 4] = (uint8_t)((len + 8) >> 8);
        d[transport + 5] = (uint8_t)(len + 8);
    } else if (seq_moves != 0) {
        uint8_t *seq = d + at->ip + (size_t)(d[at->ip] & 15u) * 4 + 4;
        uint32_t n = ((uint32_t)seq[0] << 24 | (uint32_t)seq[1] << 16 | (uint32_t)seq[2] << 8 | seq[3]) + seq_moves;
        for (int i = 0; i < 4; i++)
            seq[i] = (uint8_t)(n >> (24 - 8 * i));
    }
    return PACKET_HEADER + size;
}

/* One frame of one packet is changed by the stream mutator; what follows in that direction moves along. The version is
 * guessed from the frames: 6699 is 3.5, an HMAC in place of a CRC is tried as 3.4. */
static size_t reseal_packets(const struct packet *packets, size_t n, size_t which, uint8_t *out, size_t cap,
                             struct fuzz_rng *r)
{
    struct wire_keys reading, writing;
    static uint8_t payload[OUT_MAX / 2];
    uint32_t moved[2] = {0, 0};
    size_t size = 0;
    wire_keys_init(&reading, FUZZ_KEYS_CONNECTION, 3);
    reading.follow = true;
    writing = reading;
    for (size_t i = 0; i < n; i++) {
        struct place at;
        if (!find_payload(&at, &packets[i])) {
            size += put_packet(&packets[i], out + size, cap - size);
            continue;
        }
        const uint8_t *old = packets[i].data + at.payload;
        size_t old_len = packets[i].len - at.payload, len = 0;
        struct wire_keys udp;
        wire_keys_init(&udp, FUZZ_KEYS_DISCOVERY, 3);
        if (i == which && fuzz_rng_below(r, 4) == 0 && old_len < sizeof payload - 1024) {
            memcpy(payload, old, old_len);
            len =
                mutate_stream(payload, old_len, old_len + 512, r, at.tcp ? FUZZ_KEYS_CONNECTION : FUZZ_KEYS_DISCOVERY,
                              (unsigned)fuzz_rng_below(r, FUZZ_N_VERSIONS), at.to_device);
        } else {
            wire_clear(&wire);
            wire_read(&wire, at.tcp ? &reading : &udp, 3, at.to_device, old, old_len);
            if (i == which)
                for (size_t f = 0; f < wire.n; f++)
                    if (wire.frames[f].plain_len > 0 && wire.frames[f].plain_len < 2048) {
                        bool plain;
                        size_t json = wire_json(&wire.frames[f], &plain);
                        uint8_t *room = wire_room(&wire, 2304);
                        if (room == NULL || !plain)
                            break;
                        memcpy(room, wire.frames[f].plain, wire.frames[f].plain_len);
                        wire.frames[f].plain = room;
                        wire.frames[f].plain_len =
                            json + mutate_json(room + json, wire.frames[f].plain_len - json, 2304 - json, r);
                        break;
                    }
            for (size_t f = 0; f < wire.n; f++)
                len += wire_write(&wire.frames[f], at.tcp ? &writing : &udp, payload + len, sizeof payload - len);
        }
        size += put_changed(&packets[i], &at, payload, len, moved[at.to_device], out + size, cap - size);
        if (at.tcp)
            moved[at.to_device] += (uint32_t)(len - old_len);
    }
    return size;
}

static size_t put_packets(const struct packet *packets, size_t n, uint8_t *out, size_t cap)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += put_packet(&packets[i], out + size, cap - size);
    return size;
}

/* see mutate.h */
size_t mutate_capture(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r)
{
    static struct packet packets[PACKETS_MAX + 1];
    size_t n = packets_of(packets, data, size), cap = max < OUT_MAX ? max : OUT_MAX, out = FILE_HEADER;
    if (n == 0 || cap < FILE_HEADER || fuzz_rng_below(r, 16) == 0)
        return LLVMFuzzerMutate(data, size, max);
    memcpy(made, data, FILE_HEADER);
    size_t which = fuzz_rng_below(r, n), other = fuzz_rng_below(r, n);
    struct packet p = packets[which];
    switch (fuzz_rng_below(r, 8)) {
    case 0: /* lost in the capture */
        memmove(packets + which, packets + which + 1, (n - which - 1) * sizeof p);
        out += put_packets(packets, n - 1, made + out, cap - out);
        break;
    case 1: /* out of order */
        packets[which] = packets[other];
        packets[other] = p;
        out += put_packets(packets, n, made + out, cap - out);
        break;
    case 2: /* sent again */
        memmove(packets + other + 1, packets + other, (n - other) * sizeof p);
        packets[other] = p;
        out += put_packets(packets, n < PACKETS_MAX ? n + 1 : n, made + out, cap - out);
        break;
    case 3: /* cut by the snapshot length */
        packets[which].len = fuzz_rng_below(r, p.len + 1);
        out += put_packets(packets, n, made + out, cap - out);
        break;
    case 4: { /* bytes of the packet's headers */
        static uint8_t copy[2048];
        if (p.len <= sizeof copy) {
            memcpy(copy, p.data, p.len);
            packets[which].data = copy;
            if (p.len > 0)
                copy[fuzz_rng_below(r, p.len < 60 ? p.len : 60)] ^= (uint8_t)(1u << fuzz_rng_below(r, 8));
        }
        out += put_packets(packets, n, made + out, cap - out);
        break;
    }
    default: out += reseal_packets(packets, n, which, made + out, cap - out, r); break;
    }
    memcpy(data, made, out);
    return out;
}

/* see mutate.h */
size_t cross_captures(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                      struct fuzz_rng *r)
{
    static struct packet pa[PACKETS_MAX], pb[PACKETS_MAX];
    size_t na = packets_of(pa, a, a_size), nb = packets_of(pb, b, b_size);
    size_t i = 0, j = 0, size = FILE_HEADER;
    if (na == 0 || max < FILE_HEADER) {
        size = a_size < max ? a_size : max;
        memcpy(out, a, size);
        return size;
    }
    memcpy(out, a, FILE_HEADER);
    while (i < na || j < nb) { /* two captures running at the same time */
        bool from_a = j >= nb || (i < na && fuzz_rng_below(r, 2) == 0);
        size += put_packet(from_a ? &pa[i] : &pb[j], out + size, max - size);
        *(from_a ? &i : &j) += 1;
    }
    return size;
}
