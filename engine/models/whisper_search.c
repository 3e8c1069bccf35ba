#include "engine/models/whisper_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEVER -1e9f /* the score of a beam that is not there yet, or that has ended */

/* A way to go on: beam and id, the sum it would have, and the id's own renormalised log-probability. */
typedef struct candidate {
    float sum;
    int beam;
    int32_t id;
    double log_p;
} candidate;

enum {
    MAX_CANDIDATES = 2 * HM_WHISPER_MAX_BEAMS
};

hm_status hm_whisper_search_open(hm_whisper_search *s, const hm_whisper_request *r, const hm_whisper *m, bool listed, hm_error *err)
{
    size_t V = (size_t)m->shape.vocab, n = (size_t)r->max_tokens, B = (size_t)r->beams;
    *s = (hm_whisper_search){.r = r};
    s->rules = (hm_whisper_rules){.g = &m->generation, .V = (int)V, .timestamps = r->timestamps, .no_end = r->force_length};
    s->memory = hm_calloc(3 * B * n, sizeof *s->memory, "tokens", err);
    if (!s->memory)
        return HM_EABSENT;
    for (size_t b = 0; b < B; b++) {
        s->now[b] = (hm_whisper_beam){.score = b ? NEVER : 0, .ids = s->memory + b * n};
        s->next[b].ids = s->memory + (B + b) * n;
        s->ended[b].ids = s->memory + (2 * B + b) * n;
    }
    s->drawn = s->next[0].ids; /* of one beam */
    if (listed && !(s->rules.mask = hm_calloc(V, sizeof *s->rules.mask, "mask", err)))
        return HM_EABSENT;
    if (B > 1)
        return HM_OK;
    s->margins = hm_calloc(n, sizeof *s->margins, "margins", err);
    s->logits = s->margins ? hm_calloc(n, sizeof *s->logits, "logits", err) : NULL;
    return s->logits ? HM_OK : HM_EABSENT;
}

void hm_whisper_search_close(hm_whisper_search *s)
{
    free(s->memory);
    free(s->rules.mask);
    free(s->margins);
    free(s->logits);
    *s = (hm_whisper_search){0};
}

/* --- one beam --- */

/* The id goes on, unless another one is stored for this place. */
static void go_on(hm_whisper_search *s, int32_t id, double log_p)
{
    const hm_whisper_request *r = s->r;
    int32_t fed = r->stored ? r->stored[s->count] : id;
    s->drawn[s->count] = id;
    s->now[0].ids[s->count] = fed;
    s->now[0].log_sum += log_p;
    s->now[0].row = 0;
    s->broken = s->broken || !isfinite(log_p);
    s->count++;
    s->done = s->broken || s->count == r->max_tokens || (!r->force_length && fed == s->rules.g->end);
}

/* The kth greatest of x; -infinity: all are among them. */
static float kth_greatest(const float *x, int n, int k)
{
    float *best = k > 0 && k < n ? malloc((size_t)k * sizeof *best) : NULL, least = -INFINITY;
    int count = 0;
    for (int i = 0; best && i < n; i++) {
        if (count == k && !(x[i] > least))
            continue;
        int at = count < k ? count++ : k - 1;
        for (; at > 0 && best[at - 1] < x[i]; at--)
            best[at] = best[at - 1];
        best[at] = x[i];
        least = best[count - 1];
    }
    free(best);
    return count == k ? least : -INFINITY;
}

void hm_whisper_search_take(hm_whisper_search *s, const float *x, int32_t id)
{
    int V = s->rules.V;
    float least = kth_greatest(x, V, s->r->topk);
    double sum = 0;
    for (int i = 0; i < V; i++)
        if (x[i] >= least && x[i] > -INFINITY)
            sum += exp((double)x[i] - (double)x[id]);
    if (!s->r->stored)
        s->logits[s->count] = x[id];
    go_on(s, id, -log(sum));
}

static void single_step(hm_whisper_search *s, float *x)
{
    const hm_whisper_request *r = s->r;
    int V = s->rules.V, best;
    float second;
    if (r->stored)
        s->logits[s->count] = x[r->stored[s->count]];
    s->mask_bytes += hm_whisper_apply_rules(&s->rules, x, s->now[0].ids, s->count);
    best = hm_whisper_greatest(x, V, &second);
    s->margins[s->count] = x[best] - second;
    if (r->temperature > 0)
        return;
    if (!r->stored)
        s->logits[s->count] = x[best];
    go_on(s, best, (double)x[best] - hm_whisper_log_sum(x, V));
}

/* --- beams --- */

/* Keeps the `room` best, of equal ones those that came first. */
static void offer(candidate *list, int *count, int room, const candidate *k)
{
    int at = *count < room ? (*count)++ : room - 1;
    for (; at > 0 && list[at - 1].sum < k->sum; at--)
        list[at] = list[at - 1];
    list[at] = *k;
}

/* The 2B best ways to go on of all beams: rows of logits become log-probabilities, rules included. */
static int collect(hm_whisper_search *s, float *logits, candidate *list)
{
    int V = s->rules.V, B = s->r->beams, room = 2 * B, count = 0, made = -1;
    double over = 0;
    for (int b = 0; b < B; b++) {
        hm_whisper_beam *beam = &s->now[b];
        float *x = logits + (size_t)beam->logits * (size_t)V;
        if (beam->logits != made) { /* before the first id all beams have the prompt's row */
            double all = hm_whisper_log_sum(x, V);
            for (int i = 0; i < V; i++)
                x[i] = (float)((double)x[i] - all);
            s->mask_bytes += hm_whisper_apply_rules(&s->rules, x, beam->ids, s->count);
            over = hm_whisper_log_sum(x, V);
            made = beam->logits;
            s->broken = s->broken || !isfinite(all);
        }
        for (int i = 0; i < V; i++) {
            float sum = x[i] + beam->score;
            if (count == room && !(sum > list[room - 1].sum))
                continue;
            offer(list, &count, room, &(candidate){sum, b, i, (double)x[i] - over});
        }
    }
    return count;
}

/* A text that ended, among the B best of them. */
static void keep_ended(hm_whisper_search *s, const candidate *k)
{
    int B = s->r->beams, n = s->count + 1;
    float score = k->sum / powf((float)n, (float)s->r->length_penalty);
    if (s->ended_count == B && !(score > s->ended[B - 1].score))
        return;
    int at = s->ended_count < B ? s->ended_count++ : B - 1;
    hm_whisper_ended spare = s->ended[at];
    for (; at > 0 && s->ended[at - 1].score < score; at--)
        s->ended[at] = s->ended[at - 1];
    spare.score = score;
    spare.log_sum = s->now[k->beam].log_sum + k->log_p;
    spare.count = n;
    memcpy(spare.ids, s->now[k->beam].ids, (size_t)s->count * sizeof *spare.ids);
    spare.ids[n - 1] = k->id;
    s->ended[at] = spare;
}

/* Rows of the self cache for the new beams: the first child of a row stays in it, others get a copy in a row that nobody goes on from. */
static void place_rows(hm_whisper_search *s, const int *parent, int n)
{
    bool taken[HM_WHISPER_MAX_BEAMS] = {false}, first[HM_WHISPER_MAX_BEAMS] = {false};
    s->copy_count = 0;
    for (int b = 0; b < n; b++) {
        int row = s->now[parent[b]].row;
        first[b] = !taken[row];
        taken[row] = true;
        s->next[b].row = row;
    }
    for (int b = 0, row = 0; b < n; b++) {
        if (first[b])
            continue;
        while (taken[row])
            row++;
        taken[row] = true;
        s->copies[s->copy_count][0] = row;
        s->copies[s->copy_count++][1] = s->next[b].row;
        s->next[b].row = row;
    }
}

static void beam_step(hm_whisper_search *s, float *logits)
{
    const hm_whisper_request *r = s->r;
    candidate list[MAX_CANDIDATES];
    int parent[HM_WHISPER_MAX_BEAMS], B = r->beams, live = 0, count = collect(s, logits, list);
    bool limit = s->count + 1 == r->max_tokens;
    for (int i = 0; i < count; i++) {
        bool ends = limit || list[i].id == s->rules.g->end;
        if (ends && i < B)
            keep_ended(s, &list[i]);
        if (ends || live == B)
            continue;
        hm_whisper_beam *to = &s->next[live];
        const hm_whisper_beam *from = &s->now[list[i].beam];
        memcpy(to->ids, from->ids, (size_t)s->count * sizeof *to->ids);
        to->ids[s->count] = list[i].id;
        to->score = list[i].sum;
        to->log_sum = from->log_sum + list[i].log_p;
        parent[live++] = list[i].beam;
    }
    place_rows(s, parent, live);
    s->count++;
    s->done = s->broken || live < B;
    if (s->ended_count == B && live)
        s->done = s->done || s->next[0].score / powf((float)s->count, (float)r->length_penalty) <= s->ended[B - 1].score;
    for (int b = 0; b < live; b++) {
        hm_whisper_beam old = s->now[b];
        s->now[b] = s->next[b];
        s->next[b].ids = old.ids;
    }
}

void hm_whisper_search_step(hm_whisper_search *s, float *logits)
{
    if (s->r->beams > 1)
        beam_step(s, logits);
    else
        single_step(s, logits + (size_t)s->now[0].logits * (size_t)s->rules.V);
}

hm_status hm_whisper_search_result(hm_whisper_search *s, hm_whisper_text *out, hm_error *err)
{
    bool single = s->r->beams == 1;
    const hm_whisper_ended *best = &s->ended[0];
    const int32_t *ids = single ? s->drawn : best->ids;
    double log_sum = single ? s->now[0].log_sum : best->log_sum;
    int n = single ? s->count : best->count;
    if (s->broken || n < 1)
        return hm_fail(err, HM_EINVALID, "window %d: logits of id %d are not finite; the weights or a kernel are broken", s->r->window,
                       s->count);
    *out = (hm_whisper_text){.count = n, .score = single ? log_sum / n : (double)best->score, .avg_logprob = log_sum / n};
    out->tokens = hm_calloc((size_t)n, sizeof *out->tokens, "tokens", err);
    if (!out->tokens)
        return HM_EABSENT;
    memcpy(out->tokens, ids, (size_t)n * sizeof *ids);
    out->ended = ids[n - 1] == s->rules.g->end;
    out->margins = s->margins;
    out->logits = s->logits;
    s->margins = s->logits = NULL;
    return HM_OK;
}
