/* Discovery: every golden datagram, and what else arrives on those ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/discovery.h"
#include "vectors.h"

static tw_crypto *crypto;

static int set_up(void **state)
{
    (void)state;
    return tw_crypto_new(&crypto, 4);
}

static int tear_down(void **state)
{
    (void)state;
    tw_crypto_free(crypto);
    return 0;
}

static struct tw_span span(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

static bool is(struct tw_span s, const char *text)
{
    return text != NULL ? s.len == strlen(text) && (s.len == 0 || memcmp(s.data, text, s.len) == 0) : s.len == 0;
}

/* Opens a copy of just these bytes into a buffer of just that size. The caller frees *keep, where the spans point. */
struct kept {
    uint8_t *datagram, *plain;
};

static int open_exact(struct tw_discovery *out, struct kept *keep, const uint8_t *datagram, size_t len)
{
    keep->datagram = malloc(len > 0 ? len : 1);
    keep->plain = malloc(len > 0 ? len : 1);
    assert_non_null(keep->datagram);
    assert_non_null(keep->plain);
    if (len > 0)
        memcpy(keep->datagram, datagram, len);
    return tw_discovery_open(out, crypto, keep->datagram, len, keep->plain, len);
}

static void drop(struct kept *keep)
{
    free(keep->datagram);
    free(keep->plain);
}

/* ------ the golden datagrams ------ */

/* "name":"text" of the plaintext, read by cJSON. */
static bool same_string(const cJSON *json, const char *name, struct tw_span found)
{
    return is(found, vector_text(json, name));
}

static void decodes(const struct vector *v)
{
    struct tw_discovery d;
    struct kept keep;
    int rc = open_exact(&d, &keep, v->frame_bytes.data, v->frame_bytes.len);
    cJSON *json = cJSON_ParseWithLength((const char *)v->plaintext.data, v->plaintext.len);
    assert_non_null(json);
    if (rc != TW_OK)
        vector_complain(v->id, "is %s", tw_error_name(rc));
    else if (d.message.payload.len != v->plaintext.len ||
             memcmp(d.message.payload.data, v->plaintext.data, v->plaintext.len) != 0)
        vector_complain(v->id, "opens to other bytes");
    else if (!same_string(json, "ip", d.ip) || !same_string(json, "gwId", d.gw_id) ||
             !same_string(json, "uuid", d.uuid) || !same_string(json, "productKey", d.product_key) ||
             !same_string(json, "version", d.version) || !same_string(json, "from", d.from))
        vector_complain(v->id, "has other members");
    else if (d.active != (vector_is_null(json, "active") ? -1 : (int64_t)vector_number(json, "active")))
        vector_complain(v->id, "is read as active %d", (int)d.active);
    else if (d.message.direction != v->direction || d.is_request != (v->direction == TW_TO_DEVICE))
        vector_complain(v->id, "goes the other way");
    else if (d.framed != (strcmp(v->frame, "none") != 0))
        vector_complain(v->id, "framed is %d", d.framed);
    else if (d.message.version != v->version)
        vector_complain(v->id, "has the form of %s", tw_version_name(d.message.version));
    else if (d.framed && (d.message.seq != v->seq || d.message.command != v->command ||
                          d.message.has_retcode != v->has_retcode || d.message.retcode != v->retcode))
        vector_complain(v->id, "has another sequence number, command or return code");
    cJSON_Delete(json);
    drop(&keep);
}

static void encodes(const struct vector *v)
{
    uint8_t *out = malloc(v->frame_bytes.len);
    assert_non_null(out);
    size_t len = 0;
    struct tw_span json = {v->plaintext.data, v->plaintext.len};
    int rc;
    if (v->direction == TW_TO_DEVICE)
        rc = tw_discovery_seal_request(out, v->frame_bytes.len, &len, crypto, span("192.0.2.7"), v->nonce.data);
    else
        rc = tw_discovery_seal_announcement(out, v->frame_bytes.len, &len, crypto, v->version, json, v->nonce.data);
    if (rc != TW_OK)
        vector_complain(v->id, "cannot be sealed: %s", tw_error_name(rc));
    else if (len != v->frame_bytes.len || memcmp(out, v->frame_bytes.data, len) != 0)
        vector_complain(v->id, "is sealed to other bytes");
    free(out);
}

static void is_cut_off_at_every_byte(const struct vector *v)
{
    for (size_t len = 0; len < v->frame_bytes.len; len++) {
        struct tw_discovery d;
        struct kept keep;
        int rc = open_exact(&d, &keep, v->frame_bytes.data, len);
        drop(&keep);
        if (strcmp(v->frame, "none") == 0 ? rc == TW_OK : rc != TW_NEED_MORE)
            vector_complain(v->id, "cut to %zu bytes is %s", len, tw_error_name(rc));
    }
}

static void notices_every_flipped_bit(const struct vector *v)
{
    for (size_t bit = 0; bit < 8 * v->frame_bytes.len; bit++) {
        struct tw_discovery d;
        struct kept keep;
        v->frame_bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = open_exact(&d, &keep, v->frame_bytes.data, v->frame_bytes.len);
        v->frame_bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* Nothing protects bare ciphertext: then it has to be another text at least. */
        bool same = rc == TW_OK && d.message.payload.len == v->plaintext.len &&
                    memcmp(d.message.payload.data, v->plaintext.data, v->plaintext.len) == 0;
        drop(&keep);
        if (strcmp(v->frame, "none") == 0 ? same : rc == TW_OK)
            vector_complain(v->id, "bit %zu can be flipped unnoticed", bit);
    }
}

static void golden_datagrams(void **state)
{
    (void)state;
    cJSON *root = vectors_load("discovery.json");
    unsigned n = 0, n_encoded = 0;
    const cJSON *object;
    cJSON_ArrayForEach(object, cJSON_GetObjectItem(root, "vectors"))
    {
        struct vector v;
        vector_read(&v, object);
        decodes(&v);
        /* The set-up mode announcement is read, and not made: we have no access point. */
        if (v.encode && v.command != 0x11) {
            encodes(&v);
            n_encoded++;
        }
        is_cut_off_at_every_byte(&v);
        notices_every_flipped_bit(&v);
        vector_free(&v);
        n++;
    }
    cJSON_Delete(root);
    vectors_done();
    assert_int_equal(n, 11);
    assert_int_equal(n_encoded, 8);
}

static void keys_of_the_world(void **state)
{
    (void)state;
    cJSON *root = vectors_load("discovery.json");
    unsigned n = 0;
    const cJSON *object;
    cJSON_ArrayForEach(object, cJSON_GetObjectItem(root, "keys"))
    {
        const char *name = vector_text(object, "name");
        struct bytes key = vector_hex(object, "key_hex");
        const uint8_t *ours = strcmp(name, "udp") == 0    ? tw_udp_key
                              : strcmp(name, "app3") == 0 ? tw_app_key
                                                          : tw_ap_key;
        assert_int_equal(key.len, TW_KEY_LEN);
        assert_memory_equal(ours, key.data, TW_KEY_LEN);
        free(key.data);
        n++;
    }
    cJSON_Delete(root);
    assert_int_equal(n, 3);
}

static void announcements_have_the_members_of_their_version(void **state)
{
    (void)state;
    static const struct {
        const char *id; /* of the vector whose plaintext it is */
        enum tw_version version;
        const char *ip, *gw_id, *uuid, *product_key;
        int active;
    } cases[] = {
        {"disc-31-plain", TW_V31, "192.0.2.31", "fake00000000000000id", "", "fakeproduct00031", 2},
        {"disc-33-ecb", TW_V33, "192.0.2.33", "fake0000000000000000id", "", "fakeproduct00033", 2},
        {"disc-34-ecb", TW_V34, "192.0.2.44", "fake0000000000000000id", "", "fakeproduct00044", 2},
        {"disc-35-reply", TW_V35, "192.0.2.56", "fake0000000000000000id", "fakeuuid00000056", "fakeproduct00056", 2},
        {"disc-35-reply-unbound", TW_V35, "192.0.2.57", "fakeuuid00000057", "fakeuuid00000057", "fakeproduct00057",
         0},
    };
    cJSON *root = vectors_load("discovery.json");
    unsigned n = 0;
    const cJSON *object;
    cJSON_ArrayForEach(object, cJSON_GetObjectItem(root, "vectors"))
    {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            if (strcmp(cases[i].id, vector_text(object, "id")) != 0)
                continue;
            const struct tw_announcement a = {.ip = span(cases[i].ip),
                                              .gw_id = span(cases[i].gw_id),
                                              .uuid = span(cases[i].uuid),
                                              .product_key = span(cases[i].product_key),
                                              .active = cases[i].active};
            char bytes[512];
            struct tw_text t = {.data = bytes, .cap = sizeof bytes};
            assert_int_equal(tw_body_announcement(&t, cases[i].version, &a), TW_OK);
            const char *expected = vector_text(object, "plaintext");
            if (!is((struct tw_span){(const uint8_t *)t.data, t.len}, expected))
                vector_complain(cases[i].id, "is written as %.*s", (int)t.len, t.data);
            t = (struct tw_text){.data = bytes, .cap = strlen(expected) - 1};
            assert_int_equal(tw_body_announcement(&t, cases[i].version, &a), TW_E_CAPACITY);
            n++;
        }
    }
    cJSON_Delete(root);
    vectors_done();
    assert_int_equal(n, sizeof cases / sizeof cases[0]);
}

/* ------ what else arrives ------ */

static int open_text(struct tw_discovery *d, enum tw_version v, const char *json)
{
    static const uint8_t nonce[TW_NONCE_LEN] = "once only...";
    static uint8_t out[512], plain[512];
    size_t len;
    assert_int_equal(tw_discovery_seal_announcement(out, sizeof out, &len, crypto, v, span(json), nonce), TW_OK);
    return tw_discovery_open(d, crypto, out, len, plain, sizeof plain);
}

static void a_datagram_that_asks_is_a_request_whatever_its_command(void **state)
{
    (void)state;
    struct tw_discovery d;
    assert_int_equal(open_text(&d, TW_V35, "{\"from\":\"app\",\"ip\":\"192.0.2.9\"}"), TW_OK);
    assert_true(d.is_request);
}

static void members_of_another_type_count_as_absent(void **state)
{
    (void)state;
    struct tw_discovery d;
    assert_int_equal(
        open_text(&d, TW_V33, "{\"ip\":\"192.0.2.9\",\"ip\":7,\"gwId\":null,\"active\":\"2\",\"version\":3.3}"),
        TW_OK);
    assert_int_equal(d.ip.len, 0);
    assert_int_equal(d.gw_id.len, 0);
    assert_int_equal(d.version.len, 0);
    assert_int_equal(d.active, -1);
}

static void an_announcement_that_is_no_json_is_refused(void **state)
{
    (void)state;
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        struct tw_discovery d = {.active = 42};
        assert_int_equal(open_text(&d, (enum tw_version)v, "{\"ip\":"), TW_E_JSON);
        assert_int_equal(d.active, 42);
    }
}

static void noise_is_named(void **state)
{
    (void)state;
    struct tw_discovery d;
    struct kept keep;
    const uint8_t noise[48] = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:190";
    assert_int_equal(open_exact(&d, &keep, noise, 0), TW_NEED_MORE);
    drop(&keep);
    assert_int_equal(open_exact(&d, &keep, noise, 47), TW_E_PREFIX);
    drop(&keep);
    assert_int_equal(open_exact(&d, &keep, noise, 48), TW_E_PADDING); /* taken for bare ciphertext */
    for (size_t i = 0; i < 48; i++)
        assert_int_equal(keep.plain[i], 0);
    drop(&keep);
}

static void too_small_a_buffer_is_said(void **state)
{
    (void)state;
    static const uint8_t nonce[TW_NONCE_LEN] = "once only...";
    uint8_t out[256], plain[256];
    size_t len;
    struct tw_discovery d;
    for (int v = TW_V32; v < TW_N_VERSIONS; v++) { /* 3.1 is clear and needs none */
        assert_int_equal(
            tw_discovery_seal_announcement(out, sizeof out, &len, crypto, (enum tw_version)v, span("{}"), nonce),
            TW_OK);
        assert_int_equal(tw_discovery_open(&d, crypto, out, len, plain, 1), TW_E_CAPACITY);
    }
}

static void a_request_needs_an_address_and_a_nonce(void **state)
{
    (void)state;
    static const uint8_t nonce[TW_NONCE_LEN] = "once only...";
    uint8_t out[512];
    size_t len;
    char long_ip[256];
    memset(long_ip, '1', sizeof long_ip);
    struct tw_span too_long = {(const uint8_t *)long_ip, sizeof long_ip};
    assert_int_equal(tw_discovery_seal_request(out, sizeof out, &len, crypto, too_long, nonce), TW_E_ARGUMENT);
    assert_int_equal(tw_discovery_seal_request(out, sizeof out, &len, crypto, span("192.0.2.7"), NULL),
                     TW_E_ARGUMENT);
    assert_int_equal(
        tw_discovery_seal_announcement(out, sizeof out, &len, crypto, (enum tw_version)9, span("{}"), nonce),
        TW_E_ARGUMENT);
    struct tw_text t = {.data = (char *)out, .cap = sizeof out};
    assert_int_equal(tw_body_announcement(&t, (enum tw_version)9, &(struct tw_announcement){.active = 2}),
                     TW_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_datagrams),
        cmocka_unit_test(keys_of_the_world),
        cmocka_unit_test(announcements_have_the_members_of_their_version),
        cmocka_unit_test(a_datagram_that_asks_is_a_request_whatever_its_command),
        cmocka_unit_test(members_of_another_type_count_as_absent),
        cmocka_unit_test(an_announcement_that_is_no_json_is_refused),
        cmocka_unit_test(noise_is_named),
        cmocka_unit_test(too_small_a_buffer_is_said),
        cmocka_unit_test(a_request_needs_an_address_and_a_nonce),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
