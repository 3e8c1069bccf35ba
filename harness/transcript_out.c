#include "harness/transcript_out.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const hm_transcript_formats[] = {"text", "json", "srt", "vtt", NULL};

int hm_transcript_format_named(const char *name)
{
    for (int i = 0; hm_transcript_formats[i]; i++)
        if (!strcasecmp(name, hm_transcript_formats[i]))
            return i;
    return -1;
}

int hm_transcript_format_of_path(const char *path)
{
    const char *dot = strrchr(path, '.');
    return !dot ? -1 : !strcasecmp(dot, ".txt") ? HM_TRANSCRIPT_TEXT : hm_transcript_format_named(dot + 1);
}

static double seconds(int64_t ns)
{
    return (double)ns * 1e-9;
}

double hm_transcript_audio_s(const hm_transcript_report *p)
{
    return (double)p->result->samples / p->result->sample_rate_hz;
}

double hm_transcript_rtf(const hm_transcript_report *p)
{
    double audio = hm_transcript_audio_s(p);
    return audio > 0 ? seconds(p->audio_ns + p->result->wall_ns) / audio : 0;
}

static const char *text_of(const hm_transcript_report *p)
{
    return p->result->transcript.text ? p->result->transcript.text : "";
}

/* Texts begin with the space that parts them from what went before. */
static const char *trimmed(const char *text)
{
    return text + strspn(text, " ");
}

/* Start and end of a chunk that is to be shown; false: it has no text. */
static bool times_of(const hm_transcript_report *p, int i, double out[2])
{
    const hm_transcript *t = &p->result->transcript;
    const hm_transcript_chunk *c = &t->chunks[i];
    double start = c->start_s, end = c->end_s;
    if (!*trimmed(c->text))
        return false;
    if (isnan(start))
        start = i && !isnan(t->chunks[i - 1].end_s) ? t->chunks[i - 1].end_s : 0;
    if (isnan(end))
        end = i + 1 < t->chunk_count && !isnan(t->chunks[i + 1].start_s) ? t->chunks[i + 1].start_s : hm_transcript_audio_s(p);
    out[0] = start;
    out[1] = end > start ? end : start;
    return true;
}

/* "01:02:03,045" */
static void put_time(double s, char point, FILE *f)
{
    int64_t ms = (int64_t)(s * 1000 + 0.5);
    fprintf(f, "%02d:%02d:%02d%c%03d", (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), point, (int)(ms % 1000));
}

/* A text of subtitles is over at an empty line, so there is none in it; vtt: what would be markup is not. */
static void put_lines(const char *text, bool vtt, FILE *f)
{
    bool at_start = true;
    for (const char *c = trimmed(text); *c; c++) {
        if (*c == '\r' || (*c == '\n' && at_start))
            continue;
        if (vtt && *c == '&')
            fputs("&amp;", f);
        else if (vtt && *c == '<')
            fputs("&lt;", f);
        else if (vtt && *c == '>')
            fputs("&gt;", f);
        else
            fputc(*c, f);
        at_start = *c == '\n';
    }
    if (!at_start)
        fputc('\n', f);
}

static void print_subtitles(const hm_transcript_report *p, bool vtt, FILE *f)
{
    int number = 0;
    double s[2];
    if (vtt)
        fputs("WEBVTT\n\n", f);
    for (int i = 0; i < p->result->transcript.chunk_count; i++) {
        if (!times_of(p, i, s))
            continue;
        if (!vtt)
            fprintf(f, "%d\n", ++number);
        put_time(s[0], vtt ? '.' : ',', f);
        fputs(" --> ", f);
        put_time(s[1], vtt ? '.' : ',', f);
        fputc('\n', f);
        put_lines(p->result->transcript.chunks[i].text, vtt, f);
        fputc('\n', f);
    }
}

static void print_text(const hm_transcript_report *p, FILE *f)
{
    const hm_transcript *t = &p->result->transcript;
    double s[2];
    bool times = p->request->transcript.timestamps;
    if (!times && *trimmed(text_of(p)))
        fprintf(f, "%s\n", trimmed(text_of(p)));
    for (int i = 0; times && i < t->chunk_count; i++)
        if (times_of(p, i, s))
            fprintf(f, "[%02d:%05.2f --> %02d:%05.2f]  %s\n", (int)(s[0] / 60), fmod(s[0], 60), (int)(s[1] / 60), fmod(s[1], 60),
                    trimmed(t->chunks[i].text));
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *windows_json(const hm_transcript_report *p)
{
    json_t *out = json_array();
    for (int i = 0; i < p->result->window_count; i++) {
        const hm_transcript_window *w = &p->result->windows[i];
        json_array_append_new(
            out, json_pack("{sf sf ss si sb si sf so so so}", "start_s", (double)w->start / HM_TRANSCRIPT_RATE, "length_s",
                           (double)w->samples / HM_TRANSCRIPT_RATE, "language", w->language_code, "tokens", w->count, "skipped", w->skipped,
                           "tries", w->tries, "temperature", w->temperature, "avg_logprob", number_or_null(w->avg_logprob),
                           "compression_ratio", number_or_null(w->ratio), "no_speech_prob",
                           isnan(p->request->transcript.no_speech_threshold) ? json_null() : number_or_null(w->no_speech_prob)));
    }
    return out;
}

static json_t *report_json(const hm_transcript_report *p)
{
    const hm_result *r = p->result;
    const hm_transcript *t = &r->transcript;
    json_t *chunks = json_array();
    for (int i = 0; i < t->chunk_count; i++)
        json_array_append_new(chunks, json_pack("{so so ss}", "start_s", number_or_null(t->chunks[i].start_s), "end_s",
                                                number_or_null(t->chunks[i].end_s), "text", t->chunks[i].text));
    json_t *times = json_pack("{sf sf sf sf sf sf}", "load_s", seconds(p->engine->load_ns), "audio_s", seconds(p->audio_ns), "mel_s",
                              seconds(r->mel_ns), "encode_s", seconds(r->encode_ns), "decode_s", seconds(r->generate_ns), "wall_s",
                              seconds(p->audio_ns + r->wall_ns));
    return json_pack("{ss so ss sf ss ss ss ss si sb si sf so so}", "text", text_of(p), "chunks", chunks, "recording", p->path, "audio_s",
                     hm_transcript_audio_s(p), "model", p->model, "variant", p->variant, "backend", p->engine->backend, "device",
                     p->engine->device ? p->engine->device : "", "threads", p->engine->threads, "synthetic", p->synthetic, "tokens",
                     r->frames, "rtf", hm_transcript_rtf(p), "times", times, "windows", windows_json(p));
}

hm_status hm_transcript_print(const hm_transcript_report *p, hm_transcript_format format, FILE *f, hm_error *err)
{
    if (format == HM_TRANSCRIPT_JSON) {
        json_t *json = report_json(p);
        if (!json)
            return hm_fail(err, HM_EABSENT, "transcript: no memory");
        json_dumpf(json, f, JSON_INDENT(2));
        fputc('\n', f);
        json_decref(json);
    } else if (format == HM_TRANSCRIPT_TEXT) {
        print_text(p, f);
    } else {
        print_subtitles(p, format == HM_TRANSCRIPT_VTT, f);
    }
    return fflush(f) || ferror(f) ? hm_fail(err, HM_EIO, "transcript: cannot be written: %s", strerror(errno)) : HM_OK;
}

/* "en", or "en (3 windows), ja (1)"; "-": none was asked for. */
static void print_languages(const hm_result *r, FILE *f)
{
    bool some = false;
    for (int i = 0; i < r->window_count; i++) {
        const char *code = r->windows[i].language_code;
        int same = 0;
        bool before = false;
        for (int k = 0; k < r->window_count; k++) {
            same += !strcmp(r->windows[k].language_code, code);
            before |= k < i && !strcmp(r->windows[k].language_code, code);
        }
        if (before || !*code)
            continue;
        fprintf(f, "%s%s", some ? ", " : "", code);
        if (same < r->window_count)
            fprintf(f, " (%d of %d windows)", same, r->window_count);
        some = true;
    }
    fputs(some ? "\n" : "-\n", f);
}

void hm_transcript_summary(const hm_transcript_report *p, FILE *f)
{
    const hm_result *r = p->result;
    int skipped = 0, again = 0;
    for (int i = 0; i < r->window_count; i++) {
        skipped += r->windows[i].skipped;
        again += r->windows[i].tries > 1;
    }
    double wall = seconds(p->audio_ns + r->wall_ns), audio = hm_transcript_audio_s(p);
    double other = wall - seconds(p->audio_ns + r->mel_ns + r->encode_ns + r->generate_ns);
    fprintf(f, "%s: %.2f s of audio, %d windows, %d tokens\n", p->path, audio, r->window_count, r->frames);
    fprintf(f, "  language  ");
    print_languages(r, f);
    fprintf(f, "  model     %s%s, variant %s, %s, %d threads\n", p->model, p->synthetic ? " (synthetic: its text means nothing)" : "",
            p->variant, p->engine->device ? p->engine->device : p->engine->backend, p->engine->threads);
    fprintf(f, "  time      %.2f s: audio %.2f s, mel %.2f s, encode %.2f s, decode %.2f s, other %.2f s; load %.2f s before\n", wall,
            seconds(p->audio_ns), seconds(r->mel_ns), seconds(r->encode_ns), seconds(r->generate_ns), other > 0 ? other : 0,
            seconds(p->engine->load_ns));
    if (audio > 0)
        fprintf(f, "  speed     RTF %.3f (%.1f x real time)\n", hm_transcript_rtf(p), wall > 0 ? audio / wall : 0);
    if (skipped || again)
        fprintf(f, "  windows   %d without speech left out, %d tried again at a higher temperature\n", skipped, again);
}
