/* Fidelity in the database: one row per arm and case, of figures that come from different passes. */
#ifndef HM_HARNESS_STORE_FIDELITY_H
#define HM_HARNESS_STORE_FIDELITY_H

#include "harness/fidelity.h"
#include "harness/logits.h"
#include "harness/store.h"

/* What is there of the same kind is replaced, the rest of the row stays. NaN: not known. */
hm_status hm_store_put_audio_fidelity(hm_store *store, const char *session_id, const char *arm_id, const char *case_id,
                                      const hm_fidelity *f, hm_error *err);
/* With a row per codebook. */
hm_status hm_store_put_logit_fidelity(hm_store *store, const char *session_id, const char *arm_id, const char *case_id,
                                      const hm_logit_comparison *c, hm_error *err);
/* Of every arm and case whose samples tell one: the largest. */
hm_status hm_store_put_seams(hm_store *store, const char *session_id, hm_error *err);

/* What is known of an arm's logits on a case: hash of those of the stored codes in its first good run (empty: none), codes per frame
 * there (0: not known), and whether it has been compared. */
typedef struct hm_logit_state {
    char hash[40];
    int codebooks;
    bool compared;
} hm_logit_state;
hm_status hm_store_logit_state(hm_store *store, const char *session_id, const char *arm_id, const char *case_id, hm_logit_state *out,
                               hm_error *err);

/* Calls back for every kept audio file of a session, by case, model and then the arm's position: the first one of each arm. Texts are valid
 * during the call, in which the store may be written. */
typedef struct hm_audio_row {
    const char *case_id, *arm_id, *path;
    int arm_position, first_position; /* of the arm, and of the first one with its model: the reference of the others */
} hm_audio_row;
hm_status hm_store_each_audio(hm_store *store, const char *session_id,
                              hm_status (*row)(void *self, const hm_audio_row *audio, hm_error *err), void *self, hm_error *err);

#endif
