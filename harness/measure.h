/* One measuring session, from the command line's words to rounds in the database: what suite, gate, calibrate, ablate and cold runs share.
 *
 *     hm_measure_options o = hm_measure_defaults("gate");      ... o.plan.suites, o.rounds, o.decided ...
 *     st = hm_measure_begin(&m, &o, err);                      plan, models, database, session; arms that do not fit are refused
 *     st = st ? st : hm_measure_run(m, err);                   rounds; the session's end state; outputs compared; limits
 *     ... hm_measure_value(m, case, arm, round) ...
 *     st = st ? st : hm_measure_verdict(m, err);               what went wrong on the way, as a status
 *     hm_measure_close(&m);                                    the cleanup hook
 */
#ifndef HM_HARNESS_MEASURE_H
#define HM_HARNESS_MEASURE_H

#include "harness/hooks.h"
#include "harness/plan.h"
#include "harness/rounds.h"
#include "harness/store.h"
#include "harness/suite_run.h"

typedef struct hm_measure hm_measure;

extern const char *const hm_warmup_names[]; /* first, full, none; NULL at the end */

/* hm_measure_defaults fills it. Texts are borrowed until hm_measure_close. */
typedef struct hm_measure_options {
    hm_plan_options plan;
    const char *kind; /* of session: "suite", "gate", "calibrate", "ablate", "cold" */
    const char *db;   /* value of --db, or NULL */
    int argc;         /* the command line, for the record: argv[0] is the command's name */
    char *const *argv;
    hm_order order;
    const char *warmup; /* of hm_warmup_names */
    int rounds;         /* wanted; the most when `decided` is set */
    int iterations;     /* timed generations per process */
    double stop_at;     /* a case ends when hm_tally_half_width is below this; 0: never. Not with `decided` */
    int min_rounds;     /* before that */
    int64_t max_time_s; /* no round starts that would end later; 0: no limit */
    int64_t timeout_s;  /* of one turn, and of one hook */
    int64_t settle_s;   /* longest wait before a turn for the machine to cool down; 0: none */
    uint64_t seed;      /* of the order; 0: drawn, and recorded */
    hm_hooks hooks;
    hm_strings tags;     /* KEY=VALUE, stored with the session */
    bool keep_audio;     /* the first round's; outputs of unlike arms are compared (fidelity) */
    bool cold;           /* each arm starts once per case with its model's files out of the page cache, before the rounds */
    bool stream;         /* arms that decode in pieces hand them over as they come */
    int logit_frames;    /* logits of so many frames are compared with the reference arm's, once per arm and case; 0: none are */
    bool trace;          /* a timeline after the rounds, of commands that write one */
    bool limits;         /* measures what the machine can do, at the end */
    bool exact;          /* figures that do not depend on how fast the machine is are all that counts: no round is spoilt by it */
    bool judges_times;   /* an arm that turns out to run on a software device ends the session: HM_EINVALID */
    bool quiet;          /* nothing to stderr but errors */
    bool resume;         /* goes on with a stored session of this kind: its options replace plan, warmup, hooks and the like */
    const char *session; /* that one; NULL: the last of this kind that is not complete */
    bool more_rounds;    /* resume: `rounds` was asked for; it may extend the session */
    void *self;
    /* Asked after each whole round of a case: true ends this case. rounds_done: rounds that count. NULL: all rounds are run. */
    bool (*decided)(void *self, const hm_measure *m, int case_index, int rounds_done);
} hm_measure_options;

/* 3 rounds, ABBA, first frames as warm-up, one generation per process, 30 min, settling 30 s at most, audio and limits. */
hm_measure_options hm_measure_defaults(const char *kind);

/* The plan with models as paths, as hm_measure_begin makes it. make: presets are made when missing; false: a look ahead (--dry-run). */
hm_status hm_measure_plan(hm_plan **out, const hm_plan_options *options, bool make, hm_error *err);

/* To stderr: what is run once for several names, and what is not run. */
void hm_measure_say_plan(const hm_plan *plan);

/* Everything before the first turn. HM_EMISSING: no such session; HM_ECOMPARE: it cannot go on here (another machine, build or plan).
 * HM_EABSENT: the setup hook failed. */
hm_status hm_measure_begin(hm_measure **out, const hm_measure_options *options, hm_error *err);

/* Rounds. HM_EINTERRUPTED says how to go on; what was measured is stored. Failed, refused and differing runs are no failure here:
 * hm_measure_verdict tells them. */
hm_status hm_measure_run(hm_measure *m, hm_error *err);

/* HM_EDIFFERS: outputs that must be equal are not; else HM_EINVALID: too many rounds had to be set aside; else HM_ECASE: runs failed. */
hm_status hm_measure_verdict(const hm_measure *m, hm_error *err);

void hm_measure_close(hm_measure **m);

/* --- what there is --- */
const hm_plan *hm_measure_plan_of(const hm_measure *m);
const hm_measure_options *hm_measure_options_of(const hm_measure *m); /* as they hold: of a session that goes on, its own */
hm_store *hm_measure_store(const hm_measure *m);
const char *hm_measure_session(const hm_measure *m); /* its id */
const hm_machine_record *hm_measure_machine(const hm_measure *m);
int hm_measure_rounds(const hm_measure *m);                      /* wanted; more than the options' when a session goes on */
const hm_suite_outcome *hm_measure_outcome(const hm_measure *m); /* of hm_measure_run */
const char *hm_measure_folder(const hm_measure *m);              /* of the database */
const char *hm_measure_database(const hm_measure *m);

/* Median wall ns of the timed generations of an arm's turn; NaN: not run, failed, refused or set aside. */
double hm_measure_value(const hm_measure *m, int case_index, int arm, int round);
/* No run of this arm on this case that counts has failed or has bad output. */
bool hm_measure_healthy(const hm_measure *m, int case_index, int arm);
/* Rounds of a case that are whole and were not set aside; the value of a failed run in one is NaN. */
int hm_measure_case_rounds(const hm_measure *m, int case_index);
/* Of the turns that are still to come, by what the same ones took so far. */
double hm_measure_seconds_left(const hm_measure *m);

/* A word as a shell takes it back, quoted where it has to be, into out (4 * its length + 3 bytes are enough); returns the end. */
char *hm_shell_word(char *out, const char *text);
/* The command line as one line of text that a shell takes back: "hmbench suite short -V 'a b'". malloc'ed; NULL without memory. */
char *hm_command_text(int argc, char *const *argv);

#endif
