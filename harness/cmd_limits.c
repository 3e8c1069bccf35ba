#include <jansson.h>
#include <stdio.h>

#include "harness/commands.h"
#include "harness/cpu_choice.h"
#include "harness/limits.h"
#include "harness/machine.h"
#include "harness/progress.h"
#include "harness/run_report.h"
#include "harness/table.h"

#define MIB ((size_t)1 << 20)
static hm_status measure(hm_limits *l, hm_device *dev, double seconds, bool quiet, hm_error *err)
{
    hm_progress progress;
    hm_progress_start(&progress, "limits", quiet);
    hm_status st = hm_limits_measure(l, dev, seconds, &progress, err);
    hm_progress_end(&progress);
    return st;
}

static hm_status print(const hm_limits *l, hm_error *err)
{
    char rate[32], what[64], with[64];
    hm_table *table = hm_table_new((const char *[]){"limit", ">rate", "unit", "measured with", NULL});
    const size_t blocks[] = {HM_LIMIT_CACHE_BYTES, HM_LIMIT_MEMORY_BYTES};
    snprintf(with, sizeof with, "%d threads, %s", l->threads, l->isa);
    for (int i = 0; i < 2; i++) {
        snprintf(what, sizeof what, "reading, block of %zu MiB", blocks[i] / MIB);
        snprintf(rate, sizeof rate, "%.1f", i ? l->memory_gb_s : l->cache_gb_s);
        hm_table_row(table, (const char *[]){what, rate, "GB/s", with});
    }
    snprintf(rate, sizeof rate, "%.1f", l->gflop_s);
    hm_table_row(table, (const char *[]){"float32 multiply-adds", rate, "GFLOP/s", with});
    hm_status st = hm_table_end(table, stdout, 0, err);
    if (!st && !fflush(stdout))
        fprintf(stderr, "\nThe largest block is memory itself: what bounds generate, which reads all weights for every frame.\n");
    return st;
}

static json_t *to_json(const hm_limits *l)
{
    hm_machine_record m;
    hm_machine_read(&m);
    json_t *reading = json_pack("[{s:I, s:f}, {s:I, s:f}]", "block_bytes", (json_int_t)HM_LIMIT_CACHE_BYTES, "gb_per_s", l->cache_gb_s,
                                "block_bytes", (json_int_t)HM_LIMIT_MEMORY_BYTES, "gb_per_s", l->memory_gb_s);
    return json_pack("{s:s, s:s, s:i, s:o, s:f}", "cpu", m.cpu_model, "isa", l->isa, "threads", l->threads, "reading", reading,
                     "gflop_per_s", l->gflop_s);
}

hm_status hm_cmd_limits(const hm_command *self, int argc, char **argv, hm_error *err)
{
    hm_limits l;
    hm_cpu_choice cpu = {0};
    double seconds = 0.5;
    bool json = false, quiet = false, helped;
    const hm_option options[] = {
        HM_CPU_CHOICE_OPTIONS(cpu),
        {"seconds", 's', HM_OPT_DOUBLE, &seconds, "N", "time for each measurement", 0.01, 60, NULL},
        {"json", 0, HM_OPT_FLAG, &json, NULL, "one JSON object instead of a table", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &quiet, NULL, "no progress", 0, 0, NULL},
        {0},
    };
    hm_device *dev = NULL;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    st = hm_cpu_choice_open(&dev, &cpu, err);
    if (st)
        return st;
    st = measure(&l, dev, seconds, quiet, err);
    if (!st)
        st = json ? hm_json_print(to_json(&l), err) : print(&l, err);
    hm_cpu_close(&dev);
    return st;
}
