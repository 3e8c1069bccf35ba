#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/suite_run.h"

/* First good hashes of every case and arm. */
typedef struct seen {
    char codes[40], audio[40];
    int round;
    int64_t samples; /* of audio */
    bool any;
} seen;

typedef struct output_check {
    const hm_plan *plan;
    hm_suite_outcome *out;
    seen *seen; /* [cases][arms] */
} output_check;

static bool differ(const char *a, const char *b)
{
    return a[0] && b && b[0] && strcmp(a, b);
}

/* Audio of another length, and what of that falls on each piece of a stream. */
static void tell_lengths(char *out, size_t size, const seen *s, const hm_run_row *row)
{
    size_t used = strlen(out);
    if (s->samples == HM_UNKNOWN || row->audio_samples == HM_UNKNOWN || s->samples == row->audio_samples)
        return;
    int64_t off = s->samples - row->audio_samples;
    int n = snprintf(out + used, size - used, "; %lld and %lld samples", (long long)s->samples, (long long)row->audio_samples);
    if (row->pieces != HM_UNKNOWN && row->pieces > 0 && used + (size_t)n < size)
        snprintf(out + used + n, size - used - (size_t)n, ", %.1f %s per piece", (double)(off > 0 ? off : -off) / (double)row->pieces,
                 off > 0 ? "lost" : "too many");
}

static void compare_row(output_check *k, int c, int a, const hm_run_row *row)
{
    const hm_plan *plan = k->plan;
    for (int b = 0; b < plan->arm_count; b++) {
        const seen *s = &k->seen[c * plan->arm_count + b];
        if (!s->any || !hm_plan_same_output(&plan->arms[a], &plan->arms[b]))
            continue;
        bool codes = differ(s->codes, row->codes_hash), builds = plan->arms[a].program != plan->arms[b].program;
        if ((codes || differ(s->audio, row->audio_hash)) && !k->out->difference[0]) {
            snprintf(k->out->difference, sizeof k->out->difference,
                     "%s/%s: %s (round %d) and %s (round %d) must give the same %s and do not: %s", plan->cases[c].suite,
                     plan->cases[c].name, plan->arms[b].name, s->round + 1, plan->arms[a].name, row->round + 1, codes ? "codes" : "audio",
                     builds ? "the builds differ in more than speed" : "a toggle that says bitwise is not");
            tell_lengths(k->out->difference, sizeof k->out->difference, s, row);
        }
    }
    seen *mine = &k->seen[c * plan->arm_count + a];
    if (!mine->any) {
        *mine = (seen){.any = true, .round = row->round, .samples = row->audio_samples};
        snprintf(mine->codes, sizeof mine->codes, "%s", row->codes_hash ? row->codes_hash : "");
        snprintf(mine->audio, sizeof mine->audio, "%s", row->audio_hash ? row->audio_hash : "");
    }
}

static void check_row(void *self, const hm_run_row *row)
{
    output_check *k = self;
    int c = hm_plan_find_case(k->plan, row->case_id), a = hm_plan_find_arm(k->plan, row->arm_id);
    if (c < 0 || a < 0)
        return;
    if (!strcmp(row->status, "ok")) { /* bits do not depend on how fast the machine was: rounds that were set aside count here */
        if (row->has_sample)
            compare_row(k, c, a, row);
        return;
    }
    if (row->dropped)
        return;
    if (!strcmp(row->status, "refused"))
        k->out->refused++;
    k->out->failed++;
    if (!k->out->first_failure[0])
        snprintf(k->out->first_failure, sizeof k->out->first_failure, "%s/%s, %s: %s: %.400s", k->plan->cases[c].suite,
                 k->plan->cases[c].name, k->plan->arms[a].name, row->status, row->reason ? row->reason : "");
}

hm_status hm_suite_check(hm_store *store, const hm_plan *plan, const char *session_id, hm_suite_outcome *out, hm_error *err)
{
    output_check k = {.plan = plan, .out = out};
    out->failed = out->refused = 0;
    k.seen = hm_calloc((size_t)plan->case_count * (size_t)plan->arm_count, sizeof *k.seen, "hashes", err);
    if (!k.seen)
        return HM_EABSENT;
    hm_status st = hm_store_each_run(store, session_id, check_row, &k, err);
    free(k.seen);
    return st;
}
