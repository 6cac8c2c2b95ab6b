/* standalone.c - a main() for harnesses without a fuzzing engine: replays files, tries the mutators, measures.
 *
 * It stands in for libFuzzer's driver with any compiler, also under valgrind. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"
#include "show.h"
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { INPUT_MAX = 1 << 20 }; /* bytes per input; our choice, captures are the largest inputs */

struct input {
    char *path;
    uint8_t *data; /* exactly size bytes, so that a sanitizer sees one too many */
    size_t size;
};

struct inputs {
    struct input *at;
    size_t n, cap;
};

static _Noreturn void give_up(const char *what, const char *which)
{
    fprintf(stderr, "fuzz_%s: %s: %s\n", fuzz_harness.name, which, what);
    exit(2);
}

static void *must(void *p)
{
    if (p == NULL)
        give_up("out of memory", "inputs");
    return p;
}

static char *joined(const char *dir, const char *name)
{
    size_t len = strlen(dir) + strlen(name) + 2;
    char *path = must(malloc(len));
    snprintf(path, len, "%s/%s", dir, name);
    return path;
}

static void load_file(struct inputs *in, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        give_up(strerror(errno), path);
    uint8_t *buf = must(malloc(INPUT_MAX));
    size_t size = fread(buf, 1, INPUT_MAX, f);
    if (ferror(f))
        give_up("read error", path);
    fclose(f);
    if (in->n == in->cap) {
        in->cap = in->cap * 2 + 64;
        in->at = must(realloc(in->at, in->cap * sizeof *in->at));
    }
    uint8_t *exact = must(malloc(size + (size == 0)));
    memcpy(exact, buf, size);
    free(buf);
    in->at[in->n++] = (struct input){must(strdup(path)), exact, size};
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static const char *without; /* names that begin so are left out */

static int is_wanted(const struct dirent *d)
{
    return d->d_name[0] != '.' && (without == NULL || strncmp(d->d_name, without, strlen(without)) != 0);
}

/* Files in the order of their names, so that every run is the same. One level: a corpus is a flat folder. */
static void load(struct inputs *in, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        give_up(strerror(errno), path);
    if (!S_ISDIR(st.st_mode)) {
        load_file(in, path);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, is_wanted, by_name);
    if (n < 0)
        give_up(strerror(errno), path);
    for (int i = 0; i < n; i++) {
        char *file = joined(path, names[i]->d_name);
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
            load_file(in, file);
        free(file);
        free(names[i]);
    }
    free(names);
}

static void forget(struct inputs *in)
{
    for (size_t i = 0; i < in->n; i++) {
        free(in->at[i].path);
        free(in->at[i].data);
    }
    free(in->at);
}

static void run_exact(const uint8_t *data, size_t size)
{
    uint8_t *copy = must(malloc(size + (size == 0)));
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void replay(const struct inputs *in, bool verbose, size_t every)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n; i += every, n++) {
        if (verbose) {
            printf("%s\n", in->at[i].path);
            fflush(stdout);
        }
        LLVMFuzzerTestOneInput(in->at[i].data, in->at[i].size);
    }
    printf("fuzz_%s: %zu inputs replayed: %s\n", fuzz_harness.name, n, fuzz_harness.claim);
}

/* @return percent that got past the check, of the version that has the least; a few tries are no rate */
static double print_gates(const char *how)
{
    enum { TRIES_MIN = 100 };
    static const char *const versions[] = {"3.1", "3.2", "3.3", "3.4", "3.5", "all"};
    double least = 100.0;
    uint64_t all = 0;
    printf("fuzz_%s: %s mutation, past the check:", fuzz_harness.name, how);
    for (int v = 0; v <= FUZZ_N_VERSIONS; v++) {
        uint64_t tried = fuzz_gates.tried[v];
        double rate = tried == 0 ? 0.0 : 100.0 * (double)fuzz_gates.passed[v] / (double)tried;
        if (tried > 0)
            printf("%s %s %.1f %% of %llu", all > 0 ? "," : "", versions[v], rate, (unsigned long long)tried);
        if (tried >= TRIES_MIN && rate < least)
            least = rate;
        all += tried;
    }
    printf("%s\n", all == 0 ? " nothing was tried" : "");
    return all < TRIES_MIN ? 0.0 : least;
}

/* Run n mutants of the inputs, made by the harness's own mutator (crossing every fourth) or blindly. The last mutant
 * is kept in the file `keep` while it runs, so that a crash leaves its input behind. */
static double mutate(const struct inputs *in, uint64_t n, uint64_t seed, bool blind, const char *keep)
{
    struct fuzz_rng rng = {seed};
    fuzz_fallback_seed(seed);
    fuzz_gates = (struct fuzz_gates){.version = FUZZ_NO_VERSION};
    uint8_t *buf = must(malloc(INPUT_MAX));
    for (uint64_t i = 0; i < n; i++) {
        const struct input *a = &in->at[fuzz_rng_below(&rng, in->n)], *b = &in->at[fuzz_rng_below(&rng, in->n)];
        size_t max = (a->size > b->size ? a->size : b->size) + 512, size = a->size;
        if (max > INPUT_MAX)
            max = INPUT_MAX;
        memcpy(buf, a->data, size);
        unsigned choice = (unsigned)fuzz_rng_next(&rng);
        if (blind)
            size = LLVMFuzzerMutate(buf, size, max);
        else if (choice % 4 == 0)
            size = LLVMFuzzerCustomCrossOver(a->data, a->size, b->data, b->size, buf, max, choice >> 8);
        else
            size = LLVMFuzzerCustomMutator(buf, size, max, choice >> 8);
        CHECK(size <= max);
        if (keep != NULL) {
            FILE *f = fopen(keep, "wb");
            if (f == NULL || fwrite(buf, 1, size, f) != size || fclose(f) != 0)
                give_up("cannot write", keep);
        }
        run_exact(buf, size);
    }
    free(buf);
    return print_gates(blind ? "blind" : "re-sealing");
}

static void measure(const struct inputs *in, double for_seconds)
{
    uint64_t runs = 0;
    double begin = seconds(), spent;
    do {
        for (size_t i = 0; i < in->n; i++)
            LLVMFuzzerTestOneInput(in->at[i].data, in->at[i].size);
        runs += in->n;
        spent = seconds() - begin;
    } while (spent < for_seconds);
    printf("fuzz_%s: %.0f executions per second of CPU time, %llu in %.2f s over %zu inputs\n", fuzz_harness.name,
           (double)runs / spent, (unsigned long long)runs, spent, in->n);
}

static int usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: fuzz_%s [options] FILE|DIRECTORY...\n"
        "Claim: %s.\n"
        "  -v, --verbose     name each file before it runs\n"
        "  --mutate N        instead of replaying: N mutants made by the re-sealing mutator\n"
        "  --blind N         N mutants made without it, to compare\n"
        "  --min-rate P      with --mutate: fail if less than P percent got past the check, in any version\n"
        "  --seed S          for both (default 1)\n"
        "  --keep FILE       for both: the mutant that runs is in FILE, also after a crash\n"
        "  --speed SECONDS   replay again and again, print executions per second\n"
        "  --show            print inputs as records, frames and plaintext\n"
        "  --pcap FILE       with --show: the frames as a capture, key 0123456789abcdef\n"
        "  --every N         replay every Nth input only\n"
        "  --without PREFIX  leave out files of a directory whose names begin so\n"
        "  -h, --help\n"
        "exit status: 0 the claim held, 1 the rate is too low, 2 usage or unreadable input; a broken claim aborts\n",
        fuzz_harness.name, fuzz_harness.claim);
    return status;
}

int main(int argc, char **argv)
{
    enum { MUTATE = 256, BLIND, SEED, KEEP, SPEED, MIN_RATE, EVERY, WITHOUT, SHOW, PCAP };
    static const struct option options[] = {{"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"mutate", required_argument, NULL, MUTATE},
                                            {"blind", required_argument, NULL, BLIND},
                                            {"seed", required_argument, NULL, SEED},
                                            {"keep", required_argument, NULL, KEEP},
                                            {"speed", required_argument, NULL, SPEED},
                                            {"min-rate", required_argument, NULL, MIN_RATE},
                                            {"every", required_argument, NULL, EVERY},
                                            {"without", required_argument, NULL, WITHOUT},
                                            {"show", no_argument, NULL, SHOW},
                                            {"pcap", required_argument, NULL, PCAP},
                                            {NULL, 0, NULL, 0}};
    uint64_t n_mutate = 0, n_blind = 0, seed = 1;
    double speed = 0, min_rate = 0, rate = 100;
    size_t every = 1;
    const char *keep = NULL;
    const char *pcap_path = NULL;
    bool verbose = false, show = false;
    for (int opt; (opt = getopt_long(argc, argv, "vh", options, NULL)) != -1;) {
        switch (opt) {
        case 'v': verbose = true; break;
        case 'h': return usage(stdout, 0);
        case MUTATE: n_mutate = strtoull(optarg, NULL, 10); break;
        case BLIND: n_blind = strtoull(optarg, NULL, 10); break;
        case SEED: seed = strtoull(optarg, NULL, 10); break;
        case KEEP: keep = optarg; break;
        case MIN_RATE: min_rate = strtod(optarg, NULL); break;
        case EVERY: every = strtoul(optarg, NULL, 10); break;
        case SHOW: show = true; break;
        case PCAP: pcap_path = optarg; break;
        case WITHOUT: without = optarg; break;
        case SPEED: speed = strtod(optarg, NULL); break;
        default: return usage(stderr, 2); /* getopt_long() has named the culprit */
        }
    }
    if (optind == argc || every == 0)
        return usage(stderr, 2);

    struct inputs in = {0};
    for (int i = optind; i < argc; i++)
        load(&in, argv[i]);
    if (in.n == 0)
        give_up("no inputs", argv[optind]);
    if (show) {
        FILE *pcap = pcap_path == NULL ? NULL : fopen(pcap_path, "wb");
        if (pcap_path != NULL && pcap == NULL)
            give_up(strerror(errno), pcap_path);
        for (size_t i = 0; i < in.n; i++)
            show_input(stdout, i == 0 ? pcap : NULL, in.at[i].data, in.at[i].size);
        if (pcap != NULL && fclose(pcap) != 0)
            give_up("cannot write", pcap_path);
        forget(&in);
        return 0;
    }
    if (n_mutate > 0)
        rate = mutate(&in, n_mutate, seed, false, keep);
    if (n_blind > 0)
        mutate(&in, n_blind, seed, true, keep);
    if (speed > 0)
        measure(&in, speed);
    if (n_mutate == 0 && n_blind == 0 && speed <= 0)
        replay(&in, verbose, every);
    forget(&in);
    return rate >= min_rate ? 0 : 1;
}
