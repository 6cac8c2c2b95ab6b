/* field.c - see field.h. */
#include "field.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/hex.h"
#include "common/units.h"
#include "common/utf8.h"

enum base {
    BASE_TIME,
    BASE_FLOW,
    BASE_SRC,
    BASE_DST,
    BASE_DIR,
    BASE_DEVICE,
    BASE_NAME,
    BASE_VERSION,
    BASE_FRAMING,
    BASE_SEQ,
    BASE_CMD,
    BASE_CMD_NAME,
    BASE_RETCODE,
    BASE_INTEGRITY,
    BASE_KEY,
    BASE_PAYLOAD,
    BASE_TEXT,
    BASE_HEX,
    BASE_ERROR,
    BASE_DETAIL,
    BASE_VERDICT,
    BASE_REPLY_MS,
    BASE_LENGTH,
    N_PLAIN,
    BASE_DP = N_PLAIN,
    BASE_DP_CODE,
    BASE_JSON,
};

static const char *const names[N_PLAIN] = {
    [BASE_TIME] = "time",       [BASE_FLOW] = "flow",
    [BASE_SRC] = "src",         [BASE_DST] = "dst",
    [BASE_DIR] = "dir",         [BASE_DEVICE] = "device",
    [BASE_NAME] = "name",       [BASE_VERSION] = "version",
    [BASE_FRAMING] = "framing", [BASE_SEQ] = "seq",
    [BASE_CMD] = "cmd",         [BASE_CMD_NAME] = "cmd_name",
    [BASE_RETCODE] = "retcode", [BASE_INTEGRITY] = "integrity",
    [BASE_KEY] = "key",         [BASE_PAYLOAD] = "payload",
    [BASE_TEXT] = "text",       [BASE_HEX] = "hex",
    [BASE_ERROR] = "error",     [BASE_DETAIL] = "detail",
    [BASE_VERDICT] = "verdict", [BASE_REPLY_MS] = "reply_ms",
    [BASE_LENGTH] = "length",
};

static int compile_dp(struct field *out, const char *rest, struct why *why)
{
    if (rest[0] == '\0')
        return why_set(why, "'dp.' wants a number or a code behind it: dp.19, dp.cur_power");
    char *end;
    unsigned long long id = strtoull(rest, &end, 10);
    bool is_number = *end == '\0' && rest[0] >= '0' && rest[0] <= '9';
    if (is_number && id > UINT32_MAX)
        return why_set(why, "there is no data point '%.40s': their numbers have 32 bits", rest);
    if (is_number)
        *out = (struct field){.base = BASE_DP, .dp_id = (uint32_t)id};
    else
        *out = (struct field){.base = BASE_DP_CODE, .rest = rest};
    return 0;
}

int field_compile(struct field *out, const char *name, struct why *why)
{
    if (strncmp(name, "dp.", 3) == 0)
        return compile_dp(out, name + 3, why);
    if (strncmp(name, "dps.", 4) == 0)
        return compile_dp(out, name + 4, why);
    if (strncmp(name, "json.", 5) == 0 && name[5] != '\0') {
        *out = (struct field){.base = BASE_JSON, .rest = name + 5};
        return 0;
    }
    for (int i = 0; i < N_PLAIN; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (struct field){.base = i};
            return 0;
        }
    }
    return why_set(
        why,
        "unknown field '%s'; there are time flow src dst dir device name version framing seq cmd cmd_name "
        "retcode integrity key payload text hex error detail verdict reply_ms length dp.N dp.CODE json.NAME",
        name);
}

bool field_wants_body(const struct field *f)
{
    return f->base >= BASE_DP || f->base == BASE_PAYLOAD || f->base == BASE_TEXT || f->base == BASE_HEX;
}

bool field_is_command(const struct field *f)
{
    return f->base == BASE_CMD || f->base == BASE_CMD_NAME;
}

bool field_is_number(const struct field *f)
{
    return f->base == BASE_TIME || f->base == BASE_FLOW || f->base == BASE_SEQ || f->base == BASE_RETCODE ||
           f->base == BASE_REPLY_MS || f->base == BASE_LENGTH;
}

static const char *const dirs[] = {NULL, "to_device", "from_device", "broadcast"};
static const char *const integrity[] = {"unchecked", "ok", "bad"};
static const char *const keys[] = {"none", "local", "session", "discovery"};

/* The words of a field that says nothing else, one after the other. NULL: there are no more. */
static const char *word_of(int base, unsigned i)
{
    switch (base) {
    case BASE_DIR: return i < 3 ? dirs[i + 1] : NULL;
    case BASE_VERSION: return i < TW_N_VERSIONS ? tw_version_name((enum tw_version)i) : NULL;
    case BASE_FRAMING: return i == 0 ? "55aa" : i == 1 ? "6699" : NULL;
    case BASE_INTEGRITY: return i < 3 ? integrity[i] : NULL;
    case BASE_KEY: return i < 4 ? keys[i] : NULL;
    case BASE_VERDICT: return i + 1 < N_VERDICTS ? verdict_name((enum verdict_kind)(i + 1)) : NULL;
    default: return NULL;
    }
}

int field_check_value(const struct field *f, const char *value, struct why *why)
{
    char list[256] = "";
    const char *word;
    for (unsigned i = 0; (word = word_of(f->base, i)) != NULL; i++) {
        if (strcmp(word, value) == 0)
            return 0;
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? ", " : "", word);
    }
    return list[0] == '\0' ? 0 : why_set(why, "%s is never '%.40s': it is one of %s", names[f->base], value, list);
}

/* ---- Values --------------------------------------------------------------------------------------------------------- */

static void set_text(struct field_value *v, const char *text)
{
    if (text == NULL)
        return;
    v->kind = FIELD_TEXT;
    v->text = (struct tw_span){(const uint8_t *)text, strlen(text)};
}

static void set_span(struct field_value *v, struct tw_span s)
{
    if (s.len == 0)
        return;
    v->kind = FIELD_TEXT;
    v->text = s;
}

static void set_number(struct field_value *v, int64_t n)
{
    if (n < 0)
        return;
    snprintf(v->store, sizeof v->store, "%" PRId64, n);
    set_text(v, v->store);
    v->kind = FIELD_NUMBER;
}

static void set_fraction(struct field_value *v, uint64_t whole, uint64_t micro)
{
    snprintf(v->store, sizeof v->store, "%" PRIu64 ".%06" PRIu64, whole, micro);
    set_text(v, v->store);
    v->kind = FIELD_NUMBER;
}

static void set_json(struct field_value *v, const struct tw_value *json)
{
    static const enum field_kind kinds[] = {
        [TW_VALUE_NULL] = FIELD_NULL,     [TW_VALUE_BOOL] = FIELD_BOOL,   [TW_VALUE_INTEGER] = FIELD_NUMBER,
        [TW_VALUE_NUMBER] = FIELD_NUMBER, [TW_VALUE_STRING] = FIELD_TEXT, [TW_VALUE_OBJECT] = FIELD_JSON,
        [TW_VALUE_ARRAY] = FIELD_JSON,
    };
    v->kind = kinds[json->type];
    v->text = json->text;
    if (json->type == TW_VALUE_STRING)
        v->text = string_text(json->text);
}

static void get_dp_code(struct field_value *v, const char *code, struct seen *s)
{
    struct tw_dp dp;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, s->body.dps) == 1;) {
        struct meaning m = meaning_of(s, dp.id);
        if (strcmp(m.code, code) != 0)
            continue;
        set_json(v, &dp.value);
        if (dp.value.type == TW_VALUE_INTEGER && m.scale > 0) {
            char scaled[UNITS_NUMBER_MAX];
            units_scale(scaled, dp.value.text, m.scale);
            snprintf(v->store, sizeof v->store, "%s", scaled);
            set_text(v, v->store);
            v->kind = FIELD_NUMBER;
        }
    }
}

static void get_member(struct field_value *v, const char *path, struct seen *s)
{
    struct tw_span object = s->body.json;
    for (;;) {
        size_t len = strcspn(path, ".");
        struct tw_span name;
        struct tw_value value, found = {.type = TW_VALUE_NULL};
        bool is_there = false;
        for (size_t pos = 0; tw_json_next_member(&name, &value, &pos, object) == 1;) {
            if (name.len != len || memcmp(name.data, path, len) != 0)
                continue;
            found = value;
            is_there = true;
        }
        if (!is_there)
            return;
        if (path[len] == '\0') {
            set_json(v, &found);
            return;
        }
        if (found.type != TW_VALUE_OBJECT)
            return;
        object = found.text;
        path += len + 1;
    }
}

/* Good until the next one is made: a payload is too large for struct field_value. */
static void set_hex(struct field_value *v, struct tw_span s)
{
    static char digits[2 * (TW_FRAME_LENGTH_MAX + 1) + 1];
    size_t n = s.len < sizeof digits / 2 ? s.len : sizeof digits / 2;
    *hex_write(digits, s.data, n) = '\0';
    set_text(v, digits);
}

static void get_plain(struct field_value *v, enum base base, struct seen *s)
{
    const struct record *r = &s->record;
    switch (base) {
    case BASE_TIME: set_fraction(v, r->time_ns / 1000000000u, r->time_ns % 1000000000u / 1000u); break;
    case BASE_FLOW: set_number(v, (int64_t)r->flow); break;
    case BASE_SRC: set_text(v, r->src); break;
    case BASE_DST: set_text(v, r->dst); break;
    case BASE_DIR: set_text(v, dirs[r->dir]); break;
    case BASE_DEVICE: set_span(v, r->device); break;
    case BASE_NAME: set_span(v, r->name); break;
    case BASE_VERSION: set_text(v, r->version < 0 ? NULL : tw_version_name((enum tw_version)r->version)); break;
    case BASE_FRAMING: set_text(v, r->framing < 0 ? NULL : r->framing == TW_ENVELOPE_55AA ? "55aa" : "6699"); break;
    case BASE_SEQ: set_number(v, r->seq); break;
    case BASE_CMD: set_number(v, r->cmd); break;
    case BASE_CMD_NAME: set_text(v, r->cmd < 0 ? NULL : tw_command_name((uint32_t)r->cmd)); break;
    case BASE_RETCODE: set_number(v, r->retcode); break;
    case BASE_INTEGRITY: set_text(v, integrity[r->integrity]); break;
    case BASE_KEY: set_text(v, keys[r->key]); break;
    case BASE_PAYLOAD: set_span(v, s->has_body ? s->body.json : (struct tw_span){0}); break;
    case BASE_TEXT: set_span(v, !s->has_body && utf8_check(r->payload) ? r->payload : (struct tw_span){0}); break;
    case BASE_HEX:
        if (!s->has_body && !utf8_check(r->payload))
            set_hex(v, r->payload);
        break;
    case BASE_ERROR: set_text(v, r->error == TW_OK ? NULL : tw_error_name(r->error)); break;
    case BASE_DETAIL: set_text(v, r->detail); break;
    case BASE_VERDICT: set_text(v, s->verdict.kind == VERDICT_FINE ? NULL : verdict_name(s->verdict.kind)); break;
    case BASE_REPLY_MS:
        if (s->reply_ns > 0)
            set_fraction(v, s->reply_ns / 1000000u, s->reply_ns % 1000000u);
        break;
    case BASE_LENGTH: set_number(v, s->raw.len > 0 ? (int64_t)s->raw.len : -1); break;
    default: break;
    }
}

void field_get(struct field_value *out, const struct field *f, struct seen *s)
{
    struct tw_dp dp;
    out->kind = FIELD_NONE;
    out->text = (struct tw_span){0};
    if (f->base < N_PLAIN) {
        get_plain(out, (enum base)f->base, s);
        return;
    }
    if (!s->has_body)
        return;
    if (f->base == BASE_DP && tw_dps_find(&dp, s->body.dps, f->dp_id) == TW_OK)
        set_json(out, &dp.value);
    else if (f->base == BASE_DP_CODE)
        get_dp_code(out, f->rest, s);
    else if (f->base == BASE_JSON)
        get_member(out, f->rest, s);
}
