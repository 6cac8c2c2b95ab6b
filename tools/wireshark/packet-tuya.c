/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packet-tuya.c - the Tuya LAN protocol in Wireshark: from bytes to a tree.
 *
 * One frame is shown in three steps. Its header lies open. Its body is opened by what tuya-flow.c remembers of the
 * frame. What came out is shown as a second data source: return code, header, data points, JSON.
 *
 * The layouts and their sources are in tuyawire/frame.h and tuyawire/message.h. */
#include "packet-tuya.h"
#include <string.h>
#include <epan/conversation.h>
#include <epan/crc32-tvb.h>
#include <epan/expert.h>
#include <epan/exported_pdu.h>
#include <epan/packet.h>
#include <epan/prefs.h>
#include <epan/proto_data.h>
#include <epan/strutil.h>
#include <epan/tap.h>
#include <epan/dissectors/packet-tcp.h>
#include <wsutil/exported_pdu_tlvs.h>
#include "tuya-dps.h"
#include "tuya-flow.h"
#include "tuya-keys.h"
#include "tuya-stats.h"
#include "tuyawire/discovery.h"
#include "tuyawire/session.h"

enum { PREFIX_LEN = 4, SUFFIX_LEN = 4, CRC_LEN = 4, VERSION_TEXT_LEN = 3, COMMAND_MAX = 0xFF };

#define TCP_PORTS "6668"
#define UDP_PORTS "6666-6667,7000"

static int proto_tuya = -1;
static dissector_handle_t tcp_handle, udp_handle, json_handle;
static int tap_tuya = -1, tap_export = -1;
static gboolean reassemble = TRUE;

static int hf_prefix = -1, hf_frame_version = -1, hf_reserved = -1, hf_seq = -1, hf_cmd = -1, hf_length = -1;
static int hf_nonce = -1, hf_retcode = -1, hf_body = -1, hf_crc = -1, hf_hmac = -1, hf_tag = -1, hf_status = -1;
static int hf_suffix = -1, hf_header = -1, hf_header_version = -1, hf_header_check = -1, hf_header_counter = -1;
static int hf_header_source = -1, hf_signature = -1, hf_version = -1, hf_direction = -1, hf_device = -1;
static int hf_device_name = -1, hf_key = -1, hf_key_note = -1, hf_error = -1, hf_payload = -1, hf_text = -1;
static int hf_client_nonce = -1, hf_device_nonce = -1, hf_proof = -1, hf_skipped = -1;
static int hf_response_in = -1, hf_response_to = -1, hf_response_time = -1;
static gint ett_tuya = -1, ett_check = -1, ett_header = -1;

static expert_field ei_integrity = EI_INIT, ei_signature = EI_INIT, ei_no_key = EI_INIT, ei_no_session = EI_INIT;
static expert_field ei_payload = EI_INIT, ei_seq = EI_INIT, ei_command = EI_INIT, ei_large = EI_INIT;
static expert_field ei_retcode = EI_INIT, ei_impostor = EI_INIT, ei_zero_key = EI_INIT, ei_skipped = EI_INIT;
static expert_field ei_cut = EI_INIT, ei_reserved = EI_INIT;

#define X(name, value) {value, #name},
static const value_string command_names[] = {TW_COMMAND_LIST(X){0, NULL}};
#undef X

static const value_string retcode_names[] = {
    {0, "success"}, {1, "refused"}, {0x01000000, "refused, host order"}, {0, NULL}};

static const struct tw_frame_rules capture_rules = {.max_length = TW_FRAME_LENGTH_MAX};

/* Everything the steps of showing one frame need to know. */
struct view {
    packet_info *pinfo;
    tvbuff_t *tvb;          /* the frame */
    proto_tree *top, *tree; /* the packet's tree, and ours in it */
    proto_item *item;
    const struct tw_frame *f;
    const struct tuya_sight *s;
    const struct tw_message *m; /* NULL: it could not be opened */
    const char *way;
    enum tw_version version;
    const char *version_text;
    tvbuff_t *payload; /* NULL: empty, or not opened */
    bool has_body;     /* the payload is JSON: */
    struct tw_body body;
};

/* ---- the info column ------------------------------------------------------------------------------------------ */

/* The first frame of a packet takes the columns, the others append to them. */
static void begin_columns(packet_info *pinfo)
{
    if (p_get_proto_data(pinfo->pool, pinfo, proto_tuya, 0) != NULL) {
        col_append_str(pinfo->cinfo, COL_INFO, " | ");
        return;
    }
    p_add_proto_data(pinfo->pool, pinfo, proto_tuya, 0, GINT_TO_POINTER(1));
    col_set_str(pinfo->cinfo, COL_PROTOCOL, "Tuya");
    col_clear(pinfo->cinfo, COL_INFO);
}

static const char *command_text(packet_info *pinfo, uint32_t command)
{
    const char *name = tw_command_name(command);
    return name != NULL ? name : wmem_strdup_printf(pinfo->pool, "0x%02x", command);
}

static const struct devices_entry *known_device(const struct tuya_sight *s)
{
    return s->device == NULL ? NULL : tuya_keys_device(s->device);
}

static const char *what_it_says(const struct view *v)
{
    if (v->m == NULL)
        return wmem_strdup_printf(v->pinfo->pool, "[%s]", tw_error_name(v->s->error));
    if (v->has_body) {
        const char *dps = tuya_dps_summary(v->pinfo, &v->body, known_device(v->s));
        if (dps != NULL)
            return dps;
        if (v->body.dp_ids.len > 0)
            return wmem_strdup_printf(v->pinfo->pool, "refresh %.*s", (int)v->body.dp_ids.len, v->body.dp_ids.data);
        if (v->s->use == TUYA_KEY_DISCOVERY || v->way[0] == 'b')
            return v->s->device;
        return v->body.req_type.len == 0
                   ? NULL
                   : wmem_strdup_printf(v->pinfo->pool, "%.*s", (int)v->body.req_type.len, v->body.req_type.data);
    }
    if (tw_is_error_text(v->m->payload))
        return wmem_strndup(v->pinfo->pool, (const char *)v->m->payload.data, v->m->payload.len);
    return NULL;
}

static void show_columns(const struct view *v)
{
    wmem_strbuf_t *out = wmem_strbuf_new(v->pinfo->pool, NULL);
    wmem_strbuf_append_printf(out, "%s %s%s seq=%u", v->version_text, command_text(v->pinfo, v->f->command),
                              v->s->is_reply && v->f->command != TW_CMD_SESS_KEY_NEG_RESP ? " reply" : "", v->f->seq);
    if (v->m != NULL && v->m->has_retcode && v->m->retcode != 0)
        wmem_strbuf_append_printf(out, " rc=%u", tw_retcode(v->m->retcode));
    const char *says = what_it_says(v);
    if (says != NULL)
        wmem_strbuf_append_printf(out, "  %s", says);
    /* What came out of a stranger's JSON may hold control characters. */
    const guchar *text = (const guchar *)wmem_strbuf_get_str(out);
    col_append_str(v->pinfo->cinfo, COL_INFO, format_text(v->pinfo->pool, text, wmem_strbuf_get_len(out)));
}

/* ---- the frame, as it lies on the wire ------------------------------------------------------------------------ */

static void show_frame_header(const struct view *v)
{
    const struct tw_frame *f = v->f;
    proto_tree_add_item(v->tree, hf_prefix, v->tvb, 0, PREFIX_LEN, ENC_BIG_ENDIAN);
    gint at = PREFIX_LEN;
    if (f->envelope == TW_ENVELOPE_6699) {
        proto_tree_add_item(v->tree, hf_frame_version, v->tvb, at, 1, ENC_BIG_ENDIAN);
        proto_item *ti = proto_tree_add_item(v->tree, hf_reserved, v->tvb, at, 2, ENC_BIG_ENDIAN);
        if (f->reserved[0] != 0 || f->reserved[1] != 0)
            expert_add_info(v->pinfo, ti, &ei_reserved);
        at += 2;
    }
    proto_item *seq = proto_tree_add_item(v->tree, hf_seq, v->tvb, at, 4, ENC_BIG_ENDIAN);
    if (v->s->seq_went_back)
        expert_add_info_format(v->pinfo, seq, &ei_seq, "Sequence number went back: %u after %u", f->seq,
                               v->s->seq_before);
    proto_item *cmd = proto_tree_add_item(v->tree, hf_cmd, v->tvb, at + 4, 4, ENC_BIG_ENDIAN);
    if (tw_command_name(f->command) == NULL)
        expert_add_info_format(v->pinfo, cmd, &ei_command, "Unknown command %u (0x%02x)", f->command, f->command);
    proto_item *len = proto_tree_add_item(v->tree, hf_length, v->tvb, at + 8, 4, ENC_BIG_ENDIAN);
    if (f->raw.len > TW_FRAME_SIZE_TO_DEVICE_MAX)
        expert_add_info_format(v->pinfo, len, &ei_large, "Frame of %u bytes: vendor devices refuse 4096 and more",
                               (unsigned)f->raw.len);
    if (f->nonce.len > 0)
        proto_tree_add_item(v->tree, hf_nonce, v->tvb, at + 12, (gint)f->nonce.len, ENC_NA);
}

static gint offset_in(const struct view *v, const uint8_t *p)
{
    return (gint)(p - v->f->raw.data);
}

static void show_retcode(const struct view *v, proto_tree *tree, tvbuff_t *tvb, gint at)
{
    proto_item *ti = proto_tree_add_item(tree, hf_retcode, tvb, at, TW_RETCODE_LEN, ENC_BIG_ENDIAN);
    if (v->m->retcode != 0)
        expert_add_info_format(v->pinfo, ti, &ei_retcode, "The device answered with return code %u",
                               tw_retcode(v->m->retcode));
}

static gint show_header(const struct view *v, tvbuff_t *tvb, gint at)
{
    bool is_signed = v->m->header.signature[0] != '\0';
    gint len = is_signed ? VERSION_TEXT_LEN + TW_SIGNATURE_LEN : TW_HEADER_LEN;
    proto_item *ti = proto_tree_add_item(v->tree, hf_header, tvb, at, len, ENC_NA);
    proto_tree *tree = proto_item_add_subtree(ti, ett_header);
    proto_tree_add_item(tree, hf_header_version, tvb, at, VERSION_TEXT_LEN, ENC_ASCII);
    if (is_signed) {
        ti = proto_tree_add_item(tree, hf_signature, tvb, at + VERSION_TEXT_LEN, TW_SIGNATURE_LEN, ENC_ASCII);
        if (v->s->flags & TW_OPEN_NO_SIGNATURE)
            expert_add_info(v->pinfo, ti, &ei_signature);
    } else {
        proto_tree_add_item(tree, hf_header_check, tvb, at + 3, 4, ENC_BIG_ENDIAN);
        proto_tree_add_item(tree, hf_header_counter, tvb, at + 7, 4, ENC_BIG_ENDIAN);
        proto_tree_add_item(tree, hf_header_source, tvb, at + 11, 4, ENC_BIG_ENDIAN);
    }
    return at + len;
}

/* Return code and header where they are in clear, ciphertext, or the payload itself. */
static void show_body(struct view *v)
{
    const struct tw_frame *f = v->f;
    gint at = offset_in(v, f->body.data), end = at + (gint)f->body.len;
    if (v->m == NULL) {
        if (at < end)
            proto_tree_add_item(v->tree, hf_body, v->tvb, at, end - at, ENC_NA);
        return;
    }
    if (v->m->has_retcode && f->envelope == TW_ENVELOPE_55AA) {
        show_retcode(v, v->tree, v->tvb, at);
        at += TW_RETCODE_LEN;
    }
    if (v->m->has_header && f->integrity == TW_INTEGRITY_CRC32)
        at = show_header(v, v->tvb, at);
    if (v->m->encrypted && at < end)
        proto_tree_add_item(v->tree, hf_body, v->tvb, at, end - at, ENC_NA);
    else if (v->m->payload.len > 0)
        v->payload = tvb_new_subset_length(v->tvb, offset_in(v, v->m->payload.data), (gint)v->m->payload.len);
}

/* HMAC and tag as proto_tree_add_checksum() would show them; it knows checksums of up to four bytes. */
static void show_keyed_check(const struct view *v, int hf)
{
    bool bad = v->s->error == TW_E_INTEGRITY;
    unsigned status = v->m != NULL ? PROTO_CHECKSUM_E_GOOD : bad ? PROTO_CHECKSUM_E_BAD : PROTO_CHECKSUM_E_UNVERIFIED;
    gint at = offset_in(v, v->f->check.data), len = (gint)v->f->check.len;
    proto_item *ti = proto_tree_add_item(v->tree, hf, v->tvb, at, len, ENC_NA);
    proto_item_append_text(ti, " [%s]", val_to_str_const(status, proto_checksum_vals, "?"));
    proto_tree *tree = proto_item_add_subtree(ti, ett_check);
    proto_item_set_generated(proto_tree_add_uint(tree, hf_status, v->tvb, at, len, status));
    if (bad)
        expert_add_info(v->pinfo, ti, &ei_integrity);
}

static void show_check(const struct view *v)
{
    gint at = offset_in(v, v->f->check.data);
    switch (v->f->integrity) {
    case TW_INTEGRITY_CRC32:
        proto_tree_add_checksum(v->tree, v->tvb, (guint)at, hf_crc, hf_status, &ei_integrity, v->pinfo,
                                crc32_ccitt_tvb(v->tvb, (guint)at), ENC_BIG_ENDIAN, PROTO_CHECKSUM_VERIFY);
        break;
    case TW_INTEGRITY_HMAC: show_keyed_check(v, hf_hmac); break;
    case TW_INTEGRITY_GCM: show_keyed_check(v, hf_tag); break;
    }
    proto_tree_add_item(v->tree, hf_suffix, v->tvb, (gint)v->f->raw.len - SUFFIX_LEN, SUFFIX_LEN, ENC_BIG_ENDIAN);
}

/* ---- what was found out --------------------------------------------------------------------------------------- */

static void show_generated_string(const struct view *v, int hf, const char *text)
{
    if (text != NULL && text[0] != '\0')
        proto_item_set_generated(proto_tree_add_string(v->tree, hf, v->tvb, 0, 0, text));
}

static void show_key(const struct view *v)
{
    static const char *const uses[] = {"none", "local", "session", "discovery"};
    if (v->m != NULL)
        show_generated_string(v, hf_key, uses[v->s->use]);
    if (v->m != NULL && v->s->key >= 0 && v->s->key < tuya_keys_n())
        show_generated_string(v, hf_key_note, tuya_keys_at(v->s->key)->note);
}

static void show_error(const struct view *v)
{
    int e = v->s->error;
    if (e == TW_OK)
        return;
    proto_item *ti = proto_tree_add_string(v->tree, hf_error, v->tvb, 0, 0, tw_error_name(e));
    proto_item_set_generated(ti);
    if (e == TW_E_NO_KEY)
        expert_add_info(v->pinfo, ti, &ei_no_key);
    else if (e == TW_E_NO_SESSION)
        expert_add_info(v->pinfo, ti, &ei_no_session);
    else if (e != TW_E_INTEGRITY) /* that one stands at the check value */
        expert_add_info_format(v->pinfo, ti, &ei_payload, "Not opened: %s", tw_strerror(e));
}

static void show_exchange(const struct view *v)
{
    const struct tuya_exchange *x = v->s->exchange;
    if (x == NULL)
        return;
    if (!v->s->is_reply) {
        if (x->reply_frame != 0)
            proto_item_set_generated(proto_tree_add_uint(v->tree, hf_response_in, v->tvb, 0, 0, x->reply_frame));
        return;
    }
    nstime_t delta;
    nstime_delta(&delta, &x->reply_time, &x->request_time);
    proto_item_set_generated(proto_tree_add_uint(v->tree, hf_response_to, v->tvb, 0, 0, x->request_frame));
    proto_item_set_generated(proto_tree_add_time(v->tree, hf_response_time, v->tvb, 0, 0, &delta));
}

static void show_findings(const struct view *v)
{
    const struct devices_entry *known = known_device(v->s);
    show_generated_string(v, hf_version, v->version_text);
    show_generated_string(v, hf_direction, v->way);
    show_generated_string(v, hf_device, v->s->device);
    show_generated_string(v, hf_device_name, known != NULL ? known->name : NULL);
    show_key(v);
    show_exchange(v);
    show_error(v);
}

/* ---- what was inside ------------------------------------------------------------------------------------------ */

static void show_handshake(const struct view *v)
{
    gint len = (gint)v->m->payload.len;
    proto_item *proof = NULL;
    if (v->f->command == TW_CMD_SESS_KEY_NEG_START && len >= TW_SESSION_NONCE_LEN) {
        proto_tree_add_item(v->tree, hf_client_nonce, v->payload, 0, TW_SESSION_NONCE_LEN, ENC_NA);
    } else if (v->f->command == TW_CMD_SESS_KEY_NEG_RESP && len >= TW_SESSION_RESP_LEN) {
        proto_tree_add_item(v->tree, hf_device_nonce, v->payload, 0, TW_SESSION_NONCE_LEN, ENC_NA);
        proof = proto_tree_add_item(v->tree, hf_proof, v->payload, TW_SESSION_NONCE_LEN, TW_HMAC_LEN, ENC_NA);
    } else if (v->f->command == TW_CMD_SESS_KEY_NEG_FINISH && len >= TW_SESSION_FINISH_LEN) {
        proof = proto_tree_add_item(v->tree, hf_proof, v->payload, 0, TW_HMAC_LEN, ENC_NA);
    } else {
        proto_tree_add_item(v->tree, hf_payload, v->payload, 0, -1, ENC_NA);
    }
    if (v->s->impostor)
        expert_add_info(v->pinfo, proof, &ei_impostor);
    if (v->s->zero_key)
        expert_add_info(v->pinfo, proof, &ei_zero_key);
}

/* The JSON dissector writes its name into the columns; ours say more. */
static void call_json(const struct view *v)
{
    gint len = tvb_captured_length(v->payload);
    while (len > 0 && tvb_get_guint8(v->payload, len - 1) == 0) /* some firmware ends its JSON with NUL */
        len--;
    col_set_writable(v->pinfo->cinfo, -1, FALSE);
    call_dissector(json_handle, tvb_new_subset_length(v->payload, 0, len), v->pinfo, v->top);
    col_set_writable(v->pinfo->cinfo, -1, TRUE);
}

static void export_payload(const struct view *v)
{
    if (!have_tap_listener(tap_export))
        return;
    const char *to = v->has_body ? "json" : "data";
    exp_pdu_data_t *pdu = export_pdu_create_common_tags(v->pinfo, to, EXP_PDU_TAG_DISSECTOR_NAME);
    pdu->tvb_captured_length = tvb_captured_length(v->payload);
    pdu->tvb_reported_length = tvb_reported_length(v->payload);
    pdu->pdu_tvb = v->payload;
    tap_queue_packet(tap_export, v->pinfo, pdu);
}

static void show_payload(const struct view *v)
{
    if (v->payload == NULL)
        return;
    export_payload(v);
    if (v->m->encrypted && v->f->integrity != TW_INTEGRITY_CRC32 && tw_command_is_handshake(v->f->command)) {
        show_handshake(v);
    } else if (v->has_body) {
        tuya_dps_show(v->tree, v->pinfo, v->payload, v->m->payload, &v->body, known_device(v->s));
        call_json(v);
    } else if (g_utf8_validate((const char *)v->m->payload.data, (gssize)v->m->payload.len, NULL)) {
        proto_tree_add_item(v->tree, hf_text, v->payload, 0, -1, ENC_UTF_8);
    } else {
        proto_tree_add_item(v->tree, hf_payload, v->payload, 0, -1, ENC_NA);
    }
}

/* The plaintext as a data source of its own: what comes before the payload in it is shown from there. */
static void show_plaintext(struct view *v, const uint8_t *buf)
{
    if (v->m == NULL || !v->m->encrypted)
        return;
    gint before = (gint)(v->m->payload.data - buf), len = before + (gint)v->m->payload.len, at = 0;
    if (len == 0)
        return;
    tvbuff_t *plain = tvb_new_child_real_data(v->tvb, buf, (guint)len, len);
    add_new_data_source(v->pinfo, plain, "Decrypted Tuya");
    if (v->m->has_retcode && v->f->envelope == TW_ENVELOPE_6699) {
        show_retcode(v, v->tree, plain, at);
        at += TW_RETCODE_LEN;
    }
    if (v->m->has_header && v->f->integrity != TW_INTEGRITY_CRC32)
        show_header(v, plain, at);
    if (before < len)
        v->payload = tvb_new_subset_length(plain, before, len - before);
}

static void tell_listeners(const struct view *v)
{
    if (!have_tap_listener(tap_tuya))
        return;
    struct tuya_tap *t = wmem_new0(v->pinfo->pool, struct tuya_tap);
    t->version = v->version_text;
    t->command = command_text(v->pinfo, v->f->command);
    t->device = v->s->device;
    t->way = v->way;
    t->error = v->s->error == TW_OK ? NULL : tw_error_name(v->s->error);
    if (v->s->is_reply) {
        nstime_t delta;
        nstime_delta(&delta, &v->s->exchange->reply_time, &v->s->exchange->request_time);
        t->answered = true;
        t->response_ms = nstime_to_msec(&delta);
    }
    tap_queue_packet(tap_tuya, v->pinfo, t);
}

static void show(struct view *v, const uint8_t *buf)
{
    if (v->m != NULL)
        v->has_body = tw_body_parse(&v->body, v->m->payload) == TW_OK;
    begin_columns(v->pinfo);
    show_columns(v);
    v->item = proto_tree_add_protocol_format(v->top, proto_tuya, v->tvb, 0, -1, "Tuya LAN Protocol %s, %s",
                                             v->version_text, command_text(v->pinfo, v->f->command));
    v->tree = proto_item_add_subtree(v->item, ett_tuya);
    show_frame_header(v);
    show_body(v);
    show_check(v);
    show_findings(v);
    show_plaintext(v, buf);
    show_payload(v);
    tell_listeners(v);
}

/* ---- TCP ------------------------------------------------------------------------------------------------------ */

/* A packet may hold several frames, and be dissected in parts: a frame is known by its check value and numbers. */
static guint32 name_of(const struct tw_frame *f)
{
    const uint8_t *c = f->check.data;
    guint32 check = (guint32)c[0] << 24 | (guint32)c[1] << 16 | (guint32)c[2] << 8 | c[3];
    guint32 name = check ^ f->seq << 8 ^ f->command << 16 ^ (guint32)f->raw.len;
    return name != 0 ? name : 1; /* 0 is the mark of begin_columns() */
}

static const struct tuya_sight *sight_of(packet_info *pinfo, const struct tw_frame *f, uint8_t *buf, size_t cap)
{
    static const struct tuya_sight unseen = {.version = TW_V33, .error = TW_E_STATE, .key = TUYA_NO_KEY};
    guint32 name = name_of(f);
    const struct tuya_sight *s = p_get_proto_data(wmem_file_scope(), pinfo, proto_tuya, name);
    if (s != NULL)
        return s;
    if (PINFO_FD_VISITED(pinfo) || pinfo->flags.in_error_pkt)
        return &unseen; /* an ICMP error quotes it, or it is only complete now: no place to learn from */
    struct tuya_sight *kept = (struct tuya_sight *)tuya_flow_meet(tuya_flow_of(pinfo), pinfo, f, buf, cap);
    p_add_proto_data(wmem_file_scope(), pinfo, proto_tuya, name, kept);
    return kept;
}

static const char *version_text(packet_info *pinfo, const struct tuya_sight *s, enum tw_version *v)
{
    *v = s->version;
    if (s->version_known || tuya_flow_version(tuya_flow_of(pinfo), v))
        return tw_version_name(*v);
    return s->version == TW_V31 ? "3.1 or 3.2" : "3.1 to 3.3";
}

static void dissect_frame(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, struct tw_frame f)
{
    size_t cap = f.body.len + 1;
    uint8_t *buf = wmem_alloc(pinfo->pool, cap);
    struct tw_message m;
    struct view v = {.pinfo = pinfo, .tvb = tvb, .top = tree, .f = &f};
    v.s = sight_of(pinfo, &f, buf, cap);
    v.m = tuya_sight_open(v.s, &f, &m, buf, cap) == TW_OK ? &m : NULL;
    v.way = v.s->direction == TW_FROM_DEVICE ? "from_device" : "to_device";
    v.version_text = version_text(pinfo, v.s, &v.version);
    show(&v, buf);
}

static void show_stray(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, expert_field *why, const char *text)
{
    begin_columns(pinfo);
    col_append_str(pinfo->cinfo, COL_INFO, text);
    proto_item *ti = proto_tree_add_item(tree, proto_tuya, tvb, 0, -1, ENC_NA);
    ti = proto_tree_add_item(proto_item_add_subtree(ti, ett_tuya), hf_skipped, tvb, 0, -1, ENC_NA);
    expert_add_info_format(pinfo, ti, why, "%s", text);
}

static int dissect_pdu(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    guint len = tvb_captured_length(tvb), whole = tvb_reported_length(tvb);
    struct tw_frame f;
    size_t consumed;
    int rc = tw_frame_parse(&f, &consumed, tvb_get_ptr(tvb, 0, (gint)len), len, &capture_rules);
    if (rc == TW_OK)
        dissect_frame(tvb, pinfo, tree, f);
    else if (rc == TW_NEED_MORE)
        show_stray(
            tvb, pinfo, tree, &ei_cut,
            wmem_strdup_printf(pinfo->pool, "[%u of %u bytes of a frame, the rest was not captured]", len, whole));
    else
        show_stray(tvb, pinfo, tree, &ei_skipped,
                   wmem_strdup_printf(pinfo->pool, "[skipped %u bytes: %s]", len, tw_strerror(rc)));
    return (int)len;
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
                           .error = error,
                           .key = TUYA_NO_KEY};
    struct view v = {.pinfo = pinfo, .tvb = tvb, .top = tree, .f = f, .s = &s, .way = "broadcast"};
    if (error == TW_OK) {
        v.m = &d->message;
        s.version = d->message.version;
        s.use = d->message.encrypted ? TUYA_KEY_DISCOVERY : TUYA_KEY_NONE;
        if (d->gw_id.len > 0)
            s.device = wmem_strndup(pinfo->pool, (const char *)d->gw_id.data, d->gw_id.len);
    }
    v.version = s.version;
    v.version_text = tw_version_name(s.version);
    show(&v, buf);
}

/* A bare block of ciphertext: no frame around it, so there is nothing but the payload to show. */
static void show_bare(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, const struct tw_discovery *d)
{
    begin_columns(pinfo);
    col_append_str(pinfo->cinfo, COL_INFO, "discovery without a frame");
    proto_item *ti = proto_tree_add_item(tree, proto_tuya, tvb, 0, -1, ENC_NA);
    proto_tree *ours = proto_item_add_subtree(ti, ett_tuya);
    proto_tree_add_item(ours, hf_body, tvb, 0, -1, ENC_NA);
    guint len = (guint)d->message.payload.len;
    tvbuff_t *plain = tvb_new_child_real_data(tvb, d->message.payload.data, len, (gint)len);
    add_new_data_source(pinfo, plain, "Decrypted Tuya");
    struct view v = {.pinfo = pinfo, .top = tree, .tree = ours, .payload = plain};
    call_json(&v);
}

/* @return true if the datagram was ours, and shown */
static bool show_if_tuya(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, bool guessing)
{
    guint len = tvb_captured_length(tvb);
    if (len == 0 || tuya_bench() == NULL)
        return false;
    const guint8 *p = tvb_get_ptr(tvb, 0, (gint)len);
    uint8_t *buf = wmem_alloc(pinfo->pool, len);
    struct tw_discovery d;
    struct tw_frame f;
    size_t consumed;
    int framed = tw_frame_parse(&f, &consumed, p, len, &capture_rules);
    if (guessing && (framed != TW_OK || consumed != len || f.command > COMMAND_MAX))
        return false;
    int rc = tw_discovery_open(&d, tuya_bench(), p, len, buf, len);
    if (rc == TW_OK)
        remember_announcement(pinfo, &d);
    if (framed == TW_OK)
        show_datagram(tvb_new_subset_length(tvb, 0, (gint)consumed), pinfo, tree, &f, rc, &d, buf);
    else if (rc == TW_OK)
        show_bare(tvb, pinfo, tree, &d);
    else if (framed != TW_E_PREFIX && len > PREFIX_LEN)
        show_stray(tvb, pinfo, tree, framed == TW_NEED_MORE ? &ei_cut : &ei_skipped,
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

static void register_fields(void)
{
    static hf_register_info hf[] = {
        {&hf_prefix, {"Prefix", "tuya.prefix", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_frame_version, {"Frame version", "tuya.frame_version", FT_UINT8, BASE_DEC, NULL, 0x0F, NULL, HFILL}},
        {&hf_reserved, {"Reserved", "tuya.reserved", FT_UINT16, BASE_HEX, NULL, 0xF0FF, NULL, HFILL}},
        {&hf_seq, {"Sequence number", "tuya.seq", FT_UINT32, BASE_DEC, NULL, 0, NULL, HFILL}},
        {&hf_cmd, {"Command", "tuya.cmd", FT_UINT32, BASE_DEC_HEX, VALS(command_names), 0, NULL, HFILL}},
        {&hf_length, {"Length", "tuya.length", FT_UINT32, BASE_DEC, NULL, 0, "As in the header", HFILL}},
        {&hf_nonce, {"Nonce", "tuya.nonce", FT_BYTES, BASE_NONE, NULL, 0, "Of AES-GCM", HFILL}},
        {&hf_retcode, {"Return code", "tuya.retcode", FT_UINT32, BASE_DEC, VALS(retcode_names), 0, NULL, HFILL}},
        {&hf_body, {"Encrypted", "tuya.encrypted", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_crc, {"CRC-32", "tuya.crc", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_hmac, {"HMAC-SHA256", "tuya.hmac", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_tag, {"GCM tag", "tuya.tag", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_status, {"Integrity", "tuya.integrity", FT_UINT8, BASE_NONE, VALS(proto_checksum_vals), 0, NULL, HFILL}},
        {&hf_suffix, {"Suffix", "tuya.suffix", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_header, {"Version header", "tuya.header", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_header_version, {"Version", "tuya.header.version", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_header_check, {"Check", "tuya.header.check", FT_UINT32, BASE_HEX, NULL, 0, "0 on the LAN", HFILL}},
        {&hf_header_counter,
         {"Counter", "tuya.header.counter", FT_UINT32, BASE_DEC, NULL, 0, "Of the sender's messages", HFILL}},
        {&hf_header_source,
         {"Source", "tuya.header.source", FT_UINT32, BASE_DEC, NULL, 0, "Sender id; 1 is the device", HFILL}},
        {&hf_signature,
         {"Signature", "tuya.header.signature", FT_STRING, BASE_NONE, NULL, 0, "MD5 digits of 3.1", HFILL}},
        {&hf_version, {"Protocol version", "tuya.version", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_direction, {"Direction", "tuya.direction", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_device, {"Device id", "tuya.device", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_device_name,
         {"Device name", "tuya.device.name", FT_STRING, BASE_NONE, NULL, 0, "From devices.json", HFILL}},
        {&hf_key, {"Key", "tuya.key", FT_STRING, BASE_NONE, NULL, 0, "Kind of the key that opened it", HFILL}},
        {&hf_key_note, {"Key note", "tuya.key.note", FT_STRING, BASE_NONE, NULL, 0, "Where the key is from", HFILL}},
        {&hf_error, {"Not decoded", "tuya.error", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_payload, {"Payload", "tuya.payload", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_text, {"Text", "tuya.text", FT_STRING, BASE_NONE, NULL, 0, "A payload that is no JSON", HFILL}},
        {&hf_client_nonce, {"Client nonce", "tuya.session.client_nonce", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_device_nonce, {"Device nonce", "tuya.session.device_nonce", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_proof,
         {"Proof", "tuya.session.proof", FT_BYTES, BASE_NONE, NULL, 0, "HMAC of the other side's nonce", HFILL}},
        {&hf_skipped, {"Bytes", "tuya.skipped", FT_BYTES, BASE_NONE, NULL, 0, "Not part of a whole frame", HFILL}},
        {&hf_response_in,
         {"Reply in", "tuya.response_in", FT_FRAMENUM, BASE_NONE, FRAMENUM_TYPE(FT_FRAMENUM_RESPONSE), 0, NULL,
          HFILL}},
        {&hf_response_to,
         {"Reply to", "tuya.response_to", FT_FRAMENUM, BASE_NONE, FRAMENUM_TYPE(FT_FRAMENUM_REQUEST), 0, NULL,
          HFILL}},
        {&hf_response_time,
         {"Response time", "tuya.response_time", FT_RELATIVE_TIME, BASE_NONE, NULL, 0, NULL, HFILL}},
    };
    static gint *ett[] = {&ett_tuya, &ett_check, &ett_header};
    proto_register_field_array(proto_tuya, hf, array_length(hf));
    proto_register_subtree_array(ett, array_length(ett));
    tuya_dps_register(proto_tuya);
}

static void register_expert_infos(void)
{
    static ei_register_info ei[] = {
        {&ei_integrity,
         {"tuya.integrity.bad", PI_CHECKSUM, PI_ERROR, "Bad integrity: wrong key, or damaged", EXPFILL}},
        {&ei_signature, {"tuya.signature.bad", PI_CHECKSUM, PI_WARN, "The 3.1 signature does not fit", EXPFILL}},
        {&ei_no_key,
         {"tuya.no_key", PI_DECRYPTION, PI_WARN,
          "No key fits: add the device's local key in Preferences, Protocols, Tuya", EXPFILL}},
        {&ei_no_session,
         {"tuya.no_session", PI_DECRYPTION, PI_WARN,
          "The handshake is missing: capture the connection from its start, or give a key log", EXPFILL}},
        {&ei_payload, {"tuya.payload.bad", PI_MALFORMED, PI_ERROR, "The payload cannot be read", EXPFILL}},
        {&ei_seq, {"tuya.seq.back", PI_SEQUENCE, PI_NOTE, "Sequence number went back", EXPFILL}},
        {&ei_command, {"tuya.cmd.unknown", PI_UNDECODED, PI_NOTE, "Unknown command", EXPFILL}},
        {&ei_large, {"tuya.length.large", PI_PROTOCOL, PI_WARN, "Frame of 4096 bytes or more", EXPFILL}},
        {&ei_retcode, {"tuya.retcode.refused", PI_RESPONSE_CODE, PI_NOTE, "Return code is not 0", EXPFILL}},
        {&ei_impostor,
         {"tuya.session.proof.bad", PI_SECURITY, PI_WARN, "The proof does not fit the nonce that was sent", EXPFILL}},
        {&ei_zero_key,
         {"tuya.session.zero_key", PI_PROTOCOL, PI_WARN,
          "The session key begins with 00: vendor devices take it for none", EXPFILL}},
        {&ei_skipped, {"tuya.skipped.expert", PI_MALFORMED, PI_WARN, "Bytes that are no frame", EXPFILL}},
        {&ei_cut, {"tuya.cut", PI_MALFORMED, PI_WARN, "The frame is cut short", EXPFILL}},
        {&ei_reserved,
         {"tuya.reserved.set", PI_PROTOCOL, PI_NOTE, "Frame version or reserved bits are not 0", EXPFILL}},
    };
    expert_register_field_array(expert_register_protocol(proto_tuya), ei, array_length(ei));
}

/* see packet-tuya.h */
void proto_register_tuya(void)
{
    proto_tuya = proto_register_protocol("Tuya LAN Protocol", "Tuya", "tuya");
    register_fields();
    register_expert_infos();
    tcp_handle = register_dissector("tuya", dissect_tcp, proto_tuya);
    udp_handle = register_dissector("tuya.udp", dissect_udp, proto_tuya);
    tap_tuya = register_tap("tuya");
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
    json_handle = find_dissector_add_dependency("json", proto_tuya);
    tap_export = register_export_pdu_tap("Tuya");
    tuya_stats_register();
}
