/* bench_dump_limit.c - the limit for decoders: pcap_loop, verify, decrypt; nothing is reassembled and nothing written.
 *
 *   bench_dump_limit VERSION SESSION_KEY_HEX FILE.pcap
 *
 * Knows everything beforehand: version, keys, one whole frame per packet, Ethernet and IPv4 without options. CRC-32 of
 * libdeflate, contexts of OpenSSL keyed once: the fastest safe patterns. Prints how many messages it opened. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <libdeflate.h>
#include <openssl/evp.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS = 14 + 20 + 20, BLOCK = 64 };

struct limit {
    int version;                     /* 1, 3, 4, 5 */
    EVP_CIPHER_CTX *ecb[2], *gcm[2]; /* under the local key, under the session key */
    SHA256_CTX inner[2], outer[2];
    unsigned long n_good, n_bad;
    unsigned char plain[65536];
};

static unsigned be32(const unsigned char *p)
{
    return (unsigned)p[0] << 24 | (unsigned)p[1] << 16 | (unsigned)p[2] << 8 | p[3];
}

static int unpad_ok(const unsigned char *p, size_t len)
{
    size_t pad = len > 0 ? p[len - 1] : 0;
    if (pad == 0 || pad > 16)
        return 0;
    for (size_t i = 1; i <= pad; i++)
        if (p[len - i] != pad)
            return 0;
    return 1;
}

static int open_ecb(struct limit *l, const unsigned char *body, size_t len, int session)
{
    int n;
    if (len % 16 != 0)
        return 0;
    if (len == 0)
        return 1;
    return EVP_DecryptUpdate(l->ecb[session], l->plain, &n, body, (int)len) == 1 && unpad_ok(l->plain, len);
}

static int open_crc(struct limit *l, const unsigned char *f, size_t len, int from_device)
{
    const unsigned char *body = f + 16 + (from_device ? 4 : 0);
    size_t n = len - 24 - (from_device ? 4 : 0);
    if (libdeflate_crc32(0, f, len - 8) != be32(f + len - 8))
        return 0;
    if (l->version == 1) {
        if (n < 19 || memcmp(body, "3.1", 3) != 0)
            return 1;
        unsigned char digest[16];
        MD5_CTX md5;
        MD5_Init(&md5);
        MD5_Update(&md5, "data=", 5);
        MD5_Update(&md5, body + 19, n - 19);
        MD5_Update(&md5, "||lpv=3.1||0123456789abcdef", 27);
        MD5_Final(digest, &md5);
        int raw = EVP_DecodeBlock(l->plain, body + 19, (int)(n - 19));
        return raw > 0 && open_ecb(l, l->plain, (size_t)raw / 16 * 16, 0);
    }
    if (n >= 15 && memcmp(body, "3.3", 3) == 0)
        return open_ecb(l, body + 15, n - 15, 0);
    return open_ecb(l, body, n, 0);
}

static int open_hmac(struct limit *l, const unsigned char *f, size_t len, int from_device, int session)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX c = l->inner[session];
    SHA256_Update(&c, f, len - 36);
    SHA256_Final(digest, &c);
    c = l->outer[session];
    SHA256_Update(&c, digest, sizeof digest);
    SHA256_Final(digest, &c);
    if (memcmp(digest, f + len - 36, sizeof digest) != 0)
        return 0;
    size_t skip = from_device ? 20 : 16;
    return open_ecb(l, f + skip, len - 36 - skip, session);
}

static int open_gcm(struct limit *l, const unsigned char *f, size_t len, int session)
{
    EVP_CIPHER_CTX *c = l->gcm[session];
    int n;
    size_t body = len - 50;
    if (EVP_DecryptInit_ex2(c, NULL, NULL, f + 18, NULL) != 1 || EVP_DecryptUpdate(c, NULL, &n, f + 4, 14) != 1 ||
        EVP_DecryptUpdate(c, l->plain, &n, f + 30, (int)body) != 1)
        return 0;
    if (EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(f + 30 + body)) != 1)
        return 0;
    return EVP_DecryptFinal_ex(c, l->plain + n, &n) == 1;
}

static void on_packet(u_char *user, const struct pcap_pkthdr *h, const u_char *p)
{
    struct limit *l = (struct limit *)user;
    if (h->caplen < HEADERS + 24)
        return;
    const unsigned char *f = p + HEADERS;
    size_t len = h->caplen - HEADERS;
    int from_device = p[34] == 6668 >> 8 && p[35] == (6668 & 255);
    unsigned command = be32(f + (l->version == 5 ? 10 : 8));
    int session = command < 3 || command > 5;
    int good = l->version == 5   ? open_gcm(l, f, len, session)
               : l->version == 4 ? open_hmac(l, f, len, from_device, session)
                                 : open_crc(l, f, len, from_device);
    l->n_good += good != 0;
    l->n_bad += good == 0;
}

static void prepare(struct limit *l, int session, const unsigned char *key)
{
    unsigned char pad[BLOCK];
    l->ecb[session] = EVP_CIPHER_CTX_new();
    EVP_DecryptInit_ex2(l->ecb[session], EVP_aes_128_ecb(), key, NULL, NULL);
    EVP_CIPHER_CTX_set_padding(l->ecb[session], 0);
    l->gcm[session] = EVP_CIPHER_CTX_new();
    EVP_DecryptInit_ex2(l->gcm[session], EVP_aes_128_gcm(), key, NULL, NULL);
    for (int outer = 0; outer < 2; outer++) {
        SHA256_CTX *c = outer ? &l->outer[session] : &l->inner[session];
        memset(pad, outer ? 0x5c : 0x36, sizeof pad);
        for (int i = 0; i < 16; i++)
            pad[i] ^= key[i];
        SHA256_Init(c);
        SHA256_Update(c, pad, sizeof pad);
    }
}

int main(int argc, char **argv)
{
    static struct limit l;
    char error[PCAP_ERRBUF_SIZE];
    unsigned char session[16] = {0};
    if (argc != 4 || strlen(argv[1]) != 3 || strlen(argv[2]) != 32)
        return 2;
    l.version = argv[1][2] - '0';
    for (int i = 0; i < 16; i++) {
        char digits[3] = {argv[2][2 * i], argv[2][2 * i + 1], 0};
        session[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    prepare(&l, 0, (const unsigned char *)"0123456789abcdef");
    prepare(&l, 1, session);
    pcap_t *pcap = pcap_open_offline(argv[3], error);
    if (pcap == NULL || pcap_loop(pcap, -1, on_packet, (u_char *)&l) != 0)
        return 1;
    pcap_close(pcap);
    printf("%lu opened, %lu not\n", l.n_good, l.n_bad);
    return l.n_bad == 0 ? 0 : 1;
}
