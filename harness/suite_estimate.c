#include <stdio.h>
#include <string.h>

#include "harness/machine.h"
#include "harness/suite_run.h"

static const char *gigabytes(char text[32], int64_t bytes)
{
    snprintf(text, 32, "%.2f GB", (double)bytes * 1e-9);
    return text;
}

hm_status hm_suite_estimate(hm_plan *plan, int64_t timeout_ns, hm_error *err)
{
    char need[32], have[32];
    for (int a = 0; a < plan->arm_count; a++) {
        hm_plan_arm *arm = &plan->arms[a];
        int longest = -1;
        int64_t bytes = HM_UNKNOWN, available = hm_memory_available();
        for (int c = 0; c < plan->case_count; c++)
            if (hm_plan_runs(plan, c, a) && (longest < 0 || plan->cases[c].frames > plan->cases[longest].frames))
                longest = c;
        if (arm->command || longest < 0)
            continue;
        hm_status st = hm_turn_estimate(arm, &plan->cases[longest], timeout_ns, &bytes, err);
        if (st)
            return st;
        if (bytes != HM_UNKNOWN && available != HM_UNKNOWN && bytes > available)
            snprintf(arm->refusal, sizeof arm->refusal, "needs about %s of memory for %s/%s, %s are available", gigabytes(need, bytes),
                     plan->cases[longest].suite, plan->cases[longest].name, gigabytes(have, available));
    }
    return HM_OK;
}

int64_t hm_suite_expected_ns(hm_store *store, const char *machine_id, const hm_plan *plan, int case_index, int arm, bool *known)
{
    const hm_plan_arm *a = &plan->arms[arm];
    const hm_case_record *c = &plan->cases[case_index];
    int64_t ns = 0;
    *known = false;
    if (store &&
        hm_store_expected_ns(store, machine_id, c->id, a->toggles_text[0] ? a->toggles_text : NULL, a->threads, a->isa[0] ? a->isa : NULL,
                             a->model, a->program, a->command, a->backend, a->device[0] ? a->device : NULL, &ns, known, NULL))
        *known = false;
    return *known ? ns
                  : (int64_t)((c->recording ? c->audio_s : c->frames * 0.08) * 0.1e9) + 500000000; /* a tenth of real time and a start */
}
