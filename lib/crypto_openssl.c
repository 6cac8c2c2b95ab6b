/* crypto_openssl.c - the bench of tuyawire/crypto.h on OpenSSL's libcrypto; the only file that knows it.
 *
 * The expensive parts are fetching an algorithm (once per bench) and making a key schedule (once per key, kept in a
 * slot). A packet then costs an Update, for GCM an Init with the nonce alone.
 *
 * The digests use the plain SHA256_ and MD5_ functions, which OpenSSL 3 calls deprecated: the EVP digests of 3.0
 * allocate at every restart (measured: two allocations and 320 to 430 ns per HMAC of 196 bytes against none and 250),
 * and a keyed HMAC is here two states copied by value. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "internal.h"
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/md5.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include "tuyawire/error.h"

enum { HMAC_BLOCK = 64, N_KEYS_MAX = 4096, WAYS = 4 };

enum use { ECB_ENCRYPT, ECB_DECRYPT, GCM_SEAL, GCM_OPEN, N_USES };

/* What is ready for one key. Contexts are made when first needed and keyed anew when the slot changes hands. */
struct slot {
    uint8_t key[TW_KEY_LEN];
    bool taken;
    bool keyed[N_USES], hmac_keyed;
    uint32_t used; /* when, by the bench's count */
    EVP_CIPHER_CTX *ctx[N_USES];
    SHA256_CTX inner, outer;
};

struct tw_crypto {
    EVP_CIPHER *ecb, *gcm;
    size_t n_slots, n_ways; /* powers of two */
    uint32_t count;         /* of keys taken into the hand */
    struct slot *slots, *last;
};

/* What OpenSSL has refused to do since ERR_set_mark(), in our words. Its error queue belongs to the thread, not to us:
 * it is left as it was. */
static int openssl_error(void)
{
    int rc = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE ? TW_E_NOMEM : TW_E_CRYPTO;
    ERR_pop_to_mark();
    return rc;
}

/* see tuyawire/crypto.h */
int tw_crypto_new(tw_crypto **out, size_t n_keys)
{
    int rc = TW_E_NOMEM;
    tw_crypto *c = calloc(1, sizeof *c);
    if (c == NULL)
        return TW_E_NOMEM;
    /* A key may lie in one of WAYS slots, chosen by a hash; twice the room keeps nearly all out of each other's way. */
    c->n_slots = 1;
    while (n_keys > 1 && c->n_slots < 2 * n_keys && c->n_slots < N_KEYS_MAX)
        c->n_slots *= 2;
    c->n_ways = c->n_slots < WAYS ? c->n_slots : WAYS;
    c->slots = c->last = calloc(c->n_slots, sizeof *c->slots);
    if (c->slots == NULL)
        goto done;
    ERR_set_mark();
    c->ecb = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
    c->gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    if (c->ecb == NULL || c->gcm == NULL) {
        rc = openssl_error();
        goto done;
    }
    ERR_clear_last_mark();
    *out = c;
    return TW_OK;
done:
    tw_crypto_free(c);
    return rc;
}

/* see tuyawire/crypto.h */
void tw_crypto_free(tw_crypto *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; c->slots != NULL && i < c->n_slots; i++) {
        for (int use = 0; use < N_USES; use++)
            EVP_CIPHER_CTX_free(c->slots[i].ctx[use]); /* wipes the key schedule */
        OPENSSL_cleanse(&c->slots[i], sizeof c->slots[i]);
    }
    free(c->slots);
    EVP_CIPHER_free(c->ecb);
    EVP_CIPHER_free(c->gcm);
    free(c);
}

static bool same_key(const uint8_t *x, const uint8_t *y)
{
    uint64_t a[2], b[2];
    memcpy(a, x, sizeof a);
    memcpy(b, y, sizeof b);
    return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

/* Fibonacci hashing of the key's two halves: the first of the slots that it may lie in. Which ones shows in timing to
 * whoever shares the machine, and so does every table lookup by key; the key itself does not. */
static struct slot *slots_of(tw_crypto *c, const uint8_t *key)
{
    uint64_t a, b;
    memcpy(&a, key, sizeof a);
    memcpy(&b, key + sizeof a, sizeof b);
    uint64_t h = (a ^ (b << 31 | b >> 33)) * UINT64_C(0x9E3779B97F4A7C15);
    return &c->slots[(h >> 40) & (c->n_slots - c->n_ways)];
}

/* The slot that this key lies in; NULL: none. */
static struct slot *find_slot(tw_crypto *c, const uint8_t *key)
{
    struct slot *set = slots_of(c, key);
    for (size_t i = 0; i < c->n_ways; i++)
        if (set[i].taken && same_key(set[i].key, key))
            return &set[i];
    return NULL;
}

/* The slot that has lain idle longest, for a key that has none. */
static struct slot *give_slot(tw_crypto *c, const uint8_t *key)
{
    struct slot *set = slots_of(c, key), *s = set;
    for (size_t i = 1; i < c->n_ways && s->taken; i++)
        if (!set[i].taken || c->count - set[i].used > c->count - s->used)
            s = &set[i];
    memcpy(s->key, key, TW_KEY_LEN);
    memset(s->keyed, 0, sizeof s->keyed);
    s->hmac_keyed = false;
    s->taken = true;
    return s;
}

static struct slot *take_slot(tw_crypto *c, const uint8_t *key)
{
    if (c->last->taken && same_key(c->last->key, key))
        return c->last;
    struct slot *s = find_slot(c, key);
    c->last = s != NULL ? s : give_slot(c, key);
    c->last->used = ++c->count;
    return c->last;
}

/* see tuyawire/crypto.h */
void tw_crypto_forget(tw_crypto *c, const uint8_t key[TW_KEY_LEN])
{
    struct slot *s = find_slot(c, key);
    if (s == NULL)
        return;
    for (int use = 0; use < N_USES; use++) {
        EVP_CIPHER_CTX_free(s->ctx[use]);
        s->ctx[use] = NULL;
    }
    OPENSSL_cleanse(s, sizeof *s);
}

/* Give the slot a context for this use, keyed; *rc says why there is none. */
static EVP_CIPHER_CTX *make_context(tw_crypto *c, struct slot *s, enum use use, int *rc)
{
    bool is_ecb = use == ECB_ENCRYPT || use == ECB_DECRYPT;
    bool encrypt = use == ECB_ENCRYPT || use == GCM_SEAL;
    /* Naming the cipher again would throw the context's inside away and allocate another. */
    const EVP_CIPHER *cipher = s->ctx[use] != NULL ? NULL : is_ecb ? c->ecb : c->gcm;
    ERR_set_mark();
    if (s->ctx[use] == NULL && (s->ctx[use] = EVP_CIPHER_CTX_new()) == NULL) {
        *rc = openssl_error();
        return NULL;
    }
    /* Padding off for ECB alone: a GCM context would set it again with every nonce, for a third of its time. */
    if (EVP_CipherInit_ex2(s->ctx[use], cipher, s->key, NULL, encrypt, NULL) != 1 ||
        (is_ecb && EVP_CIPHER_CTX_set_padding(s->ctx[use], 0) != 1)) {
        EVP_CIPHER_CTX_free(s->ctx[use]);
        s->ctx[use] = NULL;
        *rc = openssl_error();
        return NULL;
    }
    ERR_clear_last_mark();
    s->keyed[use] = true;
    return s->ctx[use];
}

static inline EVP_CIPHER_CTX *keyed(tw_crypto *c, const uint8_t *key, enum use use, int *rc)
{
    struct slot *s = take_slot(c, key);
    return s->keyed[use] ? s->ctx[use] : make_context(c, s, use, rc);
}

static inline int ecb(tw_crypto *c, const uint8_t *key, enum use use, const uint8_t *in, size_t len, uint8_t *out)
{
    int rc = TW_E_CRYPTO, n = 0;
    if (len > INT_MAX || len % TW__BLOCK != 0) /* a part of a block would stay in the context */
        return TW_E_CRYPTO;
    EVP_CIPHER_CTX *ctx = keyed(c, key, use, &rc);
    if (ctx == NULL)
        return rc;
    int ok = use == ECB_ENCRYPT ? EVP_EncryptUpdate(ctx, out, &n, in, (int)len)
                                : EVP_DecryptUpdate(ctx, out, &n, in, (int)len);
    return ok == 1 ? TW_OK : TW_E_CRYPTO;
}

/* see internal.h */
int tw__ecb_encrypt(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t *in, size_t len, uint8_t *out)
{
    return ecb(c, key, ECB_ENCRYPT, in, len, out);
}

/* see internal.h */
int tw__ecb_decrypt(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t *in, size_t len, uint8_t *out)
{
    return ecb(c, key, ECB_DECRYPT, in, len, out);
}

/* Key and nonce in, associated data and text through; the tag is the caller's business. */
static int gcm(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, OSSL_PARAM *params, struct tw_span aad, const uint8_t *in,
               size_t len, uint8_t *out)
{
    int n = 0;
    if (len > INT_MAX || aad.len > INT_MAX || EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, -1, params) != 1)
        return TW_E_CRYPTO;
    if (aad.len > 0 && EVP_CipherUpdate(ctx, NULL, &n, aad.data, (int)aad.len) != 1)
        return TW_E_CRYPTO;
    if (len > 0 && EVP_CipherUpdate(ctx, out, &n, in, (int)len) != 1)
        return TW_E_CRYPTO;
    return TW_OK;
}

/* see internal.h */
int tw__gcm_seal(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t nonce[TW_NONCE_LEN], struct tw_span aad,
                 const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[TW_TAG_LEN])
{
    int rc = TW_E_CRYPTO, n = 0;
    uint8_t nothing[TW__BLOCK];
    EVP_CIPHER_CTX *ctx = keyed(c, key, GCM_SEAL, &rc);
    if (ctx == NULL)
        return rc;
    rc = gcm(ctx, nonce, NULL, aad, in, len, out);
    if (rc != TW_OK)
        return rc;
    OSSL_PARAM get[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TW_TAG_LEN),
                        OSSL_PARAM_construct_end()};
    if (EVP_CipherFinal_ex(ctx, nothing, &n) != 1 || EVP_CIPHER_CTX_get_params(ctx, get) != 1)
        return TW_E_CRYPTO;
    return TW_OK;
}

/* see internal.h */
int tw__gcm_open(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t nonce[TW_NONCE_LEN], struct tw_span aad,
                 const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[TW_TAG_LEN])
{
    int rc = TW_E_CRYPTO, n = 0;
    uint8_t nothing[TW__BLOCK], expected[TW_TAG_LEN];
    EVP_CIPHER_CTX *ctx = keyed(c, key, GCM_OPEN, &rc);
    if (ctx == NULL)
        return rc;
    memcpy(expected, tag, TW_TAG_LEN);
    OSSL_PARAM set[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, expected, TW_TAG_LEN),
                        OSSL_PARAM_construct_end()};
    rc = gcm(ctx, nonce, set, aad, in, len, out);
    if (rc == TW_OK && EVP_CipherFinal_ex(ctx, nothing, &n) != 1)
        rc = TW_E_INTEGRITY;
    if (rc != TW_OK && len > 0)
        OPENSSL_cleanse(out, len); /* nothing that is not proven is handed out */
    return rc;
}

static void hmac_pad(SHA256_CTX *state, const uint8_t *key, uint8_t pad)
{
    uint8_t block[HMAC_BLOCK];
    memset(block, pad, sizeof block);
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        block[i] ^= key[i];
    SHA256_Init(state);
    SHA256_Update(state, block, sizeof block);
    OPENSSL_cleanse(block, sizeof block);
}

/* see internal.h */
int tw__hmac(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t *in, size_t len, uint8_t out[TW_HMAC_LEN])
{
    struct slot *s = take_slot(c, key);
    if (!s->hmac_keyed) {
        hmac_pad(&s->inner, key, 0x36);
        hmac_pad(&s->outer, key, 0x5C);
        s->hmac_keyed = true;
    }
    SHA256_CTX state = s->inner;
    SHA256_Update(&state, in, len);
    SHA256_Final(out, &state);
    state = s->outer;
    SHA256_Update(&state, out, TW_HMAC_LEN);
    return SHA256_Final(out, &state) == 1 ? TW_OK : TW_E_CRYPTO;
}

/* see internal.h */
int tw__md5(tw_crypto *c, const struct tw_span *parts, size_t n, uint8_t out[TW__MD5_LEN])
{
    (void)c;
    MD5_CTX state;
    if (MD5_Init(&state) != 1)
        return TW_E_CRYPTO;
    for (size_t i = 0; i < n; i++)
        MD5_Update(&state, parts[i].data, parts[i].len);
    return MD5_Final(out, &state) == 1 ? TW_OK : TW_E_CRYPTO;
}

/* see internal.h; no branch depends on the bytes. CRYPTO_memcmp() looks at them one by one, for a tenth of an HMAC. */
bool tw__equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint64_t differences = 0;
    for (; len >= 8; a += 8, b += 8, len -= 8) {
        uint64_t x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        differences |= x ^ y;
    }
    for (; len > 0; a++, b++, len--)
        differences |= (uint64_t)(*a ^ *b);
    return differences == 0;
}

/* see internal.h */
void tw__wipe(void *p, size_t len)
{
    OPENSSL_cleanse(p, len);
}
