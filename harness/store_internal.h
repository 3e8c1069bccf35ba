/* Inside of the store: the one header that includes sqlite3.h. For harness/store*.c, and for tests of older files. */
#ifndef HM_HARNESS_STORE_INTERNAL_H
#define HM_HARNESS_STORE_INTERNAL_H

#include <sqlite3.h>

#include "harness/store.h"

#define HM_STORE_APPLICATION_ID 0x686D6264 /* "hmbd" */

struct hm_store {
    sqlite3 *db;
    char path[1024];
};

typedef struct hm_migration {
    const char *sql[2]; /* run one after the other */
} hm_migration;
extern const hm_migration hm_migrations[];
extern const int hm_migration_count;

/* A statement whose parameters are bound by name. Errors stick: after the first, everything does nothing and keeps it. Text and
 * blobs are borrowed until the next reset. */
typedef struct hm_query {
    hm_store *store;
    sqlite3_stmt *stmt;
    hm_status status;
    hm_error *err;
} hm_query;

void hm_query_open(hm_query *q, hm_store *store, const char *sql, hm_error *err);
void hm_bind_int(hm_query *q, const char *name, int64_t value);      /* HM_UNKNOWN: NULL */
void hm_bind_seed(hm_query *q, const char *name, uint64_t value);    /* all 64 bits, as a signed number */
void hm_bind_real(hm_query *q, const char *name, double value);      /* NaN: NULL */
void hm_bind_text(hm_query *q, const char *name, const char *value); /* NULL: NULL */
void hm_bind_blob(hm_query *q, const char *name, const void *data, size_t bytes);
/* True: a row is there. False: done, or failed. */
bool hm_query_row(hm_query *q);
/* Runs a statement without rows and makes it ready to be bound again. */
void hm_query_run(hm_query *q);
/* Columns of the current row, from 0. Text is valid until the next row; NULL: NULL. */
const char *hm_query_text(hm_query *q, int column);
int64_t hm_query_int(hm_query *q, int column); /* HM_UNKNOWN: NULL */
double hm_query_real(hm_query *q, int column); /* NaN: NULL */
/* Frees the statement; returns the sticky status. */
hm_status hm_query_close(hm_query *q);

/* Statements without parameters. */
hm_status hm_store_exec(hm_store *store, const char *sql, hm_error *err);
/* BEGIN IMMEDIATE; COMMIT when status is HM_OK, else ROLLBACK and status. */
hm_status hm_store_begin(hm_store *store, hm_error *err);
hm_status hm_store_finish(hm_store *store, hm_status status, hm_error *err);

/* A file as it is: whatever version, nothing written. NULL in *out when it fails. */
hm_status hm_store_open_raw(hm_store **out, const char *path, hm_store_mode mode, hm_error *err);
/* Whose it is (HM_EFORMAT: another program's) and how old; 0: empty. HM_EIO: newer than this program. */
hm_status hm_store_version(hm_store *store, int *out, hm_error *err);
hm_status hm_store_migrate(hm_store *store, int to, hm_error *err);
/* A temporary database of a version that is gone when closed; label stands for its path in errors. */
hm_status hm_store_open_scratch(hm_store **out, const char *label, int version, hm_error *err);
/* A scratch of this version that holds what the file at `path` does, which is only read; its tables and values are checked
 * (HM_EFORMAT). */
hm_status hm_store_open_copy(hm_store **out, const char *path, hm_error *err);
/* HM_EFORMAT: the tables and views are not those of that version, or values in them cannot be. */
hm_status hm_store_check_schema(hm_store *store, int version, hm_error *err);
hm_status hm_store_check_values(hm_store *store, hm_error *err);
/* Adds what `to` has not got from a checked store of this version, all or nothing. */
hm_status hm_store_pour(hm_store *from, hm_store *to, int64_t *rows, hm_error *err);

/* Takes every other session out. */
hm_status hm_store_keep_session(hm_store *store, const char *session_id, hm_error *err);

/* All tables, a table after those it refers to; ended by NULL. */
extern const char *const hm_store_tables[];

#endif
