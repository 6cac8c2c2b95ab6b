/* commands.c - see commands.h. */
#include "commands.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/utf8.h"
#include "show.h"

enum { DPS_MAX = 4096, REFRESH_WAIT_MS = 1000 };

static enum exit_code said(const struct trouble *t)
{
    trouble_say(t);
    return t->code;
}

/* ---- arguments ------------------------------------------------------------------------------------------------- */

/* A data point as users name it: a number, or a code of the device list. @return 0; -1, said already */
static int read_dp_name(uint32_t *id, const struct target *target, struct tw_span name)
{
    const struct devices_dp *dp = NULL;
    char code[64];
    snprintf(code, sizeof code, "%.*s", (int)(name.len < 63 ? name.len : 63), (const char *)name.data);
    char *end;
    unsigned long n = strtoul(code, &end, 10);
    if (code[0] >= '0' && code[0] <= '9' && *end == '\0' && n >= 1 && n <= 0xffff) {
        *id = (uint32_t)n;
        return 0;
    }
    if (target->entry != NULL)
        dp = devices_dp_by_code(target->entry, code);
    if (dp == NULL) {
        say_usage("DP", "\"%s\" is not a data point: expected a number (1), or a name from the device's mapping",
                  code);
        return -1;
    }
    *id = dp->id;
    return 0;
}

static int read_dp(uint32_t *id, const struct session *s, const char *text)
{
    return read_dp_name(id, &s->target, (struct tw_span){(const uint8_t *)text, strlen(text)});
}

static const char *type_wish(const struct devices_dp *dp)
{
    switch (dp->type) {
    case DEVICES_DP_BOOLEAN: return "true or false";
    case DEVICES_DP_INTEGER:
    case DEVICES_DP_BITMAP: return "a whole number";
    case DEVICES_DP_ENUM: return "one of its words";
    default: return "a string";
    }
}

/* Does the value fit what the mapping says? Ranges are only warned of: the cloud's list and the device differ. */
static int check_type(const struct devices_dp *dp, const struct tw_value *v)
{
    bool fits = true;
    switch (dp->type) {
    case DEVICES_DP_BOOLEAN: fits = v->type == TW_VALUE_BOOL; break;
    case DEVICES_DP_INTEGER:
    case DEVICES_DP_BITMAP: fits = v->type == TW_VALUE_INTEGER; break;
    case DEVICES_DP_ENUM:
    case DEVICES_DP_STRING:
    case DEVICES_DP_RAW: fits = v->type == TW_VALUE_STRING; break;
    default: break;
    }
    if (!fits) {
        say_usage("DP=VALUE", "data point %u (%s) is of type %s: expected %s, got %.*s", (unsigned)dp->id, dp->code,
                  devices_dp_type_name(dp->type), type_wish(dp), (int)(v->text.len < 60 ? v->text.len : 60),
                  (const char *)v->text.data);
        return -1;
    }
    if (dp->has_range && v->type == TW_VALUE_INTEGER && (v->integer < dp->min || v->integer > dp->max))
        say_warn("data point %u (%s) goes from %lld to %lld; sending %lld all the same", (unsigned)dp->id, dp->code,
                 (long long)dp->min, (long long)dp->max, (long long)v->integer);
    return 0;
}

/* Which of two values is meant? Devices take the first or the last. */
static int check_once(const struct target *target, uint32_t id, char **before, int n)
{
    for (int i = 0; i < n; i++) {
        struct opt_dp dp;
        uint32_t other;
        if (opt_dp(&dp, before[i], NULL) != 0 || read_dp_name(&other, target, dp.name) != 0 || other != id)
            continue;
        say_usage("DP=VALUE", "data point %u is there twice: expected one value", (unsigned)id);
        return -1;
    }
    return 0;
}

/* DP=VALUE... as {"1":true,..}. @return 0; -1, said already */
static int read_dps(struct tw_text *t, const struct target *target, int n, char **arguments)
{
    tw_text_put(t, "{");
    for (int i = 0; i < n; i++) {
        struct opt_dp dp;
        struct why why;
        uint32_t id;
        if (opt_dp(&dp, arguments[i], &why) != 0) {
            say_usage("DP=VALUE", "%s", why.text);
            return -1;
        }
        if (read_dp_name(&id, target, dp.name) != 0 || check_once(target, id, arguments, i) != 0)
            return -1;
        tw_text_put(t, i == 0 ? "\"" : ",\"");
        tw_text_put_int(t, id);
        tw_text_put(t, "\":");
        size_t from = t->len;
        opt_dp_put_value(t, &dp);
        const struct devices_dp *mapped = target->entry != NULL ? devices_dp(target->entry, id) : NULL;
        if (mapped == NULL || t->overflow)
            continue;
        struct tw_value v;
        if (tw_json_value(&v, (struct tw_span){(const uint8_t *)t->data + from, t->len - from}) == TW_OK &&
            check_type(mapped, &v) != 0)
            return -1;
    }
    tw_text_put(t, "}");
    if (t->overflow) {
        say_usage("DP=VALUE", "too much for one request: at most about 3000 bytes");
        return -1;
    }
    return 0;
}

/* ---- status, get ----------------------------------------------------------------------------------------------- */

static void put_title(const struct session *s)
{
    const struct target *g = &s->target;
    if (g->entry != NULL && g->entry->name[0] != '\0')
        show_clean(g->entry->name, strlen(g->entry->name)), fputs(", ", stdout);
    if (g->id[0] != '\0')
        printf("%s, ", g->id);
    printf("protocol %s at %s\n", tw_version_name(g->version), g->host);
}

static enum exit_code command_status(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set, (void)n, (void)arguments;
    struct trouble t;
    if (session_status(s, &t) != 0)
        return said(&t);
    if (show_is_json()) {
        show_begin(s);
        printf(",\"version\":\"%s\"", tw_version_name(s->target.version));
        show_dps_json(s, 0);
        show_end();
        return EXIT_CODE_OK;
    }
    put_title(s);
    show_table(s, 0);
    return EXIT_CODE_OK;
}

static enum exit_code no_such_dp(const struct session *s, uint32_t id)
{
    char list[256] = "";
    size_t len = 0;
    for (size_t i = 0; i < s->store.n && len < sizeof list - 16; i++)
        len +=
            (size_t)snprintf(list + len, sizeof list - len, "%s%u", i == 0 ? "" : ", ", (unsigned)s->store.dps[i].id);
    say_warn("the device has no data point %u; it has %s", (unsigned)id, len > 0 ? list : "none");
    return EXIT_CODE_REFUSED;
}

/* A data point that a device22 was not asked for. */
static const struct store_dp *ask_for(struct session *s, uint32_t id)
{
    uint32_t ids[2] = {id, s->store.n > 0 ? s->store.dps[0].id : 1};
    struct trouble ignored;
    struct ask a = {.kind = ASK_NULL_MAP, .dp_ids = ids, .n = 2, .once = true};
    if (tw_client_null_map(s->link.client))
        (void)session_ask(s, &a, &ignored);
    return store_find(&s->store, id);
}

static enum exit_code command_get(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set, (void)n;
    uint32_t id;
    struct trouble t;
    if (read_dp(&id, s, arguments[0]) != 0)
        return EXIT_CODE_USAGE;
    if (session_status(s, &t) != 0)
        return said(&t);
    const struct store_dp *dp = store_find(&s->store, id);
    if (dp == NULL)
        dp = ask_for(s, id);
    if (dp == NULL)
        return no_such_dp(s, id);
    if (show_is_json()) {
        show_begin(s);
        printf(",\"dp\":%u,\"value\":", (unsigned)id);
        show_json(dp->text, dp->len);
        show_end();
    } else {
        show_clean(dp->text, dp->len);
        putchar('\n');
    }
    return EXIT_CODE_OK;
}

/* ---- set, on, off, toggle -------------------------------------------------------------------------------------- */

static enum exit_code control(struct session *s, const char *dps, bool once)
{
    struct trouble t;
    if (session_control(s, dps, once, &t) != 0)
        return said(&t);
    /* Show what was set as the device has it now. */
    struct tw_dp dp;
    size_t pos = 0;
    struct tw_span object = {(const uint8_t *)dps, strlen(dps)};
    enum units_family family = show_family(s);
    const char *comma = "";
    if (show_is_json()) {
        show_begin(s);
        fputs(",\"dps\":{", stdout);
    }
    while (tw_dps_next(&dp, &pos, object)) {
        const struct store_dp *has = store_find(&s->store, dp.id);
        if (has == NULL)
            continue;
        if (show_is_json()) {
            printf("%s\"%u\":", comma, (unsigned)dp.id);
            show_json(has->text, has->len);
            comma = ",";
            continue;
        }
        const char *code = show_meaning(s->target.entry, family, dp.id).code;
        printf("%u%s%s = ", (unsigned)dp.id, code[0] != '\0' ? " " : "", code);
        show_value(s->target.entry, family, dp.id, store_text(has));
        putchar('\n');
    }
    if (show_is_json()) {
        fputs("}", stdout);
        show_end();
    }
    show_flush();
    return EXIT_CODE_OK;
}

static enum exit_code command_set(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set;
    char room[DPS_MAX];
    struct tw_text t = {.data = room, .cap = sizeof room - 1};
    if (read_dps(&t, &s->target, n, arguments) != 0)
        return EXIT_CODE_USAGE;
    room[t.len] = '\0';
    return control(s, room, false);
}

/* The main switch: by the list, else by what the device reports, else data point 1. */
static int find_switch(struct session *s, uint32_t *id, struct trouble *t)
{
    static const char *const codes[] = {"switch_1", "switch", "switch_led"};
    for (size_t i = 0; s->target.entry != NULL && i < sizeof codes / sizeof codes[0]; i++) {
        const struct devices_dp *dp = devices_dp_by_code(s->target.entry, codes[i]);
        if (dp != NULL && dp->id != 0) {
            *id = dp->id;
            return 0;
        }
    }
    if (s->store.n == 0 && session_status(s, t) != 0) {
        if (t->kind != TROUBLE_SAID_NO)
            return -1;
        *id = 1; /* a plug that has no state yet can be switched all the same (device behaviour section 11) */
        return 0;
    }
    enum units_family family = show_family(s);
    *id = family == UNITS_FAMILY_METER ? 16 : family == UNITS_FAMILY_BULB ? 20 : 1;
    return 0;
}

/* The switch that is named, or else the main one. @return an exit code, said already */
static enum exit_code read_switch(uint32_t *id, struct session *s, int n, char **arguments)
{
    struct trouble t;
    if (n > 0)
        return read_dp(id, s, arguments[0]) == 0 ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    return find_switch(s, id, &t) == 0 ? EXIT_CODE_OK : said(&t);
}

static enum exit_code switch_to(struct session *s, int n, char **arguments, const char *value)
{
    uint32_t id;
    char dps[64];
    enum exit_code code = read_switch(&id, s, n, arguments);
    if (code != EXIT_CODE_OK)
        return code;
    snprintf(dps, sizeof dps, "{\"%u\":%s}", (unsigned)id, value);
    return control(s, dps, false);
}

static enum exit_code command_on(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set;
    return switch_to(s, n, arguments, "true");
}

static enum exit_code command_off(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set;
    return switch_to(s, n, arguments, "false");
}

static enum exit_code command_toggle(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set;
    struct trouble t;
    uint32_t id;
    char dps[64];
    enum exit_code code = read_switch(&id, s, n, arguments);
    if (code != EXIT_CODE_OK)
        return code;
    if (session_status(s, &t) != 0) /* fresh: somebody may have pressed the button */
        return said(&t);
    const struct store_dp *dp = store_find(&s->store, id);
    if (dp == NULL)
        return no_such_dp(s, id);
    struct tw_value v = store_value(dp);
    if (v.type != TW_VALUE_BOOL) {
        say_warn("data point %u is not a switch, it has %.60s; name another, as in `tuya-ctl toggle 2`", (unsigned)id,
                 dp->text);
        return EXIT_CODE_REFUSED;
    }
    snprintf(dps, sizeof dps, "{\"%u\":%s}", (unsigned)id, v.boolean ? "false" : "true");
    return control(s, dps, true);
}

/* ---- refresh, heartbeat, send, subdevices ---------------------------------------------------------------------- */

struct news {
    const struct session *s;
    uint64_t since;
};

static bool has_news(void *ctx)
{
    const struct news *n = ctx;
    return n->s->store.clock > n->since;
}

/* Nothing changed, nothing said: so do many plugs, and it is no failure as long as they are alive. */
static bool is_alive(struct session *s)
{
    struct ask a = {.kind = ASK_HEARTBEAT, .once = true};
    struct trouble ignored;
    return !s->link.over && session_ask(s, &a, &ignored) == 0;
}

static enum exit_code command_refresh(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set;
    static const uint32_t measurements[] = {18, 19, 20};
    uint32_t ids[32];
    struct trouble t;
    for (int i = 0; i < n; i++) {
        if (read_dp(&ids[i], s, arguments[i]) != 0)
            return EXIT_CODE_USAGE;
    }
    struct ask a = {.kind = ASK_REFRESH, .dp_ids = n > 0 ? ids : measurements, .n = n > 0 ? (size_t)n : 3};
    if (session_open(s, &t) != 0)
        return said(&t);
    struct news news = {.s = s, .since = s->store.clock};
    uint64_t since = news.since;
    a.once = true;
    if (session_ask(s, &a, &t) != 0) {
        if (t.kind != TROUBLE_SILENT || !is_alive(s))
            return said(&t);
        say_warn("the device did not answer the refresh; many do not when nothing has changed, some never do");
    } else if (s->answer.type == TW_CLIENT_REFUSED) {
        trouble_from_refusal(&t, s->answer.text != NULL ? s->answer.text : "", s->target.version, false);
        return said(&t);
    }
    if (s->store.clock == since)
        session_wait(s, has_news, &news, REFRESH_WAIT_MS);
    if (show_is_json()) {
        show_begin(s);
        show_dps_json(s, since);
        show_end();
    } else if (s->store.clock == since) {
        puts("nothing has changed");
    } else {
        show_table(s, since);
    }
    return EXIT_CODE_OK;
}

static enum exit_code command_heartbeat(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set, (void)n, (void)arguments;
    struct ask a = {.kind = ASK_HEARTBEAT};
    struct trouble t;
    if (session_open(s, &t) != 0)
        return said(&t);
    uint64_t start = uv_hrtime();
    if (session_ask(s, &a, &t) != 0)
        return said(&t);
    uint64_t us = (uv_hrtime() - start) / 1000;
    if (show_is_json()) {
        show_begin(s);
        printf(",\"alive\":true,\"ms\":%llu.%03llu", (unsigned long long)(us / 1000),
               (unsigned long long)(us % 1000));
        show_end();
    } else {
        printf("alive, answered in %llu.%01llu ms\n", (unsigned long long)(us / 1000),
               (unsigned long long)(us % 1000 / 100));
    }
    return EXIT_CODE_OK;
}

/* "0x40", "64", "LAN_EXT_STREAM". */
static int read_command(uint32_t *out, const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 0);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= 0xffffffffUL) {
        *out = (uint32_t)n;
        return tw_command_is_handshake(*out) ? -1 : 0;
    }
    for (uint32_t c = 0; c < 256; c++) {
        const char *name = tw_command_name(c);
        if (name != NULL && strcasecmp(name, text) == 0) {
            *out = c;
            return tw_command_is_handshake(c) ? -1 : 0;
        }
    }
    return -1;
}

static bool changes_nothing(uint32_t command)
{
    return command == TW_CMD_DP_QUERY || command == TW_CMD_DP_QUERY_NEW || command == TW_CMD_HEART_BEAT;
}

static void show_answer(const struct session *s)
{
    const char *name = tw_command_name(s->answer.command);
    const char *text = s->answer.text != NULL ? s->answer.text : "";
    struct tw_span span = {(const uint8_t *)text, s->answer.len};
    bool is_json = tw_json_check(span) == TW_OK, is_text = !is_json && span.len > 0 && utf8_check(span);
    bool is_binary = !is_json && !is_text && span.len > 0;
    if (!show_is_json()) {
        printf("%s (0x%02x), return code %u%s", name != NULL ? name : "?", (unsigned)s->answer.command,
               (unsigned)s->answer.return_code, s->answer.len > 0 ? ": " : "");
        if (is_binary)
            show_hex(stdout, span);
        else
            show_clean(text, span.len);
        putchar('\n');
        return;
    }
    show_begin(s);
    printf(",\"cmd\":%u,\"cmd_name\":", (unsigned)s->answer.command);
    if (name != NULL)
        show_string(name);
    else
        fputs("null", stdout);
    printf(",\"retcode\":%u,\"payload\":", (unsigned)s->answer.return_code);
    show_json(is_json ? text : "null", is_json ? s->answer.len : 4);
    fputs(",\"text\":", stdout);
    if (is_text)
        show_string_len(text, span.len);
    else
        fputs("null", stdout);
    fputs(is_binary ? ",\"hex\":\"" : ",\"hex\":null", stdout);
    if (is_binary) {
        show_hex(stdout, span);
        putchar('"');
    }
    show_end();
}

static enum exit_code command_send(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set;
    uint32_t command;
    struct trouble t;
    if (read_command(&command, arguments[0]) != 0)
        return (enum exit_code)say_usage("CMD",
                                         "\"%s\" is no command: expected a number (0x40) or a name "
                                         "(LAN_EXT_STREAM), and none of the handshake (3 to 5)",
                                         arguments[0]);
    struct ask a = {.kind = ASK_SEND, .command = command, .text = n > 1 ? arguments[1] : ""};
    a.once = !changes_nothing(command);
    if (session_ask(s, &a, &t) != 0)
        return said(&t);
    show_answer(s);
    return s->answer.type == TW_CLIENT_REFUSED ? EXIT_CODE_REFUSED : EXIT_CODE_OK;
}

/* The list under one state of the report: "online   a4c1380000000001  Kettle". */
static size_t put_sub_devices(const struct session *s, const struct devices *devices, const char *state,
                              struct tw_span list)
{
    const struct tw_span id = {(const uint8_t *)s->target.id, strlen(s->target.id)};
    struct tw_value cid;
    size_t n = 0;
    for (size_t pos = 0; tw_json_next_element(&cid, &pos, list) == 1;) {
        if (cid.type != TW_VALUE_STRING)
            continue;
        const struct tw_span text = {cid.text.data + 1, cid.text.len - 2};
        const struct devices_entry *e = devices_owner(devices, id, text);
        printf("%-7s  ", state);
        show_clean((const char *)text.data, text.len);
        if (e != NULL && e->name[0] != '\0') {
            fputs("  ", stdout);
            show_clean(e->name, strlen(e->name));
        }
        putchar('\n');
        n++;
    }
    return n;
}

/* {"reqType":"subdev_online_stat_report","data":{"online":[..],"offline":[..],"nearby":[..]}}. False: it is another. */
static bool show_report(const struct session *s, const struct devices *devices)
{
    static const char *const states[] = {"online", "offline", "nearby"};
    struct tw_body body;
    struct tw_span payload = {(const uint8_t *)s->answer.text, s->answer.len}, name;
    struct tw_value data, list;
    bool is_report = false;
    size_t n = 0;
    if (s->answer.text == NULL || tw_body_parse(&body, payload) != TW_OK)
        return false;
    for (size_t pos = 0; tw_json_next_member(&name, &data, &pos, body.json) == 1;) {
        if (data.type != TW_VALUE_OBJECT || name.len != 4 || memcmp(name.data, "data", 4) != 0)
            continue;
        for (size_t at = 0; tw_json_next_member(&name, &list, &at, data.text) == 1;)
            for (size_t i = 0; list.type == TW_VALUE_ARRAY && i < sizeof states / sizeof states[0]; i++)
                if (name.len == strlen(states[i]) && memcmp(name.data, states[i], name.len) == 0) {
                    n += put_sub_devices(s, devices, states[i], list.text);
                    is_report = true;
                }
    }
    if (is_report && n == 0)
        puts("the gateway knows no sub-devices");
    return is_report;
}

static enum exit_code command_subdevices(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)n, (void)arguments;
    struct ask a = {.kind = ASK_SUBDEVICES};
    struct trouble t;
    if (session_ask(s, &a, &t) != 0) {
        if (t.kind == TROUBLE_SILENT)
            snprintf(t.next, sizeof t.next, "only gateways of 3.4 and 3.5 answer this");
        return said(&t);
    }
    if (show_is_json() || !show_report(s, &set->devices))
        show_answer(s);
    return s->answer.type == TW_CLIENT_REFUSED ? EXIT_CODE_REFUSED : EXIT_CODE_OK;
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

static const struct command commands[] = {
    {"status", 0, 0, "no arguments", command_status},
    {"get", 1, 1, "DP", command_get},
    {"set", 1, -1, "DP=VALUE...", command_set},
    {"on", 0, 1, "[DP]", command_on},
    {"off", 0, 1, "[DP]", command_off},
    {"toggle", 0, 1, "[DP]", command_toggle},
    {"energy", 0, 0, "no arguments", command_energy},
    {"refresh", 0, 32, "[DP...]", command_refresh},
    {"heartbeat", 0, 0, "no arguments", command_heartbeat},
    {"watch", 0, 0, "no arguments", command_watch},
    {"send", 1, 2, "CMD [JSON]", command_send},
    {"subdevices", 0, 0, "no arguments", command_subdevices},
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

enum exit_code command_check(const struct command *c, const struct settings *set, const struct target *target, int n,
                             char **arguments)
{
    (void)set;
    char room[DPS_MAX];
    struct tw_text t = {.data = room, .cap = sizeof room - 1};
    uint32_t command;
    if (n < c->min_arguments || (c->max_arguments >= 0 && n > c->max_arguments))
        return (enum exit_code)say_usage(c->name, "expected %s, got %d argument%s", c->arguments, n,
                                         n == 1 ? "" : "s");
    if (c->run == command_set && read_dps(&t, target, n, arguments) != 0)
        return EXIT_CODE_USAGE;
    if (c->run == command_send && read_command(&command, arguments[0]) != 0)
        return c->run(NULL, set, n, arguments); /* says what is wrong before it looks at the session */
    if (c->run == command_send && n > 1 &&
        tw_json_check((struct tw_span){(const uint8_t *)arguments[1], strlen(arguments[1])}) != TW_OK)
        return (enum exit_code)say_usage("JSON", "expected JSON, such as '{\"dps\":{\"1\":true}}', got '%s'",
                                         arguments[1]);
    return EXIT_CODE_OK;
}
