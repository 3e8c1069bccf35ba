/* Inside of store_query.c and store_figures.c: a session while it is read into the structs of the journal. */
#ifndef HM_HARNESS_STORE_READING_H
#define HM_HARNESS_STORE_READING_H

#include "harness/store_internal.h"
#include "reports/journal.h"

typedef struct hm_reading hm_reading;

hm_journal_session *hm_reading_session(hm_reading *r);
int hm_reading_arm(const hm_reading *r, const char *id);  /* -1: another model's, or none */
int hm_reading_case(const hm_reading *r, const char *id); /* the same */
const char *hm_reading_arm_name(const hm_reading *r, int arm);
const char *hm_reading_label(const hm_reading *r, int kase);
hm_journal_result *hm_reading_result(hm_reading *r, const char *arm_id, const char *case_id); /* NULL: another model's */

/* A copy that lives as long as what is read; NULL stays NULL. */
const char *hm_reading_keep(hm_reading *r, const char *text);
/* `old` with room for count + 1 elements; NULL without memory, which ends the reading with its own sentence. */
void *hm_reading_grown(hm_reading *r, const void *old, int count, size_t size);

/* A question in which :id is the session. */
void hm_reading_ask(hm_reading *r, hm_query *q, const char *sql);

/* store_figures.c: numbers beside the times, fidelity, cold starts, speed along a song, verdicts, tags. */
hm_status hm_reading_figures(hm_reading *r);

#endif
