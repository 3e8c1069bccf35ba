/* What the readers of configs and the tables of tensors of all model families share. Private to engine/shapes*.c. */
#ifndef HM_ENGINE_SHAPES_IMPL_H
#define HM_ENGINE_SHAPES_IMPL_H

#include "engine/shapes.h"

/* One size of a config: key, where it goes (an int64_t at this offset), bounds. */
typedef struct hm_shape_field {
    const char *key;
    size_t at;
    int64_t min, max;
} hm_shape_field;

#define HM_COUNT(array) (sizeof(array) / sizeof *(array))

hm_status hm_shape_fields_read(void *out, const json_t *config, const hm_shape_field *fields, size_t count, bool required,
                               const char *where, hm_error *err);
/* Adds the fields of shape to config and returns it; NULL (config released) without memory. */
json_t *hm_shape_fields_write(json_t *config, const void *shape, const hm_shape_field *fields, size_t count);
bool hm_shape_fields_know(const char *key, const hm_shape_field *fields, size_t count);
bool hm_shape_keys_know(const char *key, const char *const *keys, size_t count);

/* An array of 1 to `room` sizes from 1 to `max`; absent: out and count stay as they are. */
hm_status hm_shape_list_read(int64_t *out, int64_t *count, size_t room, int64_t max, const json_t *config, const char *key,
                             const char *where, hm_error *err);
bool hm_shape_list_write(json_t *config, const char *key, const int64_t *values, int64_t count);
/* True when it was written. */
bool hm_shape_text_write(json_t *config, const char *key, const char *value);

/* A finite number above 0; absent: *out stays. */
hm_status hm_shape_positive_read(double *out, const json_t *config, const char *key, const char *where, hm_error *err);
/* A flag, word or number that must have the one value that is built here; absent counts as that. */
hm_status hm_shape_only_bool(const json_t *config, const char *key, bool value, const char *where, hm_error *err);
hm_status hm_shape_only_text(const json_t *config, const char *key, const char *value, const char *where, hm_error *err);
hm_status hm_shape_only_int(const json_t *config, const char *key, int64_t value, const char *where, hm_error *err);
/* Heads share KV heads evenly, and halves of a head can be rotated. */
hm_status hm_shape_heads_check(int64_t heads, int64_t kv_heads, int64_t head_dim, const char *where, hm_error *err);

/* A table in the making: the type of its tensors, what stands before every name, whether computations read them. */
typedef struct hm_table_builder {
    hm_tensor_table table;
    hm_dtype type;
    const char *prefix;
    bool unused, no_memory;
    hm_tensor_row none; /* takes what is written after memory ran out */
} hm_table_builder;

/* A tensor under prefix + formatted name, filled by the default rule; sizes of 0 end the shape. Returns its row for a rule of its own. */
hm_tensor_row *hm_table_put(hm_table_builder *b, int64_t d0, int64_t d1, int64_t d2, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void hm_table_rule(hm_tensor_row *row, double offset, double scale);
hm_status hm_table_finish(hm_tensor_table *out, hm_table_builder *b, hm_error *err);

#endif
