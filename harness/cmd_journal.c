#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/map.h"
#include "harness/commands.h"
#include "harness/output_check.h"
#include "harness/output_options.h"
#include "harness/progress.h"
#include "harness/store_query.h"
#include "harness/text_input.h"

typedef struct journal_args {
    const char *db, *path, *notes, *session, *since;
    hm_output_options output; /* its files alone: -o is the markdown file here */
} journal_args;

/* The journal as text; caller frees. */
static hm_status make_text(const hm_document *document, char **text, size_t *size, hm_error *err)
{
    FILE *file = open_memstream(text, size);
    if (!file)
        return hm_fail(err, HM_EABSENT, "journal: no memory for its text");
    hm_status st = hm_document_write(document, HM_SHEET_MARKDOWN, file, err);
    if (fclose(file) && !st)
        st = hm_fail(err, HM_EABSENT, "journal: no memory for its text");
    return st;
}

static hm_status read_notes(const char *path, hm_notes *notes, hm_error *err)
{
    char *text = NULL;
    hm_status st = hm_text_read(&text, path, "notes", err);
    if (!st)
        st = hm_notes_parse(notes, text, strlen(text), path, err);
    free(text);
    return st;
}

static hm_status deliver(const journal_args *a, const char *text, size_t size, hm_error *err)
{
    if (a->path && strcmp(a->path, "-"))
        return hm_file_write(a->path, text, size, err);
    fwrite(text, 1, size, stdout); /* main looks whether it went well */
    return HM_OK;
}

static hm_status write_journal(const journal_args *a, hm_error *err)
{
    hm_store *store = NULL;
    hm_journal_data *data = NULL;
    hm_document *document = NULL;
    hm_notes notes = {0};
    hm_journal_filter filter = {a->session, a->since};
    char *text = NULL;
    size_t size = 0;
    hm_status st = hm_store_open(&store, hm_store_path(a->db), HM_STORE_READ, err);
    if (!st)
        st = hm_store_get_journal(store, &filter, &data, err);
    if (!st && a->notes)
        st = read_notes(a->notes, &notes, err);
    if (!st) {
        document = hm_journal_document(hm_journal_data_journal(data), &notes);
        st = make_text(document, &text, &size, err);
    }
    if (!st)
        st = deliver(a, text, size, err);
    if (!st)
        st = hm_output_write_files(&a->output, document, err);
    if (!st && hm_notes_unused(&notes))
        hm_log_write(hm_log_stderr(false), HM_LOG_WARNING, "notes %s: \"## %s\" is no session or variant of this journal: left out",
                     a->notes, hm_notes_unused(&notes));
    free(text);
    hm_document_free(&document);
    hm_notes_free(&notes);
    hm_journal_data_free(&data);
    hm_store_close(&store);
    return st;
}

hm_status hm_cmd_journal(const hm_command *self, int argc, char **argv, hm_error *err)
{
    journal_args a = {0};
    bool helped = false;
    const hm_option options[] = {
        {"output", 'o', HM_OPT_STRING, &a.path, "FILE", "markdown file (standard output if not given)", 0, 0, NULL},
        {"output-file", 'O', HM_OPT_LIST, &a.output.files, "FMT:FILE",
         "the tables as data (md, csv, json, jsonl, sql), as in json:journal.json", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &a.session, "ID",
         "one session: its id, the first letters of it, or last; or KEY=VALUE: those with this tag", 0, 0, NULL},
        {"since", 0, HM_OPT_STRING, &a.since, "WHEN", "sessions from a UTC date (2006-01-02) or a session's id on", 0, 0, NULL},
        {"notes", 0, HM_OPT_STRING, &a.notes, "FILE", "markdown to weave in: a \"## KEY\" line per variant, session, or journal", 0, 0,
         NULL},
        {"db", 0, HM_OPT_STRING, &a.db, "FILE", "database", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (!st && !helped)
        st = hm_output_options_check(&a.output, "journal", err);
    if (!st && !helped && a.path && strcmp(a.path, "-"))
        st = hm_output_check("journal", a.path, err);
    return st || helped ? st : write_journal(&a, err);
}
