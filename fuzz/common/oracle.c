/* oracle.c - see oracle.h. Digests are the low-level ones: OpenSSL 3.0's EVP allocates at every restart. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "oracle.h"
#include <openssl/evp.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_KEYS = 20 };

/* Everything that can be prepared for one key. */
struct keyed {
    uint8_t key[16];
    uint64_t used; /* 0: free */
    EVP_CIPHER_CTX *ecb_encrypt, *ecb_decrypt, *gcm_encrypt, *gcm_decrypt;
    bool has_hmac;
    SHA256_CTX inner, outer; /* HMAC: the key already hashed in */
};
static struct keyed keys[N_KEYS];
static uint64_t now;

static void must(bool ok)
{
    if (ok)
        return;
    fputs("fuzz: the oracle's cryptography does not work here\n", stderr);
    exit(2);
}

static EVP_CIPHER_CTX *cipher_new(const EVP_CIPHER *cipher, const uint8_t *key, int encrypt)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    must(c != NULL && EVP_CipherInit_ex(c, cipher, NULL, key, NULL, encrypt) == 1);
    EVP_CIPHER_CTX_set_padding(c, 0);
    return c;
}

static void hash_padded_key(SHA256_CTX *c, const uint8_t *key, uint8_t pad)
{
    uint8_t block[64];
    memset(block, pad, sizeof block);
    for (int i = 0; i < 16; i++)
        block[i] ^= key[i];
    must(SHA256_Init(c) == 1 && SHA256_Update(c, block, sizeof block) == 1);
}

static void keyed_release(struct keyed *k)
{
    EVP_CIPHER_CTX_free(k->ecb_encrypt);
    EVP_CIPHER_CTX_free(k->ecb_decrypt);
    EVP_CIPHER_CTX_free(k->gcm_encrypt);
    EVP_CIPHER_CTX_free(k->gcm_decrypt);
    *k = (struct keyed){0};
}

static void release_all(void)
{
    for (int i = 0; i < N_KEYS; i++)
        keyed_release(&keys[i]);
}

static struct keyed *keyed(const uint8_t key[16])
{
    struct keyed *oldest = &keys[0];
    for (struct keyed *k = keys; k < keys + N_KEYS; k++) {
        if (k->used != 0 && memcmp(k->key, key, 16) == 0) {
            k->used = ++now;
            return k;
        }
        if (k->used < oldest->used)
            oldest = k;
    }
    if (now == 0)
        atexit(release_all);
    keyed_release(oldest);
    memcpy(oldest->key, key, 16);
    oldest->used = ++now;
    return oldest;
}

/* see oracle.h. Four bytes a step: table[k] is the CRC of a byte with k zero bytes behind it. */
uint32_t oracle_crc32(const uint8_t *data, size_t len)
{
    static uint32_t table[4][256];
    if (table[0][1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            table[0][i] = i;
            for (int bit = 0; bit < 8; bit++)
                table[0][i] = (table[0][i] >> 1) ^ (table[0][i] & 1 ? 0xedb88320u : 0);
        }
        for (int k = 1; k < 4; k++)
            for (uint32_t i = 0; i < 256; i++)
                table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xff];
    }
    uint32_t crc = 0xffffffffu;
    for (; len >= 4; data += 4, len -= 4)
        crc = table[3][(crc ^ data[0]) & 0xff] ^ table[2][((crc >> 8) ^ data[1]) & 0xff] ^
              table[1][((crc >> 16) ^ data[2]) & 0xff] ^ table[0][(crc >> 24) ^ data[3]];
    for (size_t i = 0; i < len; i++)
        crc = (crc >> 8) ^ table[0][(crc ^ data[i]) & 0xff];
    return ~crc;
}

/* see oracle.h */
void oracle_md5(uint8_t out[16], const uint8_t *data, size_t len)
{
    MD5_CTX c;
    must(MD5_Init(&c) == 1 && MD5_Update(&c, data, len) == 1 && MD5_Final(out, &c) == 1);
}

/* see oracle.h */
void oracle_hmac(uint8_t out[32], const uint8_t key[16], const uint8_t *data, size_t len)
{
    struct keyed *k = keyed(key);
    if (!k->has_hmac) {
        hash_padded_key(&k->inner, key, 0x36);
        hash_padded_key(&k->outer, key, 0x5c);
        k->has_hmac = true;
    }
    SHA256_CTX c = k->inner;
    must(SHA256_Update(&c, data, len) == 1 && SHA256_Final(out, &c) == 1);
    c = k->outer;
    must(SHA256_Update(&c, out, 32) == 1 && SHA256_Final(out, &c) == 1);
}

/* see oracle.h */
void oracle_ecb(bool encrypt, const uint8_t key[16], uint8_t *data, size_t len)
{
    struct keyed *k = keyed(key);
    EVP_CIPHER_CTX **c = encrypt ? &k->ecb_encrypt : &k->ecb_decrypt;
    int n;
    if (*c == NULL)
        *c = cipher_new(EVP_aes_128_ecb(), key, encrypt);
    must(len % 16 == 0 && EVP_CipherUpdate(*c, data, &n, data, (int)len) == 1);
}

/* see oracle.h */
void oracle_gcm_seal(uint8_t *out, uint8_t tag[16], const uint8_t key[16], const uint8_t nonce[12],
                     const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len)
{
    struct keyed *k = keyed(key);
    uint8_t none;
    int n;
    if (k->gcm_encrypt == NULL)
        k->gcm_encrypt = cipher_new(EVP_aes_128_gcm(), key, 1);
    EVP_CIPHER_CTX *c = k->gcm_encrypt;
    must(EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) == 1);
    must(aad_len == 0 || EVP_EncryptUpdate(c, NULL, &n, aad, (int)aad_len) == 1);
    must(len == 0 || EVP_EncryptUpdate(c, out, &n, in, (int)len) == 1);
    must(EVP_EncryptFinal_ex(c, &none, &n) == 1 && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, tag) == 1);
}

/* see oracle.h */
bool oracle_gcm_open(uint8_t *out, const uint8_t tag[16], const uint8_t key[16], const uint8_t nonce[12],
                     const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len)
{
    struct keyed *k = keyed(key);
    uint8_t none, expected[16];
    int n;
    if (k->gcm_decrypt == NULL)
        k->gcm_decrypt = cipher_new(EVP_aes_128_gcm(), key, 0);
    EVP_CIPHER_CTX *c = k->gcm_decrypt;
    memcpy(expected, tag, sizeof expected); /* the interface wants it writable */
    must(EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce) == 1);
    must(aad_len == 0 || EVP_DecryptUpdate(c, NULL, &n, aad, (int)aad_len) == 1);
    must(len == 0 || EVP_DecryptUpdate(c, out, &n, in, (int)len) == 1);
    must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, 16, expected) == 1);
    return EVP_DecryptFinal_ex(c, &none, &n) == 1;
}

/* see oracle.h */
void oracle_session_key(uint8_t out[16], bool is_35, const uint8_t local_key[16], const uint8_t client_nonce[16],
                        const uint8_t device_nonce[16])
{
    uint8_t tag[16];
    for (int i = 0; i < 16; i++)
        out[i] = client_nonce[i] ^ device_nonce[i];
    if (is_35)
        oracle_gcm_seal(out, tag, local_key, client_nonce, NULL, 0, out, 16);
    else
        oracle_ecb(true, local_key, out, 16);
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* see oracle.h */
size_t oracle_base64(uint8_t *out, const uint8_t *in, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits =
            (uint32_t)in[i] << 16 | (have > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (have > 2 ? in[i + 2] : 0);
        out[n++] = (uint8_t)alphabet[bits >> 18];
        out[n++] = (uint8_t)alphabet[bits >> 12 & 63];
        out[n++] = have > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
        out[n++] = have > 2 ? (uint8_t)alphabet[bits & 63] : '=';
    }
    return n;
}

static int digit64(uint8_t c)
{
    const char *p = c == 0 ? NULL : strchr(alphabet, c);
    return p == NULL ? -1 : (int)(p - alphabet);
}

/* see oracle.h */
size_t oracle_unbase64(uint8_t *out, const uint8_t *in, size_t len)
{
    size_t n = 0;
    if (len % 4 != 0)
        return SIZE_MAX;
    for (size_t i = 0; i < len; i += 4) {
        bool last = i + 4 == len;
        int fill = last && in[i + 3] == '=' ? (in[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t bits = 0;
        for (int j = 0; j < 4; j++) {
            int d = j >= 4 - fill ? 0 : digit64(in[i + (size_t)j]);
            if (d < 0)
                return SIZE_MAX;
            bits = bits << 6 | (uint32_t)d;
        }
        for (int j = 0; j < 3 - fill; j++)
            out[n++] = (uint8_t)(bits >> (16 - 8 * j));
    }
    return n;
}

/* see oracle.h. "data=" b64 "||lpv=3.1||" key, MD5, hex digits 8 to 23: spec section 3.1. */
void oracle_signature(uint8_t out[16], const uint8_t key[16], const uint8_t *b64, size_t len)
{
    uint8_t text[4096 + 64], digest[16];
    size_t n = 0;
    if (len > 4096)
        len = 4096; /* mutants are shorter; a wrong signature is a refusal like another */
    memcpy(text, "data=", 5), n = 5;
    memcpy(text + n, b64, len), n += len;
    memcpy(text + n, "||lpv=3.1||", 11), n += 11;
    memcpy(text + n, key, 16), n += 16;
    oracle_md5(digest, text, n);
    for (int i = 0; i < 8; i++) {
        out[2 * i] = (uint8_t) "0123456789abcdef"[digest[4 + i] >> 4];
        out[2 * i + 1] = (uint8_t) "0123456789abcdef"[digest[4 + i] & 15];
    }
}
