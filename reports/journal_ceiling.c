/* How near generate and decode are to what the machine can do, and what is left to win: everything computed from what was measured. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/part.h"
#include "reports/journal_parts.h"

/* ms per frame of generate; NaN: not measured. */
static double frame_ms(const hm_journal_result *r)
{
    return r->generate_ms.n && r->frames > 0 ? r->generate_ms.mean / r->frames : NAN;
}

/* ms of decoding per frame, what ran beside generate included; NaN: not measured. */
static double decoding_ms(const hm_journal_result *r)
{
    double beside = r->overlapped_ms > 0 ? r->overlapped_ms : 0;
    return r->decode_ms.n && r->frames > 0 ? (r->decode_ms.mean + beside) / r->frames : NAN;
}

static double larger(double a, double b)
{
    return !(a >= b) ? b : a;
}

/* GB/s at which what a frame reads can be read: from caches when all of it fits there. */
static double reading_limit(const hm_journal_session *s, const hm_journal_result *r)
{
    if (r->gpu)
        return NAN; /* the session's limits are the CPU's */
    double kept = r->distinct_weight_mb + (isfinite(r->frame_kv_mb) ? r->kv_mb : 0);
    return kept <= s->cache_mb ? s->cache_gb_s : s->memory_gb_s;
}

/* MB that a frame of generate has to read: weights, and of transcripts keys and values, which are no less there. */
static double frame_read_mb(const hm_journal_result *r)
{
    return r->frame_weight_mb + (isfinite(r->frame_kv_mb) ? r->frame_kv_mb : 0);
}

/* Of float32 multiply-adds or, where weights at work are quantised, of 8-bit integers: what is float32 there has the higher limit as well. */
static double peak_gflop_s(const hm_journal_session *s, const hm_journal_result *r, bool decoding)
{
    double peak = s->peak_gflop_s;
    for (int i = 0; i < r->part_count; i++)
        if (hm_part_decodes(r->parts[i].part) == decoding && hm_part_of_integers(r->parts[i].format))
            peak = fmax(peak, s->peak_int8_gop_s);
    return r->gpu ? NAN : peak;
}

/* The least ms that a frame of generate takes: its weights read, its operations done; whichever is more. */
static double least_generate_ms(const hm_journal_session *s, const hm_journal_result *r)
{
    return larger(frame_read_mb(r) / reading_limit(s, r), r->frame_gflop * 1e3 / peak_gflop_s(s, r, false));
}

static double least_decode_ms(const hm_journal_session *s, const hm_journal_result *r)
{
    return r->codec_frame_gflop * 1e3 / peak_gflop_s(s, r, true);
}

/* Work of ms milliseconds: GFLOP, and MB of weights read (NaN: not known), against limits of multiplying and of reading. */
static hm_phase_rate rate_of(double gflop, double peak, double weight_mb, double ms, double limit_gb_s)
{
    hm_phase_rate rate = {
        .gflop_s = gflop * 1e3 / ms, .gb_s = weight_mb / ms, .flops_per_byte = gflop * 1e3 / weight_mb, .limit_gb_s = limit_gb_s};
    rate.share_flops = rate.gflop_s / peak;
    rate.share_gb = rate.gb_s / limit_gb_s;
    return rate;
}

/* Of transcripts the encoder alone: what mel does is not counted. */
hm_phase_rate hm_journal_prefill_rate(const hm_journal_session *s, const hm_journal_result *r)
{
    double ms = isfinite(r->encode_ms) ? r->encode_ms : r->prefill_ms.n && r->prefill_ms.mean > 0 ? r->prefill_ms.mean : NAN;
    return rate_of(r->prefill_gflop, peak_gflop_s(s, r, false), r->prefill_weight_mb, ms, reading_limit(s, r));
}

hm_phase_rate hm_journal_generate_rate(const hm_journal_session *s, const hm_journal_result *r)
{
    return rate_of(r->frame_gflop, peak_gflop_s(s, r, false), frame_read_mb(r), frame_ms(r), reading_limit(s, r));
}

hm_phase_rate hm_journal_decode_rate(const hm_journal_session *s, const hm_journal_result *r)
{
    double gflop = r->codec_frame_gflop > 0 ? r->codec_frame_gflop : NAN;
    hm_phase_rate rate = rate_of(gflop, peak_gflop_s(s, r, true), NAN, decoding_ms(r),
                                 r->gpu ? NAN : s->memory_gb_s); /* how often it reads its weights is its own business */
    rate.flops_per_byte = r->codec_weight_mb > 0 ? gflop * 1e3 * r->frames / r->codec_weight_mb : NAN;
    return rate;
}

static bool over(double share)
{
    return share > 1.005;
}

/* What a frame moves and computes, of every arm and case. */
static void traffic(const hm_journal_session *s, hm_document *d)
{
    hm_sheet *t = hm_sheet_new(
        (const char *const[]){HM_CELL_WHO, ">frame_ms|ms/frame", ">gen_tok_s|gen tok/s", ">codes_s|codes/s", ">weights_mb|read/frame (MB)",
                              ">generate_gb_s|read (GB/s)", ">generate_gflop_s|GFLOP/s", ">generate_reading_percent|% of reading",
                              ">generate_flops_percent|% of FLOPs", ">decode_gflop_s|decode GFLOP/s", ">decode_flops_percent|% of FLOPs",
                              ">prefill_gflop_s|prefill GFLOP/s", ">prefill_flops_percent|% of FLOPs", NULL});
    bool bug = false;
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            hm_phase_rate generate = hm_journal_generate_rate(s, r), decode = hm_journal_decode_rate(s, r),
                          prefill = hm_journal_prefill_rate(s, r);
            double ms = frame_ms(r);
            hm_cell_who(t, s, a, c);
            hm_sheet_number(t, ms, 3);
            hm_sheet_number(t, 1e3 / ms, 1);
            hm_sheet_number(t, 1e3 / ms * r->codebooks, 0);
            hm_sheet_number(t, frame_read_mb(r), 1);
            hm_sheet_number(t, generate.gb_s, 2);
            hm_sheet_number(t, generate.gflop_s, 2);
            hm_cell_percent(t, generate.share_gb);
            hm_cell_percent(t, generate.share_flops);
            hm_sheet_number(t, decode.gflop_s, 2);
            hm_cell_percent(t, decode.share_flops);
            hm_sheet_number(t, prefill.gflop_s, 2);
            hm_cell_percent(t, prefill.share_flops);
            bug = bug || over(prefill.share_flops) || over(generate.share_gb) || over(generate.share_flops) || over(decode.share_flops);
        }
    hm_document_sheet(d, "ceiling", t);
    if (bug)
        hm_document_text(
            d, "**More than 100 %% of a limit is a bug of ours**: bytes or operations are counted wrongly, or the limit was measured "
               "too low. The figure stands as it is until it is found.");
}

static void win(hm_sheet *t, const char *what, double share, double factor)
{
    hm_sheet_string(t, what);
    hm_cell_percent(t, share);
    hm_sheet_value(t, factor, "%.2fx", factor);
    hm_sheet_string(t, !isfinite(factor) ? NULL : factor < 1.02 ? "no" : factor < 1.10 ? "hardly" : "yes");
}

/* What the longest case would gain at most if a part of it cost nothing, or the least it can. */
static void chances(const hm_journal_session *s, const hm_journal_result *r, hm_document *d)
{
    char what[160];
    bool codec_known = !(r->decode_ms.mean > 0) || r->codec_frame_gflop > 0;
    double wall = r->wall_ms.mean, decode_ms = r->decode_ms.mean > 0 ? least_decode_ms(s, r) * r->frames : 0;
    double peak = peak_gflop_s(s, r, false);
    double prefill_ms = r->prefill_gflop * 1e3 / peak; /* its operations: of a transcript the encoder's, which is most of it */
    double floor_ms = codec_known ? least_generate_ms(s, r) * r->frames + decode_ms + (isfinite(prefill_ms) ? prefill_ms : 0) : NAN;
    const hm_journal_span *frame = hm_journal_span_of(r, "generate/frame");
    hm_sheet *t = hm_sheet_new((const char *const[]){"part|If this cost nothing", ">share_percent|Share of wall", ">speed_up|At most",
                                                     "helps|Would it help?", NULL});
    for (int i = 0; i < r->span_count && frame; i++) {
        const char *part = hm_journal_part_of_frame(r->spans[i].path);
        if (!part)
            continue;
        snprintf(what, sizeof what, "%.100s", part);
        win(t, what, r->spans[i].total_ms / wall, wall / (wall - r->spans[i].total_ms));
    }
    if (frame)
        win(t, "frames outside of their parts (calls, transfers)", frame->self_ms / wall, wall / (wall - frame->self_ms));
    win(t, "prefill", r->prefill_ms.mean / wall, wall / (wall - r->prefill_ms.mean));
    win(t, "decode", r->decode_ms.mean / wall, wall / (wall - r->decode_ms.mean));
    win(t, "outside of the phases", r->other_ms.mean / wall, wall / (wall - r->other_ms.mean));
    double bytes_ms = frame_read_mb(r) / reading_limit(s, r) * r->frames, flops_ms = r->frame_gflop * 1e3 / peak * r->frames;
    double saved = isfinite(bytes_ms) && bytes_ms <= flops_ms ? 0 : bytes_ms - larger(bytes_ms / 2, flops_ms);
    win(t, "half of the bytes of weights (int8 for bf16)", saved / wall, isfinite(bytes_ms) ? wall / (wall - saved) : NAN);
    win(t, "everything above the machine's limits", (wall - floor_ms) / wall, isfinite(floor_ms) && floor_ms > 0 ? wall / floor_ms : NAN);
    hm_document_sheet(d, "chances", t);
}

static bool has_transcripts(const hm_journal_session *s)
{
    for (int i = 0; i < s->arm_count * s->case_count; i++)
        if (isfinite(hm_journal_at(s, i % s->arm_count, i / s->arm_count)->frame_kv_mb))
            return true;
    return false;
}

static void say_limits(const hm_journal_session *s, hm_document *d)
{
    if (!isfinite(s->peak_gflop_s)) {
        hm_document_text(d, "The machine's limits were not measured with this session: no shares of them.");
        return;
    }
    char integers[120] = "";
    if (isfinite(s->peak_int8_gop_s))
        snprintf(integers, sizeof integers, ", %.1f Gop/s of 8-bit integers, which count where weights are quantised", s->peak_int8_gop_s);
    hm_document_text(
        d,
        "Limits measured with this session (`hmbench limits`): reading %.1f GB/s from caches (%.4g MiB), %.1f GB/s from memory (512 "
        "MiB), %.1f GFLOP/s of float32 multiply-adds%s.\nBytes: all weights a frame's passes read, each pass anew; where all of them "
        "fit %.4g MiB they are held against caches.%s",
        s->cache_gb_s, s->cache_mb * 1e6 / 1048576, s->memory_gb_s, s->peak_gflop_s, integers, s->cache_mb * 1e6 / 1048576,
        has_transcripts(s) ? " Of transcripts a frame is a token, which reads keys and values as well, and prefill is the encoder alone."
                           : "");
}

void hm_journal_ceiling(const hm_journal_session *s, hm_document *d)
{
    int kase = hm_journal_longest_case(s), arm = hm_journal_final_arm(s);
    const hm_journal_result *r = hm_journal_at(s, arm, kase);
    char limit[400] = "", codec[200] = "";
    hm_document_heading(d, 3, "Ceiling");
    say_limits(s, d);
    traffic(s, d);
    if (!r->n || !(r->frames > 0))
        return;
    double least = least_generate_ms(s, r), with_codec = least + (isfinite(least_decode_ms(s, r)) ? least_decode_ms(s, r) : 0);
    if (isfinite(least))
        snprintf(
            limit, sizeof limit,
            " It reads %.1f MB and does %.3f GFLOP: at the machine's limits %.3f ms, hence **%.0f tok/s at most in generate, %.0f%% of it "
            "reached**",
            frame_read_mb(r), r->frame_gflop, least, 1e3 / least, 100 * least / frame_ms(r));
    if (isfinite(least) && with_codec > least)
        snprintf(codec, sizeof codec, "; with decoding (%.3f GFLOP a frame) %.0f tok/s, %.0f%% of it reached", r->codec_frame_gflop,
                 1e3 / with_codec, 100 * with_codec * r->frames / r->wall_ms.mean);
    hm_document_text(d, "%s on %s: a frame of generate takes %.3f ms.%s%s%s", s->arms[arm].name, s->cases[kase].label, frame_ms(r), limit,
                     codec, isfinite(least) ? "." : "");
    chances(s, r, d);
}
