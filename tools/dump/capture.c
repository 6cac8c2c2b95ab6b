/* capture.c - see capture.h. */
#include "capture.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pcap/pcap.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "packet.h"

enum {
    SNAP_LEN = 262144,
    LIVE_TIMEOUT_MS = 100, /* how long a live packet may wait for company */
    LIVE_BUFFER = 8 << 20,
};

/* A filter is compiled per link type: a pcapng may have several. */
struct filter_program {
    int link_type;
    struct bpf_program program;
};

enum { LINK_TYPES_MAX = 8 };

struct capture {
    pcap_t *pcap;          /* NULL: a file in which nothing was captured */
    struct stream *stream; /* what pcap reads; NULL: live */
    bool is_nano;
    int link_type; /* of the file or interface; packets of a pcapng have their own */
    char *filter;  /* owned; NULL: everything */
    struct filter_program programs[LINK_TYPES_MAX];
    unsigned n_programs;
    capture_fn *fn;
    void *ctx;
    volatile int stopped;
    bool said_unknown_link;
    uint64_t n_packets;
    char name[200];
};

/* ---- Filters ---------------------------------------------------------------------------------------------------------- */

static int compile(struct capture *c, struct filter_program *p, int link_type, struct why *why)
{
    /* In files raw IP has a number of its own, since systems disagree about it; all others are the same. */
    pcap_t *dead = pcap_open_dead(link_type == LINK_RAW ? DLT_RAW : link_type, SNAP_LEN);
    if (dead == NULL)
        return why_set(why, "out of memory");
    p->link_type = link_type;
    int rc = pcap_compile(dead, &p->program, c->filter, 1, PCAP_NETMASK_UNKNOWN);
    if (rc != 0)
        why_set(why, "'%s': %s; pcap-filter(7) shows how filters are written", c->filter, pcap_geterr(dead));
    pcap_close(dead);
    return rc != 0 ? EXIT_CODE_USAGE : 0;
}

/* Does the filter let this packet through? A link type for which the filter makes no sense passes nothing. */
static bool passes(struct capture *c, const struct capture_packet *p)
{
    if (c->filter == NULL)
        return true;
    unsigned i = 0;
    while (i < c->n_programs && c->programs[i].link_type != p->link_type)
        i++;
    if (i == c->n_programs) {
        if (i == LINK_TYPES_MAX || compile(c, &c->programs[i], p->link_type, NULL) != 0)
            return false;
        c->n_programs++;
    }
    const struct pcap_pkthdr header = {.caplen = (bpf_u_int32)p->data.len, .len = p->original_len};
    return pcap_offline_filter(&c->programs[i].program, &header, p->data.data) != 0;
}

/* ---- Opening -------------------------------------------------------------------------------------------------------- */

static void set_name(struct capture *c, const char *name)
{
    size_t n = strnlen(name, sizeof c->name - 1);
    memcpy(c->name, name, n);
    c->name[n] = '\0';
}

static int fail_open(struct capture *c, int rc)
{
    capture_close(c);
    return rc;
}

static int keep_filter(struct capture *c, const char *filter, int link_type, struct why *why)
{
    if (filter == NULL)
        return 0;
    c->filter = strdup(filter);
    if (c->filter == NULL)
        return why_set(why, "out of memory");
    int rc = compile(c, &c->programs[0], link_type, why);
    c->n_programs = rc == 0;
    return rc;
}

static int check_link_type(const struct capture *c, int type, struct why *why)
{
    if (link_known(type))
        return 0;
    const char *name = pcap_datalink_val_to_name(type);
    return why_set(why,
                   "%s: link type %s (%d) is not read; Ethernet, Linux cooked, raw IP, loopback and unencrypted "
                   "802.11 are",
                   c->name, name != NULL ? name : "without a name", type);
}

static int open_path(struct capture *c, const char *path, const struct stream_wait *wait, struct why *why)
{
    struct stat st;
    char error[PCAP_ERRBUF_SIZE] = "";
    FILE *file;
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return why_set(why, "%s: %s", c->name, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return why_set(why, "%s: is a directory; expected a capture file", path);
    }
    c->stream = stream_open(&file, fd, wait);
    if (c->stream == NULL)
        return why_set(why, "out of memory");
    c->pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, error);
    if (c->pcap != NULL)
        return 0;
    fclose(file);
    if (stream_is_empty(c->stream))
        return 0;
    if (stream_position(c->stream) == 0 && stream_error(c->stream) == NULL)
        return why_set(why, "%s: is empty; expected a capture", c->name);
    return why_set(why,
                   "%s: not a capture that can be read: %s; pcap and pcapng are, plain or gzip'ed ('editcap -F "
                   "pcapng' converts others)",
                   c->name, stream_error(c->stream) != NULL ? stream_error(c->stream) : error);
}

int capture_open_file(struct capture **out, const char *path, const char *filter, const struct stream_wait *wait,
                      struct why *why)
{
    struct capture *c = calloc(1, sizeof *c);
    if (c == NULL)
        return why_set(why, "out of memory");
    set_name(c, strcmp(path, "-") == 0 ? "stdin" : path);
    int rc = open_path(c, path, wait, why);
    c->link_type = c->pcap != NULL ? pcap_datalink(c->pcap) : LINK_ETHERNET;
    c->is_nano = true;
    if (rc == 0 && c->pcap != NULL && stream_link_type(c->stream) < 0)
        rc = check_link_type(c, c->link_type, why);
    if (rc == 0)
        rc = keep_filter(c, filter, link_known(c->link_type) ? c->link_type : LINK_ETHERNET, why);
    if (rc != 0)
        return fail_open(c, rc);
    *out = c;
    return 0;
}

/* Root is needed to open an interface, and for nothing after it. */
static int drop_privileges(struct why *why)
{
    if (geteuid() != 0)
        return 0;
    const char *sudo_uid = getenv("SUDO_UID");
    const struct passwd *pw = sudo_uid != NULL && atoi(sudo_uid) > 0 ? getpwuid((uid_t)atoi(sudo_uid)) : NULL;
    if (pw == NULL)
        pw = getpwnam("nobody");
    if (pw == NULL)
        return why_set(why, "no user to give privileges up to: neither SUDO_UID nor nobody exists");
    if (setgroups(0, NULL) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
        return why_set(why, "cannot give up privileges: %s", strerror(errno));
    return 0;
}

int capture_open_live(struct capture **out, const char *interface, const char *filter, struct why *why)
{
    char error[PCAP_ERRBUF_SIZE] = "";
    struct capture *c = calloc(1, sizeof *c);
    if (c == NULL)
        return why_set(why, "out of memory");
    set_name(c, interface);
    c->pcap = pcap_create(interface, error);
    if (c->pcap == NULL) {
        why_set(why, "%s: %s", interface, error);
        return fail_open(c, -1);
    }
    pcap_set_snaplen(c->pcap, SNAP_LEN);
    pcap_set_promisc(c->pcap, 1);
    pcap_set_timeout(c->pcap, LIVE_TIMEOUT_MS);
    pcap_set_buffer_size(c->pcap, LIVE_BUFFER);
    pcap_set_tstamp_precision(c->pcap, PCAP_TSTAMP_PRECISION_NANO);
    int rc = pcap_activate(c->pcap);
    if (rc < 0) {
        const char *more = rc == PCAP_ERROR_PERM_DENIED      ? "; run it as root, it gives the privileges up at once"
                           : rc == PCAP_ERROR_NO_SUCH_DEVICE ? "; 'tcpdump -D' lists those there are"
                                                             : "";
        why_set(why, "%s: %s%s", interface, pcap_statustostr(rc), more);
        return fail_open(c, -1);
    }
    rc = drop_privileges(why);
    c->link_type = pcap_datalink(c->pcap);
    c->is_nano = pcap_get_tstamp_precision(c->pcap) == PCAP_TSTAMP_PRECISION_NANO;
    if (rc == 0)
        rc = check_link_type(c, c->link_type, why);
    if (rc == 0)
        rc = keep_filter(c, filter, c->link_type, why);
    if (rc == 0 && c->n_programs > 0 && pcap_setfilter(c->pcap, &c->programs[0].program) != 0)
        rc = why_set(why, "filter '%s': %s", filter, pcap_geterr(c->pcap));
    if (rc != 0)
        return fail_open(c, rc);
    *out = c;
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------------------------------- */

/* One interface of a pcapng may be of a kind that is not read while the others are. */
static void say_unknown_link(struct capture *c, int link_type)
{
    struct why why;
    if (c->said_unknown_link)
        return;
    c->said_unknown_link = true;
    check_link_type(c, link_type, &why);
    say_warn("packet %llu: %s; such packets are passed over", (unsigned long long)c->n_packets, why.text);
}

static void on_packet(u_char *user, const struct pcap_pkthdr *h, const u_char *data)
{
    struct capture *c = (struct capture *)user;
    int link_type = c->stream != NULL ? stream_link_type(c->stream) : -1;
    const struct capture_packet p = {
        .link_type = link_type >= 0 ? link_type : c->link_type,
        .data = {data, h->caplen},
        .original_len = h->len,
        .time_ns = (uint64_t)h->ts.tv_sec * 1000000000u + (uint64_t)h->ts.tv_usec * (c->is_nano ? 1 : 1000),
    };
    c->n_packets++;
    if (link_type >= 0 && !link_known(link_type))
        say_unknown_link(c, link_type);
    if (c->stream == NULL || passes(c, &p))
        c->fn(c->ctx, &p);
}

enum capture_result capture_run(struct capture *c, capture_fn *fn, void *ctx, struct why *why)
{
    if (c->stopped || c->pcap == NULL)
        return CAPTURE_END;
    c->fn = fn;
    c->ctx = ctx;
    int rc = pcap_dispatch(c->pcap, -1, on_packet, (u_char *)c);
    if (c->stopped || rc == PCAP_ERROR_BREAK)
        return CAPTURE_END;
    if (c->stream == NULL && rc >= 0)
        return CAPTURE_IDLE;
    const char *error = c->stream != NULL ? stream_error(c->stream) : NULL;
    if (rc >= 0 && error == NULL)
        return CAPTURE_END;
    why_set(why, "%s: packet %llu: %s", c->name, (unsigned long long)c->n_packets + 1,
            error != NULL ? error : pcap_geterr(c->pcap));
    return CAPTURE_FAULT;
}

uint64_t capture_position(const struct capture *c)
{
    return c->stream != NULL ? stream_position(c->stream) : 0;
}

uint64_t capture_size(const struct capture *c)
{
    return c->stream != NULL ? stream_size(c->stream) : 0;
}

uint64_t capture_dropped(const struct capture *c)
{
    struct pcap_stat st;
    return c->stream == NULL && pcap_stats(c->pcap, &st) == 0 ? (uint64_t)st.ps_drop + st.ps_ifdrop : 0;
}

void capture_stop(struct capture *c)
{
    c->stopped = 1;
    if (c->pcap != NULL)
        pcap_breakloop(c->pcap);
}

void capture_close(struct capture *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->n_programs; i++)
        pcap_freecode(&c->programs[i].program);
    if (c->pcap != NULL)
        pcap_close(c->pcap);
    stream_close(c->stream);
    free(c->filter);
    free(c);
}
