/* peer.c - see peer.h. Encodings: spec section 3, held apart from lib/version.c on purpose. */
#include "peer.h"
#include <string.h>
#include "oracle.h"
#include "tape.h"

enum { V31, V32, V33, V34, V35 };
enum { START = 3, RESP = 4, FINISH = 5, STATUS = 8, HEART_BEAT = 9 };

/* see peer.h */
void peer_init(struct peer *p, unsigned version)
{
    *p = (struct peer){.version = version, .negotiates = version >= V34};
    wire_keys_init(&p->keys, FUZZ_KEYS_CONNECTION, version);
}

/* see peer.h */
bool peer_has_header(bool to_device, uint32_t command)
{
    static const uint8_t without[] = {0x03, 0x04, 0x05, 0x09, 0x0a, 0x10, 0x12, 0x40};
    if (!to_device)
        return command == STATUS;
    return command > 0xff || memchr(without, (int)command, sizeof without) == NULL;
}

static void put32(uint8_t *p, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t next_seq(struct peer *p, bool to_device, unsigned flags)
{
    static const uint32_t steps[] = {1, 0, 1000, UINT32_MAX};
    uint32_t *seq = to_device ? &p->client_seq : &p->device_seq;
    return *seq += steps[flags & TAPE_SEQ_STEP];
}

/* see peer.h */
size_t peer_seal(struct peer *p, bool to_device, uint32_t command, unsigned flags, const uint8_t *payload, size_t len,
                 uint8_t *out, size_t cap)
{
    static uint8_t text[PEER_FRAME_MAX];
    static const uint8_t nobodys[16] = "nobody has this", none[16];
    bool handshake = command >= START && command <= FINISH;
    bool header = peer_has_header(to_device, command) != ((flags & TAPE_NO_HEADER) != 0);
    struct wire_frame f = {.kind = p->version == V35 ? WIRE_6699 : WIRE_55AA,
                           .hmac = p->version == V34,
                           .to_device = to_device,
                           .seq = next_seq(p, to_device, flags),
                           .command = command,
                           .front = text};
    if (len > sizeof text - 64)
        return 0;
    size_t n = 0, front;
    if (!to_device) {
        put32(text, flags & TAPE_RETCODE ? 1 : 0);
        n = 4;
    }
    front = n;
    if (header && p->version == V31) {
        memcpy(text + n, "3.1................", 19); /* wire_write() signs */
        front = n += 19;
    } else if (header) {
        memset(text + n, 0, 15);
        memcpy(text + n, "3.", 2);
        text[n + 2] = (uint8_t)('1' + p->version);
        if (!to_device) {
            put32(text + n + 7, ++p->pushes);
            text[n + 14] = 1;
        }
        n += 15;
        front = p->version <= V33 ? n : front;
    }
    if (len > 0)
        memcpy(text + n, payload, len);
    bool clear = (p->version <= V32 && !header) ||
                 (len == 0 && n == front && (p->version <= V33 || !to_device || command != HEART_BEAT));
    f.secret = p->version == V35 ? WIRE_GCM : clear ? WIRE_CLEAR : header && p->version == V31 ? WIRE_B64 : WIRE_ECB;
    f.front_len = f.secret == WIRE_CLEAR ? n + len : f.secret == WIRE_GCM ? 0 : front;
    f.plain = text + f.front_len;
    f.plain_len = n + len - f.front_len;
    put32(f.nonce, 0x66757a7a);
    put32(f.nonce + 8, ++p->nonces);

    struct wire_keys keys = p->keys; /* a copy: what the tape makes up must not move the honest keys */
    keys.follow = false;
    if (p->negotiates && !p->established && !handshake)
        memcpy(keys.session, keys.local, 16);
    if (flags & TAPE_WRONG_KEY) { /* before there is a session key, the one that memory is full of */
        const uint8_t *wrong_key = p->negotiates && !p->established ? none : nobodys;
        memcpy(keys.local, wrong_key, 16);
        memcpy(keys.session, wrong_key, 16);
    }
    f.damage = WIRE_BAD_PROOF | (flags & TAPE_OTHER_KEY && p->negotiates ? WIRE_OTHER_KEY : 0) |
               (flags & TAPE_DAMAGED ? WIRE_BAD_CHECK : 0);
    size_t size = wire_write(&f, &keys, out, cap);
    if (flags & TAPE_REPLAYED && size > 0 && size <= cap - size) {
        memcpy(out + size, out, size);
        size *= 2;
    }
    return size;
}

/* see peer.h */
size_t peer_start(struct peer *p, const uint8_t client_nonce[16], uint8_t *out, size_t cap)
{
    memcpy(p->keys.client_nonce, client_nonce, 16);
    return peer_seal(p, true, START, 0, client_nonce, 16, out, cap);
}

/* see peer.h */
size_t peer_resp(struct peer *p, const uint8_t device_nonce[16], uint8_t *out, size_t cap)
{
    uint8_t resp[48];
    memcpy(p->keys.device_nonce, device_nonce, 16);
    memcpy(resp, device_nonce, 16);
    oracle_hmac(resp + 16, p->keys.local, p->keys.client_nonce, 16);
    return peer_seal(p, false, RESP, 0, resp, sizeof resp, out, cap);
}

/* see peer.h */
size_t peer_finish(struct peer *p, uint8_t *out, size_t cap)
{
    uint8_t proof[32];
    oracle_hmac(proof, p->keys.local, p->keys.device_nonce, 16);
    size_t size = peer_seal(p, true, FINISH, 0, proof, sizeof proof, out, cap);
    oracle_session_key(p->keys.session, p->version == V35, p->keys.local, p->keys.client_nonce, p->keys.device_nonce);
    p->established = true;
    return size;
}
