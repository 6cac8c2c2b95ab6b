/* show.c - see show.h. */
#include "show.h"
#include <string.h>
#include "tape.h"
#include "wire.h"

struct shower {
    FILE *out, *pcap;
    unsigned version;
    uint32_t seq[2]; /* of TCP, per direction */
    uint32_t packets;
};

static void put_bytes(FILE *f, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] >= 0x20 && data[i] < 0x7f)
            putc(data[i], f);
        else
            fprintf(f, "\\x%02x", data[i]);
}

static void put_le32(FILE *f, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        putc((int)(n >> (8 * i) & 0xff), f);
}

/* Linktype 101, raw IP: the shortest packet there is. Checksums are left out. */
static void put_packet(struct shower *s, bool to_device, const uint8_t *data, size_t len)
{
    bool udp = fuzz_harness.keys == FUZZ_KEYS_DISCOVERY;
    size_t header = udp ? 28 : 40, size = header + len;
    if (s->pcap == NULL || size > 0xffff)
        return;
    uint8_t p[40] = {
        0x45, 0, (uint8_t)(size >> 8), (uint8_t)size, 0, 1, 0x40, 0, 64, udp ? 17 : 6, 0, 0, 192, 0, 2, 0, 192, 0,
        2,    0};
    unsigned device_port = udp ? 6667 : 6668, from = to_device ? 51234 : device_port,
             to = to_device ? device_port : 51234;
    p[15] = to_device ? 5 : 9;
    p[19] = to_device ? 9 : 5;
    p[20] = (uint8_t)(from >> 8), p[21] = (uint8_t)from, p[22] = (uint8_t)(to >> 8), p[23] = (uint8_t)to;
    if (udp) {
        p[24] = (uint8_t)((len + 8) >> 8), p[25] = (uint8_t)(len + 8);
    } else {
        for (int i = 0; i < 4; i++) {
            p[24 + i] = (uint8_t)(s->seq[to_device] >> (24 - 8 * i));
            p[28 + i] = (uint8_t)(s->seq[!to_device] >> (24 - 8 * i));
        }
        p[32] = 0x50, p[33] = 0x18, p[34] = 0x20;
        s->seq[to_device] += (uint32_t)len;
    }
    put_le32(s->pcap, 1700000000 + s->packets++);
    put_le32(s->pcap, 0);
    put_le32(s->pcap, (uint32_t)size);
    put_le32(s->pcap, (uint32_t)size);
    fwrite(p, 1, header, s->pcap);
    fwrite(data, 1, len, s->pcap);
}

static void show_frames(struct shower *s, struct wire_keys *keys, bool to_device, const uint8_t *data, size_t len)
{
    static struct wire wire;
    static const char *const kinds[] = {"no frame", "55AA", "6699"};
    static const char *const secrets[] = {"clear", "ECB", "base64", "GCM"};
    wire_clear(&wire);
    wire_read(&wire, keys, s->version, to_device, data, len);
    for (size_t i = 0; i < wire.n; i++) {
        const struct wire_frame *f = &wire.frames[i];
        fprintf(s->out, "  %s %s", to_device ? "to device:" : "from device:", kinds[f->kind]);
        if (f->kind != WIRE_JUNK)
            fprintf(s->out, " seq %u command 0x%02x %s, check value %s", f->seq, f->command, secrets[f->secret],
                    f->intact ? "right" : "WRONG");
        if (f->front_len > 0) {
            fputs("\n    ", s->out);
            put_bytes(s->out, f->front, f->front_len);
        }
        if (f->plain_len > 0) {
            fputs("\n    encrypted: ", s->out);
            put_bytes(s->out, f->plain, f->plain_len);
        }
        putc('\n', s->out);
    }
    put_packet(s, to_device, data, len);
}

static void show_tape(struct shower *s, struct wire_keys *keys, const uint8_t *data, size_t size)
{
    struct tape tape = {data, size, 0};
    struct tape_record t;
    keys->follow = true;
    for (unsigned n = 1; tape_next(&t, &tape); n++) {
        fprintf(s->out, "%u %s", n, tape_operation_name(t.operation));
        if (t.connection != 0)
            fprintf(s->out, " connection %u", t.connection);
        if (t.operation == TAPE_TO || t.operation == TAPE_FROM) {
            putc('\n', s->out);
            show_frames(s, keys, t.operation == TAPE_TO, t.data, t.len);
            continue;
        }
        if (t.operation == TAPE_MESSAGE && t.len >= 2) {
            fprintf(s->out, " command 0x%02x flags 0x%02x", t.data[0], t.data[1]);
            t.data += 2, t.len -= 2;
        }
        putc(' ', s->out);
        put_bytes(s->out, t.data, t.len);
        putc('\n', s->out);
    }
}

/* see show.h */
void show_input(FILE *out, FILE *pcap, const uint8_t *data, size_t size)
{
    static const char *const versions[] = {"3.1", "3.2", "3.3", "3.4", "3.5"};
    size_t context = fuzz_harness.context_len < size ? fuzz_harness.context_len : size;
    uint8_t first = context > 0 ? data[0] : 0;
    struct shower s = {out, pcap, fuzz_context_version(first), {1, 1}, 0};
    struct wire_keys keys;
    wire_keys_init(&keys, fuzz_harness.keys, s.version);
    if (context > 0)
        fprintf(out, "context 0x%02x: %s\n", first, versions[s.version]);
    if (pcap != NULL) {
        static const uint8_t header[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [18] = 1, [20] = 101};
        fwrite(header, 1, sizeof header, pcap);
    }
    if (fuzz_harness.form == FUZZ_TAPE)
        show_tape(&s, &keys, data + context, size - context);
    else if (fuzz_harness.form == FUZZ_STREAM)
        show_frames(&s, &keys, !(first & FUZZ_CONTEXT_FROM_DEVICE), data + context, size - context);
    else if (fuzz_harness.form == FUZZ_TEXT)
        put_bytes(out, data + context, size - context), putc('\n', out);
    else
        fprintf(out, "a capture of %zu bytes: tuya-dump -r reads it\n", size);
}
