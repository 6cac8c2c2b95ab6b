/* find.c - on a port with many devices a client reaches the one whose key it has, whoever came before it.
 *
 * Reaches: sim/find.c. Input: a context byte (for the mutator), then what a client sends first. Three devices of each
 * version share the port; one of each version has the fixed local key, and one of 3.4 and 3.5 the session key, so that
 * whatever the mutator seals is somebody's. */
#include "common/fuzz.h"
#include <string.h>
#include "common/oracle.h"
#include "common/wire.h"
#include "sim/find.h"
#include "tuyawire/frame.h"

const struct fuzz_harness fuzz_harness = {
    .name = "find",
    .claim = "a first frame finds the device under whose key it was sealed, whoever came before and whatever the cut",
    .form = FUZZ_STREAM,
    .keys = FUZZ_KEYS_CONNECTION,
    .context_len = 1,
};

enum { OF_A_VERSION = 3, CLOSE_LOOKS = 6 };

static struct fleet fleet;
static struct wire wire;

static void begin(void)
{
    const struct profile *plug;
    struct why why;
    CHECK(fleet_init(&fleet, 1, 1700000000) == 0 && profile_builtin(&plug, "basic-plug") == 0);
    for (unsigned v = 0; v < TW_N_VERSIONS; v++)
        for (unsigned i = 0; i < OF_A_VERSION; i++) {
            char id[] = "fake000000000000000vxi";
            uint8_t key[TW_KEY_LEN + 1] = "somebody's key: ";
            id[19] = (char)(key[14] = (uint8_t)('0' + v));
            id[21] = (char)(key[15] = (uint8_t)('0' + i));
            bool has_local = i == v % OF_A_VERSION, has_session = i == (v + 1) % OF_A_VERSION && v >= TW_V34;
            const uint8_t *session = v == TW_V34 ? fuzz_session_key_34 : fuzz_session_key_35;
            CHECK(fleet_add(&fleet, plug, v == 0 && has_local ? fuzz_device_id : id, NULL,
                            has_local     ? fuzz_local_key
                            : has_session ? session
                                          : key,
                            (enum tw_version)v, &why) == 0);
        }
    profile_unref(plug);
}

/* What the frame is to somebody who has only this key. */
static const struct wire_frame *look_with(const uint8_t *key, enum tw_version v, struct tw_span raw)
{
    struct wire_keys keys;
    wire_keys_init(&keys, FUZZ_KEYS_CONNECTION, (unsigned)v);
    memcpy(keys.local, key, TW_KEY_LEN);
    memcpy(keys.session, key, TW_KEY_LEN);
    wire_clear(&wire);
    wire_read(&wire, &keys, (unsigned)v, true, raw.data, raw.len);
    return &wire.frames[0];
}

static bool is_json(const struct wire_frame *f)
{
    struct tw_body body;
    return f->plain_len > 0 && tw_body_parse(&body, (struct tw_span){f->plain, f->plain_len}) == TW_OK;
}

/* It is in the signed form of 3.1, and the signature is that of this key. A CRC of zero is no CRC. */
static bool is_signed(const struct wire_frame *f, const uint8_t *key, struct tw_span raw)
{
    uint8_t signature[16];
    const uint8_t *check = raw.data + raw.len - 8;
    if (f->secret != WIRE_B64 || f->front_len != 19 || !(f->intact || memcmp(check, "\0\0\0", 4) == 0))
        return false;
    oracle_signature(signature, key, raw.data + 16 + 19, raw.len - 16 - 19 - 8);
    return memcmp(signature, f->front + 3, sizeof signature) == 0;
}

/* It was sealed under the key of this device, in the manner of its version. */
static bool is_sealed_for(const struct device *d, struct tw_span raw)
{
    const struct wire_frame *f = look_with(d->key, d->version, raw);
    switch (d->version) {
    case TW_V35: return f->kind == WIRE_6699 && f->intact;
    case TW_V34: return f->kind == WIRE_55AA && f->hmac && f->intact;
    case TW_V31: return is_signed(f, d->key, raw);
    default: break;
    }
    bool header = f->front_len == 15 && memcmp(f->front, "3.", 2) == 0 && f->front[2] >= '0' && f->front[2] <= '9' &&
                  !tw_command_is_handshake(f->command);
    return f->intact && f->secret == WIRE_ECB && (header || f->front_len == 0) && (is_json(f) || f->plain_len == 0);
}

static bool is_id_of(const struct device *d, struct tw_span id)
{
    return id.len == strlen(d->id) && memcmp(id.data, d->id, id.len) == 0;
}

/* In clear, it says whom it means. */
static bool names(const struct device *d, const struct tw_frame *f)
{
    struct tw_body b;
    return f->body.len > 0 && f->body.data[0] == '{' && tw_body_parse(&b, f->body) == TW_OK &&
           (is_id_of(d, b.gw_id) || is_id_of(d, b.dev_id) || is_id_of(d, b.uid));
}

/* Whoever is found was meant; or nobody was, and the first 3.3 device speaks for all. */
static void check_found(const struct device *d, const struct tw_frame *f)
{
    bool meant = names(d, f) || is_sealed_for(d, f->raw);
    fuzz_gate(meant);
    if (meant)
        return;
    CHECK(d->version == TW_V33 && d->number == TW_V33 * OF_A_VERSION && f->envelope == TW_ENVELOPE_55AA);
    for (size_t i = 0; i < fleet.n; i++)
        CHECK(fleet.devices[i].version == TW_V34 || !is_sealed_for(&fleet.devices[i], f->raw));
}

/* Whoever was meant is found. */
static void check_missed(const struct tw_frame *f)
{
    for (size_t i = 0; i < fleet.n; i++)
        CHECK(!is_sealed_for(&fleet.devices[i], f->raw));
    fuzz_gate(false);
}

struct outcome {
    enum finding finding; /* DEVICE, NOBODY, or MORE: it was not said yet */
    const struct device *device;
    size_t at;
};

/* What the port does with these bytes.
 * @param piece_max    they arrive in pieces of up to so many; 0: whole
 * @param close_looks  so many frames are held against the oracle */
static struct outcome arrive(struct finder *finder, const uint8_t *data, size_t size, size_t piece_max,
                             unsigned close_looks)
{
    struct outcome o = {FIND_MORE, NULL, 0};
    struct fuzz_rng cuts = {fuzz_hash(data, size)};
    fuzz_hide(data, size);
    for (size_t end = 0; end < size;) {
        size_t left = size - end, piece = piece_max == 0 ? left : 1 + fuzz_rng_below(&cuts, piece_max);
        piece = piece < left ? piece : left;
        fuzz_show(data + end, piece);
        end += piece;
        do {
            static const struct tw_frame_rules rules = {TW_INTEGRITY_CRC32, TW_TO_DEVICE, false, 0};
            struct device *d = NULL;
            struct tw_frame f;
            size_t used = SIZE_MAX, size_of_it;
            o.finding = finder_look(finder, data + o.at, end - o.at, &d, &used);
            bool is_frame = tw_frame_parse(&f, &size_of_it, data + o.at, end - o.at, &rules) == TW_OK;
            CHECK((d != NULL) == (o.finding == FIND_DEVICE) && (d == NULL || is_frame));
            if (close_looks > 0 && is_frame) {
                close_looks--;
                if (d != NULL)
                    check_found(d, &f);
                else
                    check_missed(&f);
            }
            o.device = d;
            if (o.finding == FIND_DEVICE || o.finding == FIND_NOBODY) {
                fuzz_show(data, size);
                return o;
            }
            CHECK(o.finding == FIND_MORE || (used > 0 && used <= end - o.at));
            o.at += o.finding == FIND_MORE ? 0 : used;
        } while (o.finding != FIND_MORE);
    }
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct finder *finder;
    if (size < 1 || size > FIND_BYTES_MAX)
        return 0;
    if (fleet.n == 0)
        begin();
    fuzz_gates.version = fuzz_context_version(data[0]);
    data++, size--;
    CHECK(finder_new(&finder, &fleet) == 0);
    struct outcome first = arrive(finder, data, size, 0, CLOSE_LOOKS);
    struct outcome again = arrive(finder, data, size, 0, 0); /* everybody is known now */
    CHECK(again.finding == first.finding && again.device == first.device && again.at == first.at);
    /* A frame that is nobody's is passed over if another follows at once, as when a client probes for 3.4 and 3.5. */
    struct outcome cut = arrive(finder, data, size, size / 4 + 1, 0);
    CHECK((cut.device == first.device && cut.at == first.at) || cut.finding == FIND_NOBODY);
    finder_free(finder);
    return 0;
}
