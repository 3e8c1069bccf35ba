/* Audio that is written while it is made: to a file, put in place at its end, or to standard output for a player; and when it came. */
#ifndef HM_HARNESS_STREAM_OUT_H
#define HM_HARNESS_STREAM_OUT_H

#include "engine/audio/audio.h"
#include "engine/hm_engine.h"
#include "harness/player.h"

typedef struct hm_stream_out {
    hm_audio_sink sink; /* for the request */
    hm_player player;   /* of what came, from open on */
    const char *path;
    hm_audio_writer *writer;
    int rate_hz;
    int64_t samples; /* per channel so far */
    hm_error error;  /* of writing */
} hm_stream_out;

/* "-" */
bool hm_stream_to_stdout(const char *path);
/* What can be known before there is audio, of a file or "-". command: for messages; json: standard output is taken. */
hm_status hm_stream_check(const char *command, const char *path, bool json, hm_error *err);

/* path must outlive it. The clock of the player starts. */
hm_status hm_stream_open(hm_stream_out *out, const char *path, const hm_engine_facts *facts, hm_error *err);
/* st, err: how making it ended. A file is put in place when that is well, and when it was interrupted: what was made is kept, and that is
 * said. Returns st, or why writing failed. */
hm_status hm_stream_close(hm_stream_out *out, hm_status st, hm_error *err);

#define HM_STREAM_OPTION(value)                                                                                                           \
    {                                                                                                                                     \
        "stream", 0, HM_OPT_FLAG, value, NULL, "write the audio while it is made; with -o - to standard output, for a player", 0, 0, NULL \
    }

#endif
