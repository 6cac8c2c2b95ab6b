/* memory.h - a heap that counts and that can be told to be full, for the library and for OpenSSL alike.
 *
 * Programs that use it are linked with --wrap for malloc, calloc, realloc and free, and call memory_watch() before anything
 * else. What is shared (cmocka, libc) keeps the ordinary heap. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* From now on OpenSSL asks this heap too. Has to come before its first allocation. */
void memory_watch(void);

/* How often memory was asked for since the last call of this. */
size_t memory_asked(void);

/* The n-th request from now on finds no memory (1: the next one), and with for_good all after it. 0: no more
 * failing. */
void memory_fail(size_t n, bool for_good);

/* Who was the first to find no memory since memory_fail() was called? */
enum memory_victim { MEMORY_NOBODY, MEMORY_LIBRARY, MEMORY_OPENSSL };
enum memory_victim memory_victim(void);

/* Look for these bytes in all memory that goes back from now on; NULL: no longer. They must stay readable. */
void memory_look_for(const void *bytes, size_t len);

/* How many blocks went back with those bytes in them since memory_look_for(). */
size_t memory_left_behind(void);

#endif
