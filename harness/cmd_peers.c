#define _GNU_SOURCE /* asprintf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "harness/commands.h"
#include "harness/conform.h"
#include "harness/peers.h"
#include "harness/recording.h"
#include "harness/run_report.h"
#include "harness/table.h"

typedef struct peers_args {
    const char *model, *backend;
    int64_t timeout_s;
    bool json;
} peers_args;

static const char *const states[] = {"not installed", "other versions", "ready", "yours"};

/* What an installed peer says of itself; {} when it is not there, {"remark": why} when it fails. New reference. */
static json_t *about(const hm_peer *peer)
{
    hm_error err = {0};
    json_t *o = NULL;
    if (hm_peer_look(peer) != HM_PEER_READY)
        return json_object();
    return hm_peer_about(peer, &o, &err) ? json_pack("{s:s}", "remark", err.text) : o;
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static hm_status list(const peers_args *a, hm_error *err)
{
    static const char *const titles[] = {"peer", "makes", "state", "versions", "threads", "precision", "settings", "what", NULL};
    json_t *all = json_array();
    hm_table *table = a->json ? NULL : hm_table_new(titles);
    for (const hm_peer *p = hm_peers; p->name; p++) {
        json_t *o = about(p);
        const char *state = states[hm_peer_look(p)], *remark = text_of(o, "remark");
        hm_table_row(table, (const char *const[]){p->name, p->task, state, text_of(o, "versions"), text_of(o, "threads"),
                                                  text_of(o, "precision"), text_of(o, "settings"), p->text});
        if (remark && !a->json)
            fprintf(stderr, "%s: %s\n", p->name, remark);
        json_object_set_new(o, "name", json_string(p->name));
        json_object_set_new(o, "task", json_string(p->task));
        json_object_set_new(o, "state", json_string(state));
        json_object_set_new(o, "text", json_string(p->text));
        json_array_append_new(all, o);
    }
    if (a->json)
        return hm_json_print(all, err);
    json_decref(all);
    return hm_table_end(table, stdout, hm_terminal_width(), err);
}

static void say(const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static hm_status unknown_peer(const char *name, hm_error *err)
{
    size_t size;
    char *command = NULL;
    hm_status st = hm_peer_arm(name, &size, &command, err); /* says which is near */
    free(command);
    return st ? st : hm_fail(err, HM_EUSAGE, "peers: \"%.60s\" is no peer's name (hmbench peers)", name);
}

/* Whether its environment is whole: one whose Python has gone is made anew. */
static bool works(const hm_peer *peer)
{
    json_t *o = NULL;
    bool good = hm_peer_look(peer) == HM_PEER_READY && !hm_peer_about(peer, &o, NULL);
    json_decref(o);
    return good;
}

static hm_status install(const hm_strings *names, hm_error *err)
{
    if (names->count < 2)
        return hm_fail(err, HM_EUSAGE, "peers install: which one? (hmbench peers)");
    for (int i = 1; i < names->count; i++) {
        const hm_peer *peer = hm_peer_find(names->items[i]);
        if (!peer)
            return unknown_peer(names->items[i], err);
        if (hm_peer_look(peer) == HM_PEER_OWN)
            return hm_fail(err, HM_EUSAGE, "peers install: %s", peer->text);
        if (works(peer)) {
            fprintf(stderr, "%s is there\n", peer->name);
            continue;
        }
        hm_status st = hm_peer_install(peer, say, err);
        if (st)
            return st;
        fprintf(stderr, "%s is installed: hmbench suite ... --arm %s\n", peer->name, peer->name);
    }
    return HM_OK;
}

static void finding(void *self, bool good, const char *what, const char *words)
{
    (void)self;
    printf("%-4s  %s%s%s\n", good ? "ok" : "FAIL", what, *words ? ": " : "", words);
    fflush(stdout);
}

static hm_case_record short_case(const hm_model_look *look, char recording[HM_MODEL_PATH])
{
    hm_case_record c = {.task = look->task, .name = "check", .suite = "check", .frames = 4, .seed = 1, .topk = 50, .temperature = 1};
    if (!strcmp(look->task, "speech")) {
        c.kind = look->kind;
        c.text = "Good morning.";
        c.language = "english";
        c.speaker = !strcmp(look->kind, "custom_voice") ? "ryan" : NULL;
        c.instruct = !strcmp(look->kind, "voice_design") ? "an old man, slow and hoarse" : NULL;
        c.top_p = c.sub_temperature = c.sub_top_p = c.repetition_penalty = 1;
        c.sub_topk = 50;
        c.streaming_text = -1;
    } else if (!strcmp(look->task, "transcript")) {
        c.recording = "voice";
        c.recording_path = recording;
        c.audio_s = 4;
        c.chunk_s = 30;
        c.batch = c.beams = 1;
        c.window_tokens = c.frames;
        c.language = "english";
        c.temperature = c.topk = 0;
    } else {
        c.tags = "folk, slow";
        c.lyrics = "[Verse]\nmorning\n";
        c.cfg_scale = 1.5;
        c.flow_guidance = 1.25;
    }
    return c;
}

/* "PEER", "peer:PEER --option" or a command. *peer: NULL for a command; *command: malloc'ed. */
static hm_status find_checked(const char *what, const hm_peer **peer, char **command, hm_error *err)
{
    static const char prefix[] = "peer:";
    char name[64], *arm = NULL;
    size_t size;
    bool named = !strncmp(what, prefix, sizeof prefix - 1);
    const char *of = named ? what + sizeof prefix - 1 : what;
    size_t length = strcspn(of, named ? " " : "");
    snprintf(name, sizeof name, "%.*s", length < sizeof name ? (int)length : 0, of);
    *peer = hm_peer_find(name);
    if (asprintf(&arm, "it=%s%s", named || *peer ? prefix : "", of) < 0)
        return hm_fail(err, HM_EABSENT, "peers check: out of memory");
    hm_status st = hm_peer_arm(arm, &size, command, err);
    free(arm);
    return st;
}

static hm_status check(const char *what, const peers_args *a, hm_error *err)
{
    char *command = NULL, path[HM_MODEL_PATH], recording[HM_MODEL_PATH];
    int failed = 0;
    hm_model_look look;
    const hm_peer *peer;
    hm_status st = find_checked(what, &peer, &command, err);
    const char *model = a->model ? a->model : hm_model_default(!st && peer ? peer->task : "music", "custom_voice");
    if (!st)
        st = hm_model_look_at(&look, model, err);
    if (!st)
        st = hm_model_resolve(model, path, NULL, err);
    if (st) {
        free(command);
        return st;
    }
    hm_case_record c = short_case(&look, recording);
    st = hm_recording_path(recording, sizeof recording, c.audio_s, c.seed, err);
    if (!st)
        st = hm_recording_prepare(&c, err);
    hm_conform conform = {
        .command = command, .model = path, .backend = a->backend, .c = &c, .timeout_ns = a->timeout_s * 1000000000, .finding = finding};
    if (!st)
        st = hm_conform_run(&conform, &failed, err);
    free(command);
    if (!st && failed)
        st = hm_fail(err, HM_EFAILED, "peers check: %d finding%s (docs/worker-protocol.md)", failed, failed == 1 ? "" : "s");
    return st;
}

hm_status hm_cmd_peers(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const actions[] = {"list", "install", "check", NULL};
    char near[HM_SUGGESTION];
    bool helped;
    hm_strings args = {0};
    peers_args a = {.backend = "cpu", .timeout_s = 1800}; /* as of a suite's run: what compiles may take minutes before its first answer */
    const hm_option options[] = {{"model", 'm', HM_OPT_STRING, &a.model, "DIR|PRESET",
                                  "check: what it opens (default: the mini preset of what it makes)", 0, 0, NULL},
                                 {"backend", 'b', HM_OPT_STRING, &a.backend, "NAME", "check: what it is told to use", 0, 0, NULL},
                                 {"timeout", 0, HM_OPT_DURATION, &a.timeout_s, "TIME", "check: of each answer", 1, 86400, NULL},
                                 {"json", 0, HM_OPT_FLAG, &a.json, NULL, "list: one JSON array instead of a table", 0, 0, NULL},
                                 {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, &args, 32, &helped, err);
    if (st || helped)
        return st;
    const char *action = args.count ? args.items[0] : "list";
    if (!strcmp(action, "list"))
        return list(&a, err);
    if (!strcmp(action, "install"))
        return install(&args, err);
    if (strcmp(action, "check"))
        return hm_fail(err, HM_EUSAGE, "peers: no action \"%s\"%s (list, install, check)", action, hm_did_you_mean(near, action, actions));
    if (args.count != 2)
        return hm_fail(err, HM_EUSAGE, "peers check: one peer's name, or one command in quotes");
    return check(args.items[1], &a, err);
}
