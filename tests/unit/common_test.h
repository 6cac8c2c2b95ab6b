/* common_test.h - what the tests of common/ share. */
#ifndef COMMON_TEST_H
#define COMMON_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/say.h"
#include "tuyawire/span.h"

static inline struct tw_span span(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

static inline void assert_says(const struct why *why, const char *part)
{
    if (strstr(why->text, part) == NULL)
        fail_msg("it says '%s', expected '%s' in it", why->text, part);
}

/* A new file with this content; its name stays valid until the next call. */
static inline const char *file_with(const char *text)
{
    static char path[64];
    strcpy(path, "/tmp/tuyawire-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

#endif
