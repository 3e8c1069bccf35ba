/* What generate, speak and decode say when they are done: to people, or as one JSON object. */
#ifndef HM_HARNESS_RUN_REPORT_H
#define HM_HARNESS_RUN_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "engine/audio/audio.h"
#include "engine/hm_engine.h"
#include "harness/health.h"
#include "harness/player.h"

typedef struct hm_run_report {
    const char *path;       /* of the audio; NULL: none was written */
    const char *codes_path; /* NULL: none */
    const char *variant, *model;
    const char *settings; /* of --settings; NULL: none */
    const hm_engine_facts *engine;
    const hm_request *request;
    const hm_result *result;
    const hm_audio_facts *audio; /* NULL without audio */
    const hm_health *health;
    const hm_sound *sound;   /* its figures are NaN without audio */
    const hm_player *player; /* of audio that was streamed; NULL: it was not */
    bool synthetic;
} hm_run_report;

void hm_run_report_print(const hm_run_report *report, FILE *file);
json_t *hm_run_report_json(const hm_run_report *report); /* new reference; NULL without memory */

/* One line of a JSON object on stdout; takes the reference. HM_EABSENT when value is NULL. */
hm_status hm_json_print(json_t *value, hm_error *err);

#endif
