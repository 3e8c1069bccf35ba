#include "engine/cpu/cpu_ops_init.h"

#include "engine/cpu/cpu.h"
#include "engine/cpu/fold.h"

void hm_cpu_ops_init(hm_ctx *c)
{
    hm_cpu_ops_reference(&c->ops, c->dev, &c->counters, c->probe, &c->error);
    c->ops.places = &c->places;
    c->ops.any_at_least = hm_cpu_any_at_least;
    c->ops.pick = hm_cpu_pick;
    c->ops.fold_conv = hm_cpu_fold_conv;
    c->ops.attention = hm_t(c)->attn == HM_ATTN_FLASH ? hm_cpu_attention_flash : hm_cpu_attention_scores;
}
