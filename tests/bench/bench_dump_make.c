/* bench_dump_make.c - a capture of a million messages for the benchmark of tuya-dump.
 *
 *   bench_dump_make VERSION MESSAGES OUT.pcap [mangled]
 *
 * One connection over Ethernet and IPv4, local key 0123456789abcdef: after the handshake (3.4, 3.5) pushes, queries and
 * replies in turn, each in a segment of its own. mangled: the same bytes, but every frame in two segments, every third
 * pair of segments swapped and every fifth segment sent twice. The session key goes to stdout as hex. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tuyawire/session.h"

enum { HEADERS = 14 + 20 + 20, FRAME_MAX = 1024, FILE_BUFFER = 1 << 20 };

static const uint8_t key[TW_KEY_LEN + 1] = "0123456789abcdef";
static const uint8_t client_nonce[TW_SESSION_NONCE_LEN + 1] = "bench-client-non";
static const uint8_t device_nonce[TW_SESSION_NONCE_LEN + 1] = "bench-device-non";

struct maker {
    FILE *out;
    tw_crypto *crypto;
    enum tw_version version;
    uint8_t session[TW_KEY_LEN], nonce[TW_NONCE_LEN];
    uint32_t seq[2]; /* of TCP, per direction */
    uint64_t now_us, n_segments;
    int mangled;
    uint8_t held[FRAME_MAX + HEADERS]; /* a packet that waits to be swapped with the next one */
    size_t held_len;
};

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static void write_packet(struct maker *m, const uint8_t *packet, size_t len)
{
    uint32_t head[4] = {(uint32_t)(m->now_us / 1000000), (uint32_t)(m->now_us % 1000000), (uint32_t)len,
                        (uint32_t)len};
    m->now_us += 100;
    if (fwrite(head, sizeof head, 1, m->out) != 1 || fwrite(packet, 1, len, m->out) != len) {
        perror("bench_dump_make");
        exit(1);
    }
}

static size_t make_packet(uint8_t *p, struct maker *m, enum tw_direction dir, uint8_t flags, const uint8_t *data,
                          size_t n)
{
    static const uint8_t client[4] = {192, 0, 2, 7}, device[4] = {192, 0, 2, 33};
    memset(p, 0, HEADERS);
    p[12] = 0x08;
    p[14] = 0x45;
    put16(p + 16, (unsigned)(40 + n));
    p[22] = 64;
    p[23] = 6;
    memcpy(p + 26, dir == TW_TO_DEVICE ? client : device, 4);
    memcpy(p + 30, dir == TW_TO_DEVICE ? device : client, 4);
    put16(p + 34, dir == TW_TO_DEVICE ? 51000 : 6668);
    put16(p + 36, dir == TW_TO_DEVICE ? 6668 : 51000);
    put32(p + 38, m->seq[dir]);
    put32(p + 42, m->seq[!dir]);
    p[46] = 5 << 4;
    p[47] = flags;
    put16(p + 48, 65535);
    if (n > 0)
        memcpy(p + HEADERS, data, n);
    m->seq[dir] += (uint32_t)n + ((flags & 2) != 0);
    return HEADERS + n;
}

static void write_segment(struct maker *m, enum tw_direction dir, uint8_t flags, const uint8_t *data, size_t n)
{
    uint8_t packet[FRAME_MAX + HEADERS];
    size_t len = make_packet(packet, m, dir, flags, data, n);
    m->n_segments++;
    if (m->mangled && m->n_segments > 20 && m->n_segments % 6 == 0 && m->held_len == 0) {
        memcpy(m->held, packet, len);
        m->held_len = len;
        return;
    }
    write_packet(m, packet, len);
    if (m->held_len > 0) {
        write_packet(m, m->held, m->held_len);
        m->held_len = 0;
    }
    if (m->mangled && m->n_segments % 5 == 0)
        write_packet(m, packet, len);
}

static void write_message(struct maker *m, const struct tw_message *msg)
{
    uint8_t frame[FRAME_MAX];
    size_t len;
    bool negotiated = tw_version_traits(m->version)->negotiates && !tw_command_is_handshake(msg->command);
    for (size_t i = 0; ++m->nonce[i] == 0 && i + 1 < sizeof m->nonce;)
        i++;
    if (tw_message_seal(frame, sizeof frame, &len, m->crypto, msg, negotiated ? m->session : key, m->nonce) !=
        TW_OK) {
        fprintf(stderr, "bench_dump_make: cannot seal\n");
        exit(1);
    }
    size_t first = m->mangled ? len / 2 : len;
    write_segment(m, msg->direction, 0x18, frame, first);
    if (first < len)
        write_segment(m, msg->direction, 0x18, frame + first, len - first);
}

static void say(struct maker *m, enum tw_direction dir, uint32_t seq, uint32_t command, const void *payload,
                size_t len)
{
    struct tw_message msg;
    tw_message_init(&msg, m->version, dir, seq, command);
    msg.payload = (struct tw_span){payload, len};
    write_message(m, &msg);
}

static void negotiate(struct maker *m)
{
    uint8_t resp[TW_SESSION_RESP_LEN], finish[TW_HMAC_LEN];
    memcpy(resp, device_nonce, TW_SESSION_NONCE_LEN);
    tw_session_proof(resp + TW_SESSION_NONCE_LEN, m->crypto, key, client_nonce);
    tw_session_proof(finish, m->crypto, key, device_nonce);
    tw_session_derive(m->session, m->crypto, m->version, key, client_nonce, device_nonce);
    say(m, TW_TO_DEVICE, 1, TW_CMD_SESS_KEY_NEG_START, client_nonce, TW_SESSION_NONCE_LEN);
    say(m, TW_FROM_DEVICE, 1, TW_CMD_SESS_KEY_NEG_RESP, resp, sizeof resp);
    say(m, TW_TO_DEVICE, 2, TW_CMD_SESS_KEY_NEG_FINISH, finish, sizeof finish);
}

static void talk(struct maker *m, unsigned long n)
{
    const struct tw_version_traits *t = tw_version_traits(m->version);
    char text[256];
    for (unsigned long i = 0; i < n; i++) {
        uint32_t seq = (uint32_t)(i / 3 + 3);
        int len;
        switch (i % 3) {
        case 0:
            len = snprintf(text, sizeof text,
                           "{\"gwId\":\"fake0000000000000000id\",\"devId\":\"fake0000000000000000id\",\"t\":\"%lu\"}",
                           1700000000 + i / 1000);
            say(m, TW_TO_DEVICE, seq, t->query, text, (size_t)len);
            break;
        case 1:
            len = snprintf(text, sizeof text,
                           "{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"9\":0,\"18\":%lu,\"19\":%lu,"
                           "\"20\":23%02lu}}",
                           i % 997, i % 6007, i % 90 + 10);
            say(m, TW_FROM_DEVICE, t->seq_echo ? seq : (uint32_t)i, t->query, text, (size_t)len);
            break;
        default:
            len = snprintf(text, sizeof text,
                           "{\"devId\":\"fake0000000000000000id\",\"dps\":{\"19\":%lu,\"20\":23%02lu},\"t\":%lu}",
                           i % 6007, i % 90 + 10, 1700000000 + i / 1000);
            say(m, TW_FROM_DEVICE, t->seq_echo ? 0 : (uint32_t)i, TW_CMD_STATUS, text, (size_t)len);
        }
    }
}

int main(int argc, char **argv)
{
    static const uint32_t header[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 262144, 1};
    struct maker m = {.now_us = 1700000000000000u, .seq = {1000, 9000}};
    if (argc < 4 || tw_version_parse(&m.version, argv[1], strlen(argv[1])) != TW_OK) {
        fprintf(stderr, "usage: bench_dump_make VERSION MESSAGES OUT.pcap [mangled]\n");
        return 2;
    }
    m.mangled = argc > 4;
    m.out = fopen(argv[3], "wb");
    if (m.out == NULL || tw_crypto_new(&m.crypto, 4) != TW_OK) {
        perror(argv[3]);
        return 1;
    }
    setvbuf(m.out, NULL, _IOFBF, FILE_BUFFER);
    fwrite(header, sizeof header, 1, m.out);
    write_segment(&m, TW_TO_DEVICE, 0x02, NULL, 0);
    write_segment(&m, TW_FROM_DEVICE, 0x12, NULL, 0);
    if (tw_version_traits(m.version)->negotiates)
        negotiate(&m);
    talk(&m, strtoul(argv[2], NULL, 10));
    if (m.held_len > 0)
        write_packet(&m, m.held, m.held_len);
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        printf("%02x", m.session[i]);
    putchar('\n');
    tw_crypto_free(m.crypto);
    return fclose(m.out) == 0 ? 0 : 1;
}
