#include "harness/slurm.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "harness/machine.h"
#include "harness/measure.h"
#include "harness/progress.h"
#include "harness/slurm_internal.h"

#define LOOK_NS ((int64_t)250000000)
#define ASK_LEAST_NS ((int64_t)500000000) /* between two questions to the queue, at first */
#define ASK_MOST_NS ((int64_t)10000000000)
#define ABSENT_NS ((int64_t)3000000000) /* out of the queue, before a task without an exit code is given up: shared folders lag */
#define DEAF_MOST 60                    /* questions in a row without an answer */

enum {
    PLAN_VERSION = 1,
    PLAN_MAX_BYTES = 16 << 20
};

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void file_of(const hm_slurm *s, char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", s->folder, name);
}

/* The folder of the database, where ours lie. */
static void home_of(const char *db, char *out, size_t size)
{
    const char *path = hm_store_path(db), *slash = strrchr(path, '/');
    snprintf(out, size, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (slash == path)
        snprintf(out, size, "/");
}

/* ---- plan.json ---- */

static hm_status write_plan(const hm_slurm *s, hm_error *err)
{
    char path[1000];
    char *text = json_dumps(s->plan, JSON_INDENT(1));
    file_of(s, path, sizeof path, "plan.json");
    hm_status st = text ? hm_file_write(path, text, strlen(text), err) : hm_fail(err, HM_EABSENT, "%s: out of memory", path);
    free(text);
    return st;
}

static json_t *or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* What sbatch is given besides the array, for the next time. */
static void keep_options(hm_slurm *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->o.options.count; i++)
        json_array_append_new(list, json_string(s->o.options.items[i]));
    json_object_set_new(s->plan, "sbatch",
                        json_pack("{s:o, s:o, s:o, s:I, s:b, s:o}", "partition", or_null(s->o.partition), "constraint",
                                  or_null(s->o.constraint), "time", or_null(s->o.time), "nodes", (json_int_t)s->o.nodes, "exclusive",
                                  s->o.exclusive, "options", list));
}

/* Those of before where none are given now. */
static void take_up_options(hm_slurm *s)
{
    const json_t *o = json_object_get(s->plan, "sbatch"), *item;
    size_t i;
    s->o.partition = s->o.partition ? s->o.partition : text_of(o, "partition");
    s->o.constraint = s->o.constraint ? s->o.constraint : text_of(o, "constraint");
    s->o.time = s->o.time ? s->o.time : text_of(o, "time");
    s->o.nodes = s->o.nodes ? s->o.nodes : json_integer_value(json_object_get(o, "nodes"));
    s->o.exclusive = s->o.exclusive && !json_is_false(json_object_get(o, "exclusive"));
    if (!s->o.options.count)
        json_array_foreach(json_object_get(o, "options"), i, item) if (json_is_string(item) && s->o.options.count < 256)
            s->o.options.items[s->o.options.count++] = json_string_value(item);
}

static void name_arrays(hm_slurm *s)
{
    size_t i;
    const json_t *array;
    s->arrays[0] = 0;
    json_array_foreach(json_object_get(s->plan, "arrays"), i, array)
    {
        size_t used = strlen(s->arrays);
        snprintf(s->arrays + used, sizeof s->arrays - used, "%s%s", i ? ", " : "", text_of(array, "job"));
    }
}

static void add_word(json_t *arguments, const hm_slurm_word *w)
{
    if (w->value)
        json_array_append_new(arguments, json_sprintf("--%s=%s", w->name, w->value));
    else
        json_array_append_new(arguments, json_sprintf("--%s%s", w->on ? "" : "no-", w->name));
}

static hm_status fill_plan(hm_slurm *s, const hm_plan *plan, hm_slurm_split split, const hm_slurm_word *words, int word_count, int argc,
                           char *const *argv, hm_error *err)
{
    char program[900], directory[900], utc[HM_UTC_TEXT];
    bool models = false;
    hm_build_record build;
    json_t *arguments = json_array(), *tasks = NULL;
    hm_status st = hm_build_read(&build, err);
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    if (!st && (n <= 0 || !getcwd(directory, sizeof directory)))
        st = hm_fail(err, HM_EIO, "--slurm: this program or folder has no path: %s", strerror(errno));
    for (int i = 0; i < word_count; i++) {
        const char *value = words[i].value;
        bool model = value && (!strcmp(words[i].name, "model") || (!strcmp(words[i].name, "axis") && !strncmp(value, "model=", 6)));
        models = models || model;
        if (!model || split == HM_SLURM_BY_ARM) /* by case each task has those that make its case */
            add_word(arguments, &words[i]);
    }
    if (!st)
        st = hm_slurm_split_plan(&tasks, plan, split, models, err);
    char *command = hm_command_text(argc, argv);
    hm_utc_text(utc);
    if (!st)
        s->plan =
            json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:O, s:[]}", "hmbench_slurm", PLAN_VERSION, "tag", s->tag,
                      "created_utc", utc, "build", build.id, "command", command ? command : "", "split", hm_slurm_split_names[split],
                      "program", program, "folder", s->folder, "directory", directory, "arguments", arguments, "tasks", tasks, "arrays");
    if (!st && !s->plan)
        st = hm_fail(err, HM_EUSAGE, "--slurm: paths and arguments have to be UTF-8");
    if (!st)
        s->count = (int)json_array_size(tasks);
    free(command);
    json_decref(arguments);
    json_decref(tasks);
    return st;
}

hm_status hm_slurm_make(hm_slurm **out, const hm_slurm_options *options, const hm_plan *plan, hm_slurm_split split,
                        const hm_slurm_word *words, int word_count, int argc, char *const *argv, hm_error *err)
{
    char home[900], id[HM_UUID_TEXT], path[1000], *script = NULL;
    hm_store *store = NULL;
    hm_slurm *s = hm_calloc(1, sizeof *s, "slurm", err);
    if (!s)
        return HM_EABSENT;
    s->o = *options;
    s->fresh = true;
    hm_uuid_text(id);
    snprintf(s->tag, sizeof s->tag, "slurm=%.*s", HM_SLURM_ID, id);
    home_of(options->db, home, sizeof home);
    hm_status st = hm_store_open(&store, hm_store_path(options->db), HM_STORE_CREATE, err); /* with its folder; and it can be written */
    hm_store_close(&store);
    char *real = st ? NULL : realpath(home, NULL);
    if (!st && (!real || strlen(real) > sizeof s->folder - 40))
        st = hm_fail(err, HM_ECREATE, "--slurm: folder %s: %s", home, real ? "its path is too long" : strerror(errno));
    if (!st)
        snprintf(s->folder, sizeof s->folder, "%s/slurm-%.*s", real, HM_SLURM_ID, id);
    if (!st)
        st = fill_plan(s, plan, split, words, word_count, argc, argv, err);
    if (!st && mkdir(s->folder, 0777))
        st = hm_fail(err, HM_ECREATE, "--slurm: folder %s: %s", s->folder, strerror(errno));
    if (!st) {
        keep_options(s);
        st = write_plan(s, err);
    }
    if (!st) {
        script = hm_slurm_script(s->plan);
        file_of(s, path, sizeof path, "job.sh");
        st = script ? hm_file_write(path, script, strlen(script), err) : hm_fail(err, HM_EABSENT, "%s: out of memory", path);
    }
    free(script);
    free(real);
    if (st)
        hm_slurm_close(&s);
    *out = s;
    return st;
}

void hm_slurm_close(hm_slurm **slurm)
{
    if (!*slurm)
        return;
    json_decref((*slurm)->plan);
    free(*slurm);
    *slurm = NULL;
}

/* ---- one that was made before ---- */

/* Of the folders in `home` the newest whose id begins so. */
static hm_status find_folder(const char *home, const char *begin, char *out, size_t size, hm_error *err)
{
    char path[1300], best[HM_UTC_TEXT] = "";
    DIR *d = opendir(home);
    *out = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        json_error_t where;
        if (strncmp(e->d_name, "slurm-", 6) || strncmp(e->d_name + 6, begin, strlen(begin)))
            continue;
        snprintf(path, sizeof path, "%s/%s/plan.json", home, e->d_name);
        json_t *plan = json_load_file(path, 0, &where);
        const char *utc = text_of(plan, "created_utc");
        if (utc && strcmp(utc, best) > 0) {
            snprintf(best, sizeof best, "%s", utc);
            snprintf(out, size, "%s/%.200s", home, e->d_name);
        }
        json_decref(plan);
    }
    if (d)
        closedir(d);
    return *out ? HM_OK : hm_fail(err, HM_EMISSING, "--slurm: there is no folder slurm-%s* with a plan.json in %s", begin, home);
}

/* Whether everything that is used later is there and of its type. */
static bool plan_ok(const json_t *p)
{
    static const char *const texts[] = {"tag", "created_utc", "build", "command", "program", "folder", "directory"};
    bool ok = json_integer_value(json_object_get(p, "hmbench_slurm")) == PLAN_VERSION;
    const json_t *tasks = json_object_get(p, "tasks"), *item;
    size_t i;
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        ok = ok && text_of(p, texts[k]);
    ok = ok && json_is_array(json_object_get(p, "arrays")) && json_array_size(tasks) > 0 && json_array_size(tasks) <= HM_SLURM_TASKS;
    ok = ok && !strncmp(text_of(p, "tag"), "slurm=", 6) && strlen(text_of(p, "tag")) == 6 + HM_SLURM_ID;
    json_array_foreach(tasks, i, item) ok = ok && text_of(item, "name");
    json_array_foreach(json_object_get(p, "arrays"), i, item) ok = ok && text_of(item, "job") && strlen(text_of(item, "job")) < 64;
    return ok;
}

hm_status hm_slurm_open(hm_slurm **out, const hm_slurm_options *options, const char *name, hm_error *err)
{
    char home[900], folder[1200], path[1300];
    hm_map file = {0};
    hm_status st = HM_OK;
    hm_slurm *s = hm_calloc(1, sizeof *s, "slurm", err);
    if (!s)
        return HM_EABSENT;
    s->o = *options;
    if (name && strchr(name, '/')) {
        snprintf(folder, sizeof folder, "%s", name);
    } else {
        home_of(options->db, home, sizeof home);
        st = find_folder(home, name ? !strncmp(name, "slurm-", 6) ? name + 6 : name : "", folder, sizeof folder, err);
    }
    char *real = st ? NULL : realpath(folder, NULL);
    if (!st && (!real || strlen(real) >= sizeof s->folder))
        st = hm_fail(err, HM_EMISSING, "--slurm: folder %s: %s", folder, real ? "its path is too long" : strerror(errno));
    if (!st) {
        snprintf(s->folder, sizeof s->folder, "%s", real);
        file_of(s, path, sizeof path, "plan.json");
        st = hm_map_read(&file, path, PLAN_MAX_BYTES, err);
    }
    if (!st) {
        s->plan = json_loadb((const char *)file.data, file.size, 0, NULL);
        if (!plan_ok(s->plan))
            st = hm_fail(err, HM_EFORMAT, "%s: is not what --slurm wrote", path);
    }
    if (!st) {
        snprintf(s->tag, sizeof s->tag, "%s", text_of(s->plan, "tag"));
        s->count = (int)json_array_size(json_object_get(s->plan, "tasks"));
        s->fresh = !json_array_size(json_object_get(s->plan, "arrays"));
        take_up_options(s);
        name_arrays(s);
    }
    hm_map_close(&file);
    free(real);
    if (st)
        hm_slurm_close(&s);
    *out = s;
    return st;
}

/* ---- how the tasks stand ---- */

/* task-K.db, and task-K-*.db of later tries, one after the other; the folder is read again for each. False: no more. */
static bool database_of(const hm_slurm *s, int task, int index, char *out, size_t size)
{
    char begin[40];
    struct stat info;
    snprintf(out, size, "%s/task-%d.db", s->folder, task);
    bool first = !stat(out, &info);
    if (first && !index)
        return true;
    index -= first;
    int n = snprintf(begin, sizeof begin, "task-%d-", task);
    DIR *d = opendir(s->folder);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        size_t length = strlen(e->d_name);
        if (strncmp(e->d_name, begin, (size_t)n) || length < 3 || strcmp(e->d_name + length - 3, ".db") || index--)
            continue;
        snprintf(out, size, "%s/%.255s", s->folder, e->d_name);
        found = true;
    }
    if (d)
        closedir(d);
    return found;
}

/* A task that ended well may have had no time for all its rounds. One that had to start again has several databases: a whole one will do.
 */
static bool is_partial(const hm_slurm *s, int task)
{
    char path[1300];
    bool whole = false;
    for (int i = 0; !whole && database_of(s, task, i, path, sizeof path); i++) {
        hm_store *store = NULL;
        hm_session_info info;
        bool found = true;
        if (hm_store_open(&store, path, HM_STORE_READ, NULL))
            continue;
        whole = !hm_store_get_session(store, NULL, "suite", &info, &found, NULL) && !found;
        if (found)
            hm_session_info_free(&info);
        hm_store_close(&store);
    }
    return !whole;
}

static void exit_path(const hm_slurm *s, int task, char *out, size_t size)
{
    snprintf(out, size, "%s/task-%d.exit", s->folder, task);
}

/* What the exit file says, if there is one. */
static void read_exit(hm_slurm *s, int task)
{
    char path[1000], text[100] = "";
    int code;
    hm_slurm_task *t = &s->tasks[task];
    exit_path(s, task, path, sizeof path);
    FILE *f = t->state == HM_TASK_ENDED ? NULL : fopen(path, "r");
    if (!f)
        return;
    if (fgets(text, sizeof text, f) && sscanf(text, "%d", &code) == 1 && code >= 0 && code < 256) {
        *t = (hm_slurm_task){.state = HM_TASK_ENDED, .code = code};
        t->partial = !code && is_partial(s, task);
    } else if (sscanf(text, "lost %60[^\n]", t->word) == 1 && t->state == HM_TASK_NEW) {
        t->state = HM_TASK_LOST;
    }
    fclose(f);
}

/* The array that a task was in last. */
static const char *last_job(const hm_slurm *s, int task)
{
    const char *job = NULL;
    size_t i, k;
    const json_t *array, *index;
    json_array_foreach(json_object_get(s->plan, "arrays"), i, array)
        json_array_foreach(json_object_get(array, "tasks"), k, index) if (json_integer_value(index) == task) job = text_of(array, "job");
    return job;
}

static void give_up(hm_slurm *s, int task)
{
    char path[1000], text[100];
    hm_slurm_task *t = &s->tasks[task];
    const char *job = last_job(s, task);
    t->state = HM_TASK_LOST;
    hm_slurm_fate(job ? job : "0", task, t->word, sizeof t->word);
    int n = snprintf(text, sizeof text, "lost %s\n", t->word);
    exit_path(s, task, path, sizeof path);
    hm_file_write(path, text, (size_t)n, NULL); /* a record; without it the next look finds the same */
}

static bool in_flight(const hm_slurm_task *t)
{
    return t->state == HM_TASK_WAITING || t->state == HM_TASK_RUNNING || t->state == HM_TASK_UNKNOWN;
}

static void read_exits(hm_slurm *s)
{
    for (int i = 0; i < s->count; i++)
        read_exit(s, i);
}

/* Asks the queue. Tasks that were in it and are not any more, nor have an exit code, are given up after a while. */
static hm_status ask_queue(hm_slurm *s, hm_error *err)
{
    bool queued[HM_SLURM_TASKS];
    hm_status st = hm_slurm_squeue(s, queued, err);
    if (st)
        return st;
    read_exits(s); /* after the queue: who left it in between has written before */
    int64_t now = hm_clock_now(hm_clock_real());
    for (int i = 0; i < s->count; i++) {
        hm_slurm_task *t = &s->tasks[i];
        if (queued[i] || !in_flight(t))
            t->absent_ns = 0;
        else if (!t->absent_ns)
            t->absent_ns = now;
        else if (now - t->absent_ns >= ABSENT_NS)
            give_up(s, i);
    }
    return HM_OK;
}

/* Counts tasks of a state. */
static int count_of(const hm_slurm *s, hm_task_state state)
{
    int n = 0;
    for (int i = 0; i < s->count; i++)
        n += s->tasks[i].state == state;
    return n;
}

hm_status hm_slurm_look(hm_slurm *s, bool must_ask, hm_error *err)
{
    bool queued[HM_SLURM_TASKS];
    read_exits(s);
    if (s->fresh || count_of(s, HM_TASK_ENDED) == s->count)
        return HM_OK;
    hm_status st = hm_slurm_squeue(s, queued, must_ask ? err : NULL);
    read_exits(s);
    if (st && !must_ask) { /* without Slurm, what has an exit code can be had */
        for (int i = 0; i < s->count; i++)
            if (s->tasks[i].state == HM_TASK_NEW && last_job(s, i))
                s->tasks[i].state = HM_TASK_UNKNOWN;
        return HM_OK;
    }
    bool gone = false;
    for (int i = 0; i < s->count && !st; i++)
        gone = gone || (!queued[i] && s->tasks[i].state == HM_TASK_NEW && last_job(s, i));
    if (gone) {
        hm_clock_sleep(hm_clock_real(), ABSENT_NS);
        read_exits(s);
    }
    for (int i = 0; i < s->count && gone; i++)
        if (!queued[i] && s->tasks[i].state == HM_TASK_NEW && last_job(s, i))
            give_up(s, i);
    return st;
}

/* Whether a task has to be measured still. Codes of a suite that was measured to its end are results, if bad ones. */
static bool is_missing(const hm_slurm_task *t)
{
    if (t->state == HM_TASK_NEW || t->state == HM_TASK_LOST)
        return true;
    if (in_flight(t))
        return false;
    return t->partial || !(t->code == HM_OK || t->code == HM_EDIFFERS || t->code == HM_EINVALID || t->code == HM_ECASE);
}

/* ---- submit, wait ---- */

static hm_status check_build(const hm_slurm *s, hm_error *err)
{
    hm_build_record build;
    hm_status st = s->fresh ? HM_OK : hm_build_read(&build, err);
    if (!st && !s->fresh && strcmp(build.id, text_of(s->plan, "build")))
        st = hm_fail(err, HM_ECOMPARE,
                     "%s was begun with another build of hmbench: gather what it has with --slurm-gather %s, and start a new one",
                     s->folder, s->folder);
    return st;
}

/* An array's row in plan.json. */
static void add_array(hm_slurm *s, const char *job, const bool *wanted)
{
    json_t *tasks = json_array();
    for (int i = 0; i < s->count; i++)
        if (wanted[i])
            json_array_append_new(tasks, json_integer(i));
    json_array_append_new(json_object_get(s->plan, "arrays"), json_pack("{s:s, s:o}", "job", job, "tasks", tasks));
    name_arrays(s);
}

/* Nothing was submitted, so that there is nothing to go on with. */
static void take_away(const hm_slurm *s)
{
    static const char *const names[] = {"plan.json", "job.sh", ""};
    char path[1000];
    for (int i = 0; i < 3; i++) {
        file_of(s, path, sizeof path, names[i]);
        remove(path);
    }
}

hm_status hm_slurm_submit(hm_slurm *s, hm_error *err)
{
    bool wanted[HM_SLURM_TASKS];
    char job[64], path[1000];
    int count = 0;
    hm_status st = check_build(s, err);
    if (!st)
        st = hm_slurm_look(s, true, err);
    for (int i = 0; i < s->count; i++)
        count += wanted[i] = is_missing(&s->tasks[i]);
    if (st || !count)
        return st;
    char *ranges = hm_slurm_ranges(wanted, s->count);
    st = ranges ? HM_OK : hm_fail(err, HM_EABSENT, "--slurm: out of memory");
    for (int i = 0; i < s->count && !st; i++) {
        exit_path(s, i, path, sizeof path);
        if (wanted[i] && remove(path) && errno != ENOENT)
            st = hm_fail(err, HM_EIO, "%s: %s", path, strerror(errno));
    }
    if (!st)
        st = hm_slurm_sbatch(s, ranges, job, err);
    free(ranges);
    if (st && s->fresh)
        take_away(s);
    if (st)
        return st;
    s->fresh = false;
    for (int i = 0; i < s->count; i++)
        if (wanted[i])
            s->tasks[i] = (hm_slurm_task){.state = HM_TASK_WAITING};
    add_array(s, job, wanted);
    keep_options(s);
    st = write_plan(s, err);
    if (!s->o.quiet)
        fprintf(stderr, "Slurm array %s: %d of %d tasks; folder %s\n", job, count, s->count, s->folder);
    return st;
}

static hm_status interrupted(const hm_slurm *s, hm_error *err)
{
    return hm_fail(
        err, HM_EINTERRUPTED,
        "interrupted; the tasks go on in Slurm (array %s: scancel takes them away); go on with: hmbench suite --slurm --resume%s%s",
        s->arrays, s->o.db ? " --db " : "", s->o.db ? s->o.db : "");
}

hm_status hm_slurm_wait(hm_slurm *s, hm_error *err)
{
    hm_progress progress;
    hm_status st = HM_OK;
    char title[64];
    int deaf = 0;
    int64_t next = 0, pause = ASK_LEAST_NS;
    snprintf(title, sizeof title, "Slurm %.50s", s->arrays);
    hm_progress_start(&progress, title, s->o.quiet);
    for (;;) {
        int64_t now = hm_clock_now(hm_clock_real());
        read_exits(s);
        int open = count_of(s, HM_TASK_WAITING) + count_of(s, HM_TASK_RUNNING);
        hm_progress_update(&progress, count_of(s, HM_TASK_RUNNING) ? "tasks done" : "in the queue", s->count - open, s->count);
        if (!open)
            break;
        if (hm_interrupted()) {
            st = interrupted(s, err);
            break;
        }
        if (now >= next) {
            deaf = ask_queue(s, err) ? deaf + 1 : 0;
            pause = pause * 3 / 2 < ASK_MOST_NS ? pause * 3 / 2 : ASK_MOST_NS;
            next = now + pause;
        }
        if (deaf >= DEAF_MOST) {
            st = hm_fail_within(err, "--slurm: the queue does not answer (the tasks may go on; --slurm --resume looks again)");
            break;
        }
        hm_clock_sleep(hm_clock_real(), LOOK_NS);
    }
    hm_progress_end(&progress);
    return st;
}

/* ---- merge ---- */

hm_status hm_slurm_merge(hm_slurm *s, hm_store *store, hm_error *err)
{
    char path[1300];
    hm_status st = HM_OK;
    for (int k = 0; k < s->count; k++) {
        bool good = false;
        hm_slurm_task *t = &s->tasks[k];
        *t->trouble = 0;
        for (int i = 0; !in_flight(t) && database_of(s, k, i, path, sizeof path); i++) { /* one node at a time has a file open */
            int64_t rows = 0;
            hm_error why = {0};
            hm_status one = hm_store_merge(store, path, &rows, &why);
            good = good || !one;
            if (one)
                snprintf(t->trouble, sizeof t->trouble, "%.390s", why.text);
            if (one && one != HM_EFORMAT && !st)
                st = hm_fail(err, one, "%s", why.text);
        }
        if (good)
            *t->trouble = 0;
    }
    return st;
}

/* ---- what came of it ---- */

static const char *name_of(const hm_slurm *s, int task)
{
    return text_of(json_array_get(json_object_get(s->plan, "tasks"), (size_t)task), "name");
}

/* Why a task has no result, or a part of one. */
static void reason_of(const hm_slurm_task *t, char *out, size_t size)
{
    if (*t->trouble)
        snprintf(out, size, "%.200s", t->trouble);
    else if (in_flight(t))
        snprintf(out, size, "%s",
                 t->state == HM_TASK_RUNNING   ? "is running"
                 : t->state == HM_TASK_WAITING ? "is waiting in the queue"
                                               : "has no exit code, and there is no squeue to ask");
    else if (t->state == HM_TASK_NEW)
        snprintf(out, size, "was never submitted");
    else if (t->state == HM_TASK_LOST)
        snprintf(out, size, "ended without a word (Slurm: %s)", t->word);
    else if (t->partial)
        snprintf(out, size, "had no time for all rounds (--max-time): --slurm --resume adds them");
    else
        snprintf(out, size, "exit code %d", t->code);
}

/* One line for each task that is not whole. How many have no result or a part of one, and the first of them as text: one that had no time
 * for all its rounds has whole ones. */
static int tell_missing(const hm_slurm *s, char *first, size_t size)
{
    int n = 0;
    char reason[260];
    for (int i = 0; i < s->count; i++) {
        const hm_slurm_task *t = &s->tasks[i];
        bool timeless = t->state == HM_TASK_ENDED && t->partial && !*t->trouble;
        if (!*t->trouble && !in_flight(t) && !is_missing(t))
            continue;
        reason_of(t, reason, sizeof reason);
        if (!timeless && !n++)
            snprintf(first, size, "%.100s: %.200s", name_of(s, i), reason);
        if (!s->o.quiet)
            fprintf(stderr, "task %d (%s): %s; %s/task-%d.log\n", i, name_of(s, i), reason, s->folder, i);
    }
    return n;
}

/* The first task that ended with this code. */
static int with_code(const hm_slurm *s, int code)
{
    for (int i = 0; i < s->count; i++)
        if (s->tasks[i].state == HM_TASK_ENDED && s->tasks[i].code == code)
            return i;
    return -1;
}

hm_status hm_slurm_verdict(const hm_slurm *s, hm_error *err)
{
    char first[320] = "";
    int missing = tell_missing(s, first, sizeof first), k;
    if ((k = with_code(s, HM_EDIFFERS)) >= 0)
        return hm_fail(err, HM_EDIFFERS, "outputs that must be equal differ: task %d (%s); the end of %s/task-%d.log says which", k,
                       name_of(s, k), s->folder, k);
    if ((k = with_code(s, HM_EINVALID)) >= 0)
        return hm_fail(err, HM_EINVALID, "the measurement of task %d (%s) is invalid; the end of %s/task-%d.log says why", k, name_of(s, k),
                       s->folder, k);
    if (missing)
        return hm_fail(err, HM_ECASE,
                       "%d of %d tasks are not whole (%s); what was measured is stored; the rest: hmbench suite --slurm --resume%s%s",
                       missing, s->count, first, s->o.db ? " --db " : "", s->o.db ? s->o.db : "");
    if ((k = with_code(s, HM_ECASE)) >= 0)
        return hm_fail(err, HM_ECASE, "runs of task %d (%s) failed, others are stored; the end of %s/task-%d.log says which", k,
                       name_of(s, k), s->folder, k);
    return HM_OK;
}

const char *hm_slurm_tag(const hm_slurm *s)
{
    return s->tag;
}
