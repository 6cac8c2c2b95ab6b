/* discovery.c - a datagram is read whole or not at all, and an announcement says what was announced.
 *
 * Reaches: tw_discovery_open(), tw_discovery_seal_announcement(), tw_discovery_seal_request(),
 * tw_body_announcement(). Input: one UDP datagram, framed or a bare ECB blob. */
#include "common/fuzz.h"
#include <string.h>
#include "tuyawire/discovery.h"

const struct fuzz_harness fuzz_harness = {
    .name = "discovery",
    .claim = "a datagram is read whole or not at all, and what is announced is what is heard",
    .form = FUZZ_STREAM,
    .keys = FUZZ_KEYS_DISCOVERY,
    .context_len = 0,
};

enum { ROOM = 8192, PATTERN = 0xee };
static tw_crypto *crypto;
static uint8_t plain[ROOM], plain_b[ROOM], frame[2 * ROOM];

static bool within(struct tw_span s, const uint8_t *data, size_t len)
{
    return s.len == 0 || (s.data >= data && s.len <= len && (size_t)(s.data - data) <= len - s.len);
}

static bool equal(struct tw_span a, struct tw_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool is_plain_id(struct tw_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '!' || s.data[i] > '~' || s.data[i] == '"' || s.data[i] == '\\')
            return false;
    return s.len > 0 && s.len < 64;
}

/* Announce again what was heard, as each version does. */
static void check_announced(const struct tw_discovery *d)
{
    static char text[ROOM];
    if (!is_plain_id(d->ip) || !is_plain_id(d->gw_id) || !is_plain_id(d->product_key))
        return;
    for (int v = TW_V31; v <= TW_V35; v++) {
        struct tw_announcement a = {d->ip, d->gw_id, is_plain_id(d->uuid) ? d->uuid : (struct tw_span){NULL, 0},
                                    d->product_key, d->active == 0 ? 0 : 2};
        struct tw_text t = {text, sizeof text, 0, false};
        struct tw_discovery again;
        size_t len;
        CHECK(tw_body_announcement(&t, (enum tw_version)v, &a) == TW_OK);
        struct tw_span json = {(const uint8_t *)text, t.len};
        CHECK(tw_discovery_seal_announcement(frame, sizeof frame, &len, crypto, (enum tw_version)v, json,
                                             (const uint8_t *)"fuzzed nonce") == TW_OK);
        CHECK(tw_discovery_open(&again, crypto, frame, len, plain_b, sizeof plain_b) == TW_OK);
        CHECK(again.framed && !again.is_request && equal(again.ip, d->ip) && equal(again.gw_id, d->gw_id));
        CHECK(equal(again.product_key, d->product_key));
    }
}

static void check_request(const struct tw_discovery *d)
{
    struct tw_discovery again;
    size_t len;
    if (!is_plain_id(d->ip))
        return;
    CHECK(tw_discovery_seal_request(frame, sizeof frame, &len, crypto, d->ip, (const uint8_t *)"fuzzed nonce") ==
          TW_OK);
    CHECK(tw_discovery_open(&again, crypto, frame, len, plain_b, sizeof plain_b) == TW_OK);
    CHECK(again.is_request && equal(again.ip, d->ip));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_discovery d, cut;
    if (size > ROOM)
        return 0;
    if (crypto == NULL)
        CHECK(tw_crypto_new(&crypto, 4) == TW_OK);
    fuzz_hide(plain + size, ROOM - size);
    int rc = tw_discovery_open(&d, crypto, data, size, plain, size);
    fuzz_show(plain + size, ROOM - size);
    fuzz_gate(rc == TW_OK || rc == TW_E_JSON);
    size_t cap = (size_t)(fuzz_hash(data, size) >> 32) % (size + 1); /* less room than there may have to be */
    memset(plain_b, PATTERN, size);
    tw_discovery_open(&cut, crypto, data, size, plain_b, cap);
    for (size_t i = cap; i < size; i++)
        CHECK(plain_b[i] == PATTERN);
    if (rc != TW_OK)
        return 0;
    const struct tw_span spans[] = {d.message.payload, d.body.json, d.ip,  d.gw_id, d.uuid,
                                    d.product_key,     d.version,   d.from};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        CHECK(within(spans[i], data, size) || within(spans[i], plain, size));
    CHECK(tw_json_check(d.body.json) == TW_OK);
    check_announced(&d);
    check_request(&d);
    if (d.framed) { /* more bytes may follow a frame, but none may be missing */
        struct tw_frame f;
        size_t frame_size;
        const struct tw_frame_rules rules = {.direction = TW_FROM_DEVICE, .max_length = TW_FRAME_LENGTH_MAX};
        CHECK(tw_frame_parse(&f, &frame_size, data, size, &rules) == TW_OK);
        size_t less = (size_t)(fuzz_hash(data, size) % frame_size);
        CHECK(tw_discovery_open(&cut, crypto, data, less, plain_b, sizeof plain_b) != TW_OK);
    }
    return 0;
}
