#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/cpu_choice.h"
#include "harness/machine.h"
#include "harness/output_options.h"
#include "harness/progress.h"
#include "harness/store_limits.h"

typedef struct limits_args {
    hm_cpu_choice cpu;
    double seconds;
    const char *db;
    bool save, history, quiet;
    hm_output_options output;
} limits_args;

/* One thread and all of them, or as many as were asked for; returns how many counts there are. */
static int thread_counts(const limits_args *a, int64_t out[2])
{
    out[0] = a->cpu.threads ? a->cpu.threads : 1;
    out[1] = hm_cpu_available();
    return a->cpu.threads || out[1] == 1 ? 1 : 2;
}

/* Reading with the best instructions, multiply-adds with each set up to it. */
static hm_status measure_threads(hm_limits *out, const limits_args *a, int64_t threads, hm_isa best, hm_progress *progress, hm_error *err)
{
    hm_status st = HM_OK;
    for (int isa = (int)best; isa >= 0 && !st; isa--) {
        hm_device *dev = NULL;
        unsigned what = HM_LIMITS_FLOPS | (isa == (int)best ? HM_LIMITS_READING | HM_LIMITS_LEVELS : 0);
        st = hm_cpu_open(&dev, (int)threads, (hm_isa)isa, err);
        if (!st)
            st = hm_limits_measure(out, dev, what, a->seconds, progress, err);
        hm_cpu_close(&dev);
    }
    return st;
}

static hm_status measure(hm_limits *out, const limits_args *a, hm_error *err)
{
    hm_progress progress;
    hm_device *probe = NULL;
    int64_t threads[2];
    hm_status st = hm_cpu_choice_open(&probe, &a->cpu, err); /* says what is wrong with --isa and --threads */
    if (st)
        return st;
    hm_isa best = hm_cpu_isa(probe);
    hm_cpu_close(&probe);
    hm_progress_start(&progress, "limits", a->quiet);
    for (int i = 0, n = thread_counts(a, threads); i < n && !st; i++)
        st = measure_threads(out, a, threads[i], best, &progress, err);
    hm_progress_end(&progress);
    return st;
}

static void cell_block(hm_sheet *t, int64_t bytes)
{
    if (bytes == HM_UNKNOWN)
        hm_sheet_none(t);
    else if (bytes >= 1 << 20)
        hm_sheet_value(t, (double)bytes, "%.4g MiB", (double)bytes / (1 << 20));
    else
        hm_sheet_value(t, (double)bytes, "%.4g KiB", (double)bytes / 1024);
}

static void cell_limit(hm_sheet *t, const hm_limit *l)
{
    hm_sheet_string(t, l->name);
    hm_sheet_string(t, l->type);
    hm_sheet_string(t, l->isa);
    hm_sheet_cell(t, "%d", l->threads);
    hm_sheet_number(t, l->value, 1);
    hm_sheet_string(t, strcmp(l->name, "flops") ? "GB/s" : strcmp(l->type, "int8") ? "GFLOP/s" : "Gop/s");
    cell_block(t, l->block_bytes);
}

static hm_sheet *limit_sheet(const hm_limits *limits)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"limit|Limit", "type|Type", "isa|Instructions", ">threads|Threads", ">value|Rate",
                                                     "unit|Unit", ">block_bytes|Block", "how|Measured with", NULL});
    for (int i = 0; i < limits->count; i++) {
        cell_limit(t, &limits->items[i]);
        hm_sheet_string(t, limits->items[i].how);
    }
    return t;
}

static hm_sheet *drift_sheet(const hm_limit_drift *list, int count)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"limit|Limit", "type|Type", "isa|Instructions", ">threads|Threads", ">value|Newest",
                                                     "unit|Unit", ">block_bytes|Block", "measured_utc|Measured", ">earlier|Earlier ones",
                                                     ">median|Their median", ">change|Change", "flagged|Drift", NULL});
    for (int i = 0; i < count; i++) {
        const hm_limit_drift *d = &list[i];
        cell_limit(t, &d->now);
        hm_sheet_string(t, d->measured_utc);
        hm_sheet_cell(t, "%d", d->earlier);
        hm_sheet_number(t, d->median, 1);
        hm_sheet_value(t, d->change, "%+.1f %%", 100 * d->change);
        if (d->earlier)
            hm_sheet_string(t, !d->flagged ? "no" : d->change < 0 ? "slower" : "faster");
        else
            hm_sheet_none(t);
    }
    return t;
}

static void warn_of_drift(const hm_limit_drift *list, int count)
{
    for (int i = 0; i < count; i++)
        if (list[i].flagged)
            fprintf(stderr, "drift: %s %s, %s, %d thread%s: %.1f now, %.1f is the median of %d earlier (%+.0f %%)\n", list[i].now.name,
                    list[i].now.type, list[i].now.isa, list[i].now.threads, list[i].now.threads == 1 ? "" : "s", list[i].now.value,
                    list[i].median, list[i].earlier, 100 * list[i].change);
}

static hm_status print(const limits_args *a, const char *name, const char *words, hm_sheet *sheet, hm_error *err)
{
    hm_document *d = hm_document_new("limits");
    hm_document_text(d, "%s", words);
    hm_document_sheet(d, name, sheet);
    hm_status st = d ? hm_output_write(&a->output, d, err) : hm_fail(err, HM_EABSENT, "limits: out of memory");
    hm_document_free(&d);
    return st;
}

static hm_status show_history(const limits_args *a, hm_error *err)
{
    char words[512];
    hm_store *store = NULL;
    hm_machine_record m;
    hm_limit_drift *list = NULL;
    int count = 0, flagged = 0;
    hm_machine_read(&m);
    hm_status st = hm_store_open(&store, hm_store_path(a->db), HM_STORE_READ, err);
    if (!st)
        st = hm_store_get_limit_drift(store, m.id, &list, &count, err);
    hm_store_close(&store);
    if (!st && !count)
        st = hm_fail(err, HM_EMISSING, "database %s: no limits of this machine (%.8s); measure them: hmbench limits", hm_store_path(a->db),
                     m.id);
    for (int i = 0; i < count; i++)
        flagged += list[i].flagged;
    snprintf(words, sizeof words, "Limits of this machine (%s): the newest against the median of earlier ones; %d of %d beyond %.0f %%.",
             m.cpu_model, flagged, count, 100 * HM_LIMIT_DRIFT);
    if (!st)
        st = print(a, "drift", words, drift_sheet(list, count), err);
    free(list);
    return st;
}

static hm_status save(const limits_args *a, const hm_machine_record *m, const hm_limits *limits, hm_error *err)
{
    hm_store *store = NULL;
    hm_limit_drift *list = NULL;
    int count = 0;
    hm_status st = hm_store_open(&store, hm_store_path(a->db), HM_STORE_CREATE, err);
    if (!st)
        st = hm_store_put_machine(store, m, err);
    if (!st)
        st = hm_store_put_limits(store, m->id, NULL, limits, err);
    if (!st)
        st = hm_store_get_limit_drift(store, m->id, &list, &count, err);
    hm_store_close(&store);
    if (!st && !a->quiet) {
        fprintf(stderr, "stored in database %s; hmbench limits --history shows how they drift\n", hm_store_path(a->db));
        warn_of_drift(list, count);
    }
    free(list);
    return st;
}

static hm_status measure_and_print(const limits_args *a, hm_error *err)
{
    char words[640];
    hm_machine_record m;
    hm_limits *limits = hm_calloc(1, sizeof *limits, "limits", err);
    if (!limits)
        return HM_EABSENT;
    hm_machine_read(&m);
    hm_status st = measure(limits, a, err);
    snprintf(words, sizeof words,
             "What this machine (%s) can do at most. Reading: memory is what bounds generate, which reads all weights for every frame; "
             "cache is the last level. Multiply-adds count twice; a type without instructions of its own is widened, as the engine does.",
             m.cpu_model);
    if (!st)
        st = print(a, "limits", words, limit_sheet(limits), err);
    if (!st && a->save)
        st = save(a, &m, limits, err);
    free(limits);
    return st;
}

hm_status hm_cmd_limits(const hm_command *self, int argc, char **argv, hm_error *err)
{
    limits_args a = {.seconds = 0.3, .save = true, .output.format = "md"};
    bool helped;
    const hm_option options[] = {
        {"threads", 't', HM_OPT_INT, &a.cpu.threads, "N", "threads; 0: one, and all CPUs this process may use", 0, 1024, NULL},
        {"isa", 0, HM_OPT_STRING, &a.cpu.isa, "NAME", "instruction set at most (the best here if not given)", 0, 0, hm_isa_choices},
        {"seconds", 's', HM_OPT_DOUBLE, &a.seconds, "N", "time for each measurement", 0.01, 60, NULL},
        {"history", 0, HM_OPT_FLAG, &a.history, NULL, "measure nothing: the newest stored limits against earlier ones", 0, 0, NULL},
        {"save", 0, HM_OPT_FLAG, &a.save, NULL, "store them", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &a.db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        HM_OUTPUT_OPTIONS(a.output),
        {"quiet", 'q', HM_OPT_FLAG, &a.quiet, NULL, "no progress, no remarks", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (!st && !helped)
        st = hm_output_options_check(&a.output, "limits", err);
    if (st || helped)
        return st;
    return a.history ? show_history(&a, err) : measure_and_print(&a, err);
}
