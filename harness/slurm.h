/* A suite as an array of Slurm jobs: its plan is split into tasks, each measured on one node into a database of its own, in a folder that
 * all nodes see; then they are merged.
 *
 *     DIR of --db/slurm-ID/plan.json     what was asked for, the tasks, and the arrays they were submitted as
 *                          job.sh        the batch script: plain bash, every argument in it
 *                          task-K.db     what task K measured; task-K-JOB.db: on another machine, when it had to start again
 *                          task-K.log    its output            task-K.exit  "CODE NODE JOB", or "lost STATE" when it ended without a word
 */
#ifndef HM_HARNESS_SLURM_H
#define HM_HARNESS_SLURM_H

#include <stdio.h>

#include "harness/plan.h"
#include "harness/store.h"

#define HM_SLURM_ID 8 /* letters of an id */

typedef struct hm_slurm hm_slurm;

typedef enum hm_slurm_split {
    HM_SLURM_BY_CASE, /* all arms of a case side by side on one node */
    HM_SLURM_BY_ARM   /* each arm beside the one that it is compared with, on all its cases */
} hm_slurm_split;
extern const char *const hm_slurm_split_names[]; /* case, arm, NULL */

/* Texts are borrowed. NULL and 0: not given. */
typedef struct hm_slurm_options {
    const char *partition, *constraint, *time; /* as sbatch takes them */
    int64_t nodes;                             /* at work at the same time, at most; 0: all there are */
    bool exclusive;                            /* a node has no other job, and the task all its memory */
    hm_strings options;                        /* further words for sbatch, as they are */
    const char *db;
    bool quiet;
} hm_slurm_options;

/* One option of the command line, for the tasks: value NULL: a flag, on or off. */
typedef struct hm_slurm_word {
    const char *name, *value;
    bool on;
} hm_slurm_word;

/* How many tasks a plan makes. */
int hm_slurm_tasks_of(const hm_plan *plan, hm_slurm_split split);

/* Splits a plan (models as they were asked for) and writes folder and script; nothing is submitted. words: what every task is given. argc,
 * argv: the command line, for the record. HM_ECREATE, HM_EIO. */
hm_status hm_slurm_make(hm_slurm **out, const hm_slurm_options *options, const hm_plan *plan, hm_slurm_split split,
                        const hm_slurm_word *words, int word_count, int argc, char *const *argv, hm_error *err);

/* One that was made before: the folder `name`; an id or its first letters, looked for beside the database; NULL: the newest there.
 * HM_EMISSING, HM_EFORMAT. */
hm_status hm_slurm_open(hm_slurm **out, const hm_slurm_options *options, const char *name, hm_error *err);
void hm_slurm_close(hm_slurm **slurm);

/* Submits every task that is neither done nor in the queue. Options given now replace those of before. HM_EABSENT: no sbatch, or it
 * refuses, in its own words; a folder that never had a task in the queue is taken away then. HM_ECOMPARE: another build made it. */
hm_status hm_slurm_submit(hm_slurm *slurm, hm_error *err);

/* Until no task is in the queue any more. HM_EINTERRUPTED: the tasks go on, and the sentence says how to gather them. */
hm_status hm_slurm_wait(hm_slurm *slurm, hm_error *err);

/* Looks once, and once more after some seconds when tasks have left the queue without an exit code.
 * must_ask: a queue that does not answer is a failure; else what has ended by its own word can be had. */
hm_status hm_slurm_look(hm_slurm *slurm, bool must_ask, hm_error *err);

/* Merges what the tasks have measured so far, as often as one likes. A task's file that cannot be read is told by hm_slurm_verdict. */
hm_status hm_slurm_merge(hm_slurm *slurm, hm_store *store, hm_error *err);

/* HM_EDIFFERS, HM_EINVALID, HM_ECASE as a suite's, of all tasks together; HM_ECASE too when tasks have no result or a part of it, and how
 * to get it. */
hm_status hm_slurm_verdict(const hm_slurm *slurm, hm_error *err);

const char *hm_slurm_tag(const hm_slurm *slurm); /* "slurm=ID": what its sessions are tagged with */

#endif
