#include "engine/cuda/activity_impl.h"

#include <stdlib.h>
#include <string.h>

#define NO_TAG 0    /* of what belongs to nobody */
#define STREAMS 64  /* that have numbers of their own */
#define NAME_MAX 96 /* bytes of a name; those of templates go on and on */

typedef struct call_row {
    hm_activity_call call;
    int64_t asked_ns;
    int seen;
    int stream; /* of its first command; -1: none was seen */
} call_row;

typedef struct link_row {
    uint32_t correlation;
    uint64_t call;
} link_row;

typedef struct work_row {
    uint32_t correlation, stream;
    hm_gpu_time time;
} work_row;

struct hm_activity_calls {
    uint64_t first; /* number of the first of `calls` */
    call_row *calls;
    int call_count, call_room;
    link_row *links; /* sorted */
    int link_count, link_room;
    work_row *works; /* whose calls are not known yet */
    int work_count, work_room;
    hm_gpu_time *told;
    int told_count, told_room;
    char **names;
    int name_count, name_room;
    uint32_t streams[STREAMS];
    int stream_count;
};

hm_status hm_activity_calls_open(hm_activity_calls **out, hm_error *err)
{
    *out = hm_calloc(1, sizeof **out, "calls that are traced", err);
    if (!*out)
        return HM_EABSENT;
    (*out)->first = 1;
    return HM_OK;
}

void hm_activity_calls_close(hm_activity_calls **calls)
{
    hm_activity_calls *c = *calls;
    if (!c)
        return;
    for (int i = 0; i < c->name_count; i++)
        free(c->names[i]);
    free(c->names);
    free(c->calls);
    free(c->links);
    free(c->works);
    free(c->told);
    free(c);
    *calls = NULL;
}

static hm_status grow(void *items, int *room, int count, size_t each, hm_error *err)
{
    void **at = items;
    if (count < *room)
        return HM_OK;
    int wanted = *room ? 2 * *room : 256;
    void *more = realloc(*at, (size_t)wanted * each);
    if (!more)
        return hm_fail(err, HM_EABSENT, "tracing: no memory for %d records", wanted);
    *at = more;
    *room = wanted;
    return HM_OK;
}

uint64_t hm_activity_calls_add(hm_activity_calls *c, const hm_activity_call *call, int64_t asked_ns, hm_error *err)
{
    if (grow(&c->calls, &c->call_room, c->call_count, sizeof *c->calls, err))
        return 0;
    c->calls[c->call_count] = (call_row){*call, asked_ns, 0, -1};
    return c->first + (uint64_t)c->call_count++;
}

/* Copies, of which there are few: names of kernels. */
static const char *keep_name(hm_activity_calls *c, const char *name, hm_error *err)
{
    size_t length = strnlen(name, NAME_MAX - 1);
    for (int i = 0; i < c->name_count; i++)
        if (!strncmp(c->names[i], name, length) && !c->names[i][length])
            return c->names[i];
    char *copy = grow(&c->names, &c->name_room, c->name_count, sizeof *c->names, err) ? NULL : strndup(name, length);
    if (!copy) {
        hm_fail(err, HM_EABSENT, "tracing: no memory for the name of a kernel");
        return NULL;
    }
    return c->names[c->name_count++] = copy;
}

/* Streams in the order in which they come up. */
static int number_of(hm_activity_calls *c, uint32_t stream)
{
    int i = 0;
    while (i < c->stream_count && c->streams[i] != stream)
        i++;
    if (i == c->stream_count && i < STREAMS)
        c->streams[c->stream_count++] = stream;
    return i < STREAMS ? i : STREAMS - 1;
}

/* They come in order, but for threads whose buffers are read one after the other. */
static hm_status add_link(hm_activity_calls *c, uint32_t correlation, uint64_t call, hm_error *err)
{
    hm_status st = grow(&c->links, &c->link_room, c->link_count, sizeof *c->links, err);
    int at = c->link_count;
    if (st)
        return st;
    while (at && c->links[at - 1].correlation > correlation)
        at--;
    memmove(c->links + at + 1, c->links + at, (size_t)(c->link_count - at) * sizeof *c->links);
    c->links[at] = (link_row){correlation, call};
    c->link_count++;
    return HM_OK;
}

static call_row *call_of(hm_activity_calls *c, uint32_t correlation)
{
    int low = 0, high = c->link_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (c->links[middle].correlation < correlation)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == c->link_count || c->links[low].correlation != correlation)
        return NULL;
    uint64_t call = c->links[low].call;
    return call >= c->first && call - c->first < (uint64_t)c->call_count ? &c->calls[call - c->first] : NULL;
}

static hm_status tell(hm_activity_calls *c, const hm_gpu_time *time, hm_error *err)
{
    hm_status st = grow(&c->told, &c->told_room, c->told_count, sizeof *c->told, err);
    if (!st)
        c->told[c->told_count++] = *time;
    return st;
}

hm_status hm_activity_calls_record(hm_activity_calls *c, const hm_activity *a, const hm_gpu_clock *clock, hm_error *err)
{
    if (a->what == HM_ACTIVITY_LINK)
        return add_link(c, a->correlation, a->call, err);
    hm_gpu_time time = {.kind = a->kind, .bytes = a->bytes, .tag = NO_TAG};
    if (a->begin || a->end) {
        time.begin_ns = hm_gpu_clock_ns(clock, a->begin);
        time.end_ns = a->end > a->begin ? time.begin_ns + (int64_t)(a->end - a->begin) : time.begin_ns;
    } else
        time.end_ns = -1; /* not known */
    time.name = keep_name(c, a->name, err);
    if (!time.name)
        return HM_EABSENT;
    if (a->what == HM_ACTIVITY_ASIDE) {
        time.asked_ns = time.begin_ns;
        return time.end_ns < 0 ? HM_OK : tell(c, &time, err);
    }
    hm_status st = grow(&c->works, &c->work_room, c->work_count, sizeof *c->works, err);
    if (!st)
        c->works[c->work_count++] = (work_row){a->correlation, a->stream, time};
    return st;
}

hm_status hm_activity_calls_match(hm_activity_calls *c, int64_t *missing, hm_error *err)
{
    int left = 0;
    hm_status st = HM_OK;
    for (int i = 0; i < c->work_count; i++) {
        work_row *w = &c->works[i];
        call_row *call = st ? NULL : call_of(c, w->correlation);
        if (!call) {
            c->works[left++] = *w;
            continue;
        }
        if (call->stream < 0)
            call->stream = number_of(c, w->stream); /* nodes of a graph may run on others: they are one command after the other */
        call->seen++;
        w->time.tag = call->call.tag;
        w->time.replayed = call->call.replayed;
        w->time.asked_ns = call->asked_ns;
        w->time.stream = call->stream;
        st = w->time.end_ns < 0 ? HM_OK : tell(c, &w->time, err);
    }
    c->work_count = left;
    *missing = 0;
    for (int i = 0; i < c->call_count; i++) {
        int expected = c->calls[i].call.commands ? c->calls[i].call.commands : 1;
        *missing += expected > c->calls[i].seen ? expected - c->calls[i].seen : 0;
    }
    return st;
}

int64_t hm_activity_calls_forget(hm_activity_calls *c)
{
    int64_t strangers = c->work_count;
    c->first += (uint64_t)c->call_count;
    c->call_count = c->link_count = c->work_count = 0;
    return strangers;
}

int hm_activity_calls_take(hm_activity_calls *c, uint32_t tag, hm_gpu_time *out, int room)
{
    int taken = 0, left = 0;
    for (int i = 0; i < c->told_count; i++)
        if (taken < room && (c->told[i].tag == tag || c->told[i].tag == NO_TAG))
            out[taken++] = c->told[i];
        else
            c->told[left++] = c->told[i];
    c->told_count = left;
    return taken;
}
