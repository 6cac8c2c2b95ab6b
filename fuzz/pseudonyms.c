/* pseudonyms.c - a body under other names has the form it had, and nothing in it is anybody's.
 *
 * Reaches: tools/dump/pseudonyms.c, without the packets that redact.c has around it. Input: a body, most often JSON. */
#include "common/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/devices.h"
#include "pseudonyms.h"

const struct fuzz_harness fuzz_harness = {
    .name = "pseudonyms",
    .claim = "a body under other names is JSON of the same form, and nobody's name is in it",
    .form = FUZZ_TEXT,
};

enum { TEXT_MAX = 4096, OUT_MAX = 4 * TEXT_MAX + 64, PAIRS_MAX = 128, LONG = 8 }; /* bytes, names, bytes */

static const char house[] =
    "[{\"id\":\"fake0000000000000000id\",\"key\":\"0123456789abcdef\",\"name\":\"Kettle of ours\","
    "\"mac\":\"d8:1f:12:aa:bb:cc\",\"uuid\":\"fakeuuid00000055\",\"product_id\":\"kitchen\"},"
    "{\"id\":\"garage\",\"name\":\"lamp\"}]";
/* The last is too short to be looked for inside of other text. */
static const char *const known[] = {
    "fake0000000000000000id", "0123456789abcdef", "Kettle of ours", "d8:1f:12:aa:bb:cc",
    "fakeuuid00000055",       "kitchen",          "garage",         "lamp"};
enum { N_KNOWN = sizeof known / sizeof *known };
static const char *const members[] = {"gwId", "devId", "uid", "cid", "ssid", "mac", "uuid", "name", "token"};

static struct devices devices;

/* What became of the values of members that identify. */
struct pair {
    struct tw_span was, is;
};
struct pairs {
    struct pair pair[PAIRS_MAX];
    size_t n;
};

static bool same(struct tw_span a, struct tw_span b)
{
    bool is_same = a.len == b.len;
    for (size_t i = 0; is_same && i < a.len; i++)
        is_same = a.data[i] == b.data[i];
    return is_same; /* memcmp() is looked at by libFuzzer each time */
}

/* The string that begins at s.data[*at], without its quotes; *at goes behind it. */
static struct tw_span take_string(struct tw_span s, size_t *at)
{
    size_t from = ++*at;
    while (s.data[*at] != '"')
        *at += s.data[*at] == '\\' ? 2 : 1;
    return (struct tw_span){s.data + from, (*at)++ - from};
}

static struct tw_span take_number(struct tw_span s, size_t *at)
{
    size_t from = *at;
    while (*at < s.len && memchr("+-.eE0123456789", s.data[*at], 15) != NULL)
        ++*at;
    return (struct tw_span){s.data + from, *at - from};
}

static bool is_member(struct tw_span name)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (name.len == strlen(members[i]) && name.data[0] % 32 == (uint8_t)members[i][0] % 32 &&
            strncasecmp((const char *)name.data, members[i], name.len) == 0)
            return true;
    return false;
}

/* Who it was is gone, the same is the same, and two are two. Addresses keep theirs when it is that of a group. */
static void check_identity(struct pairs *p, struct tw_span was, struct tw_span is)
{
    bool may_be_address = true;
    for (size_t i = 0; i < was.len; i++)
        may_be_address = may_be_address && memchr("0123456789abcdefABCDEF:.", was.data[i], 24) != NULL;
    if (may_be_address || was.len < LONG || memcmp(was.data, "rd", 2) == 0)
        return;
    CHECK(!same(was, is) && is.len == was.len);
    for (size_t i = 0; i < p->n; i++)
        CHECK(same(p->pair[i].was, was) == same(p->pair[i].is, is));
    if (p->n < PAIRS_MAX)
        p->pair[p->n++] = (struct pair){was, is};
}

/* Both token by token: brackets, commas, colons, blanks and words stay, strings are strings, numbers are numbers. */
static void check_form(struct pairs *p, struct tw_span was, struct tw_span is)
{
    struct tw_span member = {0};
    size_t i = 0, j = 0;
    while (i < was.len) {
        CHECK(j < is.len);
        if (was.data[i] == '"') {
            CHECK(is.data[j] == '"');
            struct tw_span before = take_string(was, &i), after = take_string(is, &j);
            CHECK(!same(after, (struct tw_span){(const uint8_t *)known[N_KNOWN - 1], strlen(known[N_KNOWN - 1])}));
            size_t next = i;
            while (next < was.len && was.data[next] <= ' ')
                next++;
            if (next < was.len && was.data[next] == ':')
                member = before;
            else if (is_member(member))
                check_identity(p, before, after);
        } else if (was.data[i] == '-' || (was.data[i] >= '0' && was.data[i] <= '9')) {
            struct tw_span before = take_number(was, &i), after = take_number(is, &j);
            bool is_hidden = after.len == 1 && after.data[0] == '0';
            CHECK(is_member(member) && before.len >= 4 ? is_hidden
                                                       : same(before, after) || (is_hidden && before.len >= 4));
        } else {
            CHECK(was.data[i] == is.data[j]);
            i++, j++;
        }
    }
    CHECK(j == is.len);
}

static bool contains(struct tw_span s, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= s.len; i++)
        if (s.data[i] == (uint8_t)text[0] && memcmp(s.data + i, text, len) == 0)
            return true;
    return false;
}

static void rewrite(struct pseudonyms *names, struct pairs *pairs, struct tw_span body, char *out)
{
    struct tw_text text = {.data = out, .cap = OUT_MAX};
    pseudonyms_rewrite(names, &text, body);
    CHECK(!text.overflow);
    struct tw_span was = body, is = {(const uint8_t *)out, text.len};
    for (size_t i = 0; i + 1 < N_KNOWN; i++)
        CHECK(!contains(is, known[i]));
    while (was.len > 0 && was.data[was.len - 1] == '\0') {
        CHECK(is.len > 0 && is.data[is.len - 1] == '\0');
        was.len--, is.len--;
    }
    if (tw_json_check(was) == TW_OK) {
        CHECK(tw_json_check(is) == TW_OK);
        check_form(pairs, was, is);
    } else if (!tw_is_error_text(was)) {
        CHECK(is.len == was.len);
        for (size_t i = 0; i < is.len; i++)
            CHECK(is.data[i] == 'x' || (i == 0 && was.data[0] == '{' && is.data[0] == '{'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char first[OUT_MAX], again[OUT_MAX];
    struct pairs pairs = {.n = 0};
    struct why why;
    if (size > TEXT_MAX)
        return 0;
    if (devices.n == 0)
        CHECK(devices_parse(&devices, house, sizeof house - 1, "house", &why) == 0);
    struct pseudonyms *names = pseudonyms_new();
    CHECK(names != NULL && pseudonyms_add_devices(names, &devices) == 0);
    struct tw_span body = {data, size};
    fuzz_gate(tw_json_check(body) == TW_OK);
    rewrite(names, &pairs, body, first);
    rewrite(names, &pairs, body, again); /* whoever has a name keeps it */
    pseudonyms_free(names);
    return 0;
}
