/* Suite files: labelled cases of songs to generate, as YAML. The format is in docs/suites.md; nothing else reads them. */
#ifndef HM_SUITES_SUITE_H
#define HM_SUITES_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/hash.h"

/* Texts are UTF-8 and never NULL except the styles. */
typedef struct hm_suite_case {
    char *name, *description; /* description may be empty */
    char *task;               /* "music" */
    char *tags, *lyrics;
    char *intro_style, *verse_style, *chorus_style; /* NULL: none */
    int frames;                                     /* forced length; 80 ms each */
    uint64_t seed;
    double cfg_scale, temperature, flow_guidance;
    int topk, flow_steps; /* flow_steps 0: as the variant says */
} hm_suite_case;

typedef struct hm_suite {
    char *name, *description, *path;
    char hash[HM_HASH_TEXT]; /* of the file's bytes */
    hm_suite_case *cases;
    int case_count; /* at least 1 */
} hm_suite;

/* Frames of 80 ms in so many seconds. */
#define HM_SUITE_FRAMES_PER_SECOND 12.5

/* Parses bytes; `path` names them in errors. HM_EFORMAT names line and key: broken YAML, unknown or missing keys, values out of range,
 * two cases of one name, aliases. */
hm_status hm_suite_parse(hm_suite **out, const void *data, size_t size, const char *path, hm_error *err);

/* By name (looked for in the folders below) or by path (with a slash, or ending in .yaml). HM_EMISSING with the nearest name. */
hm_status hm_suite_open(hm_suite **out, const char *name_or_path, hm_error *err);
void hm_suite_close(hm_suite **suite);

/* Folder i of those looked in: $HMBENCH_SUITES, ../share/hmbench/suites of the program's folder, the source tree it was built from.
 * False after the last. */
bool hm_suite_folder(int i, char *out, size_t size);

/* Calls back for the name of every suite found, each once, in order of the alphabet. */
hm_status hm_suite_each_name(void (*each)(void *self, const char *name), void *self, hm_error *err);

#endif
