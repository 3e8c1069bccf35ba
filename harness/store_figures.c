/* What stands beside the times of a session: memory, energy, counters, fidelity, cold starts, verdicts. */
#include <stddef.h>
#include <string.h>

#include "harness/sample.h"
#include "harness/store_reading.h"

/* Where a figure of HM_JOURNAL_FIGURES comes from: an expression over the timed samples s of an arm on a case. */
static const struct figure {
    const char *name;
    size_t at;
    const char *sql;
} figures[] = {
#define FIGURE(name, sql)                             \
    {                                                 \
#name, offsetof(hm_journal_result, name), sql \
    }
#define LARGEST_MB(name, column) FIGURE(name, "max(s." column ") / 1e6")
#define PER_FRAME(name, counter) \
    FIGURE(name, "avg((SELECT 1.0 * c.value / s.frames FROM count c WHERE c.sample_id = s.id AND c.name = '" HM_FRAMES counter "'))")
    LARGEST_MB(held_weight_mb, "held_weight_bytes"),
    LARGEST_MB(kv_mb, "kv_bytes"),
    LARGEST_MB(scratch_mb, "scratch_bytes"),
    LARGEST_MB(load_peak_mb, "load_peak_bytes"),
    LARGEST_MB(prefill_peak_mb, "prefill_peak_bytes"),
    LARGEST_MB(generate_peak_mb, "generate_peak_bytes"),
    LARGEST_MB(decode_peak_mb, "decode_peak_bytes"),
    LARGEST_MB(after_mb, "rss_after_bytes"),
    LARGEST_MB(predicted_weight_mb, "predicted_weight_bytes"),
    LARGEST_MB(predicted_kv_mb, "predicted_kv_bytes"),
    LARGEST_MB(predicted_scratch_mb, "predicted_scratch_bytes"),
    LARGEST_MB(predicted_codec_mb, "predicted_codec_bytes"),
    LARGEST_MB(predicted_total_mb, "predicted_total_bytes"),
    FIGURE(prefill_gflop, "avg(s.prefill_flops) / 1e9"),
    LARGEST_MB(prefill_weight_mb, "prefill_weight_bytes"),
    FIGURE(energy_j, "avg(s.energy_uj) / 1e6"),
    FIGURE(energy_idle_j, "avg(s.energy_idle_uj) / 1e6"),
    FIGURE(cycles, "avg(s.cycles)"),
    FIGURE(instructions, "avg(s.instructions)"),
    FIGURE(cache_misses, "avg(s.cache_misses)"),
    FIGURE(context_switches, "avg(s.context_switches)"),
    FIGURE(page_faults, "avg(s.page_faults)"),
    FIGURE(clock_mhz, "avg(s.clock_khz) / 1e3"),
    FIGURE(temperature_c, "avg(s.temperature_c)"),
    FIGURE(throttled, "max(s.throttled)"),
    FIGURE(steal_ms, "avg(s.steal_ns) / 1e6"),
    FIGURE(clipped_share, "max(s.clipped_share)"),
    FIGURE(zero_crossings, "avg(s.zero_crossings)"),
    FIGURE(flatness, "avg(s.flatness)"),
    FIGURE(level_drift_db, "avg(s.level_drift_db)"),
    FIGURE(audio_ms, "avg(s.audio_ns) / 1e6"),
    FIGURE(mel_ms, "avg(s.mel_ns) / 1e6"),
    FIGURE(encode_ms, "avg(s.encode_ns) / 1e6"),
    FIGURE(music_ms, "avg(s.music_ns) / 1e6"),
    FIGURE(windows, "max(s.windows)"),
    FIGURE(frame_kv_mb, "avg(s.frame_kv_bytes) / 1e6"),
    FIGURE(ttfa_ms, "avg(s.ttfa_ns) / 1e6"),
    FIGURE(stall_max_ms, "max(s.stall_max_ns) / 1e6"),
    PER_FRAME(frame_launches, "launches"),
    PER_FRAME(frame_replayed, "replayed_launches"),
    PER_FRAME(frame_waits, "device_waits"),
    PER_FRAME(frame_to_host, "to_host_transfers"),
    PER_FRAME(frame_to_host_bytes, "to_host_bytes"),
    PER_FRAME(frame_to_device, "to_device_transfers"),
    PER_FRAME(frame_to_device_bytes, "to_device_bytes"),
};
enum {
    FIGURES = sizeof figures / sizeof *figures,
    OF_COLD_STARTS = 4 /* and of the untimed runs beside them */
};

#define ONE(name) +1
_Static_assert(FIGURES + OF_COLD_STARTS == 0 HM_JOURNAL_FIGURES(ONE), "every figure has its place in the database");

static hm_status read_figures(hm_reading *r)
{
    char sql[4096] = "SELECT r.arm_id, r.case_id, max(s.places), max(s.energy_source), max(s.counter_note)";
    hm_query q;
    for (int i = 0; i < FIGURES; i++)
        snprintf(sql + strlen(sql), sizeof sql - strlen(sql), ", %s", figures[i].sql);
    snprintf(sql + strlen(sql), sizeof sql - strlen(sql),
             " FROM run r JOIN sample s ON s.run_id = r.id WHERE r.session_id = :id AND r.status = 'ok' AND r.dropped_reason IS NULL "
             "AND NOT s.warmup GROUP BY r.arm_id, r.case_id ORDER BY r.arm_id, r.case_id");
    hm_reading_ask(r, &q, sql);
    while (hm_query_row(&q)) {
        hm_journal_result *x = hm_reading_result(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        if (!x)
            continue;
        x->places = hm_reading_keep(r, hm_query_text(&q, 2));
        x->energy_source = hm_reading_keep(r, hm_query_text(&q, 3));
        x->counter_note = hm_reading_keep(r, hm_query_text(&q, 4));
        for (int i = 0; i < FIGURES; i++)
            *(double *)((char *)x + figures[i].at) = hm_query_real(&q, 5 + i);
    }
    return hm_query_close(&q);
}

/* Of the untimed runs beside the cold starts. */
static hm_status read_busy(hm_reading *r)
{
    hm_query q;
    hm_reading_ask(
        r, &q,
        "SELECT r.arm_id, r.case_id, avg(1.0 * s.device_busy_ns / nullif(s.generate_ns, 0)) FROM run r JOIN sample s ON s.run_id = r.id "
        "WHERE r.session_id = :id AND r.status = 'ok' AND s.device_busy_ns IS NOT NULL GROUP BY r.arm_id, r.case_id");
    while (hm_query_row(&q)) {
        hm_journal_result *x = hm_reading_result(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        if (x)
            x->device_busy = hm_query_real(&q, 2);
    }
    return hm_query_close(&q);
}

static hm_status read_cold(hm_reading *r)
{
    hm_query q;
    hm_reading_ask(r, &q,
                   "SELECT arm_id, case_id, min(cold), avg(cold_load_ms), avg(first_ms), max(cold_note) FROM cold_figure "
                   "WHERE session_id = :id GROUP BY arm_id, case_id ORDER BY arm_id, case_id");
    while (hm_query_row(&q)) {
        hm_journal_result *x = hm_reading_result(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        if (!x)
            continue;
        x->cold = hm_query_real(&q, 2);
        x->cold_load_ms = hm_query_real(&q, 3);
        x->cold_first_ms = hm_query_real(&q, 4);
        x->cold_note = hm_reading_keep(r, hm_query_text(&q, 5));
    }
    return hm_query_close(&q);
}

static hm_status read_fidelity(hm_reading *r)
{
    hm_query q;
    hm_reading_ask(r, &q,
                   "SELECT arm_id, case_id, snr_db, spectral_snr_db, log_spectral_db, seam_db, top1, mean_kl, max_logit_difference, "
                   "relative_rms FROM fidelity WHERE session_id = :id");
    while (hm_query_row(&q)) {
        hm_journal_result *x = hm_reading_result(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        if (!x)
            continue;
        x->snr_db = hm_query_real(&q, 2);
        x->spectral_snr_db = hm_query_real(&q, 3);
        x->log_spectral_db = hm_query_real(&q, 4);
        x->seam_db = hm_query_real(&q, 5);
        x->top1 = hm_query_real(&q, 6);
        x->mean_kl = hm_query_real(&q, 7);
        x->vocabulary_logit_difference = hm_query_real(&q, 8);
        x->relative_rms = hm_query_real(&q, 9);
    }
    return hm_query_close(&q);
}

static hm_status read_codebooks(hm_reading *r)
{
    hm_query q;
    hm_reading_ask(r, &q,
                   "SELECT arm_id, case_id, codebook, frames, top1, mean_kl, max_logit_difference, relative_rms FROM fidelity_codebook "
                   "WHERE session_id = :id ORDER BY arm_id, case_id, codebook");
    while (hm_query_row(&q)) {
        hm_journal_result *x = hm_reading_result(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        hm_journal_codebook *list = x ? hm_reading_grown(r, x->codebook_fidelity, x->codebook_count, sizeof *list) : NULL;
        if (!list)
            continue;
        list[x->codebook_count++] = (hm_journal_codebook){(int)hm_query_int(&q, 2), (int)hm_query_int(&q, 3), hm_query_real(&q, 4),
                                                          hm_query_real(&q, 5),     hm_query_real(&q, 6),     hm_query_real(&q, 7)};
        x->codebook_fidelity = list;
    }
    return hm_query_close(&q);
}

/* In the order of a frame: what draws the first codebook, what draws the others, what makes the audio. */
static hm_status read_parts(hm_reading *r)
{
    hm_query q;
    hm_reading_ask(r, &q,
                   "SELECT r.arm_id, r.case_id, p.part, p.span, max(p.format), max(p.pass_bytes) / 1e6, max(p.distinct_bytes) / 1e6, "
                   "avg(p.frame_passes) FROM run r JOIN sample s ON s.run_id = r.id JOIN sample_part p ON p.sample_id = s.id WHERE "
                   "r.session_id = :id AND r.status = 'ok' AND r.dropped_reason IS NULL AND NOT s.warmup GROUP BY r.arm_id, r.case_id, "
                   "p.part, p.span ORDER BY r.arm_id, r.case_id, instr('backbone,decoder,heads,dit,codec', p.part), p.part, p.span");
    while (hm_query_row(&q)) {
        hm_journal_result *x = hm_reading_result(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        hm_journal_part *list = x ? hm_reading_grown(r, x->parts, x->part_count, sizeof *list) : NULL;
        if (!list)
            continue;
        list[x->part_count++] = (hm_journal_part){hm_reading_keep(r, hm_query_text(&q, 2)),
                                                  hm_reading_keep(r, hm_query_text(&q, 3)),
                                                  hm_reading_keep(r, hm_query_text(&q, 4)),
                                                  hm_query_real(&q, 5),
                                                  hm_query_real(&q, 6),
                                                  hm_query_real(&q, 7)};
        x->parts = list;
    }
    return hm_query_close(&q);
}

static hm_status read_stretches(hm_reading *r)
{
    hm_query q;
    hm_reading_ask(r, &q,
                   "SELECT r.arm_id, r.case_id, f.first_frame, f.frames, avg(f.total_ns * 1e-6 / f.frames) FROM run r "
                   "JOIN sample s ON s.run_id = r.id JOIN frame_time f ON f.sample_id = s.id WHERE r.session_id = :id AND r.status = 'ok' "
                   "AND r.dropped_reason IS NULL AND NOT s.warmup AND f.frames > 0 GROUP BY r.arm_id, r.case_id, f.first_frame, f.frames "
                   "ORDER BY r.arm_id, r.case_id, f.first_frame, f.frames");
    while (hm_query_row(&q)) {
        hm_journal_result *x = hm_reading_result(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        hm_journal_stretch *list = x ? hm_reading_grown(r, x->stretches, x->stretch_count, sizeof *list) : NULL;
        if (!list)
            continue;
        list[x->stretch_count++] = (hm_journal_stretch){hm_query_int(&q, 2), hm_query_int(&q, 3), hm_query_real(&q, 4)};
        x->stretches = list;
    }
    return hm_query_close(&q);
}

static int rounds_of(int64_t value)
{
    return value < 0 || value > INT32_MAX ? 0 : (int)value;
}

static hm_status read_verdicts(hm_reading *r)
{
    hm_query q;
    hm_journal_session *s = hm_reading_session(r);
    hm_journal_verdict *list = NULL;
    hm_reading_ask(r, &q,
                   "SELECT v.case_id, v.base_arm_id, v.arm_id, v.metric, v.rounds, v.ratio, v.low, v.high, v.margin, v.mde, v.verdict, "
                   "v.reason, CASE WHEN b.session_id <> v.session_id THEN b.name || ' (session ' || substr(b.session_id, 1, 8) || ')' END "
                   "FROM verdict v LEFT JOIN suite_case c ON c.id = v.case_id JOIN arm a ON a.id = v.arm_id "
                   "JOIN arm b ON b.id = v.base_arm_id WHERE v.session_id = :id "
                   "ORDER BY v.case_id IS NULL, c.frames, c.suite, c.name, a.position, v.metric, v.rounds, v.id");
    while (hm_query_row(&q)) {
        const char *case_id = hm_query_text(&q, 0);
        int kase = hm_reading_case(r, case_id), base = hm_reading_arm(r, hm_query_text(&q, 1)),
            arm = hm_reading_arm(r, hm_query_text(&q, 2));
        const char *elsewhere = hm_query_text(&q, 12); /* the base of a stored session */
        if (arm < 0 || (base < 0 && !elsewhere) || (case_id && kase < 0))
            continue;
        hm_journal_verdict *grown = hm_reading_grown(r, list, s->verdict_count, sizeof *list);
        if (!grown)
            break;
        list = grown;
        list[s->verdict_count++] = (hm_journal_verdict){.label = case_id ? hm_reading_label(r, kase) : NULL,
                                                        .base = elsewhere ? hm_reading_keep(r, elsewhere) : hm_reading_arm_name(r, base),
                                                        .arm = hm_reading_arm_name(r, arm),
                                                        .metric = hm_reading_keep(r, hm_query_text(&q, 3)),
                                                        .rounds = rounds_of(hm_query_int(&q, 4)),
                                                        .ratio = hm_query_real(&q, 5),
                                                        .low = hm_query_real(&q, 6),
                                                        .high = hm_query_real(&q, 7),
                                                        .margin = hm_query_real(&q, 8),
                                                        .mde = hm_query_real(&q, 9),
                                                        .verdict = hm_reading_keep(r, hm_query_text(&q, 10)),
                                                        .reason = hm_reading_keep(r, hm_query_text(&q, 11))};
    }
    s->verdicts = list;
    return hm_query_close(&q);
}

static hm_status read_calibrations(hm_reading *r)
{
    hm_query q;
    hm_journal_session *s = hm_reading_session(r);
    hm_journal_calibration *list = NULL;
    hm_reading_ask(r, &q,
                   "SELECT k.case_id, k.arm_id, k.rounds, k.sd, k.bias, k.drift_p FROM calibration k JOIN suite_case c ON c.id = k.case_id "
                   "JOIN arm a ON a.id = k.arm_id WHERE k.session_id = :id ORDER BY c.frames, c.suite, c.name, a.position");
    while (hm_query_row(&q)) {
        int kase = hm_reading_case(r, hm_query_text(&q, 0)), arm = hm_reading_arm(r, hm_query_text(&q, 1));
        if (arm < 0 || kase < 0)
            continue;
        hm_journal_calibration *grown = hm_reading_grown(r, list, s->calibration_count, sizeof *list);
        if (!grown)
            break;
        list = grown;
        list[s->calibration_count++] =
            (hm_journal_calibration){hm_reading_label(r, kase), hm_reading_arm_name(r, arm), rounds_of(hm_query_int(&q, 2)),
                                     hm_query_real(&q, 3),      hm_query_real(&q, 4),        hm_query_real(&q, 5)};
    }
    s->calibrations = list;
    return hm_query_close(&q);
}

static hm_status read_session_facts(hm_reading *r)
{
    hm_query q;
    hm_journal_session *s = hm_reading_session(r);
    hm_reading_ask(r, &q,
                   "SELECT kind, order_seed, (SELECT group_concat(key || '=' || value, ', ') FROM (SELECT key, value FROM session_tag t "
                   "WHERE t.session_id = :id ORDER BY key)), (SELECT count(*) FROM run u WHERE u.session_id = :id AND u.dropped_reason IS "
                   "NOT NULL) FROM session WHERE id = :id");
    if (hm_query_row(&q)) {
        s->kind = hm_reading_keep(r, hm_query_text(&q, 0));
        s->order_seed = (uint64_t)hm_query_int(&q, 1);
        s->tags = hm_reading_keep(r, hm_query_text(&q, 2));
        s->dropped = rounds_of(hm_query_int(&q, 3));
    }
    return hm_query_close(&q);
}

hm_status hm_reading_figures(hm_reading *r)
{
    hm_status (*const parts[])(hm_reading *) = {read_session_facts, read_figures, read_cold,      read_busy,     read_fidelity,
                                                read_codebooks,     read_parts,   read_stretches, read_verdicts, read_calibrations};
    hm_status st = HM_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !st; i++)
        st = parts[i](r);
    return st;
}
