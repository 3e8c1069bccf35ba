/* Whether a program keeps to the worker protocol (docs/worker-protocol.md): a conversation with it, every answer looked at. */
#ifndef HM_HARNESS_CONFORM_H
#define HM_HARNESS_CONFORM_H

#include "harness/protocol.h"

typedef struct hm_conform {
    const char *command;     /* for /bin/sh */
    const char *model;       /* a folder it opens */
    const char *backend;     /* it is told to use */
    const hm_case_record *c; /* a short case for that model */
    int64_t timeout_ns;      /* of each answer */
    void *self;
    /* One finding after the other. good: held; words: what was found, "" when there is nothing to tell. */
    void (*finding)(void *self, bool good, const char *what, const char *words);
} hm_conform;

/* *failed: findings that are not good. A status is a failure of ours (no process). Ends the program whatever it does. */
hm_status hm_conform_run(const hm_conform *o, int *failed, hm_error *err);

#endif
