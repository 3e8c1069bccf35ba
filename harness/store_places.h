/* Where the arms of a session ran, from the database. */
#ifndef HM_HARNESS_STORE_PLACES_H
#define HM_HARNESS_STORE_PLACES_H

#include "harness/store.h"

typedef struct hm_place_row {
    const char *arm, *backend, *places; /* name, asked for, as sample.places has it */
} hm_place_row;

/* Calls back once for every text of places that an arm's good samples have, in the order of arms. Texts are valid during the call. */
hm_status hm_store_each_place(hm_store *store, const char *session_id, void (*row)(void *self, const hm_place_row *place), void *self,
                              hm_error *err);

#endif
