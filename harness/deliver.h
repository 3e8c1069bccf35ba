/* What is left to do when there is a result: files, and what generate, speak and decode say of them. */
#ifndef HM_HARNESS_DELIVER_H
#define HM_HARNESS_DELIVER_H

#include "harness/engine_open.h"

typedef struct hm_delivery {
    const char *path;       /* of the audio; NULL: codes alone were made */
    const char *codes_path; /* NULL: not kept */
    const char *variant;
    bool quiet, json;       /* no summary on stderr; one JSON object on stdout */
} hm_delivery;

/* HM_ECREATE, HM_EIO, and what the audio file's format has to say. */
hm_status hm_deliver(const hm_delivery *delivery, const hm_engine_opened *opened, const hm_request *request, const hm_result *result,
                     hm_error *err);

#endif
