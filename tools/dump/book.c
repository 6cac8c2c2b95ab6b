/* book.c - see book.h. */
#include "book.h"
#include <stdlib.h>
#include <string.h>

enum { N_PLACES = 1024 };

struct book {
    struct book_entry places[N_PLACES];
};

struct book *book_new(void)
{
    return calloc(1, sizeof(struct book));
}

void book_free(struct book *b)
{
    free(b);
}

static size_t place_of(const struct ip_address *a, uint16_t port)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < sizeof a->bytes; i++)
        h = (h ^ a->bytes[i]) * 16777619u;
    return ((h ^ port) * 16777619u >> 8) % N_PLACES;
}

const struct book_entry *book_find(const struct book *b, const struct ip_address *a, uint16_t port)
{
    const struct book_entry *e = &b->places[place_of(a, port)];
    bool same = e->address.version == a->version && e->port == port &&
                memcmp(e->address.bytes, a->bytes, sizeof a->bytes) == 0;
    return same ? e : NULL;
}

void book_put(struct book *b, const struct book_entry *e)
{
    b->places[place_of(&e->address, e->port)] = *e;
}
