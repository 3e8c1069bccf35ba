/* hmbench ablate: measures what each toggle of a variant is worth, one at a time and left out, in one interleaved session. */
#include <stdlib.h>
#include <string.h>

#include "harness/ablate.h"
#include "harness/cmd_plot.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/measure.h"
#include "harness/metrics.h"
#include "harness/output_options.h"
#include "harness/precision.h"
#include "harness/verdict_store.h"
#include "reports/plot.h"

typedef struct ablate_args {
    hm_measure_options m;
    const char *base, *variant, *metric, *stored;
    hm_precision precision;
    hm_picture picture; /* output NULL: none */
    hm_strings only;
    int64_t rounds, seed;
    hm_output_options output;
} ablate_args;

static hm_status parse(const hm_command *self, int argc, char **argv, ablate_args *a, bool *helped, hm_error *err)
{
    hm_measure_options *m = &a->m;
    const hm_option options[] = {
        {"variant", 'V', HM_OPT_STRING, &a->variant, "VARIANT", "the whole that is taken apart", 0, 0, NULL},
        HM_PRECISION_OPTION(&a->precision),
        {"base", 0, HM_OPT_STRING, &a->base, "VARIANT", "what toggles are put onto", 0, 0, NULL},
        {"toggle", 0, HM_OPT_LIST, &a->only, "NAME", "this one, given again: these (default: all in which base and variant differ)", 0, 0,
         NULL},
        {"metric", 0, HM_OPT_STRING, &a->metric, "NAME", "hmbench list metrics", 0, 0, NULL},
        {"model", 'm', HM_OPT_STRING, &m->plan.model, "LIST", "folders of weights, or presets (default: a mini one for each task)", 0, 0,
         NULL},
        {"threads", 't', HM_OPT_STRING, &m->plan.threads, "N", "threads (default: all CPUs)", 0, 0, NULL},
        {"backend", 0, HM_OPT_STRING, &m->plan.backend, "NAME", "where to compute", 0, 0, hm_backend_choices},
        HM_DEVICE_OPTION(&m->plan.device),
        {"env-profile", 0, HM_OPT_STRING, &m->plan.env_profile, "NAME", "environment of all processes (hmbench list env-profiles)", 0, 0,
         hm_env_profiles},
        {"filter", 'f', HM_OPT_STRING, &m->plan.filter, "REGEX", "only cases whose suite/name matches", 0, 0, NULL},
        {"rounds", 'n', HM_OPT_INT, &a->rounds, "N", "rounds; from 6 on there are intervals", 1, 1000, NULL},
        {"warmup", 0, HM_OPT_STRING, &m->warmup, "KIND", "first frames and one solver step; a full run; none", 0, 0, hm_warmup_names},
        {"max-time", 0, HM_OPT_DURATION, &m->max_time_s, "TIME", "no round starts that would end later; 0: no limit", 0, 1e9, NULL},
        {"timeout", 0, HM_OPT_DURATION, &m->timeout_s, "TIME", "of one run", 1, 1e7, NULL},
        {"seed", 0, HM_OPT_INT, &a->seed, "N", "of the order of arms (0: drawn, and recorded)", 0, 9e15, NULL},
        {"session", 0, HM_OPT_STRING, &a->stored, "ID", "runs nothing: shows this stored ablation, or the \"last\"", 0, 0, NULL},
        {"resume", 0, HM_OPT_FLAG, &m->resume, NULL, "go on with the last ablation that is not complete", 0, 0, NULL},
        {"plot", 0, HM_OPT_STRING, &a->picture.output, "FILE", "a picture, .svg or .png", 0, 0, NULL},
        HM_OUTPUT_OPTIONS(a->output),
        {"db", 0, HM_OPT_STRING, &m->db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &m->quiet, NULL, "the tables and errors only", 0, 0, NULL},
        {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, &m->plan.suites, HM_PLAN_SUITES, helped, err);
    return st || *helped ? st : hm_precision_apply(&a->precision, &a->variant, err);
}

static hm_status script(void *self, const char *output, FILE *file, hm_error *err)
{
    const hm_ablations *a = self;
    return hm_ablation_plot(a->items, a->count, output, file, err);
}

static hm_status show(hm_store *store, const char *session, const ablate_args *a, hm_error *err)
{
    hm_series_set set = {0};
    hm_ablations ablations = {0};
    hm_document *d = NULL;
    hm_status st = hm_store_get_series(store, session, a->metric, &set, err);
    for (int i = 0; i < set.count && !st; i++)
        st = hm_series_check_hardware(&set, &set.items[i], err);
    if (!st)
        st = hm_ablate_judge(&set, &a->only, &ablations, err);
    if (!st && a->output.format) {
        d = hm_ablation_document(ablations.items, ablations.count);
        st = hm_output_write(&a->output, d, err);
    }
    if (!st && a->picture.output)
        st = hm_picture_make(&a->picture, script, &ablations, err);
    hm_document_free(&d);
    hm_ablations_free(&ablations);
    hm_series_set_free(&set);
    return st;
}

/* Arms of every step, as the plan's variants. */
static hm_status choose_arms(ablate_args *a, char **buffer, hm_error *err)
{
    hm_ablate_step steps[HM_ABLATE_STEPS];
    const hm_variant_info *fixed;
    hm_toggles base, whole;
    int count;
    hm_status st = hm_variant_parse(a->base, &base, &fixed, err);
    if (!st)
        st = hm_variant_parse(a->variant, &whole, &fixed, err);
    if (!st)
        st = hm_ablate_plan(&base, &whole, &a->only, steps, &count, err);
    return st ? st : hm_ablate_variants(a->base, a->variant, steps, count, buffer, &a->m.plan.variants, err);
}

static hm_status measure(ablate_args *a, hm_error *err)
{
    hm_measure *m = NULL;
    char *buffer = NULL;
    hm_status st = a->m.resume ? HM_OK : choose_arms(a, &buffer, err);
    if (!st)
        a->m.judges_times = hm_metric_timed(a->metric);
    if (!st)
        st = hm_measure_begin(&m, &a->m, err);
    if (!st)
        st = hm_measure_run(m, err);
    if (!st)
        st = show(hm_measure_store(m), hm_measure_session(m), a, err);
    if (!st && !a->m.quiet)
        fprintf(stderr, "session %s in database %s\n", hm_measure_session(m), hm_measure_database(m));
    if (!st)
        st = hm_measure_verdict(m, err);
    hm_measure_close(&m);
    free(buffer);
    return st;
}

static hm_status show_stored(const ablate_args *a, hm_error *err)
{
    hm_store *store = NULL;
    hm_session_list list = {0};
    char kind[32] = "";
    hm_status st = hm_store_open(&store, hm_store_path(a->m.db), HM_STORE_READ, err);
    if (!st)
        st = strcmp(a->stored, "last") ? hm_store_find_sessions(store, a->stored, &list, err)
                                       : hm_store_newest_session(store, "ablate", &list, err);
    if (!st)
        st = hm_store_get_fact(store, "session", "kind", list.ids[0], kind, sizeof kind, err);
    if (!st && strcmp(kind, "ablate"))
        st = hm_fail(err, HM_EUSAGE, "session %.8s is one of hmbench %s, not of hmbench ablate", list.ids[0], kind);
    if (!st)
        st = show(store, list.ids[0], a, err);
    hm_session_list_free(&list);
    hm_store_close(&store);
    return st;
}

hm_status hm_plot_ablation(const hm_picture *picture, const char *db, const char *session, const char *metric, hm_error *err)
{
    ablate_args a = {.m = {.db = db}, .picture = *picture, .metric = metric, .stored = session};
    hm_status st = hm_series_check_metric(metric, err);
    return st ? st : show_stored(&a, err);
}

hm_status hm_cmd_ablate(const hm_command *self, int argc, char **argv, hm_error *err)
{
    ablate_args a = {.m = hm_measure_defaults("ablate"), .base = "naive", .variant = "best", .metric = "wall", .rounds = 6};
    bool helped = false;
    a.output.format = "md";
    a.m.keep_audio = false;
    hm_status st = parse(self, argc, argv, &a, &helped, err);
    if (st || helped)
        return st;
    if (!a.stored && !a.m.resume && !a.m.plan.suites.count)
        return hm_fail(err, HM_EUSAGE, "ablate: which suite? short, medium ... (hmbench list suites)");
    if ((a.stored || a.m.resume) && a.m.plan.suites.count)
        return hm_fail(err, HM_EUSAGE, "ablate: a stored session has its suites; none can be named");
    a.m.more_rounds = a.rounds != 6;
    a.m.rounds = (int)a.rounds;
    a.m.seed = (uint64_t)a.seed;
    a.m.logit_frames = 0;
    a.m.argc = argc;
    a.m.argv = argv;
    st = hm_series_check_metric(a.metric, err);
    if (!st)
        st = hm_output_options_check(&a.output, "ablate", err);
    if (!st && a.picture.output)
        st = hm_plot_check_path(a.picture.output, err);
    if (st)
        return st;
    return a.stored ? show_stored(&a, err) : measure(&a, err);
}
