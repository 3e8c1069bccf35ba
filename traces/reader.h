/* Reader of Chrome trace JSON, plain or gzip: one event at a time, so that large files need little memory. */
#ifndef HM_TRACES_READER_H
#define HM_TRACES_READER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

#define HM_TRACE_MAX_TEXT ((int64_t)2 << 30) /* bytes of uncompressed JSON that are read at most */

/* An element of traceEvents: whatever value it is. All pointers are valid during the call. */
typedef struct hm_trace_item {
    int64_t number;  /* from 0, in the file's order */
    const char *raw; /* its text */
    size_t raw_size;
    const json_t *json;
} hm_trace_item;

typedef struct hm_trace_reader {
    void *self;
    void (*event)(void *self, const hm_trace_item *item);
    void (*member)(void *self, const char *key, const json_t *value); /* of the top object, traceEvents left out; may be NULL */
} hm_trace_reader;

typedef struct hm_trace_form {
    bool array;      /* events without the object around them */
    bool unfinished; /* the array has no end */
    bool has_events; /* there was a list of events */
} hm_trace_form;

/* HM_EMISSING: no such file. HM_EFORMAT: not JSON, cut short inside an object, not a trace, larger than the limit. */
hm_status hm_trace_read(const char *path, const hm_trace_reader *reader, hm_trace_form *form, hm_error *err);
/* The same from memory (not compressed); `where` names it in errors. */
hm_status hm_trace_read_text(const char *text, size_t size, const char *where, const hm_trace_reader *reader, hm_trace_form *form,
                             hm_error *err);

/* Text of the member `key` of the object `raw`, which is valid JSON; NULL when it has none. */
const char *hm_trace_raw_member(const char *raw, size_t raw_size, const char *key, size_t *size);

/* A time in microseconds as text, read exactly into ns. Digits behind the third decimal are dropped. */
typedef enum hm_trace_time {
    HM_TIME_OK,
    HM_TIME_NOT_A_NUMBER,
    HM_TIME_EXPONENT,
    HM_TIME_TOO_LARGE
} hm_trace_time;
hm_trace_time hm_trace_parse_us(const char *text, size_t size, int64_t *ns, int *decimals);

#endif
