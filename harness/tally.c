#include "harness/tally.h"

#include <stdlib.h>
#include <string.h>

#include "harness/health.h"
#include "harness/store.h"
#include "reports/stats.h"

hm_status hm_tally_open(hm_tally *t, const hm_plan *plan, int rounds, hm_error *err)
{
    size_t pairs = (size_t)plan->case_count * (size_t)plan->arm_count;
    *t = (hm_tally){.plan = plan, .rounds = rounds};
    t->cells = hm_calloc(pairs * (size_t)rounds, sizeof *t->cells, "table of runs", err);
    t->expected_ns = t->cells ? hm_calloc(pairs, sizeof *t->expected_ns, "table of durations", err) : NULL;
    t->guessed = t->expected_ns ? hm_calloc(pairs, sizeof *t->guessed, "table of durations", err) : NULL;
    t->decided = t->guessed ? hm_calloc((size_t)plan->case_count, sizeof *t->decided, "table of cases", err) : NULL;
    if (!t->decided)
        return HM_EABSENT;
    for (int c = 0; c < plan->case_count; c++)
        for (int round = 0; round < rounds; round++)
            hm_tally_drop(t, c, round);
    t->dropped = 0;
    return HM_OK;
}

void hm_tally_close(hm_tally *t)
{
    free(t->cells);
    free(t->expected_ns);
    free(t->guessed);
    free(t->decided);
    memset(t, 0, sizeof *t);
}

hm_tally_cell *hm_tally_at(const hm_tally *t, int c, int arm, int round)
{
    return &t->cells[((size_t)round * (size_t)t->plan->case_count + (size_t)c) * (size_t)t->plan->arm_count + (size_t)arm];
}

/* Has a turn in every round. */
static bool takes_part(const hm_tally *t, int c, int arm)
{
    return hm_plan_runs(t->plan, c, arm) && !t->plan->arms[arm].refusal[0];
}

void hm_tally_drop(hm_tally *t, int c, int round)
{
    for (int a = 0; a < t->plan->arm_count; a++)
        *hm_tally_at(t, c, a, round) =
            (hm_tally_cell){.done = !hm_plan_runs(t->plan, c, a), .wall_ns = NAN, .elapsed_ns = NAN, .steady = {NAN, NAN, NAN}};
    t->dropped++;
}

void hm_tally_put(hm_tally *t, int c, int arm, int round, bool ok, const hm_sample *samples, int count, int threads, double elapsed_ns)
{
    hm_tally_cell *cell = hm_tally_at(t, c, arm, round);
    double *walls = malloc((size_t)(count > 0 ? count : 1) * sizeof *walls);
    int n = 0;
    *cell = (hm_tally_cell){.done = true, .failed = !ok, .wall_ns = NAN, .elapsed_ns = elapsed_ns, .steady = {NAN, NAN, NAN}};
    for (int i = 0; i < count && ok && walls; i++) {
        if (samples[i].warmup)
            continue;
        walls[n++] = (double)samples[i].wall_ns;
        cell->unhealthy = cell->unhealthy || !hm_health_ranks(samples[i].health);
    }
    if (n) {
        cell->wall_ns = hm_median(walls, n);
        cell->steady = hm_steady_of(samples, count, threads);
    }
    free(walls);
}

/* Rows of one run, gathered. */
typedef struct loader {
    hm_tally *tally;
    hm_sample *samples; /* of the run that is being read */
    int count, room;
    char run_id[HM_UUID_TEXT], dropped_id[HM_UUID_TEXT];
    int case_index, arm, round, threads;
    bool ok;
    double elapsed_ns;
    int *dropped; /* [cases] runs that were set aside */
    bool failed;  /* without memory */
} loader;

static void end_run(loader *l)
{
    if (l->run_id[0])
        hm_tally_put(l->tally, l->case_index, l->arm, l->round, l->ok, l->samples, l->count, l->threads, l->elapsed_ns);
    l->run_id[0] = 0;
    l->count = 0;
}

static void add_sample(loader *l, const hm_run_row *row)
{
    if (l->count == l->room) {
        hm_sample *grown = realloc(l->samples, (size_t)(l->room + 8) * sizeof *grown);
        if (!grown) {
            l->failed = true;
            return;
        }
        l->samples = grown;
        l->room += 8;
    }
    hm_sample *s = &l->samples[l->count++];
    hm_sample_init(s);
    s->wall_ns = row->wall_ns;
    s->clock_khz = row->clock_khz;
    s->throttled = row->throttled;
    s->steal_ns = row->steal_ns;
    snprintf(s->health, sizeof s->health, "%s", row->health ? row->health : "");
}

static void load_row(void *self, const hm_run_row *row)
{
    loader *l = self;
    const hm_plan *plan = l->tally->plan;
    int c = hm_plan_find_case(plan, row->case_id), a = hm_plan_find_arm(plan, row->arm_id);
    if (c < 0 || a < 0)
        return;
    if (strcmp(l->run_id, row->run_id))
        end_run(l);
    if (row->dropped) {
        l->dropped[c] += strcmp(l->dropped_id, row->run_id) != 0;
        snprintf(l->dropped_id, sizeof l->dropped_id, "%s", row->run_id);
        return;
    }
    if (row->round >= l->tally->rounds || row->round < 0) /* below 0: a cold start */
        return;
    snprintf(l->run_id, sizeof l->run_id, "%s", row->run_id);
    l->case_index = c;
    l->arm = a;
    l->round = row->round;
    l->ok = !strcmp(row->status, "ok");
    l->threads = row->threads;
    l->elapsed_ns = (double)row->duration_ns;
    if (row->has_sample)
        add_sample(l, row);
}

hm_status hm_tally_load(hm_tally *t, hm_store *store, const char *session_id, hm_error *err)
{
    loader l = {.tally = t};
    l.dropped = hm_calloc((size_t)t->plan->case_count, sizeof *l.dropped, "table of cases", err);
    if (!l.dropped)
        return HM_EABSENT;
    hm_status st = hm_store_each_run(store, session_id, load_row, &l, err);
    end_run(&l);
    for (int c = 0; c < t->plan->case_count; c++) {
        int arms = 0;
        for (int a = 0; a < t->plan->arm_count; a++)
            arms += takes_part(t, c, a);
        t->dropped += arms ? l.dropped[c] / arms : 0;
    }
    free(l.samples);
    free(l.dropped);
    return !st && l.failed ? hm_fail(err, HM_EABSENT, "session %s: out of memory", session_id) : st;
}

bool hm_tally_spoilt(const hm_tally *t, int c, int round, char *reason, size_t size)
{
    size_t most = (size_t)t->rounds * (size_t)t->plan->case_count;
    double *clocks = malloc(2 * most * sizeof *clocks), *steals = clocks ? clocks + most : NULL;
    bool spoilt = false;
    for (int a = 0; a < t->plan->arm_count && clocks && !spoilt && !t->nothing_spoils; a++) {
        char why[200];
        int n = 0;
        for (int k = 0; k < t->plan->case_count; k++)
            for (int r = 0; r < t->rounds; r++, n++) {
                clocks[n] = hm_tally_at(t, k, a, r)->steady.clock_khz;
                steals[n] = t->stolen_spoils ? hm_tally_at(t, k, a, r)->steady.steal_share : NAN;
            }
        spoilt = hm_steady_spoilt(&hm_tally_at(t, c, a, round)->steady, clocks, steals, n, why, sizeof why);
        if (spoilt)
            snprintf(reason, size, "%s: %s", t->plan->arms[a].name, why);
    }
    free(clocks);
    return spoilt;
}

int hm_tally_case_rounds(const hm_tally *t, int c)
{
    int whole = 0;
    for (int round = 0; round < t->rounds; round++) {
        bool all = true;
        for (int a = 0; a < t->plan->arm_count && all; a++)
            all = !takes_part(t, c, a) || hm_tally_at(t, c, a, round)->done;
        whole += all;
    }
    return whole;
}

/* Logarithms of an arm's times, against those of base (its own: -1), of the rounds that have both. */
static int log_times(const hm_tally *t, int c, int arm, int base, double *y)
{
    int n = 0;
    for (int round = 0; round < t->rounds; round++) {
        double x = hm_tally_at(t, c, arm, round)->wall_ns, against = base < 0 ? 1 : hm_tally_at(t, c, base, round)->wall_ns;
        if (!isnan(x) && !isnan(against))
            y[n++] = log(x / against);
    }
    return n;
}

double hm_tally_half_width(const hm_tally *t, int c)
{
    double *y = malloc((size_t)t->rounds * sizeof *y), widest = -1;
    int first = 0, arms = 0;
    for (int a = t->plan->arm_count - 1; a >= 0; a--)
        if (takes_part(t, c, a)) {
            first = a;
            arms++;
        }
    for (int a = first; a < t->plan->arm_count && y && arms; a++) {
        if (!takes_part(t, c, a) || (a == first && arms > 1))
            continue;
        int n = log_times(t, c, a, arms > 1 ? first : -1, y);
        hm_interval i = n ? hm_hodges_lehmann(y, n, 0.025) : (hm_interval){0, -INFINITY, INFINITY};
        double half = exp((i.high - i.low) / 2) - 1;
        widest = half > widest ? half : widest;
    }
    free(y);
    return widest < 0 ? INFINITY : widest;
}

bool hm_tally_healthy(const hm_tally *t, int c, int arm)
{
    bool good = takes_part(t, c, arm);
    for (int round = 0; round < t->rounds && good; round++) {
        const hm_tally_cell *cell = hm_tally_at(t, c, arm, round);
        good = !cell->failed && !cell->unhealthy;
    }
    return good;
}

/* The median of the turns that were taken; NaN: none. */
static double taken_ns(const hm_tally *t, int c, int arm)
{
    double *known = malloc((size_t)t->rounds * sizeof *known), turn = NAN;
    int n = 0;
    for (int round = 0; round < t->rounds && known; round++)
        if (!isnan(hm_tally_at(t, c, arm, round)->elapsed_ns))
            known[n++] = hm_tally_at(t, c, arm, round)->elapsed_ns;
    if (n)
        turn = hm_median(known, n);
    free(known);
    return turn;
}

double hm_tally_turn_ns(const hm_tally *t, int c, int arm)
{
    int pair = c * t->plan->arm_count + arm;
    double taken = taken_ns(t, c, arm), took = 0, guesses = 0;
    if (!isnan(taken) || !t->guessed[pair])
        return isnan(taken) ? t->expected_ns[pair] : taken;
    for (int i = 0; i < t->plan->case_count * t->plan->arm_count; i++) {
        double ns = t->guessed[i] ? taken_ns(t, i / t->plan->arm_count, i % t->plan->arm_count) : NAN;
        took += isnan(ns) ? 0 : ns;
        guesses += isnan(ns) ? 0 : t->expected_ns[i];
    }
    return t->expected_ns[pair] * (guesses > 0 ? took / guesses : 1);
}

double hm_tally_seconds_left(const hm_tally *t)
{
    double left = 0;
    for (int c = 0; c < t->plan->case_count; c++)
        for (int a = 0; a < t->plan->arm_count; a++) {
            int turns = 0;
            for (int round = 0; round < t->rounds; round++)
                turns += !hm_tally_at(t, c, a, round)->done;
            if (turns && takes_part(t, c, a) && !t->decided[c])
                left += turns * hm_tally_turn_ns(t, c, a) * 1e-9;
        }
    return left;
}

int hm_plan_find_case(const hm_plan *plan, const char *id)
{
    for (int c = 0; c < plan->case_count; c++)
        if (!strcmp(plan->cases[c].id, id))
            return c;
    return -1;
}

int hm_plan_find_arm(const hm_plan *plan, const char *id)
{
    for (int a = 0; a < plan->arm_count; a++)
        if (!strcmp(plan->arms[a].id, id))
            return a;
    return -1;
}
