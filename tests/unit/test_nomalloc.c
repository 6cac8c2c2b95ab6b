/* Framing, sealing, opening and negotiation ask for no memory per message, and neither does reading bodies: after a
 * first message has set everything up, the heap is left alone by library and OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "memory.h"
#include "tuyawire/discovery.h"
#include "tuyawire/dps.h"
#include "tuyawire/message.h"
#include "tuyawire/session.h"

enum { N_MESSAGES = 1000 };

static const uint8_t local_key[TW_KEY_LEN] = "0123456789abcdef", other_key[TW_KEY_LEN] = "#fake-LOCAL-key!";
static const char json[] = "{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"18\":2340,\"101\":\"white\"},"
                           "\"t\":1700000000}";

/* Nonces, different each time. */
static void count_up(uint8_t *bytes, size_t len, uint32_t n)
{
    memset(bytes, 'n', len);
    memcpy(bytes, &n, sizeof n);
}

static void one_message(tw_crypto *c, enum tw_version v, enum tw_direction dir, uint32_t command, const uint8_t *key,
                        uint32_t n)
{
    uint8_t frame[512], plain[512], nonce[TW_NONCE_LEN];
    size_t len, consumed;
    struct tw_message m;
    struct tw_frame f;
    struct tw_body body;
    struct tw_dp dp;
    const struct tw_frame_rules rules = {.integrity = tw_version_traits(v)->integrity, .direction = dir};
    count_up(nonce, sizeof nonce, n);
    tw_message_init(&m, v, dir, n, command);
    m.payload = (struct tw_span){(const uint8_t *)json, sizeof json - 1};
    assert_int_equal(tw_message_seal(frame, sizeof frame, &len, c, &m, key, nonce), TW_OK);
    assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, &rules), TW_OK);
    assert_int_equal(tw_message_open(&m, c, &f, v, dir, key, plain, sizeof plain, 0), TW_OK);
    assert_int_equal(tw_body_parse(&body, m.payload), TW_OK);
    assert_int_equal(tw_dps_find(&dp, body.dps, 18), TW_OK);
    assert_int_equal(dp.value.integer, 2340);
}

/* A wrong key and a damaged frame must not cost memory either: that is what strangers send. */
static void one_refusal(tw_crypto *c, enum tw_version v, const uint8_t *key, const uint8_t *wrong)
{
    uint8_t frame[512], plain[512], nonce[TW_NONCE_LEN] = {0};
    size_t len, consumed;
    struct tw_message m;
    struct tw_frame f;
    const struct tw_frame_rules rules = {.integrity = tw_version_traits(v)->integrity, .direction = TW_TO_DEVICE};
    tw_message_init(&m, v, TW_TO_DEVICE, 1, TW_CMD_CONTROL);
    m.payload = (struct tw_span){(const uint8_t *)json, sizeof json - 1};
    assert_int_equal(tw_message_seal(frame, sizeof frame, &len, c, &m, key, nonce), TW_OK);
    assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, &rules), TW_OK);
    assert_int_not_equal(tw_message_open(&m, c, &f, v, TW_TO_DEVICE, wrong, plain, sizeof plain, 0), TW_OK);
    frame[len - 9] ^= 1;
    assert_int_not_equal(tw_message_open(&m, c, &f, v, TW_TO_DEVICE, key, plain, sizeof plain, 0), TW_OK);
}

static void messages_ask_for_no_memory(void **state)
{
    (void)state;
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        tw_crypto *c;
        assert_int_equal(tw_crypto_new(&c, 2), TW_OK);
        for (uint32_t n = 0; n <= N_MESSAGES; n++) {
            one_message(c, (enum tw_version)v, TW_TO_DEVICE, TW_CMD_CONTROL, local_key, n);
            one_message(c, (enum tw_version)v, TW_FROM_DEVICE, TW_CMD_STATUS, local_key, n);
            one_message(c, (enum tw_version)v, TW_FROM_DEVICE, TW_CMD_DP_QUERY, local_key, n);
            one_refusal(c, (enum tw_version)v, local_key, other_key);
            if (n == 0)
                assert_true(memory_asked() > 0); /* or nobody counts */
        }
        size_t asked = memory_asked();
        if (asked > 0)
            fail_msg("%s: memory asked for %zu times in %d rounds", tw_version_name((enum tw_version)v), asked,
                     N_MESSAGES);
        tw_crypto_free(c);
    }
}

/* Two keys that take turns in one place cost key schedules, and still no memory. */
static void changing_keys_asks_for_no_memory(void **state)
{
    (void)state;
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        tw_crypto *c;
        assert_int_equal(tw_crypto_new(&c, 1), TW_OK);
        for (uint32_t n = 0; n <= N_MESSAGES; n++) {
            one_message(c, (enum tw_version)v, TW_TO_DEVICE, TW_CMD_CONTROL, n % 2 == 0 ? local_key : other_key, n);
            if (n == 1)
                memory_asked();
        }
        size_t asked = memory_asked();
        if (asked > 0)
            fail_msg("%s: memory asked for %zu times", tw_version_name((enum tw_version)v), asked);
        tw_crypto_free(c);
    }
}

/* Seal a handshake message and open it at the other end. Its payload is in plain. */
static struct tw_message carry(tw_crypto *c, enum tw_version v, enum tw_direction dir, uint32_t command,
                               struct tw_span payload, uint32_t n, uint8_t *plain, size_t cap)
{
    uint8_t frame[256], nonce[TW_NONCE_LEN];
    size_t len, consumed;
    struct tw_message m;
    struct tw_frame f;
    const struct tw_frame_rules rules = {.integrity = tw_version_traits(v)->integrity, .direction = dir};
    count_up(nonce, sizeof nonce, n);
    tw_message_init(&m, v, dir, n, command);
    m.payload = payload;
    assert_int_equal(tw_message_seal(frame, sizeof frame, &len, c, &m, local_key, nonce), TW_OK);
    assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, &rules), TW_OK);
    assert_int_equal(tw_message_open(&m, c, &f, v, dir, local_key, plain, cap, 0), TW_OK);
    return m;
}

static void one_handshake(tw_crypto *c, enum tw_version v, uint32_t n)
{
    uint8_t client_nonce[TW_SESSION_NONCE_LEN], device_nonce[TW_SESSION_NONCE_LEN], plain[256];
    uint8_t resp[TW_SESSION_RESP_LEN], finish[TW_SESSION_FINISH_LEN];
    struct tw_session client, device;
    count_up(client_nonce, sizeof client_nonce, n);
    count_up(device_nonce, sizeof device_nonce, ~n);
    tw_session_init(&client, v, local_key);
    tw_session_init(&device, v, local_key);
    assert_int_equal(tw_session_start(&client, client_nonce), TW_OK);
    struct tw_message m = carry(c, v, TW_TO_DEVICE, TW_CMD_SESS_KEY_NEG_START,
                                (struct tw_span){client_nonce, sizeof client_nonce}, n, plain, sizeof plain);
    assert_int_equal(tw_session_on_start(&device, c, m.payload, device_nonce, resp), TW_OK);
    m = carry(c, v, TW_FROM_DEVICE, TW_CMD_SESS_KEY_NEG_RESP, (struct tw_span){resp, sizeof resp}, n, plain,
              sizeof plain);
    int rc = tw_session_on_resp(&client, c, &m, finish);
    if (rc == TW_E_HS_KEY_ZERO) /* once in 256 */
        return;
    assert_int_equal(rc, TW_OK);
    m = carry(c, v, TW_TO_DEVICE, TW_CMD_SESS_KEY_NEG_FINISH, (struct tw_span){finish, sizeof finish}, n, plain,
              sizeof plain);
    assert_int_equal(tw_session_on_finish(&device, c, m.payload), TW_OK);
    assert_memory_equal(client.key, device.key, TW_KEY_LEN);
}

static void negotiations_ask_for_no_memory(void **state)
{
    (void)state;
    for (int v = TW_V34; v <= TW_V35; v++) {
        tw_crypto *c;
        assert_int_equal(tw_crypto_new(&c, 1), TW_OK);
        for (uint32_t n = 0; n <= N_MESSAGES; n++) {
            one_handshake(c, (enum tw_version)v, n);
            if (n == 0)
                memory_asked();
        }
        size_t asked = memory_asked();
        if (asked > 0)
            fail_msg("%s: memory asked for %zu times", tw_version_name((enum tw_version)v), asked);
        tw_crypto_free(c);
    }
}

static void announcements_ask_for_no_memory(void **state)
{
    (void)state;
    tw_crypto *c;
    assert_int_equal(tw_crypto_new(&c, 2), TW_OK);
    for (uint32_t n = 0; n <= N_MESSAGES; n++) {
        for (int v = 0; v < TW_N_VERSIONS; v++) {
            uint8_t out[512], plain[512], nonce[TW_NONCE_LEN];
            size_t len;
            struct tw_discovery d;
            count_up(nonce, sizeof nonce, n);
            assert_int_equal(tw_discovery_seal_announcement(out, sizeof out, &len, c, (enum tw_version)v,
                                                            (struct tw_span){(const uint8_t *)json, sizeof json - 1},
                                                            nonce),
                             TW_OK);
            assert_int_equal(tw_discovery_open(&d, c, out, len, plain, sizeof plain), TW_OK);
        }
        if (n == 0)
            memory_asked();
    }
    assert_int_equal(memory_asked(), 0);
    tw_crypto_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_ask_for_no_memory),
        cmocka_unit_test(changing_keys_asks_for_no_memory),
        cmocka_unit_test(negotiations_ask_for_no_memory),
        cmocka_unit_test(announcements_ask_for_no_memory),
    };
    memory_watch();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
