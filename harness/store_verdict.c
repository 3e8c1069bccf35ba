/* What verdicts read of the database and leave in it. */
#include <stdlib.h>
#include <string.h>

#include "harness/store_internal.h"
#include "harness/verdict_store.h"

/* ---- sessions by name ---- */

void hm_session_list_free(hm_session_list *list)
{
    free(list->ids);
    *list = (hm_session_list){0};
}

static hm_status add_session(hm_session_list *list, const char *id, hm_error *err)
{
    char(*grown)[HM_UUID_TEXT] = realloc(list->ids, (size_t)(list->count + 1) * sizeof *grown);
    if (!grown)
        return hm_fail(err, HM_EABSENT, "sessions: out of memory");
    list->ids = grown;
    snprintf(grown[list->count++], HM_UUID_TEXT, "%s", id);
    return HM_OK;
}

/* The sessions that a query with the parameters :a and :b gives. */
static hm_status list_sessions(hm_store *store, const char *sql, const char *a, const char *b, hm_session_list *out, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, sql, err);
    hm_bind_text(&q, ":a", a);
    hm_bind_text(&q, ":b", b);
    while (hm_query_row(&q))
        if ((q.status = add_session(out, hm_query_text(&q, 0), err)))
            break;
    return hm_query_close(&q);
}

#define NEWEST " ORDER BY s.created_utc DESC, s.rowid DESC"

hm_status hm_store_newest_session(hm_store *store, const char *kind, hm_session_list *out, hm_error *err)
{
    *out = (hm_session_list){0};
    hm_status st =
        list_sessions(store, "SELECT s.id FROM session s WHERE s.kind = :a AND :b IS NULL" NEWEST " LIMIT 1", kind, NULL, out, err);
    if (!st && !out->count)
        st = hm_fail(err, HM_EMISSING, "database %s: no session of hmbench %s yet", store->path, kind);
    return st;
}

/* KEY=VALUE in two. */
static hm_status by_tag(hm_store *store, const char *text, const char *equals, hm_session_list *out, hm_error *err)
{
    char key[256];
    if (equals == text || equals - text >= (int)sizeof key)
        return HM_OK;
    snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
    return list_sessions(store,
                         "SELECT s.id FROM session s JOIN session_tag t ON t.session_id = s.id WHERE t.key = :a AND t.value = :b" NEWEST,
                         key, equals + 1, out, err);
}

static hm_status by_id(hm_store *store, const char *text, hm_session_list *out, hm_error *err)
{
    hm_status st = list_sessions(store, "SELECT s.id FROM session s WHERE substr(s.id, 1, length(:a)) = :a AND :b IS NULL" NEWEST, text,
                                 NULL, out, err);
    if (!st && out->count > 1)
        st = hm_fail(err, HM_EUSAGE, "session %s: %d sessions begin so, as %s and %s; give more letters", text, out->count, out->ids[0],
                     out->ids[1]);
    return st;
}

static hm_status by_commit(hm_store *store, const char *text, hm_session_list *out, hm_error *err)
{
    hm_status st = list_sessions(store,
                                 "SELECT s.id FROM session s WHERE :b IS NULL AND EXISTS(SELECT 1 FROM arm a JOIN build b ON "
                                 "b.id = coalesce(a.build_id, s.build_id) WHERE a.session_id = s.id AND "
                                 "substr(b.git_commit, 1, length(:a)) = :a)" NEWEST,
                                 text, NULL, out, err);
    if (!st && out->count)
        snprintf(out->commit, sizeof out->commit, "%s", text);
    return st;
}

static const char *const lists[] = {
    [HM_NAMES_SESSIONS] = "SELECT DISTINCT name FROM baseline UNION SELECT 'last'",
    [HM_NAMES_ARMS] = "SELECT DISTINCT name FROM arm",
    [HM_NAMES_CASES] = "SELECT suite || '/' || name FROM suite_case UNION SELECT suite FROM suite_case",
};

const char *hm_store_did_you_mean(hm_store *store, hm_store_names kind, const char *word, char out[HM_SUGGESTION])
{
    enum {
        MOST = 1000
    };
    char *names[MOST + 1] = {0};
    int n = 0;
    hm_error err;
    hm_query q;
    hm_query_open(&q, store, lists[kind], &err);
    while (n < MOST && hm_query_row(&q))
        if ((names[n] = strdup(hm_query_text(&q, 0))))
            n++;
    hm_query_close(&q); /* a suggestion that cannot be made is no failure */
    hm_did_you_mean(out, word, (const char *const *)names);
    while (n)
        free(names[--n]);
    return out;
}

/* A name of sessions, else of an arm: compare takes both. */
static const char *suggest(hm_store *store, const char *text, char near[HM_SUGGESTION])
{
    hm_store_did_you_mean(store, HM_NAMES_SESSIONS, text, near);
    return *near ? near : hm_store_did_you_mean(store, HM_NAMES_ARMS, text, near);
}

hm_status hm_store_find_sessions(hm_store *store, const char *text, hm_session_list *out, hm_error *err)
{
    enum {
        LEAST_LETTERS = 4
    };
    char near[HM_SUGGESTION];
    const char *equals = strchr(text, '=');
    bool letters = strlen(text) >= LEAST_LETTERS && strspn(text, "0123456789abcdef-") == strlen(text);
    hm_status st = HM_OK;
    *out = (hm_session_list){0};
    if (!strcmp(text, "last"))
        st = list_sessions(store, "SELECT id FROM (SELECT s.id FROM session s WHERE :a IS :b" NEWEST " LIMIT 1)", NULL, NULL, out, err);
    else
        st = list_sessions(store,
                           "SELECT s.id FROM session s JOIN baseline b ON b.session_id = s.id WHERE b.name = :a AND :b IS NULL" NEWEST,
                           text, NULL, out, err);
    if (!st && !out->count && equals)
        st = by_tag(store, text, equals, out, err);
    if (!st && !out->count && letters)
        st = by_id(store, text, out, err);
    if (!st && !out->count && letters)
        st = by_commit(store, text, out, err);
    if (!st && !out->count)
        st = hm_fail(err, HM_EMISSING,
                     "database %s: nothing is called \"%.100s\": no session's id or commit begins so (4 letters at least), no baseline, "
                     "no tag KEY=VALUE (hmbench db info)%s",
                     store->path, text, suggest(store, text, near));
    if (st)
        hm_session_list_free(out);
    return st;
}

/* An arm of this name, or of this name with " model=NAME" behind it, ran in the session (as hm_arm_is has it). */
#define RUN_ARM(name)                                                                                        \
    "EXISTS(SELECT 1 FROM arm a JOIN run r ON r.arm_id = a.id WHERE a.session_id = s.id AND (a.name = " name \
    " OR (substr(a.name, 1, length(" name ") + 7) = " name " || ' model=' AND instr(substr(a.name, length(" name ") + 2), ' ') = 0)))"

hm_status hm_store_find_arms(hm_store *store, const char *session, const char *a, const char *b, char id[HM_UUID_TEXT], bool *found,
                             hm_error *err)
{
    hm_query q;
    *found = false;
    hm_query_open(&q, store,
                  "SELECT s.id FROM session s WHERE (:session IS NULL OR s.id = :session) AND " RUN_ARM(":a") " AND " RUN_ARM(":b") NEWEST
                  " LIMIT 1",
                  err);
    hm_bind_text(&q, ":session", session);
    hm_bind_text(&q, ":a", a);
    hm_bind_text(&q, ":b", b);
    if (hm_query_row(&q)) {
        snprintf(id, HM_UUID_TEXT, "%s", hm_query_text(&q, 0));
        *found = true;
    }
    return hm_query_close(&q);
}

hm_status hm_store_get_fact(hm_store *store, const char *table, const char *column, const char *id, char *out, size_t size, hm_error *err)
{
    hm_query q;
    char sql[160];
    *out = 0;
    snprintf(sql, sizeof sql, "SELECT %s FROM %s WHERE id = :id", column, table);
    hm_query_open(&q, store, sql, err);
    hm_bind_text(&q, ":id", id);
    if (hm_query_row(&q))
        snprintf(out, size, "%s", hm_query_text(&q, 0) ? hm_query_text(&q, 0) : "");
    return hm_query_close(&q);
}

/* ---- exact figures ---- */

void hm_exact_list_free(hm_exact_list *list)
{
    free(list->items);
    *list = (hm_exact_list){0};
}

static hm_status add_exact(hm_exact_list *list, const char *name, int64_t value, hm_error *err)
{
    hm_exact *grown = value == HM_UNKNOWN ? list->items : realloc(list->items, (size_t)(list->count + 1) * sizeof *grown);
    if (value == HM_UNKNOWN)
        return HM_OK;
    if (!grown)
        return hm_fail(err, HM_EABSENT, "exact figures: out of memory");
    list->items = grown;
    grown[list->count].value = value;
    snprintf(grown[list->count++].name, sizeof grown->name, "%s", name);
    return HM_OK;
}

/* Names and values that a query gives for a sample. */
static hm_status add_rows(hm_store *store, const char *sql, const char *sample_id, hm_exact_list *out, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, sql, err);
    hm_bind_text(&q, ":id", sample_id);
    while (hm_query_row(&q))
        if ((q.status = add_exact(out, hm_query_text(&q, 0), hm_query_int(&q, 1), err)))
            break;
    return hm_query_close(&q);
}

const char *const hm_exact_columns[] = {"frames",      "prompt_tokens",     "frame_weight_bytes", "distinct_weight_bytes", "frame_flops",
                                        "codec_bytes", "held_weight_bytes", "kv_bytes",           "scratch_bytes",         NULL};

static hm_status read_sample(hm_store *store, const char *session_id, const char *arm_id, const char *case_id, char sample_id[HM_UUID_TEXT],
                             hm_exact_list *out, hm_error *err)
{
    enum {
        COLUMNS = sizeof hm_exact_columns / sizeof *hm_exact_columns - 1
    };
    char sql[900] = "SELECT s.id, s.codes_hash, s.audio_hash, coalesce(s.peak_unmapped_bytes, s.peak_rss_bytes)";
    hm_query q;
    for (int i = 0; i < COLUMNS; i++)
        snprintf(sql + strlen(sql), sizeof sql - strlen(sql), ", CAST(s.%s AS INTEGER)", hm_exact_columns[i]);
    snprintf(sql + strlen(sql), sizeof sql - strlen(sql),
             " FROM sample s JOIN run r ON r.id = s.run_id WHERE r.session_id = :session AND r.arm_id = :arm AND r.case_id = :kase AND "
             "r.status = 'ok' AND NOT s.warmup ORDER BY r.round, s.ordinal LIMIT 1");
    hm_query_open(&q, store, sql, err);
    hm_bind_text(&q, ":session", session_id);
    hm_bind_text(&q, ":arm", arm_id);
    hm_bind_text(&q, ":kase", case_id);
    if (hm_query_row(&q)) {
        out->found = true;
        snprintf(sample_id, HM_UUID_TEXT, "%s", hm_query_text(&q, 0));
        snprintf(out->codes_hash, sizeof out->codes_hash, "%s", hm_query_text(&q, 1) ? hm_query_text(&q, 1) : "");
        snprintf(out->audio_hash, sizeof out->audio_hash, "%s", hm_query_text(&q, 2) ? hm_query_text(&q, 2) : "");
        out->memory_bytes = hm_query_int(&q, 3);
        for (int i = 0; i < COLUMNS && !q.status; i++)
            q.status = add_exact(out, hm_exact_columns[i], hm_query_int(&q, 4 + i), err);
    }
    return hm_query_close(&q);
}

hm_status hm_store_get_exact(hm_store *store, const char *session_id, const char *arm_id, const char *case_id, hm_exact_list *out,
                             hm_error *err)
{
    char sample_id[HM_UUID_TEXT] = "";
    *out = (hm_exact_list){.memory_bytes = HM_UNKNOWN};
    hm_status st = read_sample(store, session_id, arm_id, case_id, sample_id, out, err);
    if (!st && out->found)
        st = add_rows(store, "SELECT iif(load, 'load: ', '') || name, value FROM count WHERE sample_id = :id ORDER BY load, name",
                      sample_id, out, err);
    if (!st && out->found)
        st = add_rows(store, "SELECT 'span ' || name, count FROM span WHERE sample_id = :id ORDER BY name", sample_id, out, err);
    if (st)
        hm_exact_list_free(out);
    return st;
}

/* ---- what verdicts leave ---- */

static void delete_verdict(hm_store *store, const hm_verdict_record *v, hm_query *q, hm_error *err)
{
    hm_query_open(q, store,
                  "DELETE FROM verdict WHERE session_id = :session_id AND case_id IS :case_id AND base_arm_id = :base_arm_id AND "
                  "arm_id = :arm_id AND metric = :metric",
                  err);
    hm_bind_text(q, ":session_id", v->session_id);
    hm_bind_text(q, ":case_id", v->case_id);
    hm_bind_text(q, ":base_arm_id", v->base_arm_id);
    hm_bind_text(q, ":arm_id", v->arm_id);
    hm_bind_text(q, ":metric", v->metric);
    hm_query_run(q);
}

hm_status hm_store_put_verdict(hm_store *store, const hm_verdict_record *v, hm_error *err)
{
    hm_query q;
    char id[HM_UUID_TEXT];
    hm_uuid_text(id);
    hm_status st = hm_store_begin(store, err);
    if (st)
        return st;
    delete_verdict(store, v, &q, err);
    st = hm_query_close(&q);
    if (!st) {
        hm_query_open(&q, store,
                      "INSERT INTO verdict(id, session_id, case_id, base_arm_id, arm_id, metric, rounds, ratio, low, high, margin, mde, "
                      "verdict, reason) VALUES(:id, :session_id, :case_id, :base_arm_id, :arm_id, :metric, :rounds, :ratio, :low, :high, "
                      ":margin, :mde, :verdict, :reason)",
                      err);
        hm_bind_text(&q, ":id", id);
        hm_bind_text(&q, ":session_id", v->session_id);
        hm_bind_text(&q, ":case_id", v->case_id);
        hm_bind_text(&q, ":base_arm_id", v->base_arm_id);
        hm_bind_text(&q, ":arm_id", v->arm_id);
        hm_bind_text(&q, ":metric", v->metric);
        hm_bind_int(&q, ":rounds", v->rounds);
        hm_bind_real(&q, ":ratio", v->ratio);
        hm_bind_real(&q, ":low", isfinite(v->low) && v->low > 0 ? v->low : NAN);
        hm_bind_real(&q, ":high", isfinite(v->high) ? v->high : NAN);
        hm_bind_real(&q, ":margin", v->margin);
        hm_bind_real(&q, ":mde", v->mde);
        hm_bind_text(&q, ":verdict", v->verdict);
        hm_bind_text(&q, ":reason", v->reason);
        hm_query_run(&q);
        st = hm_query_close(&q);
    }
    return hm_store_finish(store, st, err);
}

hm_status hm_store_put_calibration(hm_store *store, const hm_calibration_record *c, hm_error *err)
{
    hm_query q;
    hm_query_open(
        &q, store,
        "INSERT OR REPLACE INTO calibration(session_id, case_id, arm_id, rounds, sd, bias, drift_p) VALUES(:session_id, :case_id, "
        ":arm_id, :rounds, :sd, :bias, :drift_p)",
        err);
    hm_bind_text(&q, ":session_id", c->session_id);
    hm_bind_text(&q, ":case_id", c->case_id);
    hm_bind_text(&q, ":arm_id", c->arm_id);
    hm_bind_int(&q, ":rounds", c->rounds);
    hm_bind_real(&q, ":sd", c->sd);
    hm_bind_real(&q, ":bias", c->bias);
    hm_bind_real(&q, ":drift_p", c->drift_p);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_get_calibration(hm_store *store, const hm_calibration_key *key, double *sd, hm_error *err)
{
    hm_query q;
    *sd = NAN;
    hm_query_open(
        &q, store,
        "SELECT c.sd FROM calibration c JOIN session s ON s.id = c.session_id JOIN arm a ON a.id = c.arm_id "
        "WHERE s.machine_id = :machine_id AND c.case_id = :case_id AND a.toggles IS :toggles AND a.threads = :threads AND a.backend = "
        ":backend AND coalesce(a.device, '') = :device" NEWEST " LIMIT 1",
        err);
    hm_bind_text(&q, ":machine_id", key->machine_id);
    hm_bind_text(&q, ":case_id", key->case_id);
    hm_bind_text(&q, ":toggles", key->toggles);
    hm_bind_text(&q, ":backend", key->backend);
    hm_bind_text(&q, ":device", key->device);
    hm_bind_int(&q, ":threads", key->threads);
    if (hm_query_row(&q))
        *sd = hm_query_real(&q, 0);
    return hm_query_close(&q);
}

static hm_status delete_baseline(hm_store *store, const char *name, int64_t *rows, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "DELETE FROM baseline WHERE name = :name", err);
    hm_bind_text(&q, ":name", name);
    hm_query_run(&q);
    *rows = sqlite3_changes64(store->db);
    return hm_query_close(&q);
}

hm_status hm_store_set_baseline(hm_store *store, const char *name, const hm_session_list *sessions, hm_error *err)
{
    char utc[HM_UTC_TEXT];
    int64_t rows;
    hm_query q;
    hm_status st = hm_store_begin(store, err);
    if (st)
        return st;
    st = delete_baseline(store, name, &rows, err);
    hm_utc_text(utc);
    if (!st) {
        hm_query_open(&q, store, "INSERT INTO baseline(name, session_id, set_utc) VALUES(:name, :session_id, :set_utc)", err);
        for (int i = 0; i < sessions->count; i++) {
            hm_bind_text(&q, ":name", name);
            hm_bind_text(&q, ":session_id", sessions->ids[i]);
            hm_bind_text(&q, ":set_utc", utc);
            hm_query_run(&q);
        }
        st = hm_query_close(&q);
    }
    return hm_store_finish(store, st, err);
}

hm_status hm_store_remove_baseline(hm_store *store, const char *name, hm_error *err)
{
    int64_t rows = 0;
    hm_status st = delete_baseline(store, name, &rows, err);
    return !st && !rows ? hm_fail(err, HM_EMISSING, "database %s: no baseline \"%.100s\" (hmbench baseline list)", store->path, name) : st;
}
