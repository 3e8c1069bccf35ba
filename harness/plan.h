/* What a suite run will do: its cases times its arms, made from the command line alone, so that the same words give the same plan. */
#ifndef HM_HARNESS_PLAN_H
#define HM_HARNESS_PLAN_H

#include <jansson.h>

#include "harness/env_profile.h"
#include "harness/model.h"
#include "harness/options.h"
#include "harness/store.h"
#include "suites/suite.h"
#include "variants/variants.h"

enum {
    HM_PLAN_ARMS = 128,
    HM_PLAN_CASES = 512,
    HM_PLAN_SUITES = 32,
    HM_PLAN_PROGRAMS = 8
};

/* Lists as typed; NULL or empty: the default. */
typedef struct hm_plan_options {
    hm_strings suites;       /* names or paths */
    hm_strings variants;     /* "naive,best" each; commas between variants or between settings of one; "all", "none" */
    hm_strings commands;     /* NAME=COMMAND: other programs that speak the worker protocol, or peers (hm_peer_arm) */
    hm_strings programs;     /* NAME=PATH: other builds of hmbench (file, or folder with one); each runs every variant, too */
    hm_strings only_arms;    /* names: of all that these options make, the arms with them; empty: all */
    hm_strings axes;         /* "threads=1,2", "flow_steps=5:20:5", "isa=scalar,avx2": arms are multiplied by their values; hm_plan_axes */
    const char *threads;     /* "1,2"; NULL: all CPUs */
    const char *isa;         /* "scalar,avx2"; NULL: the best */
    const char *model;       /* "a,b"; NULL: a mini preset for each task of the cases */
    const char *backend;     /* "cpu,ze"; NULL: cpu */
    const char *device;      /* "0,1": index or UUID of a backend's device; NULL: the first */
    const char *env_profile; /* "none,level-zero": environment of worker processes; NULL: none */
    const char *settings;    /* of hm_settings_names: every case's sampling or length; NULL: its own */
    const char *filter;      /* extended regular expression on "suite/case"; NULL: all */
} hm_plan_options;

typedef struct hm_plan_arm {
    char id[HM_UUID_TEXT];
    char name[192];
    char variant[HM_VARIANT_SPEC]; /* empty: another program */
    char toggles_text[1024];       /* every toggle=value */
    char coincides[512];           /* other names of this program */
    char precision[160];
    char isa[16];                  /* empty: the best */
    char model[HM_MODEL_PATH];     /* as asked for; hm_plan_resolve makes it a path */
    const char *backend, *command; /* command NULL: hmbench */
    char device[48];               /* empty: the first */
    const char *env_profile;       /* NULL: none */
    char environment[HM_ENV_TEXT]; /* what its processes find of it: hm_env_text */
    const char *program;           /* another build of hmbench (a path); NULL: this one */
    int threads;
    bool any_case;      /* another program, and nobody knows what its model makes */
    hm_model_look look; /* what its model makes */
    hm_toggles toggles; /* those without effect on this backend and model zeroed */
    char refusal[512];  /* why it does not run; empty: it runs */
} hm_plan_arm;

typedef struct hm_plan {
    hm_suite *suites[HM_PLAN_SUITES];
    int suite_count;
    hm_case_record cases[HM_PLAN_CASES]; /* texts point into suites */
    int case_count;
    char *case_names[HM_PLAN_CASES]; /* "plain@speed": owned, where settings changed a case */
    int case_name_count;
    char *recordings[HM_PLAN_CASES]; /* paths */
    int recording_count;
    char music_model[HM_MODEL_PATH]; /* what makes the music of cases that transcribe some */
    hm_plan_arm arms[HM_PLAN_ARMS];
    int arm_count;
    char *programs[HM_PLAN_PROGRAMS]; /* paths of other builds */
    int program_count;
    char *commands[HM_PLAN_ARMS]; /* of other programs */
    int command_count;
    char left_out[512];        /* cases that no model here makes, one sentence; empty: none */
    char values_left_out[256]; /* of a range, that a toggle does not have; empty: none */
} hm_plan;

/* An arm runs the cases of its model's task and kind. */
bool hm_plan_runs(const hm_plan *plan, int case_index, int arm);
/* How many of these there are. */
int hm_plan_pairs(const hm_plan *plan);

/* HM_EUSAGE, HM_EMISSING, HM_EFORMAT say what is wrong with which option: a model that makes none of the cases, too. Cases that no model
 * makes are left out. */
hm_status hm_plan_make(hm_plan **out, const hm_plan_options *options, hm_error *err);
void hm_plan_close(hm_plan **plan);

/* Names of axes that are no toggles, then NULL. Every toggle is one, too. batch-size and chunk-length multiply the cases that transcribe, the
 * others multiply arms. */
extern const char *const hm_plan_axes[];
/* Whether NAME=VALUES is one of the former. */
bool hm_plan_is_case_axis(const char *text);

/* Splits a list of variants: a piece with '=' goes on with the settings of the variant before it ("best:attn=scores,kv=concat,naive"
 * is two). out points into malloc'ed *buffer. */
hm_status hm_plan_split(const char *list, char **buffer, hm_strings *out, hm_error *err);

/* Two arms that have to give the same bytes: one program family, differing in bitwise toggles and threads at most. */
bool hm_plan_same_output(const hm_plan_arm *a, const hm_plan_arm *b);

/* What has to be equal for a session to go on with this plan; new reference. */
json_t *hm_plan_json(const hm_plan *plan);

/* Fills the database's rows of the arms, texts borrowed from the plan. */
void hm_plan_arm_record(const hm_plan_arm *arm, int position, hm_arm_record *out);

#endif
