/* The device's end of a connection: every golden handshake with what follows it, those failures of session.json that
 * a device sees, and the rows of the behaviour page that are a matter of the wire (device behaviour 3 to 5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/device.h"
#include "tuyawire/session.h"
#include "vectors.h"

static const uint8_t local_key[TW_KEY_LEN] = "0123456789abcdef";
static tw_crypto *crypto;

/* Chance as the test wants it: this first sequence number, this device nonce, these GCM nonces one after the other. */
static struct chance {
    uint16_t seq;
    uint8_t device_nonce[TW_SESSION_NONCE_LEN];
    uint8_t nonces[32][TW_NONCE_LEN];
    size_t n_nonces, next;
} chance;

static int draw(void *ctx, uint8_t *buf, size_t len)
{
    struct chance *c = ctx;
    if (len == 2) {
        buf[0] = (uint8_t)(c->seq >> 8);
        buf[1] = (uint8_t)c->seq;
    } else if (len == TW_SESSION_NONCE_LEN) {
        memcpy(buf, c->device_nonce, len);
    } else {
        memset(buf, (int)c->next, len);
        if (c->next < c->n_nonces)
            memcpy(buf, c->nonces[c->next], len);
        c->next++;
    }
    return 0;
}

static tw_device_host *new_host(bool manual)
{
    tw_device_host *h;
    const struct tw_device_host_config cfg = {
        .crypto = crypto, .random = draw, .random_ctx = &chance, .manual = manual};
    assert_int_equal(tw_device_host_new(&h, &cfg), TW_OK);
    return h;
}

static tw_device *new_device(tw_device_host *h, enum tw_version v, const uint8_t *key, unsigned quirks)
{
    tw_device *d;
    struct tw_device_config cfg;
    tw_device_config_init(&cfg, v, key);
    cfg.quirks = quirks;
    assert_int_equal(tw_device_new(&d, h, &cfg, 0), TW_OK);
    return d;
}

static int set_up(void **state)
{
    (void)state;
    memset(&chance, 0, sizeof chance);
    memcpy(chance.device_nonce, "00000000fac0de00", TW_SESSION_NONCE_LEN);
    return tw_crypto_new(&crypto, 8);
}

static int tear_down(void **state)
{
    (void)state;
    tw_crypto_free(crypto);
    return 0;
}

/* Feed a heap copy of just these bytes and take the first event; type -1: there was none. The bytes are kept until the
 * next call, since the event points into them. */
static struct tw_device_event feed(tw_device *d, const uint8_t *bytes, size_t n, uint64_t now_ms)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(n > 0 ? n : 1);
    if (n > 0)
        memcpy(copy, bytes, n);
    tw_device_feed(d, copy, n, now_ms);
    struct tw_device_event ev, rest;
    if (!tw_device_next_event(d, &ev)) {
        memset(&ev, 0, sizeof ev);
        ev.type = (enum tw_device_event_type) - 1;
        return ev;
    }
    while (ev.type != TW_DEVICE_CLOSING && tw_device_next_event(d, &rest))
        if (rest.type == TW_DEVICE_CLOSING)
            ev.error = rest.error;
    return ev;
}

#define NO_EVENT ((enum tw_device_event_type) - 1)

/* ------ golden handshakes, and messages under their session key ------ */

static void set_chance(const cJSON *session)
{
    memset(&chance, 0, sizeof chance);
    struct bytes nonce = vector_hex(session, "device_nonce_hex");
    memcpy(chance.device_nonce, nonce.data, TW_SESSION_NONCE_LEN);
    free(nonce.data);
    const cJSON *lists[] = {cJSON_GetObjectItem(session, "frames"), cJSON_GetObjectItem(session, "after")}, *frame;
    for (size_t i = 0; i < 2; i++)
        cJSON_ArrayForEach(frame, lists[i])
        {
            if (strcmp(vector_text(frame, "direction"), "from_device") != 0)
                continue;
            if (vector_number(frame, "cmd") == TW_CMD_SESS_KEY_NEG_RESP)
                chance.seq = (uint16_t)(vector_number(frame, "seq") - 1);
            struct bytes gcm = vector_hex(frame, "nonce_hex");
            if (gcm.present)
                memcpy(chance.nonces[chance.n_nonces++], gcm.data, TW_NONCE_LEN);
            free(gcm.data);
        }
}

static void expect_output(tw_device *d, const char *id, struct bytes expected)
{
    struct tw_span out = tw_device_output(d);
    if (out.len != expected.len || memcmp(out.data, expected.data, out.len) != 0)
        vector_complain(id, "the device sends %zu other bytes than these %zu", out.len, expected.len);
    tw_device_sent(d, out.len);
}

/* What a device says of its own accord is there already; the rest the application sends. */
static void produce(tw_device *d, const struct vector *v)
{
    struct tw_span text = {v->plaintext.data, v->plaintext.len};
    if (tw_device_output(d).len > 0)
        return;
    if (v->command == TW_CMD_STATUS)
        tw_device_status(d, (uint32_t)v->header.data[9] << 8 | v->header.data[10], text);
    else if (text.len == 0)
        tw_device_ack(d, v->command, 0, 0);
    else
        tw_device_reply(d, v->command, 0, text);
}

static void play(const cJSON *session, size_t step)
{
    set_chance(session);
    struct bytes key = vector_hex(session, "local_key_hex");
    tw_device_host *h = new_host(false);
    tw_device *d = new_device(h, vector_version(session), key.data, 0);
    const cJSON *lists[] = {cJSON_GetObjectItem(session, "frames"), cJSON_GetObjectItem(session, "after")}, *object;
    for (size_t i = 0; i < 2; i++)
        cJSON_ArrayForEach(object, lists[i])
        {
            struct bytes frame = vector_hex(object, "frame_hex");
            if (strcmp(vector_text(object, "direction"), "to_device") == 0) {
                for (size_t at = 0; at < frame.len; at += step)
                    feed(d, frame.data + at, frame.len - at < step ? frame.len - at : step, 0);
            } else {
                struct vector v;
                if (i == 1) {
                    vector_read(&v, object);
                    produce(d, &v);
                    vector_free(&v);
                }
                expect_output(d, vector_text(session, "id"), frame);
            }
            free(frame.data);
        }
    if (!tw_device_ready(d))
        vector_complain(vector_text(session, "id"), "no session: %s", tw_error_name(tw_device_error(d)));
    tw_device_free(d);
    tw_device_host_free(h);
    free(key.data);
}

static void golden_sessions_are_answered_byte_for_byte(void **state)
{
    (void)state;
    cJSON *file = vectors_load("session.json");
    const cJSON *session;
    cJSON_ArrayForEach(session, cJSON_GetObjectItem(file, "cases"))
    {
        play(session, SIZE_MAX / 2);
        play(session, 1);
        play(session, 7);
    }
    cJSON_Delete(file);
    vectors_done();
}

/* ------ failures of session.json ------ */

/* The START that belongs to a failure's nonces, and the FINISH. */
static size_t seal_start(uint8_t *out, size_t cap, enum tw_version v, const uint8_t *key, const uint8_t *nonce)
{
    struct tw_message m;
    size_t len;
    tw_message_init(&m, v, TW_TO_DEVICE, 1, TW_CMD_SESS_KEY_NEG_START);
    m.payload = (struct tw_span){nonce, TW_SESSION_NONCE_LEN};
    assert_int_equal(tw_message_seal(out, cap, &len, crypto, &m, key, (const uint8_t *)"nonce-of-tst"), TW_OK);
    return len;
}

static size_t seal_finish(uint8_t *out, size_t cap, enum tw_version v, const uint8_t *key, const uint8_t *nonce)
{
    struct tw_message m;
    size_t len;
    uint8_t proof[TW_HMAC_LEN];
    assert_int_equal(tw_session_proof(proof, crypto, key, nonce), TW_OK);
    tw_message_init(&m, v, TW_TO_DEVICE, 2, TW_CMD_SESS_KEY_NEG_FINISH);
    m.payload = (struct tw_span){proof, sizeof proof};
    assert_int_equal(tw_message_seal(out, cap, &len, crypto, &m, key, (const uint8_t *)"nonce-of-ts2"), TW_OK);
    return len;
}

static void bring_to(tw_device *d, const char *state, enum tw_version v, const uint8_t *key, const uint8_t *client,
                     const uint8_t *device)
{
    uint8_t frame[256];
    if (strcmp(state, "wait_start") == 0)
        return;
    size_t n = seal_start(frame, sizeof frame, v, key, client);
    feed(d, frame, n, 0);
    if (strcmp(state, "established") == 0) {
        n = seal_finish(frame, sizeof frame, v, key, device);
        feed(d, frame, n, 0);
        assert_true(tw_device_ready(d));
    }
    tw_device_sent(d, SIZE_MAX);
}

static void check_failure(const cJSON *f)
{
    const char *id = vector_text(f, "id"), *expect = vector_text(f, "expect"), *action = vector_text(f, "action");
    enum tw_version v = vector_version(f);
    struct bytes key = vector_hex(f, "local_key_hex"), client = vector_hex(f, "client_nonce_hex");
    struct bytes device = vector_hex(f, "device_nonce_hex"), input = vector_hex(f, "input_hex");
    memcpy(chance.device_nonce, device.data, TW_SESSION_NONCE_LEN);
    tw_device_host *h = new_host(false);
    tw_device *d = new_device(h, v, key.data, 0);
    bring_to(d, vector_text(f, "state"), v, key.data, client.data, device.data);

    struct tw_device_event ev = feed(d, input.data, input.len, 0);
    bool closing = ev.type == TW_DEVICE_CLOSING;
    if (strcmp(tw_error_name(ev.error), expect) != 0)
        vector_complain(id, "%s, expected %s", tw_error_name(ev.error), expect);
    if (closing != (strcmp(action, "close") == 0))
        vector_complain(id, closing ? "closes" : "does not close");
    if (strcmp(action, "ignore") == 0 && (ev.has_answer || tw_device_output(d).len > 0))
        vector_complain(id, "answers what is to be ignored");
    if (strcmp(action, "continue") == 0 && ev.type != TW_DEVICE_HANDSHAKE)
        vector_complain(id, "does not go on");
    tw_device_free(d);
    tw_device_host_free(h);
    free(key.data);
    free(client.data);
    free(device.data);
    free(input.data);
}

static void golden_failures_of_the_device_role_end_as_written(void **state)
{
    (void)state;
    cJSON *file = vectors_load("session.json");
    const cJSON *f;
    size_t n = 0;
    cJSON_ArrayForEach(f, cJSON_GetObjectItem(file, "failures"))
    {
        if (strcmp(vector_text(f, "role"), "device") != 0)
            continue;
        check_failure(f);
        n++;
    }
    cJSON_Delete(file);
    assert_int_equal(n, 29);
    vectors_done();
}

/* ------ one request, one reaction ------ */

/* A client that can do wrong: seals what it is told under the key it is told. */
struct client {
    tw_device_host *host;
    tw_device *device;
    enum tw_version version;
    uint8_t key[TW_KEY_LEN]; /* local or session key */
    uint32_t seq;
    uint8_t plain[2048];
};

static void connect_client(struct client *c, enum tw_version v, unsigned quirks)
{
    static const uint8_t nonce[TW_SESSION_NONCE_LEN] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    *c = (struct client){.host = new_host(false), .version = v, .seq = 2};
    c->device = new_device(c->host, v, local_key, quirks);
    memcpy(c->key, local_key, TW_KEY_LEN);
    if (tw_version_traits(v)->negotiates && (quirks & ~(unsigned)TW_DEVICE_VENDOR_HEARTBEAT) == 0) {
        bring_to(c->device, "established", v, local_key, nonce, chance.device_nonce);
        assert_int_equal(tw_session_derive(c->key, crypto, v, local_key, nonce, chance.device_nonce), TW_OK);
    }
}

static void disconnect_client(struct client *c)
{
    tw_device_free(c->device);
    tw_device_host_free(c->host);
}

/* How a request strays from what its version asks for. */
enum stray { PROPER, OTHER_KEY, NO_HEADER, IN_CLEAR, ENCRYPTED_33, BAD_CHECK };

static size_t seal_request(struct client *c, uint8_t *out, size_t cap, uint32_t command, const char *text,
                           enum stray stray)
{
    struct tw_message m;
    enum tw_version v = stray == IN_CLEAR ? TW_V31 : stray == ENCRYPTED_33 ? TW_V33 : c->version;
    uint8_t key[TW_KEY_LEN];
    memcpy(key, c->key, TW_KEY_LEN);
    if (stray == OTHER_KEY)
        memcpy(key, "another local ke", TW_KEY_LEN);
    tw_message_init(&m, v, TW_TO_DEVICE, ++c->seq, command);
    if (stray == NO_HEADER || stray == IN_CLEAR)
        m.has_header = false;
    m.payload = (struct tw_span){(const uint8_t *)text, strlen(text)};
    size_t len;
    assert_int_equal(tw_message_seal(out, cap, &len, crypto, &m, key, (const uint8_t *)"nonce-of-req"), TW_OK);
    if (stray == BAD_CHECK)
        out[len - 6] ^= 1;
    return len;
}

static struct tw_device_event ask(struct client *c, uint32_t command, const char *text, enum stray stray)
{
    uint8_t frame[2048];
    size_t len = seal_request(c, frame, sizeof frame, command, text, stray);
    return feed(c->device, frame, len, 0);
}

/* Take the one frame of the output apart. @return false: there is none */
static bool take_reply(struct client *c, struct tw_message *m, struct tw_frame *f)
{
    static uint8_t bytes[4096];
    struct tw_span out = tw_device_output(c->device);
    const struct tw_frame_rules rules = vector_rules(c->version, TW_FROM_DEVICE);
    size_t used;
    if (out.len == 0)
        return false;
    assert_true(out.len <= sizeof bytes);
    memcpy(bytes, out.data, out.len);
    assert_int_equal(tw_frame_parse(f, &used, bytes, out.len, &rules), TW_OK);
    assert_int_equal(used, out.len);
    assert_int_equal(
        tw_message_open(m, crypto, f, c->version, TW_FROM_DEVICE, c->key, c->plain, sizeof c->plain, TW_OPEN_STRICT),
        TW_OK);
    tw_device_sent(c->device, used);
    return true;
}

#define SILENCE NULL
static const char close_it[] = "close";

struct row {
    enum tw_version version;
    uint32_t command;
    const char *text;
    enum stray stray;
    const char *reaction; /* a text with return code 1, SILENCE, or close_it */
    bool encrypted;       /* the text */
};

static void check_row(const struct row *r, size_t i)
{
    struct client c;
    struct tw_message m;
    struct tw_frame f;
    connect_client(&c, r->version, 0);
    struct tw_device_event ev = ask(&c, r->command, r->text, r->stray);
    bool replied = take_reply(&c, &m, &f), closed = ev.type == TW_DEVICE_CLOSING;
    if (closed != (r->reaction == close_it) || replied != (r->reaction != SILENCE && r->reaction != close_it))
        fail_msg("row %zu: event %d, error %s, %s", i, (int)ev.type, tw_error_name(ev.error),
                 replied ? "a reply" : "no reply");
    if (replied) {
        assert_int_equal(m.command, r->command);
        assert_int_equal(m.retcode, 1);
        assert_int_equal(m.payload.len, strlen(r->reaction));
        assert_memory_equal(m.payload.data, r->reaction, m.payload.len);
        assert_int_equal(m.encrypted, r->encrypted);
        if (tw_version_traits(r->version)->seq_echo)
            assert_int_equal(m.seq, c.seq);
    }
    disconnect_client(&c);
}

/* Device behaviour, section 5, and the tables of section 4. */
static const struct row errors[] = {
    /* 3.1: the key is not needed to query, and a control under another one meets silence. */
    {TW_V31, TW_CMD_DP_QUERY, "no json", PROPER, TW_TEXT_JSON_OBJ, false},
    {TW_V31, TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", OTHER_KEY, SILENCE, false},
    {TW_V31, TW_CMD_CONTROL, "{\"dps\":", PROPER, TW_TEXT_PARSE_DATA, false},
    {TW_V31, TW_CMD_CONTROL, "no json at all", PROPER, TW_TEXT_PARSE_DATA, false},
    {TW_V31, TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", IN_CLEAR, SILENCE, false},
    {TW_V31, TW_CMD_DP_QUERY, "{}", BAD_CHECK, SILENCE, false},
    {TW_V31, TW_CMD_DP_QUERY, "{\"gwId\":\"x\"}", ENCRYPTED_33, TW_TEXT_JSON_OBJ, false},
    /* 3.2: texts are in clear (rospogrigio/localtuya#1232). */
    {TW_V32, TW_CMD_DP_QUERY, "{\"gwId\":\"x\"}", ENCRYPTED_33, TW_TEXT_DATA_FORMAT, false},
    {TW_V32, TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", OTHER_KEY, TW_TEXT_PARSE_DATA, false},
    {TW_V32, TW_CMD_CONTROL, "{\"dps\":{\"1\":on}}", PROPER, TW_TEXT_DATA_FORMAT, false},
    /* 3.3: texts are encrypted, with the device's own key (Apollon77/ioBroker.tuya#547, TuyaAPI/cli#64). */
    {TW_V33, TW_CMD_DP_QUERY, "{\"gwId\":\"x\"}", OTHER_KEY, TW_TEXT_PARSE_DATA, true},
    {TW_V33, TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", OTHER_KEY, TW_TEXT_PARSE_DATA, true},
    {TW_V33, TW_CMD_DP_QUERY, "{\"gwId\":\"x\"}", IN_CLEAR, TW_TEXT_JSON_OBJ, true},
    {TW_V33, TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", IN_CLEAR, TW_TEXT_PARSE_DATA, true},
    /* what uTuya 1.0.0 makes of a string value */
    {TW_V33, TW_CMD_CONTROL, "{\"dps\":{\"3\":white}}", PROPER, TW_TEXT_DATA_FORMAT, true},
    {TW_V33, TW_CMD_CONTROL, "{\"devId\":\"x\"}", PROPER, TW_TEXT_DATA_FORMAT, true},
    {TW_V33, TW_CMD_DP_QUERY, "{\"gwId\":", PROPER, TW_TEXT_DATA_FORMAT, true},
    {TW_V33, TW_CMD_DP_QUERY, "{}", BAD_CHECK, SILENCE, false},
    {TW_V33, TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", BAD_CHECK, SILENCE, false},
    {TW_V33, 0x30, "{}", PROPER, SILENCE, false},
    {TW_V33, TW_CMD_STATUS, "{}", PROPER, SILENCE, false},
    /* 3.4: a wrong HMAC closes, JSON errors are told. */
    {TW_V34, TW_CMD_DP_QUERY_NEW, "{}", OTHER_KEY, close_it, false},
    {TW_V34, TW_CMD_DP_QUERY_NEW, "{}", BAD_CHECK, close_it, false},
    {TW_V34, TW_CMD_DP_QUERY_NEW, "{", PROPER, TW_TEXT_DATA_FORMAT, true},
    {TW_V34, TW_CMD_CONTROL_NEW, "{", PROPER, TW_TEXT_PARSE_DATA, true},
    {TW_V34, TW_CMD_DP_QUERY, "{}", ENCRYPTED_33, close_it, false},
    {TW_V34, 0x30, "{}", PROPER, SILENCE, false},
    /* 3.5, TuyaOpen tuya_lan.c */
    {TW_V35, TW_CMD_DP_QUERY_NEW, "{}", OTHER_KEY, close_it, false},
    {TW_V35, TW_CMD_DP_QUERY_NEW, "{}", BAD_CHECK, close_it, false},
    {TW_V35, TW_CMD_HEART_BEAT, "{}", BAD_CHECK, close_it, false},
    {TW_V35, TW_CMD_DP_QUERY, "", PROPER, TW_TEXT_DATA_FORMAT, true},
    {TW_V35, TW_CMD_DP_QUERY_NEW, "{", PROPER, TW_TEXT_DATA_FORMAT, true},
    {TW_V35, TW_CMD_CONTROL_NEW, "{", PROPER, TW_TEXT_PARSE_DATA, true},
    {TW_V35, TW_CMD_CONTROL, "{\"data\":{\"dps\":{\"1\":true}}}", NO_HEADER, TW_TEXT_PARSE_DATA, true},
    {TW_V35, TW_CMD_CONTROL, "short", NO_HEADER, TW_TEXT_PARSE_DATA, true},
    {TW_V35, TW_CMD_CONTROL_NEW, "{\"dps\":{\"1\":true}}", PROPER, "", true},
    {TW_V35, TW_CMD_CONTROL_NEW, "{\"data\":{}}", PROPER, TW_TEXT_DATA_FORMAT, true},
    {TW_V35, 0x30, "{}", PROPER, SILENCE, false},
};

static void requests_that_cannot_be_served_meet_the_texts_of_their_version(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        check_row(&errors[i], i);
}

/* ------ requests that can be served ------ */

static void requests_become_events_in_every_version(void **state)
{
    (void)state;
    static const struct {
        uint32_t command;
        const char *old, *wrapped;
        enum tw_device_event_type type;
    } rows[] = {
        {TW_CMD_DP_QUERY, "{\"gwId\":\"x\",\"devId\":\"x\"}", "{}", TW_DEVICE_QUERY},
        {TW_CMD_DP_QUERY_NEW, "{}", "{}", TW_DEVICE_QUERY},
        {TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", "{\"protocol\":5,\"data\":{\"dps\":{\"1\":true}}}",
         TW_DEVICE_CONTROL},
        {TW_CMD_CONTROL_NEW, "{\"dps\":{\"1\":true,\"2\":null}}", "{\"data\":{\"dps\":{\"1\":true,\"2\":null}}}",
         TW_DEVICE_CONTROL},
        {TW_CMD_CONTROL_NEW, "{\"dps\":{}}", "{\"data\":{\"dps\":{}}}", TW_DEVICE_CONTROL},
        {TW_CMD_CONTROL_NEW, "{\"dps\":{\"1\":null}}", "{\"data\":{\"dps\":{\"1\":null}}}", TW_DEVICE_NULL_QUERY},
        {TW_CMD_UPDATEDPS, "{\"dpId\":[18]}", "{\"dpId\":[18]}", TW_DEVICE_REFRESH},
        {TW_CMD_LAN_EXT_STREAM, "{\"reqType\":\"x\"}", "{\"reqType\":\"x\"}", TW_DEVICE_EXT_STREAM},
        {TW_CMD_HEART_BEAT, "", "", TW_DEVICE_HEARTBEAT},
        {TW_CMD_HEART_BEAT, "{\"gwId\":\"x\"}", "{\"gwId\":\"x\"}", TW_DEVICE_HEARTBEAT},
        {0x30, "{}", "{}", TW_DEVICE_UNKNOWN},
    };
    for (int v = TW_V31; v <= TW_V35; v++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct client c;
            connect_client(&c, (enum tw_version)v, 0);
            bool wraps = tw_version_traits(c.version)->wraps_data;
            struct tw_device_event ev = ask(&c, rows[i].command, wraps ? rows[i].wrapped : rows[i].old, PROPER);
            if (ev.type != rows[i].type)
                fail_msg("version %s, row %zu: event %d, error %s", tw_version_name(c.version), i, (int)ev.type,
                         tw_error_name(ev.error));
            disconnect_client(&c);
        }
}

static void heartbeats_are_answered_empty_whatever_their_body(void **state)
{
    (void)state;
    for (int v = TW_V31; v <= TW_V35; v++) {
        struct client c;
        struct tw_message m;
        struct tw_frame f;
        connect_client(&c, (enum tw_version)v, TW_DEVICE_VENDOR_HEARTBEAT);
        static const struct {
            const char *text;
            enum stray stray;
        } bodies[] = {{"", PROPER}, {"{\"gwId\":\"x\",\"devId\":\"x\"}", PROPER}, {"{}", OTHER_KEY}};
        /* 3.4 checks its HMAC first; TuyaOpen, which speaks 3.5, does not look at all. */
        size_t n = v == TW_V34 ? 2 : 3;
        for (size_t i = 0; i < n; i++) {
            ask(&c, TW_CMD_HEART_BEAT, bodies[i].text, bodies[i].stray);
            if (!take_reply(&c, &m, &f))
                fail_msg("version %s, body %zu: %s", tw_version_name(c.version), i,
                         tw_error_name(tw_device_error(c.device)));
            assert_int_equal(m.command, TW_CMD_HEART_BEAT);
            assert_int_equal(m.retcode, 0);
            assert_int_equal(m.payload.len, 0);
            /* length field 0x0c, 0x28 and 0x20: make-all/tuya-local#3206, #3086 */
            assert_int_equal(f.raw.len, v <= TW_V33 ? 16 + 0x0c : v == TW_V34 ? 16 + 0x28 : 22 + 0x20);
            if (v <= TW_V33)
                assert_int_equal(m.seq, 0);
        }
        disconnect_client(&c);
    }
}

/* 28 bytes that every log of a 3.3 plug shows (codetheweb/tuyapi#268). */
static void ack_of_3_3_is_the_one_of_the_logs(void **state)
{
    (void)state;
    static const uint8_t logged[] = {0, 0,    0x55, 0xAA, 0, 0, 0,    1,    0,    0,    0, 7, 0,    0,
                                     0, 0x0C, 0,    0,    0, 0, 0xA5, 0x05, 0xA9, 0x14, 0, 0, 0xAA, 0x55};
    struct client c;
    connect_client(&c, TW_V33, 0);
    assert_int_equal(tw_device_ack(c.device, TW_CMD_CONTROL, 1, 0), TW_OK);
    struct tw_span out = tw_device_output(c.device);
    assert_int_equal(out.len, sizeof logged);
    assert_memory_equal(out.data, logged, sizeof logged);
    disconnect_client(&c);
}

static void own_counters_start_below_65535_and_grow_by_one(void **state)
{
    (void)state;
    for (int v = TW_V34; v <= TW_V35; v++) {
        struct client c;
        struct tw_message m;
        struct tw_frame f;
        chance.seq = 0xFFFF; /* taken modulo 65535: 0 */
        connect_client(&c, (enum tw_version)v, 0);
        for (uint32_t i = 0; i < 3; i++) {
            ask(&c, TW_CMD_HEART_BEAT, "", PROPER);
            assert_true(take_reply(&c, &m, &f));
            assert_int_equal(m.seq, 2 + i); /* RESP was 1 */
        }
        disconnect_client(&c);
    }
}

/* Device behaviour 3.3: sequence number not greater than the last one closes in 3.5; 55AA versions do not care. */
static void repeated_sequence_number_closes_3_5_only(void **state)
{
    (void)state;
    for (int v = TW_V31; v <= TW_V35; v++) {
        struct client c;
        connect_client(&c, (enum tw_version)v, 0);
        ask(&c, TW_CMD_HEART_BEAT, "", PROPER);
        c.seq--;
        struct tw_device_event ev = ask(&c, TW_CMD_HEART_BEAT, "", PROPER);
        if (v == TW_V35) {
            assert_int_equal(ev.type, TW_DEVICE_CLOSING);
            assert_int_equal(ev.error, TW_E_HS_REPLAY);
        } else {
            assert_int_equal(ev.type, TW_DEVICE_HEARTBEAT);
        }
        disconnect_client(&c);
    }
}

/* pytuya and homebridge-tuya send 3.1 frames with four zero bytes in place of the CRC. */
static void crc_of_zero_is_accepted_in_3_1_by_a_device_that_does_not_insist(void **state)
{
    (void)state;
    static const struct {
        enum tw_version v;
        unsigned quirks;
        enum tw_device_event_type expected;
    } cases[] = {
        {TW_V31, TW_DEVICE_ZERO_CRC, TW_DEVICE_CONTROL},
        {TW_V31, 0, TW_DEVICE_DAMAGED},
        {TW_V33, TW_DEVICE_ZERO_CRC, TW_DEVICE_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c;
        uint8_t frame[512];
        connect_client(&c, cases[i].v, cases[i].quirks);
        size_t len = seal_request(&c, frame, sizeof frame, TW_CMD_CONTROL, "{\"dps\":{\"1\":true}}", PROPER);
        memset(frame + len - 8, 0, 4);
        assert_int_equal(feed(c.device, frame, len, 0).type, cases[i].expected);
        frame[len - 8] = 1; /* any other wrong CRC is not */
        assert_int_equal(feed(c.device, frame, len, 0).type, TW_DEVICE_DAMAGED);
        disconnect_client(&c);
    }
}

/* ------ garbage ------ */

static void garbage_is_skipped_in_3_3_and_closes_3_4_and_3_5(void **state)
{
    (void)state;
    for (int v = TW_V31; v <= TW_V35; v++) {
        struct client c;
        uint8_t bytes[256] = "eight by";
        connect_client(&c, (enum tw_version)v, 0);
        size_t n = 8 + seal_request(&c, bytes + 8, sizeof bytes - 8, TW_CMD_HEART_BEAT, "", PROPER);
        struct tw_device_event ev = feed(c.device, bytes, n, 0); /* before a frame: skipped in all */
        assert_int_equal(ev.type, TW_DEVICE_DAMAGED);
        assert_int_equal(ev.error, TW_E_PREFIX);
        assert_int_equal(ev.raw.len, 8);
        assert_int_equal(tw_device_error(c.device), TW_OK);
        assert_true(tw_device_output(c.device).len > 0);
        feed(c.device, bytes, 8, 0); /* with nothing behind it */
        assert_int_equal(tw_device_error(c.device), v >= TW_V34 ? TW_E_PREFIX : TW_OK);
        disconnect_client(&c);
    }
}

/* Spec 1.7: 55AA bytes in front of a 6699 frame are skipped and the frame is answered, so that a client may probe
 * with both in one segment; alone they close. */
static void other_envelope_is_skipped_before_a_frame_and_closes_alone(void **state)
{
    (void)state;
    static const uint8_t nonce[TW_SESSION_NONCE_LEN] = {0};
    uint8_t bytes[512];
    size_t old_len = seal_start(bytes, sizeof bytes, TW_V34, local_key, nonce);
    size_t new_len = seal_start(bytes + old_len, sizeof bytes - old_len, TW_V35, local_key, nonce);
    tw_device_host *h = new_host(false);
    tw_device *d = new_device(h, TW_V35, local_key, 0);
    struct tw_device_event ev = feed(d, bytes, old_len + new_len, 0);
    assert_int_equal(ev.type, TW_DEVICE_DAMAGED);
    assert_int_equal(ev.error, TW_E_ENVELOPE);
    assert_int_equal(tw_device_error(d), TW_OK);
    assert_int_equal(tw_device_output(d).len, 102);
    tw_device_free(d);
    d = new_device(h, TW_V35, local_key, 0);
    feed(d, bytes, old_len, 0);
    assert_int_equal(tw_device_error(d), TW_E_PREFIX);
    assert_int_equal(tw_device_output(d).len, 0);
    tw_device_free(d);
    tw_device_host_free(h);
}

static void flood_of_prefixes_is_one_event(void **state)
{
    (void)state;
    struct client c;
    uint8_t bytes[4000];
    for (size_t i = 0; i < sizeof bytes; i += 4)
        memcpy(bytes + i, "\x00\x00\x55\xAA", 4);
    connect_client(&c, TW_V33, 0);
    tw_device_feed(c.device, bytes, sizeof bytes, 0);
    struct tw_device_event ev;
    int n = 0;
    while (tw_device_next_event(c.device, &ev))
        n++;
    assert_int_equal(n, 1);
    disconnect_client(&c);
}

static void absurd_length_is_refused_before_its_bytes_come(void **state)
{
    (void)state;
    static const uint8_t header[] = {0, 0, 0x55, 0xAA, 0, 0, 0, 1, 0, 0, 0, 10, 0xFF, 0xFF, 0xFF, 0xF0};
    for (int v = TW_V31; v <= TW_V34; v++) {
        struct client c;
        connect_client(&c, (enum tw_version)v, 0);
        struct tw_device_event ev = feed(c.device, header, sizeof header, 0);
        assert_int_equal(ev.type, v == TW_V34 ? TW_DEVICE_CLOSING : TW_DEVICE_DAMAGED);
        assert_int_equal(ev.error, TW_E_TOO_LARGE);
        disconnect_client(&c);
    }
}

/* A 3.4 client that tries a 3.3 device sees return code 1 under its own command, and knows (spec 4.5). */
static void start_of_3_4_is_refused_by_3_3(void **state)
{
    (void)state;
    static const uint8_t nonce[TW_SESSION_NONCE_LEN] = {0};
    struct client c;
    struct tw_message m;
    struct tw_frame f;
    uint8_t frame[256];
    connect_client(&c, TW_V33, 0);
    size_t n = seal_start(frame, sizeof frame, TW_V34, local_key, nonce);
    feed(c.device, frame, n, 0);
    assert_true(take_reply(&c, &m, &f));
    assert_int_equal(m.command, TW_CMD_SESS_KEY_NEG_START);
    assert_int_equal(m.retcode, 1);
    assert_int_equal(f.raw.len, 16 + 0x2c);
    disconnect_client(&c);
}

/* ------ time ------ */

/* Device behaviour 3.2: 30 s from accept or from the last frame in order. */
static void idle_connection_ends_after_30_s_without_a_frame(void **state)
{
    (void)state;
    for (int v = TW_V31; v <= TW_V35; v++) {
        struct client c;
        uint8_t frame[256];
        connect_client(&c, (enum tw_version)v, 0);
        assert_int_equal(tw_device_deadline(c.device), 30000);
        assert_int_equal(tw_device_tick(c.device, 29999), TW_OK);
        size_t n = seal_request(&c, frame, sizeof frame, TW_CMD_HEART_BEAT, "", PROPER);
        feed(c.device, frame, n, 20000);
        assert_int_equal(tw_device_deadline(c.device), 50000);
        if (v <= TW_V33) {
            frame[n - 5] ^= 1; /* a damaged frame is no sign of life */
            feed(c.device, frame, n, 30000);
            assert_int_equal(tw_device_deadline(c.device), 50000);
        }
        assert_int_equal(tw_device_tick(c.device, 50000), TW_E_TIMEOUT);
        struct tw_device_event ev;
        assert_int_equal(tw_device_next_event(c.device, &ev), 1);
        assert_int_equal(ev.type, TW_DEVICE_CLOSING);
        assert_int_equal(ev.error, TW_E_TIMEOUT);
        assert_int_equal(tw_device_next_event(c.device, &ev), 0);
        assert_int_equal(tw_device_feed(c.device, frame, n, 50001), TW_E_TIMEOUT);
        disconnect_client(&c);
    }
}

static void handshake_has_30_s_however_often_it_is_begun(void **state)
{
    (void)state;
    static const uint8_t nonce[TW_SESSION_NONCE_LEN] = {0};
    for (int v = TW_V34; v <= TW_V35; v++) {
        tw_device_host *h = new_host(false);
        tw_device *d = new_device(h, (enum tw_version)v, local_key, 0);
        uint8_t frame[256];
        size_t n = seal_start(frame, sizeof frame, (enum tw_version)v, local_key, nonce);
        feed(d, frame, n, 29000);
        assert_int_equal(tw_device_deadline(d), 30000);
        assert_int_equal(tw_device_tick(d, 30000), TW_E_TIMEOUT);
        tw_device_free(d);
        tw_device_host_free(h);
    }
}

/* ------ TuyaOpen's ways ------ */

static void vendor_forgets_a_session_key_that_begins_with_00(void **state)
{
    (void)state;
    cJSON *file = vectors_load("session.json");
    const cJSON *session;
    int n = 0;
    cJSON_ArrayForEach(session, cJSON_GetObjectItem(file, "cases"))
    {
        if (!vector_true(session, "session_key_starts_with_00"))
            continue;
        set_chance(session);
        enum tw_version v = vector_version(session);
        struct bytes key = vector_hex(session, "local_key_hex"), client = vector_hex(session, "client_nonce_hex");
        tw_device_host *h = new_host(false);
        tw_device *d = new_device(h, v, key.data, TW_DEVICE_VENDOR);
        uint8_t frame[256];
        size_t len = seal_start(frame, sizeof frame, v, key.data, client.data);
        feed(d, frame, len, 0);
        len = seal_finish(frame, sizeof frame, v, key.data, chance.device_nonce);
        assert_int_equal(feed(d, frame, len, 0).type, TW_DEVICE_HANDSHAKE);
        assert_false(tw_device_ready(d));
        assert_int_equal(tw_device_status(d, 1, (struct tw_span){(const uint8_t *)"{}", 2}), TW_E_STATE);
        struct client c = {.version = v, .seq = 2, .device = d};
        struct tw_device_event ev = ask(&c, TW_CMD_DP_QUERY_NEW, "{}", PROPER);
        assert_int_equal(ev.type, TW_DEVICE_CLOSING);
        assert_int_equal(ev.error, TW_E_HS_KEY_ZERO);
        tw_device_free(d);
        tw_device_host_free(h);
        free(key.data);
        free(client.data);
        n++;
    }
    cJSON_Delete(file);
    assert_int_equal(n, 2);
}

/* Spec 4.6: FINISH with the HMAC of sixteen zero bytes, before any START. */
static void vendor_accepts_finish_without_start(void **state)
{
    (void)state;
    static const uint8_t zeros[TW_SESSION_NONCE_LEN] = {0};
    for (int v = TW_V34; v <= TW_V35; v++) {
        tw_device_host *h = new_host(false);
        tw_device *d = new_device(h, (enum tw_version)v, local_key, TW_DEVICE_VENDOR);
        uint8_t frame[256];
        size_t n = seal_finish(frame, sizeof frame, (enum tw_version)v, local_key, zeros);
        assert_int_equal(feed(d, frame, n, 0).type, TW_DEVICE_HANDSHAKE);
        assert_true(tw_device_ready(d));
        tw_device_free(d);
        tw_device_host_free(h);
    }
}

static void vendor_sends_1_in_the_byte_order_of_its_chip(void **state)
{
    (void)state;
    struct client c;
    struct tw_message m;
    struct tw_frame f;
    connect_client(&c, TW_V35, 0);
    tw_device *d = c.device;
    tw_device_message_init(d, &m, TW_CMD_CONTROL, 0, true);
    assert_int_equal(m.retcode, 1);
    tw_device *vendor = new_device(c.host, TW_V35, local_key, TW_DEVICE_VENDOR_RETCODE);
    tw_device_message_init(vendor, &m, TW_CMD_CONTROL, 0, true);
    assert_int_equal(m.retcode, 0x01000000);
    assert_int_equal(tw_device_send(d, &m, 0), TW_OK);
    assert_true(take_reply(&c, &m, &f));
    assert_int_equal(m.retcode, 0x01000000);
    assert_int_equal(tw_retcode(m.retcode), 1);
    tw_device_free(vendor);
    disconnect_client(&c);
}

static void vendor_throws_away_a_first_segment_below_50_bytes(void **state)
{
    (void)state;
    static const uint8_t nonce[TW_SESSION_NONCE_LEN] = {0};
    tw_device_host *h = new_host(false);
    tw_device *d = new_device(h, TW_V35, local_key, TW_DEVICE_VENDOR);
    uint8_t frame[256];
    size_t n = seal_start(frame, sizeof frame, TW_V35, local_key, nonce);
    assert_int_equal(feed(d, frame, 49, 0).type, NO_EVENT);
    feed(d, frame + 49, n - 49, 0);
    assert_int_equal(tw_device_output(d).len, 0);
    tw_device_free(d);
    d = new_device(h, TW_V35, local_key, 0); /* a correct one puts the parts together */
    feed(d, frame, 49, 0);
    assert_int_equal(feed(d, frame + 49, n - 49, 0).type, TW_DEVICE_HANDSHAKE);
    tw_device_free(d);
    tw_device_host_free(h);
}

/* ------ answers ------ */

static void empty_reply_may_carry_one_block_of_padding(void **state)
{
    (void)state;
    for (int v = TW_V33; v <= TW_V34; v++) {
        struct client c;
        struct tw_message m;
        struct tw_frame f;
        connect_client(&c, (enum tw_version)v, 0);
        tw_device_message_init(c.device, &m, TW_CMD_CONTROL, 7, false);
        assert_int_equal(tw_device_send(c.device, &m, TW_DEVICE_PAD_EMPTY), TW_OK);
        assert_true(take_reply(&c, &m, &f));
        assert_int_equal(m.payload.len, 0);
        assert_true(m.encrypted);
        assert_int_equal(f.body.len, 4 + 16);
        disconnect_client(&c);
    }
}

static void nothing_is_pushed_before_the_session_key(void **state)
{
    (void)state;
    tw_device_host *h = new_host(false);
    for (int v = TW_V34; v <= TW_V35; v++) {
        tw_device *d = new_device(h, (enum tw_version)v, local_key, 0);
        assert_false(tw_device_ready(d));
        assert_int_equal(tw_device_status(d, 1, (struct tw_span){(const uint8_t *)"{}", 2}), TW_E_STATE);
        assert_int_equal(tw_device_output(d).len, 0);
        tw_device_free(d);
    }
    tw_device_host_free(h);
}

static void client_that_does_not_read_is_told_no_more_than_the_limit(void **state)
{
    (void)state;
    struct client c;
    connect_client(&c, TW_V33, 0);
    int rc;
    while ((rc = tw_device_ack(c.device, TW_CMD_CONTROL, 1, 0)) == TW_OK)
        continue;
    assert_int_equal(rc, TW_E_CAPACITY);
    assert_true(tw_device_output(c.device).len <= TW_DEVICE_OUTPUT_MAX);
    struct tw_device_event beat = ask(&c, TW_CMD_HEART_BEAT, "", PROPER);
    assert_true(beat.has_answer);
    assert_int_equal(beat.answer_error, TW_E_CAPACITY);
    tw_device_sent(c.device, 28);
    tw_device_sent(c.device, SIZE_MAX);
    beat = ask(&c, TW_CMD_HEART_BEAT, "", PROPER);
    assert_int_equal(beat.answer_error, TW_OK);
    assert_int_equal(tw_device_output(c.device).len, 28);
    tw_device_sent(c.device, 28);
    assert_int_equal(tw_device_output(c.device).len, 0);
    assert_int_equal(tw_device_ack(c.device, TW_CMD_CONTROL, 1, 0), TW_OK);
    disconnect_client(&c);
}

static void manual_host_leaves_default_answers_to_the_application(void **state)
{
    (void)state;
    static const uint8_t beat[] = {0, 0, 0x55, 0xAA, 0,    0,    0,    1,    0, 0, 0,    9,
                                   0, 0, 0,    8,    0x72, 0xE8, 0x18, 0x61, 0, 0, 0xAA, 0x55};
    tw_device_host *h = new_host(true);
    tw_device *d = new_device(h, TW_V33, local_key, 0);
    struct tw_device_event ev = feed(d, beat, sizeof beat, 0);
    assert_int_equal(ev.type, TW_DEVICE_HEARTBEAT);
    assert_true(ev.has_answer);
    assert_int_equal(tw_device_output(d).len, 0);
    assert_int_equal(tw_device_answer(d, &ev), TW_OK);
    assert_int_equal(tw_device_output(d).len, 28);
    tw_device_free(d);
    tw_device_host_free(h);
}

static void frames_of_one_segment_come_in_order(void **state)
{
    (void)state;
    for (int v = TW_V31; v <= TW_V35; v++) {
        struct client c;
        uint8_t bytes[1024];
        size_t n = 0;
        connect_client(&c, (enum tw_version)v, 0);
        uint32_t first = c.seq + 1;
        for (int i = 0; i < 5; i++)
            n += seal_request(&c, bytes + n, sizeof bytes - n, i % 2 == 0 ? TW_CMD_UPDATEDPS : TW_CMD_HEART_BEAT,
                              i % 2 == 0 ? "{\"dpId\":[18]}" : "", PROPER);
        struct tw_device_event ev;
        tw_device_feed(c.device, bytes, n, 0);
        for (uint32_t i = 0; i < 5; i++) {
            assert_int_equal(tw_device_next_event(c.device, &ev), 1);
            assert_int_equal(ev.message.seq, first + i);
            assert_int_equal(ev.type, i % 2 == 0 ? TW_DEVICE_REFRESH : TW_DEVICE_HEARTBEAT);
        }
        assert_int_equal(tw_device_next_event(c.device, &ev), 0);
        disconnect_client(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(golden_sessions_are_answered_byte_for_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(golden_failures_of_the_device_role_end_as_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_that_cannot_be_served_meet_the_texts_of_their_version, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(requests_become_events_in_every_version, set_up, tear_down),
        cmocka_unit_test_setup_teardown(heartbeats_are_answered_empty_whatever_their_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ack_of_3_3_is_the_one_of_the_logs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(own_counters_start_below_65535_and_grow_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeated_sequence_number_closes_3_5_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(crc_of_zero_is_accepted_in_3_1_by_a_device_that_does_not_insist, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(garbage_is_skipped_in_3_3_and_closes_3_4_and_3_5, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_envelope_is_skipped_before_a_frame_and_closes_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flood_of_prefixes_is_one_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(absurd_length_is_refused_before_its_bytes_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(start_of_3_4_is_refused_by_3_3, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idle_connection_ends_after_30_s_without_a_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(handshake_has_30_s_however_often_it_is_begun, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vendor_forgets_a_session_key_that_begins_with_00, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vendor_accepts_finish_without_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vendor_sends_1_in_the_byte_order_of_its_chip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vendor_throws_away_a_first_segment_below_50_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_reply_may_carry_one_block_of_padding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_pushed_before_the_session_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(client_that_does_not_read_is_told_no_more_than_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(manual_host_leaves_default_answers_to_the_application, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_of_one_segment_come_in_order, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
