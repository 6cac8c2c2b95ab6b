/* out.h - a file descriptor behind a large buffer: records are written in place, without printf. */
#ifndef DUMP_OUT_H
#define DUMP_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/span.h"

struct out {
    int fd;
    char *data;
    size_t len, cap;
    int error;        /* errno of the first write that failed, 0 */
    bool is_terminal; /* whose last line may be taken by say_status() */
};

/* @return 0; -1: out of memory */
int out_init(struct out *o, int fd);
void out_free(struct out *o); /* without flushing */

/* Room for n more bytes, to be filled and then counted with out_commit(). Never NULL: out of memory ends the program. */
char *out_reserve(struct out *o, size_t n);
void out_commit(struct out *o, size_t n);

/* @return 0; -1: a write failed, now or before */
int out_flush(struct out *o);

void out_bytes(struct out *o, const void *data, size_t n);
void out_text(struct out *o, const char *s);
void out_span(struct out *o, struct tw_span s);
void out_hex(struct out *o, struct tw_span s);
/* Text from outside, for a terminal: control characters and bytes that are no UTF-8 become \xNN. */
void out_clean(struct out *o, struct tw_span s);

#endif
