/* test_observer.c - tuyawire/observer.h on the golden handshakes and frames of tests/vectors.
 *
 * Expected plaintexts are those of the vectors, which were made by another implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/observer.h"
#include "vectors.h"

enum { FRAMES_MAX = 64, EVENTS_MAX = 256 };

/* One conversation: the frames of a golden handshake and what follows it. */
struct conversation {
    struct bytes frames[FRAMES_MAX], plain[FRAMES_MAX];
    enum tw_direction dir[FRAMES_MAX];
    uint32_t command[FRAMES_MAX];
    size_t n;
    struct bytes local_key, session_key;
    enum tw_version version;
};

/* What an event said, so that two runs can be compared. */
struct said {
    int error;
    enum tw_why why;
    enum tw_direction dir;
    uint32_t seq, command;
    enum tw_key_kind kind;
    size_t len, skipped, missing;
    uint8_t payload[512];
};

struct log {
    struct said said[EVENTS_MAX];
    size_t n, n_sessions;
};

static cJSON *file;

static int load(void **state)
{
    (void)state;
    file = vectors_load("session.json");
    return file == NULL;
}

static int unload(void **state)
{
    (void)state;
    cJSON_Delete(file);
    return 0;
}

static void add_frame(struct conversation *c, const cJSON *f)
{
    struct bytes plain = vector_hex(f, "plaintext_hex");
    const char *text = vector_text(f, "plaintext");
    if (!plain.present && text != NULL) {
        plain = (struct bytes){malloc(strlen(text) + 1), strlen(text), true};
        memcpy(plain.data, text, plain.len);
    }
    assert_true(c->n < FRAMES_MAX);
    c->frames[c->n] = vector_hex(f, "frame_hex");
    c->plain[c->n] = plain;
    c->dir[c->n] = vector_direction(f);
    c->command[c->n] = vector_number(f, "cmd");
    c->n++;
}

static void conversation_of(struct conversation *c, const cJSON *kase)
{
    const cJSON *f;
    memset(c, 0, sizeof *c);
    c->version = vector_version(kase);
    c->local_key = vector_hex(kase, "local_key_hex");
    c->session_key = vector_hex(kase, "session_key_hex");
    cJSON_ArrayForEach(f, cJSON_GetObjectItem(kase, "frames")) add_frame(c, f);
    cJSON_ArrayForEach(f, cJSON_GetObjectItem(kase, "after")) add_frame(c, f);
}

static void conversation_free(struct conversation *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->frames[i].data);
        free(c->plain[i].data);
    }
    free(c->local_key.data);
    free(c->session_key.data);
}

static tw_keyring *ring_with(const uint8_t *key)
{
    tw_keyring *ring;
    assert_int_equal(tw_keyring_new(&ring), TW_OK);
    if (key != NULL)
        assert_int_equal(tw_keyring_add(ring, key, (struct tw_span){0}, NULL), TW_OK);
    return ring;
}

static void drain(tw_observer *o, struct log *log)
{
    struct tw_observed ev;
    int rc;
    while ((rc = tw_observer_next(o, &ev)) != 0) {
        assert_int_equal(rc, 1);
        assert_true(log->n < EVENTS_MAX);
        struct said *s = &log->said[log->n++];
        memset(s, 0, sizeof *s);
        s->error = ev.error;
        s->why = ev.why;
        s->dir = ev.direction;
        s->seq = ev.message.seq;
        s->command = ev.message.command;
        s->kind = ev.key_kind;
        s->skipped = ev.skipped;
        s->missing = ev.missing;
        if (ev.error == TW_OK) {
            assert_int_equal(ev.checked, TW_CHECK_OK);
            s->len = ev.message.payload.len;
            memcpy(s->payload, ev.message.payload.data, s->len < sizeof s->payload ? s->len : sizeof s->payload);
        }
        log->n_sessions += ev.session != NULL;
    }
}

/* Feed n bytes in pieces of `step`, each a heap copy of just that size. */
static void feed(tw_observer *o, struct log *log, enum tw_direction dir, const uint8_t *data, size_t n, size_t step)
{
    for (size_t at = 0; at < n; at += step) {
        size_t len = n - at < step ? n - at : step;
        uint8_t *copy = malloc(len);
        memcpy(copy, data + at, len);
        assert_int_equal(tw_observer_feed(o, dir, copy, len), TW_OK);
        drain(o, log);
        free(copy);
    }
}

static void observe(struct log *log, const struct conversation *c, tw_keyring *ring, size_t from, size_t step)
{
    tw_observer *o;
    memset(log, 0, sizeof *log);
    assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
    for (size_t i = from; i < c->n; i++)
        feed(o, log, c->dir[i], c->frames[i].data, c->frames[i].len, step);
    tw_observer_free(o);
}

static void check_plain(const struct log *log, const struct conversation *c, size_t from)
{
    assert_int_equal(log->n, c->n - from);
    for (size_t i = 0; i < log->n; i++) {
        assert_int_equal(log->said[i].error, TW_OK);
        assert_int_equal(log->said[i].command, c->command[from + i]);
        assert_int_equal(log->said[i].len, c->plain[from + i].len);
        assert_memory_equal(log->said[i].payload, c->plain[from + i].data, c->plain[from + i].len);
    }
}

static void each_case(void (*check)(const struct conversation *))
{
    const cJSON *kase;
    size_t n = 0;
    cJSON_ArrayForEach(kase, cJSON_GetObjectItem(file, "cases"))
    {
        struct conversation c;
        conversation_of(&c, kase);
        check(&c);
        conversation_free(&c);
        n++;
    }
    assert_true(n >= 4);
}

/* ---- What holds for every golden handshake ----------------------------------------------------------------------- */

static void opens(const struct conversation *c)
{
    tw_keyring *ring = ring_with(c->local_key.data);
    struct log log;
    observe(&log, c, ring, 0, SIZE_MAX / 2);
    check_plain(&log, c, 0);
    assert_int_equal(log.n_sessions, 1);
    tw_keyring_free(ring);
}

static void a_handshake_and_what_follows_open_with_the_local_key(void **state)
{
    (void)state;
    each_case(opens);
}

static void opens_in_any_steps(const struct conversation *c)
{
    tw_keyring *ring = ring_with(c->local_key.data);
    struct log whole, cut;
    observe(&whole, c, ring, 0, SIZE_MAX / 2);
    for (size_t step = 1; step < 130; step += step < 20 ? 1 : 7) {
        observe(&cut, c, ring, 0, step);
        assert_int_equal(cut.n, whole.n);
        assert_memory_equal(cut.said, whole.said, sizeof whole.said);
    }
    tw_keyring_free(ring);
}

static void how_tcp_cuts_the_stream_changes_nothing(void **state)
{
    (void)state;
    each_case(opens_in_any_steps);
}

static void opens_glued(const struct conversation *c)
{
    tw_keyring *ring = ring_with(c->local_key.data);
    tw_observer *o;
    struct log log = {.n = 0};
    uint8_t *all = malloc(1 << 16);
    size_t n = 0;
    assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
    for (size_t i = 0; i < c->n; i++) { /* glue neighbours of one direction */
        memcpy(all + n, c->frames[i].data, c->frames[i].len);
        n += c->frames[i].len;
        if (i + 1 < c->n && c->dir[i + 1] == c->dir[i])
            continue;
        feed(o, &log, c->dir[i], all, n, n);
        n = 0;
    }
    check_plain(&log, c, 0);
    free(all);
    tw_observer_free(o);
    tw_keyring_free(ring);
}

static void several_frames_in_one_segment_open(void **state)
{
    (void)state;
    each_case(opens_glued);
}

static void finds_key(const struct conversation *c)
{
    tw_keyring *ring = ring_with(NULL);
    struct log log;
    uint8_t key[TW_KEY_LEN] = "wrong-key-000000";
    for (int i = 0; i < 300; i++) {
        key[15] = (uint8_t)i;
        key[14] = (uint8_t)(i >> 8);
        const uint8_t *k = i == 200 ? c->local_key.data : key;
        assert_int_equal(tw_keyring_add(ring, k, (struct tw_span){key, 1}, NULL), TW_OK);
    }
    observe(&log, c, ring, 0, SIZE_MAX / 2);
    check_plain(&log, c, 0);
    tw_keyring_free(ring);
}

static void the_key_is_found_among_many(void **state)
{
    (void)state;
    each_case(finds_key);
}

static void wrong_key(const struct conversation *c)
{
    tw_keyring *ring = ring_with((const uint8_t *)"not-this-key-000");
    struct log log;
    observe(&log, c, ring, 0, SIZE_MAX / 2);
    assert_int_equal(log.n, c->n);
    for (size_t i = 0; i < log.n; i++) {
        assert_int_equal(log.said[i].error, TW_E_NO_KEY);
        assert_true(log.said[i].why == TW_WHY_NO_KEY_FITS || log.said[i].why == TW_WHY_NO_SESSION_FITS);
        assert_int_equal(log.said[i].command, c->command[i]);
    }
    tw_keyring_free(ring);
}

static void a_wrong_key_is_said_to_be_one(void **state)
{
    (void)state;
    each_case(wrong_key);
}

static void without_handshake(const struct conversation *c)
{
    tw_keyring *ring = ring_with(c->local_key.data);
    struct log log;
    observe(&log, c, ring, 3, SIZE_MAX / 2);
    for (size_t i = 0; i < log.n; i++)
        if (log.said[i].error != TW_OK) { /* some vectors are under the local key on purpose */
            assert_int_equal(log.said[i].error, TW_E_NO_SESSION);
            assert_int_equal(log.said[i].why, TW_WHY_NO_HANDSHAKE);
        }
    tw_keyring_free(ring);
}

static void without_its_handshake_a_session_stays_closed(void **state)
{
    (void)state;
    each_case(without_handshake);
}

static void logged_session(const struct conversation *c)
{
    tw_keyring *ring = ring_with(NULL);
    struct tw_session_secret secret = {.version = c->version};
    struct log log;
    memcpy(secret.key, c->session_key.data, TW_KEY_LEN);
    assert_int_equal(tw_keyring_add_session(ring, &secret), TW_OK);
    observe(&log, c, ring, 3, SIZE_MAX / 2);
    check_plain(&log, c, 3);
    tw_keyring_free(ring);
}

static void a_logged_session_key_opens_it(void **state)
{
    (void)state;
    each_case(logged_session);
}

static void unknown_roles(const struct conversation *c)
{
    tw_keyring *ring = ring_with(c->local_key.data);
    tw_observer *o;
    for (int swapped = 0; swapped < 2; swapped++) {
        struct log log = {.n = 0};
        assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_UNKNOWN), TW_OK);
        for (size_t i = 0; i < c->n; i++) {
            enum tw_direction label = swapped ? (enum tw_direction) !c->dir[i] : c->dir[i];
            feed(o, &log, label, c->frames[i].data, c->frames[i].len, SIZE_MAX / 2);
        }
        check_plain(&log, c, 0);
        for (size_t i = 0; i < log.n; i++)
            assert_int_equal(log.said[i].dir, c->dir[i]);
        tw_observer_free(o);
    }
    tw_keyring_free(ring);
}

static void frames_tell_who_is_the_device(void **state)
{
    (void)state;
    each_case(unknown_roles);
}

static void start_late(const struct conversation *c)
{
    tw_keyring *ring = ring_with(c->local_key.data);
    tw_observer *o;
    struct log log = {.n = 0};
    assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
    feed(o, &log, c->dir[1], c->frames[1].data, c->frames[1].len, SIZE_MAX / 2);
    feed(o, &log, c->dir[0], c->frames[0].data, c->frames[0].len, SIZE_MAX / 2);
    for (size_t i = 2; i < c->n; i++)
        feed(o, &log, c->dir[i], c->frames[i].data, c->frames[i].len, SIZE_MAX / 2);
    assert_int_equal(log.n, c->n);
    for (size_t i = 0; i < log.n; i++)
        assert_int_equal(log.said[i].error, TW_OK);
    tw_observer_free(o);
    tw_keyring_free(ring);
}

static void a_start_behind_its_resp_still_opens_the_session(void **state)
{
    (void)state;
    each_case(start_late);
}

/* ---- Damage -------------------------------------------------------------------------------------------------------- */

/* A query and its reply, 3.3, key 0123456789abcdef (v33-dp-query-min, v33-dp-query-reply). */
static void load_33(struct bytes *query, struct bytes *reply)
{
    cJSON *v33 = vectors_load("3.3.json");
    const cJSON *v;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(v33, "vectors"))
    {
        if (strcmp(vector_text(v, "id"), "v33-dp-query-min") == 0)
            *query = vector_hex(v, "frame_hex");
        if (strcmp(vector_text(v, "id"), "v33-dp-query-reply") == 0)
            *reply = vector_hex(v, "frame_hex");
    }
    cJSON_Delete(v33);
    assert_true(query->present && reply->present);
}

static void a_gap_costs_the_cut_frame_and_is_said(void **state)
{
    (void)state;
    struct bytes query, reply;
    load_33(&query, &reply);
    tw_keyring *ring = ring_with((const uint8_t *)"0123456789abcdef");
    for (size_t cut = 0; cut < query.len; cut++) {
        tw_observer *o;
        struct log log = {.n = 0};
        assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
        feed(o, &log, TW_TO_DEVICE, query.data, cut, SIZE_MAX / 2);
        assert_int_equal(tw_observer_gap(o, TW_TO_DEVICE, 7), TW_OK);
        drain(o, &log);
        feed(o, &log, TW_TO_DEVICE, query.data + 20, query.len - 20, SIZE_MAX / 2); /* the rest of another one */
        feed(o, &log, TW_TO_DEVICE, query.data, query.len, 9);
        assert_int_equal(log.n, 3);
        assert_int_equal(log.said[0].why, TW_WHY_LOST);
        assert_int_equal(log.said[0].missing, 7);
        assert_int_equal(log.said[0].skipped, cut);
        assert_int_equal(log.said[1].why, TW_WHY_SKIPPED);
        assert_int_equal(log.said[1].skipped, query.len - 20);
        assert_int_equal(log.said[2].error, TW_OK);
        tw_observer_free(o);
    }
    tw_keyring_free(ring);
    free(query.data);
    free(reply.data);
}

static void an_end_inside_a_frame_is_said(void **state)
{
    (void)state;
    struct bytes query, reply;
    load_33(&query, &reply);
    tw_keyring *ring = ring_with((const uint8_t *)"0123456789abcdef");
    for (size_t cut = 1; cut < reply.len; cut++) {
        tw_observer *o;
        struct log log = {.n = 0};
        assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
        feed(o, &log, TW_FROM_DEVICE, reply.data, cut, 11);
        assert_int_equal(log.n, 0);
        assert_int_equal(tw_observer_end(o, TW_FROM_DEVICE), TW_OK);
        drain(o, &log);
        assert_int_equal(log.n, 1);
        assert_int_equal(log.said[0].error, TW_NEED_MORE);
        assert_int_equal(log.said[0].skipped, cut);
        feed(o, &log, TW_FROM_DEVICE, reply.data, reply.len, SIZE_MAX / 2); /* a new connection */
        assert_int_equal(log.said[1].error, TW_OK);
        tw_observer_free(o);
    }
    tw_keyring_free(ring);
    free(query.data);
    free(reply.data);
}

static void what_follows_a_tls_connection_is_read(void **state)
{
    (void)state;
    static const uint8_t tls[] = {0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00};
    struct bytes query, reply;
    load_33(&query, &reply);
    tw_keyring *ring = ring_with((const uint8_t *)"0123456789abcdef");
    tw_observer *o;
    struct log log = {.n = 0};
    assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
    feed(o, &log, TW_TO_DEVICE, tls, sizeof tls, sizeof tls);
    feed(o, &log, TW_TO_DEVICE, query.data, query.len, SIZE_MAX / 2); /* of the same connection: not looked at */
    assert_int_equal(log.n, 1);
    assert_int_equal(log.said[0].why, TW_WHY_TLS);
    assert_int_equal(tw_observer_end(o, TW_TO_DEVICE), TW_OK);
    drain(o, &log);
    feed(o, &log, TW_TO_DEVICE, query.data, query.len, SIZE_MAX / 2); /* a new one */
    assert_int_equal(log.n, 2);
    assert_int_equal(log.said[1].error, TW_OK);
    tw_observer_free(o);
    tw_keyring_free(ring);
    free(query.data);
    free(reply.data);
}

static void tls_is_recognised_however_it_is_cut(void **state)
{
    (void)state;
    static const uint8_t tls[] = {0x16, 0x03, 0x01, 0x00,
                                  0x05, 0x01, 0x00}; /* RFC 8446 section 5.1: handshake, 3.1 */
    tw_keyring *ring = ring_with((const uint8_t *)"0123456789abcdef");
    for (size_t step = 1; step <= sizeof tls; step++) {
        tw_observer *o;
        struct log log = {.n = 0};
        assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
        feed(o, &log, TW_TO_DEVICE, tls, sizeof tls, step);
        assert_int_equal(log.n, 1);
        assert_int_equal(log.said[0].why, TW_WHY_TLS);
        tw_observer_free(o);
    }
    tw_keyring_free(ring);
}

static void the_first_byte_of_tls_alone_is_no_frame(void **state)
{
    (void)state;
    struct bytes query, reply;
    load_33(&query, &reply);
    tw_keyring *ring = ring_with((const uint8_t *)"0123456789abcdef");
    for (int ends = 0; ends <= 1; ends++) { /* either the stream ends, or a frame follows */
        tw_observer *o;
        struct log log = {.n = 0};
        assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
        feed(o, &log, TW_TO_DEVICE, (const uint8_t *)"\x16", 1, 1);
        assert_int_equal(log.n, 0);
        if (ends) {
            assert_int_equal(tw_observer_end(o, TW_TO_DEVICE), TW_OK);
            drain(o, &log);
        } else {
            feed(o, &log, TW_TO_DEVICE, query.data, query.len, SIZE_MAX / 2);
        }
        assert_int_equal(log.n, ends ? 1 : 2);
        assert_int_equal(log.said[0].why, TW_WHY_SKIPPED);
        tw_observer_free(o);
    }
    tw_keyring_free(ring);
    free(query.data);
    free(reply.data);
}

static void any_flipped_bit_costs_one_frame_at_most(void **state)
{
    (void)state;
    struct bytes query, reply;
    load_33(&query, &reply);
    tw_keyring *ring = ring_with((const uint8_t *)"0123456789abcdef");
    size_t n = 2 * query.len;
    uint8_t *two = malloc(n);
    for (size_t bit = 0; bit < query.len * 8; bit++) {
        tw_observer *o;
        struct log log = {.n = 0};
        memcpy(two, query.data, query.len);
        memcpy(two + query.len, query.data, query.len);
        two[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
        feed(o, &log, TW_TO_DEVICE, two, n, n);
        assert_int_equal(tw_observer_end(o, TW_TO_DEVICE), TW_OK);
        drain(o, &log);
        size_t n_good = 0;
        for (size_t i = 0; i < log.n; i++)
            n_good += log.said[i].error == TW_OK;
        assert_int_equal(n_good, 1);
        assert_true(log.n >= 2);
        tw_observer_free(o);
    }
    free(two);
    tw_keyring_free(ring);
    free(query.data);
    free(reply.data);
}

static void feeding_before_draining_is_refused(void **state)
{
    (void)state;
    struct bytes query, reply;
    load_33(&query, &reply);
    tw_keyring *ring = ring_with(NULL);
    tw_observer *o;
    struct log log = {.n = 0};
    assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
    assert_int_equal(tw_observer_feed(o, TW_TO_DEVICE, query.data, query.len), TW_OK);
    assert_int_equal(tw_observer_feed(o, TW_FROM_DEVICE, reply.data, reply.len), TW_E_STATE);
    assert_int_equal(tw_observer_gap(o, TW_FROM_DEVICE, 1), TW_E_STATE);
    assert_int_equal(tw_observer_end(o, TW_FROM_DEVICE), TW_E_STATE);
    drain(o, &log);
    assert_int_equal(log.said[0].error, TW_E_NO_KEY);
    assert_int_equal(log.said[0].why, TW_WHY_NO_KEYS);
    assert_int_equal(tw_observer_feed(o, TW_FROM_DEVICE, reply.data, reply.len), TW_OK);
    drain(o, &log);
    tw_observer_free(o);
    tw_keyring_free(ring);
    free(query.data);
    free(reply.data);
}

static void memory_of_a_connection_is_bounded(void **state)
{
    (void)state;
    tw_keyring *ring = ring_with(NULL);
    tw_observer *o;
    struct log log = {.n = 0};
    static const uint8_t header[16] = {0, 0, 0x55, 0xaa, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0xff, 0xff};
    uint8_t junk[1000];
    memset(junk, 0x5a, sizeof junk);
    assert_int_equal(tw_observer_new(&o, ring, TW_ROLES_KNOWN), TW_OK);
    for (int i = 0; i < 40; i++) {
        feed(o, &log, TW_TO_DEVICE, header, sizeof header, sizeof header);
        for (int k = 0; k < 70; k++)
            feed(o, &log, TW_TO_DEVICE, junk, sizeof junk, sizeof junk);
        assert_true(tw_observer_memory(o) < 256 << 10);
        log.n = 0;
    }
    tw_observer_free(o);
    tw_keyring_free(ring);
}

static void entries_stay_where_they_are_when_keys_are_added(void **state)
{
    (void)state;
    tw_keyring *ring = ring_with(NULL);
    uint8_t key[TW_KEY_LEN] = {1};
    const struct tw_span id = {(const uint8_t *)"first", 5};
    assert_int_equal(tw_keyring_add(ring, key, id, NULL), TW_OK);
    struct tw_keyring_entry first = tw_keyring_get(ring, 0);
    for (int n = 0; n < 1000; n++) {
        key[1] = (uint8_t)n;
        assert_int_equal(tw_keyring_add(ring, key, (struct tw_span){0}, NULL), TW_OK);
    }
    assert_ptr_equal(tw_keyring_get(ring, 0).key, first.key);
    assert_memory_equal(first.id.data, "first", 5);
    assert_int_equal(first.key[0], 1);
    assert_int_equal(first.key[1], 0);
    tw_keyring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_and_what_follows_open_with_the_local_key),
        cmocka_unit_test(how_tcp_cuts_the_stream_changes_nothing),
        cmocka_unit_test(several_frames_in_one_segment_open),
        cmocka_unit_test(the_key_is_found_among_many),
        cmocka_unit_test(a_wrong_key_is_said_to_be_one),
        cmocka_unit_test(without_its_handshake_a_session_stays_closed),
        cmocka_unit_test(a_logged_session_key_opens_it),
        cmocka_unit_test(frames_tell_who_is_the_device),
        cmocka_unit_test(a_start_behind_its_resp_still_opens_the_session),
        cmocka_unit_test(a_gap_costs_the_cut_frame_and_is_said),
        cmocka_unit_test(an_end_inside_a_frame_is_said),
        cmocka_unit_test(what_follows_a_tls_connection_is_read),
        cmocka_unit_test(tls_is_recognised_however_it_is_cut),
        cmocka_unit_test(the_first_byte_of_tls_alone_is_no_frame),
        cmocka_unit_test(any_flipped_bit_costs_one_frame_at_most),
        cmocka_unit_test(feeding_before_draining_is_refused),
        cmocka_unit_test(memory_of_a_connection_is_bounded),
        cmocka_unit_test(entries_stay_where_they_are_when_keys_are_added),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
