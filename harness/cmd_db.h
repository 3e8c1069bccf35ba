/* What `hmbench db` can do: cmd_db.c asks, cmd_db_data.c moves, checks and removes. */
#ifndef HM_HARNESS_CMD_DB_H
#define HM_HARNESS_CMD_DB_H

#include "harness/commands.h"
#include "harness/store.h"

#define HM_DB_OPTION(value)                                                                                       \
    {                                                                                                             \
        "db", 0, HM_OPT_STRING, &value, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL \
    }

/* The answer to a statement, on stdout. format: table, json, jsonl, csv. */
hm_status hm_db_ask(hm_store *store, const char *statement, const char *format, hm_error *err);

hm_status hm_db_check(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_db_export(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_db_import(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_db_merge(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_db_prune(const hm_command *self, int argc, char **argv, hm_error *err);

#endif
