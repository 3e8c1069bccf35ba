/* Sessions and what belongs to them leave the database. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/store_internal.h"

hm_status hm_store_find_session(hm_store *store, const char *word, char id[HM_UUID_TEXT], hm_error *err)
{
    hm_query q;
    int found = 0;
    hm_query_open(
        &q, store,
        "SELECT id FROM session WHERE CASE WHEN :word = 'last' THEN id = (SELECT id FROM session ORDER BY created_utc DESC, id DESC "
        "LIMIT 1) ELSE substr(id, 1, length(:word)) = :word END LIMIT 2",
        err);
    hm_bind_text(&q, ":word", word);
    while (hm_query_row(&q) && !found++)
        snprintf(id, HM_UUID_TEXT, "%s", hm_query_text(&q, 0));
    hm_status st = hm_query_close(&q);
    if (!st && (!found || !*word))
        return hm_fail(err, HM_EMISSING, "database %s: no session \"%s\"; `hmbench db info` lists them", store->path, word);
    if (!st && found > 1)
        return hm_fail(err, HM_EUSAGE, "database %s: several sessions begin with \"%s\"; give more letters", store->path, word);
    return st;
}

/* The sessions of the temporary table `doomed`, in an order that leaves no row without what it refers to. */
static const char delete_doomed[] =
    "DELETE FROM verdict WHERE session_id IN doomed OR base_arm_id IN (SELECT id FROM arm WHERE session_id IN doomed) OR arm_id IN (SELECT "
    "id FROM arm WHERE session_id IN doomed);"
    "DELETE FROM baseline WHERE session_id IN doomed;"
    "DELETE FROM calibration WHERE session_id IN doomed;"
    "DELETE FROM session_tag WHERE session_id IN doomed;"
    "DELETE FROM fidelity WHERE session_id IN doomed;"
    "DELETE FROM fidelity_codebook WHERE session_id IN doomed;"
    "DELETE FROM artifact WHERE session_id IN doomed;"
    "UPDATE machine_figure SET session_id = NULL WHERE session_id IN doomed;"
    "INSERT INTO doomed_run SELECT id FROM run WHERE session_id IN doomed;";
static const char delete_runs[] = "CREATE TEMP TABLE doomed_sample AS SELECT id FROM sample WHERE run_id IN doomed_run;"
                                  "CREATE INDEX temp.doomed_samples ON doomed_sample(id);"
                                  "DELETE FROM artifact WHERE run_id IN doomed_run;"
                                  "DELETE FROM span WHERE sample_id IN doomed_sample;"
                                  "DELETE FROM count WHERE sample_id IN doomed_sample;"
                                  "DELETE FROM output WHERE sample_id IN doomed_sample;"
                                  "DELETE FROM frame_time WHERE sample_id IN doomed_sample;"
                                  "DELETE FROM sample_part WHERE sample_id IN doomed_sample;"
                                  "DELETE FROM sample WHERE run_id IN doomed_run;"
                                  "DELETE FROM run WHERE id IN doomed_run;"
                                  "DROP TABLE doomed_sample;";
static const char delete_rest[] = /* figures of a machine outlive the sessions that measured them */
    "DELETE FROM arm WHERE session_id IN doomed;"
    "DELETE FROM session WHERE id IN doomed;"
    "DELETE FROM suite_case WHERE id NOT IN (SELECT case_id FROM run) AND id NOT IN (SELECT case_id FROM fidelity) AND id NOT IN (SELECT "
    "case_id FROM fidelity_codebook) AND id NOT IN (SELECT case_id FROM calibration) AND id NOT IN (SELECT case_id FROM verdict WHERE "
    "case_id IS NOT NULL);"
    "DELETE FROM stored_codes WHERE request_hash NOT IN (SELECT request_hash FROM suite_case);"
    "DELETE FROM model WHERE id NOT IN (SELECT model_id FROM run WHERE model_id IS NOT NULL);"
    "DELETE FROM build WHERE id NOT IN (SELECT build_id FROM session) AND id NOT IN (SELECT build_id FROM arm WHERE build_id IS NOT NULL);"
    "DELETE FROM machine WHERE id NOT IN (SELECT machine_id FROM session) AND id NOT IN (SELECT machine_id FROM machine_figure);"
    "DROP TABLE doomed_run; DROP TABLE doomed;";

static const char make_lists[] = "CREATE TEMP TABLE doomed(id TEXT PRIMARY KEY); CREATE TEMP TABLE doomed_run(id TEXT PRIMARY KEY);";

static hm_status remove_doomed(hm_store *store, hm_error *err)
{
    hm_status st = hm_store_exec(store, delete_doomed, err);
    if (!st)
        st = hm_store_exec(store, delete_runs, err);
    return st ? st : hm_store_exec(store, delete_rest, err);
}

static hm_status run_with(hm_store *store, const char *sql, const char *name, const char *value, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, sql, err);
    hm_bind_text(&q, name, value);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_keep_session(hm_store *store, const char *session_id, hm_error *err)
{
    hm_status st = hm_store_begin(store, err);
    if (st)
        return st;
    st = hm_store_exec(store, make_lists, err);
    if (!st) /* the arms that its verdicts rest on stay too */
        st = run_with(
            store,
            "INSERT INTO doomed SELECT id FROM session WHERE id <> :id AND id NOT IN (SELECT a.session_id FROM verdict v JOIN arm a ON "
            "a.id IN (v.arm_id, v.base_arm_id) WHERE v.session_id = :id)",
            ":id", session_id, err);
    if (!st)
        st = remove_doomed(store, err);
    return hm_store_finish(store, st, err);
}

/* Fills the lists with what fits the filter. */
static hm_status choose(hm_store *store, const hm_prune_filter *filter, hm_error *err)
{
    hm_query q;
    char id[HM_UUID_TEXT] = "";
    hm_status st = filter->session ? hm_store_find_session(store, filter->session, id, err) : HM_OK;
    if (!st)
        st = hm_store_exec(store, make_lists, err);
    if (st)
        return st;
    hm_query_open(&q, store,
                  filter->dropped
                      ? "INSERT INTO doomed_run SELECT r.id FROM run r JOIN session s ON s.id = r.session_id WHERE r.dropped_reason "
                        "IS NOT NULL AND (:id IS NULL OR s.id = :id) AND (:before IS NULL OR s.created_utc < :before)"
                      : "INSERT INTO doomed SELECT id FROM session WHERE (:id IS NULL OR id = :id) AND (:before IS NULL OR "
                        "created_utc < :before)",
                  err);
    hm_bind_text(&q, ":id", *id ? id : NULL);
    hm_bind_text(&q, ":before", filter->before);
    hm_query_run(&q);
    return hm_query_close(&q);
}

/* Says which sessions go and which stay, and takes the latter from the list. */
static hm_status spare(hm_store *store, const hm_prune_report *report, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "SELECT s.id, s.created_utc, (SELECT count(*) FROM run r WHERE r.session_id = s.id), coalesce("
                  "(SELECT 'it is the baseline \"' || b.name || '\"' FROM baseline b WHERE b.session_id = s.id LIMIT 1), "
                  "(SELECT 'a verdict of session ' || substr(v.session_id, 1, 8) || ' rests on it' FROM verdict v JOIN arm a ON a.id IN "
                  "(v.base_arm_id, v.arm_id) WHERE a.session_id = s.id AND v.session_id NOT IN doomed LIMIT 1)) "
                  "FROM session s WHERE s.id IN doomed ORDER BY s.created_utc, s.id",
                  err);
    while (hm_query_row(&q))
        report->session(report->self, hm_query_text(&q, 0), hm_query_text(&q, 1), hm_query_int(&q, 2), hm_query_text(&q, 3));
    hm_status st = hm_query_close(&q);
    if (!st)
        st = hm_store_exec(
            store,
            "DELETE FROM doomed WHERE id IN (SELECT session_id FROM baseline);"
            "DELETE FROM doomed WHERE id IN (SELECT a.session_id FROM verdict v JOIN arm a ON a.id IN (v.base_arm_id, v.arm_id) "
            "WHERE v.session_id NOT IN (SELECT id FROM doomed))",
            err);
    return st;
}

static hm_status tell_runs(hm_store *store, const hm_prune_report *report, hm_error *err)
{
    hm_query q;
    hm_query_open(
        &q, store,
        "SELECT s.id, s.created_utc, count(*) FROM run r JOIN session s ON s.id = r.session_id WHERE r.id IN doomed_run GROUP BY s.id "
        "ORDER BY s.created_utc, s.id",
        err);
    while (hm_query_row(&q))
        report->session(report->self, hm_query_text(&q, 0), hm_query_text(&q, 1), hm_query_int(&q, 2), NULL);
    return hm_query_close(&q);
}

/* Of the folder that holds the database, as the system knows it; false: not known. */
static bool own_folder(const hm_store *store, char out[PATH_MAX])
{
    char real[PATH_MAX], *slash;
    if (!realpath(store->path, real))
        return false;
    slash = strrchr(real, '/');
    slash[slash == real] = 0;
    snprintf(out, PATH_MAX, "%s", real);
    return true;
}

/* Files that a run left and nothing else refers to, when they lie where the program puts them and are still what it wrote. The list is
 * kept as text, a path after the other. */
static hm_status choose_files(hm_store *store, const hm_prune_report *report, FILE *list, hm_error *err)
{
    hm_query q;
    struct stat info;
    char folder[PATH_MAX], real[PATH_MAX], hash[HM_HASH_TEXT];
    if (!own_folder(store, folder))
        return HM_OK;
    hm_query_open(
        &q, store,
        "SELECT path, hash FROM artifact a WHERE (session_id IN doomed OR run_id IN doomed_run) AND hash IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM artifact o WHERE o.path = a.path AND o.session_id NOT IN doomed AND coalesce(o.run_id NOT IN doomed_run, 1)) "
        "GROUP BY path ORDER BY path",
        err);
    size_t n = strlen(folder);
    while (hm_query_row(&q)) {
        const char *path = hm_query_text(&q, 0);
        if (lstat(path, &info) || !S_ISREG(info.st_mode) || !realpath(path, real) || strncmp(real, folder, n) || real[n] != '/')
            continue;
        if (hm_hash_file(hash, real, NULL) || strcmp(hash, hm_query_text(&q, 1)))
            continue; /* someone has written to it: it is theirs */
        report->file(report->self, path, info.st_size);
        fwrite(real, 1, strlen(real) + 1, list);
    }
    return hm_query_close(&q);
}

/* The timelines that suites left of whole sessions. */
static hm_status choose_traces(hm_store *store, const hm_prune_report *report, FILE *list, hm_error *err)
{
    hm_query q;
    struct stat info;
    char folder[PATH_MAX], path[PATH_MAX + 64];
    if (!own_folder(store, folder))
        return HM_OK;
    hm_query_open(&q, store,
                  "SELECT substr(id, 1, 8) || ending FROM doomed, (SELECT '.json' AS ending UNION ALL SELECT '.json.gz') ORDER BY 1", err);
    while (hm_query_row(&q)) {
        const char *name = hm_query_text(&q, 0);
        snprintf(path, sizeof path, "%s/trace-%s", folder, name);
        if (strchr(name, '/') || lstat(path, &info) || !S_ISREG(info.st_mode))
            continue;
        report->file(report->self, path, info.st_size);
        fwrite(path, 1, strlen(path) + 1, list);
    }
    return hm_query_close(&q);
}

static void remove_files(const char *list, size_t size)
{
    for (const char *p = list; p < list + size; p += strlen(p) + 1) {
        char folder[PATH_MAX];
        unlink(p);
        snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(p, '/') - p), p);
        rmdir(folder); /* when it was the last */
    }
}

hm_status hm_store_prune(hm_store *store, const hm_prune_filter *filter, bool dry, const hm_prune_report *report, hm_error *err)
{
    char *list = NULL;
    size_t size = 0;
    FILE *files = open_memstream(&list, &size);
    if (!files)
        return hm_fail(err, HM_EABSENT, "prune: no memory for a list of files");
    hm_status st = hm_store_begin(store, err);
    if (!st) {
        st = choose(store, filter, err);
        if (!st)
            st = filter->dropped ? tell_runs(store, report, err) : spare(store, report, err);
        if (!st)
            st = choose_files(store, report, files, err);
        if (!st)
            st = choose_traces(store, report, files, err);
        if (!st && !dry)
            st = remove_doomed(store, err);
        if (dry && !st)
            st = hm_store_exec(store, "ROLLBACK", err);
        else
            st = hm_store_finish(store, st, err);
    }
    fclose(files);
    if (!st && !dry) {
        remove_files(list, size);
        st = hm_store_exec(store, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", err);
        if (st)
            st = hm_fail_within(err, "pruned, but the file could not be made smaller");
    }
    free(list);
    return st;
}
