/* The shape of an export, which writing and reading share. */
#ifndef HM_HARNESS_STORE_TRANSFER_H
#define HM_HARNESS_STORE_TRANSFER_H

#include "harness/store_internal.h"
#include "reports/sheet.h" /* HM_EXPORT_SCHEMA_VERSION */

#define HM_EXPORT_SQL_FIRST "-- hmbench database, schema version "
#define HM_EXPORT_SQL_LAST "COMMIT;\n"

/* Everything up to the first INSERT of a dump of this version; malloc'ed. */
hm_status hm_export_sql_head(int version, char **out, hm_error *err);

/* A part of a run's object: its key, the table it is a row of, and the column that names the row (of the run, or of its session), or of a
 * sample's array: the column that names the sample. */
typedef struct hm_export_part {
    const char *key, *table, *column;
    bool of_session;
} hm_export_part;

extern const hm_export_part hm_export_run_parts[], hm_export_sample_parts[]; /* ended by a row without a key */

#endif
