/* discover.h - the command `discover`, and finding the address of one device. */
#ifndef CTL_DISCOVER_H
#define CTL_DISCOVER_H

#include "settings.h"

enum exit_code command_discover(const struct settings *set, uv_loop_t *loop);

/** Listen until the device of this id is heard. @return an exit code, said already */
enum exit_code discover_address(const struct settings *set, uv_loop_t *loop, struct target *target);

/** Has this device another address by now? Listens for so long at most, or until *stop.
 * @return true: host is new, and version, unless the user has said it */
bool discover_moved(const struct settings *set, uv_loop_t *loop, struct target *target, uint64_t ms,
                    const bool *stop);

/** The finder's options, from the settings. */
struct finder_options;
void discover_options(const struct settings *set, struct finder_options *out);

#endif
