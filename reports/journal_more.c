/* Sections of the journal that stand only where something was measured for them: verdicts, fidelity, cold starts, memory by phase, speed
 * along a song, energy and counters. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "reports/journal_parts.h"

#define MAX_ARMS_BESIDE 6 /* columns of the table along a song */
#define MAX_POSITIONS 8   /* its rows */
#define MAX_NOTES 8       /* different reasons under a table */

typedef bool shown(const hm_journal_result *r);

/* Whether any arm has something of that kind. */
static bool any_of(const hm_journal_session *s, shown *show)
{
    for (int i = 0; i < s->arm_count * s->case_count; i++)
        if (s->results[i].n && show(&s->results[i]))
            return true;
    return false;
}

/* ---- verdicts ---- */

/* "-1.2 %", "+3.4 %": of a ratio of times. */
static void change_cell(hm_sheet *t, double ratio)
{
    hm_sheet_value(t, ratio, "%+.1f%%", 100 * (ratio - 1));
}

static void interval_cell(hm_sheet *t, double low, double high)
{
    if (isfinite(low) && isfinite(high))
        hm_sheet_cell(t, "%+.1f%% to %+.1f%%", 100 * (low - 1), 100 * (high - 1));
    else
        hm_sheet_none(t);
}

static void verdict_sheet(const hm_journal_session *s, hm_document *d)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"case|Label", "variant|Variant", "base|Against", "metric|Metric", ">n",
                                                     ">ratio|Change", ">95 % interval", ">low|", ">high|", ">margin|Margin", ">mde|MDE",
                                                     "verdict|Verdict", "reason|Reason", NULL});
    for (int i = 0; i < s->verdict_count; i++) {
        const hm_journal_verdict *v = &s->verdicts[i];
        hm_sheet_string(t, v->label ? v->label : "all cases");
        hm_sheet_string(t, v->arm);
        hm_sheet_string(t, v->base);
        hm_sheet_string(t, v->metric);
        hm_sheet_cell(t, "%d", v->rounds);
        change_cell(t, v->ratio);
        interval_cell(t, v->low, v->high);
        hm_sheet_number(t, v->low, 4);
        hm_sheet_number(t, v->high, 4);
        hm_sheet_value(t, v->margin, "%.1f%%", 100 * v->margin);
        hm_sheet_value(t, v->mde, "%.1f%%", 100 * v->mde);
        hm_sheet_string(t, v->verdict);
        hm_sheet_string(t, v->reason);
    }
    hm_document_heading(d, 3, "Verdicts");
    hm_document_sheet(d, "verdicts", t);
    hm_document_text(
        d,
        "Change: for the worse, by the ratio of paired rounds where the reason does not say unpaired; above 0 is slower. Margin: slowdown "
        "that is let pass. MDE: the least slowdown that is found with 80 %% probability.");
}

static void calibration_sheet(const hm_journal_session *s, hm_document *d)
{
    hm_sheet *t =
        hm_sheet_new((const char *const[]){"case|Label", "variant|Variant", ">n", ">sd|sd", ">bias|Bias", ">drift_p|p of drift", NULL});
    for (int i = 0; i < s->calibration_count; i++) {
        const hm_journal_calibration *c = &s->calibrations[i];
        hm_sheet_string(t, c->label);
        hm_sheet_string(t, c->arm);
        hm_sheet_cell(t, "%d", c->rounds);
        hm_sheet_value(t, c->sd, "%.2f%%", 100 * c->sd);
        hm_sheet_value(t, expm1(c->bias), "%+.2f%%", 100 * expm1(c->bias)); /* of the ratio, as people read it */
        hm_sheet_number(t, c->drift_p, 3);
    }
    hm_document_heading(d, 3, "Calibration");
    hm_document_sheet(d, "calibration", t);
    hm_document_text(
        d,
        "Pairs of equal programs: sd (1.4826 MAD) of the logarithms of their ratios; bias: how far their Hodges-Lehmann ratio is from 1; "
        "p: Mann-Kendall.");
}

void hm_journal_verdicts(const hm_journal_session *s, hm_document *d)
{
    if (s->verdict_count)
        verdict_sheet(s, d);
    if (s->calibration_count)
        calibration_sheet(s, d);
}

/* ---- fidelity ---- */

static bool has_fidelity(const hm_journal_result *r)
{
    return isfinite(r->top1) || isfinite(r->mean_kl) || isfinite(r->log_spectral_db) || isfinite(r->seam_db) ||
           isfinite(r->spectral_snr_db);
}

static void by_codebook(const hm_journal_session *s, hm_document *d)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){HM_CELL_WHO, ">codebook|Codebook", ">frames|Frames", ">top1_percent|Top-1 (%)",
                                                     ">mean_kl|Mean KL (nat)", ">max_logit_difference|Largest logit difference", NULL});
    int kase = hm_journal_longest_case(s), rows = 0;
    for (int a = 0; a < s->arm_count; a++) {
        const hm_journal_result *r = hm_journal_at(s, a, kase);
        for (int k = 0; k < r->codebook_count; k++, rows++) {
            const hm_journal_codebook *b = &r->codebook_fidelity[k];
            hm_cell_who(t, s, a, kase);
            hm_sheet_cell(t, "%d", b->codebook);
            hm_sheet_cell(t, "%d", b->frames);
            hm_sheet_number(t, 100 * b->top1, 2);
            hm_sheet_value(t, b->mean_kl, "%.3g", b->mean_kl);
            hm_sheet_value(t, b->max_logit_difference, "%.3g", b->max_logit_difference);
        }
    }
    if (rows)
        hm_document_sheet(d, "codebooks", t);
    else
        hm_sheet_free(t);
}

void hm_journal_fidelity(const hm_journal_session *s, hm_document *d)
{
    if (!any_of(s, has_fidelity))
        return;
    hm_sheet *t = hm_sheet_new((const char *const[]){HM_CELL_WHO, ">speed_up|Speed-up", ">top1_percent|Top-1 (%)", ">mean_kl|Mean KL (nat)",
                                                     ">max_logit_difference|Largest logit difference", ">snr_db|SNR (dB)",
                                                     ">spectral_snr_db|Spectral SNR (dB)", ">log_spectral_db|Log-spectral distance (dB)",
                                                     ">seam_db|Seams (dB)", "output|Output", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 1; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            hm_speed_up up = hm_journal_speed_up(s, 0, a, c);
            if (!r->n)
                continue;
            hm_cell_who(t, s, a, c);
            hm_sheet_value(t, up.n ? up.ratio : NAN, "%.2fx", up.ratio);
            hm_sheet_number(t, 100 * r->top1, 2);
            hm_sheet_value(t, r->mean_kl, "%.3g", r->mean_kl);
            hm_sheet_value(t, r->vocabulary_logit_difference, "%.3g", r->vocabulary_logit_difference);
            hm_cell_decibels(t, r->snr_db);
            hm_cell_decibels(t, r->spectral_snr_db);
            hm_sheet_number(t, r->log_spectral_db, 2);
            hm_sheet_number(t, r->seam_db, 1);
            hm_cell_output(t, r);
        }
    hm_document_heading(d, 3, "Fidelity");
    hm_document_sheet(d, "fidelity", t);
    hm_document_text(
        d,
        "Against %s, along the stored codes. Top-1: share of codes whose likeliest choice is the same. KL: of the codes' "
        "distributions, mean. SNR: of the audio, in time and of magnitudes of the spectrum. Seams: jump where pieces of audio meet "
        "against that elsewhere.",
        s->arms[0].name);
    by_codebook(s, d);
}

/* ---- transcripts ---- */

static bool has_windows(const hm_journal_result *r)
{
    return isfinite(r->windows);
}

/* Means of all rounds; where music was made first, it is beside the others and not in RTF and tok/s. */
static void transcript_row(hm_sheet *t, const hm_journal_session *s, const hm_journal_result *r)
{
    hm_phase_rate encode = hm_journal_prefill_rate(s, r), decode = hm_journal_generate_rate(s, r);
    double wall = r->wall_ms.mean - (isfinite(r->music_ms) ? r->music_ms : 0), text = r->generate_ms.n ? r->generate_ms.mean : NAN;
    double load = r->load_ms.n ? r->load_ms.mean : NAN;
    hm_sheet_number(t, r->windows, 0);
    hm_sheet_number(t, r->frames, 0);
    hm_sheet_number(t, load, 1);
    hm_sheet_number(t, r->music_ms, 1);
    hm_sheet_number(t, r->audio_ms, 1);
    hm_sheet_number(t, r->mel_ms, 1);
    hm_sheet_number(t, r->encode_ms, 1);
    hm_cell_percent(t, encode.share_flops);
    hm_sheet_number(t, text, 1);
    hm_cell_percent(t, decode.share_gb);
    hm_sheet_number(t, wall, 1);
    hm_sheet_number(t, wall / 1e3 / r->audio_s, 4);
    hm_sheet_number(t, r->frames * 1e3 / wall, 1);
    hm_sheet_number(t, r->frames * 1e3 / text, 1);
}

void hm_journal_transcripts(const hm_journal_session *s, hm_document *d)
{
    if (!any_of(s, has_windows))
        return;
    hm_sheet *t = hm_sheet_new((const char *const[]){
        HM_CELL_WHO, ">windows|Windows", ">tokens|Tokens", ">load_ms|Load (ms)", ">music_ms|Music (ms)", ">audio_ms|Audio (ms)",
        ">mel_ms|Mel (ms)", ">encode_ms|Encode (ms)", ">encode_flops_percent|% of FLOPs", ">text_ms|Decode (ms)",
        ">text_reading_percent|% of reading", ">wall_ms|Wall (ms)", ">rtf|RTF", ">tok_s|Tok/s", ">text_tok_s|Decode tok/s", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++)
            if (hm_journal_at(s, a, c)->n && has_windows(hm_journal_at(s, a, c))) {
                hm_cell_who(t, s, a, c);
                transcript_row(t, s, hm_journal_at(s, a, c));
            }
    hm_document_heading(d, 3, "Transcription");
    hm_document_sheet(d, "transcripts", t);
    hm_document_text(
        d,
        "Audio: reading the recording. Wall and RTF: from there to the last token, load and music left out. Music: making what is "
        "transcribed. Shares: of the machine's limits, see Ceiling. Every arm is fed the same tokens; with several beams each follows its own. Interactive use asks for an RTF of 0.15 to 0.30 or less.");
}

/* ---- cold starts ---- */

static bool has_cold(const hm_journal_result *r)
{
    return isfinite(r->cold);
}

void hm_journal_cold(const hm_journal_session *s, hm_document *d)
{
    if (!any_of(s, has_cold))
        return;
    hm_sheet *t = hm_sheet_new((const char *const[]){HM_CELL_WHO, ">cold|", "state|Files", ">cold_load_ms|Cold load (ms)",
                                                     ">load_ms|Warm load (ms)", ">load_ratio|Ratio", ">first_ms|First wall (ms)",
                                                     ">wall_ms|Steady wall (ms)", ">first_ratio|Ratio", "note|Note", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            double load = r->load_ms.n ? r->load_ms.mean : NAN, wall = r->wall_ms.n ? r->wall_ms.mean : NAN;
            if (!has_cold(r))
                continue;
            hm_cell_who(t, s, a, c);
            hm_sheet_number(t, r->cold, 0);
            hm_sheet_string(t, r->cold > 0 ? "cold" : "cold: not obtained");
            hm_sheet_number(t, r->cold_load_ms, 1);
            hm_sheet_number(t, load, 1);
            hm_sheet_value(t, r->cold_load_ms / load, "%.2fx", r->cold_load_ms / load);
            hm_sheet_number(t, r->cold_first_ms, 1);
            hm_sheet_number(t, wall, 1);
            hm_sheet_value(t, r->cold_first_ms / wall, "%.2fx", r->cold_first_ms / wall);
            hm_sheet_string(t, r->cold_note);
        }
    hm_document_heading(d, 3, "Cold and warm");
    hm_document_sheet(d, "cold", t);
    hm_document_text(
        d, "Cold: the first generation of a fresh process whose model files were put out of the page cache (single values). Warm: "
           "means over rounds.");
}

static double frames_per_second(const hm_journal_result *r)
{
    return r->generate_ms.n && r->generate_ms.mean > 0 ? r->frames * 1e3 / r->generate_ms.mean : NAN;
}

/* A row: before, after, and how many times more (or less, of times). */
static void before_after_row(hm_sheet *t, const hm_journal_session *s, int c, const char *what, const char *unit, double before,
                             double after, double gain, int decimals)
{
    hm_sheet_string(t, s->model);
    hm_sheet_string(t, s->cases[c].label);
    hm_sheet_string(t, what);
    hm_sheet_string(t, unit);
    hm_sheet_number(t, before, decimals);
    hm_sheet_number(t, after, decimals);
    hm_sheet_value(t, gain, "%.2fx", gain);
}

void hm_journal_before_after(const hm_journal_session *s, hm_document *d)
{
    int final = hm_journal_final_arm(s);
    if (s->arm_count < 2 || !final || !any_of(s, has_cold))
        return;
    hm_sheet *t = hm_sheet_new(
        (const char *const[]){"model|", "case|Label", "figure|Figure", "unit|Unit", ">before|Before", ">after|After", ">gain|Gain", NULL});
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *a = hm_journal_at(s, 0, c), *b = hm_journal_at(s, final, c);
        bool ranks = hm_journal_ranks(a) && hm_journal_ranks(b);
        double x = a->cold > 0 ? a->cold_load_ms / 1e3 : NAN, y = b->cold > 0 ? b->cold_load_ms / 1e3 : NAN;
        before_after_row(t, s, c, "checkpoint load, cold", "s", x, y, ranks ? x / y : NAN, 3);
        x = frames_per_second(a);
        y = frames_per_second(b);
        before_after_row(t, s, c, "generate", "frames/s", x, y, ranks ? y / x : NAN, 2);
        before_after_row(t, s, c, "device at work", "% of generate", 100 * a->device_busy, 100 * b->device_busy, NAN, 0);
    }
    hm_document_heading(d, 3, "Before and after: %s → %s", s->arms[0].name, s->arms[final].name);
    hm_document_sheet(d, "before_after", t);
    hm_document_text(
        d,
        "Load: files out of the page cache. Device at work: by its own timestamps, in an untimed run of its own; a dash: the CPU, or not told.");
}

/* ---- host and device ---- */

static bool calls_a_gpu(const hm_journal_result *r)
{
    return r->gpu && isfinite(r->frame_launches);
}

void hm_journal_calls(const hm_journal_session *s, hm_document *d)
{
    if (!any_of(s, calls_a_gpu))
        return;
    hm_sheet *t =
        hm_sheet_new((const char *const[]){HM_CELL_WHO, ">launches|Launches", ">replayed|Replayed", ">waits|Waits", ">to_host|To host",
                                           ">to_host_bytes|Bytes", ">to_device|To device", ">to_device_bytes|Bytes", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (!isfinite(r->frame_launches))
                continue;
            hm_cell_who(t, s, a, c);
            hm_sheet_number(t, r->frame_launches, 2);
            hm_sheet_number(t, r->frame_replayed, 2);
            hm_sheet_number(t, r->frame_waits, 2);
            hm_sheet_number(t, r->frame_to_host, 2);
            hm_sheet_number(t, r->frame_to_host_bytes, 1);
            hm_sheet_number(t, r->frame_to_device, 2);
            hm_sheet_number(t, r->frame_to_device_bytes, 1);
        }
    hm_document_heading(d, 3, "Calls per frame");
    hm_document_sheet(d, "calls", t);
    hm_document_text(d, "Exact counts of all frames divided by their number, codes brought to the host; nothing of prefill, nothing of "
                        "decoding. Launches: operations started one by one; replayed: with a recorded frame. Waits: of the host for the "
                        "device.");
}

/* ---- memory ---- */

static bool has_ledger(const hm_journal_result *r)
{
    return isfinite(r->kv_mb) || isfinite(r->held_weight_mb) || isfinite(r->load_peak_mb) || isfinite(r->predicted_total_mb);
}

/* "12.3 (12.4)": measured and predicted. */
static void both_cells(hm_sheet *t, double measured, double predicted)
{
    if (isfinite(measured) && isfinite(predicted))
        hm_sheet_value(t, measured, "%.1f (%.1f)", measured, predicted);
    else if (isfinite(predicted))
        hm_sheet_cell(t, "(%.1f)", predicted);
    else
        hm_sheet_number(t, measured, 1);
    hm_sheet_number(t, predicted, 1);
}

void hm_journal_ledger(const hm_journal_session *s, hm_document *d)
{
    if (!any_of(s, has_ledger))
        return;
    hm_sheet *t = hm_sheet_new((const char *const[]){HM_CELL_WHO, ">weights_mb|Weights", ">predicted_weights_mb|", ">kv_mb|KV",
                                                     ">predicted_kv_mb|", ">scratch_mb|Scratch", ">predicted_scratch_mb|",
                                                     ">predicted_codec_mb|Codec", ">load_peak_mb|Peak: load", ">prefill_peak_mb|prefill",
                                                     ">generate_peak_mb|generate", ">decode_peak_mb|decode", ">after_mb|After",
                                                     ">mem_mb|Whole", ">predicted_mb|", ">predicted_ratio|Whole / predicted", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (!r->n || !has_ledger(r))
                continue;
            hm_cell_who(t, s, a, c);
            both_cells(t, r->held_weight_mb, r->predicted_weight_mb);
            both_cells(t, r->kv_mb, r->predicted_kv_mb);
            both_cells(t, r->scratch_mb, r->predicted_scratch_mb);
            hm_sheet_value(t, r->predicted_codec_mb, "(%.1f)", r->predicted_codec_mb);
            hm_sheet_number(t, r->load_peak_mb, 0);
            hm_sheet_number(t, r->prefill_peak_mb, 0);
            hm_sheet_number(t, r->generate_peak_mb, 0);
            hm_sheet_number(t, r->decode_peak_mb, 0);
            hm_sheet_number(t, r->after_mb, 0);
            both_cells(t, r->mem_mb, r->predicted_total_mb);
            hm_sheet_number(t, r->mem_mb / r->predicted_total_mb, 2);
        }
    hm_document_heading(d, 3, "Memory ledger (MB)");
    hm_document_sheet(d, "ledger", t);
    hm_document_text(
        d, "In parentheses: predicted from shapes alone, before anything is loaded; without the program itself, of weights those that "
           "are copied to the heap (measured: all in use, mapped ones included). Peaks: resident set less mapped model pages within "
           "each phase; after: once the result is freed. Largest of the rounds.");
}

/* ---- speed along a song ---- */

/* Mean ms per frame of frames [from, to); NaN: not covered. */
static double mean_between(const hm_journal_result *r, int64_t from, int64_t to)
{
    double sum = 0;
    int64_t frames = 0;
    for (int i = 0; i < r->stretch_count; i++)
        if (r->stretches[i].first_frame >= from && r->stretches[i].first_frame < to) {
            sum += r->stretches[i].frame_ms * (double)r->stretches[i].frames;
            frames += r->stretches[i].frames;
        }
    return frames ? sum / (double)frames : NAN;
}

void hm_journal_positions(const hm_journal_session *s, hm_document *d)
{
    const char *list[MAX_ARMS_BESIDE + 3] = {">first_frame|From frame", ">frames|Frames"};
    char titles[MAX_ARMS_BESIDE][200], name[160];
    int kase = hm_journal_longest_case(s), arms[MAX_ARMS_BESIDE], n = 0;
    const hm_journal_result *first = NULL;
    for (int a = 0; a < s->arm_count && n < MAX_ARMS_BESIDE; a++) {
        const hm_journal_result *r = hm_journal_at(s, a, kase);
        if (r->stretch_count < 2)
            continue;
        first = first ? first : r;
        snprintf(titles[n], sizeof titles[n], ">frame_ms_%d|%.90s (ms/frame)", n, s->arms[a].name);
        list[2 + n] = titles[n];
        arms[n++] = a;
    }
    if (!first)
        return;
    hm_sheet *t = hm_sheet_new(list);
    const hm_journal_stretch *last = &first->stretches[first->stretch_count - 1];
    int64_t end = last->first_frame + last->frames;
    int step = (first->stretch_count + MAX_POSITIONS - 1) / MAX_POSITIONS;
    for (int i = 0; i < first->stretch_count; i += step) {
        int64_t from = first->stretches[i].first_frame, to = i + step < first->stretch_count ? first->stretches[i + step].first_frame : end;
        hm_sheet_cell(t, "%" PRId64, from);
        hm_sheet_cell(t, "%" PRId64, to - from);
        for (int k = 0; k < n; k++)
            hm_sheet_number(t, mean_between(hm_journal_at(s, arms[k], kase), from, to), 3);
    }
    snprintf(name, sizeof name, "positions_%s", s->model); /* its columns are this model's arms */
    bool heard = has_windows(hm_journal_at(s, arms[0], kase));
    hm_document_heading(d, 3, heard ? "Along a transcript: %s" : "Along a song: %s", s->cases[kase].label);
    hm_document_sheet(d, name, t);
    hm_document_text(
        d,
        heard
            ? "Mean time of a frame, a step of the decoder for all windows side by side, where it stands in the transcript, over all rounds."
            : "Mean time of a frame where it stands in the song, over all rounds.");
}

/* ---- energy and counters ---- */

static bool has_counters(const hm_journal_result *r)
{
    return isfinite(r->energy_j) || isfinite(r->cycles) || isfinite(r->context_switches) || isfinite(r->clock_mhz) ||
           (r->energy_source && *r->energy_source) || (r->counter_note && *r->counter_note);
}

/* Each different text once. */
static void say_once(const char **said, int *count, const char *what, const char *text, hm_document *d)
{
    if (!text || !*text || *count == MAX_NOTES)
        return;
    for (int i = 0; i < *count; i++)
        if (!strcmp(said[i], text))
            return;
    said[(*count)++] = text;
    hm_document_text(d, "%s: %s", what, text);
}

static void count_cell(hm_sheet *t, double count)
{
    if (count >= 1e6)
        hm_sheet_value(t, count, "%.4g G", count / 1e9);
    else
        hm_sheet_number(t, count, 0);
}

void hm_journal_energy(const hm_journal_session *s, hm_document *d)
{
    const char *said[MAX_NOTES];
    int count = 0;
    if (!any_of(s, has_counters))
        return;
    hm_sheet *t = hm_sheet_new((const char *const[]){
        HM_CELL_WHO, ">energy_j|Energy (J)", ">energy_net_j|Net of idle (J)", ">power_w|Mean power (W)", ">energy_audio_j|J per s of audio",
        ">cycles|Cycles", ">instructions|Instructions", ">ipc|IPC", ">cache_misses|LLC misses", ">context_switches|Switches",
        ">page_faults|Page faults", ">clock_mhz|Clock (MHz)", ">temperature_c|°C", ">throttled|Throttled", ">steal_ms|Steal (ms)", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (!r->n)
                continue;
            hm_cell_who(t, s, a, c);
            hm_sheet_number(t, r->energy_j, 2);
            hm_sheet_number(t, r->energy_j - r->energy_idle_j, 2);
            hm_sheet_number(t, r->energy_j / (r->wall_ms.mean / 1e3), 1);
            hm_sheet_number(t, r->energy_j / r->audio_s, 2);
            count_cell(t, r->cycles);
            count_cell(t, r->instructions);
            hm_sheet_number(t, r->instructions / r->cycles, 2);
            count_cell(t, r->cache_misses);
            hm_sheet_number(t, r->context_switches, 0);
            hm_sheet_number(t, r->page_faults, 0);
            hm_sheet_number(t, r->clock_mhz, 0);
            hm_sheet_number(t, r->temperature_c, 0);
            hm_sheet_number(t, r->throttled, 0);
            hm_sheet_number(t, r->steal_ms, 1);
        }
    hm_document_heading(d, 3, "Energy and counters");
    hm_document_sheet(d, "energy", t);
    hm_document_text(d, "Of the timed call, all threads; means over rounds (throttled: the most of them).");
    for (int i = 0; i < s->arm_count * s->case_count; i++) {
        say_once(said, &count, "Energy", s->results[i].energy_source, d);
        say_once(said, &count, "Counters", s->results[i].counter_note, d);
    }
}
