/* hmbench gate: is this build slower than that one? Exit 0 only when the answer is a sound no. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/gate_session.h"
#include "harness/output_check.h"
#include "harness/output_options.h"
#include "harness/precision.h"

typedef struct gate_args {
    hm_gate_options gate;
    hm_precision precision;
    const char *cand, *margin, *on_inconclusive, *junit, *order;
    hm_output_options output;
    bool github;
} gate_args;

static const char *const inconclusives[] = {"pass", "fail", NULL};

static hm_status parse(const hm_command *self, int argc, char **argv, gate_args *a, bool *helped, hm_error *err)
{
    hm_gate_options *g = &a->gate;
    hm_measure_options *m = &g->measure;
    int64_t min_rounds = g->min_rounds, max_rounds = g->max_rounds, seed = 0;
    const hm_option options[] = {
        {"base", 'b', HM_OPT_STRING, &g->base, "REF",
         "a variant of this build, another hmbench program, or sessions: baseline, tag, commit, id", 0, 0, NULL},
        {"cand", 'c', HM_OPT_STRING, &a->cand, "REF", "what is judged: a variant, or another hmbench program (default: this one)", 0, 0,
         NULL},
        {"variant", 'V', HM_OPT_STRING, &g->variant, "NAME", "what both programs run", 0, 0, NULL},
        HM_PRECISION_OPTION(&a->precision),
        {"margin", 0, HM_OPT_STRING, &a->margin, "PERCENT", "slowdown that is let pass, as in 2%", 0, 0, NULL},
        {"alpha", 0, HM_OPT_DOUBLE, &g->alpha, "A", "of a false alarm or a false pass, over all cases and looks", 0.000001, 0.4, NULL},
        {"min-rounds", 0, HM_OPT_INT, &min_rounds, "N", "of the first look", 1, 1000, NULL},
        {"max-rounds", 0, HM_OPT_INT, &max_rounds, "N", "of the last one", 1, 1000, NULL},
        {"max-time", 0, HM_OPT_DURATION, &m->max_time_s, "TIME", "no round starts that would end later; 0: no limit", 0, 1e9, NULL},
        {"metric", 0, HM_OPT_STRING, &g->metric, "NAME", "what is judged (hmbench list metrics)", 0, 0, NULL},
        {"counts-only", 0, HM_OPT_FLAG, &g->counts, NULL, "exact figures instead of times: one run each, sound on any machine", 0, 0, NULL},
        {"tolerance", 0, HM_OPT_LIST, &g->tolerances, "NAME=PERCENT", "with --counts-only: this figure may rise by so much", 0, 0, NULL},
        {"other-output", 0, HM_OPT_FLAG, &g->other_output, NULL, "outputs may differ: the change is meant to", 0, 0, NULL},
        {"trust-history", 0, HM_OPT_FLAG, &g->trust_history, NULL, "a FAIL against stored sessions ends with 1, not with 2", 0, 0, NULL},
        {"on-inconclusive", 0, HM_OPT_STRING, &a->on_inconclusive, "HOW", "end with 0 or with 1 instead of 2", 0, 0, inconclusives},
        {"model", 'm', HM_OPT_STRING, &m->plan.model, "LIST", "folders of weights, or presets; each runs the cases it makes", 0, 0, NULL},
        {"filter", 'f', HM_OPT_STRING, &m->plan.filter, "REGEX", "only cases whose suite/name matches", 0, 0, NULL},
        {"threads", 't', HM_OPT_STRING, &m->plan.threads, "N", "of both (default: all CPUs)", 0, 0, NULL},
        {"isa", 0, HM_OPT_STRING, &m->plan.isa, "NAME", "of both (default: the best here)", 0, 0, NULL},
        {"backend", 0, HM_OPT_STRING, &m->plan.backend, "NAME", "where both compute", 0, 0, hm_backend_choices},
        HM_DEVICE_OPTION(&m->plan.device),
        {"env-profile", 0, HM_OPT_STRING, &m->plan.env_profile, "NAME", "environment of both's processes (hmbench list env-profiles)", 0, 0,
         hm_env_profiles},
        {"warmup", 0, HM_OPT_STRING, &m->warmup, "KIND",
         "a full run; first frames and one solver step; none (default: full; none for counts)", 0, 0, hm_warmup_names},
        {"order", 0, HM_OPT_STRING, &a->order, "KIND", "of the arms in a round", 0, 0, hm_order_names},
        {"seed", 0, HM_OPT_INT, &seed, "N", "of the order of arms (0: drawn, and recorded)", 0, 9e15, NULL},
        {"settle", 0, HM_OPT_DURATION, &m->settle_s, "TIME", "longest wait before a turn until the CPU is as cool as in the first round", 0,
         3600, NULL},
        {"timeout", 0, HM_OPT_DURATION, &m->timeout_s, "TIME", "of one run, and of one hook", 1, 1e7, NULL},
        {"setup", 0, HM_OPT_STRING, &m->hooks.setup, "CMD", "shell command, once before anything runs", 0, 0, NULL},
        {"cleanup", 0, HM_OPT_STRING, &m->hooks.cleanup, "CMD", "once at the end, after Ctrl-C too", 0, 0, NULL},
        {"tag", 0, HM_OPT_LIST, &m->tags, "KEY=VALUE", "stored with the session", 0, 0, NULL},
        {"resume", 0, HM_OPT_FLAG, &m->resume, NULL, "go on with the last gate that is not complete; repeat its other options", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &m->session, "ID", "with --resume: that session", 0, 0, NULL},
        {"github", 0, HM_OPT_FLAG, &a->github, NULL, "::error and ::warning lines, and the table in $GITHUB_STEP_SUMMARY", 0, 0, NULL},
        {"junit", 0, HM_OPT_STRING, &a->junit, "FILE", "a testcase per case as JUnit XML", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &m->db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &m->quiet, NULL, "the table and errors only", 0, 0, NULL},
        HM_OUTPUT_OPTIONS(a->output),
        {0}};
    a->order = hm_order_names[m->order];
    hm_status st = hm_options_parse(self, options, argc, argv, &m->plan.suites, HM_PLAN_SUITES, helped, err);
    if (st || *helped)
        return st;
    if (a->precision.text && !g->variant)
        return hm_fail(err, HM_EUSAGE, "--precision goes with --variant, what both programs run");
    if (a->precision.text)
        st = hm_precision_apply(&a->precision, &g->variant, err);
    if (st)
        return st;
    g->min_rounds = (int)min_rounds;
    g->max_rounds = (int)max_rounds;
    m->seed = (uint64_t)seed;
    m->order = (hm_order)hm_order_parse(a->order);
    m->argc = argc;
    m->argv = argv;
    return HM_OK;
}

/* ---- what is named ---- */

/* A path, or a program in this folder. A tag's value may have slashes, as in branch=feature/x. */
static bool is_program(const char *text)
{
    struct stat info;
    const char *slash = strchr(text, '/'), *equals = strchr(text, '=');
    return (slash && !(equals && equals < slash)) || (!stat(text, &info) && S_ISREG(info.st_mode) && !access(text, X_OK));
}

/* A text that can only mean a variant: one that is right, or one whose first part is a variant's name and whose toggles are wrong. */
static bool is_variant(const char *text)
{
    char name[65];
    const char *colon = strchr(text, ':');
    snprintf(name, sizeof name, "%.*s", colon ? (int)(colon - text) : 0, text);
    return (colon && (hm_variant_find(name) || !strcmp(name, "custom"))) || !hm_variant_parse(text, &(hm_toggles){0}, NULL, NULL);
}

/* The other build judges itself against what was asked for: its own variants, its own report. Returns only when that is not possible. */
static hm_status hand_over(const gate_args *a, int argc, char **argv, hm_error *err)
{
    char self[PATH_MAX];
    const char **args = hm_calloc((size_t)argc + 8, sizeof *args, "gate", err);
    int n = 0;
    bool base_is_variant = a->gate.base && !is_program(a->gate.base) && !hm_variant_parse(a->gate.base, &(hm_toggles){0}, NULL, NULL);
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (!args)
        return HM_EABSENT;
    self[size > 0 ? size : 0] = 0;
    args[n++] = a->cand;
    for (int i = 0; i < argc; i++) {
        const char *w = argv[i];
        bool cand = !strcmp(w, "--cand") || !strcmp(w, "-c"), base = base_is_variant && (!strcmp(w, "--base") || !strcmp(w, "-b"));
        if (cand || base)
            i++;
        else if (strncmp(w, "--cand=", 7) && !(base_is_variant && !strncmp(w, "--base=", 7)))
            args[n++] = w;
    }
    if (base_is_variant) {
        args[n++] = "--base";
        args[n++] = self;
        args[n++] = "--variant";
        args[n++] = a->gate.base;
    }
    fflush(NULL);
    execv(a->cand, (char *const *)args);
    free(args);
    return hm_fail(err, HM_EMISSING, "--cand %s: is no program that can be run", a->cand);
}

static hm_status check(gate_args *a, int argc, char **argv, hm_error *err)
{
    hm_gate_options *g = &a->gate;
    double share;
    if (!g->base)
        return hm_fail(err, HM_EUSAGE, "gate: --base says against what: a variant, another hmbench program, or stored sessions");
    if (g->measure.session && !g->measure.resume)
        return hm_fail(err, HM_EUSAGE, "--session goes with --resume");
    if ((g->measure.plan.threads && strchr(g->measure.plan.threads, ',')) || (g->measure.plan.isa && strchr(g->measure.plan.isa, ',')))
        return hm_fail(err, HM_EUSAGE, "gate: one number of threads and one instruction set at a time");
    hm_status st = hm_option_percent("margin", a->margin, false, &g->margin, err);
    if (!st)
        st = hm_series_check_metric(g->metric, err);
    if (!st)
        st = hm_gate_tolerance(&g->tolerances, "", &share, err);
    if (!st)
        st = hm_gate_check_tolerances(&g->tolerances, err);
    if (!st && g->tolerances.count && !g->counts)
        st = hm_fail(err, HM_EUSAGE, "--tolerance goes with --counts-only");
    if (!st)
        st = hm_output_options_check(&a->output, "gate", err);
    if (!st && a->junit) /* told before anything is measured */
        st = hm_output_check("--junit", a->junit, err);
    if (st)
        return st;
    if (a->cand && is_program(a->cand))
        return hand_over(a, argc, argv, err);
    g->variant = a->cand ? a->cand : g->variant ? g->variant : "best";
    hm_toggles set;
    st = hm_variant_parse(g->variant, &set, NULL, err);
    if (st)
        return hm_fail_within(err, a->cand ? "--cand" : "--variant");
    g->kind = is_program(g->base) ? HM_BASE_PROGRAM : is_variant(g->base) ? HM_BASE_VARIANT : HM_BASE_STORED;
    if (g->kind == HM_BASE_VARIANT && hm_variant_parse(g->base, &set, NULL, err))
        return hm_fail_within(err, "--base");
    if (!g->measure.warmup)
        g->measure.warmup = g->counts ? "none" : "full";
    return HM_OK;
}

/* ---- what is told ---- */

/* Everything is on disk before the exit code says a word. */
static hm_status publish(const gate_args *a, const hm_gate *g, hm_error *err)
{
    hm_document *d = hm_gate_document(&g->report);
    bool text = !strcmp(a->output.format, "md");
    hm_status st = hm_output_write(&a->output, d, err);
    if (!st && a->junit)
        st = hm_gate_junit(&g->report, a->junit, err);
    if (!st && a->github)
        st = hm_gate_summary(d, err);
    hm_document_free(&d);
    if (st)
        return st;
    hm_gate_say_next(&g->report, text ? stdout : stderr);
    if (a->github)
        hm_gate_github(&g->report, text ? stdout : stderr);
    if (!g->o->measure.quiet)
        fprintf(stderr, "session %s in database %s\n", hm_measure_session(g->m), hm_measure_database(g->m));
    return HM_OK;
}

static hm_status exit_status(const gate_args *a, const hm_gate *g, hm_error *err)
{
    hm_status st = g->verdict;
    if (st == HM_EINCONCLUSIVE && a->on_inconclusive)
        st = !strcmp(a->on_inconclusive, "pass") ? HM_OK : HM_EFAILED;
    return st ? hm_fail(err, st, "%s", g->sentence.text) : HM_OK;
}

hm_status hm_cmd_gate(const hm_command *self, int argc, char **argv, hm_error *err)
{
    gate_args *a = hm_calloc(1, sizeof *a, "gate", err);
    hm_gate g = {0};
    bool helped;
    if (!a)
        return HM_EABSENT;
    a->gate = (hm_gate_options){
        .measure = hm_measure_defaults("gate"), .metric = "wall", .alpha = HM_GATE_ALPHA, .min_rounds = 10, .max_rounds = 40};
    a->gate.measure.keep_audio = a->gate.measure.limits = false;
    a->gate.measure.warmup = NULL;
    a->margin = "2%";
    a->output.format = "md";
    hm_status st = parse(self, argc, argv, a, &helped, err);
    if (st || helped) {
        free(a);
        return st;
    }
    st = check(a, argc, argv, err);
    if (!st)
        st = hm_gate_run(&g, &a->gate, err);
    if (!st)
        st = publish(a, &g, err);
    if (!st)
        st = exit_status(a, &g, err);
    else if (st == HM_EINTERRUPTED && g.m) {
        char *command = hm_command_text(argc, argv);
        st = hm_fail(err, st, "interrupted; what was measured is stored; go on with: %.380s --resume",
                     command ? command : "hmbench gate ...");
        free(command);
    }
    hm_gate_close(&g);
    free(a);
    return st;
}
