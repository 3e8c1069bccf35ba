#include "harness/iterations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reports/stats.h"

/* One process: logarithms of its generations, summed as they come (Welford). */
typedef struct process {
    char run_id[HM_UUID_TEXT], arm_id[HM_UUID_TEXT];
    int n;
    double mean, squares, wall_ns, duration_ns;
} process;

typedef struct reading {
    const char *case_id;
    process *items;
    int count;
    bool failed; /* out of memory */
} reading;

static void take(void *self, const hm_run_row *run)
{
    reading *r = self;
    process *p = r->count ? &r->items[r->count - 1] : NULL;
    if (strcmp(run->case_id, r->case_id) || strcmp(run->status, "ok") || run->dropped || !run->has_sample || run->wall_ns <= 0)
        return;
    if (!p || strcmp(p->run_id, run->run_id)) {
        process *grown = realloc(r->items, (size_t)(r->count + 1) * sizeof *grown);
        if (!grown) {
            r->failed = true;
            return;
        }
        r->items = grown;
        p = &grown[r->count++];
        *p = (process){.duration_ns = (double)run->duration_ns};
        snprintf(p->run_id, sizeof p->run_id, "%s", run->run_id);
        snprintf(p->arm_id, sizeof p->arm_id, "%s", run->arm_id);
    }
    double x = log((double)run->wall_ns), step = x - p->mean;
    p->wall_ns += (double)run->wall_ns;
    p->mean += step / ++p->n;
    p->squares += step * (x - p->mean);
}

/* Squares of the processes' means around their arm's, and how many of them are free. */
static double between(const reading *r, int *free_ones)
{
    double sum = 0;
    *free_ones = 0;
    for (int i = 0; i < r->count; i++) {
        const process *p = &r->items[i];
        double mean = 0;
        int n = 0;
        bool first = true;
        for (int k = 0; k < r->count; k++) {
            if (r->items[k].n < 2 || strcmp(r->items[k].arm_id, p->arm_id))
                continue;
            first = first && k >= i;
            mean += (r->items[k].mean - mean) / ++n;
        }
        if (p->n < 2)
            continue;
        sum += (p->mean - mean) * (p->mean - mean);
        *free_ones += !first; /* the first of an arm is what the others are compared with */
    }
    return sum;
}

static void judge(const reading *r, hm_iterations *out)
{
    double within = 0, walls = 0, rest = 0, generations = 0;
    int between_free;
    for (int i = 0; i < r->count; i++) {
        const process *p = &r->items[i];
        if (p->n < 2)
            continue;
        within += p->squares;
        walls += p->wall_ns;
        rest += fmax(p->duration_ns - p->wall_ns, 0);
        generations += p->n;
        out->processes++;
    }
    if (!out->processes)
        return;
    double own = within / (generations - out->processes), squares = between(r, &between_free);
    out->iteration_s = walls / generations * 1e-9;
    out->process_s = rest / out->processes * 1e-9;
    out->iteration_sd = sqrt(own);
    if (!between_free)
        return;
    double process_variance = fmax(0, squares / between_free - own / (generations / out->processes));
    out->process_sd = sqrt(process_variance);
    out->best = hm_best_iterations(out->process_s, out->iteration_s, own, process_variance, HM_ITERATIONS_CAP);
}

hm_status hm_iterations_advise(hm_store *store, const char *session_id, const char *case_id, hm_iterations *out, hm_error *err)
{
    reading r = {.case_id = case_id};
    *out = (hm_iterations){.process_s = NAN, .iteration_s = NAN, .process_sd = NAN, .iteration_sd = NAN};
    hm_status st = hm_store_each_run(store, session_id, take, &r, err);
    if (!st && r.failed)
        st = hm_fail(err, HM_EABSENT, "iterations: out of memory");
    if (!st)
        judge(&r, out);
    free(r.items);
    return st;
}
