/* A session as one page of HTML that needs nothing else, and as a line of text. */
#ifndef HM_REPORTS_REPORT_H
#define HM_REPORTS_REPORT_H

#include "reports/journal.h"
#include "reports/plot.h"

typedef struct hm_report_artist {
    /* An SVG picture of that kind, freed by the caller; NULL: there is nothing to show. */
    char *(*draw)(void *self, const hm_journal_session *session, hm_plot_kind kind);
    void *self;
} hm_report_artist;

/* The models of one session: the result first, then tables and pictures (artist may be NULL), the machine, how to do it again. The page is
 * well-formed XML, loads nothing and forbids itself to. */
hm_status hm_report_write(const hm_journal_session *sessions, int count, const hm_report_artist *artist, FILE *file, hm_error *err);

/* An SVG file's text as part of a page: without prolog and namespaces, its ids made different from other pictures' by the prefix.
 * malloc'ed; NULL without memory or when it is no SVG. */
char *hm_report_embed_svg(const char *svg, const char *prefix);

/* A row of a markdown table that stands for itself: an arm on a case. explain: with the head of the table before it and what each column
 * is after it. HM_EMISSING: the arm has no result there. */
hm_status hm_report_line(const hm_journal_session *session, int arm, int kase, bool explain, FILE *file, hm_error *err);

#endif
