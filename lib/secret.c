/* secret.c - memory that has held keys or plaintext does not go back as it is; see internal.h. */
#include <stdlib.h>
#include <string.h>
#include "internal.h"

/* see internal.h */
void tw__secret_free(void *p, size_t size)
{
    if (p != NULL)
        tw__wipe(p, size);
    free(p);
}

/* see internal.h */
void *tw__secret_grow(void *p, size_t size, size_t new_size)
{
    void *grown = malloc(new_size);
    if (grown == NULL)
        return NULL;
    if (size > 0)
        memcpy(grown, p, size);
    tw__secret_free(p, size);
    return grown;
}
