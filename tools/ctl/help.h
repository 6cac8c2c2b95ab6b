/* help.h - what --help and --version print. */
#ifndef CTL_HELP_H
#define CTL_HELP_H

void help_print(void);
void help_version(void);

#endif
