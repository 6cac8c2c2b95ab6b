/* commands.h - the commands that talk to one device. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include <stdbool.h>
#include "session.h"
#include "settings.h"

struct command {
    const char *name;
    int min_arguments, max_arguments; /* max -1: any number */
    const char *arguments;            /* for the message when there are too many or too few */
    enum exit_code (*run)(struct session *s, const struct settings *set, int n, char **arguments);
};

/** NULL: no such command. */
const struct command *command_find(const char *name);

/** Check arguments that can be judged without the device. @return EXIT_CODE_OK, or EXIT_CODE_USAGE, said already */
enum exit_code command_check(const struct command *c, const struct settings *set, const struct target *target, int n,
                             char **arguments);

/** watch.c */
enum exit_code command_watch(struct session *s, const struct settings *set, int n, char **arguments);

/** energy.c */
enum exit_code command_energy(struct session *s, const struct settings *set, int n, char **arguments);

#endif
