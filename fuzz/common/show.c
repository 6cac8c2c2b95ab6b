/* show.c - see show.h. A tape is run by its harness, which tells what travels (fuzz_witness in fuzz.h). */
#include "show.h"
#include <string.h>
#include "tape.h"
#include "wire.h"

enum { CONNECTIONS = 16, FIRST_PORT = 51234 };

/* One TCP connection, or UDP. A connection that is made again comes from another port. */
struct line {
    struct wire_keys keys; /* as the handshake tells them */
    unsigned client_port;  /* 0: was never made */
    uint32_t seq[2];       /* of TCP, per direction */
};

static struct {
    FILE *out, *pcap;
    unsigned version, n_ports, n_steps;
    uint32_t packets;
    bool over; /* harnesses play a tape twice, whole and cut; once is shown */
    struct line lines[CONNECTIONS];
} show;

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
static void put_packet(struct line *l, bool to_device, const uint8_t *data, size_t len)
{
    bool udp = fuzz_harness.keys == FUZZ_KEYS_DISCOVERY;
    size_t header = udp ? 28 : 40, size = header + len;
    if (show.pcap == NULL || size > 0xffff)
        return;
    uint8_t p[40] = {
        0x45, 0, (uint8_t)(size >> 8), (uint8_t)size, 0, 1, 0x40, 0, 64, udp ? 17 : 6, 0, 0, 192, 0, 2, 0, 192, 0,
        2,    0};
    unsigned device_port = udp ? 6667 : 6668, from = to_device ? l->client_port : device_port,
             to = to_device ? device_port : l->client_port;
    p[15] = to_device ? 5 : 9;
    p[19] = to_device ? 9 : 5;
    p[20] = (uint8_t)(from >> 8), p[21] = (uint8_t)from, p[22] = (uint8_t)(to >> 8), p[23] = (uint8_t)to;
    if (udp) {
        p[24] = (uint8_t)((len + 8) >> 8), p[25] = (uint8_t)(len + 8);
    } else {
        for (int i = 0; i < 4; i++) {
            p[24 + i] = (uint8_t)(l->seq[to_device] >> (24 - 8 * i));
            p[28 + i] = (uint8_t)(l->seq[!to_device] >> (24 - 8 * i));
        }
        p[32] = 0x50, p[33] = 0x18, p[34] = 0x20;
        l->seq[to_device] += (uint32_t)len;
    }
    put_le32(show.pcap, 1700000000 + show.packets++);
    put_le32(show.pcap, 0);
    put_le32(show.pcap, (uint32_t)size);
    put_le32(show.pcap, (uint32_t)size);
    fwrite(p, 1, header, show.pcap);
    fwrite(data, 1, len, show.pcap);
    fflush(show.pcap); /* a broken claim aborts */
}

static void on_connected(unsigned connection)
{
    struct line *l = &show.lines[connection % CONNECTIONS];
    if (show.over)
        return;
    *l = (struct line){.client_port = FIRST_PORT + show.n_ports++, .seq = {1, 1}};
    wire_keys_init(&l->keys, fuzz_harness.keys, show.version);
    l->keys.follow = fuzz_harness.form == FUZZ_TAPE;
}

static void on_carried(unsigned connection, bool to_device, const uint8_t *data, size_t len)
{
    static struct wire wire;
    static const char *const kinds[] = {"no frame", "55AA", "6699"};
    static const char *const secrets[] = {"clear", "ECB", "base64", "GCM"};
    struct line *l = &show.lines[connection % CONNECTIONS];
    if (show.over)
        return;
    if (data == NULL) {
        fprintf(show.out, "  %s %zu bytes are missing\n", to_device ? "to device:" : "from device:", len);
        l->seq[to_device] += (uint32_t)len;
        return;
    }
    wire_clear(&wire);
    wire_read(&wire, &l->keys, show.version, to_device, data, len);
    for (size_t i = 0; i < wire.n; i++) {
        const struct wire_frame *f = &wire.frames[i];
        fprintf(show.out, "  %s %s", to_device ? "to device:" : "from device:", kinds[f->kind]);
        if (f->kind != WIRE_JUNK)
            fprintf(show.out, " seq %u command 0x%02x %s, check value %s", f->seq, f->command, secrets[f->secret],
                    f->intact ? "right" : "WRONG");
        if (f->front_len > 0) {
            fputs("\n    ", show.out);
            put_bytes(show.out, f->front, f->front_len);
        }
        if (f->plain_len > 0) {
            fputs("\n    encrypted: ", show.out);
            put_bytes(show.out, f->plain, f->plain_len);
        }
        putc('\n', show.out);
    }
    put_packet(l, to_device, data, len);
    fflush(show.out);
}

static void on_step(const struct tape_record *t, bool first)
{
    show.over |= first && show.n_steps > 0;
    if (show.over)
        return;
    fprintf(show.out, "%u %s", ++show.n_steps, tape_operation_name(t->operation));
    if (t->connection != 0)
        fprintf(show.out, " connection %u", t->connection);
    const uint8_t *data = t->data;
    size_t len = t->len;
    if (t->operation == TAPE_MESSAGE && len >= 2) {
        fprintf(show.out, " command 0x%02x flags 0x%02x", data[0], data[1]);
        data += 2, len -= 2;
    }
    putc(' ', show.out);
    put_bytes(show.out, data, len);
    putc('\n', show.out);
}

/* see show.h */
void show_input(FILE *out, FILE *pcap, const uint8_t *data, size_t size)
{
    static const char *const versions[] = {"3.1", "3.2", "3.3", "3.4", "3.5"};
    static const struct fuzz_witness witness = {on_step, on_connected, on_carried};
    size_t context = fuzz_harness.context_len < size ? fuzz_harness.context_len : size;
    uint8_t first = context > 0 ? data[0] : 0;
    memset(&show, 0, sizeof show);
    show.out = out;
    show.pcap = pcap;
    show.version = fuzz_context_version(first);
    if (context > 0)
        fprintf(out, "context 0x%02x: %s\n", first, versions[show.version]);
    if (pcap != NULL) {
        static const uint8_t header[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [18] = 1, [20] = 101};
        fwrite(header, 1, sizeof header, pcap);
    }
    if (fuzz_harness.form == FUZZ_TAPE) {
        fuzz_witness = &witness;
        LLVMFuzzerTestOneInput(data, size);
        fuzz_witness = NULL;
    } else if (fuzz_harness.form == FUZZ_STREAM) {
        on_connected(0);
        on_carried(0, !(first & FUZZ_CONTEXT_FROM_DEVICE), data + context, size - context);
    } else if (fuzz_harness.form == FUZZ_TEXT) {
        put_bytes(out, data + context, size - context);
        putc('\n', out);
    } else {
        fprintf(out, "a capture of %zu bytes: tuya-dump -r reads it\n", size);
    }
}
