/* discovery.c - opening and making the datagrams of tuyawire/discovery.h. */
#include "tuyawire/discovery.h"
#include <string.h>
#include "internal.h"

const uint8_t tw_udp_key[TW_KEY_LEN] = {0x6c, 0x1e, 0xc8, 0xe2, 0xbb, 0x9b, 0xb5, 0x9a,
                                        0xb5, 0x0b, 0x0d, 0xaf, 0x64, 0x9b, 0x41, 0x0a};
const uint8_t tw_app_key[TW_KEY_LEN] = {0xc9, 0x93, 0x3f, 0x8c, 0x66, 0x1b, 0x1a, 0x8b,
                                        0xf6, 0x04, 0x70, 0x4c, 0xac, 0x03, 0xbe, 0x60};
const uint8_t tw_ap_key[TW_KEY_LEN] = {0xc6, 0xf2, 0x3a, 0xef, 0x1c, 0xaf, 0xb1, 0x70,
                                       0xb8, 0xd8, 0x12, 0xd7, 0x50, 0x9c, 0x8e, 0x6d};

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* A datagram borrows the wire form of one version, whatever its sender speaks on TCP: 3.4 devices announce themselves
 * with a CRC, and nobody uses the 15-byte header here. */
static enum tw_version form_of(enum tw_envelope envelope, uint32_t command)
{
    if (envelope == TW_ENVELOPE_6699)
        return TW_V35;
    return command == TW_CMD_UDP ? TW_V31 : TW_V33;
}

/* The GCM tag tells which of the few keys of the world it is. */
static int open_gcm(struct tw_message *m, tw_crypto *c, const struct tw_frame *f, enum tw_direction dir, uint8_t *buf,
                    size_t cap)
{
    const uint8_t *const keys[] = {tw_udp_key, tw_ap_key, tw_app_key};
    int rc = TW_E_INTEGRITY;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && rc == TW_E_INTEGRITY; i++)
        rc = tw_message_open(m, c, f, TW_V35, dir, keys[i], buf, cap, 0);
    return rc;
}

static int open_frame(struct tw_message *m, tw_crypto *c, const struct tw_frame *f, uint8_t *buf, size_t cap)
{
    enum tw_direction dir = f->command == TW_CMD_REQ_DEVINFO ? TW_TO_DEVICE : TW_FROM_DEVICE;
    if (f->envelope == TW_ENVELOPE_6699)
        return open_gcm(m, c, f, dir, buf, cap);
    int rc = tw_message_open(m, c, f, form_of(f->envelope, f->command), dir, tw_udp_key, buf, cap, 0);
    if (rc == TW_OK && f->command == TW_CMD_BROADCAST_LPV34)
        m->version = TW_V34;
    return rc;
}

/* Ciphertext without a frame around it: older decoders read it, so somebody must have sent it (spec section 7.1). */
static int open_bare(struct tw_message *m, tw_crypto *c, const uint8_t *datagram, size_t len, uint8_t *buf,
                     size_t cap)
{
    if (len > cap)
        return TW_E_CAPACITY;
    int rc = tw__ecb_decrypt(c, tw_udp_key, datagram, len, buf);
    if (rc != TW_OK)
        return rc;
    size_t padding = tw__padding(buf, len);
    if (padding == 0) {
        tw__wipe(buf, len);
        return TW_E_PADDING;
    }
    *m = (struct tw_message){
        .version = TW_V33, .direction = TW_FROM_DEVICE, .encrypted = true, .payload = {buf, len - padding}};
    return TW_OK;
}

/* The members that tuyawire/dps.h has no name for. */
static void read_members(struct tw_discovery *d)
{
    const struct {
        const char *name;
        struct tw_span *place;
    } strings[] = {
        {"ip", &d->ip},           {"uuid", &d->uuid}, {"productKey", &d->product_key},
        {"version", &d->version}, {"from", &d->from},
    };
    struct tw_span name;
    struct tw_value value;
    for (size_t pos = 0; tw_json_next_member(&name, &value, &pos, d->body.json);) {
        if (name.len == strlen("active") && memcmp(name.data, "active", name.len) == 0)
            d->active = value.type == TW_VALUE_INTEGER ? value.integer : -1;
        struct tw_span text = {NULL, 0}; /* stays empty for other types */
        if (value.type == TW_VALUE_STRING)
            text = (struct tw_span){value.text.data + 1, value.text.len - 2};
        for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
            if (name.len == strlen(strings[i].name) && memcmp(name.data, strings[i].name, name.len) == 0)
                *strings[i].place = text;
    }
}

/* see tuyawire/discovery.h */
int tw_discovery_open(struct tw_discovery *out, tw_crypto *c, const uint8_t *datagram, size_t len, uint8_t *buf,
                      size_t cap)
{
    struct tw_discovery d = {.active = -1};
    struct tw_frame f;
    size_t consumed;
    const struct tw_frame_rules rules = {.direction = TW_FROM_DEVICE, .max_length = TW_FRAME_LENGTH_MAX};
    int rc = tw_frame_parse(&f, &consumed, datagram, len, &rules);
    d.framed = rc == TW_OK;
    if (rc == TW_OK)
        rc = open_frame(&d.message, c, &f, buf, cap);
    else if (rc == TW_E_PREFIX && len % TW__BLOCK == 0 && len > 0)
        rc = open_bare(&d.message, c, datagram, len, buf, cap);
    if (rc == TW_OK)
        rc = tw_body_parse(&d.body, d.message.payload);
    if (rc != TW_OK)
        return rc;

    d.gw_id = d.body.gw_id;
    read_members(&d);
    d.is_request = d.message.command == TW_CMD_REQ_DEVINFO || d.from.len > 0;
    *out = d;
    return TW_OK;
}

/* ---- making --------------------------------------------------------------------------------------------------- */

static int seal(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, enum tw_version form, enum tw_direction dir,
                uint32_t command, struct tw_span json, const uint8_t *nonce)
{
    struct tw_message m;
    tw_message_init(&m, form, dir, 0, command);
    m.has_header = false;
    m.payload = json;
    return tw_message_seal(out, cap, len, c, &m, tw_udp_key, nonce);
}

/* see tuyawire/discovery.h */
int tw_discovery_seal_announcement(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, enum tw_version v,
                                   struct tw_span json, const uint8_t *nonce)
{
    const struct tw_version_traits *t = tw_version_traits(v);
    if (t == NULL)
        return TW_E_ARGUMENT;
    return seal(out, cap, len, c, form_of(t->envelope, t->discovery), TW_FROM_DEVICE, t->discovery, json, nonce);
}

/* see tuyawire/discovery.h */
int tw_discovery_seal_request(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, struct tw_span ip,
                              const uint8_t *nonce)
{
    char bytes[128]; /* an IPv6 address with its zone takes 61 at most */
    struct tw_text t = {.data = bytes, .cap = sizeof bytes};
    tw_text_put(&t, "{\"from\":\"app\",\"ip\":");
    tw_text_put_string(&t, ip);
    tw_text_put(&t, "}");
    if (t.overflow)
        return TW_E_ARGUMENT;
    struct tw_span json = {(const uint8_t *)t.data, t.len};
    return seal(out, cap, len, c, TW_V35, TW_TO_DEVICE, TW_CMD_REQ_DEVINFO, json, nonce);
}

static void put_string(struct tw_text *t, const char *name, struct tw_span value)
{
    tw_text_put(t, name);
    tw_text_put_string(t, value);
}

/* see tuyawire/discovery.h */
int tw_body_announcement(struct tw_text *t, enum tw_version v, const struct tw_announcement *a)
{
    /* What real devices of that version were seen to have behind "active" and "version", with the values seen. */
    static const struct {
        const char *ability, *tail;
    } seen[TW_N_VERSIONS] = {
        [TW_V31] = {",\"ability\":0,\"mode\":0", "}"},
        [TW_V32] = {",\"ablilty\":0", "}"}, /* sic, spec section 7.3 */
        [TW_V33] = {",\"ablilty\":0", "}"},
        [TW_V34] = {",\"ablilty\":0",
                    ",\"lan_cap\":500,\"lan_seq\":7,\"lan_ablilty\":1,\"token\":true,\"wf_cfg\":true,"
                    "\"clientLink\":2}"},
        [TW_V35] = {",\"ablilty\":0", ",\"sl\":0}"}, /* TuyaOpen tuya_lan.c */
    };
    if (tw_version_traits(v) == NULL)
        return TW_E_ARGUMENT;
    put_string(t, "{\"ip\":", a->ip);
    put_string(t, ",\"gwId\":", a->gw_id);
    if (a->uuid.len > 0)
        put_string(t, ",\"uuid\":", a->uuid);
    tw_text_put(t, ",\"active\":");
    tw_text_put_int(t, a->active);
    tw_text_put(t, seen[v].ability);
    put_string(t, ",\"encrypt\":true,\"productKey\":", a->product_key);
    tw_text_put(t, ",\"version\":\"");
    tw_text_put(t, tw_version_name(v));
    tw_text_put(t, "\"");
    tw_text_put(t, seen[v].tail);
    return t->overflow ? TW_E_CAPACITY : TW_OK;
}
