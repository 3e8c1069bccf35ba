#include "harness/fidelity_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/audio/audio.h"
#include "harness/case.h"
#include "harness/progress.h"
#include "harness/turn.h"

/* --- audio --- */

/* The reference that is in memory, while rows of its case and model come by. */
typedef struct comparer {
    hm_store *store;
    const char *session_id;
    char case_id[HM_HASH_TEXT];
    int position; /* of its arm */
    float *reference;
    int channels, rate_hz;
    int64_t samples;
} comparer;

static void drop_reference(comparer *c)
{
    free(c->reference);
    c->reference = NULL;
    c->case_id[0] = 0;
}

static hm_status take_audio(void *self, const hm_audio_row *row, hm_error *err)
{
    comparer *c = self;
    float *x = NULL;
    int channels, rate_hz;
    int64_t samples;
    hm_error ignored;
    bool is_reference = row->arm_position == row->first_position;
    if (strcmp(c->case_id, row->case_id) || c->position != row->first_position)
        drop_reference(c);
    if (access(row->path, R_OK) || (!is_reference && !c->reference))
        return HM_OK;
    if (hm_audio_read(row->path, &x, &channels, &samples, &rate_hz, &ignored))
        return HM_OK; /* someone wrote over it: no figure rather than a wrong one */
    if (is_reference) {
        drop_reference(c);
        *c = (comparer){c->store, c->session_id, "", row->arm_position, x, channels, rate_hz, samples};
        snprintf(c->case_id, sizeof c->case_id, "%s", row->case_id);
        return HM_OK;
    }
    hm_status st = HM_OK;
    if (channels == c->channels && rate_hz == c->rate_hz) {
        hm_fidelity f = hm_fidelity_compare(c->reference, c->samples, x, samples, channels);
        st = hm_store_put_audio_fidelity(c->store, c->session_id, row->arm_id, row->case_id, &f, err);
    }
    free(x);
    return st;
}

hm_status hm_session_fidelity(hm_store *store, const char *session_id, hm_error *err)
{
    comparer c = {.store = store, .session_id = session_id};
    hm_status st = hm_store_each_audio(store, session_id, take_audio, &c, err);
    drop_reference(&c);
    return st ? st : hm_store_put_seams(store, session_id, err);
}

/* --- logits --- */

/* One case and reference arm at work. */
typedef struct pass {
    const hm_logit_passes *p;
    const hm_case_record *record;
    int frames;
    hm_stored_codes codes; /* of the turn that is going on */
    bool has_codes;
    int reference;
    char reference_path[1100];
    bool tried, there; /* the reference's file */
} pass;

/* A transcript runs whole, and the logits of its first window are compared. */
static bool is_transcript(const pass *w)
{
    return hm_case_task(w->record) == HM_TASK_TRANSCRIPT;
}

static bool runs(const hm_plan *plan, int c, int a)
{
    return !plan->arms[a].command && !plan->arms[a].refusal[0] && hm_plan_runs(plan, c, a);
}

/* Codes of the weights that are open, as many frames as are wanted. */
static hm_status on_opened(void *self, const hm_opened *opened, hm_run_order *order, hm_error *err)
{
    pass *w = self;
    if (!opened->model.id[0])
        return HM_OK;
    hm_status st =
        hm_store_get_codes(w->p->store, w->record->request_hash, opened->model.id, w->record->seed, &w->codes, &w->has_codes, err);
    if (st || !w->has_codes || w->codes.frames < w->frames)
        return st;
    w->codes.frames = is_transcript(w) ? w->codes.frames : w->frames;
    order->codes = &w->codes;
    return HM_OK;
}

/* An untimed run of an arm that leaves its logits at path. *there: it did. */
static hm_status make_logits(pass *w, int arm, const char *path, bool *there, hm_error *err)
{
    hm_turn turn;
    const hm_plan_arm *a = &w->p->plan->arms[arm];
    hm_turn_hooks hooks = {.self = w, .opened = on_opened, .stop = hm_interrupted};
    hm_run_order order = {.c = *w->record, .warmup = "none", .skip_codec = true, .logits = path, .logit_frames = w->frames};
    order.c.frames = is_transcript(w) ? order.c.frames : w->frames;
    w->codes = (hm_stored_codes){0};
    w->has_codes = false;
    hm_status st = hm_turn_run(&turn, a, &order, w->p->timeout_ns, &hooks, err);
    *there = !st && turn.status == HM_RUN_OK && w->codes.frames >= w->frames && !access(path, R_OK);
    if (!st && turn.status == HM_RUN_INTERRUPTED)
        st = hm_fail(err, HM_EINTERRUPTED, "interrupted while logits were compared; all times are stored");
    if (!st && !*there && !w->p->quiet)
        fprintf(stderr, "fidelity of %s on %s/%s: not known: %s\n", a->name, w->record->suite, w->record->name,
                turn.status != HM_RUN_OK ? turn.reason : "it left no logits along the stored codes");
    hm_turn_free(&turn);
    hm_stored_codes_free(&w->codes);
    return st;
}

static hm_status compare_arm(pass *w, int arm, hm_error *err)
{
    const hm_logit_passes *p = w->p;
    const hm_plan_arm *a = &p->plan->arms[arm];
    char path[1100];
    bool there = false;
    hm_status st = HM_OK;
    hm_logit_comparison comparison;
    if (!w->tried) {
        snprintf(w->reference_path, sizeof w->reference_path, "%s/logits-%.8s-%ld-reference", p->folder, p->session_id, (long)getpid());
        w->tried = true;
        st = make_logits(w, w->reference, w->reference_path, &w->there, err);
    }
    if (st || !w->there)
        return st;
    snprintf(path, sizeof path, "%s/logits-%.8s-%ld-arm", p->folder, p->session_id, (long)getpid());
    st = make_logits(w, arm, path, &there, err);
    if (!st && there)
        st = hm_logits_compare(&comparison, w->reference_path, path, err);
    unlink(path);
    if (!st && there)
        st = hm_store_put_logit_fidelity(p->store, p->session_id, a->id, w->record->id, &comparison, err);
    if (!st && there && !p->quiet)
        fprintf(stderr, "fidelity of %s on %s/%s: along %d frames %.2f %% of the likeliest codes are those of %s, mean KL %.3g nat\n",
                a->name, w->record->suite, w->record->name, comparison.of[0].frames, 100 * comparison.all.top1,
                p->plan->arms[w->reference].name, comparison.all.mean_kl);
    return st;
}

/* What equal logits give. */
static hm_status put_equal(pass *w, int arm, int codebooks, hm_error *err)
{
    hm_logit_comparison same = {.codebooks = codebooks, .all = {.frames = w->frames, .top1 = 1}};
    for (int k = 0; k < codebooks; k++)
        same.of[k] = same.all;
    return hm_store_put_logit_fidelity(w->p->store, w->p->session_id, w->p->plan->arms[arm].id, w->record->id, &same, err);
}

/* Every arm of the model of `reference` after it. */
static hm_status compare_case(pass *w, int c, hm_error *err)
{
    const hm_plan *plan = w->p->plan;
    const hm_plan_arm *first = &plan->arms[w->reference];
    hm_logit_state known, state;
    hm_status st = hm_store_logit_state(w->p->store, w->p->session_id, first->id, w->record->id, &known, err);
    for (int a = w->reference + 1; a < plan->arm_count && !st; a++) {
        if (!runs(plan, c, a) || strcmp(plan->arms[a].model, first->model))
            continue;
        st = hm_store_logit_state(w->p->store, w->p->session_id, plan->arms[a].id, w->record->id, &state, err);
        if (st || state.compared || !state.hash[0]) /* nothing to compare: it never ran */
            continue;
        if (hm_plan_same_output(first, &plan->arms[a]) && !strcmp(known.hash, state.hash) && state.codebooks)
            st = put_equal(w, a, state.codebooks, err);
        else
            st = compare_arm(w, a, err);
    }
    if (w->tried)
        unlink(w->reference_path);
    return st;
}

static bool is_reference(const hm_plan *plan, int c, int arm)
{
    for (int a = 0; a < arm; a++)
        if (runs(plan, c, a) && !strcmp(plan->arms[a].model, plan->arms[arm].model))
            return false;
    return runs(plan, c, arm);
}

/* Of transcripts those of a recording that is there, in one text and in chunks: beams go their own way, singing first takes long, and timestamps
 * forbid all text or none by a hair. */
static bool follows_codes(const hm_case_record *record)
{
    return !record->recording || (!strcmp(record->recording, "voice") && record->beams <= 1 && record->chunk_s > 0);
}

hm_status hm_session_logits(const hm_logit_passes *p, hm_error *err)
{
    hm_status st = HM_OK;
    for (int c = 0; c < p->plan->case_count && !st && p->frames > 0; c++)
        for (int a = 0; a < p->plan->arm_count && !st; a++) {
            const hm_case_record *record = &p->plan->cases[c];
            pass w = {.p = p, .record = record, .reference = a};
            int most = is_transcript(&w) ? (int)record->window_tokens : record->frames;
            w.frames = most < p->frames ? most : p->frames;
            if (follows_codes(record) && is_reference(p->plan, c, a))
                st = compare_case(&w, c, err);
        }
    return st;
}
