/* journal.h - every frame received and sent, decoded: as lines in a file, and the last ones in memory.
 *
 * A line is the record of common/record.h. Writing is buffered and never blocks the simulation for long; a disk that
 * refuses is reported once, and the simulation goes on without the file. */
#ifndef SIM_JOURNAL_H
#define SIM_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/record.h"
#include "common/say.h"

struct device;
struct journal;

struct journal_entry {
    uint64_t number;             /**< 1, 2, .. since the start or the last clear */
    const struct device *device; /**< NULL: not known */
    uint64_t flow;
    uint64_t time_ns;
    enum record_dir dir;
    int64_t command;        /**< -1: no frame */
    int error;              /**< TW_OK, or why it could not be read */
    struct tw_span payload; /**< plaintext */
    struct tw_span line;    /**< JSON, newline in */
};

/** @param path  NULL: no file; "-": stdout
 * @param keep  bytes of memory for the last entries; 0: none are kept */
int journal_open(struct journal **out, const char *path, size_t keep, struct why *why);
void journal_close(struct journal *j); /* flushes; NULL is fine */

/** Does anybody want records? False: spare yourself the work. */
bool journal_wanted(const struct journal *j);

/** Write one. @return the entry if it is kept, valid until the next call; NULL otherwise */
const struct journal_entry *journal_add(struct journal *j, const struct device *d, const struct record *r);

/** Hand buffered lines to the file. @return 0; -1 and why, once per trouble: the file is given up then */
int journal_flush(struct journal *j, struct why *why);

/** Visit kept entries with number > since, oldest first, until visit() returns false. */
void journal_visit(const struct journal *j, uint64_t since, bool (*visit)(void *ctx, const struct journal_entry *e),
                   void *ctx);
uint64_t journal_last(const struct journal *j); /**< number of the latest entry; 0: none */
void journal_clear(struct journal *j);          /**< what is kept; the file stays */

#endif
