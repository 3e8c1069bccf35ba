/* What somebody hears who plays audio while it is being made: when it begins, and where it stops because the next piece is late. */
#ifndef HM_HARNESS_PLAYER_H
#define HM_HARNESS_PLAYER_H

#include <stdbool.h>
#include <stdint.h>

/* Playing begins with the first chunk, at t1. Chunk i is due when all before it are played,
 *   due_i = t1 + sum of durations before i + stalls so far,   stall_i = max(0, t_i - due_i).
 * A player that waits B before it begins has no stall when B >= buffer_ns, the largest t_i - t1 - sum of durations before i.
 * Times in ns of one clock; those of results since the request. Chunks without samples change nothing. */
typedef struct hm_player {
    int64_t ttfa_raw_ns; /* to the first chunk; -1: none came */
    int64_t ttfa_ns;     /* to the first chunk that is not silent; -1: none came */
    int64_t stall_max_ns, stall_total_ns;
    int64_t buffer_ns; /* the shortest wait that leaves no stall */
    int chunks, stalls;

    int64_t request_ns, first_ns, samples; /* of all chunks so far */
} hm_player;

/* request_ns: when the audio was asked for. */
void hm_player_init(hm_player *p, int64_t request_ns);

/* A chunk that is ready at at_ns: samples per channel. silent: hm_player_silent says so. */
void hm_player_chunk(hm_player *p, int64_t at_ns, int64_t samples, int rate_hz, bool silent);

/* No sample of pcm [channels][samples] is above -60 dBFS. */
bool hm_player_silent(const float *pcm, int channels, int64_t samples);

/* Whether a player that waits so long before it begins (C50, C100, C200: 50, 100, 200 ms) plays without a stall. False when none came. */
bool hm_player_smooth(const hm_player *p, int buffer_ms);

#endif
