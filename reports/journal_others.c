/* Ours and others: programs that are no variant of ours, beside ours, on the same machine in the same rounds. */
#include <math.h>

#include "reports/journal_parts.h"

/* Audio is made by ours alone: what both do is drawing codes. */
static bool without_codec(const hm_journal_result *theirs, const hm_journal_result *mine)
{
    return theirs->generate_ms.n && !theirs->decode_ms.n && mine->decode_ms.n && mine->decode_ms.mean > 0;
}

static double drawing_ms(const hm_journal_result *r)
{
    return r->prefill_ms.n && r->generate_ms.n ? r->prefill_ms.mean + r->generate_ms.mean : NAN;
}

static void row(const hm_journal_session *s, int ours, int other, int kase, hm_sheet *t)
{
    const hm_journal_arm *a = &s->arms[other];
    const hm_journal_result *mine = hm_journal_at(s, ours, kase), *theirs = hm_journal_at(s, other, kase);
    bool drawing = without_codec(theirs, mine);
    hm_speed_up up = (drawing ? hm_journal_drawing_speed_up : hm_journal_speed_up)(s, other, ours, kase);
    hm_sheet_string(t, s->model);
    hm_sheet_string(t, s->cases[kase].label);
    hm_sheet_string(t, a->name);
    hm_sheet_string(t, a->libraries);
    hm_sheet_string(t, a->settings);
    if (a->threads)
        hm_sheet_cell(t, "%d", a->threads);
    else
        hm_sheet_none(t);
    hm_sheet_string(t, a->isa);
    hm_sheet_string(t, s->arms[ours].name);
    hm_sheet_string(t, drawing ? "prefill, generate" : "wall");
    if (drawing) {
        hm_sheet_number(t, drawing_ms(theirs), 1);
        hm_sheet_number(t, drawing_ms(mine), 1);
    } else {
        hm_cell_mean(t, &theirs->wall_ms, 1);
        hm_cell_mean(t, &mine->wall_ms, 1);
    }
    hm_sheet_value(t, up.n ? up.ratio : NAN, "**%.2fx**", up.ratio);
    if (isfinite(up.low))
        hm_sheet_cell(t, "%.2f to %.2f", up.low, up.high);
    else
        hm_sheet_none(t);
    hm_sheet_number(t, up.low, 4);
    hm_sheet_number(t, up.high, 4);
    hm_sheet_cell(t, "%d", up.n);
    hm_cell_output(t, theirs);
}

void hm_journal_others(const hm_journal_session *s, hm_document *d)
{
    int others = 0, final = hm_journal_final_arm(s);
    for (int a = 0; a < s->arm_count; a++)
        others += s->arms[a].other;
    if (!others || s->arms[final].other)
        return;
    hm_document_heading(d, 3, "Ours and others");
    hm_document_text(
        d,
        "Other programs on the same weights and machine, in the same rounds. Ours: how many times as fast as the other one (wall, load "
        "excluded; prefill and generate alone where the other has no codec)%s.",
        s->rounds < 6 ? "; below 6 rounds no interval" : ", Hodges-Lehmann estimate over paired rounds with its 95 % interval");
    hm_sheet *t =
        hm_sheet_new((const char *const[]){"model|", "case|Label", "other|Other", "libraries|Made of", "settings|Set", ">threads|Threads",
                                           "isa|ISA", "variant|Ours", "compared|Compared", ">other_ms|Other (ms)", ">ours_ms|Ours (ms)",
                                           ">speed_up|Ours is", ">95 % interval", ">low|", ">high|", ">n", "output|Output", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int o = 0; o < s->arm_count; o++)
            for (int a = 0; a < s->arm_count; a++)
                if (s->arms[o].other && !s->arms[a].other && (a == 0 || a == final))
                    row(s, a, o, c, t);
    hm_document_sheet(d, "others", t);
}
