/* The session key negotiation of 3.4 and 3.5: every golden handshake in both roles, the table of derived keys, and
 * those failures of session.json that the state machine itself can see. What an engine sees (sequence numbers,
 * commands out of place on the device's side) is counted here and tested with the engines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/session.h"
#include "vectors.h"

static tw_crypto *crypto;
static uint8_t plain[1024];

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

static struct bytes hex16(const cJSON *object, const char *name)
{
    struct bytes b = vector_hex(object, name);
    assert_int_equal(b.len, 16);
    return b;
}

/* What is given of a handshake. */
struct ingredients {
    const char *id;
    enum tw_version version;
    struct bytes local_key, client_nonce, device_nonce;
};

static struct ingredients ingredients_of(const cJSON *object)
{
    return (struct ingredients){
        .id = vector_text(object, "id"),
        .version = vector_version(object),
        .local_key = hex16(object, "local_key_hex"),
        .client_nonce = hex16(object, "client_nonce_hex"),
        .device_nonce = hex16(object, "device_nonce_hex"),
    };
}

static void drop(struct ingredients *i)
{
    free(i->local_key.data);
    free(i->client_nonce.data);
    free(i->device_nonce.data);
}

/* Parse and open one frame under the local key. The payload points into plain. */
static int open_frame(struct tw_message *m, const struct ingredients *in, enum tw_direction dir, struct bytes bytes)
{
    struct tw_frame f;
    size_t consumed;
    const struct tw_frame_rules rules = vector_rules(in->version, dir);
    int rc = tw_frame_parse(&f, &consumed, bytes.data, bytes.len, &rules);
    return rc != TW_OK ? rc
                       : tw_message_open(m, crypto, &f, in->version, dir, in->local_key.data, plain, sizeof plain, 0);
}

/* ------ the golden handshakes ------ */

static const cJSON *frame_of(const cJSON *session, const char *step)
{
    const cJSON *frame;
    cJSON_ArrayForEach(frame, cJSON_GetObjectItem(session, "frames"))
    {
        if (strcmp(vector_text(frame, "step"), step) == 0)
            return frame;
    }
    fail_msg("%s has no %s", vector_text(session, "id"), step);
    return NULL;
}

/* Each of the three frames opens to its plaintext, and is what sealing makes of it. */
static void frame_opens_and_seals(const struct ingredients *in, const cJSON *frame)
{
    const char *step = vector_text(frame, "step");
    enum tw_direction dir = vector_direction(frame);
    struct bytes wire = vector_hex(frame, "frame_hex"), text = vector_hex(frame, "plaintext_hex"),
                 nonce = vector_hex(frame, "nonce_hex");
    struct tw_message m = {.seq = 0};
    int rc = open_frame(&m, in, dir, wire);
    if (rc != TW_OK || m.seq != vector_number(frame, "seq") || m.command != vector_number(frame, "cmd") ||
        m.has_retcode == vector_is_null(frame, "retcode") || m.retcode != vector_number(frame, "retcode") ||
        m.has_header || m.payload.len != text.len || memcmp(m.payload.data, text.data, text.len) != 0)
        vector_complain(in->id, "%s opens to something else: %s", step, tw_error_name(rc));

    uint8_t out[256];
    size_t len = 0;
    tw_message_init(&m, in->version, dir, vector_number(frame, "seq"), vector_number(frame, "cmd"));
    m.payload = (struct tw_span){text.data, text.len};
    rc = tw_message_seal(out, sizeof out, &len, crypto, &m, in->local_key.data, nonce.data);
    if (rc != TW_OK || len != wire.len || memcmp(out, wire.data, len) != 0)
        vector_complain(in->id, "%s is sealed to other bytes: %s", step, tw_error_name(rc));
    free(wire.data);
    free(text.data);
    free(nonce.data);
}

static void client_side(const struct ingredients *in, const cJSON *session, const uint8_t *key)
{
    struct bytes resp = vector_hex(frame_of(session, "resp"), "frame_hex"),
                 finish = vector_hex(frame_of(session, "finish"), "plaintext_hex");
    bool zero = vector_true(session, "session_key_starts_with_00");
    struct tw_session s;
    struct tw_message m;
    uint8_t sent[TW_HMAC_LEN] = {0};
    tw_session_init(&s, in->version, in->local_key.data);
    int rc = tw_session_start(&s, in->client_nonce.data);
    if (rc != TW_OK || s.state != TW_SESSION_WAIT_RESP)
        vector_complain(in->id, "client does not start: %s", tw_error_name(rc));
    rc = open_frame(&m, in, TW_FROM_DEVICE, resp);
    if (rc == TW_OK)
        rc = tw_session_on_resp(&s, crypto, &m, sent);
    if (rc != (zero ? TW_E_HS_KEY_ZERO : TW_OK))
        vector_complain(in->id, "client takes RESP with %s", tw_error_name(rc));
    else if (!zero && (s.state != TW_SESSION_ESTABLISHED || memcmp(s.key, key, TW_KEY_LEN) != 0 ||
                       memcmp(sent, finish.data, sizeof sent) != 0))
        vector_complain(in->id, "client has another key or FINISH");
    else if (zero && s.state != TW_SESSION_WAIT_RESP)
        vector_complain(in->id, "client goes on with a key that begins with 00");
    free(resp.data);
    free(finish.data);
    tw_session_wipe(&s);
}

static void device_side(const struct ingredients *in, const cJSON *session, const uint8_t *key)
{
    struct bytes start = vector_hex(frame_of(session, "start"), "frame_hex"),
                 finish = vector_hex(frame_of(session, "finish"), "frame_hex"),
                 resp = vector_hex(frame_of(session, "resp"), "plaintext_hex");
    struct tw_session s;
    struct tw_message m;
    uint8_t sent[TW_SESSION_RESP_LEN] = {0};
    tw_session_init(&s, in->version, in->local_key.data);
    int rc = open_frame(&m, in, TW_TO_DEVICE, start);
    if (rc == TW_OK)
        rc = tw_session_on_start(&s, crypto, m.payload, in->device_nonce.data, sent);
    if (rc != TW_OK || s.state != TW_SESSION_WAIT_FINISH || memcmp(sent, resp.data, sizeof sent) != 0)
        vector_complain(in->id, "device answers START with %s", tw_error_name(rc));
    rc = open_frame(&m, in, TW_TO_DEVICE, finish);
    if (rc == TW_OK)
        rc = tw_session_on_finish(&s, crypto, m.payload);
    if (rc != TW_OK || s.state != TW_SESSION_ESTABLISHED || memcmp(s.key, key, TW_KEY_LEN) != 0)
        vector_complain(in->id, "device takes FINISH with %s", tw_error_name(rc));
    free(start.data);
    free(finish.data);
    free(resp.data);
    tw_session_wipe(&s);
}

static void check_proof(const struct ingredients *in, const cJSON *session, const char *name, const uint8_t *nonce)
{
    struct bytes expected = vector_hex(session, name);
    uint8_t proof[TW_HMAC_LEN];
    assert_int_equal(expected.len, sizeof proof);
    int rc = tw_session_proof(proof, crypto, in->local_key.data, nonce);
    if (rc != TW_OK || memcmp(proof, expected.data, sizeof proof) != 0)
        vector_complain(in->id, "another %s", name);
    free(expected.data);
}

static void golden_handshakes_in_both_roles(void **state)
{
    (void)state;
    cJSON *root = vectors_load("session.json");
    unsigned n = 0, n_frames = 0, n_zero = 0;
    const cJSON *session, *frame;
    cJSON_ArrayForEach(session, cJSON_GetObjectItem(root, "cases"))
    {
        struct ingredients in = ingredients_of(session);
        struct bytes key = hex16(session, "session_key_hex");
        cJSON_ArrayForEach(frame, cJSON_GetObjectItem(session, "frames"))
        {
            frame_opens_and_seals(&in, frame);
            n_frames++;
        }
        check_proof(&in, session, "hmac_client_nonce_hex", in.client_nonce.data);
        check_proof(&in, session, "hmac_device_nonce_hex", in.device_nonce.data);
        client_side(&in, session, key.data);
        device_side(&in, session, key.data);
        n_zero += vector_true(session, "session_key_starts_with_00");
        n++;
        free(key.data);
        drop(&in);
    }
    cJSON_Delete(root);
    vectors_done();
    assert_int_equal(n, 8);
    assert_int_equal(n_frames, 24);
    assert_int_equal(n_zero, 2);
}

static void derived_keys(void **state)
{
    (void)state;
    cJSON *root = vectors_load("session.json");
    unsigned n = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(root, "kdf"))
    {
        static const struct {
            const char *name;
            enum tw_version version;
        } columns[] = {{"session_key_34_hex", TW_V34}, {"session_key_35_hex", TW_V35}};
        struct bytes local = hex16(row, "local_key_hex"), client = hex16(row, "client_nonce_hex"),
                     device = hex16(row, "device_nonce_hex");
        for (size_t i = 0; i < 2; i++) {
            struct bytes expected = hex16(row, columns[i].name);
            uint8_t key[TW_KEY_LEN];
            assert_int_equal(tw_session_derive(key, crypto, columns[i].version, local.data, client.data, device.data),
                             TW_OK);
            assert_memory_equal(key, expected.data, sizeof key);
            free(expected.data);
            n++;
        }
        uint8_t untouched[TW_KEY_LEN] = {1, 2, 3};
        assert_int_equal(tw_session_derive(untouched, crypto, TW_V33, local.data, client.data, device.data),
                         TW_E_ARGUMENT);
        assert_int_equal(untouched[0], 1);
        free(local.data);
        free(client.data);
        free(device.data);
    }
    cJSON_Delete(root);
    assert_int_equal(n, 16);
}

/* ------ failures ------ */

static bool known_to_engines_only(const cJSON *failure)
{
    const char *expect = vector_text(failure, "expect");
    if (strcmp(vector_text(failure, "role"), "device") != 0)
        return false;
    if (strcmp(expect, "hs_replay") == 0)
        return true; /* sequence numbers */
    const char *id = vector_text(failure, "id");
    return strstr(id, "query-first") != NULL || strstr(id, "resp-to-device") != NULL; /* other commands */
}

/* Bring a device into the state before the input, by an honest client that has the same ingredients. */
static void prepare_device(struct tw_session *s, const struct ingredients *in, const char *before)
{
    uint8_t resp[TW_SESSION_RESP_LEN], proof[TW_HMAC_LEN];
    struct tw_span start = {in->client_nonce.data, TW_SESSION_NONCE_LEN}, finish = {proof, sizeof proof};
    if (strcmp(before, "wait_start") == 0)
        return;
    assert_int_equal(tw_session_on_start(s, crypto, start, in->device_nonce.data, resp), TW_OK);
    if (strcmp(before, "wait_finish") == 0)
        return;
    assert_string_equal(before, "established");
    assert_int_equal(tw_session_proof(proof, crypto, in->local_key.data, in->device_nonce.data), TW_OK);
    assert_int_equal(tw_session_on_finish(s, crypto, finish), TW_OK);
}

static int client_takes(struct tw_session *s, const struct ingredients *in, struct bytes input)
{
    struct tw_message m;
    uint8_t finish[TW_HMAC_LEN];
    assert_int_equal(tw_session_start(s, in->client_nonce.data), TW_OK);
    int rc = open_frame(&m, in, TW_FROM_DEVICE, input);
    return rc != TW_OK ? rc : tw_session_on_resp(s, crypto, &m, finish);
}

static int device_takes(struct tw_session *s, const struct ingredients *in, const char *before, struct bytes input)
{
    struct tw_message m;
    uint8_t resp[TW_SESSION_RESP_LEN];
    prepare_device(s, in, before);
    int rc = open_frame(&m, in, TW_TO_DEVICE, input);
    if (rc != TW_OK)
        return rc;
    if (m.command == TW_CMD_SESS_KEY_NEG_START)
        return tw_session_on_start(s, crypto, m.payload, in->device_nonce.data, resp);
    assert_int_equal(m.command, TW_CMD_SESS_KEY_NEG_FINISH);
    return tw_session_on_finish(s, crypto, m.payload);
}

static void every_failure_has_its_name_and_changes_nothing(void **state)
{
    (void)state;
    cJSON *root = vectors_load("session.json");
    unsigned n = 0, n_for_engines = 0;
    const cJSON *failure;
    cJSON_ArrayForEach(failure, cJSON_GetObjectItem(root, "failures"))
    {
        if (known_to_engines_only(failure)) {
            n_for_engines++;
            continue;
        }
        struct ingredients in = ingredients_of(failure);
        struct bytes input = vector_hex(failure, "input_hex");
        const char *expect = vector_text(failure, "expect"), *before = vector_text(failure, "state");
        bool client = strcmp(vector_text(failure, "role"), "client") == 0;
        struct tw_session s;
        tw_session_init(&s, in.version, in.local_key.data);
        int rc = client ? client_takes(&s, &in, input) : device_takes(&s, &in, before, input);
        if (strcmp(tw_error_name(rc), expect) != 0)
            vector_complain(in.id, "is %s, expected %s", tw_error_name(rc), expect);
        enum tw_session_state same = client                               ? TW_SESSION_WAIT_RESP
                                     : strcmp(before, "wait_start") == 0  ? TW_SESSION_IDLE
                                     : strcmp(before, "wait_finish") == 0 ? TW_SESSION_WAIT_FINISH
                                                                          : TW_SESSION_ESTABLISHED;
        if ((rc == TW_OK) == (s.state == same))
            vector_complain(in.id, "leads to state %d", (int)s.state);
        free(input.data);
        drop(&in);
        n++;
    }
    cJSON_Delete(root);
    vectors_done();
    assert_int_equal(n, 38);
    assert_int_equal(n_for_engines, 8);
}

/* ------ the rules of the machine that no vector shows ------ */

static const uint8_t local_key[TW_KEY_LEN] = "0123456789abcdef";
static const uint8_t one_nonce[TW_SESSION_NONCE_LEN] = "client nonce 1 .", other_nonce[] = "device nonce 2 .";

static void a_start_repeated_before_finish_begins_again(void **state)
{
    (void)state;
    struct tw_session s;
    uint8_t resp[TW_SESSION_RESP_LEN], proof[TW_HMAC_LEN], expected[TW_KEY_LEN];
    tw_session_init(&s, TW_V35, local_key);
    const struct tw_span first = {other_nonce, 16}, second = {one_nonce, 16}, finish = {proof, sizeof proof};
    assert_int_equal(tw_session_on_start(&s, crypto, first, one_nonce, resp), TW_OK);
    assert_int_equal(tw_session_on_start(&s, crypto, second, other_nonce, resp), TW_OK);
    assert_memory_equal(resp, other_nonce, 16);
    assert_int_equal(tw_session_proof(proof, crypto, local_key, one_nonce), TW_OK);
    assert_int_equal(tw_session_on_finish(&s, crypto, finish), TW_E_HS_BAD_HMAC); /* of the first RESP */
    assert_int_equal(tw_session_proof(proof, crypto, local_key, other_nonce), TW_OK);
    assert_int_equal(tw_session_on_finish(&s, crypto, finish), TW_OK);
    assert_int_equal(tw_session_derive(expected, crypto, TW_V35, local_key, one_nonce, other_nonce), TW_OK);
    assert_memory_equal(s.key, expected, sizeof expected);
    assert_int_equal(tw_session_on_finish(&s, crypto, finish), TW_E_HS_RENEGOTIATE);
}

static void calls_out_of_turn_are_refused(void **state)
{
    (void)state;
    struct tw_session s;
    uint8_t finish[TW_HMAC_LEN];
    struct tw_message m = {.command = TW_CMD_SESS_KEY_NEG_RESP};
    tw_session_init(&s, TW_V34, local_key);
    assert_int_equal(tw_session_on_resp(&s, crypto, &m, finish), TW_E_STATE);
    assert_int_equal(tw_session_start(&s, one_nonce), TW_OK);
    assert_int_equal(tw_session_start(&s, one_nonce), TW_E_STATE);
}

static void wiping_leaves_no_key(void **state)
{
    (void)state;
    struct tw_session s, zero;
    memset(&zero, 0, sizeof zero);
    tw_session_init(&s, TW_V34, local_key);
    tw_session_wipe(&s);
    assert_memory_equal(&s, &zero, sizeof s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_handshakes_in_both_roles),
        cmocka_unit_test(derived_keys),
        cmocka_unit_test(every_failure_has_its_name_and_changes_nothing),
        cmocka_unit_test(a_start_repeated_before_finish_begins_again),
        cmocka_unit_test(calls_out_of_turn_are_refused),
        cmocka_unit_test(wiping_leaves_no_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
