/* memory.c - see memory.h. */
#include "memory.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include <malloc.h> /* malloc_usable_size(): GNU */
#include <stdlib.h>
#include <string.h>

static size_t n_asked, fail_at;
static bool fails_for_good;
static enum memory_victim victim;
static const void *wanted;
static size_t wanted_len, n_found;

static bool is_refused(enum memory_victim who)
{
    n_asked++;
    if (fail_at == 0)
        return false;
    if (fail_at > 1) {
        fail_at--;
        return false;
    }
    if (!fails_for_good)
        fail_at = 0;
    if (victim == MEMORY_NOBODY)
        victim = who;
    return true;
}

/* The linker calls these in place of malloc() and friends, and has the real ones under these names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

/* p goes back, or moves and leaves behind what it holds. */
static void look_through(const void *p)
{
    const char *at = p, *end = p == NULL ? at : at + malloc_usable_size((void *)p);
    for (; wanted != NULL && (size_t)(end - at) >= wanted_len; at++) {
        if (memcmp(at, wanted, wanted_len) == 0) {
            n_found++;
            return;
        }
    }
}

void *__wrap_malloc(size_t size)
{
    return is_refused(MEMORY_LIBRARY) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_refused(MEMORY_LIBRARY) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    if (is_refused(MEMORY_LIBRARY))
        return NULL;
    look_through(p);
    return __real_realloc(p, size);
}

void __wrap_free(void *p)
{
    look_through(p);
    __real_free(p);
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return is_refused(MEMORY_OPENSSL) ? NULL : __real_malloc(size);
}

static void *openssl_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    if (is_refused(MEMORY_OPENSSL))
        return NULL;
    look_through(p);
    return __real_realloc(p, size);
}

static void openssl_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* see memory.h */
void memory_watch(void)
{
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1) {
        fprintf(stderr, "memory_watch() comes too late: OpenSSL has memory already\n");
        exit(1);
    }
}

/* see memory.h */
size_t memory_asked(void)
{
    size_t n = n_asked;
    n_asked = 0;
    return n;
}

/* see memory.h */
void memory_fail(size_t n, bool for_good)
{
    fail_at = n;
    fails_for_good = for_good;
    victim = MEMORY_NOBODY;
}

/* see memory.h */
enum memory_victim memory_victim(void)
{
    return victim;
}

/* see memory.h */
void memory_look_for(const void *bytes, size_t len)
{
    wanted = bytes;
    wanted_len = len;
    n_found = 0;
}

/* see memory.h */
size_t memory_left_behind(void)
{
    return n_found;
}
