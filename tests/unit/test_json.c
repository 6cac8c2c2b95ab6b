/* JSON as the library reads it: RFC 8259 and RFC 3629, in place, at most 32 levels deep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/dps.h"

static struct tw_span span(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

/* Checks a heap copy of just these bytes, so that a sanitizer sees a read of one too many. */
static int check_exact(const void *text, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    int rc = tw_json_check((struct tw_span){copy, len});
    free(copy);
    return rc;
}

static void assert_all(const char *const *texts, size_t n, int expected)
{
    for (size_t i = 0; i < n; i++)
        if (check_exact(texts[i], strlen(texts[i])) != expected)
            fail_msg("%s is %s", texts[i], expected == TW_OK ? "refused" : "accepted");
}

#define N(array) (sizeof(array) / sizeof(array)[0])

static void every_value_of_rfc_8259_is_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "\"\"",
        "0",
        "-0",
        "10",
        "-1.5",
        "0.25e-7",
        "1E+400",
        "123456789012345678901234567890",
        " \t\r\n{ \"a\" : [ 1 , { } , [ ] , \"b\" ] , \"\" : null } \n",
        "[[],[[]],{\"a\":{}}]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"",
        "\"K\303\274che \xe7\x81\xaf \xf0\x9f\x98\x80\"",
        "\"\x7f\"",
        "\"\\ud83d alone is grammar all the same\"",
        "{\"a\":1,\"a\":2}",
    };
    assert_all(texts, N(texts), TW_OK);
}

static void anything_else_is_not(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{} {}",
        "{}x",
        "1 2",
        "[1}",
        "{\"a\":1]",
        "nul",
        "nulll",
        "True",
        "tru",
        "fals",
        "'a'",
        "undefined",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.e3",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "--1",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x1f\"",
        "\"\x80\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xc3\"",
        "\"\xc3(\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xed\xa0\x80\"",
        "\"\xe7\x81\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xf0\x9f\x98\"",
        "\xef\xbb\xbf{}",
        "{\"a\":[}",
        "/**/{}",
        "{\"\xff\":1}",
        "{\"a\\\":1}",
        "[\"plain plain plain \x01\"]",
        "[\"12345678\xc3\"]",
    };
    assert_all(texts, N(texts), TW_E_JSON);
}

static void a_nul_byte_is_not_json(void **state)
{
    (void)state;
    assert_int_equal(check_exact("{}\0", 3), TW_E_JSON);
    assert_int_equal(check_exact("\"a\0b\"", 5), TW_E_JSON);
}

static void no_prefix_of_an_object_is_json(void **state)
{
    (void)state;
    static const char text[] =
        "{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"9\":-0.5e3,\"101\":\"K\\u00fcche "
        "\xe7\x81\xaf\",\"x\":[null,{}]},\"t\":1700000000}";
    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(check_exact(text, len), TW_E_JSON);
    assert_int_equal(check_exact(text, strlen(text)), TW_OK);
}

/* Strings are looked at in steps of eight bytes: what matters in one matters wherever it stands. */
static void every_byte_of_a_string_is_looked_at_wherever_it_stands(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 24; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[32];
                memset(text, 'a', sizeof text);
                text[0] = text[len + 1] = '"';
                text[1 + at] = (char)byte;
                /* In these places a backslash escapes an a or the quote, a byte beyond ASCII stands alone. */
                bool plain = byte >= ' ' && byte < 0x80 && byte != '"' && byte != '\\';
                if (check_exact(text, len + 2) != (plain ? TW_OK : TW_E_JSON))
                    fail_msg("byte %02x at %zu of %zu is %s", (unsigned)byte, at, len,
                             plain ? "refused" : "accepted");
            }
            char text[48];
            memset(text, 'a', sizeof text);
            text[0] = text[len + 6 + 4 + 1] = '"';
            memcpy(text + 1 + at, "\\u00e9\xf0\x9f\x98\x80", 10);
            assert_int_equal(check_exact(text, len + 12), TW_OK);
        }
    }
}

/* n levels of the kind that opens with these characters: '[' or "{"a":". */
static size_t nest(char *out, size_t n, bool objects)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += (size_t)sprintf(out + len, objects ? "{\"a\":" : "[");
    out[len++] = '1';
    for (size_t i = 0; i < n; i++)
        out[len++] = objects ? '}' : ']';
    return len;
}

static void thirty_two_levels_are_read_and_thirty_three_are_not(void **state)
{
    (void)state;
    static char text[1 << 20];
    for (int objects = 0; objects < 2; objects++) {
        assert_int_equal(check_exact(text, nest(text, 32, objects)), TW_OK);
        assert_int_equal(check_exact(text, nest(text, 33, objects)), TW_E_JSON);
        assert_int_equal(check_exact(text, nest(text, 100000, objects)), TW_E_JSON);
    }
    memset(text, '[', sizeof text);
    assert_int_equal(check_exact(text, sizeof text), TW_E_JSON);
}

static void kinds_of_levels_do_not_get_mixed_up_when_they_close(void **state)
{
    (void)state;
    static const char good[] = "[{\"a\":[[{\"b\":{\"c\":[]}},[]],{}]},[{\"d\":[{}]}]]";
    assert_int_equal(check_exact(good, strlen(good)), TW_OK);
    for (size_t i = 0; i < strlen(good); i++) { /* swap each closing bracket for the other one */
        char bad[sizeof good];
        memcpy(bad, good, sizeof good);
        if (bad[i] != ']' && bad[i] != '}')
            continue;
        bad[i] = bad[i] == ']' ? '}' : ']';
        assert_int_equal(check_exact(bad, strlen(bad)), TW_E_JSON);
    }
}

static void members_come_in_order_with_their_types(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        enum tw_value_type type;
    } expected[] = {
        {"n", "null", TW_VALUE_NULL},
        {"b", "true", TW_VALUE_BOOL},
        {"i", "-17", TW_VALUE_INTEGER},
        {"f", "1.50", TW_VALUE_NUMBER},
        {"s", "\"a \\\" } b\"", TW_VALUE_STRING},
        {"o", "{\"x\":[1, 2]}", TW_VALUE_OBJECT},
        {"a", "[{}, []]", TW_VALUE_ARRAY},
    };
    struct tw_span object =
        span(" { \"n\":null,\"b\" : true ,\"i\":-17,\"f\":1.50,\"s\":\"a \\\" } b\", \"o\":{\"x\":[1, 2]},"
             "\"a\":[{}, []] } ");
    struct tw_span name;
    struct tw_value value;
    size_t pos = 0;
    for (size_t i = 0; i < N(expected); i++) {
        assert_int_equal(tw_json_next_member(&name, &value, &pos, object), 1);
        assert_int_equal(name.len, strlen(expected[i].name));
        assert_memory_equal(name.data, expected[i].name, name.len);
        assert_int_equal(value.type, expected[i].type);
        assert_int_equal(value.text.len, strlen(expected[i].text));
        assert_memory_equal(value.text.data, expected[i].text, value.text.len);
    }
    assert_int_equal(tw_json_next_member(&name, &value, &pos, object), 0);
    assert_int_equal(tw_json_next_member(&name, &value, &pos, object), 0);
}

static void elements_come_in_order(void **state)
{
    (void)state;
    struct tw_value value;
    size_t pos = 0;
    struct tw_span array = span("[18, 19,20]");
    for (int64_t id = 18; id <= 20; id++) {
        assert_int_equal(tw_json_next_element(&value, &pos, array), 1);
        assert_int_equal(value.type, TW_VALUE_INTEGER);
        assert_int_equal(value.integer, id);
    }
    assert_int_equal(tw_json_next_element(&value, &pos, array), 0);
}

static void what_is_empty_or_of_the_other_kind_has_no_items(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{}", "[]", "\"a\"", "1", "{ }", "[ ]"};
    for (size_t i = 0; i < N(texts); i++) {
        struct tw_span name;
        struct tw_value value;
        size_t pos = 0;
        assert_int_equal(tw_json_next_member(&name, &value, &pos, span(texts[i])), 0);
        assert_int_equal(tw_json_next_element(&value, &pos, span(texts[i])), 0);
        assert_int_equal(pos, 0);
    }
    struct tw_value value;
    size_t pos = 0;
    assert_int_equal(tw_json_next_element(&value, &pos, span("{\"a\":1}")), 0);
    assert_int_equal(tw_json_next_element(&value, &pos, (struct tw_span){NULL, 0}), 0);
}

/* Stepping is for texts that were checked, and stays inside the others all the same. */
static void stepping_through_broken_text_ends(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"a\":1",          "{\"a\":1,", "{\"a\":1,\"b\"",
                                        "{\"a\":1 \"b\":2}", "{\"a\":\"", "{\"a\":[[1}"};
    for (size_t i = 0; i < N(texts); i++) {
        size_t len = strlen(texts[i]);
        uint8_t *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, texts[i], len);
        struct tw_span name;
        struct tw_value value;
        size_t pos = 0, n = 0;
        while (tw_json_next_member(&name, &value, &pos, (struct tw_span){copy, len}))
            n++;
        assert_true(n <= 1);
        free(copy);
    }
    struct tw_value value;
    size_t pos = 100; /* never handed out for this text */
    assert_int_equal(tw_json_next_element(&value, &pos, span("[1]")), 0);
}

static void numbers_are_integers_only_when_64_bits_hold_them_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum tw_value_type type;
        int64_t integer;
    } cases[] = {
        {"[0]", TW_VALUE_INTEGER, 0},
        {"[-1]", TW_VALUE_INTEGER, -1},
        {"[9223372036854775807]", TW_VALUE_INTEGER, INT64_MAX},
        {"[-9223372036854775808]", TW_VALUE_INTEGER, INT64_MIN},
        {"[9223372036854775808]", TW_VALUE_NUMBER, 0},
        {"[-9223372036854775809]", TW_VALUE_NUMBER, 0},
        {"[18446744073709551617]", TW_VALUE_NUMBER, 0},
        {"[99999999999999999999999999]", TW_VALUE_NUMBER, 0},
        {"[-0]", TW_VALUE_NUMBER, 0},
        {"[1.0]", TW_VALUE_NUMBER, 0},
        {"[1e3]", TW_VALUE_NUMBER, 0},
    };
    for (size_t i = 0; i < N(cases); i++) {
        struct tw_value value;
        size_t pos = 0;
        assert_int_equal(tw_json_next_element(&value, &pos, span(cases[i].text)), 1);
        if (value.type != cases[i].type)
            fail_msg("%s has type %d", cases[i].text, (int)value.type);
        if (value.type == TW_VALUE_INTEGER && value.integer != cases[i].integer)
            fail_msg("%s is read as %lld", cases[i].text, (long long)value.integer);
        assert_int_equal(value.text.len, strlen(cases[i].text) - 2); /* and keeps its digits */
    }
}

static void escapes_become_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text, *utf8;
    } cases[] = {
        {"\"\"", ""},
        {"", ""},
        {"\"plain\"", "plain"},
        {"without quotes", "without quotes"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"K\\u00fcche \\u706f \\ud83d\\ude00\"",
         "K\303\274che \xe7\x81\xaf \xf0\x9f\x98\x80"}, /* v33-control-utf8-escaped */
        {"\"K\303\274che\"", "K\303\274che"},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
        {"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
    };
    for (size_t i = 0; i < N(cases); i++) {
        char out[64];
        size_t len = 99;
        assert_int_equal(tw_json_string(out, strlen(cases[i].text), &len, span(cases[i].text)), TW_OK);
        assert_int_equal(len, strlen(cases[i].utf8));
        assert_memory_equal(out, cases[i].utf8, len);
        for (size_t cap = 0; cap < len; cap++) {
            size_t untouched = 99;
            assert_int_equal(tw_json_string(out, cap, &untouched, span(cases[i].text)), TW_E_CAPACITY);
            assert_int_equal(untouched, 99);
        }
    }
}

static void an_escaped_nul_is_a_byte_of_the_string(void **state)
{
    (void)state;
    char out[8];
    size_t len;
    assert_int_equal(tw_json_string(out, sizeof out, &len, span("\"a\\u0000b\"")), TW_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(out, "a\0b", 3);
}

static void half_a_surrogate_pair_is_no_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"\\ud83dxude00",
                                        "\\ud83d\\n1234",
                                        "\\ud83d/ude00",
                                        "\\ud83d\\ude0",
                                        "\\ud83d",
                                        "\\ude00",
                                        "\\ud83dx",
                                        "\\ud83d\\n",
                                        "\\ud83d\\u0041",
                                        "\\ud83d\\ud83d",
                                        "\\ude00\\ud83d",
                                        "\\ud83d\\u12",
                                        "\\q",
                                        "\\",
                                        "a\"b",
                                        "\n",
                                        "\xff",
                                        "\"a"};
    for (size_t i = 0; i < N(texts); i++) {
        char out[32];
        size_t len, text_len = strlen(texts[i]);
        uint8_t *copy = malloc(text_len);
        assert_non_null(copy);
        memcpy(copy, texts[i], text_len);
        if (tw_json_string(out, sizeof out, &len, (struct tw_span){copy, text_len}) != TW_E_JSON)
            fail_msg("%s is accepted", texts[i]);
        free(copy);
    }
}

static void a_value_alone_says_what_it_is(void **state)
{
    (void)state;
    struct tw_value v;
    assert_int_equal(tw_json_value(&v, (struct tw_span){(const uint8_t *)" -7 ", 4}), TW_OK);
    assert_int_equal(v.type, TW_VALUE_INTEGER);
    assert_int_equal(v.integer, -7);
    assert_int_equal(v.text.len, 2);
    assert_int_equal(tw_json_value(&v, (struct tw_span){(const uint8_t *)"true 1", 6}), TW_E_JSON);
    assert_int_equal(tw_json_value(&v, (struct tw_span){NULL, 0}), TW_E_JSON);
    assert_int_equal(v.integer, -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_of_rfc_8259_is_json),
        cmocka_unit_test(anything_else_is_not),
        cmocka_unit_test(a_nul_byte_is_not_json),
        cmocka_unit_test(no_prefix_of_an_object_is_json),
        cmocka_unit_test(every_byte_of_a_string_is_looked_at_wherever_it_stands),
        cmocka_unit_test(thirty_two_levels_are_read_and_thirty_three_are_not),
        cmocka_unit_test(kinds_of_levels_do_not_get_mixed_up_when_they_close),
        cmocka_unit_test(members_come_in_order_with_their_types),
        cmocka_unit_test(elements_come_in_order),
        cmocka_unit_test(what_is_empty_or_of_the_other_kind_has_no_items),
        cmocka_unit_test(stepping_through_broken_text_ends),
        cmocka_unit_test(numbers_are_integers_only_when_64_bits_hold_them_exactly),
        cmocka_unit_test(escapes_become_utf8),
        cmocka_unit_test(an_escaped_nul_is_a_byte_of_the_string),
        cmocka_unit_test(half_a_surrogate_pair_is_no_text),
        cmocka_unit_test(a_value_alone_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
