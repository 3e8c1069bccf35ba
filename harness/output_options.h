/* -o FORMAT and -O FORMAT:FILE of every command that prints figures. */
#ifndef HM_HARNESS_OUTPUT_OPTIONS_H
#define HM_HARNESS_OUTPUT_OPTIONS_H

#include "harness/options.h"
#include "reports/document.h"

typedef struct hm_output_options {
    const char *format; /* of standard output: md unless given */
    hm_strings files;   /* "json:figures.json" */
} hm_output_options;

extern const char *const hm_output_formats[]; /* md, csv, json, jsonl, sql, NULL */

/* Rows for the command's option table; `o` is an hm_output_options, its format set before ("md"). */
#define HM_OUTPUT_OPTIONS(o) \
    {"output", 'o', HM_OPT_STRING, &(o).format, "FORMAT", "of standard output", 0, 0, hm_output_formats}, HM_OUTPUT_FILE_OPTION(o)
#define HM_OUTPUT_FILE_OPTION(o)                                                                                             \
    {                                                                                                                        \
        "output-file", 'O', HM_OPT_LIST, &(o).files, "FMT:FILE", "the same into a file, as in json:figures.json", 0, 0, NULL \
    }

/* Formats known, files possible: asked before the work whose result they hold. command: for messages. HM_EUSAGE, HM_ECREATE. */
hm_status hm_output_options_check(const hm_output_options *options, const char *command, hm_error *err);

/* Standard output and every file, each file complete or not there at all. */
hm_status hm_output_write(const hm_output_options *options, const hm_document *document, hm_error *err);

/* The files alone, for commands whose standard output is another text. */
hm_status hm_output_write_files(const hm_output_options *options, const hm_document *document, hm_error *err);

#endif
