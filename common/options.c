/* options.c - what users type; see common/options.h. */
#include "common/options.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/file.h"
#include "common/hex.h"

#define KEY_EXPECTED   "expected exactly 16 characters, or hex: and 32 hex digits"
#define KEY_FILE_LIMIT ((size_t)1 << 20) /* bytes; our choice: sixty thousand keys */

/* see common/options.h */
int opt_protocol_or_auto(bool *is_auto, enum tw_version *out, const char *text, struct why *why)
{
    if (strcmp(text, "auto") == 0) {
        *is_auto = true;
        return 0;
    }
    if (tw_version_parse(out, text, strlen(text)) != TW_OK)
        return why_set(why, "expected auto, 3.1, 3.2, 3.3, 3.4 or 3.5, got '%s'", text);
    *is_auto = false;
    return 0;
}

static int key_from(uint8_t key[TW_KEY_LEN], const char *text, size_t len, struct why *why)
{
    if (len == TW_KEY_LEN) {
        memcpy(key, text, TW_KEY_LEN);
        return 0;
    }
    if (len < 4 || memcmp(text, "hex:", 4) != 0)
        return why_set(why, "the key has %zu character%s; " KEY_EXPECTED "%s", len, len == 1 ? "" : "s",
                       len < TW_KEY_LEN ? " (a shell eats $ ` \\ ! and quotes: put the key in single quotes)" : "");
    if (len - 4 != 2 * TW_KEY_LEN)
        return why_set(why, "hex: is followed by %zu characters; " KEY_EXPECTED, len - 4);

    uint8_t bytes[TW_KEY_LEN];
    bool ok = hex_read(bytes, sizeof bytes, text + 4);
    if (ok)
        memcpy(key, bytes, sizeof bytes);
    explicit_bzero(bytes, sizeof bytes);
    return ok ? 0 : why_set(why, "hex: is followed by something that is no hex digit; " KEY_EXPECTED);
}

/* see common/options.h */
int opt_key(uint8_t key[TW_KEY_LEN], const char *text, struct why *why)
{
    return key_from(key, text, strlen(text), why);
}

int opt_key_argument(uint8_t key[TW_KEY_LEN], char *argument, struct why *why)
{
    int rc = opt_key(key, argument, why);
    explicit_bzero(argument, strlen(argument));
    return rc;
}

/* The next line of text, without its line end. False at the end. */
static bool next_line(const char **line, size_t *len, const char **at, const char *end)
{
    if (*at == end)
        return false;
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    const char *stop = newline == NULL ? end : newline;
    *line = *at;
    *len = (size_t)(stop - *at);
    if (*len > 0 && stop[-1] == '\r')
        (*len)--;
    *at = newline == NULL ? end : newline + 1;
    return true;
}

/* Read the keys of a text that is known to have at most max lines. */
static int keys_from(uint8_t (*keys)[TW_KEY_LEN], size_t *n_keys, const struct file_bytes *f, const char *path,
                     struct why *why)
{
    const char *at = f->data, *line;
    size_t len, number = 0, n = 0;
    while (next_line(&line, &len, &at, f->data + f->len)) {
        struct why inner;
        number++;
        if (len == 0)
            continue;
        if (key_from(keys[n], line, len, &inner) != 0)
            return why_set(why, "%s, line %zu: %s", path, number, inner.text);
        n++;
    }
    if (n == 0)
        return why_set(why, "%s: there is no key in it; " KEY_EXPECTED, path);
    *n_keys = n;
    return 0;
}

/* see common/options.h */
int opt_key_file(uint8_t (**keys)[TW_KEY_LEN], size_t *n_keys, const char *path, struct why *why)
{
    struct file_bytes f;
    if (file_read(&f, path, KEY_FILE_LIMIT, why) != 0)
        return OPT_UNREADABLE;

    size_t lines = 1;
    for (size_t i = 0; i < f.len; i++)
        lines += f.data[i] == '\n';
    uint8_t(*list)[TW_KEY_LEN] = calloc(lines, sizeof *list);
    int rc = list == NULL ? why_set(why, "%s: out of memory", path) : keys_from(list, n_keys, &f, path, why);
    file_free(&f);
    if (rc != 0) {
        opt_keys_free(list, list == NULL ? 0 : lines);
        return -1;
    }
    *keys = list;
    return 0;
}

void opt_keys_free(uint8_t (*keys)[TW_KEY_LEN], size_t n_keys)
{
    if (keys != NULL)
        explicit_bzero(keys, n_keys * sizeof *keys);
    free(keys);
}

int opt_key_file_one(uint8_t key[TW_KEY_LEN], const char *path, struct why *why)
{
    uint8_t(*keys)[TW_KEY_LEN];
    size_t n;
    int rc = opt_key_file(&keys, &n, path, why);
    if (rc != 0)
        return rc;
    if (n == 1)
        memcpy(key, keys[0], TW_KEY_LEN);
    opt_keys_free(keys, n);
    return n == 1 ? 0 : why_set(why, "%s: expected one key, found %zu (one a line)", path, n);
}

/* see common/options.h */
enum exit_code opt_key_file_only(uint8_t key[TW_KEY_LEN], bool *has_key, const char *path)
{
    struct why why;
    if (path == NULL)
        return EXIT_CODE_OK;
    if (*has_key)
        return (enum exit_code)say_usage("--key-file", "only one of --key and --key-file at a time");
    *has_key = true;
    switch (opt_key_file_one(key, path, &why)) {
    case 0: return EXIT_CODE_OK;
    case OPT_UNREADABLE: say_warn("--key-file: %s", why.text); return EXIT_CODE_INPUT;
    default: return (enum exit_code)say_usage("--key-file", "%s", why.text);
    }
}

int opt_key_environment(uint8_t key[TW_KEY_LEN], struct why *why)
{
    const char *text = getenv("TUYA_LOCAL_KEY");
    if (text == NULL || *text == '\0')
        return 0;
    return opt_key(key, text, why) == 0 ? 1 : -1;
}

/* see common/options.h */
int opt_dp(struct opt_dp *out, const char *text, struct why *why)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL)
        return why_set(why, "expected DP=VALUE, for example 1=true, got '%s'", text);
    if (equals == text)
        return why_set(why, "there is no data point before the '=' of '%s'", text);

    struct opt_dp dp = {
        .name = {(const uint8_t *)text, (size_t)(equals - text)},
        .value = {(const uint8_t *)equals + 1, strlen(equals + 1)},
    };
    dp.is_json = tw_json_check(dp.value) == TW_OK;
    if (!dp.is_json && dp.value.len > 0 && strchr("{[\"", dp.value.data[0]) != NULL)
        return why_set(why, "the value of '%s' begins like JSON and is none", text);
    *out = dp;
    return 0;
}

void opt_dp_put_value(struct tw_text *t, const struct opt_dp *dp)
{
    if (dp->is_json)
        tw_text_put_span(t, dp->value);
    else
        tw_text_put_string(t, dp->value);
}

/* see common/options.h */
int opt_integer(int64_t *out, const char *text, int64_t min, int64_t max, struct why *why)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    bool is_number = end != text && *end == '\0' && *text != ' ';
    if (!is_number || errno == ERANGE || n < min || n > max)
        return why_set(why, "expected a whole number from %lld to %lld, got '%s'", (long long)min, (long long)max,
                       text);
    *out = n;
    return 0;
}

int opt_seconds(uint64_t *out_ms, const char *text, uint32_t max_s, struct why *why)
{
    uint64_t ms = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && ms <= max_s; p++)
        ms = ms * 10 + (uint64_t)(*p - '0');
    bool has_digits = p != text;
    ms *= 1000;
    if (*p == '.') {
        p++;
        bool more = false;
        for (uint64_t unit = 100; *p >= '0' && *p <= '9'; p++, unit /= 10) {
            ms += unit * (uint64_t)(*p - '0');
            more = more || (unit == 0 && *p != '0');
            has_digits = true;
        }
        ms += more; /* 0 often means never: nothing but 0 becomes it */
    }
    if (!has_digits || *p != '\0' || ms > (uint64_t)max_s * 1000)
        return why_set(why, "expected seconds from 0 to %lu, like 5 or 0.5, got '%s'", (unsigned long)max_s, text);
    *out_ms = ms;
    return 0;
}

/* Split text into host and port text; port is NULL when there is none. False: brackets do not match. */
static bool split_address(const char **host, size_t *host_len, const char **port, const char *text)
{
    *host = text;
    *port = NULL;
    if (*text == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return false;
        *host = text + 1;
        *host_len = (size_t)(close - *host);
        *port = close[1] == ':' ? close + 2 : NULL;
        return true;
    }
    const char *colon = strchr(text, ':');
    *host_len = strlen(text);
    if (colon == NULL || strchr(colon + 1, ':') != NULL) /* two colons: an IPv6 address alone */
        return true;
    *host_len = (size_t)(colon - text);
    *port = colon + 1;
    return true;
}

/* see common/options.h */
int opt_address(struct opt_address *out, const char *text, int default_port, struct why *why)
{
    struct opt_address a = {.port = (uint16_t)default_port};
    const char *host, *port;
    size_t len;
    if (!split_address(&host, &len, &port, text) || len == 0 || len >= sizeof a.host)
        return why_set(why, "expected ADDRESS:PORT, like 127.0.0.1:6668 or [::1]:6668, got '%s'", text);
    if (port == NULL && default_port < 0)
        return why_set(why, "there is no port in '%s'; expected ADDRESS:PORT, like 127.0.0.1:6668", text);
    if (port != NULL) {
        int64_t n;
        struct why inner;
        if (opt_integer(&n, port, 0, 65535, &inner) != 0)
            return why_set(why, "the port in '%s': %s", text, inner.text);
        a.port = (uint16_t)n;
    }
    memcpy(a.host, host, len);
    *out = a;
    return 0;
}

/* see common/options.h */
struct opt_name opt_name(const struct option *table, int val)
{
    struct opt_name name = {"option"};
    while (table->name != NULL && table->val != val)
        table++;
    if (table->name != NULL && val <= CHAR_MAX)
        snprintf(name.text, sizeof name.text, "-%c, --%s", val, table->name);
    else if (table->name != NULL)
        snprintf(name.text, sizeof name.text, "--%s", table->name);
    return name;
}

int opt_colour(enum opt_colour *out, const char *text, struct why *why)
{
    if (text == NULL || strcmp(text, "always") == 0)
        *out = OPT_COLOUR_ALWAYS;
    else if (strcmp(text, "never") == 0)
        *out = OPT_COLOUR_NEVER;
    else if (strcmp(text, "auto") == 0)
        *out = OPT_COLOUR_AUTO;
    else
        return why_set(why, "expected auto, always or never, got '%s'", text);
    return 0;
}

bool opt_colour_wanted(enum opt_colour choice, FILE *stream)
{
    if (choice != OPT_COLOUR_AUTO)
        return choice == OPT_COLOUR_ALWAYS;
    const char *no_color = getenv("NO_COLOR"); /* https://no-color.org */
    const char *term = getenv("TERM");
    if ((no_color != NULL && *no_color != '\0') || (term != NULL && strcmp(term, "dumb") == 0))
        return false;
    return isatty(fileno(stream)) == 1;
}
