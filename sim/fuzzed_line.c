/* fuzzed_line.c - a changed reply as a line of JSON, and back; see fuzzed.h. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include "common/file.h"
#include "common/hex.h"
#include "fuzzed.h"
#include "tuyawire/device.h"

static void add_hex(cJSON *o, const char *name, const uint8_t *data, size_t n)
{
    char *text = malloc(2 * n + 1);
    if (text == NULL)
        return;
    *hex_write(text, data, n) = '\0';
    cJSON_AddStringToObject(o, name, text);
    free(text);
}

char *fuzzed_line(const struct fuzzed_reply *r, uint64_t number, const char *device, struct tw_span bytes)
{
    const struct tw_message *m = &r->message;
    cJSON *o = cJSON_CreateObject();
    if (o == NULL)
        return NULL;
    cJSON_AddNumberToObject(o, "fuzzed", (double)number);
    cJSON_AddStringToObject(o, "how", r->how);
    cJSON_AddStringToObject(o, "device", device);
    cJSON_AddStringToObject(o, "version", tw_version_name(m->version));
    cJSON_AddNumberToObject(o, "of", r->of);
    cJSON_AddNumberToObject(o, "command", m->command);
    cJSON_AddNumberToObject(o, "seq", m->seq);
    cJSON_AddNumberToObject(o, "flags", r->flags);
    cJSON_AddBoolToObject(o, "has_retcode", m->has_retcode);
    cJSON_AddNumberToObject(o, "retcode", m->retcode);
    cJSON_AddBoolToObject(o, "has_header", m->has_header);
    add_hex(o, "header_version", (const uint8_t *)m->header.version, 3);
    cJSON_AddNumberToObject(o, "counter", m->header.counter);
    cJSON_AddNumberToObject(o, "source", m->header.source);
    cJSON_AddBoolToObject(o, "twice", r->twice);
    cJSON_AddBoolToObject(o, "late", r->late);
    cJSON_AddNumberToObject(o, "damage", (double)r->damage);
    cJSON_AddNumberToObject(o, "value", r->value);
    add_hex(o, "junk", r->junk, r->junk_len);
    add_hex(o, "payload", r->payload, r->payload_len);
    add_hex(o, "bytes", bytes.data, bytes.len);
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    size_t len = text != NULL ? strlen(text) : 0;
    char *line = text != NULL ? realloc(text, len + 2) : NULL;
    if (line == NULL) {
        free(text);
        return NULL;
    }
    memcpy(line + len, "\n", 2);
    return line;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Members that were read; what is missing or of another kind is remembered. */
struct reader {
    const cJSON *o;
    const char *wrong;
};

static uint32_t number(struct reader *r, const char *name, double max)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->o, name);
    if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= max)
        return (uint32_t)v->valuedouble;
    r->wrong = name;
    return 0;
}

static bool boolean(struct reader *r, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->o, name);
    if (!cJSON_IsBool(v))
        r->wrong = name;
    return cJSON_IsTrue(v);
}

static size_t hex(struct reader *r, const char *name, uint8_t *out, size_t cap)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->o, name);
    const char *text = cJSON_IsString(v) ? v->valuestring : "-";
    size_t n = strlen(text) / 2;
    if (strlen(text) % 2 == 0 && n <= cap && hex_read(out, n, text))
        return n;
    r->wrong = name;
    return 0;
}

static const char *take(struct fuzzed_reply *out, const cJSON *o)
{
    enum { FLAGS_MAX = TW_DEVICE_KEEP_SEQ | TW_DEVICE_LOCAL_KEY | TW_DEVICE_PAD_EMPTY };
    struct reader r = {o, NULL};
    struct tw_message *m = &out->message;
    const cJSON *how = cJSON_GetObjectItemCaseSensitive(o, "how");
    out->of = number(&r, "of", UINT32_MAX);
    m->command = number(&r, "command", UINT32_MAX);
    m->seq = number(&r, "seq", UINT32_MAX);
    out->flags = number(&r, "flags", FLAGS_MAX);
    m->has_retcode = boolean(&r, "has_retcode");
    m->retcode = number(&r, "retcode", UINT32_MAX);
    m->has_header = boolean(&r, "has_header");
    hex(&r, "header_version", (uint8_t *)m->header.version, 3);
    m->header.counter = number(&r, "counter", UINT32_MAX);
    m->header.source = number(&r, "source", UINT32_MAX);
    out->twice = boolean(&r, "twice");
    out->late = boolean(&r, "late");
    out->damage = (enum fuzzed_damage)number(&r, "damage", FUZZED_N_DAMAGES - 1);
    out->value = number(&r, "value", UINT32_MAX);
    out->junk_len = hex(&r, "junk", out->junk, sizeof out->junk);
    out->payload_len = hex(&r, "payload", out->payload, sizeof out->payload);
    if (cJSON_IsString(how))
        strncpy(out->how, how->valuestring, sizeof out->how - 1);
    return r.wrong;
}

int fuzzed_take(struct fuzzed_reply *out, struct tw_span log, const char *name, struct why *why)
{
    const char *text = (const char *)log.data;
    size_t end = log.len, begin;
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r'))
        end--;
    for (begin = end; begin > 0 && text[begin - 1] != '\n';)
        begin--;
    cJSON *o = end > begin ? cJSON_ParseWithLength(text + begin, end - begin) : NULL;
    struct fuzzed_reply r = {0};
    const char *wrong = o != NULL ? take(&r, o) : "JSON";
    if (wrong != NULL)
        why_set(why, "%s: the last line is not one that --fuzz-log writes: see %s", name, wrong);
    else
        *out = r;
    cJSON_Delete(o);
    return wrong == NULL ? 0 : -1;
}

int fuzzed_read(struct fuzzed_reply *out, const char *path, struct why *why)
{
    struct file_bytes file;
    if (file_read(&file, path, FILE_LIMIT_DEFAULT, why) != 0)
        return -1;
    int rc = fuzzed_take(out, (struct tw_span){(const uint8_t *)file.data, file.len}, path, why);
    file_free(&file);
    return rc;
}
