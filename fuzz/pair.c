/* pair.c - what the client engine seals the device engine opens, and the other way round, in every version.
 *
 * Reaches: both engines against each other. Input: a tape; ACT and DPS are what the two applications do, TIME passes,
 * PIECES sets how the network cuts, TO and FROM damage what travels next (their first bytes say where). Without damage
 * nothing may be refused, everything asked is answered, and data points arrive as they were sent. */
#include "common/fuzz.h"
#include <string.h>
#include "common/tape.h"
#include "tuyawire/client.h"
#include "tuyawire/device.h"

const struct fuzz_harness fuzz_harness = {
    .name = "pair",
    .claim = "client and device understand each other in every version, and data points arrive as they were sent",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { STEPS_MAX = 64, ROOM = 1 << 14, OUTPUT_MAX = 1 << 16, SAID_MAX = 2 * STEPS_MAX + 64 };

static tw_crypto *crypto;
static tw_device_host *host;
static uint64_t device_random;

/* Hashes of texts, so that what arrives can be recognised; requests may wait and overtake one another. */
struct said {
    uint64_t hashes[SAID_MAX];
    size_t n;
};

struct world {
    tw_client *client;
    tw_device *device;
    enum tw_version version;
    uint64_t now, client_random;
    struct fuzz_rng cuts;
    size_t piece_max;            /* 0: whole */
    bool damage_to, damage_from; /* flip a bit of what travels next */
    unsigned flip;
    bool spoilt; /* damage was done, or time ran out: promises are off */
    uint32_t pushes;
    struct said controls, pushed; /* data points as the applications gave them */
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The object without the blanks around it and the NULs behind it, which do not travel. */
static struct tw_span trimmed(struct tw_span s)
{
    while (s.len > 0 && s.data[s.len - 1] == '\0')
        s.len--;
    while (s.len > 0 && is_blank(s.data[0]))
        s.data++, s.len--;
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

static void remember(struct said *s, struct tw_span dps)
{
    dps = trimmed(dps);
    if (s->n < SAID_MAX)
        s->hashes[s->n++] = fuzz_hash(dps.data, dps.len);
}

static bool was_said(const struct said *s, struct tw_span dps)
{
    uint64_t hash = dps.len == 0 ? 0 : fuzz_hash(dps.data, dps.len);
    for (size_t i = 0; i < s->n; i++)
        if (s->hashes[i] == hash)
            return true;
    return s->n == SAID_MAX;
}

static void connect_ends(struct world *w)
{
    struct tw_client_config cc;
    struct tw_device_config dc;
    fuzz_connected(0);
    tw_client_free(w->client);
    tw_device_free(w->device);
    tw_client_config_init(&cc);
    cc.version = w->version;
    cc.device_id = (struct tw_span){(const uint8_t *)fuzz_device_id, 22};
    memcpy(cc.local_key, fuzz_local_key, 16);
    cc.crypto = crypto;
    cc.random = fuzz_random;
    cc.random_ctx = &w->client_random;
    cc.unix_time = 1700000000;
    CHECK(tw_client_new(&w->client, &cc) == TW_OK);
    tw_device_config_init(&dc, w->version, fuzz_local_key);
    CHECK(tw_device_new(&w->device, host, &dc, w->now) == TW_OK);
    CHECK(tw_client_start(w->client, w->now) == TW_OK);
    w->spoilt = w->damage_to = w->damage_from = false;
}

static void device_pushes(struct world *w, struct tw_span dps)
{
    static char text[2 * ROOM];
    struct tw_text t = {text, sizeof text, 0, false};
    struct tw_body_ids ids = {.id = {(const uint8_t *)fuzz_device_id, 22}, .t = 1700000000};
    if (!tw_device_ready(w->device) || dps.len > ROOM / 8 ||
        tw_body_status(&t, w->version, &ids, dps, ++w->pushes) != TW_OK)
        return;
    /* One level more than the body may have, and the client cannot read it: not this harness's business. */
    struct tw_body body;
    if (tw_body_parse(&body, (struct tw_span){(const uint8_t *)text, t.len}) != TW_OK)
        return;
    if (tw_device_status(w->device, w->pushes, (struct tw_span){(const uint8_t *)text, t.len}) != TW_OK)
        return;
    remember(&w->pushed, body.dps); /* without the blanks that may stand around it */
}

static void serve(struct world *w, const struct tw_device_event *ev)
{
    static const char all[] = "{\"dps\":{\"1\":true,\"9\":0,\"18\":512}}";
    const struct tw_message *m = &ev->message;
    switch (ev->type) {
    case TW_DEVICE_QUERY:
    case TW_DEVICE_EXT_STREAM:
        tw_device_reply(w->device, m->command, m->seq, (struct tw_span){(const uint8_t *)all, sizeof all - 1});
        break;
    case TW_DEVICE_CONTROL:
        CHECK(was_said(&w->controls, ev->body.dps));
        tw_device_ack(w->device, m->command, m->seq, 0);
        device_pushes(w, ev->body.dps);
        break;
    case TW_DEVICE_NULL_QUERY:
    case TW_DEVICE_REFRESH: tw_device_ack(w->device, m->command, m->seq, 0); break;
    case TW_DEVICE_DAMAGED: CHECK(w->spoilt); break;
    case TW_DEVICE_REFUSED: CHECK(w->spoilt || ev->opened); break;
    case TW_DEVICE_CLOSING: CHECK(w->spoilt || ev->error == TW_E_TIMEOUT); break;
    default: break;
    }
}

static void hear(struct world *w, const struct tw_client_event *ev)
{
    if (ev->type == TW_CLIENT_FAILED)
        CHECK(w->spoilt || ev->error == TW_E_TIMEOUT || ev->error == TW_E_HS_KEY_ZERO);
    /* The late reply to a query that was given up comes as status too. */
    if (ev->type == TW_CLIENT_STATUS && ev->command == TW_CMD_STATUS)
        CHECK(was_said(&w->pushed, ev->body.dps));
    if (ev->type == TW_CLIENT_REPLY && !w->spoilt)
        CHECK(ev->body.dps.len > 0);
}

/* Carry bytes from one end to the other. @return did any travel? */
static bool carry(struct world *w, bool to_device)
{
    static uint8_t copy[1 << 17];
    struct tw_span out = to_device ? tw_client_output(w->client) : tw_device_output(w->device);
    size_t len = out.len < sizeof copy ? out.len : sizeof copy;
    bool *damage = to_device ? &w->damage_to : &w->damage_from;
    if (len == 0)
        return false;
    memcpy(copy, out.data, len);
    if (*damage) {
        copy[w->flip / 8 % len] ^= (uint8_t)(1u << w->flip % 8);
        *damage = false;
        w->spoilt = true;
    }
    fuzz_carried(0, to_device, copy, len);
    if (to_device)
        tw_client_sent(w->client, len);
    else
        tw_device_sent(w->device, len);
    for (size_t at = 0; at < len;) {
        size_t piece = w->piece_max > 0 ? 1 + fuzz_rng_below(&w->cuts, w->piece_max) : len;
        if (piece > len - at)
            piece = len - at;
        if (to_device) {
            struct tw_device_event ev;
            tw_device_feed(w->device, copy + at, piece, w->now);
            while (tw_device_next_event(w->device, &ev) == 1) {
                fuzz_gate(ev.opened);
                serve(w, &ev);
            }
        } else {
            struct tw_client_event ev;
            tw_client_feed(w->client, copy + at, piece, w->now);
            while (tw_client_next_event(w->client, &ev) == 1)
                hear(w, &ev);
        }
        at += piece;
    }
    return true;
}

static void settle(struct world *w)
{
    for (int i = 0; i < 64; i++) {
        bool there = carry(w, true), back = carry(w, false);
        if (!there && !back)
            return;
    }
    CHECK(!"the two talk without end");
}

static void tick(struct world *w, uint64_t ms)
{
    struct tw_client_event ce;
    struct tw_device_event de;
    w->now += ms;
    tw_client_tick(w->client, w->now);
    while (tw_client_next_event(w->client, &ce) == 1)
        hear(w, &ce);
    tw_device_tick(w->device, w->now);
    while (tw_device_next_event(w->device, &de) == 1)
        serve(w, &de);
    settle(w);
}

static void control(struct world *w, struct tw_span dps)
{
    if (dps.len > ROOM / 8)
        return;
    if (tw_client_control(w->client, dps, w->now, NULL) != TW_OK)
        return;
    remember(&w->controls, dps);
    settle(w);
}

static void act(struct world *w, const struct tape_record *t)
{
    uint8_t which = t->len > 0 ? t->data[0] : 0;
    static const uint32_t ids[] = {1, 9, 18, 19, 20};
    switch (which % 6) {
    case 0: tw_client_query(w->client, w->now, NULL); break;
    case 1: control(w, (struct tw_span){t->data + 1, t->len > 0 ? t->len - 1 : 0}); break;
    case 2: tw_client_refresh(w->client, ids, 1 + which / 8 % 5, w->now, NULL); break;
    case 3: tw_client_heartbeat(w->client, w->now, NULL); break;
    case 4: tw_client_subdevices(w->client, w->now, NULL); break;
    default: tw_client_query_dps(w->client, ids, 1 + which / 8 % 5, w->now, NULL); break;
    }
    settle(w);
}

static void step(struct world *w, const struct tape_record *t)
{
    switch (t->operation) {
    case TAPE_TO:
    case TAPE_FROM:
        *(t->operation == TAPE_TO ? &w->damage_to : &w->damage_from) = true;
        w->flip = t->len >= 2 ? (unsigned)(t->data[0] << 8 | t->data[1]) : 200;
        break;
    case TAPE_TIME: tick(w, t->len >= 2 ? (uint64_t)t->data[0] << 8 | t->data[1] : 20); break;
    case TAPE_CONNECT:
        connect_ends(w);
        settle(w);
        break;
    case TAPE_DPS:
        if (tw_json_check((struct tw_span){t->data, t->len}) == TW_OK && t->data[0] == '{')
            device_pushes(w, (struct tw_span){t->data, t->len});
        settle(w);
        break;
    case TAPE_PIECES: w->piece_max = t->len > 0 ? t->data[0] : 1; break;
    case TAPE_ACT: act(w, t); break;
    case TAPE_MESSAGE:
    case TAPE_HANDSHAKE:
    case TAPE_CLOSE:
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    if (size < 1)
        return 0;
    if (crypto == NULL) {
        CHECK(tw_crypto_new(&crypto, 8) == TW_OK);
        struct tw_device_host_config cfg = {
            .crypto = crypto, .random = fuzz_random, .random_ctx = &device_random, .max_output = OUTPUT_MAX};
        CHECK(tw_device_host_new(&host, &cfg) == TW_OK);
    }
    memset(&w, 0, sizeof w);
    w.version = (enum tw_version)fuzz_context_version(data[0]);
    fuzz_gates.version = (unsigned)w.version;
    w.client_random = (uint64_t)(data[0] >> 3) * 16;
    device_random = 0;
    w.cuts.state = fuzz_hash(data, size);
    connect_ends(&w);
    settle(&w);
    struct tape tape = {data + 1, size - 1, 0};
    struct tape_record t;
    for (int n = 0; n < STEPS_MAX && tape_next(&t, &tape); n++)
        step(&w, &t);
    tw_client_free(w.client);
    tw_device_free(w.device);
    return 0;
}
