/* Codes of a song or an utterance as a file: safetensors with one tensor "codes", I32 [codebooks, frames], and what they are in its
 * metadata. */
#ifndef HM_HARNESS_CODES_H
#define HM_HARNESS_CODES_H

#include <stdint.h>

#include "engine/base/error.h"

typedef struct hm_codes {
    int frames, codebooks;
    int32_t *codes;       /* [frames][codebooks], as the engine has them; free() */
    char fingerprint[33]; /* of the model that drew them; empty: not known */
    uint64_t seed;
    char model[64]; /* the preset that drew them; empty: none, or not known */
    char variant[256];
} hm_codes;

/* Never a half-written file. HM_ECREATE, HM_EIO. */
hm_status hm_codes_write(const char *path, const hm_codes *codes, hm_error *err);

/* Checks name, type (I32 or I64), shape and range (0 .. 65535) and transposes. HM_EFORMAT, HM_EMISSING. */
hm_status hm_codes_read(const char *path, hm_codes *out, hm_error *err);

#endif
