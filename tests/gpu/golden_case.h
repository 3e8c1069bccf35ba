/* Golden files on the software device, in one process of the runtime build, so that what the device compiles is compiled once. */
#ifndef HM_TESTS_GPU_GOLDEN_CASE_H
#define HM_TESTS_GPU_GOLDEN_CASE_H

#include <jansson.h>

#include "engine/base/map.h"
#include "harness/verify.h"
#include "tests/engine_case.h"
#include "tests/make_safetensors.h"
#include "tests/soft_case.h"

#define HEART HM_TEST_DATA "/goldens/heart"
#define SPEECH HM_TEST_DATA "/goldens/qwen3-tts"

static soft_library golden_soft;

static inline void golden_row(void *self, const hm_verify_row *row)
{
    const char *what = self;
    if (row->outcome == HM_VERIFY_MISS)
        fprintf(stderr, "%s: %s: %s: %g apart, expected at most %g (%s)\n", what, row->file, row->tensor, row->max_abs, row->tolerance,
                row->text);
}

/* Every golden of the folder is met. */
static inline void golden_met(const char *variant, const hm_toggles *toggles, const char *folder)
{
    hm_verify v = {
        .api = case_runtime(), .toggles = toggles, .backend = SOFT_BACKEND, .threads = 2, .self = (void *)variant, .row = golden_row};
    hm_error err = {0};
    if (hm_verify_folder(&v, folder, &err))
        fail_msg("%s: %s", variant, err.text);
    assert_true(v.compared > 0);
    assert_int_equal(v.missed, 0);
    soft_clean(&golden_soft);
}

/* A folder of links to some files of another. */
static inline void golden_pick(char *to, const char *from, const char *const *names)
{
    char file[512], link[512];
    assert_non_null(mkdtemp(to));
    for (; *names; names++) {
        snprintf(file, sizeof file, "%s/%s", from, *names);
        snprintf(link, sizeof link, "%s/%s", to, *names);
        assert_int_equal(symlink(file, link), 0);
    }
}

/* A golden file without its last frames: tensors named `rows` (a list, with or without a group before them) have `less` rows fewer. group: of
 * the groups "group/..." only this one is kept; NULL: all. */
static inline void golden_cut(const char *folder, const char *from, const char *name, const char *group, const char *const *rows, int less)
{
    char path[512];
    hm_map file;
    hm_error err = {0};
    size_t at = 0;
    uint64_t header_bytes;
    snprintf(path, sizeof path, "%s/%s", from, name);
    if (hm_map_open(&file, path, &err))
        fail_msg("%s", err.text);
    memcpy(&header_bytes, file.data, sizeof header_bytes);
    json_t *header = json_loadb((const char *)file.data + 8, (size_t)header_bytes, 0, NULL), *kept = json_object(), *entry;
    const char *data = (const char *)file.data + 8 + header_bytes, *key;
    char *out = malloc(file.size);
    assert_true(header && kept && out);
    json_object_foreach(header, key, entry)
    {
        const char *slash = strchr(key, '/'), *last = slash ? slash + 1 : key;
        json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
        if (group && slash && (strlen(group) != (size_t)(slash - key) || strncmp(key, group, strlen(group))))
            continue;
        size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0)),
               bytes = (size_t)json_integer_value(json_array_get(offsets, 1)) - begin;
        for (const char *const *r = rows; *r; r++)
            if (!strcmp(*r, last)) {
                json_int_t all = json_integer_value(json_array_get(shape, 0));
                bytes = bytes / (size_t)all * (size_t)(all - less);
                json_array_set_new(shape, 0, json_integer(all - less));
            }
        memcpy(out + at, data + begin, bytes);
        json_object_set_new(entry, "data_offsets", json_pack("[I, I]", (json_int_t)at, (json_int_t)(at + bytes)));
        json_object_set(kept, key, entry);
        at += bytes;
    }
    char *text = json_dumps(kept, JSON_COMPACT);
    size_t size;
    uint8_t *bytes = make_safetensors_bytes(text, out, at, &size);
    make_file(folder, name, bytes, size);
    free(bytes);
    free(text);
    free(out);
    json_decref(kept);
    json_decref(header);
    hm_map_close(&file);
}

#endif
