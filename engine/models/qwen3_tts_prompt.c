/* Prompts of Qwen3-TTS: which rows there are and what each is the sum of (qwen3_tts.md section 5), and the last prompt remembered. */
#include <string.h>

#include "engine/models/qwen3_tts_impl.h"

#define ROLE 3             /* "<|im_start|>assistant\n" */
#define TEXT_BEHIND 5      /* "<|im_end|>\n<|im_start|>assistant\n" */
#define REFERENCE_BEHIND 2 /* "<|im_end|>\n" */

/* --- which rows --- */

struct plan {
    hm_row_source *rows;
    int count;
};

static void put(struct plan *p, int32_t text, int64_t codec)
{
    if (p->rows)
        p->rows[p->count] = (hm_row_source){text, (int32_t)codec};
    p->count++;
}

static void put_texts(struct plan *p, const int32_t *ids, int n, int64_t codec)
{
    for (int i = 0; i < n; i++)
        put(p, ids[i], codec);
}

/* Prefix: k-1 rows, pad + K_j, the last bos + c(codec_pad). */
static void plan_prefix(struct plan *p, const hm_talker_shape *g, const hm_talker_request *r)
{
    if (r->language >= 0) {
        put(p, HM_ROW_PAD, g->codec_think);
        put(p, HM_ROW_PAD, g->codec_think_bos);
        put(p, HM_ROW_PAD, r->language);
    } else {
        put(p, HM_ROW_PAD, g->codec_nothink);
        put(p, HM_ROW_PAD, g->codec_think_bos);
    }
    put(p, HM_ROW_PAD, g->codec_think_eos);
    if (r->speaker_vector)
        put(p, HM_ROW_PAD, HM_ROW_SPEAKER);
    else if (r->speaker >= 0)
        put(p, HM_ROW_PAD, r->speaker);
    put(p, HM_ROW_BOS, g->codec_pad);
}

/* Row i of X: the reference text, the text, eos; pad behind. */
static int32_t cloning_text(const hm_talker_request *r, int i)
{
    int spoken = r->reference_count - ROLE - REFERENCE_BEHIND, said = r->text_count - ROLE - TEXT_BEHIND;
    if (i < spoken)
        return r->reference_ids[ROLE + i];
    if (i < spoken + said)
        return r->text_ids[ROLE + i - spoken];
    return i == spoken + said ? HM_ROW_EOS : HM_ROW_PAD;
}

/* Row i of Y: codec_bos, then the reference's frames. */
static int64_t cloning_codes(const hm_talker_shape *g, int i)
{
    return i ? HM_ROW_REFERENCE - (i - 1) : g->codec_bos;
}

static void plan_cloning(struct plan *p, const hm_talker_shape *g, const hm_talker_request *r)
{
    int X = r->reference_count - ROLE - REFERENCE_BEHIND + r->text_count - ROLE - TEXT_BEHIND + 1, Y = 1 + r->reference_frames;
    for (int i = 0; i < X && !r->streaming_text; i++)
        put(p, cloning_text(r, i), g->codec_pad);
    for (int i = 0; i < Y; i++)
        put(p, r->streaming_text ? cloning_text(r, i) : HM_ROW_PAD, cloning_codes(g, i));
}

/* What follows step by step: the rest of the text, or pad alone. */
static void plan_trailing(struct plan *p, const hm_talker_request *r)
{
    int said = r->text_count - ROLE - TEXT_BEHIND, before = p->count;
    if (r->streaming_text && r->reference_codes) {
        int X = r->reference_count - ROLE - REFERENCE_BEHIND + said + 1;
        for (int i = 1 + r->reference_frames; i < X; i++)
            put(p, cloning_text(r, i), HM_ROW_NONE);
    } else if (r->streaming_text) {
        put_texts(p, r->text_ids + ROLE + 1, said - 1, HM_ROW_NONE);
        put(p, HM_ROW_EOS, HM_ROW_NONE);
    }
    if (p->count == before)
        put(p, HM_ROW_PAD, HM_ROW_NONE);
}

int hm_talker_plan(const hm_talker_shape *g, const hm_talker_request *r, hm_row_source *rows, int *trailing)
{
    struct plan p = {.rows = rows};
    int said = r->text_count - ROLE - TEXT_BEHIND;
    put_texts(&p, r->instruct_ids, r->instruct_ids ? r->instruct_count : 0, HM_ROW_NONE); /* 1 instruct */
    put_texts(&p, r->text_ids, ROLE, HM_ROW_NONE);                                        /* 2 role */
    plan_prefix(&p, g, r);                                                                /* 3 prefix */
    if (r->reference_codes)                                                               /* 4 text */
        plan_cloning(&p, g, r);
    else if (r->streaming_text)
        put(&p, r->text_ids[ROLE], g->codec_bos);
    else {
        put_texts(&p, r->text_ids + ROLE, said, g->codec_pad);
        put(&p, HM_ROW_EOS, g->codec_pad);
        put(&p, HM_ROW_PAD, g->codec_bos);
    }
    int prompt = p.count;
    plan_trailing(&p, r);
    *trailing = p.count - prompt;
    return prompt;
}

int hm_talker_prompt_rows(const hm_talker_shape *g, const hm_talker_request *r)
{
    int trailing;
    return r->text_count > ROLE + TEXT_BEHIND ? hm_talker_plan(g, r, NULL, &trailing) : 0;
}

/* --- text --- */

void hm_talker_project_text(hm_ctx *c, const hm_talker *m, float *out, float *in, float *mid, const int32_t *ids, int n)
{
    const hm_ops *op = &c->ops;
    int Ht = (int)m->shape.text_width;
    bool fused = hm_t(c)->fuse == HM_FUSE_ALL;
    op->gather(op, in, m->text_embedding, m->text_type, Ht, ids, n);
    op->linear_ex(op, &(hm_linear_args){.y = mid, .x = in, .w = &m->fc1, .M = n, .act = fused ? HM_ACT_SILU : HM_ACT_NONE});
    if (!fused)
        op->activate(op, mid, HM_ACT_SILU, 0, (size_t)n * (size_t)Ht);
    op->linear_ex(op, &(hm_linear_args){.y = out, .x = mid, .w = &m->fc2, .M = n});
    c->counters.text_rows += (uint64_t)n;
}

/* At most HM_TEXT_CHUNK ids from the cache, those that it lacks projected into it (Q15). */
static void cached_texts(hm_ctx *c, hm_talker_work *w, float *out, const hm_row_source *rows, int n)
{
    const hm_ops *op = &c->ops;
    int H = (int)w->m->shape.talker.width, missing = 0;
    if (w->text_used + n > HM_TEXT_CACHE) {
        memset(w->text_slot, 0, (size_t)w->m->shape.text_vocab * sizeof *w->text_slot);
        w->text_used = 0;
    }
    for (int i = 0; i < n; i++)
        if (!w->text_slot[rows[i].text]) {
            w->host_ids[missing] = rows[i].text;
            w->text_slot[rows[i].text] = w->text_used + ++missing;
        }
    if (missing) {
        op->upload(op, w->ids, w->host_ids, (size_t)missing * sizeof(int32_t));
        hm_talker_project_text(c, w->m, w->text_cache + (size_t)w->text_used * (size_t)H, w->text_in, w->text_mid, w->ids, missing);
        w->text_used += missing;
    }
    for (int i = 0; i < n; i++)
        w->host_ids[i] = w->text_slot[rows[i].text] - 1;
    op->upload(op, w->ids, w->host_ids, (size_t)n * sizeof(int32_t));
    op->gather(op, out, w->text_cache, HM_F32, H, w->ids, n);
    if (hm_ops_status(op)) /* rows that were not made are not kept */
        w->text_used = HM_TEXT_CACHE;
}

/* P of the ids of n rows that have one, into out [n][H]. */
static void project_texts(hm_ctx *c, hm_talker_work *w, float *out, const hm_row_source *rows, int n)
{
    size_t H = (size_t)w->m->shape.talker.width;
    for (int i = 0; i < n; i += HM_TEXT_CHUNK) {
        int chunk = n - i < HM_TEXT_CHUNK ? n - i : HM_TEXT_CHUNK;
        if (w->text_cache) {
            cached_texts(c, w, out + (size_t)i * H, rows + i, chunk);
            continue;
        }
        for (int j = 0; j < chunk; j++)
            w->host_ids[j] = rows[i + j].text;
        c->ops.upload(&c->ops, w->ids, w->host_ids, (size_t)chunk * sizeof(int32_t));
        hm_talker_project_text(c, w->m, out + (size_t)i * H, w->text_in, w->text_mid, w->ids, chunk);
    }
}

/* The text side of n rows. */
static void text_rows(hm_ctx *c, hm_talker_work *w, const hm_utterance *u, float *out, const hm_row_source *rows, int n)
{
    int H = (int)w->m->shape.talker.width;
    for (int i = 0, end; i < n; i = end) {
        int32_t kind = rows[i].text;
        for (end = i + 1; end < n && (kind < 0 ? rows[end].text == kind : rows[end].text >= 0);)
            end++;
        float *y = out + (size_t)i * (size_t)H;
        if (kind < 0)
            c->ops.copy_2d(&c->ops, y, H, hm_utterance_special(u, kind), 0, H, end - i);
        else
            project_texts(c, w, y, rows + i, end - i);
    }
}

/* --- codec side --- */

static void add_codec_ids(hm_ctx *c, hm_talker_work *w, float *x, const hm_row_source *rows, int n)
{
    const hm_ops *op = &c->ops;
    const hm_talker *m = w->m;
    int H = (int)m->shape.talker.width;
    for (int i = 0; i < n; i++)
        w->host_ids[i] = rows[i].codec;
    op->upload(op, w->ids, w->host_ids, (size_t)n * sizeof(int32_t));
    op->gather(op, w->t, m->codec_embedding, m->codec_type, H, w->ids, n);
    op->add(op, x, w->t, (size_t)n * (size_t)H);
}

/* S(a) of n frames of the reference, from frame `first` on: the groups in order. */
static void add_reference(hm_ctx *c, hm_talker_work *w, const hm_utterance *u, float *x, int first, int n)
{
    const hm_ops *op = &c->ops;
    const hm_talker *m = w->m;
    int H = (int)m->shape.talker.width, G = (int)m->shape.groups;
    const int32_t *codes = u->request.reference_codes + (size_t)first * (size_t)G;
    bool fused = hm_t(c)->fuse == HM_FUSE_ALL;
    size_t count = (size_t)n * (size_t)H;
    for (int i = 0; i < n; i++)
        for (int g = 0; g < G; g++)
            w->host_ids[fused ? i * G + g : g * n + i] = codes[i * G + g];
    op->upload(op, w->ids, w->host_ids, (size_t)n * (size_t)G * sizeof(int32_t));
    if (fused)
        op->gather_tables(op, w->t, m->group_embedding, m->group_type, H, w->ids, n, G);
    else
        op->gather(op, w->t, m->group_embedding[0], m->group_type, H, w->ids, n);
    for (int g = 1; g < G && !fused; g++) {
        op->gather(op, w->y, m->group_embedding[g], m->group_type, H, w->ids + (size_t)g * (size_t)n, n);
        op->add(op, w->t, w->y, count);
    }
    op->add(op, x, w->t, count);
}

static void add_codec_rows(hm_ctx *c, hm_talker_work *w, const hm_utterance *u, float *x, int n)
{
    const hm_ops *op = &c->ops;
    const hm_row_source *rows = u->rows;
    size_t H = (size_t)w->m->shape.talker.width;
    for (int i = 0, end; i < n; i = end) {
        int32_t kind = rows[i].codec;
        float *y = x + (size_t)i * H;
        end = i + 1;
        if (kind == HM_ROW_SPEAKER) {
            op->upload(op, w->t, u->request.speaker_vector, H * sizeof(float));
            op->add(op, y, w->t, H);
        } else if (kind <= HM_ROW_REFERENCE) {
            while (end < n && rows[end].codec == kind - (end - i))
                end++;
            add_reference(c, w, u, y, HM_ROW_REFERENCE - kind, end - i);
        } else if (kind >= 0) {
            while (end < n && rows[end].codec >= 0)
                end++;
            add_codec_ids(c, w, y, rows + i, end - i);
        }
    }
}

void hm_utterance_embed(hm_ctx *c, hm_talker_work *w, hm_utterance *u)
{
    const hm_talker *m = w->m;
    const int H = (int)m->shape.talker.width, L = u->prompt_rows, R = u->trailing;
    hm_part_begin(c, "embedding", -1);
    if (u->special) {
        const int32_t ids[3] = {(int32_t)m->shape.tts_pad, (int32_t)m->shape.tts_bos, (int32_t)m->shape.tts_eos};
        c->ops.upload(&c->ops, w->ids, ids, sizeof ids);
        hm_talker_project_text(c, m, u->special, w->text_in, w->text_mid, w->ids, 3);
    }
    text_rows(c, w, u, w->x, u->rows, L);
    add_codec_rows(c, w, u, w->x, L);
    text_rows(c, w, u, u->trailing_text, u->rows + L, R);
    hm_part_end(c, "embedding");
    hm_tap(c, "prompt_embeds", w->x, 0, L, 1, H, false);
    hm_tap(c, "trailing_text", u->trailing_text, 0, R, 1, H, false);
    hm_tap(c, "tts_pad_embed", hm_utterance_special(u, HM_ROW_PAD), 0, 1, 1, H, false);
}

/* --- the last prompt (Q28) --- */

static bool same_row(const hm_talker_work *w, const hm_utterance *u, int i)
{
    size_t H = (size_t)w->m->shape.talker.width, G = (size_t)w->m->shape.groups;
    const hm_row_source *a = &w->prefix_rows[i], *b = &u->rows[i];
    if (a->text != b->text || a->codec != b->codec)
        return false;
    if (a->codec == HM_ROW_SPEAKER)
        return !memcmp(w->prefix_speaker, u->request.speaker_vector, H * sizeof(float));
    if (a->codec > HM_ROW_REFERENCE)
        return true;
    size_t at = (size_t)(HM_ROW_REFERENCE - a->codec) * G;
    return !memcmp(w->prefix_codes + at, u->request.reference_codes + at, G * sizeof(int32_t));
}

int hm_talker_common_rows(const hm_talker_work *w, const hm_utterance *u)
{
    int n = 0, most = u->prompt_rows - 1; /* the last row is what the first frame is drawn from */
    while (n < w->prefix_count && n < most && same_row(w, u, n))
        n++;
    return n;
}

void hm_talker_remember_prompt(hm_ctx *c, hm_talker_work *w, const hm_utterance *u)
{
    const hm_talker_request *r = &u->request;
    size_t H = (size_t)w->m->shape.talker.width, G = (size_t)w->m->shape.groups;
    w->prefix_count = 0;
    hm_kv_reset(c, &w->prefix_kv);
    hm_kv_take(c, &w->prefix_kv, &u->kv, u->prompt_rows);
    memcpy(w->prefix_rows, u->rows, (size_t)u->prompt_rows * sizeof *u->rows);
    if (r->speaker_vector)
        memcpy(w->prefix_speaker, r->speaker_vector, H * sizeof(float));
    for (int i = 0; i < u->prompt_rows; i++)
        if (u->rows[i].codec <= HM_ROW_REFERENCE) {
            size_t at = (size_t)(HM_ROW_REFERENCE - u->rows[i].codec) * G;
            memcpy(w->prefix_codes + at, r->reference_codes + at, G * sizeof(int32_t));
        }
    if (!hm_ops_status(&c->ops))
        w->prefix_count = u->prompt_rows;
}
