/* Damaged checkpoints, from a fixed seed: each loads, or fails with one sentence. Run under the sanitizers this is the real test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"
#include "tests/mutate.h"

#include "engine/base/json.h"
#include "engine/checkpoint.h"
#include "engine/safetensors.h"
#include "engine/shapes.h"
#include "engine/weights.h"

static hm_error err;

static const make_tensor tensors[] = {
    {"backbone.norm.scale", "F32", "[4]", 16, NULL}, {"projection.weight", "BF16", "[3, 4]", 24, NULL},
    {"audio_head", "F16", "[1, 2, 3]", 12, NULL},    {"initted", "BOOL", "[]", 1, NULL},
    {"odd.weight", "F8_E4M3", "[5]", 5, NULL},       {NULL, NULL, NULL, 0, NULL},
};

#define METADATA "\"format\":\"pt\",\"config\":\"{\\\"model_type\\\":\\\"heartmula\\\"}\""

static void failure_is_told(hm_status st, const hm_mutator *m)
{
    if (!hm_mutate_sentence_ok(st, &err))
        fail_msg("%s: status %d, sentence \"%s\"", m->last, st, err.text);
}

static void touch(const hm_safetensors *f)
{
    for (int i = 0; i < f->count; i++) {
        const hm_safetensors_entry *e = &f->entries[i];
        assert_true(e->offset <= f->file_bytes && e->bytes <= f->file_bytes - e->offset);
        assert_true(e->rank >= 0 && e->rank <= HM_SAFETENSORS_MAX_RANK && strlen(e->name) < f->file_bytes && e->type_name);
    }
}

static void damaged_headers_parse_or_fail_with_a_sentence(void **state)
{
    size_t size, whole;
    uint8_t *original = make_safetensors(tensors, METADATA, &whole);
    hm_mutator m;
    int good = 0, bad = 0;
    (void)state;
    hm_mutator_open(&m, original, whole, 11);
    for (int i = 0; i < 20000; i++) {
        const uint8_t *data = hm_mutate(&m, &size);
        hm_safetensors f;
        hm_status st = hm_safetensors_parse(&f, data, size, size, "damaged", &err);
        if (st) {
            failure_is_told(st, &m);
            bad++;
        } else {
            touch(&f);
            hm_safetensors_close(&f);
            good++;
        }
    }
    assert_true(good > 100 && bad > 1000);
    hm_mutator_close(&m);
    free(original);
}

/* Opens a folder and takes every tensor out of it. */
static hm_status open_and_read(const char *folder, hm_load load)
{
    hm_weights *w;
    const hm_tensor *t;
    unsigned sum = 0;
    hm_status st = hm_weights_open(&w, folder, load, &err);
    if (st)
        return st;
    for (int i = 0; i < hm_weights_count(w); i++) {
        const hm_tensor *at = hm_weights_at(w, i);
        if (!hm_weights_find(w, at->name, at->rank, at->shape, NULL, &t, &err))
            for (size_t k = 0; k < t->bytes; k++)
                sum += ((const uint8_t *)t->data)[k];
    }
    hm_weights_close(&w);
    return sum == 0xFFFFFFFF ? HM_EBUG : HM_OK;
}

static void mutate_file(const char *folder, const char *name, const void *original, size_t whole, int rounds, uint64_t seed)
{
    hm_mutator m;
    size_t size;
    int good = 0;
    hm_mutator_open(&m, original, whole, seed);
    for (int i = 0; i < rounds; i++) {
        const uint8_t *data = hm_mutate(&m, &size);
        make_file(folder, name, data, size);
        hm_status st = open_and_read(folder, i % 2 ? HM_LOAD_MAP : HM_LOAD_READ);
        if (st)
            failure_is_told(st, &m);
        good += !st;
    }
    assert_true(good > 0 && good < rounds);
    hm_mutator_close(&m);
}

static void damaged_files_open_or_fail_with_a_sentence(void **state)
{
    char folder[PATH_MAX];
    size_t whole;
    uint8_t *original = make_safetensors(tensors, METADATA, &whole);
    (void)state;
    make_folder(folder);
    mutate_file(folder, "model.safetensors", original, whole, 600, 12);
    make_clean(folder);
    free(original);
}

static void damaged_indexes_open_or_fail_with_a_sentence(void **state)
{
    static const char index[] = "{\"metadata\":{\"total_size\":58},\"weight_map\":{\"backbone.norm.scale\":\"a.safetensors\","
                                "\"projection.weight\":\"a.safetensors\",\"audio_head\":\"a.safetensors\",\"w\":\"b.safetensors\"}}";
    const make_tensor other[] = {{"w", "F32", "[2]", 8, NULL}, {NULL, NULL, NULL, 0, NULL}};
    char folder[PATH_MAX];
    (void)state;
    make_folder(folder);
    make_tensors(folder, "a.safetensors", tensors, NULL);
    make_tensors(folder, "b.safetensors", other, NULL);
    mutate_file(folder, "model.safetensors.index.json", index, sizeof index - 1, 600, 13);
    make_clean(folder);
}

static void mutate_json(const char *text, uint64_t seed, hm_status (*read)(const json_t *json))
{
    hm_mutator m;
    size_t size;
    int good = 0;
    hm_mutator_open(&m, text, strlen(text), seed);
    for (int i = 0; i < 20000; i++) {
        json_t *json;
        const uint8_t *data = hm_mutate(&m, &size);
        hm_status st = hm_json_parse(&json, data, size, "damaged", &err);
        if (!st) {
            st = read(json);
            json_decref(json);
        }
        if (st)
            failure_is_told(st, &m);
        good += !st;
    }
    assert_true(good > 100);
    hm_mutator_close(&m);
}

static hm_status read_lm(const json_t *json)
{
    hm_lm_shape s;
    hm_part_of_config(json);
    return hm_lm_shape_read(&s, json, "damaged", &err);
}

static hm_status read_codec(const json_t *json)
{
    hm_codec_shape s;
    hm_part_of_config(json);
    return hm_codec_shape_read(&s, json, "damaged", &err);
}

static hm_status read_manifest(const json_t *json)
{
    hm_weights *w;
    hm_status st = hm_weights_synth(&w, (json_t *)json, 1, NULL, "damaged", &err);
    if (!st)
        hm_weights_close(&w);
    return st;
}

static void damaged_configs_and_manifests_are_read_or_fail_with_a_sentence(void **state)
{
    (void)state;
    mutate_json("{\"model_type\":\"heartmula\",\"backbone\":{\"num_layers\":4,\"num_heads\":8,\"num_kv_heads\":4,\"embed_dim\":64,"
                "\"intermediate_dim\":128,\"max_seq_len\":256},\"decoder_flavor\":\"llama-300M\",\"text_vocab_size\":1024,\"muq_dim\":32}",
                14, read_lm);
    mutate_json(
        "{\"dim\":32,\"codebook_size\":64,\"out_channels\":8,\"in_channels\":48,\"latent_hidden_dim\":4,\"sample_rate\":300,"
        "\"upsample_factors\":[3,2],\"upsample_kernel_sizes\":[6,4],\"downsample_factors\":[2,3],\"downsample_kernel_sizes\":[4,6]}",
        15, read_codec);
    mutate_json("{\"config\":{},\"tensors\":[{\"name\":\"a\",\"dtype\":\"BF16\",\"shape\":[2,3],\"offset\":0.0,\"scale\":0.5},"
                "{\"name\":\"b\",\"dtype\":\"BOOL\",\"shape\":[],\"value\":true},{\"name\":\"c\",\"dtype\":\"F32\",\"shape\":[4]}]}",
                16, read_manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_headers_parse_or_fail_with_a_sentence),
        cmocka_unit_test(damaged_files_open_or_fail_with_a_sentence),
        cmocka_unit_test(damaged_indexes_open_or_fail_with_a_sentence),
        cmocka_unit_test(damaged_configs_and_manifests_are_read_or_fail_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
