/* Memory runs out at every place where the library asks for some, one after the other: TW_E_NOMEM, no crash, nothing
 * lost (a sanitizer looks for what is not given back), and the next attempt succeeds.
 *
 * The subject is a whole conversation, client engine to device engine, in each version, with an observer listening. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "memory.h"
#include "tuyawire/tuyawire.h"

enum { N_PLACES_MAX = 2000 }; /* more than a conversation asks for memory: the loops below must end before */

static const uint8_t local_key[TW_KEY_LEN] = "0123456789abcdef", other_key[TW_KEY_LEN] = "#fake-LOCAL-key!";
static const char id[] = "fake0000000000000000id", dps[] = "{\"1\":true,\"18\":2340}";

static struct tw_span span(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

/* Never the same twice, and every run the same. */
static int counting_random(void *ctx, uint8_t *buf, size_t len)
{
    uint32_t *n = ctx;
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)('a' + (*n)++ % 26);
    return 0;
}

struct talk {
    enum tw_version version;
    tw_crypto *crypto;
    tw_device_host *host;
    tw_device *device;
    tw_client *client;
    tw_keyring *ring;
    tw_observer *observer;
    uint32_t random;
    unsigned n_replies, n_observed;
};

static int set_up(struct talk *t)
{
    struct tw_device_host_config host = {.random = counting_random, .random_ctx = &t->random};
    struct tw_device_config device;
    struct tw_client_config client;
    int rc = tw_crypto_new(&t->crypto, 4);
    if (rc != TW_OK)
        return rc;
    host.crypto = t->crypto;
    tw_device_config_init(&device, t->version, local_key);
    tw_client_config_init(&client);
    client.version = t->version;
    client.device_id = span(id);
    memcpy(client.local_key, local_key, sizeof local_key);
    client.crypto = t->crypto;
    client.random = counting_random;
    client.random_ctx = &t->random;
    if ((rc = tw_device_host_new(&t->host, &host)) != TW_OK ||
        (rc = tw_device_new(&t->device, t->host, &device, 0)) != TW_OK ||
        (rc = tw_client_new(&t->client, &client)) != TW_OK || (rc = tw_keyring_new(&t->ring)) != TW_OK ||
        (rc = tw_keyring_add(t->ring, other_key, span("another"), NULL)) != TW_OK ||
        (rc = tw_keyring_add(t->ring, local_key, span(id), &t->version)) != TW_OK ||
        (rc = tw_observer_new(&t->observer, t->ring, TW_ROLES_KNOWN)) != TW_OK)
        return rc;
    const struct tw_session_secret secret = {.version = TW_V35};
    return tw_keyring_add_session(t->ring, &secret);
}

static void tear_down(struct talk *t)
{
    tw_observer_free(t->observer);
    tw_keyring_free(t->ring);
    tw_client_free(t->client);
    tw_device_free(t->device);
    tw_device_host_free(t->host);
    tw_crypto_free(t->crypto);
}

/* Each segment is heard in two parts, so that the observer has to keep one. */
static int overhear(struct talk *t, enum tw_direction dir, const uint8_t *buf, size_t len)
{
    for (int part = 0; part < 2; part++) {
        size_t from = part == 0 ? 0 : len / 2, n = part == 0 ? len / 2 : len - len / 2;
        struct tw_observed ev;
        int rc = tw_observer_feed(t->observer, dir, buf + from, n);
        if (rc != TW_OK)
            return rc;
        while ((rc = tw_observer_next(t->observer, &ev)) == 1) {
            if (ev.error != TW_OK) { /* never a wrong key, nor a handshake that was not seen */
                assert_int_equal(ev.why, TW_WHY_OURS);
                return ev.error;
            }
            t->n_observed += ev.error == TW_OK;
        }
        if (rc != 0)
            return rc;
    }
    return TW_OK;
}

static int device_answers(struct talk *t, const struct tw_device_event *ev)
{
    uint32_t command = ev->message.command, seq = ev->message.seq;
    switch (ev->type) {
    case TW_DEVICE_QUERY: return tw_device_reply(t->device, command, seq, span("{\"dps\":{\"1\":true}}"));
    case TW_DEVICE_CONTROL: {
        int rc = tw_device_ack(t->device, command, seq, 0);
        return rc != TW_OK ? rc : tw_device_status(t->device, 1, span("{\"dps\":{\"1\":true}}"));
    }
    case TW_DEVICE_CLOSING: return ev->error;
    default: return ev->error;
    }
}

/* The client's output to the device, cut in two. */
static int to_device(struct talk *t, const uint8_t *buf, size_t len)
{
    for (int part = 0; part < 2; part++) {
        size_t from = part == 0 ? 0 : len / 2, n = part == 0 ? len / 2 : len - len / 2;
        struct tw_device_event ev;
        int rc = tw_device_feed(t->device, buf + from, n, 0);
        while (rc == TW_OK && tw_device_next_event(t->device, &ev))
            rc = device_answers(t, &ev);
        if (rc == TW_OK)
            rc = tw_device_error(t->device);
        if (rc != TW_OK)
            return rc;
    }
    return TW_OK;
}

static int from_device(struct talk *t, const uint8_t *buf, size_t len)
{
    int rc = tw_client_feed(t->client, buf, len, 0);
    struct tw_client_event ev;
    while (tw_client_next_event(t->client, &ev)) {
        if (rc == TW_OK && ev.error != TW_OK)
            rc = ev.error;
        t->n_replies += ev.type == TW_CLIENT_REPLY || ev.type == TW_CLIENT_ACK || ev.type == TW_CLIENT_STATUS;
    }
    return rc != TW_OK ? rc : tw_client_error(t->client);
}

/* Carry bytes to and fro until nobody has anything to say. */
static int converse(struct talk *t)
{
    for (;;) {
        struct tw_span up = tw_client_output(t->client), down = tw_device_output(t->device);
        int rc = TW_OK;
        if (up.len == 0 && down.len == 0)
            return TW_OK;
        enum tw_direction dir = up.len > 0 ? TW_TO_DEVICE : TW_FROM_DEVICE;
        struct tw_span now = up.len > 0 ? up : down;
        uint8_t bytes[8192];
        assert_true(now.len <= sizeof bytes);
        memcpy(bytes, now.data, now.len);
        if (dir == TW_TO_DEVICE)
            tw_client_sent(t->client, now.len);
        else
            tw_device_sent(t->device, now.len);
        rc = overhear(t, dir, bytes, now.len);
        if (rc == TW_OK)
            rc = dir == TW_TO_DEVICE ? to_device(t, bytes, now.len) : from_device(t, bytes, now.len);
        if (rc != TW_OK)
            return rc;
    }
}

static int whole_conversation(struct talk *t)
{
    static const uint32_t ids[] = {18, 19, 20};
    int rc = set_up(t);
    if (rc == TW_OK)
        rc = tw_client_start(t->client, 0);
    if (rc == TW_OK)
        rc = tw_client_query(t->client, 0, NULL);
    if (rc == TW_OK)
        rc = tw_client_control(t->client, span(dps), 0, NULL);
    if (rc == TW_OK)
        rc = tw_client_heartbeat(t->client, 0, NULL);
    if (rc == TW_OK)
        rc = converse(t);
    if (rc == TW_OK)
        rc = tw_client_query_dps(t->client, ids, 3, 0, NULL);
    if (rc == TW_OK)
        rc = converse(t);
    return rc;
}

static int talk_once(enum tw_version v)
{
    struct talk t = {.version = v};
    int rc = whole_conversation(&t);
    /* query, control and its push, heart beat */
    if (memory_victim() == MEMORY_NOBODY && (rc != TW_OK || t.n_replies < 4 || t.n_observed < 7))
        fail_msg("%s: %u answers, %u messages overheard", tw_version_name(v), t.n_replies, t.n_observed);
    tear_down(&t);
    return rc;
}

static void run_out_at_each_place(bool for_good)
{
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        const char *name = tw_version_name((enum tw_version)v);
        memory_fail(0, false);
        assert_int_equal(talk_once((enum tw_version)v), TW_OK);
        size_t place = 1;
        for (;; place++) {
            assert_true(place < N_PLACES_MAX);
            memory_fail(place, for_good);
            int rc = talk_once((enum tw_version)v);
            enum memory_victim victim = memory_victim();
            memory_fail(0, false);
            if (victim == MEMORY_NOBODY)
                break; /* there are no more places */
            /* OpenSSL does without some of its memory, and does not always say that it was memory what it lacked. */
            if (rc != TW_E_NOMEM && !(victim == MEMORY_OPENSSL && (rc == TW_E_CRYPTO || rc == TW_OK)))
                fail_msg("%s: memory ran out at place %zu, and the conversation says %s", name, place,
                         tw_error_name(rc));
        }
        assert_true(place > 20);
        assert_int_equal(talk_once((enum tw_version)v), TW_OK);
    }
}

static void memory_that_runs_out_once_is_named(void **state)
{
    (void)state;
    run_out_at_each_place(false);
}

static void what_could_not_be_sealed_is_not_left_in_clear(void **state)
{
    (void)state;
    static const char secret[] = "{\"dps\":{\"1\":\"of no concern to others\"}}";
    static const uint8_t nonce[TW_NONCE_LEN];
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        tw_crypto *bench;
        uint8_t out[512] = {0};
        size_t len = 0;
        struct tw_message m;
        memory_fail(0, false);
        assert_int_equal(tw_crypto_new(&bench, 1), TW_OK);
        tw_message_init(&m, (enum tw_version)v, TW_TO_DEVICE, 1, TW_CMD_CONTROL);
        m.payload = span(secret);
        memory_fail(1, true);
        int rc = tw_message_seal(out, sizeof out, &len, bench, &m, local_key, nonce);
        memory_fail(0, false);
        assert_int_not_equal(rc, TW_OK);
        for (size_t i = 0; i + 8 <= sizeof out; i++)
            assert_memory_not_equal(out + i, "concern ", 8);
        tw_crypto_free(bench);
    }
}

/* Everything that a program does with a device, with this text in what both say. */
static void talk_about(enum tw_version v, const char *text)
{
    struct talk t = {.version = v};
    char small[128], large[4096], filler[2500];
    memset(filler, 'x', sizeof filler);
    snprintf(small, sizeof small, "{\"dps\":{\"1\":\"%s\"}}", text);
    snprintf(large, sizeof large, "{\"dps\":{\"1\":\"%s\",\"2\":\"%.*s\"}}", text, (int)sizeof filler, filler);
    const struct tw_span pushed[] = {span(small), span(large)};
    assert_int_equal(set_up(&t), TW_OK);
    for (int n = 0; n < 40; n++) { /* until lists have to grow */
        const struct tw_session_secret secret = {.version = TW_V35, .key = "0123456789abcdef"};
        assert_int_equal(tw_keyring_add(t.ring, local_key, span(id), NULL), TW_OK);
        assert_int_equal(tw_keyring_add_session(t.ring, &secret), TW_OK);
    }
    assert_int_equal(tw_client_start(t.client, 0), TW_OK);
    assert_int_equal(tw_client_query(t.client, 0, NULL), TW_OK);
    assert_int_equal(converse(&t), TW_OK);
    for (size_t i = 0; i < 2; i++) {
        struct tw_body body;
        assert_int_equal(tw_body_parse(&body, pushed[i]), TW_OK);
        assert_int_equal(tw_client_control(t.client, body.dps, 0, NULL), TW_OK);
        assert_int_equal(converse(&t), TW_OK);
        assert_int_equal(tw_device_status(t.device, 7 + (uint32_t)i, pushed[i]), TW_OK);
        assert_int_equal(converse(&t), TW_OK);
    }
    tear_down(&t);
}

static void memory_goes_back_without_keys_and_plaintext(void **state)
{
    (void)state;
    static const char text[] = "of no concern to others";
    memory_fail(0, false);
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        memory_look_for(text, sizeof text - 1);
        talk_about((enum tw_version)v, text);
        assert_int_equal(memory_left_behind(), 0);
        memory_look_for(local_key, sizeof local_key);
        talk_about((enum tw_version)v, text);
        assert_int_equal(memory_left_behind(), 0);
    }
    memory_look_for(NULL, 0);
}

static void memory_that_stays_out_is_named(void **state)
{
    (void)state;
    run_out_at_each_place(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_runs_out_once_is_named),
        cmocka_unit_test(memory_that_stays_out_is_named),
        cmocka_unit_test(what_could_not_be_sealed_is_not_left_in_clear),
        cmocka_unit_test(memory_goes_back_without_keys_and_plaintext),
    };
    memory_watch();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
