#define _GNU_SOURCE
#include "engine/inspect.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/json.h"
#include "engine/checkpoint.h"
#include "engine/dialect.h"
#include "engine/inspect_impl.h"
#include "engine/preset.h"
#include "engine/shapes.h"

enum {
    EXAMPLES = 3
}; /* names told per kind of oddity */

/* Names gathered under one oddity: how many, and the first few. */
typedef struct tally {
    int count;
    const char *names[EXAMPLES];
} tally;

static void tally_add(tally *t, const char *name)
{
    if (t->count < EXAMPLES)
        t->names[t->count] = name;
    t->count++;
}

/* A JSON string of any bytes: control characters, and where it is not UTF-8 (a path may be anything) all beyond ASCII, become '?'. */
static json_t *json_text(const char *bytes)
{
    char text[PATH_MAX + 512];
    snprintf(text, sizeof text, "%s", bytes);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = '?';
    json_t *json = json_string(text);
    for (char *c = text; !json && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json ? json : json_string(text);
}

static void oddity(json_t *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void oddity(json_t *list, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    json_array_append_new(list, json_text(text));
}

static void tally_tell(json_t *list, const tally *t, const char *what)
{
    char names[300] = "";
    size_t used = 0;
    if (!t->count)
        return;
    for (int i = 0; i < t->count && i < EXAMPLES && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.80s", i ? ", " : "", t->names[i]);
    oddity(list, "%d %s: %s%s", t->count, what, names, t->count > EXAMPLES ? " ..." : "");
}

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && !strcmp(text + n - m, tail);
}

/* The tensor of a row: by its name, or by the old weight-norm name. */
static const hm_tensor *tensor_of_row(const hm_weights *w, const hm_tensor_row *r, bool *old_name)
{
    static const char *const now[] = {".parametrizations.weight.original0", ".parametrizations.weight.original1"};
    static const char *const old[] = {".weight_g", ".weight_v"};
    const hm_tensor *t = hm_weights_peek(w, r->name);
    char name[sizeof r->name + 16];
    for (int i = 0; i < 2 && !t; i++) {
        if (!ends_with(r->name, now[i]))
            continue;
        snprintf(name, sizeof name, "%.*s%s", (int)(strlen(r->name) - strlen(now[i])), r->name, old[i]);
        t = hm_weights_peek(w, name);
        *old_name = t != NULL;
    }
    return t;
}

static bool same_shape(const hm_tensor *t, const hm_tensor_row *r)
{
    if (t->rank != r->rank)
        return false;
    for (int i = 0; i < r->rank; i++)
        if (t->shape[i] != r->shape[i])
            return false;
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Tensors that no row of the table names. */
static void tell_unknown(json_t *odd, const hm_weights *w, const char **known, int known_count)
{
    tally unknown = {0};
    qsort(known, (size_t)known_count, sizeof *known, by_text);
    for (int i = 0; i < hm_weights_count(w); i++) {
        const char *name = hm_weights_at(w, i)->name;
        if (!bsearch(&name, known, (size_t)known_count, sizeof *known, by_text))
            tally_add(&unknown, name);
    }
    tally_tell(odd, &unknown, "tensors that the model does not have");
}

static hm_status compare_table(json_t *odd, const hm_weights *w, const hm_tensor_table *table, hm_part_kind kind, hm_error *err)
{
    tally missing = {0}, unused = {0}, shapes = {0}, initted = {0}, old = {0};
    const char **known = hm_calloc((size_t)table->count + 1, sizeof *known, "inspect", err);
    int known_count = 0;
    if (!known)
        return HM_EABSENT;
    for (int i = 0; i < table->count; i++) {
        const hm_tensor_row *r = &table->rows[i];
        bool old_name = false;
        const hm_tensor *t = tensor_of_row(w, r, &old_name);
        if (!t) {
            tally_add(r->unused ? &unused : &missing, r->name);
            continue;
        }
        known[known_count++] = t->name;
        if (old_name)
            tally_add(&old, t->name);
        if (ends_with(r->name, ".initted") && t->rank != 0)
            tally_add(&initted, t->name);
        else if (!r->unused && !same_shape(t, r))
            tally_add(&shapes, t->name);
    }
    tally_tell(odd, &missing, "tensors are missing");
    tally_tell(odd, &shapes, "tensors have another shape than the config says");
    tally_tell(odd, &unused, "tensors are left out that nothing reads");
    tally_tell(odd, &initted, "`initted` flags have shape [1], as released files do; ignored");
    tally_tell(odd, &old, "weight-norm tensors have their old names (weight_g, weight_v); read as they are");
    if (kind == HM_PART_TRANSCRIBER && hm_weights_peek(w, "proj_out.weight"))
        known[known_count++] = "proj_out.weight"; /* tied, and in no table; read where it is there */
    tell_unknown(odd, w, known, known_count);
    free(known);
    return HM_OK;
}

static bool knows_key(hm_part_kind kind, const char *key)
{
    switch (kind) {
    case HM_PART_LM:
        return hm_lm_shape_knows(key);
    case HM_PART_CODEC:
        return hm_codec_shape_knows(key);
    case HM_PART_TALKER:
        return hm_talker_shape_knows(key);
    case HM_PART_TRANSCRIBER:
        return hm_whisper_shape_knows(key);
    default:
        return hm_speech_codec_shape_knows(key);
    }
}

/* Sizes that the config tells, told in *facts where there are words for them, and the tensors that follow. */
static hm_status read_config(hm_tensor_table *table, json_t **facts, const json_t *config, hm_part_kind kind, hm_error *err)
{
    hm_lm_shape lm;
    hm_codec_shape codec;
    hm_talker_shape talker;
    hm_speech_codec_shape speech;
    hm_whisper_shape whisper;
    hm_status st;
    switch (kind) {
    case HM_PART_LM:
        st = hm_lm_shape_read(&lm, config, "config", err);
        return st ? st : hm_lm_table(table, &lm, err);
    case HM_PART_CODEC:
        st = hm_codec_shape_read(&codec, config, "config", err);
        return st ? st : hm_codec_table(table, &codec, err);
    case HM_PART_TALKER:
        st = hm_talker_shape_read(&talker, config, "config", err);
        *facts = st ? NULL : hm_inspect_talker_facts(&talker);
        return st ? st : hm_talker_table(table, &talker, err);
    case HM_PART_TRANSCRIBER:
        st = hm_whisper_shape_read(&whisper, config, "config", err);
        *facts = st ? NULL : hm_inspect_whisper_facts(&whisper);
        return st ? st : hm_whisper_table(table, &whisper, HM_F16, err); /* names and shapes */
    default:
        st = hm_speech_codec_shape_read(&speech, config, "config", err);
        *facts = st ? NULL : hm_inspect_speech_codec_facts(&speech);
        return st ? st : hm_speech_codec_table(table, &speech, err);
    }
}

/* Config against weights: sizes, expected tensors, unknown keys. */
static hm_status compare_config(json_t *part, json_t *odd, const hm_weights *w, hm_part_kind kind, hm_error *err)
{
    const json_t *config = hm_weights_config(w);
    tally keys = {0};
    const char *key;
    json_t *value, *facts = NULL;
    hm_tensor_table table = {0};
    hm_error why = {0};
    if (!config) {
        oddity(odd, "no config.json, neither beside the weights nor in their metadata");
        return HM_OK;
    }
    json_object_foreach((json_t *)config, key, value) if (!knows_key(kind, key)) tally_add(&keys, key);
    tally_tell(odd, &keys, "config keys have no meaning here");
    hm_status st = read_config(&table, &facts, config, kind, &why);
    if (facts)
        json_object_set_new(part, "facts", facts);
    if (st) {
        oddity(odd, "%s", why.text);
        return HM_OK;
    }
    st = compare_table(odd, w, &table, kind, err);
    hm_tensor_table_close(&table);
    return st;
}

static void add_count(json_t *object, const char *key, uint64_t by)
{
    json_object_set_new(object, key, json_integer(json_integer_value(json_object_get(object, key)) + (json_int_t)by));
}

static void tell_tensors(json_t *part, const hm_weights *w)
{
    json_t *types = json_object();
    uint64_t parameters = 0, bytes = 0;
    for (int i = 0; i < hm_weights_count(w); i++) {
        const hm_tensor *t = hm_weights_at(w, i);
        size_t size = t->type < HM_DTYPE_COUNT ? hm_dtype_bytes(t->type) : 1;
        bytes += t->bytes;
        if (t->type != HM_BOOL)
            parameters += t->bytes / size;
        add_count(types, hm_weights_type_name(w, i), t->bytes);
    }
    json_object_set_new(part, "tensors", json_integer(hm_weights_count(w)));
    json_object_set_new(part, "parameters", json_integer((json_int_t)parameters));
    json_object_set_new(part, "bytes", json_integer((json_int_t)bytes));
    json_object_set_new(part, "type_bytes", types);
}

/* Files in the order of their names. */
static void tell_files(json_t *part, const hm_weights *w)
{
    json_t *files = json_array();
    int count = hm_weights_file_count(w);
    const char *last = "";
    for (int i = 0; i < count; i++) {
        uint64_t bytes, next_bytes = 0;
        const char *path = NULL;
        for (int k = 0; k < count; k++) {
            const char *at = hm_weights_file(w, k, &bytes);
            if (strcmp(at, last) > 0 && (!path || strcmp(at, path) < 0)) {
                path = at;
                next_bytes = bytes;
            }
        }
        if (!path)
            break;
        last = path;
        json_array_append_new(files, json_pack("{so sI}", "path", json_text(path), "bytes", (json_int_t)next_bytes));
    }
    bool merged = hm_weights_metadata(w, "config") || hm_weights_metadata(w, "config.json");
    json_object_set_new(part, "layout", json_string(count > 1 ? "shards" : merged ? "one merged file, its config inside" : "one file"));
    json_object_set_new(part, "files", files);
}

static void tell_metadata(json_t *part, const hm_weights *w)
{
    static const char *const keys[] = {"format", HM_PRESET_METADATA};
    static const char *const carried[] = {"config", "config.json", "tokenizer", "tokenizer.json", "gen_config", "gen_config.json"};
    json_t *metadata = json_object(), *inside = json_array();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (hm_weights_metadata(w, keys[i]))
            json_object_set_new(metadata, keys[i], json_text(hm_weights_metadata(w, keys[i])));
    for (size_t i = 0; i < sizeof carried / sizeof *carried; i++)
        if (hm_weights_metadata(w, carried[i]))
            json_array_append_new(inside, json_string(carried[i]));
    json_object_set_new(metadata, "carries", inside);
    json_object_set_new(part, "metadata", metadata);
}

/* Tensors of types that nothing here computes with. */
static void tell_types(json_t *odd, const hm_weights *w)
{
    tally unusable = {0};
    for (int i = 0; i < hm_weights_count(w); i++)
        if (hm_weights_at(w, i)->type == HM_DTYPE_COUNT)
            tally_add(&unusable, hm_weights_at(w, i)->name);
    tally_tell(odd, &unusable, "tensors are of a type that is not read (F32, BF16 and F16 are)");
}

static hm_status inspect_part(json_t *parts, const char *path, bool *readable, bool *synthetic, hm_error *err)
{
    json_t *part = json_pack("{so}", "path", json_text(path)), *odd = json_array();
    hm_dialect dialect;
    hm_weights *w;
    hm_error why = {0};
    const char *example;
    hm_status st = HM_OK;
    json_array_append_new(parts, part);
    json_object_set_new(part, "oddities", odd);
    if (hm_weights_open_any(&w, path, HM_LOAD_MAP, &dialect, &why)) {
        *readable = false;
        json_object_set_new(part, "problem", json_text(why.text));
        return HM_OK;
    }
    hm_part_kind kind = hm_part_of_weights(w);
    json_object_set_new(part, "kind", json_string(hm_part_kind_text(kind)));
    if (dialect) {
        *readable = false;
        hm_dialect_of_weights(w, &example);
        hm_dialect_refuse(dialect, path, example, &why);
        json_object_set_new(part, "problem", json_text(why.text));
    }
    json_object_set_new(part, "dialect", json_string(hm_dialect_text(dialect)));
    tell_files(part, w);
    tell_tensors(part, w);
    tell_metadata(part, w);
    tell_types(odd, w);
    if (hm_weights_config(w))
        json_object_set(part, "config", (json_t *)hm_weights_config(w));
    *synthetic |= hm_weights_metadata(w, HM_PRESET_METADATA) != NULL;
    if (kind && !dialect)
        st = compare_config(part, odd, w, kind, err);
    hm_weights_close(&w);
    return st;
}

/* Files of other formats in a folder: named, with what to do. */
static void tell_foreign(json_t *report, const char *folder)
{
    json_t *foreign = json_array();
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[PATH_MAX];
        hm_dialect dialect = hm_dialect_of_name(e->d_name);
        if (!dialect || snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= PATH_MAX)
            continue;
        json_array_append_new(foreign, json_pack("{so ss ss}", "path", json_text(path), "dialect", hm_dialect_text(dialect), "advice",
                                                 hm_dialect_advice(dialect)));
    }
    if (d)
        closedir(d);
    json_object_set_new(report, "foreign", foreign);
}

static hm_status tell_parts(json_t *report, const hm_checkpoint *c, hm_error *err)
{
    const char *paths[] = {c->lm, c->lm_too, c->codec, c->codec_too};
    json_t *parts = json_array();
    bool readable = true, synthetic = false;
    hm_status st = HM_OK;
    json_object_set_new(report, "parts", parts);
    for (int i = 0; !st && i < 4; i++)
        if (paths[i])
            st = inspect_part(parts, paths[i], &readable, &synthetic, err);
    if (!st && !json_array_size(parts))
        st = inspect_part(parts, c->path, &readable, &synthetic, err);
    json_object_set_new(report, "readable", json_boolean(readable));
    json_object_set_new(report, "synthetic", json_boolean(synthetic));
    return st;
}

static void tell_generation(json_t *report, const hm_checkpoint *c)
{
    hm_tts_generation g;
    hm_error why = {0};
    json_t *told = hm_checkpoint_generation(&g, c, &why) ? json_pack("{so}", "problem", json_text(why.text)) : hm_inspect_generation(&g);
    json_object_set_new(told, "path", c->gen_config ? json_text(c->gen_config) : json_null());
    json_object_set_new(report, "gen_config", told);
}

/* generation_config.json of a Whisper, read as decoding reads it: beside its config. */
static void tell_whisper(json_t *report, const hm_checkpoint *c)
{
    char path[PATH_MAX];
    json_t *config = NULL, *told = NULL;
    hm_whisper_shape shape;
    hm_whisper_generation g = {0};
    hm_error why = {0};
    if (!c->lm)
        return;
    hm_status st = snprintf(path, sizeof path, "%s/config.json", c->lm) < PATH_MAX ? hm_json_load(&config, path, &why) : HM_EMISSING;
    if (!st)
        st = hm_whisper_shape_read(&shape, config, path, &why);
    if (!st)
        st = hm_checkpoint_whisper_generation(&g, c, config, &shape, &why);
    told = st ? json_pack("{so}", "problem", json_text(why.text)) : hm_inspect_whisper_generation(&g);
    json_object_set_new(told, "path", c->gen_config ? json_text(c->gen_config) : json_null());
    json_object_set_new(report, "gen_config", told);
    hm_whisper_generation_close(&g);
    json_decref(config);
}

/* What a speech model lacks, or has of another one. A part that was named by itself needs no others. */
static void tell_missing(json_t *report, const hm_checkpoint *c)
{
    json_t *missing = json_array(), *talker = NULL, *codec = NULL;
    hm_talker_shape t;
    hm_speech_codec_shape s;
    hm_error why = {0};
    char path[PATH_MAX];
    json_object_set_new(report, "missing", missing);
    if (c->model == HM_MODEL_WHISPER && !c->tokenizer)
        json_array_append_new(missing, json_text("no tokenizer: neither tokenizer.json nor vocab.json and merges.txt are there"));
    if (c->model != HM_MODEL_QWEN3_TTS || !c->lm)
        return;
    if (hm_checkpoint_need(c, false, true, &why))
        json_array_append_new(missing, json_text(why.text));
    if (!c->tokenizer)
        json_array_append_new(missing, json_text("no tokenizer: vocab.json and merges.txt are not there"));
    if (c->codec && snprintf(path, sizeof path, "%s/config.json", c->lm) < PATH_MAX && !hm_json_load(&talker, path, NULL) &&
        snprintf(path, sizeof path, "%s/config.json", c->codec) < PATH_MAX && !hm_json_load(&codec, path, NULL) &&
        !hm_talker_shape_read(&t, talker, "config", NULL) && !hm_speech_codec_shape_read(&s, codec, "config", NULL) &&
        hm_tts_shapes_check(&t, &s, "configs", &why))
        json_array_append_new(missing, json_text(why.text));
    json_decref(talker);
    json_decref(codec);
}

static void tell_gen_config(json_t *report, const hm_checkpoint *c)
{
    hm_gen_config g;
    hm_error why = {0};
    if (!c->gen_config)
        json_object_set_new(report, "gen_config", json_null());
    else if (hm_checkpoint_gen_config(&g, c, NULL, &why))
        json_object_set_new(report, "gen_config", json_pack("{so}", "problem", json_text(why.text)));
    else
        json_object_set_new(report, "gen_config",
                            json_pack("{so sI sI sI sI}", "path", json_text(c->gen_config), "text_bos_id", (json_int_t)g.text_bos_id,
                                      "text_eos_id", (json_int_t)g.text_eos_id, "audio_eos_id", (json_int_t)g.audio_eos_id, "empty_id",
                                      (json_int_t)g.empty_id));
}

hm_status hm_inspect(json_t **out, const char *path, json_t *memory, hm_error *err)
{
    hm_checkpoint c;
    hm_status st = hm_checkpoint_find(&c, path, err);
    if (st)
        return st;
    json_t *report = json_pack("{so}", "path", json_text(path));
    st = report ? tell_parts(report, &c, err) : hm_fail(err, HM_EABSENT, "%s: no memory", path);
    if (!st) {
        json_object_set_new(report, "tokenizer", c.tokenizer ? json_text(c.tokenizer) : json_null());
        json_object_set_new(report, "model", c.model ? json_string(hm_model_kind_name(c.model)) : json_null());
        if (c.model == HM_MODEL_QWEN3_TTS)
            tell_generation(report, &c);
        else if (c.model == HM_MODEL_WHISPER)
            tell_whisper(report, &c);
        else
            tell_gen_config(report, &c);
        tell_missing(report, &c);
        tell_foreign(report, path);
        if (memory)
            json_object_set(report, "memory", memory);
    }
    hm_checkpoint_close(&c);
    if (st) {
        json_decref(report);
        return st;
    }
    *out = report;
    return HM_OK;
}
