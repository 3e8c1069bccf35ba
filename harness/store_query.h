/* What reports need of the database, as the plain structs of reports/. */
#ifndef HM_HARNESS_STORE_QUERY_H
#define HM_HARNESS_STORE_QUERY_H

#include "harness/store.h"
#include "reports/journal.h"

typedef struct hm_journal_filter {
    const char *session; /* an id or its first letters, or "last"; NULL: all */
    const char *since;   /* sessions from this UTC date or time on, or from the session with this id on; NULL: all */
} hm_journal_filter;

typedef struct hm_journal_data hm_journal_data;

/* HM_EMISSING: no session fits. Texts that describe variants come from the table of variants. */
hm_status hm_store_get_journal(hm_store *store, const hm_journal_filter *filter, hm_journal_data **out, hm_error *err);
void hm_journal_data_free(hm_journal_data **data);
const hm_journal *hm_journal_data_journal(const hm_journal_data *data); /* valid until freed */

/* Calls back for every kept audio file of a session, by case, model and then the arm's position: the first one of each arm. Texts are valid
 * during the call, in which the store may be written. */
typedef struct hm_audio_row {
    const char *case_id, *arm_id, *path;
    int arm_position, first_position; /* of the arm, and of the first one with its model: the reference of the others */
} hm_audio_row;
hm_status hm_store_each_audio(hm_store *store, const char *session_id,
                              hm_status (*row)(void *self, const hm_audio_row *audio, hm_error *err), void *self, hm_error *err);

/* Signal-to-noise ratios of an arm's audio against that of the first arm with its model; NaN: not known. What is there already is replaced. */
hm_status hm_store_put_fidelity(hm_store *store, const char *session_id, const char *arm_id, const char *case_id, double snr_db,
                                double spectral_snr_db, hm_error *err);

#endif
