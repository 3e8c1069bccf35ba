/* hmbench calibrate: the same program as both arms, so that what it finds is noise; and simulated gates. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/gate.h"
#include "harness/gate_simulation.h"
#include "harness/iterations.h"
#include "harness/measure.h"
#include "harness/output_options.h"
#include "harness/precision.h"
#include "harness/verdicts.h"

#define DRIFT_P 0.01 /* over all cases */
#define POWER 0.8

typedef struct calibrate_args {
    hm_measure_options m;
    hm_precision precision;
    const char *variant, *margin;
    double alpha;
    hm_output_options output;
    bool simulate;
    /* of simulations */
    const char *set, *noise, *drift, *slowdown, *plot;
    int64_t gates, cases;
} calibrate_args;

static const char *const sets[] = {HM_SIMULATION_SETS, NULL};

static hm_status parse(const hm_command *self, int argc, char **argv, calibrate_args *a, bool *helped, hm_error *err)
{
    hm_measure_options *m = &a->m;
    int64_t rounds = m->rounds, iterations = m->iterations, seed = 0;
    const char *drifts[HM_DRIFT_COUNT + 1] = {0};
    for (int i = 0; i < HM_DRIFT_COUNT; i++)
        drifts[i] = hm_drift_name((hm_drift)i);
    const hm_option options[] = {
        {"rounds", 'n', HM_OPT_INT, &rounds, "N", "pairs of equal programs", 10, 1000, NULL},
        {"iters", 0, HM_OPT_INT, &iterations, "N", "timed generations in each run; from 2 on: how many cost least", 1, HM_ITERATIONS_MOST,
         NULL},
        {"variant", 'V', HM_OPT_STRING, &a->variant, "NAME", "what is run", 0, 0, NULL},
        HM_PRECISION_OPTION(&a->precision),
        {"margin", 0, HM_OPT_STRING, &a->margin, "PERCENT", "of the gate that is planned: a bias of half of it is too much", 0, 0, NULL},
        {"alpha", 0, HM_OPT_DOUBLE, &a->alpha, "A", "of the gate that is planned", 0.000001, 0.4, NULL},
        {"model", 'm', HM_OPT_STRING, &m->plan.model, "LIST", "folders of weights, or presets; each runs the cases it makes", 0, 0, NULL},
        {"filter", 'f', HM_OPT_STRING, &m->plan.filter, "REGEX", "only cases whose suite/name matches", 0, 0, NULL},
        {"threads", 't', HM_OPT_STRING, &m->plan.threads, "N", "of both (default: all CPUs)", 0, 0, NULL},
        {"backend", 0, HM_OPT_STRING, &m->plan.backend, "NAME", "where both compute", 0, 0, hm_backend_choices},
        HM_DEVICE_OPTION(&m->plan.device),
        {"env-profile", 0, HM_OPT_STRING, &m->plan.env_profile, "NAME", "environment of both's processes (hmbench list env-profiles)", 0, 0,
         hm_env_profiles},
        {"warmup", 0, HM_OPT_STRING, &m->warmup, "KIND", "a full run; first frames and one solver step; none", 0, 0, hm_warmup_names},
        {"max-time", 0, HM_OPT_DURATION, &m->max_time_s, "TIME", "no round starts that would end later; 0: no limit", 0, 1e9, NULL},
        {"settle", 0, HM_OPT_DURATION, &m->settle_s, "TIME", "longest wait before a turn until the CPU is as cool as in the first round", 0,
         3600, NULL},
        {"timeout", 0, HM_OPT_DURATION, &m->timeout_s, "TIME", "of one run", 1, 1e7, NULL},
        {"seed", 0, HM_OPT_INT, &seed, "N", "of the order of arms, or of simulations (0: drawn; simulations: 0)", 0, 9e15, NULL},
        {"resume", 0, HM_OPT_FLAG, &m->resume, NULL, "go on with the last calibration that is not complete", 0, 0, NULL},
        {"simulate", 0, HM_OPT_FLAG, &a->simulate, NULL, "run no program: simulated gates, and how often their verdict is wrong", 0, 0,
         NULL},
        {"set", 0, HM_OPT_STRING, &a->set, "KIND", "of simulations", 0, 0, sets},
        {"gates", 0, HM_OPT_INT, &a->gates, "N", "simulations per setting", 1, 1000000, NULL},
        {"noise", 0, HM_OPT_STRING, &a->noise, "PERCENT", "simulate this setting only: sd of a run", 0, 0, NULL},
        {"drift", 0, HM_OPT_STRING, &a->drift, "KIND", "simulate this setting only", 0, 0, drifts},
        {"slowdown", 0, HM_OPT_STRING, &a->slowdown, "PERCENT", "simulate this setting only: the true one", 0, 0, NULL},
        {"cases", 0, HM_OPT_INT, &a->cases, "N", "simulate this setting only: cases gated together", 1, 1000, NULL},
        {"plot", 0, HM_OPT_STRING, &a->plot, "FILE", "a picture of the simulated operating curves, .svg or .png", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &m->db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &m->quiet, NULL, "the table and errors only", 0, 0, NULL},
        HM_OUTPUT_OPTIONS(a->output),
        {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, &m->plan.suites, HM_PLAN_SUITES, helped, err);
    if (st || *helped)
        return st;
    st = hm_precision_apply(&a->precision, &a->variant, err);
    if (st)
        return st;
    m->rounds = (int)rounds;
    m->iterations = (int)iterations;
    m->seed = (uint64_t)seed;
    m->argc = argc;
    m->argv = argv;
    return HM_OK;
}

/* NULL leaves *out; a margin is above 0. */
static hm_status read_percent(const char *option, const char *text, double *out, hm_error *err)
{
    return text ? hm_option_percent(option, text, strcmp(option, "margin") != 0, out, err) : HM_OK;
}

/* ---- simulated ---- */

static hm_status one_setting(const calibrate_args *a, hm_simulation_setting *s, hm_error *err)
{
    *s = (hm_simulation_setting){.noise = 0.015, .margin = 0.02, .cases = (int)(a->cases ? a->cases : 9)};
    hm_status st = read_percent("noise", a->noise, &s->noise, err);
    if (!st)
        st = read_percent("slowdown", a->slowdown, &s->slowdown, err);
    if (!st)
        st = read_percent("margin", a->margin, &s->margin, err);
    for (int i = 0; a->drift && i < HM_DRIFT_COUNT; i++)
        if (!strcmp(a->drift, hm_drift_name((hm_drift)i)))
            s->drift = (hm_drift)i;
    return st;
}

static hm_simulation_set set_of(const char *name)
{
    int i = 0;
    while (name && sets[i] && strcmp(sets[i], name))
        i++;
    return name && sets[i] ? (hm_simulation_set)i : HM_SIMULATE_ALL;
}

static hm_status simulate(const calibrate_args *a, hm_error *err)
{
    hm_simulation_setting setting;
    hm_simulation_result result = {0};
    bool one = a->noise || a->drift || a->slowdown || a->cases || a->margin;
    hm_simulation_options o = {.set = set_of(a->set), .gates = (int)a->gates, .seed = a->m.seed, .alpha = a->alpha};
    hm_status st = a->m.plan.suites.count ? hm_fail(err, HM_EUSAGE, "--simulate: runs no suite") : HM_OK;
    if (!st && one && a->plot)
        st = hm_fail(err, HM_EUSAGE,
                     "--plot: a picture is of a whole set of settings; leave out --noise, --drift, --slowdown, --margin and --cases");
    if (!st && one) {
        st = one_setting(a, &setting, err);
        o.settings = &setting;
        o.setting_count = 1;
    }
    if (st)
        return st;
    st = hm_gate_simulate(&o, &result, err);
    if (!st) {
        hm_document *document = hm_simulation_document(&result);
        st = hm_output_write(&a->output, document, err);
        hm_document_free(&document);
    }
    if (!st && a->plot)
        st = hm_simulation_draw(&result, o.set, a->plot, err);
    hm_simulation_result_free(&result);
    return st;
}

/* ---- measured ---- */

/* Both arms of a case: the program, and the same once more. */
static void arms_of(const hm_plan *plan, int c, int *first, int *second)
{
    *first = *second = -1;
    for (int a = plan->arm_count - 1; a >= 0; a--)
        if (hm_plan_runs(plan, c, a))
            *(plan->arms[a].program ? second : first) = a;
}

typedef struct finding {
    double sd, bias, drift_p; /* of logarithms */
    int n;
    const char *word; /* fit, unfit, too few */
    char reason[300];
} finding;

static hm_status look(const hm_measure *m, int c, double margin, finding *f, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(m);
    int first, second, rounds = hm_measure_rounds(m);
    double *y = hm_calloc((size_t)rounds + 1, sizeof *y, "pairs", err);
    *f = (finding){.sd = NAN, .bias = NAN, .drift_p = NAN, .word = "too few rounds"};
    if (!y)
        return HM_EABSENT;
    arms_of(plan, c, &first, &second);
    for (int r = 0; r < rounds; r++) {
        double ratio = hm_measure_value(m, c, second, r) / hm_measure_value(m, c, first, r);
        if (isfinite(ratio) && ratio > 0)
            y[f->n++] = log(ratio);
    }
    if (f->n >= HM_LEAST_PAIRS) {
        f->sd = 1.4826 * hm_mad(y, f->n);
        f->bias = hm_hodges_lehmann(y, f->n, 0.025).estimate;
        f->drift_p = hm_mann_kendall_p(y, f->n);
        bool biased = fabs(f->bias) > log1p(margin) / 2, drifts = f->drift_p < DRIFT_P / plan->case_count;
        f->word = biased || drifts ? "unfit" : "fit";
        if (biased)
            snprintf(f->reason, sizeof f->reason, "equal programs differ by %.2f %%, more than half the margin", 100 * expm1(f->bias));
        else if (drifts)
            snprintf(f->reason, sizeof f->reason, "the ratio drifts (Mann-Kendall p = %.2g)", f->drift_p);
    } else {
        snprintf(f->reason, sizeof f->reason, "%d good pairs, %d are needed", f->n, HM_LEAST_PAIRS);
    }
    free(y);
    return HM_OK;
}

static hm_status keep(hm_measure *m, int c, const finding *f, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(m);
    int first, second;
    arms_of(plan, c, &first, &second);
    hm_calibration_record record = {.session_id = hm_measure_session(m),
                                    .case_id = plan->cases[c].id,
                                    .arm_id = plan->arms[first].id,
                                    .rounds = f->n,
                                    .sd = f->sd,
                                    .bias = f->bias,
                                    .drift_p = f->drift_p};
    return isnan(f->sd) ? HM_OK : hm_store_put_calibration(hm_measure_store(m), &record, err);
}

static double detectable(const calibrate_args *a, double sd, int rounds, int looks, int cases)
{
    return expm1(hm_detectable(sd, rounds, a->alpha / ((double)looks * cases), POWER));
}

static void add_row(hm_sheet *s, const calibrate_args *a, const char *label, const finding *f, int cases)
{
    double suggested = ceil(detectable(a, f->sd, 40, 3, cases) * 200) / 200;
    hm_sheet_string(s, label);
    hm_sheet_cell(s, "%d", f->n);
    hm_sheet_value(s, f->sd, "%.2f %%", 100 * f->sd);
    hm_sheet_value(s, expm1(f->bias), "%+.2f %%", 100 * expm1(f->bias)); /* of the ratio, as its reason says */
    hm_sheet_number(s, f->drift_p, 3);
    for (int rounds = 10; rounds <= 40; rounds *= 2)
        hm_sheet_value(s, detectable(a, f->sd, rounds, 3, cases), "%.1f %%", 100 * detectable(a, f->sd, rounds, 3, cases));
    hm_sheet_value(s, fmax(suggested, 0.005), "%.1f %%", 100 * fmax(suggested, 0.005));
    hm_sheet_string(s, f->word);
    hm_sheet_string(s, f->reason);
}

/* How many generations per process cost least; nothing is added where each made one. */
static hm_status add_iterations(hm_document *d, hm_measure *m, hm_error *err)
{
    static const char *const titles[] = {"case",
                                         ">processes",
                                         ">process_s|beside generations (s)",
                                         ">generation_s|generation (s)",
                                         ">process_sd|sd between processes",
                                         ">generation_sd|sd within",
                                         ">iters|iters from",
                                         NULL};
    const hm_plan *plan = hm_measure_plan_of(m);
    hm_sheet *s = hm_sheet_new(titles);
    hm_status st = HM_OK;
    bool any = false;
    for (int c = 0; c < plan->case_count && !st; c++) {
        hm_iterations k;
        char label[200];
        st = hm_iterations_advise(hm_measure_store(m), hm_measure_session(m), plan->cases[c].id, &k, err);
        if (st || !k.processes)
            continue;
        any = true;
        snprintf(label, sizeof label, "%s/%s", plan->cases[c].suite, plan->cases[c].name);
        hm_sheet_string(s, label);
        hm_sheet_cell(s, "%d", k.processes);
        hm_sheet_value(s, k.process_s, "%.2f", k.process_s);
        hm_sheet_value(s, k.iteration_s, "%.2f", k.iteration_s);
        hm_sheet_value(s, k.process_sd, "%.2f %%", 100 * k.process_sd);
        hm_sheet_value(s, k.iteration_sd, "%.2f %%", 100 * k.iteration_sd);
        hm_sheet_value(s, k.best ? k.best : NAN, "%d", k.best);
    }
    if (any)
        hm_document_text(d,
                         "The last column is the number of timed generations per process (--iters, %d at most) that costs least for a "
                         "wanted precision.",
                         HM_ITERATIONS_CAP);
    if (any)
        hm_document_sheet(d, "iterations", s);
    else
        hm_sheet_free(s);
    return st;
}

static hm_status report(const calibrate_args *a, hm_measure *m, double margin, hm_error *err)
{
    static const char *const titles[] = {"case",          ">rounds",          ">sd",
                                         ">bias",         ">drift_p|drift p", ">mde_10|MDE at 10",
                                         ">mde_20|at 20", ">mde_40|at 40",    ">margin|margin from",
                                         "verdict",       "reason",           NULL};
    const hm_plan *plan = hm_measure_plan_of(m);
    hm_document *d = hm_document_new("calibration");
    hm_sheet *s = hm_sheet_new(titles);
    char unfit[520] = "";
    hm_status st = HM_OK;
    for (int c = 0; c < plan->case_count && !st; c++) {
        finding f;
        char label[200];
        snprintf(label, sizeof label, "%s/%s", plan->cases[c].suite, plan->cases[c].name);
        st = look(m, c, margin, &f, err);
        if (!st)
            st = keep(m, c, &f, err);
        add_row(s, a, label, &f, plan->case_count);
        if (strcmp(f.word, "fit") && !*unfit)
            snprintf(unfit, sizeof unfit, "%s: %s", label, f.reason);
    }
    hm_document_text(
        d,
        "%s against itself, session %s. MDE: the least slowdown that a gate of %d cases at alpha %g finds in 80 %% of its runs; "
        "the last column is the least margin that 40 rounds can hold.",
        a->variant, hm_measure_session(m), plan->case_count, a->alpha);
    hm_document_sheet(d, "calibration", s);
    if (!st)
        st = add_iterations(d, m, err);
    if (!st)
        st = hm_output_write(&a->output, d, err);
    hm_document_free(&d);
    if (!st)
        st = hm_measure_verdict(m, err);
    if (!st && *unfit)
        st = hm_fail(err, HM_EINVALID, "calibrate: this machine is unfit for a margin of %.1f %% now: %s", 100 * margin, unfit);
    return st;
}

static hm_status measure(calibrate_args *a, hm_error *err)
{
    char self[PATH_MAX + 8] = "again=";
    hm_measure *m = NULL;
    double margin = 0.02;
    ssize_t n = readlink("/proc/self/exe", self + 6, PATH_MAX);
    self[n > 0 ? n + 6 : 6] = 0;
    hm_status st = read_percent("margin", a->margin, &margin, err);
    if (!st && (a->plot || a->set || a->noise || a->drift || a->slowdown || a->gates || a->cases))
        st = hm_fail(err, HM_EUSAGE, "calibrate: --plot, --set, --gates, --noise, --drift, --slowdown and --cases go with --simulate");
    if (!st)
        st = hm_output_options_check(&a->output, "calibrate", err);
    if (st)
        return st;
    a->m.plan.variants.items[a->m.plan.variants.count++] = a->variant;
    a->m.plan.programs.items[a->m.plan.programs.count++] = self;
    st = hm_measure_begin(&m, &a->m, err);
    if (!st)
        st = hm_measure_run(m, err);
    if (!st)
        st = report(a, m, margin, err);
    hm_measure_close(&m);
    return st;
}

hm_status hm_cmd_calibrate(const hm_command *self, int argc, char **argv, hm_error *err)
{
    calibrate_args *a = hm_calloc(1, sizeof *a, "calibrate", err);
    bool helped;
    if (!a)
        return HM_EABSENT;
    a->m = hm_measure_defaults("calibrate");
    a->m.judges_times = true;
    a->m.keep_audio = a->m.limits = false;
    a->m.warmup = "full";
    a->m.rounds = 30;
    a->variant = "best";
    a->alpha = HM_GATE_ALPHA;
    a->output.format = "md";
    hm_status st = parse(self, argc, argv, a, &helped, err);
    if (!st && !helped)
        st = a->simulate ? simulate(a, err) : measure(a, err);
    free(a);
    return st;
}
