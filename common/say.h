/* common/say.h - what a program tells its user on stderr, and how it ends.
 *
 * A message names what is wrong and what to do next: "tuya-ctl: --key: expected 16 characters, got 15". Functions
 * that can fail fill a struct why and return -1; only main() decides whether that ends the program. */
#ifndef COMMON_SAY_H
#define COMMON_SAY_H

#if defined(__GNUC__)
#define SAY_FORMAT(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SAY_FORMAT(fmt, args)
#endif

/** Exit codes of all programs. */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_REFUSED = 1,   /**< the device (or a check) said no */
    EXIT_CODE_USAGE = 2,     /**< an option or argument is wrong */
    EXIT_CODE_CONNECT = 3,   /**< cannot connect */
    EXIT_CODE_WRONG_KEY = 4, /**< the local key does not fit */
    EXIT_CODE_PROTOCOL = 5,  /**< wrong version or protocol violation */
    EXIT_CODE_TIMEOUT = 6,   /**< no answer in time */
    EXIT_CODE_INPUT = 7,     /**< input unreadable or truncated; what came before is printed */
    EXIT_CODE_STRICT = 8,    /**< tuya-dump --strict: some messages stayed undecoded */
};

/** Why something failed, as one sentence without full stop or newline. Never holds a key. */
struct why {
    char text[320];
};

/** Fill why (may be NULL), cutting what is too long. @return -1, so that `return why_set(...)` reads well */
int why_set(struct why *why, const char *format, ...) SAY_FORMAT(2, 3);

/** The name that stands before each message; the text must live as long as the program. To be called first: where
 * stdin, stdout or stderr are closed it puts something in their place that can be neither read nor written, or the
 * next socket would take their number, and what is printed would go to a device. */
void say_program(const char *name);

/** From now on messages are not printed: for tests and harnesses, which cause thousands of them. */
void say_nothing(void);

/** "<program>: <message>" and a newline on stderr. */
void say_warn(const char *format, ...) SAY_FORMAT(1, 2);

/** How far it is: a line of stderr, which has to be a terminal, that stays until the next text takes its place. Messages
 * remove it first; so must whoever writes to the same terminal.
 * @param text  shorter than a line; NULL: remove it */
void say_status(const char *text);

/** Write out what was printed. Where it cannot be written (a full disk), that is said, and makes the end an
 * EXIT_CODE_INPUT; when the reader has gone (| head), the program ends here, as SIGPIPE ends programs.
 * @param status  what main() wants to return
 * @return what it should return */
int say_flush(int status);

/** The same of a program that writes to stdout itself, once that has failed. @param error  errno; 0: not known */
int say_not_written(int error, int status);

/** say_warn(), then exit(code). */
_Noreturn void say_die(enum exit_code code, const char *format, ...) SAY_FORMAT(2, 3);

/** Wrong usage: names the option, says what was expected and where help is.
 * @param option  as the user typed it, "--key"; or "DP=VALUE" for an argument
 * @return EXIT_CODE_USAGE, for main() to return */
int say_usage(const char *option, const char *format, ...) SAY_FORMAT(2, 3);

#endif
