#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/inspect.h"

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : otherwise;
}

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void print_bytes(FILE *out, double bytes)
{
    if (bytes >= 1e9)
        fprintf(out, "%.2f GB", bytes * 1e-9);
    else if (bytes >= 1e6)
        fprintf(out, "%.1f MB", bytes * 1e-6);
    else
        fprintf(out, "%.0f bytes", bytes);
}

/* Text from a file, without what could steer a terminal. */
static void print_text(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text, out);
}

static void print_value(FILE *out, const json_t *value)
{
    if (json_is_real(value)) {
        fprintf(out, "%.10g", json_real_value(value));
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    fputs(text ? text : "?", out);
    free(text);
}

static void print_config(FILE *out, json_t *config)
{
    const char *key;
    json_t *value;
    int column = 0;
    json_object_foreach(config, key, value)
    {
        fputs(column == 0 ? "    config      " : column % 4 == 0 ? "\n                " : ", ", out);
        print_text(out, key);
        fputc(' ', out);
        print_value(out, value);
        column++;
    }
    if (column)
        fputc('\n', out);
}

/* Lines by title; lists are joined. */
static void print_facts(FILE *out, json_t *facts)
{
    const char *key;
    json_t *value, *item;
    size_t i;
    json_object_foreach(facts, key, value)
    {
        fprintf(out, "    %-12s", key);
        if (json_is_string(value))
            print_text(out, json_string_value(value));
        json_array_foreach(value, i, item)
        {
            fputs(i ? ", " : "", out);
            if (json_is_string(item))
                print_text(out, json_string_value(item));
            else
                print_value(out, item);
        }
        fputs(json_is_array(value) && !json_array_size(value) ? "none\n" : "\n", out);
    }
}

static void print_types(FILE *out, json_t *types)
{
    const char *key;
    json_t *value;
    const char *comma = "";
    json_object_foreach(types, key, value)
    {
        fputs(comma, out);
        print_text(out, key);
        fputc(' ', out);
        print_bytes(out, json_number_value(value));
        comma = ", ";
    }
}

static void print_part(FILE *out, const json_t *part)
{
    size_t i;
    json_t *row;
    const json_t *files = json_object_get(part, "files");
    fprintf(out, "\n%s: %s\n", text_of(part, "kind", "weights"), text_of(part, "path", "?"));
    if (json_object_get(part, "problem"))
        fprintf(out, "    NOT READ    %s\n", text_of(part, "problem", "?"));
    if (files) {
        fprintf(out, "    layout      %s, %zu file%s, %s\n", text_of(part, "layout", "?"), json_array_size(files),
                json_array_size(files) == 1 ? "" : "s", text_of(part, "dialect", "?"));
        fprintf(out, "    tensors     %.0f, %.0f parameters, ", number_of(part, "tensors"), number_of(part, "parameters"));
        print_bytes(out, number_of(part, "bytes"));
        fprintf(out, " (");
        print_types(out, json_object_get(part, "type_bytes"));
        fprintf(out, ")\n");
    }
    if (json_array_size(files) > 1)
        json_array_foreach(files, i, row)
        {
            fprintf(out, "    %-12s%s  ", i ? "" : "shards", text_of(row, "path", "?"));
            print_bytes(out, number_of(row, "bytes"));
            fputc('\n', out);
        }
    if (json_object_get(part, "facts"))
        print_facts(out, json_object_get(part, "facts"));
    else
        print_config(out, json_object_get(part, "config"));
    const json_t *carries = json_object_get(json_object_get(part, "metadata"), "carries");
    json_array_foreach(carries, i, row)
        fprintf(out, "    %-12s%s is inside the weights file\n", i ? "" : "metadata", json_string_value(row));
    json_array_foreach(json_object_get(part, "oddities"), i, row)
        fprintf(out, "    %-12s%s\n", i ? "" : "oddities", json_string_value(row));
}

/* Settings of a speech model or a Whisper: of its file, or built in. */
static void print_generation(FILE *out, json_t *settings)
{
    const char *key, *path = text_of(settings, "path", NULL), *space = " ";
    json_t *value;
    fputs("generation_config:", out);
    if (!path)
        fputs(" none; the built-in settings hold:", out);
    json_object_foreach(settings, key, value)
    {
        if (!strcmp(key, "path"))
            continue;
        fprintf(out, "%s%s ", space, key);
        print_value(out, value);
        space = ", ";
    }
    fputc('\n', out);
}

static void print_ids(FILE *out, json_t *gen_config)
{
    const char *key;
    json_t *value;
    if (!json_is_object(gen_config)) {
        fprintf(out, "gen_config: none; the defaults of HeartMuLa-oss-3B hold\n");
        return;
    }
    fprintf(out, "gen_config:");
    json_object_foreach(gen_config, key, value)
    {
        fprintf(out, " %s ", key);
        print_value(out, value);
    }
    fputc('\n', out);
}

hm_status hm_inspect_print(const json_t *report, FILE *out, hm_error *err)
{
    size_t i;
    const char *key;
    json_t *row;
    fprintf(out, "%s%s%s\n", text_of(report, "path", "?"), json_is_true(json_object_get(report, "synthetic")) ? ": synthetic weights" : "",
            json_is_true(json_object_get(report, "readable")) ? "" : ": NOT ALL OF IT CAN BE READ");
    json_array_foreach(json_object_get(report, "parts"), i, row) print_part(out, row);
    json_array_foreach(json_object_get(report, "foreign"), i, row)
        fprintf(out, "\n%s: %s, not read here: %s\n", text_of(row, "path", "?"), text_of(row, "dialect", "?"), text_of(row, "advice", "?"));
    json_array_foreach(json_object_get(report, "missing"), i, row) fprintf(out, "\nMISSING: %s\n", json_string_value(row));
    bool speech = !strcmp(text_of(report, "model", ""), "qwen3-tts");
    fprintf(out, "\ntokenizer: %s\n",
            text_of(report, "tokenizer", speech ? "no vocab.json" : "no tokenizer.json (it may be inside the weights file)"));
    if (speech || !strcmp(text_of(report, "model", ""), "whisper"))
        print_generation(out, json_object_get(report, "gen_config"));
    else
        print_ids(out, json_object_get(report, "gen_config"));
    if (json_object_get(report, "memory"))
        fprintf(out, "\nmemory needed\n");
    json_object_foreach(json_object_get(report, "memory"), key, row)
    {
        fprintf(out, "    %-24s", key);
        if (json_is_string(row))
            fputs(json_string_value(row), out);
        else if (json_is_number(row))
            print_bytes(out, json_number_value(row));
        else
            print_value(out, row);
        fputc('\n', out);
    }
    if (fflush(out) || ferror(out))
        return hm_fail(err, HM_EIO, "inspect: cannot write the report");
    return HM_OK;
}
