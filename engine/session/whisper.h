/* Whisper behind the engine's interface: what its files share. */
#ifndef HM_ENGINE_SESSION_WHISPER_H
#define HM_ENGINE_SESSION_WHISPER_H

#include "engine/models/whisper.h"
#include "engine/session/session.h"

/* --- whisper_transcribe.c: a recording from request to text --- */

/* Chunks with their neighbours' edges, several side by side (section 10), or the loop that seeks from timestamp to timestamp (section 9);
 * each window judged and tried again at higher temperatures (section 8). */
hm_status hm_whisper_generate(hm_engine *e, const hm_request *r, hm_result *out, hm_error *err);

/* --- whisper_check.c --- */

hm_status hm_whisper_check_run(hm_engine *e, const hm_check *check, hm_error *err);

#endif
