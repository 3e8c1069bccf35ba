#include "harness/stream_out.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/time.h"
#include "harness/output_check.h"
#include "harness/progress.h"

bool hm_stream_to_stdout(const char *path)
{
    return !strcmp(path, "-");
}

hm_status hm_stream_check(const char *command, const char *path, bool json, hm_error *err)
{
    if (!path)
        return hm_fail(err, HM_EUSAGE,
                       "%s: --stream: -o is missing: where should the audio go? (a .wav, .flac or .mp3 file, or - for a player)", command);
    if (!hm_stream_to_stdout(path)) {
        hm_status st = hm_audio_check_path(path, err);
        return st ? st : hm_output_check("output", path, err);
    }
    return json ? hm_fail(err, HM_EUSAGE, "%s: --json and -o -: both would go to standard output", command) : HM_OK;
}

static int write_piece(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    hm_stream_out *o = self;
    hm_player_chunk(&o->player, at_ns, samples, o->rate_hz, hm_player_silent(pcm, channels, samples));
    if (hm_audio_writer_write(o->writer, pcm, samples, &o->error))
        return 1;
    o->samples += samples;
    return 0;
}

hm_status hm_stream_open(hm_stream_out *out, const char *path, const hm_engine_facts *facts, hm_error *err)
{
    *out = (hm_stream_out){.sink = {.self = out, .write = write_piece}, .path = path, .rate_hz = facts->sample_rate_hz};
    hm_status st = hm_stream_to_stdout(path)
                       ? hm_audio_writer_open_stream(&out->writer, stdout, facts->channels, facts->sample_rate_hz, err)
                       : hm_audio_writer_open(&out->writer, path, facts->channels, facts->sample_rate_hz, err);
    hm_player_init(&out->player, hm_now_ns());
    return st;
}

hm_status hm_stream_close(hm_stream_out *o, hm_status st, hm_error *err)
{
    bool kept = st == HM_EINTERRUPTED && !o->error.status && o->samples;
    if (o->error.status)
        st = hm_fail(err, o->error.status, "%s", o->error.text);
    hm_status closed = hm_audio_writer_close(&o->writer, !st || kept, st ? NULL : err);
    if (kept && !closed && !hm_stream_to_stdout(o->path))
        hm_log_write(hm_log_stderr(false), HM_LOG_WARNING, "%s: kept the %.2f s that were made", o->path, (double)o->samples / o->rate_hz);
    return st ? st : closed;
}
