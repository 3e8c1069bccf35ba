#define _GNU_SOURCE /* memmem */
#include "suites/suite.h"

#include <cyaml/cyaml.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"

enum { MAX_BYTES = 4 << 20, MAX_CASES = 1000, MAX_FRAMES = 45000 /* one hour */ };

/* As in the file. Optional numbers are pointers: NULL when left out. */
typedef struct yaml_styles {
    char *intro, *verse, *chorus;
} yaml_styles;

typedef struct yaml_case {
    char *name, *description, *task, *tags, *lyrics;
    yaml_styles *styles;
    double *seconds, *cfg, *temperature, *flow_guidance;
    int64_t *frames, *topk, *flow_steps;
    uint64_t *seed;
} yaml_case;

typedef struct yaml_suite {
    char *suite, *description;
    yaml_case *cases;
    uint64_t cases_count;
} yaml_suite;

#define TEXT(key, type, member, flags) CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 0, CYAML_UNLIMITED)
#define OPTIONAL CYAML_FLAG_OPTIONAL

static const cyaml_schema_field_t style_fields[] = {TEXT("intro", yaml_styles, intro, OPTIONAL),
                                                    TEXT("verse", yaml_styles, verse, OPTIONAL),
                                                    TEXT("chorus", yaml_styles, chorus, OPTIONAL), CYAML_FIELD_END};

static const cyaml_schema_field_t case_fields[] = {
    TEXT("name", yaml_case, name, 0),
    TEXT("description", yaml_case, description, OPTIONAL),
    TEXT("task", yaml_case, task, OPTIONAL),
    TEXT("tags", yaml_case, tags, 0),
    TEXT("lyrics", yaml_case, lyrics, 0),
    CYAML_FIELD_MAPPING_PTR("styles", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, styles, style_fields),
    CYAML_FIELD_FLOAT_PTR("seconds", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, seconds),
    CYAML_FIELD_INT_PTR("frames", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, frames),
    CYAML_FIELD_UINT_PTR("seed", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, seed),
    CYAML_FIELD_FLOAT_PTR("cfg", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, cfg),
    CYAML_FIELD_INT_PTR("topk", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, topk),
    CYAML_FIELD_FLOAT_PTR("temperature", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, temperature),
    CYAML_FIELD_INT_PTR("flow_steps", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, flow_steps),
    CYAML_FIELD_FLOAT_PTR("flow_guidance", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, flow_guidance),
    CYAML_FIELD_END};

static const cyaml_schema_value_t case_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, yaml_case, case_fields)};

static const cyaml_schema_field_t suite_fields[] = {
    TEXT("suite", yaml_suite, suite, 0), TEXT("description", yaml_suite, description, OPTIONAL),
    CYAML_FIELD_SEQUENCE_COUNT("cases", CYAML_FLAG_POINTER, yaml_suite, cases, cases_count, &case_schema, 1, MAX_CASES), CYAML_FIELD_END};

static const cyaml_schema_value_t suite_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, yaml_suite, suite_fields)};

/* The parser's own account of a failure: its first sentence, and the innermost place of the backtrace. */
typedef struct complaint {
    char text[200];
    int line, column; /* 0: not known */
} complaint;

static void listen(cyaml_log_t level, void *self, const char *format, va_list args)
{
    complaint *c = self;
    char line[300];
    (void)level;
    vsnprintf(line, sizeof line, format, args);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            *p = p[1] ? ' ' : 0;
    const char *text = strncmp(line, "Load: ", 6) ? line : line + 6;
    const char *place = strstr(text, "(line: ");
    int row, column;
    if (!c->text[0])
        snprintf(c->text, sizeof c->text, "%.180s", text);
    if (place && !c->line && sscanf(place, "(line: %d, column: %d)", &row, &column) == 2) {
        c->line = row;
        c->column = column;
    }
}

/* For a key it does not know the parser names the place before it: moves the place to the key itself. */
static void find_key(complaint *c, const char *data, size_t size)
{
    static const char start[] = "Unexpected key: ";
    const char *key = c->text + sizeof start - 1, *end = data + size;
    size_t length = strlen(c->text);
    int line = 1;
    if (strncmp(c->text, start, sizeof start - 1) || length == sizeof start - 1)
        return;
    length -= sizeof start - 1;
    for (const char *p = data, *next; p < end; p = next, line++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        next = newline ? newline + 1 : end;
        const char *at = line >= c->line ? memmem(p, (size_t)(next - p), key, length) : NULL;
        if (at && (line > c->line || at - p + 1 >= c->column)) {
            c->line = line;
            c->column = (int)(at - p) + 1;
            return;
        }
    }
}

static hm_status malformed(complaint *c, const char *what, const char *path, const void *data, size_t size, hm_error *err)
{
    char place[64] = "";
    find_key(c, data, size);
    if (c->line)
        snprintf(place, sizeof place, ", line %d, column %d", c->line, c->column);
    return hm_fail(err, HM_EFORMAT, "suite %s%s: %s%s%s; docs/suites.md has the format", path, place, what, c->text[0] ? ": " : "",
                   c->text);
}

static hm_status bad(const hm_suite *suite, const char *name, hm_error *err, const char *what)
{
    return hm_fail(err, HM_EFORMAT, "suite %s: case \"%.60s\": %s", suite->path, name, what);
}

/* Letters, digits, '-', '_' and '.': names are parts of file names and of command lines. */
static bool name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return n > 0 && n <= 60 && !name[n] && name[0] != '.' && name[0] != '-';
}

static bool blank(const char *text)
{
    return !text[strspn(text, " \t\r\n")];
}

/* Moves a text out of the parsed file; an empty one when it was left out. */
static char *take(char **from)
{
    char *text = *from;
    *from = NULL;
    return text ? text : calloc(1, 1);
}

static hm_status take_length(const hm_suite *suite, const yaml_case *y, hm_suite_case *c, hm_error *err)
{
    if (!y->seconds == !y->frames)
        return bad(suite, y->name, err, "needs its length as one of \"seconds\" and \"frames\"");
    if (y->frames && (*y->frames < 1 || *y->frames > MAX_FRAMES))
        return bad(suite, y->name, err, "frames: expected 1 to 45000");
    if (y->seconds && !(*y->seconds >= 0.08 && *y->seconds <= 3600))
        return bad(suite, y->name, err, "seconds: expected 0.08 to 3600");
    c->frames = y->frames ? (int)*y->frames : (int)lrint(*y->seconds * HM_SUITE_FRAMES_PER_SECOND);
    return HM_OK;
}

static hm_status take_numbers(const hm_suite *suite, const yaml_case *y, hm_suite_case *c, hm_error *err)
{
    c->seed = y->seed ? *y->seed : 1;
    c->cfg_scale = y->cfg ? *y->cfg : 1.5;
    c->temperature = y->temperature ? *y->temperature : 1;
    c->flow_guidance = y->flow_guidance ? *y->flow_guidance : 1.25;
    if (!(c->cfg_scale >= 0 && c->cfg_scale <= 100))
        return bad(suite, y->name, err, "cfg: expected 0 to 100");
    if (!(c->temperature > 0 && c->temperature <= 100))
        return bad(suite, y->name, err, "temperature: expected more than 0, at most 100");
    if (!(c->flow_guidance >= 0 && c->flow_guidance <= 100))
        return bad(suite, y->name, err, "flow_guidance: expected 0 to 100");
    if (y->topk && (*y->topk < 1 || *y->topk > 1 << 20))
        return bad(suite, y->name, err, "topk: expected 1 to 1048576");
    if (y->flow_steps && (*y->flow_steps < 0 || *y->flow_steps > 100))
        return bad(suite, y->name, err, "flow_steps: expected 0 (as the variant says) to 100");
    c->topk = y->topk ? (int)*y->topk : 50;
    c->flow_steps = y->flow_steps ? (int)*y->flow_steps : 0;
    return HM_OK;
}

static hm_status take_case(const hm_suite *suite, yaml_case *y, hm_suite_case *c, hm_error *err)
{
    if (!y->name || !name_ok(y->name))
        return bad(suite, y->name ? y->name : "", err, "name: expected 1 to 60 letters, digits, - _ .");
    for (int i = 0; i < suite->case_count; i++)
        if (!strcmp(suite->cases[i].name, y->name))
            return bad(suite, y->name, err, "two cases have this name");
    if (!y->tags || blank(y->tags))
        return bad(suite, y->name, err, "tags: empty; describe the music in a few words");
    if (!y->lyrics || blank(y->lyrics))
        return bad(suite, y->name, err, "lyrics: empty");
    if (y->task && strcmp(y->task, "music"))
        return bad(suite, y->name, err, "task: expected music");
    hm_status st = take_length(suite, y, c, err);
    if (!st)
        st = take_numbers(suite, y, c, err);
    if (st)
        return st;
    if (y->styles) {
        c->intro_style = y->styles->intro ? take(&y->styles->intro) : NULL;
        c->verse_style = y->styles->verse ? take(&y->styles->verse) : NULL;
        c->chorus_style = y->styles->chorus ? take(&y->styles->chorus) : NULL;
    }
    c->name = take(&y->name);
    c->description = take(&y->description);
    c->tags = take(&y->tags);
    c->lyrics = take(&y->lyrics);
    c->task = strdup("music");
    return c->description && c->task ? HM_OK : hm_fail(err, HM_EABSENT, "suite %s: out of memory", suite->path);
}

static hm_status take_suite(hm_suite *suite, yaml_suite *y, hm_error *err)
{
    if (!y->suite || !name_ok(y->suite))
        return hm_fail(err, HM_EFORMAT, "suite %s: suite: expected a name of 1 to 60 letters, digits, - _ .", suite->path);
    suite->cases = hm_calloc(y->cases_count, sizeof *suite->cases, "cases of a suite", err);
    if (!suite->cases)
        return HM_EABSENT;
    for (uint64_t i = 0; i < y->cases_count; i++) {
        hm_suite_case c = {0};
        hm_status st = take_case(suite, &y->cases[i], &c, err);
        if (st)
            return st;
        suite->cases[suite->case_count++] = c;
    }
    suite->name = take(&y->suite);
    suite->description = take(&y->description);
    return suite->description ? HM_OK : hm_fail(err, HM_EABSENT, "suite %s: out of memory", suite->path);
}

hm_status hm_suite_parse(hm_suite **out, const void *data, size_t size, const char *path, hm_error *err)
{
    complaint c = {0};
    yaml_suite *parsed = NULL;
    cyaml_config_t config = {
        .log_fn = listen, .log_ctx = &c, .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem, .flags = CYAML_CFG_NO_ALIAS};
    hm_suite *suite = hm_calloc(1, sizeof *suite, "suite", err);
    hm_status st = HM_OK;
    if (!suite)
        return HM_EABSENT;
    suite->path = strdup(path);
    if (!suite->path)
        st = hm_fail(err, HM_EABSENT, "suite %s: out of memory", path);
    else if (!size)
        st = hm_fail(err, HM_EFORMAT, "suite %s: is empty", path);
    else if (size > MAX_BYTES)
        st = hm_fail(err, HM_EFORMAT, "suite %s: has %zu bytes, at most %d are read", path, size, MAX_BYTES);
    if (!st) {
        hm_hash_text(suite->hash, data, size);
        cyaml_err_t code = cyaml_load_data(data, size, &config, &suite_schema, (void **)&parsed, NULL);
        if (code || !parsed)
            st = malformed(&c, code ? cyaml_strerror(code) : "nothing in it", path, data, size, err);
        else
            st = take_suite(suite, parsed, err);
        cyaml_free(&config, &suite_schema, parsed, 0);
    }
    if (st) {
        hm_suite_close(&suite);
        return st;
    }
    *out = suite;
    return HM_OK;
}

void hm_suite_close(hm_suite **suite)
{
    hm_suite *s = *suite;
    if (!s)
        return;
    for (int i = 0; i < s->case_count; i++) {
        hm_suite_case *c = &s->cases[i];
        char *texts[] = {c->name, c->description, c->task, c->tags, c->lyrics, c->intro_style, c->verse_style, c->chorus_style};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            free(texts[k]);
    }
    free(s->cases);
    free(s->name);
    free(s->description);
    free(s->path);
    free(s);
    *suite = NULL;
}

bool hm_suite_folder(int i, char *out, size_t size)
{
    const char *set = getenv("HMBENCH_SUITES");
    if (set && *set && i-- == 0) {
        snprintf(out, size, "%s", set);
        return true;
    }
    if (i == 0) {
        char program[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
        program[n > 0 ? n : 0] = 0;
        char *slash = strrchr(program, '/');
        snprintf(out, size, "%.*s/../share/hmbench/suites", slash ? (int)(slash - program) : 1, slash ? program : ".");
        return true;
    }
    if (i == 1)
        snprintf(out, size, "%s", HM_SUITES_SOURCE);
    return i == 1;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct names {
    char *items[512];
    size_t count;
} names;

static void collect_names(names *all)
{
    char folder[PATH_MAX];
    for (int i = 0; hm_suite_folder(i, folder, sizeof folder); i++) {
        DIR *dir = opendir(folder);
        for (struct dirent *e; dir && (e = readdir(dir));) {
            size_t n = strlen(e->d_name);
            if (n > 5 && !strcmp(e->d_name + n - 5, ".yaml") && all->count < sizeof all->items / sizeof *all->items) {
                char *name = strndup(e->d_name, n - 5);
                if (name)
                    all->items[all->count++] = name;
            }
        }
        if (dir)
            closedir(dir);
    }
    qsort(all->items, all->count, sizeof *all->items, by_text);
}

static void free_names(names *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->items[i]);
}

hm_status hm_suite_each_name(void (*each)(void *self, const char *name), void *self, hm_error *err)
{
    names all = {.count = 0};
    collect_names(&all);
    for (size_t i = 0; i < all.count; i++)
        if (i == 0 || strcmp(all.items[i - 1], all.items[i]))
            each(self, all.items[i]);
    bool none = !all.count;
    free_names(&all);
    return none ? hm_fail(err, HM_EMISSING, "suites: none found; set HMBENCH_SUITES to the folder that has short.yaml") : HM_OK;
}

static hm_status unknown(const char *name, hm_error *err)
{
    char text[300] = "";
    names all = {.count = 0};
    collect_names(&all);
    for (size_t i = 0; i < all.count; i++) {
        size_t used = strlen(text);
        if (i == 0 || strcmp(all.items[i - 1], all.items[i]))
            snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", all.items[i]);
    }
    free_names(&all);
    return hm_fail(err, HM_EMISSING, "suite \"%.80s\": unknown; there are %s; or give the path of a .yaml file", name,
                   text[0] ? text : "none");
}

hm_status hm_suite_open(hm_suite **out, const char *name, hm_error *err)
{
    char path[PATH_MAX], folder[PATH_MAX - 128];
    size_t n = strlen(name);
    bool is_path = strchr(name, '/') || (n > 5 && !strcmp(name + n - 5, ".yaml")) || (n > 4 && !strcmp(name + n - 4, ".yml"));
    bool found = is_path;
    if (is_path) {
        if ((size_t)snprintf(path, sizeof path, "%s", name) >= sizeof path)
            return hm_fail(err, HM_EMISSING, "suite: the path has %zu bytes, too many", n);
    } else if (n < 100) {
        for (int i = 0; !found && hm_suite_folder(i, folder, sizeof folder); i++) {
            snprintf(path, sizeof path, "%s/%s.yaml", folder, name);
            found = !access(path, R_OK);
        }
    }
    if (!found)
        return unknown(name, err);
    hm_map map;
    hm_status st = hm_map_read(&map, path, MAX_BYTES, err);
    if (st)
        return hm_fail_within(err, "suite");
    st = hm_suite_parse(out, map.data, map.size, path, err);
    hm_map_close(&map);
    return st;
}
