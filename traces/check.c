#include "traces/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "traces/reader.h"
#include "traces/slices.h"

#define MAX_DEPTH 512
#define EPOCH_NS ((int64_t)1000000000 * 86400 * 365) /* later than a year from the start: a time of day, not a time in the trace */

/* An end of a B/E pair, an async span or a flow, kept until all are there. */
typedef struct end_event {
    uint32_t pid, tid;
    int64_t at_ns, number;
    uint64_t key; /* what has to be equal in a pair: names, categories, ids */
    uint64_t name;
    char ph;
    bool at_enclosing; /* bp: e */
} end_event;

typedef struct ends {
    end_event *items;
    size_t count, room;
} ends;

typedef struct track {
    uint32_t pid, tid;
    bool has_spans, thread_named, process_named;
    int64_t number;
} track;

typedef struct checker {
    hm_trace_report *report;
    hm_slices slices;
    ends pairs, asyncs, flows;
    track *tracks;
    size_t track_count, track_room;
    bool time_unit, other;
    hm_status status;
    hm_error *err;
} checker;

/* What every event has, read once. */
typedef struct event {
    const hm_trace_item *item;
    char ph;
    uint32_t pid, tid;
    bool has_track;
    int64_t at_ns, length_ns;
    bool has_time, has_length;
    const char *name, *category;
} event;

const char *hm_trace_rule_text(int rule)
{
    static const char *const texts[HM_TRACE_RULE_END] = {
#define HM_TRACE_RULE_ROW(number, name, text) [number] = text,
        HM_TRACE_RULES(HM_TRACE_RULE_ROW)
#undef HM_TRACE_RULE_ROW
    };
    return rule > 0 && rule < HM_TRACE_RULE_END ? texts[rule] : "";
}

static void offend(checker *c, int rule, bool error, int64_t number, const char *format, ...) __attribute__((format(printf, 5, 6)));
static void offend(checker *c, int rule, bool error, int64_t number, const char *format, ...)
{
    hm_trace_finding *f = &c->report->rules[rule];
    bool first = error ? f->errors == 0 : f->errors + f->warnings == 0;
    if (error)
        f->errors++;
    else
        f->warnings++;
    if (!first)
        return;
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->first, sizeof f->first, format, ap);
    va_end(ap);
    for (char *p = f->first; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    f->first_event = number;
}

static void checked(checker *c, int rule)
{
    c->report->rules[rule].checked++;
}

static void out_of_memory(checker *c, const char *what)
{
    if (!c->status)
        c->status = hm_fail(c->err, HM_EABSENT, "trace check: no memory for %s", what);
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- rules 1, 2 and 10: the event alone ---- */

static bool check_form(checker *c, event *e)
{
    const json_t *v = e->item->json;
    const char *key;
    json_t *value;
    checked(c, HM_TRACE_FORM);
    if (!json_is_object(v)) {
        offend(c, HM_TRACE_FORM, true, e->item->number, "an event is not an object");
        return false;
    }
    const char *ph = text_of(v, "ph");
    if (!ph || strlen(ph) != 1 || !strchr("BEXiIbneNstfCMPODvcRa()(", *ph)) {
        offend(c, HM_TRACE_FORM, true, e->item->number, "an event has %s%s", ph ? "an unknown ph: " : "no ph", ph ? ph : "");
        return false;
    }
    e->ph = *ph;
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (json_is_null(value))
            offend(c, HM_TRACE_FORM, true, e->item->number, "\"%s\" is null", key);
        if (json_is_object(value) && !strcmp(key, "args")) {
            const char *arg;
            json_t *arg_value;
            json_object_foreach(value, arg, arg_value)
            {
                if (json_is_null(arg_value))
                    offend(c, HM_TRACE_FORM, true, e->item->number, "\"args\".\"%s\" is null", arg);
            }
        }
    }
    e->name = text_of(v, "name") ? text_of(v, "name") : "";
    e->category = text_of(v, "cat") ? text_of(v, "cat") : "";
    if (!*e->name && !strchr("Ef", e->ph))
        offend(c, HM_TRACE_FORM, false, e->item->number, "an event of ph %c has no name", e->ph);
    return true;
}

static bool check_time(checker *c, const event *e, const char *key, int64_t *ns)
{
    size_t size;
    int decimals;
    const char *raw = hm_trace_raw_member(e->item->raw, e->item->raw_size, key, &size);
    int64_t number = e->item->number;
    checked(c, HM_TRACE_TIME);
    if (!raw) {
        offend(c, HM_TRACE_TIME, true, number, "ph %c without \"%s\"", e->ph, key);
        return false;
    }
    int shown = size > 40 ? 40 : (int)size;
    switch (hm_trace_parse_us(raw, size, ns, &decimals)) {
    case HM_TIME_NOT_A_NUMBER:
        offend(c, HM_TRACE_TIME, true, number, "\"%s\" is no number: %.*s", key, shown, raw);
        return false;
    case HM_TIME_EXPONENT:
        offend(c, HM_TRACE_TIME, true, number, "\"%s\" has an exponent: %.*s", key, shown, raw);
        return false;
    case HM_TIME_TOO_LARGE:
        offend(c, HM_TRACE_TIME, true, number, "\"%s\" is beyond what viewers hold: %.*s us", key, shown, raw);
        return false;
    case HM_TIME_OK:
        break;
    }
    if (*ns < 0 && !strcmp(key, "ts")) {
        offend(c, HM_TRACE_TIME, true, number, "\"ts\" is negative: %.*s", shown, raw);
        return false;
    }
    if (*ns > EPOCH_NS)
        offend(c, HM_TRACE_TIME, true, number, "\"%s\" is not counted from the trace's start: %.*s us lose precision", key, shown, raw);
    else if (decimals != 3)
        offend(c, HM_TRACE_TIME, false, number, "\"%s\" has %d decimals instead of 3: %.*s", key, decimals, shown, raw);
    return true;
}

static bool read_u32(checker *c, const event *e, const char *key, bool required, uint32_t *out)
{
    const json_t *v = json_object_get(e->item->json, key);
    json_int_t n = json_integer_value(v);
    if (json_is_integer(v) && n >= 0 && n <= UINT32_MAX) {
        *out = (uint32_t)n;
        return true;
    }
    if (!v && !required)
        return true;
    offend(c, HM_TRACE_TRACK, true, e->item->number, "ph %c: \"%s\" %s", e->ph, key,
           !v                   ? "is missing"
           : json_is_integer(v) ? "is out of range"
                                : "is no whole number");
    return false;
}

static track *track_of(checker *c, uint32_t pid, uint32_t tid)
{
    for (size_t i = c->track_count; i-- > 0;)
        if (c->tracks[i].pid == pid && c->tracks[i].tid == tid)
            return &c->tracks[i];
    if (c->track_count == 4096) /* more than any real trace has: their names go unchecked */
        return NULL;
    if (c->track_count == c->track_room) {
        size_t room = c->track_room ? 2 * c->track_room : 16;
        track *grown = realloc(c->tracks, room * sizeof *grown);
        if (!grown) {
            out_of_memory(c, "tracks");
            return NULL;
        }
        c->tracks = grown;
        c->track_room = room;
    }
    c->tracks[c->track_count] = (track){.pid = pid, .tid = tid};
    return &c->tracks[c->track_count++];
}

static void check_metadata(checker *c, const event *e)
{
    bool process = !strcmp(e->name, "process_name"), thread = !strcmp(e->name, "thread_name");
    if (!process && !thread)
        return;
    const char *name = text_of(json_object_get(e->item->json, "args"), "name");
    if (!name || !*name)
        offend(c, HM_TRACE_TRACK, true, e->item->number, "%s without a text at \"args\".\"name\"", e->name);
    track *t = track_of(c, e->pid, process ? UINT32_MAX : e->tid);
    if (t && thread)
        t->thread_named = true;
    if (t && process)
        t->process_named = true;
}

/* ---- rules 3 to 5: spans ---- */

static void add_end(checker *c, ends *list, const event *e, uint64_t key, bool at_enclosing)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        end_event *grown = realloc(list->items, room * sizeof *grown);
        if (!grown) {
            out_of_memory(c, "pairs of events");
            return;
        }
        list->items = grown;
        list->room = room;
    }
    list->items[list->count++] =
        (end_event){e->pid, e->tid, e->at_ns, e->item->number, key, hm_fnv1a64(e->name, strlen(e->name)), e->ph, at_enclosing};
}

static void add_slice(checker *c, const event *e)
{
    checked(c, HM_TRACE_NESTING);
    checked(c, HM_TRACE_ROUNDING);
    if (e->length_ns < 0) {
        offend(c, HM_TRACE_NESTING, true, e->item->number, "\"%s\" has a negative \"dur\"", e->name);
        return;
    }
    hm_slice s = {e->pid, e->tid, e->at_ns, e->at_ns + e->length_ns, e->item->number, 0, -1, 0};
    if (!c->status)
        c->status = hm_slices_add(&c->slices, s, e->name, e->category, c->err);
    track *t = track_of(c, e->pid, e->tid);
    if (t && !t->has_spans) {
        t->has_spans = true;
        t->number = e->item->number;
    }
}

static void on_overlap(void *self, const hm_slice *earlier, const hm_slice *later)
{
    checker *c = self;
    int64_t inside_ns = earlier->end_ns - later->start_ns, beyond_ns = later->end_ns - earlier->end_ns;
    bool rounding = inside_ns < 1000 || beyond_ns < 1000;
    offend(c, rounding ? HM_TRACE_ROUNDING : HM_TRACE_NESTING, true, later->number,
           "\"%.60s\" overlaps \"%.60s\" (event %" PRId64 ") by %.3f us without lying in it", c->slices.names[later->name].name,
           c->slices.names[earlier->name].name, earlier->number, (inside_ns < beyond_ns ? inside_ns : beyond_ns) / 1e3);
}

static int by_track_and_time(const void *pa, const void *pb)
{
    const end_event *a = pa, *b = pb;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->tid != b->tid)
        return a->tid < b->tid ? -1 : 1;
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int by_key_and_time(const void *pa, const void *pb)
{
    const end_event *a = pa, *b = pb;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Matches B with E per track, innermost first; each pair becomes a span. */
static void check_pairs(checker *c)
{
    ends *p = &c->pairs;
    end_event *stack = malloc((p->count ? p->count : 1) * sizeof *stack);
    size_t depth = 0;
    if (!stack) {
        out_of_memory(c, "pairs of events");
        return;
    }
    if (p->count)
        qsort(p->items, p->count, sizeof *p->items, by_track_and_time);
    for (size_t i = 0; i <= p->count; i++) {
        const end_event *e = i < p->count ? &p->items[i] : NULL;
        while (depth && (!e || stack[depth - 1].pid != e->pid || stack[depth - 1].tid != e->tid))
            offend(c, HM_TRACE_PAIRS, true, stack[--depth].number, "a B event has no E");
        if (!e)
            break;
        checked(c, HM_TRACE_PAIRS);
        if (e->ph == 'B') {
            stack[depth++] = *e;
            continue;
        }
        if (!depth) {
            offend(c, HM_TRACE_PAIRS, true, e->number, "an E event ends nothing");
            continue;
        }
        const end_event *b = &stack[--depth];
        if (e->name != hm_fnv1a64("", 0) && e->name != b->name)
            offend(c, HM_TRACE_PAIRS, true, e->number, "an E event has another name than its B (event %" PRId64 ")", b->number);
        hm_slice s = {b->pid, b->tid, b->at_ns, e->at_ns, b->number, 0, -1, 0};
        if (!c->status)
            c->status = hm_slices_add(&c->slices, s, "B/E pair", "", c->err);
    }
    free(stack);
}

static void check_depth(checker *c)
{
    for (size_t i = 0; i < c->slices.count; i++)
        if (c->slices.items[i].depth >= MAX_DEPTH)
            offend(c, HM_TRACE_NESTING, true, c->slices.items[i].number, "a span lies %d deep: viewers drop it", c->slices.items[i].depth);
}

/* ---- rules 6 to 9 ---- */

static void check_instant(checker *c, const event *e)
{
    const char *scope = text_of(e->item->json, "s");
    checked(c, HM_TRACE_INSTANT);
    if (!scope || strlen(scope) != 1 || !strchr("tpg", *scope))
        offend(c, HM_TRACE_INSTANT, true, e->item->number, "\"%s\": \"s\" is %s%s", e->name, scope ? "not t, p or g: " : "missing",
               scope ? scope : "");
}

static uint64_t mix(uint64_t key, const char *text)
{
    return (key ^ hm_fnv1a64(text, strlen(text))) * 0x9E3779B97F4A7C15u;
}

static void check_async(checker *c, const event *e)
{
    const json_t *v = e->item->json, *id = json_object_get(v, "id"), *id2 = json_object_get(v, "id2");
    char text[64] = "";
    checked(c, HM_TRACE_ASYNC);
    if (json_is_object(id2) && (text_of(id2, "local") || text_of(id2, "global")))
        snprintf(text, sizeof text, "%s", text_of(id2, "local") ? text_of(id2, "local") : text_of(id2, "global"));
    else if (json_is_string(id))
        snprintf(text, sizeof text, "%s", json_string_value(id));
    else if (json_is_integer(id))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    if (!*e->category || !*text) {
        offend(c, HM_TRACE_ASYNC, true, e->item->number, "\"%s\": an async event without %s", e->name,
               *e->category ? "an id" : "a \"cat\"");
        return;
    }
    uint64_t key = mix(mix(1 + (json_is_object(id2) ? (uint64_t)e->pid << 1 : 0), e->category), text);
    add_end(c, &c->asyncs, e, key, false);
}

static void check_async_pairs(checker *c)
{
    const end_event *open = NULL;
    if (c->asyncs.count)
        qsort(c->asyncs.items, c->asyncs.count, sizeof *c->asyncs.items, by_key_and_time);
    for (size_t i = 0; i <= c->asyncs.count; i++) {
        const end_event *e = i < c->asyncs.count ? &c->asyncs.items[i] : NULL;
        if (open && (!e || e->key != open->key)) {
            offend(c, HM_TRACE_ASYNC, true, open->number, "an async span never ends");
            open = NULL;
        }
        if (!e)
            break;
        if (e->ph == 'b' && open)
            offend(c, HM_TRACE_ASYNC, true, e->number, "an async span begins while event %" PRId64 " with the same id is open",
                   open->number);
        else if (e->ph == 'b')
            open = e;
        else if (!open)
            offend(c, HM_TRACE_ASYNC, true, e->number, "an async %s without a begin", e->ph == 'e' ? "end" : "instant");
        else if (e->ph == 'e')
            open = NULL;
    }
}

static void check_flow(checker *c, const event *e)
{
    const json_t *v = e->item->json, *id = json_object_get(v, "id");
    const char *bp = text_of(v, "bp");
    bool at_enclosing = bp && !strcmp(bp, "e");
    checked(c, HM_TRACE_FLOW);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= (json_int_t)1 << 53) {
        offend(c, HM_TRACE_FLOW, true, e->item->number, "\"%s\": a flow's \"id\" is no whole number below 2^53", e->name);
        return;
    }
    if (e->ph == 'f' && !at_enclosing)
        offend(c, HM_TRACE_FLOW, true, e->item->number, "\"%s\": a flow ends without \"bp\":\"e\": it binds to the next span", e->name);
    add_end(c, &c->flows, e, mix(mix((uint64_t)json_integer_value(id) * 2 + 1, e->category), e->name), at_enclosing);
}

static void check_flow_group(checker *c, const end_event *first, size_t count)
{
    const end_event *start = NULL, *end = NULL;
    for (size_t i = 0; i < count; i++) {
        if (first[i].ph == 's' && start)
            offend(c, HM_TRACE_FLOW, true, first[i].number, "two flows share the id of event %" PRId64, start->number);
        start = first[i].ph == 's' && !start ? &first[i] : start;
        end = first[i].ph == 'f' && (!end || first[i].number > end->number) ? &first[i] : end;
        if (hm_slices_find(&c->slices, first[i].pid, first[i].tid, first[i].at_ns) < 0)
            offend(c, HM_TRACE_FLOW, true, first[i].number, "the %s of a flow lies in no span: its arrow is lost",
                   first[i].ph == 's'   ? "start"
                   : first[i].ph == 'f' ? "end"
                                        : "step");
    }
    if (!start)
        offend(c, HM_TRACE_FLOW, true, first->number, "a flow has no start with the same cat, name and id");
    else if (!end)
        offend(c, HM_TRACE_FLOW, true, start->number, "a flow has no end with the same cat, name and id");
    else if (end->at_ns < start->at_ns)
        offend(c, HM_TRACE_FLOW, true, end->number, "a flow ends before it starts (event %" PRId64 ")", start->number);
}

static void check_flows(checker *c)
{
    if (c->flows.count)
        qsort(c->flows.items, c->flows.count, sizeof *c->flows.items, by_key_and_time);
    for (size_t i = 0, n; i < c->flows.count; i += n) {
        for (n = 1; i + n < c->flows.count && c->flows.items[i + n].key == c->flows.items[i].key;)
            n++;
        check_flow_group(c, &c->flows.items[i], n);
    }
}

static void check_counter(checker *c, const event *e)
{
    const json_t *args = json_object_get(e->item->json, "args");
    const char *key;
    json_t *value;
    checked(c, HM_TRACE_COUNTER);
    if (!json_is_object(args) || !json_object_size(args)) {
        offend(c, HM_TRACE_COUNTER, true, e->item->number, "\"%s\": a counter without an object of numbers in \"args\"", e->name);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)args, key, value)
    {
        if (!json_is_number(value))
            offend(c, HM_TRACE_COUNTER, true, e->item->number, "\"%s\": \"%s\" is no number", e->name, key);
    }
    if (json_object_size(args) > 1)
        offend(c, HM_TRACE_COUNTER, true, e->item->number, "\"%s\": %zu values in one counter: each wants its own", e->name,
               json_object_size(args));
}

/* ---- the whole ---- */

static void on_event(void *self, const hm_trace_item *item)
{
    checker *c = self;
    event e = {.item = item};
    if (c->status)
        return;
    c->report->events++;
    if (!check_form(c, &e))
        return;
    checked(c, HM_TRACE_TRACK);
    bool tracked = read_u32(c, &e, "pid", !strchr("cvR", e.ph), &e.pid);
    tracked = read_u32(c, &e, "tid", strchr("XBEiIstf", e.ph) != NULL, &e.tid) && tracked;
    e.has_time = e.ph != 'M' && check_time(c, &e, "ts", &e.at_ns);
    e.has_length = e.ph == 'X' && check_time(c, &e, "dur", &e.length_ns);
    if (e.ph == 'C')
        check_counter(c, &e);
    if (strchr("iI", e.ph))
        check_instant(c, &e);
    if (!tracked)
        return;
    if (e.ph == 'M')
        check_metadata(c, &e);
    if (!e.has_time)
        return;
    if (e.ph == 'X' && e.has_length)
        add_slice(c, &e);
    else if (strchr("BE", e.ph))
        add_end(c, &c->pairs, &e, 0, false);
    else if (strchr("bne", e.ph))
        check_async(c, &e);
    else if (strchr("stf", e.ph))
        check_flow(c, &e);
}

static void on_member(void *self, const char *key, const json_t *value)
{
    checker *c = self;
    const char *name;
    json_t *entry;
    if (!strcmp(key, "displayTimeUnit")) {
        const char *unit = json_string_value(value);
        c->time_unit = true;
        if (!unit || (strcmp(unit, "ms") && strcmp(unit, "ns")))
            offend(c, HM_TRACE_FORM, true, -1, "\"displayTimeUnit\" is neither ms nor ns");
    } else if (!strcmp(key, "otherData")) {
        c->other = json_is_object(value);
        if (!json_is_object(value))
            offend(c, HM_TRACE_FORM, true, -1, "\"otherData\" is no object");
        json_object_foreach((json_t *)(uintptr_t)value, name, entry)
        {
            if (!json_is_string(entry))
                offend(c, HM_TRACE_FORM, false, -1, "\"otherData\".\"%s\" is no text", name);
        }
    }
}

static void finish(checker *c, const hm_trace_form *form)
{
    if (form->array)
        offend(c, HM_TRACE_FORM, true, -1, "array form%s: the writer did not finish", form->unfinished ? " without an end" : "");
    else if (!form->has_events)
        offend(c, HM_TRACE_FORM, true, -1, "there is no list \"traceEvents\"");
    if (!form->array && !c->time_unit)
        offend(c, HM_TRACE_FORM, false, -1, "\"displayTimeUnit\" is missing");
    if (!form->array && !c->other)
        offend(c, HM_TRACE_FORM, false, -1, "\"otherData\" is missing");
    check_pairs(c);
    hm_slices_nest(&c->slices, on_overlap, c);
    check_depth(c);
    check_async_pairs(c);
    check_flows(c);
    for (size_t i = 0; i < c->track_count; i++) {
        const track *t = &c->tracks[i];
        bool process_named = false;
        for (size_t j = 0; j < c->track_count && !process_named; j++)
            process_named = c->tracks[j].pid == t->pid && c->tracks[j].process_named;
        if (t->has_spans && !t->thread_named)
            offend(c, HM_TRACE_TRACK, false, t->number, "pid %" PRIu32 " tid %" PRIu32 " has spans and no thread_name", t->pid, t->tid);
        else if (t->has_spans && !process_named)
            offend(c, HM_TRACE_TRACK, false, t->number, "pid %" PRIu32 " has spans and no process_name", t->pid);
    }
    for (int i = 1; i < HM_TRACE_RULE_END; i++) {
        c->report->errors += c->report->rules[i].errors;
        c->report->warnings += c->report->rules[i].warnings;
    }
}

static hm_status run(const char *path, const char *text, size_t size, hm_trace_report *out, hm_error *err)
{
    *out = (hm_trace_report){0};
    for (int i = 0; i < HM_TRACE_RULE_END; i++)
        out->rules[i].first_event = -1;
    checker c = {.report = out, .err = err};
    hm_trace_reader reader = {&c, on_event, on_member};
    hm_trace_form form;
    hm_status st = text ? hm_trace_read_text(text, size, path, &reader, &form, err) : hm_trace_read(path, &reader, &form, err);
    if (!st && !c.status)
        finish(&c, &form);
    hm_slices_free(&c.slices);
    free(c.pairs.items);
    free(c.asyncs.items);
    free(c.flows.items);
    free(c.tracks);
    return st ? st : c.status;
}

hm_status hm_trace_check(const char *path, hm_trace_report *out, hm_error *err)
{
    return run(path, NULL, 0, out, err);
}

hm_status hm_trace_check_text(const char *text, size_t size, const char *where, hm_trace_report *out, hm_error *err)
{
    return run(where, text ? text : "", size, out, err);
}
