/* A case on its way: from the suite file to what the protocol and the database hold, and from there to the engine. */
#ifndef HM_HARNESS_CASE_H
#define HM_HARNESS_CASE_H

#include "engine/hm_engine.h"
#include "harness/store.h"
#include "suites/suite.h"

/* Everything but the hashes. Texts are borrowed from the suite. */
hm_case_record hm_case_of(const hm_suite *suite, const hm_suite_case *c);

/* HM_TASK_MUSIC for what is neither "speech" nor "transcript". */
hm_task hm_case_task(const hm_case_record *c);

/* Whether so many frames can be all of a case: as many as it says, or, of windows that each begin where a timestamp of the one before stands, whole
 * windows and not fewer than there must be. */
bool hm_case_takes(const hm_case_record *c, int64_t frames);

/* With forced length and without audio: that of a voice to clone, of a recording. Texts are borrowed. */
hm_request hm_case_request(const hm_case_record *c);

/* A transcript of music that is made first, and the request that makes it. */
bool hm_case_is_sung(const hm_case_record *c);
hm_request hm_case_song(const hm_case_record *c);

/* Reads the voice to clone from an audio file and puts it into the request: mono at the model's rate. *samples is malloc'ed, the caller's
 * to free after the request. HM_EUSAGE: no voice to clone (silent, too short ...), and what reading says. */
hm_status hm_case_reference(hm_request *request, float **samples, const char *path, int rate_hz, hm_error *err);

#endif
