/* pseudonyms.c - see pseudonyms.h. */
#include "pseudonyms.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/units.h"

enum {
    WORTH_SEARCHING = 6, /* bytes: shorter originals are replaced as whole values only, not inside other text */
    LONG_ENOUGH = 4,     /* bytes: "app", "3.3" identify nobody */
    ID_LIKE = 10,        /* letters and digits together, as long as this: somebody's id */
    ADDRESS_MAX = INET6_ADDRSTRLEN,
};

struct name {
    uint8_t *original, *renamed;
    size_t len;
};

struct pseudonyms {
    struct name *names;
    size_t n, cap;
    struct ip_address *addresses; /* original of number i + 1 */
    size_t n_addresses, cap_addresses;
};

/* Members whose string values identify a person, a device, a product or a network. Spec sections 5 and 7.3. */
static const char *const members[] = {
    "devId",  "gwId",     "uid",      "cid",       "cids",  "uuid",  "productKey", "ip",     "mac",
    "ssid",   "bssid",    "passwd",   "pwd",       "token", "id",    "node_id",    "online", "offline",
    "nearby", "key",      "localKey", "local_key", "name",  "sn",    "mbid",       "hid",    "did",
    "pid",    "deviceId", "dev_id",   "gw_id",     "url",   "lat",   "lon",        "secKey", "authKey",
    "region", "account",  "email",    "phone",     "imei",  "iccid", "dev_uuid",
};

struct pseudonyms *pseudonyms_new(void)
{
    return calloc(1, sizeof(struct pseudonyms));
}

void pseudonyms_free(struct pseudonyms *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++) {
        explicit_bzero(p->names[i].original, p->names[i].len);
        free(p->names[i].original);
        free(p->names[i].renamed);
    }
    free(p->names);
    free(p->addresses);
    free(p);
}

/* "rd" and a number that fills the length: ids stay letters and digits of their length. */
static void write_name(uint8_t *out, size_t len, size_t number)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t i = len; i-- > 0; number /= 36)
        out[i] = (uint8_t)digits[number % 36];
    if (len >= 8)
        memcpy(out, "rd", 2);
}

static struct name *find_name(struct pseudonyms *p, struct tw_span s)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->names[i].len == s.len && memcmp(p->names[i].original, s.data, s.len) == 0)
            return &p->names[i];
    return NULL;
}

static struct name *add_name(struct pseudonyms *p, struct tw_span s)
{
    if (p->n == p->cap) {
        size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
        struct name *grown = realloc(p->names, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        p->names = grown;
        p->cap = cap;
    }
    struct name n = {malloc(s.len), malloc(s.len), s.len};
    if (n.original == NULL || n.renamed == NULL) {
        free(n.original);
        free(n.renamed);
        return NULL;
    }
    memcpy(n.original, s.data, s.len);
    write_name(n.renamed, s.len, p->n + 1);
    p->names[p->n] = n;
    return &p->names[p->n++];
}

struct tw_span pseudonym_of(struct pseudonyms *p, struct tw_span original)
{
    if (original.len == 0)
        return original;
    struct name *n = find_name(p, original);
    if (n == NULL)
        n = add_name(p, original);
    return n != NULL ? (struct tw_span){n->renamed, n->len} : (struct tw_span){0};
}

int pseudonyms_add_devices(struct pseudonyms *p, const struct devices *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const struct devices_entry *e = &d->entries[i];
        const char *const texts[] = {e->id,         e->name,         e->mac,     e->uuid,
                                     e->product_id, e->product_name, e->node_id, e->parent};
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
            struct tw_span s = {(const uint8_t *)texts[k], strlen(texts[k])};
            if (s.len > 0 && pseudonym_of(p, s).len == 0)
                return -1;
        }
        struct tw_span key = {e->key, TW_KEY_LEN};
        if (e->key_state == DEVICES_KEY_OK && pseudonym_of(p, key).len == 0)
            return -1;
    }
    return 0;
}

/* ---- Addresses ------------------------------------------------------------------------------------------------------ */

static bool is_group(const struct ip_address *a)
{
    if (a->version == 6)
        return a->bytes[0] == 0xff;
    return (a->bytes[0] & 0xf0) == 0xe0 || memcmp(a->bytes, "\xff\xff\xff\xff", 4) == 0;
}

static size_t number_of_address(struct pseudonyms *p, const struct ip_address *a)
{
    for (size_t i = 0; i < p->n_addresses; i++)
        if (p->addresses[i].version == a->version && memcmp(p->addresses[i].bytes, a->bytes, sizeof a->bytes) == 0)
            return i + 1;
    if (p->n_addresses == p->cap_addresses) {
        size_t cap = p->cap_addresses == 0 ? 64 : 2 * p->cap_addresses;
        struct ip_address *grown = realloc(p->addresses, cap * sizeof *grown);
        if (grown == NULL)
            return 0;
        p->addresses = grown;
        p->cap_addresses = cap;
    }
    p->addresses[p->n_addresses] = *a;
    return ++p->n_addresses;
}

struct ip_address pseudonym_address(struct pseudonyms *p, const struct ip_address *original)
{
    if (is_group(original))
        return *original;
    size_t n = number_of_address(p, original);
    struct ip_address out = {.version = original->version};
    const uint8_t tail[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    if (out.version == 6) {
        memcpy(out.bytes, "\x20\x01\x0d\xb8", 4);
        memcpy(out.bytes + 12, tail, 4);
    } else if (n < 255) {
        memcpy(out.bytes, "\xc0\x00\x02", 3);
        out.bytes[3] = tail[3];
    } else {
        memcpy(out.bytes, tail, 4);
        out.bytes[0] = 100;
        out.bytes[1] = (uint8_t)(64 | (tail[1] & 63));
    }
    return out;
}

/* An address in text gets the pseudonym that packets of that address get. */
static bool put_address(struct pseudonyms *p, struct tw_text *out, struct tw_span s)
{
    char text[ADDRESS_MAX];
    struct ip_address a = {.version = 4};
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    if (inet_pton(AF_INET, text, a.bytes) != 1) {
        a.version = 6;
        if (inet_pton(AF_INET6, text, a.bytes) != 1)
            return false;
    }
    a = pseudonym_address(p, &a);
    inet_ntop(a.version == 6 ? AF_INET6 : AF_INET, a.bytes, text, sizeof text);
    tw_text_put(out, text);
    return true;
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

static bool identifies(struct tw_span member)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strlen(members[i]) == member.len && memcmp(members[i], member.data, member.len) == 0)
            return true;
    return false;
}

/* Text as it is, but for the originals that are in it. */
static void put_searched(struct pseudonyms *p, struct tw_text *out, struct tw_span s)
{
    size_t from = 0;
    for (size_t at = 0; at < s.len;) {
        const struct name *hit = NULL;
        for (size_t i = 0; i < p->n && hit == NULL; i++) {
            const struct name *n = &p->names[i];
            if (n->len >= WORTH_SEARCHING && n->len <= s.len - at && memcmp(s.data + at, n->original, n->len) == 0)
                hit = n;
        }
        if (hit == NULL) {
            at++;
            continue;
        }
        tw_text_put_span(out, (struct tw_span){s.data + from, at - from});
        tw_text_put_span(out, (struct tw_span){hit->renamed, hit->len});
        at += hit->len;
        from = at;
    }
    tw_text_put_span(out, (struct tw_span){s.data + from, s.len - from});
}

/* The end of the string that begins at s.data[at], behind its closing quote. */
static size_t string_end(struct tw_span s, size_t at)
{
    size_t i = at + 1;
    while (i < s.len && s.data[i] != '"')
        i += s.data[i] == '\\' ? 2 : 1;
    return i < s.len ? i + 1 : s.len;
}

/* A word that many devices use ("memory", "subdev_online_stat_query", "3.3", a number) and none is known by. */
static bool is_common(struct tw_span s)
{
    bool letters = false, digits = false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        digits = digits || (c >= '0' && c <= '9');
        letters = letters || (c >= 'a' && c <= 'z');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.'))
            return s.len < LONG_ENOUGH;
    }
    return s.len < ID_LIKE || !letters || !digits;
}

/* A packed block of a meter: voltage, current and power of one phase. */
static bool is_measurement(struct tw_span s)
{
    struct units_phase phase;
    return units_phase(&phase, s) == 0 && phase.decivolt > 500 && phase.decivolt < 5000;
}

/* What the value of a member becomes: kept if nobody can be known by it. */
static void put_string(struct pseudonyms *p, struct tw_text *out, struct tw_span content, struct tw_span member)
{
    bool too_short = content.len < LONG_ENOUGH;
    tw_text_put(out, "\"");
    bool known = !too_short && (identifies(member) || find_name(p, content) != NULL);
    if (!put_address(p, out, content)) {
        if (!known && (is_common(content) || is_measurement(content)))
            put_searched(p, out, content);
        else
            tw_text_put_span(out, pseudonym_of(p, content));
    }
    tw_text_put(out, "\"");
}

/* Step through the strings of a body. @return false at its end */
struct token {
    size_t from, to; /* with the quotes */
    struct tw_span content;
    bool is_name; /* of a member: a colon follows */
};

static bool next_token(struct token *t, size_t at, struct tw_span json)
{
    const uint8_t *quote = at < json.len ? memchr(json.data + at, '"', json.len - at) : NULL;
    if (quote == NULL)
        return false;
    t->from = (size_t)(quote - json.data);
    t->to = string_end(json, t->from);
    t->content = (struct tw_span){quote + 1, t->to - t->from >= 2 ? t->to - t->from - 2 : 0};
    size_t next = t->to;
    while (next < json.len && (json.data[next] == ' ' || json.data[next] == '\t'))
        next++;
    t->is_name = next < json.len && json.data[next] == ':';
    return true;
}

/* Get to know what identifies in this body before any of it is written: it may stand in front of its member, too. */
static void learn(struct pseudonyms *p, struct tw_span json)
{
    struct tw_span member = {0};
    struct token t;
    for (size_t at = 0; next_token(&t, at, json); at = t.to) {
        if (t.is_name)
            member = t.content;
        else if (identifies(member) && t.content.len >= LONG_ENOUGH)
            pseudonym_of(p, t.content);
    }
}

void pseudonyms_rewrite(struct pseudonyms *p, struct tw_text *out, struct tw_span json)
{
    struct tw_span member = {0};
    struct token t;
    size_t at = 0;
    learn(p, json);
    for (; next_token(&t, at, json); at = t.to) {
        tw_text_put_span(out, (struct tw_span){json.data + at, t.from - at});
        if (t.is_name) {
            member = t.content;
            tw_text_put(out, "\"");
            put_searched(p, out, t.content);
            tw_text_put(out, "\"");
        } else {
            put_string(p, out, t.content, member);
        }
    }
    put_searched(p, out, (struct tw_span){json.data + at, json.len - at});
}
