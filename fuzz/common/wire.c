/* wire.c - see wire.h. Layouts: tuyawire/frame.h and message.h, spec sections 1 and 3. */
#include "wire.h"
#include <string.h>
#include "oracle.h"

enum { HEADER_55AA = 16, HEADER_6699 = 18, SUFFIX = 4, CRC = 4, HMAC = 32, NONCE = 12, TAG = 16, SIGNATURE = 16 };
enum { COMMAND_START = 3, COMMAND_RESP = 4, COMMAND_FINISH = 5 };
static const uint8_t prefix_55aa[4] = {0, 0, 0x55, 0xaa}, prefix_6699[4] = {0, 0, 0x66, 0x99};
static const uint8_t suffix_55aa[4] = {0, 0, 0xaa, 0x55}, suffix_6699[4] = {0, 0, 0x99, 0x66};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(n >> (24 - 8 * i));
}

/* see wire.h */
void wire_keys_init(struct wire_keys *k, enum fuzz_keys which, unsigned version)
{
    *k = (struct wire_keys){.one_key = which == FUZZ_KEYS_DISCOVERY};
    memcpy(k->local, k->one_key ? fuzz_udp_key : fuzz_local_key, 16);
    memcpy(k->session, version == 4 ? fuzz_session_key_35 : fuzz_session_key_34, 16);
}

/* see wire.h */
void wire_clear(struct wire *w)
{
    w->n = 0;
    w->used = 0;
}

/* see wire.h */
uint8_t *wire_room(struct wire *w, size_t len)
{
    if (len > WIRE_BYTES_MAX - w->used)
        return NULL;
    uint8_t *p = w->bytes + w->used;
    w->used += len;
    return p;
}

/* Handshakes go under the local key, and so does everything before 3.4: its frames carry a CRC. */
static const uint8_t *key_of(const struct wire_frame *f, const struct wire_keys *keys)
{
    bool handshake = f->command >= COMMAND_START && f->command <= COMMAND_FINISH;
    bool local = keys->one_key || handshake || (f->kind == WIRE_55AA && !f->hmac);
    if (f->damage & WIRE_OTHER_KEY)
        local = !local;
    return local ? keys->local : keys->session;
}

/* Bytes of a return code at the front of a GCM plaintext: handshake sizes tell, else direction. */
static size_t retcode_len(const struct wire_frame *f)
{
    return f->kind == WIRE_6699 && !f->to_device && f->plain_len >= 4 ? 4 : 0;
}

/* The nonces of a handshake that passes by, and its key. */
static void follow(struct wire_keys *keys, const struct wire_frame *f)
{
    size_t at = retcode_len(f);
    if (!keys->follow)
        return;
    if (f->command == COMMAND_START && f->to_device && f->plain_len >= 16) {
        memcpy(keys->client_nonce, f->plain, 16);
    } else if (f->command == COMMAND_RESP && !f->to_device && f->plain_len >= at + 16) {
        memcpy(keys->device_nonce, f->plain + at, 16);
    } else if (f->command == COMMAND_FINISH && f->to_device) {
        oracle_session_key(keys->session, f->kind == WIRE_6699, keys->local, keys->client_nonce, keys->device_nonce);
    }
}

/* PKCS#7: how many bytes are left without the padding; SIZE_MAX if it is wrong. */
static size_t unpadded(const uint8_t *data, size_t len)
{
    uint8_t pad = data[len - 1];
    if (pad == 0 || pad > 16)
        return SIZE_MAX;
    for (size_t i = len - pad; i < len; i++)
        if (data[i] != pad)
            return SIZE_MAX;
    return len - pad;
}

static bool take_b64(struct wire *w, struct wire_frame *f, const struct wire_keys *keys, const uint8_t *body,
                     size_t len, size_t skip)
{
    size_t front = skip + 3 + SIGNATURE;
    if (len < front + 4 || memcmp(body + skip, "3.1", 3) != 0)
        return false;
    uint8_t *room = wire_room(w, (len - front) / 4 * 3);
    if (room == NULL)
        return false;
    size_t n = oracle_unbase64(room, body + front, len - front);
    if (n == SIZE_MAX || n == 0 || n % 16 != 0)
        return false;
    oracle_ecb(false, key_of(f, keys), room, n);
    size_t plain_len = unpadded(room, n);
    if (plain_len == SIZE_MAX)
        return false;
    f->secret = WIRE_B64;
    f->front_len = front;
    f->plain = room;
    f->plain_len = plain_len;
    return true;
}

static bool take_ecb(struct wire *w, struct wire_frame *f, const struct wire_keys *keys, const uint8_t *body,
                     size_t len, size_t skip)
{
    if (len < skip + 16 || (len - skip) % 16 != 0)
        return false;
    uint8_t *room = wire_room(w, len - skip);
    if (room == NULL)
        return false;
    memcpy(room, body + skip, len - skip);
    oracle_ecb(false, key_of(f, keys), room, len - skip);
    size_t plain_len = unpadded(room, len - skip);
    if (plain_len == SIZE_MAX)
        return false;
    f->secret = WIRE_ECB;
    f->front_len = skip;
    f->plain = room;
    f->plain_len = plain_len;
    return true;
}

/* Divide the body of a 55AA frame into front and plain, by what fits. */
static bool take_55aa(struct wire *w, struct wire_frame *f, const struct wire_keys *keys, bool may_be_31,
                      const uint8_t *body, size_t len)
{
    static const size_t skips[] = {0, 4, 15, 19};
    f->secret = WIRE_CLEAR;
    f->front_len = len;
    f->plain_len = 0;
    bool done = may_be_31 && (take_b64(w, f, keys, body, len, 0) || take_b64(w, f, keys, body, len, 4));
    for (size_t i = 0; i < 4 && !done; i++)
        done = take_ecb(w, f, keys, body, len, skips[i]);
    f->front = wire_room(w, f->front_len);
    if (f->front == NULL)
        return false;
    memcpy(f->front, body, f->front_len);
    return true;
}

/* Describe the frame at p, whose structure fits in len. @return its size; 0: no frame here */
static size_t read_55aa(struct wire *w, struct wire_frame *f, const struct wire_keys *keys, unsigned version,
                        const uint8_t *p, size_t len)
{
    if (len < HEADER_55AA + CRC + SUFFIX || memcmp(p, prefix_55aa, 4) != 0)
        return 0;
    size_t length = be32(p + 12), size = HEADER_55AA + length;
    if (length < CRC + SUFFIX || length > len - HEADER_55AA || memcmp(p + size - SUFFIX, suffix_55aa, 4) != 0)
        return 0;
    f->kind = WIRE_55AA;
    f->seq = be32(p + 4);
    f->command = be32(p + 8);
    f->intact = oracle_crc32(p, size - CRC - SUFFIX) == be32(p + size - CRC - SUFFIX);
    f->hmac = !f->intact && length >= HMAC + SUFFIX && version == 3 && !keys->one_key;
    size_t check = f->hmac ? HMAC : CRC;
    if (f->hmac) {
        uint8_t proof[HMAC];
        oracle_hmac(proof, key_of(f, keys), p, size - check - SUFFIX);
        f->intact = memcmp(proof, p + size - check - SUFFIX, HMAC) == 0;
    }
    bool may_be_31 = version == 0 || version == 3; /* a CRC frame where 3.4 is expected: any of the older ones */
    return take_55aa(w, f, keys, may_be_31, p + HEADER_55AA, length - check - SUFFIX) ? size : 0;
}

static size_t read_6699(struct wire *w, struct wire_frame *f, const struct wire_keys *keys, const uint8_t *p,
                        size_t len)
{
    if (len < HEADER_6699 + NONCE + TAG + SUFFIX || memcmp(p, prefix_6699, 4) != 0)
        return 0;
    size_t length = be32(p + 14), size = HEADER_6699 + length + SUFFIX;
    if (length < NONCE + TAG || length > len - HEADER_6699 - SUFFIX || memcmp(p + size - SUFFIX, suffix_6699, 4) != 0)
        return 0;
    f->kind = WIRE_6699;
    f->secret = WIRE_GCM;
    memcpy(f->reserved, p + 4, 2);
    f->seq = be32(p + 6);
    f->command = be32(p + 10);
    memcpy(f->nonce, p + 18, NONCE);
    f->plain_len = length - NONCE - TAG;
    f->plain = wire_room(w, f->plain_len);
    f->front_len = 0;
    f->front = f->plain;
    if (f->plain == NULL)
        return 0;
    const uint8_t *tag = p + size - SUFFIX - TAG;
    f->intact = oracle_gcm_open(f->plain, tag, key_of(f, keys), f->nonce, p + 4, 14, p + 30, f->plain_len);
    return size;
}

static size_t next_prefix(const uint8_t *data, size_t from, size_t len)
{
    for (size_t i = from; i + 4 <= len; i++)
        if (data[i] == 0 && (memcmp(data + i, prefix_55aa, 4) == 0 || memcmp(data + i, prefix_6699, 4) == 0))
            return i;
    return len;
}

/* see wire.h */
void wire_read(struct wire *w, struct wire_keys *keys, unsigned version, bool to_device, const uint8_t *data,
               size_t len)
{
    for (size_t at = 0; at < len && w->n < WIRE_FRAMES_MAX;) {
        struct wire_frame f = {.to_device = to_device};
        size_t size = read_55aa(w, &f, keys, version, data + at, len - at);
        if (size == 0)
            size = read_6699(w, &f, keys, data + at, len - at);
        if (size == 0) {
            f = (struct wire_frame){.kind = WIRE_JUNK, .to_device = to_device};
            size = w->n == WIRE_FRAMES_MAX - 1 ? len - at : next_prefix(data, at + 1, len) - at;
            f.front = wire_room(w, size);
            f.front_len = size;
            if (f.front == NULL)
                return;
            memcpy(f.front, data + at, size);
        } else {
            follow(keys, &f);
        }
        w->frames[w->n++] = f;
        at += size;
    }
}

/* A mutant handshake that nobody believes ends there; put the proof right, so that what follows is reached. */
static void mend_proof(const struct wire_frame *f, const struct wire_keys *keys, uint8_t *plain, size_t len)
{
    size_t at = retcode_len(f);
    if (f->damage & WIRE_BAD_PROOF)
        return;
    if (f->command == COMMAND_RESP && !f->to_device && len >= at + 48)
        oracle_hmac(plain + at + 16, keys->local, keys->client_nonce, 16);
    if (f->command == COMMAND_FINISH && f->to_device && len >= 32)
        oracle_hmac(plain, keys->local, keys->device_nonce, 16);
}

static size_t write_6699(const struct wire_frame *f, const struct wire_keys *keys, uint8_t *out, size_t cap)
{
    size_t size = HEADER_6699 + NONCE + f->plain_len + TAG + SUFFIX;
    if (size > cap)
        return 0;
    memcpy(out, prefix_6699, 4);
    memcpy(out + 4, f->reserved, 2);
    put32(out + 6, f->seq);
    put32(out + 10, f->command);
    put32(out + 14, (uint32_t)(NONCE + f->plain_len + TAG));
    memcpy(out + 18, f->nonce, NONCE);
    if (f->plain_len > 0)
        memcpy(out + 30, f->plain, f->plain_len);
    mend_proof(f, keys, out + 30, f->plain_len);
    oracle_gcm_seal(out + 30, out + 30 + f->plain_len, key_of(f, keys), f->nonce, out + 4, 14, out + 30,
                    f->plain_len);
    memcpy(out + size - SUFFIX, suffix_6699, 4);
    return size;
}

/* Padded and encrypted at out. @return ciphertext bytes */
static size_t write_ecb(const struct wire_frame *f, const struct wire_keys *keys, uint8_t *out)
{
    size_t len = f->plain_len / 16 * 16 + 16;
    if (f->plain_len > 0)
        memcpy(out, f->plain, f->plain_len);
    mend_proof(f, keys, out, f->plain_len);
    memset(out + f->plain_len, (int)(len - f->plain_len), len - f->plain_len);
    if (f->damage & WIRE_BAD_PADDING)
        out[len - 1] = (uint8_t)(out[len - 1] ^ 0x1f);
    oracle_ecb(true, key_of(f, keys), out, len);
    return f->damage & WIRE_ODD_CIPHER ? len - 1 : len;
}

static size_t write_b64(const struct wire_frame *f, const struct wire_keys *keys, uint8_t *out, uint8_t *scratch)
{
    size_t n = oracle_base64(out, scratch, write_ecb(f, keys, scratch));
    if (!(f->damage & WIRE_BAD_SIGNATURE) && f->front_len >= SIGNATURE)
        oracle_signature(out - SIGNATURE, key_of(f, keys), out, n);
    return n;
}

static size_t write_55aa(const struct wire_frame *f, const struct wire_keys *keys, uint8_t *out, size_t cap)
{
    size_t check = f->hmac ? HMAC : CRC;
    size_t secret_max = f->secret == WIRE_CLEAR ? 0 : f->plain_len + 16;
    size_t scratch_at = HEADER_55AA + f->front_len; /* base64 is made from behind its own place */
    if (f->secret == WIRE_B64)
        secret_max = secret_max * 4 / 3 + 8 + secret_max;
    if (scratch_at + secret_max + check + SUFFIX > cap)
        return 0;
    memcpy(out, prefix_55aa, 4);
    put32(out + 4, f->seq);
    put32(out + 8, f->command);
    if (f->front_len > 0)
        memcpy(out + HEADER_55AA, f->front, f->front_len);
    uint8_t *secret = out + scratch_at;
    size_t len = HEADER_55AA + f->front_len;
    if (f->secret == WIRE_ECB)
        len += write_ecb(f, keys, secret);
    else if (f->secret == WIRE_B64)
        len += write_b64(f, keys, secret, secret + secret_max - f->plain_len - 16);
    put32(out + 12, (uint32_t)(len - HEADER_55AA + check + SUFFIX));
    if (f->hmac)
        oracle_hmac(out + len, key_of(f, keys), out, len);
    else
        put32(out + len, oracle_crc32(out, len));
    memcpy(out + len + check, suffix_55aa, 4);
    return len + check + SUFFIX;
}

static size_t damaged(const struct wire_frame *f, uint8_t *out, size_t size)
{
    size_t length_at = f->kind == WIRE_6699 ? 14 : 12;
    if (f->damage & WIRE_BAD_CHECK)
        out[size - SUFFIX - 1 - f->seq % 4] ^= (uint8_t)(1u << f->seq % 8);
    if (f->damage & WIRE_ZERO_CHECK) {
        size_t check = f->kind == WIRE_6699 ? TAG : f->hmac ? HMAC : CRC;
        memset(out + size - SUFFIX - check, 0, check);
    }
    if (f->damage & WIRE_BAD_LENGTH)
        put32(out + length_at, be32(out + length_at) ^ (1u << f->seq % 32));
    if (f->damage & WIRE_BAD_SUFFIX)
        out[size - 1 - f->seq % 4] ^= 0x40;
    return f->damage & WIRE_CUT ? size - 1 - f->seq % (size - 1) : size;
}

/* see wire.h */
size_t wire_write(const struct wire_frame *f, struct wire_keys *keys, uint8_t *out, size_t cap)
{
    if (f->kind == WIRE_JUNK) {
        if (f->front_len > cap)
            return 0;
        memcpy(out, f->front, f->front_len);
        return f->front_len;
    }
    size_t size = f->kind == WIRE_6699 ? write_6699(f, keys, out, cap) : write_55aa(f, keys, out, cap);
    if (size == 0)
        return 0;
    follow(keys, f);
    return damaged(f, out, size);
}

/* see wire.h */
size_t wire_json(const struct wire_frame *f, bool *plain)
{
    *plain = f->secret != WIRE_CLEAR;
    const uint8_t *p = *plain ? f->plain : f->front;
    size_t len = *plain ? f->plain_len : f->front_len;
    const uint8_t *brace = len == 0 ? NULL : memchr(p, '{', len < 24 ? len : 24);
    return brace == NULL ? 0 : (size_t)(brace - p);
}
