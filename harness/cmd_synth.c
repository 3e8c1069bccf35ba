#include <stdio.h>

#include "engine/synth.h"
#include "harness/commands.h"
#include "harness/progress.h"

static const hm_preset *find_preset(const char *name, hm_error *err)
{
    const char *names[64] = {0};
    char near[HM_SUGGESTION];
    const hm_preset *preset = hm_preset_find(name);
    int n = 0;
    if (preset)
        return preset;
    for (const hm_preset *p = hm_preset_list(); p->name && n < 63; p++)
        names[n++] = p->name;
    hm_fail(err, HM_EUSAGE, "synth: no preset \"%s\"%s (hmbench list models)", name, hm_did_you_mean(near, name, names));
    return NULL;
}

hm_status hm_cmd_synth(const hm_command *self, int argc, char **argv, hm_error *err)
{
    int64_t seed = 1, threads = 0;
    bool quiet = false, helped;
    hm_strings args = {0};
    const hm_option options[] = {
        {"seed", 0, HM_OPT_INT, &seed, "N", "of the weights", 0, HM_OPTION_NO_MAX, NULL},
        {"threads", 't', HM_OPT_INT, &threads, "N", "threads; 0: all CPUs this process may use", 0, 1024, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &quiet, NULL, "no progress and no summary", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &args, 2, &helped, err);
    if (st || helped)
        return st;
    if (args.count != 2)
        return hm_fail(err, HM_EUSAGE, "synth: expected a preset and a folder (hmbench synth --help)");
    const hm_preset *preset = find_preset(args.items[0], err);
    if (!preset)
        return HM_EUSAGE;

    hm_progress progress;
    hm_probe probe = {.self = &progress, .progress = hm_progress_probe};
    hm_team *team = NULL;
    st = hm_team_open(&team, (int)threads, err);
    if (st)
        return st;
    hm_progress_start(&progress, preset->name, quiet);
    st = hm_preset_write(preset, args.items[1], (uint64_t)seed, team, &probe, err);
    hm_progress_end(&progress);
    hm_team_close(&team);
    if (!st && !quiet)
        fprintf(stderr, "%s: %s, seed %lld, %.1f MB\n", args.items[1], preset->name, (long long)seed,
                (double)hm_preset_bytes(preset) * 1e-6);
    return st;
}
