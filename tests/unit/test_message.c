/* Frames and messages: the rules that golden vectors do not show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/frame.h"
#include "tuyawire/message.h"

static const uint8_t key[TW_KEY_LEN] = "0123456789abcdef", other_key[TW_KEY_LEN] = "#fake-LOCAL-key!";
static const uint8_t nonce[TW_NONCE_LEN] = "once only...";
static tw_crypto *crypto;

static int set_up(void **state)
{
    (void)state;
    return tw_crypto_new(&crypto, 2);
}

static int tear_down(void **state)
{
    (void)state;
    tw_crypto_free(crypto);
    return 0;
}

/* The CRC-32 of zlib, bit by bit: slow, and nobody's table. */
static uint32_t crc32(const uint8_t *p, size_t len)
{
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
    }
    return ~crc;
}

static void put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static size_t seal(uint8_t *out, size_t cap, enum tw_version v, enum tw_direction dir, uint32_t command,
                   const char *payload)
{
    struct tw_message m;
    size_t len = 0;
    tw_message_init(&m, v, dir, 7, command);
    m.payload = (struct tw_span){(const uint8_t *)payload, strlen(payload)};
    assert_int_equal(tw_message_seal(out, cap, &len, crypto, &m, key, nonce), TW_OK);
    return len;
}

static int open_frame(struct tw_message *m, const uint8_t *frame, size_t len, enum tw_version v,
                      enum tw_direction dir, const uint8_t *with, uint8_t *plain, size_t cap, unsigned flags)
{
    struct tw_frame f;
    size_t consumed;
    const struct tw_frame_rules rules = {.integrity = tw_version_traits(v)->integrity, .direction = dir};
    int rc = tw_frame_parse(&f, &consumed, frame, len, &rules);
    return rc != TW_OK ? rc : tw_message_open(m, crypto, &f, v, dir, with, plain, cap, flags);
}

/* ------ frames ------ */

static void every_crc_is_that_of_zlib(void **state)
{
    (void)state;
    uint8_t frame[1024], payload[600];
    for (size_t n = 0; n < sizeof payload; n++)
        payload[n] = (uint8_t)(n * 131 + 7);
    for (size_t n = 0; n < sizeof payload; n++) { /* every length, for whoever works in large steps */
        struct tw_message m;
        size_t len;
        tw_message_init(&m, TW_V31, TW_TO_DEVICE, (uint32_t)n, TW_CMD_DP_QUERY);
        m.payload = (struct tw_span){payload, n};
        assert_int_equal(tw_message_seal(frame, sizeof frame, &len, crypto, &m, NULL, NULL), TW_OK);
        assert_int_equal(len, 24 + n);
        uint8_t expected[4];
        put_be32(expected, crc32(frame, len - 8));
        assert_memory_equal(frame + len - 8, expected, 4);
    }
}

static void the_length_limit_is_the_callers(void **state)
{
    (void)state;
    uint8_t header[16] = {0, 0, 0x55, 0xAA};
    struct tw_frame f;
    size_t consumed;
    struct tw_frame_rules rules = {0};
    put_be32(header + 12, 8193);
    assert_int_equal(tw_frame_parse(&f, &consumed, header, sizeof header, NULL), TW_E_TOO_LARGE);
    put_be32(header + 12, 8192);
    assert_int_equal(tw_frame_parse(&f, &consumed, header, sizeof header, NULL), TW_NEED_MORE);
    rules.max_length = 100;
    assert_int_equal(tw_frame_parse(&f, &consumed, header, sizeof header, &rules), TW_E_TOO_LARGE);
    rules.max_length = TW_FRAME_LENGTH_MAX;
    put_be32(header + 12, 65535);
    assert_int_equal(tw_frame_parse(&f, &consumed, header, sizeof header, &rules), TW_NEED_MORE);
    put_be32(header + 12, 65536);
    assert_int_equal(tw_frame_parse(&f, &consumed, header, sizeof header, &rules), TW_E_TOO_LARGE);
    rules.max_length = SIZE_MAX;
    assert_int_equal(tw_frame_parse(&f, &consumed, header, sizeof header, &rules), TW_E_TOO_LARGE);
    put_be32(header + 12, 0xFFFFFFFF);
    assert_int_equal(tw_frame_parse(&f, &consumed, header, sizeof header, &rules), TW_E_TOO_LARGE);
}

static void what_is_written_is_what_is_parsed(void **state)
{
    (void)state;
    for (int integrity = TW_INTEGRITY_CRC32; integrity <= TW_INTEGRITY_GCM; integrity++) {
        uint8_t out[256];
        struct tw_frame written, parsed;
        size_t consumed, size = tw_frame_size((enum tw_integrity)integrity, 33);
        const struct tw_frame_rules rules = {.integrity = (enum tw_integrity)integrity};
        memset(out, 0x5A, sizeof out);
        assert_int_equal(tw_frame_write(&written, out, size - 1, (enum tw_integrity)integrity, 1, 2, 33),
                         TW_E_CAPACITY);
        assert_int_equal(out[0], 0x5A); /* nothing was written */
        assert_int_equal(tw_frame_write(&written, out, size, (enum tw_integrity)integrity, 1, 2, 33), TW_OK);
        assert_int_equal(out[size], 0x5A);
        assert_int_equal(tw_frame_parse(&parsed, &consumed, out, size, &rules), TW_OK);
        assert_int_equal(consumed, size);
        assert_int_equal(parsed.seq, 1);
        assert_int_equal(parsed.command, 2);
        assert_ptr_equal(parsed.body.data, written.body.data);
        assert_int_equal(parsed.body.len, 33);
        assert_ptr_equal(parsed.check.data, written.check.data);
        assert_int_equal(parsed.check.len, written.check.len);
        assert_int_equal(parsed.nonce.len, written.nonce.len);
    }
    struct tw_frame f;
    uint8_t out[64];
    assert_int_equal(tw_frame_write(&f, out, sizeof out, TW_INTEGRITY_CRC32, 1, 2, SIZE_MAX), TW_E_TOO_LARGE);
    assert_int_equal(tw_frame_write(&f, out, sizeof out, TW_INTEGRITY_CRC32, 1, 2, 65528), TW_E_TOO_LARGE);
    assert_int_equal(tw_frame_write(&f, out, sizeof out, TW_INTEGRITY_CRC32, 1, 2, 65527), TW_E_CAPACITY);
}

static void a_frame_can_be_looked_at_as_one_with_an_hmac(void **state)
{
    (void)state;
    uint8_t frame[256];
    struct tw_frame f;
    size_t consumed, len = seal(frame, sizeof frame, TW_V34, TW_TO_DEVICE, TW_CMD_DP_QUERY_NEW, "{}");
    assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, NULL), TW_OK); /* taken for a CRC frame */
    assert_false(tw_frame_crc_matches(&f));
    assert_int_equal(tw_frame_reframe(&f, TW_INTEGRITY_HMAC), TW_OK);
    assert_int_equal(f.body.len, 16);
    assert_int_equal(f.check.len, TW_HMAC_LEN);
    uint8_t plain[64];
    struct tw_message m;
    assert_int_equal(tw_message_open(&m, crypto, &f, TW_V34, TW_TO_DEVICE, key, plain, sizeof plain, 0), TW_OK);

    len = seal(frame, sizeof frame, TW_V33, TW_TO_DEVICE, TW_CMD_HEART_BEAT, "");
    assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, NULL), TW_OK);
    assert_true(tw_frame_crc_matches(&f));
    assert_int_equal(tw_frame_reframe(&f, TW_INTEGRITY_HMAC), TW_E_LENGTH);
    assert_int_equal(f.check.len, 4);
    len = seal(frame, sizeof frame, TW_V35, TW_TO_DEVICE, TW_CMD_HEART_BEAT, "");
    assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, NULL), TW_OK);
    assert_int_equal(tw_frame_reframe(&f, TW_INTEGRITY_CRC32), TW_E_LENGTH);
}

/* ------ messages ------ */

static void a_return_code_of_a_little_endian_device_is_read_as_meant(void **state)
{
    (void)state;
    assert_int_equal(tw_retcode(0), 0);
    assert_int_equal(tw_retcode(1), 1);
    assert_int_equal(tw_retcode(0x01000000), 1);
    assert_int_equal(tw_retcode(0x01000001), 0x01000001);
    assert_int_equal(tw_retcode(2), 2);
}

static void what_cannot_be_sealed_is_said(void **state)
{
    (void)state;
    uint8_t out[512];
    size_t len = 99;
    struct tw_message m;
    tw_message_init(&m, TW_V35, TW_TO_DEVICE, 1, TW_CMD_HEART_BEAT);
    assert_int_equal(tw_message_seal(out, sizeof out, &len, crypto, &m, NULL, nonce), TW_E_NO_KEY);
    assert_int_equal(tw_message_seal(out, sizeof out, &len, crypto, &m, key, NULL), TW_E_ARGUMENT);
    for (int v = TW_V31; v <= TW_V34; v++) {
        tw_message_init(&m, (enum tw_version)v, TW_TO_DEVICE, 1, TW_CMD_CONTROL);
        assert_int_equal(tw_message_seal(out, sizeof out, &len, crypto, &m, NULL, NULL), TW_E_NO_KEY);
        m.payload = (struct tw_span){out, 65536};
        assert_int_equal(tw_message_seal(out, sizeof out, &len, crypto, &m, key, NULL), TW_E_TOO_LARGE);
        m.payload = (struct tw_span){out, SIZE_MAX};
        assert_int_equal(tw_message_seal(out, sizeof out, &len, crypto, &m, key, NULL), TW_E_TOO_LARGE);
    }
    m.version = (enum tw_version)9;
    assert_int_equal(tw_message_seal(out, sizeof out, &len, crypto, &m, key, NULL), TW_E_ARGUMENT);
    assert_int_equal(len, 99);
}

static void what_cannot_be_opened_leaves_no_plaintext(void **state)
{
    (void)state;
    static const char text[] = "{\"dps\":{\"1\":true,\"101\":\"a secret, at least to the neighbours\"}}";
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        uint8_t frame[512], plain[512] = {0}, nothing[512] = {0};
        struct tw_message m;
        size_t len = seal(frame, sizeof frame, (enum tw_version)v, TW_TO_DEVICE, TW_CMD_CONTROL, text);
        int rc = open_frame(&m, frame, len, (enum tw_version)v, TW_TO_DEVICE, other_key, plain, sizeof plain, 0);
        assert_true(rc == TW_E_INTEGRITY || rc == TW_E_PADDING);
        assert_memory_equal(plain, nothing, sizeof plain);
        assert_int_equal(open_frame(&m, frame, len, (enum tw_version)v, TW_TO_DEVICE, NULL, plain, sizeof plain, 0),
                         TW_E_NO_KEY);
        for (size_t cap = 0; cap < strlen(text); cap++) {
            uint8_t *exact = malloc(cap > 0 ? cap : 1);
            assert_non_null(exact);
            assert_int_equal(open_frame(&m, frame, len, (enum tw_version)v, TW_TO_DEVICE, key, exact, cap, 0),
                             TW_E_CAPACITY);
            free(exact);
        }
        assert_int_equal(open_frame(&m, frame, len, (enum tw_version)v, TW_TO_DEVICE, key, plain, sizeof plain, 0),
                         TW_OK);
        assert_int_equal(m.payload.len, strlen(text));
        assert_memory_equal(m.payload.data, text, m.payload.len);
        assert_true(m.encrypted);
    }
}

/* Up to the last byte that a length field may count; buffers have exactly the size that is promised to suffice. */
static void the_largest_payload_that_fits_is_sealed(void **state)
{
    (void)state;
    static uint8_t text[TW_FRAME_LENGTH_MAX + 1], plain[TW_FRAME_LENGTH_MAX];
    memset(text, 'x', sizeof text);
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        size_t largest = 0;
        bool refused = false;
        for (size_t n = 48000; n <= sizeof text; n += n >= 65400 || (n > 49000 && n < 49200) ? 1 : 100) {
            struct tw_message m;
            size_t len = 0, cap = tw_message_size_max(n);
            uint8_t *out = malloc(cap);
            assert_non_null(out);
            tw_message_init(&m, (enum tw_version)v, TW_FROM_DEVICE, 7, TW_CMD_STATUS);
            m.payload = (struct tw_span){text, n};
            int rc = tw_message_seal(out, cap, &len, crypto, &m, key, nonce);
            assert_true(rc == TW_OK || rc == TW_E_TOO_LARGE);
            assert_true(rc != TW_OK || !refused);
            refused = rc != TW_OK;
            if (rc == TW_OK) {
                struct tw_frame f;
                size_t consumed;
                const struct tw_frame_rules rules = {tw_version_traits((enum tw_version)v)->integrity, TW_FROM_DEVICE,
                                                     true, TW_FRAME_LENGTH_MAX};
                assert_true(len <= cap);
                assert_int_equal(tw_message_size(&m), len);
                assert_int_equal(tw_frame_parse(&f, &consumed, out, len, &rules), TW_OK);
                assert_int_equal(consumed, len);
                assert_int_equal(tw_message_open(&m, crypto, &f, (enum tw_version)v, TW_FROM_DEVICE, key, plain,
                                                 sizeof plain, TW_OPEN_STRICT),
                                 TW_OK);
                assert_int_equal(m.payload.len, n);
                largest = n;
            }
            free(out);
        }
        assert_true(refused);
        /* 65535 less: return code, header or signature, padding or nonce, check value, suffix where it counts */
        static const size_t expected[TW_N_VERSIONS] = {49119, 65503, 65503, 65472, 65488};
        assert_int_equal(largest, expected[v]);
    }
}

static void a_version_that_does_not_exist_opens_nothing(void **state)
{
    (void)state;
    static const struct tw_message empty;
    uint8_t frame[256], plain[256];
    struct tw_message m;
    struct tw_frame f;
    size_t consumed, len = seal(frame, sizeof frame, TW_V33, TW_TO_DEVICE, TW_CMD_CONTROL, "{}");
    assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, NULL), TW_OK);
    memset(&m, 0x5A, sizeof m);
    assert_int_equal(tw_message_open(&m, crypto, &f, (enum tw_version)9, TW_TO_DEVICE, key, plain, sizeof plain, 0),
                     TW_E_ARGUMENT);
    assert_int_equal(m.seq, empty.seq);
    assert_int_equal(m.command, 0);
    assert_null(m.payload.data);
    assert_int_equal(m.payload.len, 0);
}

/* 3.1 and 3.2 answer in clear. The size of such a reply is anything, also a multiple of 16. */
static void a_return_code_that_nobody_knows_is_one_all_the_same(void **state)
{
    (void)state;
    for (int n = 0; n < 32; n++) {
        char text[64];
        uint8_t frame[256], plain[256];
        struct tw_message m;
        size_t len = 0;
        memset(text, 'x', sizeof text);
        memcpy(text, "{\"a\":\"", 6);
        memcpy(text + 6 + n, "\"}", 2);
        for (int v = TW_V31; v <= TW_V32; v++) {
            tw_message_init(&m, (enum tw_version)v, TW_FROM_DEVICE, 1, TW_CMD_DP_QUERY);
            m.retcode = 2;
            m.payload = (struct tw_span){(const uint8_t *)text, (size_t)n + 8};
            assert_int_equal(tw_message_seal(frame, sizeof frame, &len, crypto, &m, key, NULL), TW_OK);
            assert_int_equal(
                open_frame(&m, frame, len, (enum tw_version)v, TW_FROM_DEVICE, key, plain, sizeof plain, 0), TW_OK);
            assert_true(m.has_retcode);
            assert_int_equal(m.retcode, 2);
            assert_int_equal(m.payload.len, n + 8);
        }
    }
}

static void a_forgotten_key_can_be_used_again(void **state)
{
    (void)state;
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        uint8_t frame[512], plain[512];
        struct tw_message m;
        size_t len = seal(frame, sizeof frame, (enum tw_version)v, TW_FROM_DEVICE, TW_CMD_STATUS, "{}");
        tw_crypto_forget(crypto, key);
        tw_crypto_forget(crypto, key);
        tw_crypto_forget(crypto, other_key);
        assert_int_equal(open_frame(&m, frame, len, (enum tw_version)v, TW_FROM_DEVICE, key, plain, sizeof plain, 0),
                         TW_OK);
    }
}

/* More keys than places: each is right whenever its turn comes. */
static void keys_do_not_get_mixed_up(void **state)
{
    (void)state;
    enum { N_KEYS = 40 };
    static uint8_t frames[N_KEYS][TW_N_VERSIONS][256];
    size_t lens[N_KEYS][TW_N_VERSIONS];
    uint8_t keys[N_KEYS][TW_KEY_LEN], plain[256];
    struct tw_message m;
    for (int k = 0; k < N_KEYS; k++) {
        memset(keys[k], 'a' + k % 20, TW_KEY_LEN);
        keys[k][15] = (uint8_t)k;
        for (int v = 0; v < TW_N_VERSIONS; v++) {
            tw_message_init(&m, (enum tw_version)v, TW_TO_DEVICE, 1, TW_CMD_CONTROL);
            m.payload = (struct tw_span){keys[k], TW_KEY_LEN};
            assert_int_equal(
                tw_message_seal(frames[k][v], sizeof frames[k][v], &lens[k][v], crypto, &m, keys[k], nonce), TW_OK);
        }
    }
    for (int round = 0; round < 3; round++)
        for (int k = 0; k < N_KEYS; k++)
            for (int v = 0; v < TW_N_VERSIONS; v++) {
                const uint8_t *right = keys[k], *wrong = keys[(k + 1 + round) % N_KEYS];
                assert_int_not_equal(open_frame(&m, frames[k][v], lens[k][v], (enum tw_version)v, TW_TO_DEVICE, wrong,
                                                plain, sizeof plain, 0),
                                     TW_OK);
                assert_int_equal(open_frame(&m, frames[k][v], lens[k][v], (enum tw_version)v, TW_TO_DEVICE, right,
                                            plain, sizeof plain, 0),
                                 TW_OK);
                assert_memory_equal(m.payload.data, keys[k], TW_KEY_LEN);
            }
}

/* 3.2 replies in clear, 3.3 now and then; what tells clear text from ciphertext must not need it to be ASCII. */
static void clear_json_is_taken_as_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } clear[] = {
#define TEXT(s) {s, sizeof s - 1}
        TEXT("{\"dps\":{\"101\":\"white\"}}"),
        TEXT("{\"dps\":{\"101\":\"K\303\274che\"}}"),
        TEXT("{\"dps\":{\"101\":\"K\303\274che\"}}\0\0\0"),
        TEXT("{\"dps\":{\"1\":\"\303\274\"}}\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        TEXT("{}"),
#undef TEXT
    };
    for (size_t i = 0; i < sizeof clear / sizeof clear[0]; i++) {
        for (int v = TW_V32; v <= TW_V33; v++) {
            uint8_t frame[128], plain[128];
            size_t len;
            struct tw_message m;
            tw_message_init(&m, TW_V31, TW_FROM_DEVICE, 1, TW_CMD_DP_QUERY); /* the clear form */
            m.payload = (struct tw_span){(const uint8_t *)clear[i].text, clear[i].len};
            assert_int_equal(tw_message_seal(frame, sizeof frame, &len, crypto, &m, NULL, NULL), TW_OK);
            for (int with_key = 0; with_key < 2; with_key++) {
                assert_int_equal(open_frame(&m, frame, len, (enum tw_version)v, TW_FROM_DEVICE, with_key ? key : NULL,
                                            plain, sizeof plain, 0),
                                 TW_OK);
                assert_false(m.encrypted);
                assert_int_equal(m.payload.len, clear[i].len);
                assert_memory_equal(m.payload.data, clear[i].text, clear[i].len);
            }
        }
    }
}

/* ------ 3.1 ------ */

enum { BASE64_AT = 16 + 19 };

static void every_digit_of_base64_counts(void **state)
{
    (void)state;
    static const uint8_t illegal[] = {0, '\n', ' ', '*', '-', '.', '@', '[', '`', '_', '{', 0x7F, 0x80, 0xFF, '='};
    /* Payloads that end in no, one and two '=' of base64: 2, 1 and 3 blocks of 16. */
    static const char *const payloads[] = {"{\"dps\":{\"1\":true}}", "{}",
                                           "{\"dps\":{\"1\":true,\"2\":\"0123456789\"}}"};
    for (size_t p = 0; p < sizeof payloads / sizeof payloads[0]; p++) {
        uint8_t frame[256], plain[256];
        struct tw_message m;
        size_t len = seal(frame, sizeof frame, TW_V31, TW_TO_DEVICE, TW_CMD_CONTROL, payloads[p]), end = len - 8;
        for (size_t at = BASE64_AT; at < end; at++) {
            for (size_t i = 0; i < sizeof illegal; i++) {
                uint8_t was = frame[at];
                if (was == illegal[i])
                    continue;
                frame[at] = illegal[i];
                put_be32(frame + end, crc32(frame, end));
                int rc =
                    open_frame(&m, frame, len, TW_V31, TW_TO_DEVICE, key, plain, sizeof plain, TW_OPEN_NO_SIGNATURE);
                frame[at] = was;
                if (rc != TW_E_PAYLOAD && rc != TW_E_PADDING)
                    fail_msg("%s with byte %02x at %zu of its base64 is %s", payloads[p], illegal[i], at - BASE64_AT,
                             tw_error_name(rc));
            }
        }
        put_be32(frame + end, crc32(frame, end));
        assert_int_equal(open_frame(&m, frame, len, TW_V31, TW_TO_DEVICE, key, plain, sizeof plain, 0), TW_OK);
    }
}

static void base64_ends_in_two_signs_at_most(void **state)
{
    (void)state;
    uint8_t frame[256], plain[256];
    struct tw_message m;
    size_t len = seal(frame, sizeof frame, TW_V31, TW_TO_DEVICE, TW_CMD_CONTROL, "{}"), end = len - 8;
    for (size_t n = 3; n <= 8; n++) {
        memset(frame + end - n, '=', n);
        put_be32(frame + end, crc32(frame, end));
        assert_int_equal(
            open_frame(&m, frame, len, TW_V31, TW_TO_DEVICE, key, plain, sizeof plain, TW_OPEN_NO_SIGNATURE),
            TW_E_PAYLOAD);
    }
}

static void a_wrong_signature_is_refused_unless_asked_otherwise(void **state)
{
    (void)state;
    uint8_t frame[256], plain[256];
    struct tw_message m;
    size_t len = seal(frame, sizeof frame, TW_V31, TW_TO_DEVICE, TW_CMD_CONTROL, "{}");
    frame[16 + 3] = frame[16 + 3] == '0' ? '1' : '0';
    put_be32(frame + len - 8, crc32(frame, len - 8));
    assert_int_equal(open_frame(&m, frame, len, TW_V31, TW_TO_DEVICE, key, plain, sizeof plain, 0), TW_E_INTEGRITY);
    assert_int_equal(open_frame(&m, frame, len, TW_V31, TW_TO_DEVICE, key, plain, sizeof plain, TW_OPEN_NO_SIGNATURE),
                     TW_OK);
    assert_int_equal(m.payload.len, 2);
}

static void damage_of_a_3_4_frame_is_told_from_another_key(void **state)
{
    (void)state;
    /* 48 bytes as in RESP: a block of padding; 15 bytes: one byte of it, which proves nothing. */
    static const char *const payloads[] = {"a nonce of 16 bytes, and a proof of 32 behind it", "{\"dps\":{\"1\":0}}"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t frame[256];
        struct tw_frame f;
        size_t consumed;
        const struct tw_frame_rules rules = {.integrity = TW_INTEGRITY_HMAC, .direction = TW_FROM_DEVICE};
        size_t len = seal(frame, sizeof frame, TW_V34, TW_FROM_DEVICE, TW_CMD_SESS_KEY_NEG_RESP, payloads[i]);
        frame[len - 5] ^= 1;
        assert_int_equal(tw_frame_parse(&f, &consumed, frame, len, &rules), TW_OK);
        assert_int_equal(tw_message_key_fits(crypto, &f, key), i == 0);
        assert_false(tw_message_key_fits(crypto, &f, other_key));
        assert_int_equal(tw_frame_reframe(&f, TW_INTEGRITY_CRC32), TW_OK);
        assert_false(tw_message_key_fits(crypto, &f, key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crc_is_that_of_zlib),
        cmocka_unit_test(the_length_limit_is_the_callers),
        cmocka_unit_test(what_is_written_is_what_is_parsed),
        cmocka_unit_test(a_frame_can_be_looked_at_as_one_with_an_hmac),
        cmocka_unit_test(a_return_code_of_a_little_endian_device_is_read_as_meant),
        cmocka_unit_test(what_cannot_be_sealed_is_said),
        cmocka_unit_test(what_cannot_be_opened_leaves_no_plaintext),
        cmocka_unit_test(the_largest_payload_that_fits_is_sealed),
        cmocka_unit_test(a_version_that_does_not_exist_opens_nothing),
        cmocka_unit_test(a_return_code_that_nobody_knows_is_one_all_the_same),
        cmocka_unit_test(a_forgotten_key_can_be_used_again),
        cmocka_unit_test(keys_do_not_get_mixed_up),
        cmocka_unit_test(clear_json_is_taken_as_it_is),
        cmocka_unit_test(every_digit_of_base64_counts),
        cmocka_unit_test(base64_ends_in_two_signs_at_most),
        cmocka_unit_test(a_wrong_signature_is_refused_unless_asked_otherwise),
        cmocka_unit_test(damage_of_a_3_4_frame_is_told_from_another_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
