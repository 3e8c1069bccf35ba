/* The tables a suite ends with, and answers of the database as text. */
#ifndef HM_HARNESS_SUITE_REPORT_H
#define HM_HARNESS_SUITE_REPORT_H

#include <stdio.h>

#include "harness/store.h"
#include "reports/document.h"

/* The journal tables of one session; hm_document_free. */
hm_status hm_suite_document(hm_store *store, const char *session_id, hm_document **out, hm_error *err);

/* The answer of a question to the database as an aligned table. */
hm_status hm_sql_table(hm_store *store, const char *sql, FILE *file, hm_error *err);

#endif
