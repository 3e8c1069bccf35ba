/* What comes out of the database for planning and checking; figures for reports are in store_query.c. */
#include <stdlib.h>
#include <string.h>

#include "harness/store_internal.h"

void hm_stored_codes_free(hm_stored_codes *codes)
{
    free(codes->codes);
    free(codes->logits);
    *codes = (hm_stored_codes){0};
}

static hm_status take_blob(hm_query *q, int column, size_t bytes, void **out, hm_error *err)
{
    if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
        return HM_OK;
    const void *blob = sqlite3_column_blob(q->stmt, column);
    if (!blob || (size_t)sqlite3_column_bytes(q->stmt, column) != bytes)
        return hm_fail(err, HM_EIO, "database %s: stored codes have %d bytes, expected %zu", q->store->path,
                       sqlite3_column_bytes(q->stmt, column), bytes);
    *out = hm_calloc(1, bytes, "stored codes", err);
    if (!*out)
        return HM_EABSENT;
    memcpy(*out, blob, bytes);
    return HM_OK;
}

hm_status hm_store_get_codes(hm_store *store, const char *request_hash, const char *model_id, uint64_t seed, hm_stored_codes *out,
                             bool *found, hm_error *err)
{
    hm_query q;
    *found = false;
    *out = (hm_stored_codes){0};
    hm_query_open(&q, store,
                  "SELECT frames, codebooks, codes, logits, made_by FROM stored_codes WHERE request_hash = :request_hash AND model_id = "
                  ":model_id "
                  "AND seed = :seed",
                  err);
    hm_bind_text(&q, ":request_hash", request_hash);
    hm_bind_text(&q, ":model_id", model_id);
    hm_bind_seed(&q, ":seed", seed);
    if (hm_query_row(&q)) {
        int64_t frames = hm_query_int(&q, 0), codebooks = hm_query_int(&q, 1);
        if (frames < 1 || frames > 1 << 20 || codebooks < 1 || codebooks > 1 << 10) {
            q.status = hm_fail(err, HM_EIO, "database %s: stored codes have shape [%lld][%lld]", store->path, (long long)frames,
                               (long long)codebooks);
        } else {
            size_t bytes = (size_t)frames * (size_t)codebooks * 4;
            out->frames = (int)frames;
            out->codebooks = (int)codebooks;
            q.status = take_blob(&q, 2, bytes, (void **)&out->codes, err);
            if (!q.status)
                q.status = take_blob(&q, 3, bytes, (void **)&out->logits, err);
            const char *made_by = hm_query_text(&q, 4);
            snprintf(out->made_by, sizeof out->made_by, "%s", made_by ? made_by : "");
            *found = !q.status;
        }
    }
    hm_status st = hm_query_close(&q);
    if (st)
        hm_stored_codes_free(out);
    return st;
}

hm_status hm_store_find_model(hm_store *store, const char *folder, char id[HM_HASH_TEXT], hm_error *err)
{
    hm_query q;
    id[0] = 0;
    hm_query_open(&q, store,
                  "SELECT id FROM (SELECT r.model_id AS id, r.started_utc AS utc, 1 AS ran FROM run r JOIN arm a ON a.id = r.arm_id "
                  "WHERE a.model = :model AND r.model_id IS NOT NULL "
                  "UNION ALL SELECT id, seen_utc, 0 FROM model WHERE path = :model) ORDER BY ran DESC, utc DESC LIMIT 1",
                  err);
    hm_bind_text(&q, ":model", folder);
    if (hm_query_row(&q))
        snprintf(id, HM_HASH_TEXT, "%s", hm_query_text(&q, 0));
    return hm_query_close(&q);
}

void hm_session_info_free(hm_session_info *info)
{
    free(info->options);
    free(info->command_line);
    free(info->arm_ids);
    *info = (hm_session_info){0};
}

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

static hm_status get_arms(hm_store *store, hm_session_info *info, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "SELECT id FROM arm WHERE session_id = :id ORDER BY position", err);
    hm_bind_text(&q, ":id", info->id);
    while (hm_query_row(&q)) {
        char(*grown)[HM_UUID_TEXT] = realloc(info->arm_ids, (size_t)(info->arm_count + 1) * sizeof *grown);
        if (!grown) {
            q.status = hm_fail(err, HM_EABSENT, "session %s: out of memory", info->id);
            break;
        }
        info->arm_ids = grown;
        snprintf(grown[info->arm_count++], HM_UUID_TEXT, "%s", hm_query_text(&q, 0));
    }
    return hm_query_close(&q);
}

hm_status hm_store_get_session(hm_store *store, const char *id, const char *kind, hm_session_info *out, bool *found, hm_error *err)
{
    hm_query q;
    *found = false;
    *out = (hm_session_info){0};
    hm_query_open(&q, store,
                  "SELECT id, options, command_line, state, machine_id, order_seed, rounds, kind FROM session "
                  "WHERE id = :id OR (:id IS NULL AND (:kind IS NULL OR kind = :kind) AND state IN ('interrupted', 'running', 'partial')) "
                  "ORDER BY created_utc DESC, id LIMIT 1",
                  err);
    hm_bind_text(&q, ":id", id);
    hm_bind_text(&q, ":kind", kind);
    if (hm_query_row(&q)) {
        snprintf(out->id, sizeof out->id, "%s", hm_query_text(&q, 0));
        out->options = copy(hm_query_text(&q, 1));
        out->command_line = copy(hm_query_text(&q, 2));
        snprintf(out->state, sizeof out->state, "%s", hm_query_text(&q, 3));
        snprintf(out->machine_id, sizeof out->machine_id, "%s", hm_query_text(&q, 4));
        out->order_seed = (uint64_t)hm_query_int(&q, 5);
        out->rounds = (int)hm_query_int(&q, 6);
        snprintf(out->kind, sizeof out->kind, "%s", hm_query_text(&q, 7));
        if (!out->options || !out->command_line)
            q.status = hm_fail(err, HM_EABSENT, "session %s: out of memory", out->id);
        *found = true;
    }
    hm_status st = hm_query_close(&q);
    if (!st && *found)
        st = get_arms(store, out, err);
    if (st)
        hm_session_info_free(out);
    return st;
}

hm_status hm_store_each_run(hm_store *store, const char *session_id, void (*row)(void *self, const hm_run_row *run), void *self,
                            hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "SELECT r.id, r.arm_id, r.case_id, r.status, r.reason, r.round, r.slot, coalesce(r.threads, 0), "
                  "r.dropped_reason IS NOT NULL, s.codes_hash, s.audio_hash, s.health, s.wall_ns, r.duration_ns, s.clock_khz, s.throttled, "
                  "s.steal_ns, CAST(round(s.audio_s * s.sample_rate_hz) AS INTEGER), s.pieces "
                  "FROM run r LEFT JOIN sample s ON s.run_id = r.id AND NOT s.warmup WHERE r.session_id = :session_id "
                  "ORDER BY r.round, r.slot, r.case_id, r.id, s.ordinal",
                  err);
    hm_bind_text(&q, ":session_id", session_id);
    while (hm_query_row(&q)) {
        hm_run_row run = {.run_id = hm_query_text(&q, 0),
                          .arm_id = hm_query_text(&q, 1),
                          .case_id = hm_query_text(&q, 2),
                          .status = hm_query_text(&q, 3),
                          .reason = hm_query_text(&q, 4),
                          .round = (int)hm_query_int(&q, 5),
                          .slot = (int)hm_query_int(&q, 6),
                          .threads = (int)hm_query_int(&q, 7),
                          .dropped = hm_query_int(&q, 8) != 0,
                          .codes_hash = hm_query_text(&q, 9),
                          .audio_hash = hm_query_text(&q, 10),
                          .health = hm_query_text(&q, 11),
                          .wall_ns = hm_query_int(&q, 12),
                          .duration_ns = hm_query_int(&q, 13),
                          .clock_khz = hm_query_int(&q, 14),
                          .throttled = hm_query_int(&q, 15),
                          .steal_ns = hm_query_int(&q, 16),
                          .audio_samples = hm_query_int(&q, 17),
                          .pieces = hm_query_int(&q, 18)};
        run.has_sample = run.wall_ns != HM_UNKNOWN;
        row(self, &run);
    }
    return hm_query_close(&q);
}

hm_status hm_store_expected_ns(hm_store *store, const char *machine_id, const char *case_id, const char *toggles, int threads,
                               const char *isa, const char *model, const char *program, const char *command, const char *backend,
                               const char *device, int64_t *out_ns, bool *found, hm_error *err)
{
    hm_query q;
    *found = false;
    hm_query_open(&q, store,
                  "SELECT CAST(avg(r.duration_ns) AS INTEGER) FROM run r JOIN arm a ON a.id = r.arm_id JOIN session s ON s.id = "
                  "r.session_id "
                  "WHERE s.machine_id = :machine_id AND r.case_id = :case_id AND a.toggles IS :toggles AND a.threads = :threads "
                  "AND a.isa IS :isa AND a.model = :model AND r.status = 'ok' AND r.round >= 0 AND r.dropped_reason IS NULL "
                  "AND a.program IS :program AND a.command IS :command AND a.backend = :backend AND a.device IS :device",
                  err);
    hm_bind_text(&q, ":machine_id", machine_id);
    hm_bind_text(&q, ":case_id", case_id);
    hm_bind_text(&q, ":toggles", toggles);
    hm_bind_int(&q, ":threads", threads);
    hm_bind_text(&q, ":isa", isa);
    hm_bind_text(&q, ":model", model);
    hm_bind_text(&q, ":program", program);
    hm_bind_text(&q, ":command", command);
    hm_bind_text(&q, ":backend", backend);
    hm_bind_text(&q, ":device", device);
    if (hm_query_row(&q) && hm_query_int(&q, 0) != HM_UNKNOWN) {
        *out_ns = hm_query_int(&q, 0);
        *found = true;
    }
    return hm_query_close(&q);
}

/* The user's own SQL: reading is all it may do. ATTACH would reach other files. */
static int authorize(void *self, int action, const char *a, const char *b, const char *c, const char *d)
{
    (void)self, (void)a, (void)b, (void)c, (void)d;
    return action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION || action == SQLITE_RECURSIVE ? SQLITE_OK
                                                                                                                       : SQLITE_DENY;
}

static hm_status ask_rows(hm_store *store, sqlite3_stmt *stmt, const hm_store_reader *reader, hm_error *err)
{
    enum {
        MAX_COLUMNS = 256
    };
    const char *values[MAX_COLUMNS];
    bool numeric[MAX_COLUMNS];
    int columns = sqlite3_column_count(stmt), code;
    if (columns > MAX_COLUMNS)
        return hm_fail(err, HM_EUSAGE, "SQL: %d columns, at most %d can be shown", columns, MAX_COLUMNS);
    for (int i = 0; i < columns; i++)
        values[i] = sqlite3_column_name(stmt, i);
    hm_status st = reader->names(reader->self, columns, values, err);
    while (!st && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
        if (code != SQLITE_ROW)
            return hm_fail(err, HM_EUSAGE, "SQL: %s", sqlite3_errmsg(store->db));
        for (int i = 0; i < columns; i++) {
            int type = sqlite3_column_type(stmt, i);
            numeric[i] = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
            values[i] = type == SQLITE_BLOB ? "(blob)" : (const char *)sqlite3_column_text(stmt, i);
        }
        st = reader->row(reader->self, columns, values, numeric, err);
    }
    return st;
}

hm_status hm_store_ask(hm_store *store, const char *sql, const hm_store_reader *reader, hm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    const char *rest = NULL;
    sqlite3_set_authorizer(store->db, authorize, NULL);
    int code = sqlite3_prepare_v2(store->db, sql, -1, &stmt, &rest);
    hm_status st = HM_OK;
    if (code == SQLITE_AUTH)
        st = hm_fail(err, HM_EUSAGE, "SQL: only reading is possible here (%s)", sqlite3_errmsg(store->db));
    else if (code)
        st = hm_fail(err, HM_EUSAGE, "SQL: %s", sqlite3_errmsg(store->db));
    else if (!stmt)
        st = hm_fail(err, HM_EUSAGE, "SQL: nothing to run");
    else if (rest[strspn(rest, " \t\r\n;")])
        st = hm_fail(err, HM_EUSAGE, "SQL: one statement at a time, found another one: %.60s", rest);
    else
        st = ask_rows(store, stmt, reader, err);
    sqlite3_finalize(stmt);
    sqlite3_set_authorizer(store->db, NULL, NULL);
    return st;
}
