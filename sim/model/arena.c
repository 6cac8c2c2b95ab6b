/* arena.c - see arena.h. */
#include "arena.h"
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 2048, LARGEST_BLOCK = 1 << 16 }; /* bytes; blocks double in between */

struct arena_block {
    struct arena_block *next;
    size_t cap, used;
    alignas(max_align_t) unsigned char data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2) {
        a->failed = 1;
        return NULL;
    }
    size = (size + align - 1) / align * align;
    struct arena_block *b = a->blocks;
    if (b == NULL || b->cap - b->used < size) {
        a->block = a->block == 0 ? FIRST_BLOCK : a->block < LARGEST_BLOCK ? a->block * 2 : LARGEST_BLOCK;
        size_t cap = a->block < size ? size : a->block;
        b = malloc(sizeof *b + cap);
        if (b == NULL) {
            a->failed = 1;
            return NULL;
        }
        *b = (struct arena_block){a->blocks, cap, 0};
        a->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += size;
    return memset(p, 0, size);
}

/* Texts are packed without regard to alignment from the end of the block. */
const char *arena_span(struct arena *a, struct tw_span s)
{
    if (s.len == 0)
        return "";
    struct arena_block *b = a->blocks;
    if (b != NULL && b->cap - b->used > s.len) {
        b->cap -= s.len + 1;
        char *tail = (char *)b->data + b->cap;
        memcpy(tail, s.data, s.len);
        tail[s.len] = '\0';
        return tail;
    }
    char *p = arena_alloc(a, s.len + 1);
    if (p == NULL)
        return "";
    memcpy(p, s.data, s.len);
    return p;
}

const char *arena_text(struct arena *a, const char *s)
{
    return s == NULL ? "" : arena_span(a, (struct tw_span){(const uint8_t *)s, strlen(s)});
}

void arena_free(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    *a = (struct arena){0};
}

size_t arena_bytes(const struct arena *a)
{
    size_t n = 0;
    for (const struct arena_block *b = a->blocks; b != NULL; b = b->next)
        n += sizeof *b + b->cap;
    return n;
}
