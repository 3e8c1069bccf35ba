#include "harness/measure.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/gpu/devices.h"
#include "harness/fidelity_run.h"
#include "harness/gpu_drivers.h"
#include "harness/limits.h"
#include "harness/machine.h"
#include "harness/measure_options.h"
#include "harness/store_limits.h"

#define LIMIT_SECONDS 0.15 /* for each limit of the machine */

static const int64_t SECOND = 1000000000;

const char *const hm_warmup_names[] = {"first", "full", "none", NULL};

struct hm_measure {
    hm_measure_options o;
    hm_store *store;
    hm_plan *plan;
    hm_tally tally;
    hm_suite_outcome outcome;
    hm_machine_record machine;
    hm_build_record build;
    hm_session_info info; /* of the session that goes on */
    json_t *stored;       /* its options: o's texts are in here */
    char id[HM_UUID_TEXT], folder[900];
    uint64_t order_seed;
    int rounds;
    bool set_up; /* the cleanup hook is due */
};

hm_measure_options hm_measure_defaults(const char *kind)
{
    return (hm_measure_options){.plan.backend = "cpu",
                                .kind = kind,
                                .order = HM_ORDER_ABBA,
                                .warmup = "first",
                                .rounds = 3,
                                .iterations = 1,
                                .max_time_s = 1800,
                                .timeout_s = 1800,
                                .settle_s = 30,
                                .keep_audio = true,
                                .limits = true};
}

/* Models as paths; presets are made now unless only planning. */
static hm_status resolve_models(hm_plan *plan, bool make, bool model_given, hm_error *err)
{
    hm_status st = HM_OK;
    bool own = model_given;
    for (int i = 0; i < plan->arm_count; i++)
        own = own || !plan->arms[i].command;
    for (int i = 0; i < plan->arm_count && !st && own; i++) {
        char path[HM_MODEL_PATH];
        struct stat info;
        hm_plan_arm *a = &plan->arms[i];
        if (make)
            st = hm_model_resolve(a->model, path, NULL, err);
        else if (!strchr(a->model, '/') && !hm_model_cache_path(a->model, path, sizeof path, NULL) && !stat(path, &info))
            ;
        else
            snprintf(path, sizeof path, "%s", a->model);
        if (!st)
            memcpy(a->model, path, sizeof path);
    }
    return st;
}

hm_status hm_measure_plan(hm_plan **out, const hm_plan_options *options, bool make, hm_error *err)
{
    hm_status st = hm_plan_make(out, options, err);
    if (!st)
        st = resolve_models(*out, make, options->model != NULL, err);
    if (st)
        hm_plan_close(out);
    return st;
}

void hm_measure_say_plan(const hm_plan *plan)
{
    if (plan->left_out[0])
        fprintf(stderr, "%s\n", plan->left_out);
    if (plan->values_left_out[0])
        fprintf(stderr, "%s\n", plan->values_left_out);
    for (int i = 0; i < plan->arm_count; i++)
        if (plan->arms[i].coincides[0])
            fprintf(stderr, "%s is the same program as %s: run once\n", plan->arms[i].coincides, plan->arms[i].name);
}

/* Whether a stored session may go on here. */
static hm_status check_session(const hm_measure *m, hm_error *err)
{
    const char *build = json_string_value(json_object_get(m->stored, "build"));
    if (strcmp(m->info.kind, m->o.kind))
        return hm_fail(err, HM_EUSAGE, "session %s was begun by hmbench %s: go on with hmbench %s --resume", m->info.id, m->info.kind,
                       m->info.kind);
    if (strcmp(m->info.machine_id, m->machine.id))
        return hm_fail(err, HM_ECOMPARE, "session %s was begun on another machine (or this one has changed); start a new one", m->info.id);
    if (!build || strcmp(build, m->build.id))
        return hm_fail(err, HM_ECOMPARE, "session %s was begun with another build of hmbench; start a new one", m->info.id);
    return HM_OK;
}

/* A plan made from a stored session's options, which has to be the plan it had. */
static hm_status take_up(hm_measure *m, hm_error *err)
{
    bool found;
    hm_status st = hm_store_open(&m->store, hm_store_path(m->o.db), HM_STORE_WRITE, err);
    if (!st)
        st = hm_store_get_session(m->store, m->o.session, m->o.kind, &m->info, &found, err);
    if (st)
        return st;
    if (!found)
        return hm_fail(err, HM_EMISSING, "database %s: %s%s", hm_store_path(m->o.db),
                       m->o.session ? "no session " : "no session to go on with", m->o.session ? m->o.session : "");
    m->stored = json_loads(m->info.options, 0, NULL);
    st = m->stored ? check_session(m, err) : hm_fail(err, HM_EIO, "session %s: its options are no JSON", m->info.id);
    if (!st)
        st = hm_measure_unpack(m->stored, &m->o, err);
    if (!st)
        st = hm_plan_make(&m->plan, &m->o.plan, err);
    if (st)
        return st;
    json_t *now = hm_plan_json(m->plan);
    bool same = json_equal(now, json_object_get(m->stored, "plan")) && m->info.arm_count == m->plan->arm_count;
    json_decref(now);
    if (!same)
        return hm_fail(err, HM_ECOMPARE, "session %s: its suite or its variants have changed since; start a new one", m->info.id);
    for (int i = 0; i < m->plan->arm_count; i++)
        memcpy(m->plan->arms[i].id, m->info.arm_ids[i], sizeof m->info.arm_ids[i]);
    memcpy(m->id, m->info.id, sizeof m->id);
    m->order_seed = m->info.order_seed;
    m->rounds = m->o.more_rounds && m->o.rounds > m->info.rounds ? m->o.rounds : m->info.rounds;
    return HM_OK;
}

static uint64_t draw_seed(void)
{
    char id[HM_UUID_TEXT], hash[HM_HASH_TEXT];
    hm_uuid_text(id);
    hm_hash_text(hash, id, strlen(id));
    hash[13] = 0; /* 52 bits: --seed takes it back exactly */
    return strtoull(hash, NULL, 16);
}

static hm_status put_tags(hm_measure *m, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < m->o.tags.count && !st; i++) {
        char key[64];
        const char *text = m->o.tags.items[i], *equals = strchr(text, '=');
        snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
        st = hm_store_put_tag(m->store, m->id, key, equals + 1, err);
    }
    return st;
}

static hm_status put_session(hm_measure *m, const char *options, hm_error *err)
{
    hm_arm_record arms[HM_PLAN_ARMS];
    char *command = hm_command_text(m->o.argc, m->o.argv);
    hm_status st = command ? hm_store_put_machine(m->store, &m->machine, err) : hm_fail(err, HM_EABSENT, "session: out of memory");
    if (!st)
        st = hm_store_put_build(m->store, &m->build, err);
    for (int i = 0; i < m->plan->case_count && !st; i++)
        st = hm_store_put_case(m->store, &m->plan->cases[i], err);
    for (int i = 0; i < m->plan->arm_count; i++)
        hm_plan_arm_record(&m->plan->arms[i], i, &arms[i]);
    m->order_seed = m->o.seed ? m->o.seed : draw_seed();
    m->rounds = m->o.rounds;
    hm_uuid_text(m->id);
    hm_session_record record = {
        .command_line = command, .options = options, .order_seed = m->order_seed, .rounds = m->rounds, .kind = m->o.kind};
    memcpy(record.id, m->id, sizeof record.id);
    memcpy(record.machine_id, m->machine.id, sizeof record.machine_id);
    memcpy(record.build_id, m->build.id, sizeof record.build_id);
    if (!st)
        st = hm_store_put_session(m->store, &record, arms, m->plan->arm_count, err);
    if (!st)
        st = put_tags(m, err);
    free(command);
    return st;
}

/* A launcher (a script) builds what its program needs; that is done before the first turn. */
static hm_status build_programs(const hm_measure *m, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < m->plan->arm_count && !st; i++) {
        char program[HM_MODEL_PATH + 32], variant[HM_VARIANT_SPEC + 32], start[2] = "";
        const hm_plan_arm *a = &m->plan->arms[i];
        const char *const environment[] = {program, variant, NULL};
        FILE *file = a->program ? fopen(a->program, "rb") : NULL;
        if (!file)
            continue;
        bool script = fread(start, 1, 2, file) == 2 && !memcmp(start, "#!", 2);
        fclose(file);
        snprintf(program, sizeof program, "HMBENCH_PROGRAM=%s", a->program);
        snprintf(variant, sizeof variant, "HMBENCH_VARIANT=%s", a->variant);
        if (script)
            st = hm_hook_run("program", "\"$HMBENCH_PROGRAM\" suite --variant \"$HMBENCH_VARIANT\" --help >/dev/null", environment,
                             m->o.timeout_s * SECOND, true, hm_interrupted, err);
        if (st == HM_EABSENT)
            return hm_fail_within(err, "arm %s: %.300s", a->name, a->program);
    }
    return st;
}

/* The session's row, before its first turn. */
static hm_status enter(hm_measure *m, hm_error *err)
{
    char *options = hm_measure_pack(&m->o, m->plan, m->build.id); /* before models become paths */
    hm_status st =
        options ? resolve_models(m->plan, true, m->o.plan.model != NULL, err) : hm_fail(err, HM_EABSENT, "session: out of memory");
    if (!st)
        st = build_programs(m, err);
    if (!st)
        st = hm_suite_estimate(m->plan, m->o.timeout_s * SECOND, err);
    if (!st && !m->store)
        st = hm_store_open(&m->store, hm_store_path(m->o.db), HM_STORE_CREATE, err);
    if (!st && m->o.resume) {
        st = hm_store_end_session(m->store, m->id, "running", err);
        if (!st)
            st = hm_store_extend_session(m->store, m->id, m->rounds, err);
    } else if (!st) {
        st = put_session(m, options, err);
    }
    free(options);
    return st;
}

static hm_status check_tags(const hm_strings *tags, hm_error *err)
{
    for (int i = 0; i < tags->count; i++) {
        const char *equals = strchr(tags->items[i], '=');
        if (!equals || equals == tags->items[i] || equals - tags->items[i] > 60)
            return hm_fail(err, HM_EUSAGE, "--tag \"%.80s\": expected KEY=VALUE", tags->items[i]);
    }
    return HM_OK;
}

/* The arm's GPU is there; where times are judged, it is hardware. */
static hm_status check_device(const hm_plan_arm *a, const hm_gpu_driver *driver, bool judges_times, hm_error *err)
{
    hm_gpu_device devices[HM_GPU_DEVICES];
    int count, chosen;
    hm_status st = driver->list(devices, HM_GPU_DEVICES, &count, err);
    if (st || !judges_times)
        return st;
    st = hm_gpu_choose(&chosen, driver->backend, devices, sizeof *devices, count, a->device, err);
    return st || !devices[chosen].facts.software ? st : hm_suite_refuse_software(a->name, devices[chosen].name, err);
}

/* A GPU that is asked for must be there before anything is stored or made. */
static hm_status check_devices(const hm_measure *m, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < m->plan->arm_count && !st; i++) {
        const hm_plan_arm *a = &m->plan->arms[i];
        const hm_gpu_driver *driver = a->command || a->program ? NULL : hm_gpu_driver_of(a->backend);
        if (driver)
            st = check_device(a, driver, m->o.judges_times, err);
    }
    return st;
}

hm_status hm_measure_begin(hm_measure **out, const hm_measure_options *options, hm_error *err)
{
    hm_measure *m = hm_calloc(1, sizeof *m, "session", err);
    if (!m)
        return HM_EABSENT;
    m->o = *options;
    const char *db = hm_store_path(m->o.db), *slash = strrchr(db, '/');
    snprintf(m->folder, sizeof m->folder, "%.*s", slash ? (int)(slash - db) : 1, slash ? db : ".");
    hm_machine_read(&m->machine);
    hm_status st = check_tags(&m->o.tags, err);
    if (!st)
        st = hm_build_read(&m->build, err);
    if (!st)
        st = m->o.resume ? take_up(m, err) : hm_plan_make(&m->plan, &m->o.plan, err);
    if (!st && !m->o.quiet)
        hm_measure_say_plan(m->plan);
    if (!st)
        st = check_devices(m, err);
    m->set_up = !st;
    if (!st)
        st = hm_hook_run("setup", m->o.hooks.setup, NULL, m->o.timeout_s * SECOND, m->o.quiet, hm_interrupted, err);
    if (!st)
        st = enter(m, err);
    if (!st)
        st = hm_tally_open(&m->tally, m->plan, m->rounds, err);
    m->tally.stolen_spoils = !strcmp(m->o.kind, "gate") || !strcmp(m->o.kind, "calibrate");
    m->tally.nothing_spoils = m->o.exact;
    if (st)
        hm_measure_close(&m);
    else
        *out = m;
    return st;
}

/* What the machine can do, for the shares of it that the journal tells of our own arms. */
static hm_status put_limits(const hm_measure *m, hm_error *err)
{
    hm_device *dev = NULL;
    hm_limits limits = {0};
    bool own = false;
    for (int i = 0; i < m->plan->arm_count; i++)
        own = own || (!m->plan->arms[i].command && !m->plan->arms[i].refusal[0]);
    if (!own || !m->o.limits)
        return HM_OK;
    hm_status st = hm_cpu_open(&dev, 0, hm_isa_detect(), err);
    if (!st)
        st = hm_limits_measure(&limits, dev, HM_LIMITS_READING | HM_LIMITS_FLOPS, LIMIT_SECONDS, NULL, err);
    if (dev)
        hm_cpu_close(&dev);
    return st ? st : hm_store_put_limits(m->store, m->machine.id, m->id, &limits, err);
}

static bool decided(void *self, int c, int rounds_done)
{
    const hm_measure *m = self;
    if (m->o.decided)
        return m->o.decided(m->o.self, m, c, rounds_done);
    return rounds_done >= m->o.min_rounds && hm_tally_half_width(&m->tally, c) < m->o.stop_at;
}

static hm_status rounds(hm_measure *m, hm_error *err)
{
    char audio[1000];
    snprintf(audio, sizeof audio, "%s/audio/%.8s", m->folder, m->id);
    hm_suite_options options = {.plan = m->plan,
                                .tally = &m->tally,
                                .session_id = m->id,
                                .machine_id = m->machine.id,
                                .warmup = m->o.warmup,
                                .iterations = m->o.iterations,
                                .audio_folder = m->o.keep_audio ? audio : NULL,
                                .rounds = m->rounds,
                                .max_time_ns = m->o.max_time_s * SECOND,
                                .timeout_ns = m->o.timeout_s * SECOND,
                                .settle_ns = m->o.settle_s * SECOND,
                                .order = m->o.order,
                                .order_seed = m->order_seed,
                                .hooks = m->o.hooks,
                                .self = m,
                                .decided = m->o.decided || m->o.stop_at > 0 ? decided : NULL,
                                .cold = m->o.cold,
                                .stream = m->o.stream,
                                .judges_times = m->o.judges_times,
                                .quiet = m->o.quiet};
    return hm_suite_run(m->store, &options, &m->outcome, err);
}

/* What needs the rounds: outputs, how near audio and logits come, the machine's limits of this hour. */
static hm_status after_rounds(hm_measure *m, hm_error *err)
{
    hm_logit_passes passes = {.store = m->store,
                              .plan = m->plan,
                              .session_id = m->id,
                              .folder = m->folder,
                              .frames = m->o.logit_frames,
                              .timeout_ns = m->o.timeout_s * SECOND,
                              .quiet = m->o.quiet};
    hm_status st = hm_suite_check(m->store, m->plan, m->id, &m->outcome, err);
    if (!st && m->o.keep_audio)
        st = hm_session_fidelity(m->store, m->id, err);
    if (!st)
        st = hm_session_logits(&passes, err);
    return st ? st : put_limits(m, err);
}

/* With the database as a shell takes it. */
static hm_status say_how_to_go_on(const hm_measure *m, hm_error *err)
{
    const char *db = m->o.db ? m->o.db : "";
    char *word = hm_calloc(4 * strlen(db) + 3, 1, "command", err);
    if (!word)
        return HM_EABSENT;
    hm_shell_word(word, db);
    hm_fail(err, HM_EINTERRUPTED, "interrupted; what was measured is stored; go on with: hmbench %s --resume%s%s", m->o.kind,
            m->o.db ? " --db " : "", m->o.db ? word : "");
    free(word);
    return HM_EINTERRUPTED;
}

hm_status hm_measure_run(hm_measure *m, hm_error *err)
{
    hm_status st = rounds(m, err);
    bool whole = m->outcome.rounds == m->rounds || m->outcome.decided;
    const char *state = st == HM_EINTERRUPTED || st == HM_EIO ? "interrupted"
                        : st || m->outcome.invalid            ? "failed"
                        : whole                               ? "done"
                                                              : "partial";
    if (!st) {
        st = after_rounds(m, err);
        state = st == HM_EINTERRUPTED ? "interrupted" : state; /* what is missing then is no round, but it is missing */
    }
    hm_status ended = hm_store_end_session(m->store, m->id, state, st ? NULL : err);
    return st == HM_EINTERRUPTED ? say_how_to_go_on(m, err) : st ? st : ended;
}

hm_status hm_measure_verdict(const hm_measure *m, hm_error *err)
{
    const hm_suite_outcome *o = &m->outcome;
    if (o->difference[0])
        return hm_fail(err, HM_EDIFFERS, "%.500s", o->difference);
    if (o->invalid)
        return hm_fail(err, HM_EINVALID,
                       "the measurement is invalid: %d rounds of cases were set aside, %d are good (at most %.0f %% may be); %s%.300s",
                       o->dropped, o->kept, 100 * HM_ROUNDS_DROPPED_MOST, o->first_dropped[0] ? "the first: " : "", o->first_dropped);
    if (o->failed)
        return hm_fail(err, HM_ECASE, "%d run%s failed, the others are stored; the first: %.400s", o->failed, o->failed == 1 ? "" : "s",
                       o->first_failure);
    return HM_OK;
}

void hm_measure_close(hm_measure **measure)
{
    hm_measure *m = *measure;
    hm_error err = {0};
    if (!m)
        return;
    if (m->set_up && hm_hook_run("cleanup", m->o.hooks.cleanup, NULL, m->o.timeout_s * SECOND, m->o.quiet, NULL, &err))
        fprintf(stderr, "hmbench: warning: %s\n", err.text); /* what was measured stands */
    hm_store_close(&m->store);
    hm_tally_close(&m->tally);
    hm_plan_close(&m->plan);
    hm_session_info_free(&m->info);
    json_decref(m->stored);
    free(m);
    *measure = NULL;
}

const hm_plan *hm_measure_plan_of(const hm_measure *m)
{
    return m->plan;
}

const hm_measure_options *hm_measure_options_of(const hm_measure *m)
{
    return &m->o;
}

hm_store *hm_measure_store(const hm_measure *m)
{
    return m->store;
}

const char *hm_measure_session(const hm_measure *m)
{
    return m->id;
}

const hm_machine_record *hm_measure_machine(const hm_measure *m)
{
    return &m->machine;
}

int hm_measure_rounds(const hm_measure *m)
{
    return m->rounds;
}

const hm_suite_outcome *hm_measure_outcome(const hm_measure *m)
{
    return &m->outcome;
}

const char *hm_measure_folder(const hm_measure *m)
{
    return m->folder;
}

const char *hm_measure_database(const hm_measure *m)
{
    return hm_store_path(m->o.db);
}

double hm_measure_value(const hm_measure *m, int case_index, int arm, int round)
{
    bool there =
        case_index >= 0 && case_index < m->plan->case_count && arm >= 0 && arm < m->plan->arm_count && round >= 0 && round < m->rounds;
    return there ? hm_tally_at(&m->tally, case_index, arm, round)->wall_ns : NAN;
}

bool hm_measure_healthy(const hm_measure *m, int case_index, int arm)
{
    return hm_tally_healthy(&m->tally, case_index, arm);
}

int hm_measure_case_rounds(const hm_measure *m, int case_index)
{
    return hm_tally_case_rounds(&m->tally, case_index);
}

double hm_measure_seconds_left(const hm_measure *m)
{
    return hm_tally_seconds_left(&m->tally);
}
