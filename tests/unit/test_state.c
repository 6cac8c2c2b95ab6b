/* test_state.c - what a fleet remembers: text and back, and a store that survives whatever happens to its process. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/file.h"
#include "model_test.h"
#include "sim/model/fleet.h"
#include "sim/model/state.h"
#include "sim/model/store.h"

static void make_fleet(struct fleet *f, const char *name, size_t n)
{
    const struct profile *p;
    struct why why = {""};
    assert_int_equal(profile_builtin(&p, name), 0);
    assert_int_equal(fleet_init(f, 42, EPOCH_S), 0);
    if (fleet_generate(f, p, n, NULL, &why) != 0)
        fail_msg("%s", why.text);
    profile_unref(p);
}

static int apply_text(struct fleet *f, const char *text, struct why *why)
{
    return state_apply(f, span_of(text), 0, NULL, NULL, why);
}

/* ---- text ---- */

static void a_fleet_comes_back_as_it_was(void **state)
{
    (void)state;
    static const char *const names[] = {"energy-plug", "power-strip",        "din-meter",     "bulb",
                                        "basic-plug",  "energy-plug-legacy", "zigbee-gateway"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct fleet f, again;
        struct why why = {""};
        make_fleet(&f, names[i], 3);
        make_fleet(&again, names[i], 3);
        struct plug *p = f.devices[1].n_children > 0 ? f.devices[1].children[0].plug : f.devices[1].plug;
        struct plug *q = again.devices[1].n_children > 0 ? again.devices[1].children[0].plug : again.devices[1].plug;
        apply(p, "1=false", 1000);
        apply(p, "20=false", 1000);
        apply(p, "16=false", 1000);
        apply(p, "41=true", 1000);
        apply(p, "42=\"AQAC2gMMAAoABQ==\"", 1000);
        apply(p, "24=\"\xc3\xa4 \\\" \xf0\x9f\x98\x80\"", 1000);
        size_t len;
        char *text = state_write(&f, 2000, 7, &len);
        assert_int_equal(strlen(text), len);
        uint64_t generation = 0;
        size_t unknown = 1;
        assert_int_equal(
            state_apply(&again, (struct tw_span){(uint8_t *)text, len}, 2000, &generation, &unknown, &why), 3);
        assert_int_equal(generation, 7);
        assert_int_equal(unknown, 0);
        assert_false(plug_has_due(q));
        char expected[4096];
        strcpy(expected, state_of(p, 2000));
        assert_string_equal(state_of(q, 2000), expected);
        free(text);
        fleet_free(&f);
        fleet_free(&again);
    }
}

/* A plug's state as text, taken by a plug that was made anew, and written by that. */
static void assert_comes_back(struct fleet *f, uint64_t now_ms)
{
    struct fleet again;
    struct why why = {""};
    size_t len, len_again;
    make_fleet(&again, "energy-plug", 1);
    char *text = state_write(f, now_ms, 1, &len);
    if (apply_text(&again, text, &why) != 1)
        fail_msg("%s", why.text);
    char *text_again = state_write(&again, 0, 1, &len_again);
    assert_string_equal(strchr(text_again, '{') + 40, strchr(text, '{') + 40); /* behind the time of day */
    free(text);
    free(text_again);
    fleet_free(&again);
}

static void what_was_made_absent_stays_absent(void **state)
{
    (void)state;
    struct fleet f;
    const struct tw_dp gone = {.id = 9, .value = {.type = TW_VALUE_NULL, .text = span_of("null")}};
    make_fleet(&f, "energy-plug", 1);
    plug_set(f.devices[0].plug, &gone, 1000);
    assert_null(strstr(state_of(f.devices[0].plug, 1000), "\"9\":"));
    assert_comes_back(&f, 1000);
    fleet_free(&f);
}

/* The journal has a line from before and one from after; applied one after the other they are the plug as it was last. */
static void a_countdown_that_was_cancelled_does_not_switch_after_a_restart(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    make_fleet(&again, "basic-plug", 1);
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        static char line[4096];
        struct tw_text t = {.data = line, .cap = sizeof line};
        if (cancelled)
            apply(f.devices[0].plug, "1=false", 2000);
        else
            apply(f.devices[0].plug, "9=60", 1000);
        state_write_device(&t, &f.devices[0], 1000u + 1000u * (unsigned)cancelled);
        struct tw_span text = {(const uint8_t *)line, t.len};
        assert_int_equal(state_apply_device(&again, text, 0, &why), 0);
    }
    plug_advance(again.devices[0].plug, 70000);
    assert_string_equal(value_of(again.devices[0].plug, 1), "false");
    fleet_free(&f);
    fleet_free(&again);
}

/* A state that says nothing of a period, as one made by hand: it begins with the relay closed, and not without. */
static void a_relay_that_a_state_closes_begins_an_energy_period(void **state)
{
    (void)state;
    static const char form[] = "{\"timestamp\":1,\"devices\":[{\"id\":\"%s\",\"dps\":{\"dps\":{\"1\":%s}},"
                               "\"tuyawire\":{\"form\":1,\"true_mws\":7}}]}";
    struct fleet f;
    make_fleet(&f, "energy-plug", 1);
    for (int on = 0; on < 2; on++) {
        char snapshot[256];
        struct why why = {""};
        size_t len;
        snprintf(snapshot, sizeof snapshot, form, f.devices[0].id, on ? "true" : "false");
        assert_int_equal(apply_text(&f, snapshot, &why), 1);
        char *text = state_write(&f, 0, 1, &len);
        assert_int_equal(strstr(text, "\"period_s\":0") != NULL, on);
        free(text);
    }
    assert_comes_back(&f, 0);
    fleet_free(&f);
}

static void a_snapshot_is_one_that_tinytuya_would_write(void **state)
{
    (void)state;
    struct fleet f;
    struct devices d;
    struct why why = {""};
    make_fleet(&f, "energy-plug", 2);
    size_t len;
    char *text = state_write(&f, 250, 1, &len);
    assert_memory_equal(text, "{\"timestamp\":1767268800.250,", 28);
    if (devices_parse(&d, text, len, "snapshot.json", &why) != 0)
        fail_msg("%s", why.text);
    assert_int_equal(d.n, 2);
    assert_string_equal(d.entries[0].id, f.devices[0].id);
    assert_memory_equal(d.entries[0].key, f.devices[0].key, TW_KEY_LEN);
    assert_memory_equal(d.entries[0].values, "{\"1\":true", 9);
    assert_int_equal(d.entries[0].version, TW_V33);
    devices_free(&d);
    free(text);
    fleet_free(&f);
}

static void a_countdown_goes_on_after_a_restart(void **state)
{
    (void)state;
    static const struct {
        uint64_t epoch_later_s; /* of the second run: how long the program was away */
        long left;
        const char *relay;
    } rows[] = {{20, 40, "true"}, {0, 60, "true"}, {70, 0, "false"}};
    for (size_t i = 0; i < 3; i++) {
        struct fleet f, again;
        struct why why = {""};
        make_fleet(&f, "basic-plug", 1);
        make_fleet(&again, "basic-plug", 1);
        apply(f.devices[0].plug, "9=60", 100000);
        size_t len;
        char *text = state_write(&f, 100000, 1, &len);
        again.world.epoch_s += 100 + (int64_t)rows[i].epoch_later_s; /* real time: now_ms begins at 0 again */
        assert_int_equal(apply_text(&again, text, &why), 1);
        plug_advance(again.devices[0].plug, 1);
        assert_int_equal(number_of(again.devices[0].plug, 9), rows[i].left);
        assert_string_equal(value_of(again.devices[0].plug, 1), rows[i].relay);
        free(text);
        fleet_free(&f);
        fleet_free(&again);
    }
}

static void a_countdown_of_a_foreign_snapshot_runs(void **state)
{
    (void)state;
    struct fleet f;
    struct why why = {""};
    char text[256];
    make_fleet(&f, "basic-plug", 1);
    sprintf(text, "[{\"id\":\"%s\",\"dps\":{\"dps\":{\"1\":true,\"9\":30}}}]", f.devices[0].id);
    assert_int_equal(apply_text(&f, text, &why), 1);
    plug_advance(f.devices[0].plug, 10000);
    assert_int_equal(number_of(f.devices[0].plug, 9), 20);
    plug_advance(f.devices[0].plug, 30000);
    assert_string_equal(value_of(f.devices[0].plug, 1), "false");
    fleet_free(&f);
}

/* A virtual clock begins at the same moment in every run: what was left counts then. */
static void a_countdown_never_grows(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    make_fleet(&again, "basic-plug", 1);
    apply(f.devices[0].plug, "9=60", 500000);
    size_t len;
    char *text = state_write(&f, 510000, 1, &len);
    assert_int_equal(apply_text(&again, text, &why), 1);
    plug_advance(again.devices[0].plug, 1);
    assert_int_equal(number_of(again.devices[0].plug, 9), 50);
    free(text);
    fleet_free(&f);
    fleet_free(&again);
}

/* 142 W: 71 Wh in a period. Half of it before the restart, half after: nothing is lost, nothing twice. */
static void energy_goes_on_after_a_restart(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    make_fleet(&f, "energy-plug", 1);
    make_fleet(&again, "energy-plug", 1);
    struct plug *p = f.devices[0].plug, *q = again.devices[0].plug;
    scene(p, "steady", 0);
    constant_load(p, 142000, 900, 0);
    size_t len;
    char *text = state_write(&f, 900000, 1, &len);
    assert_int_equal(apply_text(&again, text, &why), 1);
    assert_int_equal(plug_load_of(q, 0).appliance, APPLIANCE_CONSTANT);
    assert_int_equal(plug_load_of(q, 0).mw, 142000);
    assert_int_equal(plug_load_of(q, 0).pf_permille, 900);
    plug_advance(q, 899000);
    assert_string_equal(value_of(q, 17), "");
    plug_advance(q, 900000);
    assert_int_equal(number_of(q, 17), 71);
    assert_true(plug_live(q, 900000).total_mws == 2 * plug_live(p, 900000).total_mws);
    free(text);
    fleet_free(&f);
    fleet_free(&again);
}

static void numbers_keep_their_digits(void **state)
{
    (void)state;
    struct fleet f;
    struct why why = {""};
    make_fleet(&f, "energy-plug", 1);
    char text[512];
    sprintf(text,
            "{\"devices\":[{\"id\":\"%s\",\"dps\":{\"dps\":{\"22\":1.50,\"23\":12345678901234567890,\"24\":1e3}}}]}",
            f.devices[0].id);
    assert_int_equal(apply_text(&f, text, &why), 1);
    assert_string_equal(value_of(f.devices[0].plug, 22), "1.50");
    assert_string_equal(value_of(f.devices[0].plug, 23), "12345678901234567890");
    assert_string_equal(value_of(f.devices[0].plug, 24), "1e3");
    size_t len;
    char *written = state_write(&f, 0, 0, &len);
    assert_non_null(strstr(written, "\"22\":1.50,\"23\":12345678901234567890,\"24\":1e3"));
    free(written);
    fleet_free(&f);
}

static void the_shapes_of_tinytuya_are_all_read(void **state)
{
    (void)state;
    struct fleet f;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    const char *id = f.devices[0].id;
    static const char *const shapes[] = {
        "{\"timestamp\":1.5,\"devices\":[{\"id\":\"%s\",\"dps\":{\"devId\":\"x\",\"dps\":{\"9\":%d}}}]}",
        "{\"devices\":[{\"id\":\"%s\",\"dps\":{\"dps\":{\"9\":%d}}}]}",
        "[{\"id\":\"%s\",\"dps\":{\"9\":%d}}]",
        " \n[ {\"id\":\"%s\",\"dps\":{\"9\":%d}, \"other\": [1,{}]} ] \n",
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        char text[256];
        sprintf(text, shapes[i], id, (int)i + 5);
        assert_int_equal(apply_text(&f, text, &why), 1);
        assert_int_equal(number_of(f.devices[0].plug, 9), (long)i + 5);
    }
    char text[512]; /* polling failed; an error reply; a stranger; an id of no kind */
    sprintf(
        text,
        "[{\"id\":\"%s\",\"dps\":null},{\"id\":\"%s\",\"dps\":{\"Error\":\"x\",\"Err\":\"905\",\"Payload\":null}},"
        "{\"id\":\"stranger\",\"dps\":{\"9\":1}},{\"id\":7},{\"dps\":{}}]",
        id, id);
    size_t unknown = 0;
    assert_int_equal(state_apply(&f, span_of(text), 0, NULL, &unknown, &why), 1);
    assert_int_equal(unknown, 1);
    assert_int_equal(number_of(f.devices[0].plug, 9), 8);
    fleet_free(&f);
}

static void each_cut_of_a_snapshot_changes_nothing(void **state)
{
    (void)state;
    struct fleet f, again;
    make_fleet(&f, "basic-plug", 2);
    make_fleet(&again, "basic-plug", 2);
    apply(f.devices[0].plug, "1=false", 0);
    apply(f.devices[1].plug, "9=60", 0);
    size_t len;
    char *text = state_write(&f, 0, 1, &len);
    while (text[len - 1] == '\n')
        len--;
    char before[4096];
    strcpy(before, state_of(again.devices[0].plug, 0));
    for (size_t n = 0; n < len; n++) {
        char *copy = malloc(n + 1); /* on the heap, so that a reader past the end is caught */
        struct why why = {""};
        memcpy(copy, text, n);
        assert_int_equal(state_apply(&again, (struct tw_span){(uint8_t *)copy, n}, 0, NULL, NULL, &why), -1);
        assert_true(strlen(why.text) > 10);
        free(copy);
    }
    assert_string_equal(state_of(again.devices[0].plug, 0), before);
    free(text);
    fleet_free(&f);
    fleet_free(&again);
}

/* A large fleet that comes back from a file as it was made is as small as a new one. */
static void an_untouched_plug_stays_small_when_it_is_read(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    make_fleet(&f, "energy-plug", 2);
    make_fleet(&again, "energy-plug", 2);
    apply(f.devices[1].plug, "1=false", 0);
    size_t len;
    char *text = state_write(&f, 1000, 1, &len);
    assert_int_equal(apply_text(&again, text, &why), 2);
    assert_true(plug_memory(again.devices[0].plug) <= 96);
    assert_string_equal(value_of(again.devices[1].plug, 1), "false");
    plug_power_cycle(again.devices[1].plug, 1000); /* and it is in flash */
    assert_string_equal(value_of(again.devices[1].plug, 1), "false");
    free(text);
    fleet_free(&f);
    fleet_free(&again);
}

static void what_is_no_snapshot_is_named(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "7", "\"x\"", "{\"devices\":{}}", "[7]", "{\"devices\":[null]}"};
    struct fleet f;
    make_fleet(&f, "basic-plug", 1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct why why = {""};
        assert_int_equal(apply_text(&f, texts[i], &why), -1);
        assert_non_null(strstr(why.text, "no snapshot"));
    }
    fleet_free(&f);
}

static void absurd_memories_do_no_harm(void **state)
{
    (void)state;
    static const char *const own[] = {
        "{\"countdown\":{\"9\":[1e99,5],\"10\":[1,1],\"1\":[1,1],\"9\":[-9223372036854775808,60000]}}",
        "{\"countdown\":{\"9\":[9223372036854775807,9223372036854775807]}}",
        "{\"countdown\":[]}",
        "{\"true_mws\":9223372036854775807,\"increment_mws\":9223372036854775807,\"period_s\":9223372036854775807}",
        "{\"true_mws\":-1,\"mains\":77,\"readings\":99,\"load\":{\"1\":{\"appliance\":\"toaster\"},\"2\":{}}}",
        "{\"true_mws\":0,\"load\":{\"1\":{\"appliance\":\"constant\",\"mw\":9223372036854775807,\"pf\":0}}}",
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        struct fleet f;
        struct why why = {""};
        make_fleet(&f, "energy-plug", 1);
        char text[512];
        sprintf(text, "[{\"id\":\"%s\",\"dps\":{\"1\":true},\"tuyawire\":%s}]", f.devices[0].id, own[i]);
        assert_int_equal(apply_text(&f, text, &why), 1);
        plug_advance(f.devices[0].plug, 4000000);
        assert_true(number_of(f.devices[0].plug, 20) > 1000);
        fleet_free(&f);
    }
}

/* ---- store ---- */

static char folder[] = "/tmp/tuyawire-state-XXXXXX", path[64], journal[80], unfinished[80];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    sprintf(path, "%s/state.json", folder);
    sprintf(journal, "%s.journal", path);
    sprintf(unfinished, "%s.new", path);
    return 0;
}

static int clean_folder(void **state)
{
    (void)state;
    const char *const files[] = {path, journal, unfinished};
    for (size_t i = 0; i < 3; i++) {
        if (unlink(files[i]) != 0 && errno != ENOENT)
            return -1;
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static struct store *open_store(struct fleet *f)
{
    struct store *s;
    struct why why = {""};
    if (store_open(&s, f, path, 0, &why) != 0)
        fail_msg("%s", why.text);
    return s;
}

/* Forget the process without folding: what kill -9 leaves. */
static void abandon(struct store *s, struct fleet *f)
{
    store_abandon(s);
    fleet_free(f);
}

/* 0: as large as they want. */
static void limit_files(rlim_t bytes)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = bytes == 0 ? l.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void save(struct store *s, struct device *d, const char *assignment, uint64_t at_ms)
{
    struct why why = {""};
    apply(d->plug, assignment, at_ms);
    if (store_save(s, d, at_ms, &why) != 0)
        fail_msg("%s", why.text);
}

static void what_was_saved_is_there_after_a_crash(void **state)
{
    (void)state;
    struct fleet f, again;
    make_fleet(&f, "energy-plug", 3);
    struct store *s = open_store(&f);
    save(s, &f.devices[0], "1=false", 1000);
    save(s, &f.devices[2], "9=600", 1000);
    save(s, &f.devices[0], "41=true", 2000);
    struct why why = {""};
    assert_int_equal(store_sync(s, &why), 0);
    abandon(s, &f);
    make_fleet(&again, "energy-plug", 3);
    s = open_store(&again);
    assert_string_equal(value_of(again.devices[0].plug, 1), "false");
    assert_string_equal(value_of(again.devices[0].plug, 41), "true");
    assert_string_equal(value_of(again.devices[1].plug, 1), "true");
    plug_advance(again.devices[2].plug, 1);
    assert_true(number_of(again.devices[2].plug, 9) == 600);
    assert_int_equal(store_close(s, 0, &why), 0);
    fleet_free(&again);
}

static void the_files_are_for_their_owner_alone(void **state)
{
    (void)state;
    struct fleet f;
    struct stat st;
    struct why why;
    make_fleet(&f, "basic-plug", 1);
    struct store *s = open_store(&f);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600); /* keys are in it */
    assert_int_equal(stat(journal, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(store_close(s, 0, &why), 0);
    fleet_free(&f);
}

static struct file_bytes read_file(const char *name)
{
    struct file_bytes b;
    struct why why = {""};
    if (file_read(&b, name, 1 << 20, &why) != 0)
        fail_msg("%s", why.text);
    return b;
}

static void write_file(const char *name, const char *data, size_t len)
{
    FILE *out = fopen(name, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

/* Two lines in the journal; cut it after every byte. A line counts when it is whole, and never by half. */
static void a_line_that_was_cut_was_never_acknowledged(void **state)
{
    (void)state;
    struct fleet f;
    make_fleet(&f, "basic-plug", 1);
    struct store *s = open_store(&f);
    struct file_bytes head = read_file(journal);
    save(s, &f.devices[0], "9=100", 0);
    struct file_bytes one = read_file(journal);
    save(s, &f.devices[0], "9=200", 0);
    struct file_bytes two = read_file(journal), snapshot = read_file(path);
    abandon(s, &f);
    for (size_t n = 0; n <= two.len; n += n + 20 < one.len || (n > one.len + 20 && n + 20 < two.len) ? 19 : 1) {
        struct fleet again;
        write_file(path, snapshot.data, snapshot.len);
        write_file(journal, two.data, n);
        make_fleet(&again, "basic-plug", 1);
        s = open_store(&again);
        plug_advance(again.devices[0].plug, 1);
        assert_int_equal(number_of(again.devices[0].plug, 9), n < one.len ? 0 : n < two.len ? 100 : 200);
        abandon(s, &again);
    }
    file_free(&head);
    file_free(&one);
    file_free(&two);
    file_free(&snapshot);
}

static void damage_in_the_middle_is_named_and_left_alone(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    struct store *s = open_store(&f);
    save(s, &f.devices[0], "9=100", 0);
    save(s, &f.devices[0], "9=200", 0);
    abandon(s, &f);
    struct file_bytes j = read_file(journal), snapshot = read_file(path);
    char *at = strstr(j.data, "\"dps\"");
    at[1] ^= 1;
    write_file(journal, j.data, j.len);
    make_fleet(&again, "basic-plug", 1);
    assert_int_equal(store_open(&s, &again, path, 0, &why), -1);
    assert_non_null(strstr(why.text, "state.json.journal: line 2:"));
    struct file_bytes now = read_file(journal), now_snapshot = read_file(path);
    assert_int_equal(now.len, j.len);
    assert_memory_equal(now.data, j.data, j.len);
    assert_memory_equal(now_snapshot.data, snapshot.data, snapshot.len);
    file_free(&now);
    file_free(&now_snapshot);
    file_free(&snapshot);
    file_free(&j);
    fleet_free(&again);
}

/* Its length is looked for behind the newline, and as a number of 64 bits it would fit. */
static void a_line_with_the_length_of_the_next_is_damage(void **state)
{
    (void)state;
    static const char lines[] = "00000000 \n18446744073709551594 x\n00000000 2 {}\n";
    struct fleet f;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    struct store *s = open_store(&f);
    store_abandon(s);
    struct file_bytes j = read_file(journal);
    char text[128];
    int n = snprintf(text, sizeof text, "%s%s", j.data, lines);
    write_file(journal, text, (size_t)n);
    assert_int_equal(store_open(&s, &f, path, 0, &why), -1);
    assert_non_null(strstr(why.text, "state.json.journal: line 2:"));
    file_free(&j);
    fleet_free(&f);
}

static void a_damaged_snapshot_is_named_and_left_alone(void **state)
{
    (void)state;
    static const char text[] = "{\"timestamp\":1735689600.25,\"devices\":[{\"id\":\"bf0";
    struct fleet f;
    struct store *s;
    struct why why = {""};
    write_file(path, text, sizeof text - 1);
    make_fleet(&f, "basic-plug", 1);
    assert_int_equal(store_open(&s, &f, path, 0, &why), -1);
    assert_non_null(strstr(why.text, "state.json: not JSON, or cut"));
    struct file_bytes now = read_file(path);
    assert_string_equal(now.data, text);
    file_free(&now);
    fleet_free(&f);
}

static void a_link_stays_and_its_file_is_written(void **state)
{
    (void)state;
    struct fleet f, again;
    struct store *s, *second;
    struct why why = {""};
    char link[80];
    sprintf(link, "%s/link", folder);
    make_fleet(&f, "basic-plug", 1);
    store_abandon(open_store(&f));
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(store_open(&s, &f, link, 0, &why), 0);
    make_fleet(&again, "basic-plug", 1);
    assert_int_equal(store_open(&second, &again, path, 0, &why), -1);
    assert_non_null(strstr(why.text, "another tuya-sim uses it"));
    save(s, &f.devices[0], "9=100", 0);
    assert_int_equal(store_close(s, 0, &why), 0);
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    struct file_bytes now = read_file(path);
    assert_non_null(strstr(now.data, "\"9\":100"));
    file_free(&now);
    assert_int_equal(unlink(link), 0);
    fleet_free(&again);
    fleet_free(&f);
}

static void a_strangers_journal_is_left_alone(void **state)
{
    (void)state;
    struct fleet f;
    struct store *s;
    struct why why = {""};
    write_file(journal, "something quite different, and long enough\n", 43);
    make_fleet(&f, "basic-plug", 1);
    assert_int_equal(store_open(&s, &f, path, 0, &why), -1);
    assert_non_null(strstr(why.text, "not a journal"));
    fleet_free(&f);
}

/* The crash between the new snapshot and the new journal: the old lines are in the snapshot already. */
static void a_journal_of_an_older_generation_does_not_count(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    struct store *s = open_store(&f);
    save(s, &f.devices[0], "9=100", 0);
    struct file_bytes old = read_file(journal);
    apply(f.devices[0].plug, "9=0", 0);
    assert_int_equal(store_close(s, 0, &why), 0);
    fleet_free(&f);
    write_file(journal, old.data, old.len);
    make_fleet(&again, "basic-plug", 1);
    s = open_store(&again);
    assert_int_equal(number_of(again.devices[0].plug, 9), 0);
    abandon(s, &again);
    file_free(&old);
}

static void two_programs_do_not_share_a_state(void **state)
{
    (void)state;
    struct fleet f, other;
    struct store *second;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    make_fleet(&other, "basic-plug", 1);
    struct store *s = open_store(&f);
    assert_int_equal(store_open(&second, &other, path, 0, &why), -1);
    assert_non_null(strstr(why.text, "another tuya-sim uses it"));
    abandon(s, &f);
    assert_int_equal(store_open(&second, &other, path, 0, &why), 0);
    abandon(second, &other);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct fleet f;
    struct store *s;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    assert_int_equal(store_open(&s, &f, "/tmp/tuyawire-no-such-folder/state.json", 0, &why), -1);
    assert_non_null(strstr(why.text, "/tmp/tuyawire-no-such-folder/state.json"));
    fleet_free(&f);
}

static void a_full_disk_is_reported_and_gets_over(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    make_fleet(&f, "basic-plug", 1);
    struct store *s = open_store(&f);
    save(s, &f.devices[0], "9=100", 0);
    struct stat st;
    assert_int_equal(stat(journal, &st), 0);
    /* a limit on the size of files stands for the full disk */
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    sigaction(SIGXFSZ, &ignore, &old);
    limit_files((rlim_t)st.st_size + 50);
    apply(f.devices[0].plug, "9=200", 0);
    int rc = store_save(s, &f.devices[0], 0, &why);
    limit_files(0);
    sigaction(SIGXFSZ, &old, NULL);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(why.text, "state.json.journal: cannot write to it"));
    save(s, &f.devices[0], "9=300", 0); /* half a line is gone, this one follows the first */
    abandon(s, &f);
    make_fleet(&again, "basic-plug", 1);
    s = open_store(&again);
    plug_advance(again.devices[0].plug, 1);
    assert_int_equal(number_of(again.devices[0].plug, 9), 300);
    abandon(s, &again);
}

/* A process that saves and says so, killed at some moment; what it said is there. */
static void kill_9_at_any_moment_loses_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        if (pid == 0) {
            struct fleet f;
            struct store *s;
            struct why why;
            const struct profile *p;
            if (profile_builtin(&p, "basic-plug") != 0 || fleet_init(&f, 42, EPOCH_S) != 0 ||
                fleet_generate(&f, p, 2, NULL, &why) != 0 || store_open(&s, &f, path, 0, &why) != 0)
                _exit(1);
            for (int32_t i = 1;; i++) {
                char assignment[32];
                sprintf(assignment, "9=%d", (int)(i % 80000) + 1);
                apply(f.devices[1].plug, assignment, 0);
                if (store_save(s, &f.devices[1], 0, &why) != 0 || (i % 50 == 0 && store_fold(s, 0, &why) != 0))
                    _exit(1);
                int32_t said = i % 80000 + 1;
                if (write(pipes[1], &said, sizeof said) != sizeof said)
                    _exit(1);
            }
        }
        close(pipes[1]);
        int32_t said = 0, last = 0;
        for (int i = 0; i < 20 + round * 23 && read(pipes[0], &said, sizeof said) == sizeof said; i++)
            last = said;
        kill(pid, SIGKILL);
        while (read(pipes[0], &said, sizeof said) == sizeof said)
            last = said;
        close(pipes[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && last > 0);
        struct fleet again;
        make_fleet(&again, "basic-plug", 2);
        struct store *s = open_store(&again);
        plug_advance(again.devices[1].plug, 1);
        long found = number_of(again.devices[1].plug, 9);
        assert_true(found == last || found == last + 1); /* the next one may be saved and not said */
        abandon(s, &again);
        clean_folder(NULL);
    }
}

int main(void)
{
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, clean_folder, clean_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fleet_comes_back_as_it_was),
        cmocka_unit_test(a_snapshot_is_one_that_tinytuya_would_write),
        cmocka_unit_test(a_countdown_that_was_cancelled_does_not_switch_after_a_restart),
        cmocka_unit_test(what_was_made_absent_stays_absent),
        cmocka_unit_test(a_relay_that_a_state_closes_begins_an_energy_period),
        cmocka_unit_test(a_countdown_goes_on_after_a_restart),
        cmocka_unit_test(a_countdown_of_a_foreign_snapshot_runs),
        cmocka_unit_test(a_countdown_never_grows),
        cmocka_unit_test(energy_goes_on_after_a_restart),
        cmocka_unit_test(numbers_keep_their_digits),
        cmocka_unit_test(the_shapes_of_tinytuya_are_all_read),
        cmocka_unit_test(each_cut_of_a_snapshot_changes_nothing),
        cmocka_unit_test(an_untouched_plug_stays_small_when_it_is_read),
        cmocka_unit_test(what_is_no_snapshot_is_named),
        cmocka_unit_test(absurd_memories_do_no_harm),
        STORE_TEST(what_was_saved_is_there_after_a_crash),
        STORE_TEST(the_files_are_for_their_owner_alone),
        STORE_TEST(a_line_that_was_cut_was_never_acknowledged),
        STORE_TEST(damage_in_the_middle_is_named_and_left_alone),
        STORE_TEST(a_line_with_the_length_of_the_next_is_damage),
        STORE_TEST(a_damaged_snapshot_is_named_and_left_alone),
        STORE_TEST(a_link_stays_and_its_file_is_written),
        STORE_TEST(a_strangers_journal_is_left_alone),
        STORE_TEST(a_journal_of_an_older_generation_does_not_count),
        STORE_TEST(two_programs_do_not_share_a_state),
        STORE_TEST(a_folder_that_is_not_there_is_named),
        STORE_TEST(a_full_disk_is_reported_and_gets_over),
        STORE_TEST(kill_9_at_any_moment_loses_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
