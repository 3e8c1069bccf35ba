/* Several requests in one process, whatever the model: a frame of all that are at work is one pass; when one ends, the next takes its
 * seat. */
#ifndef HM_ENGINE_SESSION_MANY_H
#define HM_ENGINE_SESSION_MANY_H

#include "engine/session/session.h"

#define HM_MANY_MOST 16 /* requests that go side by side at most */

/* What a family of models does for them. `self` is its own state; a seat is its state of one request at work, seat_bytes of it, zeroed
 * before join, and moved in memory when another one becomes free. */
typedef struct hm_many_family {
    const char *what; /* "songs" */
    size_t seat_bytes;
    /* Checks request i before any work, and learns what room it takes. */
    hm_status (*check)(void *self, int i, hm_error *err);
    /* Room for `batch` at a time of those checked. */
    hm_status (*room)(void *self, int batch, hm_error *err);
    /* Request i up to its first frame: its voice, its prompt. The seat is left even after a failure. */
    hm_status (*join)(void *self, void *seat, int i, hm_result *out, hm_error *err);
    /* The next frame of the n seats at `seats`. done[j]: there is none after it. ended[j]: the model's own rule was met, and the frame does
     * not count. */
    void (*step)(void *self, void *seats, int n, bool *done, bool *ended);
    /* What was made, into the result; the caches are freed. */
    void (*collect)(void *self, void *seat, hm_result *out);
    hm_status (*audio)(void *self, void *seat, hm_result *out, hm_error *err);
    /* Frees what the seat has. */
    void (*leave)(void *self, void *seat);
} hm_many_family;

/* Does what hm_many says. Streams are refused. */
hm_status hm_session_many(hm_engine *e, hm_many *many, const hm_many_family *family, void *self, hm_error *err);

#endif
