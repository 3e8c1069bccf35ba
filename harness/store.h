/* The database: one SQLite file of machines, builds, models, cases, sessions, arms, runs and their raw samples. Figures are views.
 * Nothing outside harness/store*.c sees SQLite. Keys are UUIDs or content hashes, so that files of several machines merge. */
#ifndef HM_HARNESS_STORE_H
#define HM_HARNESS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "harness/clock.h"
#include "harness/sample.h"

typedef struct hm_store hm_store;

#define HM_UUID_TEXT 37

typedef enum hm_store_mode {
    HM_STORE_CREATE, /* made when missing, with its folder; brought up to date */
    HM_STORE_WRITE,  /* has to be there (HM_EMISSING); brought up to date */
    HM_STORE_READ    /* has to be there; never written; has to be up to date */
} hm_store_mode;

/* value of --db, else $HMBENCH_DB, else hmbench-out/hmbench.db. The text lives as long as the argument and the environment. */
const char *hm_store_path(const char *option);

/* HM_EFORMAT: the file is no database, or one of another program. HM_EIO: it was made by a newer hmbench, or cannot be read.
 * HM_ECREATE: it cannot be made. */
hm_status hm_store_open(hm_store **out, const char *path, hm_store_mode mode, hm_error *err);
void hm_store_close(hm_store **store);
int hm_store_schema_version(void);
void hm_uuid_text(char out[HM_UUID_TEXT]);

/* Facts of the machine; id is the hash of the others (hm_machine_read fills it). */
typedef struct hm_machine_record {
    char id[HM_HASH_TEXT], host_id[HM_HASH_TEXT];
    char cpu_model[128], isa[16], governor[32], kernel[132], os[128], container[64];
    int cpus;                                 /* this process may use */
    int cpus_online, cores, smt;              /* smt: 1 on, 0 off, -1 unknown */
    double cpu_quota;                         /* CPUs of the cgroup; NaN: none */
    int64_t memory_bytes, memory_limit_bytes; /* limit: HM_UNKNOWN when there is none */
} hm_machine_record;

typedef struct hm_build_record {
    char id[HM_HASH_TEXT], binary_hash[HM_HASH_TEXT];
    char version[32], git_commit[48], compiler[128], flags[512], build_type[32], sanitizer[64];
    bool git_dirty;
} hm_build_record;

typedef struct hm_model_record {
    char id[HM_HASH_TEXT];               /* fingerprint of the weights */
    char kind[32], name[64], path[1024]; /* kind: of family, "heartmula" */
    char speech_kind[16], size[16];      /* "custom_voice", "0b6"; empty: comes in one */
    bool synthetic;
    int codebooks, code_vocabulary, sample_rate_hz, channels, max_positions;
    double frame_s;
} hm_model_record;

/* A case of a suite file. Texts are borrowed; those of other tasks are NULL or empty, numbers 0. */
typedef struct hm_case_record {
    char id[HM_HASH_TEXT];           /* hash of suite name, case name and request */
    char request_hash[HM_HASH_TEXT]; /* of what decides the codes: texts, length, sampling, seed */
    char suite_hash[HM_HASH_TEXT];   /* of the suite file */
    const char *suite, *name, *task; /* "music", "speech", "transcript" */
    int frames, words, topk;         /* frames: 80 ms each, or the tokens of all windows of a transcript (chunk_s 0: of the fewest) */
    double temperature;
    uint64_t seed;
    /* music */
    const char *tags, *lyrics, *intro_style, *verse_style, *chorus_style; /* styles may be NULL */
    int flow_steps;                                                       /* 0: as the variant says */
    double cfg_scale, flow_guidance;
    /* speech */
    const char *kind; /* of model it takes: custom_voice, voice_design, base */
    const char *text;
    const char *speaker, *language, *instruct, *reference, *reference_text; /* may be NULL; reference: path of an audio file */
    int streaming_text, sub_topk;                                           /* as in hm_speech_input */
    double top_p, repetition_penalty, sub_temperature, sub_top_p;
    /* transcript, whose language is that of speech, and that of a song has what is said of music */
    const char *recording;      /* "voice", or "music": made first */
    const char *recording_path; /* of a voice: its audio file; not stored */
    const char *music_model;    /* what makes the music: folder or preset; not stored */
    double audio_s, chunk_s;
    int batch, window_tokens, beams;
} hm_case_record;

typedef struct hm_session_record {
    char id[HM_UUID_TEXT];
    char machine_id[HM_HASH_TEXT], build_id[HM_HASH_TEXT];
    const char *command_line;
    const char *options; /* JSON: what --resume needs to make the same plan */
    uint64_t order_seed;
    int rounds;       /* wanted */
    const char *kind; /* "suite" (NULL too), "gate", "calibrate", "ablate", "cold" */
} hm_session_record;

typedef struct hm_arm_record {
    char id[HM_UUID_TEXT];
    int position;
    const char *name;                      /* as in tables: "best", "best threads=1" */
    const char *variant;                   /* text that makes it again; NULL for a command */
    const char *toggles;                   /* canonical: every toggle as name=value, in the table's order; NULL for a command */
    const char *coincides;                 /* other names of the same program, ", " between; or NULL */
    const char *backend, *isa, *precision; /* isa NULL: the best of the machine */
    int threads;                           /* 0: all */
    const char *model;                     /* folder */
    const char *command;                   /* of an arm that is another program, or NULL */
    const char *program;                   /* another build of hmbench that runs the variant, or NULL */
    const char *device;                    /* asked for; NULL: the first */
    const char *env_profile, *environment; /* NULL: none; not known */
} hm_arm_record;

typedef enum hm_run_status {
    HM_RUN_OK,
    HM_RUN_CRASH,
    HM_RUN_TIMEOUT,
    HM_RUN_GARBAGE,
    HM_RUN_REFUSED,
    HM_RUN_FAILED,
    HM_RUN_INTERRUPTED
} hm_run_status;
const char *hm_run_status_name(hm_run_status status); /* "ok", "crash", "timeout", "garbage", "refused", "failed", "interrupted" */

typedef struct hm_artifact_record {
    const char *kind; /* "audio", "codes", "trace" */
    const char *path;
    char hash[HM_HASH_TEXT];
    int64_t bytes;
} hm_artifact_record;

/* One arm's turn. Samples in the order they came. */
typedef struct hm_run_record {
    char id[HM_UUID_TEXT];
    const char *session_id, *arm_id, *case_id;
    const char *model_id; /* NULL when the model was not opened */
    int round, slot;      /* from 0; slot: turn within the round */
    hm_run_status status;
    const char *reason; /* NULL when ok */
    char started_utc[HM_UTC_TEXT];
    int64_t duration_ns;            /* of the whole process */
    int64_t memory_available_bytes; /* before it started */
    const char *warmup;             /* first, full, none */
    const char *isa;                /* used; NULL unknown */
    int threads;                    /* used; 0 unknown */
    const char *device;             /* name of what it ran on; NULL unknown, and then the next four are too */
    const char *device_uuid, *device_driver;
    int64_t device_memory_bytes; /* 0: the host's */
    bool software;
    const hm_sample *samples;
    int sample_count;
    const hm_artifact_record *artifacts;
    int artifact_count;
} hm_run_record;

/* Each is one transaction. Machines, builds, models and cases that are there already stay as they are. */
hm_status hm_store_put_machine(hm_store *store, const hm_machine_record *machine, hm_error *err);
hm_status hm_store_put_build(hm_store *store, const hm_build_record *build, hm_error *err);
hm_status hm_store_put_model(hm_store *store, const hm_model_record *model, hm_error *err);
hm_status hm_store_put_case(hm_store *store, const hm_case_record *c, hm_error *err);
hm_status hm_store_put_session(hm_store *store, const hm_session_record *session, const hm_arm_record *arms, int arm_count, hm_error *err);
/* What the program of an arm was built from. HM_ECOMPARE: it was another build before. */
hm_status hm_store_put_arm_build(hm_store *store, const char *arm_id, const hm_build_record *build, hm_error *err);
/* A word of the user about a session; one of the same key is replaced. */
hm_status hm_store_put_tag(hm_store *store, const char *session_id, const char *key, const char *value, hm_error *err);
/* The run with its samples, spans, counts, comparisons and artifacts. */
hm_status hm_store_put_run(hm_store *store, const hm_run_record *run, hm_error *err);
/* Sets aside all runs of a case in a round but those that were refused: they stay on record and out of every figure. */
hm_status hm_store_drop_round(hm_store *store, const char *session_id, const char *case_id, int round, const char *reason, hm_error *err);
/* state: "running", "done", "partial" (its time was up), "interrupted", "failed". */
hm_status hm_store_end_session(hm_store *store, const char *session_id, const char *state, hm_error *err);
/* Rounds wanted of a session that goes on. */
hm_status hm_store_extend_session(hm_store *store, const char *session_id, int rounds, hm_error *err);

/* Codes and logits of a case: little-endian int32 and float32, [frames][codebooks]. */
typedef struct hm_stored_codes {
    int frames, codebooks;
    int32_t *codes;
    float *logits; /* NULL: not known */
    char made_by[128];
} hm_stored_codes;

void hm_stored_codes_free(hm_stored_codes *codes);
/* *found tells; caller frees. */
hm_status hm_store_get_codes(hm_store *store, const char *request_hash, const char *model_id, uint64_t seed, hm_stored_codes *out,
                             bool *found, hm_error *err);
/* Those that are there already stay. */
hm_status hm_store_put_codes(hm_store *store, const char *request_hash, const char *model_id, uint64_t seed, const hm_stored_codes *codes,
                             hm_error *err);

/* Fingerprint of the model that runs of this folder used last, else of what was last seen in it (codes are drawn before the first run), "" when
 * there is none. The next worker's answer decides: a folder may have
 * got other weights since. */
hm_status hm_store_find_model(hm_store *store, const char *folder, char id[HM_HASH_TEXT], hm_error *err);

/* A session to go on with: `id`, or with NULL the newest of this kind (NULL: of any) that was interrupted, ran out of time or never
 * finished. Texts are malloc'ed by the store. */
typedef struct hm_session_info {
    char id[HM_UUID_TEXT];
    char *options, *command_line;
    char state[16], kind[16], machine_id[HM_HASH_TEXT];
    uint64_t order_seed;
    int rounds;
    char (*arm_ids)[HM_UUID_TEXT]; /* by position */
    int arm_count;
} hm_session_info;

hm_status hm_store_get_session(hm_store *store, const char *id, const char *kind, hm_session_info *out, bool *found, hm_error *err);
void hm_session_info_free(hm_session_info *info);

/* Calls back for every timed sample of every stored run of a session, once for a run without any, in the order of rounds and slots; the
 * samples of a run follow each other. Texts are valid during the call. */
typedef struct hm_run_row {
    const char *run_id, *arm_id, *case_id, *status, *reason; /* reason may be NULL */
    int round, slot, threads;                                /* threads: used; 0 unknown */
    bool dropped;                                            /* the round is set aside */
    bool has_sample;                                         /* what follows but duration_ns is of it */
    const char *codes_hash, *audio_hash, *health;            /* NULL: not known */
    int64_t audio_samples, pieces;                           /* per channel; streamed in so many; HM_UNKNOWN: not known, not streamed */
    int64_t wall_ns, duration_ns, clock_khz, throttled, steal_ns;
} hm_run_row;
hm_status hm_store_each_run(hm_store *store, const char *session_id, void (*row)(void *self, const hm_run_row *run), void *self,
                            hm_error *err);

/* Mean duration of past good runs of a case with these toggles, isa, threads and model folder by this program (NULL: hmbench itself) or
 * command (NULL: none), on this backend and device (NULL: the first) of this machine; *found tells. */
hm_status hm_store_expected_ns(hm_store *store, const char *machine_id, const char *case_id, const char *toggles, int threads,
                               const char *isa, const char *model, const char *program, const char *command, const char *backend,
                               const char *device, int64_t *out_ns, bool *found, hm_error *err);

/* A question by the user, on a connection that cannot write. One callback for the names, one per row; NULL texts are NULLs.
 * HM_EUSAGE with SQLite's message when the SQL is wrong, is more than one statement, or would write. */
typedef struct hm_store_reader {
    void *self;
    hm_status (*names)(void *self, int columns, const char *const *names, hm_error *err);
    hm_status (*row)(void *self, int columns, const char *const *values, const bool *numeric, hm_error *err);
} hm_store_reader;
hm_status hm_store_ask(hm_store *store, const char *sql, const hm_store_reader *reader, hm_error *err);

/* Copies everything of the database at `path` that is not here yet, which may be older and is only read; *rows is how many rows came.
 * All or nothing; a second time nothing comes. */
hm_status hm_store_merge(hm_store *store, const char *path, int64_t *rows, hm_error *err);
/* The same into *store, which is opened when it is NULL: the file `db`, made only once what goes into it has been found good. */
hm_status hm_store_merge_into(hm_store **store, const char *db, const char *path, int64_t *rows, hm_error *err);

/* Looks at everything that has to hold in the file at `path`, of whatever version, and writes nothing. Calls back once per check that
 * went well (text NULL) and once per finding. */
typedef struct hm_store_findings {
    void *self;
    void (*finding)(void *self, const char *check, const char *text);
} hm_store_findings;
hm_status hm_store_check(const char *path, const hm_store_findings *findings, hm_error *err);

/* A session by its id, the first letters of it, or "last", into id. HM_EMISSING: none; HM_EUSAGE: several. */
hm_status hm_store_find_session(hm_store *store, const char *word, char id[HM_UUID_TEXT], hm_error *err);

/* Everything in the file at `path` (session NULL), or what belongs to one session. json and jsonl: docs/schema; sql: a dump that sqlite3
 * and hm_store_import read. Failed writes are left to whoever closes the file. */
typedef enum hm_export_format {
    HM_EXPORT_JSON,
    HM_EXPORT_JSONL,
    HM_EXPORT_SQL
} hm_export_format;
hm_status hm_store_export(const char *path, const char *session, hm_export_format format, FILE *file, hm_error *err);

/* The JSON Schema (draft 2020-12) of its json and jsonl, made from the tables: docs/schema/hmbench-export.schema.json is this text. */
hm_status hm_store_json_schema(FILE *file, hm_error *err);

/* What hm_store_export wrote as json, jsonl or sql, told apart by how it begins: all files or nothing. HM_EFORMAT: something in it is not
 * what an export writes; nothing of a file is run or believed unchecked. */
hm_status hm_store_import(hm_store *store, const char *const *paths, int count, int64_t *rows, hm_error *err);
/* The same into the file `db`, made only once what goes into it has been found good. */
hm_status hm_store_import_into(const char *db, const char *const *paths, int count, int64_t *rows, hm_error *err);

/* Which sessions go: all that fit every field. */
typedef struct hm_prune_filter {
    const char *session; /* as hm_store_find_session takes it; NULL: any */
    const char *before;  /* begun before this UTC date or time; NULL: any */
    bool dropped;        /* only runs that were set aside, not whole sessions */
} hm_prune_filter;
typedef struct hm_prune_report {
    void *self;
    void (*session)(void *self, const char *id, const char *begun, int64_t runs, const char *kept); /* kept: why it stays; NULL: it goes */
    void (*file)(void *self, const char *path, int64_t bytes); /* audio or trace of a run that goes, under the folder of the database */
} hm_prune_report;
/* Removes sessions with all that belongs to them, and cases, builds, models that nothing else uses; then gives the room back. Sessions
 * that a baseline or another session's verdict rests on stay. dry: only tells. */
hm_status hm_store_prune(hm_store *store, const hm_prune_filter *filter, bool dry, const hm_prune_report *report, hm_error *err);

#endif
