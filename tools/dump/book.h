/* book.h - which device was last seen at which address, as a hint for the next connection.
 *
 * A fixed number of places; addresses that fall on the same place push each other out, which costs a few trial
 * decryptions and nothing else. */
#ifndef DUMP_BOOK_H
#define DUMP_BOOK_H

#include "packet.h"
#include "tuyawire/version.h"

enum { BOOK_ID_MAX = 40 };

struct book_entry {
    struct ip_address address;
    uint16_t port; /* 0: what an announcement said, for any port */
    bool has_version;
    enum tw_version version;
    size_t key_index; /* or TW_NO_INDEX */
    uint8_t id[BOOK_ID_MAX];
    uint8_t id_len; /* 0: unknown */
};

struct book;
struct book *book_new(void); /* NULL: out of memory */
void book_free(struct book *b);

/* The entry of this address and port; NULL: nothing is known. */
const struct book_entry *book_find(const struct book *b, const struct ip_address *a, uint16_t port);
/* Write an entry, over whatever stood in its place. */
void book_put(struct book *b, const struct book_entry *e);

#endif
