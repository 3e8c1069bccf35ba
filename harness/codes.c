#include "harness/codes.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/map.h"
#include "engine/safetensors.h"

#define MAX_CODEBOOKS 64
#define MAX_FRAMES (1 << 20)
#define MAX_CODE 65535

/* {"__metadata__": {...}, "codes": {...}}, padded so that what follows is 8-byte aligned. malloc'ed. */
static char *header_text(const hm_codes *codes, size_t bytes, hm_error *err)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, codes->seed);
    json_t *root = json_pack("{s:{s:s, s:s, s:s, s:s, s:s}, s:{s:s, s:[i, i], s:[i, I]}}", "__metadata__", "format", "hmbench codes",
                             "fingerprint", codes->fingerprint, "model", codes->model, "seed", seed, "variant", codes->variant, "codes",
                             "dtype", "I32", "shape", codes->codebooks, codes->frames, "data_offsets", 0, (json_int_t)bytes);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL, *padded = NULL;
    json_decref(root);
    if (text) {
        size_t n = strlen(text), whole = (n + 7) / 8 * 8;
        padded = realloc(text, whole + 1);
        if (padded) {
            memset(padded + n, ' ', whole - n);
            padded[whole] = 0;
        } else {
            free(text);
        }
    }
    if (!padded)
        hm_fail(err, HM_EABSENT, "codes: no memory for the file's header");
    return padded;
}

hm_status hm_codes_write(const char *path, const hm_codes *codes, hm_error *err)
{
    size_t count = (size_t)codes->frames * (size_t)codes->codebooks, bytes = count * sizeof(int32_t), header_bytes;
    char *header = header_text(codes, bytes, err);
    uint8_t *file;
    hm_status st;
    if (!header)
        return HM_EABSENT;
    header_bytes = strlen(header);
    file = hm_calloc(1, 8 + header_bytes + bytes, "a file of codes", err);
    if (!file) {
        free(header);
        return HM_EABSENT;
    }
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)header_bytes >> 8 * i);
    memcpy(file + 8, header, header_bytes);
    for (int k = 0; k < codes->codebooks; k++)
        for (int t = 0; t < codes->frames; t++)
            memcpy(file + 8 + header_bytes + ((size_t)k * (size_t)codes->frames + (size_t)t) * 4,
                   &codes->codes[(size_t)t * (size_t)codes->codebooks + (size_t)k], 4);
    st = hm_file_write(path, file, 8 + header_bytes + bytes, err);
    free(file);
    free(header);
    return st;
}

/* The one tensor, demanded in type and shape. */
static hm_status find_tensor(const hm_safetensors *file, const char *path, const hm_safetensors_entry **out, hm_error *err)
{
    char shape[128];
    for (int i = 0; i < file->count; i++) {
        const hm_safetensors_entry *e = &file->entries[i];
        if (strcmp(e->name, "codes"))
            continue;
        if (e->type != HM_I32 && e->type != HM_I64)
            return hm_fail(err, HM_EFORMAT, "codes %s: tensor codes: expected type I32, found %s", path, e->type_name);
        if (e->rank != 2 || e->shape[0] < 1 || e->shape[0] > MAX_CODEBOOKS || e->shape[1] < 1 || e->shape[1] > MAX_FRAMES)
            return hm_fail(err, HM_EFORMAT, "codes %s: tensor codes: expected [codebooks, frames], found %s", path,
                           hm_shape_text(shape, sizeof shape, e->rank, e->shape));
        *out = e;
        return HM_OK;
    }
    return hm_fail(err, HM_EFORMAT, "codes %s: it has no tensor \"codes\": is it a file that generate or speak --codes wrote?", path);
}

static hm_status copy_codes(const hm_safetensors_entry *e, const uint8_t *data, const char *path, hm_codes *out, hm_error *err)
{
    int K = (int)e->shape[0], T = (int)e->shape[1];
    out->codes = hm_calloc((size_t)K * (size_t)T, sizeof *out->codes, "codes", err);
    if (!out->codes)
        return HM_EABSENT;
    out->codebooks = K;
    out->frames = T;
    for (int k = 0; k < K; k++)
        for (int t = 0; t < T; t++) {
            size_t i = (size_t)k * (size_t)T + (size_t)t;
            int64_t code;
            int32_t narrow;
            if (e->type == HM_I64) {
                memcpy(&code, data + i * 8, 8);
            } else {
                memcpy(&narrow, data + i * 4, 4);
                code = narrow;
            }
            if (code < 0 || code > MAX_CODE)
                return hm_fail(err, HM_EFORMAT, "codes %s: codebook %d, frame %d: expected 0 to %d, found %" PRId64, path, k, t, MAX_CODE,
                               code);
            out->codes[(size_t)t * (size_t)K + (size_t)k] = (int32_t)code;
        }
    return HM_OK;
}

static void copy_metadata(const json_t *metadata, hm_codes *out)
{
    const char *fingerprint = json_string_value(json_object_get(metadata, "fingerprint"));
    const char *variant = json_string_value(json_object_get(metadata, "variant"));
    const char *model = json_string_value(json_object_get(metadata, "model"));
    const char *seed = json_string_value(json_object_get(metadata, "seed"));
    if (fingerprint)
        snprintf(out->fingerprint, sizeof out->fingerprint, "%s", fingerprint);
    if (model)
        snprintf(out->model, sizeof out->model, "%s", model);
    if (variant)
        snprintf(out->variant, sizeof out->variant, "%s", variant);
    if (seed)
        out->seed = strtoull(seed, NULL, 10);
}

hm_status hm_codes_read(const char *path, hm_codes *out, hm_error *err)
{
    hm_safetensors file = {0};
    hm_map map = {0};
    const hm_safetensors_entry *entry = NULL;
    const uint8_t *data;
    hm_codes codes = {0};
    hm_status st = hm_safetensors_open(&file, path, err);
    if (!st)
        st = find_tensor(&file, path, &entry, err);
    if (!st)
        st = hm_map_open(&map, path, err);
    if (!st) {
        data = hm_map_at(&map, entry->offset, entry->bytes);
        st = data ? copy_codes(entry, data, path, &codes, err) : hm_fail(err, HM_EFORMAT, "codes %s: the file ends inside its codes", path);
    }
    if (!st)
        copy_metadata(file.metadata, &codes);
    hm_map_close(&map);
    hm_safetensors_close(&file);
    if (st)
        free(codes.codes);
    else
        *out = codes;
    return st;
}
