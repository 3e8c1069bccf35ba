#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/engine_open.h"
#include "suites/suite.h"

#define MAX_SIZES 16
#define MAX_BATCH 16 /* requests side by side that an engine takes */

typedef struct batch_args {
    hm_engine_choice engine;
    hm_strings suites;
    const char *filter, *list;
    int64_t rounds, repeat_cases;
    int sizes[MAX_SIZES], size_count;
    bool json, quiet;
} batch_args;

static hm_status parse_sizes(batch_args *a, hm_error *err)
{
    const char *p = a->list;
    do {
        char *end;
        long n = strtol(p, &end, 10);
        if (end == p || (*end && *end != ',') || n < 1 || n > MAX_BATCH)
            return hm_fail(err, HM_EUSAGE, "--batch %s: expected numbers from 1 to %d with commas between them, as in 1,2,4,8", a->list, MAX_BATCH);
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
        {"batch", 'b', HM_OPT_STRING, &a->list, "LIST", "requests side by side", 0, 0, NULL},
        {"filter", 'f', HM_OPT_STRING, &a->filter, "REGEX", "only cases whose suite/name matches", 0, 0, NULL},
        {"repeat-cases", 'k', HM_OPT_INT, &a->repeat_cases, "K", "every case as K requests, with seeds of their own", 1, 64, NULL},
        {"rounds", 'n', HM_OPT_INT, &a->rounds, "N", "rounds; every batch runs once in each", 1, 100, NULL},
        HM_ENGINE_CHOICE_OPTIONS(a->engine),
        {"json", 0, HM_OPT_FLAG, &a->json, NULL, "one JSON object instead of tables", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "the tables and errors only", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &a->suites, 32, helped, err);
    if (st || *helped)
        return st;
    if (!a->suites.count)
        return hm_fail(err, HM_EUSAGE, "batch: which suite? (hmbench list suites)");
    return parse_sizes(a, err);
}

hm_status hm_cmd_batch(const hm_command *self, int argc, char **argv, hm_error *err)
{
    batch_args a = {.engine = {.variant = "best", .backend = "cpu"}, .list = "1,2,4,8", .rounds = 3, .repeat_cases = 1};
    bool helped = false;
    return parse(self, argc, argv, &a, &helped, err);
}
