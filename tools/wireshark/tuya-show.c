/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-show.c - one frame as a tree; the idea is in tuya-show.h, layouts and their sources in tuyawire/frame.h and
 * tuyawire/message.h. */
#include "tuya-show.h"
#include <string.h>
#include <epan/crc32-tvb.h>
#include <epan/expert.h>
#include <epan/exported_pdu.h>
#include <epan/proto_data.h>
#include <epan/strutil.h>
#include <epan/tap.h>
#include <wsutil/exported_pdu_tlvs.h>
#include "tuya-dps.h"
#include "tuya-keys.h"
#include "tuya-stats.h"
#include "tuyawire/session.h"

enum { PREFIX_LEN = 4, SUFFIX_LEN = 4, VERSION_TEXT_LEN = 3 };

static int proto_tuya = -1;
static dissector_handle_t json_handle;
static int tap_tuya = -1, tap_export = -1;

static int hf_prefix = -1, hf_frame_version = -1, hf_reserved = -1, hf_seq = -1, hf_cmd = -1, hf_length = -1;
static int hf_nonce = -1, hf_retcode = -1, hf_body = -1, hf_crc = -1, hf_hmac = -1, hf_tag = -1, hf_status = -1;
static int hf_suffix = -1, hf_header = -1, hf_header_version = -1, hf_header_check = -1, hf_header_counter = -1;
static int hf_header_source = -1, hf_signature = -1, hf_version = -1, hf_direction = -1, hf_device = -1;
static int hf_cid = -1, hf_device_name = -1, hf_key = -1, hf_key_note = -1, hf_error = -1, hf_payload = -1,
           hf_text = -1;
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

/* What the steps of showing one frame know. */
struct view {
    packet_info *pinfo;
    tvbuff_t *tvb;
    proto_tree *top, *tree; /* the packet's tree, and ours in it */
    const struct tw_frame *f;
    const struct tuya_sight *s;
    const struct tw_message *m;
    const struct tw_discovery *d;
    const char *way, *version;
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

/* Whose data points these are: a gateway passes on those of the devices behind it. */
static const struct devices_entry *owner_of_dps(const struct view *v)
{
    return tuya_keys_owner(v->s->device, v->body.cid);
}

/* The name that the user gave it, else its id. */
static const char *name_of_device(const struct tuya_sight *s)
{
    const struct devices_entry *known = known_device(s);
    return known != NULL && known->name[0] != '\0' ? known->name : s->device;
}

static const char *why_closed(const struct view *v)
{
    switch (v->s->error) {
    case TW_E_NO_KEY: return "[no key fits]";
    case TW_E_NO_SESSION: return "[handshake missing]";
    default: {
        char *name = wmem_strdup_printf(v->pinfo->pool, "[%s]", tw_error_name(v->s->error));
        return g_strdelimit(name, "_", ' ');
    }
    }
}

static const char *announcement(const struct view *v)
{
    const struct tw_discovery *d = v->d;
    if (d->is_request)
        return wmem_strdup_printf(v->pinfo->pool, "answer to %.*s", (int)d->ip.len, d->ip.data);
    struct tw_span id = d->gw_id.len > 0 ? d->gw_id : d->uuid; /* before it is bound, a device has only the latter */
    return wmem_strdup_printf(v->pinfo->pool, "%.*s at %.*s, %.*s", (int)id.len, id.data, (int)d->ip.len, d->ip.data,
                              (int)d->version.len, d->version.data);
}

static const char *what_it_says(const struct view *v)
{
    if (v->m == NULL)
        return why_closed(v);
    if (v->d != NULL)
        return announcement(v);
    if (v->has_body) {
        const char *dps = tuya_dps_summary(v->pinfo, &v->body, owner_of_dps(v));
        if (dps != NULL)
            return dps;
        if (v->body.dp_ids.len > 0)
            return wmem_strdup_printf(v->pinfo->pool, "refresh %.*s", (int)v->body.dp_ids.len, v->body.dp_ids.data);
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
    wmem_strbuf_append_printf(out, "%s %s%s seq=%u", v->version, command_text(v->pinfo, v->f->command),
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

static gint show_retcode(const struct view *v, tvbuff_t *tvb, gint at)
{
    proto_item *ti = proto_tree_add_item(v->tree, hf_retcode, tvb, at, TW_RETCODE_LEN, ENC_BIG_ENDIAN);
    uint32_t code = tw_retcode(tvb_get_ntohl(tvb, at));
    if (code != 0)
        expert_add_info_format(v->pinfo, ti, &ei_retcode, "The device answered with return code %u", code);
    return at + TW_RETCODE_LEN;
}

static gint show_header(const struct view *v, tvbuff_t *tvb, gint at, bool is_signed)
{
    gint len = is_signed ? VERSION_TEXT_LEN + TW_SIGNATURE_LEN : TW_HEADER_LEN;
    proto_item *ti = proto_tree_add_item(v->tree, hf_header, tvb, at, len, ENC_NA);
    proto_tree *tree = proto_item_add_subtree(ti, ett_header);
    proto_tree_add_item(tree, hf_header_version, tvb, at, VERSION_TEXT_LEN, ENC_ASCII);
    if (is_signed) {
        ti = proto_tree_add_item(tree, hf_signature, tvb, at + VERSION_TEXT_LEN, TW_SIGNATURE_LEN, ENC_ASCII);
        if (v->s->error == TW_E_INTEGRITY && tw_frame_crc_matches(v->f))
            expert_add_info(v->pinfo, ti, &ei_signature);
    } else {
        proto_tree_add_item(tree, hf_header_check, tvb, at + 3, 4, ENC_BIG_ENDIAN);
        proto_tree_add_item(tree, hf_header_counter, tvb, at + 7, 4, ENC_BIG_ENDIAN);
        proto_tree_add_item(tree, hf_header_source, tvb, at + 11, 4, ENC_BIG_ENDIAN);
    }
    return at + len;
}

/* What a closed frame shows nevertheless: in 55AA the return code, up to 3.3 the header. */
static gint show_clear_parts(const struct view *v, gint at, gint end)
{
    bool is_55aa = v->f->envelope == TW_ENVELOPE_55AA;
    if (is_55aa && v->s->direction == TW_FROM_DEVICE && end - at >= TW_RETCODE_LEN)
        at = show_retcode(v, v->tvb, at);
    bool is_signed = v->s->version == TW_V31;
    gint len = VERSION_TEXT_LEN + TW_SIGNATURE_LEN;
    if (is_55aa && v->f->integrity == TW_INTEGRITY_CRC32 && end - at >= len &&
        tvb_memeql(v->tvb, at, (const guint8 *)"3.", 2) == 0)
        at = show_header(v, v->tvb, at, is_signed);
    return at;
}

/* Return code and header where they are in clear, ciphertext, or the payload itself. */
static void show_body(struct view *v)
{
    const struct tw_frame *f = v->f;
    gint at = offset_in(v, f->body.data), end = at + (gint)f->body.len;
    if (v->m == NULL) {
        at = show_clear_parts(v, at, end);
        if (at < end)
            proto_tree_add_item(v->tree, hf_body, v->tvb, at, end - at, ENC_NA);
        return;
    }
    if (v->m->has_retcode && f->envelope == TW_ENVELOPE_55AA)
        at = show_retcode(v, v->tvb, at);
    if (v->m->has_header && f->integrity == TW_INTEGRITY_CRC32)
        at = show_header(v, v->tvb, at, v->m->header.signature[0] != '\0');
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
    if (v->m != NULL && v->s->key != NULL)
        show_generated_string(v, hf_key_note, v->s->key->note);
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
    else if (e != TW_E_INTEGRITY && e != TW_E_STATE) /* said at the check value; quoted by ICMP, nobody's fault */
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
    show_generated_string(v, hf_version, v->version);
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

/* What stock Wireshark can show: JSON, and error texts. Nonces and proofs are nobody's business. */
static void export_payload(const struct view *v)
{
    if (!have_tap_listener(tap_export) || (!v->has_body && !tw_is_error_text(v->m->payload)))
        return;
    const char *to = v->has_body ? "json" : "data-text-lines";
    exp_pdu_data_t *pdu = export_pdu_create_common_tags(v->pinfo, to, EXP_PDU_TAG_DISSECTOR_NAME);
    pdu->tvb_captured_length = tvb_captured_length(v->payload);
    pdu->tvb_reported_length = tvb_reported_length(v->payload);
    pdu->pdu_tvb = v->payload;
    tap_queue_packet(tap_export, v->pinfo, pdu);
}

static void show_cid(const struct view *v)
{
    struct tw_span cid = v->body.cid;
    if (cid.len == 0)
        return;
    gint at = (gint)(cid.data - v->m->payload.data);
    proto_item *ti = proto_tree_add_item(v->tree, hf_cid, v->payload, at, (gint)cid.len, ENC_UTF_8);
    const struct devices_entry *known = owner_of_dps(v);
    if (known != NULL && known->name[0] != '\0')
        proto_item_append_text(ti, " (%s)", known->name);
}

static void show_payload(const struct view *v)
{
    if (v->payload == NULL)
        return;
    export_payload(v);
    if (v->m->encrypted && v->f->integrity != TW_INTEGRITY_CRC32 && tw_command_is_handshake(v->f->command)) {
        show_handshake(v);
    } else if (v->has_body) {
        show_cid(v);
        tuya_dps_show(v->tree, v->pinfo, v->payload, v->m->payload, &v->body, owner_of_dps(v));
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
    if (v->m->has_retcode && v->f->envelope == TW_ENVELOPE_6699)
        at = show_retcode(v, plain, at);
    if (v->m->has_header && v->f->integrity != TW_INTEGRITY_CRC32)
        show_header(v, plain, at, false);
    if (before < len)
        v->payload = tvb_new_subset_length(plain, before, len - before);
}

static void tell_listeners(const struct view *v)
{
    if (!have_tap_listener(tap_tuya))
        return;
    struct tuya_tap *t = wmem_new0(v->pinfo->pool, struct tuya_tap);
    t->version = v->version;
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

/* see tuya-show.h */
void tuya_show(const struct tuya_view *view)
{
    struct view v = {.pinfo = view->pinfo,
                     .tvb = view->tvb,
                     .top = view->tree,
                     .f = view->f,
                     .s = view->s,
                     .m = view->m,
                     .d = view->d,
                     .way = view->way,
                     .version = view->version};
    if (v.m != NULL)
        v.has_body = tw_body_parse(&v.body, v.m->payload) == TW_OK;
    begin_columns(v.pinfo);
    show_columns(&v);
    proto_item *ti = proto_tree_add_protocol_format(v.top, proto_tuya, v.tvb, 0, -1, "Tuya LAN Protocol %s, %s",
                                                    v.version, command_text(v.pinfo, v.f->command));
    if (v.s->device != NULL)
        proto_item_append_text(ti, ", %s", name_of_device(v.s));
    v.tree = proto_item_add_subtree(ti, ett_tuya);
    show_frame_header(&v);
    show_body(&v);
    show_check(&v);
    show_findings(&v);
    show_plaintext(&v, view->plain);
    show_payload(&v);
    tell_listeners(&v);
}

/* see tuya-show.h */
void tuya_show_stray(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, bool cut, const char *text)
{
    begin_columns(pinfo);
    col_append_str(pinfo->cinfo, COL_INFO, text);
    proto_item *ti = proto_tree_add_item(tree, proto_tuya, tvb, 0, -1, ENC_NA);
    ti = proto_tree_add_item(proto_item_add_subtree(ti, ett_tuya), hf_skipped, tvb, 0, -1, ENC_NA);
    expert_add_info_format(pinfo, ti, cut ? &ei_cut : &ei_skipped, "%s", text);
}

/* see tuya-show.h */
void tuya_show_bare(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, struct tw_span payload)
{
    begin_columns(pinfo);
    col_append_str(pinfo->cinfo, COL_INFO, "discovery without a frame");
    proto_item *ti = proto_tree_add_item(tree, proto_tuya, tvb, 0, -1, ENC_NA);
    proto_tree_add_item(proto_item_add_subtree(ti, ett_tuya), hf_body, tvb, 0, -1, ENC_NA);
    struct view v = {.pinfo = pinfo, .top = tree};
    v.payload = tvb_new_child_real_data(tvb, payload.data, (guint)payload.len, (gint)payload.len);
    add_new_data_source(pinfo, v.payload, "Decrypted Tuya");
    call_json(&v);
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
        {&hf_cid, {"Sub-device", "tuya.cid", FT_STRING, BASE_NONE, NULL, 0, "Behind a gateway", HFILL}},
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
        {&ei_skipped, {"tuya.skipped.expert", PI_UNDECODED, PI_WARN, "Bytes that are no frame", EXPFILL}},
        {&ei_cut, {"tuya.cut", PI_REASSEMBLE, PI_WARN, "The frame is cut short", EXPFILL}},
        {&ei_reserved,
         {"tuya.reserved.set", PI_PROTOCOL, PI_NOTE, "Frame version or reserved bits are not 0", EXPFILL}},
    };
    expert_register_field_array(expert_register_protocol(proto_tuya), ei, array_length(ei));
}

/* see tuya-show.h */
void tuya_show_register(int proto)
{
    proto_tuya = proto;
    register_fields();
    register_expert_infos();
    tap_tuya = register_tap("tuya");
}

/* see tuya-show.h */
void tuya_show_handoff(void)
{
    json_handle = find_dissector_add_dependency("json", proto_tuya);
    tap_export = register_export_pdu_tap("Tuya");
}
