/* What a gate found, as a document, as lines that GitHub shows beside a change, and as JUnit XML. Plain structs to text. */
#ifndef HM_HARNESS_GATE_REPORT_H
#define HM_HARNESS_GATE_REPORT_H

#include <stdint.h>

#include "reports/document.h"

/* A case. NaN: not known. */
typedef struct hm_gate_row {
    char label[200];
    char base[200], arm[200];
    double ratio, low, high; /* how much longer the arm takes: 1.05 is 5 % */
    int rounds;
    double margin, mde;
    const char *verdict; /* pass, improved, fail, inconclusive, invalid, differs */
    char reason[500];    /* empty: nothing to add */
    char next[700];      /* commands to run next, " ; " between; empty: none */
} hm_gate_row;

/* An exact figure that moved. */
typedef struct hm_gate_moved {
    char label[200], name[176];
    int64_t base, arm;
    double tolerance; /* 0.01: 1 % more is let pass */
    bool failed;
} hm_gate_moved;

typedef struct hm_gate_report {
    const char *verdict; /* of all, in capitals */
    char intro[900];     /* what was measured, a paragraph */
    char warning[900];   /* empty: none */
    hm_gate_row *rows;
    int row_count;
    bool counts; /* of exact figures: no ratios */
    hm_gate_moved *moved;
    int moved_count;
} hm_gate_report;

/* Owned by the caller; NULL without memory. */
hm_document *hm_gate_document(const hm_gate_report *report);

/* A line per FAIL of what to run next. */
void hm_gate_say_next(const hm_gate_report *report, FILE *file);

/* "::error title=...::..." per case that failed, "::warning" per case that is not decided. */
void hm_gate_github(const hm_gate_report *report, FILE *file);

/* Appends the document as markdown to the file that $GITHUB_STEP_SUMMARY names; nothing when it names none. */
hm_status hm_gate_summary(const hm_document *document, hm_error *err);

/* A testcase per case: failure for fail and differs, error for invalid, skipped for inconclusive. Complete or not there at all. */
hm_status hm_gate_junit(const hm_gate_report *report, const char *path, hm_error *err);

/* As XML text and attribute values: & < > " ' are escaped, bytes that XML cannot hold or that are no UTF-8 become "?". */
void hm_xml_text(const char *text, FILE *file);

#endif
