#include "engine/shapes_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/base/json.h"

/* The flavor names of the original. */
static const struct {
    const char *name;
    hm_stack_shape shape;
} flavors[] = {
    {"llama-3B", {28, 24, 8, 3072, 8192, 8192}},
    {"llama-7B", {32, 32, 8, 4096, 14336, 8192}},
    {"llama-300M", {3, 8, 4, 3072, 8192, 2048}},
    {"llama-400M", {4, 8, 4, 3072, 8192, 2048}},
};

static const hm_stack_shape *flavor_shape(const char *name)
{
    for (size_t i = 0; i < sizeof flavors / sizeof *flavors; i++)
        if (!strcmp(name, flavors[i].name))
            return &flavors[i].shape;
    return NULL;
}

hm_status hm_shape_fields_read(void *out, const json_t *config, const hm_shape_field *fields, size_t count, bool required,
                               const char *where, hm_error *err)
{
    hm_status st = HM_OK;
    for (size_t i = 0; !st && i < count; i++)
        st =
            hm_json_int(config, fields[i].key, fields[i].min, fields[i].max, required, (int64_t *)((char *)out + fields[i].at), where, err);
    return st;
}

json_t *hm_shape_fields_write(json_t *config, const void *shape, const hm_shape_field *fields, size_t count)
{
    for (size_t i = 0; config && i < count; i++)
        if (json_object_set_new(config, fields[i].key, json_integer(*(const int64_t *)((const char *)shape + fields[i].at)))) {
            json_decref(config);
            config = NULL;
        }
    return config;
}

hm_status hm_shape_positive_read(double *out, const json_t *config, const char *key, const char *where, hm_error *err)
{
    hm_status st = hm_json_double(config, key, false, out, where, err);
    if (!st && !(*out > 0 && isfinite(*out) && *out < 1e12))
        st = hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected a number above 0 and below 1e12, found %g", where, key, *out);
    return st;
}

hm_status hm_shape_only_bool(const json_t *config, const char *key, bool value, const char *where, hm_error *err)
{
    bool found = value;
    hm_status st = hm_json_bool(config, key, false, &found, where, err);
    if (!st && found != value)
        st = hm_fail(err, HM_EFORMAT, "%s: \"%s\": only %s is known here, found %s", where, key, value ? "true" : "false",
                     found ? "true" : "false");
    return st;
}

hm_status hm_shape_only_text(const json_t *config, const char *key, const char *value, const char *where, hm_error *err)
{
    const char *found = value;
    hm_status st = hm_json_string(config, key, false, &found, where, err);
    if (!st && strcmp(found, value))
        st = hm_fail(err, HM_EFORMAT, "%s: \"%s\": only \"%s\" is known here, found \"%.64s\"", where, key, value, found);
    return st;
}

hm_status hm_shape_only_int(const json_t *config, const char *key, int64_t value, const char *where, hm_error *err)
{
    int64_t found = value;
    hm_status st = hm_json_int(config, key, INT32_MIN, INT32_MAX, false, &found, where, err);
    if (!st && found != value)
        st = hm_fail(err, HM_EFORMAT, "%s: \"%s\": only %" PRId64 " is known here, found %" PRId64, where, key, value, found);
    return st;
}

hm_status hm_shape_heads_check(int64_t heads, int64_t kv_heads, int64_t head_dim, const char *where, hm_error *err)
{
    if (heads % kv_heads || head_dim % 2)
        return hm_fail(err, HM_EFORMAT,
                       "%s: %" PRId64 " heads of %" PRId64 ", %" PRId64
                       " KV heads: expected an even head_dim and as many heads per KV head",
                       where, heads, head_dim, kv_heads);
    return HM_OK;
}

static const hm_shape_field stack_fields[] = {
    {"num_layers", offsetof(hm_stack_shape, layers), 1, 1000},          {"num_heads", offsetof(hm_stack_shape, heads), 1, 4096},
    {"num_kv_heads", offsetof(hm_stack_shape, kv_heads), 1, 4096},      {"embed_dim", offsetof(hm_stack_shape, width), 1, 1 << 20},
    {"intermediate_dim", offsetof(hm_stack_shape, hidden), 1, 1 << 20}, {"max_seq_len", offsetof(hm_stack_shape, positions), 1, 1 << 24},
};

static const hm_shape_field lm_fields[] = {
    {"text_vocab_size", offsetof(hm_lm_shape, text_vocab), 1, 1 << 24},
    {"audio_vocab_size", offsetof(hm_lm_shape, audio_vocab), 1, 1 << 24},
    {"audio_num_codebooks", offsetof(hm_lm_shape, codebooks), 2, 256},
    {"muq_dim", offsetof(hm_lm_shape, muq), 1, 1 << 20},
};

static hm_status read_stack(hm_stack_shape *out, const json_t *config, const char *part, const char *flavor_key, const char *flavor,
                            const char *where, hm_error *err)
{
    json_t *inline_sizes = NULL;
    hm_status st = hm_json_child(config, part, JSON_OBJECT, false, &inline_sizes, where, err);
    if (!st && inline_sizes)
        st = hm_shape_fields_read(out, inline_sizes, stack_fields, HM_COUNT(stack_fields), true, where, err);
    if (!st && !inline_sizes)
        st = hm_json_string(config, flavor_key, false, &flavor, where, err);
    if (st)
        return st;
    if (!inline_sizes) {
        const hm_stack_shape *known = flavor_shape(flavor);
        if (!known)
            return hm_fail(err, HM_EFORMAT,
                           "%s: \"%s\": expected a known flavor (llama-3B, llama-7B, llama-300M, llama-400M) or a \"%s\" object "
                           "with its sizes, found \"%s\"",
                           where, flavor_key, part, flavor);
        *out = *known;
    }
    if (out->width % (2 * out->heads) || out->heads % out->kv_heads)
        return hm_fail(err, HM_EFORMAT,
                       "%s: %s: %" PRId64 " heads, %" PRId64 " KV heads: expected an even head width in %" PRId64
                       " and as many heads per KV head",
                       where, part, out->heads, out->kv_heads, out->width);
    return HM_OK;
}

hm_status hm_lm_shape_read(hm_lm_shape *out, const json_t *config, const char *where, hm_error *err)
{
    hm_lm_shape s = {.text_vocab = 128256, .audio_vocab = 8197, .codebooks = 8, .muq = 512, .head_gain = 4};
    hm_status st = hm_shape_fields_read(&s, config, lm_fields, HM_COUNT(lm_fields), false, where, err);
    if (!st)
        st = read_stack(&s.backbone, config, "backbone", "backbone_flavor", "llama-3B", where, err);
    if (!st)
        st = read_stack(&s.decoder, config, "decoder", "decoder_flavor", "llama-300M", where, err);
    if (!st)
        *out = s;
    return st;
}

bool hm_shape_text_write(json_t *config, const char *key, const char *value)
{
    return config && !json_object_set_new(config, key, json_string(value));
}

/* The flavor's name, or "custom" with the sizes beside it. */
static bool set_stack(json_t *config, const char *part, const char *flavor_key, const char *flavor, const hm_stack_shape *shape)
{
    if (!hm_shape_text_write(config, flavor_key, flavor ? flavor : "custom"))
        return false;
    return flavor || !json_object_set_new(config, part, hm_shape_fields_write(json_object(), shape, stack_fields, HM_COUNT(stack_fields)));
}

json_t *hm_lm_shape_config(const hm_lm_shape *shape)
{
    json_t *config = json_object();
    bool ok = config && !json_object_set_new(config, "architectures", json_pack("[s]", "HeartMuLa")) &&
              hm_shape_text_write(config, "model_type", "heartmula") && hm_shape_text_write(config, "dtype", "bfloat16") &&
              set_stack(config, "backbone", "backbone_flavor", shape->backbone_flavor, &shape->backbone) &&
              set_stack(config, "decoder", "decoder_flavor", shape->decoder_flavor, &shape->decoder);
    if (!ok) {
        json_decref(config);
        return NULL;
    }
    return hm_shape_fields_write(config, shape, lm_fields, HM_COUNT(lm_fields));
}

#define CODEC(key, member, max)                       \
    {                                                 \
        key, offsetof(hm_codec_shape, member), 1, max \
    }

static const hm_shape_field codec_fields[] = {
    CODEC("dim", dim, 1 << 16),
    CODEC("codebook_size", codebook_size, 1 << 24),
    CODEC("codebook_dim", codebook_dim, 1 << 16),
    CODEC("num_quantizers", quantizers, 256),
    CODEC("attention_head_dim", head_dim, 4096),
    CODEC("num_attention_heads", heads, 4096),
    CODEC("in_channels", in, 1 << 18),
    CODEC("out_channels", out, 1 << 16),
    CODEC("num_layers", layers, 1000),
    CODEC("num_layers_2", layers_2, 1000),
    CODEC("sample_rate", sample_rate, 1 << 20),
    CODEC("num_bands", num_bands, 64),
    CODEC("num_samples", num_samples, 64),
    CODEC("latent_hidden_dim", latent, 1 << 16),
    CODEC("default_kernel_size", kernel, 255),
    CODEC("delay_kernel_size", delay_kernel, 255),
    CODEC("init_channel", init_channel, 1 << 14),
    CODEC("res_kernel_size", res_kernel, 255),
};

hm_status hm_shape_list_read(int64_t *out, int64_t *count, size_t room, int64_t max, const json_t *config, const char *key,
                             const char *where, hm_error *err)
{
    json_t *list = NULL;
    hm_status st = hm_json_child(config, key, JSON_ARRAY, false, &list, where, err);
    if (st || !list)
        return st;
    size_t n = json_array_size(list);
    if (n < 1 || n > room)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected 1 to %zu sizes, found %zu", where, key, room, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        out[i] = json_is_integer(v) ? json_integer_value(v) : 0;
        if (out[i] < 1 || out[i] > max)
            return hm_fail(err, HM_EFORMAT, "%s: \"%s\": size %zu: expected an integer from 1 to %" PRId64, where, key, i, max);
    }
    *count = (int64_t)n;
    return HM_OK;
}

static hm_status read_list(int64_t *out, int64_t *count, const json_t *config, const char *key, const char *where, hm_error *err)
{
    return hm_shape_list_read(out, count, HM_CODEC_MAX_STAGES, 1024, config, key, where, err);
}

static hm_status read_lists(hm_codec_shape *s, const json_t *config, const char *where, hm_error *err)
{
    int64_t kernels = s->up_stages, down_kernels = s->down_stages;
    hm_status st = read_list(s->up, &s->up_stages, config, "upsample_factors", where, err);
    if (!st)
        st = read_list(s->up_kernel, &kernels, config, "upsample_kernel_sizes", where, err);
    if (!st)
        st = read_list(s->down, &s->down_stages, config, "downsample_factors", where, err);
    if (!st)
        st = read_list(s->down_kernel, &down_kernels, config, "downsample_kernel_sizes", where, err);
    if (st)
        return st;
    if (kernels != s->up_stages || down_kernels != s->down_stages)
        return hm_fail(err, HM_EFORMAT,
                       "%s: %" PRId64 " upsample factors with %" PRId64 " kernel sizes, %" PRId64 " downsample factors with %" PRId64
                       ": expected as many",
                       where, s->up_stages, kernels, s->down_stages, down_kernels);
    return HM_OK;
}

static hm_status check_codec(const hm_codec_shape *s, const json_t *config, const char *where, hm_error *err)
{
    const char *norm = "ada_norm_single";
    bool causal = true;
    int64_t rate = 25 * s->num_samples;
    hm_status st = hm_json_string(config, "norm_type", false, &norm, where, err);
    if (!st)
        st = hm_json_bool(config, "causal", false, &causal, where, err);
    if (st)
        return st;
    if (strcmp(norm, "ada_norm_single") || !causal)
        return hm_fail(err, HM_EFORMAT, "%s: expected norm_type ada_norm_single and causal true, found %s and %s", where, norm,
                       causal ? "true" : "false");
    if (s->in != 2 * s->out + s->dim || s->out != 2 * s->latent)
        return hm_fail(err, HM_EFORMAT,
                       "%s: in_channels %" PRId64 ", out_channels %" PRId64 ": expected 2 * out_channels + dim (%" PRId64
                       ") and 2 * latent_hidden_dim (%" PRId64 ")",
                       where, s->in, s->out, 2 * s->out + s->dim, 2 * s->latent);
    for (int64_t i = 0; i < s->up_stages; i++) {
        if (s->up_kernel[i] != 2 * s->up[i])
            return hm_fail(err, HM_EFORMAT, "%s: upsample_kernel_sizes[%" PRId64 "] is %" PRId64 ", expected twice the factor %" PRId64,
                           where, i, s->up_kernel[i], s->up[i]);
        if (__builtin_mul_overflow(rate, s->up[i], &rate))
            rate = -1;
    }
    if (rate != s->sample_rate)
        return hm_fail(err, HM_EFORMAT, "%s: sample_rate %" PRId64 ": expected 25 * num_samples * all upsample_factors = %" PRId64, where,
                       s->sample_rate, rate);
    if (s->head_dim % 2 || s->delay_kernel % 2 == 0)
        return hm_fail(err, HM_EFORMAT, "%s: expected an even attention_head_dim and an odd delay_kernel_size", where);
    return HM_OK;
}

hm_status hm_codec_shape_read(hm_codec_shape *out, const json_t *config, const char *where, hm_error *err)
{
    hm_codec_shape s = {
        .dim = 512,
        .codebook_size = 8192,
        .codebook_dim = 32,
        .quantizers = 8,
        .head_dim = 64,
        .heads = 24,
        .in = 1024,
        .out = 256,
        .layers = 24,
        .layers_2 = 6,
        .sample_rate = 48000,
        .num_bands = 1,
        .num_samples = 2,
        .latent = 128,
        .kernel = 7,
        .delay_kernel = 5,
        .init_channel = 64,
        .res_kernel = 7,
        .down_stages = 5,
        .up_stages = 5,
        .down = {3, 4, 4, 4, 5},
        .down_kernel = {6, 8, 8, 8, 10},
        .up = {5, 4, 4, 4, 3},
        .up_kernel = {10, 8, 8, 8, 6},
        .audio_gain = 1,
    };
    hm_status st = hm_shape_fields_read(&s, config, codec_fields, HM_COUNT(codec_fields), false, where, err);
    if (!st)
        st = read_lists(&s, config, where, err);
    if (!st)
        st = check_codec(&s, config, where, err);
    if (!st)
        *out = s;
    return st;
}

bool hm_shape_list_write(json_t *config, const char *key, const int64_t *values, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, json_integer(values[i])))
            return json_decref(list), false;
    return !json_object_set_new(config, key, list);
}

json_t *hm_codec_shape_config(const hm_codec_shape *s)
{
    json_t *config = json_object();
    bool ok = config && !json_object_set_new(config, "architectures", json_pack("[s]", "HeartCodec")) &&
              hm_shape_text_write(config, "model_type", "heartcodec") && hm_shape_text_write(config, "torch_dtype", "float32") &&
              hm_shape_text_write(config, "norm_type", "ada_norm_single") && !json_object_set_new(config, "causal", json_true()) &&
              hm_shape_list_write(config, "downsample_factors", s->down, s->down_stages) &&
              hm_shape_list_write(config, "downsample_kernel_sizes", s->down_kernel, s->down_stages) &&
              hm_shape_list_write(config, "upsample_factors", s->up, s->up_stages) &&
              hm_shape_list_write(config, "upsample_kernel_sizes", s->up_kernel, s->up_stages);
    if (!ok) {
        json_decref(config);
        return NULL;
    }
    return hm_shape_fields_write(config, s, codec_fields, HM_COUNT(codec_fields));
}

/* Keys that every config may carry, and that tell nothing about sizes. */
static const char *const common_keys[] = {"architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "_name_or_path"};
static const char *const lm_keys[] = {"backbone", "decoder", "backbone_flavor", "decoder_flavor"};
static const char *const codec_keys[] = {"norm_type",
                                         "causal",
                                         "decay",
                                         "commitment_weight",
                                         "use_cosine_sim",
                                         "threshold_ema_dead_code",
                                         "upsample_factors",
                                         "upsample_kernel_sizes",
                                         "downsample_factors",
                                         "downsample_kernel_sizes"};

bool hm_shape_keys_know(const char *key, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(key, keys[i]))
            return true;
    return false;
}

bool hm_shape_fields_know(const char *key, const hm_shape_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(key, fields[i].key))
            return true;
    return false;
}

bool hm_lm_shape_knows(const char *key)
{
    return hm_shape_keys_know(key, common_keys, HM_COUNT(common_keys)) || hm_shape_keys_know(key, lm_keys, HM_COUNT(lm_keys)) ||
           hm_shape_fields_know(key, lm_fields, HM_COUNT(lm_fields));
}

bool hm_codec_shape_knows(const char *key)
{
    return hm_shape_keys_know(key, common_keys, HM_COUNT(common_keys)) || hm_shape_keys_know(key, codec_keys, HM_COUNT(codec_keys)) ||
           hm_shape_fields_know(key, codec_fields, HM_COUNT(codec_fields));
}
