/* What becomes of the ids of a recording's windows: how windows lie, how their ids are judged, cut, joined and written out. No model is
 * needed for any of it. Sections are those of engine/models/whisper.md. */
#ifndef HM_ENGINE_TEXT_TRANSCRIPT_H
#define HM_ENGINE_TEXT_TRANSCRIPT_H

#include "engine/text/tokenizer.h"

#define HM_TRANSCRIPT_RATE 16000
#define HM_TRANSCRIPT_WINDOW_S 30
#define HM_TIMESTAMP_S 0.02

/* Text is below `end`; end .. timestamp0-1 are special; timestamp0 + k says k * 0.02 s. */
typedef struct hm_transcript_ids {
    int32_t end, timestamp0;
} hm_transcript_ids;

/* Ids of a window, and the samples it has and shares with its neighbours. */
typedef struct hm_transcript_part {
    const int32_t *ids;
    int count;
    int64_t start, samples, left, right; /* at 16 kHz */
} hm_transcript_part;

/* A stretch of the text; NAN: not known. text malloc'ed. */
typedef struct hm_transcript_chunk {
    double start_s, end_s;
    char *text;
} hm_transcript_chunk;

/* Windows of up to chunk_s seconds that share a sixth of it with each neighbour (section 10). *out malloc'ed, its ids NULL; none for no
 * samples. HM_EUSAGE: chunk_s not above 0 or beyond 30. */
hm_status hm_transcript_windows(hm_transcript_part **out, int *count, int64_t samples, double chunk_s, hm_error *err);

/* Raw bytes over those of zlib at level 6, of ids as floor(log2 V / 8) + 1 little-endian bytes each (section 8); 0 of none. */
hm_status hm_transcript_ratio(double *out, const int32_t *ids, int count, int64_t vocabulary, hm_error *err);

/* Lists whose ends repeat in the beginnings of the next, as one (section 10). Only the ids of text should be in them. *ids malloc'ed. */
hm_status hm_transcript_merge(int32_t **ids, int *count, const hm_transcript_part *parts, int part_count, hm_error *err);

/* What is read of ids: text with everything that looks like a timestamp taken out. malloc'ed. */
hm_status hm_transcript_text(char **out, const hm_tokenizer *tokenizer, const int32_t *ids, size_t count, hm_error *err);

/* A whole transcript: text of all windows, and with timestamps its chunks; without, one chunk without times. `merged` may be NULL: ids that
 * the text was made of (without timestamps). */
typedef struct hm_transcript {
    char *text;
    hm_transcript_chunk *chunks;
    int chunk_count;
    int32_t *merged;
    int merged_count;
} hm_transcript;
hm_status hm_transcript_write(hm_transcript *out, const hm_tokenizer *tokenizer, hm_transcript_ids ids, const hm_transcript_part *parts,
                              int count, bool timestamps, hm_error *err);
/* The texts of the chunks as the whole text, where chunks were made otherwise. */
hm_status hm_transcript_join(hm_transcript *transcript, hm_error *err);
void hm_transcript_close(hm_transcript *transcript);

/* Segments of a window of the seek loop (section 9): ids without the end, first mel frame `seek` of `frames` in the window that are the
 * recording's. */
typedef struct hm_transcript_segment {
    int first, count; /* of the ids */
    double start_s, end_s;
} hm_transcript_segment;
/* *out malloc'ed, *advance: mel frames to go on by. */
hm_status hm_transcript_cut(hm_transcript_segment **out, int *count, int64_t *advance, hm_transcript_ids ids, const int32_t *tokens,
                            int token_count, int64_t seek, int64_t frames, hm_error *err);

#endif
