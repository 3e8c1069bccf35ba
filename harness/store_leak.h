/* Does memory grow from generation to generation? Asked of sessions with several timed generations per process. */
#ifndef HM_HARNESS_STORE_LEAK_H
#define HM_HARNESS_STORE_LEAK_H

#include "harness/store.h"
#include "reports/document.h"

enum {
    HM_LEAK_GENERATIONS = 5,
    HM_LEAK_VERDICT = 8
}; /* in one process, at least: for a slope, for a verdict (leak.h) */

/* Adds a table "memory_growth", a row per case and arm whose processes made so many generations; nothing when there is none. */
hm_status hm_leak_report(hm_store *store, const char *session_id, hm_document *document, hm_error *err);

#endif
