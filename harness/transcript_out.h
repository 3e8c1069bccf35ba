/* A transcript as people and programs want it: text, JSON, subtitles. */
#ifndef HM_HARNESS_TRANSCRIPT_OUT_H
#define HM_HARNESS_TRANSCRIPT_OUT_H

#include <stdio.h>

#include "engine/hm_engine.h"

typedef enum hm_transcript_format {
    HM_TRANSCRIPT_TEXT,
    HM_TRANSCRIPT_JSON,
    HM_TRANSCRIPT_SRT,
    HM_TRANSCRIPT_VTT
} hm_transcript_format;

extern const char *const hm_transcript_formats[]; /* "text", "json", "srt", "vtt", NULL */
/* By name, or by the suffix of a path (.txt is text); -1: none of them. */
int hm_transcript_format_named(const char *name);
int hm_transcript_format_of_path(const char *path);

typedef struct hm_transcript_report {
    const char *path, *model, *variant; /* path: of the recording */
    const hm_engine_facts *engine;
    const hm_request *request;
    const hm_result *result;
    int64_t audio_ns; /* reading and resampling the file */
    bool synthetic;
} hm_transcript_report;

/* Seconds of the recording, and what they took: reading and all phases, without loading. */
double hm_transcript_audio_s(const hm_transcript_report *report);
double hm_transcript_rtf(const hm_transcript_report *report);

/* The transcript in a format. Subtitles: one per chunk that has text; a time that is not known is that of its neighbour, at last the
 * recording's end, and none ends before it starts. Text: one line, or with timestamps one for each chunk. HM_EIO. */
hm_status hm_transcript_print(const hm_transcript_report *report, hm_transcript_format format, FILE *file, hm_error *err);
/* Times and figures for people. */
void hm_transcript_summary(const hm_transcript_report *report, FILE *file);

#endif
