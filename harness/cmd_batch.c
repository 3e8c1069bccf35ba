/* Several requests in one process: what it gains to make them side by side, and that each stays what it is alone. */
#include <stdlib.h>
#include <string.h>

#include "harness/case.h"
#include "harness/recording.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/plan.h"
#include "harness/precision.h"
#include "harness/progress.h"
#include "harness/run_report.h"
#include "harness/table.h"

#define MAX_SIZES 16
#define MAX_BATCH 16 /* requests side by side that an engine takes */
#define MAX_ROUNDS 100

typedef struct batch_args {
    hm_plan_options plan;
    hm_precision precision;
    const char *list;
    int64_t rounds, repeat_cases;
    int sizes[MAX_SIZES], size_count;
    bool json, quiet;
} batch_args;

/* The requests of one arm, and what they give alone. */
typedef struct queue {
    hm_request *requests; /* [count] */
    hm_result *alone, *results;
    float **references; /* [count] voices to clone, owned by the first request of a case */
    int count;
} queue;

/* All rounds of one batch size. */
typedef struct measured {
    double wall_s[MAX_ROUNDS], rtf[MAX_ROUNDS]; /* of all requests; mean over them of wall / audio */
    double audio_s, rows_per_step;
    int rounds, different; /* requests whose codes were others than alone, in any round */
} measured;

typedef struct watch {
    hm_progress progress;
    int64_t done, now, total; /* requests: before this run, with those of it, of all runs of all arms */
    bool together;
} watch;

typedef struct arm_run {
    const batch_args *args;
    const hm_plan *plan;
    int arm;
    hm_engine_opened opened;
    queue queue;
    measured sizes[MAX_SIZES];
    int rounds; /* complete */
    watch *watch;
} arm_run;

/* --- options --- */

static hm_status parse_sizes(batch_args *a, hm_error *err)
{
    const char *p = a->list;
    do {
        char *end;
        long n = strtol(p, &end, 10);
        if (end == p || (*end && *end != ',') || n < 1 || n > MAX_BATCH)
            return hm_fail(err, HM_EUSAGE, "--batch %s: expected numbers from 1 to %d with commas between them, as in 1,2,4,8", a->list,
                           MAX_BATCH);
        for (int i = 0; i < a->size_count; i++)
            if (a->sizes[i] == n)
                return hm_fail(err, HM_EUSAGE, "--batch %s: %ld is there twice", a->list, n);
        a->sizes[a->size_count++] = (int)n;
        p = end + (*end == ',');
        if (*end == ',' && !*p)
            return hm_fail(err, HM_EUSAGE, "--batch %s: nothing after the last comma", a->list);
    } while (*p);
    return HM_OK;
}

static hm_status parse(const hm_command *self, int argc, char **argv, batch_args *a, bool *helped, hm_error *err)
{
    const hm_option options[] = {
        {"batch", 'b', HM_OPT_STRING, &a->list, "LIST", "requests side by side at most", 0, 0, NULL},
        {"filter", 'f', HM_OPT_STRING, &a->plan.filter, "REGEX", "only cases whose suite/name matches", 0, 0, NULL},
        {"repeat-cases", 'k', HM_OPT_INT, &a->repeat_cases, "K", "each case K times, with the seeds that follow its own", 1, 64, NULL},
        {"rounds", 'n', HM_OPT_INT, &a->rounds, "N", "rounds; every batch size runs once in each", 1, MAX_ROUNDS, NULL},
        {"variant", 'V', HM_OPT_LIST, &a->plan.variants, "LIST", "ways of computing, as in best,naive (default: best); a table each", 0, 0,
         NULL},
        HM_PRECISION_OPTION(&a->precision),
        {"model", 'm', HM_OPT_STRING, &a->plan.model, "LIST",
         "folders of weights, or presets (default: heartmula-mini for songs, qwen3-tts-mini for speech); each makes the cases it can", 0, 0,
         NULL},
        {"threads", 't', HM_OPT_STRING, &a->plan.threads, "LIST", "thread counts, as in 1,2 (default: all CPUs)", 0, 0, NULL},
        {"isa", 0, HM_OPT_STRING, &a->plan.isa, "LIST", "instruction sets, as in scalar,avx2 (default: the best here)", 0, 0, NULL},
        HM_PLAN_DEVICE_OPTIONS(&a->plan),
        {"json", 0, HM_OPT_FLAG, &a->json, NULL, "one JSON object instead of tables", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "the tables and errors only", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &a->plan.suites, HM_PLAN_SUITES, helped, err);
    if (st || *helped)
        return st;
    if (!a->plan.suites.count)
        return hm_fail(err, HM_EUSAGE, "batch: no suite: name one, as in \"hmbench batch short\" (hmbench list suites)");
    if (!a->plan.variants.count)
        a->plan.variants = (hm_strings){{"best"}, 1};
    st = hm_precision_apply_list(&a->precision, &a->plan.variants, "best", err);
    return st ? st : parse_sizes(a, err);
}

/* --- requests --- */

/* A recording that is there: songs would have to be made first, one after the other. */
static hm_status listen(hm_request *request, float **samples, const hm_case_record *c, hm_error *err)
{
    hm_recording r;
    if (hm_case_is_sung(c))
        return hm_fail(err, HM_EUSAGE, "batch takes no case that makes the music which it transcribes; leave it out with --filter");
    hm_status st = hm_recording_prepare(c, err);
    if (!st)
        st = hm_recording_open(&r, c, NULL, false, err);
    if (st)
        return st;
    request->transcript.audio = *samples = r.samples;
    request->transcript.samples = r.count;
    return HM_OK;
}

static hm_status open_queue(arm_run *r, hm_error *err)
{
    const hm_plan *plan = r->plan;
    queue *q = &r->queue;
    int room = plan->case_count * (int)r->args->repeat_cases;
    q->requests = hm_calloc((size_t)room, sizeof *q->requests, "requests", err);
    q->alone = hm_calloc((size_t)room, sizeof *q->alone, "results", err);
    q->results = hm_calloc((size_t)room, sizeof *q->results, "results", err);
    q->references = hm_calloc((size_t)room, sizeof *q->references, "voices", err);
    if (!q->requests || !q->alone || !q->results || !q->references)
        return HM_EABSENT;
    for (int i = 0; i < plan->case_count; i++) {
        const hm_case_record *c = &plan->cases[i];
        hm_request request = hm_case_request(c);
        hm_status st = HM_OK;
        if (!hm_plan_runs(plan, i, r->arm))
            continue;
        if (request.task == HM_TASK_TRANSCRIPT)
            st = listen(&request, &q->references[q->count], c, err);
        else if (c->reference)
            st = hm_case_reference(&request, &q->references[q->count], c->reference, r->opened.facts->sample_rate_hz, err);
        if (st)
            return hm_fail_within(err, "%s/%s", c->suite, c->name);
        for (int64_t k = 0; k < r->args->repeat_cases; k++) {
            q->requests[q->count++] = request;
            request.seed++;
        }
    }
    return HM_OK;
}

static void close_queue(arm_run *r)
{
    queue *q = &r->queue;
    for (int i = 0; i < q->count && q->alone; i++) {
        r->opened.api->result_free(&q->alone[i]);
        free(q->references[i]);
    }
    free(q->requests);
    free(q->alone);
    free(q->results);
    free(q->references);
}

static hm_status open_arm(arm_run *r, const hm_probe *probe, hm_error *err)
{
    const hm_plan_arm *a = &r->plan->arms[r->arm];
    hm_engine_choice choice = {.variant = a->variant,
                               .model = a->model,
                               .backend = a->backend,
                               .isa = *a->isa ? a->isa : NULL,
                               .device = *a->device ? a->device : NULL,
                               .threads = a->threads,
                               .need_lm = true,
                               .need_codec = true,
                               .probe = probe,
                               .log = hm_log_stderr(false)};
    for (int i = 0; i < r->plan->case_count; i++)
        choice.need_encoders |= hm_plan_runs(r->plan, i, r->arm) && r->plan->cases[i].reference;
    hm_status st = hm_engine_open_chosen(&r->opened, &choice, err);
    return st ? st : open_queue(r, err);
}

/* --- running --- */

static int tell(void *self, const char *phase, int64_t done, int64_t total)
{
    watch *w = self;
    (void)total;
    if (w->together && !strcmp(phase, "generate"))
        w->now = w->done + done;
    hm_progress_update(&w->progress, "requests", w->now, w->total);
    return hm_interrupted();
}

static void advance(watch *w, int requests)
{
    w->now = w->done += requests;
}

/* Every request by itself: the codes that it has to keep. The first one with audio, so that nothing is met for the first time later. */
static hm_status run_alone(arm_run *r, hm_error *err)
{
    queue *q = &r->queue;
    hm_status st = HM_OK;
    r->watch->together = false;
    for (int i = 0; i < q->count && !st; i++) {
        hm_request request = q->requests[i];
        request.skip_codec = i > 0;
        st = r->opened.api->generate(r->opened.engine, &request, &q->alone[i], err);
        advance(r->watch, 1);
    }
    return st;
}

static bool same_codes(const hm_result *a, const hm_result *b)
{
    return a->frames == b->frames && a->codebooks == b->codebooks &&
           !memcmp(a->codes, b->codes, (size_t)a->frames * (size_t)a->codebooks * sizeof *a->codes);
}

static hm_status run_together(arm_run *r, int size, hm_error *err)
{
    queue *q = &r->queue;
    measured *m = &r->sizes[size];
    hm_many many = {.requests = q->requests, .count = q->count, .batch = r->args->sizes[size], .results = q->results};
    int different = 0;
    double rtf = 0, audio_s = 0;
    r->watch->together = true;
    hm_status st = r->opened.api->generate_many(r->opened.engine, &many, err);
    if (st)
        return st;
    for (int i = 0; i < q->count; i++) {
        hm_result *o = &q->results[i];
        double seconds = o->sample_rate_hz ? (double)o->samples / o->sample_rate_hz : 0;
        audio_s += seconds;
        rtf += seconds > 0 ? (double)o->wall_ns * 1e-9 / seconds / q->count : 0;
        different += !same_codes(o, &q->alone[i]);
        r->opened.api->result_free(o);
    }
    m->audio_s = audio_s;
    m->rows_per_step = many.steps ? (double)many.step_rows / (double)many.steps : 0;
    m->wall_s[m->rounds] = (double)many.wall_ns * 1e-9;
    m->rtf[m->rounds++] = rtf;
    m->different = different > m->different ? different : m->different;
    advance(r->watch, q->count);
    return HM_OK;
}

/* Every other round backwards, so that a slow drift of the machine cancels in each pair. */
static hm_status run_rounds(arm_run *r, hm_error *err)
{
    int n = r->args->size_count;
    hm_status st = run_alone(r, err);
    for (int round = 0; round < r->args->rounds && !st; round++) {
        for (int i = 0; i < n && !st; i++)
            st = run_together(r, round % 2 ? n - 1 - i : i, err);
        r->rounds += !st;
    }
    return st;
}

/* --- what people and programs read --- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Of the complete rounds. */
static double median(const double *values, int n)
{
    double sorted[MAX_ROUNDS];
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Wall of batch 1 over that of this size; 0: batch 1 was not measured. */
static double speedup(const arm_run *r, int size)
{
    for (int i = 0; i < r->args->size_count; i++)
        if (r->args->sizes[i] == 1)
            return median(r->sizes[i].wall_s, r->rounds) / median(r->sizes[size].wall_s, r->rounds);
    return 0;
}

static hm_status print_arm(const arm_run *r, hm_error *err)
{
    static const char *const titles[] = {
        ">B", ">audio s", ">wall s", ">audio s per s", ">x of B=1", ">rows per step", ">mean RTF per item", "codes", NULL};
    const hm_plan_arm *a = &r->plan->arms[r->arm];
    char model[HM_MODEL_PATH];
    hm_table *t = hm_table_new(titles);
    hm_model_name(a->model, model, sizeof model);
    printf("%s%s, variant %s, %d threads, %s%s: %d request%s, median of %d round%s\n", model,
           r->opened.synthetic ? " (synthetic weights)" : "", a->variant, r->opened.facts->threads, r->opened.facts->isa,
           r->opened.facts->software ? " (software device: times say nothing about hardware)" : "", r->queue.count,
           r->queue.count == 1 ? "" : "s", r->rounds, r->rounds == 1 ? "" : "s");
    for (int i = 0; i < r->args->size_count; i++) {
        const measured *m = &r->sizes[i];
        double wall = median(m->wall_s, r->rounds), gain = speedup(r, i);
        char cell[8][48];
        snprintf(cell[0], sizeof cell[0], "%d", r->args->sizes[i]);
        snprintf(cell[1], sizeof cell[1], "%.2f", m->audio_s);
        snprintf(cell[2], sizeof cell[2], "%.3f", wall);
        snprintf(cell[3], sizeof cell[3], "%.3f", m->audio_s / wall);
        snprintf(cell[4], sizeof cell[4], "%.3f", gain);
        snprintf(cell[5], sizeof cell[5], "%.2f", m->rows_per_step);
        snprintf(cell[6], sizeof cell[6], "%.4f", median(m->rtf, r->rounds));
        snprintf(cell[7], sizeof cell[7], "%d of %d differ", m->different, r->queue.count);
        hm_table_row(t, (const char *[]){cell[0], cell[1], cell[2], cell[3], gain > 0 ? cell[4] : NULL, cell[5], cell[6],
                                         m->different ? cell[7] : "as alone"});
    }
    hm_status st = hm_table_end(t, stdout, 0, err);
    printf("\n");
    return st;
}

static json_t *arm_json(const arm_run *r)
{
    const hm_plan_arm *a = &r->plan->arms[r->arm];
    char model[HM_MODEL_PATH];
    json_t *rows = json_array();
    hm_model_name(a->model, model, sizeof model);
    for (int i = 0; i < r->args->size_count; i++) {
        const measured *m = &r->sizes[i];
        double wall = median(m->wall_s, r->rounds), gain = speedup(r, i);
        json_t *walls = json_array();
        for (int k = 0; k < r->rounds; k++)
            json_array_append_new(walls, json_real(m->wall_s[k]));
        json_t *row = json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:i, s:o}", "batch", r->args->sizes[i], "audio_s", m->audio_s, "wall_s",
                                wall, "audio_s_per_s", m->audio_s / wall, "rows_per_step", m->rows_per_step, "mean_rtf",
                                median(m->rtf, r->rounds), "different", m->different, "rounds_wall_s", walls);
        json_object_set_new(row, "speedup", gain > 0 ? json_real(gain) : json_null());
        json_array_append_new(rows, row);
    }
    return json_pack("{s:s, s:b, s:b, s:s, s:s, s:i, s:i, s:i, s:o}", "model", model, "synthetic", r->opened.synthetic, "software",
                     r->opened.facts->software, "variant", a->variant, "isa", r->opened.facts->isa, "threads", r->opened.facts->threads,
                     "requests", r->queue.count, "rounds", r->rounds, "sizes", rows);
}

/* An interrupted run still tells of the rounds that are complete. */
static hm_status report(const arm_run *r, json_t *tables, int *different, hm_status st, hm_error *err)
{
    hm_status printed = HM_OK;
    for (int i = 0; i < r->args->size_count; i++)
        *different += r->sizes[i].different;
    if (r->rounds && r->args->json)
        json_array_append_new(tables, arm_json(r));
    else if (r->rounds)
        printed = print_arm(r, st ? NULL : err);
    return st ? st : printed;
}

static hm_status run_arm(const batch_args *a, const hm_plan *plan, int arm, watch *w, json_t *tables, int *different, hm_error *err)
{
    hm_probe probe = {.self = w, .progress = tell};
    arm_run *r = hm_calloc(1, sizeof *r, "batch", err);
    if (!r)
        return HM_EABSENT;
    *r = (arm_run){.args = a, .plan = plan, .arm = arm, .watch = w};
    hm_status st = open_arm(r, &probe, err);
    if (!st)
        st = run_rounds(r, err);
    hm_progress_end(&w->progress);
    if (r->opened.engine)
        st = report(r, tables, different, st, err);
    close_queue(r);
    hm_engine_close_chosen(&r->opened);
    free(r);
    return st;
}

static hm_status run_plan(const batch_args *a, const hm_plan *plan, hm_error *err)
{
    watch w = {.total = hm_plan_pairs(plan) * a->repeat_cases * (1 + a->rounds * a->size_count)};
    json_t *tables = json_array();
    int different = 0;
    hm_status st = HM_OK;
    if (plan->left_out[0] && !a->quiet)
        fprintf(stderr, "%s\n", plan->left_out);
    for (int i = 0; i < plan->arm_count && !st; i++) {
        hm_progress_start(&w.progress, "batch", a->quiet);
        st = run_arm(a, plan, i, &w, tables, &different, err);
    }
    if (a->json && json_array_size(tables)) {
        hm_status printed = hm_json_print(json_pack("{s:O}", "tables", tables), st ? NULL : err);
        st = st ? st : printed;
    }
    json_decref(tables);
    if (!st && different)
        st = hm_fail(err, HM_EDIFFERS, "batch: codes of requests side by side are not those that they have alone");
    return st;
}

hm_status hm_cmd_batch(const hm_command *self, int argc, char **argv, hm_error *err)
{
    batch_args *a = hm_calloc(1, sizeof *a, "batch", err);
    hm_plan *plan = NULL;
    bool helped = false;
    if (!a)
        return HM_EABSENT;
    *a = (batch_args){.plan.backend = "cpu", .list = "1,2,4,8", .rounds = 3, .repeat_cases = 1};
    hm_status st = parse(self, argc, argv, a, &helped, err);
    if (!st && !helped)
        st = hm_plan_make(&plan, &a->plan, err);
    if (plan)
        st = run_plan(a, plan, err);
    hm_plan_close(&plan);
    free(a);
    return st;
}
