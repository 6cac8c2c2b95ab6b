/* tape.c - see tape.h. */
#include "tape.h"
#include <string.h>
#include "fuzz.h"

/* see tape.h */
bool tape_next(struct tape_record *out, struct tape *t)
{
    size_t left = t->len - t->at;
    if (left == 0)
        return false;
    const uint8_t *p = t->data + t->at;
    size_t head = left < 3 ? left : 3;
    size_t len = left < 3 ? 0 : (size_t)p[1] << 8 | p[2];
    if (len > left - head)
        len = left - head;
    *out = (struct tape_record){(enum tape_operation)((p[0] & 15u) % TAPE_N_OPERATIONS), p[0] >> 4, p + head, len};
    if (fuzz_witness != NULL)
        fuzz_witness->step(out, t->at == 0);
    t->at += head + len;
    return true;
}

/* see tape.h */
size_t tape_put(uint8_t *out, size_t cap, enum tape_operation operation, unsigned connection, const uint8_t *data,
                size_t len)
{
    if (len > 0xffff || cap < 3 || len > cap - 3)
        return 0;
    out[0] = (uint8_t)(connection << 4 | operation);
    out[1] = (uint8_t)(len >> 8);
    out[2] = (uint8_t)len;
    if (len > 0)
        memmove(out + 3, data, len);
    return len + 3;
}

/* see tape.h */
const char *tape_operation_name(enum tape_operation operation)
{
    static const char *const names[] = {"TO",    "FROM", "MESSAGE",   "TIME",   "CONNECT",
                                        "CLOSE", "DPS",  "HANDSHAKE", "PIECES", "ACT"};
    return names[operation % TAPE_N_OPERATIONS];
}
