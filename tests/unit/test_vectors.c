/* Every golden vector of frames and of broken input, in the ways that tests/vectors/README.md asks for. Who made the
 * expected bytes stands there too: an independent encoder, tinytuya and tuyapi, not this library.
 *
 * Discovery datagrams have test_discovery.c, handshakes test_session.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/dps.h"
#include "vectors.h"

static tw_crypto *crypto;

static int set_up(void **state)
{
    (void)state;
    return tw_crypto_new(&crypto, 8);
}

static int tear_down(void **state)
{
    (void)state;
    tw_crypto_free(crypto);
    return 0;
}

/* ------ frames ------ */

/* Parse and open the first len bytes of buf, held by an allocation of just that size. */
struct outcome {
    int rc;
    size_t consumed;
    struct tw_message m; /* payload points into plain */
    uint8_t plain[16384];
};

static void read_exact(struct outcome *o, const struct vector *v, const uint8_t *buf, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, buf, len);
    const struct tw_frame_rules rules = vector_rules(v->version, v->direction);
    /* As a receiver would: the key of the connection, whether this frame needs it or not. */
    const uint8_t *key = vector_key(v) != NULL ? vector_key(v) : v->key.data;
    struct tw_frame f;
    o->rc = tw_frame_parse(&f, &o->consumed, copy, len, &rules);
    if (o->rc == TW_OK) {
        assert_true(f.body.len <= sizeof o->plain);
        o->rc = tw_message_open(&o->m, crypto, &f, v->version, v->direction, key, o->plain, f.body.len, 0);
    }
    if (o->rc == TW_OK && o->m.payload.len > 0) { /* clear payloads stand in the frame, which goes away now */
        memmove(o->plain, o->m.payload.data, o->m.payload.len);
        o->m.payload.data = o->plain;
    }
    free(copy);
}

static bool same_header(const struct vector *v, const struct tw_message *m)
{
    if (!v->header.present || !m->has_header)
        return v->header.present == m->has_header;
    uint8_t h[3 + TW_SIGNATURE_LEN];
    size_t len = v->header.len;
    memcpy(h, m->header.version, 3);
    if (len == sizeof h) {
        memcpy(h + 3, m->header.signature, TW_SIGNATURE_LEN);
    } else {
        const uint32_t words[] = {m->header.check, m->header.counter, m->header.source};
        for (size_t i = 0; i < 12; i++)
            h[3 + i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
    }
    return (len == sizeof h || len == TW_HEADER_LEN) && memcmp(h, v->header.data, len) == 0;
}

static bool same_message(const struct vector *v, const struct outcome *o)
{
    const struct tw_message *m = &o->m;
    return o->rc == TW_OK && o->consumed == v->frame_bytes.len && m->version == v->version &&
           m->direction == v->direction && m->seq == v->seq && m->command == v->command &&
           m->has_retcode == v->has_retcode && m->retcode == v->retcode && same_header(v, m) &&
           m->payload.len == v->plaintext.len &&
           (m->payload.len == 0 || memcmp(m->payload.data, v->plaintext.data, m->payload.len) == 0);
}

static void decodes(const struct vector *v, struct outcome *o)
{
    read_exact(o, v, v->frame_bytes.data, v->frame_bytes.len);
    if (!same_message(v, o))
        vector_complain(v->id, "decodes to %s, seq %u, cmd %u, retcode %d %u, header %d, %zu bytes: %.*s",
                        tw_error_name(o->rc), o->m.seq, o->m.command, o->m.has_retcode, o->m.retcode, o->m.has_header,
                        o->m.payload.len, (int)o->m.payload.len, (const char *)o->m.payload.data);
}

static void encodes(const struct vector *v)
{
    struct tw_message m;
    tw_message_init(&m, v->version, v->direction, v->seq, v->command);
    m.has_retcode = v->has_retcode;
    m.retcode = v->retcode;
    m.has_header = v->header.present;
    m.header = (struct tw_header){0};
    if (v->header.len == TW_HEADER_LEN) {
        const uint8_t *w = v->header.data + 3;
        uint32_t *words[] = {&m.header.check, &m.header.counter, &m.header.source};
        for (size_t i = 0; i < 3; i++, w += 4)
            *words[i] = (uint32_t)w[0] << 24 | (uint32_t)w[1] << 16 | (uint32_t)w[2] << 8 | w[3];
    }
    m.payload = (struct tw_span){v->plaintext.data, v->plaintext.len};

    size_t cap = v->frame_bytes.len, len = 0;
    uint8_t *out = malloc(cap);
    assert_non_null(out);
    int rc = tw_message_seal(out, cap, &len, crypto, &m, vector_key(v), v->nonce.data);
    if (rc != TW_OK)
        vector_complain(v->id, "cannot be sealed: %s", tw_error_name(rc));
    else if (len != v->frame_bytes.len || memcmp(out, v->frame_bytes.data, len) != 0)
        vector_complain(v->id, "is sealed to other bytes");
    if (tw_message_size_max(v->plaintext.len) < v->frame_bytes.len)
        vector_complain(v->id, "is larger than tw_message_size_max() says");
    rc = tw_message_seal(out, cap - 1, &len, crypto, &m, vector_key(v), v->nonce.data);
    if (rc != TW_E_CAPACITY)
        vector_complain(v->id, "is sealed into one byte too few: %s", tw_error_name(rc));
    free(out);
}

/* Whatever the first part is, more bytes are asked for, and none of it is consumed. Since the parser keeps nothing
 * between calls, this holds for one byte at a time as for two parts; the whole is decodes(). */
static void waits_for_every_byte(const struct vector *v, struct outcome *o)
{
    for (size_t len = 0; len < v->frame_bytes.len; len++) {
        read_exact(o, v, v->frame_bytes.data, len);
        if (o->rc != TW_NEED_MORE || o->consumed != 0) {
            vector_complain(v->id, "cut to %zu bytes is %s, %zu consumed", len, tw_error_name(o->rc), o->consumed);
            return;
        }
    }
}

/* No single bit may be changed unnoticed. */
static void notices_every_flipped_bit(const struct vector *v, struct outcome *o)
{
    for (size_t bit = 0; bit < 8 * v->frame_bytes.len; bit++) {
        v->frame_bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        read_exact(o, v, v->frame_bytes.data, v->frame_bytes.len);
        v->frame_bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (o->rc == TW_OK) {
            vector_complain(v->id, "bit %zu can be flipped unnoticed", bit);
            return;
        }
        if (o->rc != TW_NEED_MORE && o->consumed == 0) {
            vector_complain(v->id, "bit %zu flipped: %s without consuming", bit, tw_error_name(o->rc));
            return;
        }
    }
}

static void check_frame(const cJSON *object, unsigned *n_encoded)
{
    static struct outcome o;
    struct vector v;
    vector_read(&v, object);
    decodes(&v, &o);
    if (v.encode) {
        encodes(&v);
        ++*n_encoded;
    }
    waits_for_every_byte(&v, &o);
    notices_every_flipped_bit(&v, &o);
    vector_free(&v);
}

static void check_file(const char *file, unsigned n_expected, unsigned n_encoded_expected)
{
    cJSON *root = vectors_load(file);
    unsigned n = 0, n_encoded = 0;
    const cJSON *object;
    cJSON_ArrayForEach(object, cJSON_GetObjectItem(root, "vectors"))
    {
        check_frame(object, &n_encoded);
        n++;
    }
    cJSON_Delete(root);
    vectors_done();
    assert_int_equal(n, n_expected);
    assert_int_equal(n_encoded, n_encoded_expected);
}

static void frames_of_3_1(void **state)
{
    (void)state;
    check_file("3.1.json", 28, 27);
}

static void frames_of_3_2(void **state)
{
    (void)state;
    check_file("3.2.json", 24, 22);
}

static void frames_of_3_3(void **state)
{
    (void)state;
    check_file("3.3.json", 54, 50);
}

static void frames_of_3_4(void **state)
{
    (void)state;
    check_file("3.4.json", 46, 43);
}

static void frames_of_3_5(void **state)
{
    (void)state;
    check_file("3.5.json", 45, 40);
}

static void frames_after_a_handshake(void **state)
{
    (void)state;
    cJSON *root = vectors_load("session.json");
    unsigned n = 0, n_encoded = 0;
    const cJSON *session, *object;
    cJSON_ArrayForEach(session, cJSON_GetObjectItem(root, "cases"))
    {
        cJSON_ArrayForEach(object, cJSON_GetObjectItem(session, "after"))
        {
            check_frame(object, &n_encoded);
            n++;
        }
    }
    cJSON_Delete(root);
    vectors_done();
    assert_int_equal(n, 28);
    assert_int_equal(n_encoded, 28);
}

/* ------ broken input ------ */

struct stream {
    enum tw_version version;
    enum tw_direction direction;
    struct tw_frame_rules rules;
    struct bytes key, session_key, input;
    size_t at;
    bool json; /* look at the payload too */
    uint8_t plain[16384];
};

static const uint8_t *stream_key(const struct stream *s, uint32_t command)
{
    bool session = tw_version_traits(s->version)->negotiates && !tw_command_is_handshake(command);
    return session ? s->session_key.data : s->key.data;
}

/* A vendor device cuts 15 bytes off a control without looking at them, and parses the rest (spec section 3.5). */
static struct tw_span as_the_vendor_cuts(const struct tw_message *m)
{
    bool cut = m->direction == TW_TO_DEVICE && !m->has_header && m->payload.len >= TW_HEADER_LEN &&
               tw_version_traits(m->version)->with_header == TW_ENCODING_GCM_HEADER &&
               tw_version_has_header(m->version, m->direction, m->command);
    size_t n = cut ? TW_HEADER_LEN : 0;
    return (struct tw_span){m->payload.data + n, m->payload.len - n};
}

/* The next outcome at the front of what is left, and on to what follows. */
static int stream_next(struct stream *s, struct tw_message *m, struct tw_body *body, size_t *consumed)
{
    struct tw_frame f;
    size_t left = s->input.len - s->at;
    uint8_t *copy = malloc(left > 0 ? left : 1);
    assert_non_null(copy);
    memcpy(copy, s->input.data + s->at, left);
    int rc = tw_frame_parse(&f, consumed, copy, left, &s->rules);
    if (rc == TW_OK)
        rc = tw_message_open(m, crypto, &f, s->version, s->direction, stream_key(s, f.command), s->plain,
                             sizeof s->plain, TW_OPEN_STRICT);
    if (rc == TW_OK && m->payload.len > 0) {
        memmove(s->plain, m->payload.data, m->payload.len);
        m->payload.data = s->plain;
    }
    free(copy);
    if (rc == TW_OK && s->json && tw_body_parse(body, as_the_vendor_cuts(m)) != TW_OK)
        rc = TW_E_PAYLOAD; /* the name that the vectors have for it */
    s->at += *consumed;
    return rc;
}

static bool is_frame(const cJSON *expected, const struct tw_message *m)
{
    const char *plaintext = vector_text(expected, "plaintext");
    return m->seq == vector_number(expected, "seq") && m->command == vector_number(expected, "cmd") &&
           m->has_retcode == !vector_is_null(expected, "retcode") &&
           m->retcode == vector_number(expected, "retcode") && plaintext != NULL &&
           m->payload.len == strlen(plaintext) && memcmp(m->payload.data, plaintext, m->payload.len) == 0;
}

/* What the notes of the three vectors say that are accepted. */
static bool is_as_noted(const char *id, const struct tw_body *body)
{
    struct tw_dp dp;
    if (strcmp(id, "bad-json-nul") == 0)
        return body->json.data[body->json.len - 1] == '}';
    if (strcmp(id, "bad-json-dup") == 0)
        return tw_dps_find(&dp, body->dps, 1) == TW_OK && dp.value.type == TW_VALUE_BOOL && !dp.value.boolean;
    if (strcmp(id, "bad-json-big-int") == 0)
        return tw_dps_find(&dp, body->dps, 1) == TW_OK && dp.value.type == TW_VALUE_NUMBER && dp.value.text.len > 19;
    return false;
}

static void check_malformed(const cJSON *v)
{
    static struct stream s;
    const char *id = vector_text(v, "id"), *error = vector_text(v, "error");
    s.version = vector_version(v);
    s.direction = vector_direction(v);
    s.rules = vector_rules(s.version, s.direction);
    s.rules.strict = true;
    s.rules.max_length = vector_number(v, "max_length");
    s.key = vector_hex(v, "key_hex");
    s.session_key = vector_hex(v, "session_key_hex");
    s.input = vector_hex(v, "input_hex");
    s.at = 0;
    s.json = strcmp(vector_text(v, "layer"), "json") == 0;

    struct tw_message m;
    struct tw_body body;
    size_t consumed = 0;
    if (error != NULL || s.json) {
        int rc = stream_next(&s, &m, &body, &consumed);
        if (strcmp(tw_error_name(rc), error != NULL ? error : "ok") != 0)
            vector_complain(id, "is %s, expected %s", tw_error_name(rc), error != NULL ? error : "ok");
        if (consumed != vector_number(v, "consumed"))
            vector_complain(id, "consumes %zu, expected %u", consumed, vector_number(v, "consumed"));
        if (error == NULL && rc == TW_OK && !is_as_noted(id, &body))
            vector_complain(id, "is not read as its note says");
    }
    const cJSON *step;
    cJSON_ArrayForEach(step, cJSON_GetObjectItem(v, "then"))
    {
        const cJSON *frame = cJSON_GetObjectItem(step, "frame");
        int rc = stream_next(&s, &m, &body, &consumed);
        if (frame != NULL ? rc != TW_OK || !is_frame(frame, &m) : rc != TW_NEED_MORE)
            vector_complain(id, "goes on with %s", tw_error_name(rc));
    }
    if (error == NULL && !s.json && s.at < s.input.len && stream_next(&s, &m, &body, &consumed) != TW_NEED_MORE)
        vector_complain(id, "has more in it than expected");
    free(s.key.data);
    free(s.session_key.data);
    free(s.input.data);
}

static void broken_input_is_named_and_left_behind(void **state)
{
    (void)state;
    cJSON *root = vectors_load("malformed.json");
    unsigned n = 0;
    const cJSON *object;
    cJSON_ArrayForEach(object, cJSON_GetObjectItem(root, "vectors"))
    {
        check_malformed(object);
        n++;
    }
    cJSON_Delete(root);
    vectors_done();
    assert_int_equal(n, 199);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_3_1),
        cmocka_unit_test(frames_of_3_2),
        cmocka_unit_test(frames_of_3_3),
        cmocka_unit_test(frames_of_3_4),
        cmocka_unit_test(frames_of_3_5),
        cmocka_unit_test(frames_after_a_handshake),
        cmocka_unit_test(broken_input_is_named_and_left_behind),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
