#include "harness/store_fidelity.h"

#include <math.h>
#include <stdio.h>

#include "harness/store_internal.h"

static void bind_place(hm_query *q, const char *session_id, const char *arm_id, const char *case_id)
{
    hm_bind_text(q, ":session_id", session_id);
    hm_bind_text(q, ":arm_id", arm_id);
    hm_bind_text(q, ":case_id", case_id);
}

hm_status hm_store_put_audio_fidelity(hm_store *store, const char *session_id, const char *arm_id, const char *case_id,
                                      const hm_fidelity *f, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "INSERT INTO fidelity(session_id, arm_id, case_id, snr_db, spectral_snr_db, log_spectral_db) "
                  "VALUES(:session_id, :arm_id, :case_id, :snr_db, :spectral_snr_db, :log_spectral_db) "
                  "ON CONFLICT(arm_id, case_id) DO UPDATE SET snr_db = excluded.snr_db, spectral_snr_db = excluded.spectral_snr_db, "
                  "log_spectral_db = excluded.log_spectral_db",
                  err);
    bind_place(&q, session_id, arm_id, case_id);
    hm_bind_real(&q, ":snr_db", f->snr_db);
    hm_bind_real(&q, ":spectral_snr_db", f->spectral_snr_db);
    hm_bind_real(&q, ":log_spectral_db", f->log_spectral_db);
    hm_query_run(&q);
    return hm_query_close(&q);
}

static hm_status put_all_logits(hm_store *store, const char *session_id, const char *arm_id, const char *case_id, const hm_logit_figures *f,
                                hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "INSERT INTO fidelity(session_id, arm_id, case_id, top1, mean_kl, max_logit_difference, relative_rms) "
                  "VALUES(:session_id, :arm_id, :case_id, :top1, :mean_kl, :max_logit_difference, :relative_rms) "
                  "ON CONFLICT(arm_id, case_id) DO UPDATE SET top1 = excluded.top1, mean_kl = excluded.mean_kl, "
                  "max_logit_difference = excluded.max_logit_difference, relative_rms = excluded.relative_rms",
                  err);
    bind_place(&q, session_id, arm_id, case_id);
    hm_bind_real(&q, ":top1", f->top1);
    hm_bind_real(&q, ":mean_kl", f->mean_kl);
    hm_bind_real(&q, ":max_logit_difference", f->max_difference);
    hm_bind_real(&q, ":relative_rms", f->relative_rms);
    hm_query_run(&q);
    return hm_query_close(&q);
}

static hm_status put_codebooks(hm_store *store, const char *session_id, const char *arm_id, const char *case_id,
                               const hm_logit_comparison *c, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "INSERT OR REPLACE INTO fidelity_codebook(session_id, arm_id, case_id, codebook, frames, top1, mean_kl, "
                  "max_logit_difference, relative_rms) "
                  "VALUES(:session_id, :arm_id, :case_id, :codebook, :frames, :top1, :mean_kl, :max_logit_difference, :relative_rms)",
                  err);
    for (int k = 0; k < c->codebooks; k++) {
        bind_place(&q, session_id, arm_id, case_id);
        hm_bind_int(&q, ":codebook", k);
        hm_bind_int(&q, ":frames", c->of[k].frames);
        hm_bind_real(&q, ":top1", c->of[k].top1);
        hm_bind_real(&q, ":mean_kl", c->of[k].mean_kl);
        hm_bind_real(&q, ":max_logit_difference", c->of[k].max_difference);
        hm_bind_real(&q, ":relative_rms", c->of[k].relative_rms);
        hm_query_run(&q);
    }
    return hm_query_close(&q);
}

hm_status hm_store_put_logit_fidelity(hm_store *store, const char *session_id, const char *arm_id, const char *case_id,
                                      const hm_logit_comparison *c, hm_error *err)
{
    hm_status st = hm_store_begin(store, err);
    if (st)
        return st;
    st = put_all_logits(store, session_id, arm_id, case_id, &c->all, err);
    if (!st)
        st = put_codebooks(store, session_id, arm_id, case_id, c, err);
    return hm_store_finish(store, st, err);
}

hm_status hm_store_put_seams(hm_store *store, const char *session_id, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "INSERT INTO fidelity(session_id, arm_id, case_id, seam_db) SELECT r.session_id, r.arm_id, r.case_id, max(s.seam_db) "
                  "FROM run r JOIN sample s ON s.run_id = r.id WHERE r.session_id = :id AND r.status = 'ok' AND NOT s.warmup AND "
                  "s.seam_db IS NOT NULL GROUP BY r.arm_id, r.case_id "
                  "ON CONFLICT(arm_id, case_id) DO UPDATE SET seam_db = excluded.seam_db",
                  err);
    hm_bind_text(&q, ":id", session_id);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_logit_state(hm_store *store, const char *session_id, const char *arm_id, const char *case_id, hm_logit_state *out,
                               hm_error *err)
{
    hm_query q;
    *out = (hm_logit_state){0};
    hm_query_open(
        &q, store,
        "SELECT s.logits_hash, s.codebooks, (SELECT f.top1 IS NOT NULL FROM fidelity f WHERE f.arm_id = :arm_id AND f.case_id = "
        ":case_id) FROM run r JOIN sample s ON s.run_id = r.id WHERE r.session_id = :session_id AND r.arm_id = :arm_id AND "
        "r.case_id = :case_id AND r.status = 'ok' AND NOT s.warmup AND s.logits_hash IS NOT NULL ORDER BY r.round, r.slot LIMIT 1",
        err);
    bind_place(&q, session_id, arm_id, case_id);
    if (hm_query_row(&q)) {
        const char *hash = hm_query_text(&q, 0);
        int64_t codebooks = hm_query_int(&q, 1);
        snprintf(out->hash, sizeof out->hash, "%s", hash ? hash : "");
        out->codebooks = codebooks > 0 && codebooks <= HM_LOGITS_CODEBOOKS ? (int)codebooks : 0;
        out->compared = hm_query_int(&q, 2) == 1;
    }
    return hm_query_close(&q);
}

hm_status hm_store_each_audio(hm_store *store, const char *session_id,
                              hm_status (*row)(void *self, const hm_audio_row *audio, hm_error *err), void *self, hm_error *err)
{
    hm_query q;
    hm_query_open(
        &q, store,
        "SELECT r.case_id, r.arm_id, f.path, a.position, (SELECT min(b.position) FROM arm b WHERE b.session_id = a.session_id AND "
        "b.model = a.model) AS first, min(r.round) FROM artifact f JOIN run r ON r.id = f.run_id JOIN arm a ON a.id = r.arm_id "
        "WHERE f.session_id = :id AND f.kind = 'audio' AND r.status = 'ok' AND r.dropped_reason IS NULL GROUP BY r.case_id, a.id "
        "ORDER BY r.case_id, first, a.position",
        err);
    hm_bind_text(&q, ":id", session_id);
    while (hm_query_row(&q)) {
        hm_audio_row audio = {hm_query_text(&q, 0), hm_query_text(&q, 1), hm_query_text(&q, 2), (int)hm_query_int(&q, 3),
                              (int)hm_query_int(&q, 4)};
        q.status = row(self, &audio, err);
    }
    return hm_query_close(&q);
}
