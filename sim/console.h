/* console.h - tuya-sim at a terminal: keys press buttons.
 *
 *   1 to 9  press that button of the plug       n, p  the next, the previous device
 *   s       its state as a table                f     its faults
 *   c       clients                             ?     help           q  quit
 *
 * Only in the foreground of a terminal that is both standard input and output. What happens on the wire is told in one
 * line each. */
#ifndef SIM_CONSOLE_H
#define SIM_CONSOLE_H

#include "server.h"

struct console;

struct console_config {
    struct server *server;
    struct fleet *fleet;
    bool colour;
    void (*quit)(void *ctx); /**< q, Ctrl-C or Ctrl-D was pressed */
    void *ctx;
};

/** @return 0; 1: nobody sits there, nothing was done; -1 and why */
int console_start(struct console **out, const struct console_config *cfg, struct why *why);

/** Give the terminal back as it was. Gone once the loop has run on. NULL is fine. */
void console_stop(struct console *c);

#endif
