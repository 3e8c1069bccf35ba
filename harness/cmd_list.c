#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/probe.h"
#include "engine/synth.h"
#include "harness/commands.h"
#include "harness/env_profile.h"
#include "harness/gpu_drivers.h"
#include "harness/machine.h"
#include "harness/metrics.h"
#include "harness/model.h"
#include "harness/module.h"
#include "harness/output_options.h"
#include "harness/run_report.h"
#include "harness/settings.h"
#include "harness/table.h"
#include "suites/suite.h"
#include "variants/variants.h"

/* What is being listed goes to all of these that are not NULL. */
typedef struct sink {
    hm_table *table;
    json_t *json;
    hm_sheet *sheet;
    bool names; /* first column only, one per line */
} sink;

static void add_row(sink *out, const char *const *titles, const char *const *cells)
{
    if (out->names) {
        printf("%s\n", cells[0]);
    } else if (out->sheet) {
        for (int i = 0; titles[i]; i++)
            if (cells[i])
                hm_sheet_cell(out->sheet, "%s", cells[i]);
            else
                hm_sheet_none(out->sheet);
    } else if (out->json) {
        json_t *object = json_object();
        for (int i = 0; titles[i]; i++)
            json_object_set_new(object, titles[i] + (titles[i][0] == '>'), cells[i] ? json_string(cells[i]) : json_null());
        json_array_append_new(out->json, object);
    } else {
        hm_table_row(out->table, cells);
    }
}

static void models_text(unsigned bits, char *out, size_t size)
{
    static const struct {
        unsigned bit;
        const char *name;
    } models[] = {{HM_MODEL_HEARTMULA, "heartmula"}, {HM_MODEL_QWEN3_TTS, "qwen3-tts"}, {HM_MODEL_WHISPER, "whisper"}};
    size_t used = 0;
    *out = 0;
    for (size_t i = 0; i < sizeof models / sizeof *models && used < size; i++)
        if (bits & models[i].bit)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", models[i].name);
}

static hm_status fill_variants(sink *out, const char *const *titles, hm_error *err)
{
    (void)err;
    int count, toggle_count;
    const hm_variant_info *list = hm_variant_list(&count);
    const hm_toggle_info *toggles = hm_toggle_list(&toggle_count);
    for (int v = 0; v < count; v++) {
        char set[2048] = "", value[64];
        size_t used = 0;
        for (int t = 0; t < toggle_count && used < sizeof set; t++) {
            int i = hm_toggle_get(&list[v].toggles, &toggles[t]);
            if (!i)
                continue;
            hm_toggle_value_name(&toggles[t], i, value, sizeof value);
            used += (size_t)snprintf(set + used, sizeof set - used, "%s%s=%s", used ? " " : "", toggles[t].name, value);
        }
        add_row(out, titles, (const char *[]){list[v].name, list[v].text, used ? set : NULL});
    }
    add_row(out, titles, (const char *[]){"custom", "the runtime build: any set, as in custom:kv=prealloc,gqa=direct", NULL});
    return HM_OK;
}

static hm_status fill_toggles(sink *out, const char *const *titles, hm_error *err)
{
    (void)err;
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    for (int i = 0; i < count; i++) {
        char models[64];
        models_text(list[i].models, models, sizeof models);
        add_row(out, titles,
                (const char *[]){list[i].name, list[i].names, hm_toggle_kind_name(list[i].kind), models, list[i].counter, list[i].text});
    }
    return HM_OK;
}

static hm_status fill_models(sink *out, const char *const *titles, hm_error *err)
{
    (void)err;
    for (const hm_preset *p = hm_preset_list(); p->name; p++) {
        char path[HM_MODEL_PATH], size[32];
        bool made = !hm_model_cache_path(p->name, path, sizeof path, NULL) && !access(path, F_OK);
        snprintf(size, sizeof size, "%.1f", (double)hm_preset_bytes(p) * 1e-6);
        add_row(out, titles, (const char *[]){p->name, p->model, size, made ? "made" : "on first use", p->text});
    }
    return HM_OK;
}

/* Each device of a driver, or why there is none. */
static hm_status add_gpus(sink *out, const char *const *titles, const hm_gpu_driver *driver, hm_error *err)
{
    hm_error why = {0};
    int count = 0;
    hm_gpu_device *list = hm_calloc(HM_GPU_DEVICES, sizeof *list, "the list of devices", err);
    if (!list)
        return HM_EABSENT;
    if (driver->list(list, HM_GPU_DEVICES, &count, &why))
        add_row(out, titles, (const char *[]){driver->backend, NULL, NULL, NULL, NULL, NULL, "absent", why.text});
    for (int i = 0; i < count && i < HM_GPU_DEVICES; i++) {
        const hm_gpu_facts *f = &list[i].facts;
        char index[16], memory[32], api[24];
        snprintf(index, sizeof index, "%d", list[i].index);
        snprintf(memory, sizeof memory, "%.0f", (double)f->memory_bytes * 1e-6);
        snprintf(api, sizeof api, "%s %s", driver->backend, f->api);
        add_row(out, titles,
                (const char *[]){driver->backend, index, api, f->driver, f->memory_bytes ? memory : NULL, f->uuid,
                                 f->software     ? "software device"
                                 : !list[i].gpu  ? "no GPU"
                                 : f->integrated ? "integrated GPU"
                                                 : "GPU",
                                 f->name});
    }
    free(list);
    return HM_OK;
}

static hm_status fill_devices(sink *out, const char *const *titles, hm_error *err)
{
    hm_machine_record m;
    char memory[32], what[32];
    hm_machine_read(&m);
    snprintf(memory, sizeof memory, "%.0f", (double)m.memory_bytes * 1e-6);
    snprintf(what, sizeof what, "%d CPUs", m.cpus);
    add_row(out, titles, (const char *[]){"cpu", NULL, m.isa, NULL, memory, NULL, what, m.cpu_model});
    hm_status st = HM_OK;
    for (int i = 0; hm_gpu_drivers[i] && !st; i++)
        st = add_gpus(out, titles, hm_gpu_drivers[i], err);
    return st;
}

static hm_status fill_env_profiles(sink *out, const char *const *titles, hm_error *err)
{
    (void)err;
    for (int i = 0; hm_env_profiles[i]; i++) {
        const char *profile = hm_env_profiles[i];
        add_row(out, titles, (const char *[]){profile, NULL, NULL, hm_env_profile_text(profile), NULL});
        for (const hm_env_variable *v = hm_env_variables; v->name && !out->names; v++)
            if (!strcmp(v->profile, profile))
                add_row(out, titles, (const char *[]){profile, v->name, v->value, v->reader, v->source});
    }
    return HM_OK;
}

static hm_status fill_settings(sink *out, const char *const *titles, hm_error *err)
{
    (void)err;
    for (int i = 0; i < HM_SETTINGS; i++) {
        const hm_settings *s = &hm_settings_list[i];
        char cfg[24], topk[16], temperature[24], seconds[24];
        snprintf(cfg, sizeof cfg, "%g", s->cfg);
        snprintf(topk, sizeof topk, "%d", s->topk);
        snprintf(temperature, sizeof temperature, "%g", s->temperature);
        snprintf(seconds, sizeof seconds, "%g", s->seconds);
        add_row(out, titles, (const char *[]){s->name, cfg, topk, temperature, seconds, s->text});
    }
    return HM_OK;
}

static hm_status fill_metrics(sink *out, const char *const *titles, hm_error *err)
{
    (void)err;
    for (const hm_metric *m = hm_metrics; m->name; m++)
        add_row(out, titles, (const char *[]){m->name, m->unit, m->direction, m->meaning});
    for (int i = 0; i < HM_COUNTER_COUNT; i++) {
        const char *name = hm_counter_name(i);
        size_t n = strlen(name);
        add_row(out, titles,
                (const char *[]){name, n > 6 && !strcmp(name + n - 6, "_bytes") ? "bytes" : "count", "exact", hm_counter_text(i)});
    }
    return HM_OK;
}

typedef struct suite_rows {
    sink *out;
    const char *const *titles;
    hm_status status;
    hm_error *err;
} suite_rows;

/* Of what is made, or written down. */
static double seconds_of(const hm_suite_case *c)
{
    return c->recording ? c->audio_s : c->frames / HM_SUITE_FRAMES_PER_SECOND;
}

static void add_suite(void *self, const char *name)
{
    suite_rows *rows = self;
    hm_suite *suite = NULL;
    char cases[16], length[64];
    double least = 1e9, most = 0;
    if (rows->status)
        return;
    rows->status = hm_suite_open(&suite, name, rows->err);
    if (rows->status)
        return;
    for (int i = 0; i < suite->case_count; i++) {
        double s = seconds_of(&suite->cases[i]);
        least = s < least ? s : least;
        most = s > most ? s : most;
    }
    snprintf(cases, sizeof cases, "%d", suite->case_count);
    if (least < most)
        snprintf(length, sizeof length, "%.4g-%.4g", least, most);
    else
        snprintf(length, sizeof length, "%.4g", most);
    add_row(rows->out, rows->titles, (const char *[]){suite->name, cases, length, suite->description});
    hm_suite_close(&suite);
}

static hm_status fill_suites(sink *out, const char *const *titles, hm_error *err)
{
    suite_rows rows = {out, titles, HM_OK, err};
    hm_status st = hm_suite_each_name(add_suite, &rows, err);
    return st ? st : rows.status;
}

static void add_cases(void *self, const char *name)
{
    suite_rows *rows = self;
    hm_suite *suite = NULL;
    if (rows->status)
        return;
    rows->status = hm_suite_open(&suite, name, rows->err);
    for (int i = 0; !rows->status && i < suite->case_count; i++) {
        const hm_suite_case *c = &suite->cases[i];
        char label[256], frames[16], seconds[16];
        snprintf(label, sizeof label, "%s/%s", suite->name, c->name);
        snprintf(frames, sizeof frames, "%d", c->frames);
        snprintf(seconds, sizeof seconds, "%.4g", seconds_of(c));
        add_row(rows->out, rows->titles, (const char *[]){label, c->task, frames, seconds});
    }
    hm_suite_close(&suite);
}

static hm_status fill_cases(sink *out, const char *const *titles, hm_error *err)
{
    suite_rows rows = {out, titles, HM_OK, err};
    hm_status st = hm_suite_each_name(add_cases, &rows, err);
    return st ? st : rows.status;
}

static const struct listing {
    const char *name;
    const char *titles[10];
    hm_status (*fill)(sink *out, const char *const *titles, hm_error *err);
    const char *hint; /* under the table */
} listings[] = {
    {"suites",
     {"name", ">cases", ">seconds", "what it is", NULL},
     fill_suites,
     "hmbench suite NAME runs one; a path to a YAML file is a suite too."},
    {"cases",
     {"name", "task", ">frames", ">seconds", NULL},
     fill_cases,
     "hmbench profile CASE and hmbench suite NAME --filter REGEX take them."},
    {"variants",
     {"name", "what it is", "toggles that are not 0", NULL},
     fill_variants,
     "best:attn=scores changes one toggle of best; naive,best names two arms."},
    {"toggles",
     {"name", "values", "kind", "models", "counter", "what the values do", NULL},
     fill_toggles,
     "The first value is the plain textbook way. kind: bitwise, rounding (another order of sums), approx (other numbers)."},
    {"models",
     {"name", "model", ">MB", "state", "what it is", NULL},
     fill_models,
     "Presets have made weights: right in structure, speed and memory, not in sound. --model also takes a folder of real weights."},
    {"devices",
     {"backend", ">index", "interface", "driver", ">MB", "uuid", "kind", "device", NULL},
     fill_devices,
     "--backend ze or cuda, --device INDEX (or UUID) computes there. What a software device takes says nothing about hardware and is not ranked."},
    {"env-profiles",
     {"name", "variable", "value", "read by", "source", NULL},
     fill_env_profiles,
     "suite --env-profile NAME sets them for worker processes. The engine itself reads no environment."},
    {"settings",
     {"name", ">cfg", ">topk", ">temperature", ">seconds", "what it is", NULL},
     fill_settings,
     "--settings NAME of generate, speak and suite; explicit options win."},
    {"metrics",
     {"name", "unit", "better", "meaning", NULL},
     fill_metrics,
     "exact: counts and hashes, compared for equality; they do not depend on time."},
};

#define LISTINGS ((int)(sizeof listings / sizeof *listings))

static const struct listing *find_listing(const char *name, hm_error *err)
{
    const char *names[LISTINGS + 1] = {0};
    char near[HM_SUGGESTION];
    for (int i = 0; i < LISTINGS; i++) {
        if (!strcmp(listings[i].name, name))
            return &listings[i];
        names[i] = listings[i].name;
    }
    hm_fail(err, HM_EUSAGE, "list: there is no list of \"%s\"%s (hmbench list --help)", name, hm_did_you_mean(near, name, names));
    return NULL;
}

static hm_status print_table(const struct listing *l, hm_error *err)
{
    sink out = {.table = hm_table_new(l->titles)};
    hm_status st = l->fill(&out, l->titles, err);
    hm_status printed = hm_table_end(out.table, stdout, hm_terminal_width(), st ? NULL : err);
    if (!st && !fflush(stdout) && l->hint) /* the hint comes after it, on a terminal */
        fprintf(stderr, "\n%s\n", l->hint);
    return st ? st : printed;
}

/* As a document: for -o and -O. */
static hm_status write_document(const struct listing *l, const hm_output_options *output, hm_error *err)
{
    sink out = {.sheet = hm_sheet_new(l->titles)};
    hm_document *d = hm_document_new("list");
    hm_status st = out.sheet && d ? l->fill(&out, l->titles, err) : hm_fail(err, HM_EABSENT, "list: no memory");
    hm_document_sheet(d, l->name, out.sheet);
    if (!st && output->format)
        st = hm_output_write(output, d, err);
    else if (!st)
        st = hm_output_write_files(output, d, err);
    hm_document_free(&d);
    return st;
}

hm_status hm_cmd_list(const hm_command *self, int argc, char **argv, hm_error *err)
{
    bool json = false, names = false, helped;
    hm_strings what = {0};
    hm_output_options output = {0};
    const hm_option options[] = {
        HM_OUTPUT_OPTIONS(output),
        {"json", 0, HM_OPT_FLAG, &json, NULL, "one JSON array instead of a table", 0, 0, NULL},
        {"names", 0, HM_OPT_FLAG, &names, NULL, "names only, one per line", 0, 0, NULL},
        {0},
    };
    const struct listing *l;
    hm_status st = hm_options_parse(self, options, argc, argv, &what, 1, &helped, err);
    if (st || helped)
        return st;
    if (!what.count)
        return hm_fail(err, HM_EUSAGE, "list: what? (%s; hmbench list --help)", self->usage);
    l = find_listing(what.items[0], err);
    if (!l)
        return HM_EUSAGE;
    st = hm_output_options_check(&output, "list", err);
    if (!st && (output.format || output.files.count))
        st = write_document(l, &output, err);
    if (st || output.format)
        return st;
    if (!json && !names)
        return print_table(l, err);
    sink out = {.json = json ? json_array() : NULL, .names = !json};
    st = l->fill(&out, l->titles, err);
    if (st) {
        json_decref(out.json);
        return st;
    }
    return json ? hm_json_print(out.json, err) : HM_OK;
}
