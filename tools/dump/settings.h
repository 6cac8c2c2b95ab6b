/* settings.h - what the user asked tuya-dump for. */
#ifndef DUMP_SETTINGS_H
#define DUMP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/options.h"
#include "tuyawire/crypto.h"

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV, FORMAT_FIELDS };

enum { SETTINGS_FILES_MAX = 256, SETTINGS_PORTS_MAX = 64, SETTINGS_FIELDS_MAX = 64 };

struct settings {
    const char *files[SETTINGS_FILES_MAX];
    size_t n_files;
    const char *interface;
    bool hex;
    char *const *arguments; /* behind the options: a filter, or hex */
    size_t n_arguments;

    uint8_t (*keys)[TW_KEY_LEN]; /* of --key and TUYA_LOCAL_KEY; owned */
    size_t n_keys;
    const char *key_file, *devices_file, *key_log_file;
    bool has_session_key;
    uint8_t session_key[TW_KEY_LEN];
    bool has_version;
    enum tw_version version;
    uint16_t ports[SETTINGS_PORTS_MAX];
    size_t n_ports;

    enum format format;
    const char *fields[SETTINGS_FIELDS_MAX];
    size_t n_fields;
    const char *filter; /* -Y */
    const char *write_file, *write_key_log_file, *plot_file, *redact_file;
    char redact_list[4096]; /* the device list beside it */
    bool stats, strict, show_keys, quiet;
    unsigned verbose;
    enum opt_colour colour;
    size_t memory; /* bytes; 0: default */
};

/* @return -1: go on; else the exit code with which the program is over (--help, --version, wrong usage) */
int settings_parse(struct settings *out, int argc, char **argv);
void settings_free(struct settings *s); /* wipes keys */

#endif
