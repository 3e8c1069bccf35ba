#include "traces/chrome.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "engine/base/map.h"

#define MAX_OTHER 64
#define MAX_COUNTERS 64
#define DEFAULT_MAX_BYTES 200000000

typedef struct counter_state {
    uint32_t pid;
    char name[64];
    int64_t last_thousandths;
} counter_state;

struct hm_trace {
    char *path, *part_path, *final_path;
    FILE *part;
    int64_t base_ns, max_bytes, bytes, events, dropped, moved, negative, last_ns;
    bool limit_marked;
    int error; /* errno of the first failed write */
    struct {
        char *key, *value;
    } other[MAX_OTHER];
    int other_count;
    counter_state counters[MAX_COUNTERS];
    int counter_count;
};

/* ---- where text goes: the events' file, or the final one, plain or compressed ---- */

typedef struct sink {
    FILE *file;
    gzFile gz;
    int64_t bytes;
    int error;
} sink;

static void sink_write(sink *s, const void *data, size_t size)
{
    if (s->error || !size)
        return;
    if (s->gz ? gzwrite(s->gz, data, (unsigned)size) != (int)size : fwrite(data, 1, size, s->file) != size)
        s->error = errno ? errno : EIO;
    s->bytes += (int64_t)size;
}

static void sink_text(sink *s, const char *text)
{
    sink_write(s, text, strlen(text));
}

static void sink_format(sink *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void sink_format(sink *s, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    sink_write(s, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* Bytes of the UTF-8 character at p, 0 when it is none. */
static int utf8_length(const unsigned char *p)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    int n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    uint32_t c = n > 1 ? p[0] & (0xffu >> (n + 1)) : p[0];
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return n && c >= smallest[n] && c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000) ? n : 0;
}

/* A JSON string; bytes that are no UTF-8 become U+FFFD. */
static void sink_string(sink *s, const char *text)
{
    sink_text(s, "\"");
    for (const unsigned char *p = (const unsigned char *)(text ? text : ""); *p;) {
        int n = utf8_length(p);
        if (*p == '"' || *p == '\\')
            sink_format(s, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            sink_format(s, "\\u%04x", *p);
        else if (n)
            sink_write(s, p, (size_t)n);
        else
            sink_text(s, "\\ufffd");
        p += n ? n : 1;
    }
    sink_text(s, "\"");
}

/* ns as microseconds with three decimals. */
static void sink_us(sink *s, const char *key, int64_t ns)
{
    sink_format(s, ",\"%s\":%" PRId64 ".%03d", key, ns / 1000, (int)(ns % 1000));
}

/* ---- events ---- */

/* Starts an event; `limited` ones are refused once max_bytes is reached. False: leave it out. */
static bool event_begin(hm_trace *t, sink *s, char phase, bool limited, int64_t at_ns)
{
    if (limited && t->bytes >= t->max_bytes) {
        t->dropped++;
        if (!t->limit_marked) {
            t->limit_marked = true;
            hm_trace_instant(t, (hm_trace_track){(uint32_t)getpid(), (uint32_t)getpid()}, "trace", "trace limit reached", at_ns);
        }
        return false;
    }
    *s = (sink){.file = t->part, .error = t->error};
    sink_format(s, "%s{\"ph\":\"%c\"", t->events ? ",\n" : "", phase);
    return true;
}

static void event_end(hm_trace *t, sink *s)
{
    sink_text(s, "}");
    t->bytes += s->bytes;
    t->events++;
    t->error = s->error;
}

static void put_head(sink *s, const char *category, const char *name)
{
    if (category) {
        sink_text(s, ",\"cat\":");
        sink_string(s, category);
    }
    sink_text(s, ",\"name\":");
    sink_string(s, name);
}

static void put_track(sink *s, hm_trace_track track)
{
    sink_format(s, ",\"pid\":%" PRIu32 ",\"tid\":%" PRIu32, track.pid, track.tid);
}

/* Time from the trace's start. */
static int64_t rebase(hm_trace *t, int64_t ns)
{
    int64_t at = ns - t->base_ns;
    if (at < 0) {
        t->moved++;
        at = 0;
    }
    t->last_ns = t->last_ns > at ? t->last_ns : at;
    return at;
}

static void put_args(sink *s, const hm_trace_arg *args)
{
    if (!args || !args->key)
        return;
    const char *comma = "";
    sink_text(s, ",\"args\":{");
    for (const hm_trace_arg *a = args; a->key; a++) {
        if (!a->text && a->is_real && !isfinite(a->real))
            continue;
        sink_text(s, comma);
        comma = ",";
        sink_string(s, a->key);
        sink_text(s, ":");
        if (a->text)
            sink_string(s, a->text);
        else if (a->is_real)
            sink_format(s, "%.3f", a->real);
        else
            sink_format(s, "%" PRId64, a->number);
    }
    sink_text(s, "}");
}

static void name_track(hm_trace *t, const char *what, hm_trace_track track, const char *name)
{
    sink s;
    event_begin(t, &s, 'M', false, 0);
    put_head(&s, NULL, what);
    put_track(&s, track);
    put_args(&s, (hm_trace_arg[]){{.key = "name", .text = name ? name : ""}, {0}});
    event_end(t, &s);
}

void hm_trace_name_process(hm_trace *t, uint32_t pid, const char *name)
{
    name_track(t, "process_name", (hm_trace_track){pid, pid}, name);
}

void hm_trace_name_thread(hm_trace *t, hm_trace_track track, const char *name)
{
    name_track(t, "thread_name", track, name);
}

void hm_trace_span_add(hm_trace *t, const hm_trace_span *span)
{
    sink s;
    if (!event_begin(t, &s, 'X', true, span->start_ns))
        return;
    int64_t start_ns = rebase(t, span->start_ns), end_ns = span->end_ns - t->base_ns;
    if (end_ns < start_ns) {
        t->negative += end_ns < span->start_ns - t->base_ns;
        end_ns = start_ns;
    }
    t->last_ns = t->last_ns > end_ns ? t->last_ns : end_ns;
    put_head(&s, span->category, span->name);
    put_track(&s, span->track);
    sink_us(&s, "ts", start_ns);
    sink_us(&s, "dur", end_ns - start_ns);
    put_args(&s, span->args);
    event_end(t, &s);
}

void hm_trace_instant(hm_trace *t, hm_trace_track track, const char *category, const char *name, int64_t at_ns)
{
    sink s;
    event_begin(t, &s, 'i', false, at_ns);
    put_head(&s, category, name);
    put_track(&s, track);
    sink_us(&s, "ts", rebase(t, at_ns));
    sink_text(&s, ",\"s\":\"t\"");
    event_end(t, &s);
}

static void put_counter(hm_trace *t, const counter_state *c, int64_t at, bool limited)
{
    sink s;
    if (!event_begin(t, &s, 'C', limited, t->base_ns + at))
        return;
    char name[sizeof c->name]; /* viewers show "name key": the unit becomes the key */
    memcpy(name, c->name, sizeof name);
    char *space = strrchr(name, ' ');
    if (space)
        *space = 0;
    put_head(&s, NULL, name);
    put_track(&s, (hm_trace_track){c->pid, c->pid});
    sink_us(&s, "ts", at);
    int64_t v = c->last_thousandths, size = v < 0 ? -v : v;
    sink_text(&s, ",\"args\":{");
    sink_string(&s, space ? space + 1 : "value");
    sink_format(&s, ":%s%" PRId64 ".%03d}", v < 0 ? "-" : "", size / 1000, (int)(size % 1000));
    event_end(t, &s);
}

void hm_trace_counter(hm_trace *t, uint32_t pid, const char *name, int64_t at_ns, double value)
{
    counter_state *c = NULL;
    if (!(fabs(value) < 9e15)) /* not finite, or beyond what thousandths can hold */
        return;
    int64_t thousandths = llround(value * 1000);
    for (int i = 0; i < t->counter_count && !c; i++)
        if (t->counters[i].pid == pid && !strncmp(t->counters[i].name, name, sizeof c->name - 1))
            c = &t->counters[i];
    if (c && c->last_thousandths == thousandths)
        return;
    if (!c && t->counter_count == MAX_COUNTERS) {
        t->dropped++;
        return;
    }
    if (!c) {
        c = &t->counters[t->counter_count++];
        c->pid = pid;
        snprintf(c->name, sizeof c->name, "%s", name);
    }
    c->last_thousandths = thousandths;
    put_counter(t, c, rebase(t, at_ns), true);
}

static void put_flow_end(hm_trace *t, bool start, const char *category, const char *name, uint64_t id, hm_trace_track track, int64_t at_ns)
{
    sink s;
    event_begin(t, &s, start ? 's' : 'f', false, at_ns);
    put_head(&s, category, name);
    put_track(&s, track);
    sink_format(&s, ",\"id\":%" PRIu64, id);
    sink_us(&s, "ts", rebase(t, at_ns));
    sink_text(&s, start ? "" : ",\"bp\":\"e\"");
    event_end(t, &s);
}

void hm_trace_flow(hm_trace *t, const char *category, const char *name, uint64_t id, hm_trace_track from, int64_t from_ns,
                   hm_trace_track to, int64_t to_ns)
{
    if (t->bytes >= t->max_bytes) { /* both ends or none */
        t->dropped++;
        return;
    }
    put_flow_end(t, true, category, name, id, from, from_ns);
    put_flow_end(t, false, category, name, id, to, to_ns);
}

static void put_async_end(hm_trace *t, char phase, uint32_t pid, const char *category, const char *name, uint64_t id, int64_t at_ns)
{
    sink s;
    event_begin(t, &s, phase, false, at_ns);
    put_head(&s, category, name);
    put_track(&s, (hm_trace_track){pid, pid});
    sink_format(&s, ",\"id2\":{\"local\":\"0x%" PRIx64 "\"}", id);
    sink_us(&s, "ts", rebase(t, at_ns));
    event_end(t, &s);
}

void hm_trace_async(hm_trace *t, uint32_t pid, const char *category, const char *name, uint64_t id, int64_t start_ns, int64_t end_ns)
{
    if (t->bytes >= t->max_bytes) {
        t->dropped++;
        return;
    }
    put_async_end(t, 'b', pid, category, name, id, start_ns);
    put_async_end(t, 'e', pid, category, name, id, end_ns > start_ns ? end_ns : start_ns);
}

int hm_trace_lane(int64_t busy_until[HM_TRACE_LANES], int64_t *start_ns, int64_t *end_ns)
{
    int lane = 0;
    while (lane < HM_TRACE_LANES - 1 && busy_until[lane] > *start_ns)
        lane++;
    if (busy_until[lane] > *start_ns)
        *start_ns = busy_until[lane];
    if (*end_ns < *start_ns)
        *end_ns = *start_ns;
    busy_until[lane] = *end_ns;
    return lane;
}

int64_t hm_trace_events(const hm_trace *t)
{
    return t->events;
}

int64_t hm_trace_dropped(const hm_trace *t)
{
    return t->dropped;
}

/* ---- the file ---- */

void hm_trace_other(hm_trace *t, const char *key, const char *value)
{
    int i = 0;
    while (i < t->other_count && strcmp(t->other[i].key, key))
        i++;
    if (i == MAX_OTHER)
        return;
    char *copy = strdup(value ? value : "");
    if (i == t->other_count) {
        t->other[i].key = strdup(key);
        if (!t->other[i].key || !copy) {
            free(t->other[i].key);
            free(copy);
            t->error = ENOMEM;
            return;
        }
        t->other_count++;
    }
    free(t->other[i].value);
    t->other[i].value = copy;
}

static void other_number(hm_trace *t, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    hm_trace_other(t, key, text);
}

static void trace_free(hm_trace *t)
{
    if (t->part)
        fclose(t->part);
    for (int i = 0; i < t->other_count; i++) {
        free(t->other[i].key);
        free(t->other[i].value);
    }
    free(t->path);
    free(t->part_path);
    free(t->final_path);
    free(t);
}

static char *with_suffix(const char *path, const char *suffix)
{
    char *out = malloc(strlen(path) + strlen(suffix) + 1);
    if (out)
        sprintf(out, "%s%s", path, suffix);
    return out;
}

hm_status hm_trace_open(hm_trace **out, const char *path, const hm_trace_options *options, hm_error *err)
{
    hm_status known = hm_file_replaceable(path, err);
    if (known)
        return known;
    hm_trace *t = hm_calloc(1, sizeof *t, "trace writer", err);
    if (!t)
        return HM_EABSENT;
    t->base_ns = options->base_ns;
    t->max_bytes = options->max_bytes > 0 ? options->max_bytes : DEFAULT_MAX_BYTES;
    t->path = strdup(path);
    t->part_path = with_suffix(path, ".part");
    t->final_path = with_suffix(path, ".tmp");
    if (!t->path || !t->part_path || !t->final_path) {
        trace_free(t);
        return hm_fail(err, HM_EABSENT, "trace writer: no memory for the names of %s", path);
    }
    t->part = fopen(t->part_path, "w+b");
    if (!t->part) {
        hm_status st = hm_fail(err, HM_ECREATE, "%s: cannot create the trace: %s", t->part_path, strerror(errno));
        trace_free(t);
        return st;
    }
    if (fputs("[\n", t->part) < 0)
        t->error = errno ? errno : EIO;
    hm_trace_other(t, "clock", options->clock ? options->clock : "CLOCK_MONOTONIC");
    other_number(t, "clockBaseNanoseconds", options->base_ns);
    if (options->epoch_ns)
        other_number(t, "baseTimeNanoseconds", options->epoch_ns);
    *out = t;
    return HM_OK;
}

/* Counters stand until the end of the trace; what was left out is told. */
static void finish_events(hm_trace *t)
{
    for (int i = 0; i < t->counter_count; i++)
        put_counter(t, &t->counters[i], t->last_ns, false);
    other_number(t, "events", t->events);
    other_number(t, "droppedEvents", t->dropped);
    if (t->moved)
        other_number(t, "eventsBeforeStart", t->moved);
    if (t->negative)
        other_number(t, "negativeDurations", t->negative);
}

static void copy_part(hm_trace *t, sink *s)
{
    char buffer[1 << 16];
    size_t n;
    if (fflush(t->part) || fseek(t->part, 2, SEEK_SET)) /* after "[\n" */
        s->error = s->error ? s->error : errno;
    while (!s->error && (n = fread(buffer, 1, sizeof buffer, t->part)) > 0)
        sink_write(s, buffer, n);
    if (ferror(t->part) && !s->error)
        s->error = errno ? errno : EIO;
}

/* Writes the object form into final_path. Returns 0 or an errno. */
static int write_final(hm_trace *t)
{
    size_t length = strlen(t->path);
    bool compress = length > 3 && !strcmp(t->path + length - 3, ".gz");
    sink s = {0};
    errno = 0;
    if (compress)
        s.gz = gzopen(t->final_path, "wb6");
    else
        s.file = fopen(t->final_path, "wb");
    if (!s.gz && !s.file)
        return errno ? errno : ENOMEM;
    sink_text(&s, "{\"displayTimeUnit\":\"ms\",\"otherData\":{");
    for (int i = 0; i < t->other_count; i++) {
        sink_text(&s, i ? "," : "");
        sink_string(&s, t->other[i].key);
        sink_text(&s, ":");
        sink_string(&s, t->other[i].value);
    }
    sink_text(&s, "},\"traceEvents\":[\n");
    copy_part(t, &s);
    sink_text(&s, "\n]}\n");
    errno = 0;
    if ((compress ? gzclose(s.gz) != Z_OK : fclose(s.file) != 0) && !s.error)
        s.error = errno ? errno : EIO;
    return s.error;
}

hm_status hm_trace_close(hm_trace **trace, hm_error *err)
{
    hm_trace *t = *trace;
    hm_status st = HM_OK;
    if (!t)
        return HM_OK;
    finish_events(t);
    int error = t->error ? t->error : write_final(t);
    if (!error && rename(t->final_path, t->path))
        error = errno;
    if (error) {
        st = hm_fail(err, HM_EIO, "%s: the trace could not be written: %s", t->path, strerror(error));
        unlink(t->final_path);
    }
    unlink(t->part_path);
    trace_free(t);
    *trace = NULL;
    return st;
}

void hm_trace_abandon(hm_trace **trace)
{
    if (!*trace)
        return;
    unlink((*trace)->part_path);
    trace_free(*trace);
    *trace = NULL;
}
