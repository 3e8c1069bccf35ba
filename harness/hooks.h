/* The user's own commands around the measuring: to lock clocks, stop services, empty caches. */
#ifndef HM_HARNESS_HOOKS_H
#define HM_HARNESS_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/error.h"

/* Shell commands (/bin/sh -c); NULL: none. */
typedef struct hm_hooks {
    const char *setup;    /* once, before anything runs */
    const char *prepare;  /* before every turn, not timed */
    const char *conclude; /* after every turn, not timed */
    const char *cleanup;  /* once at the end, after a failure and after Ctrl-C too */
} hm_hooks;

/* Waits for its end; what it leaves running in the background is ended with it. What it prints goes to stderr unless quiet. environment:
 * NULL-terminated NAME=VALUE texts that it gets besides ours, or NULL. stop: ends it early (HM_EINTERRUPTED), or NULL. HM_EABSENT: it
 * failed, was killed or took longer than timeout_ns; name
 * ("setup") is for the sentence. command NULL: nothing to do. */
hm_status hm_hook_run(const char *name, const char *command, const char *const *environment, int64_t timeout_ns, bool quiet,
                      bool (*stop)(void), hm_error *err);

#endif
