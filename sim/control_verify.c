/* control_verify.c - what was said: the journal as JSON, and "did the client send this?" with its near misses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "control_private.h"
#include "tuyawire/dps.h"

enum { NEAR_MISSES_MAX = 10, JOURNAL_LIMIT = 1000, DPS_MAX = 255 };

/* ---- GET /journal --------------------------------------------------------------------------------------------- */

struct selection {
    const struct device *device; /* NULL: any */
    int64_t command;             /* -1: any */
    uint64_t since, limit;
    struct record_buffer out;
    uint64_t n, last;
    bool more, no_memory;
};

static bool put(struct record_buffer *b, const char *text, size_t len)
{
    if (b->len + len + 1 > b->cap) {
        size_t cap = b->cap == 0 ? 4096 : b->cap;
        while (cap < b->len + len + 1)
            cap *= 2;
        char *data = realloc(b->data, cap);
        if (data == NULL)
            return false;
        b->data = data;
        b->cap = cap;
    }
    memcpy(b->data + b->len, text, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

/* {"number":N, and then the record's own members */
static bool put_entry(struct record_buffer *b, const struct journal_entry *e)
{
    char number[40];
    int n = snprintf(number, sizeof number, "{\"number\":%llu,", (unsigned long long)e->number);
    size_t len = e->line.len;
    while (len > 0 && (e->line.data[len - 1] == '\n'))
        len--;
    return put(b, number, (size_t)n) && put(b, (const char *)e->line.data + 1, len - 1);
}

static bool select_entry(void *ctx, const struct journal_entry *e)
{
    struct selection *s = ctx;
    if ((s->device != NULL && e->device != s->device) || (s->command >= 0 && e->command != s->command))
        return true;
    if (s->n == s->limit) {
        s->more = true;
        return false;
    }
    if ((s->n > 0 && !put(&s->out, ",", 1)) || !put_entry(&s->out, e)) {
        s->no_memory = true;
        return false;
    }
    s->n++;
    s->last = e->number;
    return true;
}

/* see control_private.h */
void control_journal_get(struct control *c, const struct http_request *rq, struct http_reply *r)
{
    const char *device = http_query(rq, "device"), *cmd = http_query(rq, "cmd");
    struct selection s = {.command = -1, .limit = JOURNAL_LIMIT};
    uint32_t command;
    if (device != NULL && (s.device = device_by_id(c, device, r)) == NULL)
        return;
    if (cmd != NULL) {
        if (command_by_text(&command, cmd) != 0) {
            reply_error(r, 400, "unknown_command", "'%.32s' is no command: use CONTROL, DP_QUERY, .. or a number",
                        cmd);
            return;
        }
        s.command = command;
    }
    if (!query_number(rq, "since", &s.since, r) || !query_number(rq, "limit", &s.limit, r))
        return;
    if (!put(&s.out, "[", 1))
        s.no_memory = true;
    else
        journal_visit(server_journal(c->cfg.server), s.since, select_entry, &s);
    if (!s.no_memory && put(&s.out, "]", 1)) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddRawToObject(o, "entries", s.out.data);
        /* where to go on: the last one shown when there are more, else the end */
        uint64_t next = s.more ? s.last : journal_last(server_journal(c->cfg.server));
        cJSON_AddNumberToObject(o, "last", (double)next);
        cJSON_AddBoolToObject(o, "more", s.more);
        reply_json(r, 200, o);
    } else {
        reply_error(r, 503, "no_memory", "out of memory");
    }
    free(s.out.data);
}

/* ---- POST /verify --------------------------------------------------------------------------------------------- */

struct expectation {
    const struct device *device;
    int64_t command; /* -1: any */
    enum record_dir dir;
    const cJSON *dps; /* NULL: any */
    uint64_t since;
    uint64_t min, max; /* how many */
    uint64_t matches;
    cJSON *near_misses;
};

static bool same_value(const struct tw_value *v, const cJSON *expected)
{
    char text[32], utf8[1024];
    size_t len;
    switch (v->type) {
    case TW_VALUE_NULL: return cJSON_IsNull(expected);
    case TW_VALUE_BOOL: return cJSON_IsBool(expected) && v->boolean == (bool)cJSON_IsTrue(expected);
    case TW_VALUE_INTEGER: return cJSON_IsNumber(expected) && (double)v->integer == expected->valuedouble;
    case TW_VALUE_NUMBER:
        if (!cJSON_IsNumber(expected) || v->text.len >= sizeof text)
            return false;
        memcpy(text, v->text.data, v->text.len);
        text[v->text.len] = '\0';
        return strtod(text, NULL) == expected->valuedouble;
    case TW_VALUE_STRING:
        return cJSON_IsString(expected) && tw_json_string(utf8, sizeof utf8, &len, v->text) == TW_OK &&
               len == strlen(expected->valuestring) && memcmp(utf8, expected->valuestring, len) == 0;
    case TW_VALUE_OBJECT:
    case TW_VALUE_ARRAY: return false;
    }
    return false;
}

/* What keeps this message from matching: one text per difference. @return how many */
static int differences(cJSON *why, const struct expectation *x, const struct journal_entry *e)
{
    char text[256];
    int n = 0;
    if (x->command >= 0 && e->command != x->command) {
        const char *name = e->command >= 0 ? tw_command_name((uint32_t)e->command) : NULL;
        snprintf(text, sizeof text, "cmd is %s (%lld)", name != NULL ? name : "unknown", (long long)e->command);
        cJSON_AddItemToArray(why, cJSON_CreateString(text));
        n++;
    }
    struct tw_body body;
    bool has_body = tw_body_parse(&body, e->payload) == TW_OK;
    const cJSON *expected;
    cJSON_ArrayForEach(expected, x->dps)
    {
        struct tw_dp dp;
        char *shown = cJSON_PrintUnformatted(expected);
        if (!has_body || tw_dps_find(&dp, body.dps, (uint32_t)strtoul(expected->string, NULL, 10)) != TW_OK)
            snprintf(text, sizeof text, "dps.%.16s is not there, expected %.64s", expected->string,
                     shown != NULL ? shown : "?");
        else if (!same_value(&dp.value, expected))
            snprintf(text, sizeof text, "dps.%.16s is %.*s, expected %.64s", expected->string,
                     (int)(dp.value.text.len < 64 ? dp.value.text.len : 64), (const char *)dp.value.text.data,
                     shown != NULL ? shown : "?");
        else
            text[0] = '\0';
        free(shown);
        if (text[0] == '\0')
            continue;
        cJSON_AddItemToArray(why, cJSON_CreateString(text));
        n++;
    }
    return n;
}

static bool check_entry(void *ctx, const struct journal_entry *e)
{
    struct expectation *x = ctx;
    if (e->dir != x->dir || e->error != TW_OK || (x->device != NULL && e->device != x->device))
        return true;
    cJSON *why = cJSON_CreateArray();
    int n = differences(why, x, e);
    if (n == 0)
        x->matches++;
    /* near: the right command with other data points, or the right data points under another command */
    int most = (int)cJSON_GetArraySize(x->dps);
    bool near_miss = n > 0 && (e->command == x->command || n == 1) && n <= (most > 0 ? most : 1);
    if (!near_miss || cJSON_GetArraySize(x->near_misses) >= NEAR_MISSES_MAX) {
        cJSON_Delete(why);
        return true;
    }
    struct record_buffer b = {0};
    cJSON *miss = cJSON_CreateObject();
    cJSON_AddItemToObject(miss, "why", why);
    if (put_entry(&b, e))
        cJSON_AddRawToObject(miss, "entry", b.data);
    free(b.data);
    cJSON_AddItemToArray(x->near_misses, miss);
    return true;
}

/* A whole number of a body: *out keeps its value when it is absent. @return false: it is none */
static bool take_count(uint64_t *out, const cJSON *n)
{
    if (n == NULL)
        return true;
    if (!is_whole(n))
        return false;
    *out = (uint64_t)n->valuedouble;
    return true;
}

/* {"count":1}, {"count":{"min":1,"max":2}}, or at least one. */
static bool take_counts(struct expectation *x, const cJSON *count)
{
    x->min = 1;
    x->max = UINT64_MAX;
    if (!cJSON_IsObject(count)) {
        bool good = take_count(&x->min, count);
        x->max = count != NULL ? x->min : UINT64_MAX;
        return good;
    }
    x->min = 0;
    return take_count(&x->min, cJSON_GetObjectItemCaseSensitive(count, "min")) &&
           take_count(&x->max, cJSON_GetObjectItemCaseSensitive(count, "max"));
}

/* Read the body into x. @return 0; -1: answered */
static int expect(struct expectation *x, struct control *c, const cJSON *o, struct http_reply *r)
{
    const cJSON *cmd = cJSON_GetObjectItemCaseSensitive(o, "cmd");
    const char *device = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "device"));
    const char *dir = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "dir"));
    *x = (struct expectation){.command = -1, .dir = RECORD_TO_DEVICE};
    if (device != NULL && (x->device = device_by_id(c, device, r)) == NULL)
        return -1;
    uint32_t command = 0;
    if (cJSON_IsNumber(cmd)) {
        if (!(cmd->valuedouble >= 0 && cmd->valuedouble <= UINT32_MAX)) {
            reply_error(r, 400, "unknown_command", "cmd is a number of 32 bits or a name, such as 7 or \"CONTROL\"");
            return -1;
        }
        x->command = (int64_t)cmd->valuedouble;
    } else if (cJSON_IsString(cmd)) {
        if (command_by_text(&command, cmd->valuestring) != 0) {
            reply_error(r, 400, "unknown_command", "'%.32s' is no command", cmd->valuestring);
            return -1;
        }
        x->command = command;
    } else if (cmd != NULL) {
        reply_error(r, 400, "unknown_command", "cmd is a number or a name, such as 7 or \"CONTROL\"");
        return -1;
    }
    if (dir != NULL && strcmp(dir, "from_device") == 0)
        x->dir = RECORD_FROM_DEVICE;
    else if (dir != NULL && strcmp(dir, "to_device") != 0) {
        reply_error(r, 400, "bad_request", "dir is to_device or from_device");
        return -1;
    }
    if (!take_counts(x, cJSON_GetObjectItemCaseSensitive(o, "count"))) {
        reply_error(r, 400, "bad_request", "count is a whole number, or an object such as {\"min\":1,\"max\":2}");
        return -1;
    }
    if (!take_count(&x->since, cJSON_GetObjectItemCaseSensitive(o, "since"))) {
        reply_error(r, 400, "bad_request", "since is the number of an entry");
        return -1;
    }
    x->dps = cJSON_GetObjectItemCaseSensitive(o, "dps");
    if (x->dps != NULL && !cJSON_IsObject(x->dps)) {
        reply_error(r, 400, "bad_request", "dps is an object, such as {\"1\":true}");
        return -1;
    }
    /* Each is looked for in every message of the journal, and nothing else is done meanwhile. */
    if (cJSON_GetArraySize(x->dps) > DPS_MAX) {
        reply_error(r, 400, "bad_request", "dps names at most %d data points: no device has more", DPS_MAX);
        return -1;
    }
    return 0;
}

/* see control_private.h */
void control_verify(struct control *c, const struct http_request *rq, struct http_reply *r)
{
    struct expectation x;
    cJSON *o = request_object(rq, r);
    if (o == NULL)
        return;
    if (expect(&x, c, o, r) != 0) {
        cJSON_Delete(o);
        return;
    }
    x.near_misses = cJSON_CreateArray();
    journal_visit(server_journal(c->cfg.server), x.since, check_entry, &x);
    bool ok = x.matches >= x.min && x.matches <= x.max;

    cJSON *answer = cJSON_CreateObject();
    if (!ok) {
        char message[128];
        bool few = x.matches < x.min;
        snprintf(message, sizeof message, "%llu messages match, expected %s %llu", (unsigned long long)x.matches,
                 x.min == x.max ? "exactly"
                 : few          ? "at least"
                                : "at most",
                 (unsigned long long)(few ? x.min : x.max));
        cJSON *error = cJSON_AddObjectToObject(answer, "error");
        cJSON_AddStringToObject(error, "code", "mismatch");
        cJSON_AddStringToObject(error, "message", message);
    }
    cJSON_AddNumberToObject(answer, "count", (double)x.matches);
    if (ok)
        cJSON_Delete(x.near_misses);
    else
        cJSON_AddItemToObject(answer, "near_misses", x.near_misses);
    cJSON_Delete(o);
    reply_json(r, ok ? 200 : 409, answer);
}
