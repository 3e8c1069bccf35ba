#include <string.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/fidelity_run.h"
#include "harness/machine.h"
#include "harness/measure.h"
#include "harness/output_options.h"
#include "harness/places.h"
#include "harness/precision.h"
#include "harness/settings.h"
#include "harness/slurm.h"
#include "harness/store_leak.h"
#include "harness/suite_report.h"
#include "harness/table.h"
#include "harness/verdict_store.h"

enum {
    WORDS = 600
};

/* --slurm and what goes with it. */
typedef struct slurm_args {
    hm_slurm_options o;
    bool on, submit_only;
    const char *gather, *split;
    hm_slurm_word words[WORDS]; /* what the tasks are given */
    int word_count;
    bool too_many;
    const char *alone; /* an option that goes with --slurm was given */
} slurm_args;

typedef struct suite_args {
    hm_measure_options m;
    hm_precision precision;
    const char *order;
    int64_t rounds, iterations, min_rounds, max_rounds, frames, seed;
    double stop_at; /* % */
    bool dry_run;
    hm_output_options output;
    slurm_args slurm;
} suite_args;

enum {
    MIN_ROUNDS = 6,
    MAX_ROUNDS = 40
}; /* with --stop-at */

static void take_word(void *self, const char *name, const char *value, bool on)
{
    static const char *const ours[] = {"slurm",     "partition",    "nodes",        "constraint",        "slurm-time", "slurm-split",
                                       "exclusive", "slurm-option", "slurm-gather", "slurm-submit-only", "filter",     "dry-run",
                                       "resume",    "session",      "output",       "output-file",       "db",         "quiet"};
    slurm_args *s = self;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(name, ours[i])) {
            if (i > 0 && i < 10)
                s->alone = ours[i];
            return;
        }
    if (s->word_count < WORDS)
        s->words[s->word_count++] = (hm_slurm_word){name, value, on};
    else
        s->too_many = true;
}

static hm_status parse(const hm_command *self, int argc, char **argv, suite_args *a, bool *helped, hm_error *err)
{
    hm_measure_options *m = &a->m;
    slurm_args *s = &a->slurm;
    const hm_option options[] = {
        {"variant", 'V', HM_OPT_LIST, &m->plan.variants, "LIST", "arms, as in naive,best:attn=scores; all; none (default: naive,best)", 0,
         0, NULL},
        HM_PRECISION_OPTION(&a->precision),
        {"arm", 0, HM_OPT_LIST, &m->plan.commands, "NAME=CMD", "another program that speaks the worker protocol as an arm, or a peer: PEER, NAME='peer:PEER --option' (hmbench peers)", 0, 0, NULL},
        {"program", 0, HM_OPT_LIST, &m->plan.programs, "NAME=PATH",
         "another build of hmbench, its file or a folder with one: every variant by it, too", 0, 0, NULL},
        {"axis", 'a', HM_OPT_LIST, &m->plan.axes, "NAME=LIST",
         "arms for each value of threads, isa, model, backend, device, env-profile, precision or a toggle: threads=1,2; backend=cpu,ze; "
         "flow_steps=5:20:5; threads=1:8:x2; precision=ladder; cases that transcribe for each value of batch-size, chunk-length",
         0, 0, NULL},
        {"only-arm", 0, HM_OPT_LIST, &m->plan.only_arms, "NAME", "of all the arms that these options make, only this one", 0, 0, NULL},
        {"model", 'm', HM_OPT_STRING, &m->plan.model, "LIST",
         "folders of weights, or presets (default: heartmula-mini for songs, qwen3-tts-mini for speech, whisper-mini for transcripts); each runs "
         "the cases it makes",
         0, 0, NULL},
        {"threads", 't', HM_OPT_STRING, &m->plan.threads, "LIST", "thread counts, as in 1,2 (default: all CPUs)", 0, 0, NULL},
        {"isa", 0, HM_OPT_STRING, &m->plan.isa, "LIST", "instruction sets, as in scalar,avx2 (default: the best here)", 0, 0, NULL},
        HM_PLAN_DEVICE_OPTIONS(&m->plan),
        HM_ENV_PROFILE_OPTION(&m->plan),
        HM_SETTINGS_OPTION(&m->plan.settings),
        {"filter", 'f', HM_OPT_STRING, &m->plan.filter, "REGEX", "only cases whose suite/name matches", 0, 0, NULL},
        {"rounds", 'n', HM_OPT_INT, &a->rounds, "N", "rounds; every arm runs once per case in each", 1, 1000, NULL},
        {"iters", 0, HM_OPT_INT, &a->iterations, "N", "timed generations in each run; the run's figure is their median", 1,
         HM_ITERATIONS_MOST, NULL},
        {"stop-at", 0, HM_OPT_DOUBLE, &a->stop_at, "PERCENT",
         "a case ends when the 95 % interval of every ratio to the first arm is within +- this (0: never)", 0, 100, NULL},
        {"min-rounds", 0, HM_OPT_INT, &a->min_rounds, "N", "with --stop-at: before a case may end (6 give an interval)", 1, 1000, NULL},
        {"max-rounds", 0, HM_OPT_INT, &a->max_rounds, "N", "with --stop-at: the most", 1, 1000, NULL},
        {"order", 0, HM_OPT_STRING, &a->order, "KIND",
         "of the arms in a round: a permutation and then its reverse; a fresh one each; fixed", 0, 0, hm_order_names},
        {"seed", 0, HM_OPT_INT, &a->seed, "N", "of the order of arms (0: drawn, and recorded)", 0, 9e15, NULL},
        {"warmup", 0, HM_OPT_STRING, &m->warmup, "KIND", "first frames and one solver step; a full run; none", 0, 0, hm_warmup_names},
        {"settle", 0, HM_OPT_DURATION, &m->settle_s, "TIME", "longest wait before a turn until the CPU is as cool as in the first round", 0,
         3600, NULL},
        {"max-time", 0, HM_OPT_DURATION, &m->max_time_s, "TIME", "no round starts that would end later; 0: no limit", 0, 1e9, NULL},
        {"timeout", 0, HM_OPT_DURATION, &m->timeout_s, "TIME", "of one run, and of one hook", 1, 1e7, NULL},
        {"setup", 0, HM_OPT_STRING, &m->hooks.setup, "CMD", "shell command, once before anything runs", 0, 0, NULL},
        {"prepare", 0, HM_OPT_STRING, &m->hooks.prepare, "CMD", "before every run, not timed ($HMBENCH_CASE, $HMBENCH_ARM, $HMBENCH_ROUND)",
         0, 0, NULL},
        {"conclude", 0, HM_OPT_STRING, &m->hooks.conclude, "CMD", "after every run, not timed", 0, 0, NULL},
        {"cleanup", 0, HM_OPT_STRING, &m->hooks.cleanup, "CMD", "once at the end, after Ctrl-C too", 0, 0, NULL},
        {"tag", 0, HM_OPT_LIST, &m->tags, "KEY=VALUE", "stored with the session", 0, 0, NULL},
        {"dry-run", 0, HM_OPT_FLAG, &a->dry_run, NULL, "print the plan and how long it will take, run nothing", 0, 0, NULL},
        {"resume", 0, HM_OPT_FLAG, &m->resume, NULL, "go on with the last session that is not complete", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &m->session, "ID", "with --resume: that session; --rounds may ask for more", 0, 0, NULL},
        {"keep-audio", 0, HM_OPT_FLAG, &m->keep_audio, NULL, "write the first round's audio", 0, 0, NULL},
        {"logit-frames", 0, HM_OPT_INT, &a->frames, "N",
         "after the rounds, compare the logits of so many frames with the first variant's, where they may differ; 0: do not", 0, 4096,
         NULL},
        {"cold", 0, HM_OPT_FLAG, &m->cold, NULL,
         "before the rounds, start each arm once per case with its model's files (no others) out of the page cache", 0, 0, NULL},
        {"stream", 0, HM_OPT_FLAG, &m->stream, NULL, "arms that decode in pieces hand them over as they come: time to first audio, stalls",
         0, 0, NULL},
        {"trace", 0, HM_OPT_FLAG, &a->m.trace, NULL, "after the rounds, write a timeline of the last arm on its first case", 0, 0, NULL},
        {"limits", 0, HM_OPT_FLAG, &m->limits, NULL, "at the end, measure what the machine can do for a moment: shares in the journal", 0,
         0, NULL},
        {"slurm", 0, HM_OPT_FLAG, &s->on, NULL,
         "measure as an array of Slurm jobs, each into a database of its own beside --db; wait for them and merge them; with --resume: "
         "what "
         "is missing (docs/slurm.md)",
         0, 0, NULL},
        {"partition", 0, HM_OPT_STRING, &s->o.partition, "NAME", "of Slurm", 0, 0, NULL},
        {"constraint", 0, HM_OPT_STRING, &s->o.constraint, "LIST", "features that Slurm's nodes must have", 0, 0, NULL},
        {"nodes", 0, HM_OPT_INT, &s->o.nodes, "N", "tasks at work at the same time, each on a node; 0: no limit", 0, 100000, NULL},
        {"slurm-time", 0, HM_OPT_STRING, &s->o.time, "TIME", "limit of a task, as sbatch takes it: 30, 2:00:00", 0, 0, NULL},
        {"slurm-split", 0, HM_OPT_STRING, &s->split, "KIND",
         "a task is a case with all its arms side by side, or an arm beside the one it is compared with", 0, 0, hm_slurm_split_names},
        {"exclusive", 0, HM_OPT_FLAG, &s->o.exclusive, NULL, "a task has its node for itself", 0, 0, NULL},
        {"slurm-option", 0, HM_OPT_LIST, &s->o.options, "OPTION", "for sbatch as it is, as in --slurm-option=--account=audio", 0, 0, NULL},
        {"slurm-submit-only", 0, HM_OPT_FLAG, &s->submit_only, NULL, "submit and leave; --slurm --resume gathers", 0, 0, NULL},
        {"slurm-gather", 0, HM_OPT_STRING, &s->gather, "FOLDER", "merge what the tasks of this slurm-ID have so far; submits nothing", 0, 0,
         NULL},
        HM_OUTPUT_OPTIONS(a->output),
        {"db", 0, HM_OPT_STRING, &m->db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &m->quiet, NULL, "the table and errors only", 0, 0, NULL},
        {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, &m->plan.suites, HM_PLAN_SUITES, helped, err);
    if (!st && !*helped)
        hm_options_each(options, argc, argv, s, take_word);
    return st || *helped ? st : hm_precision_apply_list(&a->precision, &m->plan.variants, "naive,best", err);
}

/* What cannot be, of --slurm. */
static hm_status check_slurm(slurm_args *s, const hm_measure_options *m, hm_error *err)
{
    bool on = s->on || s->gather;
    if (!on && s->alone)
        return hm_fail(err, HM_EUSAGE, "--%s goes with --slurm", s->alone);
    if (on && s->too_many)
        return hm_fail(err, HM_EUSAGE, "--slurm: more than %d options", WORDS);
    if (s->gather && (s->submit_only || m->resume || m->plan.suites.count))
        return hm_fail(err, HM_EUSAGE, "--slurm-gather takes what there is: no suites, --resume or --slurm-submit-only with it");
    s->on = on;
    s->o.db = m->db;
    s->o.quiet = m->quiet;
    return HM_OK;
}

/* What was given, as the session's options. */
static hm_status take_options(suite_args *a, int argc, char **argv, hm_error *err)
{
    hm_measure_options *m = &a->m;
    if (m->session && !m->resume)
        return hm_fail(err, HM_EUSAGE, "--session goes with --resume");
    if (m->resume && m->plan.suites.count)
        return hm_fail(err, HM_EUSAGE, "--resume goes on with a stored session; it takes no suites");
    if (a->stop_at > 0 && a->rounds != m->rounds)
        return hm_fail(err, HM_EUSAGE, "--stop-at goes with --max-rounds in place of --rounds");
    if (!(a->stop_at > 0) && (a->min_rounds != MIN_ROUNDS || a->max_rounds != MAX_ROUNDS))
        return hm_fail(err, HM_EUSAGE, "--min-rounds and --max-rounds go with --stop-at; without it: --rounds");
    if (a->min_rounds > a->max_rounds)
        return hm_fail(err, HM_EUSAGE, "--min-rounds %d is more than --max-rounds %d", (int)a->min_rounds, (int)a->max_rounds);
    m->more_rounds = a->rounds != m->rounds;
    m->rounds = (int)(a->stop_at > 0 ? a->max_rounds : a->rounds);
    m->stop_at = a->stop_at / 100;
    m->min_rounds = (int)a->min_rounds;
    m->iterations = (int)a->iterations;
    m->logit_frames = (int)a->frames;
    m->order = (hm_order)hm_order_parse(a->order);
    m->seed = (uint64_t)a->seed;
    m->argc = argc;
    m->argv = argv;
    return check_slurm(&a->slurm, m, err);
}

static hm_slurm_split split_of(const slurm_args *s)
{
    return strcmp(s->split, hm_slurm_split_names[HM_SLURM_BY_ARM]) ? HM_SLURM_BY_CASE : HM_SLURM_BY_ARM;
}

/* The plan, and how long it will take. */
static hm_status dry_run(const suite_args *a, hm_error *err)
{
    static const char *const titles[] = {"case", ">frames", "arm", ">expected", "from", NULL};
    hm_machine_record machine;
    hm_store *store = NULL;
    hm_plan *plan = NULL;
    double total = 0;
    int guesses = 0;
    hm_status st = hm_measure_plan(&plan, &a->m.plan, false, err);
    if (st)
        return st;
    hm_measure_say_plan(plan);
    hm_table *table = hm_table_new(titles);
    hm_machine_read(&machine);
    if (hm_store_open(&store, hm_store_path(a->m.db), HM_STORE_READ, NULL))
        store = NULL; /* nothing measured yet */
    for (int c = 0; c < plan->case_count; c++)
        for (int i = 0; i < plan->arm_count; i++) {
            bool known;
            char name[160], frames[16], time[32];
            if (!hm_plan_runs(plan, c, i))
                continue;
            double seconds = (double)hm_suite_expected_ns(store, machine.id, plan, c, i, &known) * 1e-9;
            seconds *= known ? 1 : a->m.iterations;
            snprintf(name, sizeof name, "%s/%s", plan->cases[c].suite, plan->cases[c].name);
            snprintf(frames, sizeof frames, "%d", plan->cases[c].frames);
            snprintf(time, sizeof time, "%.1f s", seconds);
            hm_table_row(table, (const char *const[]){name, frames, plan->arms[i].name, time, known ? "past runs" : "a guess"});
            total += seconds * (double)a->m.rounds;
            guesses += !known;
        }
    hm_store_close(&store);
    st = hm_table_end(table, stdout, 0, err);
    char eta[32];
    int pairs = hm_plan_pairs(plan);
    if (a->slurm.on)
        printf("as %d Slurm tasks (--slurm-split %s): ", hm_slurm_tasks_of(plan, split_of(&a->slurm)), a->slurm.split);
    printf("%d cases x %d arms x %d rounds%s = %d runs, about %s%s\n", plan->case_count, plan->arm_count, a->m.rounds,
           pairs < plan->case_count * plan->arm_count ? ", each arm with the cases its model makes" : "", pairs * a->m.rounds,
           hm_duration_text(eta, sizeof eta, total), guesses ? " (a tenth of real time where nothing was measured yet)" : "");
    hm_plan_close(&plan);
    return st;
}

/* An untimed run of `hmbench profile` in a process of its own, after all timing. False: there is no trace (a remark tells why). */
static bool write_trace(const hm_measure *m, const suite_args *a, char *path, size_t size)
{
    char program[HM_MODEL_PATH], name[HM_MODEL_PATH];
    const char *line;
    size_t length;
    const hm_plan *plan = hm_measure_plan_of(m);
    int arm = plan->arm_count - 1, first = 0, code = 1;
    while (arm >= 0 && (plan->arms[arm].command || plan->arms[arm].program || plan->arms[arm].refusal[0]))
        arm--;
    if (!hm_measure_options_of(m)->trace || arm < 0)
        return false;
    const hm_plan_arm *last = &plan->arms[arm];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    while (first < plan->case_count - 1 && !hm_plan_runs(plan, first, arm))
        first++;
    const char *suite = plan->cases[first].suite;
    for (int i = 0; i < plan->suite_count; i++) /* its file: a suite need not lie where names are looked for */
        if (!strcmp(plan->suites[i]->name, plan->cases[first].suite))
            suite = plan->suites[i]->path;
    snprintf(name, sizeof name, "%s/%s", suite, plan->cases[first].name);
    snprintf(path, size, "%s/trace-%.8s.json", hm_measure_folder(m), hm_measure_session(m));
    char *argv[] = {program,
                    "profile",
                    name,
                    "--trace",
                    path,
                    "--repeat",
                    "1",
                    "--quiet",
                    "--variant",
                    (char *)last->variant,
                    "--model",
                    (char *)last->model,
                    "--backend",
                    (char *)last->backend,
                    *last->device ? "--device" : NULL,
                    (char *)last->device,
                    NULL};
    hm_process *process = NULL;
    hm_error err = {0};
    if (hm_process_start(&process, argv, &err))
        return false;
    int64_t deadline = hm_clock_now(hm_clock_real()) + a->m.timeout_s * 1000000000;
    while (hm_process_read(process, deadline, hm_interrupted, &line, &length) == HM_READ_LINE)
        ;
    snprintf(program, sizeof program, "%s", hm_process_last_words(process));
    hm_process_end(&process, hm_interrupted() ? 0 : 5000000000, &code);
    if (code)
        fprintf(stderr, "no timeline: hmbench profile %s: %s\n", name, program);
    return !code;
}

static hm_status report(hm_measure *m, const suite_args *a, hm_error *err)
{
    hm_document *d = NULL;
    hm_status st = hm_suite_document(hm_measure_store(m), hm_measure_session(m), &d, err);
    if (!st)
        st = hm_leak_report(hm_measure_store(m), hm_measure_session(m), d, err);
    if (!st)
        st = hm_output_write(&a->output, d, err);
    hm_document_free(&d);
    return st;
}

/* Rounds, table, what lies where. */
static hm_status carry_out(hm_measure *m, const suite_args *a, hm_error *err)
{
    char audio[1000], trace[1000];
    hm_status st = hm_measure_run(m, err);
    const hm_suite_outcome *o = hm_measure_outcome(m);
    if (!st)
        st = report(m, a, err);
    if (!st)
        st = hm_places_report(hm_measure_store(m), hm_measure_session(m), stderr, err);
    if (st)
        return st;
    if (o->rounds < hm_measure_rounds(m) && !o->decided && !o->invalid)
        fprintf(stderr, "%d of %d rounds fit into the time limit (--max-time); hmbench suite --resume adds the others\n", o->rounds,
                hm_measure_rounds(m));
    fprintf(stderr, "session %s in database %s\n", hm_measure_session(m), hm_measure_database(m));
    snprintf(audio, sizeof audio, "%s/audio/%.8s", hm_measure_folder(m), hm_measure_session(m));
    if (hm_measure_options_of(m)->keep_audio && rmdir(audio)) /* an empty folder is no news */
        fprintf(stderr, "audio in %s\n", audio);
    if (write_trace(m, a, trace, sizeof trace))
        fprintf(stderr, "timeline (ui.perfetto.dev) in %s\n", trace);
    return hm_measure_verdict(m, err);
}

/* ---- --slurm ---- */

/* The folder with its tasks: of this plan, or one that is there. */
static hm_status open_slurm(hm_slurm **out, const suite_args *a, hm_error *err)
{
    const slurm_args *s = &a->slurm;
    hm_plan *plan = NULL, *ready = NULL;
    if (s->gather || a->m.resume)
        return hm_slurm_open(out, &s->o, s->gather ? s->gather : a->m.session, err);
    hm_status st = hm_plan_make(&plan, &a->m.plan, err);
    if (!st && !s->o.quiet)
        hm_measure_say_plan(plan);
    if (!st)
        st = hm_measure_plan(&ready, &a->m.plan, true, err); /* presets are made once, and not by every task */
    if (!st)
        st = hm_slurm_make(out, &s->o, plan, split_of(s), s->words, s->word_count, a->m.argc, a->m.argv, err);
    hm_plan_close(&ready);
    hm_plan_close(&plan);
    return st;
}

/* The usual tables of all sessions together. */
static hm_status report_slurm(const suite_args *a, const hm_slurm *slurm, hm_store *store, hm_error *err)
{
    hm_session_list sessions = {0};
    hm_document *d = NULL;
    hm_status st = hm_store_find_sessions(store, hm_slurm_tag(slurm), &sessions, err);
    if (!st)
        st = hm_suite_document(store, hm_slurm_tag(slurm), &d, err);
    for (int i = sessions.count - 1; i >= 0 && !st; i--)
        st = hm_leak_report(store, sessions.ids[i], d, err);
    if (!st)
        st = hm_output_write(&a->output, d, err);
    for (int i = sessions.count - 1; i >= 0 && !st; i--)
        st = hm_places_report(store, sessions.ids[i], stderr, err);
    if (!st)
        fprintf(stderr, "%d sessions tagged %s in database %s\n", sessions.count, hm_slurm_tag(slurm), hm_store_path(a->m.db));
    hm_session_list_free(&sessions);
    hm_document_free(&d);
    return st;
}

static hm_status gather_slurm(const suite_args *a, hm_slurm *slurm, hm_error *err)
{
    hm_store *store = NULL;
    hm_session_list sessions = {0};
    hm_status st = hm_store_open(&store, hm_store_path(a->m.db), HM_STORE_CREATE, err);
    if (!st)
        st = hm_slurm_merge(slurm, store, err);
    bool any = !st && !hm_store_find_sessions(store, hm_slurm_tag(slurm), &sessions, NULL);
    hm_session_list_free(&sessions);
    if (any)
        st = report_slurm(a, slurm, store, err);
    hm_store_close(&store);
    return st ? st : hm_slurm_verdict(slurm, err);
}

static hm_status suite_by_slurm(const suite_args *a, hm_error *err)
{
    const slurm_args *s = &a->slurm;
    hm_slurm *slurm = NULL;
    hm_status st = open_slurm(&slurm, a, err);
    if (!st)
        st = s->gather ? hm_slurm_look(slurm, false, err) : hm_slurm_submit(slurm, err);
    if (!st && !s->gather && !s->submit_only)
        st = hm_slurm_wait(slurm, err);
    if (!st && !s->submit_only)
        st = gather_slurm(a, slurm, err);
    hm_slurm_close(&slurm);
    return st;
}

hm_status hm_cmd_suite(const hm_command *self, int argc, char **argv, hm_error *err)
{
    suite_args a = {.m = hm_measure_defaults("suite"), .min_rounds = MIN_ROUNDS, .max_rounds = MAX_ROUNDS, .frames = HM_LOGIT_FRAMES};
    hm_measure *m = NULL;
    bool helped;
    a.m.trace = true;
    a.slurm.o.exclusive = true;
    a.slurm.split = hm_slurm_split_names[HM_SLURM_BY_CASE];
    a.output.format = "md";
    a.order = hm_order_names[a.m.order];
    a.rounds = a.m.rounds;
    a.iterations = a.m.iterations;
    hm_status st = parse(self, argc, argv, &a, &helped, err);
    if (st || helped)
        return st;
    st = take_options(&a, argc, argv, err);
    if (st || a.dry_run)
        return st ? st : dry_run(&a, err);
    st = hm_output_options_check(&a.output, "suite", err);
    if (st || a.slurm.on)
        return st ? st : suite_by_slurm(&a, err);
    if (!st)
        st = hm_measure_begin(&m, &a.m, err);
    if (!st)
        st = carry_out(m, &a, err);
    hm_measure_close(&m);
    return st;
}
