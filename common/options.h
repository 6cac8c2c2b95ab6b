/* common/options.h - how the programs read what users type.
 *
 *   -P 3.3 | auto                  protocol version
 *   --key '0123456789abcdef'       local key: exactly 16 characters, or hex: and 32 hex digits
 *   --key-file FILE | -            the same from a file, one key a line
 *   TUYA_LOCAL_KEY                 the same from the environment
 *   1=true 9=60 21=white           data points: VALUE is JSON, a bare word is taken as a string
 *   192.0.2.1:6668  [::1]:6668     addresses
 *   --color=auto|always|never      and NO_COLOR
 *
 * Each reader returns 0, or -1 and why; the output is untouched then. Values that are secrets are never quoted in
 * an error. See say.h for what to do with the why. */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "common/say.h"
#include "tuyawire/crypto.h"
#include "tuyawire/dps.h"
#include "tuyawire/version.h"

/** "3.1" .. "3.5", or "auto": *is_auto is set and *out left alone. */
int opt_protocol_or_auto(bool *is_auto, enum tw_version *out, const char *text, struct why *why);

/** A local or session key: 16 bytes of text, or "hex:" and 32 hex digits. 16 characters that begin with "hex:" are
 * a key as they stand. */
int opt_key(uint8_t key[TW_KEY_LEN], const char *text, struct why *why);

/** opt_key() for --key: also wipes the argument, so that ps(1) stops showing it. A window of some milliseconds
 * stays; that is what --key-file is for. */
int opt_key_argument(uint8_t key[TW_KEY_LEN], char *argument, struct why *why);

/** A file that cannot be read ends a program with EXIT_CODE_INPUT; a wrong key in it, with EXIT_CODE_USAGE. */
enum { OPT_UNREADABLE = -2 };

/** Keys of a file, one a line, "-" is stdin; empty lines are passed over. There are no comments: a key may begin
 * with '#'.
 * @param keys  *n_keys keys in one allocation; release with opt_keys_free(). At least one on success
 * @return 0; OPT_UNREADABLE: no such file, ..; -1: what stands in it is no key */
int opt_key_file(uint8_t (**keys)[TW_KEY_LEN], size_t *n_keys, const char *path, struct why *why);
void opt_keys_free(uint8_t (*keys)[TW_KEY_LEN], size_t n_keys); /* wipes; NULL is fine */

/** One key from a file; several are an error. @return as opt_key_file() */
int opt_key_file_one(uint8_t key[TW_KEY_LEN], const char *path, struct why *why);

/** The argument of --key-file, in a program that has --key as well: reads the one key, and says what is wrong.
 * @param has_key  in: was --key given, too? out: true
 * @param path     NULL: the option was not given, and nothing is done
 * @return EXIT_CODE_OK; EXIT_CODE_INPUT; EXIT_CODE_USAGE */
enum exit_code opt_key_file_only(uint8_t key[TW_KEY_LEN], bool *has_key, const char *path);

/** The key in TUYA_LOCAL_KEY. @return 1: there is one; 0: the variable is not set or empty; -1: it is no key */
int opt_key_environment(uint8_t key[TW_KEY_LEN], struct why *why);

/** One DP=VALUE. Spans point into the text. */
struct opt_dp {
    struct tw_span name;  /**< what stands before the '=' */
    struct tw_span value; /**< what stands behind it */
    bool is_json;         /**< the value is JSON; otherwise it is a bare word, meant as a string */
};

/** @return -1 if there is no '=', no name, or the value begins like JSON ({ [ ") and is none. Whether the name is a
 *          number, or one of a mapping, the caller knows */
int opt_dp(struct opt_dp *out, const char *text, struct why *why);

/** Append the value as JSON. */
void opt_dp_put_value(struct tw_text *t, const struct opt_dp *dp);

/** host, host:port, [IPv6]:port, or an IPv6 address alone. */
struct opt_address {
    char host[256]; /**< without brackets */
    uint16_t port;
};

/** @param default_port  taken when the text names none; -1: the text has to name one */
int opt_address(struct opt_address *out, const char *text, int default_port, struct why *why);

/** A whole number from min to max. */
int opt_integer(int64_t *out, const char *text, int64_t min, int64_t max, struct why *why);

/** Seconds with an optional fraction ("0.5") as milliseconds, rounded up; at most max_s seconds. */
int opt_seconds(uint64_t *out_ms, const char *text, uint32_t max_s, struct why *why);

/** How messages name the option whose val getopt_long() has returned: "--port", "-P, --protocol". */
struct opt_name {
    char text[40];
} opt_name(const struct option *table, int val);

enum opt_colour { OPT_COLOUR_AUTO, OPT_COLOUR_ALWAYS, OPT_COLOUR_NEVER };

/** "auto", "always", "never"; NULL (a bare --color) is "always". */
int opt_colour(enum opt_colour *out, const char *text, struct why *why);

/** Colour on this stream? auto: only on a terminal, and not when NO_COLOR is set to anything but "" or TERM is
 * "dumb". */
bool opt_colour_wanted(enum opt_colour choice, FILE *stream);

#endif
