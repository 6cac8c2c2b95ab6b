/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packet-tuya.c - the Tuya LAN protocol in Wireshark: which bytes are ours, and where a frame ends.
 *
 * Takes TCP 6668 (from IPDC) and UDP 6666, 6667 and 7000 (sharing them with their other owners, by looking at the
 * bytes), and guesses on all other ports. Frames are found by the library; tuya-flow.c opens them, tuya-show.c shows
 * them. */
#include "packet-tuya.h"
#include <string.h>
#include <epan/conversation.h>
#include <epan/packet.h>
#include <epan/prefs.h>
#include <epan/proto_data.h>
#include <epan/dissectors/packet-tcp.h>
#include "tuya-flow.h"
#include "tuya-keys.h"
#include "tuya-show.h"
#include "tuya-stats.h"
#include "tuyawire/discovery.h"

enum { PREFIX_LEN = 4, SUFFIX_LEN = 4, COMMAND_MAX = 0xFF };

#define TCP_PORTS "6668"
#define UDP_PORTS "6666-6667,7000"

static int proto_tuya = -1;
static dissector_handle_t tcp_handle, udp_handle;
static gboolean reassemble = TRUE;

static const struct tw_frame_rules capture_rules = {.max_length = TW_FRAME_LENGTH_MAX};

/* ---- TCP ------------------------------------------------------------------------------------------------------ */

/* A packet may hold several frames, and be dissected in parts: a frame is known by its check value and numbers. */
static guint32 name_of(const struct tw_frame *f)
{
    const uint8_t *c = f->check.data;
    guint32 check = (guint32)c[0] << 24 | (guint32)c[1] << 16 | (guint32)c[2] << 8 | c[3];
    guint32 name = check ^ f->seq << 8 ^ f->command << 16 ^ (guint32)f->raw.len;
    return name != 0 ? name : 1; /* 0 is the mark of begin_columns() */
}

static const struct tuya_sight *sight_of(packet_info *pinfo, const struct tw_frame *f)
{
    static const struct tuya_sight unseen = {.version = TW_V33, .error = TW_E_STATE};
    guint32 name = name_of(f);
    const struct tuya_sight *s = p_get_proto_data(wmem_file_scope(), pinfo, proto_tuya, name);
    if (s != NULL)
        return s;
    if (PINFO_FD_VISITED(pinfo) || pinfo->flags.in_error_pkt)
        return &unseen; /* an ICMP error quotes it, or it is only complete now: no place to learn from */
    struct tuya_sight *kept = tuya_flow_meet(tuya_flow_of(pinfo), pinfo, f);
    p_add_proto_data(wmem_file_scope(), pinfo, proto_tuya, name, kept);
    return kept;
}

static const char *version_text(packet_info *pinfo, const struct tuya_sight *s)
{
    enum tw_version v = s->version;
    if (s->version_known || tuya_flow_version(tuya_flow_of(pinfo), &v))
        return tw_version_name(v);
    return s->version == TW_V31 ? "3.1 or 3.2" : "3.1 to 3.3";
}

static void dissect_frame(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, struct tw_frame f)
{
    size_t cap = f.body.len + 1;
    uint8_t *buf = wmem_alloc(pinfo->pool, cap);
    struct tw_message m;
    const struct tuya_sight *s = sight_of(pinfo, &f);
    bool open = tuya_sight_open(s, &f, &m, buf, cap) == TW_OK;
    tuya_show(&(struct tuya_view){.pinfo = pinfo,
                                  .tvb = tvb,
                                  .tree = tree,
                                  .f = &f,
                                  .s = s,
                                  .m = open ? &m : NULL,
                                  .plain = buf,
                                  .way = s->direction == TW_FROM_DEVICE ? "from_device" : "to_device",
                                  .version = version_text(pinfo, s)});
}

/* The size that a header announces; 0: the header is not complete. Only for what tw_frame_parse() asks more of. */
static guint announced_size(const guint8 *p, guint len)
{
    enum { LENGTH_AT_55AA = 12, LENGTH_AT_6699 = 14 };
    bool is_6699 = len >= PREFIX_LEN && p[2] == 0x66;
    guint at = is_6699 ? LENGTH_AT_6699 : LENGTH_AT_55AA;
    if (len < at + 4)
        return 0;
    guint length = (guint)p[at + 2] << 8 | p[at + 3]; /* above 65535 is refused, so the upper half is 0 */
    return at + 4 + length + (is_6699 ? SUFFIX_LEN : 0);
}

/* A damaged length field would hide all that follows, up to 64 KB. Where it announces more than devices were ever seen
 * to send, and the segment ends with the suffix of this kind of frame, the frame ends there, too. */
static bool length_is_damaged(const guint8 *p, guint left)
{
    static const guint8 suffix_55aa[] = {0x00, 0x00, 0xAA, 0x55}, suffix_6699[] = {0x00, 0x00, 0x99, 0x66};
    if (announced_size(p, left) <= TW_FRAME_LENGTH_DEFAULT)
        return false;
    return memcmp(p + left - SUFFIX_LEN, p[2] == 0x66 ? suffix_6699 : suffix_55aa, SUFFIX_LEN) == 0;
}

static const char *why_cut(packet_info *pinfo, tvbuff_t *tvb)
{
    guint len = tvb_captured_length(tvb), whole = tvb_reported_length(tvb);
    const guint8 *p = tvb_get_ptr(tvb, 0, (gint)len);
    if (len < whole)
        return wmem_strdup_printf(pinfo->pool, "[%u of %u bytes of a frame, the rest was not captured]", len, whole);
    if (length_is_damaged(p, len))
        return wmem_strdup_printf(pinfo->pool, "[frame of %u bytes that says it has %u]", len,
                                  announced_size(p, len));
    return wmem_strdup_printf(pinfo->pool, "[%u bytes of a frame, the rest did not come]", len);
}

static int dissect_pdu(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    guint len = tvb_captured_length(tvb);
    struct tw_frame f;
    size_t consumed;
    int rc = tw_frame_parse(&f, &consumed, tvb_get_ptr(tvb, 0, (gint)len), len, &capture_rules);
    if (rc == TW_OK)
        dissect_frame(tvb, pinfo, tree, f);
    else if (rc == TW_NEED_MORE)
        tuya_show_stray(tvb, pinfo, tree, true, why_cut(pinfo, tvb));
    else
        tuya_show_stray(tvb, pinfo, tree, false,
                        wmem_strdup_printf(pinfo->pool, "[skipped %u bytes: %s]", len, tw_strerror(rc)));
    return (int)len;
}

/* A frame, or the bytes up to where the next could begin. */
static guint pdu_len(packet_info *pinfo, tvbuff_t *tvb, int offset, void *data _U_)
{
    guint left = tvb_captured_length_remaining(tvb, offset);
    const guint8 *p = tvb_get_ptr(tvb, offset, (gint)left);
    struct tw_frame f;
    size_t consumed, more;
    int rc = tw_frame_parse(&f, &consumed, p, left, &capture_rules);
    if (rc == TW_OK)
        return (guint)consumed;
    if (rc != TW_NEED_MORE) {
        if (rc != TW_E_PREFIX &&
            tw_frame_parse(&f, &more, p + consumed, left - consumed, &capture_rules) == TW_E_PREFIX)
            consumed += more;
        return (guint)consumed;
    }
    if (length_is_damaged(p, left))
        return left;
    guint size = announced_size(p, left);
    if (size > 0)
        return size;
    return reassemble && pinfo->can_desegment ? 0 : (guint)tvb_reported_length_remaining(tvb, offset);
}

/* In a connection that has shown no frame yet: does one begin here, or in the middle of this segment? */
static bool shows_a_frame(tvbuff_t *tvb)
{
    guint len = tvb_captured_length(tvb);
    const guint8 *p = tvb_get_ptr(tvb, 0, (gint)len);
    struct tw_frame f;
    size_t consumed;
    int rc = tw_frame_parse(&f, &consumed, p, len, &capture_rules);
    return rc == TW_OK || rc == TW_NEED_MORE || (rc == TW_E_PREFIX && len - consumed >= PREFIX_LEN);
}

static int dissect_tcp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    if (!tuya_flow_is_tuya(tuya_flow_of(pinfo), pinfo) && !shows_a_frame(tvb))
        return 0;
    tcp_dissect_pdus(tvb, pinfo, tree, reassemble, 1, pdu_len, dissect_pdu, data);
    return (int)tvb_captured_length(tvb);
}

/* On any port: a segment that begins with a frame, as far as it goes. */
static gboolean guess_tcp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    guint len = tvb_captured_length(tvb);
    if (len < PREFIX_LEN)
        return FALSE;
    const guint8 *p = tvb_get_ptr(tvb, 0, (gint)len);
    struct tw_frame f;
    size_t consumed;
    int rc = tw_frame_parse(&f, &consumed, p, len, &capture_rules);
    guint cmd_at = p[2] == 0x66 ? 10 : 8;
    if (rc != TW_OK && rc != TW_NEED_MORE)
        return FALSE;
    if (len >= cmd_at + 4 && tvb_get_ntohl(tvb, (gint)cmd_at) > COMMAND_MAX)
        return FALSE;
    conversation_set_dissector(find_or_create_conversation(pinfo), tcp_handle);
    return dissect_tcp(tvb, pinfo, tree, data) > 0;
}

/* ---- UDP ------------------------------------------------------------------------------------------------------ */

/* The ports have other owners (sigcomp, rx): what is not ours goes on to them. */
static struct {
    guint32 port;
    dissector_handle_t owner;
} former_owners[] = {{TW_UDP_PORT_CLEAR, NULL}, {TW_UDP_PORT_ENCRYPTED, NULL}, {TW_UDP_PORT_REQUEST, NULL}};

static int call_former_owner(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    for (size_t i = 0; i < array_length(former_owners); i++)
        if (former_owners[i].port == pinfo->match_uint && former_owners[i].owner != NULL)
            return call_dissector_only(former_owners[i].owner, tvb, pinfo, tree, data);
    return 0;
}

static void remember_announcement(packet_info *pinfo, const struct tw_discovery *d)
{
    enum tw_version v = TW_V33;
    if (PINFO_FD_VISITED(pinfo) || d->is_request || d->gw_id.len == 0)
        return;
    bool has_version = tw_version_parse(&v, (const char *)d->version.data, d->version.len) == TW_OK;
    tuya_flow_announced(&pinfo->src, (const char *)d->gw_id.data, d->gw_id.len, has_version, v);
}

static void show_datagram(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, const struct tw_frame *f, int error,
                          const struct tw_discovery *d, const uint8_t *buf)
{
    struct tuya_sight s = {.version = f->envelope == TW_ENVELOPE_6699 ? TW_V35 : TW_V33,
                           .version_known = true,
                           .integrity = f->integrity,
                           .error = error};
    if (error == TW_OK) {
        s.version = d->message.version;
        s.use = d->message.encrypted ? TUYA_KEY_DISCOVERY : TUYA_KEY_NONE;
        if (d->gw_id.len > 0)
            s.device = wmem_strndup(pinfo->pool, (const char *)d->gw_id.data, d->gw_id.len);
    }
    tuya_show(&(struct tuya_view){.pinfo = pinfo,
                                  .tvb = tvb,
                                  .tree = tree,
                                  .f = f,
                                  .s = &s,
                                  .m = error == TW_OK ? &d->message : NULL,
                                  .plain = buf,
                                  .d = error == TW_OK ? d : NULL,
                                  .way = "broadcast",
                                  .version = tw_version_name(s.version)});
}

/* @return true if the datagram was ours, and shown */
static bool show_if_tuya(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, bool guessing)
{
    guint len = tvb_captured_length(tvb);
    if (len == 0 || tuya_keyring() == NULL)
        return false;
    const guint8 *p = tvb_get_ptr(tvb, 0, (gint)len);
    uint8_t *buf = wmem_alloc(pinfo->pool, len);
    struct tw_discovery d;
    struct tw_frame f;
    size_t consumed;
    int framed = tw_frame_parse(&f, &consumed, p, len, &capture_rules);
    if (guessing && (framed != TW_OK || consumed != len || f.command > COMMAND_MAX))
        return false;
    int rc = tw_discovery_open(&d, tw_keyring_crypto(tuya_keyring()), p, len, buf, len);
    if (rc == TW_OK)
        remember_announcement(pinfo, &d);
    if (framed == TW_OK)
        show_datagram(tvb_new_subset_length(tvb, 0, (gint)consumed), pinfo, tree, &f, rc, &d, buf);
    else if (rc == TW_OK)
        tuya_show_bare(tvb, pinfo, tree, d.message.payload);
    else if (framed != TW_E_PREFIX && len > PREFIX_LEN)
        tuya_show_stray(tvb, pinfo, tree, framed == TW_NEED_MORE,
                        wmem_strdup_printf(pinfo->pool, "[damaged datagram: %s]", tw_strerror(framed)));
    else
        return false;
    return true;
}

static int dissect_udp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    if (!show_if_tuya(tvb, pinfo, tree, false))
        return call_former_owner(tvb, pinfo, tree, data);
    return (int)tvb_captured_length(tvb);
}

static gboolean guess_udp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    return show_if_tuya(tvb, pinfo, tree, true);
}

/* ---- registration --------------------------------------------------------------------------------------------- */

/* see packet-tuya.h */
void proto_register_tuya(void)
{
    proto_tuya = proto_register_protocol("Tuya LAN Protocol", "Tuya", "tuya");
    tuya_show_register(proto_tuya);
    tcp_handle = register_dissector("tuya", dissect_tcp, proto_tuya);
    udp_handle = register_dissector("tuya.udp", dissect_udp, proto_tuya);
    tuya_flow_register(proto_tuya);

    module_t *module = prefs_register_protocol(proto_tuya, NULL);
    prefs_register_bool_preference(module, "reassemble", "Reassemble frames that span several TCP segments",
                                   "TCP has to be allowed to reassemble streams, too.", &reassemble);
    tuya_keys_preferences(module);
}

/* see packet-tuya.h */
void proto_reg_handoff_tuya(void)
{
    dissector_table_t udp = find_dissector_table("udp.port");
    for (size_t i = 0; i < array_length(former_owners); i++)
        former_owners[i].owner = dissector_get_uint_handle(udp, former_owners[i].port);
    dissector_add_uint_range_with_preference("tcp.port", TCP_PORTS, tcp_handle);
    dissector_add_uint_range_with_preference("udp.port", UDP_PORTS, udp_handle);
    heur_dissector_add("tcp", guess_tcp, "Tuya over TCP", "tuya_tcp", proto_tuya, HEURISTIC_ENABLE);
    heur_dissector_add("udp", guess_udp, "Tuya discovery", "tuya_udp", proto_tuya, HEURISTIC_ENABLE);
    tuya_show_handoff();
    tuya_stats_register();
}
