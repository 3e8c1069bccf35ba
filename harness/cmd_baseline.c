/* hmbench baseline: sessions kept under a name, to judge later ones against. Nothing updates one but this command. */
#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/suite_report.h"
#include "harness/verdict_store.h"
#include "variants/variants.h"

/* A name that no other kind of name can be taken for. */
static hm_status check_name(const char *name, hm_error *err)
{
    size_t n = strlen(name);
    if (!n || n > 64 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n)
        return hm_fail(err, HM_EUSAGE, "baseline \"%.80s\": expected 1 to 64 letters, digits, points, dashes or underscores", name);
    if (!strcmp(name, "last") || !strcmp(name, "custom") || hm_variant_find(name) || strspn(name, "0123456789abcdef-") == n)
        return hm_fail(err, HM_EUSAGE, "baseline \"%.80s\": is or could be a variant, a commit or a session; take another name", name);
    return HM_OK;
}

static bool listed(const hm_session_list *list, const char *id)
{
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->ids[i], id))
            return true;
    return false;
}

/* Adds the sessions that a text names. */
static hm_status add_named(hm_store *store, const char *text, hm_session_list *all, hm_error *err)
{
    hm_session_list named;
    hm_status st = hm_store_find_sessions(store, text, &named, err);
    if (st)
        return st;
    char(*grown)[HM_UUID_TEXT] = realloc(all->ids, (size_t)(all->count + named.count) * sizeof *grown);
    if (grown) {
        all->ids = grown;
        for (int i = 0; i < named.count; i++)
            if (!listed(all, named.ids[i]))
                memcpy(grown[all->count++], named.ids[i], HM_UUID_TEXT);
    } else {
        st = hm_fail(err, HM_EABSENT, "baseline: out of memory");
    }
    hm_session_list_free(&named);
    return st;
}

static hm_status set(hm_store *store, const hm_strings *words, hm_error *err)
{
    hm_session_list sessions = {0};
    if (words->count < 2)
        return hm_fail(err, HM_EUSAGE, "baseline set: expected a name, and sessions (default: last)");
    const char *name = words->items[1];
    hm_status st = check_name(name, err);
    if (!st && words->count == 2)
        st = add_named(store, "last", &sessions, err);
    for (int i = 2; i < words->count && !st; i++)
        st = add_named(store, words->items[i], &sessions, err);
    if (!st)
        st = hm_store_set_baseline(store, name, &sessions, err);
    if (!st)
        fprintf(stderr, "baseline %s: %d session%s, the newest is %s\n", name, sessions.count, sessions.count == 1 ? "" : "s",
                sessions.ids[0]);
    hm_session_list_free(&sessions);
    return st;
}

static hm_status list(hm_store *store, hm_error *err)
{
    return hm_sql_table(
        store,
        "SELECT b.name AS baseline, count(*) AS \">sessions\", max(b.set_utc) AS \"set\", "
        "(SELECT count(*) FROM run r JOIN baseline x ON x.session_id = r.session_id WHERE x.name = b.name AND r.status = 'ok') "
        "AS \">runs\" FROM baseline b GROUP BY b.name ORDER BY b.name",
        stdout, err);
}

/* The name has been found, so it has nothing that SQL could take for its own. */
static hm_status show(hm_store *store, const char *name, hm_error *err)
{
    char sql[900];
    hm_session_list sessions;
    hm_status st = check_name(name, err);
    if (!st)
        st = hm_store_find_sessions(store, name, &sessions, err);
    if (st)
        return st;
    hm_session_list_free(&sessions);
    snprintf(
        sql, sizeof sql,
        "SELECT s.id AS session, s.created_utc AS begun, a.name AS arm, count(DISTINCT r.case_id) AS \">cases\", "
        "count(DISTINCT r.round) AS \">rounds\", substr(coalesce(b.git_commit, '-'), 1, 12) AS \"commit\", m.cpu_model AS machine "
        "FROM baseline x JOIN session s ON s.id = x.session_id JOIN machine m ON m.id = s.machine_id JOIN arm a ON a.session_id = s.id "
        "JOIN build b ON b.id = coalesce(a.build_id, s.build_id) LEFT JOIN run r ON r.arm_id = a.id AND r.status = 'ok' AND "
        "r.dropped_reason IS NULL WHERE x.name = '%s' GROUP BY s.id, a.id ORDER BY s.created_utc, s.id, a.position",
        name);
    return hm_sql_table(store, sql, stdout, err);
}

hm_status hm_cmd_baseline(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const words[] = {"set", "list", "show", "rm", NULL};
    const char *db = NULL;
    const hm_option options[] = {{"db", 0, HM_OPT_STRING, &db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
                                 {0}};
    hm_strings given = {.count = 0};
    hm_store *store = NULL;
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, &given, 200, &helped, err);
    if (st || helped)
        return st;
    const char *word = given.count ? given.items[0] : "";
    bool is_set = !strcmp(word, "set"), is_rm = !strcmp(word, "rm"), is_show = !strcmp(word, "show"), is_list = !strcmp(word, "list");
    if (!is_set && !is_rm && !is_show && !is_list) {
        char near[HM_SUGGESTION];
        return hm_fail(err, HM_EUSAGE, "baseline %s: expected set, list, show or rm%s", word, hm_did_you_mean(near, word, words));
    }
    if ((is_rm || is_show) && given.count != 2)
        return hm_fail(err, HM_EUSAGE, "baseline %s: expected one name", word);
    if (is_list && given.count != 1)
        return hm_fail(err, HM_EUSAGE, "baseline list: takes no words");
    st = hm_store_open(&store, hm_store_path(db), is_set || is_rm ? HM_STORE_WRITE : HM_STORE_READ, err);
    if (!st)
        st = is_set    ? set(store, &given, err)
             : is_rm   ? hm_store_remove_baseline(store, given.items[1], err)
             : is_show ? show(store, given.items[1], err)
                       : list(store, err);
    hm_store_close(&store);
    return st;
}
