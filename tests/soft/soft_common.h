/* What software devices of tests have in common (tests/ze_soft, tests/cuda_soft): settings, counted and failing calls, handles, guarded
 * memory. Each is a library of its own that brings what is under "of the library".
 *
 * Environment, read when the library is loaded and by hm_soft_reload:
 *   HM_SOFT_DEFER=1          commands run late, on a thread of the device
 *   HM_SOFT_GUARD=1          device memory is poisoned, ends at a page that faults, and is out of the host's reach unless a command runs
 *   HM_SOFT_FAIL=E:N[:R],... the N-th call of entry E (0: every one) answers R: a number; else out of memory or "unknown error"
 *   HM_SOFT_LOST=N           the device is lost at the N-th command
 *   HM_SOFT_MEMORY_MB=N      memory of a device (2048)
 *   HM_SOFT_DEVICES=N        one or two (1)
 *   HM_SOFT_TIMEOUT_S=N      a wait that long ends in "device lost" (120)
 *   HM_SOFT_REPORT=FILE      calls, leaks and misuse, as JSON, when the library is unloaded; HM_SOFT_TRACE=FILE: every call, a line each */
#ifndef HM_TESTS_SOFT_SOFT_COMMON_H
#define HM_TESTS_SOFT_SOFT_COMMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SOFT_EXPORT __attribute__((visibility("default")))
#define SOFT_MAX_DEVICES 2
#define SOFT_MOST_ENTRIES 128
#define SOFT_MOST_KINDS 16

/* --- of the library --- */

typedef struct soft_entry_row {
    const char *name;
    bool lost; /* answers "device lost" once the device is */
} soft_entry_row;

typedef struct soft_is {
    const char *name;              /* "ze_soft", before what is told */
    int entries, kinds;            /* rows of the tables below */
    int bad_argument, null_handle; /* results */
} soft_is;

extern const soft_is hm_soft_is;
extern const soft_entry_row hm_soft_entries[];
extern const char *const hm_soft_kind_names[];
int hm_soft_usual_failure(const char *entry); /* what HM_SOFT_FAIL answers if it does not say */
int hm_soft_lost_result(void);                /* what entries answer once the device is lost */
void hm_soft_settings_own(void);              /* reads the library's own */
bool hm_soft_lost(void);
void hm_soft_lanes_abandon(void); /* nothing of what waits will run: the device is lost */
/* Commands are counted from zero, the device is not lost, and this is done while nothing runs. */
void hm_soft_lanes_reset(void (*with)(void));
uint64_t hm_soft_commands_run(void);
const char *hm_soft_command_now(void); /* the name of what runs, or NULL */

/* --- settings, calls, misuse, the report: soft_fail.c --- */

typedef struct soft_settings {
    bool defer, guard;
    int devices, timeout_s;
    uint64_t memory_bytes, lost_at;
} soft_settings;

extern soft_settings hm_soft_settings;
void hm_soft_settings_once(void);
uint64_t hm_soft_number(const char *name, uint64_t otherwise); /* of the environment */
uint64_t hm_soft_now_ns(void);

/* Counts and notes the call; anything but 0 is what the entry answers at once. */
int hm_soft_enter(int entry);

/* Notes what the caller did wrong, with the entry it is in; returns the result for bad arguments. */
int hm_soft_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For tests, by dlsym on the loaded file: settings anew and counts from zero; how often an entry was called; misuse so far and its first
 * sentence; handles and allocations that live; the most bytes of a device that were taken at a time since this was asked last. */
SOFT_EXPORT void hm_soft_reload(void);
SOFT_EXPORT uint64_t hm_soft_calls(const char *entry);
SOFT_EXPORT uint64_t hm_soft_misuses(const char **first);
SOFT_EXPORT uint64_t hm_soft_alive(void);
SOFT_EXPORT uint64_t hm_soft_most_bytes(void);

/* What kernels of a name did, for the report. */
typedef struct soft_spent {
    char name[96];
    uint64_t launches, ns;
} soft_spent;

soft_spent *hm_soft_spent_of(const char *name); /* lives as long as the library; NULL: there are too many */
const soft_spent *hm_soft_spent_all(int *count);

/* --- handles: soft_object.c --- */

/* First member of whatever a handle is of. What is destroyed is kept for a while, so that its use shows. */
typedef struct soft_object {
    uint32_t magic;
    int kind;
    bool alive;
} soft_object;

void *hm_soft_new(int kind, size_t bytes); /* zeroed, but the header; NULL: no memory */
void hm_soft_retire(void *object);
int hm_soft_take(void **out, const void *handle, int kind); /* 0, or the result for what is no such handle */
uint64_t hm_soft_objects_alive(int kind);

/* --- memory: soft_memory.c --- */

#define SOFT_PAGE ((size_t)4096)

typedef enum soft_memory_type {
    SOFT_OF_HOST,
    SOFT_OF_DEVICE,
    SOFT_OF_BOTH
} soft_memory_type;

typedef struct soft_memory {
    char *start, *map;
    size_t bytes, map_bytes;
    soft_memory_type type;
    void *context;
    uint64_t *used_bytes; /* where it counts; NULL: of the host */
    uint64_t id;
} soft_memory;

/* NULL: more than there is left of HM_SOFT_MEMORY_MB. alignment: a power of two up to SOFT_PAGE; 0: any. */
soft_memory *hm_soft_memory_new(soft_memory_type type, size_t bytes, size_t alignment, void *context, uint64_t *used_bytes);
int hm_soft_memory_free(const void *context, void *p);
const soft_memory *hm_soft_memory_find(const void *p); /* the allocation in which p lies, or NULL */
uint64_t hm_soft_memory_freed(void);                   /* how many allocations were freed so far */
uint64_t hm_soft_memory_alive(void);
void hm_soft_memory_open(void); /* device memory is within reach until the same number of hm_soft_memory_close */
void hm_soft_memory_close(void);
void hm_soft_memory_hold(void); /* between commands, too, until let go */
void hm_soft_memory_let_go(void);
void hm_soft_memory_watch(void);                /* who touches guarded memory when it should not is told */
void hm_soft_lanes_freed(const soft_memory *m); /* of the library: misuse when a command that waits uses it */

#endif
