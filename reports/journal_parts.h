/* Inside of the journal: what its files share. Sections append to a document; a section without data appends nothing. */
#ifndef HM_REPORTS_JOURNAL_PARTS_H
#define HM_REPORTS_JOURNAL_PARTS_H

#include "reports/document.h"
#include "reports/journal.h"

#define HM_CELL_WHO "model|", "variant|Variant", "case|Label" /* columns that hm_cell_who fills */

void hm_cell_who(hm_sheet *table, const hm_journal_session *session, int arm, int kase);
void hm_cell_mean(hm_sheet *table, const hm_journal_stat *stat, int decimals); /* without samples: none */
void hm_cell_sd(hm_sheet *table, const hm_journal_stat *stat, int decimals);   /* below two samples: none */
void hm_cell_percent(hm_sheet *table, double share);                           /* 0.5: "50%" */
void hm_cell_decibels(hm_sheet *table, double db);                             /* infinite: "equal" */
void hm_cell_rtf(hm_sheet *table, const hm_journal_result *result);            /* with the verdict on the audio: "0.0512 ok" */
void hm_cell_output(hm_sheet *table, const hm_journal_result *result);

double hm_journal_rtf(const hm_journal_result *result); /* NaN without samples */
double hm_journal_tok_s(const hm_journal_result *result);
bool hm_journal_bad(const hm_journal_result *result);   /* its audio was judged bad: it does not rank */
bool hm_journal_ranks(const hm_journal_result *result); /* its audio is not bad, and its times are of hardware */

/* The arm that the summary ends with: "best" when there is one, else the last. */
int hm_journal_final_arm(const hm_journal_session *session);

/* What an arm is, its table, what it gains against the arm it differs least from, its note (notes may be NULL). */
void hm_journal_arm_section(const hm_journal_session *session, int arm, const hm_notes *notes, hm_document *d);

/* That weights are synthetic, if they are. */
void hm_journal_say_synthetic(const hm_journal_session *session, hm_document *d);
/* That times of a software device say nothing about hardware, if there is one. */
void hm_journal_say_software(const hm_journal_session *session, hm_document *d);
/* That bad audio does not rank, if there is any. */
void hm_journal_say_bad(const hm_journal_session *session, hm_document *d);

void hm_journal_summary(const hm_journal_session *session, hm_document *d);

/* Sections below the summary; hm_journal_parts appends all of them. */
void hm_journal_all_variants(const hm_journal_session *session, hm_document *d);
void hm_journal_steps(const hm_journal_session *session, hm_document *d);
void hm_journal_frames(const hm_journal_session *session, hm_document *d);
void hm_journal_loading(const hm_journal_session *session, hm_document *d);
void hm_journal_audio(const hm_journal_session *session, hm_document *d);
void hm_journal_failures(const hm_journal_session *session, hm_document *d);
void hm_journal_environment(const hm_journal_session *session, hm_document *d);
/* journal_more.c */
void hm_journal_verdicts(const hm_journal_session *session, hm_document *d);
void hm_journal_fidelity(const hm_journal_session *session, hm_document *d);
void hm_journal_transcripts(const hm_journal_session *session, hm_document *d);
void hm_journal_cold(const hm_journal_session *session, hm_document *d);
/* The first arm against the last one in the three figures of the XPU guide: cold load, frames per second, share of the device at work. */
void hm_journal_before_after(const hm_journal_session *session, hm_document *d);
/* What goes between host and device in a frame, where an arm computes on a GPU. */
void hm_journal_calls(const hm_journal_session *session, hm_document *d);
void hm_journal_ledger(const hm_journal_session *session, hm_document *d);
void hm_journal_positions(const hm_journal_session *session, hm_document *d);
void hm_journal_energy(const hm_journal_session *session, hm_document *d);
/* journal_precision.c: arms by the formats of their weights, with what each loses; and what serves the weights of each part. */
void hm_journal_precision(const hm_journal_session *session, hm_document *d);
void hm_journal_residency(const hm_journal_session *session, hm_document *d);
/* journal_ceiling.c: what generate moves and computes per second, how far that is from the machine's limits, and what more work could
 * bring at most. */
/* Ours and others: what other programs took in the same rounds. */
void hm_journal_others(const hm_journal_session *session, hm_document *d);
void hm_journal_ceiling(const hm_journal_session *session, hm_document *d);
void hm_journal_parts(const hm_journal_session *session, hm_document *d);

/* The models of sessions[0 .. count), which are one session, side by side: RTF per suite, tok/s, memory of the final arm of each. */
void hm_journal_models(const hm_journal_session *sessions, int count, hm_document *d);

/* What an arm does on a case against what the machine can: a point under a roof. */
typedef struct hm_phase_rate {
    double gflop_s, gb_s;         /* attained; NaN: not known */
    double flops_per_byte;        /* of weights */
    double limit_gb_s;            /* at which weights of this size can be read */
    double share_flops, share_gb; /* of the limits */
} hm_phase_rate;
hm_phase_rate hm_journal_prefill_rate(const hm_journal_session *session, const hm_journal_result *result);
hm_phase_rate hm_journal_generate_rate(const hm_journal_session *session, const hm_journal_result *result);
hm_phase_rate hm_journal_decode_rate(const hm_journal_session *session, const hm_journal_result *result);

/* Index of the case that lasts longest. */
int hm_journal_longest_case(const hm_journal_session *session);
const hm_journal_span *hm_journal_span_of(const hm_journal_result *result, const char *path); /* NULL: none */
/* "backbone" of "generate/frame/backbone"; NULL for spans elsewhere or deeper. */
const char *hm_journal_part_of_frame(const char *path);

#endif
