/* tuya-ctl - switch, read and examine Tuya devices; see docs/tuya-ctl.1. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "commands.h"
#include "diagnose.h"
#include "discover.h"
#include "link.h"
#include "settings.h"
#include "show.h"

/* Commands of one line: tuya-ctl [options] [command...] [-- command...]... */
struct chain {
    struct {
        const struct command *command;
        char **arguments;
        int n;
    } * steps;
    size_t n;
};

/* The arguments up to the next "--". */
static int length_of(char **argv, int from, int argc)
{
    int n = 0;
    while (from + n < argc && strcmp(argv[from + n], "--") != 0)
        n++;
    return n;
}

static int add_step(struct chain *c, char **words, int n)
{
    const struct command *command = command_find(words[0]);
    if (command == NULL && (strcmp(words[0], "discover") == 0 || strcmp(words[0], "diagnose") == 0))
        return say_usage(words[0], "expected no other command beside it");
    if (command == NULL)
        return say_usage("command",
                         "\"%s\" is none; expected status, get, set, on, off, toggle, energy, refresh, "
                         "heartbeat, watch, send, subdevices, discover or diagnose",
                         words[0]);
    c->steps[c->n].command = command;
    c->steps[c->n].arguments = words + 1;
    c->steps[c->n].n = n - 1;
    c->n++;
    return 0;
}

static int read_chain(struct chain *c, int argc, char **argv, int first, int end)
{
    c->steps = calloc((size_t)argc + 1, sizeof *c->steps);
    if (c->steps == NULL)
        return EXIT_CODE_USAGE;
    int rc = first < end ? add_step(c, argv + first, end - first) : 0;
    for (int at = end; rc == 0 && at < argc;) {
        at++; /* the "--" */
        int n = length_of(argv, at, argc);
        if (n > 0)
            rc = add_step(c, argv + at, n);
        at += n;
    }
    if (rc == 0 && c->n == 0)
        rc = say_usage("command", "expected one, as in `tuya-ctl --devices devices.json --device kettle status`");
    return rc;
}

static enum exit_code run_chain(const struct chain *c, const struct settings *set, uv_loop_t *loop)
{
    struct target target;
    struct session s;
    struct trouble t;
    enum exit_code code = settings_target(set, &target, true);
    for (size_t i = 0; code == EXIT_CODE_OK && i < c->n; i++)
        code = command_check(c->steps[i].command, set, &target, c->steps[i].n, c->steps[i].arguments);
    if (code == EXIT_CODE_OK && target.host[0] == '\0')
        code = discover_address(set, loop, &target);
    if (code != EXIT_CODE_OK)
        return code;
    int rc = session_init(&s, loop, &target, &set->session, &t);
    explicit_bzero(target.key, sizeof target.key);
    if (rc != 0) {
        trouble_say(&t);
        return t.code;
    }
    for (size_t i = 0; code == EXIT_CODE_OK && i < c->n; i++)
        code = c->steps[i].command->run(&s, set, c->steps[i].n, c->steps[i].arguments);
    session_free(&s);
    return code;
}

static enum exit_code run_diagnose(const struct settings *set, uv_loop_t *loop)
{
    struct target target;
    enum exit_code code = settings_target(set, &target, false);
    if (code == EXIT_CODE_OK && target.host[0] == '\0')
        code = discover_address(set, loop, &target);
    return code == EXIT_CODE_OK ? command_diagnose(set, loop, &target) : code;
}

int main(int argc, char **argv)
{
    struct settings set;
    struct chain chain = {0};
    uv_loop_t loop;
    say_program("tuya-ctl");
    signal(SIGPIPE, SIG_IGN); /* libuv writes to sockets that may be gone; for our output see show_flush() */
    int end = 1 + length_of(argv, 1, argc); /* options stand before the first "--" */
    char *after = argv[end];
    argv[end] = NULL;
    int first = settings_read(&set, end, argv);
    argv[end] = after;
    if (first < 0)
        return EXIT_CODE_USAGE;
    show_setup(set.json, opt_colour_wanted(set.colour, stdout));

    /* These two are not talked to like a device that works. */
    bool is_discover = first < end && strcmp(argv[first], "discover") == 0;
    bool is_diagnose = first < end && strcmp(argv[first], "diagnose") == 0;
    enum exit_code code = EXIT_CODE_OK;
    if ((is_discover || is_diagnose) && (end != argc || end - first != 1))
        code = (enum exit_code)say_usage(argv[first], "expected no arguments and no other command");
    else if (!is_discover && !is_diagnose)
        code = (enum exit_code)read_chain(&chain, argc, argv, first, end);
    if (code == EXIT_CODE_OK)
        code = settings_load_files(&set);
    if (code == EXIT_CODE_OK && uv_loop_init(&loop) == 0) {
        code = is_discover   ? command_discover(&set, &loop)
               : is_diagnose ? run_diagnose(&set, &loop)
                             : run_chain(&chain, &set, &loop);
        uv_loop_close(&loop);
    }
    free(chain.steps);
    settings_free(&set);
    code = say_flush(code);
    if (link_is_looking_up())
        _exit(code);
    return code;
}
