/* discover.h - the command `discover`, and finding the address of one device. */
#ifndef CTL_DISCOVER_H
#define CTL_DISCOVER_H

#include "settings.h"

enum exit_code command_discover(const struct settings *set, uv_loop_t *loop);

/** Listen until the device of this id is heard. @return an exit code, said already */
enum exit_code discover_address(const struct settings *set, uv_loop_t *loop, struct target *target);

/** The finder's options, from the settings. */
struct finder_options;
void discover_options(const struct settings *set, struct finder_options *out);

#endif
