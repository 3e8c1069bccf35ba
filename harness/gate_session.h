/* One gate from its options to its report: measured against another arm in one session, against stored sessions, or by exact counts.
 * harness/cmd_gate.c has the options, harness/gate_report.h what is printed, harness/gate.h the rule. */
#ifndef HM_HARNESS_GATE_SESSION_H
#define HM_HARNESS_GATE_SESSION_H

#include "harness/gate.h"
#include "harness/gate_report.h"
#include "harness/measure.h"
#include "harness/verdicts.h"

typedef enum hm_gate_base {
    HM_BASE_VARIANT, /* of this build */
    HM_BASE_PROGRAM, /* another build of hmbench that runs the same variant */
    HM_BASE_STORED   /* sessions in the database */
} hm_gate_base;

typedef struct hm_gate_options {
    hm_measure_options measure; /* plan and rounds are filled by hm_gate_run */
    const char *base, *variant; /* what is judged against, and the variant that is judged */
    hm_gate_base kind;          /* of base */
    const char *metric;
    double margin, alpha;
    int min_rounds, max_rounds;
    bool counts;           /* exact figures only */
    bool trust_history;    /* a FAIL against stored sessions counts */
    bool other_output;     /* outputs may differ */
    hm_strings tolerances; /* NAME=SHARE% */
} hm_gate_options;

typedef struct hm_gate_case {
    int base, arm;           /* of the plan; base -1: stored */
    const hm_group *stored;  /* of HM_BASE_STORED */
    const char *base_arm_id; /* in the database */
    hm_gate_finding finding;
    double calibrated_sd; /* NaN: never calibrated here */
    bool failed, differs;
    bool fat; /* its peak memory fails it, whatever the metric says */
} hm_gate_case;

typedef struct hm_gate {
    const hm_gate_options *o;
    hm_measure *m;
    hm_gate_rule rule;
    hm_gate_case *cases; /* of the plan's */
    char *program;       /* text that the plan borrows */
    hm_store *reading;   /* where `stored` lies */
    hm_side stored;      /* of HM_BASE_STORED, and its groups */
    hm_group *groups;
    int group_count;
    hm_gate_report report;
    hm_status verdict; /* exit status */
    hm_error sentence; /* that says why it is not HM_OK */
} hm_gate;

/* Measures and judges; *out->report and ->verdict tell. A status only when there is no verdict: HM_EUSAGE, HM_ECOMPARE, HM_EMISSING,
 * HM_EINTERRUPTED ... Close in any case. */
hm_status hm_gate_run(hm_gate *out, const hm_gate_options *options, hm_error *err);
void hm_gate_close(hm_gate *gate);

/* --- parts --- */

/* HM_ECOMPARE: what ran as both arms of a case is not comparable. */
hm_status hm_gate_comparable(const hm_gate *g, const hm_measure *m, int case_index, hm_error *err);

/* gate_times.c: rounds of both arms that are looked at as they come. */
bool hm_gate_decided(void *self, const hm_measure *m, int case_index, int rounds_done);
hm_status hm_gate_judge_times(hm_gate *g, hm_error *err);
/* What is worth saying before the first round: slowdowns that this gate cannot find. */
hm_status hm_gate_calibrated(hm_gate *g, hm_error *err);

/* gate_stored.c: against sessions of another time. */
hm_status hm_gate_open_stored(hm_gate *g, hm_error *err);  /* before measuring: is it there, and of this machine? */
hm_status hm_gate_match_stored(hm_gate *g, hm_error *err); /* every case has its own */
/* HM_ECOMPARE: what is stored and what was measured are not comparable. */
hm_status hm_gate_comparable_stored(hm_gate *g, hm_error *err);
hm_status hm_gate_judge_stored(hm_gate *g, hm_error *err);

/* gate_counts.c */
hm_status hm_gate_judge_counts(hm_gate *g, hm_error *err);
/* Share that NAME=PERCENT of --tolerance lets a figure rise; 0 where there is none. HM_EUSAGE: one of them is malformed. */
hm_status hm_gate_tolerance(const hm_strings *tolerances, const char *name, double *share, hm_error *err);

/* HM_EUSAGE: one of them names no exact figure. Spans are known once they were seen: hm_gate_judge_counts asks for them. */
hm_status hm_gate_check_tolerances(const hm_strings *tolerances, hm_error *err);

/* Peak memory lets pass the larger of 1 % and 16 MiB. reason: a sentence when it does not. */
bool hm_gate_memory_fails(double base_bytes, double arm_bytes, char *reason, size_t size);
/* "short/plain" of a case. */
void hm_gate_label(const hm_gate *g, int c, char *out, size_t size);
/* Commands that look closer at a case. */
void hm_gate_next(const hm_gate *g, int c, char *out, size_t size);

#endif
