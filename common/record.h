/* common/record.h - one application message as one line of JSON: tuya-dump --json and tuya-sim --journal.
 *
 *   {"time":1700000000.123456,"flow":1,"src":"10.0.0.5:51234","dst":"10.0.0.9:6668","dir":"to_device",
 *    "device":"<id>","version":"3.3","framing":"55aa","seq":1,"cmd":7,"cmd_name":"CONTROL","retcode":null,
 *    "integrity":"ok","key":"local","header":{"crc":0,"seq":2,"source":1},"payload":{..},"text":null,"hex":null,
 *    "error":null,"detail":null}
 *
 * Every member is always there. No printf, no floating point and at most one allocation per buffer growth, since a
 * decoder writes a million of these a second. */
#ifndef COMMON_RECORD_H
#define COMMON_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/frame.h"
#include "tuyawire/message.h"
#include "tuyawire/span.h"

enum record_dir { RECORD_DIR_UNKNOWN, RECORD_TO_DEVICE, RECORD_FROM_DEVICE, RECORD_BROADCAST };
enum record_integrity { RECORD_UNCHECKED, RECORD_INTEGRITY_OK, RECORD_INTEGRITY_BAD };
enum record_key { RECORD_KEY_NONE, RECORD_KEY_LOCAL, RECORD_KEY_SESSION, RECORD_KEY_DISCOVERY };

/** What is known of a message. Begin with record_init(), set what you have; spans and texts are borrowed for the
 * call only. */
struct record {
    uint64_t time_ns; /**< nanoseconds since 1970; printed in microseconds, rounded down */
    uint64_t flow;    /**< number of the connection, from 1 */
    const char *src;  /**< "10.0.0.5:51234"; NULL: null */
    const char *dst;
    enum record_dir dir;
    struct tw_span device; /**< device id; empty: null */
    struct tw_span name;   /**< name from devices.json, UTF-8; empty: the member is left out */
    struct tw_span
        where;       /**< what record_where() wrote of the members from flow to version; empty: it is made anew */
    int version;     /**< enum tw_version; -1: null */
    int framing;     /**< enum tw_envelope; -1: null */
    int64_t seq;     /**< -1: null */
    int64_t cmd;     /**< -1: null, and cmd_name too */
    int64_t retcode; /**< as tw_retcode() reads it; -1: null */
    enum record_integrity integrity;
    enum record_key key;
    bool has_header;
    struct tw_header header;
    struct tw_span payload; /**< plaintext; empty: payload, text and hex are null */
    bool payload_is_json;   /**< the caller has checked already that it is one JSON object (tw_body_parse()) */
    int error;              /**< enum tw_error; TW_OK: null */
    const char *detail;     /**< what to do about it; NULL: null */
};

/** Everything unknown, nothing wrong. */
void record_init(struct record *r);

/** Take framing, seq and cmd from a frame that need not be openable. */
void record_set_frame(struct record *r, const struct tw_frame *f);

/** Take version, dir, seq, cmd, retcode, header and payload from an opened message. */
void record_set_message(struct record *r, const struct tw_message *m);

/** Write the part of the line that says where: from "flow" to "version", which is the same for all messages of one
 * direction of a connection. Keep it, and set `where` to it in the records that follow. Returns as record_write(). */
size_t record_where(char *out, size_t cap, const struct record *r);

/** Bytes that always suffice for this record, newline in. */
size_t record_size_max(const struct record *r);

/** Write the line, with its newline. @return its length; 0 if cap is below record_size_max() */
size_t record_write(char *out, size_t cap, const struct record *r);

/** A buffer that grows. Zero it; free data with free(). */
struct record_buffer {
    char *data;
    size_t len, cap;
};

/** Append the line. @return 0; -1: out of memory, the buffer is as before */
int record_append(struct record_buffer *b, const struct record *r);

#endif
