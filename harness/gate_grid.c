#include "harness/gate_grid.h"

#include <math.h>
#include <stdbool.h>

#include "harness/gnuplot.h"
#include "reports/plot_curves.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

/* The ordinary gate: what a curve does not vary. */
static const hm_simulation_setting ordinary = {.noise = 0.015, .drift = HM_DRIFT_AR, .margin = 0.02, .cases = 9};

/* Identical arms, and a slowdown that has to be found; noisy machines with a margin that fits them, too. */
static int goals(hm_simulation_setting *out)
{
    static const struct {
        double noise, margin, slowdown;
        int cases;
    } rows[] = {{0.005, 0.02, 0.03, 9}, {0.015, 0.02, 0.03, 9}, {0.015, 0.02, 0.03, 1}, {0.03, 0.02, 0.03, 9}, {0.03, 0.05, 0.08, 9}};
    int n = 0;
    for (int r = 0; r < LENGTH(rows); r++)
        for (int slow = 0; slow < 2; slow++)
            for (int d = 0; d < HM_DRIFT_COUNT; d++)
                out[n++] = (hm_simulation_setting){.set = HM_SIMULATE_GOALS,
                                                   .noise = rows[r].noise,
                                                   .drift = (hm_drift)d,
                                                   .slowdown = slow ? rows[r].slowdown : 0,
                                                   .margin = rows[r].margin,
                                                   .cases = rows[r].cases};
    return n;
}

static int curve(hm_simulation_setting like, hm_simulation_set set, double most, hm_simulation_setting *out)
{
    static const double slowdowns[] = {0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.07, 0.08};
    int n = 0;
    like.set = set;
    for (int i = 0; i < LENGTH(slowdowns) && slowdowns[i] <= most; i++) {
        like.slowdown = slowdowns[i];
        out[n++] = like;
    }
    return n;
}

int hm_gate_grid(hm_simulation_set set, hm_simulation_setting out[HM_GATE_GRID])
{
    static const double noises[] = {0.005, 0.01, 0.015, 0.02, 0.03}, margins[] = {0.01, 0.02, 0.03, 0.05};
    static const int cases[] = {1, 3, 9, 27};
    hm_simulation_setting s;
    int n = 0;
    bool all = set == HM_SIMULATE_ALL;
    if (all || set == HM_SIMULATE_GOALS)
        n += goals(out);
    for (int i = 0; i < LENGTH(noises) && (all || set == HM_SIMULATE_NOISE); i++) {
        s = ordinary;
        s.noise = noises[i];
        n += curve(s, HM_SIMULATE_NOISE, 0.06, out + n);
    }
    for (int i = 0; i < LENGTH(margins) && (all || set == HM_SIMULATE_MARGIN); i++) {
        s = ordinary;
        s.margin = margins[i];
        n += curve(s, HM_SIMULATE_MARGIN, 0.08, out + n);
    }
    for (int i = 0; i < LENGTH(cases) && (all || set == HM_SIMULATE_CASES); i++) {
        s = ordinary;
        s.cases = cases[i];
        n += curve(s, HM_SIMULATE_CASES, 0.06, out + n);
    }
    return n;
}

/* ---- what came of it ---- */

static double percent(int count, int of)
{
    return 100.0 * count / of;
}

hm_document *hm_simulation_document(const hm_simulation_result *result)
{
    static const char *const sets[] = {HM_SIMULATION_SETS};
    static const char *const titles[] = {"set",
                                         ">noise_percent|noise %",
                                         "drift",
                                         ">slowdown_percent|slowdown %",
                                         ">margin_percent|margin %",
                                         ">cases",
                                         ">gates",
                                         ">fail_percent|FAIL %",
                                         ">pass_percent|PASS %",
                                         ">inconclusive_percent|inconclusive %",
                                         ">wrong_case_percent|wrong case %",
                                         ">mean_rounds|mean rounds",
                                         NULL};
    hm_document *document = hm_document_new("simulation");
    hm_sheet *sheet = hm_sheet_new(titles);
    for (int i = 0; i < result->count; i++) {
        const hm_simulation_outcome *r = &result->rows[i];
        const hm_simulation_setting *s = &r->setting;
        hm_sheet_cell(sheet, "%s", s->set > HM_SIMULATE_CASES ? "?" : s->set == HM_SIMULATE_ALL ? "one" : sets[s->set]);
        hm_sheet_cell(sheet, "%g", 100 * s->noise);
        hm_sheet_cell(sheet, "%s", hm_drift_name(s->drift));
        hm_sheet_cell(sheet, "%g", 100 * s->slowdown);
        hm_sheet_cell(sheet, "%g", 100 * s->margin);
        hm_sheet_cell(sheet, "%d", s->cases);
        hm_sheet_cell(sheet, "%d", r->gates);
        hm_sheet_cell(sheet, "%.2f", percent(r->fail, r->gates));
        hm_sheet_cell(sheet, "%.2f", percent(r->pass, r->gates));
        hm_sheet_cell(sheet, "%.2f", percent(r->inconclusive, r->gates));
        hm_sheet_cell(sheet, "%.2f", percent(r->wrong_case, r->gates));
        hm_sheet_cell(sheet, "%.1f", r->mean_rounds);
    }
    hm_document_sheet(document, "simulation", sheet);
    return document;
}

/* What tells the curves of a set apart, as their name. */
static void name_curve(const hm_simulation_setting *s, hm_gate_curve *out)
{
    if (s->set == HM_SIMULATE_NOISE)
        snprintf(out->name, sizeof out->name, "%g %% noise", 100 * s->noise);
    else if (s->set == HM_SIMULATE_MARGIN)
        snprintf(out->name, sizeof out->name, "%g %% margin", 100 * s->margin);
    else
        snprintf(out->name, sizeof out->name, "%d case%s", s->cases, s->cases == 1 ? "" : "s");
}

/* Rows of the set as curves: a new one starts where the slowdown falls back. */
static int gather(const hm_simulation_result *result, hm_simulation_set set, hm_gate_curve *curves)
{
    int count = 0;
    double last = INFINITY;
    for (int i = 0; i < result->count; i++) {
        const hm_simulation_outcome *r = &result->rows[i];
        if (r->setting.set != set)
            continue;
        if (r->setting.slowdown <= last) {
            if (count == HM_GATE_CURVES)
                return count;
            curves[count] = (hm_gate_curve){.margin = 100 * r->setting.margin};
            name_curve(&r->setting, &curves[count++]);
        }
        hm_gate_curve *c = &curves[count - 1];
        last = r->setting.slowdown;
        if (c->count == HM_GATE_CURVE_POINTS)
            continue;
        c->slowdown[c->count] = 100 * r->setting.slowdown;
        c->fail[c->count] = percent(r->fail, r->gates);
        c->pass[c->count++] = percent(r->pass, r->gates);
    }
    return count;
}

typedef struct picture {
    hm_gate_curve curves[HM_GATE_CURVES];
    int count;
    char title[160], detail[200];
} picture;

static hm_status script(void *self, const char *output, FILE *file, hm_error *err)
{
    const picture *p = self;
    return hm_plot_gate_curves(p->title, p->detail, p->curves, p->count, output, file, err);
}

static const hm_simulation_outcome *first_of(const hm_simulation_result *result, hm_simulation_set set)
{
    for (int i = 0; i < result->count; i++)
        if (result->rows[i].setting.set == set || (set == HM_SIMULATE_ALL && result->rows[i].setting.set > HM_SIMULATE_GOALS))
            return &result->rows[i];
    return NULL;
}

hm_status hm_simulation_draw(const hm_simulation_result *result, hm_simulation_set set, const char *output, hm_error *err)
{
    static const char *const drifts[] = {"no drift", "steady drift", "wandering drift", "drift in steps"};
    static const char *const what[] = {"", "", "how noisy runs are", "the margin", "how many cases are gated together"};
    const hm_simulation_outcome *first = set == HM_SIMULATE_GOALS ? NULL : first_of(result, set);
    picture p = {0};
    if (!first)
        return hm_fail(err, HM_EMISSING, "plot %s: the simulation has no operating curves: ask for the set noise, margin or cases", output);
    const hm_simulation_setting *s = &first->setting;
    snprintf(p.title, sizeof p.title, "Verdicts of the gate by true slowdown of one case, and %s", what[s->set]);

    int n = snprintf(p.detail, sizeof p.detail, "%d simulated gates a point, %s", first->gates, drifts[s->drift]);
    if (s->set != HM_SIMULATE_NOISE)
        n += snprintf(p.detail + n, sizeof p.detail - (size_t)n, ", noise %g %%", 100 * s->noise);
    if (s->set != HM_SIMULATE_MARGIN)
        n += snprintf(p.detail + n, sizeof p.detail - (size_t)n, ", margin %g %%", 100 * s->margin);
    if (s->set != HM_SIMULATE_CASES)
        snprintf(p.detail + n, sizeof p.detail - (size_t)n, ", %d cases", s->cases);
    p.count = gather(result, s->set, p.curves);
    return hm_gnuplot_draw(output, script, &p, err);
}
