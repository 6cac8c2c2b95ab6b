/* watch.c - what AddressSanitizer looks after for us; see fuzz.h. Sanitized in every build, unlike its neighbours: without
 * AddressSanitizer all of this does nothing. */
#include "fuzz.h"
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define FUZZ_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_ASAN 1
#endif
#endif
#ifdef FUZZ_ASAN
#include <sanitizer/asan_interface.h>

/* As <sanitizer/allocator_interface.h> of clang has them; gcc does not bring that header. */
size_t __sanitizer_get_allocated_size(const volatile void *block);
void __sanitizer_malloc_hook(const volatile void *block, size_t size);
void __sanitizer_free_hook(const volatile void *block);
#endif

/* see fuzz.h */
void fuzz_hide(const uint8_t *data, size_t len)
{
#ifdef FUZZ_ASAN
    ASAN_POISON_MEMORY_REGION(data, len);
#else
    (void)data;
    (void)len;
#endif
}

/* see fuzz.h */
void fuzz_show(const uint8_t *data, size_t len)
{
#ifdef FUZZ_ASAN
    ASAN_UNPOISON_MEMORY_REGION(data, len);
#else
    (void)data;
    (void)len;
#endif
}

static uint8_t filling, secret[16];
static bool has_secret;

/* see fuzz.h */
void fuzz_fill(uint8_t byte)
{
    filling = byte;
}

/* see fuzz.h */
void fuzz_keep_secret(const uint8_t *key)
{
    has_secret = key != NULL;
    if (has_secret)
        memcpy(secret, key, sizeof secret);
}

#ifdef FUZZ_ASAN
enum { FILLED_MAX = 100000 }; /* bytes; larger blocks come as zeros from the system, and calloc() relies on that */

/* AddressSanitizer calls these with each block, this one before calloc() clears it. */
void __sanitizer_malloc_hook(const volatile void *block, size_t size)
{
    if (filling != 0 && size <= FILLED_MAX)
        memset((void *)(uintptr_t)block, filling, size);
}

void __sanitizer_free_hook(const volatile void *block)
{
    if (!has_secret || block == NULL)
        return;
    const uint8_t *p = (const uint8_t *)(uintptr_t)block, *end = p + __sanitizer_get_allocated_size(p);
    for (; end - p >= (ptrdiff_t)sizeof secret && (p = memchr(p, secret[0], (size_t)(end - p))) != NULL; p++)
        CHECK((size_t)(end - p) < sizeof secret || memcmp(p, secret, sizeof secret) != 0);
}
#endif
