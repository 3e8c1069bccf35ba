#include <stdio.h>
#include <string.h>

#include "engine/cpu/bench.h"
#include "harness/commands.h"
#include "harness/cpu_choice.h"
#include "harness/limits.h"
#include "harness/output_options.h"
#include "harness/progress.h"

/* Kernels that belong together, by the beginning of their names; what begins otherwise comes last. */
static const struct {
    const char *begins, *title;
} groups[] = {{"gemv", "Linear layers on few rows: generate"},
              {"gemm", "Linear layers on many rows: prefill, flow"},
              {"conv", "Convolutions: vocoders"},
              {"attention", "Attention"},
              {"rmsnorm", "Norms and activations"},
              {"snake", "Norms and activations"},
              {"sample", "Sampling"},
              {"team", "Threads: a phase by all of them, and by one"},
              {"", "Others"}};
enum {
    GROUPS = sizeof groups / sizeof *groups
};

typedef struct kernels_args {
    hm_cpu_choice cpu;
    const char *filter;
    double seconds;
    bool bench, quiet;
    hm_output_options output;
} kernels_args;

/* Rows as they come, a sheet for each group. */
typedef struct kernel_rows {
    hm_sheet *sheets[GROUPS]; /* NULL: no row yet */
    const kernels_args *args;
    const char *isa; /* NULL: nothing is measured */
    int threads;
    hm_progress progress;
    int done, total, over; /* over: rows beyond the machine's limit */
} kernel_rows;

static int group_of(const char *kernel)
{
    int g = 0;
    while (strncmp(kernel, groups[g].begins, strlen(groups[g].begins)))
        g++;
    for (int first = 0; first < g; first++)
        if (!strcmp(groups[first].title, groups[g].title))
            return first;
    return g;
}

static hm_sheet *sheet_of(kernel_rows *rows, const char *kernel)
{
    int g = group_of(kernel);
    if (!rows->sheets[g] && !rows->isa)
        rows->sheets[g] = hm_sheet_new((const char *const[]){"kernel|Kernel", "shape|Shape", "type|Type", "unit|Bound by", NULL});
    else if (!rows->sheets[g])
        rows->sheets[g] = hm_sheet_new((const char *const[]){"kernel|Kernel", "shape|Shape", "type|Type", ">time_us|us", ">rate|Rate",
                                                             ">best_rate|Best", ">limit|Limit", "unit|Unit", ">limit_percent|% of limit",
                                                             ">samples|n", "isa|", "threads|", NULL});
    return rows->sheets[g];
}

static void list_row(void *self, const hm_cpu_bench_row *r)
{
    kernel_rows *rows = self;
    if (!hm_cpu_bench_matches(r->kernel, r->shape, r->type, rows->args->filter))
        return;
    rows->total++;
    hm_sheet *t = sheet_of(rows, r->kernel);
    hm_sheet_string(t, r->kernel);
    hm_sheet_string(t, r->shape);
    hm_sheet_string(t, r->type);
    hm_sheet_string(t, r->unit[0] == 'G' && r->unit[1] == 'B' ? "reading" : "multiply-adds");
}

static void bench_row(void *self, const hm_cpu_bench_row *r)
{
    kernel_rows *rows = self;
    double share = hm_limit_share(r->best_rate, r->limit);
    hm_progress_update(&rows->progress, r->kernel, ++rows->done, rows->total);
    rows->over += share > 1;
    hm_sheet *t = sheet_of(rows, r->kernel);
    hm_sheet_string(t, r->kernel);
    hm_sheet_string(t, r->shape);
    hm_sheet_string(t, r->type);
    hm_sheet_number(t, r->median_ns * 1e-3, 1);
    hm_sheet_number(t, r->rate, 2);
    hm_sheet_number(t, r->best_rate, 2);
    hm_sheet_number(t, r->limit, 2);
    hm_sheet_string(t, r->unit);
    hm_sheet_value(t, 100 * share, share > 1 ? "%.0f !" : "%.0f", 100 * share);
    hm_sheet_cell(t, "%d", r->samples);
    hm_sheet_string(t, rows->isa);
    hm_sheet_cell(t, "%d", rows->threads);
}

static void free_rows(kernel_rows *rows)
{
    for (int g = 0; g < GROUPS; g++) {
        hm_sheet_free(rows->sheets[g]);
        rows->sheets[g] = NULL;
    }
}

static hm_status print(kernel_rows *rows, const char *words, hm_error *err)
{
    hm_document *d = hm_document_new("kernels");
    hm_document_text(d, "%s", words);
    for (int g = 0; g < GROUPS; g++)
        if (rows->sheets[g]) {
            hm_document_heading(d, 3, "%s", groups[g].title);
            hm_document_sheet(d, "kernels", rows->sheets[g]);
            rows->sheets[g] = NULL; /* the document's */
        }
    if (rows->over)
        hm_document_text(d, "!: %d row%s " HM_LIMIT_OVER ".", rows->over, rows->over == 1 ? " is" : "s are");
    hm_status st = d ? hm_output_write(&rows->args->output, d, err) : hm_fail(err, HM_EABSENT, "kernels: out of memory");
    hm_document_free(&d);
    return st;
}

static hm_status nothing_matches(const kernels_args *a, hm_error *err)
{
    return hm_fail(
        err, HM_EUSAGE,
        "kernels --filter \"%s\": no case has all these words; expected some of a line of `hmbench kernels`, as in \"gemv int8 M=1\"",
        a->filter);
}

static hm_status list(const kernels_args *a, hm_error *err)
{
    char words[200];
    kernel_rows rows = {.args = a};
    hm_cpu_bench_list(list_row, &rows);
    if (!rows.total)
        return nothing_matches(a, err);
    snprintf(words, sizeof words, "%d case%s that `hmbench kernels --bench` measures, with what bounds each.", rows.total,
             rows.total == 1 ? "" : "s");
    return print(&rows, words, err);
}

static hm_status bench(const kernels_args *a, hm_error *err)
{
    char words[400];
    hm_device *dev = NULL;
    kernel_rows count = {.args = a}, rows = {.args = a};
    hm_cpu_bench_list(list_row, &count);
    free_rows(&count);
    if (!count.total)
        return nothing_matches(a, err);
    hm_status st = hm_cpu_choice_open(&dev, &a->cpu, err);
    if (st)
        return st;
    rows.isa = hm_isa_name(hm_cpu_isa(dev));
    rows.threads = hm_team_size(hm_cpu_team(dev));
    rows.total = count.total;
    hm_progress_start(&rows.progress, "kernels", a->quiet);
    st = hm_cpu_bench(dev, a->filter, a->seconds, bench_row, &rows, err);
    hm_progress_end(&rows.progress);
    snprintf(
        words, sizeof words,
        "%d thread%s, %s. us, rate: median of n calls; %% of limit: the best call against the best of reading what it reads from where "
        "it lies, or of multiply-adds (of 8 bits for quantised weights; of a convolution to few channels the lower of both), just before and "
        "after each row.",
        rows.threads, rows.threads == 1 ? "" : "s", rows.isa);
    if (!st)
        st = print(&rows, words, err);
    free_rows(&rows);
    hm_cpu_close(&dev);
    return st;
}

hm_status hm_cmd_kernels(const hm_command *self, int argc, char **argv, hm_error *err)
{
    kernels_args a = {.seconds = 0.2, .output.format = "md"};
    bool helped;
    const hm_option options[] = {
        {"bench", 'b', HM_OPT_FLAG, &a.bench, NULL, "measure them (0.5 GB of memory) instead of listing the cases", 0, 0, NULL},
        {"filter", 'f', HM_OPT_STRING, &a.filter, "WORDS", "only cases that have all these words, as in \"gemv int8 M=1\"", 0, 0, NULL},
        {"seconds", 's', HM_OPT_DOUBLE, &a.seconds, "N", "time for each case", 0.01, 60, NULL},
        HM_CPU_CHOICE_OPTIONS(a.cpu),
        HM_OUTPUT_OPTIONS(a.output),
        {"quiet", 'q', HM_OPT_FLAG, &a.quiet, NULL, "no progress", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (!st && !helped)
        st = hm_output_options_check(&a.output, "kernels", err);
    if (st || helped)
        return st;
    return a.bench ? bench(&a, err) : list(&a, err);
}
