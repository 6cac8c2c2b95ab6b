/* Key logs, and files as a whole. */
#include "common_test.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/file.h"
#include "common/hex.h"
#include "common/keylog.h"

#define NONCE "000102030405060708090a0b0c0d0e0f"
#define KEY   "CD0EF62E2A410D01864E6E21A8F38E12"

static void key_log_is_read_past_comments_and_other_lines(void **state)
{
    (void)state;
    struct keylog k;
    static const char text[] = "# comment\n\nCLIENT_RANDOM 00 11\nTUYA_SESSION 3.5 " NONCE " " KEY "\r\n"
                               "  TUYA_SESSION\t3.4 " KEY " " NONCE " fake0000000000000000id";
    assert_int_equal(keylog_parse(&k, text, sizeof text - 1, "log", NULL), 0);
    assert_int_equal(k.n, 2);
    assert_int_equal(k.entries[0].version, TW_V35);
    assert_int_equal(k.entries[0].client_nonce[15], 0x0f);
    assert_int_equal(k.entries[0].key[0], 0xcd);
    assert_string_equal(k.entries[0].device_id, "");
    assert_int_equal(k.entries[1].version, TW_V34);
    assert_string_equal(k.entries[1].device_id, "fake0000000000000000id");
    keylog_free(&k);
    assert_int_equal(keylog_parse(&k, "", 0, "log", NULL), 0);
    assert_int_equal(k.n, 0);
    keylog_free(&k);
}

static void broken_key_log_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"\nTUYA_SESSION 3.3 " NONCE " " KEY, "log, line 2: expected version 3.4 or 3.5"},
        {"TUYA_SESSION", "line 1: expected version"},
        {"TUYA_SESSION 3.5 0001 " KEY, "expected a client nonce of 32 hex digits"},
        {"TUYA_SESSION 3.5 " NONCE, "expected a session key of 32 hex digits"},
        {"TUYA_SESSION 3.5 " NONCE " zz0EF62E2A410D01864E6E21A8F38E12", "expected a session key"},
        {"TUYA_SESSION 3.5 " NONCE " " KEY " " NONCE NONCE NONCE, "the device id is too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct keylog k = {0};
        struct why why;
        assert_int_equal(keylog_parse(&k, cases[i].text, strlen(cases[i].text), "log", &why), -1);
        assert_says(&why, cases[i].says);
        assert_null(k.entries);
    }
}

static void appended_sessions_are_read_back(void **state)
{
    (void)state;
    const char *path = file_with("");
    unlink(path);
    struct keylog_entry e = {.version = TW_V35, .client_nonce = {1, 2}, .key = {3, 4}, .device_id = "id1"};
    assert_int_equal(keylog_append(path, &e, NULL), 0);
    e.version = TW_V34;
    e.device_id[0] = '\0';
    assert_int_equal(keylog_append(path, &e, NULL), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    struct keylog k;
    assert_int_equal(keylog_load(&k, path, NULL), 0);
    assert_int_equal(k.n, 2);
    assert_string_equal(k.entries[0].device_id, "id1");
    assert_memory_equal(k.entries[1].key, e.key, sizeof e.key);
    assert_int_equal(k.entries[1].version, TW_V34);
    keylog_free(&k);
    unlink(path);

    struct why why;
    assert_int_equal(keylog_append("/nonexistent/log", &e, &why), -1);
    assert_says(&why, "/nonexistent/log: cannot append a session key: No such file");
}

static void key_log_path_comes_from_the_environment(void **state)
{
    (void)state;
    unsetenv("TUYAKEYLOGFILE");
    assert_null(keylog_path());
    setenv("TUYAKEYLOGFILE", "", 1);
    assert_null(keylog_path());
    setenv("TUYAKEYLOGFILE", "keys", 1);
    assert_string_equal(keylog_path(), "keys");
    unsetenv("TUYAKEYLOGFILE");
}

static void files_are_read_whole_and_limits_hold(void **state)
{
    (void)state;
    struct file_bytes f;
    struct why why;
    const char *path = file_with("0123456789");
    assert_int_equal(file_read(&f, path, 10, NULL), 0);
    assert_int_equal(f.len, 10);
    assert_string_equal(f.data, "0123456789");
    file_free(&f);
    assert_int_equal(file_read(&f, path, 9, &why), -1);
    assert_says(&why, "larger than 9 bytes");
    unlink(path);
    path = file_with("");
    assert_int_equal(file_read(&f, path, 10, NULL), 0);
    assert_int_equal(f.len, 0);
    assert_string_equal(f.data, "");
    file_free(&f);
    unlink(path);
}

static void large_files_survive_growing(void **state)
{
    (void)state;
    enum { SIZE = 1000000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)('a' + i % 23);
    const char *path = file_with("");
    assert_int_equal(file_write_atomic(path, text, SIZE, 0600, NULL), 0);
    struct file_bytes f;
    assert_int_equal(file_read(&f, path, SIZE, NULL), 0);
    assert_int_equal(f.len, SIZE);
    assert_memory_equal(f.data, text, SIZE);
    file_free(&f);
    free(text);
    unlink(path);
}

static void atomic_write_replaces_or_leaves_alone(void **state)
{
    (void)state;
    struct file_bytes f;
    struct why why;
    struct stat st;
    const char *path = file_with("old");
    assert_int_equal(file_write_atomic(path, "new content", 11, 0640, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(file_read(&f, path, 100, NULL), 0);
    assert_string_equal(f.data, "new content");
    file_free(&f);
    unlink(path);
    assert_int_equal(file_write_atomic("/nonexistent/x", "a", 1, 0600, &why), -1);
    assert_says(&why, "/nonexistent/x: cannot create a file beside it");
}

/* As root, a rename onto /dev/full would take it from the whole machine. */
static void what_is_no_file_is_written_to_and_stays(void **state)
{
    (void)state;
    struct stat st;
    char text[8] = "";
    const char *path = file_with("");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(file_write_atomic(path, "content", 7, 0600, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(read(reader, text, sizeof text), 7);
    assert_string_equal(text, "content");
    close(reader);
    unlink(path);
}

static void hex_is_read_and_written(void **state)
{
    (void)state;
    uint8_t bytes[3];
    char text[7] = "";
    assert_true(hex_read(bytes, 3, "00fFA5"));
    hex_write(text, bytes, 3);
    assert_string_equal(text, "00ffa5");
    assert_false(hex_read(bytes, 3, "00ff"));
    assert_false(hex_read(bytes, 1, "g0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_log_is_read_past_comments_and_other_lines),
        cmocka_unit_test(broken_key_log_lines_are_named),
        cmocka_unit_test(appended_sessions_are_read_back),
        cmocka_unit_test(key_log_path_comes_from_the_environment),
        cmocka_unit_test(files_are_read_whole_and_limits_hold),
        cmocka_unit_test(large_files_survive_growing),
        cmocka_unit_test(atomic_write_replaces_or_leaves_alone),
        cmocka_unit_test(what_is_no_file_is_written_to_and_stays),
        cmocka_unit_test(hex_is_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
