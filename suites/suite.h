/* Suite files: labelled cases of songs and utterances to generate and of recordings to transcribe, as YAML. The format is in docs/suites.md; nothing else reads them. */
#ifndef HM_SUITES_SUITE_H
#define HM_SUITES_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/hash.h"

/* Texts are UTF-8. Never NULL: name, description, task, kind, tags, lyrics, text (the last four may be empty). */
typedef struct hm_suite_case {
    char *name, *description;
    char *task; /* "music", "speech", "transcript" */
    int frames; /* forced length: 80 ms each, or the tokens of all windows (chunk_s 0: of the fewest) */
    int words;  /* of the lyrics (section names left out) or the text */
    uint64_t seed;
    double temperature;
    int topk; /* speech: 0: all */
    /* music */
    char *tags, *lyrics;                            /* of a transcript, too, whose recording is music */
    char *intro_style, *verse_style, *chorus_style; /* NULL: none */
    double cfg_scale, flow_guidance;
    int flow_steps; /* 0: as the variant says */
    /* speech */
    char *kind; /* of model it takes: "custom_voice", "voice_design", "base"; empty for music */
    char *text;
    char *speaker, *language, *instruct; /* NULL: none; instruct: how to speak, or the voice itself for voice_design */
    char *reference, *reference_text;    /* NULL: none; path of the voice to clone, and what is said in it */
    int streaming_text;                  /* 1, 0; -1: as the model's kind does */
    double top_p, repetition_penalty, sub_temperature, sub_top_p;
    int sub_topk; /* 0: all */
    /* transcript */
    char *recording; /* "voice": made by the harness (harness/recording.h); "music": made first, of the keys of music; NULL: another task */
    double audio_s, chunk_s; /* chunk_s 0: one window after the other, cut at timestamps */
    int batch, window_tokens, beams;
} hm_suite_case;

typedef struct hm_suite {
    char *name, *description, *path;
    char hash[HM_HASH_TEXT]; /* of the file's bytes */
    hm_suite_case *cases;
    int case_count; /* at least 1 */
} hm_suite;

/* Frames of 80 ms in so many seconds. */
#define HM_SUITE_FRAMES_PER_SECOND 12.5

#define HM_SUITE_MOST_TOKENS (1 << 20) /* of all windows */

/* Windows that a recording is cut into, each sharing a sixth of chunk_s with its neighbours; chunk_s 0: the fewest that follow one another,
 * since each begins where the last timestamp of the one before stands. */
int hm_suite_windows(double audio_s, double chunk_s);

/* Words of a text: what white space separates; names of sections in brackets are none. */
int hm_count_words(const char *text);

/* Parses bytes; `path` names them in errors, and references are relative to its folder. HM_EFORMAT names line and key: broken YAML, unknown
 * or missing keys, keys of another task or kind, values out of range, two cases of one name, aliases. */
hm_status hm_suite_parse(hm_suite **out, const void *data, size_t size, const char *path, hm_error *err);

/* By name (looked for in the folders below) or by path (with a slash, or ending in .yaml). HM_EMISSING with the nearest name. */
hm_status hm_suite_open(hm_suite **out, const char *name_or_path, hm_error *err);
void hm_suite_close(hm_suite **suite);

/* Folder i of those looked in: $HMBENCH_SUITES, ../share/hmbench/suites of the program's folder, the source tree it was built from.
 * False after the last. */
bool hm_suite_folder(int i, char *out, size_t size);

/* Calls back for the name of every suite found, each once, in order of the alphabet. */
hm_status hm_suite_each_name(void (*each)(void *self, const char *name), void *self, hm_error *err);

#endif
