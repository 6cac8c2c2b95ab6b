/* message.c - from frame to message and back; layouts and rules are in tuyawire/message.h.
 *
 * Opening is a way through four gates: integrity, return code, decryption, header. Which gate has which form is read
 * from the frame (its check value) and from the table of versions. */
#include "tuyawire/message.h"
#include <string.h>
#include "bytes.h"
#include "internal.h"

enum { CERTAIN_PADDING = 4 }; /* bytes: wrong with a probability of 2^-32 */
enum { SIGNED_LEN = 3 + TW_SIGNATURE_LEN, VERSION_LEN = 3, SUFFIX_LEN = 4, HEADER_MAX = 18, AAD_AT = 4 };

/* see tuyawire/message.h */
uint32_t tw_retcode(uint32_t wire)
{
    return wire != 0 && (wire & 0x00FFFFFF) == 0 ? wire >> 24 : wire;
}

/* see tuyawire/message.h */
void tw_message_init(struct tw_message *m, enum tw_version v, enum tw_direction dir, uint32_t seq, uint32_t command)
{
    *m = (struct tw_message){
        .version = v,
        .direction = dir,
        .seq = seq,
        .command = command,
        .has_retcode = dir == TW_FROM_DEVICE,
        .has_header = tw_version_has_header(v, dir, command),
    };
    if (m->has_header && dir == TW_FROM_DEVICE)
        m->header.source = 1;
}

/* ---- what a body looks like ---------------------------------------------------------------------------------- */

/* "3." and a digit: the minor digit need not be the one of the connection (tuyapi writes 3.3 to 3.2 devices). */
static inline bool begins_version(struct tw_span s)
{
    return s.len >= VERSION_LEN && s.data[0] == '3' && s.data[1] == '.' && s.data[2] >= '0' && s.data[2] <= '9';
}

static inline bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Clear text where ciphertext may stand too. One block of ciphertext is all printable once in seven million; JSON
 * with other than ASCII in it is known by its braces. */
static bool looks_clear(struct tw_span s)
{
    if (is_printable(s))
        return s.len > 0;
    while (s.len > 0 && (s.data[s.len - 1] == 0 || is_blank(s.data[s.len - 1])))
        s.len--;
    if (s.len < 2 || s.data[0] != '{' || s.data[s.len - 1] != '}')
        return false;
    uint8_t second = s.data[1]; /* braces alone stand at both ends of one ciphertext in 65,000 */
    return second == '"' || second == '}' || is_blank(second);
}

static inline struct tw_span after(struct tw_span s, size_t n)
{
    return (struct tw_span){s.data + n, s.len - n};
}

/* Does a device's body begin with a return code? It always does on real devices; tuyapi's stub leaves it out. The
 * residue tells: ciphertext is a multiple of 16, with a clear header 15 more (spec section 1.4). */
static inline bool begins_retcode(struct tw_span body, bool encrypted_whole)
{
    if (body.len < TW_RETCODE_LEN)
        return false;
    if (tw_retcode(load_be32(body.data)) <= 1)
        return true;
    if (body.data[0] == '{' || begins_version(body))
        return false;
    struct tw_span code = {body.data, TW_RETCODE_LEN};
    if (!is_printable(code) && looks_clear(after(body, TW_RETCODE_LEN))) /* text can have any size */
        return true;
    return encrypted_whole || (body.len % TW__BLOCK != 0 && body.len % TW__BLOCK != TW_HEADER_LEN);
}

/* Take the return code off the front of *body. In clear for 55AA; in the plaintext (no_residue) for 6699. */
static inline int take_retcode(struct tw_message *m, struct tw_span *body, bool no_residue, unsigned flags)
{
    if (m->direction != TW_FROM_DEVICE)
        return TW_OK;
    if (flags & TW_OPEN_STRICT ? body->len >= TW_RETCODE_LEN : begins_retcode(*body, no_residue)) {
        m->has_retcode = true;
        m->retcode = load_be32(body->data);
        *body = after(*body, TW_RETCODE_LEN);
        return TW_OK;
    }
    return flags & TW_OPEN_STRICT ? TW_E_PAYLOAD : TW_OK;
}

/* Take the 15-byte header off the front of *s, if one begins there. */
static inline int take_header(struct tw_message *m, struct tw_span *s)
{
    if (!begins_version(*s) || tw_command_is_handshake(m->command)) /* nonces may look like anything */
        return TW_OK;
    if (s->len < TW_HEADER_LEN)
        return TW_E_PAYLOAD;
    memcpy(m->header.version, s->data, VERSION_LEN);
    m->header.check = load_be32(s->data + 3);
    m->header.counter = load_be32(s->data + 7);
    m->header.source = load_be32(s->data + 11);
    m->has_header = true;
    *s = after(*s, TW_HEADER_LEN);
    return TW_OK;
}

/* ---- ECB ------------------------------------------------------------------------------------------------------ */

/* see internal.h; in the same time whatever the padding */
size_t tw__padding(const uint8_t *plain, size_t len)
{
    /* From the n-th byte on: a mask of the last n bytes of a block. All of it lies in one line of the cache. */
    static const _Alignas(2 * TW__BLOCK) uint8_t masks[2 * TW__BLOCK] = {
        [TW__BLOCK] = 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    const uint8_t *last = plain + len - TW__BLOCK;
    unsigned n = last[TW__BLOCK - 1];
    if (n == 0 || n > TW__BLOCK)
        return 0;
    uint64_t pads = n * UINT64_C(0x0101010101010101), text[2], mask[2];
    memcpy(text, last, sizeof text);
    memcpy(mask, masks + n, sizeof mask);
    uint64_t wrong = ((text[0] ^ pads) & mask[0]) | ((text[1] ^ pads) & mask[1]);
    return wrong == 0 ? n : 0;
}

/* Ciphertext in *s becomes plaintext in buf. An empty body stays empty. */
static inline int decrypt(struct tw_message *m, struct tw_span *s, tw_crypto *c, const uint8_t *key, uint8_t *buf,
                          size_t cap)
{
    if (s->len == 0)
        return TW_OK;
    if (s->len % TW__BLOCK != 0)
        return TW_E_PAYLOAD;
    if (key == NULL)
        return TW_E_NO_KEY;
    if (s->len > cap)
        return TW_E_CAPACITY;
    int rc = tw__ecb_decrypt(c, key, s->data, s->len, buf);
    if (rc != TW_OK)
        return rc;
    size_t padding = tw__padding(buf, s->len);
    if (padding == 0) {
        tw__wipe(buf, s->len);
        return TW_E_PADDING;
    }
    m->encrypted = true;
    s->data = buf;
    s->len -= padding;
    return TW_OK;
}

/* ---- the signed form of 3.1 ----------------------------------------------------------------------------------- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t base64_len(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* out may hold the input in its last n bytes: the writer never overtakes the reader. */
static void base64_encode(uint8_t *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += 3, out += 4) {
        size_t left = n - i;
        uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        out[0] = (uint8_t)base64_digits[v >> 18];
        out[1] = (uint8_t)base64_digits[v >> 12 & 63];
        out[2] = left > 1 ? (uint8_t)base64_digits[v >> 6 & 63] : '=';
        out[3] = left > 2 ? (uint8_t)base64_digits[v & 63] : '=';
    }
}

/* What a digit stands for, 0x20 to 0x7F; 64: it is none. */
enum { NO_DIGIT = 64, FIRST_DIGIT = 0x20 };
static const uint8_t base64_values[] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, 64, 63, /* 0x20 */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, /* 0x30 */
    64, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, /* 0x40 */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 64, /* 0x50 */
    64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* 0x60 */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64, /* 0x70 */
};

static inline uint32_t base64_value(uint8_t ch)
{
    unsigned i = (unsigned)ch - FIRST_DIGIT;
    return i < sizeof base64_values ? base64_values[i] : NO_DIGIT;
}

/* Standard alphabet with padding, no line breaks. */
static int base64_decode(uint8_t *out, size_t cap, size_t *out_len, struct tw_span in)
{
    if (in.len % 4 != 0)
        return TW_E_PAYLOAD;
    size_t pad = 0;
    while (pad < 2 && pad < in.len && in.data[in.len - 1 - pad] == '=')
        pad++;
    size_t n = in.len / 4 * 3 - pad;
    if (n > cap)
        return TW_E_CAPACITY;

    uint32_t strange = 0; /* NO_DIGIT if one was none */
    size_t at = 0;
    for (const uint8_t *p = in.data, *end = in.data + in.len - (pad > 0 ? 4 : 0); p < end; p += 4, at += 3) {
        uint32_t a = base64_value(p[0]), b = base64_value(p[1]), c = base64_value(p[2]), d = base64_value(p[3]);
        strange |= a | b | c | d;
        uint32_t v = a << 18 | b << 12 | c << 6 | d;
        out[at] = (uint8_t)(v >> 16);
        out[at + 1] = (uint8_t)(v >> 8);
        out[at + 2] = (uint8_t)v;
    }
    if (pad > 0) {
        const uint8_t *p = in.data + in.len - 4;
        uint32_t a = base64_value(p[0]), b = base64_value(p[1]), c = pad == 1 ? base64_value(p[2]) : 0;
        strange |= a | b | c;
        uint32_t v = a << 18 | b << 12 | c << 6;
        out[at] = (uint8_t)(v >> 16);
        if (pad == 1)
            out[at + 1] = (uint8_t)(v >> 8);
    }
    if (strange & NO_DIGIT)
        return TW_E_PAYLOAD;
    *out_len = n;
    return TW_OK;
}

/* Hex digits 8 to 23 of MD5("data=" b64 "||lpv=3.1||" key). Source: tuyapi lib/cipher.js, spec section 3.1. */
static int sign(char out[TW_SIGNATURE_LEN], tw_crypto *c, struct tw_span b64, const uint8_t *key)
{
    static const uint8_t head[] = "data=", middle[] = "||lpv=3.1||";
    const struct tw_span parts[] = {{head, sizeof head - 1}, b64, {middle, sizeof middle - 1}, {key, TW_KEY_LEN}};
    uint8_t digest[TW__MD5_LEN];
    int rc = tw__md5(c, parts, sizeof parts / sizeof parts[0], digest);
    if (rc != TW_OK)
        return rc;
    for (size_t i = 0; i < TW_SIGNATURE_LEN; i++)
        out[i] = "0123456789abcdef"[digest[4 + i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    return TW_OK;
}

static int open_signed(struct tw_message *m, struct tw_span *s, tw_crypto *c, const uint8_t *key, uint8_t *buf,
                       size_t cap, unsigned flags)
{
    if (s->len < SIGNED_LEN)
        return TW_E_PAYLOAD;
    if (key == NULL)
        return TW_E_NO_KEY;
    struct tw_span signature = {s->data + VERSION_LEN, TW_SIGNATURE_LEN}, b64 = after(*s, SIGNED_LEN);
    char expected[TW_SIGNATURE_LEN];
    int rc = sign(expected, c, b64, key);
    if (rc != TW_OK)
        return rc;
    if (!(flags & TW_OPEN_NO_SIGNATURE) && !tw__equal((const uint8_t *)expected, signature.data, TW_SIGNATURE_LEN))
        return TW_E_INTEGRITY;

    struct tw_span cipher = {buf, 0};
    rc = base64_decode(buf, cap, &cipher.len, b64);
    if (rc == TW_OK && cipher.len == 0)
        rc = TW_E_PAYLOAD;
    if (rc == TW_OK)
        rc = decrypt(m, &cipher, c, key, buf, cap);
    if (rc != TW_OK)
        return rc;
    memcpy(m->header.version, s->data, VERSION_LEN);
    memcpy(m->header.signature, signature.data, TW_SIGNATURE_LEN);
    m->has_header = true;
    *s = cipher;
    return TW_OK;
}

static inline void set_payload(struct tw_message *m, const uint8_t *data, size_t len)
{
    m->payload.data = data;
    m->payload.len = len;
}

/* ---- opening, by the check value of the frame ----------------------------------------------------------------- */

static int open_crc(struct tw_message *m, tw_crypto *c, const struct tw_frame *f, const struct tw_version_traits *t,
                    const uint8_t *key, uint8_t *buf, size_t cap, unsigned flags)
{
    if (!tw_frame_crc_matches(f) && !(flags & TW_OPEN_ZERO_CRC && load_be32(f->check.data) == 0))
        return TW_E_INTEGRITY;
    struct tw_span s = {f->body.data, f->body.len};
    int rc = take_retcode(m, &s, false, flags);
    if (rc != TW_OK)
        return rc;

    if (t->with_header == TW_ENCODING_B64) {
        if (s.len >= VERSION_LEN && memcmp(s.data, "3.1", VERSION_LEN) == 0) {
            rc = open_signed(m, &s, c, key, buf, cap, flags);
            if (rc != TW_OK)
                return rc;
        }
        set_payload(m, s.data, s.len);
        return TW_OK;
    }
    /* 3.2 and 3.3. Without a header the body may be in clear: always on 3.2, now and then an error text on 3.3. */
    if (begins_version(s) && s.len % TW__BLOCK != 0) {
        rc = take_header(m, &s);
        if (rc != TW_OK)
            return rc;
    } else if (looks_clear(s)) {
        set_payload(m, s.data, s.len);
        return TW_OK;
    }
    rc = decrypt(m, &s, c, key, buf, cap);
    if (rc != TW_OK)
        return rc;
    set_payload(m, s.data, s.len);
    return TW_OK;
}

static int open_hmac(struct tw_message *m, tw_crypto *c, const struct tw_frame *f, const uint8_t *key, uint8_t *buf,
                     size_t cap, unsigned flags)
{
    if (key == NULL)
        return TW_E_NO_KEY;
    uint8_t expected[TW_HMAC_LEN];
    int rc = tw__hmac(c, key, f->raw.data, f->raw.len - TW_HMAC_LEN - SUFFIX_LEN, expected);
    if (rc != TW_OK)
        return rc;
    if (!tw__equal(expected, f->check.data, TW_HMAC_LEN))
        return TW_E_INTEGRITY;

    struct tw_span s = {f->body.data, f->body.len};
    rc = take_retcode(m, &s, false, flags);
    if (rc == TW_OK)
        rc = decrypt(m, &s, c, key, buf, cap);
    if (rc == TW_OK)
        rc = take_header(m, &s);
    set_payload(m, s.data, s.len);
    return rc;
}

static int open_gcm(struct tw_message *m, tw_crypto *c, const struct tw_frame *f, const uint8_t *key, uint8_t *buf,
                    size_t cap, unsigned flags)
{
    if (key == NULL)
        return TW_E_NO_KEY;
    if (f->body.len > cap)
        return TW_E_CAPACITY;
    struct tw_span aad = {f->raw.data + AAD_AT, HEADER_MAX - AAD_AT};
    int rc = tw__gcm_open(c, key, f->nonce.data, aad, f->body.data, f->body.len, buf, f->check.data);
    if (rc != TW_OK)
        return rc;
    m->encrypted = true;
    struct tw_span s = {buf, f->body.len};
    rc = take_retcode(m, &s, true, flags);
    if (rc == TW_OK)
        rc = take_header(m, &s);
    set_payload(m, s.data, s.len);
    return rc;
}

/* Field by field: compilers clear a struct of this size with an instruction that takes longer than the rest. */
static void begin(struct tw_message *m, const struct tw_frame *f, enum tw_version v, enum tw_direction dir)
{
    m->version = v;
    m->direction = dir;
    m->seq = f->seq;
    m->command = f->command;
    m->has_retcode = m->has_header = m->encrypted = false;
    m->retcode = 0;
    m->header = (struct tw_header){0};
    m->payload = (struct tw_span){0};
}

/* see tuyawire/message.h */
int tw_message_open(struct tw_message *out, tw_crypto *c, const struct tw_frame *f, enum tw_version v,
                    enum tw_direction dir, const uint8_t *key, uint8_t *buf, size_t cap, unsigned flags)
{
    begin(out, f, v, dir);
    const struct tw_version_traits *t = tw_version_traits(v);
    int rc = TW_E_ARGUMENT;
    if (t == NULL)
        goto done;
    switch (f->integrity) {
    case TW_INTEGRITY_CRC32: rc = open_crc(out, c, f, t, key, buf, cap, flags); break;
    case TW_INTEGRITY_HMAC: rc = open_hmac(out, c, f, key, buf, cap, flags); break;
    case TW_INTEGRITY_GCM: rc = open_gcm(out, c, f, key, buf, cap, flags); break;
    }
done:
    if (rc == TW_OK)
        return TW_OK;
    if (out->encrypted) /* it decrypted, but was not what it had to be */
        tw__wipe(buf, f->body.len < cap ? f->body.len : cap);
    *out = (struct tw_message){0};
    return rc;
}

/* see tuyawire/message.h */
bool tw_message_key_fits(tw_crypto *c, const struct tw_frame *f, const uint8_t key[TW_KEY_LEN])
{
    uint8_t last[TW__BLOCK];
    if (f->integrity != TW_INTEGRITY_HMAC || f->body.len < sizeof last)
        return false;
    int rc = tw__ecb_decrypt(c, key, f->body.data + f->body.len - sizeof last, sizeof last, last);
    bool fits = rc == TW_OK && tw__padding(last, sizeof last) >= CERTAIN_PADDING;
    tw__wipe(last, sizeof last);
    return fits;
}

/* ---- sealing -------------------------------------------------------------------------------------------------- */

/* see tuyawire/message.h */
size_t tw_message_size_max(size_t payload_len)
{
    size_t padded = TW_HEADER_LEN + payload_len + TW__BLOCK;
    return TW_FRAME_OVERHEAD_MAX + TW_RETCODE_LEN + SIGNED_LEN + base64_len(padded);
}

static size_t padded_len(size_t n)
{
    return n / TW__BLOCK * TW__BLOCK + TW__BLOCK;
}

/* Messages that travel without a single block: a device's empty replies, and the empty heart beat up to 3.3. */
static bool is_bare(const struct tw_message *m, const struct tw_version_traits *t)
{
    if (m->payload.len > 0 || m->has_header)
        return false;
    return m->direction == TW_FROM_DEVICE || (m->command == TW_CMD_HEART_BEAT && !t->empty_heartbeat_padded);
}

static size_t encoded_len(enum tw_encoding e, size_t n)
{
    switch (e) {
    case TW_ENCODING_PLAIN:
    case TW_ENCODING_GCM: return n;
    case TW_ENCODING_ECB: return padded_len(n);
    case TW_ENCODING_B64: return SIGNED_LEN + base64_len(padded_len(n));
    case TW_ENCODING_CLEAR_HEADER: return TW_HEADER_LEN + padded_len(n);
    case TW_ENCODING_INNER_HEADER: return padded_len(TW_HEADER_LEN + n);
    case TW_ENCODING_GCM_HEADER: return TW_HEADER_LEN + n;
    }
    return n;
}

static uint8_t *put(uint8_t *p, struct tw_span s)
{
    if (s.len > 0)
        memcpy(p, s.data, s.len);
    return p + s.len;
}

static uint8_t *put_header(uint8_t *p, const struct tw_message *m, const struct tw_version_traits *t)
{
    memcpy(p, t->name, VERSION_LEN);
    store_be32(p + 3, m->header.check);
    store_be32(p + 7, m->header.counter);
    store_be32(p + 11, m->header.source);
    return p + TW_HEADER_LEN;
}

/* Copied block by block, as the cipher is going to load it: it need not wait then for stores of another shape. */
static void put_blocks(uint8_t *p, struct tw_span s)
{
    size_t n = 0;
    for (; s.len - n >= TW__BLOCK; n += TW__BLOCK)
        memcpy(p + n, s.data + n, TW__BLOCK);
    if (n < s.len)
        memcpy(p + n, s.data + n, s.len - n);
}

/* Write header (where it goes inside) and payload at p, and encrypt them where they stand. The whole last block is
 * filled with padding before the text is put over it: that is one store, where an exact length would be a call. */
static int put_ecb(tw_crypto *c, const uint8_t *key, uint8_t *p, const struct tw_message *m,
                   const struct tw_version_traits *header)
{
    size_t n = m->payload.len + (header != NULL ? TW_HEADER_LEN : 0), padded = padded_len(n);
    memset(p + padded - TW__BLOCK, (int)(padded - n), TW__BLOCK);
    struct tw_span text = m->payload;
    uint8_t *to = p;
    if (header != NULL) {
        to = put_header(p, m, header);
        if (text.len > 0) { /* one byte fills the block that the header has begun */
            *to++ = text.data[0];
            text = after(text, 1);
        }
    }
    put_blocks(to, text);
    return tw__ecb_encrypt(c, key, p, padded, p);
}

static int put_signed(tw_crypto *c, const uint8_t *key, uint8_t *p, const struct tw_message *m)
{
    size_t padded = padded_len(m->payload.len);
    struct tw_span b64 = {p + SIGNED_LEN, base64_len(padded)};
    uint8_t *cipher = p + SIGNED_LEN + b64.len - padded;
    int rc = put_ecb(c, key, cipher, m, NULL);
    if (rc != TW_OK)
        return rc;
    base64_encode(p + SIGNED_LEN, cipher, padded);
    memcpy(p, "3.1", VERSION_LEN);
    char signature[TW_SIGNATURE_LEN];
    rc = sign(signature, c, b64, key);
    if (rc == TW_OK)
        memcpy(p + VERSION_LEN, signature, sizeof signature);
    return rc;
}

/* Write what stands between return code and check value, ECB done, GCM not yet. */
static int put_content(tw_crypto *c, const uint8_t *key, uint8_t *p, const struct tw_message *m,
                       const struct tw_version_traits *t, enum tw_encoding e)
{
    switch (e) {
    case TW_ENCODING_PLAIN:
    case TW_ENCODING_GCM: put(p, m->payload); return TW_OK;
    case TW_ENCODING_GCM_HEADER: put(put_header(p, m, t), m->payload); return TW_OK;
    case TW_ENCODING_ECB: return put_ecb(c, key, p, m, NULL);
    case TW_ENCODING_INNER_HEADER: return put_ecb(c, key, p, m, t);
    case TW_ENCODING_CLEAR_HEADER: return put_ecb(c, key, put_header(p, m, t), m, NULL);
    case TW_ENCODING_B64: return put_signed(c, key, p, m);
    }
    return TW_E_ARGUMENT;
}

static enum tw_encoding encoding_of(const struct tw_message *m, const struct tw_version_traits *t)
{
    if (m->has_header)
        return t->with_header;
    return is_bare(m, t) && t->integrity != TW_INTEGRITY_GCM ? TW_ENCODING_PLAIN : t->without_header;
}

/* see tuyawire/message.h */
size_t tw_message_size(const struct tw_message *m)
{
    const struct tw_version_traits *t = tw_version_traits(m->version);
    if (t == NULL)
        return 0;
    size_t retcode_len = m->has_retcode ? TW_RETCODE_LEN : 0;
    return tw_frame_size(t->integrity, retcode_len + encoded_len(encoding_of(m, t), m->payload.len));
}

/* see tuyawire/message.h */
int tw_message_seal(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, const struct tw_message *m,
                    const uint8_t *key, const uint8_t *nonce)
{
    const struct tw_version_traits *t = tw_version_traits(m->version);
    if (t == NULL)
        return TW_E_ARGUMENT;
    bool gcm = t->integrity == TW_INTEGRITY_GCM;
    enum tw_encoding e = encoding_of(m, t);
    if (key == NULL && (e != TW_ENCODING_PLAIN || t->integrity != TW_INTEGRITY_CRC32))
        return TW_E_NO_KEY;
    if (gcm && nonce == NULL)
        return TW_E_ARGUMENT;
    if (m->payload.len > TW_FRAME_LENGTH_MAX)
        return TW_E_TOO_LARGE;

    struct tw_frame f;
    size_t retcode_len = m->has_retcode ? TW_RETCODE_LEN : 0;
    int rc =
        tw_frame_write(&f, out, cap, t->integrity, m->seq, m->command, retcode_len + encoded_len(e, m->payload.len));
    if (rc != TW_OK)
        return rc;
    uint8_t *body = out + (f.body.data - out), *check = out + (f.check.data - out);
    if (m->has_retcode)
        store_be32(body, m->retcode);
    rc = put_content(c, key, body + retcode_len, m, t, e);
    if (rc != TW_OK)
        goto done;

    switch (t->integrity) {
    case TW_INTEGRITY_CRC32: store_be32(check, tw__crc32(out, (size_t)(check - out))); break;
    case TW_INTEGRITY_HMAC: rc = tw__hmac(c, key, out, (size_t)(check - out), check); break;
    case TW_INTEGRITY_GCM:
        memcpy(out + HEADER_MAX, nonce, TW_NONCE_LEN);
        rc = tw__gcm_seal(c, key, nonce, (struct tw_span){out + AAD_AT, HEADER_MAX - AAD_AT}, body, f.body.len, body,
                          check);
        break;
    }
done:
    if (rc == TW_OK)
        *len = f.raw.len;
    else
        tw__wipe(out, f.raw.len); /* the payload stands there, encrypted or not */
    return rc;
}
