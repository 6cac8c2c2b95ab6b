/* capture.c - see capture.h. */
#define _GNU_SOURCE /* fopencookie() */
#include "capture.h"
#include <errno.h>
#include <grp.h>
#include <pcap/pcap.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "packet.h"

enum {
    READ_SIZE = 128 << 10,
    SNAP_LEN = 262144,
    LIVE_TIMEOUT_MS = 100, /* how long a live packet may wait for company */
    LIVE_BUFFER = 8 << 20,
};

/* A gzip'ed or plain stream that libpcap reads as a FILE: what was looked at to tell which is not lost. */
struct stream {
    FILE *file;
    bool gzip, in_member;
    z_stream z;
    size_t at, len; /* of raw */
    uint8_t raw[READ_SIZE];
    int error; /* Z_DATA_ERROR, Z_BUF_ERROR: the compressed stream is damaged or cut off */
    uint64_t n_read;
};

struct capture {
    pcap_t *pcap;
    struct stream *stream; /* NULL: live */
    FILE *cookie;
    bool live;
    volatile int stopped;
    uint64_t n_packets, size;
    char name[200];
};

/* ---- gzip ----------------------------------------------------------------------------------------------------------- */

static bool fill(struct stream *s)
{
    if (s->at < s->len)
        return true;
    s->at = 0;
    s->len = fread(s->raw, 1, sizeof s->raw, s->file);
    s->n_read += s->len;
    return s->len > 0;
}

static ssize_t read_plain(struct stream *s, char *out, size_t cap)
{
    if (!fill(s))
        return ferror(s->file) ? -1 : 0;
    size_t n = s->len - s->at < cap ? s->len - s->at : cap;
    memcpy(out, s->raw + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

/* Members may stand one after the other (gzip files that were concatenated). */
static ssize_t read_gzip(struct stream *s, char *out, size_t cap)
{
    s->z.next_out = (Bytef *)out;
    s->z.avail_out = (uInt)cap;
    while (s->z.avail_out == (uInt)cap && s->error == 0) {
        if (!fill(s)) {
            s->error = s->in_member ? Z_BUF_ERROR : 0;
            break;
        }
        s->in_member = true;
        s->z.next_in = s->raw + s->at;
        s->z.avail_in = (uInt)(s->len - s->at);
        int rc = inflate(&s->z, Z_NO_FLUSH);
        s->at = s->len - s->z.avail_in;
        if (rc == Z_STREAM_END) {
            s->in_member = false;
            inflateReset(&s->z);
        } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
            s->error = Z_DATA_ERROR;
        }
    }
    return (ssize_t)(cap - s->z.avail_out);
}

static ssize_t stream_read(void *cookie, char *out, size_t cap)
{
    struct stream *s = cookie;
    return s->gzip ? read_gzip(s, out, cap) : read_plain(s, out, cap);
}

static int stream_close(void *cookie)
{
    struct stream *s = cookie;
    if (s->gzip)
        inflateEnd(&s->z);
    if (s->file != stdin)
        fclose(s->file);
    free(s);
    return 0;
}

static bool begins_gzip(struct stream *s)
{
    return fill(s) && s->len >= 2 && s->raw[0] == 0x1f && s->raw[1] == 0x8b;
}

/* Takes the file over. NULL: out of memory; the file is closed. */
static FILE *stream_open(struct stream **out, FILE *file)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        goto fail;
    s->file = file;
    s->gzip = begins_gzip(s);
    if (s->gzip && inflateInit2(&s->z, 15 + 16) != Z_OK)
        goto fail;
    FILE *f = fopencookie(s, "r", (cookie_io_functions_t){.read = stream_read, .close = stream_close});
    if (f == NULL)
        goto fail;
    setvbuf(f, NULL, _IOFBF, READ_SIZE);
    *out = s;
    return f;
fail:
    free(s);
    if (file != stdin)
        fclose(file);
    return NULL;
}

/* ---- Opening -------------------------------------------------------------------------------------------------------- */

static int set_filter(struct capture *c, const char *filter, struct why *why)
{
    struct bpf_program program;
    if (filter == NULL)
        return 0;
    if (pcap_compile(c->pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        why_set(why, "filter '%s': %s", filter, pcap_geterr(c->pcap));
        return EXIT_CODE_USAGE;
    }
    int rc = pcap_setfilter(c->pcap, &program);
    pcap_freecode(&program);
    return rc == 0 ? 0 : why_set(why, "filter '%s': %s", filter, pcap_geterr(c->pcap));
}

static int check_link_type(struct capture *c, struct why *why)
{
    int type = pcap_datalink(c->pcap);
    if (link_known(type))
        return 0;
    const char *name = pcap_datalink_val_to_name(type);
    return why_set(why,
                   "%s: link type %s (%d) is not read; Ethernet, Linux cooked, raw IP, loopback and unencrypted "
                   "802.11 are",
                   c->name, name != NULL ? name : "without a name", type);
}

static int fail_open(struct capture *c, int rc)
{
    capture_close(c);
    return rc;
}

int capture_open_file(struct capture **out, const char *path, const char *filter, struct why *why)
{
    char error[PCAP_ERRBUF_SIZE] = "";
    struct stat st;
    bool is_stdin = strcmp(path, "-") == 0;
    struct capture *c = calloc(1, sizeof *c);
    if (c == NULL)
        return why_set(why, "out of memory");
    snprintf(c->name, sizeof c->name, "%s", is_stdin ? "stdin" : path);
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (file == NULL) {
        why_set(why, "%s: %s", path, strerror(errno));
        return fail_open(c, -1);
    }
    if (fstat(fileno(file), &st) == 0 && S_ISDIR(st.st_mode)) {
        fclose(file);
        why_set(why, "%s: is a directory; expected a capture file", path);
        return fail_open(c, -1);
    }
    if (!is_stdin && S_ISREG(st.st_mode))
        c->size = (uint64_t)st.st_size;
    c->cookie = stream_open(&c->stream, file);
    if (c->cookie == NULL) {
        why_set(why, "out of memory");
        return fail_open(c, -1);
    }
    c->pcap = pcap_fopen_offline_with_tstamp_precision(c->cookie, PCAP_TSTAMP_PRECISION_NANO, error);
    if (c->pcap == NULL) {
        why_set(why, "%s: not a capture that can be read (pcap or pcapng, plain or gzip'ed): %s", c->name,
                c->stream->error != 0 ? "the gzip stream is damaged" : error);
        return fail_open(c, -1);
    }
    c->cookie = NULL; /* pcap_close() closes it */
    int rc = check_link_type(c, why);
    if (rc == 0)
        rc = set_filter(c, filter, why);
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
    c->live = true;
    snprintf(c->name, sizeof c->name, "%s", interface);
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
    if (rc == 0)
        rc = check_link_type(c, why);
    if (rc == 0)
        rc = set_filter(c, filter, why);
    if (rc != 0)
        return fail_open(c, rc);
    *out = c;
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------------------------------- */

enum capture_result capture_next(struct capture *c, struct capture_packet *p, struct why *why)
{
    struct pcap_pkthdr *header;
    const u_char *data;
    if (c->stopped)
        return CAPTURE_END;
    int rc = pcap_next_ex(c->pcap, &header, &data);
    if (rc == 0)
        return CAPTURE_IDLE;
    if (rc == PCAP_ERROR_BREAK && (c->stream == NULL || c->stream->error == 0))
        return CAPTURE_END;
    if (rc != 1) {
        why_set(why, "%s: packet %llu: %s", c->name, (unsigned long long)c->n_packets + 1,
                c->stream != NULL && c->stream->error != 0 ? "the gzip stream is damaged or cut off"
                                                           : pcap_geterr(c->pcap));
        return CAPTURE_FAULT;
    }
    c->n_packets++;
    bool nano = pcap_get_tstamp_precision(c->pcap) == PCAP_TSTAMP_PRECISION_NANO;
    *p = (struct capture_packet){
        .link_type = pcap_datalink(c->pcap),
        .data = {data, header->caplen},
        .original_len = header->len,
        .time_ns = (uint64_t)header->ts.tv_sec * 1000000000u + (uint64_t)header->ts.tv_usec * (nano ? 1 : 1000),
    };
    return CAPTURE_PACKET;
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
    return c->live && pcap_stats(c->pcap, &st) == 0 ? (uint64_t)st.ps_drop + st.ps_ifdrop : 0;
}

void capture_stop(struct capture *c)
{
    c->stopped = 1;
    pcap_breakloop(c->pcap);
}

void capture_close(struct capture *c)
{
    if (c == NULL)
        return;
    if (c->pcap != NULL)
        pcap_close(c->pcap);
    else if (c->cookie != NULL)
        fclose(c->cookie);
    free(c);
}
