/* What the files of harness/slurm*.c share. */
#ifndef HM_HARNESS_SLURM_INTERNAL_H
#define HM_HARNESS_SLURM_INTERNAL_H

#include <jansson.h>

#include "harness/slurm.h"

enum {
    HM_SLURM_TASKS = 512
};

typedef enum hm_task_state {
    HM_TASK_NEW,     /* never in the queue, or nobody knows */
    HM_TASK_WAITING, /* in the queue */
    HM_TASK_RUNNING,
    HM_TASK_UNKNOWN, /* it was submitted, and the queue cannot be asked */
    HM_TASK_ENDED,   /* its exit code is known */
    HM_TASK_LOST     /* it left the queue without one */
} hm_task_state;

typedef struct hm_slurm_task {
    hm_task_state state;
    int code;          /* of HM_TASK_ENDED */
    bool partial;      /* it ended well, but its session is not whole */
    char word[64];     /* of HM_TASK_LOST: what Slurm says of it */
    char trouble[400]; /* its database cannot be read */
    int64_t absent_ns; /* not in the queue since; 0: it is */
} hm_slurm_task;

struct hm_slurm {
    hm_slurm_options o;
    json_t *plan;     /* of plan.json */
    char folder[900]; /* absolute */
    char tag[32], arrays[256];
    hm_slurm_task tasks[HM_SLURM_TASKS];
    int count;
    bool fresh; /* no task has been in the queue */
};

/* ---- slurm_split.c: the plan as tasks, the tasks as a script ---- */

/* [{"name", "arguments": [...]}, ...]; new reference. HM_EUSAGE: more than HM_SLURM_TASKS. */
hm_status hm_slurm_split_plan(json_t **out, const hm_plan *plan, hm_slurm_split split, bool models_given, hm_error *err);
/* The batch script of a plan.json; malloc'ed, NULL without memory. */
char *hm_slurm_script(const json_t *plan);
/* What is not done as an array's "0,3-5"; malloc'ed. done: one per task. */
char *hm_slurm_ranges(const bool *wanted, int count);

/* ---- slurm_queue.c: Slurm's own programs ---- */

/* Runs a program of Slurm; every line of its output goes to `line`. HM_EABSENT: it is not there, fails (its last words) or takes longer
 * than a minute. */
hm_status hm_slurm_run(char *const argv[], void *self, void (*line)(void *self, const char *line), hm_error *err);
/* sbatch; job gets the array's number. */
hm_status hm_slurm_sbatch(const hm_slurm *s, const char *ranges, char job[64], hm_error *err);
/* Brings waiting and running up to date; a task that is not in the queue keeps its state, *queued[i] false. */
hm_status hm_slurm_squeue(hm_slurm *s, bool *queued, hm_error *err);
/* What became of a task that is gone: "TIMEOUT", "NODE_FAIL", "unknown". */
void hm_slurm_fate(const char *job, int task, char *out, size_t size);

#endif
