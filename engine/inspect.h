/* What a checkpoint is, told without loading it: from configs and the headers of its files. */
#ifndef HM_ENGINE_INSPECT_H
#define HM_ENGINE_INSPECT_H

#include <jansson.h>
#include <stdio.h>

#include "engine/base/error.h"

/* The report as JSON (new reference): "path", "model", "readable", "parts" (kind, path, layout, types, tensors, parameters, bytes, files,
 * config, facts of a speech model in words, metadata, oddities; or problem and advice), "missing" (sentences), "tokenizer", "gen_config",
 * "synthetic". What cannot be read is in the report, with what to
 * do; only a path that is not there fails (HM_EMISSING). memory: what variants would need, joined as "memory" as it is; may be NULL. */
hm_status hm_inspect(json_t **out, const char *path, json_t *memory, hm_error *err);

/* The report for people. "memory" is an object of text lines by name, or left out. HM_EIO when writing fails. */
hm_status hm_inspect_print(const json_t *report, FILE *out, hm_error *err);

#endif
