#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/fidelity.h"
#include "harness/limits.h"
#include "harness/machine.h"
#include "harness/store_limits.h"
#include "harness/suite_report.h"
#include "harness/suite_run.h"
#include "harness/table.h"

typedef struct suite_args {
    hm_plan_options plan;
    const char *db, *warmup, *session;
    int64_t rounds, seed, max_time_s, timeout_s;
    bool dry_run, resume, keep_audio, trace, stream, quiet;
} suite_args;

#define LIMIT_SECONDS 0.15 /* for each limit of the machine */

static const char *const warmups[] = {"first", "full", "none", NULL};
static const char *const backends[] = {"cpu", NULL};

static hm_status parse(const hm_command *self, int argc, char **argv, suite_args *a, bool *helped, hm_error *err)
{
    const hm_option options[] = {
        {"variant", 'V', HM_OPT_LIST, &a->plan.variants, "LIST", "arms, as in naive,best:attn=scores; all; none (default: naive,best)", 0,
         0, NULL},
        {"arm", 0, HM_OPT_LIST, &a->plan.commands, "NAME=CMD", "another program that speaks the worker protocol, as an arm", 0, 0, NULL},
        {"model", 'm', HM_OPT_STRING, &a->plan.model, "LIST",
         "folders of weights, or presets (default: heartmula-mini for songs, qwen3-tts-mini for speech); each runs the cases it makes", 0,
         0, NULL},
        {"threads", 't', HM_OPT_STRING, &a->plan.threads, "LIST", "thread counts, as in 1,2 (default: all CPUs)", 0, 0, NULL},
        {"isa", 0, HM_OPT_STRING, &a->plan.isa, "LIST", "instruction sets, as in scalar,avx2 (default: the best here)", 0, 0, NULL},
        {"backend", 0, HM_OPT_STRING, &a->plan.backend, "NAME", "where to compute", 0, 0, backends},
        {"filter", 'f', HM_OPT_STRING, &a->plan.filter, "REGEX", "only cases whose suite/name matches", 0, 0, NULL},
        {"rounds", 'n', HM_OPT_INT, &a->rounds, "N", "rounds; every arm runs once per case in each", 1, 1000, NULL},
        {"warmup", 0, HM_OPT_STRING, &a->warmup, "KIND", "first frames and one solver step; a full run; none", 0, 0, warmups},
        {"max-time", 0, HM_OPT_DURATION, &a->max_time_s, "TIME", "no round starts that would end later; 0: no limit", 0, 1e9, NULL},
        {"timeout", 0, HM_OPT_DURATION, &a->timeout_s, "TIME", "of one run", 1, 1e7, NULL},
        {"seed", 0, HM_OPT_INT, &a->seed, "N", "of the order of arms (0: drawn, and recorded)", 0, 9e15, NULL},
        {"dry-run", 0, HM_OPT_FLAG, &a->dry_run, NULL, "print the plan and how long it will take, run nothing", 0, 0, NULL},
        {"resume", 0, HM_OPT_FLAG, &a->resume, NULL, "go on with the last session that is not complete", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &a->session, "ID", "with --resume: that session; --rounds may ask for more", 0, 0, NULL},
        {"keep-audio", 0, HM_OPT_FLAG, &a->keep_audio, NULL, "write the first round's audio", 0, 0, NULL},
        {"stream", 0, HM_OPT_FLAG, &a->stream, NULL, "arms that decode in pieces hand them over as they come: time to first audio, stalls",
         0, 0, NULL},
        {"trace", 0, HM_OPT_FLAG, &a->trace, NULL, "after the rounds, write a timeline of the last arm on its first case", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &a->db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "the table and errors only", 0, 0, NULL},
        {0}};
    return hm_options_parse(self, options, argc, argv, &a->plan.suites, HM_PLAN_SUITES, helped, err);
}

/* "hmbench suite short --variant 'a b'". malloc'ed. */
static char *join_command(int argc, char **argv)
{
    size_t size = 16;
    for (int i = 0; i < argc; i++)
        size += 4 * strlen(argv[i]) + 3;
    char *text = malloc(size), *o = text;
    if (!text)
        return NULL;
    o += sprintf(o, "hmbench");
    for (int i = 0; i < argc; i++) {
        bool plain = argv[i][0] && !strpbrk(argv[i], " \t\n\"'\\$&|;<>()*?[]`!#~");
        *o++ = ' ';
        if (!plain)
            *o++ = '\'';
        for (const char *p = argv[i]; *p; p++)
            if (*p == '\'')
                o += sprintf(o, "'\\''");
            else
                *o++ = *p;
        if (!plain)
            *o++ = '\'';
    }
    *o = 0;
    return text;
}

static json_t *pack_strings(const hm_strings *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->count; i++)
        json_array_append_new(list, json_string(s->items[i]));
    return list;
}

/* Everything a later --resume needs; malloc'ed text. */
static char *pack_options(const suite_args *a, const hm_plan *plan, const char *build_id)
{
    const hm_plan_options *p = &a->plan;
    json_t *o = json_pack("{s:o, s:o, s:o, s:s, s:I, s:b, s:b, s:s, s:o}", "suites", pack_strings(&p->suites), "variants",
                          pack_strings(&p->variants), "commands", pack_strings(&p->commands), "warmup", a->warmup, "timeout_s",
                          (json_int_t)a->timeout_s, "keep_audio", a->keep_audio, "stream", a->stream, "build", build_id, "plan",
                          hm_plan_json(plan));
    const char *const texts[][2] = {
        {"threads", p->threads}, {"isa", p->isa}, {"model", p->model}, {"backend", p->backend}, {"filter", p->filter}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i][1])
            json_object_set_new(o, texts[i][0], json_string(texts[i][1]));
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    return text;
}

static void unpack_strings(const json_t *o, const char *key, hm_strings *out)
{
    size_t i;
    const json_t *item, *list = json_object_get(o, key);
    out->count = 0;
    json_array_foreach(list, i, item) if (json_is_string(item) && out->count < 256) out->items[out->count++] = json_string_value(item);
}

/* Texts stay in o. */
static hm_status unpack_options(const json_t *o, suite_args *a, hm_error *err)
{
    hm_plan_options *p = &a->plan;
    unpack_strings(o, "suites", &p->suites);
    unpack_strings(o, "variants", &p->variants);
    unpack_strings(o, "commands", &p->commands);
    p->threads = json_string_value(json_object_get(o, "threads"));
    p->isa = json_string_value(json_object_get(o, "isa"));
    p->model = json_string_value(json_object_get(o, "model"));
    p->filter = json_string_value(json_object_get(o, "filter"));
    const char *backend = json_string_value(json_object_get(o, "backend")), *warmup = json_string_value(json_object_get(o, "warmup"));
    if (!backend || !warmup || !p->suites.count)
        return hm_fail(err, HM_EIO, "database: the session's options are incomplete");
    p->backend = backend;
    a->warmup = warmup;
    a->keep_audio = json_is_true(json_object_get(o, "keep_audio"));
    a->stream = json_is_true(json_object_get(o, "stream"));
    a->timeout_s = json_integer_value(json_object_get(o, "timeout_s"));
    return HM_OK;
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

/* What is run once for several names, and what is not run. */
static void say_plan(const hm_plan *plan)
{
    if (plan->left_out[0])
        fprintf(stderr, "%s\n", plan->left_out);
    for (int i = 0; i < plan->arm_count; i++)
        if (plan->arms[i].coincides[0])
            fprintf(stderr, "%s is the same program as %s: run once\n", plan->arms[i].coincides, plan->arms[i].name);
}

/* The plan, and how long it will take. */
static hm_status dry_run(const suite_args *a, hm_plan *plan, hm_error *err)
{
    static const char *const titles[] = {"case", ">frames", "arm", ">expected", "from", NULL};
    hm_machine_record machine;
    hm_store *store = NULL;
    hm_table *table = hm_table_new(titles);
    double total = 0;
    int guesses = 0;
    hm_machine_read(&machine);
    if (hm_store_open(&store, hm_store_path(a->db), HM_STORE_READ, NULL))
        store = NULL; /* nothing measured yet */
    for (int c = 0; c < plan->case_count; c++)
        for (int i = 0; i < plan->arm_count; i++) {
            bool known;
            char name[160], frames[16], time[32];
            if (!hm_plan_runs(plan, c, i))
                continue;
            double seconds = (double)hm_suite_expected_ns(store, machine.id, plan, c, i, &known) * 1e-9;
            snprintf(name, sizeof name, "%s/%s", plan->cases[c].suite, plan->cases[c].name);
            snprintf(frames, sizeof frames, "%d", plan->cases[c].frames);
            snprintf(time, sizeof time, "%.1f s", seconds);
            hm_table_row(table, (const char *const[]){name, frames, plan->arms[i].name, time, known ? "past runs" : "a guess"});
            total += seconds * (double)a->rounds;
            guesses += !known;
        }
    hm_store_close(&store);
    hm_status st = hm_table_end(table, stdout, 0, err);
    char eta[32];
    int pairs = hm_plan_pairs(plan);
    printf("%d cases x %d arms x %d rounds%s = %d runs, about %s%s\n", plan->case_count, plan->arm_count, (int)a->rounds,
           pairs < plan->case_count * plan->arm_count ? ", each arm with the cases its model makes" : "", pairs * (int)a->rounds,
           hm_duration_text(eta, sizeof eta, total), guesses ? " (a tenth of real time where nothing was measured yet)" : "");
    return st;
}

typedef struct session {
    hm_store *store;
    hm_plan *plan;
    hm_machine_record machine;
    hm_build_record build;
    hm_session_info info; /* of the one that goes on */
    json_t *options;      /* of the one that goes on */
    char id[HM_UUID_TEXT];
    uint64_t order_seed;
    int rounds;
} session;

static void session_close(session *s)
{
    hm_store_close(&s->store);
    hm_plan_close(&s->plan);
    hm_session_info_free(&s->info);
    json_decref(s->options);
}

/* A plan made from a stored session's options, which has to be the plan it had. */
static hm_status resume_session(session *s, suite_args *a, bool rounds_given, hm_error *err)
{
    bool found;
    hm_status st = hm_store_open(&s->store, hm_store_path(a->db), HM_STORE_WRITE, err);
    if (!st)
        st = hm_store_get_session(s->store, a->session, &s->info, &found, err);
    if (st)
        return st;
    if (!found)
        return hm_fail(err, HM_EMISSING, "database %s: %s%s", hm_store_path(a->db), a->session ? "no session " : "no session to go on with",
                       a->session ? a->session : "");
    s->options = json_loads(s->info.options, 0, NULL);
    st = s->options ? unpack_options(s->options, a, err) : hm_fail(err, HM_EIO, "session %s: its options are no JSON", s->info.id);
    if (!st && strcmp(s->info.machine_id, s->machine.id))
        st = hm_fail(err, HM_ECOMPARE, "session %s was begun on another machine (or this one has changed); start a new one", s->info.id);
    const char *build = json_string_value(json_object_get(s->options, "build"));
    if (!st && (!build || strcmp(build, s->build.id)))
        st = hm_fail(err, HM_ECOMPARE, "session %s was begun with another build of hmbench; start a new one", s->info.id);
    if (!st)
        st = hm_plan_make(&s->plan, &a->plan, err);
    if (st)
        return st;
    json_t *now = hm_plan_json(s->plan);
    bool same = json_equal(now, json_object_get(s->options, "plan")) && s->info.arm_count == s->plan->arm_count;
    json_decref(now);
    if (!same)
        return hm_fail(err, HM_ECOMPARE, "session %s: its suite or its variants have changed since; start a new one", s->info.id);
    for (int i = 0; i < s->plan->arm_count; i++)
        memcpy(s->plan->arms[i].id, s->info.arm_ids[i], sizeof s->info.arm_ids[i]);
    memcpy(s->id, s->info.id, sizeof s->id);
    s->order_seed = s->info.order_seed;
    s->rounds = rounds_given && a->rounds > s->info.rounds ? (int)a->rounds : s->info.rounds;
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

static hm_status put_session(session *s, const suite_args *a, const char *options, int argc, char **argv, hm_error *err)
{
    hm_arm_record arms[HM_PLAN_ARMS];
    char *command = join_command(argc, argv);
    hm_status st = command ? hm_store_put_machine(s->store, &s->machine, err) : hm_fail(err, HM_EABSENT, "suite: out of memory");
    if (!st)
        st = hm_store_put_build(s->store, &s->build, err);
    for (int i = 0; i < s->plan->case_count && !st; i++)
        st = hm_store_put_case(s->store, &s->plan->cases[i], err);
    for (int i = 0; i < s->plan->arm_count; i++)
        hm_plan_arm_record(&s->plan->arms[i], i, &arms[i]);
    s->order_seed = a->seed ? (uint64_t)a->seed : draw_seed();
    s->rounds = (int)a->rounds;
    hm_uuid_text(s->id);
    hm_session_record record = {.command_line = command, .options = options, .order_seed = s->order_seed, .rounds = s->rounds};
    memcpy(record.id, s->id, sizeof record.id);
    memcpy(record.machine_id, s->machine.id, sizeof record.machine_id);
    memcpy(record.build_id, s->build.id, sizeof record.build_id);
    if (!st)
        st = hm_store_put_session(s->store, &record, arms, s->plan->arm_count, err);
    free(command);
    return st;
}

static hm_status begin(session *s, suite_args *a, int argc, char **argv, hm_error *err)
{
    char *options = pack_options(a, s->plan, s->build.id); /* before models become paths */
    hm_status st = options ? resolve_models(s->plan, true, a->plan.model != NULL, err) : hm_fail(err, HM_EABSENT, "suite: out of memory");
    if (!st)
        st = hm_suite_estimate(s->plan, a->timeout_s * 1000000000, err);
    if (!st && !s->store)
        st = hm_store_open(&s->store, hm_store_path(a->db), HM_STORE_CREATE, err);
    if (!st && a->resume) {
        st = hm_store_end_session(s->store, s->id, "running", err);
        if (!st)
            st = hm_store_extend_session(s->store, s->id, s->rounds, err);
    } else if (!st) {
        st = put_session(s, a, options, argc, argv, err);
    }
    free(options);
    return st;
}

static void output_folder(char *out, size_t size, const char *db)
{
    const char *slash = strrchr(db, '/');
    snprintf(out, size, "%.*s", slash ? (int)(slash - db) : 1, slash ? db : ".");
}

static hm_status verdict(const hm_suite_outcome *o, hm_error *err)
{
    if (o->difference[0])
        return hm_fail(err, HM_EDIFFERS, "%.500s", o->difference);
    if (o->failed)
        return hm_fail(err, HM_ECASE, "%d run%s failed, the others are stored; the first: %.400s", o->failed, o->failed == 1 ? "" : "s",
                       o->first_failure);
    return HM_OK;
}

/* An untimed run of `hmbench profile` in a process of its own, after all timing. False: there is no trace (a remark tells why). */
static bool write_trace(session *s, const suite_args *a, const char *folder, char *path, size_t size)
{
    char program[HM_MODEL_PATH], name[HM_MODEL_PATH];
    const char *line;
    size_t length;
    int arm = s->plan->arm_count - 1, first = 0, code = 1;
    while (arm >= 0 && (s->plan->arms[arm].command || s->plan->arms[arm].refusal[0]))
        arm--;
    if (!a->trace || arm < 0)
        return false;
    hm_plan_arm *last = &s->plan->arms[arm];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    while (first < s->plan->case_count - 1 && !hm_plan_runs(s->plan, first, arm))
        first++;
    const char *suite = s->plan->cases[first].suite;
    for (int i = 0; i < s->plan->suite_count; i++) /* its file: a suite need not lie where names are looked for */
        if (!strcmp(s->plan->suites[i]->name, s->plan->cases[first].suite))
            suite = s->plan->suites[i]->path;
    snprintf(name, sizeof name, "%s/%s", suite, s->plan->cases[first].name);
    snprintf(path, size, "%s/trace-%.8s.json", folder, s->id);
    char *argv[] = {program,   "profile",   name,          "--trace", path,        "--repeat", "1",
                    "--quiet", "--variant", last->variant, "--model", last->model, NULL};
    hm_process *process = NULL;
    hm_error err = {0};
    if (hm_process_start(&process, argv, &err))
        return false;
    int64_t deadline = hm_clock_now(hm_clock_real()) + a->timeout_s * 1000000000;
    while (hm_process_read(process, deadline, hm_interrupted, &line, &length) == HM_READ_LINE)
        ;
    snprintf(program, sizeof program, "%s", hm_process_last_words(process));
    hm_process_end(&process, hm_interrupted() ? 0 : 5000000000, &code);
    if (code)
        fprintf(stderr, "no timeline: hmbench profile %s: %s\n", name, program);
    return !code;
}

/* What the machine can do, for the shares of it that the journal tells of our own arms. */
static hm_status put_limits(const session *s, hm_error *err)
{
    hm_device *dev = NULL;
    hm_limits limits = {0};
    bool own = false;
    for (int i = 0; i < s->plan->arm_count; i++)
        own = own || (!s->plan->arms[i].command && !s->plan->arms[i].refusal[0]);
    if (!own)
        return HM_OK;
    hm_status st = hm_cpu_open(&dev, 0, hm_isa_detect(), err);
    if (!st)
        st = hm_limits_measure(&limits, dev, HM_LIMITS_READING | HM_LIMITS_FLOPS, LIMIT_SECONDS, NULL, err);
    if (dev)
        hm_cpu_close(&dev);
    return st ? st : hm_store_put_limits(s->store, s->machine.id, s->id, &limits, err);
}

/* Rounds, checks, table. */
static hm_status carry_out(session *s, const suite_args *a, hm_error *err)
{
    char folder[900], audio[1000], trace[1000];
    hm_suite_outcome outcome;
    const char *db = hm_store_path(a->db);
    output_folder(folder, sizeof folder, db);
    snprintf(audio, sizeof audio, "%s/audio/%.8s", folder, s->id);
    hm_suite_options options = {.plan = s->plan,
                                .session_id = s->id,
                                .machine_id = s->machine.id,
                                .warmup = a->warmup,
                                .audio_folder = a->keep_audio ? audio : NULL,
                                .rounds = s->rounds,
                                .max_time_ns = a->max_time_s * 1000000000,
                                .timeout_ns = a->timeout_s * 1000000000,
                                .order_seed = s->order_seed,
                                .stream = a->stream,
                                .quiet = a->quiet};
    hm_status st = hm_suite_run(s->store, &options, &outcome, err);
    if (st) {
        hm_store_end_session(s->store, s->id, st == HM_EINTERRUPTED ? "interrupted" : "failed", NULL);
        if (st == HM_EINTERRUPTED)
            return hm_fail(err, st, "interrupted; what was measured is stored; go on with: hmbench suite --resume%s%s",
                           a->db ? " --db " : "", a->db ? a->db : "");
        return st;
    }
    st = hm_store_end_session(s->store, s->id, outcome.rounds < s->rounds ? "partial" : "done", err);
    if (!st)
        st = hm_suite_check(s->store, s->plan, s->id, &outcome, err);
    if (!st && a->keep_audio)
        st = hm_session_fidelity(s->store, s->id, err);
    if (!st)
        st = put_limits(s, err);
    if (!st)
        st = hm_suite_report(s->store, s->id, stdout, err);
    if (st)
        return st;
    if (outcome.rounds < s->rounds)
        fprintf(stderr, "%d of %d rounds fit into the time limit (--max-time); hmbench suite --resume adds the others\n", outcome.rounds,
                s->rounds);
    fprintf(stderr, "session %s in database %s\n", s->id, db);
    if (a->keep_audio && rmdir(audio)) /* an empty folder is no news */
        fprintf(stderr, "audio in %s\n", audio);
    if (write_trace(s, a, folder, trace, sizeof trace))
        fprintf(stderr, "timeline (ui.perfetto.dev) in %s\n", trace);
    return verdict(&outcome, err);
}

hm_status hm_cmd_suite(const hm_command *self, int argc, char **argv, hm_error *err)
{
    enum { DEFAULT_ROUNDS = 3 };
    suite_args a = {.plan.backend = "cpu",
                    .warmup = "first",
                    .rounds = DEFAULT_ROUNDS,
                    .max_time_s = 1800,
                    .timeout_s = 1800,
                    .keep_audio = true,
                    .trace = true};
    session s = {0};
    bool helped;
    hm_status st = parse(self, argc, argv, &a, &helped, err);
    if (st || helped)
        return st;
    if (a.session && !a.resume)
        return hm_fail(err, HM_EUSAGE, "--session goes with --resume");
    if (a.resume && a.plan.suites.count)
        return hm_fail(err, HM_EUSAGE, "--resume goes on with a stored session; it takes no suites");
    if (a.dry_run) {
        st = hm_plan_make(&s.plan, &a.plan, err);
        if (!st)
            st = resolve_models(s.plan, false, a.plan.model != NULL, err);
        if (!st) {
            say_plan(s.plan);
            st = dry_run(&a, s.plan, err);
        }
        session_close(&s);
        return st;
    }
    hm_machine_read(&s.machine);
    st = hm_build_read(&s.build, err);
    if (!st)
        st = a.resume ? resume_session(&s, &a, a.rounds != DEFAULT_ROUNDS, err) : hm_plan_make(&s.plan, &a.plan, err);
    if (!st && !a.quiet)
        say_plan(s.plan);
    if (!st)
        st = begin(&s, &a, argc, argv, err);
    if (!st)
        st = carry_out(&s, &a, err);
    session_close(&s);
    return st;
}
