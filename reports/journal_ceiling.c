/* How near generate and decode are to what the machine can do, and what is left to win: everything computed from what was measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reports/journal_parts.h"

#define CACHE_MB 8.4 /* 8 MiB: the block that the limit of caches was measured with */

static hm_status end(hm_sheet *t, FILE *file, hm_error *err)
{
    hm_status st = hm_sheet_end(t, HM_SHEET_MARKDOWN, file, err);
    fputs("\n", file);
    return st;
}

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

/* GB/s at which weights of this size can be read: from caches when they fit there. */
static double reading_limit(const hm_journal_session *s, const hm_journal_result *r)
{
    return r->distinct_weight_mb <= CACHE_MB ? s->cache_gb_s : s->memory_gb_s;
}

/* The least ms that a frame of generate takes: its weights read, its operations done; whichever is more. */
static double least_generate_ms(const hm_journal_session *s, const hm_journal_result *r)
{
    return larger(r->frame_weight_mb / reading_limit(s, r), r->frame_gflop * 1e3 / s->peak_gflop_s);
}

static double least_decode_ms(const hm_journal_session *s, const hm_journal_result *r)
{
    return r->codec_frame_gflop * 1e3 / s->peak_gflop_s;
}

static void percent(hm_sheet *t, double share)
{
    if (isfinite(share))
        hm_sheet_cell(t, "%.0f%%", 100 * share);
    else
        hm_sheet_none(t);
}

/* What a frame moves and computes, of every arm and case. */
static hm_status traffic(const hm_journal_session *s, FILE *file, hm_error *err)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"Variant", "Label", ">ms/frame", ">gen tok/s", ">codes/s", ">weights/frame (MB)",
                                                     ">weights (GB/s)", ">GFLOP/s", ">% of reading", ">% of FLOPs", ">decode GFLOP/s",
                                                     ">% of FLOPs", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            double ms = frame_ms(r), decode = decoding_ms(r);
            hm_sheet_cell(t, "%s", s->arms[a].name);
            hm_sheet_cell(t, "%s", s->cases[c].label);
            hm_cell_number(t, ms, 3);
            hm_cell_number(t, 1e3 / ms, 1);
            hm_cell_number(t, 1e3 / ms * r->codebooks, 0);
            hm_cell_number(t, r->frame_weight_mb, 1);
            hm_cell_number(t, r->frame_weight_mb / ms, 2);
            hm_cell_number(t, r->frame_gflop * 1e3 / ms, 2);
            percent(t, r->frame_weight_mb / ms / reading_limit(s, r));
            percent(t, r->frame_gflop * 1e3 / ms / s->peak_gflop_s);
            double rate = r->codec_frame_gflop > 0 ? r->codec_frame_gflop * 1e3 / decode : NAN;
            hm_cell_number(t, rate, 2);
            percent(t, rate / s->peak_gflop_s);
        }
    return end(t, file, err);
}

static void win(hm_sheet *t, const char *what, double share, double factor)
{
    hm_sheet_cell(t, "%s", what);
    percent(t, share);
    if (isfinite(factor))
        hm_sheet_cell(t, "%.2fx", factor);
    else
        hm_sheet_none(t);
    hm_sheet_cell(t, "%s", !isfinite(factor) ? "-" : factor < 1.02 ? "no" : factor < 1.10 ? "hardly" : "yes");
}

/* What the longest case would gain at most if a part of it cost nothing, or the least it can. */
static hm_status chances(const hm_journal_session *s, const hm_journal_result *r, FILE *file, hm_error *err)
{
    char what[160];
    bool codec_known = !(r->decode_ms.mean > 0) || r->codec_frame_gflop > 0;
    double wall = r->wall_ms.mean, decode_ms = r->decode_ms.mean > 0 ? least_decode_ms(s, r) * r->frames : 0;
    double floor_ms = codec_known ? least_generate_ms(s, r) * r->frames + decode_ms : NAN;
    const hm_journal_span *frame = hm_journal_span_of(r, "generate/frame");
    hm_sheet *t = hm_sheet_new((const char *const[]){"If this cost nothing", ">Share of wall", ">At most", "Would it help?", NULL});
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
    double bytes_ms = r->frame_weight_mb / reading_limit(s, r) * r->frames, flops_ms = r->frame_gflop * 1e3 / s->peak_gflop_s * r->frames;
    double saved = bytes_ms > flops_ms ? bytes_ms - larger(bytes_ms / 2, flops_ms) : 0;
    win(t, "half of the bytes of weights (int8 for bf16)", saved / wall, isfinite(bytes_ms) ? wall / (wall - saved) : NAN);
    win(t, "everything above the machine's limits", (wall - floor_ms) / wall, isfinite(floor_ms) && floor_ms > 0 ? wall / floor_ms : NAN);
    return end(t, file, err);
}

static void say_limits(const hm_journal_session *s, FILE *file)
{
    if (!isfinite(s->peak_gflop_s)) {
        fputs("The machine's limits were not measured with this session: no shares of them.\n\n", file);
        return;
    }
    fprintf(file,
            "Limits measured with this session (`hmbench limits`): reading %.1f GB/s from caches (8 MiB), %.1f GB/s from memory (512 MiB), "
            "%.1f GFLOP/s of float32 multiply-adds.\nBytes: all weights a frame's passes read, each pass anew; where all of them fit "
            "8 MiB they are held against caches.\nMore than 100%% of reading: passes find weights in nearer caches.\n\n",
            s->cache_gb_s, s->memory_gb_s, s->peak_gflop_s);
}

hm_status hm_journal_ceiling(const hm_journal_session *s, FILE *file, hm_error *err)
{
    int kase = hm_journal_longest_case(s), arm = hm_journal_final_arm(s);
    const hm_journal_result *r = hm_journal_at(s, arm, kase);
    fputs("### Ceiling\n\n", file);
    say_limits(s, file);
    hm_status st = traffic(s, file, err);
    if (st || !r->n || !(r->frames > 0))
        return st;
    double least = least_generate_ms(s, r), with_codec = least + (isfinite(least_decode_ms(s, r)) ? least_decode_ms(s, r) : 0);
    fprintf(file, "%s on %s: a frame of generate takes %.3f ms.", s->arms[arm].name, s->cases[kase].label, frame_ms(r));
    if (isfinite(least))
        fprintf(file,
                " It reads %.1f MB and does %.3f GFLOP: at the machine's limits %.3f ms, hence **%.0f tok/s at most in generate, %.0f%% of it "
                "reached**",
                r->frame_weight_mb, r->frame_gflop, least, 1e3 / least, 100 * least / frame_ms(r));
    if (isfinite(least) && with_codec > least)
        fprintf(file, "; with decoding (%.3f GFLOP a frame) %.0f tok/s, %.0f%% of it reached", r->codec_frame_gflop, 1e3 / with_codec,
                100 * with_codec * r->frames / r->wall_ms.mean);
    fputs(isfinite(least) ? ".\n\n" : "\n\n", file);
    return chances(s, r, file, err);
}
