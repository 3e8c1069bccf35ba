#include <jansson.h>
#include <stdio.h>

#include "engine/cpu/bench.h"
#include "harness/commands.h"
#include "harness/cpu_choice.h"
#include "harness/limits.h"
#include "harness/progress.h"
#include "harness/run_report.h"
#include "harness/table.h"

typedef struct rows {
    hm_table *table;
    json_t *json;
    hm_progress *progress;
    int done, over; /* over: rows beyond the machine's limit */
    bool names;     /* nothing was measured */
} rows;

static void add_row(void *self, const hm_cpu_bench_row *r)
{
    rows *out = self;
    char time[32], rate[32], best[32], limit[32], share[32], samples[16];
    if (out->progress)
        hm_progress_update(out->progress, r->kernel, ++out->done, 0);
    if (out->json && out->names)
        json_array_append_new(out->json,
                              json_pack("{s:s, s:s, s:s, s:s}", "kernel", r->kernel, "shape", r->shape, "type", r->type, "unit", r->unit));
    else if (out->json)
        json_array_append_new(out->json, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:b, s:i}", "kernel", r->kernel, "shape",
                                                   r->shape, "type", r->type, "unit", r->unit, "median_ns", r->median_ns, "rate", r->rate,
                                                   "best_rate", r->best_rate, "limit", r->limit, "over_limit",
                                                   hm_limit_share(r->best_rate, r->limit) > 1, "samples", r->samples));
    else if (out->names)
        hm_table_row(out->table, (const char *[]){r->kernel, r->shape, r->type, r->unit});
    if (out->json || out->names)
        return;
    snprintf(time, sizeof time, "%.1f", r->median_ns * 1e-3);
    snprintf(rate, sizeof rate, "%.2f", r->rate);
    snprintf(best, sizeof best, "%.2f", r->best_rate);
    snprintf(limit, sizeof limit, "%.2f", r->limit);
    double of_limit = hm_limit_share(r->best_rate, r->limit);
    snprintf(share, sizeof share, of_limit > 1 ? "%.0f !" : "%.0f", 100 * of_limit);
    out->over += of_limit > 1;
    snprintf(samples, sizeof samples, "%d", r->samples);
    hm_table_row(out->table, (const char *[]){r->kernel, r->shape, r->type, time, rate, best, r->unit, limit, share, samples});
}

static hm_status list(bool json, hm_error *err)
{
    rows out = {.names = true, .json = json ? json_array() : NULL};
    if (!json)
        out.table = hm_table_new((const char *[]){"kernel", "shape", "type", "unit", NULL});
    hm_cpu_bench_list(add_row, &out);
    return json ? hm_json_print(out.json, err) : hm_table_end(out.table, stdout, 0, err);
}

static hm_status bench(hm_device *dev, const char *filter, double seconds, bool json, bool quiet, hm_error *err)
{
    hm_progress progress;
    rows out = {.progress = &progress, .json = json ? json_array() : NULL};
    if (!json)
        out.table =
            hm_table_new((const char *[]){"kernel", "shape", "type", ">us", ">rate", ">best", "unit", ">limit", ">% of limit", ">n", NULL});
    hm_progress_start(&progress, "kernels", quiet);
    hm_status st = hm_cpu_bench(dev, filter, seconds, add_row, &out, err);
    hm_progress_end(&progress);
    if (st) {
        json_decref(out.json);
        hm_table_drop(out.table);
        return st;
    }
    if (json)
        return hm_json_print(out.json, err);
    st = hm_table_end(out.table, stdout, 0, err);
    if (!st && !fflush(stdout))
        fprintf(stderr,
                "\n%d threads, %s; us, rate: median of n calls; %% of limit: the best call against\n"
                "the best of reading what it reads from where it lies, or of multiply-adds, just before and after each row.\n",
                hm_team_size(hm_cpu_team(dev)), hm_isa_name(hm_cpu_isa(dev)));
    if (!st && out.over)
        fprintf(stderr, "!: %d row%s " HM_LIMIT_OVER ".\n", out.over, out.over == 1 ? " is" : "s are");
    return st;
}

hm_status hm_cmd_kernels(const hm_command *self, int argc, char **argv, hm_error *err)
{
    hm_cpu_choice cpu = {0};
    const char *filter = NULL;
    double seconds = 0.2;
    bool measure = false, json = false, quiet = false, helped;
    const hm_option options[] = {
        {"bench", 'b', HM_OPT_FLAG, &measure, NULL, "measure them (0.5 GB of memory) instead of listing the cases", 0, 0, NULL},
        {"filter", 'f', HM_OPT_STRING, &filter, "TEXT", "only cases whose kernel, shape or type has it", 0, 0, NULL},
        {"seconds", 's', HM_OPT_DOUBLE, &seconds, "N", "time for each case", 0.01, 60, NULL},
        HM_CPU_CHOICE_OPTIONS(cpu),
        {"json", 0, HM_OPT_FLAG, &json, NULL, "one JSON array instead of a table", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &quiet, NULL, "no progress", 0, 0, NULL},
        {0},
    };
    hm_device *dev = NULL;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    if (filter && !measure)
        return hm_fail(err, HM_EUSAGE, "kernels: --filter chooses what --bench measures; give both");
    if (!measure)
        return list(json, err);
    st = hm_cpu_choice_open(&dev, &cpu, err);
    if (st)
        return st;
    st = bench(dev, filter, seconds, json, quiet, err);
    hm_cpu_close(&dev);
    return st;
}
