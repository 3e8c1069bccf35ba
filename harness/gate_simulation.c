#include "harness/gate_simulation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/team.h"
#include "harness/gate.h"
#include "harness/gate_grid.h"
#include "harness/progress.h"
#include "harness/rounds.h"

#define RUN_NS 1e9 /* mean duration of a run */
#define TAIL_SHARE 0.05
#define TAIL_WIDTH 3.0         /* Tukey's contamination, upward only */
#define SD_WITH_TAIL 1.1771475 /* sqrt(1 + 0.05 (3^2 - 1) - (0.05 * 3)^2 2 / pi) */
#define RAMP 0.06
#define AR_SD 0.025
#define AR_RUNS 10.0
#define STEP 0.10
#define STEP_SHARE (1.0 / 3)

enum {
    MOST_CASES = 512,
    MOST_ROUNDS = 1000,
    MOST_GATES = 1000000
};
enum {
    STREAM_RUN = 0x47415445,
    STREAM_DRIFT = 0x44524946,
    STREAM_STEP = 0x53544550
};

const char *hm_drift_name(hm_drift drift)
{
    static const char *const names[] = {"none", "ramp", "ar", "step"};
    return (unsigned)drift < HM_DRIFT_COUNT ? names[drift] : "?";
}

/* One made-up session and its gate. */
typedef struct session {
    const hm_simulation_setting *setting;
    const hm_gate_rule *rule;
    hm_fake_clock clock;
    uint64_t seed;
    uint32_t gate;
    int runs;          /* so far */
    double drift;      /* AR: its logarithm now */
    double stretch_ns; /* the rounds up to the first look, without drift */
    double (*last)[2]; /* [cases][arms], ns */
    double *y;         /* [cases][rounds] */
    hm_gate_finding *findings;
} session;

static void draw(const session *s, uint32_t a, uint32_t b, uint32_t stream, uint32_t out[4])
{
    uint32_t counter[4] = {s->gate, a, b, stream}, key[2] = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32)};
    hm_philox4x32(counter, key, out);
}

/* In (0, 1]. */
static double uniform(uint32_t word)
{
    return ((double)word + 1) * 0x1p-32;
}

static double normal(uint32_t a, uint32_t b)
{
    return sqrt(-2 * log(uniform(a))) * cos(2 * M_PI * uniform(b));
}

/* Logarithm of what the machine's state multiplies a run that starts now with. */
static double drift_now(session *s)
{
    uint32_t words[4];
    double stretches = (double)s->clock.now / s->stretch_ns, whole = floor(stretches);
    switch (s->setting->drift) {
    case HM_DRIFT_RAMP:
        return log1p(RAMP * stretches);
    case HM_DRIFT_AR: {
        double keep = s->runs ? exp(-1 / AR_RUNS) : 0;
        draw(s, (uint32_t)s->runs, 0, STREAM_DRIFT, words);
        s->drift = keep * s->drift + sqrt(1 - keep * keep) * AR_SD * normal(words[0], words[1]);
        return s->drift;
    }
    case HM_DRIFT_STEP: {
        draw(s, (uint32_t)whole, 0, STREAM_STEP, words);
        double from = uniform(words[0]) * (1 - STEP_SHARE), at = stretches - whole;
        return at >= from && at < from + STEP_SHARE ? log1p(STEP) : 0;
    }
    default:
        return 0;
    }
}

static bool always_wanted(void *self, int c, int arm, int round)
{
    (void)self, (void)c, (void)arm, (void)round;
    return true;
}

static hm_status run(void *self, int c, int arm, int round, int slot, hm_error *err)
{
    session *s = self;
    uint32_t words[4];
    (void)slot, (void)err;
    draw(s, (uint32_t)round, (uint32_t)(2 * c + arm), STREAM_RUN, words);
    double z = normal(words[0], words[1]), t;
    if (uniform(words[2]) <= TAIL_SHARE)
        z = TAIL_WIDTH * fabs(z);
    t = drift_now(s) + s->setting->noise / SD_WITH_TAIL * z;
    if (arm && !c)
        t += log1p(s->setting->slowdown);
    t = RUN_NS * exp(t);
    s->last[c][arm] = t;
    s->runs++;
    hm_clock_sleep(&s->clock.clock, (int64_t)t);
    return HM_OK;
}

static bool decided(void *self, int c, int rounds_done)
{
    session *s = self;
    double *y = s->y + (size_t)c * (size_t)s->rule->looks[s->rule->look_count - 1];
    y[rounds_done - 1] = log(s->last[c][1] / s->last[c][0]);
    if (!hm_gate_is_look(s->rule, rounds_done)) /* open, and asking the rule would cost most of the time */
        return false;
    hm_gate_judge(s->rule, y, rounds_done, &s->findings[c]);
    return s->findings[c].verdict != HM_GATE_OPEN;
}

/* One thread's sums. */
typedef struct tally {
    int fail, pass, inconclusive, wrong_case;
    int64_t rounds;
    hm_status status;
    hm_error err;
} tally;

static hm_status one_gate(session *s, tally *t, hm_error *err)
{
    int cases = s->setting->cases, last = s->rule->looks[s->rule->look_count - 1], rounds = 0;
    bool wrong = false;
    hm_rounds_outcome outcome;
    hm_fake_clock_init(&s->clock, 0);
    s->runs = 0;
    s->drift = 0;
    memset(s->findings, 0, (size_t)cases * sizeof *s->findings);
    hm_rounds schedule = {.cases = cases,
                          .arms = 2,
                          .rounds = last,
                          .order = HM_ORDER_ABBA,
                          .seed = s->seed ^ ((uint64_t)s->gate + 1) * 0x9E3779B97F4A7C15u,
                          .clock = &s->clock.clock,
                          .self = s,
                          .wanted = always_wanted,
                          .run = run,
                          .decided = decided};
    hm_status st = hm_rounds_run(&schedule, &outcome, err);
    if (st)
        return st;
    for (int c = 0; c < cases; c++) {
        rounds = s->findings[c].rounds > rounds ? s->findings[c].rounds : rounds;
        wrong = wrong || (s->findings[c].verdict == HM_GATE_FAIL && (c || s->setting->slowdown <= 0));
    }
    hm_gate_verdict v = hm_gate_together(s->findings, cases);
    t->fail += v == HM_GATE_FAIL;
    t->pass += v == HM_GATE_PASS || v == HM_GATE_IMPROVED;
    t->inconclusive += v == HM_GATE_INCONCLUSIVE;
    t->wrong_case += wrong;
    t->rounds += rounds;
    return HM_OK;
}

/* All gates of a setting, shared out over the team. */
typedef struct work {
    const hm_simulation_setting *setting;
    const hm_gate_rule *rule;
    uint64_t seed;
    int gates;
    tally *tallies; /* one per thread */
} work;

static void gates_of_one_thread(void *arg, int index, int count)
{
    const work *w = arg;
    tally *t = &w->tallies[index];
    size_t cases = (size_t)w->setting->cases, rounds = (size_t)w->rule->looks[w->rule->look_count - 1], first, last;
    session s = {.setting = w->setting, .rule = w->rule, .seed = w->seed};
    s.stretch_ns = RUN_NS * w->rule->looks[0] * 2.0 * w->setting->cases;
    s.last = calloc(cases, sizeof *s.last);
    s.y = calloc(cases * rounds, sizeof *s.y);
    s.findings = calloc(cases, sizeof *s.findings);
    *t = (tally){0};
    if (!s.last || !s.y || !s.findings)
        t->status = hm_fail(&t->err, HM_EABSENT, "gate simulation: out of memory");
    hm_team_range((size_t)w->gates, 1, index, count, &first, &last);
    for (size_t g = first; g < last && !t->status; g++) {
        s.gate = (uint32_t)g;
        t->status = one_gate(&s, t, &t->err);
    }
    free(s.last);
    free(s.y);
    free(s.findings);
}

static hm_status simulate_setting(const hm_simulation_options *o, hm_team *team, tally *tallies, hm_simulation_outcome *out, hm_error *err)
{
    hm_gate_rule rule;
    const hm_simulation_setting *s = &out->setting;
    hm_status st = hm_gate_rule_make(&rule, s->margin, o->alpha, s->cases, o->min_rounds, o->max_rounds, err);
    if (st)
        return st;
    work w = {s, &rule, o->seed, o->gates, tallies};
    hm_team_run(team, gates_of_one_thread, &w);
    out->gates = o->gates;
    for (int i = 0; i < hm_team_size(team); i++) {
        const tally *t = &tallies[i];
        if (t->status) {
            *err = t->err;
            return t->status;
        }
        out->fail += t->fail;
        out->pass += t->pass;
        out->inconclusive += t->inconclusive;
        out->wrong_case += t->wrong_case;
        out->mean_rounds += (double)t->rounds / o->gates;
    }
    return HM_OK;
}

static hm_status check(const hm_simulation_options *o, hm_error *err)
{
    if (o->gates < 1 || o->gates > MOST_GATES)
        return hm_fail(err, HM_EUSAGE, "gate simulation: %d gates: expected 1 to %d", o->gates, MOST_GATES);
    if (o->max_rounds > MOST_ROUNDS)
        return hm_fail(err, HM_EUSAGE, "gate simulation: max-rounds %d: expected at most %d", o->max_rounds, MOST_ROUNDS);
    for (int i = 0; i < o->setting_count; i++) {
        const hm_simulation_setting *s = &o->settings[i];
        if (!(s->noise >= 0 && s->noise <= 1))
            return hm_fail(err, HM_EUSAGE, "gate simulation: noise %g %%: expected 0 to 100 %%", 100 * s->noise);
        if (!(s->slowdown > -1 && s->slowdown <= 10))
            return hm_fail(err, HM_EUSAGE, "gate simulation: slowdown %g %%: expected -100 to 1000 %%", 100 * s->slowdown);
        if (s->cases < 1 || s->cases > MOST_CASES)
            return hm_fail(err, HM_EUSAGE, "gate simulation: %d cases: expected 1 to %d", s->cases, MOST_CASES);
        if ((unsigned)s->drift >= HM_DRIFT_COUNT)
            return hm_fail(err, HM_EUSAGE, "gate simulation: drift %d: there are %d kinds", (int)s->drift, HM_DRIFT_COUNT);
    }
    return HM_OK;
}

static hm_status simulate_all(const hm_simulation_options *o, hm_team *team, hm_simulation_result *out, hm_error *err)
{
    tally *tallies = calloc((size_t)hm_team_size(team), sizeof *tallies);
    out->rows = calloc((size_t)o->setting_count, sizeof *out->rows);
    hm_status st = tallies && out->rows ? HM_OK : hm_fail(err, HM_EABSENT, "gate simulation: out of memory");
    for (out->count = 0; out->count < o->setting_count && !st; out->count++) {
        if (hm_interrupted()) {
            st = hm_fail(err, HM_EINTERRUPTED, "gate simulation: interrupted");
            break;
        }
        out->rows[out->count].setting = o->settings[out->count];
        st = simulate_setting(o, team, tallies, &out->rows[out->count], err);
    }
    free(tallies);
    return st;
}

hm_status hm_gate_simulate(const hm_simulation_options *options, hm_simulation_result *out, hm_error *err)
{
    hm_simulation_options o = *options;
    hm_simulation_setting grid[HM_GATE_GRID];
    hm_team *team = NULL;
    *out = (hm_simulation_result){0};
    if (!o.settings) {
        o.settings = grid;
        o.setting_count = hm_gate_grid(o.set, grid);
    }
    o.gates = o.gates ? o.gates : 1000;
    o.alpha = o.alpha != 0 ? o.alpha : HM_GATE_ALPHA;
    o.min_rounds = o.min_rounds ? o.min_rounds : 10;
    o.max_rounds = o.max_rounds ? o.max_rounds : 40;
    hm_status st = check(&o, err);
    if (!st)
        st = hm_team_open(&team, o.threads, err);
    if (!st)
        st = simulate_all(&o, team, out, err);
    hm_team_close(&team);
    if (st)
        hm_simulation_result_free(out);
    return st;
}

void hm_simulation_result_free(hm_simulation_result *result)
{
    free(result->rows);
    *result = (hm_simulation_result){0};
}
