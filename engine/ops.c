/* What all backends share of their operations. */
#include "engine/ops.h"

void hm_ops_count_linear(const hm_ops *op, const hm_linear *w, int M)
{
    op->count->linear_rows += (uint64_t)M;
    op->count->flops += 2 * (uint64_t)w->out * (uint64_t)w->in * (uint64_t)w->taps * (uint64_t)M;
    op->count->weight_bytes += hm_linear_bytes(w);
    op->count->panel_bytes += w->panels ? hm_panels_bytes(w->panels, w->out, w->in, w->taps) : 0;
}

bool hm_ops_foldable(const hm_ops *op, const hm_fold_args *f)
{
    if (f->stride < 0 || (f->stride > 0 && f->taps % f->stride))
        hm_fail(op->error, HM_EBUG, "fold_conv: kernel %d at stride %d; expected a multiple of the stride", f->taps, f->stride);
    else if (f->first < 0 || f->columns < 1 || f->first + f->columns > f->d1 || (f->stride && (f->columns != f->d1 || f->repeat > 1)))
        hm_fail(op->error, HM_EBUG,
                "fold_conv: inputs %d to %d of %d, stride %d, rows repeated %d times; expected inputs that there are, all "
                "of them and no repeated rows when transposed",
                f->first, f->first + f->columns - 1, f->d1, f->stride, f->repeat);
    return !hm_ops_status(op);
}
