#define _GNU_SOURCE /* asprintf */
#include "harness/peers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/base/map.h"
#include "engine/base/words.h"
#include "harness/process.h"
#include "harness/progress.h"

const hm_peer hm_peers[] = {
    {"faster-whisper", "transcript", "faster-whisper", "whisper_faster.py", "Whisper by faster-whisper: CTranslate2, float32"},
    {"faster-whisper-int8", "transcript", "faster-whisper", "whisper_faster.py --compute-type int8", "the same, weights in 8 bits"},
    {"transformers", "transcript", "torch", "whisper_transformers.py", "Whisper by transformers: PyTorch, float32"},
    {"qwen-tts", "speech", "torch", "speech_qwen.py", "Qwen3-TTS by its authors' package: PyTorch, eager, float32"},
    {"qwen-tts-compile", "speech", "torch", "speech_qwen.py --compile", "the same, talker and code predictor by torch.compile"},
    {"yardstick", "music", "torch", "music_yardstick.py", "HeartMuLa's language model as a plain loop: PyTorch, eager, float32; no codec"},
    {"yardstick-compile", "music", "torch", "music_yardstick.py --compile", "the same by torch.compile"},
    {"heartlib", "music", NULL, "music_heartlib.py", "HeartMuLa by its authors' code: peer:heartlib --heartlib PATH, a checkout of yours"},
    {0},
};

static const int64_t SECOND_NS = 1000000000, INSTALL_S = 3600, ABOUT_S = 120;

const hm_peer *hm_peer_find(const char *name)
{
    for (const hm_peer *p = hm_peers; p->name; p++)
        if (!strcmp(p->name, name))
            return p;
    return NULL;
}

/* Where adapters lie: beside an installed program, else in the source tree. */
static hm_status adapters(char out[HM_MODEL_PATH], hm_error *err)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    char *slash = strrchr(program, '/');
    snprintf(out, HM_MODEL_PATH, "%.*s/../share/hmbench/adapters", slash ? (int)(slash - program) : 1, slash ? program : ".");
    if (!access(out, R_OK))
        return HM_OK;
    snprintf(out, HM_MODEL_PATH, "%s", HM_ADAPTERS_SOURCE);
    return access(out, R_OK) ? hm_fail(err, HM_EMISSING, "peers: there are no adapters in %s", out) : HM_OK;
}

static hm_status joined(char out[HM_MODEL_PATH], hm_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
static hm_status joined(char out[HM_MODEL_PATH], hm_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, HM_MODEL_PATH, format, args);
    va_end(args);
    return n < 0 || n >= HM_MODEL_PATH
               ? hm_fail(err, HM_ECREATE, "peers: a path is longer than %d bytes: %.200s...", HM_MODEL_PATH - 1, out)
               : HM_OK;
}

hm_status hm_peer_folder(const hm_peer *peer, char out[HM_MODEL_PATH], hm_error *err)
{
    char cache[HM_MODEL_PATH];
    hm_status st = hm_cache_path(cache, sizeof cache, err);
    return st ? st : joined(out, err, "%s/peers/%s", cache, peer->environment);
}

hm_status hm_peer_requirements(const hm_peer *peer, char out[HM_MODEL_PATH], hm_error *err)
{
    char folder[HM_MODEL_PATH];
    hm_status st = adapters(folder, err);
    return st ? st : joined(out, err, "%s/requirements/%s.txt", folder, peer->environment);
}

/* The file that a whole environment has: a copy of what it was made from. */
static hm_status marker(const hm_peer *peer, char out[HM_MODEL_PATH], hm_error *err)
{
    char folder[HM_MODEL_PATH];
    hm_status st = hm_peer_folder(peer, folder, err);
    return st ? st : joined(out, err, "%s/installed.txt", folder);
}

static bool same_bytes(const char *one, const char *two)
{
    hm_map a = {0}, b = {0};
    bool same = !hm_map_open(&a, one, NULL) && !hm_map_open(&b, two, NULL) && a.size == b.size && !memcmp(a.data, b.data, a.size);
    hm_map_close(&a);
    hm_map_close(&b);
    return same;
}

hm_peer_state hm_peer_look(const hm_peer *peer)
{
    char folder[HM_MODEL_PATH], wanted[HM_MODEL_PATH], made[HM_MODEL_PATH];
    if (!peer->environment)
        return HM_PEER_OWN;
    if (hm_peer_folder(peer, folder, NULL) || access(folder, F_OK))
        return HM_PEER_ABSENT;
    bool same = !hm_peer_requirements(peer, wanted, NULL) && !marker(peer, made, NULL) && same_bytes(wanted, made);
    return same ? HM_PEER_READY : HM_PEER_OTHER;
}

hm_status hm_peer_command(const hm_peer *peer, const char *options, char *out, size_t size, hm_error *err)
{
    char folder[HM_MODEL_PATH] = "", programs[HM_MODEL_PATH];
    hm_peer_state state = hm_peer_look(peer);
    bool own = state == HM_PEER_OWN;
    if (state != HM_PEER_READY && !own)
        return hm_fail(err, HM_EABSENT, "peer %s is %s: hmbench peers install %s", peer->name,
                       state == HM_PEER_ABSENT ? "not installed" : "installed in other versions than are pinned, or not to its end",
                       peer->name);
    hm_status st = own ? HM_OK : hm_peer_folder(peer, folder, err);
    if (!st)
        st = adapters(programs, err);
    if (st)
        return st;
    if (strchr(folder, '\'') || strchr(programs, '\''))
        return hm_fail(err, HM_EUSAGE, "peers: a quote in the folder %.200s or %.200s", folder, programs);
    int n = snprintf(out, size, "exec '%s%s' -u '%s'/%s%s%s", folder, own ? "python3" : "/bin/python", programs, peer->program,
                     *options ? " " : "", options);
    return n < 0 || (size_t)n >= size ? hm_fail(err, HM_EUSAGE, "peer %s: its command is longer than %zu bytes", peer->name, size - 1)
                                      : HM_OK;
}

static hm_status unknown(const char *name, size_t length, hm_error *err)
{
    const char *names[32] = {0};
    char word[HM_WORD_MAX + 1], near[HM_SUGGESTION];
    int n = 0;
    for (const hm_peer *p = hm_peers; p->name && n < 31; p++)
        names[n++] = p->name;
    snprintf(word, sizeof word, "%.*s", (int)(length > HM_WORD_MAX ? HM_WORD_MAX : length), name);
    return hm_fail(err, HM_EUSAGE, "there is no peer \"%s\"%s (hmbench peers; another program is NAME=COMMAND)", word,
                   hm_did_you_mean(near, word, names));
}

hm_status hm_peer_arm(const char *text, size_t *name_size, char **command, hm_error *err)
{
    static const char prefix[] = "peer:";
    char name[64], line[3 * HM_MODEL_PATH];
    const char *equals = strchr(text, '='), *of = equals ? equals + 1 : text;
    *name_size = equals ? (size_t)(equals - text) : strlen(text);
    *command = NULL;
    if (!*name_size || !*of || *name_size > 60)
        return hm_fail(err, HM_EUSAGE, "--arm \"%.80s\": expected NAME=COMMAND, NAME=peer:PEER or the name of a peer (hmbench peers)",
                       text);
    bool peer_meant = !equals || !strncmp(of, prefix, sizeof prefix - 1);
    if (peer_meant) {
        of += equals ? sizeof prefix - 1 : 0;
        size_t length = strcspn(of, " ");
        snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), of);
        const hm_peer *peer = hm_peer_find(name);
        hm_status st = peer ? hm_peer_command(peer, of + length + (of[length] == ' '), line, sizeof line, err) : unknown(of, length, err);
        if (st)
            return st;
        of = line;
    }
    *command = strdup(of);
    return *command ? HM_OK : hm_fail(err, HM_EABSENT, "--arm: out of memory");
}

/* Runs a program to its end. line: takes its last line, NULL: each goes to say. */
static hm_status run(char *const argv[], int64_t seconds, void (*say)(const char *line), char *line, size_t size, hm_error *err)
{
    hm_process *process = NULL;
    const char *text;
    size_t length;
    char words[300];
    int code = 1;
    hm_status st = hm_process_start(&process, argv, err);
    if (st)
        return st;
    hm_read got;
    int64_t deadline = hm_clock_now(hm_clock_real()) + seconds * SECOND_NS;
    while ((got = hm_process_read(process, deadline, hm_interrupted, &text, &length)) == HM_READ_LINE) {
        if (say)
            say(text);
        if (line)
            snprintf(line, size, "%s", text);
    }
    snprintf(words, sizeof words, "%s", hm_process_last_words(process));
    hm_process_end(&process, got == HM_READ_END ? 5 * SECOND_NS : 0, &code);
    if (hm_interrupted())
        return hm_fail(err, HM_EINTERRUPTED, "interrupted");
    if (got == HM_READ_TIMEOUT)
        return hm_fail(err, HM_EABSENT, "%s took longer than %lld s", argv[2], (long long)seconds);
    return code ? hm_fail(err, HM_EABSENT, "%s failed (exit code %d)%s%s", argv[2], code, *words ? ": " : "", words) : HM_OK;
}

hm_status hm_peer_install(const hm_peer *peer, void (*say)(const char *line), hm_error *err)
{
    char folder[HM_MODEL_PATH], python[HM_MODEL_PATH], list[HM_MODEL_PATH], made[HM_MODEL_PATH];
    hm_map text = {0};
    hm_status st = hm_peer_folder(peer, folder, err);
    if (!st)
        st = hm_peer_requirements(peer, list, err);
    if (!st)
        st = joined(python, err, "%s/bin/python", folder);
    if (!st)
        st = marker(peer, made, err);
    if (!st)
        st = hm_make_folders(folder, err);
    if (st)
        return st;
    unlink(made); /* until it is whole again */
    char *const venv[] = {"/usr/bin/env", "python3", "-m", "venv", "--clear", folder, NULL};
    /* every package is pinned, so none is to be resolved */
    char *const pip[] = {"/usr/bin/env", python,          "-m", "pip", "install", "--disable-pip-version-check",
                         "--no-deps",    "--requirement", list, NULL};
    st = run(venv, INSTALL_S, say, NULL, 0, err);
    if (!st)
        st = run(pip, INSTALL_S, say, NULL, 0, err);
    if (!st)
        st = hm_map_open(&text, list, err);
    if (!st)
        st = hm_file_write(made, text.data, text.size, err);
    hm_map_close(&text);
    return st;
}

hm_status hm_peer_about(const hm_peer *peer, json_t **about, hm_error *err)
{
    char command[3 * HM_MODEL_PATH], line[4096] = "";
    hm_status st = hm_peer_command(peer, "--about", command, sizeof command, err);
    char *const argv[] = {"/bin/sh", "-c", command, NULL};
    *about = NULL;
    if (!st)
        st = run(argv, ABOUT_S, NULL, line, sizeof line, err);
    if (!st)
        st = hm_json_parse(about, line, strlen(line), peer->name, err);
    if (st || json_is_object(*about))
        return st;
    json_decref(*about);
    *about = NULL;
    return hm_fail(err, HM_EFORMAT, "peer %s: what it says of itself is no object", peer->name);
}
