#include <jansson.h>
#include <stdio.h>

#include "engine/cpu/bench.h"
#include "harness/commands.h"
#include "harness/cpu_choice.h"
#include "harness/machine.h"
#include "harness/music_report.h"
#include "harness/progress.h"
#include "harness/table.h"

#define MIB ((size_t)1 << 20)
#define BLOCKS 2

typedef struct limits {
    size_t block_bytes[BLOCKS];
    double gb_per_s[BLOCKS], gflop_per_s;
} limits;

static hm_status measure(limits *l, hm_device *dev, double seconds, bool quiet, hm_error *err)
{
    hm_progress progress;
    hm_status st = HM_OK;
    hm_progress_start(&progress, "limits", quiet);
    for (int i = 0; i < BLOCKS && !st; i++) {
        st = hm_cpu_measure_bandwidth(dev, l->block_bytes[i], seconds, &l->gb_per_s[i], err);
        hm_progress_update(&progress, "memory", i + 1, BLOCKS);
        if (!st && hm_interrupted())
            st = hm_fail(err, HM_EINTERRUPTED, "limits: interrupted");
    }
    if (!st)
        l->gflop_per_s = hm_cpu_measure_flops(dev, seconds);
    hm_progress_end(&progress);
    return st;
}

static hm_status print(const limits *l, hm_device *dev, hm_error *err)
{
    char rate[32], what[64], with[64];
    hm_table *table = hm_table_new((const char *[]){"limit", ">rate", "unit", "measured with", NULL});
    snprintf(with, sizeof with, "%d threads, %s", hm_team_size(hm_cpu_team(dev)), hm_isa_name(hm_cpu_isa(dev)));
    for (int i = 0; i < BLOCKS; i++) {
        snprintf(what, sizeof what, "reading, block of %zu MiB", l->block_bytes[i] / MIB);
        snprintf(rate, sizeof rate, "%.1f", l->gb_per_s[i]);
        hm_table_row(table, (const char *[]){what, rate, "GB/s", with});
    }
    snprintf(rate, sizeof rate, "%.1f", l->gflop_per_s);
    hm_table_row(table, (const char *[]){"float32 multiply-adds", rate, "GFLOP/s", with});
    hm_status st = hm_table_end(table, stdout, 0, err);
    if (!st && !fflush(stdout))
        fprintf(stderr, "\nThe largest block is memory itself: what bounds generate, which reads all weights for every frame.\n");
    return st;
}

static json_t *to_json(const limits *l, hm_device *dev)
{
    hm_machine_record m;
    json_t *reading = json_array();
    hm_machine_read(&m);
    for (int i = 0; i < BLOCKS; i++)
        json_array_append_new(reading, json_pack("{s:I, s:f}", "block_bytes", (json_int_t)l->block_bytes[i], "gb_per_s", l->gb_per_s[i]));
    return json_pack("{s:s, s:s, s:i, s:o, s:f}", "cpu", m.cpu_model, "isa", hm_isa_name(hm_cpu_isa(dev)), "threads",
                     hm_team_size(hm_cpu_team(dev)), "reading", reading, "gflop_per_s", l->gflop_per_s);
}

hm_status hm_cmd_limits(const hm_command *self, int argc, char **argv, hm_error *err)
{
    limits l = {.block_bytes = {8 * MIB, 512 * MIB}};
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
        st = json ? hm_json_print(to_json(&l, dev), err) : print(&l, dev, err);
    hm_cpu_close(&dev);
    return st;
}
