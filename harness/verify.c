#include "harness/verify.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "harness/verify_bench.h"

/* Speech models keep the config of their speech tokenizer beside their goldens. */
static bool is_speech(struct dirent **files, int count)
{
    for (int i = 0; i < count; i++)
        if (hm_ends(files[i]->d_name, ".speech_tokenizer.config.json"))
            return true;
    return false;
}

hm_status hm_verify_folder(hm_verify *v, const char *dir, hm_error *err)
{
    struct dirent **files;
    int count = scandir(dir, &files, NULL, alphasort);
    if (count < 0)
        return hm_fail(err, HM_EMISSING, "%s: no such folder", dir);
    hm_status st = HM_OK;
    bool speech = is_speech(files, count), whisper = hm_verify_is_whisper(files, count);
    if (whisper)
        st = hm_verify_whisper(v, dir, err);
    for (int i = 0; i < count && !st && !whisper; i++)
        st = (speech ? hm_verify_tts_file : hm_verify_heart_file)(v, dir, files, count, files[i]->d_name, err);
    for (int i = 0; i < count; i++)
        free(files[i]);
    free(files);
    if (!st)
        st = hm_verify_text(v, dir, err);
    if (!st && !v->compared)
        st = hm_fail(
            err, HM_EMISSING,
            "%s: nothing to verify; expected STEM.manifest.json with STEM.*.s<seed>.safetensors, manifest_seed<seed>.json with expected.json, or tokenizer_cases.json",
            dir);
    return st;
}
