/* sbatch, squeue, scontrol and sacct: called with their arguments as they are, no shell between. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/process.h"
#include "harness/progress.h"
#include "harness/slurm_internal.h"

#define ANSWER_NS ((int64_t)60 * 1000000000) /* a controller that is busy takes its time */
#define PATH_ROOM 1100

/* First program of that name in PATH. */
static bool find(const char *name, char *out, size_t size)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        int used = snprintf(out, size, "%.*s/%s", (int)n, path, name);
        if (n && used > 0 && (size_t)used < size && !access(out, X_OK))
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

hm_status hm_slurm_run(char *const argv[], void *self, void (*take)(void *self, const char *line), hm_error *err)
{
    char program[PATH_ROOM], words[400], *args[64] = {program};
    hm_process *process = NULL;
    const char *line;
    size_t size;
    int code = 0;
    hm_read answer;
    if (!find(argv[0], program, sizeof program))
        return hm_fail(err, HM_EABSENT, "--slurm: there is no %s in $PATH: run this where Slurm's commands are", argv[0]);
    for (int i = 1; argv[i] && i < 63; i++)
        args[i] = argv[i];
    hm_status st = hm_process_start(&process, args, err);
    if (st)
        return hm_fail_within(err, "%s", argv[0]);
    int64_t deadline = hm_clock_now(hm_clock_real()) + ANSWER_NS;
    while ((answer = hm_process_read(process, deadline, NULL, &line, &size)) == HM_READ_LINE)
        take(self, line);
    snprintf(words, sizeof words, "%s", hm_process_last_words(process));
    hm_process_end(&process, answer == HM_READ_END ? 5000000000 : 0, &code);
    if (answer != HM_READ_END)
        return hm_fail(err, HM_EABSENT, "%s: no answer within a minute", argv[0]);
    if (!code)
        return HM_OK;
    size_t name = strlen(argv[0]);
    bool named = !strncmp(words, argv[0], name) && words[name] == ':'; /* "sbatch: error: ..." */
    return hm_fail(err, HM_EABSENT, "%s%s%s", named ? "" : argv[0], named ? "" : ": ", *words ? words : "failed and said nothing");
}

/* ---- sbatch ---- */

/* The first line of its answer: "4711" or "4711;cluster". */
static void take_job(void *self, const char *line)
{
    char *job = self;
    size_t n = strspn(line, "0123456789");
    if (!*job && n && n < 64)
        snprintf(job, 64, "%.*s", (int)n, line);
}

/* Where the output of a task goes: % begins a pattern of sbatch. */
static char *output_pattern(const char *folder)
{
    char *text = malloc(2 * strlen(folder) + 64), *o = text;
    if (!text)
        return NULL;
    o += sprintf(o, "--output=");
    for (; *folder; folder++) {
        if (*folder == '%')
            *o++ = '%';
        *o++ = *folder;
    }
    strcpy(o, "/task-%a.log");
    return text;
}

hm_status hm_slurm_sbatch(const hm_slurm *s, const char *ranges, char job[64], hm_error *err)
{
    enum {
        MOST = 60
    };
    char *argv[MOST + 4], *output = output_pattern(s->folder), script[1000];
    int n = 0;
    const char *directory = json_string_value(json_object_get(s->plan, "directory"));
    json_t *words = json_pack("[s, s, s, s, s]", "sbatch", "--parsable", "--open-mode=append", "--no-requeue", "--nodes=1");
    *job = 0;
    json_array_append_new(words, json_sprintf("--job-name=hmbench-%s", s->tag + strlen("slurm=")));
    json_array_append_new(words, json_sprintf("--chdir=%s", directory));
    json_array_append_new(words, s->o.nodes ? json_sprintf("--array=%s%%%lld", ranges, (long long)s->o.nodes)
                                            : json_sprintf("--array=%s", ranges));
    if (s->o.exclusive) {
        json_array_append_new(words, json_string("--exclusive"));
        json_array_append_new(words, json_string("--mem=0"));
    }
    const char *const given[][2] = {{"partition", s->o.partition}, {"constraint", s->o.constraint}, {"time", s->o.time}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i][1])
            json_array_append_new(words, json_sprintf("--%s=%s", given[i][0], given[i][1]));
    for (int i = 0; i < s->o.options.count; i++)
        json_array_append_new(words, json_string(s->o.options.items[i]));
    snprintf(script, sizeof script, "%s/job.sh", s->folder);
    hm_status st = HM_OK;
    if (!output || !words)
        st = hm_fail(err, HM_EABSENT, "sbatch: out of memory");
    else if (json_array_size(words) > MOST)
        st = hm_fail(err, HM_EUSAGE, "--slurm-option: sbatch would get %zu words, at most %d", json_array_size(words), MOST);
    for (size_t i = 0; !st && i < json_array_size(words); i++)
        argv[n++] = (char *)json_string_value(json_array_get(words, i));
    if (!st) {
        argv[n++] = output;
        argv[n++] = script;
        argv[n] = NULL;
        st = hm_slurm_run(argv, job, take_job, err);
    }
    if (!st && !*job)
        st = hm_fail(err, HM_EABSENT, "sbatch: answered without the number of a job");
    free(output);
    json_decref(words);
    return st;
}

/* ---- what is in the queue ---- */

typedef struct queue {
    hm_slurm *s;
    bool *queued;
} queue;

/* "INDEX STATE" */
static void take_state(void *self, const char *line)
{
    queue *q = self;
    char *end;
    long index = strtol(line, &end, 10);
    if (end == line || index < 0 || index >= q->s->count)
        return;
    hm_slurm_task *t = &q->s->tasks[index];
    q->queued[index] = true;
    if (t->state != HM_TASK_ENDED)
        t->state = strstr(end, "PENDING") ? HM_TASK_WAITING : HM_TASK_RUNNING;
}

hm_status hm_slurm_squeue(hm_slurm *s, bool *queued, hm_error *err)
{
    queue q = {s, queued};
    hm_status st = HM_OK;
    size_t i;
    const json_t *array;
    memset(queued, 0, (size_t)s->count * sizeof *queued);
    json_array_foreach(json_object_get(s->plan, "arrays"), i, array)
    {
        hm_error why = {0};
        char jobs[80];
        snprintf(jobs, sizeof jobs, "--jobs=%s", json_string_value(json_object_get(array, "job")));
        char *argv[] = {"squeue", "--noheader", "--array", "--format=%K %T", jobs, NULL};
        if (hm_slurm_run(argv, &q, take_state, &why) && !strstr(why.text, "Invalid job id")) /* forgotten: it is over */
            st = hm_fail(err, why.status, "%s", why.text);
    }
    return st;
}

static void take_first(void *self, const char *line)
{
    char *out = self;
    if (!*out)
        snprintf(out, 64, "%.60s", line + strspn(line, " "));
}

/* "... JobState=TIMEOUT Reason=..." */
static void take_job_state(void *self, const char *line)
{
    char *out = self;
    const char *state = strstr(line, "JobState=");
    if (state && !*out)
        snprintf(out, 64, "%.*s", (int)strcspn(state + 9, " "), state + 9);
}

void hm_slurm_fate(const char *job, int task, char *out, size_t size)
{
    char name[96], found[64] = "";
    snprintf(name, sizeof name, "%s_%d", job, task);
    char *control[] = {"scontrol", "--oneliner", "show", "job", name, NULL};
    if (hm_slurm_run(control, found, take_job_state, NULL) || !*found) {
        char *accounts[] = {"sacct", "--noheader", "--allocations", "--parsable2", "--format=State", "--jobs", name, NULL};
        *found = 0;
        if (hm_slurm_run(accounts, found, take_first, NULL))
            *found = 0;
    }
    for (char *c = found; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    snprintf(out, size, "%.60s", *found ? found : "unknown");
}
