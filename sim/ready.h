/* ready.h - one line of JSON once everything listens. */
#ifndef SIM_READY_H
#define SIM_READY_H

#include "server.h"

/** @param control  "127.0.0.1:6680", or NULL: no control API
 * @return the line with its newline, *len bytes; free() it. NULL: out of memory */
char *ready_line(const struct server *s, const char *control, size_t *len);

#endif
