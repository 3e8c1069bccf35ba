#include "harness/suite_run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/case.h"
#include "harness/energy.h"
#include "harness/machine.h"
#include "harness/machine_state.h"
#include "harness/page_cache.h"
#include "harness/recording.h"

/* One case and model: what is fed back. */
typedef struct fed {
    int case_index;
    char model_id[HM_HASH_TEXT];
    hm_stored_codes codes;
} fed;

typedef struct suite_run {
    hm_store *store;
    const hm_suite_options *o;
    const hm_plan *plan;
    hm_suite_outcome *out;
    fed *fed;
    int fed_count;
    hm_tally *tally;
    hm_settle settle;
    hm_progress progress;
    double idle_w;      /* of the machine at rest; NaN: not known */
    uint8_t *cold_done; /* [cases][arms] */
    /* of the turn that is going on */
    int case_index, arm;
    hm_error late;  /* of the conclude hook: what was measured is stored before it counts */
    bool keep_made; /* an untimed run that draws the codes */
    bool missed;    /* codes were wanted and there are none for these weights */
} suite_run;

static void say(const suite_run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const suite_run *r, const char *format, ...)
{
    va_list args;
    if (r->o->quiet)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

/* The codes of a case and model, from the cache or the database; NULL when there are none yet. */
static hm_status find_fed(suite_run *r, int c, const char *model_id, const hm_stored_codes **out, hm_error *err)
{
    bool found;
    hm_stored_codes codes;
    *out = NULL;
    for (int i = 0; i < r->fed_count; i++)
        if (r->fed[i].case_index == c && !strcmp(r->fed[i].model_id, model_id)) {
            *out = &r->fed[i].codes;
            return HM_OK;
        }
    const hm_case_record *record = &r->plan->cases[c];
    hm_status st = hm_store_get_codes(r->store, record->request_hash, model_id, record->seed, &codes, &found, err);
    if (st || !found)
        return st;
    if (!hm_case_takes(record, codes.frames)) {
        st = hm_fail(err, HM_EIO, "database: stored codes of %s/%s have %d frames, expected %d", record->suite, record->name, codes.frames,
                     record->frames);
        hm_stored_codes_free(&codes);
        return st;
    }
    fed *grown = realloc(r->fed, (size_t)(r->fed_count + 1) * sizeof *grown);
    if (!grown) {
        hm_stored_codes_free(&codes);
        return hm_fail(err, HM_EABSENT, "stored codes: out of memory");
    }
    r->fed = grown;
    fed *f = &r->fed[r->fed_count++];
    f->case_index = c;
    f->codes = codes;
    snprintf(f->model_id, sizeof f->model_id, "%s", model_id);
    *out = &f->codes;
    return HM_OK;
}

hm_status hm_suite_refuse_software(const char *arm, const char *device, hm_error *err)
{
    return hm_fail(err, HM_EINVALID,
                   "%.80s runs on a software device (%.80s), whose times say nothing about hardware; exact counts (gate --counts-only), "
                   "codes and fidelity are sound",
                   arm, device);
}

/* Finds what is fed to this turn. A program that does not name its weights is taken to have those last seen in its folder. */
static hm_status on_opened(void *self, const hm_opened *opened, hm_run_order *order, hm_error *err)
{
    suite_run *r = self;
    const hm_plan_arm *a = &r->plan->arms[r->arm];
    char id[HM_HASH_TEXT];
    hm_status st = HM_OK;
    if (opened->software && r->o->judges_times)
        return hm_suite_refuse_software(a->name, opened->device, err);
    if (!opened->stored_codes || r->keep_made)
        return HM_OK;
    memcpy(id, opened->model.id, sizeof id);
    if (!id[0])
        st = hm_store_find_model(r->store, a->model, id, err);
    if (!st && id[0])
        st = find_fed(r, r->case_index, id, &order->codes, err);
    r->missed = !order->codes && !a->command;
    return st;
}

static void on_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    suite_run *r = self;
    hm_progress_update(&r->progress, phase, done, total);
}

/* Progress, the worker, and back. */
static hm_status take_turn(suite_run *r, const hm_run_order *order, const char *title, hm_turn *turn, hm_error *err)
{
    hm_turn_hooks hooks = {.self = r, .opened = on_opened, .progress = on_progress, .stop = hm_interrupted};
    char short_title[64];
    snprintf(short_title, sizeof short_title, "%.63s", title);
    hm_progress_start(&r->progress, short_title, r->o->quiet);
    hm_status st = hm_turn_run(turn, &r->plan->arms[r->arm], order, r->o->timeout_ns, &hooks, err);
    hm_progress_end(&r->progress);
    for (int i = 0; i < turn->sample_count; i++)
        hm_energy_fill_idle(&turn->samples[i], r->idle_w);
    if (!st && turn->status == HM_RUN_INTERRUPTED)
        st = hm_fail(err, HM_EINTERRUPTED, "interrupted");
    return st;
}

static hm_status put_model(suite_run *r, const hm_plan_arm *arm, const hm_opened *opened, hm_error *err)
{
    hm_model_record m = opened->model;
    if (!m.id[0])
        return HM_OK;
    snprintf(m.path, sizeof m.path, "%.1023s", arm->model);
    hm_model_name(arm->model, m.name, sizeof m.name);
    return hm_store_put_model(r->store, &m, err);
}

/* An untimed, free run of the reference arm whose codes every arm will be fed. A failure of the worker is left to the timed runs, which
 * record it. */
static hm_status make_codes(suite_run *r, int c, int arm, hm_error *err)
{
    hm_turn turn;
    const hm_case_record *record = &r->plan->cases[c];
    const hm_plan_arm *a = &r->plan->arms[arm];
    hm_run_order order = {.c = *record, .warmup = "none", .skip_codec = true, .want_codes = true};
    char title[256];
    r->case_index = c;
    r->arm = arm;
    r->keep_made = true;
    snprintf(title, sizeof title, "codes %s/%s", record->suite, record->name);
    hm_status st = take_turn(r, &order, title, &turn, err);
    r->keep_made = false;
    if (!st && turn.status == HM_RUN_OK && turn.made.codes && turn.opened.model.id[0]) {
        snprintf(turn.made.made_by, sizeof turn.made.made_by, "%.127s", a->name);
        st = put_model(r, a, &turn.opened, err);
        if (!st)
            st = hm_store_put_codes(r->store, record->request_hash, turn.opened.model.id, record->seed, &turn.made, err);
        if (!st)
            say(r, "codes of %s/%s: drawn once by %s (%.1f s), fed to every arm\n", record->suite, record->name, a->name,
                (double)turn.duration_ns * 1e-9);
    } else if (!st && turn.status != HM_RUN_OK) {
        say(r, "codes of %s/%s: %s could not draw them: %s: %s\n", record->suite, record->name, a->name, hm_run_status_name(turn.status),
            turn.reason);
    }
    hm_turn_free(&turn);
    return st;
}

/* The arm whose codes of a case are fed to those of a model: our first that runs, else the first program. */
static int reference_of(const hm_plan *plan, int c, const char *model)
{
    for (int pass = 0; pass < 2; pass++)
        for (int a = 0; a < plan->arm_count; a++)
            if (!plan->arms[a].refusal[0] && !strcmp(plan->arms[a].model, model) && hm_plan_runs(plan, c, a) &&
                (pass || !plan->arms[a].command))
                return a;
    return -1;
}

/* Whether codes for this case were stored under any fingerprint that an arm of this model has reported before: asks the worker. */
static hm_status codes_are_there(suite_run *r, int c, int arm, bool *there, hm_error *err)
{
    char id[HM_HASH_TEXT] = "";
    const hm_stored_codes *codes = NULL;
    *there = false;
    hm_status st = hm_store_find_model(r->store, r->plan->arms[arm].model, id, err);
    if (!st && id[0])
        st = find_fed(r, c, id, &codes, err);
    *there = codes != NULL;
    return st;
}

static hm_status prepare_codes(suite_run *r, hm_error *err)
{
    hm_status st = HM_OK;
    for (int a = 0; a < r->plan->arm_count && !st; a++)
        for (int c = 0; c < r->plan->case_count && !st; c++) {
            bool there;
            if (reference_of(r->plan, c, r->plan->arms[a].model) != a)
                continue;
            st = codes_are_there(r, c, a, &there, err);
            if (!st && !there)
                st = make_codes(r, c, a, err);
        }
    return st;
}

static void file_name(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
    for (char *p = out; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *p))
            *p = '-';
}

static void audio_path(const suite_run *r, char *out, size_t size, int c, int arm)
{
    char name[128];
    file_name(name, sizeof name, r->plan->arms[arm].name);
    snprintf(out, size, "%s/%s-%s-%s.flac", r->o->audio_folder, r->plan->cases[c].suite, r->plan->cases[c].name, name);
}

static hm_status store_turn(suite_run *r, const hm_turn *turn, int round, int slot, const char *audio, hm_error *err)
{
    const hm_plan_arm *a = &r->plan->arms[r->arm];
    hm_artifact_record artifact = {.kind = "audio", .path = audio, .bytes = HM_UNKNOWN};
    struct stat info;
    bool has_audio = audio && turn->status == HM_RUN_OK && !stat(audio, &info);
    if (has_audio) {
        artifact.bytes = info.st_size;
        hm_hash_file(artifact.hash, audio, NULL);
    }
    hm_run_record run = {.session_id = r->o->session_id,
                         .arm_id = a->id,
                         .case_id = r->plan->cases[r->case_index].id,
                         .model_id = turn->was_opened && turn->opened.model.id[0] ? turn->opened.model.id : NULL,
                         .round = round,
                         .slot = slot,
                         .status = turn->status,
                         .reason = turn->status == HM_RUN_OK ? NULL : turn->reason,
                         .duration_ns = turn->duration_ns,
                         .memory_available_bytes = turn->memory_available_bytes,
                         .warmup = round == HM_COLD_ROUND ? "none" : r->o->warmup,
                         .isa = turn->was_opened && turn->opened.isa[0] ? turn->opened.isa : NULL,
                         .threads = turn->was_opened ? turn->opened.threads : 0,
                         .device = turn->was_opened && turn->opened.device[0] ? turn->opened.device : NULL,
                         .device_uuid = turn->opened.device_uuid[0] ? turn->opened.device_uuid : NULL,
                         .device_driver = turn->opened.device_driver[0] ? turn->opened.device_driver : NULL,
                         .device_memory_bytes = turn->opened.device_memory_bytes,
                         .software = turn->opened.software,
                         .samples = turn->samples,
                         .sample_count = turn->status == HM_RUN_OK ? turn->sample_count : 0,
                         .artifacts = &artifact,
                         .artifact_count = has_audio};
    hm_uuid_text(run.id);
    memcpy(run.started_utc, turn->started_utc, sizeof run.started_utc);
    hm_status st = turn->was_opened ? put_model(r, a, &turn->opened, err) : HM_OK;
    if (!st && (a->program || a->command) && turn->build.id[0])
        st = hm_store_put_arm_build(r->store, a->id, &turn->build, err);
    return st ? st : hm_store_put_run(r->store, &run, err);
}

static void report_turn(const suite_run *r, const hm_turn *turn, int round)
{
    const hm_case_record *c = &r->plan->cases[r->case_index];
    char eta[32];
    int width = 0;
    for (int a = 0; a < r->plan->arm_count; a++)
        width = (int)strlen(r->plan->arms[a].name) > width ? (int)strlen(r->plan->arms[a].name) : width;
    say(r, "round %d/%d  %s/%s  %-*s ", round + 1, r->o->rounds, c->suite, c->name,
        width < 22   ? 22
        : width > 60 ? 60
                     : width,
        r->plan->arms[r->arm].name);
    if (turn->status == HM_RUN_OK) {
        const hm_sample *s = &turn->samples[turn->sample_count - 1];
        double wall = hm_tally_at(r->tally, r->case_index, r->arm, round)->wall_ns * 1e-9;
        say(r, "%8.2f s", wall);
        if (s->audio_s > 0)
            say(r, "  RTF %.3f", wall / s->audio_s);
        if (turn->opened.software)
            say(r, "  software device");
        if (s->output.compared)
            say(r, "  codes %s", s->output.codes_equal ? "equal" : "differ");
        if (s->health[0] && strcmp(s->health, "ok"))
            say(r, "  health %s", s->health);
    } else {
        say(r, "%s: %s", hm_run_status_name(turn->status), turn->reason);
    }
    say(r, "  ETA %s\n", hm_duration_text(eta, sizeof eta, hm_tally_seconds_left(r->tally)));
}

static bool applies(void *self, int c, int arm)
{
    const suite_run *r = self;
    return hm_plan_runs(r->plan, c, arm);
}

static bool wanted(void *self, int c, int arm, int round)
{
    suite_run *r = self;
    return !hm_tally_at(r->tally, c, arm, round)->done && !r->plan->arms[arm].refusal[0];
}

/* A fresh process that finds its model's files on the disk alone, and its first generation: marked as a warm-up, so that no figure of the
 * rounds has it. */
static hm_status cold_turn(suite_run *r, int c, int arm, hm_error *err)
{
    hm_turn turn = {0};
    hm_page_cache cache;
    char title[256];
    const hm_plan_arm *a = &r->plan->arms[arm];
    hm_run_order order = {.c = r->plan->cases[c], .warmup = "none", .iterations = 1, .want_codes = true};
    char packs[HM_MODEL_PATH];
    bool packed = a->toggles.panels == HM_PANELS_PACKED && !hm_cache_packs(packs, sizeof packs, NULL);
    r->case_index = c;
    r->arm = arm;
    snprintf(title, sizeof title, "cold %s %s", order.c.name, a->name);
    hm_status st = packed ? take_turn(r, &order, title, &turn, err) : HM_OK; /* what has to be packed is packed by now */
    hm_turn_free(&turn);
    if (st)
        return st;
    hm_page_cache_empty(&cache, a->model, packed ? packs : NULL);
    st = take_turn(r, &order, title, &turn, err);
    for (int i = 0; i < turn.sample_count; i++) {
        turn.samples[i].warmup = true;
        turn.samples[i].cold = cache.emptied;
        snprintf(turn.samples[i].cold_note, sizeof turn.samples[i].cold_note, "%s", cache.note);
    }
    if (!st)
        st = store_turn(r, &turn, HM_COLD_ROUND, arm, NULL, err);
    if (!st && turn.status == HM_RUN_OK)
        say(r, "%s  %s/%s  %s  load %.3f s, first generation %.2f s%s%s\n", cache.emptied ? "cold" : "cold: not obtained", order.c.suite,
            order.c.name, a->name, (double)turn.samples[0].load_ns * 1e-9, (double)turn.samples[0].wall_ns * 1e-9,
            cache.emptied ? "" : ": ", cache.note);
    else if (!st)
        say(r, "cold  %s/%s  %s  %s: %s\n", order.c.suite, order.c.name, a->name, hm_run_status_name(turn.status), turn.reason);
    hm_turn_free(&turn);
    return st;
}

/* How busy the device is, for the journal's "Before and after": an untimed run of its own, since being asked costs time. */
static hm_status busy_turn(suite_run *r, int c, int arm, hm_error *err)
{
    hm_turn turn = {0};
    char title[256];
    const hm_plan_arm *a = &r->plan->arms[arm];
    hm_run_order order = {.c = r->plan->cases[c], .warmup = "none", .iterations = 1, .want_codes = true, .timestamps = true};
    if (a->command || !strcmp(a->backend, "cpu"))
        return HM_OK;
    r->case_index = c;
    r->arm = arm;
    snprintf(title, sizeof title, "device %s %s", order.c.name, a->name);
    hm_status st = take_turn(r, &order, title, &turn, err);
    for (int i = 0; i < turn.sample_count; i++)
        turn.samples[i].warmup = true;
    if (!st && turn.status == HM_RUN_OK)
        st = store_turn(r, &turn, HM_COLD_ROUND, arm, NULL, err);
    if (!st && turn.status == HM_RUN_OK && turn.samples[0].device_busy_ns != HM_UNKNOWN && turn.samples[0].generate_ns > 0)
        say(r, "device  %s/%s  %s  at work for %.0f %% of generate\n", order.c.suite, order.c.name, a->name,
            100.0 * (double)turn.samples[0].device_busy_ns / (double)turn.samples[0].generate_ns);
    hm_turn_free(&turn);
    return st;
}

static hm_status cold_turns(suite_run *r, hm_error *err)
{
    hm_status st = HM_OK;
    for (int c = 0; c < r->plan->case_count; c++)
        for (int a = 0; a < r->plan->arm_count && !st; a++)
            if (hm_plan_runs(r->plan, c, a) && !r->plan->arms[a].refusal[0] && !r->cold_done[c * r->plan->arm_count + a]) {
                st = cold_turn(r, c, a, err);
                if (!st)
                    st = busy_turn(r, c, a, err);
            }
    return st;
}

/* What the user wants to happen around a turn. stop NULL: it is carried out even when the user has asked to stop. */
static hm_status turn_hook(suite_run *r, const char *name, const char *command, int round, bool (*stop)(void), hm_error *err)
{
    const hm_case_record *c = &r->plan->cases[r->case_index];
    char case_text[200], arm[240], number[48], session[80];
    const char *const environment[] = {case_text, arm, number, session, NULL};
    snprintf(case_text, sizeof case_text, "HMBENCH_CASE=%s/%s", c->suite, c->name);
    snprintf(arm, sizeof arm, "HMBENCH_ARM=%s", r->plan->arms[r->arm].name);
    snprintf(number, sizeof number, "HMBENCH_ROUND=%d", round + 1);
    snprintf(session, sizeof session, "HMBENCH_SESSION=%s", r->o->session_id);
    return hm_hook_run(name, command, environment, r->o->timeout_ns, r->o->quiet, stop, err);
}

/* A timed turn between the hooks, on a machine that has cooled down. */
static hm_status timed_turn(suite_run *r, const hm_run_order *order, const char *title, int round, hm_turn *turn, hm_error *err)
{
    hm_status st = turn_hook(r, "prepare", r->o->hooks.prepare, round, hm_interrupted, err);
    if (st == HM_EINTERRUPTED) /* what it began is ended */
        turn_hook(r, "conclude", r->o->hooks.conclude, round, NULL, &r->late);
    if (st)
        return st;
    int64_t waited = hm_settle_wait(&r->settle, round == 0, hm_interrupted);
    if (waited > 0)
        say(r, "waited %.1f s for the machine to cool down\n", (double)waited * 1e-9);
    st = take_turn(r, order, title, turn, err);
    turn_hook(r, "conclude", r->o->hooks.conclude, round, NULL, &r->late);
    return st;
}

static hm_status run_one(void *self, int c, int arm, int round, int slot, hm_error *err)
{
    suite_run *r = self;
    hm_turn turn = {0};
    char audio[1200] = "", title[256];
    const hm_case_record *record = &r->plan->cases[c];
    int64_t start = hm_clock_now(hm_clock_real());
    r->case_index = c;
    r->arm = arm;
    hm_run_order order = {.c = *record, .warmup = r->o->warmup, .iterations = r->o->iterations, .want_codes = true};
    order.stream = r->o->stream && (r->plan->arms[arm].command || r->plan->arms[arm].toggles.decode != HM_DECODE_WHOLE);
    if (r->o->audio_folder && round == 0) {
        audio_path(r, audio, sizeof audio, c, arm);
        order.audio = audio;
    }
    snprintf(title, sizeof title, "round %d/%d %s %s", round + 1, r->o->rounds, record->name, r->plan->arms[arm].name);
    r->missed = false;
    hm_status st = timed_turn(r, &order, title, round, &turn, err);
    if (!st && r->missed && turn.status == HM_RUN_OK) { /* the folder has got other weights: their codes first, then again */
        hm_turn_free(&turn);
        st = make_codes(r, c, reference_of(r->plan, c, r->plan->arms[arm].model), err);
        r->case_index = c;
        r->arm = arm;
        if (!st)
            st = timed_turn(r, &order, title, round, &turn, err);
    }
    if (!st)
        st = store_turn(r, &turn, round, slot, order.audio, err);
    if (!st) {
        hm_tally_put(r->tally, c, arm, round, turn.status == HM_RUN_OK, turn.samples, turn.sample_count, turn.opened.threads,
                     (double)(hm_clock_now(hm_clock_real()) - start));
        report_turn(r, &turn, round);
    }
    hm_turn_free(&turn);
    if (!st && r->late.status) {
        *err = r->late;
        st = err->status;
    }
    return st;
}

/* A round that the machine spoilt is set aside. */
static hm_status judge(void *self, int c, int round, bool *drop, hm_error *err)
{
    suite_run *r = self;
    char reason[480];
    *drop = hm_tally_spoilt(r->tally, c, round, reason, sizeof reason);
    if (!*drop)
        return HM_OK;
    hm_status st = hm_store_drop_round(r->store, r->o->session_id, r->plan->cases[c].id, round, reason, err);
    hm_tally_drop(r->tally, c, round);
    if (!r->out->first_dropped[0])
        snprintf(r->out->first_dropped, sizeof r->out->first_dropped, "%s/%s, round %d: %s", r->plan->cases[c].suite,
                 r->plan->cases[c].name, round + 1, reason);
    say(r, "round %d of %s/%s is set aside and run again: %s\n", round + 1, r->plan->cases[c].suite, r->plan->cases[c].name, reason);
    return st;
}

static bool decided(void *self, int c, int rounds_done)
{
    suite_run *r = self;
    r->tally->decided[c] = r->o->decided && r->o->decided(r->o->self, c, rounds_done);
    return r->tally->decided[c];
}

/* Arms that are not run are on record: once per case, in round 0. */
static hm_status store_refusals(suite_run *r, hm_error *err)
{
    hm_status st = HM_OK;
    for (int a = 0; a < r->plan->arm_count && !st; a++) {
        hm_turn turn = {.status = HM_RUN_REFUSED, .memory_available_bytes = hm_memory_available()};
        if (!r->plan->arms[a].refusal[0])
            continue;
        say(r, "%s: refused: %s\n", r->plan->arms[a].name, r->plan->arms[a].refusal);
        snprintf(turn.reason, sizeof turn.reason, "%s", r->plan->arms[a].refusal);
        hm_utc_text(turn.started_utc);
        for (int c = 0; c < r->plan->case_count && !st; c++) {
            if (hm_tally_at(r->tally, c, a, 0)->done)
                continue;
            r->case_index = c;
            r->arm = a;
            st = store_turn(r, &turn, 0, a, NULL, err);
            hm_tally_put(r->tally, c, a, 0, false, NULL, 0, 0, NAN);
        }
    }
    return st;
}

static void mark_cold(void *self, const hm_run_row *row)
{
    suite_run *r = self;
    int c = hm_plan_find_case(r->plan, row->case_id), a = hm_plan_find_arm(r->plan, row->arm_id);
    if (c >= 0 && a >= 0 && row->round == HM_COLD_ROUND)
        r->cold_done[c * r->plan->arm_count + a] = 1;
}

/* Of a session that goes on. */
static hm_status find_cold_turns(suite_run *r, hm_error *err)
{
    r->cold_done = hm_calloc((size_t)r->plan->case_count * (size_t)r->plan->arm_count, 1, "table of cold starts", err);
    return r->cold_done ? hm_store_each_run(r->store, r->o->session_id, mark_cold, r, err) : HM_EABSENT;
}

static hm_status prepare_recordings(const suite_run *r, hm_error *err)
{
    hm_status st = HM_OK;
    for (int c = 0; c < r->plan->case_count && !st; c++)
        st = hm_recording_prepare(&r->plan->cases[c], err);
    return st;
}

static hm_status prepare(suite_run *r, hm_error *err)
{
    for (int c = 0; c < r->plan->case_count; c++)
        for (int a = 0; a < r->plan->arm_count; a++) {
            bool known;
            double turn_ns = (double)hm_suite_expected_ns(r->store, r->o->machine_id, r->plan, c, a, &known);
            r->tally->expected_ns[c * r->plan->arm_count + a] = known ? turn_ns : turn_ns * r->o->iterations;
            r->tally->guessed[c * r->plan->arm_count + a] = !known;
        }
    hm_status st = hm_tally_load(r->tally, r->store, r->o->session_id, err);
    if (!st)
        st = store_refusals(r, err);
    if (!st && r->o->audio_folder)
        st = hm_make_folders(r->o->audio_folder, err);
    if (!st && r->o->cold)
        st = find_cold_turns(r, err);
    if (!st)
        st = prepare_recordings(r, err);
    return st ? st : prepare_codes(r, err);
}

static double temperature(void *self)
{
    (void)self;
    return hm_cpu_temperature_c("/");
}

hm_status hm_suite_run(hm_store *store, const hm_suite_options *options, hm_suite_outcome *out, hm_error *err)
{
    suite_run r = {.store = store, .o = options, .plan = options->plan, .out = out, .tally = options->tally};
    r.settle = (hm_settle){.clock = hm_clock_real(), .longest_ns = options->settle_ns, .temperature = temperature, .hottest = NAN};
    memset(out, 0, sizeof *out);
    r.idle_w = hm_energy_idle_w("/", hm_clock_real());
    hm_status st = prepare(&r, err);
    if (!st && options->cold)
        st = cold_turns(&r, err);
    if (!st) {
        hm_rounds_outcome done;
        hm_rounds rounds = {.cases = r.plan->case_count,
                            .arms = r.plan->arm_count,
                            .rounds = options->rounds,
                            .order = options->order,
                            .seed = options->order_seed,
                            .dropped = r.tally->dropped,
                            .max_time_ns = options->max_time_ns,
                            .clock = hm_clock_real(),
                            .self = &r,
                            .applies = applies,
                            .wanted = wanted,
                            .run = run_one,
                            .judge = judge,
                            .decided = decided};
        st = hm_rounds_run(&rounds, &done, err);
        out->rounds = done.rounds;
        out->kept = done.kept;
        out->dropped = done.dropped;
        out->invalid = done.invalid;
        out->decided = done.decided;
    }
    for (int i = 0; i < r.fed_count; i++)
        hm_stored_codes_free(&r.fed[i].codes);
    free(r.fed);
    free(r.cold_done);
    return st;
}
