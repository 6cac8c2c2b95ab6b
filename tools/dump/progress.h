/* progress.h - how far a long file is read, on stderr when it is a terminal and the work lasts more than a second. */
#ifndef DUMP_PROGRESS_H
#define DUMP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool wanted;
    uint64_t started_ns, last_ns;
};

void progress_start(struct progress *p, bool wanted);
/* Cheap: call it every few thousand packets. @param size  0: unknown */
void progress_show(struct progress *p, uint64_t position, uint64_t size, uint64_t n_packets, uint64_t n_messages);
void progress_end(struct progress *p); /* removes the line */

#endif
