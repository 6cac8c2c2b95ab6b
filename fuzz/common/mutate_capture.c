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

static size_t put_packets(const struct packet *packets, size_t n, uint8_t *out, size_t cap)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += put_packet(&packets[i], out + size, cap - size);
    return size;
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

/* A payload again and again, in one packet or in many; what follows in that direction moves along. */
static size_t repeat_payload(const struct packet *packets, size_t n, size_t which, uint8_t *out, size_t cap,
                             struct fuzz_rng *r)
{
    static uint8_t payload[0x10000];
    struct place at;
    size_t times = (size_t)2 << fuzz_rng_below(r, 5), size = put_packets(packets, which, out, cap);
    if (!find_payload(&at, &packets[which]))
        return size + put_packets(packets + which, n - which, out + size, cap - size);
    size_t len = packets[which].len - at.payload, copies = fuzz_rng_below(r, 2) == 0 ? 1 : times;
    if (times > 0xf000 / len)
        times = copies = 1;
    size_t here = copies == 1 ? times : 1; /* in one packet */
    uint32_t moved = 0;
    bool to_device = at.to_device;
    for (size_t i = 0; i < here; i++)
        memcpy(payload + i * len, packets[which].data + at.payload, len);
    for (size_t i = 0; i < copies; i++, moved += (uint32_t)(len * here))
        size += put_changed(&packets[which], &at, payload, len * here, moved, out + size, cap - size);
    moved -= (uint32_t)len;
    for (size_t i = which + 1; i < n; i++)
        if (find_payload(&at, &packets[i]) && at.tcp && at.to_device == to_device)
            size += put_changed(&packets[i], &at, packets[i].data + at.payload, packets[i].len - at.payload, moved,
                                out + size, cap - size);
        else
            size += put_packet(&packets[i], out + size, cap - size);
    return size;
}

/* ---- Packets made of others, in room of their own ---------------------------------------------------------------- */

static uint8_t room[OUT_MAX];
static size_t used;

/* A copy of the packet's first len bytes with so many more behind them; data NULL: there is no room. */
static struct packet copy_of(const struct packet *p, size_t len, const uint8_t *more, size_t more_len)
{
    if (PACKET_HEADER + len + more_len > sizeof room - used)
        return (struct packet){NULL, NULL, 0};
    uint8_t *at = room + used;
    memcpy(at, p->header, PACKET_HEADER);
    memcpy(at + PACKET_HEADER, p->data, len);
    memcpy(at + PACKET_HEADER + len, more, more_len);
    used += PACKET_HEADER + len + more_len;
    return (struct packet){at, at + PACKET_HEADER, len + more_len};
}

static void put_be16(const struct packet *p, size_t at, size_t n)
{
    uint8_t *d = room + (p->data - room) + at;
    d[0] = (uint8_t)(n >> 8);
    d[1] = (uint8_t)n;
}

/* In the place of one packet, these. @return how many there are now */
static size_t replace(struct packet *packets, size_t n, size_t which, const struct packet *by, size_t n_by)
{
    if (n + n_by > PACKETS_MAX)
        return n;
    memmove(packets + which + n_by, packets + which + 1, (n - which - 1) * sizeof *packets);
    memcpy(packets + which, by, n_by * sizeof *packets);
    return n - 1 + n_by;
}

/* IPv4 fragments; every other time they do not agree about where they stand, where they end, or what is in them. */
static size_t into_fragments(struct packet *packets, size_t n, size_t which, struct fuzz_rng *r)
{
    enum { FRAGMENTS = 4, MORE = 0x2000, UNIT = 8 };
    struct place at;
    struct packet p = packets[which], made_of[FRAGMENTS + 1];
    if (!find_payload(&at, &p))
        return n;
    size_t head = at.ip + (size_t)(p.data[at.ip] & 15u) * 4, whole = p.len - head, n_made = 0;
    size_t step = (whole / (1 + fuzz_rng_below(r, FRAGMENTS)) + UNIT) / UNIT * UNIT;
    size_t odd = fuzz_rng_below(r, 2 * FRAGMENTS), id = fuzz_rng_below(r, 4);
    for (size_t offset = 0; offset < whole && n_made < FRAGMENTS; offset += step) {
        size_t len = whole - offset < step ? whole - offset : step, place = offset / UNIT;
        bool more = offset + len < whole;
        bool other = false;
        if (n_made == odd)
            switch (fuzz_rng_below(r, 5)) {
            case 0: more = !more; break;
            case 1: place += 1 + fuzz_rng_below(r, 4); break;
            case 2: place -= place > 0; break;
            case 3: len -= fuzz_rng_below(r, len); break;
            default: other = true; break;
            }
        struct packet f = copy_of(&p, head, p.data + head + offset, len);
        if (f.data == NULL)
            return n;
        put_be16(&f, at.ip + 2, f.len - at.ip);
        put_be16(&f, at.ip + 4, id);
        put_be16(&f, at.ip + 6, place | (more ? MORE : 0));
        made_of[n_made++] = f;
        if (other && len > 1) {
            f = copy_of(&f, f.len, f.data, 0);
            if (f.data == NULL)
                return n;
            put_be16(&f, head, fuzz_rng_next(r) & 0xffff);
            made_of[n_made++] = f;
        }
    }
    if (fuzz_rng_below(r, 2) == 0) { /* the last one first */
        struct packet last = made_of[n_made - 1];
        memmove(made_of + 1, made_of, (n_made - 1) * sizeof last);
        made_of[0] = last;
    }
    return replace(packets, n, which, made_of, n_made);
}

/* Two segments of one, that may overlap, differ where they do, and come in either order. */
static size_t into_segments(struct packet *packets, size_t n, size_t which, struct fuzz_rng *r)
{
    struct place at;
    struct packet p = packets[which], made_of[2];
    if (!find_payload(&at, &p) || !at.tcp || p.len - at.payload < 2)
        return n;
    size_t len = p.len - at.payload, cut = 1 + fuzz_rng_below(r, len - 1);
    size_t back = fuzz_rng_below(r, 2) == 0 ? fuzz_rng_below(r, cut + 1) : 0,
           tcp = at.ip + (p.data[at.ip] & 15u) * 4u;
    made_of[0] = copy_of(&p, at.payload + cut, p.data, 0);
    made_of[1] = copy_of(&p, at.payload, p.data + at.payload + cut - back, len - cut + back);
    if (made_of[0].data == NULL || made_of[1].data == NULL)
        return n;
    const uint8_t *seq = p.data + tcp + 4;
    size_t low = (size_t)(seq[2] << 8 | seq[3]) + cut - back, high = (size_t)(seq[0] << 8 | seq[1]) + (low >> 16);
    put_be16(&made_of[1], tcp + 4, high & 0xffff);
    put_be16(&made_of[1], tcp + 6, low & 0xffff);
    if (back > 1 && fuzz_rng_below(r, 2) == 0)
        put_be16(&made_of[1], at.payload + fuzz_rng_below(r, back - 1), fuzz_rng_next(r) & 0xffff);
    for (int i = 0; i < 2; i++)
        put_be16(&made_of[i], at.ip + 2, made_of[i].len - at.ip);
    if (fuzz_rng_below(r, 2) == 0)
        return replace(packets, n, which, (struct packet[]){made_of[1], made_of[0]}, 2);
    return replace(packets, n, which, made_of, 2);
}

/* The same once more from another port of the client, at the same time. */
static size_t on_two_connections(struct packet *packets, size_t n, struct fuzz_rng *r)
{
    uint8_t other = (uint8_t)(1u << fuzz_rng_below(r, 4));
    for (size_t i = 0; i < n && n < PACKETS_MAX; i++) {
        const struct packet *p = &packets[i];
        size_t ip = p->len > 14 && p->data[12] == 8 && p->data[13] == 0 ? 14 : 0, tcp;
        if (p->len < ip + 40 || p->data[ip] >> 4 != 4 || p->data[ip + 9] != 6)
            continue;
        tcp = ip + (p->data[ip] & 15u) * 4u;
        struct packet copy = copy_of(p, p->len, p->data, 0);
        if (copy.data == NULL || p->len < tcp + 20)
            break;
        bool to_device = (p->data[tcp + 2] << 8 | p->data[tcp + 3]) == 6668;
        room[copy.data - room + (ptrdiff_t)tcp + (to_device ? 1 : 3)] ^= other;
        memmove(packets + i + 2, packets + i + 1, (n - i - 1) * sizeof copy);
        packets[++i] = copy;
        n++;
    }
    return n;
}

/* From this packet on, so many seconds later: requests are overdue, holes are given up, connections forgotten. */
static void let_time_pass(struct packet *packets, size_t n, size_t which, struct fuzz_rng *r)
{
    static const uint8_t seconds[] = {1, 3, 6, 61, 130};
    uint32_t more = seconds[fuzz_rng_below(r, sizeof seconds)];
    for (; which < n; which++) {
        struct packet copy = copy_of(&packets[which], packets[which].len, packets[which].data, 0);
        if (copy.data == NULL)
            return;
        put_le32(room + (copy.header - room), le32(copy.header) + more);
        packets[which] = copy;
    }
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
    used = 0;
    switch (fuzz_rng_below(r, 13)) {
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
    case 5:
        n = into_fragments(packets, n, which, r);
        out += put_packets(packets, n, made + out, cap - out);
        break;
    case 6:
        n = into_segments(packets, n, which, r);
        out += put_packets(packets, n, made + out, cap - out);
        break;
    case 7:
        n = on_two_connections(packets, n, r);
        out += put_packets(packets, n, made + out, cap - out);
        break;
    case 8:
        let_time_pass(packets, n, which, r);
        out += put_packets(packets, n, made + out, cap - out);
        break;
    case 9: out += repeat_payload(packets, n, which, made + out, cap - out, r); break;
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
