/* vectors.h - the golden vectors of tests/vectors, as tests want them. Their format: tests/vectors/README.md.
 *
 * What is missing or of the wrong type ends the test program: a vector that cannot be read must not pass for one
 * that was tested. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cjson/cJSON.h>
#include "tuyawire/message.h"

/* Bytes on the heap, exactly as many as there are, so that a sanitizer sees a read of one too many. */
struct bytes {
    uint8_t *data; /* never NULL when present; free() */
    size_t len;
    bool present; /* false: null in the file, or not there */
};

/* The file of this name. cJSON_Delete() it. */
cJSON *vectors_load(const char *file);

/* Members of an object. text and number: what is null is NULL and 0. */
const char *vector_text(const cJSON *object, const char *name);
uint32_t vector_number(const cJSON *object, const char *name);
bool vector_is_null(const cJSON *object, const char *name);
bool vector_true(const cJSON *object, const char *name);
struct bytes vector_hex(const cJSON *object, const char *name);
enum tw_version vector_version(const cJSON *object);
enum tw_direction vector_direction(const cJSON *object);

/* One frame vector ("vectors" of 3.x.json and discovery.json, "after" of session.json). */
struct vector {
    const char *id; /* belongs to the file, like all texts */
    enum tw_version version;
    enum tw_direction direction;
    const char *frame, *integrity, *encoding, *crypt_key;
    struct bytes key, session_key, nonce, header, plaintext, frame_bytes;
    uint32_t seq, command, retcode;
    bool has_retcode, encode;
};
void vector_read(struct vector *v, const cJSON *object);
void vector_free(struct vector *v);

/* The key under which the frame of this vector travels; NULL for "none". */
const uint8_t *vector_key(const struct vector *v);

/* What is known of a connection of this version. */
struct tw_frame_rules vector_rules(enum tw_version version, enum tw_direction direction);

/* Print what is wrong with a vector and go on; vectors_done() then fails the test if anything was. */
void vector_complain(const char *id, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
void vectors_done(void);

#endif
