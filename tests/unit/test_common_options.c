/* What users type (spec interfaces, section "Common"). */
#include "common_test.h"
#include "common/options.h"

static const uint8_t key_bytes[TW_KEY_LEN] = "0123456789abcdef"; /* no NUL: the array is full */

static void protocol_is_read_with_and_without_auto(void **state)
{
    (void)state;
    enum tw_version v = TW_V31;
    bool is_auto = false;
    struct why why;
    assert_int_equal(opt_protocol_or_auto(&is_auto, &v, "3.5", &why), 0);
    assert_int_equal(v, TW_V35);
    assert_int_equal(opt_protocol_or_auto(&is_auto, &v, "auto", &why), 0);
    assert_true(is_auto);
    assert_int_equal(v, TW_V35);
    assert_int_equal(opt_protocol_or_auto(&is_auto, &v, "3.3", &why), 0);
    assert_false(is_auto);
    assert_int_equal(v, TW_V33);
    assert_int_equal(opt_protocol_or_auto(&is_auto, &v, "3.33", &why), -1);
    assert_says(&why, "expected auto, 3.1, 3.2, 3.3, 3.4 or 3.5, got '3.33'");
    assert_int_equal(v, TW_V33);
}

static void key_is_sixteen_characters_or_hex(void **state)
{
    (void)state;
    uint8_t key[TW_KEY_LEN];
    assert_int_equal(opt_key(key, "0123456789abcdef", NULL), 0);
    assert_memory_equal(key, key_bytes, sizeof key);
    assert_int_equal(opt_key(key, "hex:30313233343536373839616263646566", NULL), 0);
    assert_memory_equal(key, key_bytes, sizeof key);
    assert_int_equal(opt_key(key, "hex:30313233343536373839616263646566", NULL), 0);
    /* sixteen characters are a key, whatever they look like */
    assert_int_equal(opt_key(key, "hex:0123456789ab", NULL), 0);
    assert_memory_equal(key, "hex:0123456789ab", sizeof key);
    assert_int_equal(opt_key(key, "$ #=:!'`\\\"<&{}\t~", NULL), 0);
}

static void key_of_wrong_length_is_named_by_length_and_never_quoted(void **state)
{
    (void)state;
    uint8_t key[TW_KEY_LEN] = {7};
    struct why why;
    assert_int_equal(opt_key(key, "SECRETSECRET123", &why), -1);
    assert_says(&why, "the key has 15 characters; expected exactly 16 characters, or hex: and 32 hex digits");
    assert_says(&why, "single quotes");
    assert_null(strstr(why.text, "SECRET"));
    assert_int_equal(opt_key(key, "SECRETSECRET12345", &why), -1);
    assert_says(&why, "the key has 17 characters");
    assert_int_equal(opt_key(key, "hex:303132", &why), -1);
    assert_says(&why, "hex: is followed by 6 characters");
    assert_int_equal(opt_key(key, "hex:3031323334353637383961626364656x", &why), -1);
    assert_says(&why, "no hex digit");
    assert_int_equal(key[0], 7);
}

static void key_argument_is_wiped(void **state)
{
    (void)state;
    char argument[] = "0123456789abcdef", empty[sizeof argument] = {0};
    uint8_t key[TW_KEY_LEN];
    assert_int_equal(opt_key_argument(key, argument, NULL), 0);
    assert_memory_equal(key, key_bytes, sizeof key);
    assert_memory_equal(argument, empty, sizeof argument);
}

static void key_file_has_one_key_a_line(void **state)
{
    (void)state;
    uint8_t(*keys)[TW_KEY_LEN];
    size_t n;
    const char *path = file_with("0123456789abcdef\r\n\n#fake-LOCAL-key!\n");
    assert_int_equal(opt_key_file(&keys, &n, path, NULL), 0);
    assert_int_equal(n, 2);
    assert_memory_equal(keys[0], key_bytes, TW_KEY_LEN);
    assert_memory_equal(keys[1], "#fake-LOCAL-key!", TW_KEY_LEN);
    opt_keys_free(keys, n);

    uint8_t key[TW_KEY_LEN];
    struct why why;
    assert_int_equal(opt_key_file_one(key, path, &why), -1);
    assert_says(&why, "expected one key, found 2");
    unlink(path);
    path = file_with("0123456789abcdef");
    assert_int_equal(opt_key_file_one(key, path, NULL), 0);
    assert_memory_equal(key, key_bytes, sizeof key);
    unlink(path);
}

static void key_file_without_a_good_key_says_where(void **state)
{
    (void)state;
    uint8_t(*keys)[TW_KEY_LEN];
    size_t n;
    struct why why;
    const char *path = file_with("0123456789abcdef\nshort\n");
    assert_int_equal(opt_key_file(&keys, &n, path, &why), -1);
    assert_says(&why, "line 2: the key has 5 characters");
    unlink(path);
    path = file_with("\n\n");
    assert_int_equal(opt_key_file(&keys, &n, path, &why), -1);
    assert_says(&why, "there is no key in it");
    unlink(path);
    assert_int_equal(opt_key_file(&keys, &n, "/nonexistent/key", &why), OPT_UNREADABLE);
    assert_says(&why, "/nonexistent/key: cannot open: No such file or directory");
}

static void key_of_the_environment_may_be_absent(void **state)
{
    (void)state;
    uint8_t key[TW_KEY_LEN];
    struct why why;
    unsetenv("TUYA_LOCAL_KEY");
    assert_int_equal(opt_key_environment(key, &why), 0);
    setenv("TUYA_LOCAL_KEY", "", 1);
    assert_int_equal(opt_key_environment(key, &why), 0);
    setenv("TUYA_LOCAL_KEY", "0123456789abcdef", 1);
    assert_int_equal(opt_key_environment(key, &why), 1);
    assert_memory_equal(key, key_bytes, sizeof key);
    setenv("TUYA_LOCAL_KEY", "tiny", 1);
    assert_int_equal(opt_key_environment(key, &why), -1);
    unsetenv("TUYA_LOCAL_KEY");
}

static void values_are_json_or_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value;
    } cases[] = {{"1=true", "true"},
                 {"9=60", "60"},
                 {"21=white", "\"white\""},
                 {"24=\"a b\"", "\"a b\""},
                 {"3=say \"hi\"", "\"say \\\"hi\\\"\""},
                 {"2=1.50", "1.50"},
                 {"switch_1=", "\"\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char room[64] = "";
        struct tw_text t = {room, sizeof room - 1, 0, false};
        struct opt_dp dp;
        assert_int_equal(opt_dp(&dp, cases[i].text, NULL), 0);
        opt_dp_put_value(&t, &dp);
        assert_string_equal(room, cases[i].value);
        assert_int_equal(dp.name.len, strcspn(cases[i].text, "="));
    }
}

static void data_points_that_are_none_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {{"1", "expected DP=VALUE"},
                 {"=true", "no data point before the '='"},
                 {"1={\"a\":", "begins like JSON"},
                 {"1=[1,", "begins like JSON"},
                 {"1=\"open", "begins like JSON"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opt_dp dp;
        struct why why;
        assert_int_equal(opt_dp(&dp, cases[i].text, &why), -1);
        assert_says(&why, cases[i].says);
    }
}

static void addresses_of_all_forms_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:6668", "127.0.0.1", 6668},
        {"plug.local", "plug.local", 80},
        {"[::1]:0", "::1", 0},
        {"::1", "::1", 80},
        {"[fe80::1]", "fe80::1", 80},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opt_address a;
        assert_int_equal(opt_address(&a, cases[i].text, 80, NULL), 0);
        assert_string_equal(a.host, cases[i].host);
        assert_int_equal(a.port, cases[i].port);
    }
    static const char *const bad[] = {"", ":80", "[::1", "[::1]x", "a:", "a:b", "a:65536", "a:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct opt_address a;
        assert_int_equal(opt_address(&a, bad[i], 80, NULL), -1);
    }
    struct opt_address a;
    struct why why;
    assert_int_equal(opt_address(&a, "127.0.0.1", -1, &why), -1);
    assert_says(&why, "there is no port");
}

static void numbers_are_whole_and_within_limits(void **state)
{
    (void)state;
    int64_t n = 0;
    struct why why;
    assert_int_equal(opt_integer(&n, "10000", 1, 10000, NULL), 0);
    assert_int_equal(n, 10000);
    static const char *const bad[] = {"", "0", "10001", "5x", " 5", "0x10", "99999999999999999999", "1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(opt_integer(&n, bad[i], 1, 10000, &why), -1);
        assert_says(&why, "expected a whole number from 1 to 10000");
    }
    assert_int_equal(n, 10000);
}

static void seconds_may_have_a_fraction(void **state)
{
    (void)state;
    uint64_t ms = 0;
    assert_int_equal(opt_seconds(&ms, "5", 60, NULL), 0);
    assert_int_equal(ms, 5000);
    assert_int_equal(opt_seconds(&ms, "0.25", 60, NULL), 0);
    assert_int_equal(ms, 250);
    assert_int_equal(opt_seconds(&ms, ".0019", 60, NULL), 0);
    assert_int_equal(ms, 2);
    assert_int_equal(opt_seconds(&ms, "2.5000", 60, NULL), 0);
    assert_int_equal(ms, 2500);
    assert_int_equal(opt_seconds(&ms, "0.0000001", 60, NULL), 0);
    assert_int_equal(ms, 1);
    static const char *const bad[] = {"", ".", "-1", "61", "60.001", "5s", "1e3", "184467440737095516160"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(opt_seconds(&ms, bad[i], 60, NULL), -1);
    assert_int_equal(ms, 1);
}

static void colour_respects_choice_and_environment(void **state)
{
    (void)state;
    enum opt_colour choice;
    struct why why;
    assert_int_equal(opt_colour(&choice, "sometimes", &why), -1);
    assert_says(&why, "expected auto, always or never");
    assert_int_equal(opt_colour(&choice, NULL, NULL), 0);
    assert_int_equal(choice, OPT_COLOUR_ALWAYS);
    setenv("NO_COLOR", "1", 1);
    assert_true(opt_colour_wanted(OPT_COLOUR_ALWAYS, stdout));
    assert_false(opt_colour_wanted(OPT_COLOUR_NEVER, stdout));
    assert_false(opt_colour_wanted(OPT_COLOUR_AUTO, stdout));
    unsetenv("NO_COLOR");
    FILE *pipe_like = tmpfile();
    assert_non_null(pipe_like);
    assert_false(opt_colour_wanted(OPT_COLOUR_AUTO, pipe_like));
    fclose(pipe_like);
}

static void options_are_named_as_users_may_type_them(void **state)
{
    (void)state;
    static const struct option table[] = {
        {"port", required_argument, NULL, 256}, {"protocol", required_argument, NULL, 'P'}, {NULL, 0, NULL, 0}};
    assert_string_equal(opt_name(table, 256).text, "--port");
    assert_string_equal(opt_name(table, 'P').text, "-P, --protocol");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocol_is_read_with_and_without_auto),
        cmocka_unit_test(key_is_sixteen_characters_or_hex),
        cmocka_unit_test(key_of_wrong_length_is_named_by_length_and_never_quoted),
        cmocka_unit_test(key_argument_is_wiped),
        cmocka_unit_test(key_file_has_one_key_a_line),
        cmocka_unit_test(key_file_without_a_good_key_says_where),
        cmocka_unit_test(key_of_the_environment_may_be_absent),
        cmocka_unit_test(values_are_json_or_words),
        cmocka_unit_test(data_points_that_are_none_are_refused),
        cmocka_unit_test(addresses_of_all_forms_are_read),
        cmocka_unit_test(numbers_are_whole_and_within_limits),
        cmocka_unit_test(seconds_may_have_a_fraction),
        cmocka_unit_test(colour_respects_choice_and_environment),
        cmocka_unit_test(options_are_named_as_users_may_type_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
