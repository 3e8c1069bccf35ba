/* The whole program on the software device with one call that fails: what is expected of it, whichever call that is. */
#ifndef HM_TESTS_GPU_FAILURE_CASE_H
#define HM_TESTS_GPU_FAILURE_CASE_H

#include "tests/cli_case.h"
#include "tests/soft_case.h"

/* What the driver of the backend says, and the entries it calls. */
#ifdef HM_TEST_CUDA
#define FAILURE_UNKNOWN "999" /* results: "unknown", and a device that is lost */
#define FAILURE_LOSS "214"
#define FAILURE_LOST "the device failed"
#define FAILURE_MEMORY "memory ran out"
#define FAILURE_AT_ONCE "memory ran out"
static const char *const failure_entries[] = {
#define HM_CUDA_ENTRY(symbol, type) #symbol,
#define HM_CUDA_NEWER(symbol, type) #symbol,
#include "engine/cuda/entries.def"
#undef HM_CUDA_ENTRY
#undef HM_CUDA_NEWER
};
#else
#define FAILURE_UNKNOWN "0x7ffffffe"
#define FAILURE_LOSS "0x70000001"
#define FAILURE_LOST "the device was lost"
#define FAILURE_MEMORY "memory of the device ran out"
#define FAILURE_AT_ONCE "the device gives at most"
static const char *const failure_entries[] = {
#define SOFT_ENTRY(name, lost) #name,
#include "tests/ze_soft/entries.def"
#undef SOFT_ENTRY
};
#endif
#define FAILURE_ENTRIES (sizeof failure_entries / sizeof *failure_entries)

#define FAILURE_SECONDS 120 /* a hang is what takes longer ... */
#define FAILURE_COLD 600    /* ... unless PoCL compiles all kernels first */

/* Entries that give back: what they refuse stays behind, and nobody can do anything about it. */
static inline bool failure_gives_back(const char *entry)
{
    return strstr(entry, "Destroy") || strstr(entry, "MemFree") || strstr(entry, "Unload") || strstr(entry, "CtxRelease");
}

/* Codes of a song of the smallest model, to `codes` in the case's folder, with settings of the software device ("HM_SOFT_LOST=3 ..."). */
static inline hm_run failure_generate_within(double seconds, const char *codes, const char *settings)
{
    char *const argv[] = {(char *)HM_PROGRAM, "generate", "--model",  "heartmula-tiny",        "--backend", SOFT_BACKEND,
                          "--tags",           "pop",      "--lyrics", in_folder("lyrics.txt"), "--seconds", "0.3",
                          "--force-length",   "--quiet",  "--codes",  in_folder(codes),        NULL};
    setenv("HM_SOFT_REPORT", in_folder("report.json"), 1);
    soft_settings(NULL, settings);
    unlink(in_folder("report.json"));
    unlink(in_folder(codes));
    hm_run run = run_command(argv, NULL, seconds, 0);
    unsetenv("HM_SOFT_REPORT");
    return run;
}

static inline hm_run failure_generate(const char *codes, const char *settings)
{
    return failure_generate_within(FAILURE_SECONDS, codes, settings);
}

static inline json_t *failure_report(void)
{
    json_t *report = json_load_file(in_folder("report.json"), 0, NULL);
    if (!report)
        fail_msg("the software device wrote no report");
    return report;
}

/* How often the program calls an entry when nothing fails; 0: never. */
static inline int failure_calls(const json_t *report, const char *entry)
{
    return (int)json_integer_value(json_object_get(json_object_get(report, "calls"), entry));
}

static inline void failure_clean_report(const char *settings)
{
    json_t *report = failure_report();
    int leaked = (int)json_integer_value(json_object_get(report, "leaked"));
    const char *misuse = json_string_value(json_array_get(json_object_get(report, "misuse"), 0));
    if (leaked || misuse)
        fail_msg("%s: %d things not given back, misuse: %s", settings, leaked, misuse ? misuse : "none");
    json_decref(report);
}

/* Errors that the program wrote, a line each; its warnings and the device's own lines are left out. Anything else counts twice. */
static inline int failure_lines(const char *text)
{
    int lines = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, SOFT_NAME ": ", strlen(SOFT_NAME ": ")) && strncmp(line, "hmbench: warning: ", 18))
            lines += strncmp(line, "hmbench: ", 9) ? 2 : 1;
        if (!strchr(line, '\n'))
            break;
    }
    return lines;
}

/* One line, a code that is documented, no file; or, where the program goes on without what failed, the same file as ever. Nothing is left
 * on the device, unless it refused to take it back. `code`: the one that is wanted, or 0: any. */
static inline void failure_expect(const char *settings, const char *entry, int code, const char *text)
{
    hm_run run = failure_generate("failed.codes", settings);
    bool documented = code ? run.code == code : run.code == 69 || run.code == 70 || run.code == 74;
    if (run.timed_out || (!documented && (code || run.code)))
        fail_msg("%s: exit code %d%s: %s", settings, run.code, run.timed_out ? ", a hang" : "", run.err);
    if (!run.code) {
        assert_same_file(in_folder("whole.codes"), in_folder("failed.codes"));
    } else {
        if (failure_lines(run.err) != 1)
            fail_msg("%s: expected one line, found %s", settings, run.err);
        if (text && !strstr(run.err, text))
            fail_msg("%s: expected \"%s\" in %s", settings, text, run.err);
        if (files("failed.codes"))
            fail_msg("%s: a file is left behind", settings);
    }
    if (!failure_gives_back(entry))
        failure_clean_report(settings);
    run_free(&run);
}

/* The n-th call of the entry fails. n = 0: every one. */
static inline void failure_of(const char *entry, int n, const char *result)
{
    char settings[160];
    snprintf(settings, sizeof settings, "HM_SOFT_TIMEOUT_S=20 HM_SOFT_FAIL=%s:%d%s%s", entry, n, result ? ":" : "", result ? result : "");
    failure_expect(settings, entry, 0, NULL);
}

/* The folder, the lyrics, and the run in which nothing fails: whole.codes and its report, which is the caller's. */
static inline json_t *failure_begin(void)
{
    if (make_case_folder_and_cache())
        fail_msg("no folder");
    put("lyrics.txt", "la la la\n", 9);
    hm_run run = failure_generate_within(FAILURE_COLD, "whole.codes", "");
    if (run.code)
        fail_msg("exit code %d: %s", run.code, run.err);
    run_free(&run);
    failure_clean_report("nothing fails");
    return failure_report();
}

#endif
