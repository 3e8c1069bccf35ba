#include "harness/store_places.h"

#include "harness/store_internal.h"

hm_status hm_store_each_place(hm_store *store, const char *session_id, void (*row)(void *self, const hm_place_row *place), void *self,
                              hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "SELECT DISTINCT a.name, a.backend, s.places FROM run r JOIN sample s ON s.run_id = r.id JOIN arm a ON a.id = r.arm_id "
                  "WHERE r.session_id = :id AND r.status = 'ok' AND s.places IS NOT NULL ORDER BY a.position, s.places",
                  err);
    hm_bind_text(&q, ":id", session_id);
    while (hm_query_row(&q)) {
        hm_place_row place = {hm_query_text(&q, 0), hm_query_text(&q, 1), hm_query_text(&q, 2)};
        row(self, &place);
    }
    return hm_query_close(&q);
}
