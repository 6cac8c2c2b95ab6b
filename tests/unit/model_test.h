/* model_test.h - tools for the tests of the plug model. */
#ifndef TESTS_UNIT_MODEL_TEST_H
#define TESTS_UNIT_MODEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "sim/model/plug.h"

/* Noon of Thursday, 1 January 2026. */
#define EPOCH_S 1767268800

static const struct plug_world world = {42, EPOCH_S};

static inline struct tw_span span_of(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* A built-in profile, with up to two pieces of its text replaced; fails the test if a piece is not there. */
static inline const struct profile *profile_with(const char *name, const char *from1, const char *to1,
                                                 const char *from2, const char *to2)
{
    size_t len;
    const char *text = profile_builtin_text(&len, name);
    assert_non_null(text);
    char *copy = calloc(1, len + 4096);
    memcpy(copy, text, len);
    const char *const pairs[2][2] = {{from1, to1}, {from2, to2}};
    for (int i = 0; i < 2; i++) {
        char *at = pairs[i][0] != NULL ? strstr(copy, pairs[i][0]) : NULL;
        if (pairs[i][0] == NULL)
            continue;
        assert_non_null(at);
        size_t n = strlen(pairs[i][0]), m = strlen(pairs[i][1]);
        memmove(at + m, at + n, strlen(at + n) + 1);
        memcpy(at, pairs[i][1], m);
    }
    const struct profile *p = NULL;
    struct problems problems = {.n = 0};
    if (profile_parse(&p, &problems, copy, strlen(copy)) != 0)
        fail_msg("%s", problems.text);
    free(copy);
    return p;
}

/* A plug made at time 0. */
struct bench {
    const struct profile *profile;
    struct plug *plug;
};

static inline struct bench bench_of(const struct profile *profile, const struct shape *shape)
{
    struct bench b = {profile, NULL};
    assert_int_equal(plug_new(&b.plug, shape, &world, 1, 0), 0);
    return b;
}

static inline struct bench bench_new(const char *name)
{
    const struct profile *p = profile_with(name, NULL, NULL, NULL, NULL);
    return bench_of(p, &p->shape);
}

static inline void bench_free(struct bench *b)
{
    plug_free(b->plug);
    profile_unref(b->profile);
}

/* One data point of a control, "9=60". */
static inline struct tw_dp dp_of(char *object, const char *assignment)
{
    struct tw_dp dp;
    size_t pos = 0;
    const char *equals = strchr(assignment, '=');
    sprintf(object, "{\"%.*s\":%s}", (int)(equals - assignment), assignment, equals + 1);
    assert_int_equal(tw_json_check(span_of(object)), TW_OK);
    assert_int_equal(tw_dps_next(&dp, &pos, span_of(object)), 1);
    return dp;
}

static inline enum plug_outcome apply(struct plug *p, const char *assignment, uint64_t now_ms)
{
    char object[2048];
    struct tw_dp dp = dp_of(object, assignment);
    return plug_apply(p, &dp, now_ms);
}

/* The text is that of a static buffer. */
static inline const char *state_of(struct plug *p, uint64_t now_ms)
{
    static char text[4096];
    struct tw_text t = {.data = text, .cap = sizeof text - 1};
    plug_advance(p, now_ms);
    plug_write(p, &t);
    assert_false(t.overflow);
    text[t.len] = '\0';
    return text;
}

static inline const char *due_of(struct plug *p)
{
    static char text[4096];
    struct tw_text t = {.data = text, .cap = sizeof text - 1};
    plug_take_due(p, &t, 0);
    assert_false(t.overflow);
    text[t.len] = '\0';
    return text;
}

static inline const char *value_of(struct plug *p, uint32_t id)
{
    static char text[1024];
    struct tw_text t = {.data = text, .cap = sizeof text - 1};
    plug_write_value(p, &t, id);
    text[t.len] = '\0';
    return text;
}

static inline long number_of(struct plug *p, uint32_t id)
{
    return strtol(value_of(p, id), NULL, 10);
}

static inline void constant_load(struct plug *p, uint32_t mw, uint16_t pf_permille, uint64_t now_ms)
{
    const struct load_spec l = {.appliance = APPLIANCE_CONSTANT, .mw = mw, .pf_permille = pf_permille};
    struct why why = {""};
    if (plug_load(p, 0, &l, now_ms, &why) != 0)
        fail_msg("%s", why.text);
}

static inline void scene(struct plug *p, const char *name, uint64_t now_ms)
{
    struct why why = {""};
    if (plug_scene(p, name, 0, now_ms, &why) != 0)
        fail_msg("%s", why.text);
}

#endif
