/* Sizes of a model as its config.json tells them, and the list of tensors that follows: names, shapes, and how synthesis fills them. */
#ifndef HM_ENGINE_SHAPES_H
#define HM_ENGINE_SHAPES_H

#include <jansson.h>
#include <stdbool.h>

#include "engine/base/dtype.h"
#include "engine/base/error.h"

enum {
    HM_CODEC_MAX_STAGES = 16
};

typedef struct hm_stack_shape {
    int64_t layers, heads, kv_heads, width, hidden, positions;
} hm_stack_shape;

/* HeartMuLa. Flavors are known by name; other sizes come inline as "backbone" and "decoder" objects (num_layers, num_heads,
 * num_kv_heads, embed_dim, intermediate_dim, max_seq_len), which win over a flavor. */
typedef struct hm_lm_shape {
    hm_stack_shape backbone, decoder;
    const char *backbone_flavor, *decoder_flavor; /* of a preset; NULL: sizes inline */
    int64_t text_vocab, audio_vocab, codebooks, muq;
    double head_gain; /* synthesis: rms of the logits, 4 in the goldens */
} hm_lm_shape;

typedef struct hm_codec_shape {
    int64_t dim, codebook_size, codebook_dim, quantizers, head_dim, heads, in, out, layers, layers_2;
    int64_t sample_rate, num_bands, num_samples, latent, kernel, delay_kernel, init_channel, res_kernel;
    int64_t down_stages, up_stages, down[HM_CODEC_MAX_STAGES], down_kernel[HM_CODEC_MAX_STAGES], up[HM_CODEC_MAX_STAGES],
        up_kernel[HM_CODEC_MAX_STAGES];
    int initted_rank;  /* synthesis: 0 in the goldens, 1 in released files */
    double audio_gain; /* synthesis: gain of the output convolution, 1 in the goldens */
} hm_codec_shape;

/* Checked: present where required, positive, bounded, heads divide widths, and what the codec demands of its sizes. */
hm_status hm_lm_shape_read(hm_lm_shape *out, const json_t *config, const char *where, hm_error *err);
hm_status hm_codec_shape_read(hm_codec_shape *out, const json_t *config, const char *where, hm_error *err);

/* Whether a key of config.json means something here, or is known to mean nothing for running the model. */
bool hm_lm_shape_knows(const char *key);
bool hm_codec_shape_knows(const char *key);

/* config.json of a shape. New reference; NULL without memory. */
json_t *hm_lm_shape_config(const hm_lm_shape *shape);
json_t *hm_codec_shape_config(const hm_codec_shape *shape);

typedef struct hm_tensor_row {
    char name[120];
    hm_dtype type;
    int rank;
    int64_t shape[3];
    float offset, scale; /* of the synthesis; a BOOL is true */
    bool unused;         /* stored, but no computation reads it */
} hm_tensor_row;

typedef struct hm_tensor_table {
    hm_tensor_row *rows; /* in the order of the original's state dict */
    int count, room;
} hm_tensor_table;

/* All tensors of a checkpoint; LM in BF16, codec in F32 (unused ones included). Free with hm_tensor_table_close. */
hm_status hm_lm_table(hm_tensor_table *out, const hm_lm_shape *shape, hm_error *err);
hm_status hm_codec_table(hm_tensor_table *out, const hm_codec_shape *shape, hm_error *err);
void hm_tensor_table_close(hm_tensor_table *table);

/* Width of a feed-forward layer of the codec's transformers: 256 * ceil(floor(8 width / 3) / 256). */
int64_t hm_codec_hidden(int64_t width);

/* Bytes of a row. */
uint64_t hm_tensor_row_bytes(const hm_tensor_row *row);

#endif
