/* tap.c - who listens in: each message as a record for the journal, each byte for the capture. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "pcapng.h"
#include "server_private.h"

struct tap {
    char client[64], device[64]; /* "127.0.0.1:51234" */
    struct pcapng_flow *flow;
};

bool tap_wanted(const struct server *s)
{
    return journal_wanted(s->journal) || s->pcapng != NULL;
}

uint64_t tap_now_ns(const struct server *s)
{
    if (s->cfg.virtual_clock)
        return (uint64_t)s->cfg.epoch_s * 1000000000u + s->virtual_ms * 1000000u;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void write_address(char out[64], const struct sockaddr_storage *at)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    uv_ip_name((const struct sockaddr *)at, ip, sizeof ip);
    bool v6 = at->ss_family == AF_INET6;
    uint16_t port =
        ntohs(v6 ? ((const struct sockaddr_in6 *)at)->sin6_port : ((const struct sockaddr_in *)at)->sin_port);
    snprintf(out, 64, v6 ? "[%s]:%u" : "%s:%u", ip, port);
}

struct tap *tap_open(struct conn *c)
{
    struct server *s = c->server;
    if (!tap_wanted(s))
        return NULL;
    struct tap *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    struct sockaddr_storage client = {0}, device = {0};
    int client_len = sizeof client, device_len = sizeof device;
    uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&client, &client_len);
    uv_tcp_getsockname(&c->tcp, (struct sockaddr *)&device, &device_len);
    write_address(t->client, &client);
    write_address(t->device, &device);
    if (s->pcapng != NULL)
        t->flow = pcapng_connect(s->pcapng, (struct sockaddr *)&client, (struct sockaddr *)&device, tap_now_ns(s));
    return t;
}

void tap_close(struct conn *c)
{
    struct tap *t = c->tap;
    if (t == NULL)
        return;
    if (t->flow != NULL)
        pcapng_disconnect(c->server->pcapng, t->flow, tap_now_ns(c->server));
    free(t);
    c->tap = NULL;
}

const char *tap_peer(const struct conn *c)
{
    return c->tap != NULL ? c->tap->client : "";
}

void tap_bytes(struct conn *c, bool from_device, const uint8_t *bytes, size_t n)
{
    if (c->tap->flow != NULL)
        pcapng_bytes(c->server->pcapng, c->tap->flow, from_device, bytes, n, tap_now_ns(c->server));
}

static void begin(const struct conn *c, struct record *r, bool from_device)
{
    record_init(r);
    r->time_ns = tap_now_ns(c->server);
    r->flow = c->flow;
    r->src = from_device ? c->tap->device : c->tap->client;
    r->dst = from_device ? c->tap->client : c->tap->device;
    r->dir = from_device ? RECORD_FROM_DEVICE : RECORD_TO_DEVICE;
    if (c->outlet == NULL)
        return;
    const struct device *d = c->outlet->device;
    r->device = (struct tw_span){(const uint8_t *)d->id, strlen(d->id)};
    r->version = (int)d->version;
}

static enum record_key key_of(const struct device *d, uint32_t command, bool encrypted, bool local)
{
    if (!encrypted)
        return RECORD_KEY_NONE;
    return local || !tw_version_traits(d->version)->negotiates || tw_command_is_handshake(command)
               ? RECORD_KEY_LOCAL
               : RECORD_KEY_SESSION;
}

static void finish(struct conn *c, const struct record *r)
{
    struct server *s = c->server;
    const struct device *d = c->outlet != NULL ? c->outlet->device : NULL;
    const struct journal_entry *e = journal_add(s->journal, d, r);
    if (e != NULL)
        server_emit(s, &(struct server_event){
                           .type = SERVER_MESSAGE, .device = d, .flow = c->flow, .entry = e, .reason = ""});
}

void tap_message_in(struct conn *c, const struct tw_device_event *ev)
{
    if (!journal_wanted(c->server->journal) || (ev->raw.len == 0 && ev->frame.raw.len == 0))
        return;
    struct record r;
    begin(c, &r, false);
    char detail[64];
    const struct device *d = c->outlet->device;
    bool negotiates = tw_version_traits(d->version)->negotiates;
    if (ev->frame.raw.len > 0)
        record_set_frame(&r, &ev->frame);
    if (ev->opened) {
        record_set_message(&r, &ev->message);
        r.integrity = RECORD_INTEGRITY_OK;
        bool keyed = ev->message.encrypted || negotiates; /* the HMAC of an empty message is keyed, too */
        r.key = key_of(d, ev->message.command, keyed, false);
        r.payload_is_json = ev->body.json.len > 0;
    } else if (ev->type == TW_DEVICE_HEARTBEAT) {
        r.integrity = RECORD_UNCHECKED;
    } else {
        r.error = ev->error;
        r.integrity = ev->error == TW_E_INTEGRITY ? RECORD_INTEGRITY_BAD : RECORD_UNCHECKED;
        r.detail = tw_strerror(ev->error);
    }
    if (ev->frame.raw.len == 0) {
        snprintf(detail, sizeof detail, "skipped %zu bytes", ev->raw.len);
        r.detail = detail;
    }
    finish(c, &r);
}

void tap_unknown(struct conn *c, bool from_device, const uint8_t *bytes, size_t n, int error)
{
    static const struct tw_frame_rules rules = {TW_INTEGRITY_CRC32, TW_TO_DEVICE, false, TW_FRAME_LENGTH_MAX};
    if (!journal_wanted(c->server->journal))
        return;
    struct record r;
    begin(c, &r, from_device);
    r.error = error;
    if (from_device)
        r.retcode = 0;
    char detail[64];
    struct tw_frame f;
    size_t used;
    if (tw_frame_parse(&f, &used, bytes, n, &rules) == TW_OK) {
        record_set_frame(&r, &f);
        if (tw_frame_crc_matches(&f))
            r.integrity = RECORD_INTEGRITY_OK;
        if (error != TW_OK)
            r.detail = "no device of this simulation has a key that fits";
    } else {
        r.error = TW_E_PREFIX;
        snprintf(detail, sizeof detail, "skipped %zu bytes", n);
        r.detail = detail;
    }
    finish(c, &r);
}

static void message_out(struct conn *c, const struct tw_message *m, struct tw_span raw, bool local_key,
                        enum record_integrity integrity, const char *detail)
{
    if (!journal_wanted(c->server->journal))
        return;
    const struct device *d = c->outlet->device;
    const struct tw_version_traits *traits = tw_version_traits(d->version);
    const struct tw_frame_rules rules = {traits->integrity, TW_FROM_DEVICE, false, TW_FRAME_LENGTH_MAX};
    struct record r;
    begin(c, &r, true);
    record_set_message(&r, m);
    if (traits->with_header == TW_ENCODING_B64)
        r.header.counter = r.header.source = 0; /* 3.1 has a signature in their place */
    struct tw_frame f;
    size_t used;
    int rc = tw_frame_parse(&f, &used, raw.data, raw.len, &rules);
    if (rc == TW_OK)
        record_set_frame(&r, &f);
    r.integrity = integrity;
    r.detail = detail;
    if (rc != TW_OK && detail != NULL) { /* broken on purpose, so that no client finds a frame */
        r.error = rc;
        r.integrity = RECORD_UNCHECKED;
    }
    enum tw_encoding e = m->has_header ? traits->with_header : traits->without_header;
    bool encrypted = e != TW_ENCODING_PLAIN && (m->payload.len > 0 || m->has_header);
    r.key = key_of(d, m->command, encrypted || traits->negotiates, local_key);
    finish(c, &r);
}

void tap_message_out(struct conn *c, const struct tw_message *m, struct tw_span raw, bool local_key)
{
    message_out(c, m, raw, local_key, RECORD_INTEGRITY_OK, NULL);
}

void tap_message_fuzzed(struct conn *c, const struct tw_message *m, struct tw_span raw, bool local_key, bool sound,
                        const char *detail)
{
    message_out(c, m, raw, local_key, sound ? RECORD_INTEGRITY_OK : RECORD_INTEGRITY_BAD, detail);
}
