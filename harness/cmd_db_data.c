/* `hmbench db check|export|import|merge|prune`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/cmd_db.h"
#include "harness/table.h"

typedef struct check_state {
    hm_table *table;
    int wrong;
} check_state;

static void take_finding(void *self, const char *check, const char *text)
{
    check_state *s = self;
    s->wrong += text != NULL;
    hm_table_row(s->table, (const char *[]){check, text ? "WRONG" : "ok", text ? text : ""});
}

hm_status hm_db_check(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const char *db = NULL;
    const hm_option options[] = {HM_DB_OPTION(db), {0}};
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    check_state state = {.table = hm_table_new((const char *[]){"check", "state", "found", NULL})};
    st = hm_store_check(hm_store_path(db), &(hm_store_findings){&state, take_finding}, err);
    if (st) {
        hm_table_drop(state.table);
        return st;
    }
    st = hm_table_end(state.table, stdout, hm_terminal_width(), err);
    if (!st && state.wrong)
        st = hm_fail(err, HM_EFAILED, "db check: %s: %d thing%s wrong; see the rows above", hm_store_path(db), state.wrong,
                     state.wrong == 1 ? " is" : "s are");
    return st;
}

/* One line per timed sample, with what it was measured on. */
static hm_status export_csv(const char *path, const char *session, hm_error *err)
{
    static const char every[] =
        "SELECT e.created_utc AS session_begun, e.kind AS session_kind, m.host_id, m.cpu_model, b.version, b.git_commit, b.build_type, "
        "a.variant, a.toggles, a.backend, a.isa, a.threads, a.precision, w.name AS model, w.id AS model_id, f.* FROM figure f JOIN run r ON "
        "r.id = f.run_id JOIN session e ON e.id = f.session_id JOIN machine m ON m.id = e.machine_id JOIN arm a ON a.id = f.arm_id JOIN build b "
        "ON b.id = coalesce(a.build_id, e.build_id) LEFT JOIN model w ON w.id = r.model_id WHERE NOT f.warmup%s%s%s ORDER BY e.created_utc, "
        "e.id, f.round, f.slot, f.case_id, f.ordinal";
    hm_store *store = NULL;
    char id[HM_UUID_TEXT] = "", statement[1400];
    hm_status st = hm_store_open(&store, path, HM_STORE_READ, err);
    if (!st && session)
        st = hm_store_find_session(store, session, id, err);
    if (!st && strspn(id, "0123456789abcdefABCDEF-") != strlen(id))
        st = hm_fail(err, HM_EFORMAT, "database %s: the session's id is no UUID; `hmbench db check` looks at the whole file", path);
    snprintf(statement, sizeof statement, every, *id ? " AND e.id = '" : "", id, *id ? "'" : "");
    if (!st)
        st = hm_db_ask(store, statement, "csv", err);
    hm_store_close(&store);
    return st;
}

hm_status hm_db_export(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const formats[] = {"json", "jsonl", "csv", "sql", NULL};
    const char *db = NULL, *format = "jsonl", *session = NULL;
    const hm_option options[] = {
        HM_DB_OPTION(db),
        {"output", 'o', HM_OPT_STRING, &format, "FORMAT", "json and jsonl: an object per run; csv: a line per sample; sql: a dump", 0, 0,
         formats},
        {"session", 0, HM_OPT_STRING, &session, "ID", "one session: its id, the first letters of it, or last", 0, 0, NULL},
        {0}};
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    if (!strcmp(format, "csv"))
        return export_csv(hm_store_path(db), session, err);
    return hm_store_export(hm_store_path(db), session,
                           !strcmp(format, "sql")    ? HM_EXPORT_SQL
                           : !strcmp(format, "json") ? HM_EXPORT_JSON
                                                     : HM_EXPORT_JSONL,
                           stdout, err);
}

hm_status hm_db_import(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const char *db = NULL;
    const hm_option options[] = {HM_DB_OPTION(db), {0}};
    hm_strings files = {.count = 0};
    int64_t rows = 0;
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, &files, 256, &helped, err);
    if (st || helped)
        return st;
    if (!files.count)
        return hm_fail(err, HM_EUSAGE, "db import: name the files that db export wrote");
    st = hm_store_import_into(hm_store_path(db), files.items, files.count, &rows, err);
    if (!st)
        fprintf(stderr, "%s: %lld new rows\n", hm_store_path(db), (long long)rows);
    return st;
}

hm_status hm_db_merge(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const char *db = NULL;
    const hm_option options[] = {HM_DB_OPTION(db), {0}};
    hm_strings files = {.count = 0};
    hm_store *store = NULL;
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, &files, 256, &helped, err);
    if (st || helped)
        return st;
    if (!files.count)
        return hm_fail(err, HM_EUSAGE, "db merge: name the files whose contents come into --db");
    for (int i = 0; i < files.count && !st; i++) {
        int64_t rows = 0;
        st = hm_store_merge_into(&store, hm_store_path(db), files.items[i], &rows, err);
        if (!st)
            fprintf(stderr, "%s: %lld new rows\n", files.items[i], (long long)rows);
    }
    hm_store_close(&store);
    return st;
}

typedef struct prune_state {
    bool dropped, dry;
    int sessions, files, kept;
    int64_t runs, bytes;
} prune_state;

static void take_session(void *self, const char *id, const char *begun, int64_t runs, const char *kept)
{
    prune_state *s = self;
    if (kept) {
        printf("kept     session %.8s of %s: %s\n", id, begun, kept);
        s->kept++;
        return;
    }
    const char *fate = s->dropped ? "runs of " : s->dry ? "would go" : "removed ";
    printf("%s session %.8s of %s: %lld run%s\n", fate, id, begun, (long long)runs, runs == 1 ? "" : "s");
    s->sessions++;
    s->runs += runs;
}

static void take_file(void *self, const char *path, int64_t bytes)
{
    prune_state *s = self;
    printf("%s file %s\n", s->dry ? "would go" : "removed ", path);
    s->files++;
    s->bytes += bytes;
}

/* "2006-01-02" and "2006-01-02T15:04:05Z" and what lies between. */
static bool is_date(const char *text)
{
    int year, month, day, used = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3 || used != 10 || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    return !text[10] || (text[10] == 'T' && strspn(text + 11, "0123456789:.Z") == strlen(text + 11));
}

hm_status hm_db_prune(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const char *db = NULL;
    int64_t days = -1;
    bool dry = false, helped;
    char before[HM_UTC_TEXT];
    hm_prune_filter filter = {0};
    const hm_option options[] = {
        HM_DB_OPTION(db),
        {"keep-days", 0, HM_OPT_INT, &days, "N", "remove sessions begun more than N days ago (-1: not asked for)", -1, 100000, NULL},
        {"before", 0, HM_OPT_STRING, &filter.before, "DATE", "remove sessions begun before this UTC date (2006-01-02) or time", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &filter.session, "ID", "one session: its id, the first letters of it, or last", 0, 0, NULL},
        {"dropped", 0, HM_OPT_FLAG, &filter.dropped, NULL, "only runs that were set aside, not whole sessions", 0, 0, NULL},
        {"dry-run", 0, HM_OPT_FLAG, &dry, NULL, "only say what would go", 0, 0, NULL},
        {0}};
    hm_store *store = NULL;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    if (filter.before && !is_date(filter.before))
        return hm_fail(err, HM_EUSAGE, "--before: expected a date such as 2006-01-02, found \"%s\"", filter.before);
    if (filter.before && days >= 0)
        return hm_fail(err, HM_EUSAGE, "db prune: --before and --keep-days say the same; give one");
    if (days >= 0) {
        time_t then = time(NULL) - (time_t)days * 86400;
        strftime(before, sizeof before, "%Y-%m-%dT%H:%M:%SZ", gmtime(&then));
        filter.before = before;
    }
    if (!filter.before && !filter.session && !filter.dropped)
        return hm_fail(err, HM_EUSAGE, "db prune: say what goes: --keep-days N, --before DATE, --session ID or --dropped");
    st = hm_store_open(&store, hm_store_path(db), HM_STORE_WRITE, err);
    prune_state state = {.dropped = filter.dropped, .dry = dry};
    if (!st)
        st = hm_store_prune(store, &filter, dry, &(hm_prune_report){&state, take_session, take_file}, err);
    hm_store_close(&store);
    if (!st)
        fprintf(stderr, "%s%lld runs of %d sessions, %d files of %.1f MB%s; %d sessions kept\n", dry ? "would remove " : "removed ",
                (long long)state.runs, state.sessions, state.files, (double)state.bytes * 1e-6, dry ? " (--dry-run)" : "", state.kept);
    return st;
}
