/* pcapng.c - see pcapng.h. */
#include "pcapng.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINKTYPE_RAW = 101,
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    SEGMENT_MAX = 1400, /* bytes of TCP payload per packet */
    PACKET_MAX = 65535,
};
enum { FIN = 1, SYN = 2, PSH = 8, ACK = 16 };

struct endpoint {
    uint8_t ip[16];
    uint16_t port;
    uint32_t seq;
};

struct pcapng_flow {
    bool v6;
    struct endpoint client, device;
};

struct pcapng {
    FILE *file; /* NULL: given up */
    char path[256];
    bool dirty, lost;
    uint32_t isn; /* initial sequence numbers count up: the file follows from the traffic */
};

/* ---- blocks: host byte order, lengths in fours ------------------------------------------------------------------ */

static void give_up(struct pcapng *p)
{
    say_warn("cannot write the capture %s: %s; the simulation goes on without it", p->path, strerror(errno));
    fclose(p->file);
    p->file = NULL;
    p->lost = true;
}

static void put(struct pcapng *p, const void *bytes, size_t n)
{
    if (p->file != NULL && n > 0 && fwrite(bytes, 1, n, p->file) != n)
        give_up(p);
}

static void put_block(struct pcapng *p, uint32_t type, const void *head, size_t head_len, const void *body,
                      size_t body_len)
{
    static const uint8_t zeros[4];
    size_t pad = (4 - (head_len + body_len) % 4) % 4;
    uint32_t total = (uint32_t)(12 + head_len + body_len + pad);
    put(p, &type, 4);
    put(p, &total, 4);
    put(p, head, head_len);
    put(p, body, body_len);
    put(p, zeros, pad);
    put(p, &total, 4);
    p->dirty = true;
}

static void put_packet(struct pcapng *p, const uint8_t *packet, size_t n, uint64_t time_ns)
{
    const uint32_t head[] = {0, (uint32_t)(time_ns >> 32), (uint32_t)time_ns, (uint32_t)n, (uint32_t)n};
    put_block(p, 6, head, sizeof head, packet, n); /* enhanced packet block */
}

int pcapng_open(struct pcapng **out, const char *path, struct why *why)
{
    struct pcapng *p = calloc(1, sizeof *p);
    if (p == NULL)
        return why_set(why, "out of memory");
    strncpy(p->path, path, sizeof p->path - 1);
    p->file = fopen(path, "wbe");
    if (p->file == NULL) {
        why_set(why, "cannot write %s: %s", path, strerror(errno));
        free(p);
        return -1;
    }
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        uint32_t length[2];
    } section = {0x1A2B3C4D, 1, 0, {0xFFFFFFFF, 0xFFFFFFFF}};
    /* option 9, if_tsresol: 10^-9 s; option 0 ends the list */
    const struct {
        uint16_t link_type, reserved;
        uint32_t snap_len;
        uint16_t code, length;
        uint8_t resolution[4];
        uint16_t end[2];
    } interface = {LINKTYPE_RAW, 0, 0, 9, 1, {9}, {0, 0}};
    put_block(p, 0x0A0D0D0A, &section, sizeof section, NULL, 0);
    put_block(p, 1, &interface, sizeof interface, NULL, 0);
    *out = p;
    return 0;
}

int pcapng_flush(struct pcapng *p)
{
    if (p->dirty && p->file != NULL && fflush(p->file) != 0)
        give_up(p);
    bool lost = p->lost;
    p->dirty = p->lost = false;
    return lost ? -1 : 0;
}

void pcapng_close(struct pcapng *p)
{
    if (p == NULL)
        return;
    pcapng_flush(p);
    if (p->file != NULL)
        fclose(p->file);
    free(p);
}

/* ---- packets ---------------------------------------------------------------------------------------------------- */

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    if (n % 2 == 1)
        sum += (uint32_t)p[n - 1] << 8;
    return sum;
}

static uint32_t fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return ~sum & 0xFFFF;
}

static void copy_address(uint8_t ip[16], uint16_t *port, const struct sockaddr *at)
{
    if (at->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at;
        memcpy(ip, &v6->sin6_addr, 16);
        *port = ntohs(v6->sin6_port);
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)at;
        memcpy(ip, &v4->sin_addr, 4);
        *port = ntohs(v4->sin_port);
    }
}

/* An IP header in front of a transport of n bytes; its checksum field stands at check. */
static size_t put_ip(uint8_t *packet, bool v6, uint8_t protocol, const uint8_t *from, const uint8_t *to, size_t n,
                     size_t check)
{
    size_t at = v6 ? IPV6_HEADER : IPV4_HEADER, address = v6 ? 16 : 4;
    uint8_t *transport = packet + at;
    uint32_t sum = sum16(0, from, address);
    sum = sum16(sum, to, address) + protocol + (uint32_t)n;
    put16(transport + check, fold(sum16(sum, transport, n)));
    memset(packet, 0, at);
    if (v6) {
        packet[0] = 0x60;
        put16(packet + 4, (uint32_t)n);
        packet[6] = protocol;
        packet[7] = 64;
        memcpy(packet + 8, from, 16);
        memcpy(packet + 24, to, 16);
    } else {
        packet[0] = 0x45;
        put16(packet + 2, (uint32_t)(at + n));
        packet[6] = 0x40; /* do not fragment */
        packet[8] = 64;
        packet[9] = protocol;
        memcpy(packet + 12, from, 4);
        memcpy(packet + 16, to, 4);
        put16(packet + 10, fold(sum16(0, packet, IPV4_HEADER)));
    }
    return at + n;
}

static void put_segment(struct pcapng *p, struct pcapng_flow *f, bool from_device, unsigned flags,
                        const uint8_t *bytes, size_t n, uint64_t time_ns)
{
    uint8_t packet[IPV6_HEADER + TCP_HEADER + SEGMENT_MAX];
    struct endpoint *from = from_device ? &f->device : &f->client, *to = from_device ? &f->client : &f->device;
    uint8_t *tcp = packet + (f->v6 ? IPV6_HEADER : IPV4_HEADER);
    memset(tcp, 0, TCP_HEADER);
    put16(tcp, from->port);
    put16(tcp + 2, to->port);
    put32(tcp + 4, from->seq);
    put32(tcp + 8, flags & ACK ? to->seq : 0);
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, 65535);
    if (n > 0)
        memcpy(tcp + TCP_HEADER, bytes, n);
    size_t len = put_ip(packet, f->v6, IPPROTO_TCP, from->ip, to->ip, TCP_HEADER + n, 16);
    put_packet(p, packet, len, time_ns);
    from->seq += (uint32_t)n + (flags & (SYN | FIN) ? 1 : 0);
}

struct pcapng_flow *pcapng_connect(struct pcapng *p, const struct sockaddr *client, const struct sockaddr *device,
                                   uint64_t time_ns)
{
    struct pcapng_flow *f = p->file != NULL ? calloc(1, sizeof *f) : NULL;
    if (f == NULL)
        return NULL;
    f->v6 = client->sa_family == AF_INET6;
    copy_address(f->client.ip, &f->client.port, client);
    copy_address(f->device.ip, &f->device.port, device);
    f->client.seq = p->isn += 100000;
    f->device.seq = p->isn += 100000;
    put_segment(p, f, false, SYN, NULL, 0, time_ns);
    put_segment(p, f, true, SYN | ACK, NULL, 0, time_ns);
    put_segment(p, f, false, ACK, NULL, 0, time_ns);
    return f;
}

void pcapng_bytes(struct pcapng *p, struct pcapng_flow *f, bool from_device, const uint8_t *bytes, size_t n,
                  uint64_t time_ns)
{
    if (f == NULL)
        return;
    for (size_t at = 0; at < n; at += SEGMENT_MAX) {
        size_t len = n - at < SEGMENT_MAX ? n - at : SEGMENT_MAX;
        put_segment(p, f, from_device, PSH | ACK, bytes + at, len, time_ns);
    }
}

void pcapng_disconnect(struct pcapng *p, struct pcapng_flow *f, uint64_t time_ns)
{
    if (f == NULL)
        return;
    put_segment(p, f, true, FIN | ACK, NULL, 0, time_ns);
    put_segment(p, f, false, FIN | ACK, NULL, 0, time_ns);
    put_segment(p, f, true, ACK, NULL, 0, time_ns);
    free(f);
}

void pcapng_datagram(struct pcapng *p, const struct sockaddr *from, const struct sockaddr *to, const uint8_t *bytes,
                     size_t n, uint64_t time_ns)
{
    uint8_t packet[IPV6_HEADER + UDP_HEADER + 2048], source[16], target[16];
    uint16_t source_port, target_port;
    if (n > 2048)
        return;
    bool v6 = from->sa_family == AF_INET6;
    copy_address(source, &source_port, from);
    copy_address(target, &target_port, to);
    uint8_t *udp = packet + (v6 ? IPV6_HEADER : IPV4_HEADER);
    put16(udp, source_port);
    put16(udp + 2, target_port);
    put16(udp + 4, (uint32_t)(UDP_HEADER + n));
    put16(udp + 6, 0);
    memcpy(udp + UDP_HEADER, bytes, n);
    size_t len = put_ip(packet, v6, IPPROTO_UDP, source, target, UDP_HEADER + n, 6);
    put_packet(p, packet, len, time_ns);
}
