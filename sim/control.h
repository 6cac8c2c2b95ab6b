/* control.h - the HTTP control API of tuya-sim: what a test says to the plug that is not there.
 *
 *   GET /healthz                    GET /devices                      GET /devices/{id}
 *   GET|PATCH /devices/{id}/dps     GET|PUT /devices/{id}/load        GET|POST|DELETE /devices/{id}/faults
 *   POST /devices/{id}/press        POST /devices/{id}/reboot
 *   GET|DELETE /journal             POST /verify                      GET /clock   POST /clock/advance
 *   POST /reset                     GET /faults                       GET /events  GET /metrics   GET /
 *
 * docs/openapi.json describes it; a test holds the one against the other. Errors are
 * {"error":{"code":..,"message":..}} with 4xx or 5xx. Local keys never leave through it. */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include "server.h"

struct control;

struct control_config {
    struct server *server; /**< started, with journal_memory; outlives the control API */
    struct fleet *fleet;   /**< outlives it too */
    const char *host;      /**< address to listen on */
    uint16_t port;         /**< 0: ephemeral */
    const char *token;     /**< NULL: none, only loopback then. Borrowed */
    bool has_values; /**< the fleet began with values of its own (snapshot, state), not fresh from its profiles */
};

/** Listen, and remember what the fleet has of its own for /reset. @return 0; -1 and why */
int control_start(struct control **out, const struct control_config *cfg, struct why *why);
uint16_t control_port(const struct control *c);

/** Every connection ends; c is gone once the loop has run on. NULL is fine. */
void control_stop(struct control *c);

#endif
