/* cold.h - COLD: a function that is seldom called. The compiler keeps it, and the way to it, out of the path that every
 * message takes. */
#ifndef COMMON_COLD_H
#define COMMON_COLD_H

#if defined(__GNUC__)
#define COLD __attribute__((cold))
#else
#define COLD
#endif

#endif
