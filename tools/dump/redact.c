/* redact.c - --redact: the same traffic under other names, re-encrypted with other keys.
 *
 * Nothing of the original packets is copied: every message that could be opened is rewritten (pseudonyms.h), sealed
 * again, and put into a segment of a connection that is made up around it. What could not be opened is left out, since
 * nobody can say what is in it. Times, ports, sequence numbers, commands and values of data points stay. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/file.h"
#include "common/units.h"
#include "output.h"
#include "pcapng.h"
#include "pseudonyms.h"

enum {
    LINKTYPE_ETHERNET = 1,
    BODY_MAX = 3 * 65536, /* an address may become longer; a body at the limit has no room for many */
    FRAME_MAX = BODY_MAX + 65536,
    HEADERS_MAX = 14 + 40 + 20,
    SEGMENT_MAX = 1400,
    DATAGRAM_MAX = 65507,     /* of IPv4 */
    MADE_UP_SEQ = 0x7f000000, /* of frames: so far from others that nobody misses any in between */
    SEQ_APART = 0x01000003,   /* of TCP, between connections */
};

/* A key of the original and the one that takes its place. */
struct new_key {
    size_t index;                /* in the keyring; TW_NO_INDEX: no local key of it is known */
    uint8_t key[TW_KEY_LEN + 1]; /* text and NUL */
    const struct devices_entry *device;
    struct tw_span id; /* the pseudonym */
    int version;
};

struct new_sub_device {
    const struct devices_entry *device;
    struct tw_span gateway; /* the pseudonym; empty: not known */
};

struct redacted_flow {
    size_t key;                         /* in keys */
    bool begun, has_start, has_session; /* a START was written; RESP was, too */
    uint8_t client_nonce[TW_SESSION_NONCE_LEN], device_nonce[TW_SESSION_NONCE_LEN], session[TW_KEY_LEN];
    uint32_t seq[2]; /* of TCP, per side */
};

struct redact {
    struct output output;
    struct out out;
    const char *path, *list_path;
    tw_crypto *crypto;
    struct pseudonyms *names;
    struct new_key *keys;
    size_t n_keys;
    struct new_sub_device *subs;
    size_t n_subs;
    uint64_t n_nonces, n_left_out;
    char *body;
    uint8_t *frame;
    uint16_t ip_id;
};

/* ---- Packets around messages ------------------------------------------------------------------------------------------ */

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

static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    return n % 2 != 0 ? sum + (uint32_t)(p[n - 1] << 8) : sum;
}

static unsigned fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* A locally administered MAC that follows from the address. */
static void put_mac(uint8_t *p, const struct ip_address *a)
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (a->version == 4 && a->bytes[0] == 0xff) {
        memcpy(p, everybody, 6);
        return;
    }
    p[0] = 2;
    p[1] = 0;
    memcpy(p + 2, a->version == 6 ? a->bytes + 12 : a->bytes, 4);
}

/* Ethernet and IP header for n bytes of transport; returns their length. */
static size_t put_ip(struct redact *r, uint8_t *p, const struct ip_address *src, const struct ip_address *dst,
                     uint8_t protocol, size_t n)
{
    put_mac(p, dst);
    put_mac(p + 6, src);
    uint8_t *ip = p + 14;
    if (src->version == 6) {
        put16(p + 12, 0x86dd);
        put32(ip, 0x60000000);
        put16(ip + 4, (unsigned)n);
        ip[6] = protocol;
        ip[7] = 64;
        memcpy(ip + 8, src->bytes, 16);
        memcpy(ip + 24, dst->bytes, 16);
        return 14 + 40;
    }
    put16(p + 12, 0x0800);
    memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(20 + n));
    put16(ip + 4, ++r->ip_id);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, src->bytes, 4);
    memcpy(ip + 16, dst->bytes, 4);
    put16(ip + 10, fold(add_words(0, ip, 20)));
    return 14 + 20;
}

static unsigned transport_checksum(const struct ip_address *src, const struct ip_address *dst, uint8_t protocol,
                                   const uint8_t *head, size_t head_len, struct tw_span body)
{
    size_t address_len = src->version == 6 ? 16 : 4;
    uint32_t sum = add_words(0, src->bytes, address_len) + add_words(0, dst->bytes, address_len);
    sum += protocol + (uint32_t)(head_len + body.len);
    sum = add_words(sum, head, head_len);
    return fold(add_words(sum, body.data, body.len));
}

static void put_segment(struct redact *r, struct conversation *c, struct redacted_flow *f, int side, uint8_t flags,
                        struct tw_span data, uint64_t time_ns)
{
    const struct tcp_endpoint *from = &c->flow->side[side], *to = &c->flow->side[!side];
    struct ip_address src = pseudonym_address(r->names, &from->address),
                      dst = pseudonym_address(r->names, &to->address);
    uint8_t head[HEADERS_MAX];
    size_t at = put_ip(r, head, &src, &dst, 6, 20 + data.len);
    uint8_t *tcp = head + at;
    memset(tcp, 0, 20);
    put16(tcp, from->port);
    put16(tcp + 2, to->port);
    put32(tcp + 4, f->seq[side]);
    put32(tcp + 8, (flags & TCP_ACK) != 0 ? f->seq[!side] : 0);
    tcp[12] = 5 << 4;
    tcp[13] = flags;
    put16(tcp + 14, 65535);
    put16(tcp + 16, transport_checksum(&src, &dst, 6, tcp, 20, data));
    pcapng_packet(&r->out, time_ns, (struct tw_span){head, at + 20}, data);
    f->seq[side] += (uint32_t)data.len + ((flags & (TCP_SYN | TCP_FIN)) != 0);
}

static void put_frame(struct redact *r, struct conversation *c, struct redacted_flow *f, enum tw_direction dir,
                      size_t len, uint64_t time_ns)
{
    int side = dir == TW_FROM_DEVICE ? c->device_side : !c->device_side;
    for (size_t at = 0; at < len; at += SEGMENT_MAX) {
        size_t n = len - at < SEGMENT_MAX ? len - at : SEGMENT_MAX;
        put_segment(r, c, f, side, TCP_ACK | 0x08, (struct tw_span){r->frame + at, n}, time_ns);
    }
}

static void put_datagram(struct redact *r, const struct seen *s, size_t len)
{
    struct ip_address src = pseudonym_address(r->names, &s->src->address),
                      dst = pseudonym_address(r->names, &s->dst->address);
    uint8_t head[HEADERS_MAX];
    struct tw_span data = {r->frame, len};
    size_t at = put_ip(r, head, &src, &dst, 17, 8 + len);
    uint8_t *udp = head + at;
    put16(udp, s->src->port);
    put16(udp + 2, s->dst->port);
    put16(udp + 4, (unsigned)(8 + len));
    put16(udp + 6, 0);
    unsigned sum = transport_checksum(&src, &dst, 17, udp, 8, data);
    put16(udp + 6, sum == 0 ? 0xffff : sum);
    pcapng_packet(&r->out, s->record.time_ns, (struct tw_span){head, at + 8}, data);
}

/* ---- Keys and sessions -------------------------------------------------------------------------------------------------- */

/* Never the same twice in this file; that is all a nonce of a published key has to be. */
static void next_nonce(struct redact *r, uint8_t *out, size_t len)
{
    memset(out, 0, len);
    out[0] = 0xff; /* no text */
    uint64_t n = ++r->n_nonces;
    for (size_t i = len; n > 0 && i-- > 0; n >>= 8)
        out[i] = (uint8_t)n;
}

/* A key of the keyring has one new key, and so has a device of which no key is known. */
static size_t find_key(struct redact *r, size_t index, struct tw_span id)
{
    for (size_t i = 0; index != TW_NO_INDEX && i < r->n_keys; i++)
        if (r->keys[i].index == index)
            return i;
    for (size_t i = 0; id.len > 0 && i < r->n_keys; i++) {
        struct new_key *k = &r->keys[i];
        if (k->id.data == id.data && (index == TW_NO_INDEX || k->index == TW_NO_INDEX)) {
            k->index = index != TW_NO_INDEX ? index : k->index;
            return i;
        }
    }
    return TW_NO_INDEX;
}

static size_t new_key_for(struct redact *r, const struct seen *s, struct tw_span id)
{
    size_t index = s->conversation->who.key_index, found = find_key(r, index, id);
    if (found != TW_NO_INDEX)
        return found;
    struct new_key *grown = realloc(r->keys, (r->n_keys + 1) * sizeof *grown);
    if (grown == NULL)
        return TW_NO_INDEX;
    r->keys = grown;
    struct new_key *k = &r->keys[r->n_keys];
    *k = (struct new_key){.index = index, .device = s->device, .version = s->record.version};
    snprintf((char *)k->key, sizeof k->key, "redact-key-%05u", (unsigned)(r->n_keys + 1) % 100000);
    return r->n_keys++;
}

static struct redacted_flow *flow_of(const struct seen *s)
{
    struct conversation *c = s->conversation;
    if (c->redacted != NULL)
        return c->redacted;
    struct redacted_flow *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->key = TW_NO_INDEX;
    f->seq[0] = (uint32_t)c->number * SEQ_APART; /* or ports that are used again would look like repeated packets */
    f->seq[1] = f->seq[0] + SEQ_APART / 2;
    return c->redacted = f;
}

static bool choose_key(struct redact *r, const struct seen *s, struct redacted_flow *f)
{
    struct tw_span id = pseudonym_of(r->names, s->record.device); /* the same text for the same device */
    if (f->key == TW_NO_INDEX)
        f->key = new_key_for(r, s, id);
    if (f->key == TW_NO_INDEX)
        return false;
    struct new_key *k = &r->keys[f->key];
    if (k->id.len == 0)
        k->id = id;
    if (s->record.version >= 0)
        k->version = s->record.version;
    return true;
}

/* Seal m into r->frame. @return its length, 0 if it cannot be */
static size_t seal(struct redact *r, const struct tw_message *m, const uint8_t *key)
{
    uint8_t nonce[TW_NONCE_LEN];
    size_t len;
    next_nonce(r, nonce, sizeof nonce);
    return tw_message_seal(r->frame, FRAME_MAX, &len, r->crypto, m, key, nonce) == TW_OK ? len : 0;
}

static void put_message(struct redact *r, struct conversation *c, struct redacted_flow *f, const struct tw_message *m,
                        const uint8_t *key, uint64_t time_ns)
{
    size_t len = seal(r, m, key);
    if (len == 0)
        r->n_left_out++;
    else
        put_frame(r, c, f, m->direction, len, time_ns);
}

/* Not, for example, the error by which a device without handshakes answers to START. */
static bool is_step(const struct tw_message *m)
{
    switch (m->command) {
    case TW_CMD_SESS_KEY_NEG_START: return m->direction == TW_TO_DEVICE && m->payload.len >= TW_SESSION_NONCE_LEN;
    case TW_CMD_SESS_KEY_NEG_RESP: return m->direction == TW_FROM_DEVICE && m->payload.len >= TW_SESSION_RESP_LEN;
    case TW_CMD_SESS_KEY_NEG_FINISH: return m->direction == TW_TO_DEVICE && m->payload.len >= TW_SESSION_FINISH_LEN;
    default: return false;
    }
}

/* A message of a handshake, between the new names. */
static void put_step(struct redact *r, struct conversation *c, struct redacted_flow *f, struct tw_message m,
                     uint64_t time_ns)
{
    uint8_t payload[TW_SESSION_RESP_LEN];
    const uint8_t *key = r->keys[f->key].key;
    m.payload = (struct tw_span){payload, TW_SESSION_FINISH_LEN};
    switch (m.command) {
    case TW_CMD_SESS_KEY_NEG_START:
        next_nonce(r, f->client_nonce, sizeof f->client_nonce);
        f->has_start = true;
        m.payload = (struct tw_span){f->client_nonce, sizeof f->client_nonce};
        break;
    case TW_CMD_SESS_KEY_NEG_RESP:
        next_nonce(r, f->device_nonce, sizeof f->device_nonce);
        f->has_session =
            tw_session_derive(f->session, r->crypto, m.version, key, f->client_nonce, f->device_nonce) == TW_OK;
        memcpy(payload, f->device_nonce, sizeof f->device_nonce);
        tw_session_proof(payload + sizeof f->device_nonce, r->crypto, key, f->client_nonce);
        m.payload.len = TW_SESSION_RESP_LEN;
        m.has_retcode = true; /* or the nonce might be taken for one */
        break;
    default: tw_session_proof(payload, r->crypto, key, f->device_nonce);
    }
    put_message(r, c, f, &m, key, time_ns);
}

/* What comes before this command in a handshake, as far as it was not captured or could not be opened: made up, or nobody
 * could read on. */
static void put_handshake_before(struct redact *r, const struct seen *s, struct redacted_flow *f, enum tw_version v,
                                 uint32_t command)
{
    const bool missing[] = {!f->has_start, !f->has_session, !f->has_session};
    for (uint32_t next = TW_CMD_SESS_KEY_NEG_START; next < command && next <= TW_CMD_SESS_KEY_NEG_FINISH; next++) {
        struct tw_message m;
        bool by_device = next == TW_CMD_SESS_KEY_NEG_RESP;
        uint32_t seq = MADE_UP_SEQ + (next == TW_CMD_SESS_KEY_NEG_FINISH); /* each side counts its own */
        tw_message_init(&m, v, by_device ? TW_FROM_DEVICE : TW_TO_DEVICE, seq, next);
        if (missing[next - TW_CMD_SESS_KEY_NEG_START])
            put_step(r, s->conversation, f, m, s->record.time_ns);
    }
}

/* ---- Messages --------------------------------------------------------------------------------------------------------- */

/* @return false: there is no room for it, since addresses became longer */
static bool rewrite(struct redact *r, struct tw_span *payload)
{
    struct tw_text text = {.data = r->body, .cap = BODY_MAX};
    if (payload->len == 0)
        return true;
    pseudonyms_rewrite(r->names, &text, *payload);
    *payload = (struct tw_span){(const uint8_t *)text.data, text.len};
    return !text.overflow;
}

static void begin_connection(struct redact *r, struct conversation *c, struct redacted_flow *f, uint64_t time_ns)
{
    int client = !c->device_side;
    const struct tw_span none = {0};
    if (f->begun)
        return;
    f->begun = true;
    put_segment(r, c, f, client, TCP_SYN, none, time_ns);
    put_segment(r, c, f, !client, TCP_SYN | TCP_ACK, none, time_ns);
    put_segment(r, c, f, client, TCP_ACK, none, time_ns);
}

/* In clear, on a connection whose key is not known yet or not needed at all. */
static bool redact_clear(struct redact *r, struct seen *s, struct redacted_flow *f)
{
    struct tw_message m = s->observed->message;
    if (s->conversation->who.key_index != TW_NO_INDEX || m.encrypted || tw_version_traits(m.version)->negotiates)
        return false;
    size_t len = rewrite(r, &m.payload) ? seal(r, &m, NULL) : 0;
    if (len > 0)
        put_frame(r, s->conversation, f, m.direction, len, s->record.time_ns);
    return len > 0;
}

static void redact_message(struct redact *r, struct seen *s)
{
    struct redacted_flow *f = flow_of(s);
    struct conversation *c = s->conversation;
    if (f == NULL || c->device_side < 0) {
        r->n_left_out++;
        return;
    }
    begin_connection(r, c, f, s->record.time_ns);
    if (redact_clear(r, s, f))
        return;
    if (!choose_key(r, s, f)) {
        r->n_left_out++;
        return;
    }
    struct tw_message m = s->observed->message;
    if (m.header.source > 1)
        m.header.source = 2 + (uint32_t)(c->number & 0xffff); /* a client's random id */
    bool negotiates = tw_version_traits(m.version)->negotiates, step = negotiates && is_step(&m);
    bool in_session = negotiates && s->observed->key_kind == TW_KEY_SESSION;
    if (step || in_session)
        put_handshake_before(r, s, f, m.version, step ? m.command : UINT32_MAX);
    if (step)
        put_step(r, c, f, m, s->record.time_ns);
    else if (rewrite(r, &m.payload))
        put_message(r, c, f, &m, in_session ? f->session : r->keys[f->key].key, s->record.time_ns);
    else
        r->n_left_out++;
}

static void redact_discovery(struct redact *r, struct seen *s)
{
    struct tw_message m = s->discovery->message;
    bool in_setup = m.version == TW_V35 && m.command == TW_CMD_SCENE_EXECUTE;
    if (!s->discovery->framed) {
        tw_message_init(&m, TW_V33, TW_FROM_DEVICE, 0, TW_CMD_UDP_NEW);
        m.payload = s->discovery->message.payload;
    }
    if (m.version == TW_V34)
        m.version = TW_V33; /* its announcements have a CRC */
    size_t len = rewrite(r, &m.payload) ? seal(r, &m, in_setup ? tw_ap_key : tw_udp_key) : 0;
    if (len == 0 || len > DATAGRAM_MAX)
        r->n_left_out++;
    else
        put_datagram(r, s, len);
}

/* Its data points have names in the list. */
static void keep_sub_device(struct redact *r, const struct seen *s)
{
    const struct devices_entry *e = sub_device_of(s);
    for (size_t i = 0; e != NULL && i < r->n_subs; i++)
        if (r->subs[i].device == e)
            return;
    struct new_sub_device *grown = e != NULL ? realloc(r->subs, (r->n_subs + 1) * sizeof *grown) : NULL;
    if (grown == NULL)
        return;
    r->subs = grown;
    r->subs[r->n_subs++] = (struct new_sub_device){e, pseudonym_of(r->names, s->record.device)};
}

static void redact_seen(struct output *o, struct seen *s)
{
    struct redact *r = (struct redact *)o;
    if (s->observed != NULL && s->observed->why == TW_WHY_LOST && s->conversation->redacted != NULL) {
        struct redacted_flow *f = s->conversation->redacted;
        int device = s->conversation->device_side;
        f->seq[s->observed->direction == TW_FROM_DEVICE ? device : !device] += (uint32_t)s->observed->missing;
        return;
    }
    if (s->record.error != TW_OK) {
        r->n_left_out += s->record.cmd >= 0;
        return;
    }
    if (s->discovery != NULL)
        redact_discovery(r, s);
    else if (s->observed != NULL && s->conversation != NULL && s->observed->has_frame)
        redact_message(r, s);
    keep_sub_device(r, s);
}

static void redact_closed(struct output *o, struct conversation *c, uint64_t time_ns)
{
    struct redact *r = (struct redact *)o;
    struct redacted_flow *f = c->redacted;
    const struct tw_span none = {0};
    if (f != NULL && f->begun) {
        put_segment(r, c, f, !c->device_side, TCP_FIN | TCP_ACK, none, time_ns);
        put_segment(r, c, f, c->device_side, TCP_FIN | TCP_ACK, none, time_ns);
        put_segment(r, c, f, !c->device_side, TCP_ACK, none, time_ns);
    }
    free(f);
    c->redacted = NULL;
}

/* ---- The device list beside it ------------------------------------------------------------------------------------------ */

static struct tw_span span_of(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* A JSON string; the device list may say anything in it. */
static void put_string(FILE *f, struct tw_span s)
{
    fputc('"', f);
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20)
            fprintf(f, "\\u%04x", (unsigned)s.data[i]);
        else
            fprintf(f, s.data[i] == '"' || s.data[i] == '\\' ? "\\%c" : "%c", s.data[i]);
    }
    fputc('"', f);
}

static void put_mapping(FILE *f, const struct devices_entry *e)
{
    bool first = true;
    fputs(",\"mapping\":{", f);
    for (size_t i = 0; i < e->n_dps; i++) {
        const struct devices_dp *dp = &e->dps[i];
        if (dp->id == 0)
            continue;
        fprintf(f, "%s\"%" PRIu32 "\":{\"code\":", first ? "" : ",", dp->id);
        put_string(f, span_of(dp->code));
        fprintf(f, ",\"type\":\"%s\",\"values\":{\"unit\":", devices_dp_type_name(dp->type));
        put_string(f, span_of(dp->unit));
        fprintf(f, ",\"scale\":%d}}", dp->scale);
        first = false;
    }
    fputs("}", f);
}

/* What names its data points: the mapping, or a category that tells. */
static void put_meaning(FILE *f, const struct devices_entry *e)
{
    if (e != NULL && units_family_of_category(e->category) != UNITS_FAMILY_UNKNOWN)
        fprintf(f, ",\"category\":\"%s\"", e->category);
    if (e != NULL && e->has_mapping)
        put_mapping(f, e);
}

static void put_device(FILE *f, const struct new_key *k, size_t number)
{
    char unknown[32];
    snprintf(unknown, sizeof unknown, "unknown%zu", number);
    fprintf(f, "%s {\"name\":\"Device %zu\",\"id\":", number > 1 ? ",\n" : "", number);
    put_string(f, k->id.len > 0 ? k->id : span_of(unknown));
    fprintf(f, ",\"key\":\"%s\",\"version\":\"%s\"", (const char *)k->key,
            k->version >= 0 ? tw_version_name((enum tw_version)k->version) : "3.3");
    put_meaning(f, k->device);
    fputs("}", f);
}

static void put_sub_device(FILE *f, struct pseudonyms *names, const struct new_sub_device *s, size_t number)
{
    fprintf(f, ",\n {\"name\":\"Sub-device %zu\",\"id\":", number);
    put_string(f, pseudonym_of(names, span_of(s->device->id)));
    fputs(",\"sub\":true,\"node_id\":", f);
    put_string(f, pseudonym_of(names, span_of(devices_cid(s->device))));
    if (s->gateway.len > 0) {
        fputs(",\"parent\":", f);
        put_string(f, s->gateway);
    }
    put_meaning(f, s->device);
    fputs("}", f);
}

static int write_devices(const struct redact *r, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    if (r->n_keys == 0)
        return 0; /* all of it was in clear; a list of nobody is no list */
    FILE *f = open_memstream(&text, &len);
    if (f == NULL)
        return why_set(why, "out of memory");
    fputs("[\n", f);
    for (size_t i = 0; i < r->n_keys; i++)
        put_device(f, &r->keys[i], i + 1);
    for (size_t i = 0; i < r->n_subs; i++)
        put_sub_device(f, r->names, &r->subs[i], i + 1);
    fputs("\n]\n", f);
    int rc = fclose(f) != 0 ? why_set(why, "out of memory") : file_write_atomic(r->list_path, text, len, 0644, why);
    free(text);
    if (rc == 0)
        say_warn("--redact: %s decodes with --devices %s", r->path, r->list_path);
    return rc;
}

static int redact_finish(struct output *o, struct why *why)
{
    struct redact *r = (struct redact *)o;
    if (out_flush(&r->out) != 0)
        return why_set(why, "%s: %s", r->path, strerror(r->out.error));
    if (r->n_left_out > 0)
        say_warn("--redact: %" PRIu64 " message%s could not be opened and %s left out: give more keys to keep them",
                 r->n_left_out, r->n_left_out == 1 ? "" : "s", r->n_left_out == 1 ? "is" : "are");
    return write_devices(r, why);
}

static void redact_free(struct output *o)
{
    struct redact *r = (struct redact *)o;
    if (r->out.fd >= 0)
        close(r->out.fd);
    out_free(&r->out);
    pseudonyms_free(r->names);
    tw_crypto_free(r->crypto);
    free(r->keys);
    free(r->subs);
    free(r->body);
    free(r->frame);
    free(r);
}

int output_redact(struct output **out, const char *path, const char *list_path, const struct devices *devices,
                  struct why *why)
{
    struct redact *r = calloc(1, sizeof *r);
    if (r == NULL)
        return why_set(why, "out of memory");
    r->output =
        (struct output){.seen = redact_seen, .closed = redact_closed, .finish = redact_finish, .free = redact_free};
    r->path = path;
    r->list_path = list_path;
    r->names = pseudonyms_new();
    r->body = malloc(BODY_MAX);
    r->frame = malloc(FRAME_MAX);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ready = out_init(&r->out, fd) == 0 && tw_crypto_new(&r->crypto, 64) == TW_OK && r->names != NULL &&
                 r->body != NULL && r->frame != NULL &&
                 (devices == NULL || pseudonyms_add_devices(r->names, devices) == 0);
    if (fd < 0 || !ready) {
        why_set(why, "%s: %s", path, fd < 0 ? strerror(errno) : "out of memory");
        redact_free(&r->output);
        return -1;
    }
    pcapng_begin(&r->out, LINKTYPE_ETHERNET, "tuya-dump");
    *out = &r->output;
    return 0;
}
