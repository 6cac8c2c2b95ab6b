/* bench_message.c - what opening and sealing cost beside the cryptography that they cannot do without.
 *
 * The other side is the cryptography alone on the same bytes, in the fastest way we know: contexts keyed beforehand,
 * no padding logic, the GCM tag handed in with the nonce, CRC-32 from libdeflate. No parsing, no comparing of return
 * codes, no checks. 3.4 has two other sides: HMAC from copies of prepared EVP contexts, which is what a program can do
 * with the supported interface, and from copies of plain SHA-256 states, which are faster and deprecated, and what
 * the library uses itself.
 *
 * Exit status 1 when a ratio is above what must never be exceeded. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/md5.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pairs.h"
#include "tuyawire/message.h"

enum { N_PAIRS = 31, RETCODE = 4, HEADER = 15 };

static const uint8_t key[TW_KEY_LEN] = "0123456789abcdef";
static const uint8_t nonce[TW_NONCE_LEN] = "once only...";
/* 150 bytes, as an energy plug pushes them */
static const char json[] =
    "{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"9\":0,\"18\":2340,\"19\":5230,\"20\":2301,"
    "\"21\":1,\"22\":627,\"23\":29228,\"24\":17033,\"25\":2460},\"t\":1700000000}";
_Static_assert(sizeof json - 1 == 150, "the benchmark is defined for 150 bytes");

static volatile uint32_t sink; /* results go here, so that nothing is optimised away */

struct subject {
    enum tw_version version;
    tw_crypto *crypto;
    struct tw_message message;
    uint8_t frame[1024], out[1024], plain[1024];
    size_t len;
    /* the bare side */
    EVP_CIPHER_CTX *ecb_encrypt, *ecb_decrypt, *gcm_seal, *gcm_open;
    bool evp_hmac; /* by EVP_MD_CTX copies; otherwise by SHA256_CTX copies */
    EVP_MD_CTX *evp_inner, *evp_outer, *evp_now;
    SHA256_CTX inner, outer;
};

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_message: %s failed\n", what);
        exit(2);
    }
}

static EVP_CIPHER_CTX *keyed(const char *name, int encrypt)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(cipher != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, cipher, key, NULL, encrypt, NULL) == 1, name);
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    EVP_CIPHER_free(cipher);
    return ctx;
}

/* Both kinds of state behind the first block of an HMAC. */
static EVP_MD_CTX *hmac_state(SHA256_CTX *state, uint8_t pad)
{
    uint8_t block[64];
    memset(block, pad, sizeof block);
    for (size_t i = 0; i < sizeof key; i++)
        block[i] ^= key[i];
    SHA256_Init(state);
    SHA256_Update(state, block, sizeof block);

    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(md != NULL && ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1 &&
             EVP_DigestUpdate(ctx, block, sizeof block) == 1,
         "SHA256");
    EVP_MD_free(md);
    return ctx;
}

static void prepare(struct subject *s, enum tw_version v, bool evp_hmac)
{
    *s = (struct subject){.version = v, .evp_hmac = evp_hmac};
    must(tw_crypto_new(&s->crypto, 1) == TW_OK, "tw_crypto_new");
    tw_message_init(&s->message, v, TW_FROM_DEVICE, 1, TW_CMD_STATUS);
    s->message.payload = (struct tw_span){(const uint8_t *)json, sizeof json - 1};
    must(tw_message_seal(s->frame, sizeof s->frame, &s->len, s->crypto, &s->message, key, nonce) == TW_OK, "sealing");
    s->ecb_encrypt = keyed("AES-128-ECB", 1);
    s->ecb_decrypt = keyed("AES-128-ECB", 0);
    s->gcm_seal = keyed("AES-128-GCM", 1);
    s->gcm_open = keyed("AES-128-GCM", 0);
    s->evp_inner = hmac_state(&s->inner, 0x36);
    s->evp_outer = hmac_state(&s->outer, 0x5C);
    s->evp_now = EVP_MD_CTX_new();
}

static void dispose(struct subject *s)
{
    tw_crypto_free(s->crypto);
    EVP_CIPHER_CTX_free(s->ecb_encrypt);
    EVP_CIPHER_CTX_free(s->ecb_decrypt);
    EVP_CIPHER_CTX_free(s->gcm_seal);
    EVP_CIPHER_CTX_free(s->gcm_open);
    EVP_MD_CTX_free(s->evp_inner);
    EVP_MD_CTX_free(s->evp_outer);
    EVP_MD_CTX_free(s->evp_now);
}

/* ------ with the library ------ */

static void library_open(void *ctx, size_t n)
{
    struct subject *s = ctx;
    const struct tw_frame_rules rules = {.integrity = tw_version_traits(s->version)->integrity,
                                         .direction = TW_FROM_DEVICE};
    for (size_t i = 0; i < n; i++) {
        struct tw_frame f;
        struct tw_message m;
        size_t consumed;
        must(tw_frame_parse(&f, &consumed, s->frame, s->len, &rules) == TW_OK, "parsing");
        must(tw_message_open(&m, s->crypto, &f, s->version, TW_FROM_DEVICE, key, s->plain, sizeof s->plain, 0) ==
                 TW_OK,
             "opening");
        sink += m.payload.data[0];
    }
}

static void library_seal(void *ctx, size_t n)
{
    struct subject *s = ctx;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        must(tw_message_seal(s->out, sizeof s->out, &len, s->crypto, &s->message, key, nonce) == TW_OK, "sealing");
        sink += s->out[len - 5];
    }
}

/* ------ the cryptography alone ------ */

static void hmac(struct subject *s, const uint8_t *in, size_t len, uint8_t out[SHA256_DIGEST_LENGTH])
{
    if (s->evp_hmac) {
        unsigned n;
        EVP_MD_CTX_copy_ex(s->evp_now, s->evp_inner);
        EVP_DigestUpdate(s->evp_now, in, len);
        EVP_DigestFinal_ex(s->evp_now, out, &n);
        EVP_MD_CTX_copy_ex(s->evp_now, s->evp_outer);
        EVP_DigestUpdate(s->evp_now, out, SHA256_DIGEST_LENGTH);
        EVP_DigestFinal_ex(s->evp_now, out, &n);
        return;
    }
    SHA256_CTX state = s->inner;
    SHA256_Update(&state, in, len);
    SHA256_Final(out, &state);
    state = s->outer;
    SHA256_Update(&state, out, SHA256_DIGEST_LENGTH);
    SHA256_Final(out, &state);
}

/* What the signature of 3.1 costs; the base64 around it is not cryptography. */
static void md5(const uint8_t *b64, size_t len, uint8_t out[MD5_DIGEST_LENGTH])
{
    MD5_CTX state;
    MD5_Init(&state);
    MD5_Update(&state, "data=", 5);
    MD5_Update(&state, b64, len);
    MD5_Update(&state, "||lpv=3.1||", 11);
    MD5_Update(&state, key, sizeof key);
    MD5_Final(out, &state);
}

/* Where the ciphertext stands, by version: 55AA header, return code, clear header or signature. */
static size_t cipher_at(enum tw_version v)
{
    return v == TW_V31 ? 16 + RETCODE + 19 : v == TW_V34 ? 16 + RETCODE : 16 + RETCODE + HEADER;
}

static void bare_open(void *ctx, size_t n)
{
    struct subject *s = ctx;
    size_t at = cipher_at(s->version), check = s->version == TW_V34 ? 36 : 8;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int done;
    for (size_t i = 0; i < n; i++) {
        if (s->version == TW_V34)
            hmac(s, s->frame, s->len - check, digest);
        else
            sink += libdeflate_crc32(0, s->frame, s->len - check);
        size_t len = s->len - check - at;
        if (s->version == TW_V31) {
            md5(s->frame + at, len, digest);
            len = len / 4 * 3 / 16 * 16;
        }
        EVP_DecryptUpdate(s->ecb_decrypt, s->plain, &done, s->frame + at, (int)len);
        sink += s->plain[0];
    }
}

static void bare_seal(void *ctx, size_t n)
{
    struct subject *s = ctx;
    size_t at = cipher_at(s->version), check = s->version == TW_V34 ? 36 : 8;
    size_t padded = ((s->version == TW_V34 ? HEADER : 0) + sizeof json - 1) / 16 * 16 + 16;
    int done;
    memset(s->plain, 'x', sizeof s->plain);
    for (size_t i = 0; i < n; i++) {
        EVP_EncryptUpdate(s->ecb_encrypt, s->out + at, &done, s->plain, (int)padded);
        if (s->version == TW_V31)
            md5(s->out + at, s->len - check - at, s->out + 20);
        if (s->version == TW_V34)
            hmac(s, s->out, s->len - check, s->out + s->len - check);
        else
            sink += libdeflate_crc32(0, s->out, s->len - check);
        sink += s->out[at];
    }
}

static void bare_open_gcm(void *ctx, size_t n)
{
    struct subject *s = ctx;
    size_t len = s->len - 18 - 12 - 16 - 4;
    int done;
    for (size_t i = 0; i < n; i++) {
        OSSL_PARAM tag[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, s->frame + 30 + len, 16),
                            OSSL_PARAM_construct_end()};
        EVP_DecryptInit_ex2(s->gcm_open, NULL, NULL, s->frame + 18, tag);
        EVP_DecryptUpdate(s->gcm_open, NULL, &done, s->frame + 4, 14);
        EVP_DecryptUpdate(s->gcm_open, s->plain, &done, s->frame + 30, (int)len);
        must(EVP_DecryptFinal_ex(s->gcm_open, s->plain + len, &done) == 1, "the tag");
        sink += s->plain[0];
    }
}

static void bare_seal_gcm(void *ctx, size_t n)
{
    struct subject *s = ctx;
    size_t len = s->len - 18 - 12 - 16 - 4;
    int done;
    OSSL_PARAM tag[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, s->out + 30 + len, 16),
                        OSSL_PARAM_construct_end()};
    for (size_t i = 0; i < n; i++) {
        EVP_EncryptInit_ex2(s->gcm_seal, NULL, NULL, nonce, NULL);
        EVP_EncryptUpdate(s->gcm_seal, NULL, &done, s->frame + 4, 14);
        EVP_EncryptUpdate(s->gcm_seal, s->out + 30, &done, s->plain, (int)len);
        EVP_EncryptFinal_ex(s->gcm_seal, s->out + 30 + len, &done);
        EVP_CIPHER_CTX_get_params(s->gcm_seal, tag);
        sink += s->out[30];
    }
}

/* ------ */

int main(void)
{
    /* The goals, and what must never be exceeded; 0: no goal. */
    static const struct {
        enum tw_version version;
        bool evp_hmac;
        const char *beside;
        double goal, never;
    } rows[] = {
        {TW_V31, false, "ECB, MD5, CRC", 0, 0},
        {TW_V33, false, "ECB, CRC", 1.40, 2.00},
        {TW_V34, true, "ECB, HMAC by EVP copies", 1.05, 1.25},
        {TW_V34, false, "ECB, HMAC by SHA-256 states", 1.05, 1.25},
        {TW_V35, false, "GCM", 1.08, 1.25},
    };
    int status = 0;
    printf("150 bytes of JSON: library / bare cryptography, median of %d interleaved pairs\n", N_PAIRS);
    printf("version  what   ratio  goal  never   library ns  bare ns  bare side\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct subject s;
        prepare(&s, rows[i].version, rows[i].evp_hmac);
        bool gcm = rows[i].version == TW_V35;
        for (int seal = 0; seal < 2; seal++) {
            struct pairs_result r =
                seal ? pairs_run(library_seal, &s, gcm ? bare_seal_gcm : bare_seal, &s, N_PAIRS, 0)
                     : pairs_run(library_open, &s, gcm ? bare_open_gcm : bare_open, &s, N_PAIRS, 0);
            bool missed = rows[i].goal > 0 && r.ratio > rows[i].goal, over = missed && r.ratio > rows[i].never;
            char goals[32] = "   -      -";
            if (rows[i].goal > 0)
                snprintf(goals, sizeof goals, "%4.2f  %5.2f", rows[i].goal, rows[i].never);
            printf("%s      %s  %6.3f  %s   %10.0f  %7.0f  %s%s\n", tw_version_name(rows[i].version),
                   seal ? "seal" : "open", r.ratio, goals, r.a_ns, r.b_ns, rows[i].beside,
                   over     ? ": TOO SLOW"
                   : missed ? ": above the goal"
                            : "");
            if (over)
                status = 1;
        }
        dispose(&s);
    }
    return status;
}
