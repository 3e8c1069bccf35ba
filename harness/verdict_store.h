/* Verdicts in the database: the sessions that a user names, facts that decide whether they may be compared, exact counts, and the rows
 * that gate, calibrate and baseline leave. */
#ifndef HM_HARNESS_VERDICT_STORE_H
#define HM_HARNESS_VERDICT_STORE_H

#include "engine/base/words.h"
#include "harness/store.h"

typedef struct hm_session_list {
    char (*ids)[HM_UUID_TEXT]; /* newest first */
    int count;
    char commit[48]; /* not empty: named by a commit; of their arms only those of programs built from it are meant */
} hm_session_list;

/* "last", a baseline's name, a tag KEY=VALUE, the first letters of a session's id, or of a commit. HM_EMISSING: nothing is called so;
 * HM_EUSAGE: letters that several ids begin with. */
hm_status hm_store_find_sessions(hm_store *store, const char *text, hm_session_list *out, hm_error *err);
/* The newest of a kind ("ablate"). HM_EMISSING: there is none. */
hm_status hm_store_newest_session(hm_store *store, const char *kind, hm_session_list *out, hm_error *err);
void hm_session_list_free(hm_session_list *list);

/* hm_did_you_mean over names that the database has. */
typedef enum hm_store_names {
    HM_NAMES_SESSIONS,
    HM_NAMES_ARMS,
    HM_NAMES_CASES
} hm_store_names;
const char *hm_store_did_you_mean(hm_store *store, hm_store_names kind, const char *word, char out[HM_SUGGESTION]);

/* The newest session in which both arms have good runs: *found. session: in this one only (an id), or NULL. */
hm_status hm_store_find_arms(hm_store *store, const char *session, const char *a, const char *b, char id[HM_UUID_TEXT], bool *found,
                             hm_error *err);

/* A column of the row `id` of machine, build, model, session or suite_case, as text: "" for NULL or no such row. */
hm_status hm_store_get_fact(hm_store *store, const char *table, const char *column, const char *id, char *out, size_t size, hm_error *err);

/* --- exact figures --- */

typedef struct hm_exact {
    char name[176]; /* of a count, "load: " before those of loading; of a column of `sample`; "span NAME" */
    int64_t value;
} hm_exact;

/* Of the first good timed sample of an arm on a case, by name. Hashes "" when not known; memory_bytes HM_UNKNOWN. */
typedef struct hm_exact_list {
    hm_exact *items;
    int count;
    char codes_hash[HM_HASH_TEXT], audio_hash[HM_HASH_TEXT];
    int64_t memory_bytes; /* peak, mapped model pages left out */
    bool found;
} hm_exact_list;

hm_status hm_store_get_exact(hm_store *store, const char *session_id, const char *arm_id, const char *case_id, hm_exact_list *out,
                             hm_error *err);
void hm_exact_list_free(hm_exact_list *list);
extern const char *const hm_exact_columns[]; /* of `sample`; NULL at the end */

/* --- what verdicts leave --- */

/* NaN: not known. */
typedef struct hm_verdict_record {
    const char *session_id, *case_id, *base_arm_id, *arm_id, *metric; /* case_id NULL: all cases together */
    int rounds;
    double ratio, low, high, margin, mde;
    const char *verdict; /* pass, fail, improved, inconclusive, invalid, differs */
    const char *reason;  /* NULL: nothing to add */
} hm_verdict_record;
/* Replaces the session's earlier one of the same case, arms and metric. */
hm_status hm_store_put_verdict(hm_store *store, const hm_verdict_record *verdict, hm_error *err);

typedef struct hm_calibration_record {
    const char *session_id, *case_id, *arm_id;
    int rounds;
    double sd, bias, drift_p;
} hm_calibration_record;
hm_status hm_store_put_calibration(hm_store *store, const hm_calibration_record *calibration, hm_error *err);

typedef struct hm_calibration_key {
    const char *machine_id, *case_id, *toggles, *backend, *device; /* device: as asked for; "": the first */
    int threads;
} hm_calibration_key;
/* sd of the newest calibration that has all of these; NaN: there is none. */
hm_status hm_store_get_calibration(hm_store *store, const hm_calibration_key *key, double *sd, hm_error *err);

/* The sessions of a baseline become these, in one transaction. */
hm_status hm_store_set_baseline(hm_store *store, const char *name, const hm_session_list *sessions, hm_error *err);
/* HM_EMISSING: there is none of this name. */
hm_status hm_store_remove_baseline(hm_store *store, const char *name, hm_error *err);

#endif
