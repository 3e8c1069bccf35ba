#include "harness/output_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/map.h"
#include "harness/output_check.h"

const char *const hm_output_formats[] = {HM_SHEET_FORMAT_NAMES, NULL};

/* The format's place in the list; -1: unknown. */
static int find(const char *name, size_t length)
{
    for (int i = 0; hm_output_formats[i]; i++)
        if (strlen(hm_output_formats[i]) == length && !strncmp(hm_output_formats[i], name, length))
            return i;
    return -1;
}

/* "json:figures.json" */
static hm_status split(const char *text, const char *command, hm_sheet_format *format, const char **path, hm_error *err)
{
    const char *colon = strchr(text, ':');
    char name[16];
    if (!colon || !colon[1])
        return hm_fail(err, HM_EUSAGE, "%s: -O %s: expected FORMAT:FILE, as in json:figures.json", command, text);
    int found = find(text, (size_t)(colon - text));
    if (found < 0) {
        snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
        char near[HM_SUGGESTION];
        hm_did_you_mean(near, name, hm_output_formats);
        return hm_fail(err, HM_EUSAGE, "%s: -O %s: no format \"%s\"%s (md, csv, json, jsonl, sql)", command, text, name, near);
    }
    if (!strcmp(colon + 1, "-"))
        return hm_fail(err, HM_EUSAGE, "%s: -O %s: standard output has its own option: -o %s", command, text, hm_output_formats[found]);
    *format = (hm_sheet_format)found;
    *path = colon + 1;
    return HM_OK;
}

hm_status hm_output_options_check(const hm_output_options *o, const char *command, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < o->files.count && !st; i++) {
        hm_sheet_format format;
        const char *path;
        st = split(o->files.items[i], command, &format, &path, err);
        if (!st)
            st = hm_output_check(command, path, err);
    }
    return st;
}

static hm_status write_file(const hm_document *document, hm_sheet_format format, const char *path, hm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return hm_fail(err, HM_EABSENT, "%s: no memory for its text", path);
    hm_status st = hm_document_write(document, format, file, err);
    bool failed = ferror(file);
    if ((fclose(file) || failed) && !st)
        st = hm_fail(err, HM_EABSENT, "%s: no memory for its text", path);
    if (!st)
        st = hm_file_write(path, text, size, err);
    free(text);
    return st;
}

hm_status hm_output_write_files(const hm_output_options *o, const hm_document *document, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < o->files.count && !st; i++) {
        hm_sheet_format format;
        const char *path;
        st = split(o->files.items[i], "output", &format, &path, err);
        if (!st)
            st = write_file(document, format, path, err);
    }
    return st;
}

hm_status hm_output_write(const hm_output_options *o, const hm_document *document, hm_error *err)
{
    const char *name = o->format ? o->format : hm_output_formats[HM_SHEET_MARKDOWN];
    int format = find(name, strlen(name));
    if (format < 0)
        return hm_fail(err, HM_EBUG, "output: no format \"%s\"", name);
    hm_status st = hm_document_write(document, (hm_sheet_format)format, stdout, err); /* main looks whether it went well */
    return st ? st : hm_output_write_files(o, document, err);
}
