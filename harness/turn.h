/* One arm's turn: a fresh worker process, told what to do, watched, and believed only as far as its answers hold up. */
#ifndef HM_HARNESS_TURN_H
#define HM_HARNESS_TURN_H

#include "harness/plan.h"
#include "harness/process.h"
#include "harness/protocol.h"

enum {
    HM_TURN_WARMUPS = 7
}; /* that are kept at most */

typedef struct hm_turn_hooks {
    void *self;
    /* The model is open: may set order->codes (which has to stay until the turn ends). May be NULL. */
    hm_status (*opened)(void *self, const hm_opened *opened, hm_run_order *order, hm_error *err);
    void (*progress)(void *self, const char *phase, int64_t done, int64_t total); /* may be NULL */
    bool (*stop)(void);                                                           /* may be NULL */
} hm_turn_hooks;

/* What came of it. hm_turn_free. */
typedef struct hm_turn {
    hm_run_status status;
    char reason[512];
    bool was_opened;
    hm_opened opened;
    hm_build_record build; /* id empty: the worker did not say */
    hm_sample *samples;    /* warm-ups, then timed ones: at least one when status is HM_RUN_OK */
    int sample_count;
    hm_stored_codes made; /* by the last one, when asked for */
    char started_utc[HM_UTC_TEXT];
    int64_t duration_ns, memory_available_bytes;
} hm_turn;

/* Open, run, close. Whatever the worker does is in *out (HM_RUN_INTERRUPTED: stop said so); a status only for our own failures
 * (memory, hooks). */
hm_status hm_turn_run(hm_turn *out, const hm_plan_arm *arm, const hm_run_order *order, int64_t timeout_ns, const hm_turn_hooks *hooks,
                      hm_error *err);
void hm_turn_free(hm_turn *turn);

/* What an arm needs for a case, from the model's shapes: HM_UNKNOWN when the worker does not say (total_bytes of the estimate).
 * An error the worker reports (no such module, model ...) is returned as its status. */
hm_status hm_turn_estimate(const hm_plan_arm *arm, const hm_case_record *c, int64_t timeout_ns, int64_t *total_bytes, hm_error *err);

#endif
