/* The client engine against the handshake vectors (tests/vectors/session.json, made by an independent encoder) and
 * against a device of a few lines that can be told to behave like any device in the specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tuyawire/client.h"
#include "tuyawire/error.h"
#include "tuyawire/frame.h"

static const uint8_t key[TW_KEY_LEN] = "0123456789abcdef";
#define ID "fake0000000000000000id"

static struct tw_span span(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

/* ---- randomness that is known ---------------------------------------------------------------------------------- */

struct script { /* the first draw of 16 bytes gives nonce, everything else counts up */
    uint8_t nonce[TW_SESSION_NONCE_LEN];
    uint8_t next;
};

static int scripted_random(void *ctx, uint8_t *buf, size_t len)
{
    struct script *s = ctx;
    if (len == TW_SESSION_NONCE_LEN)
        memcpy(buf, s->nonce, len);
    else
        memset(buf, ++s->next, len);
    return 0;
}

static int no_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx, (void)buf, (void)len;
    return -1;
}

/* ---- a client and the other end of its wire -------------------------------------------------------------------- */

struct wire {
    tw_client *client;
    tw_crypto *crypto;
    struct script random;
    enum tw_version version;
    struct tw_session session; /* the device's */
    uint32_t seq;              /* device counter of 3.4 and 3.5 */
    uint64_t now;
    uint8_t frame[8192], plain[8192];
    size_t frame_len;
    int frames_shown[2];
};

static void count_frame(void *ctx, enum tw_direction dir, struct tw_span raw, const struct tw_message *m, int error)
{
    struct wire *w = ctx;
    assert_true(raw.len >= 24);
    assert_true((m == NULL) == (error != TW_OK));
    w->frames_shown[dir]++;
}

static void open_wire(struct wire *w, enum tw_version v, void (*change)(struct tw_client_config *))
{
    memset(w, 0, sizeof *w);
    w->version = v;
    w->now = 1000;
    w->seq = 42000;
    for (uint8_t i = 0; i < sizeof w->random.nonce; i++)
        w->random.nonce[i] = i;
    assert_int_equal(tw_crypto_new(&w->crypto, 4), TW_OK);
    struct tw_client_config cfg;
    tw_client_config_init(&cfg);
    cfg.version = v;
    cfg.device_id = span(ID);
    memcpy(cfg.local_key, key, sizeof key);
    cfg.crypto = w->crypto;
    cfg.random = scripted_random;
    cfg.random_ctx = &w->random;
    cfg.unix_time = 1700000000;
    cfg.on_frame = count_frame;
    cfg.on_frame_ctx = w;
    if (change != NULL)
        change(&cfg);
    assert_int_equal(tw_client_new(&w->client, &cfg), TW_OK);
}

static void close_wire(struct wire *w)
{
    tw_client_free(w->client);
    tw_crypto_free(w->crypto);
}

/* Take the next frame that the client sent and open it as the device would. */
static struct tw_message receive(struct wire *w)
{
    struct tw_span out = tw_client_output(w->client);
    struct tw_frame_rules rules = {.integrity = tw_version_traits(w->version)->integrity, .direction = TW_TO_DEVICE};
    struct tw_frame f;
    struct tw_message m;
    size_t consumed;
    assert_int_equal(tw_frame_parse(&f, &consumed, out.data, out.len, &rules), TW_OK);
    memcpy(w->frame, out.data, consumed);
    w->frame_len = consumed;
    assert_int_equal(tw_frame_parse(&f, &consumed, w->frame, consumed, &rules), TW_OK);
    const uint8_t *k = w->session.state == TW_SESSION_ESTABLISHED ? w->session.key : key;
    assert_int_equal(
        tw_message_open(&m, w->crypto, &f, w->version, TW_TO_DEVICE, k, w->plain, sizeof w->plain, TW_OPEN_STRICT),
        TW_OK);
    tw_client_sent(w->client, consumed);
    return m;
}

static void nothing_sent(struct wire *w)
{
    assert_int_equal(tw_client_output(w->client).len, 0);
}

static bool negotiates(const struct wire *w)
{
    return tw_version_traits(w->version)->negotiates;
}

/* One frame of the device. seq counts only up to 3.3. */
static size_t seal(struct wire *w, uint8_t *out, size_t cap, uint32_t command, uint32_t seq, uint32_t retcode,
                   const char *text, const uint8_t *with_key)
{
    static const uint8_t nonce[TW_NONCE_LEN] = "device nonce";
    struct tw_message m;
    size_t len;
    tw_message_init(&m, w->version, TW_FROM_DEVICE, negotiates(w) ? w->seq++ : seq, command);
    m.retcode = retcode;
    m.payload = span(text);
    m.header.counter = m.seq + 1000;
    assert_int_equal(tw_message_seal(out, cap, &len, w->crypto, &m, with_key, nonce), TW_OK);
    return len;
}

static int say(struct wire *w, uint32_t command, uint32_t seq, uint32_t retcode, const char *text)
{
    uint8_t out[2048];
    size_t len = seal(w, out, sizeof out, command, seq, retcode, text,
                      w->session.state == TW_SESSION_ESTABLISHED ? w->session.key : key);
    return tw_client_feed(w->client, out, len, w->now);
}

static struct tw_client_event next(struct wire *w, enum tw_client_event_type type)
{
    struct tw_client_event ev;
    assert_int_equal(tw_client_next_event(w->client, &ev), 1);
    assert_int_equal(ev.type, type);
    return ev;
}

static void no_event(struct wire *w)
{
    struct tw_client_event ev;
    assert_int_equal(tw_client_next_event(w->client, &ev), 0);
}

static void payload_is(const struct tw_client_event *ev, const char *text)
{
    assert_int_equal(ev->payload.len, strlen(text));
    assert_memory_equal(ev->payload.data, text, ev->payload.len);
}

static void message_is(const struct tw_message *m, uint32_t command, const char *text)
{
    assert_int_equal(m->command, command);
    assert_int_equal(m->payload.len, strlen(text));
    if (m->payload.len > 0)
        assert_memory_equal(m->payload.data, text, m->payload.len);
}

/* Answer START as a device does; the client sends FINISH and what waited. */
static void shake_hands(struct wire *w)
{
    static const uint8_t device_nonce[TW_SESSION_NONCE_LEN] = {'0', '0', '0', '0', '0', '0', '0', '0',
                                                               'f', 'a', 'c', '0', 'd', 'e', '0', '0'};
    uint8_t resp[TW_SESSION_RESP_LEN], out[256];
    static const uint8_t nonce[TW_NONCE_LEN] = "resp nonce 1";
    size_t len;
    tw_session_init(&w->session, w->version, key);
    struct tw_message start = receive(w);
    assert_int_equal(start.command, TW_CMD_SESS_KEY_NEG_START);
    nothing_sent(w);
    assert_int_equal(tw_session_on_start(&w->session, w->crypto, start.payload, device_nonce, resp), TW_OK);
    struct tw_message m;
    tw_message_init(&m, w->version, TW_FROM_DEVICE, w->seq++, TW_CMD_SESS_KEY_NEG_RESP);
    m.payload = (struct tw_span){resp, sizeof resp};
    assert_int_equal(tw_message_seal(out, sizeof out, &len, w->crypto, &m, key, nonce), TW_OK);
    assert_int_equal(tw_client_feed(w->client, out, len, w->now), TW_OK);
    struct tw_message finish = receive(w);
    assert_int_equal(finish.command, TW_CMD_SESS_KEY_NEG_FINISH);
    assert_int_equal(tw_session_on_finish(&w->session, w->crypto, finish.payload), TW_OK);
}

static void establish(struct wire *w, enum tw_version v, void (*change)(struct tw_client_config *))
{
    open_wire(w, v, change);
    assert_int_equal(tw_client_start(w->client, w->now), TW_OK);
    if (negotiates(w))
        shake_hands(w);
    next(w, TW_CLIENT_ESTABLISHED);
    no_event(w);
    nothing_sent(w);
}

#define EACH_VERSION(v) for (enum tw_version v = TW_V31; v <= TW_V35; v++)

/* ---- vectors --------------------------------------------------------------------------------------------------- */

static cJSON *load_vectors(const char *name)
{
    const char *dir = getenv("TUYAWIRE_VECTORS");
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir != NULL ? dir : "tests/vectors", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s: not readable", path);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    size_t len = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    text[len] = '\0';
    cJSON *json = cJSON_Parse(text);
    free(text);
    assert_non_null(json);
    return json;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
    return text != NULL ? text : "";
}

static size_t hex_of(uint8_t *out, size_t cap, const cJSON *object, const char *name)
{
    const char *hex = text_of(object, name);
    size_t n = strlen(hex) / 2;
    assert_true(n <= cap);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return n;
}

static enum tw_version version_of(const cJSON *object)
{
    enum tw_version v;
    const char *text = text_of(object, "version");
    assert_int_equal(tw_version_parse(&v, text, strlen(text)), TW_OK);
    return v;
}

/* Bytes 14 to 29 are the nonce, 30 the ciphertext: what a frame of 3.5 says depends on them, so they come from the
 * vector. */
struct replay {
    const cJSON *frames;
    int next;
    uint8_t client_nonce[TW_SESSION_NONCE_LEN];
};

static int replayed_random(void *ctx, uint8_t *buf, size_t len)
{
    struct replay *r = ctx;
    if (len == TW_SESSION_NONCE_LEN) {
        memcpy(buf, r->client_nonce, len);
        return 0;
    }
    /* START is frame 0, FINISH frame 2 */
    const cJSON *frame = cJSON_GetArrayItem(r->frames, r->next);
    r->next += 2;
    return hex_of(buf, len, frame, "nonce_hex") == len ? 0 : -1;
}

static tw_client *client_of(const cJSON *v, tw_crypto *crypto, tw_random_fn *random, void *ctx)
{
    struct tw_client_config cfg;
    tw_client *c;
    tw_client_config_init(&cfg);
    cfg.version = version_of(v);
    cfg.crypto = crypto;
    cfg.random = random;
    cfg.random_ctx = ctx;
    hex_of(cfg.local_key, sizeof cfg.local_key, v, "local_key_hex");
    assert_int_equal(tw_client_new(&c, &cfg), TW_OK);
    return c;
}

static void output_is(tw_client *c, const cJSON *frame, const char *id)
{
    uint8_t expected[256];
    size_t len = hex_of(expected, sizeof expected, frame, "frame_hex");
    struct tw_span out = tw_client_output(c);
    bool same_seq = out.len >= 12 && memcmp(out.data + 4, expected + 4, 8) == 0;
    if (!same_seq) /* two vectors start at 7, we always at 1: only the size can be compared */
        assert_int_equal(out.len, len);
    else if (out.len != len || memcmp(out.data, expected, len) != 0)
        fail_msg("%s: another frame than %s", id, text_of(frame, "step"));
    tw_client_sent(c, len);
}

static void handshakes_are_those_of_the_vectors(void **state)
{
    (void)state;
    cJSON *json = load_vectors("session.json"), *v;
    tw_crypto *crypto;
    assert_int_equal(tw_crypto_new(&crypto, 4), TW_OK);
    int n = 0;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(json, "cases"))
    {
        const char *id = text_of(v, "id");
        struct replay r = {.frames = cJSON_GetObjectItem(v, "frames")};
        hex_of(r.client_nonce, sizeof r.client_nonce, v, "client_nonce_hex");
        tw_client *c = client_of(v, crypto, replayed_random, &r);
        assert_int_equal(tw_client_start(c, 0), TW_OK);
        output_is(c, cJSON_GetArrayItem(r.frames, 0), id);

        uint8_t resp[256], expected[TW_KEY_LEN];
        size_t len = hex_of(resp, sizeof resp, cJSON_GetArrayItem(r.frames, 1), "frame_hex");
        int rc = tw_client_feed(c, resp, len, 1);
        if (cJSON_IsTrue(cJSON_GetObjectItem(v, "session_key_starts_with_00"))) {
            if (rc != TW_E_HS_KEY_ZERO || tw_client_output(c).len != 0)
                fail_msg("%s: FINISH must not be sent: %s", id, tw_strerror(rc));
        } else {
            if (rc != TW_OK)
                fail_msg("%s: %s", id, tw_strerror(rc));
            output_is(c, cJSON_GetArrayItem(r.frames, 2), id);
            hex_of(expected, sizeof expected, v, "session_key_hex");
            assert_memory_equal(tw_client_session(c)->key, expected, sizeof expected);
        }
        tw_client_free(c);
        n++;
    }
    assert_true(n >= 8);
    tw_crypto_free(crypto);
    cJSON_Delete(json);
}

static void handshake_failures_are_named_as_in_the_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int code;
    } names[] = {{"ok", TW_OK},
                 {"hs_bad_hmac", TW_E_HS_BAD_HMAC},
                 {"hs_short", TW_E_HS_SHORT},
                 {"hs_retcode", TW_E_HS_RETCODE},
                 {"bad_integrity", TW_E_INTEGRITY},
                 {"bad_payload", TW_E_PAYLOAD},
                 {"hs_wrong_cmd", TW_OK /* skipped */}};
    cJSON *json = load_vectors("session.json"), *v;
    tw_crypto *crypto;
    assert_int_equal(tw_crypto_new(&crypto, 4), TW_OK);
    int n = 0;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(json, "failures"))
    {
        if (strcmp(text_of(v, "role"), "client") != 0)
            continue;
        struct script r = {.next = 100};
        hex_of(r.nonce, sizeof r.nonce, v, "client_nonce_hex");
        tw_client *c = client_of(v, crypto, scripted_random, &r);
        assert_int_equal(tw_client_start(c, 0), TW_OK);
        tw_client_sent(c, tw_client_output(c).len);
        uint8_t input[512];
        size_t len = hex_of(input, sizeof input, v, "input_hex");
        int rc = tw_client_feed(c, input, len, 1), expected = 1;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            if (strcmp(names[i].name, text_of(v, "expect")) == 0)
                expected = names[i].code;
        }
        if (rc != expected)
            fail_msg("%s: got %s, expected %s", text_of(v, "id"), tw_error_name(rc), text_of(v, "expect"));
        bool goes_on = strcmp(text_of(v, "action"), "continue") == 0;
        assert_int_equal(tw_client_is_established(c), goes_on);
        assert_int_equal(tw_client_output(c).len > 0, goes_on); /* FINISH, or never FINISH */
        tw_client_free(c);
        n++;
    }
    assert_true(n >= 17);
    tw_crypto_free(crypto);
    cJSON_Delete(json);
}

/* ---- handshake ------------------------------------------------------------------------------------------------- */

static void requests_made_before_the_session_wait_for_it(void **state)
{
    (void)state;
    for (enum tw_version v = TW_V34; v <= TW_V35; v++) {
        struct wire w;
        open_wire(&w, v, NULL);
        assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_E_STATE);
        assert_int_equal(tw_client_start(w.client, w.now), TW_OK);
        uint32_t control, query;
        assert_int_equal(tw_client_control(w.client, span("{\"1\":true}"), w.now, &control), TW_OK);
        assert_int_equal(tw_client_query(w.client, w.now, &query), TW_OK);
        assert_false(tw_client_is_established(w.client));
        shake_hands(&w);
        assert_true(tw_client_is_established(w.client));
        struct tw_message m = receive(&w);
        message_is(&m, TW_CMD_CONTROL_NEW, "{\"protocol\":5,\"t\":1700000000,\"data\":{\"dps\":{\"1\":true}}}");
        assert_int_equal(m.seq, 3);
        m = receive(&w);
        message_is(&m, TW_CMD_DP_QUERY_NEW, "{}");
        assert_int_equal(m.seq, 4);
        nothing_sent(&w);
        close_wire(&w);
    }
}

static void pushes_before_the_handshake_is_done_are_skipped_eight_times(void **state)
{
    (void)state;
    for (enum tw_version v = TW_V34; v <= TW_V35; v++) {
        struct wire w;
        open_wire(&w, v, NULL);
        assert_int_equal(tw_client_start(w.client, w.now), TW_OK);
        for (int i = 0; i < 8; i++)
            assert_int_equal(say(&w, TW_CMD_STATUS, 0, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
        no_event(&w);
        assert_int_equal(say(&w, TW_CMD_STATUS, 0, 0, "{\"dps\":{\"1\":true}}"), TW_E_HS_WRONG_CMD);
        assert_int_equal(next(&w, TW_CLIENT_FAILED).error, TW_E_HS_WRONG_CMD);
        close_wire(&w);
    }
}

static void a_crc_frame_tells_a_3_4_client_that_the_device_is_older(void **state)
{
    (void)state;
    /* what 3.3 devices answer to a START: return code 1 and an error text of two blocks, or nothing but the code */
    static const char *const texts[] = {"parse data error", ""};
    for (size_t i = 0; i < 2; i++) {
        struct wire w, old = {.version = TW_V33};
        uint8_t out[256];
        open_wire(&w, TW_V34, NULL);
        old.crypto = w.crypto;
        assert_int_equal(tw_client_start(w.client, w.now), TW_OK);
        size_t len = seal(&old, out, sizeof out, TW_CMD_SESS_KEY_NEG_START, 1, 1, texts[i], key);
        assert_int_equal(tw_client_feed(w.client, out, len, w.now), TW_E_OLD_DEVICE);
        close_wire(&w);
    }
}

static void a_frame_of_the_other_envelope_is_named(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        struct wire w, other = {.version = v == TW_V35 ? TW_V34 : TW_V35};
        uint8_t out[256];
        open_wire(&w, v, NULL);
        other.crypto = w.crypto;
        assert_int_equal(tw_client_start(w.client, w.now), TW_OK);
        size_t len = seal(&other, out, sizeof out, TW_CMD_SESS_KEY_NEG_RESP, 1, 0, "0123456789abcdef", key);
        assert_int_equal(tw_client_feed(w.client, out, len, w.now), TW_E_ENVELOPE);
        close_wire(&w);
    }
}

static void an_unanswered_start_fails_after_five_seconds(void **state)
{
    (void)state;
    struct wire w;
    open_wire(&w, TW_V34, NULL);
    assert_int_equal(tw_client_start(w.client, 1000), TW_OK);
    assert_int_equal(tw_client_deadline(w.client), 6000);
    assert_int_equal(tw_client_tick(w.client, 5999), TW_OK);
    assert_int_equal(tw_client_tick(w.client, 6000), TW_E_TIMEOUT);
    assert_int_equal(next(&w, TW_CLIENT_FAILED).error, TW_E_TIMEOUT);
    assert_true(tw_client_deadline(w.client) == TW_CLIENT_NEVER);
    close_wire(&w);
}

static void no_randomness_is_an_error_and_nothing_is_sent(void **state)
{
    (void)state;
    struct tw_client_config cfg;
    tw_client *c;
    tw_crypto *crypto;
    assert_int_equal(tw_crypto_new(&crypto, 1), TW_OK);
    tw_client_config_init(&cfg);
    cfg.version = TW_V35;
    cfg.crypto = crypto;
    assert_int_equal(tw_client_new(&c, &cfg), TW_E_ARGUMENT);
    cfg.random = no_random;
    assert_int_equal(tw_client_new(&c, &cfg), TW_OK);
    assert_int_equal(tw_client_start(c, 0), TW_E_CRYPTO);
    assert_int_equal(tw_client_output(c).len, 0);
    tw_client_free(c);
    tw_crypto_free(crypto);
}

static int counting_random(void *ctx, uint8_t *buf, size_t len)
{
    uint32_t *n = ctx;
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)((*n)++ * 2654435761u >> 24);
    return 0;
}

/* spec section 4.8: with a device nonce in ASCII the key then cannot begin with zero */
static void a_3_5_client_chooses_a_nonce_that_cannot_lead_to_a_zero_key(void **state)
{
    (void)state;
    tw_crypto *crypto;
    assert_int_equal(tw_crypto_new(&crypto, 1), TW_OK);
    for (uint32_t seed = 0; seed < 300; seed++) {
        uint32_t n = seed * 1000;
        struct tw_client_config cfg;
        tw_client *c;
        tw_client_config_init(&cfg);
        cfg.version = TW_V35;
        memcpy(cfg.local_key, key, sizeof key);
        cfg.crypto = crypto;
        cfg.random = counting_random;
        cfg.random_ctx = &n;
        assert_int_equal(tw_client_new(&c, &cfg), TW_OK);
        assert_int_equal(tw_client_start(c, 0), TW_OK);
        struct tw_span out = tw_client_output(c);
        struct tw_frame f;
        struct tw_message m;
        size_t consumed;
        uint8_t plain[64], session_key[TW_KEY_LEN];
        assert_int_equal(tw_frame_parse(&f, &consumed, out.data, out.len, NULL), TW_OK);
        assert_int_equal(tw_message_open(&m, crypto, &f, TW_V35, TW_TO_DEVICE, key, plain, sizeof plain, 0), TW_OK);
        assert_memory_not_equal(m.payload.data, f.nonce.data, TW_NONCE_LEN);
        uint8_t device_nonce[TW_SESSION_NONCE_LEN] = {(uint8_t)(seed % 128)};
        assert_int_equal(tw_session_derive(session_key, crypto, TW_V35, key, m.payload.data, device_nonce), TW_OK);
        assert_true(session_key[0] & 0x80);
        tw_client_free(c);
    }
    tw_crypto_free(crypto);
}

static void a_resp_on_a_live_session_is_ignored(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V34, NULL);
    uint8_t out[256];
    size_t len = seal(&w, out, sizeof out, TW_CMD_SESS_KEY_NEG_RESP, 0, 0, "0123456789abcdef", key);
    assert_int_equal(tw_client_feed(w.client, out, len, w.now), TW_OK);
    no_event(&w);
    close_wire(&w);
}

/* spec section 4.5: ESTABLISHED, frame verifies only under the local key: do not act on it */
static void a_push_under_the_local_key_is_not_acted_on(void **state)
{
    (void)state;
    for (enum tw_version v = TW_V34; v <= TW_V35; v++) {
        struct wire w;
        establish(&w, v, NULL);
        uint8_t out[256];
        size_t len = seal(&w, out, sizeof out, TW_CMD_STATUS, 0, 0, "{\"data\":{\"dps\":{\"1\":true}}}", key);
        assert_int_equal(tw_client_feed(w.client, out, len, w.now), TW_OK);
        no_event(&w);
        out[len - 10] ^= 1;
        assert_int_equal(tw_client_feed(w.client, out, len, w.now), TW_E_INTEGRITY);
        close_wire(&w);
    }
}

/* ---- replies --------------------------------------------------------------------------------------------------- */

static void a_query_is_answered_by_data_points(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        uint32_t request;
        assert_int_equal(tw_client_query(w.client, w.now, &request), TW_OK);
        assert_int_not_equal(request, 0);
        struct tw_message m = receive(&w);
        message_is(&m, negotiates(&w) ? TW_CMD_DP_QUERY_NEW : TW_CMD_DP_QUERY,
                   negotiates(&w) ? "{}"
                                  : "{\"gwId\":\"" ID "\",\"devId\":\"" ID "\",\"uid\":\"" ID
                                    "\",\"t\":\"1700000000\"}");
        assert_int_equal(say(&w, m.command, m.seq, 0, "{\"dps\":{\"1\":true,\"9\":0}}"), TW_OK);
        struct tw_client_event ev = next(&w, TW_CLIENT_REPLY);
        assert_int_equal(ev.request, request);
        payload_is(&ev, "{\"dps\":{\"1\":true,\"9\":0}}");
        struct tw_dp dp;
        assert_int_equal(tw_dps_find(&dp, ev.body.dps, 1), TW_OK);
        assert_true(dp.value.boolean);
        no_event(&w);
        assert_int_equal(w.frames_shown[TW_TO_DEVICE], negotiates(&w) ? 3 : 1);
        assert_int_equal(w.frames_shown[TW_FROM_DEVICE], negotiates(&w) ? 2 : 1);
        close_wire(&w);
    }
}

/* ACK first or STATUS first, glued or one byte at a time: the same events, in the order of the device. */
static void ack_and_status_come_in_any_order_and_any_cut(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        for (int status_first = 0; status_first < 2; status_first++) {
            for (size_t step = 1; step < 400; step += 399 - 1) {
                struct wire w;
                establish(&w, v, NULL);
                uint32_t request;
                assert_int_equal(tw_client_control(w.client, span("{\"1\":true}"), w.now, &request), TW_OK);
                struct tw_message m = receive(&w);
                const uint8_t *k = negotiates(&w) ? w.session.key : key;
                const char *push = negotiates(&w) ? "{\"protocol\":4,\"t\":1,\"data\":{\"dps\":{\"1\":true}}}"
                                                  : "{\"dps\":{\"1\":true},\"t\":1,\"s\":7}";
                uint8_t out[1024];
                size_t len = 0;
                if (status_first)
                    len = seal(&w, out, sizeof out, TW_CMD_STATUS, 0, 0, push, k);
                len += seal(&w, out + len, sizeof out - len, m.command, m.seq, 0, "", k);
                if (!status_first)
                    len += seal(&w, out + len, sizeof out - len, TW_CMD_STATUS, 0, 0, push, k);
                for (size_t at = 0; at < len; at += step)
                    assert_int_equal(tw_client_feed(w.client, out + at, len - at < step ? len - at : step, w.now),
                                     TW_OK);
                struct tw_client_event ev;
                if (!status_first)
                    assert_int_equal(next(&w, TW_CLIENT_ACK).request, request);
                ev = next(&w, TW_CLIENT_STATUS);
                payload_is(&ev, push);
                assert_int_equal(ev.body.dps.len, strlen("{\"1\":true}"));
                if (status_first)
                    assert_int_equal(next(&w, TW_CLIENT_ACK).request, request);
                no_event(&w);
                close_wire(&w);
            }
        }
    }
}

/* TuyaOpen answers every control with 1 in host order, also the successful ones */
static void an_empty_reply_with_return_code_one_is_an_ack_of_a_control(void **state)
{
    (void)state;
    static const uint32_t codes[] = {0, 1, 0x01000000};
    for (size_t i = 0; i < 3; i++) {
        struct wire w;
        establish(&w, TW_V35, NULL);
        assert_int_equal(tw_client_control(w.client, span("{\"1\":true}"), w.now, NULL), TW_OK);
        struct tw_message m = receive(&w);
        assert_int_equal(say(&w, m.command, 0, codes[i], ""), TW_OK);
        assert_int_equal(next(&w, TW_CLIENT_ACK).return_code, codes[i] != 0);
        assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_OK);
        m = receive(&w);
        assert_int_equal(say(&w, m.command, 0, codes[i], ""), TW_OK);
        next(&w, codes[i] != 0 ? TW_CLIENT_REFUSED : TW_CLIENT_ACK);
        close_wire(&w);
    }
}

static void a_refusal_carries_the_text_of_the_device(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        uint32_t request;
        assert_int_equal(tw_client_control(w.client, span("{\"1\":true}"), w.now, &request), TW_OK);
        struct tw_message m = receive(&w);
        assert_int_equal(say(&w, m.command, m.seq, 1, "parse data error"), TW_OK);
        struct tw_client_event ev = next(&w, TW_CLIENT_REFUSED);
        assert_int_equal(ev.request, request);
        assert_int_equal(ev.return_code, 1);
        payload_is(&ev, "parse data error");
        close_wire(&w);
    }
}

static void late_answers_to_earlier_requests_are_not_mistaken(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V33, NULL);
    uint32_t first, second;
    assert_int_equal(tw_client_query(w.client, w.now, &first), TW_OK);
    struct tw_message m = receive(&w);
    uint32_t seq = m.seq;
    assert_int_equal(tw_client_tick(w.client, w.now + TW_CLIENT_QUERY_MS), TW_OK);
    struct tw_client_event ev = next(&w, TW_CLIENT_TIMEOUT);
    assert_int_equal(ev.request, first);
    assert_int_equal(ev.error, TW_E_TIMEOUT);
    w.now += TW_CLIENT_QUERY_MS;
    assert_int_equal(tw_client_query(w.client, w.now, &second), TW_OK);
    m = receive(&w);
    assert_int_equal(say(&w, m.command, seq, 0, "{\"dps\":{\"1\":false}}"), TW_OK);
    assert_int_equal(next(&w, TW_CLIENT_OTHER).request, 0);
    assert_int_equal(say(&w, m.command, m.seq, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
    assert_int_equal(next(&w, TW_CLIENT_REPLY).request, second);
    close_wire(&w);
}

static void a_device_that_does_not_echo_is_understood(void **state)
{
    (void)state;
    static const uint32_t seqs[] = {0, 4711};
    for (size_t i = 0; i < 2; i++) {
        struct wire w;
        establish(&w, TW_V33, NULL);
        assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_OK);
        struct tw_message m = receive(&w);
        assert_int_equal(say(&w, m.command, seqs[i], 0, "{\"dps\":{\"1\":true}}"), TW_OK);
        next(&w, TW_CLIENT_REPLY);
        close_wire(&w);
    }
}

static void one_request_per_command_is_under_way(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        uint32_t a, b;
        assert_int_equal(tw_client_query(w.client, w.now, &a), TW_OK);
        assert_int_equal(tw_client_query(w.client, w.now, &b), TW_OK);
        struct tw_message m = receive(&w);
        nothing_sent(&w);
        assert_int_equal(say(&w, m.command, m.seq, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
        assert_int_equal(next(&w, TW_CLIENT_REPLY).request, a);
        m = receive(&w);
        assert_int_equal(say(&w, m.command, m.seq, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
        assert_int_equal(next(&w, TW_CLIENT_REPLY).request, b);
        close_wire(&w);
    }
}

static void too_many_requests_are_refused_and_none_is_lost(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V33, NULL);
    for (int i = 0; i < TW_CLIENT_REQUESTS_MAX; i++)
        assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_OK);
    assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_E_CAPACITY);
    for (int i = 0; i < TW_CLIENT_REQUESTS_MAX; i++) {
        struct tw_message m = receive(&w);
        assert_int_equal(say(&w, m.command, m.seq, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
        next(&w, TW_CLIENT_REPLY);
    }
    nothing_sent(&w);
    close_wire(&w);
}

static void requests_that_cannot_be_made_are_refused(void **state)
{
    (void)state;
    struct wire w;
    static char long_text[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    establish(&w, TW_V33, NULL);
    assert_int_equal(tw_client_control(w.client, span("{\"1\":tru}"), w.now, NULL), TW_E_JSON);
    assert_int_equal(tw_client_send(w.client, TW_CMD_SESS_KEY_NEG_START, span("x"), w.now, NULL), TW_E_ARGUMENT);
    assert_int_equal(tw_client_send(w.client, TW_CMD_CONTROL, span(long_text), w.now, NULL), TW_E_TOO_LARGE);
    assert_int_equal(tw_client_query_dps(w.client, NULL, 0, w.now, NULL), TW_E_ARGUMENT);
    nothing_sent(&w);
    close_wire(&w);
}

static void a_frame_may_be_as_long_as_a_device_takes(void **state)
{
    (void)state;
    static const size_t longest[TW_N_VERSIONS] = {3023, 4047, 4047, 4016, 4030}; /* of a control: 4095 in all */
    static char text[4096];
    memset(text, 'x', sizeof text);
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        struct tw_span body = {(const uint8_t *)text, longest[v] + 1};
        assert_int_equal(tw_client_send(w.client, TW_CMD_CONTROL, body, w.now, NULL), TW_E_TOO_LARGE);
        nothing_sent(&w);
        body.len--;
        assert_int_equal(tw_client_send(w.client, TW_CMD_CONTROL, body, w.now, NULL), TW_OK);
        size_t len = tw_client_output(w.client).len;
        assert_true(len <= TW_FRAME_SIZE_TO_DEVICE_MAX && len > TW_FRAME_SIZE_TO_DEVICE_MAX - 24);
        assert_int_equal(receive(&w).payload.len, longest[v]);
        close_wire(&w);
    }
}

static void more_bytes_than_memory_can_hold_are_refused(void **state)
{
    (void)state;
    struct wire w;
    uint8_t byte = 0;
    establish(&w, TW_V33, NULL);
    assert_int_equal(tw_client_feed(w.client, &byte, SIZE_MAX, w.now), TW_E_NOMEM); /* none of them is read */
    close_wire(&w);
}

static void what_stands_around_data_points_is_not_sent(void **state)
{
    (void)state;
    static const uint8_t dps[] = " {\"1\":true} \0";
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        struct tw_span with_nul = {dps, sizeof dps};
        assert_int_equal(tw_client_control(w.client, with_nul, w.now, NULL), TW_OK);
        struct tw_message m = receive(&w);
        assert_null(memchr(m.payload.data, 0, m.payload.len));
        assert_null(memchr(m.payload.data, ' ', m.payload.len));
        close_wire(&w);
    }
}

static void a_status_that_was_seen_is_dropped(void **state)
{
    (void)state;
    for (enum tw_version v = TW_V32; v <= TW_V35; v++) {
        struct wire w;
        establish(&w, v, NULL);
        uint32_t counter = 5;
        for (int i = 0; i < 3; i++) {
            uint8_t out[256];
            static const uint8_t nonce[TW_NONCE_LEN] = "status nonce";
            struct tw_message m;
            size_t len;
            tw_message_init(&m, v, TW_FROM_DEVICE, w.seq++, TW_CMD_STATUS);
            m.header.counter = counter + (i == 2);
            m.payload = span("{\"dps\":{\"1\":true}}");
            assert_int_equal(
                tw_message_seal(out, sizeof out, &len, w.crypto, &m, negotiates(&w) ? w.session.key : key, nonce),
                TW_OK);
            assert_int_equal(tw_client_feed(w.client, out, len, w.now), TW_OK);
            if (i != 1)
                next(&w, TW_CLIENT_STATUS);
            no_event(&w);
        }
        close_wire(&w);
    }
}

static void another_key_is_noticed_on_3_3(void **state)
{
    (void)state;
    struct wire w;
    uint8_t out[256];
    establish(&w, TW_V33, NULL);
    assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_OK);
    struct tw_message m = receive(&w);
    size_t len =
        seal(&w, out, sizeof out, m.command, m.seq, 1, "parse data error", (const uint8_t *)"another key here");
    int rc = tw_client_feed(w.client, out, len, w.now);
    assert_true(rc == TW_E_PADDING || rc == TW_E_PAYLOAD);
    struct tw_client_event ev = next(&w, TW_CLIENT_FAILED);
    assert_int_equal(ev.return_code, 1);
    assert_int_equal(ev.command, TW_CMD_DP_QUERY);
    close_wire(&w);
}

static void garbage_and_other_protocols_are_refused(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
        assert_int_equal(tw_client_feed(w.client, (const uint8_t *)http, sizeof http - 1, w.now), TW_E_PREFIX);
        close_wire(&w);
    }
}

static void failure_sticks_and_earlier_events_are_handed_out(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V33, NULL);
    assert_int_equal(say(&w, TW_CMD_STATUS, 0, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
    assert_int_equal(tw_client_feed(w.client, (const uint8_t *)"junk", 4, w.now), TW_E_PREFIX);
    assert_int_equal(tw_client_peer_closed(w.client), TW_E_PREFIX);
    assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_E_PREFIX);
    assert_int_equal(tw_client_tick(w.client, w.now + 60000), TW_E_PREFIX);
    assert_int_equal(tw_client_error(w.client), TW_E_PREFIX);
    assert_false(tw_client_is_established(w.client));
    next(&w, TW_CLIENT_STATUS);
    assert_int_equal(next(&w, TW_CLIENT_FAILED).error, TW_E_PREFIX);
    no_event(&w);
    close_wire(&w);
}

static void undrained_events_are_bounded(void **state)
{
    (void)state;
    struct wire w;
    uint8_t out[256];
    int rc = TW_OK;
    establish(&w, TW_V33, NULL);
    for (uint32_t i = 1; i < 100000 && rc == TW_OK; i++) {
        size_t len = seal(&w, out, sizeof out, TW_CMD_STATUS, i, 0, "{\"dps\":{\"1\":true}}", key);
        rc = tw_client_feed(w.client, out, len, w.now);
    }
    assert_int_equal(rc, TW_E_CAPACITY);
    close_wire(&w);
}

/* ---- heart beats ----------------------------------------------------------------------------------------------- */

static void heart_beats_run_every_ten_seconds_and_two_unanswered_end_it(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        uint64_t t0 = w.now;
        assert_int_equal(tw_client_deadline(w.client), t0 + 10000);
        assert_int_equal(tw_client_tick(w.client, t0 + 9999), TW_OK);
        nothing_sent(&w);
        assert_int_equal(tw_client_tick(w.client, t0 + 10000), TW_OK);
        struct tw_message m = receive(&w);
        message_is(&m, TW_CMD_HEART_BEAT, "");
        w.now = t0 + 10050;
        assert_int_equal(say(&w, TW_CMD_HEART_BEAT, 0, 0, ""), TW_OK);
        no_event(&w);
        assert_int_equal(tw_client_deadline(w.client), t0 + 20000);
        assert_int_equal(tw_client_tick(w.client, t0 + 20000), TW_OK);
        receive(&w);
        assert_int_equal(tw_client_tick(w.client, t0 + 30000), TW_OK);
        receive(&w);
        assert_int_equal(tw_client_deadline(w.client), t0 + 33000);
        assert_int_equal(tw_client_tick(w.client, t0 + 33000), TW_E_TIMEOUT);
        close_wire(&w);
    }
}

static void a_push_is_a_sign_of_life_too(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V33, NULL);
    for (uint32_t i = 1; i < 10; i++) {
        w.now += 10000;
        assert_int_equal(tw_client_tick(w.client, w.now), TW_OK);
        receive(&w);
        assert_int_equal(say(&w, TW_CMD_STATUS, i, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
        next(&w, TW_CLIENT_STATUS);
    }
    close_wire(&w);
}

static void a_heart_beat_can_be_asked_for(void **state)
{
    (void)state;
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        uint32_t request;
        assert_int_equal(tw_client_heartbeat(w.client, w.now, &request), TW_OK);
        receive(&w);
        assert_int_equal(say(&w, TW_CMD_HEART_BEAT, 0, 0, ""), TW_OK);
        assert_int_equal(next(&w, TW_CLIENT_ACK).request, request);
        close_wire(&w);
    }
}

/* ---- device22, refresh, sub-devices, headers ------------------------------------------------------------------- */

#define NULLS                                                                                                        \
    "\"dps\":{\"1\":null,\"2\":null,\"3\":null,\"4\":null,\"5\":null,\"6\":null,\"9\":null,\"17\":null,"             \
    "\"18\":null,\"19\":null,\"20\":null}"

static void a_device_that_refuses_a_query_is_asked_by_a_null_map(void **state)
{
    (void)state;
    for (enum tw_version v = TW_V32; v <= TW_V33; v++) {
        for (int status_first = 0; status_first < 2; status_first++) {
            struct wire w;
            establish(&w, v, NULL);
            uint32_t request;
            assert_int_equal(tw_client_query(w.client, w.now, &request), TW_OK);
            struct tw_message m = receive(&w);
            assert_int_equal(say(&w, TW_CMD_DP_QUERY, m.seq, 1, "json obj data unvalid"), TW_OK);
            m = receive(&w);
            message_is(&m, TW_CMD_DP_QUERY_NEW, m.payload.len > 2 ? (char *)w.plain : "{}");
            no_event(&w);
            assert_int_equal(say(&w, TW_CMD_DP_QUERY_NEW, m.seq, 1, "json obj data unvalid"), TW_OK);
            m = receive(&w);
            message_is(&m, TW_CMD_CONTROL_NEW,
                       "{\"devId\":\"" ID "\",\"uid\":\"" ID "\",\"t\":\"1700000000\"," NULLS "}");
            assert_true(m.payload.len <= 255);
            if (!status_first)
                assert_int_equal(say(&w, TW_CMD_CONTROL_NEW, m.seq, 0, ""), TW_OK);
            no_event(&w);
            assert_int_equal(say(&w, TW_CMD_STATUS, 0, 0, "{\"dps\":{\"1\":true,\"18\":0}}"), TW_OK);
            struct tw_client_event ev = next(&w, TW_CLIENT_REPLY);
            assert_int_equal(ev.request, request);
            assert_int_equal(ev.command, TW_CMD_STATUS);
            if (status_first)
                assert_int_equal(say(&w, TW_CMD_CONTROL_NEW, m.seq, 0, ""), TW_OK);
            no_event(&w);
            assert_true(tw_client_null_map(w.client));

            /* remembered; and switching goes on with CONTROL (spec section 5.6, device behaviour section 8) */
            assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_OK);
            assert_int_equal(receive(&w).command, TW_CMD_CONTROL_NEW);
            assert_int_equal(tw_client_control(w.client, span("{\"1\":true}"), w.now, NULL), TW_OK);
            assert_int_equal(receive(&w).command, TW_CMD_CONTROL);
            close_wire(&w);
        }
    }
}

static void a_query_refused_in_every_form_is_refused(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V33, NULL);
    uint32_t request;
    assert_int_equal(tw_client_query(w.client, w.now, &request), TW_OK);
    struct tw_message m = receive(&w);
    assert_int_equal(say(&w, TW_CMD_DP_QUERY, m.seq, 1, "json obj data unvalid"), TW_OK);
    assert_int_equal(receive(&w).command, TW_CMD_DP_QUERY_NEW);
    w.now = tw_client_deadline(w.client);
    assert_int_equal(tw_client_tick(w.client, w.now), TW_OK);
    assert_int_equal(receive(&w).command, TW_CMD_CONTROL_NEW);
    w.now = tw_client_deadline(w.client);
    assert_int_equal(tw_client_tick(w.client, w.now), TW_OK);
    struct tw_client_event ev = next(&w, TW_CLIENT_REFUSED);
    assert_int_equal(ev.request, request);
    payload_is(&ev, "json obj data unvalid");
    close_wire(&w);
}

static void a_refresh_is_answered_by_ack_or_by_status(void **state)
{
    (void)state;
    static const uint32_t ids[] = {18, 19, 20};
    EACH_VERSION(v)
    {
        struct wire w;
        establish(&w, v, NULL);
        uint32_t a, b;
        assert_int_equal(tw_client_refresh(w.client, ids, 3, w.now, &a), TW_OK);
        struct tw_message m = receive(&w);
        message_is(&m, TW_CMD_UPDATEDPS, "{\"dpId\":[18,19,20]}");
        assert_int_equal(say(&w, TW_CMD_UPDATEDPS, m.seq, 0, ""), TW_OK);
        assert_int_equal(next(&w, TW_CLIENT_ACK).request, a);
        assert_int_equal(tw_client_refresh(w.client, ids, 3, w.now, &b), TW_OK);
        m = receive(&w);
        assert_int_equal(say(&w, TW_CMD_STATUS, 8, 0, "{\"dps\":{\"1\":true}}"), TW_OK);
        assert_int_equal(next(&w, TW_CLIENT_STATUS).request, 0);
        assert_int_equal(say(&w, TW_CMD_STATUS, 9, 0, "{\"dps\":{\"19\":35,\"20\":2259}}"), TW_OK);
        assert_int_equal(next(&w, TW_CLIENT_STATUS).request, b);
        assert_int_equal(say(&w, TW_CMD_UPDATEDPS, m.seq, 0, ""), TW_OK);
        no_event(&w);
        close_wire(&w);
    }
}

static void a_refresh_that_waits_does_not_take_the_values_of_a_null_map(void **state)
{
    (void)state;
    static const uint32_t ids[] = {18, 19, 20};
    struct wire w;
    establish(&w, TW_V33, NULL);
    uint32_t refresh, query;
    assert_int_equal(tw_client_refresh(w.client, ids, 3, w.now, &refresh), TW_OK);
    assert_int_equal(tw_client_query_dps(w.client, ids, 3, w.now, &query), TW_OK);
    receive(&w), receive(&w);
    assert_int_equal(say(&w, TW_CMD_STATUS, 9, 0, "{\"dps\":{\"19\":35}}"), TW_OK);
    assert_int_equal(next(&w, TW_CLIENT_REPLY).request, query);
    close_wire(&w);
}

static void with_cid(struct tw_client_config *cfg)
{
    cfg->cid = span("0000000000000001");
}

static void requests_for_a_sub_device_name_it(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V34, with_cid);
    assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_OK);
    struct tw_message m = receive(&w);
    message_is(&m, TW_CMD_DP_QUERY_NEW, "{\"cid\":\"0000000000000001\"}");
    assert_int_equal(tw_client_control(w.client, span("{\"1\":true}"), w.now, NULL), TW_OK);
    m = receive(&w);
    message_is(&m, TW_CMD_CONTROL_NEW,
               "{\"protocol\":5,\"t\":1700000000,\"data\":{\"cid\":\"0000000000000001\",\"ctype\":0,"
               "\"dps\":{\"1\":true}}}");
    close_wire(&w);
}

static void sub_devices_are_listed(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V34, NULL);
    uint32_t request;
    static const char report[] =
        "{\"reqType\":\"subdev_online_stat_report\",\"data\":{\"online\":[\"01\"],\"offline\":[],\"nearby\":[]}}";
    assert_int_equal(say(&w, TW_CMD_LAN_EXT_STREAM, 0, 0, report), TW_OK);
    next(&w, TW_CLIENT_OTHER); /* it also comes unasked */
    assert_int_equal(tw_client_subdevices(w.client, w.now, &request), TW_OK);
    struct tw_message m = receive(&w);
    message_is(&m, TW_CMD_LAN_EXT_STREAM, "{\"reqType\":\"subdev_online_stat_query\",\"data\":{\"cids\":[]}}");
    assert_int_equal(say(&w, TW_CMD_LAN_EXT_STREAM, 0, 0, report), TW_OK);
    assert_int_equal(next(&w, TW_CLIENT_REPLY).request, request);
    close_wire(&w);
}

static void with_source(struct tw_client_config *cfg)
{
    cfg->source = 0x0001F645;
    cfg->counter = 24;
}

static void controls_carry_the_counter_when_a_source_is_set(void **state)
{
    (void)state;
    struct wire w;
    establish(&w, TW_V33, with_source);
    assert_int_equal(tw_client_control(w.client, span("{\"1\":true}"), w.now, NULL), TW_OK);
    struct tw_message m = receive(&w);
    assert_int_equal(m.header.counter, 24);
    assert_int_equal(m.header.source, 0x0001F645);
    assert_int_equal(tw_client_counter(w.client), 25);
    assert_int_equal(tw_client_query(w.client, w.now, NULL), TW_OK);
    assert_false(receive(&w).has_header);
    assert_int_equal(tw_client_counter(w.client), 25);
    close_wire(&w);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* The linker sends the library's allocations here (--wrap in meson.build); the one numbered fail_at fails. */
static struct {
    bool on;
    int n, fail_at;
} memory;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool is_denied(void)
{
    return memory.on && memory.n++ == memory.fail_at;
}

void *__wrap_malloc(size_t size)
{
    return is_denied() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_denied() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return is_denied() ? NULL : __real_realloc(p, size);
}

/* A life with everything that allocates: requests that wait, replies, a query asked again, many events. Stops at the
 * first error and returns it. */
static int live(struct wire *w, const uint8_t *input, const size_t *cuts, size_t n_cuts)
{
    struct tw_client_config cfg;
    struct tw_client_event ev;
    static const uint32_t ids[] = {18, 19, 20};
    tw_client_config_init(&cfg);
    cfg.device_id = span(ID);
    memcpy(cfg.local_key, key, sizeof key);
    cfg.crypto = w->crypto;
    int rc = tw_client_new(&w->client, &cfg);
    if (rc != TW_OK)
        return rc;
    rc = tw_client_start(w->client, 0);
    for (int i = 0; i < 3 && rc == TW_OK; i++)
        rc = tw_client_query(w->client, 0, NULL);
    if (rc == TW_OK)
        rc = tw_client_control(w->client, span("{\"1\":true}"), 0, NULL);
    if (rc == TW_OK)
        rc = tw_client_refresh(w->client, ids, 3, 0, NULL);
    for (size_t i = 0, at = 0; i < n_cuts && rc == TW_OK; at += cuts[i], i++)
        rc = tw_client_feed(w->client, input + at, cuts[i], 0);
    while (tw_client_next_event(w->client, &ev))
        assert_true(ev.type != TW_CLIENT_FAILED || ev.error == TW_E_NOMEM);
    return rc != TW_OK ? rc : tw_client_error(w->client);
}

static void every_failing_allocation_is_out_of_memory_and_nothing_worse(void **state)
{
    (void)state;
    static uint8_t input[65536];
    size_t cuts[128], n = 0, len = 0;
    struct wire w = {.version = TW_V33};
    assert_int_equal(tw_crypto_new(&w.crypto, 4), TW_OK);
    cuts[n++] = len = seal(&w, input, sizeof input, TW_CMD_DP_QUERY, 1, 1, "json obj data unvalid", key);
    for (; n < 100; n++) {
        cuts[n] = seal(&w, input + len, sizeof input - len, TW_CMD_STATUS, 0, 0, "{\"dps\":{\"41\":true}}", key);
        len += cuts[n];
        w.seq++;
    }
    int rc = TW_E_NOMEM;
    for (memory.fail_at = 0; rc != TW_OK; memory.fail_at++) {
        assert_in_range(memory.fail_at, 0, 1000);
        memory.n = 0;
        memory.on = true;
        w.client = NULL;
        rc = live(&w, input, cuts, n);
        memory.on = false;
        assert_true(rc == TW_OK || rc == TW_E_NOMEM);
        tw_client_free(w.client);
    }
    assert_true(memory.fail_at > 10);
    tw_crypto_free(w.crypto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshakes_are_those_of_the_vectors),
        cmocka_unit_test(handshake_failures_are_named_as_in_the_vectors),
        cmocka_unit_test(requests_made_before_the_session_wait_for_it),
        cmocka_unit_test(pushes_before_the_handshake_is_done_are_skipped_eight_times),
        cmocka_unit_test(a_crc_frame_tells_a_3_4_client_that_the_device_is_older),
        cmocka_unit_test(a_frame_of_the_other_envelope_is_named),
        cmocka_unit_test(an_unanswered_start_fails_after_five_seconds),
        cmocka_unit_test(no_randomness_is_an_error_and_nothing_is_sent),
        cmocka_unit_test(a_3_5_client_chooses_a_nonce_that_cannot_lead_to_a_zero_key),
        cmocka_unit_test(a_resp_on_a_live_session_is_ignored),
        cmocka_unit_test(a_push_under_the_local_key_is_not_acted_on),
        cmocka_unit_test(a_query_is_answered_by_data_points),
        cmocka_unit_test(ack_and_status_come_in_any_order_and_any_cut),
        cmocka_unit_test(an_empty_reply_with_return_code_one_is_an_ack_of_a_control),
        cmocka_unit_test(a_refusal_carries_the_text_of_the_device),
        cmocka_unit_test(late_answers_to_earlier_requests_are_not_mistaken),
        cmocka_unit_test(a_device_that_does_not_echo_is_understood),
        cmocka_unit_test(one_request_per_command_is_under_way),
        cmocka_unit_test(too_many_requests_are_refused_and_none_is_lost),
        cmocka_unit_test(requests_that_cannot_be_made_are_refused),
        cmocka_unit_test(a_frame_may_be_as_long_as_a_device_takes),
        cmocka_unit_test(more_bytes_than_memory_can_hold_are_refused),
        cmocka_unit_test(what_stands_around_data_points_is_not_sent),
        cmocka_unit_test(a_status_that_was_seen_is_dropped),
        cmocka_unit_test(another_key_is_noticed_on_3_3),
        cmocka_unit_test(garbage_and_other_protocols_are_refused),
        cmocka_unit_test(failure_sticks_and_earlier_events_are_handed_out),
        cmocka_unit_test(undrained_events_are_bounded),
        cmocka_unit_test(heart_beats_run_every_ten_seconds_and_two_unanswered_end_it),
        cmocka_unit_test(a_push_is_a_sign_of_life_too),
        cmocka_unit_test(a_heart_beat_can_be_asked_for),
        cmocka_unit_test(a_device_that_refuses_a_query_is_asked_by_a_null_map),
        cmocka_unit_test(a_query_refused_in_every_form_is_refused),
        cmocka_unit_test(a_refresh_is_answered_by_ack_or_by_status),
        cmocka_unit_test(a_refresh_that_waits_does_not_take_the_values_of_a_null_map),
        cmocka_unit_test(requests_for_a_sub_device_name_it),
        cmocka_unit_test(sub_devices_are_listed),
        cmocka_unit_test(controls_carry_the_counter_when_a_source_is_set),
        cmocka_unit_test(every_failing_allocation_is_out_of_memory_and_nothing_worse),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
