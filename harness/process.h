/* A child process that is talked to in lines: spawned in a group of its own, read with a deadline, killed with all it started. */
#ifndef HM_HARNESS_PROCESS_H
#define HM_HARNESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "harness/clock.h"

#define HM_LINE_MAX ((size_t)64 << 20)    /* bytes of a line that are accepted */
#define HM_OUTPUT_MAX ((size_t)256 << 20) /* bytes of output that are accepted from one process */

typedef struct hm_process hm_process;

typedef enum hm_read {
    HM_READ_LINE,    /* a line is there */
    HM_READ_END,     /* the process closed its output */
    HM_READ_TIMEOUT, /* the deadline passed */
    HM_READ_FLOOD,   /* a line or the whole output is too long */
    HM_READ_STOPPED  /* `stop` said so */
} hm_read;

/* argv is NULL-terminated; argv[0] is a path. The child dies when this process does. */
hm_status hm_process_start(hm_process **out, char *const argv[], hm_error *err);

/* Writes line and a newline. HM_EIO when the child does not take it within 10 s or is gone. */
hm_status hm_process_send(hm_process *process, const char *line, size_t size, hm_error *err);

/* The next line without its newline, NUL-terminated, valid until the next call. deadline_ns on the real clock. stop may be NULL; it is
 * asked at least every 100 ms. */
hm_read hm_process_read(hm_process *process, int64_t deadline_ns, bool (*stop)(void), const char **line, size_t *size);

/* The last line the child wrote to stderr so far ("" when none): for the reason of a failure. Valid until the next call. */
const char *hm_process_last_words(hm_process *process);

/* Waits until grace_ns have passed for an end of its own, then kills the whole group. *exit_code: the exit status, or 128 + signal.
 * Closes everything. Accepts NULL inside. */
void hm_process_end(hm_process **process, int64_t grace_ns, int *exit_code);

#endif
