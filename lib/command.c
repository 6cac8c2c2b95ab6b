/* command.c - names of the commands in tuyawire/command.h. */
#include "tuyawire/command.h"
#include <stddef.h>

/* see tuyawire/command.h */
const char *tw_command_name(uint32_t command)
{
    switch (command) {
#define X(name, value)                                                                                               \
    case value: return #name;
        TW_COMMAND_LIST(X)
#undef X
    default: return NULL;
    }
}

/* see tuyawire/command.h */
bool tw_command_is_handshake(uint32_t command)
{
    return command >= TW_CMD_SESS_KEY_NEG_START && command <= TW_CMD_SESS_KEY_NEG_FINISH;
}
