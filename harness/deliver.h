/* What generate, speak and decode have in common: a request made, as a whole or as a stream, its files, and what is said of them. */
#ifndef HM_HARNESS_DELIVER_H
#define HM_HARNESS_DELIVER_H

#include "harness/engine_open.h"
#include "harness/player.h"

typedef struct hm_delivery {
    const char *path;       /* of the audio; NULL: codes alone are made */
    const char *codes_path; /* NULL: not kept */
    const char *variant;
    const char *settings; /* of --settings; NULL: none */
    bool stream;          /* the audio is written while it is made; path may be "-" */
    bool quiet, json;     /* no summary on stderr; one JSON object on stdout */
} hm_delivery;

/* Whether that can be, before there is anything to deliver: suffix, folders, standard output taken twice. command: for messages. */
hm_status hm_delivery_check(const hm_delivery *delivery, const char *command, hm_error *err);

/* The engine that was chosen makes the request (its sink is set here) and the result is delivered. Ctrl-C: HM_EINTERRUPTED; of a stream
 * what was made is kept. */
hm_status hm_make(hm_engine_choice *choice, const hm_delivery *delivery, hm_request *request, hm_error *err);

/* A result that is there. player: of audio that was streamed to path already; NULL: it is written now. HM_ECREATE, HM_EIO. */
hm_status hm_deliver(const hm_delivery *delivery, const hm_engine_opened *opened, const hm_request *request, const hm_result *result,
                     const hm_player *player, hm_error *err);

#endif
