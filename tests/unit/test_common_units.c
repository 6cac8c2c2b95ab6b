/* Meanings of data points; replies and phase blocks are the real ones of spec energy-dps sections 3.1 and 5.1. */
#include "common_test.h"
#include "common/units.h"

static void scaled(const char *number, int scale, const char *expected)
{
    char out[UNITS_NUMBER_MAX];
    size_t len = units_scale(out, span(number), scale);
    assert_string_equal(out, expected);
    assert_int_equal(len, strlen(expected));
}

static void numbers_are_scaled_digit_by_digit(void **state)
{
    (void)state;
    scaled("2301", 1, "230.1");
    scaled("2300", 1, "230.0");
    scaled("5", 3, "0.005");
    scaled("-5", 3, "-0.005");
    scaled("0", 1, "0.0");
    scaled("100", 2, "1.00");
    scaled("17", 0, "17");
    scaled("123456789012345678901234", 9, "123456789012345.678901234");
    scaled("-123456789012345678901234", 1, "-12345678901234567890123.4");
}

static void what_is_no_integer_stays_as_it_is(void **state)
{
    (void)state;
    scaled("true", 1, "true");
    scaled("1.5", 1, "1.5");
    scaled("1e3", 1, "1e3");
    scaled("-", 1, "-");
    scaled("", 1, "");
    scaled("1234567890123456789012345", 1, "1234567890123456789012345");
    scaled("12", -1, "12");
    scaled("12", 10, "12");
    scaled("a text that is much longer than any number can be", 1, "a text that is much longer than any num");
}

static void families_are_told_by_their_data_points(void **state)
{
    (void)state;
    static const struct {
        const char *dps;
        enum units_family family;
    } cases[] = {
        {"{\"1\":false,\"9\":0,\"17\":24,\"18\":0,\"19\":0,\"20\":1196,\"21\":1,\"26\":0,\"38\":\"off\"}",
         UNITS_FAMILY_METERING},
        {"{\"1\":true,\"9\":0,\"18\":7626,\"19\":16701,\"20\":2176,\"26\":0}", UNITS_FAMILY_METERING},
        {"{\"1\":true,\"2\":0,\"4\":0,\"5\":0,\"6\":2300}", UNITS_FAMILY_LEGACY},
        {"{\"1\":true,\"9\":0,\"38\":\"memory\"}", UNITS_FAMILY_PLAIN},
        {"{\"1\":true,\"7\":0,\"17\":\"\",\"18\":\"\",\"19\":\"\"}", UNITS_FAMILY_WALL_SWITCH},
        {"{\"1\":12345,\"6\":\"CP0AAAAAAAA=\",\"16\":true}", UNITS_FAMILY_METER},
        {"{\"20\":true,\"21\":\"white\",\"22\":1000}", UNITS_FAMILY_BULB},
        {"{\"19\":35}", UNITS_FAMILY_UNKNOWN},
        {"{}", UNITS_FAMILY_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(units_family_of(span(cases[i].dps)), cases[i].family);
}

static void one_number_means_different_things(void **state)
{
    (void)state;
    assert_string_equal(units_by_id(UNITS_FAMILY_METERING, 18)->unit, "mA");
    assert_string_equal(units_by_id(UNITS_FAMILY_WALL_SWITCH, 18)->code, "random_time");
    assert_string_equal(units_by_id(UNITS_FAMILY_METERING, 1)->name, "switch");
    assert_string_equal(units_by_id(UNITS_FAMILY_METER, 1)->unit, "kWh");
    assert_int_equal(units_by_id(UNITS_FAMILY_METER, 1)->scale, 2);
    assert_string_equal(units_by_id(UNITS_FAMILY_LEGACY, 6)->unit, "V");
    assert_null(units_by_id(UNITS_FAMILY_METERING, 39)); /* two layouts */
    assert_null(units_by_id(UNITS_FAMILY_UNKNOWN, 1));
}

/* Two data points under one name would be one column of a table. */
static void no_code_stands_for_two_data_points_of_a_family(void **state)
{
    (void)state;
    for (int family = UNITS_FAMILY_METERING; family <= UNITS_FAMILY_BULB; family++)
        for (uint32_t a = 1; a < 128; a++)
            for (uint32_t b = a + 1; b < 128; b++) {
                const struct units_dp *one = units_by_id((enum units_family)family, a);
                const struct units_dp *other = units_by_id((enum units_family)family, b);
                if (one != NULL && other != NULL)
                    assert_string_not_equal(one->code, other->code);
            }
    assert_string_equal(units_by_id(UNITS_FAMILY_METERING, 6)->code, "switch_6");
    assert_string_equal(units_by_id(UNITS_FAMILY_METERING, 8)->code, "switch_usb2");
    assert_string_equal(units_by_id(UNITS_FAMILY_METERING, 10)->code, "countdown_2");
    assert_string_equal(units_by_id(UNITS_FAMILY_METERING, 16)->code, "countdown_usb2");
    assert_string_equal(units_by_id(UNITS_FAMILY_PLAIN, 16)->code, "countdown_8");
    assert_string_equal(units_by_id(UNITS_FAMILY_WALL_SWITCH, 12)->code, "countdown_6");
}

static void codes_are_known_with_and_without_numbers(void **state)
{
    (void)state;
    assert_string_equal(units_by_code("cur_voltage")->unit, "V");
    assert_string_equal(units_by_code("switch_3")->name, "switch");
    assert_string_equal(units_by_code("switch_usb2")->name, "USB switch");
    assert_string_equal(units_by_code("countdown_1")->unit, "s");
    assert_null(units_by_code("temp_current"));
    assert_null(units_by_code("42"));
    assert_null(units_by_code(""));
}

static void categories_name_families(void **state)
{
    (void)state;
    assert_int_equal(units_family_of_category("pc"), UNITS_FAMILY_METERING);
    assert_int_equal(units_family_of_category("zndb"), UNITS_FAMILY_METER);
    assert_int_equal(units_family_of_category("xyz"), UNITS_FAMILY_UNKNOWN);
}

static void phase_blocks_are_read(void **state)
{
    (void)state;
    struct units_phase p;
    assert_int_equal(units_phase(&p, span("\"COwABY8AARA=\"")), 0);
    assert_int_equal(p.decivolt, 2284);
    assert_int_equal(p.milliampere, 1423);
    assert_int_equal(p.watt, 272);
    assert_int_equal(units_phase(&p, span("CWkAARgAACo=")), 0);
    assert_int_equal(p.decivolt, 2409);
    assert_int_equal(p.milliampere, 280);
    assert_int_equal(p.watt, 42);
    assert_int_equal(units_phase(&p, span("CP0ACgAq")), 0); /* six bytes: 230.1 V, 1.0 A, 42 W */
    assert_int_equal(p.milliampere, 1000);
    assert_int_equal(p.watt, 42);
    assert_int_equal(units_phase(&p, span("\"CP0AAfQA\\/\\/8=\"")),
                     0); /* 8 bytes, although 6 stand before the escape */
    assert_int_equal(p.milliampere, 500);
    assert_int_equal(p.watt, 65535);
    assert_int_equal(units_phase(&p, span("CP0AAfQA\\")), -1);
    assert_int_equal(units_phase(&p, span("")), -1);
    assert_int_equal(units_phase(&p, span("\"")), -1);
    assert_int_equal(units_phase(&p, span("CP0A")), -1);
    assert_int_equal(units_phase(&p, span("not base64 at all")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_scaled_digit_by_digit),
        cmocka_unit_test(what_is_no_integer_stays_as_it_is),
        cmocka_unit_test(families_are_told_by_their_data_points),
        cmocka_unit_test(one_number_means_different_things),
        cmocka_unit_test(no_code_stands_for_two_data_points_of_a_family),
        cmocka_unit_test(codes_are_known_with_and_without_numbers),
        cmocka_unit_test(categories_name_families),
        cmocka_unit_test(phase_blocks_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
