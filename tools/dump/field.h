/* field.h - the parts of a record by name, for -e and -Y.
 *
 *   time flow src dst dir device name version framing seq cmd cmd_name retcode integrity key payload text hex error
 *   detail                         as in the JSON record
 *   verdict  reply_ms  length      what is wrong; time since the request; bytes of the frame
 *   dp.19                          data point 19 as it was sent
 *   dp.cur_power                   the same by code (mapping or known family), scaled to its unit
 *   json.data.cid                  any member of the payload */
#ifndef DUMP_FIELD_H
#define DUMP_FIELD_H

#include "common/say.h"
#include "output.h"

enum field_kind {
    FIELD_NONE, /* not in this record */
    FIELD_NUMBER,
    FIELD_TEXT,
    FIELD_BOOL,
    FIELD_NULL,
    FIELD_JSON, /* an object or array */
};

enum { FIELD_STORE_MAX = 64 };

struct field_value {
    enum field_kind kind;
    struct tw_span text;         /* as it is printed; a string as string_text() gives it, so until the next one */
    char store[FIELD_STORE_MAX]; /* where text points when it had to be made */
};

/* A compiled name. */
struct field {
    int base;
    uint32_t dp_id;   /* dp.NUMBER */
    const char *rest; /* borrowed: the code of a data point, the path of a member */
};

/* @return 0; -1 and why, which lists the names */
int field_compile(struct field *out, const char *name, struct why *why);
void field_get(struct field_value *out, const struct field *f, struct seen *s);
/* Does this field want the body of messages parsed? */
bool field_wants_body(const struct field *f);
bool field_is_command(const struct field *f);
bool field_is_number(const struct field *f); /* always, or not there */
/* May this field ever be equal to that? @return 0; -1 and why, which lists what it can be */
int field_check_value(const struct field *f, const char *value, struct why *why);

#endif
