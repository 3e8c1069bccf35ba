/* Inside of hm_weights, for weights.c (tensors and their data) and weights_open.c (files and folders). */
#ifndef HM_ENGINE_WEIGHTS_IMPL_H
#define HM_ENGINE_WEIGHTS_IMPL_H

#include <stdbool.h>

#include "engine/safetensors.h"
#include "engine/weights.h"

typedef struct weights_entry {
    hm_tensor t;           /* type HM_DTYPE_COUNT: cannot be used */
    const char *type_name; /* as the file writes it */
    int part;              /* index of the file; -1 when synthesised */
    uint64_t at;           /* first byte in the file */
    float offset, scale;   /* of the synthesis */
    void *owned;           /* data in the heap */
} weights_entry;

typedef struct weights_part {
    hm_safetensors file;
    hm_map map; /* HM_LOAD_MAP, once a tensor of it was found */
} weights_part;

struct hm_weights {
    char *path;
    hm_load load;
    json_t *manifest; /* synthesised */
    json_t *index;
    json_t *config;
    uint64_t seed;
    hm_team *team;
    int part_count;
    weights_part *parts;
    int count;
    weights_entry *entries; /* in name order */
    bool from_index;
};

/* Sorts entries by name and refuses two of one name. */
hm_status hm_weights_sort(hm_weights *weights, hm_error *err);

#endif
