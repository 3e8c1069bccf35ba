/* Presets: their lists of tensors against the golden manifests, and the folders they write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"

#include "engine/base/json.h"
#include "engine/preset.h"
#include "engine/weights.h"

static hm_error err;

static json_t *golden(const char *name)
{
    char path[PATH_MAX];
    json_t *json = NULL;
    snprintf(path, sizeof path, "%s/goldens/heart/%s", HM_TEST_DATA, name);
    if (hm_json_load(&json, path, &err))
        fail_msg("%s", err.text);
    return json;
}

static void check_row(const hm_tensor_row *r, const json_t *want)
{
    const json_t *shape = json_object_get(want, "shape");
    assert_string_equal(r->name, json_string_value(json_object_get(want, "name")));
    assert_string_equal(hm_dtype_name(r->type), json_string_value(json_object_get(want, "dtype")));
    assert_int_equal(r->rank, json_array_size(shape));
    for (int i = 0; i < r->rank; i++)
        assert_int_equal(r->shape[i], json_integer_value(json_array_get(shape, (size_t)i)));
    if (r->type == HM_BOOL)
        return;
    if (r->offset != (float)json_number_value(json_object_get(want, "offset")) ||
        r->scale != (float)json_number_value(json_object_get(want, "scale")))
        fail_msg("%s: offset %.9g scale %.9g", r->name, r->offset, r->scale);
}

static void check_table(const hm_tensor_table *table, const json_t *manifest)
{
    const json_t *rows = json_object_get(manifest, "tensors");
    assert_int_equal(table->count, json_array_size(rows));
    for (int i = 0; i < table->count; i++)
        check_row(&table->rows[i], json_array_get(rows, (size_t)i));
}

static void lm_tables_equal_the_golden_manifests(void **state)
{
    static const char *const names[] = {"lm_tiny.manifest.json", "lm_3B.manifest.json"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        json_t *manifest = golden(names[i]);
        hm_lm_shape shape;
        hm_tensor_table table;
        assert_int_equal(hm_lm_shape_read(&shape, json_object_get(manifest, "config"), names[i], &err), HM_OK);
        assert_int_equal(hm_lm_table(&table, &shape, &err), HM_OK);
        check_table(&table, manifest);
        hm_tensor_table_close(&table);
        json_decref(manifest);
    }
}

static void codec_tables_equal_the_golden_manifests(void **state)
{
    static const char *const names[] = {"codec_tiny.manifest.json", "codec_tiny48k.manifest.json", "codec_full.manifest.json"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        json_t *manifest = golden(names[i]);
        hm_codec_shape shape;
        hm_tensor_table table;
        if (hm_codec_shape_read(&shape, json_object_get(manifest, "config"), names[i], &err))
            fail_msg("%s", err.text);
        assert_int_equal(hm_codec_table(&table, &shape, &err), HM_OK);
        check_table(&table, manifest);
        hm_tensor_table_close(&table);
        json_decref(manifest);
    }
}

static uint64_t elements(const hm_tensor_table *t)
{
    uint64_t n = 0;
    for (int i = 0; i < t->count; i++)
        n += hm_tensor_row_bytes(&t->rows[i]) / hm_dtype_bytes(t->rows[i].type);
    return n;
}

static void full_size_presets_have_the_known_parameter_counts(void **state)
{
    static const struct {
        const char *name;
        uint64_t parameters;
    } known[] = {{"heartmula-3b", 3938113536u}, {"heartmula-7b", 8413319168u}};
    hm_tensor_table table;
    (void)state;
    for (int i = 0; i < 2; i++) {
        const hm_preset_sizes *s = hm_preset_sizes_of(hm_preset_find(known[i].name));
        assert_int_equal(hm_lm_table(&table, &s->lm, &err), HM_OK);
        assert_true(elements(&table) == known[i].parameters);
        hm_tensor_table_close(&table);
    }
    assert_true(hm_preset_bytes(hm_preset_find("heartmula-3b")) > 14500000000u);
    assert_true(hm_preset_bytes(hm_preset_find("heartmula-3b")) < 14540000000u);
    assert_null(hm_preset_find("heartmula"));
}

static void every_preset_reads_its_own_config_back(void **state)
{
    (void)state;
    for (const hm_preset *p = hm_preset_list(); p->name; p++) {
        const hm_preset_sizes *s = hm_preset_sizes_of(p);
        if (strcmp(p->model, "heartmula"))
            continue;
        json_t *lm = hm_lm_shape_config(&s->lm), *codec = hm_codec_shape_config(&s->codec);
        hm_lm_shape l = {0};
        hm_codec_shape c = {0};
        assert_int_equal(hm_lm_shape_read(&l, lm, p->name, &err), HM_OK);
        assert_int_equal(hm_codec_shape_read(&c, codec, p->name, &err), HM_OK);
        assert_memory_equal(&l.backbone, &s->lm.backbone, sizeof l.backbone);
        assert_memory_equal(&l.decoder, &s->lm.decoder, sizeof l.decoder);
        assert_int_equal(l.text_vocab, s->lm.text_vocab);
        assert_int_equal(c.sample_rate, s->codec.sample_rate);
        assert_memory_equal(c.up, s->codec.up, sizeof(int64_t) * (size_t)c.up_stages);
        json_decref(lm);
        json_decref(codec);
    }
}

static void configs_that_do_not_fit_together_are_refused(void **state)
{
    static const struct {
        const char *config, *says;
    } bad[] = {
        {"{\"in_channels\":1000}", "in_channels 1000"},
        {"{\"upsample_factors\":[5,4,4,4]}", "4 upsample factors with 5"},
        {"{\"upsample_factors\":[5,4,4,4,5]}", "expected twice the factor"},
        {"{\"sample_rate\":44100}", "sample_rate 44100"},
        {"{\"norm_type\":\"layer_norm\"}", "ada_norm_single"},
        {"{\"causal\":false}", "causal"},
        {"{\"num_layers\":-1}", "num_layers"},
        {"{\"upsample_factors\":[]}", "expected 1 to 16 sizes"},
        {"{\"upsample_factors\":[0,1,1,1,1]}", "from 1 to 1024"},
    };
    hm_codec_shape c;
    hm_lm_shape l;
    json_t *json;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(hm_json_parse(&json, bad[i].config, strlen(bad[i].config), "c", &err), HM_OK);
        if (hm_codec_shape_read(&c, json, "c", &err) != HM_EFORMAT || !strstr(err.text, bad[i].says))
            fail_msg("%s: %s", bad[i].config, err.text);
        json_decref(json);
    }
    json = json_pack("{ss}", "backbone_flavor", "llama-9B");
    assert_int_equal(hm_lm_shape_read(&l, json, "c", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "llama-9B"));
    json_decref(json);
}

static void path_of(char out[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        fail();
}

/* Every tensor of a written folder equals the same one synthesised in memory from the golden manifest. */
static void check_part(const char *root, const char *part, const char *manifest_name)
{
    char path[PATH_MAX], a[33], b[33];
    json_t *manifest = golden(manifest_name);
    hm_weights *file, *memory;
    path_of(path, root, part);
    if (hm_weights_open(&file, path, HM_LOAD_MAP, &err) || hm_weights_synth(&memory, manifest, 2, NULL, manifest_name, &err))
        fail_msg("%s", err.text);
    assert_int_equal(hm_weights_count(file), hm_weights_count(memory));
    for (int i = 0; i < hm_weights_count(file); i++) {
        const hm_tensor *t = hm_weights_at(file, i), *x, *y;
        if (t->type == HM_BOOL)
            continue;
        assert_int_equal(hm_weights_find(file, t->name, t->rank, t->shape, NULL, &x, &err), HM_OK);
        assert_int_equal(hm_weights_find(memory, t->name, t->rank, t->shape, NULL, &y, &err), HM_OK);
        assert_int_equal(x->type, y->type);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
    hm_weights_fingerprint(file, a);
    hm_weights_fingerprint(memory, b);
    assert_string_equal(a, b);
    assert_string_equal(hm_weights_metadata(file, HM_PRESET_METADATA), "v1 heartmula-tiny seed 0x0000000000000002");
    hm_weights_close(&file);
    hm_weights_close(&memory);
    json_decref(manifest);
}

/* Larger than the writer's buffer: several writes, and a file past the page cache where the file system allows it. */
static void a_file_of_several_buffers_equals_its_synthesis(void **state)
{
    char folder[PATH_MAX], root[PATH_MAX], path[PATH_MAX];
    const hm_preset *mini = hm_preset_find("heartmula-mini");
    json_t *manifest;
    hm_weights *file, *memory;
    hm_team *team;
    (void)state;
    make_folder(folder);
    path_of(root, folder, "mini");
    assert_int_equal(hm_team_open(&team, 2, &err), HM_OK);
    if (hm_preset_write(mini, root, 3, team, NULL, &err))
        fail_msg("%s", err.text);
    path_of(path, root, "HeartMuLa-oss-mini");
    assert_int_equal(hm_preset_manifest(&manifest, mini, HM_PRESET_LM, &err), HM_OK);
    if (hm_weights_open(&file, path, HM_LOAD_READ, &err) || hm_weights_synth(&memory, manifest, 3, team, "mini", &err))
        fail_msg("%s", err.text);
    assert_int_equal(hm_weights_count(file), hm_weights_count(memory));
    for (int i = 0; i < hm_weights_count(file); i++) {
        const hm_tensor *t = hm_weights_at(file, i), *x, *y;
        assert_int_equal(hm_weights_find(file, t->name, t->rank, t->shape, NULL, &x, &err), HM_OK);
        assert_int_equal(hm_weights_find(memory, t->name, t->rank, t->shape, NULL, &y, &err), HM_OK);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
    hm_weights_close(&file);
    hm_weights_close(&memory);
    hm_team_close(&team);
    json_decref(manifest);
    make_clean(folder);
}

static void check_json(const char *root, const char *name)
{
    char path[PATH_MAX];
    json_t *found, *want = golden(name);
    path_of(path, root, name);
    if (hm_json_load(&found, path, &err))
        fail_msg("%s", err.text);
    assert_true(json_equal(found, want));
    json_decref(found);
    json_decref(want);
}

static uint64_t folder_bytes(const char *folder)
{
    uint64_t total = 0;
    struct dirent *e;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[PATH_MAX];
        struct stat st;
        path_of(path, folder, e->d_name);
        if (e->d_name[0] != '.' && !stat(path, &st))
            total += S_ISDIR(st.st_mode) ? folder_bytes(path) : (uint64_t)st.st_size;
    }
    closedir(d);
    return total;
}

typedef struct watch {
    int64_t last, total;
    int stop;
} watch;

static int watch_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    watch *w = self;
    assert_string_equal(phase, "synth");
    assert_true(done > w->last && done <= total);
    w->last = done;
    w->total = total;
    return w->stop;
}

static void the_tiny_preset_is_the_golden_checkpoint(void **state)
{
    char folder[PATH_MAX], root[PATH_MAX];
    watch seen = {0};
    hm_probe probe = {.self = &seen, .progress = watch_progress};
    const hm_preset *tiny = hm_preset_find("heartmula-tiny");
    (void)state;
    make_folder(folder);
    path_of(root, folder, "tiny");
    if (hm_preset_write(tiny, root, 2, NULL, &probe, &err))
        fail_msg("%s", err.text);
    assert_true(seen.last == seen.total && seen.total > 0);
    assert_true(folder_bytes(root) == hm_preset_bytes(tiny));
    check_part(root, "HeartMuLa-oss-tiny", "lm_tiny.manifest.json");
    check_part(root, "HeartCodec-oss", "codec_tiny.manifest.json");
    check_json(root, "tokenizer.json");
    check_json(root, "gen_config.json");
    make_clean(folder);
}

static void stopping_leaves_nothing_behind(void **state)
{
    char folder[PATH_MAX], root[PATH_MAX];
    watch seen = {.stop = 1};
    hm_probe probe = {.self = &seen, .progress = watch_progress};
    (void)state;
    make_folder(folder);
    path_of(root, folder, "tiny");
    assert_int_equal(hm_preset_write(hm_preset_find("heartmula-tiny"), root, 1, NULL, &probe, &err), HM_EINTERRUPTED);
    assert_int_equal(rmdir(folder), 0); /* it is empty */
}

static void a_folder_with_content_is_not_touched_and_an_empty_one_is_filled(void **state)
{
    char folder[PATH_MAX], root[PATH_MAX];
    const hm_preset *tiny = hm_preset_find("heartmula-tiny");
    (void)state;
    make_folder(folder);
    make_subfolder(root, folder, "tiny");
    make_text(root, "mine.txt", "keep");
    assert_int_equal(hm_preset_write(tiny, root, 1, NULL, NULL, &err), HM_ECREATE);
    assert_non_null(strstr(err.text, "not empty"));
    make_clean(root);
    make_subfolder(root, folder, "tiny");
    strcat(root, "//");
    assert_int_equal(hm_preset_write(tiny, root, 1, NULL, NULL, &err), HM_OK);
    assert_true(folder_bytes(root) == hm_preset_bytes(tiny));
    path_of(root, folder, "absent/deeper");
    assert_int_equal(hm_preset_write(tiny, root, 1, NULL, NULL, &err), HM_ECREATE);
    make_clean(folder);
}

static void full_size_tokenizers_have_their_special_tokens_at_the_real_ids(void **state)
{
    json_t *tokenizer, *gen;
    const hm_preset *big = hm_preset_find("heartmula-3b");
    (void)state;
    assert_int_equal(hm_preset_tokenizer(&tokenizer, big, &err), HM_OK);
    const json_t *added = json_object_get(tokenizer, "added_tokens");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(added, 0), "id")), 128000);
    assert_string_equal(json_string_value(json_object_get(json_array_get(added, 1), "content")), "<|end_of_text|>");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(added, 1), "id")), 128001);
    char *text = json_dumps(json_object_get(tokenizer, "post_processor"), JSON_COMPACT);
    assert_non_null(strstr(text, "\"ids\":[128000]"));
    free(text);
    json_decref(tokenizer);
    assert_int_equal(hm_preset_gen_config(&gen, big, &err), HM_OK);
    assert_int_equal(json_integer_value(json_object_get(gen, "audio_eos_id")), 8193);
    json_decref(gen);
}

static void a_manifest_of_a_preset_can_be_synthesised(void **state)
{
    json_t *manifest;
    hm_weights *w;
    const hm_tensor *t;
    (void)state;
    assert_int_equal(hm_preset_manifest(&manifest, hm_preset_find("heartmula-mini"), HM_PRESET_CODEC, &err), HM_OK);
    if (hm_weights_synth(&w, manifest, 1, NULL, "mini", &err))
        fail_msg("%s", err.text);
    json_decref(manifest);
    assert_int_equal(hm_weights_peek(w, "flow_matching.vq_embed.layers.0._codebook.initted")->rank, 1);
    assert_int_equal(
        hm_weights_find(w, "scalar_model.decoder.7.parametrizations.weight.original0", 3, (int64_t[]){1, 1, 1}, NULL, &t, &err), HM_OK);
    float gain = *(const float *)t->data;
    assert_true(gain > 0.016f && gain < 0.024f); /* 0.02 give or take a tenth, see sizes of the preset */
    assert_int_equal(json_integer_value(json_object_get(hm_weights_config(w), "sample_rate")), 48000);
    hm_weights_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lm_tables_equal_the_golden_manifests),
        cmocka_unit_test(codec_tables_equal_the_golden_manifests),
        cmocka_unit_test(full_size_presets_have_the_known_parameter_counts),
        cmocka_unit_test(every_preset_reads_its_own_config_back),
        cmocka_unit_test(configs_that_do_not_fit_together_are_refused),
        cmocka_unit_test(the_tiny_preset_is_the_golden_checkpoint),
        cmocka_unit_test(a_file_of_several_buffers_equals_its_synthesis),
        cmocka_unit_test(stopping_leaves_nothing_behind),
        cmocka_unit_test(a_folder_with_content_is_not_touched_and_an_empty_one_is_filled),
        cmocka_unit_test(full_size_tokenizers_have_their_special_tokens_at_the_real_ids),
        cmocka_unit_test(a_manifest_of_a_preset_can_be_synthesised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
