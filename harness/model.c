#include "harness/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/base/team.h"
#include "engine/checkpoint.h"
#include "engine/preset.h"
#include "harness/options.h"
#include "harness/progress.h"

#define PRESET_SEED 1
#define MAX_PRESETS 64

hm_status hm_cache_path(char *out, size_t size, hm_error *err)
{
    const char *own = getenv("HMBENCH_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (own && *own)
        n = snprintf(out, size, "%s", own);
    else if (xdg && *xdg == '/')
        n = snprintf(out, size, "%s/hmbench", xdg);
    else if (home && *home)
        n = snprintf(out, size, "%s/.cache/hmbench", home);
    if (n < 0)
        return hm_fail(err, HM_EMISSING, "cache: neither HMBENCH_CACHE nor XDG_CACHE_HOME nor HOME is set; set HMBENCH_CACHE to a folder");
    if ((size_t)n >= size)
        return hm_fail(err, HM_EUSAGE, "cache: its path is %d bytes, at most %zu", n, size - 1);
    return HM_OK;
}

/* A folder in the cache. */
static hm_status cache_folder(const char *name, char *out, size_t size, hm_error *err)
{
    char cache[HM_MODEL_PATH];
    hm_status st = hm_cache_path(cache, sizeof cache, err);
    if (!st && (size_t)snprintf(out, size, "%s/%s", cache, name) >= size)
        st = hm_fail(err, HM_EUSAGE, "cache: the path of its folder \"%s\" is longer than %zu bytes", name, size - 1);
    return st;
}

hm_status hm_cache_packs(char *out, size_t size, hm_error *err)
{
    return cache_folder("packs", out, size, err);
}

hm_status hm_cache_compiled(char *out, size_t size, hm_error *err)
{
    return cache_folder("compiled", out, size, err);
}

hm_status hm_model_cache_path(const char *preset, char *out, size_t size, hm_error *err)
{
    char cache[HM_MODEL_PATH], hash[HM_PRESET_HASH] = "";
    const hm_preset *known = hm_preset_find(preset);
    hm_status st = hm_cache_path(cache, sizeof cache, err);
    if (!st && known)
        st = hm_preset_hash(known, hash, err);
    if (st)
        return st;
    if ((size_t)snprintf(out, size, "%s/models/%s%s%s", cache, preset, known ? "-" : "", hash) >= size)
        return hm_fail(err, HM_EUSAGE, "cache: the path of %s is longer than %zu bytes", preset, size - 1);
    return HM_OK;
}

hm_status hm_make_folders(const char *path, hm_error *err)
{
    char part[HM_MODEL_PATH];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return hm_fail(err, HM_EUSAGE, "folder: its path is %zu bytes, at most %zu", n, sizeof part - 1);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i])
            continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return hm_fail(err, HM_ECREATE, "folder %s cannot be made: %s", part, strerror(errno));
        part[i] = kept;
    }
    return HM_OK;
}

static bool is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

static hm_status check_room(const char *folder, const hm_preset *preset, hm_error *err)
{
    struct statvfs disk;
    uint64_t need = hm_preset_bytes(preset), have;
    if (statvfs(folder, &disk))
        return HM_OK; /* no figure: writing will say */
    have = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (have >= need)
        return HM_OK;
    return hm_fail(err, HM_ECREATE, "model %s needs %.1f GB in %s, which has %.1f GB free; free some or set HMBENCH_CACHE to another disk",
                   preset->name, (double)need * 1e-9, folder, (double)have * 1e-9);
}

static hm_status write_preset(const hm_preset *preset, const char *path, hm_error *err)
{
    hm_progress progress;
    hm_probe probe = {.self = &progress, .progress = hm_progress_probe};
    hm_team *team = NULL;
    hm_status st = hm_team_open(&team, 0, err);
    if (st)
        return st;
    hm_log_write(hm_log_stderr(true), HM_LOG_INFO, "making the synthetic model %s (%.3g MB, once) in %s", preset->name,
                 (double)hm_preset_bytes(preset) * 1e-6, path);
    hm_progress_start(&progress, preset->name, false);
    st = hm_preset_write(preset, path, PRESET_SEED, team, &probe, err);
    hm_progress_end(&progress);
    hm_team_close(&team);
    return st;
}

/* Makes the preset's folder unless another process has made it while this one waited for the lock. */
static hm_status make_preset(const hm_preset *preset, const char *path, hm_error *err)
{
    char parent[HM_MODEL_PATH], lock[HM_MODEL_PATH + 8];
    int fd;
    hm_status st;
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    st = hm_make_folders(parent, err);
    if (st)
        return st;
    snprintf(lock, sizeof lock, "%s.lock", path);
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return hm_fail(err, HM_ECREATE, "lock %s cannot be made: %s", lock, strerror(errno));
    while (flock(fd, LOCK_EX))
        if (errno != EINTR || hm_interrupted()) {
            st = errno == EINTR ? hm_fail(err, HM_EINTERRUPTED, "interrupted while another process makes %s", preset->name)
                                : hm_fail(err, HM_EIO, "lock %s: %s", lock, strerror(errno));
            close(fd);
            return st;
        }
    if (!is_folder(path)) {
        st = check_room(parent, preset, err);
        if (!st)
            st = write_preset(preset, path, err);
    }
    close(fd); /* the lock goes with it; its file stays, or another process could lock a file without a name */
    return st;
}

static hm_status no_such_model(const char *model, hm_error *err)
{
    const char *names[MAX_PRESETS + 1] = {0};
    char near[HM_SUGGESTION] = "";
    int n = 0;
    for (const hm_preset *p = hm_preset_list(); p->name && n < MAX_PRESETS; p++)
        names[n++] = p->name;
    if (!strchr(model, '/'))
        hm_did_you_mean(near, model, names);
    return hm_fail(err, HM_EMISSING, "model \"%s\": no such folder, file or preset%s (hmbench list models)", model, near);
}

hm_status hm_model_resolve(const char *model, char path[HM_MODEL_PATH], bool *synthetic, hm_error *err)
{
    const hm_preset *preset = hm_preset_find(model ? model : HM_MODEL_DEFAULT);
    hm_status st;
    if (!preset) {
        if (!model || access(model, F_OK))
            return no_such_model(model ? model : HM_MODEL_DEFAULT, err);
        if ((size_t)snprintf(path, HM_MODEL_PATH, "%s", model) >= HM_MODEL_PATH)
            return hm_fail(err, HM_EUSAGE, "model: its path is %zu bytes, at most %d", strlen(model), HM_MODEL_PATH - 1);
        if (synthetic)
            *synthetic = false;
        return HM_OK;
    }
    st = hm_model_cache_path(preset->name, path, HM_MODEL_PATH, err);
    if (!st && !is_folder(path))
        st = make_preset(preset, path, err);
    if (!st && synthetic)
        *synthetic = true;
    return st;
}

static hm_model_look look_of(hm_model_kind family, const char *kind)
{
    bool speech = family == HM_MODEL_QWEN3_TTS;
    return (hm_model_look){.family = family,
                           .task = speech                       ? "speech"
                                   : family == HM_MODEL_WHISPER ? "transcript"
                                                                : "music",
                           .kind = speech ? kind : ""};
}

/* The kind of a talker, by its config. */
static hm_status talker_kind(const char **out, const char *path, hm_error *err)
{
    hm_weights *weights = NULL;
    const char *kind = NULL;
    hm_status st = hm_weights_open(&weights, path, HM_LOAD_MAP, err);
    if (st)
        return st;
    const json_t *config = hm_weights_config(weights);
    if (!config)
        st = hm_fail(err, HM_EMISSING, "model %s: it has no config.json", path);
    else
        st = hm_json_string(config, "tts_model_type", true, &kind, path, err);
    *out = NULL;
    for (hm_tts_kind k = HM_TTS_CUSTOM_VOICE; k <= HM_TTS_BASE && !st; k++)
        if (!strcmp(kind, hm_tts_kind_name(k)))
            *out = hm_tts_kind_name(k);
    if (!st && !*out)
        st = hm_fail(err, HM_EFORMAT, "model %s: tts_model_type \"%.40s\": expected custom_voice, voice_design or base", path, kind);
    hm_weights_close(&weights);
    return st;
}

hm_status hm_model_look_at(hm_model_look *out, const char *model, hm_error *err)
{
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    const hm_preset *preset = hm_preset_find(model);
    hm_checkpoint found;
    const char *kind = "";
    if (preset) {
        bool speech = hm_preset_tts_shapes(preset, &talker, &codec);
        bool whisper = !strcmp(preset->model, "whisper");
        *out = look_of(speech    ? HM_MODEL_QWEN3_TTS
                       : whisper ? HM_MODEL_WHISPER
                                 : HM_MODEL_HEARTMULA,
                       speech ? hm_tts_kind_name(talker.kind) : "");
        return HM_OK;
    }
    if (access(model, F_OK))
        return no_such_model(model, err);
    hm_status st = hm_checkpoint_find(&found, model, err);
    if (st)
        return st;
    if (!found.model)
        st = hm_fail(err, HM_EMISSING,
                     "model %s: neither a HeartMuLa nor a Qwen3-TTS nor a Whisper model was found there (hmbench inspect tells what is)",
                     model);
    else if (found.model == HM_MODEL_QWEN3_TTS && found.lm)
        st = talker_kind(&kind, found.lm, err);
    if (!st)
        *out = look_of(found.model, kind);
    hm_checkpoint_close(&found);
    return st;
}

bool hm_model_makes(const hm_model_look *look, const char *task, const char *kind)
{
    return !strcmp(look->task, task) && (strcmp(task, "speech") || !strcmp(look->kind, kind));
}

const char *hm_model_default(const char *task, const char *kind)
{
    if (!strcmp(task, "transcript"))
        return "whisper-mini";
    if (strcmp(task, "speech"))
        return HM_MODEL_DEFAULT;
    return !strcmp(kind, "voice_design") ? "qwen3-tts-mini-voice-design" : !strcmp(kind, "base") ? "qwen3-tts-mini-base" : "qwen3-tts-mini";
}

void hm_model_name(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path, *dash = strrchr(name, '-');
    char plain[64];
    snprintf(plain, sizeof plain, "%.*s", dash ? (int)(dash - name) : 0, name);
    bool cached = dash && strlen(dash + 1) == HM_PRESET_HASH - 1 && hm_preset_find(plain);
    snprintf(out, size, "%s", cached ? plain : name);
}
