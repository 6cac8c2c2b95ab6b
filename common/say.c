/* say.c - messages and exit codes; see common/say.h. */
#include "common/say.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *program = "tuyawire";
static bool status_shown, silent;

/* see common/say.h */
int why_set(struct why *why, const char *format, ...)
{
    if (why == NULL)
        return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return -1;
}

void say_program(const char *name)
{
    program = name;
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

void say_nothing(void)
{
    silent = true;
}

void say_status(const char *text)
{
    if (text != NULL)
        fprintf(stderr, "\r%s\033[K", text);
    else if (status_shown)
        fputs("\r\033[K", stderr);
    fflush(stderr);
    status_shown = text != NULL;
}

static void say(const char *format, va_list args)
{
    if (silent)
        return;
    say_status(NULL);
    fflush(stdout); /* so that both streams of a terminal or a log file tell one story */
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void say_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

int say_not_written(int error, int status)
{
    if (error == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    say_warn("stdout: %s", error != 0 ? strerror(error) : "not everything could be written");
    return status == EXIT_CODE_OK ? EXIT_CODE_INPUT : status;
}

int say_flush(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return say_not_written(errno, status);
}

_Noreturn void say_die(enum exit_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    exit(code);
}

int say_usage(const char *option, const char *format, ...)
{
    struct why why;
    va_list args;
    va_start(args, format);
    vsnprintf(why.text, sizeof why.text, format, args);
    va_end(args);
    say_warn("%s: %s", option, why.text);
    fprintf(stderr, "Try '%s --help'.\n", program);
    return EXIT_CODE_USAGE;
}
