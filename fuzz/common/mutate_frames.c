/* mutate_frames.c - streams and tapes of frames: opened, changed, sealed again; see mutate.h. */
#include "mutate.h"
#include <string.h>
#include "oracle.h"
#include "tape.h"
#include "wire.h"

enum { OUT_MAX = 1 << 17, PAYLOAD_MAX = 4096, RECORDS_MAX = 128 };

/* Large, and only one mutant is made at a time. */
static struct wire wire, wire_b;
static uint8_t made[OUT_MAX];

static const uint32_t commands[] = {0x03, 0x04, 0x05, 0x07, 0x08, 0x09, 0x0a, 0x0d, 0x10,  0x12,       0x13,
                                    0x23, 0x25, 0x40, 0x00, 0x11, 0x0e, 0x20, 0xff, 0x100, 0x80000000u};
static const char *const bodies[] = {
    "",
    "{}",
    "{\"dps\":{\"1\":true}}",
    "{\"protocol\":5,\"t\":1700000000,\"data\":{\"dps\":{\"1\":true}}}",
    "{\"devId\":\"fake0000000000000000id\",\"uid\":\"\",\"t\":\"1700000000\",\"dps\":{\"1\":true}}",
    "{\"gwId\":\"fake0000000000000000id\",\"devId\":\"fake0000000000000000id\"}",
    "{\"dpId\":[18,19,20]}",
    "{\"dps\":{\"1\":null,\"9\":null}}",
    "{\"cid\":\"a4c1380000000001\"}",
    "json obj data unvalid",
    "{\"reqType\":\"subdev_online_stat_query\",\"data\":{\"cids\":[]}}",
    "{\"protocol\":4,\"t\":1700000000,\"data\":{\"dps\":{\"1\":false,\"9\":0}}}",
    "0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef",
};
#define PICK(array, r) (array)[fuzz_rng_below((r), sizeof(array) / sizeof *(array))]

static uint32_t other_number(uint32_t n, struct fuzz_rng *r)
{
    static const uint32_t numbers[] = {0,          1,          0x0000aa55,  0x000055aa,
                                       0x00006699, 0x7fffffff, 0x80000000u, 0xffffffffu};
    switch (fuzz_rng_below(r, 4)) {
    case 0: return PICK(numbers, r);
    case 1: return n ^ 1u << fuzz_rng_below(r, 32);
    default: return n + (uint32_t)fuzz_rng_below(r, 5) - 2;
    }
}

/* Replace front or plain by a changed copy of it; in the arena, so that nothing else moves. */
static void set_bytes(struct wire *w, struct wire_frame *f, bool plain, const uint8_t *bytes, size_t len)
{
    uint8_t *room = wire_room(w, len);
    if (room == NULL)
        return;
    memcpy(room, bytes, len);
    *(plain ? &f->plain : &f->front) = room;
    *(plain ? &f->plain_len : &f->front_len) = len;
}

static void change_bytes(struct wire *w, struct wire_frame *f, struct fuzz_rng *r)
{
    uint8_t copy[PAYLOAD_MAX];
    bool plain;
    size_t at = wire_json(f, &plain);
    const uint8_t *bytes = plain ? f->plain : f->front;
    size_t len = plain ? f->plain_len : f->front_len;
    if (len > PAYLOAD_MAX)
        len = PAYLOAD_MAX;
    if (at > len)
        at = len;
    if (len > 0)
        memcpy(copy, bytes, len);
    if (fuzz_rng_below(r, 4) == 0 && at > 0) { /* return code and header */
        if (fuzz_rng_below(r, 2) == 0)
            copy[fuzz_rng_below(r, at)] ^= (uint8_t)(1u << fuzz_rng_below(r, 8));
        else
            memmove(copy, copy + at, len - at), len -= at;
    } else if (len > at && copy[at] == '{') {
        len = at + mutate_json(copy + at, len - at, PAYLOAD_MAX - at, r);
    } else {
        len = LLVMFuzzerMutate(copy, len, len + 64 < PAYLOAD_MAX ? len + 64 : PAYLOAD_MAX);
    }
    set_bytes(w, f, plain, copy, len);
}

/* Return code and header a frame would have in this version and direction, and a body of our own. */
static struct wire_frame fresh_frame(struct wire *w, unsigned version, bool to_device, struct fuzz_rng *r)
{
    static const uint8_t header[15] = "3.3";
    struct wire_frame f = {
        .kind = version == 4 ? WIRE_6699 : WIRE_55AA, .hmac = version == 3, .to_device = to_device};
    uint8_t text[64 + 256];
    size_t n = 0;
    f.seq = (uint32_t)fuzz_rng_below(r, 64);
    f.command = PICK(commands, r);
    memcpy(f.nonce, "fuzzed nonce", 12);
    bool with_header = fuzz_rng_below(r, 2) == 0 && version > 0;
    if (!to_device && fuzz_rng_below(r, 8) != 0) {
        memset(text, 0, 4);
        text[3] = fuzz_rng_below(r, 4) == 0;
        n = 4;
    }
    if (with_header) {
        memcpy(text + n, header, 15);
        text[n + 2] = (uint8_t)('1' + version);
        n += 15;
    }
    const char *body = PICK(bodies, r);
    size_t body_len = strlen(body);
    bool in_clear = version == 0 || (version == 1 && !with_header);
    f.secret = version == 4 ? WIRE_GCM : in_clear || body_len == 0 ? WIRE_CLEAR : WIRE_ECB;
    if (version == 0 && fuzz_rng_below(r, 2) == 0) {
        memcpy(text + n, "3.10123456789abcdef", 19);
        n += 19;
        f.secret = WIRE_B64;
    }
    size_t front = f.secret == WIRE_GCM ? 0 : version == 3 && n > 4 ? n - 15 : n;
    memcpy(text + n, body, body_len);
    n += body_len;
    if (f.secret == WIRE_CLEAR)
        front = n;
    set_bytes(w, &f, false, text, front);
    set_bytes(w, &f, true, text + front, n - front);
    return f;
}

static void change_order(struct wire *w, struct fuzz_rng *r)
{
    size_t a = fuzz_rng_below(r, w->n), b = fuzz_rng_below(r, w->n);
    struct wire_frame f = w->frames[a];
    w->frames[a] = w->frames[b];
    w->frames[b] = f;
}

static void insert_frame(struct wire *w, struct wire_frame f, struct fuzz_rng *r)
{
    if (w->n == WIRE_FRAMES_MAX)
        return;
    size_t at = fuzz_rng_below(r, w->n + 1);
    memmove(w->frames + at + 1, w->frames + at, (w->n - at) * sizeof f);
    w->frames[at] = f;
    w->n++;
}

/* Many of a kind, with numbers that count up: more than anybody remembers. */
static void repeat_frame(struct wire *w, struct wire_frame f, struct fuzz_rng *r)
{
    size_t at = fuzz_rng_below(r, w->n + 1), times = (size_t)2 << fuzz_rng_below(r, 5);
    for (; times > 0 && w->n < WIRE_FRAMES_MAX; times--) {
        memmove(w->frames + at + 1, w->frames + at, (w->n - at) * sizeof f);
        f.seq++;
        w->frames[at++] = f;
        w->n++;
    }
}

static void remove_frame(struct wire *w, struct fuzz_rng *r)
{
    size_t at = fuzz_rng_below(r, w->n);
    w->n--;
    memmove(w->frames + at, w->frames + at + 1, (w->n - at) * sizeof *w->frames);
}

static struct wire_frame junk(struct wire *w, bool to_device, struct fuzz_rng *r)
{
    static const char *const pieces[] = {"\x01", "junk", "{\"dps\":{}}", "\x55\xaa", "\x66\x99"};
    static const uint8_t prefixes[] = {0, 0, 0x55, 0xaa, 0, 0, 0x66, 0x99, 0, 0, 0};
    struct wire_frame f = {.kind = WIRE_JUNK, .to_device = to_device};
    if (fuzz_rng_below(r, 2) == 0) {
        const char *p = PICK(pieces, r);
        set_bytes(w, &f, false, (const uint8_t *)p, strlen(p));
    } else {
        size_t at = fuzz_rng_below(r, sizeof prefixes);
        set_bytes(w, &f, false, prefixes + at, 1 + fuzz_rng_below(r, sizeof prefixes - at));
    }
    return f;
}

/* One change to one frame, or to the order of all. */
static void change(struct wire *w, unsigned version, bool to_device, struct fuzz_rng *r)
{
    if (w->n == 0) {
        insert_frame(w, fresh_frame(w, version, to_device, r), r);
        return;
    }
    struct wire_frame *f = &w->frames[fuzz_rng_below(r, w->n)];
    switch (fuzz_rng_below(r, 17)) {
    case 0: f->seq = other_number(f->seq, r); break;
    case 1: f->command = fuzz_rng_below(r, 8) == 0 ? other_number(f->command, r) : PICK(commands, r); break;
    case 2: f->nonce[fuzz_rng_below(r, 12)] ^= (uint8_t)(1u << fuzz_rng_below(r, 8)); break;
    case 3:
        if (f->kind == WIRE_6699)
            f->reserved[fuzz_rng_below(r, 2)] ^= (uint8_t)(1u << fuzz_rng_below(r, 8));
        else
            f->seq = other_number(f->seq, r);
        break;
    case 4: change_order(w, r); break;
    case 5: insert_frame(w, *f, r); break;
    case 6: insert_frame(w, fresh_frame(w, version, f->to_device, r), r); break;
    case 7: insert_frame(w, junk(w, f->to_device, r), r); break;
    case 8: remove_frame(w, r); break;
    case 9: /* another way to wrap the same bytes: 3.2 speaks clear and encrypted, observers meet all */
        if (f->kind == WIRE_55AA) {
            static const enum wire_secret ways[] = {WIRE_CLEAR, WIRE_ECB};
            f->secret = PICK(ways, r);
            f->hmac = version == 3 ? fuzz_rng_below(r, 8) != 0 : fuzz_rng_below(r, 16) == 0;
        }
        break;
    case 10: repeat_frame(w, *f, r); break;
    default: change_bytes(w, f, r); break;
    }
}

/* Broken in one way, one mutant in eight: the refusals stay covered. */
static void damage(struct wire *w, struct fuzz_rng *r)
{
    if (w->n == 0 || fuzz_rng_below(r, 8) != 0)
        return;
    w->frames[fuzz_rng_below(r, w->n)].damage = 1u << fuzz_rng_below(r, 10);
}

static size_t write_all(const struct wire *w, struct wire_keys *keys, uint8_t *out, size_t cap)
{
    size_t size = 0;
    for (size_t i = 0; i < w->n; i++)
        size += wire_write(&w->frames[i], keys, out + size, cap - size);
    return size;
}

/* A bare ECB datagram: opened, changed as JSON, padded and encrypted again. */
static size_t mutate_blob(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r)
{
    uint8_t copy[PAYLOAD_MAX + 16];
    if (size > PAYLOAD_MAX || max < 32)
        return LLVMFuzzerMutate(data, size, max);
    memcpy(copy, data, size);
    oracle_ecb(false, fuzz_udp_key, copy, size);
    size_t len = copy[size - 1] <= 16 ? size - copy[size - 1] : size;
    size_t room = (max < PAYLOAD_MAX ? max : PAYLOAD_MAX) / 16 * 16 - 1;
    len = mutate_json(copy, len < room ? len : room, room, r);
    size = len / 16 * 16 + 16;
    memset(copy + len, (int)(size - len), size - len);
    oracle_ecb(true, fuzz_udp_key, copy, size);
    memcpy(data, copy, size);
    return size;
}

/* see mutate.h */
size_t mutate_stream(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r, enum fuzz_keys which,
                     unsigned version, bool to_device)
{
    struct wire_keys keys;
    if (fuzz_rng_below(r, 32) == 0 && max > 0) /* now and then without any understanding */
        return LLVMFuzzerMutate(data, size, max);
    if (which == FUZZ_KEYS_DISCOVERY) { /* clear, ECB under a CRC, or GCM; whoever sends it */
        static const unsigned forms[] = {0, 2, 4};
        version = PICK(forms, r);
        to_device = fuzz_rng_below(r, 8) == 0;
    }
    wire_keys_init(&keys, which, version);
    wire_clear(&wire);
    wire_read(&wire, &keys, version, to_device, data, size);
    if (which == FUZZ_KEYS_DISCOVERY && wire.n == 1 && wire.frames[0].kind == WIRE_JUNK && size % 16 == 0 && size > 0)
        return mutate_blob(data, size, max, r);
    for (size_t n = 1 + fuzz_rng_below(r, 3); n > 0; n--)
        change(&wire, version, to_device, r);
    damage(&wire, r);
    size_t out = write_all(&wire, &keys, made, max < OUT_MAX ? max : OUT_MAX);
    memcpy(data, made, out);
    return out;
}

/* see mutate.h */
size_t cross_streams(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                     struct fuzz_rng *r, enum fuzz_keys which, unsigned version, bool to_device)
{
    struct wire_keys keys;
    wire_keys_init(&keys, which, version);
    wire_clear(&wire);
    wire_read(&wire, &keys, version, to_device, a, a_size);
    wire_clear(&wire_b);
    wire_read(&wire_b, &keys, version, to_device, b, b_size);
    size_t size = 0, i = 0, j = fuzz_rng_below(r, wire_b.n);
    while (i < wire.n || j < wire_b.n) { /* both in their order, shuffled into one another */
        bool from_a = j >= wire_b.n || (i < wire.n && fuzz_rng_below(r, 2) == 0);
        if (fuzz_rng_below(r, 8) != 0)
            size += wire_write(from_a ? &wire.frames[i] : &wire_b.frames[j], &keys, out + size, max - size);
        *(from_a ? &i : &j) += 1;
    }
    return size;
}

static size_t records_of(struct tape_record *records, const uint8_t *data, size_t size)
{
    size_t n = 0;
    struct tape t = {data, size, 0};
    while (n < RECORDS_MAX && tape_next(&records[n], &t))
        n++;
    return n;
}

static size_t put_records(const struct tape_record *records, size_t n, uint8_t *out, size_t cap)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += tape_put(out + size, cap - size, records[i].operation, records[i].connection, records[i].data,
                         records[i].len);
    return size;
}

/* A few records again and again. @return how many there are now */
static size_t repeat_records(struct tape_record *records, size_t n, size_t which, struct fuzz_rng *r)
{
    size_t run = 1 + fuzz_rng_below(r, 4), times = (size_t)2 << fuzz_rng_below(r, 5);
    if (run > n - which)
        run = n - which;
    if (times > (RECORDS_MAX - n) / run)
        times = (RECORDS_MAX - n) / run;
    struct tape_record *rest = records + which + run;
    memmove(rest + times * run, rest, (n - which - run) * sizeof *records);
    for (size_t i = 0; i < times * run; i++)
        rest[i] = records[which + i % run];
    return n + times * run;
}

/* Change what a record holds. @return its new bytes, in `copy` */
static size_t change_record(const struct tape_record *t, uint8_t *copy, size_t cap, struct fuzz_rng *r)
{
    size_t len = t->len < cap ? t->len : cap;
    if (len > 0)
        memcpy(copy, t->data, len);
    switch (t->operation) {
    case TAPE_MESSAGE:
        if (len < 2 || fuzz_rng_below(r, 4) == 0) {
            if (len < 2)
                memset(copy, 0, 2), len = 2;
            if (fuzz_rng_below(r, 2) == 0)
                copy[0] = (uint8_t)PICK(commands, r);
            else
                copy[1] = fuzz_rng_below(r, 2) == 0 ? 0 : (uint8_t)(1u << fuzz_rng_below(r, 8));
            return len;
        }
        if (fuzz_rng_below(r, 4) == 0) {
            const char *body = PICK(bodies, r);
            size_t n = strlen(body);
            memcpy(copy + 2, body, n);
            return n + 2;
        }
        return 2 + mutate_json(copy + 2, len - 2, cap - 2, r);
    case TAPE_DPS: return mutate_json(copy, len, cap, r);
    case TAPE_TIME: {
        static const uint16_t times[] = {1, 20, 100, 999, 1000, 5000, 10000, 30000, 65535};
        uint16_t ms = PICK(times, r);
        copy[0] = (uint8_t)(ms >> 8);
        copy[1] = (uint8_t)ms;
        return 2;
    }
    case TAPE_PIECES: copy[0] = (uint8_t)fuzz_rng_below(r, 64); return 1;
    case TAPE_ACT:
        if (len == 0 || fuzz_rng_below(r, 2) == 0) {
            copy[0] = (uint8_t)fuzz_rng_next(r);
            return len == 0 ? 1 : len;
        }
        return 1 + mutate_json(copy + 1, len - 1, cap - 1, r);
    default: return len;
    }
}

static struct tape_record made_record(struct fuzz_rng *r, uint8_t *room, size_t cap)
{
    static const enum tape_operation often[] = {TAPE_MESSAGE, TAPE_MESSAGE, TAPE_MESSAGE, TAPE_HANDSHAKE,
                                                TAPE_CONNECT, TAPE_TIME,    TAPE_DPS,     TAPE_ACT,
                                                TAPE_ACT,     TAPE_CLOSE,   TAPE_PIECES};
    struct tape_record t = {PICK(often, r), (unsigned)fuzz_rng_below(r, fuzz_rng_below(r, 4) == 0 ? 4 : 1), NULL, 0};
    t.len = change_record(&t, room, cap, r);
    t.data = room;
    return t;
}

/* Frames in TO and FROM records, with a handshake followed from record to record. */
static size_t reseal_records(struct tape_record *records, size_t n, unsigned version, size_t which, uint8_t *out,
                             size_t cap, struct fuzz_rng *r)
{
    struct wire_keys reading, writing;
    size_t size = 0;
    wire_keys_init(&reading, FUZZ_KEYS_CONNECTION, version);
    reading.follow = true;
    writing = reading;
    for (size_t i = 0; i < n; i++) {
        struct tape_record *t = &records[i];
        if (t->operation != TAPE_TO && t->operation != TAPE_FROM) {
            size += tape_put(out + size, cap - size, t->operation, t->connection, t->data, t->len);
            continue;
        }
        bool to_device = t->operation == TAPE_TO;
        wire_clear(&wire);
        wire_read(&wire, &reading, version, to_device, t->data, t->len);
        if (i == which) {
            change(&wire, version, to_device, r);
            damage(&wire, r);
        }
        if (cap - size < 3)
            break;
        size_t room = cap - size - 3 < 0xffff ? cap - size - 3 : 0xffff;
        size_t len = write_all(&wire, &writing, out + size + 3, room);
        size += tape_put(out + size, cap - size, t->operation, t->connection, out + size + 3, len);
    }
    return size;
}

/* see mutate.h */
size_t mutate_tape(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r)
{
    static uint8_t room[PAYLOAD_MAX];
    struct tape_record records[RECORDS_MAX + 1];
    if (size < 1 || fuzz_rng_below(r, 32) == 0)
        return LLVMFuzzerMutate(data, size, max);
    if (fuzz_rng_below(r, 24) == 0)
        data[0] = (uint8_t)fuzz_rng_next(r);
    unsigned version = fuzz_context_version(data[0]);
    size_t n = records_of(records, data + 1, size - 1), out;
    size_t cap = (max < OUT_MAX ? max : OUT_MAX) - 1, which = fuzz_rng_below(r, n);
    unsigned how = (unsigned)fuzz_rng_below(r, 11);
    if (n == 0 || how == 0) {
        memmove(records + which + 1, records + which, (n - which) * sizeof *records);
        records[which] = made_record(r, room, sizeof room);
        n = n < RECORDS_MAX ? n + 1 : RECORDS_MAX;
        out = put_records(records, n, made, cap);
    } else if (how == 1) {
        memmove(records + which, records + which + 1, (n - which - 1) * sizeof *records);
        out = put_records(records, n - 1, made, cap);
    } else if (how == 2) {
        size_t other = fuzz_rng_below(r, n);
        struct tape_record t = records[which];
        records[which] = records[other];
        records[other] = t;
        out = put_records(records, n, made, cap);
    } else if (how == 3 && n < RECORDS_MAX) {
        size_t other = fuzz_rng_below(r, n);
        struct tape_record t = records[which];
        memmove(records + other + 1, records + other, (n - other) * sizeof *records);
        records[other] = t;
        out = put_records(records, n + 1, made, cap);
    } else if (how == 4) {
        records[which].connection = (unsigned)fuzz_rng_below(r, 4);
        out = put_records(records, n, made, cap);
    } else if (how == 5 && fuzz_rng_below(r, 2) == 0) {
        out = put_records(records, repeat_records(records, n, which, r), made, cap);
    } else if (records[which].operation == TAPE_TO || records[which].operation == TAPE_FROM) {
        out = reseal_records(records, n, version, which, made, cap, r);
    } else {
        records[which].len = change_record(&records[which], room, sizeof room, r);
        records[which].data = room;
        out = put_records(records, n, made, cap);
    }
    memcpy(data + 1, made, out);
    return out + 1;
}

/* see mutate.h */
size_t cross_tapes(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                   struct fuzz_rng *r)
{
    struct tape_record ra[RECORDS_MAX], rb[RECORDS_MAX];
    if (a_size < 1 || b_size < 1 || max < 1)
        return 0;
    size_t na = records_of(ra, a + 1, a_size - 1), nb = records_of(rb, b + 1, b_size - 1);
    size_t head = fuzz_rng_below(r, na + 1), from = fuzz_rng_below(r, nb + 1);
    out[0] = a[0];
    size_t size = 1;
    size += put_records(ra, head, out + size, max - size);
    size += put_records(rb + from, nb - from, out + size, max - size);
    if (fuzz_rng_below(r, 2) == 0)
        size += put_records(ra + head, na - head, out + size, max - size);
    return size;
}
