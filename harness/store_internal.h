/* Inside of the store: the one header that includes sqlite3.h. For harness/store*.c, and for tests of older files. */
#ifndef HM_HARNESS_STORE_INTERNAL_H
#define HM_HARNESS_STORE_INTERNAL_H

#include <sqlite3.h>

#include "harness/store.h"

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

#endif
