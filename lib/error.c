/* error.c - the texts of tuyawire/error.h. */
#include "tuyawire/error.h"

/* see tuyawire/error.h */
const char *tw_strerror(int code)
{
    switch (code) {
    case TW_OK: return "no error";
#define X(name, value, short_name, text)                                                                             \
    case name: return text;
        TW_ERROR_LIST(X)
#undef X
    default: return "unknown error";
    }
}

/* see tuyawire/error.h */
const char *tw_error_name(int code)
{
    switch (code) {
    case TW_OK: return "ok";
#define X(name, value, short_name, text)                                                                             \
    case name: return short_name;
        TW_ERROR_LIST(X)
#undef X
    default: return "unknown";
    }
}
