#include "harness/store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "harness/model.h"
#include "harness/store_internal.h"

#define BUSY_MS 20000

void hm_uuid_text(char out[HM_UUID_TEXT])
{
    uuid_t id;
    uuid_generate(id);
    uuid_unparse_lower(id, out);
}

const char *hm_store_path(const char *option)
{
    const char *path = option ? option : getenv("HMBENCH_DB");
    return path && *path ? path : "hmbench-out/hmbench.db";
}

int hm_store_schema_version(void)
{
    return hm_migration_count;
}

static hm_status fail(hm_store *store, const char *doing, hm_error *err)
{
    int code = sqlite3_errcode(store->db);
    hm_status status = code == SQLITE_NOTADB ? HM_EFORMAT : code == SQLITE_NOMEM ? HM_EABSENT : HM_EIO;
    int why = code == SQLITE_IOERR ? sqlite3_system_errno(store->db) : 0;
    return hm_fail(err, status, "database %s: %s: %s%s%s%s", store->path, doing, sqlite3_errmsg(store->db), why ? " (" : "",
                   why ? strerror(why) : "", why ? ")" : "");
}

void hm_query_open(hm_query *q, hm_store *store, const char *sql, hm_error *err)
{
    *q = (hm_query){.store = store, .err = err};
    if (sqlite3_prepare_v2(store->db, sql, -1, &q->stmt, NULL))
        q->status = fail(store, "prepare", err);
}

static int parameter(hm_query *q, const char *name)
{
    if (q->status)
        return 0;
    int index = sqlite3_bind_parameter_index(q->stmt, name);
    if (!index)
        q->status = hm_fail(q->err, HM_EBUG, "store: no parameter %s in: %.200s", name, sqlite3_sql(q->stmt));
    return index;
}

static void bound(hm_query *q, int code)
{
    if (code && !q->status)
        q->status = fail(q->store, "bind", q->err);
}

void hm_bind_int(hm_query *q, const char *name, int64_t value)
{
    int i = parameter(q, name);
    if (i)
        bound(q, value == HM_UNKNOWN ? sqlite3_bind_null(q->stmt, i) : sqlite3_bind_int64(q->stmt, i, value));
}

void hm_bind_seed(hm_query *q, const char *name, uint64_t value)
{
    int i = parameter(q, name);
    if (i)
        bound(q, sqlite3_bind_int64(q->stmt, i, (int64_t)value));
}

void hm_bind_real(hm_query *q, const char *name, double value)
{
    int i = parameter(q, name);
    if (i)
        bound(q, sqlite3_bind_double(q->stmt, i, value)); /* SQLite stores NaN as NULL */
}

void hm_bind_text(hm_query *q, const char *name, const char *value)
{
    int i = parameter(q, name);
    if (i)
        bound(q, value ? sqlite3_bind_text(q->stmt, i, value, -1, SQLITE_STATIC) : sqlite3_bind_null(q->stmt, i));
}

void hm_bind_blob(hm_query *q, const char *name, const void *data, size_t bytes)
{
    int i = parameter(q, name);
    if (i)
        bound(q, data ? sqlite3_bind_blob64(q->stmt, i, data, bytes, SQLITE_STATIC) : sqlite3_bind_null(q->stmt, i));
}

bool hm_query_row(hm_query *q)
{
    if (q->status)
        return false;
    int code = sqlite3_step(q->stmt);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        q->status = fail(q->store, "run", q->err);
    return false;
}

void hm_query_run(hm_query *q)
{
    while (hm_query_row(q))
        ;
    if (q->stmt) {
        sqlite3_reset(q->stmt);
        sqlite3_clear_bindings(q->stmt);
    }
}

const char *hm_query_text(hm_query *q, int column)
{
    return (const char *)sqlite3_column_text(q->stmt, column);
}

int64_t hm_query_int(hm_query *q, int column)
{
    return sqlite3_column_type(q->stmt, column) == SQLITE_NULL ? HM_UNKNOWN : sqlite3_column_int64(q->stmt, column);
}

double hm_query_real(hm_query *q, int column)
{
    return sqlite3_column_type(q->stmt, column) == SQLITE_NULL ? NAN : sqlite3_column_double(q->stmt, column);
}

hm_status hm_query_close(hm_query *q)
{
    sqlite3_finalize(q->stmt);
    q->stmt = NULL;
    return q->status;
}

hm_status hm_store_exec(hm_store *store, const char *sql, hm_error *err)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) ? fail(store, "run", err) : HM_OK;
}

hm_status hm_store_begin(hm_store *store, hm_error *err)
{
    return hm_store_exec(store, "BEGIN IMMEDIATE", err);
}

hm_status hm_store_finish(hm_store *store, hm_status status, hm_error *err)
{
    if (!status)
        status = hm_store_exec(store, "COMMIT", err);
    if (status)
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static hm_status read_number(hm_store *store, const char *sql, int64_t *out, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, sql, err);
    if (hm_query_row(&q))
        *out = hm_query_int(&q, 0);
    return hm_query_close(&q);
}

/* Migrations [from, to), within a transaction. */
static hm_status run_migrations(hm_store *store, int from, int to, hm_error *err)
{
    char sql[128];
    hm_status st = HM_OK;
    for (int step = from; step < to && !st; step++)
        for (int i = 0; i < 2 && hm_migrations[step].sql[i] && !st; i++)
            st = hm_store_exec(store, hm_migrations[step].sql[i], err);
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", HM_STORE_APPLICATION_ID, to);
    return st ? st : hm_store_exec(store, sql, err);
}

/* All that are due in one transaction: nobody sees a file between two versions. */
hm_status hm_store_migrate(hm_store *store, int to, hm_error *err)
{
    int64_t version = 0;
    hm_status st = read_number(store, "PRAGMA user_version", &version, err);
    if (st || version >= to)
        return st; /* without a lock for writing */
    st = hm_store_begin(store, err);
    if (st)
        return st;
    st = read_number(store, "PRAGMA user_version", &version, err); /* another process may have been first */
    if (!st && version < to)
        st = run_migrations(store, (int)(version > 0 ? version : 0), to, err);
    return hm_store_finish(store, st, err);
}

hm_status hm_store_version(hm_store *store, int *out, hm_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    hm_status st = hm_store_exec(store, "SAVEPOINT version", err); /* one state of a file that another process is making */
    if (st)
        return st;
    st = read_number(store, "PRAGMA application_id", &application, err);
    if (!st)
        st = read_number(store, "PRAGMA user_version", &version, err);
    if (!st)
        st = read_number(store, "SELECT count(*) FROM sqlite_schema", &tables, err);
    sqlite3_exec(store->db, "RELEASE version", NULL, NULL, NULL);
    if (st)
        return st;
    bool empty = !application && !version && !tables;
    if (!empty && application != HM_STORE_APPLICATION_ID)
        return hm_fail(err, HM_EFORMAT,
                       "database %s: is an SQLite file of another program (application_id %lld); name another file with --db", store->path,
                       (long long)application);
    if (version > hm_migration_count)
        return hm_fail(err, HM_EIO,
                       "database %s: has schema version %lld, this hmbench knows %d; use the newer hmbench, or another file with --db",
                       store->path, (long long)version, hm_migration_count);
    *out = version > 0 ? (int)version : 0;
    return HM_OK;
}

/* Whose it is and how old; brings it up to date unless only reading. */
static hm_status check_version(hm_store *store, bool write, hm_error *err)
{
    int version = 0;
    hm_status st = hm_store_version(store, &version, err);
    if (st)
        return st;
    if (!write && version < hm_migration_count)
        return hm_fail(err, HM_EIO,
                       "database %s: has schema version %d, this hmbench reads %d; run \"hmbench db info --db %s\" once to update it",
                       store->path, version, hm_migration_count, store->path);
    return hm_store_migrate(store, hm_migration_count, err);
}

/* Of every connection: it waits for others, and a schema that someone else wrote can do nothing but hold data. */
static void settle_connection(hm_store *store)
{
    sqlite3_busy_timeout(store->db, BUSY_MS);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
}

static hm_status open_file(hm_store *store, const char *path, hm_store_mode mode, hm_error *err)
{
    struct stat info;
    bool there = !stat(path, &info);
    if (there && !S_ISREG(info.st_mode))
        return hm_fail(err, HM_EFORMAT, "database %s: is not a regular file", path);
    if (!there && mode != HM_STORE_CREATE)
        return hm_fail(err, HM_EMISSING, "database %s: no such file; run \"hmbench suite short\" to fill one, or name one with --db", path);
    const char *slash = strrchr(path, '/');
    if (!there && slash && slash != path) {
        char folder[1024];
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        hm_status st = hm_make_folders(folder, err);
        if (st)
            return st;
    }
    char log[1100]; /* a reader that opens it for writing takes the log that it had to make away again; one that is there is not its own */
    snprintf(log, sizeof log, "%s-wal", path);
    int flags = mode == HM_STORE_READ && !access(log, F_OK) ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (mode == HM_STORE_CREATE)
        flags |= SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(path, &store->db, flags, NULL))
        return hm_fail(err, there ? HM_EIO : HM_ECREATE, "database %s: cannot be %s: %s", path, there ? "opened" : "made",
                       store->db ? sqlite3_errmsg(store->db) : "out of memory");
    settle_connection(store);
    return HM_OK;
}

/* A closed file that nothing can be written beside (a read-only folder) is read as it is: WAL would need a file of its own. */
static bool lies_still(const hm_store *store)
{
    char name[1100], folder[1024];
    const char *slash = strrchr(store->path, '/');
    snprintf(name, sizeof name, "%s-wal", store->path);
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - store->path) : 1, slash ? store->path : ".");
    return access(name, F_OK) && access(*folder ? folder : "/", W_OK);
}

static hm_status open_still(hm_store *store, hm_error *err)
{
    char uri[3 * 1024 + 32] = "file:";
    size_t used = strlen(uri);
    for (const char *p = store->path; *p; p++)
        used += (size_t)sprintf(uri + used, strchr("%?#", *p) ? "%%%02x" : "%c", (unsigned char)*p);
    snprintf(uri + used, sizeof uri - used, "?immutable=1");
    sqlite3_close(store->db);
    store->db = NULL;
    if (sqlite3_open_v2(uri, &store->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL))
        return hm_fail(err, HM_EIO, "database %s: cannot be opened: %s", store->path,
                       store->db ? sqlite3_errmsg(store->db) : "out of memory");
    settle_connection(store);
    return HM_OK;
}

hm_status hm_store_open_raw(hm_store **out, const char *path, hm_store_mode mode, hm_error *err)
{
    hm_store *store = hm_calloc(1, sizeof *store, "database", err);
    if (!store)
        return err ? err->status : HM_EABSENT;
    hm_status st = HM_OK;
    if (strlen(path) >= sizeof store->path)
        st = hm_fail(err, HM_EUSAGE, "database: the path has more than %zu bytes", sizeof store->path - 1);
    snprintf(store->path, sizeof store->path, "%s", path);
    if (!st)
        st = open_file(store, path, mode, err);
    if (!st && mode == HM_STORE_READ && lies_still(store))
        st = open_still(store, err);
    if (!st && mode == HM_STORE_READ)
        st = hm_store_exec(store, "PRAGMA query_only = ON", err);
    if (st)
        hm_store_close(&store);
    *out = store;
    return st;
}

hm_status hm_store_open_scratch(hm_store **out, const char *label, int version, hm_error *err)
{
    hm_store *store = hm_calloc(1, sizeof *store, "database", err);
    if (!store)
        return err ? err->status : HM_EABSENT;
    snprintf(store->path, sizeof store->path, "%s", label);
    hm_status st = HM_OK;
    if (sqlite3_open_v2("", &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL))
        st = hm_fail(err, HM_EIO, "%s: no temporary database: %s", label, store->db ? sqlite3_errmsg(store->db) : "out of memory");
    if (!st) {
        settle_connection(store);
        st = hm_store_migrate(store, version, err);
    }
    if (!st)
        st = hm_store_exec(store, "PRAGMA foreign_keys = ON", err);
    if (st)
        hm_store_close(&store);
    *out = store;
    return st;
}

hm_status hm_store_open(hm_store **out, const char *path, hm_store_mode mode, hm_error *err)
{
    hm_store *store = NULL;
    hm_status st = hm_store_open_raw(&store, path, mode, err);
    if (!st)
        st = check_version(store, mode != HM_STORE_READ, err);
    if (!st && mode != HM_STORE_READ)
        st = hm_store_exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON", err);
    if (st)
        hm_store_close(&store);
    *out = store;
    return st;
}

void hm_store_close(hm_store **store)
{
    if (!*store)
        return;
    sqlite3_close((*store)->db);
    free(*store);
    *store = NULL;
}

const char *hm_run_status_name(hm_run_status status)
{
    static const char *const names[] = {"ok", "crash", "timeout", "garbage", "refused", "failed", "interrupted"};
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : "failed";
}
