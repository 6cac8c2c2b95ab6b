/* decode.c - see decode.h. */
#include "decode.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/cold.h"

enum {
    TUYA_PORT = 6668,
    PLAIN_MAX = 65536,
    TALLY_SIZE = 8192, /* at most; of statistics, per connection */
};

/* One bit per port. */
struct ports {
    uint8_t bits[65536 / 8];
};

struct decoder {
    struct decode_config config;
    struct decode_sink sink;
    struct decode_counts counts;
    struct tcp_table *tcp;
    struct ip_fragments *fragments;
    struct directory *directory;
    struct conversation *loose; /* frames without packets around them; made when first needed */
    uint8_t *plain;
    struct ports tcp_ports, udp_ports;
    uint64_t now_ns;
    bool said_cap[2], said_snapped, said_one_sided;
    bool is_over; /* the capture */
};

/* ---- Connections -------------------------------------------------------------------------------------------------- */

static void write_address(char out[DECODE_ADDRESS_MAX], const struct ip_address *a, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(a->version == 6 ? AF_INET6 : AF_INET, a->bytes, text, sizeof text);
    snprintf(out, DECODE_ADDRESS_MAX, a->version == 6 ? "[%s]:%u" : "%s:%u", text, (unsigned)port);
}

static bool is_port(const struct ports *p, uint16_t port)
{
    return (p->bits[port / 8] >> port % 8 & 1) != 0;
}

/* Something new came out about the device: what was made of it before is made anew. */
static COLD void forget_where(struct conversation *c)
{
    for (int side = 0; side < 2; side++) {
        free(c->where[side]);
        c->where[side] = NULL;
    }
}

static COLD void hint_observer(struct decoder *d, struct conversation *c)
{
    struct who_hint hint = {TW_NO_INDEX, d->config.has_version ? &d->config.version : NULL};
    if (c->device_side >= 0)
        who_recall(&c->who, d->directory, &c->flow->side[c->device_side], &hint);
    tw_observer_hint(c->observer, hint.key_index, hint.version);
}

/* The owner of the Tuya port is the device; if that does not tell, the sender of the SYN is the client. */
static int find_device_side(const struct decoder *d, const struct tcp_flow *f)
{
    bool is_tuya[2] = {is_port(&d->tcp_ports, f->side[0].port), is_port(&d->tcp_ports, f->side[1].port)};
    if (is_tuya[0] != is_tuya[1])
        return is_tuya[0] ? 0 : 1;
    return f->client >= 0 ? !f->client : -1;
}

static void count_memory(struct tcp_flow *f, const struct conversation *c)
{
    f->user_memory =
        sizeof *c + (c->observer != NULL ? tw_observer_memory(c->observer) : 0) + (c->tally != NULL ? TALLY_SIZE : 0);
}

static COLD void on_begin(void *ctx, struct tcp_flow *f)
{
    struct decoder *d = ctx;
    struct conversation *c = calloc(1, sizeof *c);
    if (c == NULL)
        return;
    c->flow = f;
    c->number = f->number;
    who_init(&c->who);
    c->closed_by = -1;
    c->device_side = find_device_side(d, f);
    c->labelled_device = c->device_side >= 0 ? c->device_side : 1;
    for (int side = 0; side < 2; side++)
        write_address(c->address[side], &f->side[side].address, f->side[side].port);
    enum tw_observer_roles roles = c->device_side >= 0 ? TW_ROLES_KNOWN : TW_ROLES_UNKNOWN;
    if (tw_observer_new(&c->observer, d->config.ring, roles) != TW_OK) {
        free(c);
        return;
    }
    hint_observer(d, c);
    f->user = c;
    count_memory(f, c);
}

static enum record_key record_key(enum tw_key_kind kind)
{
    return kind == TW_KEY_LOCAL ? RECORD_KEY_LOCAL : kind == TW_KEY_SESSION ? RECORD_KEY_SESSION : RECORD_KEY_NONE;
}

static void fill_record(struct record *r, const struct tw_observed *ev)
{
    record_init(r);
    if (ev->has_header_fields) {
        record_set_frame(r, &ev->frame);
        r->integrity = ev->checked == TW_CHECK_OK    ? RECORD_INTEGRITY_OK
                       : ev->checked == TW_CHECK_BAD ? RECORD_INTEGRITY_BAD
                                                     : RECORD_UNCHECKED;
    }
    if (ev->has_frame && ev->error == TW_OK)
        record_set_message(r, &ev->message);
    r->version = ev->version_known ? (int)ev->message.version : -1;
    r->dir = !ev->direction_known            ? RECORD_DIR_UNKNOWN
             : ev->direction == TW_TO_DEVICE ? RECORD_TO_DEVICE
                                             : RECORD_FROM_DEVICE;
    r->key = record_key(ev->key_kind);
    r->error = ev->error;
}

static void set_where(struct record *r, struct conversation *c, int side)
{
    if (c->where[side] == NULL || c->where_version[side] != r->version) {
        char text[4096];
        struct record without_payload = *r;
        without_payload.payload = (struct tw_span){0};
        without_payload.detail = NULL;
        size_t n = record_where(text, sizeof text, &without_payload);
        free(c->where[side]);
        c->where[side] = n > 0 ? malloc(n) : NULL;
        if (c->where[side] == NULL)
            return;
        memcpy(c->where[side], text, n);
        c->where_len[side] = n;
        c->where_version[side] = r->version;
    }
    r->where = (struct tw_span){(const uint8_t *)c->where[side], c->where_len[side]};
}

static void set_device(struct record *r, const struct conversation *c)
{
    r->device = c->who.id;
    if (c->who.device != NULL)
        r->name = (struct tw_span){(const uint8_t *)c->who.device->name, strlen(c->who.device->name)};
}

static void hand_on(struct decoder *d, struct seen *s)
{
    d->counts.messages++;
    d->counts.undecoded += s->record.error != TW_OK;
    d->sink.seen(d->sink.ctx, s);
}

/* Was what the device sent not captured, although it did send something? More than the end of its stream, which counts 1. */
static bool is_one_sided(const struct conversation *c)
{
    const struct tcp_counts *of_device = &c->flow->counts[c->device_side >= 0 ? c->device_side : c->labelled_device];
    return of_device->segments == 0 && of_device->acknowledged > 1;
}

static COLD void say_one_sided(struct decoder *d)
{
    if (!d->said_one_sided)
        d->sink.warn(d->sink.ctx,
                     "this capture has what clients send, and not what the device answers: capture where "
                     "both directions pass (said once)");
    d->said_one_sided = true;
}

/* Requests that nobody answered: each is a record of its own, which is no message. */
static void report_unanswered(struct decoder *d, struct conversation *c, enum verdict_end end, uint64_t time_ns)
{
    struct verdict_request request;
    struct verdict verdict;
    if (c->verdict.n_requests > 0 && is_one_sided(c)) {
        c->verdict.n_requests = 0;
        say_one_sided(d);
    }
    while (verdict_no_reply(&c->verdict, end, time_ns, &request, &verdict)) {
        int client = c->device_side >= 0 ? !c->device_side : !c->labelled_device;
        struct seen s = {.conversation = c,
                         .device = c->who.device,
                         .owner = c->who.device,
                         .verdict = verdict,
                         .src = &c->flow->side[client],
                         .dst = &c->flow->side[!client]};
        record_init(&s.record);
        s.record.time_ns = time_ns;
        s.record.flow = c->number;
        s.record.src = c->address[client];
        s.record.dst = c->address[!client];
        s.record.dir = RECORD_TO_DEVICE;
        s.record.version = c->who.remembered ? (int)c->who.remembered_version : -1;
        s.record.seq = request.seq;
        s.record.detail = verdict.detail;
        set_device(&s.record, c);
        hand_on(d, &s);
    }
}

static void on_event(struct decoder *d, struct conversation *c, int side, const struct tw_observed *ev,
                     uint64_t time_ns)
{
    struct seen s; /* field by field: the body is large, and mostly not wanted */
    s.conversation = NULL;
    s.observed = ev;
    s.discovery = NULL;
    s.session = ev->session;
    s.has_body = false;
    s.src = s.dst = NULL;
    s.raw = (struct tw_span){0};
    if (c != d->loose && c->device_side < 0 && ev->direction_known)
        c->device_side = ev->direction == TW_FROM_DEVICE ? side : !side;
    fill_record(&s.record, ev);
    bool is_news = who_learn_key(&c->who, d->directory, ev->key_index);
    if (ev->error == TW_OK && ev->version_known && c->device_side >= 0)
        who_remember(&c->who, d->directory, &c->flow->side[c->device_side], ev->message.version);
    bool want_id = who_wants_body(&c->who, d->directory);
    if (ev->error == TW_OK && ev->message.payload.len > 0 && (d->config.want_bodies || want_id)) {
        s.has_body = tw_body_parse(&s.body, ev->message.payload) == TW_OK;
        s.record.payload_is_json = s.has_body;
        if (s.has_body && want_id)
            is_news = who_learn_body(&c->who, d->directory, &s.body) || is_news;
    }
    if (is_news)
        forget_where(c);
    s.verdict = verdict_of(&c->verdict, ev, time_ns, tw_keyring_size(d->config.ring), &s.reply_ns);
    if (ev->has_frame)
        s.raw = ev->frame.raw;
    s.device = c->who.device;
    s.owner = s.has_body ? directory_owner(d->directory, s.device, c->who.id, s.body.cid) : s.device;
    if (c != d->loose) {
        s.conversation = c;
        s.record.src = c->address[side];
        s.record.dst = c->address[!side];
        s.src = &c->flow->side[side];
        s.dst = &c->flow->side[!side];
    }
    s.record.time_ns = time_ns;
    s.record.flow = c->number;
    s.record.detail = s.verdict.detail;
    set_device(&s.record, c);
    if (c != d->loose && ev->direction_known)
        set_where(&s.record, c, side);
    hand_on(d, &s);
    if (c != d->loose)
        report_unanswered(d, c, VERDICT_GOES_ON, time_ns);
}

/* How this side is called towards the observer: for good, also when the frames tell otherwise later. */
static enum tw_direction label_of(const struct conversation *c, int side)
{
    return side == c->labelled_device ? TW_FROM_DEVICE : TW_TO_DEVICE;
}

static void drain(struct decoder *d, struct conversation *c, int side, uint64_t time_ns)
{
    struct tw_observed ev;
    int rc;
    while ((rc = tw_observer_next(c->observer, &ev)) != 0)
        if (rc == 1)
            on_event(d, c, side, &ev, time_ns);
}

static void on_data(void *ctx, struct tcp_flow *f, int side, struct tw_span bytes, uint64_t time_ns)
{
    struct decoder *d = ctx;
    struct conversation *c = f->user;
    if (c == NULL)
        return;
    tw_observer_feed(c->observer, label_of(c, side), bytes.data, bytes.len);
    drain(d, c, side, time_ns);
    count_memory(f, c);
}

static COLD void on_gap(void *ctx, struct tcp_flow *f, int side, uint64_t missing, uint64_t time_ns)
{
    struct decoder *d = ctx;
    struct conversation *c = f->user;
    if (c == NULL)
        return;
    tw_observer_gap(c->observer, label_of(c, side), missing);
    drain(d, c, side, time_ns);
    count_memory(f, c);
}

static COLD void on_end(void *ctx, struct tcp_flow *f, int side, uint64_t time_ns)
{
    struct decoder *d = ctx;
    struct conversation *c = f->user;
    if (c == NULL)
        return;
    if (c->closed_by < 0 && !d->is_over) {
        c->closed_by = side;
        c->closed_packet = d->counts.packets;
    }
    tw_observer_end(c->observer, label_of(c, side));
    drain(d, c, side, time_ns);
}

/* Both sides end at once when nobody said goodbye. */
static enum verdict_end end_of(const struct decoder *d, const struct conversation *c)
{
    if (c->closed_by >= 0 && (d->is_over || c->closed_packet < d->counts.packets))
        return c->closed_by == c->device_side ? VERDICT_DEVICE_CLOSED : VERDICT_CLIENT_CLOSED;
    return d->is_over && !c->flow->over ? VERDICT_CAPTURE_OVER : VERDICT_RESET;
}

static void on_close(void *ctx, struct tcp_flow *f, uint64_t time_ns)
{
    struct decoder *d = ctx;
    struct conversation *c = f->user;
    if (c == NULL)
        return;
    report_unanswered(d, c, end_of(d, c), time_ns);
    if (d->sink.closed != NULL)
        d->sink.closed(d->sink.ctx, c, time_ns);
    tw_observer_free(c->observer);
    forget_where(c);
    free(c);
    f->user = NULL;
}

static void on_capped(void *ctx, struct tcp_flow *f, enum tcp_cap cap)
{
    struct decoder *d = ctx;
    if (d->said_cap[cap])
        return;
    d->said_cap[cap] = true;
    char from[DECODE_ADDRESS_MAX], to[DECODE_ADDRESS_MAX], text[320];
    write_address(from, &f->side[0].address, f->side[0].port);
    write_address(to, &f->side[1].address, f->side[1].port);
    if (cap == TCP_CAP_FLOW)
        snprintf(text, sizeof text,
                 "%s - %s: too many bytes wait for a lost segment; it is given up (--memory raises the "
                 "limit; said once)",
                 from, to);
    else
        snprintf(text, sizeof text,
                 "too many connections at the same time: those silent longest are given up, beginning "
                 "with %s - %s (--memory raises the limit; said once)",
                 from, to);
    d->sink.warn(d->sink.ctx, text);
}

/* ---- Datagrams ---------------------------------------------------------------------------------------------------- */

static const char *datagram_detail(int error)
{
    switch (error) {
    case TW_E_PREFIX: return "not a Tuya datagram";
    case TW_NEED_MORE: return "the datagram is cut off: capture with a larger snap length";
    default: return tw_strerror(error);
    }
}

static void fill_discovery(struct decoder *d, struct seen *s, const struct tw_discovery *disc)
{
    struct record *r = &s->record;
    enum tw_version version;
    record_set_message(r, &disc->message);
    if (disc->version.len > 0 &&
        tw_version_parse(&version, (const char *)disc->version.data, disc->version.len) == TW_OK)
        r->version = (int)version;
    r->framing = !disc->framed ? -1 : disc->message.version == TW_V35 ? TW_ENVELOPE_6699 : TW_ENVELOPE_55AA;
    if (!disc->framed)
        r->seq = r->cmd = -1;
    r->integrity = disc->framed ? RECORD_INTEGRITY_OK : RECORD_UNCHECKED;
    r->key = disc->message.encrypted ? RECORD_KEY_DISCOVERY : RECORD_KEY_NONE;
    r->payload_is_json = true;
    r->device = disc->gw_id;
    s->discovery = disc;
    s->body = disc->body;
    s->has_body = true;
    s->device = s->owner = directory_device(d->directory, disc->gw_id);
    if (s->device != NULL)
        r->name = (struct tw_span){(const uint8_t *)s->device->name, strlen(s->device->name)};
}

static void fill_bad_datagram(struct record *r, const struct datagram *g, int error)
{
    static const struct tw_frame_rules rules = {.max_length = TW_FRAME_LENGTH_MAX};
    struct tw_frame f;
    size_t consumed;
    if (tw_frame_parse(&f, &consumed, g->data.data, g->data.len, &rules) == TW_OK)
        record_set_frame(r, &f);
    r->integrity = error == TW_E_INTEGRITY ? RECORD_INTEGRITY_BAD : RECORD_UNCHECKED;
    r->error = error;
    r->detail = datagram_detail(error);
}

static void on_datagram(struct decoder *d, const struct ip_packet *ip, const struct datagram *g)
{
    char src[DECODE_ADDRESS_MAX], dst[DECODE_ADDRESS_MAX];
    struct tw_discovery disc;
    const struct tcp_endpoint from = {ip->src, g->src_port}, to = {ip->dst, g->dst_port};
    struct seen s = {.raw = g->data, .src = &from, .dst = &to};
    record_init(&s.record);
    int rc =
        tw_discovery_open(&disc, tw_keyring_crypto(d->config.ring), g->data.data, g->data.len, d->plain, PLAIN_MAX);
    if (rc == TW_OK) {
        directory_announced(d->directory, &ip->src, &disc);
        fill_discovery(d, &s, &disc);
    } else {
        fill_bad_datagram(&s.record, g, g->missing > 0 ? TW_NEED_MORE : rc);
    }
    write_address(src, &ip->src, g->src_port);
    write_address(dst, &ip->dst, g->dst_port);
    s.verdict = (struct verdict){rc == TW_OK ? VERDICT_FINE : VERDICT_BAD_FRAME, s.record.detail};
    s.record.dir = RECORD_BROADCAST;
    s.record.time_ns = d->now_ns;
    s.record.src = src;
    s.record.dst = dst;
    hand_on(d, &s);
}

/* ---- Loose frames ------------------------------------------------------------------------------------------------- */

static bool is_discovery(const struct decoder *d, struct tw_span frame, struct tw_discovery *out)
{
    static const struct tw_frame_rules rules = {.max_length = TW_FRAME_LENGTH_MAX};
    struct tw_frame f;
    size_t consumed;
    if (tw_frame_parse(&f, &consumed, frame.data, frame.len, &rules) != TW_OK)
        return false;
    switch (f.command) {
    case TW_CMD_UDP:
    case TW_CMD_UDP_NEW:
    case TW_CMD_BROADCAST_LPV34:
    case TW_CMD_REQ_DEVINFO:
    case TW_CMD_SCENE_EXECUTE: /* the number of set-up announcements, too */
        return tw_discovery_open(out, tw_keyring_crypto(d->config.ring), frame.data, frame.len, d->plain,
                                 PLAIN_MAX) == TW_OK;
    default: return false;
    }
}

static struct conversation *loose_conversation(struct decoder *d)
{
    if (d->loose != NULL)
        return d->loose;
    struct conversation *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    who_init(&c->who);
    c->device_side = -1;
    c->labelled_device = 1;
    if (tw_observer_new(&c->observer, d->config.ring, TW_ROLES_MIXED) != TW_OK) {
        free(c);
        return NULL;
    }
    tw_observer_hint(c->observer, TW_NO_INDEX, d->config.has_version ? &d->config.version : NULL);
    return d->loose = c;
}

void decode_frame(struct decoder *d, struct tw_span frame)
{
    struct tw_discovery disc;
    if (is_discovery(d, frame, &disc)) {
        struct seen s = {.raw = frame};
        record_init(&s.record);
        fill_discovery(d, &s, &disc);
        s.record.dir = RECORD_BROADCAST;
        hand_on(d, &s);
        return;
    }
    struct conversation *c = loose_conversation(d);
    if (c == NULL)
        return;
    memset(&c->verdict, 0, sizeof c->verdict); /* lines of a log need not follow each other */
    tw_observer_feed(c->observer, TW_TO_DEVICE, frame.data, frame.len);
    drain(d, c, 0, 0);
    tw_observer_end(c->observer, TW_TO_DEVICE);
    drain(d, c, 0, 0);
}

/* ---- Packets ------------------------------------------------------------------------------------------------------ */

static void add_ports(struct ports *p, const uint16_t *ports, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p->bits[ports[i] / 8] |= (uint8_t)(1u << ports[i] % 8);
}

static void set_ports(struct decoder *d)
{
    static const uint16_t tcp[] = {TUYA_PORT};
    static const uint16_t udp[] = {TW_UDP_PORT_CLEAR, TW_UDP_PORT_ENCRYPTED, TW_UDP_PORT_REQUEST};
    bool usual = d->config.n_ports == 0;
    add_ports(&d->tcp_ports, usual ? tcp : d->config.ports, usual ? sizeof tcp / sizeof tcp[0] : d->config.n_ports);
    add_ports(&d->udp_ports, usual ? udp : d->config.ports, usual ? sizeof udp / sizeof udp[0] : d->config.n_ports);
}

struct decoder *decode_new(const struct decode_config *config, const struct decode_sink *sink)
{
    struct decoder *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->config = *config;
    d->sink = *sink;
    set_ports(d);
    const struct tcp_sink tcp_sink = {.ctx = d,
                                      .begin = on_begin,
                                      .data = on_data,
                                      .gap = on_gap,
                                      .end = on_end,
                                      .close = on_close,
                                      .capped = on_capped};
    d->tcp = tcp_table_new(&tcp_sink, &config->limits);
    d->fragments = ip_fragments_new();
    d->directory = directory_new(config->ring, config->devices, config->entry_of_key);
    d->plain = malloc(PLAIN_MAX);
    if (d->tcp == NULL || d->fragments == NULL || d->directory == NULL || d->plain == NULL) {
        decode_free(d);
        return NULL;
    }
    return d;
}

void decode_free(struct decoder *d)
{
    if (d == NULL)
        return;
    tcp_table_free(d->tcp);
    if (d->loose != NULL)
        tw_observer_free(d->loose->observer);
    free(d->loose);
    ip_fragments_free(d->fragments);
    directory_free(d->directory);
    free(d->plain);
    free(d);
}

/* The snap length of the capture cuts packets of ours off. */
static void say_snapped(struct decoder *d)
{
    if (!d->said_snapped)
        d->sink.warn(d->sink.ctx,
                     "packets are cut off in this capture, and what is missing cannot be decoded: capture "
                     "with a larger snap length (tcpdump -s 0; said once)");
    d->said_snapped = true;
}

static enum packet_result take_packet(struct decoder *d, int link_type, struct tw_span packet)
{
    struct link_payload link;
    struct ip_packet ip;
    struct segment segment;
    struct datagram datagram;
    enum packet_result r = link_open(&link, link_type, packet);
    if (r != PACKET_OK)
        return r;
    r = ip_open(&ip, d->fragments, link.ether_type, link.data);
    if (r != PACKET_OK)
        return r;
    r = segment_open(&segment, &ip);
    if (r == PACKET_OK) {
        if (!is_port(&d->tcp_ports, segment.src_port) && !is_port(&d->tcp_ports, segment.dst_port))
            return PACKET_OTHER;
        d->counts.tcp++;
        if (segment.missing > 0)
            say_snapped(d);
        tcp_push(d->tcp, &ip, &segment, d->now_ns);
        return PACKET_OK;
    }
    if (r != PACKET_OTHER)
        return r;
    r = datagram_open(&datagram, &ip);
    if (r != PACKET_OK)
        return r;
    if (!is_port(&d->udp_ports, datagram.src_port) && !is_port(&d->udp_ports, datagram.dst_port))
        return PACKET_OTHER;
    d->counts.udp++;
    if (datagram.missing > 0)
        say_snapped(d);
    on_datagram(d, &ip, &datagram);
    return PACKET_OK;
}

void decode_packet(struct decoder *d, int link_type, struct tw_span packet, uint64_t time_ns)
{
    d->counts.packets++;
    d->counts.bytes += packet.len;
    d->now_ns = time_ns;
    switch (take_packet(d, link_type, packet)) {
    case PACKET_OK: break;
    case PACKET_KEPT: d->counts.fragments++; break;
    case PACKET_OTHER: d->counts.other++; break;
    case PACKET_CUT: d->counts.cut++; break;
    case PACKET_MALFORMED: d->counts.malformed++; break;
    }
}

void decode_tick(struct decoder *d, uint64_t time_ns)
{
    d->now_ns = time_ns;
    tcp_tick(d->tcp, time_ns);
}

void decode_finish(struct decoder *d)
{
    d->is_over = true;
    tcp_finish(d->tcp, d->now_ns);
}

const struct decode_counts *decode_counts(const struct decoder *d)
{
    return &d->counts;
}

size_t decode_memory(const struct decoder *d)
{
    return tcp_memory(d->tcp) + ip_fragments_memory(d->fragments);
}
