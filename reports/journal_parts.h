/* Inside of the journal: what its files share. */
#ifndef HM_REPORTS_JOURNAL_PARTS_H
#define HM_REPORTS_JOURNAL_PARTS_H

#include "reports/journal.h"
#include "reports/sheet.h"

void hm_cell_number(hm_sheet *table, double value, int decimals); /* NaN: not measured */
void hm_cell_text(hm_sheet *table, const char *text);             /* NULL: not known */
void hm_cell_output(hm_sheet *table, const hm_journal_result *result);

double hm_journal_rtf(const hm_journal_result *result); /* NaN without samples */
double hm_journal_tok_s(const hm_journal_result *result);

/* The arm that the summary ends with: "best" when there is one, else the last. */
int hm_journal_final_arm(const hm_journal_session *session);

hm_status hm_journal_summary(const hm_journal_session *session, FILE *file, hm_error *err);

/* Everything below the summary: all variants, steps, frames, ceiling, memory, audio, failures, environment. */
hm_status hm_journal_write_parts(const hm_journal_session *session, FILE *file, hm_error *err);

/* The models of sessions[0 .. count), which are one session, side by side: RTF per suite, tok/s, memory of the final arm of each. */
hm_status hm_journal_models(const hm_journal_session *sessions, int count, FILE *file, hm_error *err);

/* journal_ceiling.c: what generate moves and computes per second, how far that is from the machine's limits, and what more work could
 * bring at most. */
hm_status hm_journal_ceiling(const hm_journal_session *session, FILE *file, hm_error *err);

/* Index of the case that lasts longest. */
int hm_journal_longest_case(const hm_journal_session *session);
const hm_journal_span *hm_journal_span_of(const hm_journal_result *result, const char *path); /* NULL: none */
/* "backbone" of "generate/frame/backbone"; NULL for spans elsewhere or deeper. */
const char *hm_journal_part_of_frame(const char *path);

#endif
