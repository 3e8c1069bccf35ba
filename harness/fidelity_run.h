/* Gathers what tells how near the arms of a session come to the reference, the first arm of their model. */
#ifndef HM_HARNESS_FIDELITY_RUN_H
#define HM_HARNESS_FIDELITY_RUN_H

#include "harness/plan.h"
#include "harness/store_fidelity.h"

enum {
    HM_LOGIT_FRAMES = 32
};

/* Compares the kept audio of every arm of a session with that of the first arm of its model, case by case, and stores the figures, with
 * what the samples tell of seams. What was not kept, or is gone, has none. */
hm_status hm_session_fidelity(hm_store *store, const char *session_id, hm_error *err);

/* The logits of our own arms along the stored codes, against those of the first of our arms with the same model. An arm that must give the
 * same output, and whose logits of the stored codes are the same, has the figures of no difference; every other one, and its reference,
 * makes `frames` frames of each case once more, untimed, codes alone, in a process of its own. A pass that fails leaves its figures
 * unknown and is told. HM_EINTERRUPTED; HM_EIO. */
typedef struct hm_logit_passes {
    hm_store *store;
    const hm_plan *plan;
    const char *session_id;
    const char *folder; /* where the logits lie meanwhile */
    int frames;         /* 0: nothing is done */
    int64_t timeout_ns; /* of a pass */
    bool quiet;
} hm_logit_passes;
hm_status hm_session_logits(const hm_logit_passes *passes, hm_error *err);

#endif
