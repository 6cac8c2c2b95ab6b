/* control_page.h - page.html, embedded at build time. */
#ifndef SIM_CONTROL_PAGE_H
#define SIM_CONTROL_PAGE_H

#include <stddef.h>

extern const unsigned char control_page[];
extern const size_t control_page_len;

#endif
