/* tuyawire/observer.h - placeholder until the observer lands. */
#ifndef TUYAWIRE_OBSERVER_H
#define TUYAWIRE_OBSERVER_H
#endif
