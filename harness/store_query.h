/* What reports need of the database, as the plain structs of reports/. */
#ifndef HM_HARNESS_STORE_QUERY_H
#define HM_HARNESS_STORE_QUERY_H

#include "harness/store.h"
#include "reports/journal.h"

typedef struct hm_journal_filter {
    const char *session; /* an id or its first letters, "last", or KEY=VALUE: those with this tag; NULL: all */
    const char *since;   /* sessions from this UTC date or time on, or from the session with this id on; NULL: all */
} hm_journal_filter;

typedef struct hm_journal_data hm_journal_data;

/* HM_EMISSING: no session fits. Texts that describe variants come from the table of variants. */
hm_status hm_store_get_journal(hm_store *store, const hm_journal_filter *filter, hm_journal_data **out, hm_error *err);
void hm_journal_data_free(hm_journal_data **data);
const hm_journal *hm_journal_data_journal(const hm_journal_data *data); /* valid until freed */

#endif
