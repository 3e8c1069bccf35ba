/* What has to hold in a database: its tables are those of its version, its values can be, its parts fit together. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/store_internal.h"

/* The whole schema as text, in an order of its own. malloc'ed; NULL in *out when it fails. */
static hm_status schema_text(hm_store *store, char **out, hm_error *err)
{
    hm_query q;
    *out = NULL;
    hm_query_open(
        &q, store,
        "SELECT group_concat(part, char(10)) FROM (SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') AS part "
        "FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name)",
        err);
    if (hm_query_row(&q)) {
        const char *text = hm_query_text(&q, 0);
        *out = strdup(text ? text : "");
        if (!*out)
            q.status = hm_fail(err, HM_EABSENT, "database %s: no memory for its schema", store->path);
    }
    return hm_query_close(&q);
}

hm_status hm_store_check_schema(hm_store *store, int version, hm_error *err)
{
    hm_store *fresh = NULL;
    char *wanted = NULL, *found = NULL;
    hm_status st = hm_store_open_scratch(&fresh, "schema", version, err);
    if (!st)
        st = schema_text(fresh, &wanted, err);
    if (!st)
        st = schema_text(store, &found, err);
    if (!st && strcmp(wanted, found)) {
        size_t at = 0;
        while (wanted[at] == found[at])
            at++;
        while (at && found[at - 1] != '\n')
            at--;
        st = hm_fail(err, HM_EFORMAT, "database %s: its tables are not those of schema version %d, from \"%.*s\" on", store->path, version,
                     (int)strcspn(found + at, "(\n"), found + at);
    }
    free(wanted);
    free(found);
    hm_store_close(&fresh);
    return st;
}

/* Each counts rows that cannot be. They hold for every version. */
typedef struct rule {
    const char *what, *sql;
} rule;

static const rule impossible[] = {
    {"sessions whose number of rounds cannot be", "SELECT count(*) FROM session WHERE rounds NOT BETWEEN 0 AND 1000000"},
    {"sessions of an unknown state",
     "SELECT count(*) FROM session WHERE state NOT IN ('running', 'done', 'partial', 'interrupted', 'failed')"},
    {"sessions whose options are no JSON", "SELECT count(*) FROM session WHERE NOT json_valid(options)"},
    {"arms whose place or threads cannot be",
     "SELECT count(*) FROM arm WHERE position NOT BETWEEN 0 AND 100000 OR threads NOT BETWEEN 0 AND 100000"},
    {"cases whose length cannot be", "SELECT count(*) FROM suite_case WHERE frames NOT BETWEEN 0 AND 1048576"},
    {"runs whose round, turn or time cannot be",
     "SELECT count(*) FROM run WHERE round NOT BETWEEN 0 AND 1000000 OR slot NOT BETWEEN 0 AND 1000000 OR duration_ns < 0"},
    {"runs whose arm is of another session", "SELECT count(*) FROM run r JOIN arm a ON a.id = r.arm_id WHERE a.session_id <> r.session_id"},
    {"samples whose times or sizes cannot be", /* one by one: min() is NULL when any of them is */
     "SELECT count(*) FROM sample WHERE ordinal NOT BETWEEN 0 AND 1000000 OR warmup NOT IN (0, 1) OR wall_ns < 0 OR load_ns < 0 OR "
     "prefill_ns < 0 OR generate_ns < 0 OR decode_ns < 0 OR frames NOT BETWEEN 0 AND 1048576 OR codebooks NOT BETWEEN 0 AND 1024 OR "
     "audio_s < 0 OR peak_rss_bytes < 0 OR held_weight_bytes < 0 OR kv_bytes < 0 OR scratch_bytes < 0"},
    {"spans whose times cannot be", "SELECT count(*) FROM span WHERE count < 0 OR total_ns < 0 OR self_ns > total_ns"},
    {"stored codes whose size is not their shape's",
     "SELECT count(*) FROM stored_codes WHERE frames NOT BETWEEN 1 AND 1048576 OR codebooks NOT BETWEEN 1 AND 1024 OR length(codes) <> 4 * "
     "frames * codebooks OR length(logits) <> 4 * frames * codebooks"},
};

static hm_status count_rows(hm_store *store, const char *sql, int64_t *out, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, sql, err);
    *out = hm_query_row(&q) ? hm_query_int(&q, 0) : 0;
    return hm_query_close(&q);
}

/* The first row that refers to nothing, as a sentence; "" when all do. */
static hm_status find_orphan(hm_store *store, char out[200], int64_t *count, hm_error *err)
{
    hm_query q;
    out[0] = 0;
    *count = 0;
    hm_query_open(&q, store, "PRAGMA foreign_key_check", err);
    while (hm_query_row(&q)) {
        const char *table = hm_query_text(&q, 0), *parent = hm_query_text(&q, 2);
        if (!(*count)++)
            snprintf(out, 200, "a row of %s refers to a %s that is not there", table ? table : "?", parent ? parent : "?");
    }
    return hm_query_close(&q);
}

hm_status hm_store_check_values(hm_store *store, hm_error *err)
{
    char orphan[200];
    int64_t n = 0;
    hm_status st = find_orphan(store, orphan, &n, err);
    if (!st && n)
        return hm_fail(err, HM_EFORMAT, "database %s: %s", store->path, orphan);
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible && !st; i++) {
        st = count_rows(store, impossible[i].sql, &n, err);
        if (!st && n)
            st = hm_fail(err, HM_EFORMAT, "database %s: %lld %s", store->path, (long long)n, impossible[i].what);
    }
    return st;
}

/* What is looked at by `hmbench db check` alone: a file may come in with these. */
static const rule incomplete[] = {
    {"good runs without a timed sample",
     "SELECT count(*) FROM run r WHERE r.status = 'ok' AND NOT EXISTS (SELECT 1 FROM sample s WHERE s.run_id = r.id AND NOT s.warmup)"},
    {"failed runs without a reason", "SELECT count(*) FROM run WHERE status <> 'ok' AND coalesce(reason, '') = ''"},
    {"sessions without an arm", "SELECT count(*) FROM session s WHERE NOT EXISTS (SELECT 1 FROM arm a WHERE a.session_id = s.id)"},
};

static void told(const hm_store_findings *findings, const char *check, hm_status status, const char *text)
{
    findings->finding(findings->self, check, status ? text : NULL);
}

static hm_status check_pages(hm_store *store, const hm_store_findings *findings, hm_error *err)
{
    hm_query q;
    char text[sizeof err->text + 8] = "";
    hm_query_open(&q, store, "PRAGMA integrity_check(3)", err);
    while (hm_query_row(&q)) {
        const char *line = hm_query_text(&q, 0);
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", used ? "; " : "", line ? line : "?");
    }
    hm_status st = hm_query_close(&q);
    if (st)
        snprintf(text, sizeof text, "%s", err->text);
    told(findings, "pages", strcmp(text, "ok") ? HM_EFAILED : HM_OK, text);
    return strcmp(text, "ok") ? HM_EFAILED : HM_OK;
}

static hm_status check_rows(hm_store *store, const char *check, const rule *rules, size_t count, const hm_store_findings *findings,
                            hm_error *err)
{
    hm_status st = HM_OK;
    bool good = true;
    for (size_t i = 0; i < count && !st; i++) {
        char text[300];
        int64_t n = 0;
        st = count_rows(store, rules[i].sql, &n, err);
        if (st || !n)
            continue;
        snprintf(text, sizeof text, "%lld %s", (long long)n, rules[i].what);
        told(findings, check, HM_EFAILED, text);
        good = false;
    }
    if (!st && good)
        told(findings, check, HM_OK, "");
    return st;
}

/* Files that are there still hold what they held. */
static hm_status check_artifacts(hm_store *store, const hm_store_findings *findings, hm_error *err)
{
    hm_query q;
    struct stat info;
    char text[1200] = "", hash[HM_HASH_TEXT];
    int64_t changed = 0;
    hm_query_open(&q, store, "SELECT path, hash, bytes FROM artifact WHERE hash IS NOT NULL ORDER BY path", err);
    while (hm_query_row(&q)) {
        const char *path = hm_query_text(&q, 0);
        if (!path || stat(path, &info) || !S_ISREG(info.st_mode))
            continue;
        bool same = hm_query_int(&q, 2) == HM_UNKNOWN || hm_query_int(&q, 2) == info.st_size;
        if (same && !hm_hash_file(hash, path, NULL) && !strcmp(hash, hm_query_text(&q, 1)))
            continue;
        if (!changed++)
            snprintf(text, sizeof text, "%s is not what was written", path);
    }
    hm_status st = hm_query_close(&q);
    if (!st && changed > 1)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", and %lld more", (long long)changed - 1);
    if (!st)
        told(findings, "files", changed ? HM_EFAILED : HM_OK, text);
    return st;
}

hm_status hm_store_check(const char *path, const hm_store_findings *findings, hm_error *err)
{
    hm_store *store = NULL;
    hm_error found = {0};
    int version = 0;
    int64_t n;
    char text[300];
    hm_status st = hm_store_open_raw(&store, path, HM_STORE_READ, err);
    if (!st)
        st = hm_store_version(store, &version, err);
    if (st || check_pages(store, findings, &found)) { /* nothing else can be asked of broken pages */
        hm_store_close(&store);
        return st;
    }
    bool known = !hm_store_check_schema(store, version, &found);
    told(findings, "tables", known ? HM_OK : HM_EFORMAT, found.text);
    if (!st && known && version) {
        st = find_orphan(store, text, &n, err);
        if (!st)
            told(findings, "references", n ? HM_EFAILED : HM_OK, text);
        if (!st)
            st = check_rows(store, "values", impossible, sizeof impossible / sizeof *impossible, findings, err);
        if (!st)
            st = check_rows(store, "runs", incomplete, sizeof incomplete / sizeof *incomplete, findings, err);
        if (!st)
            st = check_artifacts(store, findings, err);
    }
    hm_store_close(&store);
    return st;
}
