#include "engine/text/transcript.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MEL_FRAME_S 0.01
#define CHUNK_MIN_S 1.0

/* --- windows --- */

hm_status hm_transcript_windows(hm_transcript_part **out, int *count, int64_t samples, double chunk_s, hm_error *err)
{
    if (!(chunk_s >= CHUNK_MIN_S && chunk_s <= HM_TRANSCRIPT_WINDOW_S))
        return hm_fail(err, HM_EUSAGE, "chunk length %g s: expected %g to %d: the model hears %d s at a time", chunk_s, CHUNK_MIN_S,
                       HM_TRANSCRIPT_WINDOW_S, HM_TRANSCRIPT_WINDOW_S);
    int64_t length = llrint(chunk_s * HM_TRANSCRIPT_RATE), side = llrint(chunk_s / 6 * HM_TRANSCRIPT_RATE), step = length - 2 * side;
    int64_t most = samples / step + 1;
    *out = NULL;
    *count = 0;
    if (samples <= 0)
        return HM_OK;
    if (most > INT32_MAX)
        return hm_fail(err, HM_EUSAGE, "recording: %" PRId64 " samples are more windows than can be counted", samples);
    hm_transcript_part *parts = hm_calloc((size_t)most, sizeof *parts, "windows of a recording", err);
    if (!parts)
        return HM_EABSENT;
    for (int64_t start = 0; start < samples; start += step) {
        bool last = start + length >= samples;
        hm_transcript_part p = {
            .start = start, .samples = last ? samples - start : length, .left = start ? side : 0, .right = last ? 0 : side};
        if (p.samples > p.left)
            parts[(*count)++] = p;
        if (last)
            break;
    }
    *out = parts;
    return HM_OK;
}

/* --- compression --- */

hm_status hm_transcript_ratio(double *out, const int32_t *ids, int count, int64_t vocabulary, hm_error *err)
{
    size_t each = 1;
    for (int64_t v = vocabulary; v >= 256; v >>= 8)
        each++;
    size_t raw = each * (size_t)count;
    uLongf packed = compressBound(raw);
    *out = 0;
    if (!count)
        return HM_OK;
    uint8_t *bytes = hm_calloc(raw + packed, 1, "compression of ids", err);
    if (!bytes)
        return HM_EABSENT;
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < each; k++)
            bytes[each * (size_t)i + k] = (uint8_t)(ids[i] >> (8 * k));
    int failed = compress2(bytes + raw, &packed, bytes, raw, 6);
    if (!failed)
        *out = (double)raw / (double)packed;
    free(bytes);
    return failed ? hm_fail(err, HM_EABSENT, "compression of %d ids: zlib reports %d", count, failed) : HM_OK;
}

/* --- joining --- */

/* Lists that wait to be joined, one after the other in `ids`. */
typedef struct lists {
    int32_t *ids;
    int *ends; /* of each list */
    int count, room;
} lists;

static int lists_start(const lists *l, int i)
{
    return i ? l->ends[i - 1] : 0;
}

/* Where the end of left and the beginning of right are most alike: bounds in both; none: after left, before right. */
static void overlap(const int32_t *left, int l, const int32_t *right, int r, int bounds[4])
{
    double best = 0;
    bounds[0] = bounds[1] = l;
    bounds[2] = bounds[3] = 0;
    for (int i = 1; i < l + r; i++) {
        int ls = l > i ? l - i : 0, le = l < l + r - i ? l : l + r - i, rs = i > l ? i - l : 0, same = 0;
        for (int k = ls; k < le; k++)
            same += left[k] == right[rs + k - ls];
        double score = same / (double)i + i / 10000.0; /* a longer stretch wins over an equal one */
        if (same > 1 && score > best) {
            best = score;
            bounds[0] = ls;
            bounds[1] = le;
            bounds[2] = rs;
            bounds[3] = rs + le - ls;
        }
    }
}

/* out: room for all ids of the lists; returns how many come out. */
static int join(int32_t *out, const lists *all)
{
    const int32_t *left = NULL;
    int n = 0, l = 0;
    for (int i = 0; i < all->count; i++) {
        int start = lists_start(all, i), r = all->ends[i] - start, b[4];
        const int32_t *right = all->ids + start;
        if (!r)
            continue;
        if (!l) {
            left = right;
            l = r;
            continue;
        }
        overlap(left, l, right, r, b);
        int keep = (b[0] + b[1]) / 2, skip = (b[2] + b[3]) / 2;
        memmove(out + n, left, (size_t)keep * sizeof *out);
        n += keep;
        left = right + skip;
        l = r - skip;
    }
    if (l)
        memcpy(out + n, left, (size_t)l * sizeof *out);
    return n + l;
}

static hm_status lists_open(lists *l, int ids, int room, hm_error *err)
{
    *l = (lists){.room = room};
    l->ids = hm_calloc((size_t)ids + 1, sizeof *l->ids, "ids of a transcript", err);
    l->ends = l->ids ? hm_calloc((size_t)room, sizeof *l->ends, "ids of a transcript", err) : NULL;
    return l->ends ? HM_OK : HM_EABSENT;
}

static void lists_close(lists *l)
{
    free(l->ids);
    free(l->ends);
}

static int ids_of(const hm_transcript_part *parts, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++)
        n += parts[i].count;
    return n;
}

/* One list per part, of its ids below `end`. */
static void lists_fill(lists *l, const hm_transcript_part *parts, int count, int32_t end)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < parts[i].count; k++)
            if (parts[i].ids[k] < end)
                l->ids[n++] = parts[i].ids[k];
        l->ends[l->count++] = n;
    }
}

static hm_status merge_below(int32_t **ids, int *count, const hm_transcript_part *parts, int part_count, int32_t end, hm_error *err)
{
    int total = ids_of(parts, part_count);
    lists l;
    hm_status st = lists_open(&l, total, part_count + 1, err);
    int32_t *out = st ? NULL : hm_calloc((size_t)total + 1, sizeof *out, "ids of a transcript", err);
    if (out) {
        lists_fill(&l, parts, part_count, end);
        *count = join(out, &l);
        *ids = out;
    }
    lists_close(&l);
    return out ? HM_OK : HM_EABSENT;
}

hm_status hm_transcript_merge(int32_t **ids, int *count, const hm_transcript_part *parts, int part_count, hm_error *err)
{
    return merge_below(ids, count, parts, part_count, INT32_MAX, err);
}

/* --- text --- */

static size_t digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* Bytes of "<|12.34|>" at text; 0: something else. */
static size_t timestamp_bytes(const char *text)
{
    if (strncmp(text, "<|", 2))
        return 0;
    size_t whole = digits(text + 2), n = 2 + whole;
    if (!whole || text[n] != '.')
        return 0;
    size_t part = digits(text + n + 1);
    n += 1 + part;
    return part && !strncmp(text + n, "|>", 2) ? n + 2 : 0;
}

hm_status hm_transcript_text(char **out, const hm_tokenizer *tokenizer, const int32_t *ids, size_t count, hm_error *err)
{
    int32_t *known = hm_calloc(count + 1, sizeof *known, "ids of a text", err);
    size_t n = 0;
    if (!known)
        return HM_EABSENT;
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= 0 && ids[i] < hm_tokenizer_size(tokenizer))
            known[n++] = ids[i];
    hm_status st = hm_tokenizer_decode(tokenizer, known, n, true, out, err);
    free(known);
    if (st)
        return st;
    char *to = *out;
    for (const char *from = *out; *from;) {
        size_t skip = timestamp_bytes(from);
        if (skip)
            from += skip;
        else
            *to++ = *from++;
    }
    *to = 0;
    return HM_OK;
}

/* --- transcripts with timestamps --- */

/* The state that goes through all windows. */
typedef struct stamper {
    hm_transcript *out;
    const hm_tokenizer *tokenizer;
    hm_transcript_ids ids;
    lists waiting;   /* text since the last chunk, a list per window */
    int current;     /* ids of the window at hand behind those lists */
    int32_t *joined; /* room for them */
    int chunk_room;
    double offset_s, start_s; /* start_s NAN: the chunk has none */
    bool skip;
} stamper;

static int waiting_end(const stamper *s)
{
    return lists_start(&s->waiting, s->waiting.count);
}

static void end_list(stamper *s)
{
    s->waiting.ends[s->waiting.count] = waiting_end(s) + s->current;
    s->waiting.count++;
    s->current = 0;
}

static void forget(stamper *s)
{
    s->waiting.count = s->current = 0;
    s->start_s = NAN;
}

/* A chunk of all that waits. */
static hm_status emit(stamper *s, double end_s, hm_error *err)
{
    hm_transcript *t = s->out;
    if (t->chunk_count == s->chunk_room) {
        int room = s->chunk_room ? 2 * s->chunk_room : 16;
        hm_transcript_chunk *more = realloc(t->chunks, (size_t)room * sizeof *more);
        if (!more)
            return hm_fail(err, HM_EABSENT, "transcript: no memory for %d chunks", room);
        t->chunks = more;
        s->chunk_room = room;
    }
    hm_transcript_chunk *c = &t->chunks[t->chunk_count];
    *c = (hm_transcript_chunk){.start_s = s->start_s, .end_s = end_s};
    int n = join(s->joined, &s->waiting);
    hm_status st = hm_transcript_text(&c->text, s->tokenizer, s->joined, (size_t)n, err);
    t->chunk_count += !st;
    forget(s);
    return st;
}

/* To hundredths, as Python's round. */
static double rounded(double seconds)
{
    char text[64];
    snprintf(text, sizeof text, "%.2f", seconds);
    return strtod(text, NULL);
}

static double seconds_of(int64_t samples)
{
    return (double)samples / HM_TRANSCRIPT_RATE;
}

/* The timestamp from which on a window's text is its right neighbour's too; -1: none. */
static int32_t last_stamp(const stamper *s, const hm_transcript_part *p)
{
    double right_s = seconds_of(p->samples) - seconds_of(p->right);
    int32_t last = -1;
    for (int i = p->count - 1; p->right && i >= 0; i--) {
        int32_t id = p->ids[i];
        if (id < s->ids.timestamp0)
            continue;
        if (last >= 0 && (id - s->ids.timestamp0) * HM_TIMESTAMP_S < right_s)
            break;
        last = id;
    }
    return last;
}

/* Where the timestamps of a window stand: they begin anew with each segment of the seek loop. */
typedef struct clock_state {
    double latest_s, before_s, segments_s;
} clock_state;

static double clock_read(clock_state *k, const stamper *s, const hm_transcript_part *p, int i)
{
    double value_s = (p->ids[i] - s->ids.timestamp0) * HM_TIMESTAMP_S;
    if (value_s < k->latest_s) {
        bool pair = i >= 2 && p->ids[i - 1] >= s->ids.timestamp0 && p->ids[i - 2] >= s->ids.timestamp0;
        if (i >= 2 && !pair) {
            k->segments_s += HM_TRANSCRIPT_WINDOW_S;
        } else {
            k->latest_s = k->before_s;
            k->segments_s += k->before_s;
        }
    }
    k->before_s = k->latest_s;
    k->latest_s = value_s;
    return rounded(value_s + s->offset_s + k->segments_s);
}

static hm_status stamp_window(stamper *s, const hm_transcript_part *p, hm_error *err)
{
    clock_state clock = {0};
    hm_status st = HM_OK;
    int32_t last = last_stamp(s, p);
    s->offset_s -= seconds_of(p->left);
    double first = s->ids.timestamp0 + (p->left ? seconds_of(p->left) / HM_TIMESTAMP_S : 0);
    for (int i = 0; i < p->count && !st; i++) {
        int32_t id = p->ids[i];
        if (id < s->ids.end)
            s->waiting.ids[waiting_end(s) + s->current++] = id;
        if (id < s->ids.timestamp0)
            continue;
        double time_s = clock_read(&clock, s, p, i);
        if (last >= 0 && id >= last) {
            s->skip = true;
        } else if (s->skip || (s->waiting.count && id < first)) {
            s->skip = false;
        } else if (isnan(s->start_s)) {
            s->start_s = time_s;
        } else if (time_s != s->start_s) {
            end_list(s);
            st = emit(s, time_s, err);
        }
    }
    s->offset_s += seconds_of(p->samples) - seconds_of(p->right);
    if (s->current)
        end_list(s);
    else if (!waiting_end(s))
        forget(s);
    return st;
}

static hm_status write_chunks(hm_transcript *out, const hm_tokenizer *tokenizer, hm_transcript_ids ids, const hm_transcript_part *parts,
                              int count, hm_error *err)
{
    int total = ids_of(parts, count);
    stamper s = {.out = out, .tokenizer = tokenizer, .ids = ids, .start_s = NAN};
    hm_status st = lists_open(&s.waiting, total, count + 1, err);
    s.joined = st ? NULL : hm_calloc((size_t)total + 1, sizeof *s.joined, "ids of a transcript", err);
    if (!st && !s.joined)
        st = HM_EABSENT;
    for (int i = 0; i < count && !st; i++)
        st = stamp_window(&s, &parts[i], err);
    if (!st && s.waiting.count)
        st = emit(&s, NAN, err);
    lists_close(&s.waiting);
    free(s.joined);
    return st;
}

hm_status hm_transcript_join(hm_transcript *t, hm_error *err)
{
    size_t n = 0, at = 0;
    for (int i = 0; i < t->chunk_count; i++)
        n += strlen(t->chunks[i].text);
    t->text = hm_calloc(n + 1, 1, "transcript", err);
    for (int i = 0; i < t->chunk_count && t->text; i++) {
        size_t size = strlen(t->chunks[i].text);
        memcpy(t->text + at, t->chunks[i].text, size);
        at += size;
    }
    return t->text ? HM_OK : HM_EABSENT;
}

/* --- whole transcripts --- */

static hm_status write_text(hm_transcript *out, const hm_tokenizer *tokenizer, hm_transcript_ids ids, const hm_transcript_part *parts,
                            int count, hm_error *err)
{
    hm_status st = merge_below(&out->merged, &out->merged_count, parts, count, ids.end, err);
    if (!st)
        st = hm_transcript_text(&out->text, tokenizer, out->merged, (size_t)out->merged_count, err);
    if (st || !out->merged_count)
        return st;
    out->chunks = hm_calloc(1, sizeof *out->chunks, "transcript", err);
    char *text = out->chunks ? strdup(out->text) : NULL;
    if (!text)
        return hm_fail(err, HM_EABSENT, "transcript: no memory");
    out->chunks[out->chunk_count++] = (hm_transcript_chunk){.start_s = NAN, .end_s = NAN, .text = text};
    return HM_OK;
}

hm_status hm_transcript_write(hm_transcript *out, const hm_tokenizer *tokenizer, hm_transcript_ids ids, const hm_transcript_part *parts,
                              int count, bool timestamps, hm_error *err)
{
    hm_transcript t = {0};
    hm_status st = timestamps ? write_chunks(&t, tokenizer, ids, parts, count, err) : write_text(&t, tokenizer, ids, parts, count, err);
    if (!st && timestamps)
        st = hm_transcript_join(&t, err);
    if (st)
        hm_transcript_close(&t);
    else
        *out = t;
    return st;
}

void hm_transcript_close(hm_transcript *t)
{
    for (int i = 0; i < t->chunk_count; i++)
        free(t->chunks[i].text);
    free(t->chunks);
    free(t->text);
    free(t->merged);
    *t = (hm_transcript){0};
}

/* --- the seek loop --- */

static double stamp_s(hm_transcript_ids ids, int32_t id)
{
    return id >= ids.timestamp0 ? (id - ids.timestamp0) * HM_TIMESTAMP_S : 0;
}

static hm_transcript_segment segment_of(hm_transcript_ids ids, const int32_t *tokens, int first, int end, int last, double base_s)
{
    return (hm_transcript_segment){.first = first,
                                   .count = end - first,
                                   .start_s = base_s + stamp_s(ids, tokens[first]),
                                   .end_s = base_s + stamp_s(ids, tokens[last])};
}

hm_status hm_transcript_cut(hm_transcript_segment **out, int *count, int64_t *advance, hm_transcript_ids ids, const int32_t *y, int n,
                            int64_t seek, int64_t frames, hm_error *err)
{
    double base_s = (double)seek * MEL_FRAME_S;
    hm_transcript_segment *segments = hm_calloc((size_t)n + 1, sizeof *segments, "segments of a window", err);
    int found = 0, from = 0, cut = 0;
    if (!segments)
        return HM_EABSENT;
    bool open_end = n && y[n - 1] >= ids.timestamp0 && !(n > 1 && y[n - 2] >= ids.timestamp0); /* text, then one timestamp */
    *advance = frames;
    for (int i = 1; i < n; i++) {
        if (y[i - 1] < ids.timestamp0 || y[i] < ids.timestamp0)
            continue;
        segments[found++] = segment_of(ids, y, from, i, i - 1, base_s);
        from = cut = i;
    }
    if (found && open_end) {
        segments[found++] = segment_of(ids, y, from, n, n - 1, base_s);
    } else if (found) { /* the last one ends with both of its pair; what follows is heard again */
        segments[found - 1].count++;
        *advance = 2 * (int64_t)(y[cut - 1] - ids.timestamp0);
    } else if (n) {
        int32_t last = -1;
        for (int i = 0; i < n; i++)
            last = y[i] >= ids.timestamp0 ? y[i] : last;
        double end_s = last > ids.timestamp0 ? stamp_s(ids, last) : (double)frames * MEL_FRAME_S;
        segments[found++] = (hm_transcript_segment){.count = n, .start_s = base_s, .end_s = base_s + end_s};
    }
    if (*advance < 1) /* a pair at 0.00 would never end: what is left of the window is given up */
        *advance = frames;
    *out = segments;
    *count = found;
    return HM_OK;
}
