#include "harness/suite_report.h"

#include <stdlib.h>
#include <string.h>

#include "harness/store_query.h"
#include "harness/table.h"

typedef struct table_reader {
    hm_table *table;
    char titles[256][128]; /* with '>' in front: numbers are right-aligned */
    int columns;
} table_reader;

static hm_status take_names(void *self, int columns, const char *const *names, hm_error *err)
{
    table_reader *t = self;
    const char *list[257] = {0};
    (void)err;
    t->columns = columns;
    for (int i = 0; i < columns; i++) {
        snprintf(t->titles[i], sizeof t->titles[i], "%s", names[i]);
        list[i] = t->titles[i];
    }
    t->table = hm_table_new(list);
    return HM_OK;
}

static hm_status take_row(void *self, int columns, const char *const *values, const bool *numeric, hm_error *err)
{
    table_reader *t = self;
    (void)columns, (void)numeric, (void)err;
    hm_table_row(t->table, values);
    return HM_OK;
}

hm_status hm_sql_table(hm_store *store, const char *sql, FILE *file, hm_error *err)
{
    table_reader *t = hm_calloc(1, sizeof *t, "table", err);
    if (!t)
        return HM_EABSENT;
    hm_store_reader reader = {t, take_names, take_row};
    hm_status st = hm_store_ask(store, sql, &reader, err);
    FILE *sink = st ? fopen("/dev/null", "w") : file; /* a table is freed by printing it */
    if (t->table && sink) {
        hm_status ended = hm_table_end(t->table, sink, 0, st ? NULL : err);
        st = st ? st : ended;
    }
    if (sink && sink != file)
        fclose(sink);
    free(t);
    return st;
}

hm_status hm_suite_document(hm_store *store, const char *session_id, hm_document **out, hm_error *err)
{
    hm_journal_filter filter = {.session = session_id};
    hm_journal_data *data = NULL;
    hm_status st = hm_store_get_journal(store, &filter, &data, err);
    if (st)
        return st;
    const hm_journal *journal = hm_journal_data_journal(data);
    *out = hm_journal_tables(journal->sessions, journal->session_count);
    hm_journal_data_free(&data);
    return *out ? HM_OK : hm_fail(err, HM_EABSENT, "suite: no memory for its tables");
}
