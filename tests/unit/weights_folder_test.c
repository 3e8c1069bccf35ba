/* Checkpoints as they are met: one file, shards, merged files with their config inside, other types, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"

#include "engine/weights.h"

#define END                       \
    {                             \
        NULL, NULL, NULL, 0, NULL \
    }

static char folder[PATH_MAX];
static hm_error err;

static int open_folder(void **state)
{
    (void)state;
    make_folder(folder);
    memset(&err, 0, sizeof err);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    make_clean(folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[PATH_MAX * 2];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void refused(const char *path, hm_status want, const char *says)
{
    hm_weights *w = NULL;
    hm_status st = hm_weights_open(&w, path, HM_LOAD_MAP, &err);
    if (st != want || !strstr(err.text, says))
        fail_msg("expected %s with \"%s\", found %s: %s", hm_status_name(want), says, hm_status_name(st), err.text);
    assert_null(w);
}

static void make_shards(void)
{
    const make_tensor one[] = {{"b", "F32", "[2]", 8, NULL}, {"a", "F32", "[1, 2]", 8, NULL}, END};
    const make_tensor two[] = {{"c", "F32", "[3]", 12, NULL}, END};
    make_tensors(folder, "model-00001-of-00002.safetensors", one, "\"format\":\"pt\"");
    make_tensors(folder, "model-00002-of-00002.safetensors", two, NULL);
    make_text(folder, "model.safetensors.index.json",
              "{\"metadata\":{\"total_size\":28},\"weight_map\":{\"c\":\"model-00002-of-00002.safetensors\","
              "\"a\":\"model-00001-of-00002.safetensors\",\"b\":\"model-00001-of-00002.safetensors\"}}");
}

static void shards_are_read_as_one(void **state)
{
    hm_weights *w;
    const hm_tensor *t;
    uint64_t bytes;
    (void)state;
    make_shards();
    make_text(folder, "config.json", "{\"model_type\":\"heartmula\"}");
    for (hm_load load = HM_LOAD_READ; load <= HM_LOAD_MAP; load++) {
        hm_counters count = {0};
        assert_int_equal(hm_weights_open(&w, folder, load, &err), HM_OK);
        assert_int_equal(hm_weights_count(w), 3);
        assert_int_equal(hm_weights_file_count(w), 2);
        assert_non_null(strstr(hm_weights_file(w, 0, &bytes), "model-0000"));
        assert_string_equal(hm_weights_at(w, 0)->name, "a");
        assert_string_equal(hm_weights_at(w, 2)->name, "c");
        assert_null(hm_weights_at(w, 2)->data);
        assert_int_equal(hm_weights_find(w, "c", 1, (int64_t[]){-1}, &count, &t, &err), HM_OK);
        assert_int_equal(t->bytes, 12);
        assert_memory_equal(t->data, "\1\2\3\4\5\6\7\10\11\12\13\14", 12);
        assert_int_equal((uintptr_t)t->data % 4, 0);
        uint64_t first = count.load_copied_bytes;
        assert_int_equal(hm_weights_find(w, "c", 1, (int64_t[]){3}, &count, &t, &err), HM_OK);
        assert_int_equal(count.load_copied_bytes, first);
        if (load == HM_LOAD_READ)
            assert_int_equal(first, 12);
        assert_string_equal(json_string_value(json_object_get(hm_weights_config(w), "model_type")), "heartmula");
        assert_string_equal(hm_weights_metadata(w, "format"), "pt");
        assert_null(hm_weights_metadata(w, "config"));
        hm_weights_close(&w);
        assert_null(w);
    }
    assert_int_equal(hm_weights_open(&w, in_folder("model.safetensors.index.json"), HM_LOAD_MAP, &err), HM_OK);
    assert_int_equal(hm_weights_count(w), 3);
    assert_non_null(hm_weights_config(w));
    hm_weights_close(&w);
}

static void a_missing_shard_is_named(void **state)
{
    (void)state;
    make_shards();
    unlink(in_folder("model-00002-of-00002.safetensors"));
    refused(folder, HM_EMISSING, "model-00002-of-00002.safetensors, which is missing");
}

static void a_tensor_that_its_shard_lacks_is_named(void **state)
{
    (void)state;
    make_shards();
    make_text(folder, "model.safetensors.index.json",
              "{\"weight_map\":{\"d\":\"model-00002-of-00002.safetensors\",\"c\":\"model-00002-of-00002.safetensors\"}}");
    refused(folder, HM_EFORMAT, "tensor d should be in model-00002-of-00002.safetensors");
}

static void a_shard_outside_the_folder_is_refused(void **state)
{
    static const char *const names[] = {"../x.safetensors", "/etc/passwd", "a/../../x", "", "..", "a//b"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
        make_text(folder, "model.safetensors.index.json", text);
        refused(folder, HM_EFORMAT, "inside the folder");
    }
    make_text(folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":7}}");
    refused(folder, HM_EFORMAT, "expected the name of a file");
    make_text(folder, "model.safetensors.index.json", "{\"weight_map\":[]}");
    refused(folder, HM_EFORMAT, "weight_map");
    make_text(folder, "model.safetensors.index.json", "{\"weight_map\":{}}");
    refused(folder, HM_EFORMAT, "holds no tensors");
}

static void two_shards_with_one_name_are_refused_unless_the_index_says_which(void **state)
{
    const make_tensor one[] = {{"a", "U8", "[1]", 1, "\1"}, {"b", "U8", "[1]", 1, NULL}, END};
    const make_tensor two[] = {{"a", "F32", "[1]", 4, "\2\2\2\2"}, {"c", "U8", "[1]", 1, NULL}, END};
    hm_weights *w;
    (void)state;
    make_tensors(folder, "1.safetensors", one, NULL);
    make_tensors(folder, "2.safetensors", two, NULL);
    make_text(folder, "x.safetensors.index.json", "{\"weight_map\":{\"c\":\"2.safetensors\",\"b\":\"1.safetensors\"}}");
    refused(folder, HM_EFORMAT, "tensor a is there twice");
    make_text(folder, "x.safetensors.index.json",
              "{\"weight_map\":{\"c\":\"2.safetensors\",\"b\":\"1.safetensors\",\"a\":\"2.safetensors\"}}");
    assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_READ, &err), HM_OK);
    assert_int_equal(hm_weights_count(w), 3);
    assert_int_equal(hm_weights_peek(w, "a")->type, HM_F32);
    hm_weights_close(&w);
}

static void bf16_and_f16_files_give_their_tensors_as_stored(void **state)
{
    static const uint16_t half[3] = {0x3C00, 0xBC00, 0x7BFF};
    const make_tensor tensors[] = {
        {"h", "F16", "[3]", 6, half}, {"b", "BF16", "[3]", 6, half}, {"scalar_model.decoder.0.initted", "BOOL", "[1]", 1, NULL}, END};
    hm_weights *w;
    const hm_tensor *t;
    (void)state;
    make_tensors(folder, "anything.safetensors", tensors, NULL);
    assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_MAP, &err), HM_OK);
    assert_int_equal(hm_weights_find(w, "h", 1, (int64_t[]){3}, NULL, &t, &err), HM_OK);
    assert_int_equal(t->type, HM_F16);
    assert_memory_equal(t->data, half, 6);
    assert_int_equal(hm_weights_find(w, "b", 1, (int64_t[]){3}, NULL, &t, &err), HM_OK);
    assert_int_equal(t->type, HM_BF16);
    hm_weights_close(&w);
}

static void unaligned_tensors_are_copied_to_an_aligned_place(void **state)
{
    static const char *const shapes[] = {"[2]", "[3]", "[4]", "[5]"};
    const float value[2] = {1.5f, -2.25f};
    uint64_t copied = 0;
    hm_weights *w;
    const hm_tensor *t;
    (void)state;
    for (size_t i = 0; i < 4; i++) { /* two to five bytes before a float: three of the four places are unaligned */
        const make_tensor tensors[] = {{"a", "U8", shapes[i], i + 2, NULL}, {"x", "F32", "[2]", 8, value}, END};
        hm_counters count = {0};
        make_tensors(folder, "model.safetensors", tensors, NULL);
        assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_MAP, &err), HM_OK);
        assert_int_equal(hm_weights_find(w, "x", 1, (int64_t[]){2}, &count, &t, &err), HM_OK);
        assert_int_equal((uintptr_t)t->data % sizeof(float), 0);
        assert_memory_equal(t->data, value, 8);
        copied += count.load_copied_bytes;
        hm_weights_close(&w);
    }
    assert_true(copied == 3 * 8);
}

static void another_shape_or_type_or_name_is_told_with_expected_and_found(void **state)
{
    const make_tensor tensors[] = {{"w", "F32", "[2, 3]", 24, NULL}, {"i", "I64", "[1]", 8, NULL}, {"q", "F8_E4M3", "[4]", 4, NULL}, END};
    hm_weights *w;
    const hm_tensor *t = NULL;
    (void)state;
    make_tensors(folder, "model.safetensors", tensors, NULL);
    assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_READ, &err), HM_OK);
    assert_int_equal(hm_weights_find(w, "w", 2, (int64_t[]){3, 2}, NULL, &t, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "tensor w: expected shape [3, 2], found [2, 3]"));
    assert_int_equal(hm_weights_find(w, "w", 1, (int64_t[]){6}, NULL, &t, &err), HM_EFORMAT);
    assert_int_equal(hm_weights_find(w, "i", 1, (int64_t[]){1}, NULL, &t, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "expected type F32, BF16 or F16, found I64"));
    assert_int_equal(hm_weights_find(w, "q", 1, (int64_t[]){4}, NULL, &t, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "found F8_E4M3"));
    assert_int_equal(hm_weights_find(w, "nothing", 1, (int64_t[]){1}, NULL, &t, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "tensor nothing is missing among its 3"));
    assert_null(t);
    assert_null(hm_weights_peek(w, "nothing"));
    assert_int_equal(hm_weights_find(w, "w", 2, (int64_t[]){-1, 3}, NULL, &t, &err), HM_OK);
    hm_weights_close(&w);
}

static void a_file_that_shrank_after_opening_is_an_error(void **state)
{
    const make_tensor tensors[] = {{"w", "F32", "[2]", 8, NULL}, END};
    hm_weights *w;
    const hm_tensor *t;
    (void)state;
    for (hm_load load = HM_LOAD_READ; load <= HM_LOAD_MAP; load++) {
        make_tensors(folder, "model.safetensors", tensors, NULL);
        assert_int_equal(hm_weights_open(&w, folder, load, &err), HM_OK);
        assert_int_equal(truncate(in_folder("model.safetensors"), 20), 0);
        assert_int_equal(hm_weights_find(w, "w", 1, (int64_t[]){2}, NULL, &t, &err), HM_EIO);
        assert_non_null(strstr(err.text, "shrank"));
        hm_weights_close(&w);
    }
}

static void a_merged_file_carries_its_config_and_tokenizer(void **state)
{
    const make_tensor tensors[] = {{"w", "F32", "[1]", 4, NULL}, END};
    hm_weights *w;
    (void)state;
    make_tensors(folder, "merged.safetensors", tensors,
                 "\"config.json\":\"{\\\"model_type\\\":\\\"inside\\\"}\",\"tokenizer.json\":\"{}\",\"gen_config\":\"{}\"");
    assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_MAP, &err), HM_OK);
    assert_string_equal(json_string_value(json_object_get(hm_weights_config(w), "model_type")), "inside");
    assert_string_equal(hm_weights_metadata(w, "tokenizer.json"), "{}");
    hm_weights_close(&w);
    make_text(folder, "config.json", "{\"model_type\":\"beside\"}");
    assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_MAP, &err), HM_OK);
    assert_string_equal(json_string_value(json_object_get(hm_weights_config(w), "model_type")), "beside");
    hm_weights_close(&w);
    assert_int_equal(hm_weights_open(&w, in_folder("merged.safetensors"), HM_LOAD_MAP, &err), HM_OK);
    assert_string_equal(json_string_value(json_object_get(hm_weights_config(w), "model_type")), "inside");
    hm_weights_close(&w);
    make_text(folder, "config.json", "{\"model_type\":");
    refused(folder, HM_EFORMAT, "config.json");
    make_text(folder, "config.json", "[]");
    refused(folder, HM_EFORMAT, "expected an object");
}

static void quantised_mlx_is_refused_by_name(void **state)
{
    const make_tensor tensors[] = {{"backbone.layers.0.attn.q_proj.weight", "U32", "[1]", 4, NULL},
                                   {"backbone.layers.0.attn.q_proj.scales", "BF16", "[1]", 2, NULL},
                                   {"backbone.layers.0.attn.q_proj.biases", "BF16", "[1]", 2, NULL},
                                   END};
    (void)state;
    make_tensors(folder, "model.safetensors", tensors, "\"format\":\"mlx\"");
    refused(folder, HM_EFORMAT, "quantised MLX");
    assert_non_null(strstr(err.text, "backbone.layers.0.attn.q_proj.weight"));
}

static void a_plain_mlx_copy_is_read(void **state)
{
    const make_tensor tensors[] = {{"backbone.norm.scale", "BF16", "[1]", 2, NULL}, END};
    hm_weights *w;
    (void)state;
    make_tensors(folder, "model.safetensors", tensors, "\"format\":\"mlx\"");
    assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_MAP, &err), HM_OK);
    hm_weights_close(&w);
}

static void an_mlx_codec_is_refused_and_old_weight_norm_names_are_not(void **state)
{
    const make_tensor folded[] = {{"scalar_model.decoder.1.convs.0.conv1.weight", "F16", "[1]", 2, NULL}, END};
    const make_tensor old[] = {{"scalar_model.decoder.1.convs.0.conv1.weight_g", "F16", "[1]", 2, NULL},
                               {"scalar_model.decoder.1.convs.0.conv1.weight_v", "F16", "[1]", 2, NULL},
                               {"scalar_model.decoder.6.conv.weight", "F16", "[1]", 2, NULL},
                               END};
    hm_weights *w;
    (void)state;
    make_tensors(folder, "model.safetensors", folded, NULL);
    refused(folder, HM_EFORMAT, "MLX codec");
    make_tensors(folder, "model.safetensors", old, NULL);
    assert_int_equal(hm_weights_open(&w, folder, HM_LOAD_MAP, &err), HM_OK);
    hm_weights_close(&w);
}

static void mulacover_is_refused_by_tensor_or_field(void **state)
{
    static const char *const names[] = {"qwen_linear.weight", "peft_layers.0.weight", "tag_mlp_layers.0.weight"};
    const make_tensor plain[] = {{"backbone.norm.scale", "F32", "[1]", 4, NULL}, END};
    (void)state;
    for (int i = 0; i < 3; i++) {
        const make_tensor tensors[] = {{"backbone.norm.scale", "F32", "[1]", 4, NULL}, {names[i], "F32", "[1]", 4, NULL}, END};
        make_tensors(folder, "model.safetensors", tensors, NULL);
        refused(folder, HM_EFORMAT, "MuLaCover");
        assert_non_null(strstr(err.text, names[i]));
    }
    make_tensors(folder, "model.safetensors", plain, NULL);
    make_text(folder, "config.json", "{\"qwen_dim\":1024}");
    refused(folder, HM_EFORMAT, "MuLaCover");
}

static void foreign_files_are_refused_by_name(void **state)
{
    (void)state;
    make_text(folder, "heart.gguf", "GGUF\3\0\0\0");
    refused(folder, HM_EFORMAT, "GGUF");
    refused(in_folder("heart.gguf"), HM_EFORMAT, "GGUF");
    make_text(folder, "model.safetensors", "GGUF and more");
    refused(folder, HM_EFORMAT, "GGUF");
    unlink(in_folder("model.safetensors"));
    unlink(in_folder("heart.gguf"));
    make_file(folder, "pytorch_model.bin", "PK\3\4", 4);
    refused(folder, HM_EFORMAT, "pickle");
    make_file(folder, "old.ckpt", "\200\2}q", 4);
    refused(in_folder("old.ckpt"), HM_EFORMAT, "pickle");
    make_text(folder, "net.onnx", "\10\7");
    refused(in_folder("net.onnx"), HM_EFORMAT, "ONNX");
    make_file(folder, "weights.npz", "PK\3\4", 4);
    refused(in_folder("weights.npz"), HM_EFORMAT, "NumPy");
}

static void a_folder_without_weights_says_what_was_looked_for(void **state)
{
    const make_tensor tensors[] = {{"w", "F32", "[1]", 4, NULL}, END};
    (void)state;
    refused(folder, HM_EMISSING, "looked for model.safetensors");
    make_tensors(folder, "a.safetensors", tensors, NULL);
    make_tensors(folder, "b.safetensors", tensors, NULL);
    refused(folder, HM_EMISSING, "2 *.safetensors files");
    refused(in_folder("absent"), HM_EMISSING, "absent");
}

static void fingerprints_differ_with_content_name_and_type_and_not_with_place(void **state)
{
    char a[33], b[33];
    const make_tensor forward[] = {{"x", "F32", "[2]", 8, NULL}, {"y", "U8", "[1]", 1, NULL}, END};
    const make_tensor backward[] = {{"y", "U8", "[1]", 1, NULL}, {"x", "F32", "[2]", 8, NULL}, END};
    const make_tensor content[] = {{"x", "F32", "[2]", 8, "\1\2\3\4\5\6\7\0"}, {"y", "U8", "[1]", 1, NULL}, END};
    const make_tensor type[] = {{"x", "I32", "[2]", 8, NULL}, {"y", "U8", "[1]", 1, NULL}, END};
    const make_tensor *const all[] = {forward, backward, content, type};
    hm_weights *w;
    (void)state;
    for (int i = 0; i < 4; i++) {
        make_tensors(folder, "model.safetensors", all[i], NULL);
        assert_int_equal(hm_weights_open(&w, folder, i % 2 ? HM_LOAD_READ : HM_LOAD_MAP, &err), HM_OK);
        hm_weights_fingerprint(w, b);
        hm_weights_close(&w);
        assert_int_equal(strlen(b), 32);
        if (i == 0)
            memcpy(a, b, sizeof a);
        else if (i == 1)
            assert_string_equal(a, b);
        else
            assert_string_not_equal(a, b);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(shards_are_read_as_one),
        CASE(a_missing_shard_is_named),
        CASE(a_tensor_that_its_shard_lacks_is_named),
        CASE(a_shard_outside_the_folder_is_refused),
        CASE(two_shards_with_one_name_are_refused_unless_the_index_says_which),
        CASE(bf16_and_f16_files_give_their_tensors_as_stored),
        CASE(unaligned_tensors_are_copied_to_an_aligned_place),
        CASE(another_shape_or_type_or_name_is_told_with_expected_and_found),
        CASE(a_file_that_shrank_after_opening_is_an_error),
        CASE(a_merged_file_carries_its_config_and_tokenizer),
        CASE(quantised_mlx_is_refused_by_name),
        CASE(a_plain_mlx_copy_is_read),
        CASE(an_mlx_codec_is_refused_and_old_weight_norm_names_are_not),
        CASE(mulacover_is_refused_by_tensor_or_field),
        CASE(foreign_files_are_refused_by_name),
        CASE(a_folder_without_weights_says_what_was_looked_for),
        CASE(fingerprints_differ_with_content_name_and_type_and_not_with_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
