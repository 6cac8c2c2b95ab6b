/* diagnose.h - why does a device not answer? */
#ifndef CTL_DIAGNOSE_H
#define CTL_DIAGNOSE_H

#include "session.h"
#include "settings.h"

/** One verdict, its evidence and the next step, on stdout. @return the exit code of the verdict */
enum exit_code command_diagnose(const struct settings *set, uv_loop_t *loop, const struct target *target);

#endif
