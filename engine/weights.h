/* Named tensors of a checkpoint: safetensors (one file or shards), or synthesised in memory. Nothing else parses files of weights. */
#ifndef HM_ENGINE_WEIGHTS_H
#define HM_ENGINE_WEIGHTS_H

#include <jansson.h>

#include "engine/base/dtype.h"
#include "engine/base/error.h"
#include "engine/base/map.h"
#include "engine/base/probe.h"
#include "engine/base/team.h"

#define HM_TENSOR_MAX_RANK 8

typedef struct hm_tensor {
    const char *name;
    hm_dtype type;
    int rank;
    int64_t shape[HM_TENSOR_MAX_RANK];
    size_t bytes;
    const void *data; /* element-aligned, valid until hm_weights_close; NULL until found when it is read or synthesised lazily */
} hm_tensor;

typedef struct hm_weights hm_weights;

typedef enum hm_load {
    HM_LOAD_READ,
    HM_LOAD_MAP
} hm_load; /* read each tensor into the heap when found; or map the files */

/* path: a folder (model.safetensors, or model.safetensors.index.json + shards, or the only *.safetensors in it) or a file.
 * Every offset, shape and count is checked against the file; HM_EFORMAT names file, tensor, expected and found.
 * Known foreign dialects (GGUF, MLX, MuLaCover) are refused by name with what to do. */
hm_status hm_weights_open(hm_weights **out, const char *path, hm_load load, hm_error *err);

/* Tensors of a golden manifest ({"tensors":[{name,dtype,shape,offset,scale}]}), values by hmsynth under `seed`, made when found.
 * team may be NULL (then one thread). The manifest is kept (json_incref). */
hm_status hm_weights_synth(hm_weights **out, json_t *manifest, uint64_t seed, hm_team *team, const char *where, hm_error *err);

void hm_weights_close(hm_weights **weights);

/* Pages of mapped files are no longer this process's until they are read again; what is on the heap stays. Returns the bytes mapped. */
uint64_t hm_weights_give_back(hm_weights *weights);
/* Pages of the matrices that are used where their file is mapped come at once instead of one by one under the first frame. Tables of
 * embeddings are left, of which a few rows are used. */
void hm_weights_read_in(const hm_weights *weights);

/* config.json beside the file, or inside its metadata ("config" or "config.json"), or the manifest's "config"; NULL when none.
 * Borrowed. metadata: a text of the safetensors __metadata__ by key, NULL when absent. path: for messages. */
const json_t *hm_weights_config(const hm_weights *weights);
const char *hm_weights_metadata(const hm_weights *weights, const char *key);
const char *hm_weights_path(const hm_weights *weights);

/* Tensor i of count, in name order; data may be NULL (not loaded). */
int hm_weights_count(const hm_weights *weights);
const hm_tensor *hm_weights_at(const hm_weights *weights, int i);
/* By name without loading; NULL when absent. */
const hm_tensor *hm_weights_peek(const hm_weights *weights, const char *name);

/* Type of tensor i as the file writes it: also that of a type nothing here computes with ("F8_E4M3"; its hm_tensor.type is HM_DTYPE_COUNT). */
const char *hm_weights_type_name(const hm_weights *weights, int i);
/* Files it is read from, 0 when synthesised; path and size of file i. */
int hm_weights_file_count(const hm_weights *weights);
const char *hm_weights_file(const hm_weights *weights, int i, uint64_t *bytes);

/* The tensor `name`, demanding rank and shape (a -1 in shape accepts any size) and one of F32, BF16, F16. Its data may not be there.
 * HM_EFORMAT names tensor, expected and found. */
hm_status hm_weights_look(const hm_weights *weights, const char *name, int rank, const int64_t *shape, const hm_tensor **out,
                          hm_error *err);
/* The same, with data. load_copied_bytes is added to count (may be NULL). */
hm_status hm_weights_find(hm_weights *weights, const char *name, int rank, const int64_t *shape, hm_counters *count, const hm_tensor **out,
                          hm_error *err);

/* Fingerprint of what the weights are: names, types, shapes, and sampled content. 32 hex digits and NUL. */
void hm_weights_fingerprint(const hm_weights *weights, char out[33]);

#endif
