/* From tags and lyrics to the prompt's ids (heartmula.md section 6), with section styles (docs/models.md). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/session/session.h"

/* A growing text. */
struct text {
    char *data;
    size_t size, room;
    bool failed;
};

static void append(struct text *t, const char *data, size_t size)
{
    if (t->failed)
        return;
    if (t->size + size + 1 > t->room) {
        size_t room = 2 * (t->size + size + 1);
        char *grown = realloc(t->data, room);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->data = grown;
        t->room = room;
    }
    memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The style of a section line such as "[Verse 2]" or "[Chorus: loud]", NULL when the line is none or has no style. Its name is what
 * stands before the first digit, colon or closing bracket. */
static const char *section_style(const hm_request *r, const char *line, size_t size)
{
    const struct {
        const char *name, *style;
    } sections[] = {{"intro", r->music.intro_style},
                    {"verse", r->music.verse_style},
                    {"chorus", r->music.chorus_style},
                    {"hook", r->music.chorus_style}};
    const char *end = line + size;
    while (line < end && is_blank(*line))
        line++;
    while (line < end && is_blank(end[-1]))
        end--;
    if (end - line < 2 || *line != '[' || end[-1] != ']')
        return NULL;
    for (line++; line < end && is_blank(*line);)
        line++;
    size_t name = 0;
    while (!strchr(":]0123456789", line[name]))
        name++;
    while (name && is_blank(line[name - 1]))
        name--;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (name == strlen(sections[i].name) && !strncasecmp(line, sections[i].name, name))
            return sections[i].style;
    return NULL;
}

static hm_status check_styles(const hm_request *r, hm_error *err)
{
    const struct {
        const char *section, *style;
    } styles[] = {{"intro", r->music.intro_style}, {"verse", r->music.verse_style}, {"chorus", r->music.chorus_style}};
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++)
        if (styles[i].style && strpbrk(styles[i].style, "\r\n"))
            return hm_fail(err, HM_EUSAGE, "%s style: expected one line, found a line break", styles[i].section);
    return HM_OK;
}

/* Every section line with a style is followed by a line "(style)". malloc'ed. */
static char *styled_lyrics(const hm_request *r, hm_error *err)
{
    struct text out = {0};
    append(&out, "", 0);
    for (const char *p = r->music.lyrics; *p;) {
        size_t line = strcspn(p, "\n"), whole = line + (p[line] == '\n');
        const char *style = section_style(r, p, line);
        append(&out, p, line);
        if (style && *style) {
            append(&out, "\n(", 2);
            append(&out, style, strlen(style));
            append(&out, ")", 1);
        }
        append(&out, p + line, whole - line);
        p += whole;
    }
    if (out.failed) {
        free(out.data);
        hm_fail(err, HM_EABSENT, "lyrics: no memory");
        return NULL;
    }
    return out.data;
}

/* Lower-cased, wrapped in <tag> </tag> where that is missing. malloc'ed. */
static hm_status wrapped_tags(const char *tags, char **out, hm_error *err)
{
    char *lower;
    struct text t = {0};
    hm_status st = hm_text_lower(&lower, tags, strlen(tags), "tags", err);
    if (st)
        return st;
    size_t n = strlen(lower);
    if (strncmp(lower, "<tag>", 5))
        append(&t, "<tag>", 5);
    append(&t, lower, n);
    if (n < 6 || strcmp(lower + n - 6, "</tag>"))
        append(&t, "</tag>", 6);
    free(lower);
    if (t.failed) {
        free(t.data);
        return hm_fail(err, HM_EABSENT, "tags: no memory");
    }
    *out = t.data;
    return HM_OK;
}

/* Ids with BOS in front and EOS behind where they are missing. */
static hm_status encode(const hm_engine *e, const char *text, const char *what, int32_t **out, size_t *count, hm_error *err)
{
    const hm_mula_config *g = &e->mula.config;
    int32_t *ids;
    size_t n;
    hm_status st = hm_tokenizer_encode(e->tokenizer, text, strlen(text), true, &ids, &n, err);
    if (st)
        return hm_fail_within(err, "%s", what);
    int32_t *whole = hm_calloc(n + 2, sizeof *whole, what, err);
    if (!whole) {
        free(ids);
        return HM_EABSENT;
    }
    size_t at = 0;
    if (!n || ids[0] != g->text_bos)
        whole[at++] = g->text_bos;
    if (n)
        memcpy(whole + at, ids, n * sizeof *ids);
    at += n;
    if (whole[at - 1] != g->text_eos)
        whole[at++] = g->text_eos;
    free(ids);
    for (size_t i = 0; i < at; i++)
        if (whole[i] < 0 || whole[i] >= g->text_vocabulary) {
            st = hm_fail(err, HM_EFORMAT,
                         "%s: the tokenizer gave id %d, expected below text_vocab_size %d; tokenizer and model do not match", what,
                         whole[i], g->text_vocabulary);
            free(whole);
            return st;
        }
    *out = whole;
    *count = at;
    return HM_OK;
}

static hm_status encode_tags(const hm_engine *e, const char *tags, int32_t **ids, size_t *count, hm_error *err)
{
    char *wrapped = NULL;
    hm_status st = wrapped_tags(tags, &wrapped, err);
    if (st)
        return st;
    st = encode(e, wrapped, "tags", ids, count, err);
    free(wrapped);
    return st;
}

static hm_status encode_lyrics(const hm_engine *e, const hm_request *r, int32_t **ids, size_t *count, hm_error *err)
{
    char *styled = styled_lyrics(r, err), *lower = NULL;
    if (!styled)
        return HM_EABSENT;
    hm_status st = hm_text_lower(&lower, styled, strlen(styled), "lyrics", err);
    if (!st)
        st = encode(e, lower, "lyrics", ids, count, err);
    free(styled);
    free(lower);
    return st;
}

hm_status hm_heart_prompt(const hm_engine *e, const hm_request *r, int32_t **ids, int *count, int *slot, hm_error *err)
{
    int32_t *tags = NULL, *lyrics = NULL, *all = NULL;
    size_t tags_count = 0, lyrics_count = 0;
    int most = e->mula.config.backbone.max_positions;
    if (!e->tokenizer)
        return hm_fail(err, HM_EMISSING, "%s: no tokenizer.json beside the model and none in its metadata", e->checkpoint.path);
    hm_status st = check_styles(r, err);
    if (!st)
        st = encode_tags(e, r->music.tags, &tags, &tags_count, err);
    if (!st)
        st = encode_lyrics(e, r, &lyrics, &lyrics_count, err);
    if (!st && tags_count + 1 + lyrics_count + (size_t)r->max_frames > (size_t)most)
        st = hm_fail(err, HM_EUSAGE,
                     "prompt of %zu tokens and %d frames: expected at most %d positions together; shorten the lyrics or the song",
                     tags_count + 1 + lyrics_count, r->max_frames, most);
    if (!st && !(all = hm_calloc(tags_count + 1 + lyrics_count, sizeof *all, "prompt", err)))
        st = HM_EABSENT;
    if (!st) {
        memcpy(all, tags, tags_count * sizeof *all);
        memcpy(all + tags_count + 1, lyrics, lyrics_count * sizeof *all);
        *ids = all;
        *slot = (int)tags_count;
        *count = (int)(tags_count + 1 + lyrics_count);
    }
    free(tags);
    free(lyrics);
    return st;
}
