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
#include <zlib.h>
#include "capfile.h"
#include "packet.h"

enum {
    READ_SIZE = 64 << 10,
    SNAP_LEN = 262144,
    LIVE_TIMEOUT_MS = 100, /* how long a live packet may wait for company */
    LIVE_BUFFER = 8 << 20,
};

/* A file or pipe, gzip'ed or plain, in a buffer that holds at least the packet that is looked at. */
struct stream {
    int fd;
    bool is_gzip, in_member, at_end;
    z_stream z;
    size_t raw_at, raw_len;
    uint8_t raw[READ_SIZE]; /* as it is in the file, when it is gzip'ed */
    uint8_t *data;          /* what capfile reads; owned */
    size_t at, len, cap;
    uint64_t n_read;
    const char *error; /* what is wrong with the stream itself */
};

/* A filter is compiled per link type: a pcapng may have several. */
struct filter_program {
    int link_type;
    struct bpf_program program;
};

enum { LINK_TYPES_MAX = 8 };

struct capture {
    pcap_t *pcap;          /* live */
    struct stream *stream; /* file */
    struct capfile file;
    char *filter; /* owned; NULL: everything */
    struct filter_program programs[LINK_TYPES_MAX];
    unsigned n_programs;
    volatile int stopped;
    bool said_unknown_link;
    uint64_t n_packets, size;
    char name[200];
};

/* ---- Streams ---------------------------------------------------------------------------------------------------------- */

static size_t read_fd(struct stream *s, uint8_t *out, size_t cap)
{
    for (;;) {
        ssize_t n = read(s->fd, out, cap);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            s->error = strerror(errno);
        s->n_read += n > 0 ? (uint64_t)n : 0;
        return n > 0 ? (size_t)n : 0;
    }
}

/* Members may stand one after the other (gzip files that were concatenated). */
static size_t read_gzip(struct stream *s, uint8_t *out, size_t cap)
{
    s->z.next_out = out;
    s->z.avail_out = (uInt)cap;
    while (s->z.avail_out == (uInt)cap && s->error == NULL) {
        if (s->raw_at == s->raw_len) {
            s->raw_at = 0;
            s->raw_len = read_fd(s, s->raw, sizeof s->raw);
        }
        if (s->raw_len == 0) {
            if (s->in_member && s->error == NULL)
                s->error = "the gzip stream is cut off";
            break;
        }
        s->in_member = true;
        s->z.next_in = s->raw + s->raw_at;
        s->z.avail_in = (uInt)(s->raw_len - s->raw_at);
        int rc = inflate(&s->z, Z_NO_FLUSH);
        s->raw_at = s->raw_len - s->z.avail_in;
        if (rc == Z_STREAM_END) {
            s->in_member = false;
            inflateReset(&s->z);
        } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
            s->error = "the gzip stream is damaged";
        }
    }
    return cap - s->z.avail_out;
}

/* Have at least `wanted` bytes from s->at on, if the stream has so many. False: out of memory. */
static bool fill(struct stream *s, size_t wanted)
{
    if (s->at > 0) {
        memmove(s->data, s->data + s->at, s->len - s->at);
        s->len -= s->at;
        s->at = 0;
    }
    if (wanted > s->cap) {
        uint8_t *grown = realloc(s->data, wanted + READ_SIZE);
        if (grown == NULL)
            return false;
        s->data = grown;
        s->cap = wanted + READ_SIZE;
    }
    while (s->len < wanted && !s->at_end) {
        size_t n = s->is_gzip ? read_gzip(s, s->data + s->len, s->cap - s->len)
                              : read_fd(s, s->data + s->len, s->cap - s->len);
        s->len += n;
        s->at_end = n == 0;
    }
    return true;
}

static void stream_close(struct stream *s)
{
    if (s == NULL)
        return;
    if (s->is_gzip)
        inflateEnd(&s->z);
    if (s->fd != STDIN_FILENO)
        close(s->fd);
    free(s->data);
    free(s);
}

/* Takes the descriptor over. NULL: out of memory; it is closed. */
static struct stream *stream_open(int fd)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        close(fd);
        return NULL;
    }
    s->fd = fd;
    if (!fill(s, 2)) {
        stream_close(s);
        return NULL;
    }
    if (s->len < 2 || s->data[0] != 0x1f || s->data[1] != 0x8b)
        return s;
    /* What was read plainly so far is the beginning of the compressed bytes. */
    s->raw_len = s->len < sizeof s->raw ? s->len : sizeof s->raw;
    memcpy(s->raw, s->data, s->raw_len);
    s->len = 0;
    s->at_end = false;
    s->is_gzip = inflateInit2(&s->z, 15 + 16) == Z_OK;
    if (s->is_gzip)
        return s;
    stream_close(s);
    return NULL;
}

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
        why_set(why, "filter '%s': %s", c->filter, pcap_geterr(dead));
    pcap_close(dead);
    return rc != 0 ? EXIT_CODE_USAGE : 0;
}

/* Does the filter let this packet through? A link type for which the filter makes no sense passes nothing. */
static bool passes(struct capture *c, const struct capfile_packet *p)
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

/* The beginning of a file, up to the first description of an interface. */
static int read_beginning(struct capture *c, struct why *why)
{
    struct capfile_packet packet;
    size_t used, n_seen = 0;
    struct stream *s = c->stream;
    while (c->file.n_interfaces == 0) {
        switch (capfile_next(&c->file, &packet, &used, s->data + s->at, s->len - s->at)) {
        case CAPFILE_NEED_MORE:
            n_seen = s->len - s->at;
            if (!fill(s, c->file.wanted))
                return why_set(why, "out of memory");
            if (s->len == n_seen && s->error == NULL && n_seen == 0 && c->file.begun)
                return 0; /* a section without interfaces: nothing was captured */
            if (s->len < c->file.wanted)
                return why_set(why, "%s: not a capture that can be read: %s", c->name,
                               s->error != NULL ? s->error
                               : n_seen == 0    ? "it is empty"
                                                : "it ends inside its header");
            break;
        case CAPFILE_BAD:
            return why_set(why, "%s: not a capture that can be read (pcap or pcapng, plain or gzip'ed): %s", c->name,
                           c->file.why);
        default: s->at += used; break;
        }
    }
    return 0;
}

static int open_path(struct capture *c, const char *path, struct why *why)
{
    struct stat st;
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return why_set(why, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return why_set(why, "%s: is a directory; expected a capture file", path);
    }
    if (S_ISREG(st.st_mode))
        c->size = (uint64_t)st.st_size;
    c->stream = stream_open(fd);
    return c->stream != NULL ? 0 : why_set(why, "out of memory");
}

int capture_open_file(struct capture **out, const char *path, const char *filter, struct why *why)
{
    struct capture *c = calloc(1, sizeof *c);
    if (c == NULL)
        return why_set(why, "out of memory");
    set_name(c, strcmp(path, "-") == 0 ? "stdin" : path);
    int rc = open_path(c, path, why);
    if (rc == 0)
        rc = read_beginning(c, why);
    int link_type = c->file.n_interfaces > 0 ? c->file.interfaces[0].link_type : LINK_ETHERNET;
    if (rc == 0 && !c->file.is_pcapng)
        rc = check_link_type(c, link_type, why);
    if (rc == 0)
        rc = keep_filter(c, filter, link_known(link_type) ? link_type : LINK_ETHERNET, why);
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
        const char *more = rc == PCAP_ERROR_PERM_DENIED ? "; run it as root, it gives the privileges up at once" : "";
        why_set(why, "%s: %s%s", interface, pcap_statustostr(rc), more);
        return fail_open(c, -1);
    }
    rc = drop_privileges(why);
    int link_type = pcap_datalink(c->pcap);
    if (rc == 0)
        rc = check_link_type(c, link_type, why);
    if (rc == 0)
        rc = keep_filter(c, filter, link_type, why);
    if (rc == 0 && c->n_programs > 0 && pcap_setfilter(c->pcap, &c->programs[0].program) != 0)
        rc = why_set(why, "filter '%s': %s", filter, pcap_geterr(c->pcap));
    if (rc != 0)
        return fail_open(c, rc);
    *out = c;
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------------------------------- */

static enum capture_result next_live(struct capture *c, struct capfile_packet *p, struct why *why)
{
    struct pcap_pkthdr *header;
    const u_char *data;
    int rc = pcap_next_ex(c->pcap, &header, &data);
    if (rc == 0)
        return CAPTURE_IDLE;
    if (rc == PCAP_ERROR_BREAK)
        return CAPTURE_END;
    if (rc != 1) {
        why_set(why, "%s: packet %llu: %s", c->name, (unsigned long long)c->n_packets + 1, pcap_geterr(c->pcap));
        return CAPTURE_FAULT;
    }
    c->n_packets++;
    bool nano = pcap_get_tstamp_precision(c->pcap) == PCAP_TSTAMP_PRECISION_NANO;
    *p = (struct capfile_packet){
        .link_type = pcap_datalink(c->pcap),
        .data = {data, header->caplen},
        .original_len = header->len,
        .time_ns = (uint64_t)header->ts.tv_sec * 1000000000u + (uint64_t)header->ts.tv_usec * (nano ? 1 : 1000),
    };
    return CAPTURE_PACKET;
}

static enum capture_result fault(struct capture *c, const char *what, struct why *why)
{
    why_set(why, "%s: packet %llu: %s", c->name, (unsigned long long)c->n_packets + 1, what);
    return CAPTURE_FAULT;
}

/* The buffer ends inside a packet: read on, or find that the file does. */
static enum capture_result read_on(struct capture *c, struct why *why)
{
    struct stream *s = c->stream;
    if (!fill(s, c->file.wanted))
        return fault(c, "out of memory", why);
    if (s->len >= c->file.wanted)
        return CAPTURE_IDLE;
    if (s->error != NULL)
        return fault(c, s->error, why);
    return s->len == 0 ? CAPTURE_END : fault(c, "the file is cut off inside it", why);
}

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

static enum capture_result next_of_file(struct capture *c, struct capfile_packet *p, struct why *why)
{
    struct stream *s = c->stream;
    size_t used;
    for (;;) {
        enum capture_result r;
        switch (capfile_next(&c->file, p, &used, s->data + s->at, s->len - s->at)) {
        case CAPFILE_NEED_MORE:
            r = read_on(c, why);
            if (r != CAPTURE_IDLE)
                return r;
            continue;
        case CAPFILE_BAD: return fault(c, c->file.why, why);
        case CAPFILE_SKIPPED: s->at += used; continue;
        case CAPFILE_PACKET: break;
        }
        s->at += used;
        c->n_packets++;
        if (!link_known(p->link_type))
            say_unknown_link(c, p->link_type);
        if (c->filter == NULL || passes(c, p))
            return CAPTURE_PACKET;
    }
}

enum capture_result capture_next(struct capture *c, struct capfile_packet *p, struct why *why)
{
    if (c->stopped)
        return CAPTURE_END;
    return c->pcap != NULL ? next_live(c, p, why) : next_of_file(c, p, why);
}

uint64_t capture_position(const struct capture *c)
{
    return c->stream != NULL ? c->stream->n_read : 0;
}

uint64_t capture_size(const struct capture *c)
{
    return c->size;
}

uint64_t capture_dropped(const struct capture *c)
{
    struct pcap_stat st;
    return c->pcap != NULL && pcap_stats(c->pcap, &st) == 0 ? (uint64_t)st.ps_drop + st.ps_ifdrop : 0;
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
