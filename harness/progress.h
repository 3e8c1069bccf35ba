/* What a person at the terminal sees while work goes on, and how they stop it. All of it on stderr. */
#ifndef HM_HARNESS_PROGRESS_H
#define HM_HARNESS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/log.h"
#include "engine/base/probe.h"

/* One line, rewritten in place: "generate  120/750  16 %  12.3/s  ETA 0:51". Shown only when stderr is a terminal
 * (HMBENCH_PROGRESS=always or never overrides), and only for work that has lasted 2 s. */
typedef struct hm_progress {
    bool enabled, shown;
    char title[64]; /* before the phase; may be empty */
    char phase[32];
    int64_t start_ns, phase_ns, drawn_ns, phase_first;
} hm_progress;

/* quiet: nothing is ever shown. */
void hm_progress_start(hm_progress *progress, const char *title, bool quiet);
/* done of total in phase; total 0: not known. Cheap: draws at most ten times a second. */
void hm_progress_update(hm_progress *progress, const char *phase, int64_t done, int64_t total);
/* Takes the line away. May be called twice. */
void hm_progress_end(hm_progress *progress);

/* For hm_probe.progress with self = an hm_progress: updates the line; non-zero when the user asked to stop. */
int hm_progress_probe(void *progress, const char *phase, int64_t done, int64_t total);

/* Ctrl-C and SIGTERM set a flag; a second one ends the program at once. SIGPIPE becomes a failed write. */
void hm_interrupt_install(void);
bool hm_interrupted(void);
/* Someone who was written to has gone. */
bool hm_pipe_broken(void);

/* "0:07", "12:30", "1:02:03" of seconds, into out; returns out. */
const char *hm_duration_text(char *out, int size, double seconds);

/* Warnings (and information when verbose) as lines on stderr: "hmbench: ...". */
const hm_log *hm_log_stderr(bool verbose);

#endif
