/* exported.c - -w: decrypted messages in a capture that any stock Wireshark shows, without a plugin.
 *
 * Each packet is an "exported PDU": tags with addresses, ports and the name of the dissector that the rest is for, which
 * is the record of the message for Wireshark's JSON dissector.
 * Source: LINKTYPE_WIRESHARK_UPPER_PDU; Wireshark wsutil/exported_pdu_tlvs.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "output.h"
#include "pcapng.h"

enum {
    LINKTYPE_WIRESHARK_UPPER_PDU = 252,
    TAG_END = 0,
    TAG_DISSECTOR_NAME = 12,
    TAG_IPV4_SRC = 20,
    TAG_IPV4_DST = 21,
    TAG_IPV6_SRC = 22,
    TAG_IPV6_DST = 23,
    TAG_PORT_TYPE = 24,
    TAG_SRC_PORT = 25,
    TAG_DST_PORT = 26,
    TAG_PROTOCOL_TEXT = 33,
    PORT_TCP = 2,
    PORT_UDP = 3,
    TAGS_MAX = 256,
    PACKET_MAX = 262144, /* what Wireshark reads: WTAP_MAX_PACKET_SIZE_STANDARD of its wiretap/wtap.h */
};

struct exported {
    struct output output;
    struct out out;
    const char *path;
    struct record_buffer line;
};

struct tags {
    uint8_t data[TAGS_MAX];
    size_t len;
};

/* Values are padded to four bytes; all numbers big endian. */
static void put_tag(struct tags *t, unsigned tag, const void *value, size_t n)
{
    size_t room = (n + 3) & ~(size_t)3;
    if (sizeof t->data - t->len < 4 + room)
        return;
    uint8_t *p = t->data + t->len;
    p[0] = 0;
    p[1] = (uint8_t)tag;
    p[2] = 0;
    p[3] = (uint8_t)room;
    memset(p + 4, 0, room);
    if (n > 0)
        memcpy(p + 4, value, n);
    t->len += 4 + room;
}

static void put_tag_number(struct tags *t, unsigned tag, uint32_t n)
{
    const uint8_t value[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    put_tag(t, tag, value, sizeof value);
}

static void put_tag_endpoints(struct tags *t, const struct seen *s)
{
    if (s->src == NULL || s->dst == NULL)
        return;
    bool v6 = s->src->address.version == 6;
    put_tag(t, v6 ? TAG_IPV6_SRC : TAG_IPV4_SRC, s->src->address.bytes, v6 ? 16 : 4);
    put_tag(t, v6 ? TAG_IPV6_DST : TAG_IPV4_DST, s->dst->address.bytes, v6 ? 16 : 4);
    put_tag_number(t, TAG_PORT_TYPE, s->conversation != NULL ? PORT_TCP : PORT_UDP);
    put_tag_number(t, TAG_SRC_PORT, s->src->port);
    put_tag_number(t, TAG_DST_PORT, s->dst->port);
}

static void exported_seen(struct output *o, struct seen *s)
{
    struct exported *e = (struct exported *)o;
    struct tags tags = {.len = 0};
    char protocol[16];
    snprintf(protocol, sizeof protocol, "TUYA %s",
             s->record.version >= 0 ? tw_version_name((enum tw_version)s->record.version) : "?");
    put_tag(&tags, TAG_DISSECTOR_NAME, "json", 4);
    put_tag(&tags, TAG_PROTOCOL_TEXT, protocol, strlen(protocol));
    put_tag_endpoints(&tags, s);
    put_tag(&tags, TAG_END, NULL, 0);
    struct record r = s->record;
    for (bool fits = false; !fits;) {
        e->line.len = 0;
        if (record_append(&e->line, &r) != 0)
            return;
        fits = r.payload.len == 0 || tags.len + e->line.len <= PACKET_MAX;
        if (!fits) {
            r.payload = (struct tw_span){0};
            r.detail = "the content is larger than Wireshark takes; tuya-dump --json shows it";
        }
    }
    const struct tw_span head = {tags.data, tags.len};
    pcapng_packet(&e->out, s->record.time_ns, head, (struct tw_span){(const uint8_t *)e->line.data, e->line.len - 1});
}

static int exported_finish(struct output *o, struct why *why)
{
    struct exported *e = (struct exported *)o;
    int rc = out_flush(&e->out);
    return rc == 0 ? 0 : why_set(why, "%s: %s", e->path, strerror(e->out.error));
}

static void exported_free(struct output *o)
{
    struct exported *e = (struct exported *)o;
    if (e->out.fd != STDOUT_FILENO)
        close(e->out.fd);
    out_free(&e->out);
    free(e->line.data);
    free(e);
}

int output_exported(struct output **out, const char *path, struct why *why)
{
    struct exported *e = calloc(1, sizeof *e);
    if (e == NULL)
        return why_set(why, "out of memory");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        free(e);
        return why_set(why, "%s: %s", path, strerror(errno));
    }
    e->output = (struct output){.seen = exported_seen, .finish = exported_finish, .free = exported_free};
    e->path = path;
    if (out_init(&e->out, fd) != 0) {
        exported_free(&e->output);
        return why_set(why, "out of memory");
    }
    pcapng_begin(&e->out, LINKTYPE_WIRESHARK_UPPER_PDU, "tuya-dump");
    *out = &e->output;
    return 0;
}
