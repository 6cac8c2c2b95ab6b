/* store.h - a fleet's memory on disk, for tuya-sim --state FILE. The only file of the model that does I/O.
 *
 *   FILE          snapshot (state.h), replaced atomically: FILE.new, fsync, rename, fsync of the folder
 *   FILE.journal  what changed since, one line per device and change, appended:
 *                   "tuyawire-journal 1 <generation>\n"
 *                   "<CRC-32, 8 hex digits> <length> <device as JSON>\n" ..
 *
 * A journal counts only with the snapshot of the same generation, so a crash between the two steps of folding leaves
 * either both old or both new. A last line that was cut by a crash was never acknowledged and is passed over; damage
 * anywhere else is an error that names the line. Saving one device costs one write(), however many there are.
 *
 * kill -9 loses nothing that store_save() returned for; a power cut nothing that store_sync() returned for. */
#ifndef SIM_MODEL_STORE_H
#define SIM_MODEL_STORE_H

#include "state.h"

struct store;

/** Open, read what is there into the fleet (a missing file is a new one), and fold what a crash left unfolded.
 * @return 0; -1 and why: damaged (the files are left as they are), in use by another process, not readable, not
 *         writable */
int store_open(struct store **out, struct fleet *f, const char *path, uint64_t now_ms, struct why *why);

/** Remember one device now. @return 0; -1 and why (disk full, ..): the files are as before, try again any time */
int store_save(struct store *s, struct device *d, uint64_t now_ms, struct why *why);

/** fdatasync() the journal. */
int store_sync(struct store *s, struct why *why);

/** Write a new snapshot and begin an empty journal. Worth while when store_wants_fold(). */
int store_fold(struct store *s, uint64_t now_ms, struct why *why);
bool store_wants_fold(const struct store *s); /* the journal has outgrown the snapshot */

/** Fold, close, release. NULL is fine. @return as store_fold(); the store is gone in any case */
int store_close(struct store *s, uint64_t now_ms, struct why *why);

/** Release without a word to the disk, as if the process had been killed. NULL is fine. */
void store_abandon(struct store *s);

#endif
