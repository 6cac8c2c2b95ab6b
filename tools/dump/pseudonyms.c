/* pseudonyms.c - see pseudonyms.h. */
#include "pseudonyms.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/base64.h"
#include "common/units.h"
#include "tuyawire/error.h"

enum {
    WORTH_SEARCHING = 6, /* bytes: shorter originals are replaced as whole values only, not inside other text */
    LONG_ENOUGH = 4,     /* bytes: "app", "3.3" identify nobody */
    ID_LIKE = 10,        /* digits in a text as long as this: somebody's id, number or address */
    ID_DIGITS = 3,       /* in the name of a member, which may be "countdown_usb2" */
    ADDRESS_MAX = INET6_ADDRSTRLEN,
};

struct name {
    uint8_t *original, *renamed; /* one allocation */
    size_t len;
    bool identifies;
    size_t next; /* of those that are searched and begin alike: its place + 1 */
};

struct pseudonyms {
    struct name *names;
    size_t n, cap;
    size_t *slots;  /* 2 * cap, by hash of the original: place in names + 1, 0 for none */
    size_t *begins; /* 2 * cap, of those that are searched inside other text, by hash of their beginning */
    struct ip_address *addresses; /* original of number i + 1 */
    size_t n_addresses, cap_addresses;
};

/* Members whose values identify a person, a device, a product or a network: lower case, sorted. Spec sections 5 and 7.3. */
static const char *const members[] = {
    "account",    "address",   "authkey",  "bssid",    "cid",       "cids",     "city",     "dev_id", "dev_uuid",
    "deviceid",   "devid",     "did",      "email",    "gw_id",     "gwid",     "hid",      "home",   "home_id",
    "homeid",     "host",      "hostname", "iccid",    "id",        "imei",     "ip",       "key",    "lat",
    "latitude",   "local_key", "localkey", "lon",      "longitude", "mac",      "mbid",     "name",   "nearby",
    "node_id",    "offline",   "online",   "owner_id", "ownerid",   "passwd",   "password", "phone",  "pid",
    "productkey", "psk",       "pwd",      "region",   "room",      "seckey",   "sn",       "ssid",   "token",
    "uid",        "url",       "user",     "user_id",  "userid",    "username", "uuid",     "wifi",
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
    }
    free(p->names);
    free(p->slots);
    free(p->begins);
    free(p->addresses);
    free(p);
}

/* "rd" and a number that fills the length: ids stay letters and digits of their length. Short ones stay, as they do in
 * bodies: sub-devices may be called "1", as data points are. */
static void write_name(uint8_t *out, struct tw_span original, size_t number)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    memcpy(out, original.data, original.len);
    for (size_t i = original.len; original.len >= LONG_ENOUGH && i-- > 0; number /= 36)
        out[i] = (uint8_t)digits[number % 36];
    if (original.len >= 8)
        memcpy(out, "rd", 2);
}

static bool is_searched(const struct name *n)
{
    return n->identifies && n->len >= WORTH_SEARCHING;
}

static size_t hash_of(const uint8_t *data, size_t len)
{
    size_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 16777619u;
    return hash;
}

/* Where this original stands in the table, or belongs. There is room: at most half of it is taken. */
static size_t *slot_of(const struct pseudonyms *p, struct tw_span s)
{
    size_t mask = 2 * p->cap - 1;
    for (size_t hash = hash_of(s.data, s.len);; hash++) {
        size_t *slot = &p->slots[hash & mask];
        const struct name *n = *slot > 0 ? &p->names[*slot - 1] : NULL;
        if (n == NULL || (n->len == s.len && memcmp(n->original, s.data, s.len) == 0))
            return slot;
    }
}

static struct name *find_name(const struct pseudonyms *p, struct tw_span s)
{
    size_t place = p->cap > 0 ? *slot_of(p, s) : 0;
    return place > 0 ? &p->names[place - 1] : NULL;
}

/* All originals that begin with the same bytes as the WORTH_SEARCHING here, and more. */
static size_t *begin_of(const struct pseudonyms *p, const uint8_t *data)
{
    return &p->begins[hash_of(data, WORTH_SEARCHING) & (2 * p->cap - 1)];
}

static void search_for(struct pseudonyms *p, struct name *n)
{
    size_t *begin = begin_of(p, n->original);
    n->next = *begin;
    *begin = (size_t)(n - p->names) + 1;
}

static bool grow(struct pseudonyms *p)
{
    size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
    struct name *names = realloc(p->names, cap * sizeof *names);
    if (names == NULL)
        return false;
    p->names = names;
    size_t *slots = calloc(2 * cap, sizeof *slots), *begins = calloc(2 * cap, sizeof *begins);
    if (slots == NULL || begins == NULL) {
        free(slots);
        free(begins);
        return false;
    }
    free(p->slots);
    free(p->begins);
    p->slots = slots;
    p->begins = begins;
    p->cap = cap;
    for (size_t i = 0; i < p->n; i++) {
        *slot_of(p, (struct tw_span){names[i].original, names[i].len}) = i + 1;
        if (is_searched(&names[i]))
            search_for(p, &names[i]);
    }
    return true;
}

static struct name *add_name(struct pseudonyms *p, struct tw_span s)
{
    if (p->n == p->cap && !grow(p))
        return NULL;
    uint8_t *texts = malloc(2 * s.len);
    if (texts == NULL)
        return NULL;
    memcpy(texts, s.data, s.len);
    write_name(texts + s.len, s, p->n + 1);
    *slot_of(p, s) = p->n + 1;
    p->names[p->n] = (struct name){.original = texts, .renamed = texts + s.len, .len = s.len};
    return &p->names[p->n++];
}

static struct name *name_of(struct pseudonyms *p, struct tw_span original)
{
    struct name *n = find_name(p, original);
    return n != NULL ? n : add_name(p, original);
}

static struct tw_span renamed(const struct name *n)
{
    return n != NULL ? (struct tw_span){n->renamed, n->len} : (struct tw_span){0};
}

struct tw_span pseudonym_of(struct pseudonyms *p, struct tw_span original)
{
    if (original.len == 0)
        return original;
    struct name *n = name_of(p, original);
    if (n != NULL && !n->identifies) {
        n->identifies = true;
        if (is_searched(n))
            search_for(p, n);
    }
    return renamed(n);
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

/* Addresses of everybody. A group of IPv6 may have an address of one of its members in it (RFC 4291 section 2.7.1). */
static bool is_group(const struct ip_address *a)
{
    static const uint8_t zeros[13];
    if (a->version == 6)
        return a->bytes[0] == 0xff && memcmp(a->bytes + 2, zeros, sizeof zeros) == 0;
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

static int compare_member(const void *key, const void *element)
{
    const struct tw_span *s = key;
    const char *name = *(const char *const *)element;
    size_t len = strlen(name);
    int c = strncasecmp((const char *)s->data, name, s->len < len ? s->len : len);
    return c != 0 ? c : (s->len > len) - (s->len < len);
}

/* Who hides a name behind escapes has something to hide. */
static bool identifies(struct tw_span member)
{
    if (member.len == 0)
        return false;
    return memchr(member.data, '\\', member.len) != NULL ||
           bsearch(&member, members, sizeof members / sizeof *members, sizeof *members, compare_member) != NULL;
}

/* The longest original that begins at s.data[at]. */
static const struct name *original_at(const struct pseudonyms *p, struct tw_span s, size_t at)
{
    const struct name *longest = NULL;
    if (p->cap == 0 || s.len - at < WORTH_SEARCHING)
        return NULL;
    for (size_t place = *begin_of(p, s.data + at); place > 0; place = p->names[place - 1].next) {
        const struct name *n = &p->names[place - 1];
        if ((longest == NULL || n->len > longest->len) && n->len <= s.len - at &&
            memcmp(s.data + at, n->original, n->len) == 0)
            longest = n;
    }
    return longest;
}

/* Text as it is, but for the originals that are in it. */
static void put_searched(struct pseudonyms *p, struct tw_text *out, struct tw_span s)
{
    for (size_t at = 0; at < s.len;) {
        const struct name *n = original_at(p, s, at);
        tw_text_put_span(out, n != NULL ? renamed(n) : (struct tw_span){s.data + at, 1});
        at += n != NULL ? n->len : 1;
    }
}

static size_t number_len(struct tw_span s, size_t at)
{
    size_t n = 0;
    if (s.data[at] == '-' || (s.data[at] >= '0' && s.data[at] <= '9'))
        while (at + n < s.len && s.data[at + n] != '\0' && strchr("+-.0123456789eE", s.data[at + n]) != NULL)
            n++;
    return n;
}

/* What stands between strings: numbers that identify become 0. */
static void put_between(struct pseudonyms *p, struct tw_text *out, struct tw_span s, struct tw_span member)
{
    for (size_t at = 0, n; at<s.len; at += n> 0 ? n : 1) {
        n = number_len(s, at);
        struct tw_span part = {s.data + at, n > 0 ? n : 1};
        if ((n >= LONG_ENOUGH && identifies(member)) || (n >= ID_LIKE && find_name(p, part) != NULL))
            tw_text_put(out, "0");
        else
            tw_text_put_span(out, part);
    }
}

/* The end of the string that begins at s.data[at], behind its closing quote. */
static size_t string_end(struct tw_span s, size_t at)
{
    size_t i = at + 1;
    while (i < s.len && s.data[i] != '"')
        i += s.data[i] == '\\' ? 2 : 1;
    return i < s.len ? i + 1 : s.len;
}

static const char digits_only[] = "0123456789", hex_only[] = "0123456789abcdefABCDEF";

static bool has_only(struct tw_span s, const char *characters)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] == '\0' || strchr(characters, s.data[i]) == NULL)
            return false;
    return s.len > 0;
}

/* A word that many devices use ("memory", "subdev_online_stat_query", "3.3", a time) and none is known by. */
static bool is_common(struct tw_span s, struct tw_span member)
{
    bool digits = false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        digits = digits || (c >= '0' && c <= '9');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.'))
            return s.len < LONG_ENOUGH;
    }
    bool is_time = member.len == 1 && member.data[0] == 't' && has_only(s, digits_only);
    return s.len < ID_LIKE || (!digits && !has_only(s, hex_only)) || is_time;
}

/* The name of a member that devices are not known by: they use any words, but sub-devices have ids and addresses. */
static bool is_common_name(struct tw_span s)
{
    size_t digits = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i], small = c | 0x20;
        digits += c >= '0' && c <= '9';
        if (!((small >= 'a' && small <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return s.len < LONG_ENOUGH;
    }
    return s.len < ID_LIKE || (digits < ID_DIGITS && !has_only(s, hex_only));
}

/* A packed block of a meter: voltage, current and power of one phase, as large as they are in a house. Nearly every text
 * is Base64 of something, so it has to be exactly that. */
static bool is_measurement(struct tw_span s, struct tw_span member)
{
    uint8_t bytes[9];
    struct units_phase phase;
    size_t n = s.len == 8 || s.len == 12 ? base64_decode(bytes, sizeof bytes, (const char *)s.data, s.len) : 0;
    bool is_whole =
        s.len == 8 ? n == 6 : (n == 7 && s.data[10] == '=' && s.data[11] == '=') || (n == 8 && s.data[11] == '=');
    if (!is_whole || !has_only(member, digits_only) || units_phase(&phase, s) != 0)
        return false;
    uint64_t apparent = (uint64_t)phase.decivolt * phase.milliampere / 10000;
    return phase.decivolt > 500 && phase.decivolt < 5000 && phase.milliampere <= 200000 &&
           phase.watt <= apparent + apparent / 10 + 10;
}

/* What the value of a member becomes: kept if nobody can be known by it. */
static void put_string(struct pseudonyms *p, struct tw_text *out, struct tw_span content, struct tw_span member)
{
    bool too_short = content.len < LONG_ENOUGH;
    tw_text_put(out, "\"");
    bool known = !too_short && (identifies(member) || find_name(p, content) != NULL);
    if (!put_address(p, out, content)) {
        if (!known && (is_common(content, member) || is_measurement(content, member)))
            put_searched(p, out, content);
        else
            tw_text_put_span(out, renamed(name_of(p, content)));
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
    while (next < json.len && memchr(" \t\r\n", json.data[next], 4) != NULL)
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

static void put_name(struct pseudonyms *p, struct tw_text *out, struct tw_span name)
{
    tw_text_put(out, "\"");
    if (is_common_name(name) && find_name(p, name) == NULL)
        put_searched(p, out, name);
    else
        tw_text_put_span(out, renamed(name_of(p, name)));
    tw_text_put(out, "\"");
}

static void put_json(struct pseudonyms *p, struct tw_text *out, struct tw_span json)
{
    struct tw_span member = {0};
    struct token t;
    size_t at = 0;
    learn(p, json);
    for (; next_token(&t, at, json); at = t.to) {
        put_between(p, out, (struct tw_span){json.data + at, t.from - at}, member);
        if (t.is_name) {
            member = t.content;
            put_name(p, out, t.content);
        } else {
            put_string(p, out, t.content, member);
        }
    }
    put_between(p, out, (struct tw_span){json.data + at, json.len - at}, member);
}

/* What begins with a brace has no return code in front, so it goes on to begin with one. */
void pseudonyms_rewrite(struct pseudonyms *p, struct tw_text *out, struct tw_span body)
{
    struct tw_span json = body;
    while (json.len > 0 && json.data[json.len - 1] == '\0')
        json.len--;
    if (tw_json_check(json) == TW_OK)
        put_json(p, out, json);
    else if (tw_is_error_text(json))
        tw_text_put_span(out, json);
    else
        for (size_t i = 0; i < json.len; i++)
            tw_text_put(out, i == 0 && json.data[0] == '{' ? "{" : "x"); /* nobody can say what is in it */
    tw_text_put_span(out, (struct tw_span){body.data + json.len, body.len - json.len});
}
