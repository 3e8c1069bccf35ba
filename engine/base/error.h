/* Status codes and the one error sentence that travels with them. */
#ifndef HM_ENGINE_BASE_ERROR_H
#define HM_ENGINE_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

/* One list: status, process exit code (docs/architecture.md has the table for users), what it means. */
#define HM_STATUS_LIST(X)                                       \
    X(HM_OK, 0, "done")                                         \
    X(HM_EFAILED, 1, "regression or failed check")              \
    X(HM_EINCONCLUSIVE, 2, "inconclusive")                      \
    X(HM_EINVALID, 3, "measurement invalid")                    \
    X(HM_ECOMPARE, 4, "not comparable")                         \
    X(HM_EDIFFERS, 5, "output differs")                         \
    X(HM_ECASE, 6, "a case failed, others are stored")          \
    X(HM_EUSAGE, 64, "usage")                                   \
    X(HM_EFORMAT, 65, "malformed input file")                   \
    X(HM_EMISSING, 66, "input missing")                         \
    X(HM_EABSENT, 69, "backend, device, tool or memory absent") \
    X(HM_EBUG, 70, "our own bug")                               \
    X(HM_ECREATE, 73, "cannot create output")                   \
    X(HM_EIO, 74, "I/O or database error")                      \
    X(HM_EINTERRUPTED, 130, "interrupted, resumable")

typedef enum hm_status {
#define HM_STATUS_ENUM(name, code, text) name = code,
    HM_STATUS_LIST(HM_STATUS_ENUM)
#undef HM_STATUS_ENUM
} hm_status;

/* Filled by the place that fails first: what, which file or tensor, expected, found, what to do. One line, no newline. */
typedef struct hm_error {
    hm_status status;
    char text[512];
} hm_error;

/* Writes the sentence into err (which may be NULL) and returns status, so that callers write `return hm_fail(...)`. */
hm_status hm_fail(hm_error *err, hm_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Prepends "prefix: " to the sentence already in err; returns its status. For callers that know which file or case it was. */
hm_status hm_fail_within(hm_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "HM_EFORMAT", and "malformed input file". Never NULL. */
const char *hm_status_name(hm_status status);
const char *hm_status_text(hm_status status);

/* Allocation that fails with a sentence naming what was wanted. Zeroed. NULL only with err filled (HM_EABSENT). */
void *hm_calloc(size_t count, size_t size, const char *what, hm_error *err);

/* Room for one more item of `size` bytes in a growing array: `array` is the address of the pointer to it, `room` how many fit. HM_EABSENT, the
 * array as it was. */
hm_status hm_grow(void *array, int *room, int count, size_t size, const char *what, hm_error *err);

#endif
