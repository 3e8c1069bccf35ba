/* JSON from files that may be wrong: jansson, with limits, and getters that name the file, key, expected and found. */
#ifndef HM_ENGINE_BASE_JSON_H
#define HM_ENGINE_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

#define HM_JSON_MAX_BYTES ((size_t)256 << 20)

/* Parses bytes (need not end in NUL). `where` names the source in errors. Duplicate keys, trailing garbage, invalid UTF-8 and
 * nesting beyond jansson's limit are HM_EFORMAT. Caller owns *out (json_decref). */
hm_status hm_json_parse(json_t **out, const void *data, size_t size, const char *where, hm_error *err);
hm_status hm_json_load(json_t **out, const char *path, hm_error *err);

/* Getters on an object. A missing or null key leaves *out as it is when `required` is false, else HM_EFORMAT. */
hm_status hm_json_int(const json_t *object, const char *key, int64_t min, int64_t max, bool required, int64_t *out, const char *where,
                      hm_error *err);
hm_status hm_json_double(const json_t *object, const char *key, bool required, double *out, const char *where, hm_error *err);
hm_status hm_json_bool(const json_t *object, const char *key, bool required, bool *out, const char *where, hm_error *err);
/* *out points into the object: valid as long as it is. */
hm_status hm_json_string(const json_t *object, const char *key, bool required, const char **out, const char *where, hm_error *err);
/* kind JSON_OBJECT or JSON_ARRAY; borrowed. */
hm_status hm_json_child(const json_t *object, const char *key, json_type kind, bool required, json_t **out, const char *where,
                        hm_error *err);

/* "an object", "a string" ... for messages. */
const char *hm_json_kind(const json_t *value);

#endif
