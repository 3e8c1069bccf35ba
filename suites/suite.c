#define _GNU_SOURCE /* memmem */
#include "suites/suite.h"

#include <ctype.h>
#include <cyaml/cyaml.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "engine/base/words.h"
#include "engine/text/transcript.h"

enum {
    MAX_BYTES = 4 << 20,
    MAX_CASES = 1000,
    MAX_FRAMES = 45000 /* one hour */,
    MAX_TOKENS = 440
};

/* As in the file. Optional numbers are pointers: NULL when left out. */
typedef struct yaml_styles {
    char *intro, *verse, *chorus;
} yaml_styles;

typedef struct yaml_case {
    char *name, *description, *task, *tags, *lyrics;
    char *kind, *text, *speaker, *language, *instruct, *design, *reference, *reference_text, *recording;
    char *streaming_text; /* a text: the library takes any word but "no" for yes */
    yaml_styles *styles;
    double *seconds, *cfg, *temperature, *flow_guidance, *top_p, *repetition_penalty, *sub_temperature, *sub_top_p, *chunk;
    int64_t *batch, *tokens, *beams;
    int64_t *frames, *topk, *flow_steps, *sub_topk;
    uint64_t *seed;
} yaml_case;

typedef struct yaml_suite {
    char *suite, *description;
    yaml_case *cases;
    uint64_t cases_count;
} yaml_suite;

#define TEXT(key, type, member, flags) CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 0, CYAML_UNLIMITED)
#define OPTIONAL CYAML_FLAG_OPTIONAL
#define MAY_TEXT(key) TEXT(#key, yaml_case, key, OPTIONAL)
#define MAY_REAL(key) CYAML_FIELD_FLOAT_PTR(#key, CYAML_FLAG_POINTER | OPTIONAL, yaml_case, key)
#define MAY_INT(key) CYAML_FIELD_INT_PTR(#key, CYAML_FLAG_POINTER | OPTIONAL, yaml_case, key)

static const cyaml_schema_field_t style_fields[] = {TEXT("intro", yaml_styles, intro, OPTIONAL),
                                                    TEXT("verse", yaml_styles, verse, OPTIONAL),
                                                    TEXT("chorus", yaml_styles, chorus, OPTIONAL), CYAML_FIELD_END};

static const cyaml_schema_field_t case_fields[] = {
    TEXT("name", yaml_case, name, 0),
    MAY_TEXT(description),
    MAY_TEXT(task),
    MAY_REAL(seconds),
    MAY_INT(frames),
    CYAML_FIELD_UINT_PTR("seed", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, seed),
    MAY_INT(topk),
    MAY_REAL(temperature),
    MAY_TEXT(tags),
    MAY_TEXT(lyrics),
    CYAML_FIELD_MAPPING_PTR("styles", CYAML_FLAG_POINTER | OPTIONAL, yaml_case, styles, style_fields),
    MAY_REAL(cfg),
    MAY_INT(flow_steps),
    MAY_REAL(flow_guidance),
    MAY_TEXT(kind),
    MAY_TEXT(text),
    MAY_TEXT(speaker),
    MAY_TEXT(language),
    MAY_TEXT(instruct),
    MAY_TEXT(design),
    MAY_TEXT(reference),
    MAY_TEXT(reference_text),
    MAY_TEXT(streaming_text),
    MAY_REAL(top_p),
    MAY_REAL(repetition_penalty),
    MAY_REAL(sub_temperature),
    MAY_INT(sub_topk),
    MAY_REAL(sub_top_p),
    MAY_TEXT(recording),
    MAY_REAL(chunk),
    MAY_INT(batch),
    MAY_INT(tokens),
    MAY_INT(beams),
    CYAML_FIELD_END};

static const cyaml_schema_value_t case_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, yaml_case, case_fields)};

static const cyaml_schema_field_t suite_fields[] = {
    TEXT("suite", yaml_suite, suite, 0), TEXT("description", yaml_suite, description, OPTIONAL),
    CYAML_FIELD_SEQUENCE_COUNT("cases", CYAML_FLAG_POINTER, yaml_suite, cases, cases_count, &case_schema, 1, MAX_CASES), CYAML_FIELD_END};

static const cyaml_schema_value_t suite_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, yaml_suite, suite_fields)};

/* The parser's own account of a failure: its first sentence, and the innermost place of the backtrace. */
typedef struct complaint {
    char text[200];
    int line, column; /* 0: not known */
} complaint;

static void listen(cyaml_log_t level, void *self, const char *format, va_list args)
{
    complaint *c = self;
    char line[300];
    (void)level;
    vsnprintf(line, sizeof line, format, args);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            *p = p[1] ? ' ' : 0;
    const char *text = strncmp(line, "Load: ", 6) ? line : line + 6;
    const char *place = strstr(text, "(line: ");
    int row, column;
    if (!c->text[0])
        snprintf(c->text, sizeof c->text, "%.180s", text);
    if (place && !c->line && sscanf(place, "(line: %d, column: %d)", &row, &column) == 2) {
        c->line = row;
        c->column = column;
    }
}

/* For a key it does not know the parser names the place before it: moves the place to the key itself. */
static void find_key(complaint *c, const char *data, size_t size)
{
    static const char start[] = "Unexpected key: ";
    const char *key = c->text + sizeof start - 1, *end = data + size;
    size_t length = strlen(c->text);
    int line = 1;
    if (strncmp(c->text, start, sizeof start - 1) || length == sizeof start - 1)
        return;
    length -= sizeof start - 1;
    for (const char *p = data, *next; p < end; p = next, line++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        next = newline ? newline + 1 : end;
        const char *at = line >= c->line ? memmem(p, (size_t)(next - p), key, length) : NULL;
        if (at && (line > c->line || at - p + 1 >= c->column)) {
            c->line = line;
            c->column = (int)(at - p) + 1;
            return;
        }
    }
}

static hm_status malformed(complaint *c, const char *what, const char *path, const void *data, size_t size, hm_error *err)
{
    char place[64] = "";
    find_key(c, data, size);
    if (c->line)
        snprintf(place, sizeof place, ", line %d, column %d", c->line, c->column);
    return hm_fail(err, HM_EFORMAT, "suite %s%s: %s%s%s; docs/suites.md has the format", path, place, what, c->text[0] ? ": " : "",
                   c->text);
}

static hm_status bad(const hm_suite *suite, const char *name, hm_error *err, const char *what)
{
    return hm_fail(err, HM_EFORMAT, "suite %s: case \"%.60s\": %s", suite->path, name, what);
}

/* Letters, digits, '-', '_' and '.': names are parts of file names and of command lines. */
static bool name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return n > 0 && n <= 60 && !name[n] && name[0] != '.' && name[0] != '-';
}

static bool blank(const char *text)
{
    return !text[strspn(text, " \t\r\n")];
}

/* Moves a text out of the parsed file; an empty one when it was left out. */
static char *take(char **from)
{
    char *text = *from;
    *from = NULL;
    return text ? text : calloc(1, 1);
}

static double real_or(const double *given, double otherwise)
{
    return given ? *given : otherwise;
}

/* Out of range becomes -1, which every check here refuses. */
static int int_or(const int64_t *given, int otherwise)
{
    return !given ? otherwise : *given < 0 || *given > 1 << 20 ? -1 : (int)*given;
}

int hm_suite_windows(double audio_s, double chunk_s)
{
    const int64_t rate = 16000, samples = llrint(audio_s * (double)rate), chunk = llrint(chunk_s * (double)rate),
                  shared = llrint(chunk_s / 6 * (double)rate), step = chunk - 2 * shared;
    if (chunk == 0)
        return (int)ceil(audio_s / HM_TRANSCRIPT_WINDOW_S);
    return samples <= chunk ? 1 : (int)((samples - chunk + step - 1) / step) + 1;
}

/* A recording and the windows it is cut into, each of a fixed number of tokens. */
static hm_status take_windows(const hm_suite *suite, const yaml_case *y, hm_suite_case *c, hm_error *err)
{
    c->audio_s = y->seconds ? *y->seconds : 0;
    c->chunk_s = real_or(y->chunk, 30);
    c->batch = int_or(y->batch, c->chunk_s > 0 ? 16 : 1);
    c->window_tokens = int_or(y->tokens, 96);
    c->beams = int_or(y->beams, 1);
    if (!y->seconds || y->frames)
        return bad(suite, y->name, err, "needs the length of its recording as \"seconds\"");
    if (!(c->audio_s >= 1 && c->audio_s <= 3600))
        return bad(suite, y->name, err, "seconds: expected 1 to 3600");
    if (c->chunk_s != 0 && !(c->chunk_s >= 1 && c->chunk_s <= HM_TRANSCRIPT_WINDOW_S))
        return bad(suite, y->name, err, "chunk: expected 1 to 30 seconds, or 0: one window after the other");
    if (c->chunk_s == 0 && (c->audio_s <= HM_TRANSCRIPT_WINDOW_S || y->batch || c->beams > 1))
        return bad(suite, y->name, err,
                   "chunk: 0 takes more than 30 seconds, no \"batch\" (windows wait for one another) and one of \"beams\"");
    if (c->batch < 1 || c->batch > 1024)
        return bad(suite, y->name, err, "batch: expected 1 to 1024 windows");
    if (c->window_tokens < 1 || c->window_tokens > MAX_TOKENS)
        return bad(suite, y->name, err, "tokens: expected 1 to 440 of each window");
    if (c->beams < 1 || c->beams > 16)
        return bad(suite, y->name, err, "beams: expected 1 to 16");
    c->frames = hm_suite_windows(c->audio_s, c->chunk_s) * c->window_tokens;
    if (c->frames > HM_SUITE_MOST_TOKENS)
        return bad(suite, y->name, err, "seconds, chunk, tokens: more than 1048576 tokens in all windows");
    return HM_OK;
}

static hm_status take_length(const hm_suite *suite, const yaml_case *y, hm_suite_case *c, hm_error *err)
{
    if (!y->seconds == !y->frames)
        return bad(suite, y->name, err, "needs its length as one of \"seconds\" and \"frames\"");
    if (y->frames && (*y->frames < 1 || *y->frames > MAX_FRAMES))
        return bad(suite, y->name, err, "frames: expected 1 to 45000");
    if (y->seconds && !(*y->seconds >= 0.08 && *y->seconds <= 3600))
        return bad(suite, y->name, err, "seconds: expected 0.08 to 3600");
    c->frames = y->frames ? (int)*y->frames : (int)lrint(*y->seconds * HM_SUITE_FRAMES_PER_SECOND);
    return HM_OK;
}

int hm_count_words(const char *text)
{
    int words = 0;
    bool inside = false, bracket = false;
    for (; text && *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '[' && !inside)
            bracket = true;
        bool letter = !bracket && !isspace(c);
        words += letter && !inside;
        inside = letter;
        if (c == ']')
            bracket = false;
    }
    return words;
}

static hm_status take_music_numbers(const hm_suite *suite, const yaml_case *y, hm_suite_case *c, hm_error *err)
{
    c->cfg_scale = real_or(y->cfg, 1.5);
    c->temperature = real_or(y->temperature, 1);
    c->flow_guidance = real_or(y->flow_guidance, 1.25);
    c->topk = int_or(y->topk, 50);
    c->flow_steps = int_or(y->flow_steps, 0);
    if (!(c->cfg_scale >= 0 && c->cfg_scale <= 100))
        return bad(suite, y->name, err, "cfg: expected 0 to 100");
    if (!(c->temperature > 0 && c->temperature <= 100))
        return bad(suite, y->name, err, "temperature: expected more than 0, at most 100");
    if (!(c->flow_guidance >= 0 && c->flow_guidance <= 100))
        return bad(suite, y->name, err, "flow_guidance: expected 0 to 100");
    if (c->topk < 1)
        return bad(suite, y->name, err, "topk: expected 1 to 1048576");
    if (c->flow_steps < 0 || c->flow_steps > 100)
        return bad(suite, y->name, err, "flow_steps: expected 0 (as the variant says) to 100");
    return HM_OK;
}

/* Left out: the published settings, and not the folder's own, so that every model draws alike. */
static hm_status take_speech_numbers(const hm_suite *suite, const yaml_case *y, hm_suite_case *c, hm_error *err)
{
    c->temperature = real_or(y->temperature, 0.9);
    c->topk = int_or(y->topk, 50);
    c->top_p = real_or(y->top_p, 1);
    c->repetition_penalty = real_or(y->repetition_penalty, 1.05);
    c->sub_temperature = real_or(y->sub_temperature, 0.9);
    c->sub_topk = int_or(y->sub_topk, 50);
    c->sub_top_p = real_or(y->sub_top_p, 1);
    c->streaming_text = !y->streaming_text ? -1 : !strcmp(y->streaming_text, "yes") || !strcmp(y->streaming_text, "true");
    if (c->streaming_text == 0 && strcmp(y->streaming_text, "no") && strcmp(y->streaming_text, "false"))
        return bad(suite, y->name, err, "streaming_text: expected yes or no");
    if (!(c->temperature > 0 && c->temperature <= 100) || !(c->sub_temperature > 0 && c->sub_temperature <= 100))
        return bad(suite, y->name, err, "temperature, sub_temperature: expected more than 0, at most 100");
    if (c->topk < 0 || c->sub_topk < 0)
        return bad(suite, y->name, err, "topk, sub_topk: expected 0 (all codes) to 1048576");
    if (!(c->top_p > 0 && c->top_p <= 1) || !(c->sub_top_p > 0 && c->sub_top_p <= 1))
        return bad(suite, y->name, err, "top_p, sub_top_p: expected more than 0, at most 1");
    if (!(c->repetition_penalty > 0 && c->repetition_penalty <= 100))
        return bad(suite, y->name, err, "repetition_penalty: expected more than 0, at most 100");
    return HM_OK;
}

enum {
    MUSIC = 1,
    SPEECH = 2,
    TRANSCRIPT = 4, /* of a recording that is there */
    SUNG = 8        /* of one that is made as music first */
};

static const char *task_name(int task)
{
    return task & MUSIC ? "music" : task & SPEECH ? "speech" : "transcript";
}

/* Keys that say something about other tasks only. */
static hm_status check_keys(const hm_suite *suite, const yaml_case *y, int task, hm_error *err)
{
    const struct {
        const char *key;
        bool given;
        int tasks;
    } keys[] = {{"tags", y->tags, MUSIC | SUNG},
                {"lyrics", y->lyrics, MUSIC | SUNG},
                {"styles", y->styles, MUSIC | SUNG},
                {"cfg", y->cfg, MUSIC | SUNG},
                {"flow_steps", y->flow_steps, MUSIC | SUNG},
                {"flow_guidance", y->flow_guidance, MUSIC | SUNG},
                {"topk", y->topk, MUSIC | SPEECH | SUNG},
                {"temperature", y->temperature, MUSIC | SPEECH | SUNG},
                {"kind", y->kind, SPEECH},
                {"text", y->text, SPEECH},
                {"speaker", y->speaker, SPEECH},
                {"language", y->language, SPEECH | TRANSCRIPT | SUNG},
                {"instruct", y->instruct, SPEECH},
                {"design", y->design, SPEECH},
                {"reference", y->reference, SPEECH},
                {"reference_text", y->reference_text, SPEECH},
                {"streaming_text", y->streaming_text, SPEECH},
                {"top_p", y->top_p, SPEECH},
                {"repetition_penalty", y->repetition_penalty, SPEECH},
                {"sub_temperature", y->sub_temperature, SPEECH},
                {"sub_topk", y->sub_topk, SPEECH},
                {"sub_top_p", y->sub_top_p, SPEECH},
                {"recording", y->recording, TRANSCRIPT | SUNG},
                {"chunk", y->chunk, TRANSCRIPT | SUNG},
                {"batch", y->batch, TRANSCRIPT | SUNG},
                {"tokens", y->tokens, TRANSCRIPT | SUNG},
                {"beams", y->beams, TRANSCRIPT | SUNG}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!keys[i].given || keys[i].tasks & task)
            continue;
        if (task == TRANSCRIPT && keys[i].tasks & SUNG)
            return hm_fail(err, HM_EFORMAT,
                           "suite %s: case \"%.60s\": %s: means nothing for a recording that is no music (recording: music)", suite->path,
                           y->name, keys[i].key);
        return hm_fail(err, HM_EFORMAT, "suite %s: case \"%.60s\": %s: means nothing for %s (task: %s)", suite->path, y->name, keys[i].key,
                       task_name(task), task_name(keys[i].tasks));
    }
    return HM_OK;
}

static hm_status take_music(const hm_suite *suite, yaml_case *y, hm_suite_case *c, hm_error *err)
{
    if (!y->tags || blank(y->tags))
        return bad(suite, y->name, err, "tags: empty; describe the music in a few words");
    if (!y->lyrics || blank(y->lyrics))
        return bad(suite, y->name, err, "lyrics: empty");
    hm_status st = take_music_numbers(suite, y, c, err);
    if (st)
        return st;
    c->words = hm_count_words(y->lyrics);
    if (y->styles) {
        c->intro_style = y->styles->intro ? take(&y->styles->intro) : NULL;
        c->verse_style = y->styles->verse ? take(&y->styles->verse) : NULL;
        c->chorus_style = y->styles->chorus ? take(&y->styles->chorus) : NULL;
    }
    return HM_OK;
}

/* The kind that is asked for, or that the other keys mean; and that they fit it. */
static hm_status check_kind(const hm_suite *suite, const yaml_case *y, const char **out, hm_error *err)
{
    const char *kind = y->kind ? y->kind : y->design ? "voice_design" : y->reference ? "base" : "custom_voice";
    bool custom = !strcmp(kind, "custom_voice"), design = !strcmp(kind, "voice_design"), base = !strcmp(kind, "base");
    *out = custom ? "custom_voice" : design ? "voice_design" : "base";
    if (!custom && !design && !base)
        return bad(suite, y->name, err, "kind: expected custom_voice, voice_design or base");
    if (custom && (!y->speaker || blank(y->speaker)))
        return bad(suite, y->name, err, "speaker: missing; a custom_voice model speaks as one of its speakers");
    if (!custom && (y->speaker || y->instruct))
        return bad(suite, y->name, err, "speaker, instruct: only kind custom_voice has them");
    if (design ? !y->design || blank(y->design) : y->design != NULL)
        return bad(suite, y->name, err, "design: the description of the voice, of kind voice_design and no other");
    if (base ? !y->reference || blank(y->reference) : y->reference != NULL)
        return bad(suite, y->name, err, "reference: an audio file of the voice to clone, of kind base and no other");
    if (y->reference_text && (!base || blank(y->reference_text)))
        return bad(suite, y->name, err, "reference_text: what is said in the reference; it goes with one");
    return HM_OK;
}

/* A path relative to the suite file. malloc'ed. */
static char *beside(const char *suite, const char *path)
{
    const char *slash = strrchr(suite, '/');
    size_t folder = slash && path[0] != '/' ? (size_t)(slash - suite) + 1 : 0, n = strlen(path) + 1;
    char *out = malloc(folder + n);
    if (out) {
        memcpy(out, suite, folder);
        memcpy(out + folder, path, n);
    }
    return out;
}

static hm_status take_speech(const hm_suite *suite, yaml_case *y, hm_suite_case *c, hm_error *err)
{
    const char *kind = NULL;
    if (!y->text || blank(y->text))
        return bad(suite, y->name, err, "text: empty; what shall be said?");
    hm_status st = check_kind(suite, y, &kind, err);
    if (!st)
        st = take_speech_numbers(suite, y, c, err);
    if (st)
        return st;
    c->words = hm_count_words(y->text);
    c->text = take(&y->text);
    c->kind = strdup(kind);
    c->speaker = y->speaker ? take(&y->speaker) : NULL;
    c->language = y->language ? take(&y->language) : NULL;
    c->instruct = y->instruct ? take(&y->instruct) : y->design ? take(&y->design) : NULL;
    c->reference_text = y->reference_text ? take(&y->reference_text) : NULL;
    c->reference = y->reference ? beside(suite->path, y->reference) : NULL;
    return c->kind && !c->reference == !y->reference ? HM_OK : hm_fail(err, HM_EABSENT, "suite %s: out of memory", suite->path);
}

static hm_status take_transcript(const hm_suite *suite, yaml_case *y, hm_suite_case *c, bool sung, hm_error *err)
{
    hm_status st = sung ? take_music(suite, y, c, err) : HM_OK;
    if (st)
        return st;
    c->recording = strdup(sung ? "music" : "voice");
    c->language = y->language ? take(&y->language) : NULL;
    return c->recording ? HM_OK : hm_fail(err, HM_EABSENT, "suite %s: out of memory", suite->path);
}

/* Which of the tasks; 0: none. */
static int task_of(const yaml_case *y)
{
    if (!y->task || !strcmp(y->task, "music"))
        return MUSIC;
    if (!strcmp(y->task, "speech"))
        return SPEECH;
    if (strcmp(y->task, "transcript"))
        return 0;
    return y->recording && !strcmp(y->recording, "music") ? SUNG : TRANSCRIPT;
}

/* Fills c; what it holds is the caller's to free, after a failure as well. */
static hm_status take_case(const hm_suite *suite, yaml_case *y, hm_suite_case *c, hm_error *err)
{
    if (!y->name || !name_ok(y->name))
        return bad(suite, y->name ? y->name : "", err, "name: expected 1 to 60 letters, digits, - _ .");
    for (int i = 0; i < suite->case_count; i++)
        if (!strcmp(suite->cases[i].name, y->name))
            return bad(suite, y->name, err, "two cases have this name");
    int task = task_of(y);
    if (!task)
        return bad(suite, y->name, err, "task: expected music, speech or transcript");
    if (y->recording && task == TRANSCRIPT && strcmp(y->recording, "voice"))
        return bad(suite, y->name, err, "recording: expected voice or music");
    c->seed = y->seed ? *y->seed : 1;
    hm_status st = check_keys(suite, y, task, err);
    if (!st)
        st = task & (TRANSCRIPT | SUNG) ? take_windows(suite, y, c, err) : take_length(suite, y, c, err);
    if (!st)
        st = task == SPEECH  ? take_speech(suite, y, c, err)
             : task == MUSIC ? take_music(suite, y, c, err)
                             : take_transcript(suite, y, c, task == SUNG, err);
    if (st)
        return st;
    c->name = take(&y->name);
    c->description = take(&y->description);
    c->task = strdup(task_name(task));
    c->tags = take(&y->tags);
    c->lyrics = take(&y->lyrics);
    c->text = c->text ? c->text : take(&y->text);
    c->kind = c->kind ? c->kind : take(&y->kind);
    bool whole = c->name && c->description && c->task && c->tags && c->lyrics && c->text && c->kind;
    return whole ? HM_OK : hm_fail(err, HM_EABSENT, "suite %s: out of memory", suite->path);
}

static void free_case(hm_suite_case *c)
{
    char *texts[] = {c->name, c->description, c->task,    c->tags,     c->lyrics,   c->intro_style, c->verse_style,    c->chorus_style,
                     c->kind, c->text,        c->speaker, c->language, c->instruct, c->reference,   c->reference_text, c->recording};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        free(texts[k]);
}

static hm_status take_suite(hm_suite *suite, yaml_suite *y, hm_error *err)
{
    if (!y->suite || !name_ok(y->suite))
        return hm_fail(err, HM_EFORMAT, "suite %s: suite: expected a name of 1 to 60 letters, digits, - _ .", suite->path);
    suite->cases = hm_calloc(y->cases_count, sizeof *suite->cases, "cases of a suite", err);
    if (!suite->cases)
        return HM_EABSENT;
    for (uint64_t i = 0; i < y->cases_count; i++) {
        hm_suite_case c = {0};
        hm_status st = take_case(suite, &y->cases[i], &c, err);
        if (st) {
            free_case(&c);
            return st;
        }
        suite->cases[suite->case_count++] = c;
    }
    suite->name = take(&y->suite);
    suite->description = take(&y->description);
    return suite->description ? HM_OK : hm_fail(err, HM_EABSENT, "suite %s: out of memory", suite->path);
}

hm_status hm_suite_parse(hm_suite **out, const void *data, size_t size, const char *path, hm_error *err)
{
    complaint c = {0};
    yaml_suite *parsed = NULL;
    cyaml_config_t config = {
        .log_fn = listen, .log_ctx = &c, .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem, .flags = CYAML_CFG_NO_ALIAS};
    hm_suite *suite = hm_calloc(1, sizeof *suite, "suite", err);
    hm_status st = HM_OK;
    if (!suite)
        return HM_EABSENT;
    suite->path = strdup(path);
    if (!suite->path)
        st = hm_fail(err, HM_EABSENT, "suite %s: out of memory", path);
    else if (!size)
        st = hm_fail(err, HM_EFORMAT, "suite %s: is empty", path);
    else if (size > MAX_BYTES)
        st = hm_fail(err, HM_EFORMAT, "suite %s: has %zu bytes, at most %d are read", path, size, MAX_BYTES);
    if (!st) {
        hm_hash_text(suite->hash, data, size);
        cyaml_err_t code = cyaml_load_data(data, size, &config, &suite_schema, (void **)&parsed, NULL);
        if (code || !parsed)
            st = malformed(&c, code ? cyaml_strerror(code) : "nothing in it", path, data, size, err);
        else
            st = take_suite(suite, parsed, err);
        cyaml_free(&config, &suite_schema, parsed, 0);
    }
    if (st) {
        hm_suite_close(&suite);
        return st;
    }
    *out = suite;
    return HM_OK;
}

void hm_suite_close(hm_suite **suite)
{
    hm_suite *s = *suite;
    if (!s)
        return;
    for (int i = 0; i < s->case_count; i++)
        free_case(&s->cases[i]);
    free(s->cases);
    free(s->name);
    free(s->description);
    free(s->path);
    free(s);
    *suite = NULL;
}

bool hm_suite_folder(int i, char *out, size_t size)
{
    const char *set = getenv("HMBENCH_SUITES");
    if (set && *set && i-- == 0) {
        snprintf(out, size, "%s", set);
        return true;
    }
    if (i == 0) {
        char program[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
        program[n > 0 ? n : 0] = 0;
        char *slash = strrchr(program, '/');
        snprintf(out, size, "%.*s/../share/hmbench/suites", slash ? (int)(slash - program) : 1, slash ? program : ".");
        return true;
    }
    if (i == 1)
        snprintf(out, size, "%s", HM_SUITES_SOURCE);
    return i == 1;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct names {
    char *items[512];
    size_t count;
} names;

static void collect_names(names *all)
{
    char folder[PATH_MAX];
    for (int i = 0; hm_suite_folder(i, folder, sizeof folder); i++) {
        DIR *dir = opendir(folder);
        for (struct dirent *e; dir && (e = readdir(dir));) {
            size_t n = strlen(e->d_name);
            if (n > 5 && !strcmp(e->d_name + n - 5, ".yaml") && all->count + 1 < sizeof all->items / sizeof *all->items) {
                char *name = strndup(e->d_name, n - 5);
                if (name)
                    all->items[all->count++] = name;
            }
        }
        if (dir)
            closedir(dir);
    }
    qsort(all->items, all->count, sizeof *all->items, by_text);
}

static void free_names(names *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->items[i]);
}

hm_status hm_suite_each_name(void (*each)(void *self, const char *name), void *self, hm_error *err)
{
    names all = {.count = 0};
    collect_names(&all);
    for (size_t i = 0; i < all.count; i++)
        if (i == 0 || strcmp(all.items[i - 1], all.items[i]))
            each(self, all.items[i]);
    bool none = !all.count;
    free_names(&all);
    return none ? hm_fail(err, HM_EMISSING, "suites: none found; set HMBENCH_SUITES to the folder that has short.yaml") : HM_OK;
}

static hm_status unknown(const char *name, hm_error *err)
{
    char text[300] = "", near[HM_SUGGESTION];
    names all = {.count = 0};
    collect_names(&all);
    for (size_t i = 0; i < all.count; i++) {
        size_t used = strlen(text);
        if (i == 0 || strcmp(all.items[i - 1], all.items[i]))
            snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", all.items[i]);
    }
    hm_did_you_mean(near, name, (const char *const *)all.items);
    free_names(&all);
    return hm_fail(err, HM_EMISSING, "suite \"%.80s\": unknown; there are %s; or give the path of a .yaml file%s", name,
                   text[0] ? text : "none", near);
}

hm_status hm_suite_open(hm_suite **out, const char *name, hm_error *err)
{
    char path[PATH_MAX], folder[PATH_MAX - 128];
    size_t n = strlen(name);
    bool is_path = strchr(name, '/') || (n > 5 && !strcmp(name + n - 5, ".yaml")) || (n > 4 && !strcmp(name + n - 4, ".yml"));
    bool found = is_path;
    if (is_path) {
        if ((size_t)snprintf(path, sizeof path, "%s", name) >= sizeof path)
            return hm_fail(err, HM_EMISSING, "suite: the path has %zu bytes, too many", n);
    } else if (n < 100) {
        for (int i = 0; !found && hm_suite_folder(i, folder, sizeof folder); i++) {
            snprintf(path, sizeof path, "%s/%s.yaml", folder, name);
            found = !access(path, R_OK);
        }
    }
    if (!found)
        return unknown(name, err);
    hm_map map;
    hm_status st = hm_map_read(&map, path, MAX_BYTES, err);
    if (st)
        return hm_fail_within(err, "suite");
    st = hm_suite_parse(out, map.data, map.size, path, err);
    hm_map_close(&map);
    return st;
}
