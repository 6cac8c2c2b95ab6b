/* open.c - what is sealed opens to the same, and what is damaged does not open at all.
 *
 * Reaches: tw_message_open(), tw_message_seal(), tw_message_init(), tw_message_key_fits(), tw_retcode(), and the bench in crypto_openssl.c.
 * Input: a context byte (version, direction, options), then frames under the fixed keys. Each is held against a second
 * implementation of the cryptography (common/oracle.h). */
#include "common/fuzz.h"
#include <string.h>
#include "common/oracle.h"
#include "common/wire.h"
#include "tuyawire/message.h"

const struct fuzz_harness fuzz_harness = {
    .name = "open",
    .claim = "a sealed message opens to what was sealed, and bad integrity never yields plaintext",
    .form = FUZZ_STREAM,
    .keys = FUZZ_KEYS_CONNECTION,
    .context_len = 1,
};

enum {
    CONTEXT_STRICT = 0x10,
    CONTEXT_NO_SIGNATURE = 0x20,
    CONTEXT_NO_KEY = 0x40,
    CONTEXT_ZERO_CRC = 0x80,
    FRAMES_MAX = 16,
    ROUND_TRIPS = 2,
    ROOM = 16384
};
enum { PATTERN = 0xee };

static tw_crypto *crypto;
static uint8_t plain[ROOM], sealed[ROOM], opened[ROOM];

struct context {
    enum tw_version version;
    enum tw_direction direction;
    unsigned flags;
    bool no_key;
};

static const uint8_t *key_of(const struct context *c, uint32_t command)
{
    if (!tw_version_traits(c->version)->negotiates || tw_command_is_handshake(command))
        return fuzz_local_key;
    return c->version == TW_V35 ? fuzz_session_key_35 : fuzz_session_key_34;
}

/* The check value, by somebody else's arithmetic. */
static bool is_intact(const struct tw_frame *f, const uint8_t *key)
{
    const uint8_t *raw = f->raw.data;
    size_t covered = (size_t)(f->check.data - raw);
    uint8_t proof[32];
    static uint8_t scratch[ROOM];
    switch (f->integrity) {
    case TW_INTEGRITY_CRC32: {
        uint32_t crc = oracle_crc32(raw, covered);
        const uint8_t *c = f->check.data;
        return crc == ((uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3]);
    }
    case TW_INTEGRITY_HMAC: oracle_hmac(proof, key, raw, covered); return memcmp(proof, f->check.data, 32) == 0;
    default:
        return oracle_gcm_open(scratch, f->check.data, key, f->nonce.data, raw + 4, 14, f->body.data, f->body.len);
    }
}

/* Zeros in place of the CRC, where that is allowed. */
static bool is_excused(const struct tw_frame *f, const struct context *c)
{
    return c->flags & TW_OPEN_ZERO_CRC && f->integrity == TW_INTEGRITY_CRC32 &&
           memcmp(f->check.data, "\0\0\0", 4) == 0;
}

/* The payload is the end of what another decoder finds in the frame. */
static void check_against_oracle(const struct tw_message *m, const struct tw_frame *f, const struct context *c)
{
    static struct wire wire;
    struct wire_keys keys;
    wire_keys_init(&keys, FUZZ_KEYS_CONNECTION, (unsigned)c->version);
    wire_clear(&wire);
    wire_read(&wire, &keys, (unsigned)c->version, c->direction == TW_TO_DEVICE, f->raw.data, f->raw.len);
    const struct wire_frame *w = &wire.frames[0];
    CHECK(wire.n == 1 && w->kind != WIRE_JUNK && w->seq == m->seq && w->command == m->command);
    size_t len = m->payload.len;
    if (len == 0)
        return;
    bool in_plain = len <= w->plain_len && memcmp(w->plain + w->plain_len - len, m->payload.data, len) == 0;
    bool in_front = len <= f->body.len && memcmp(f->body.data + f->body.len - len, m->payload.data, len) == 0;
    CHECK(m->encrypted ? in_plain : in_front);
}

/* Does the last block, as the oracle decrypts it, end in padding of four bytes or more? */
static void check_key_fits(const struct tw_frame *f, const uint8_t *key)
{
    uint8_t last[16], n = 0;
    bool fits = f->integrity == TW_INTEGRITY_HMAC && f->body.len >= sizeof last;
    if (fits) {
        memcpy(last, f->body.data + f->body.len - sizeof last, sizeof last);
        oracle_ecb(false, key, last, sizeof last);
        n = last[15];
    }
    fits = fits && n >= 4 && n <= 16;
    for (size_t i = 1; fits && i < n; i++)
        fits = last[15 - i] == n;
    CHECK(tw_message_key_fits(crypto, f, key) == fits);
}

static bool open_one(struct tw_message *m, const struct tw_frame *f, const struct context *c)
{
    const uint8_t *key = key_of(c, f->command);
    memset(m, PATTERN, sizeof *m);
    memset(plain, PATTERN, f->body.len);
    fuzz_hide(plain + f->body.len, 64);
    int rc =
        tw_message_open(m, crypto, f, c->version, c->direction, c->no_key ? NULL : key, plain, f->body.len, c->flags);
    fuzz_show(plain + f->body.len, 64);
    bool intact = is_intact(f, key);
    fuzz_gate(intact);
    check_key_fits(f, key);
    if (rc == TW_OK) {
        CHECK(intact || is_excused(f, c) || (c->no_key && f->integrity != TW_INTEGRITY_CRC32));
        CHECK(m->version == c->version && m->direction == c->direction);
        if (!c->no_key && f->integrity == tw_version_traits(c->version)->integrity)
            check_against_oracle(m, f, c);
        return true;
    }
    CHECK(rc == TW_E_INTEGRITY || rc == TW_E_PAYLOAD || rc == TW_E_PADDING || rc == TW_E_NO_KEY);
    CHECK(rc != TW_E_INTEGRITY || !intact || c->version == TW_V31); /* 3.1: the signature */
    CHECK(m->payload.data == NULL && m->payload.len == 0 && m->command == 0 && !m->encrypted && !m->has_retcode);
    CHECK(!m->has_header && m->header.counter == 0 && m->header.version[0] == 0 && m->header.signature[0] == 0);
    if (c->version == TW_V31 && rc == TW_E_PAYLOAD)
        return false; /* base64 undone, nothing decrypted: ciphertext may lie there */
    for (size_t i = 0; i < f->body.len; i++)
        CHECK(plain[i] == PATTERN || plain[i] == 0);
    return false;
}

/* Seal what was read, as a message of our own, and read it again. */
static void check_round_trip(const struct tw_frame *f, struct tw_span payload, const struct context *c, uint64_t hash)
{
    struct tw_message m, back;
    struct tw_frame g;
    size_t len = 0, consumed;
    static uint8_t text[ROOM];
    const uint8_t *key = key_of(c, f->command);
    if (payload.len > 4000)
        return;
    if (payload.len > 0) {
        /* Text, as on the wire: 3.2 takes binary in clear for ciphertext, and what begins with "3.3" for a header. */
        for (size_t i = 0; i < payload.len; i++)
            text[i] = payload.data[i] < 0x20 || payload.data[i] > 0x7e ? '.' : payload.data[i];
        text[0] = '{';
    }
    tw_message_init(&m, c->version, c->direction, f->seq, f->command);
    m.payload = (struct tw_span){text, payload.len};
    if (m.has_retcode)
        m.retcode = (uint32_t)(hash >> 32) & 1;
    if (m.has_header && c->version != TW_V31) {
        m.header.counter = (uint32_t)hash;
        m.header.source = (uint32_t)(hash >> 40);
    }
    size_t cap = tw_message_size_max(m.payload.len);
    CHECK(cap <= ROOM);
    CHECK(tw_message_seal(sealed, cap, &len, crypto, &m, key, (const uint8_t *)"fuzzed nonce") == TW_OK &&
          len <= cap);
    struct tw_frame_rules rules = {.integrity = tw_version_traits(c->version)->integrity, .direction = c->direction};
    CHECK(tw_frame_parse(&g, &consumed, sealed, len, &rules) == TW_OK && consumed == len);
    CHECK(is_intact(&g, key));
    CHECK(tw_message_open(&back, crypto, &g, c->version, c->direction, key, opened, ROOM, c->flags) == TW_OK);
    /* One ciphertext in millions looks like clear JSON, which 3.2 and 3.3 accept. */
    if (m.payload.len > 0 && g.integrity == TW_INTEGRITY_CRC32 && c->version != TW_V31 && !back.encrypted)
        return;
    CHECK(back.seq == m.seq && back.command == m.command && back.has_retcode == m.has_retcode);
    CHECK(!m.has_retcode || back.retcode == m.retcode);
    CHECK(m.payload.len == 0 || back.has_header == m.has_header);
    CHECK(back.payload.len == m.payload.len);
    CHECK(m.payload.len == 0 || memcmp(back.payload.data, m.payload.data, m.payload.len) == 0);
    if (back.has_header && m.has_header && c->version != TW_V31)
        CHECK(back.header.counter == m.header.counter && back.header.source == m.header.source);

    size_t bit = (size_t)(hash >> 8) % (len * 8);
    sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    if (tw_frame_parse(&g, &consumed, sealed, len, &rules) == TW_OK && !is_excused(&g, c))
        CHECK(tw_message_open(&back, crypto, &g, c->version, c->direction, key, opened, ROOM, c->flags) ==
              TW_E_INTEGRITY);

    size_t small = (size_t)(hash % len), same = len;
    CHECK(tw_message_seal(sealed, small, &same, crypto, &m, key, (const uint8_t *)"fuzzed nonce") == TW_E_CAPACITY);
    CHECK(same == len);
}

/* What a caller can get wrong has a code of its own, and leaves the output alone. */
static void check_wrong_arguments(const struct tw_frame *f, const struct context *c, uint64_t hash)
{
    struct tw_message m;
    size_t len = 7;
    const uint8_t *key = key_of(c, f->command);
    CHECK(tw_message_open(&m, crypto, f, (enum tw_version)TW_N_VERSIONS, c->direction, key, plain, ROOM, 0) ==
          TW_E_ARGUMENT);
    size_t cap = hash / 16 % (f->body.len + 1);
    memset(plain, PATTERN, f->body.len);
    int rc = tw_message_open(&m, crypto, f, c->version, c->direction, key, plain, cap, c->flags);
    CHECK(rc != TW_OK || !m.encrypted || m.payload.len <= cap);
    for (size_t i = cap; i < f->body.len; i++)
        CHECK(plain[i] == PATTERN);
    tw_message_init(&m, c->version, c->direction, f->seq, f->command);
    m.payload = (struct tw_span){(const uint8_t *)"{}", 2};
    rc = tw_message_seal(sealed, ROOM, &len, crypto, &m, NULL, (const uint8_t *)"fuzzed nonce");
    CHECK(rc == TW_E_NO_KEY || (rc == TW_OK && c->version <= TW_V32));
    if (c->version == TW_V35)
        CHECK(tw_message_seal(sealed, ROOM, &len, crypto, &m, key, NULL) == TW_E_ARGUMENT);
    m.payload.len = TW_FRAME_LENGTH_MAX + 1;
    CHECK(tw_message_seal(sealed, ROOM, &len, crypto, &m, key, (const uint8_t *)"fuzzed nonce") < 0);
    m.version = (enum tw_version)TW_N_VERSIONS;
    CHECK(tw_message_seal(sealed, ROOM, &len, crypto, &m, key, (const uint8_t *)"fuzzed nonce") == TW_E_ARGUMENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > ROOM - 64)
        return 0;
    if (crypto == NULL)
        CHECK(tw_crypto_new(&crypto, 4) == TW_OK);
    uint64_t hash = fuzz_hash(data, size);
    struct context c = {
        .version = (enum tw_version)fuzz_context_version(data[0]),
        .direction = data[0] & FUZZ_CONTEXT_FROM_DEVICE ? TW_FROM_DEVICE : TW_TO_DEVICE,
        .flags = (data[0] & CONTEXT_STRICT ? TW_OPEN_STRICT : 0u) |
                 (data[0] & CONTEXT_NO_SIGNATURE ? TW_OPEN_NO_SIGNATURE : 0u) |
                 (data[0] & CONTEXT_ZERO_CRC ? TW_OPEN_ZERO_CRC : 0u),
        .no_key = (data[0] & CONTEXT_NO_KEY) != 0,
    };
    struct tw_frame_rules rules = {.integrity = tw_version_traits(c.version)->integrity, .direction = c.direction};
    fuzz_gates.version = (unsigned)c.version;
    data++, size--;
    for (int n = 0; n < FRAMES_MAX; n++) {
        struct tw_frame f;
        struct tw_message m;
        size_t consumed;
        int rc = tw_frame_parse(&f, &consumed, data, size, &rules);
        if (rc == TW_NEED_MORE)
            break;
        if (rc == TW_OK) {
            bool ok = open_one(&m, &f, &c);
            if (n == 0 && hash % 16 == 0)
                check_wrong_arguments(&f, &c, hash);
            if (n < ROUND_TRIPS)
                check_round_trip(&f, ok ? m.payload : f.body, &c, hash + (uint64_t)n);
        }
        data += consumed;
        size -= consumed;
    }
    return 0;
}
