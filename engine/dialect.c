#define _GNU_SOURCE
#include "engine/dialect.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct {
    const char *text, *advice;
} dialects[] = {
#define HM_DIALECT_ROW(name, what, advice_text) [name] = {what, advice_text},
    HM_DIALECT_LIST(HM_DIALECT_ROW)
#undef HM_DIALECT_ROW
};

const char *hm_dialect_text(hm_dialect dialect)
{
    return dialects[dialect].text;
}

const char *hm_dialect_advice(hm_dialect dialect)
{
    return dialects[dialect].advice;
}

hm_status hm_dialect_refuse(hm_dialect dialect, const char *path, const char *example, hm_error *err)
{
    return hm_fail(err, HM_EFORMAT, "%s: %s%s%s%s is not read here: %s", path, hm_dialect_text(dialect), example ? " (" : "",
                   example ? example : "", example ? ")" : "", hm_dialect_advice(dialect));
}

hm_dialect hm_dialect_of_name(const char *file_name)
{
    static const struct {
        const char *suffix;
        hm_dialect dialect;
    } suffixes[] = {
        {".gguf", HM_DIALECT_GGUF},   {".bin", HM_DIALECT_PICKLE}, {".pt", HM_DIALECT_PICKLE}, {".pth", HM_DIALECT_PICKLE},
        {".ckpt", HM_DIALECT_PICKLE}, {".pkl", HM_DIALECT_PICKLE}, {".onnx", HM_DIALECT_ONNX}, {".npz", HM_DIALECT_NUMPY},
    };
    const char *dot = strrchr(file_name, '.');
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof *suffixes; i++)
        if (!strcasecmp(dot, suffixes[i].suffix))
            return suffixes[i].dialect;
    return HM_DIALECT_NONE;
}

hm_dialect hm_dialect_of_file(const char *path)
{
    unsigned char first[4] = {0};
    hm_dialect by_name = hm_dialect_of_name(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return HM_DIALECT_NONE;
    ssize_t n = read(fd, first, sizeof first);
    close(fd);
    if (n == 4 && !memcmp(first, "GGUF", 4))
        return HM_DIALECT_GGUF;
    if (n == 4 && !memcmp(first, "PK\3\4", 4)) /* a zip: what torch.save and numpy.savez write */
        return by_name == HM_DIALECT_NUMPY ? HM_DIALECT_NUMPY : HM_DIALECT_PICKLE;
    if (n == 4 && first[0] == 0x80 && first[1] >= 2 && first[1] <= 5 && by_name == HM_DIALECT_PICKLE)
        return HM_DIALECT_PICKLE;
    return by_name;
}

static bool starts_with(const char *text, const char *head)
{
    return !strncmp(text, head, strlen(head));
}

static bool has_sibling(const hm_weights *weights, const char *name, size_t stem, const char *tail)
{
    char other[1024];
    if ((size_t)snprintf(other, sizeof other, "%.*s%s", (int)stem, name, tail) >= sizeof other)
        return false;
    return hm_weights_peek(weights, other) != NULL;
}

/* X.weight with X.scales and X.biases beside it. */
static bool is_mlx_triple(const hm_weights *weights, const char *name)
{
    size_t n = strlen(name), stem = n - strlen("weight");
    return n > 7 && !strcmp(name + n - 7, ".weight") && has_sibling(weights, name, stem, "scales") &&
           has_sibling(weights, name, stem, "biases");
}

/* A weight-normed convolution of the original codec that is stored as one plain weight. */
static bool is_folded_codec(const hm_weights *weights, const char *name)
{
    static const char *const tails[] = {".conv1.weight", ".conv2.weight", ".layer.weight"};
    size_t n = strlen(name);
    if (!starts_with(name, "scalar_model.decoder."))
        return false;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        size_t m = strlen(tails[i]);
        if (n > m && !strcmp(name + n - m, tails[i]))
            return !has_sibling(weights, name, n - strlen("weight"), "parametrizations.weight.original0");
    }
    return false;
}

static const char *mulacover_field(const json_t *config)
{
    static const char *const fields[] = {"qwen_dim", "peft_layer_num", "train_tag"};
    const char *type = json_string_value(json_object_get(config, "model_type"));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (json_object_get(config, fields[i]))
            return fields[i];
    return type && !strcasecmp(type, "mulacover") ? "model_type" : NULL;
}

hm_dialect hm_dialect_of_weights(const hm_weights *weights, const char **example)
{
    int count = hm_weights_count(weights);
    for (int i = 0; i < count; i++) {
        const char *name = *example = hm_weights_at(weights, i)->name;
        if (is_mlx_triple(weights, name))
            return HM_DIALECT_MLX_QUANTISED;
        if (starts_with(name, "qwen_linear") || starts_with(name, "peft_layers.") || starts_with(name, "tag_mlp_layers."))
            return HM_DIALECT_MULACOVER;
        if (is_folded_codec(weights, name))
            return HM_DIALECT_MLX_CODEC;
    }
    *example = mulacover_field(hm_weights_config(weights));
    return *example ? HM_DIALECT_MULACOVER : HM_DIALECT_NONE;
}
