/* text.c - messages for people, 120 columns wide.
 *
 *   22:13:20.123 Kettle plug      > 3.3 CONTROL                 3  switch_1 true
 *   22:13:20.145 Kettle plug      < 3.3 CONTROL                 3  ok
 *   22:13:20.165 Kettle plug      < 3.3 STATUS                  0  switch_1 true, cur_power 60.1 W
 *
 * time of day (UTC), device, direction (> to the device, < from it, * broadcast), version, command, sequence number, and
 * what it says. A verdict is a line of its own that begins with "!", once per connection and kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/units.h"
#include "common/utf8.h"
#include "output.h"

enum {
    WIDTH = 120,
    NAME_WIDTH = 16,
    COMMAND_WIDTH = 15, /* BROADCAST_LPV34 */
    TIME_LEN = 12,      /* to the millisecond */
    INDENT = 59,        /* where the content of a message begins, and its further lines */
    HEX_COLUMNS = 32,   /* bytes per line of -v */
    SUB_NAME_MAX = 32,  /* characters of a sub-device's name */
};

struct text {
    struct output output;
    struct out *out;
    bool colour, show_keys;
    unsigned verbose;
    size_t column; /* of the content, for wrapping */
    uint64_t last_day;
};

static void paint(struct text *t, const char *code)
{
    if (t->colour)
        out_text(t->out, code);
}

/* UTF-8 characters in s: what a terminal shows, near enough. */
static size_t width_of(const uint8_t *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += (s[i] & 0xc0) != 0x80;
    return n;
}

/* Bytes of the first n characters. */
static size_t bytes_of(struct tw_span s, size_t n)
{
    size_t at = 0;
    for (; at < s.len && n > 0; n--)
        do
            at++;
        while (at < s.len && (s.data[at] & 0xc0) == 0x80);
    return at;
}

/* What is too wide loses its middle: ids and names of a house often begin alike. */
static void put_padded(struct text *t, struct tw_span s, size_t width)
{
    size_t all = width_of(s.data, s.len);
    if (all > width) {
        size_t half = (width - 2) / 2, tail = bytes_of(s, all - half);
        out_clean(t->out, (struct tw_span){s.data, bytes_of(s, width - 2 - half)});
        out_text(t->out, "..");
        out_clean(t->out, (struct tw_span){s.data + tail, s.len - tail});
        return;
    }
    out_clean(t->out, s);
    for (; all < width; all++)
        out_text(t->out, " ");
}

static struct tw_span span_of(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* One piece of content: on the next line if it would pass the right edge. */
static void put_piece(struct text *t, struct tw_span piece, bool first)
{
    size_t width = width_of(piece.data, piece.len) + (first ? 0 : 2);
    if (!first)
        out_text(t->out, ",");
    if (!first && t->column + width > WIDTH) {
        out_text(t->out, "\n");
        for (int i = 0; i < INDENT; i++)
            out_text(t->out, " ");
        t->column = INDENT;
        width -= 2;
    } else if (!first) {
        out_text(t->out, " ");
    }
    out_clean(t->out, piece);
    t->column += width;
}

static int put_value(char *out, size_t cap, const struct tw_value *v, const struct meaning *m)
{
    if (v->type == TW_VALUE_INTEGER && (m->scale > 0 || m->unit[0] != '\0')) {
        char number[UNITS_NUMBER_MAX];
        units_scale(number, v->text, m->scale);
        return snprintf(out, cap, "%s%s%s", number, m->unit[0] != '\0' ? " " : "", m->unit);
    }
    return snprintf(out, cap, "%.*s", v->text.len > 4096 ? 4096 : (int)v->text.len, (const char *)v->text.data);
}

static void put_phase(char *piece, size_t cap, const char *name, const struct units_phase *p)
{
    snprintf(piece, cap, "%s %u.%u V %u mA %u W", name, (unsigned)(p->decivolt / 10), (unsigned)(p->decivolt % 10),
             (unsigned)p->milliampere, (unsigned)p->watt);
}

enum { LABEL_MAX = 96 };

/* The name of a data point, or its number. */
static void write_dp_label(char label[LABEL_MAX], const struct meaning *m, uint32_t dp_id)
{
    if (m->code[0] != '\0')
        snprintf(label, LABEL_MAX, "%s", m->code);
    else
        snprintf(label, LABEL_MAX, "%u", (unsigned)dp_id);
}

/* "asks for cur_current", and the next ones without these words. */
static void put_asked(struct text *t, struct seen *s, uint32_t dp_id, bool *first, bool *first_asked)
{
    char label[LABEL_MAX], piece[LABEL_MAX + 16];
    struct meaning m = meaning_of(s, dp_id);
    write_dp_label(label, &m, dp_id);
    snprintf(piece, sizeof piece, "%s%s", *first_asked ? "asks for " : "", label);
    put_piece(t, span_of(piece), *first);
    *first = *first_asked = false;
}

/* Values that are all null: so device22 and sub-devices are asked (spec section 8 of device-behaviour). */
static bool asks_by_null(struct seen *s)
{
    struct tw_dp dp;
    bool any = false;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, s->body.dps) == 1; any = true)
        if (dp.value.type != TW_VALUE_NULL)
            return false;
    return any && s->record.dir == RECORD_TO_DEVICE;
}

static uint32_t read_dp_id(struct tw_span s)
{
    uint32_t id = 0;
    for (size_t i = 0; i < s.len && s.len <= 9; i++)
        id = s.data[i] >= '0' && s.data[i] <= '9' ? 10 * id + (uint32_t)(s.data[i] - '0') : 0;
    return id;
}

/* The body of UPDATEDPS: {"dpId":[18,19,20]}. */
static void put_refreshed(struct text *t, struct seen *s, bool *first)
{
    struct tw_span name;
    struct tw_value list, id;
    bool first_asked = true;
    for (size_t pos = 0; tw_json_next_member(&name, &list, &pos, s->body.json) == 1;) {
        if (name.len != 4 || memcmp(name.data, "dpId", 4) != 0 || list.type != TW_VALUE_ARRAY)
            continue;
        for (size_t at = 0; tw_json_next_element(&id, &at, list.text) == 1;)
            if (read_dp_id(id.text) > 0)
                put_asked(t, s, read_dp_id(id.text), first, &first_asked);
    }
}

static void put_data_points(struct text *t, struct seen *s, bool *first)
{
    struct tw_dp dp;
    struct units_phase phase;
    char piece[4400], label[LABEL_MAX];
    bool asks = asks_by_null(s), first_asked = true;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, s->body.dps) == 1;) {
        struct meaning m = meaning_of(s, dp.id);
        if (asks) {
            put_asked(t, s, dp.id, first, &first_asked);
            continue;
        }
        write_dp_label(label, &m, dp.id);
        if (strncmp(m.code, "phase_", 6) == 0 && dp.value.type == TW_VALUE_STRING &&
            units_phase(&phase, dp.value.text) == 0) {
            put_phase(piece, sizeof piece, label, &phase);
        } else {
            int n = snprintf(piece, sizeof piece, "%s ", label);
            put_value(piece + n, sizeof piece - (size_t)n, &dp.value, &m);
        }
        put_piece(t, span_of(piece), *first);
        *first = false;
    }
}

/* What a message says by its command alone. */
static const char *without_body(const struct seen *s)
{
    if (s->record.dir != RECORD_TO_DEVICE)
        return s->record.retcode == 0 ? "ok" : "empty";
    switch (s->record.cmd) {
    case TW_CMD_HEART_BEAT: return "alive?";
    case TW_CMD_DP_QUERY:
    case TW_CMD_DP_QUERY_NEW: return "asks for everything";
    default: return "empty";
    }
}

/* A query or heart beat that holds nothing but ids and times. */
static bool is_usual_body(const struct seen *s)
{
    static const char *const usual[] = {"gwId", "devId", "uid", "t", "cid"};
    struct tw_span name;
    struct tw_value value;
    if (s->record.cmd != TW_CMD_DP_QUERY && s->record.cmd != TW_CMD_DP_QUERY_NEW &&
        s->record.cmd != TW_CMD_HEART_BEAT)
        return false;
    for (size_t pos = 0; tw_json_next_member(&name, &value, &pos, s->body.json) == 1;) {
        bool found = false;
        for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
            found = found || (name.len == strlen(usual[i]) && memcmp(name.data, usual[i], name.len) == 0);
        if (!found)
            return false;
    }
    return true;
}

static void put_cid(struct text *t, const struct seen *s)
{
    char piece[256];
    struct tw_span cid = s->body.cid, name = name_of_sub_device(s);
    snprintf(piece, sizeof piece, name.len > 0 ? "cid %.*s (%.*s)" : "cid %.*s", cid.len > 100 ? 100 : (int)cid.len,
             (const char *)cid.data, (int)bytes_of(name, SUB_NAME_MAX), (const char *)name.data);
    put_piece(t, span_of(piece), true);
}

/* Data points, or the whole body of a message without any. */
static void put_body(struct text *t, struct seen *s, bool *first)
{
    if (s->body.cid.len > 0) {
        put_cid(t, s);
        *first = false;
    }
    if (s->record.dir == RECORD_TO_DEVICE && is_usual_body(s)) {
        put_piece(t, span_of(without_body(s)), *first);
        *first = false;
        return;
    }
    put_data_points(t, s, first);
    if (s->record.cmd == TW_CMD_UPDATEDPS && s->record.dir == RECORD_TO_DEVICE)
        put_refreshed(t, s, first);
    if (*first)
        put_piece(t, s->body.json, true);
    *first = false;
}

static int cut_len(struct tw_span s, int max)
{
    return s.len > (size_t)max ? max : (int)s.len;
}

/* Id, address and product key: with ids of 22 and addresses of 15 characters that just fits into a line. */
static void put_discovery(struct text *t, const struct seen *s)
{
    const struct tw_discovery *d = s->discovery;
    char piece[160];
    enum tw_version version;
    if (d->is_request) {
        snprintf(piece, sizeof piece, "who is there? answer to %.*s", cut_len(d->ip, 64), (const char *)d->ip.data);
        put_piece(t, span_of(piece), true);
        return;
    }
    snprintf(piece, sizeof piece, "%.*s at %.*s", cut_len(d->gw_id, 64), (const char *)d->gw_id.data,
             cut_len(d->ip, 64), (const char *)d->ip.data);
    put_piece(t, span_of(piece), true);
    if (d->product_key.len > 0)
        put_piece(t, d->product_key, false);
    if (tw_version_parse(&version, (const char *)d->version.data, d->version.len) != TW_OK) {
        snprintf(piece, sizeof piece, "speaks %.*s", cut_len(d->version, 64), (const char *)d->version.data);
        put_piece(t, span_of(piece), false);
    }
}

/* What stands in a step of the handshake; NULL: this is none. Devices that know no handshake answer START by an error. */
static const char *handshake_content(const struct seen *s)
{
    bool from_device = s->record.dir == RECORD_FROM_DEVICE;
    switch (s->record.cmd) {
    case TW_CMD_SESS_KEY_NEG_START: return from_device ? NULL : "client nonce (hidden)";
    case TW_CMD_SESS_KEY_NEG_RESP: return "device nonce and proof (hidden)";
    case TW_CMD_SESS_KEY_NEG_FINISH: return from_device ? NULL : "proof (hidden)";
    default: return NULL;
    }
}

static void put_plain(struct text *t, const struct seen *s, bool *first)
{
    struct tw_span p = s->record.payload;
    bool printable = utf8_check(p);
    for (size_t i = 0; i < p.len; i++)
        printable = printable && p.data[i] >= 0x20 && p.data[i] != 0x7f;
    char piece[64];
    if (printable) {
        put_piece(t, p, *first);
    } else {
        snprintf(piece, sizeof piece, "%zu bytes that are no text", p.len);
        put_piece(t, span_of(piece), *first);
    }
    *first = false;
}

static void put_content(struct text *t, struct seen *s)
{
    bool first = true;
    char piece[96];
    t->column = INDENT;
    if (s->discovery != NULL) {
        put_discovery(t, s);
        return;
    }
    if (s->record.error != TW_OK) {
        snprintf(piece, sizeof piece, "%s", tw_error_name(s->record.error));
        paint(t, "\033[31m");
        put_piece(t, span_of(piece), true);
        paint(t, "\033[0m");
        return;
    }
    if (s->record.retcode > 0) {
        snprintf(piece, sizeof piece, "return code %lld", (long long)s->record.retcode);
        put_piece(t, span_of(piece), true);
        first = false;
    }
    if (s->has_body)
        put_body(t, s, &first);
    else if (s->record.payload.len > 0 && handshake_content(s) != NULL && !t->show_keys)
        put_piece(t, span_of(handshake_content(s)), first);
    else if (s->record.payload.len > 0)
        put_plain(t, s, &first);
    else if (first)
        put_piece(t, span_of(without_body(s)), true);
}

static struct tw_span label_of(const struct seen *s)
{
    if (s->record.name.len > 0)
        return s->record.name;
    if (s->record.device.len > 0)
        return s->record.device;
    if (s->conversation != NULL && s->conversation->device_side >= 0)
        return span_of(s->conversation->address[s->conversation->device_side]);
    return s->record.src != NULL ? span_of(s->record.src) : span_of("?");
}

/* The steps of the handshake have names that leave no room for what they say; JSON and -Y keep the long ones. */
static const char *short_name(int64_t command)
{
    switch (command) {
    case TW_CMD_SESS_KEY_NEG_START: return "START";
    case TW_CMD_SESS_KEY_NEG_RESP: return "RESP";
    case TW_CMD_SESS_KEY_NEG_FINISH: return "FINISH";
    default: return command >= 0 ? tw_command_name((uint32_t)command) : NULL;
    }
}

static void put_command(struct text *t, const struct seen *s)
{
    char text[32] = "";
    const char *name = short_name(s->record.cmd);
    if (name == NULL && s->record.cmd >= 0)
        snprintf(text, sizeof text, "command 0x%02llx", (unsigned long long)s->record.cmd);
    paint(t, "\033[1m");
    put_padded(t, span_of(name != NULL ? name : text), COMMAND_WIDTH);
    paint(t, "\033[0m");
}

static void put_seq(struct text *t, const struct seen *s)
{
    char text[24] = "";
    if (s->record.seq >= 0)
        snprintf(text, sizeof text, "%lld", (long long)s->record.seq);
    for (size_t n = strlen(text); n < 6; n++)
        out_text(t->out, " ");
    out_text(t->out, text);
    out_text(t->out, "  ");
}

/* The day, when it changes. */
static void put_day(struct text *t, uint64_t time_ns)
{
    uint64_t day = time_ns / 86400000000000u + 1;
    char text[TIME_TEXT_MAX];
    if (t->last_day == day || time_ns == 0)
        return;
    t->last_day = day;
    time_text(text, time_ns, true);
    text[10] = '\0';
    out_text(t->out, "-- ");
    out_text(t->out, text);
    out_text(t->out, " (UTC)\n");
}

static void put_line(struct text *t, struct seen *s)
{
    static const char *const arrows[] = {" ? ", " > ", " < ", " * "};
    char time[TIME_TEXT_MAX];
    put_day(t, s->record.time_ns);
    if (s->record.time_ns > 0) {
        time_text(time, s->record.time_ns, false);
        time[TIME_LEN] = '\0';
        out_text(t->out, time);
        out_text(t->out, " ");
    }
    put_padded(t, label_of(s), s->record.time_ns > 0 ? NAME_WIDTH : NAME_WIDTH + TIME_LEN + 1);
    out_text(t->out, arrows[s->record.dir]);
    out_text(t->out, s->record.version >= 0 ? tw_version_name((enum tw_version)s->record.version) : "3.?");
    out_text(t->out, " ");
    put_command(t, s);
    put_seq(t, s);
    put_content(t, s);
    out_text(t->out, "\n");
}

/* A line of its own, broken between words where it would pass the right edge. */
static void put_note(struct text *t, const char *text)
{
    size_t column = 2;
    paint(t, "\033[33m");
    out_text(t->out, "!");
    for (const char *word = text; *word != '\0';) {
        size_t len = strcspn(word, " ");
        if (column + 1 + len > WIDTH) {
            out_text(t->out, "\n ");
            column = 1;
        }
        out_text(t->out, " ");
        out_bytes(t->out, word, len);
        column += 1 + len;
        word += len + strspn(word + len, " ");
    }
    paint(t, "\033[0m");
    out_text(t->out, "\n");
}

static void put_verdict(struct text *t, const struct seen *s)
{
    char text[VERDICT_DETAIL_MAX + 160];
    const struct conversation *c = s->conversation;
    if (s->record.detail == NULL)
        return;
    if (c == NULL)
        snprintf(text, sizeof text, "%s%s%s", s->record.src != NULL ? s->record.src : "",
                 s->record.src != NULL ? ": " : "", s->record.detail);
    else if (c->verdict.n[s->verdict.kind] > 1 && s->verdict.kind != VERDICT_LOST)
        return; /* once per connection and kind; how often, the end of the connection says */
    else
        snprintf(text, sizeof text, "flow %llu %s - %s: %s", (unsigned long long)c->number, c->address[0],
                 c->address[1], s->record.detail);
    put_note(t, text);
}

/* -v: header, sizes, and the frame in hex. */
static void put_details(struct text *t, const struct seen *s)
{
    char text[256];
    const struct record *r = &s->record;
    static const char *const integrity[] = {"unchecked", "ok", "BAD"};
    static const char *const keys[] = {"none", "local", "session", "discovery"};
    out_text(t->out, "    ");
    if (r->src != NULL) {
        snprintf(text, sizeof text, "%s -> %s flow %llu, ", r->src, r->dst, (unsigned long long)r->flow);
        out_text(t->out, text);
    }
    snprintf(text, sizeof text, "%s, integrity %s, key %s, %zu bytes",
             r->framing < 0                   ? "no frame"
             : r->framing == TW_ENVELOPE_55AA ? "55aa"
                                              : "6699",
             integrity[r->integrity], keys[r->key], s->raw.len);
    out_text(t->out, text);
    if (r->has_header) {
        snprintf(text, sizeof text, ", header %s check %u counter %u source %u", r->header.version,
                 (unsigned)r->header.check, (unsigned)r->header.counter, (unsigned)r->header.source);
        out_text(t->out, text);
    }
    out_text(t->out, "\n");
    if (r->payload.len > 0 && (t->show_keys || handshake_content(s) == NULL)) {
        out_text(t->out, "    ");
        out_clean(t->out, r->payload);
        out_text(t->out, "\n");
    }
    for (size_t at = 0; t->verbose > 1 && at < s->raw.len; at += HEX_COLUMNS) {
        snprintf(text, sizeof text, "    %04zx  ", at);
        out_text(t->out, text);
        size_t n = s->raw.len - at < HEX_COLUMNS ? s->raw.len - at : HEX_COLUMNS;
        out_hex(t->out, (struct tw_span){s->raw.data + at, n});
        out_text(t->out, "\n");
    }
}

static void text_seen(struct output *o, struct seen *s)
{
    struct text *t = (struct text *)o;
    bool is_message = s->record.cmd >= 0 || s->discovery != NULL || s->conversation == NULL;
    if (is_message)
        put_line(t, s);
    put_verdict(t, s);
    if (t->verbose > 0 && is_message)
        put_details(t, s);
}

/* What happened more than once on a connection. */
static void text_closed(struct output *o, struct conversation *c, uint64_t time_ns)
{
    struct text *t = (struct text *)o;
    char text[256];
    (void)time_ns;
    for (int kind = 1; kind < N_VERDICTS; kind++) {
        if (c->verdict.n[kind] < 2)
            continue;
        snprintf(text, sizeof text, "flow %llu %s - %s: %s, %llu in all", (unsigned long long)c->number,
                 c->address[0], c->address[1], verdict_name((enum verdict_kind)kind),
                 (unsigned long long)c->verdict.n[kind]);
        put_note(t, text);
    }
}

static void text_free(struct output *o)
{
    free(o);
}

struct output *output_text(struct out *out, bool colour, unsigned verbose, bool show_keys)
{
    struct text *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->output = (struct output){.seen = text_seen, .closed = text_closed, .free = text_free};
    t->out = out;
    t->colour = colour;
    t->verbose = verbose;
    t->show_keys = show_keys;
    return &t->output;
}
