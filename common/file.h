/* common/file.h - whole files in, whole files out. */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "common/say.h"

/** Limit for devices.json, profiles and the like. Our choice: 10,000 devices with their mappings are 60 MB. */
#define FILE_LIMIT_DEFAULT ((size_t)256 << 20)

struct file_bytes {
    char *data; /**< len bytes and a NUL; owned, see file_free() */
    size_t len;
};

/** Read a file, a pipe, or stdin ("-") to its end.
 * @param limit  more bytes than this are an error
 * @return 0, or -1 and why, which names the path */
int file_read(struct file_bytes *out, const char *path, size_t limit, struct why *why);

/** Wipes (the content may be keys) and releases. */
void file_free(struct file_bytes *f);

/** Replace path by these bytes: at any moment, also after a crash, the old or the new content is there. Writes a
 * temporary file beside it, fsync()s, renames, fsync()s the folder. What is no regular file (a pipe, a device,
 * /dev/stdout) is written to as it is, and stays what it is.
 * @param mode  permissions of the new file, 0600 for what holds keys
 * @return 0, or -1 and why; the old content is still there then */
int file_write_atomic(const char *path, const void *data, size_t len, unsigned mode, struct why *why);

#endif
