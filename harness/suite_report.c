#include "harness/suite_report.h"

#include <stdlib.h>
#include <string.h>

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

hm_status hm_suite_report(hm_store *store, const char *session_id, FILE *file, hm_error *err)
{
    char sql[4000];
    if (strspn(session_id, "0123456789abcdef-") != strlen(session_id))
        return hm_fail(err, HM_EBUG, "session id \"%.40s\" is no UUID", session_id);
    snprintf(
        sql, sizeof sql,
        "SELECT f.suite || '/' || f.case_name AS \"case\", f.arm AS variant, f.n AS \">n\", printf('%%.0f', f.wall_ms) AS \">wall ms\", "
        "CASE WHEN f.n > 1 THEN printf('%%.0f', f.wall_sd_ms) ELSE '-' END AS \">± sd\", printf('%%.2f', b.wall_ms / f.wall_ms) AS "
        "\">speed-up\", "
        "printf('%%.3f', f.rtf) AS \">RTF\", printf('%%.1f', f.tok_s) AS \">tok/s\", printf('%%.0f', f.mem_mb) AS \">mem MB\", "
        "printf('%%.0f', f.prefill_ms) AS \">prefill\", printf('%%.0f', f.generate_ms) AS \">generate\", "
        "printf('%%.0f', f.decode_ms) AS \">decode\", "
        "(SELECT CASE WHEN min(o.codes_equal) THEN 'equal' ELSE 'from frame ' || min(o.first_frame) END FROM output o "
        "JOIN figure g ON g.sample_id = o.sample_id WHERE g.session_id = f.session_id AND g.case_id = f.case_id AND g.arm_id = f.arm_id) "
        "AS codes, "
        "(SELECT group_concat(DISTINCT g.health) FROM figure g WHERE g.session_id = f.session_id AND g.case_id = f.case_id "
        "AND g.arm_id = f.arm_id AND NOT g.warmup) AS health "
        "FROM arm_figure f LEFT JOIN arm_figure b ON b.session_id = f.session_id AND b.case_id = f.case_id AND b.arm_position = "
        "(SELECT min(arm_position) FROM arm_figure m WHERE m.session_id = f.session_id AND m.case_id = f.case_id) "
        "WHERE f.session_id = '%s' ORDER BY f.suite, f.case_name, f.arm_position",
        session_id);
    return hm_sql_table(store, sql, file, err);
}
