/* vectors.c - reading tests/vectors; see vectors.h. */
#include "vectors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "tests/vectors: %s: %s\n", what, name);
    exit(1);
}

static void *must(void *p)
{
    if (p == NULL)
        give_up("no memory", "malloc");
    return p;
}

/* see vectors.h */
cJSON *vectors_load(const char *file)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", VECTORS_DIR, file);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        give_up("cannot open", path);
    size_t cap = 1 << 20, len = 0;
    char *text = must(malloc(cap));
    for (size_t n; (n = fread(text + len, 1, cap - len, f)) > 0;) {
        len += n;
        if (len == cap)
            text = must(realloc(text, cap *= 2));
    }
    fclose(f);
    cJSON *root = cJSON_ParseWithLength(text, len);
    free(text);
    if (root == NULL || vector_number(root, "format") != 1)
        give_up("not a vector file of format 1", path);
    return root;
}

/* The member, NULL for null and absent ones. */
static const cJSON *member(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNull(item) ? NULL : item;
}

/* see vectors.h */
const char *vector_text(const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);
    if (item != NULL && !cJSON_IsString(item))
        give_up("not a string", name);
    return item != NULL ? item->valuestring : NULL;
}

/* see vectors.h */
uint32_t vector_number(const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);
    if (item != NULL && !cJSON_IsNumber(item))
        give_up("not a number", name);
    return item != NULL ? (uint32_t)item->valuedouble : 0;
}

/* see vectors.h */
bool vector_is_null(const cJSON *object, const char *name)
{
    return member(object, name) == NULL;
}

/* see vectors.h */
bool vector_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(member(object, name));
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c != 0 ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static struct bytes heap_copy(const void *data, size_t len)
{
    struct bytes b = {must(malloc(len > 0 ? len : 1)), len, true};
    if (len > 0)
        memcpy(b.data, data, len);
    return b;
}

/* see vectors.h */
struct bytes vector_hex(const cJSON *object, const char *name)
{
    const char *text = vector_text(object, name);
    if (text == NULL)
        return (struct bytes){NULL, 0, false};
    size_t len = strlen(text) / 2;
    struct bytes b = {must(malloc(len > 0 ? len : 1)), len, true};
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            give_up("not hex", name);
        b.data[i] = (uint8_t)(high << 4 | low);
    }
    return b;
}

/* see vectors.h */
enum tw_version vector_version(const cJSON *object)
{
    enum tw_version version = TW_V31;
    const char *text = vector_text(object, "version");
    if (text == NULL || tw_version_parse(&version, text, strlen(text)) != TW_OK)
        give_up("not a version", text != NULL ? text : "null");
    return version;
}

/* see vectors.h */
enum tw_direction vector_direction(const cJSON *object)
{
    const char *text = vector_text(object, "direction");
    if (text == NULL || (strcmp(text, "to_device") != 0 && strcmp(text, "from_device") != 0))
        give_up("not a direction", text != NULL ? text : "null");
    return strcmp(text, "to_device") == 0 ? TW_TO_DEVICE : TW_FROM_DEVICE;
}

/* see vectors.h */
void vector_read(struct vector *v, const cJSON *object)
{
    const char *text = vector_text(object, "plaintext");
    *v = (struct vector){
        .id = vector_text(object, "id"),
        .version = vector_version(object),
        .direction = vector_direction(object),
        .frame = vector_text(object, "frame"),
        .integrity = vector_text(object, "integrity"),
        .encoding = vector_text(object, "encoding"),
        .crypt_key = vector_text(object, "crypt_key"),
        .key = vector_hex(object, "key_hex"),
        .session_key = vector_hex(object, "session_key_hex"),
        .nonce = vector_hex(object, "nonce_hex"),
        .header = vector_hex(object, "header_hex"),
        .plaintext = text != NULL ? heap_copy(text, strlen(text)) : vector_hex(object, "plaintext_hex"),
        .frame_bytes = vector_hex(object, "frame_hex"),
        .seq = vector_number(object, "seq"),
        .command = vector_number(object, "cmd"),
        .retcode = vector_number(object, "retcode"),
        .has_retcode = !vector_is_null(object, "retcode"),
        .encode = vector_true(object, "encode"),
    };
    if (v->id == NULL || !v->plaintext.present || !v->frame_bytes.present)
        give_up("vector without id, plaintext or frame", v->id != NULL ? v->id : "?");
}

/* see vectors.h */
void vector_free(struct vector *v)
{
    struct bytes all[] = {v->key, v->session_key, v->nonce, v->header, v->plaintext, v->frame_bytes};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i].data);
}

/* see vectors.h */
const uint8_t *vector_key(const struct vector *v)
{
    if (v->crypt_key == NULL || strcmp(v->crypt_key, "none") == 0)
        return NULL;
    return strcmp(v->crypt_key, "session") == 0 ? v->session_key.data : v->key.data;
}

/* see vectors.h */
struct tw_frame_rules vector_rules(enum tw_version version, enum tw_direction direction)
{
    return (struct tw_frame_rules){.integrity = tw_version_traits(version)->integrity, .direction = direction};
}

static unsigned n_complaints;

/* see vectors.h */
void vector_complain(const char *id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", id);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    n_complaints++;
}

/* see vectors.h */
void vectors_done(void)
{
    unsigned n = n_complaints;
    n_complaints = 0;
    if (n > 0)
        fail_msg("%u complaints about vectors, above", n);
}
