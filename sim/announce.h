/* announce.h - UDP: announcements of every device, and answers to those who ask for silent ones. */
#ifndef SIM_ANNOUNCE_H
#define SIM_ANNOUNCE_H

#include "server.h"

struct announcer;

/** @return 0; -1 and why: an address that is none, no socket */
int announcer_open(struct announcer **out, struct server *s, struct why *why);
void announcer_close(struct announcer *a);
void announcer_free(struct announcer *a); /* once the server is closed; NULL is fine */

/** Simulated time of the next announcements, and to make them: for a virtual clock. */
uint64_t announcer_due_ms(const struct announcer *a);
void announcer_tick(struct announcer *a);
void announcer_reset(struct announcer *a); /* that time has begun anew */

#endif
