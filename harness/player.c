#include "harness/player.h"

#include <math.h>

#define SILENCE 1e-3f /* -60 dBFS */

void hm_player_init(hm_player *p, int64_t request_ns)
{
    *p = (hm_player){.ttfa_raw_ns = -1, .ttfa_ns = -1, .request_ns = request_ns};
}

void hm_player_chunk(hm_player *p, int64_t at_ns, int64_t samples, int rate_hz, bool silent)
{
    if (samples <= 0)
        return;
    if (!p->chunks++) {
        p->first_ns = at_ns;
        p->ttfa_raw_ns = at_ns - p->request_ns;
    }
    if (!silent && p->ttfa_ns < 0)
        p->ttfa_ns = at_ns - p->request_ns;
    /* from the sum of samples: rounding does not add up */
    int64_t played_ns = p->samples / rate_hz * 1000000000 + p->samples % rate_hz * 1000000000 / rate_hz;
    int64_t late_ns = at_ns - p->first_ns - played_ns, stall_ns = late_ns - p->stall_total_ns;
    if (late_ns > p->buffer_ns)
        p->buffer_ns = late_ns;
    if (stall_ns > 0) {
        p->stalls++;
        p->stall_total_ns += stall_ns;
        p->stall_max_ns = stall_ns > p->stall_max_ns ? stall_ns : p->stall_max_ns;
    }
    p->samples += samples;
}

bool hm_player_silent(const float *pcm, int channels, int64_t samples)
{
    for (int64_t i = 0; i < channels * samples; i++)
        if (!(fabsf(pcm[i]) <= SILENCE)) /* what is no number is no silence */
            return false;
    return true;
}

bool hm_player_smooth(const hm_player *p, int buffer_ms)
{
    return p->chunks && p->buffer_ns <= (int64_t)buffer_ms * 1000000;
}
